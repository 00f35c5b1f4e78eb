"""Which files of a commit are taken, which are left, and which stop a fetch."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from fetch_fixtures import Place
from fetch_support import FILE, Fetched, fault, run

LINK, SUBMODULE, FOLDER, EXECUTABLE = 0o120000, 0o160000, 0o040000, 0o100755
COMMIT = "0123456789abcdef0123456789abcdef01234567"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345\n"


def fetched(place: Place, folder: str = "", **more: Any) -> Fetched:
    return run(place.url(), authority=place.server.authority, folder=folder, **more)


def refusal(place: Place, **more: Any) -> tuple[str, str]:
    return fault(place.url(), authority=place.server.authority, **more)


def test_what_the_packer_leaves_out_is_left_out(place: Place) -> None:
    repository = place.repository()
    hidden = [".venv", "__pycache__", "node_modules", ".mypy_cache", ".pytest_cache", ".hg", ".svn"]
    files = {f"one/{name}/x": b"x" for name in (*hidden, ".aws", ".ssh", "lib/.aws")}
    repository.commit(
        {**files, "one/a.py": b"a", "one/a.pyc": b"x", "one/venv/b.py": b"b", "one/node_modules.py": b"c"}
    )
    found = fetched(place, "one")
    assert found.names == ["a.py", "node_modules.py", "venv/b.py"]
    assert found.report["left"] == [".aws/", ".ssh/", "lib/.aws/"]


def test_files_with_credentials_are_kept_for_the_gate(place: Place) -> None:
    names = [".env", ".env.local", ".netrc", ".npmrc", ".pypirc", "id_rsa", "key.pem", "server.key", "store.p12"]
    place.repository().commit(dict.fromkeys(names, b"secret"))
    found = fetched(place)
    assert found.names == sorted(names) and found.report["left"] == []


def test_at_most_fifty_are_listed_as_left(place: Place) -> None:
    repository = place.repository()
    repository.commit({"a": b"a", **{f"f{number:03}": (SUBMODULE, COMMIT) for number in range(60)}})
    assert fetched(place).report["left"] == [f"f{number:03}" for number in range(50)]


def test_a_symbolic_link_is_named(place: Place) -> None:
    repository = place.repository()
    repository.commit({"one/a": b"a", "one/deep/link": (LINK, repository.blob(b"../../../etc/passwd")), "two/a": b"a"})
    code, message = refusal(place, folder="one")
    assert (
        code == "archive-refused" and "deep/link is a symbolic link" in message and "files and folders only" in message
    )
    assert fetched(place, "two").names == ["a"]


def test_a_pointer_of_lfs_is_named(place: Place) -> None:
    place.repository().commit({"model/weights.bin": POINTER, "two/a": POINTER + b"x" * 1024})
    code, message = refusal(place)
    assert code == "archive-refused" and "model/weights.bin is a pointer of Git LFS" in message
    assert fetched(place, "two").names == ["a"]


def test_a_folder_that_is_missing_is_told_with_those_there_are(place: Place) -> None:
    repository = place.repository()
    repository.commit(
        {
            "one/a": b"a",
            "two/lib/b": b"b",
            "file": b"c",
            "link": (LINK, repository.blob(b"one")),
            "sub": (SUBMODULE, COMMIT),
        }
    )
    assert "in folder: there is one, two" in refusal(place, folder="three")[1].replace("into", "in")
    assert "in two/ there is lib" in refusal(place, folder="two/x")[1]
    assert "there is none" in refusal(place, folder="one/x")[1]
    assert (
        "file is a file" in refusal(place, folder="file")[1]
        and "link is a symbolic link" in refusal(place, folder="link")[1]
    )
    assert "sub is a submodule" in refusal(place, folder="sub/x")[1]
    place.repository("many.git").commit({f"f{number:02}/a": b"a" for number in range(12)})
    message = fault(place.url("many.git"), authority=place.server.authority, folder="x")[1]
    assert "f09, …" in message and "f10" not in message


def test_a_folder_without_files_is_no_source(place: Place) -> None:
    place.repository().commit({"one/__pycache__/a.pyc": b"a", "b": b"b"})
    assert "holds no files" in refusal(place, folder="one")[1]


@pytest.mark.parametrize("name", [b"..", b".", b"a\\b", b"a\nb", b"\xff", b".GIT", b"git~1", b"x" * 256, b"a/b"])
def test_a_name_that_leads_elsewhere_is_refused(place: Place, name: bytes) -> None:
    repository = place.repository()
    repository.commit(repository.tree([(FILE, name, repository.blob(b"x"))]))
    code, message = refusal(place)
    assert code == "archive-refused" and "rename it" in message and message.isprintable()


def test_a_git_folder_inside_a_tree_is_left(place: Place) -> None:
    repository = place.repository()
    inside = repository.files({"config": b"[core]\n"})
    repository.commit(repository.tree([(FOLDER, b".git", inside), (FILE, b"a", repository.blob(b"a"))]))
    found = fetched(place)
    assert (found.names, found.report["left"]) == (["a"], [".git/"])
    repository.commit(repository.tree([(FILE, b".git", repository.blob(b"gitdir: /etc"))]))
    assert refusal(place)[0] == "archive-refused"


@pytest.mark.parametrize("mode", [0o100600 | 0o40000, 0o20666, 0o10644, 0, 0o40755])
def test_what_is_neither_file_nor_folder_is_refused(place: Place, mode: int) -> None:
    repository = place.repository()
    repository.commit(repository.tree([(mode, b"a", repository.blob(b"a"))]))
    assert refusal(place)[0] == "fetch-failed"


def test_a_name_twice_is_refused(place: Place) -> None:
    repository = place.repository()
    blob = repository.blob(b"a")
    repository.commit(repository.tree([(FILE, b"a", blob), (EXECUTABLE, b"a", blob)]))
    assert "a name twice" in refusal(place)[1]


def test_a_tree_that_names_a_folder_as_a_file_is_refused(place: Place) -> None:
    repository = place.repository()
    repository.commit(
        repository.tree([(FILE, b"a", repository.files({"b": b"b"})), (FILE, b"c", repository.blob(b"c"))])
    )
    assert "a is no file" in refusal(place)[1]


def test_a_tree_of_trees_that_multiplies_is_stopped(place: Place) -> None:
    """Ten objects that stand for 10^10 files, and for as many folders."""
    repository = place.repository()
    for leaf, word in (
        (repository.files({f"a{number}": b"a" for number in range(20)}), "files"),
        (repository.tree([]), "folders"),
    ):
        tree = leaf
        for _ in range(10):
            tree = repository.tree([(FOLDER, b"%d" % number, tree) for number in range(10)])
        repository.commit(tree)
        code, message = refusal(place)
        assert code == "too-large" and f"more than 20000 {word}" in message


def test_the_unpacked_size_has_a_limit(place: Place) -> None:
    place.repository().commit({"one/a": b"0" * 60_000, "one/b": b"1" * 60_000, "c": b"c"})
    code, message = refusal(place, maximumBytes=100_000)
    assert code == "too-large" and "more than 100000 bytes unpacked" in message
    assert fetched(place, "one", maximumBytes=120_000).report["bytes"] == 120_000


def test_the_archive_has_a_limit(place: Place) -> None:
    place.repository().commit({"a": hashlib.shake_128(b"x").digest(50_000)})
    code, message = refusal(place, maximumArchive=40_000)
    assert code == "too-large" and "packs to more than 40000 bytes" in message


def test_a_file_above_the_limit_of_an_object_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from casemate_fetch import pack

    monkeypatch.setattr(pack.Pack.__init__, "__defaults__", (100_000,))
    repository = place.repository()
    first = repository.commit({"one/model.bin": b"0" * 200_000, "two/a": b"a"})
    repository.commit({"one/model.bin": b"0" * 200_001, "two/a": b"a"}, first)
    code, message = refusal(place, history=True)
    assert code == "too-large" and "one/model.bin has more than" in message
    # It is in nobody's way elsewhere.
    assert fetched(place, "two", history=True).names == ["a"]
