"""A source over https, from git's own server behind TLS."""

from __future__ import annotations

import hashlib
import io
import re
import stat
import zipfile

import pytest
from casemate_runtime.unpack import unpack
from fetch_fixtures import Place
from fetch_support import Certificate, Content, GitServer, fault, run, serve


@pytest.fixture(scope="module")
def made(https: GitServer) -> Place:
    """Made once: a git for each object takes longer than a fetch."""
    place = Place(https, "simple")
    repository = place.repository()
    first = repository.commit({"one/handler.py": b"first"}, ref="refs/tags/v0")
    files: dict[str, Content] = {
        "one/handler.py": b"second",
        "one/lib/b.py": b"b",
        "one/run.sh": (0o100755, repository.blob(b"#!")),
        "two/x": b"x",
    }
    second = repository.commit(files, first)
    repository.git("tag", "-a", "-m", "annotated", "v1", second)
    return place


@pytest.fixture
def simple(made: Place) -> Place:
    made.server.requests.clear()
    return made


def test_a_folder_of_a_branch_becomes_an_archive(simple: Place) -> None:
    fetched = run(simple.url(), authority=simple.server.authority, folder="one")
    assert fetched.names == ["handler.py", "lib/b.py", "run.sh"] and fetched.read("handler.py") == b"second"
    assert re.fullmatch("[0-9a-f]{40}", fetched.report.pop("commit"))
    assert fetched.report == {
        "reference": "refs/heads/main", "files": 3, "bytes": 9, "submodules": [], "left": [], "history": []
    }  # fmt: skip
    entries = zipfile.ZipFile(io.BytesIO(fetched.archive)).infolist()
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert [oct(entry.external_attr >> 16) for entry in entries] == [
        oct(stat.S_IFREG | mode) for mode in (0o644, 0o644, 0o755)
    ]


def test_the_same_tree_has_the_same_bytes_and_the_unpacker_takes_them(
    simple: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first, second = (run(simple.url(), ref, simple.server.authority, folder="one") for ref in ("main", "v1"))
    assert first.archive == second.archive
    folder = tmp_path_factory.mktemp("unpacked")
    (folder / "a.zip").write_bytes(first.archive)
    with (folder / "a.zip").open("rb") as file:
        assert unpack(file.fileno(), folder / "src", 1 << 20).files == 3
    assert (folder / "src" / "handler.py").read_bytes() == b"second"


@pytest.mark.parametrize("how", ["", "old"], ids=["version 2", "version 0"])
@pytest.mark.parametrize(
    ("ref", "reference", "content"),
    [
        ("main", "refs/heads/main", b"second"),
        ("refs/heads/main", "refs/heads/main", b"second"),
        ("HEAD", "refs/heads/main", b"second"),
        ("v0", "refs/tags/v0", b"first"),
        ("v1", "refs/tags/v1", b"second"),
        ("refs/tags/v1", "refs/tags/v1", b"second"),
    ],
)
def test_branches_tags_and_head_are_found_and_tags_peeled(
    simple: Place, ref: str, reference: str, content: bytes, how: str
) -> None:
    fetched = run(simple.url(how=how), ref, simple.server.authority, folder="one")
    assert fetched.report["reference"] == reference and fetched.read("handler.py") == content
    repository = simple.server.root / simple.name / "a.git"
    kept = (repository / "refs" / "heads" / "main").read_text().strip()
    assert (fetched.report["commit"] == kept) == (content == b"second")


@pytest.mark.parametrize("how", ["", "old"], ids=["version 2", "version 0"])
def test_a_commit_that_no_ref_names_is_fetched_by_its_id(place: Place, how: str) -> None:
    """Version 0 refuses to give it: all is fetched, and looked through."""
    repository = place.repository()
    first = repository.commit({"a": b"1"})
    repository.commit({"a": b"2"}, first)
    fetched = run(place.url(how=how), first.upper(), place.server.authority)
    assert (fetched.report["commit"], fetched.report["reference"], fetched.read("a")) == (first, None, b"1")


def test_only_the_wanted_commit_is_asked_for(place: Place) -> None:
    repository = place.repository()
    first = repository.commit({"large": hashlib.shake_128(b"x").digest(20_000)})
    second = repository.commit({"a": b"2"}, first)
    for ref in ("main", second):
        assert run(place.url(), ref, place.server.authority, maximumBytes=5_000).names == ["a"]
    code, message = fault(place.url(), "main", place.server.authority, maximumBytes=5_000, history=True)
    assert code == "too-large" and "more than the 5000 bytes" in message


def test_a_commit_that_no_ref_leads_to_is_not_found_by_way_of_all(place: Place) -> None:
    repository = place.repository()
    repository.commit({"a": b"1"})
    lost = repository.commit({"a": b"2"}, ref="")
    for absent in (lost, "0" * 40):
        code, message = fault(place.url(how="old"), absent, place.server.authority)
        assert code == "fetch-failed" and absent in message and "no branch and no tag" in message
    assert "no branch and no tag" in fault(place.url(), "f" * 64, place.server.authority)[1]


def test_an_id_of_something_else_than_a_commit_is_refused(simple: Place) -> None:
    repository = simple.server.root / simple.name / "a.git"
    tag = (repository / "refs" / "tags" / "v1").read_text().strip()
    assert "something else than a commit" in fault(simple.url(), tag, simple.server.authority)[1]


def test_a_tag_of_a_file_is_no_commit(place: Place) -> None:
    repository = place.repository()
    repository.commit({"a": b"1"})
    repository.set("refs/tags/odd", repository.blob(b"x"))
    assert "stands for no commit" in fault(place.url(), "odd", place.server.authority)[1]


def test_a_repository_with_sha256_is_fetched(place: Place) -> None:
    repository = place.repository(object_format="sha256")
    first = repository.commit({"one/a": b"1" * 1000})
    second = repository.commit({"one/a": b"1" * 1000 + b"2"}, first)
    for ref in ("main", second):
        fetched = run(place.url(), ref, place.server.authority, folder="one")
        assert fetched.report["commit"] == second and len(second) == 64 and fetched.names == ["a"]
    assert "no branch and no tag" in fault(place.url(), "f" * 40, place.server.authority)[1]


def test_a_name_of_a_branch_and_a_tag_is_ambiguous(place: Place) -> None:
    repository = place.repository()
    first = repository.commit({"a": b"1"}, ref="refs/heads/v2")
    repository.set("refs/tags/v2", first)
    message = fault(place.url(), "v2", place.server.authority)[1]
    assert "ambiguous" in message and "refs/heads/v2" in message and "refs/tags/v2" in message
    assert run(place.url(), "refs/tags/v2", place.server.authority).report["reference"] == "refs/tags/v2"


def test_a_part_of_an_id_is_told_from_an_unknown_name(simple: Place) -> None:
    commit = run(simple.url(), authority=simple.server.authority).report["commit"]
    assert "write the whole id" in fault(simple.url(), commit[:12], simple.server.authority)[1]
    assert "neither a branch nor a tag nothing;" in fault(simple.url(), "nothing", simple.server.authority)[1]
    # A name that only begins like one is none.
    assert "neither a branch nor a tag mai;" in fault(simple.url(), "mai", simple.server.authority)[1]


def test_a_branch_may_look_like_a_part_of_an_id(place: Place) -> None:
    place.repository().commit({"a": b"1"}, ref="refs/heads/deadbeef")
    assert run(place.url(), "deadbeef", place.server.authority).report["reference"] == "refs/heads/deadbeef"


@pytest.mark.parametrize("how", ["", "old"])
def test_an_empty_repository_has_no_head(place: Place, how: str) -> None:
    place.repository()
    assert "as if it were empty" in fault(place.url(how=how), "HEAD", place.server.authority)[1]


def test_without_the_authority_no_certificate_is_trusted(simple: Place) -> None:
    code, message = fault(simple.url())
    assert code == "fetch-failed" and "certificate of localhost" in message and "not trusted" in message
    assert simple.server.requests == []


def test_a_certificate_for_another_name_is_not_trusted(simple: Place) -> None:
    url = simple.url().replace("localhost", "127.0.0.1")
    assert "not trusted" in fault(url, authority=simple.server.authority)[1]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("401", "wants credentials (status 401)"),
        ("403", "wants credentials (status 403)"),
        ("404", "there is no repository at"),
        ("500", "answers with status 500"),
        ("html", "not as a git repository"),
        ("packed", "compresses its answers"),
        ("away", "redirects to https://elsewhere.example/"),
        ("logged", "redirects to https://elsewhere.example/"),
        ("port", "redirects to https://localhost:1/"),
        ("clear", "redirects to http://localhost/"),
        ("odd", "redirects to //[x/"),
        ("round", "redirects without end"),
        ("credential", "/login, which is no repository"),
    ],
)
def test_what_a_host_answers_instead_of_a_repository(simple: Place, how: str, words: str) -> None:
    code, message = fault(simple.url(how=how), authority=simple.server.authority)
    assert code == "fetch-failed" and words in message and "; " in message and "hidden" not in message
    if how in ("away", "logged", "port", "clear", "odd"):
        assert "only the host of the URL may be asked" in message
    if how in ("401", "403", "404"):
        assert "secret with user:password" in message


def test_a_repository_that_is_not_there(place: Place) -> None:
    assert "there is no repository at" in fault(place.url("absent.git"), authority=place.server.authority)[1]


def test_a_redirect_on_the_same_host_is_followed(simple: Place) -> None:
    assert run(simple.url(how="here"), authority=simple.server.authority).report["files"] == 4
    # The rest is asked for at the new place.
    assert [line.split("/")[1] for line, _ in simple.server.requests] == ["here", simple.name, simple.name, simple.name]


def test_a_redirect_leads_to_no_repository_that_the_policy_does_not_list(simple: Place) -> None:
    url = simple.url(how="here")
    code, message = fault(url, authority=simple.server.authority, repositories=[url])
    assert code == "fetch-failed" and f"redirects to is at {simple.url()}, which" in message
    assert [line.split("/")[1] for line, _ in simple.server.requests] == ["here"]
    assert run(url, authority=simple.server.authority, repositories=[url, simple.url()]).report["files"] == 4


def test_no_credentials_and_nothing_packed_is_sent(simple: Place) -> None:
    run(simple.url(), authority=simple.server.authority, secret=b"NAME\0user:password")
    for _, headers in simple.server.requests:
        names = {name.lower() for name in headers}
        assert not names & {"authorization", "cookie"} and headers["Accept-Encoding"] == "identity"


def test_the_entry_answers_with_report_and_archive(simple: Place) -> None:
    request = {
        "url": simple.url(),
        "ref": "main",
        "folder": "one",
        "hostKeys": [],
        "submodules": False,
        "history": False,
    }
    request |= {"maximumBytes": 524_288_000, "maximumArchive": 104_857_600, "seconds": 120}
    answer = serve(request, (14, simple.server.authority))
    assert (
        answer.exit_status == 0
        and answer.err == ""
        and answer.fetched == run(simple.url(), authority=simple.server.authority, folder="one")
    )


def test_the_entry_answers_a_fault(simple: Place) -> None:
    answer = serve({"url": simple.url(), "ref": "absent"}, (14, simple.server.authority))
    assert answer.fault[0] == "fetch-failed" and "absent" in answer.fault[1]
    assert (answer.exit_status, answer.body, answer.err) == (0, b"", "")


def test_another_frame_ends_the_sandbox() -> None:
    answer = serve({}, kind=0x05)
    assert answer.status == -1 and answer.exit_status == 70


def test_fetches_of_a_real_history_agree_with_git(place: Place, https: GitServer, tls: Certificate) -> None:
    """Deltas and all: every file as git itself has it."""
    repository = place.repository()
    parent: tuple[str, ...] = ()
    for step in range(12):
        text = b"".join(b"line %d of %d\n" % (line, step * (line % 7 == 0)) for line in range(3000))
        parent = (repository.commit({f"f{step % 3}.py": text, "same.bin": bytes(range(256)) * 100}, *parent),)
    repository.git("repack", "-adfq", "--depth=50", "--window=50")
    for ref in (parent[0], f"{repository.git('rev-parse', 'main~5')}"):
        fetched = run(place.url(), ref, tls.pem, history=True)
        for name in fetched.names:
            assert repository.git("hash-object", "--stdin", given=fetched.read(name)) == repository.git(
                "rev-parse", f"{ref}:{name}"
            )
