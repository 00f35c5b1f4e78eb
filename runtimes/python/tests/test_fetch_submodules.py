"""Repositories inside a repository: left, or fetched from the same host alone."""

from __future__ import annotations

from typing import Any

from fetch_fixtures import Place
from fetch_support import Content, Fetched, Repository, fault, run

SUBMODULE = 0o160000


def modules(**urls: str) -> bytes:
    return "".join(
        f'[submodule "{path}"]\n\tpath = {path.replace("__", "/")}\n\turl = {url}\n' for path, url in urls.items()
    ).encode()


def fetched(place: Place, **more: Any) -> Fetched:
    return run(place.url(), authority=place.server.authority, **{"submodules": True, **more})


def refusal(place: Place, **more: Any) -> str:
    code, message = fault(place.url(), authority=place.server.authority, **{"submodules": True, **more})
    assert code == "fetch-failed"
    return message


def linked(place: Place, repository: Repository, url: str, commit: str) -> None:
    repository.commit({"a": b"a", ".gitmodules": modules(lib=url), "lib": (SUBMODULE, commit)})


def test_they_are_left_and_listed_unless_they_are_asked_for(place: Place) -> None:
    commit = place.repository("lib.git").commit({"b": b"b"})
    linked(place, place.repository(), "../lib.git", commit)
    found = fetched(place, submodules=False)
    assert found.names == [".gitmodules", "a"] and (found.report["left"], found.report["submodules"]) == (["lib"], [])


def test_each_is_fetched_at_its_commit(place: Place) -> None:
    library = place.repository("lib.git")
    deeper = place.repository("deep.git").commit({"c": b"c"})
    commit = library.commit({"b": b"old", ".gitmodules": modules(x__deep="../deep.git"), "x/deep": (SUBMODULE, deeper)})
    library.commit({"b": b"new"}, commit)
    repository = place.repository()
    files: dict[str, Content] = {
        ".gitmodules": modules(one__lib=place.url("lib.git")),
        "one/lib": (SUBMODULE, commit),
        "one/a": b"a",
    }
    repository.commit({**files, "two/sub": (SUBMODULE, deeper)})
    found = fetched(place, folder="one")
    assert found.names == ["a", "lib/.gitmodules", "lib/b", "lib/x/deep/c"] and found.read("lib/b") == b"old"
    assert found.report["submodules"] == [
        {"path": "lib", "url": place.url("lib.git"), "commit": commit},
        {"path": "lib/x/deep", "url": place.url("deep.git"), "commit": deeper},
    ]
    assert found.report["files"] == 4 and found.report["left"] == []


def test_one_elsewhere_is_refused_before_it_is_asked_for(place: Place) -> None:
    repository = place.repository()
    for url in (
        "https://elsewhere.example/lib.git",
        f"https://localhost:{place.server.port + 1}/lib.git",
        "ssh://git@localhost/lib.git",
    ):
        linked(place, repository, url, "0" * 39 + "1")
        message = refusal(place)
        assert "the submodule lib is at" in message and "may reach only https://localhost:" in message


def test_nothing_else_of_the_configuration_is_obeyed(place: Place) -> None:
    commit = place.repository("lib.git").commit({"b": b"b"})
    text = modules(lib="../lib.git") + b"\tupdate = !touch ran\n\tbranch = other\n[include]\n\tpath = /etc/passwd\n"
    text += b'[url "https://elsewhere.example/"]\n\tinsteadOf = https://localhost\n'
    place.repository().commit({".gitmodules": text, "lib": (SUBMODULE, commit)})
    assert fetched(place).names == [".gitmodules", "lib/b"]


def test_one_that_gitmodules_does_not_know_is_named(place: Place) -> None:
    repository = place.repository()
    repository.commit({"a": b"a", "lib": (SUBMODULE, "0" * 39 + "1")})
    assert "lib is a submodule, and .gitmodules does not say of what" in refusal(place)
    repository.commit({"a": b"a", ".gitmodules": b"nonsense", "lib": (SUBMODULE, "0" * 39 + "1")})
    assert ".gitmodules can't be read" in refusal(place)
    repository.commit({"a": b"a", ".gitmodules": b"#" * 300_000, "lib": (SUBMODULE, "0" * 39 + "1")})
    assert "more than 262144 bytes" in refusal(place)


def test_a_commit_that_the_submodule_does_not_have_is_named(place: Place) -> None:
    place.repository("lib.git").commit({"b": b"b"})
    linked(place, place.repository(), "../lib.git", "0" * 39 + "1")
    assert "0" * 39 + "1" in refusal(place)


def test_they_are_nested_three_deep(place: Place) -> None:
    commit = place.repository("r4.git").commit({"file": b"4"})
    for level in (3, 2, 1):
        files: dict[str, Content] = {
            "file": b"%d" % level,
            ".gitmodules": modules(in_=f"../r{level + 1}.git"),
            "in_": (SUBMODULE, commit),
        }
        commit = place.repository(f"r{level}.git").commit(files)
    repository = place.repository()
    linked(place, repository, "../r2.git", place_commit(place, "r2.git"))
    assert fetched(place).names[-1] == "lib/in_/in_/file"
    linked(place, repository, "../r1.git", place_commit(place, "r1.git"))
    assert "lib/in_/in_/in_ is nested deeper than 3" in refusal(place)


def test_there_are_at_most_twenty(place: Place) -> None:
    commit = place.repository("lib.git").commit({"b": b"b"})
    many = {f"s{number:02}": "../lib.git" for number in range(21)}
    place.repository().commit({".gitmodules": modules(**many), **dict.fromkeys(many, (SUBMODULE, commit))})
    assert "more than 20 submodules" in refusal(place)


def test_one_that_holds_itself_ends(place: Place) -> None:
    """By way of a branch: its commit can't hold its own id."""
    library = place.repository("lib.git")
    commit = ""
    for _ in range(5):
        inside = {"lib": (SUBMODULE, commit)} if commit else {}
        commit = library.commit({"b": b"b", ".gitmodules": modules(lib="../lib.git"), **inside})
    linked(place, place.repository(), "../lib.git", commit)
    assert "nested deeper than 3" in refusal(place)


def place_commit(place: Place, name: str) -> str:
    return (place.server.root / place.name / name / "refs" / "heads" / "main").read_text().strip()


def test_one_that_the_policy_does_not_list_is_not_asked_for(place: Place) -> None:
    """What opens a repository may open all of its host, and a policy lists but some."""
    commit = place.repository("lib.git").commit({"b": b"b"})
    linked(place, place.repository(), "../lib.git", commit)
    place.server.requests.clear()
    message = refusal(place, repositories=[place.url()])
    assert "the submodule lib is at" in message and "gate.repositories" in message
    assert not any("lib.git" in line for line, _ in place.server.requests)
    for listed in (place.url("lib.git"), place.url("x").removesuffix("x")):
        assert fetched(place, repositories=[place.url(), listed]).read("lib/b") == b"b"
    near = ["https://elsewhere.example/", place.url("li"), place.url("lib.git/"), place.url("LIB.git")]
    assert "gate.repositories" in refusal(place, repositories=[place.url(), *near])
