"""What may be asked for, before anything is reached."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fetch_support import Fault

from casemate_fetch.address import Address  # isort: skip
from casemate_fetch.hostkeys import HostKey, algorithms, check
from casemate_fetch.names import checked
from casemate_fetch.refs import Wanted
from casemate_fetch.request import Request

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB5WX4cCOFSzVLH2F6E1vMHlKGhV9ZkmKh0aHG4iQkDO"
HASH = "0123456789abcdef0123456789abcdef01234567"


def parse(**change: Any) -> Request:
    return Request.parse(json.dumps({"url": "https://example.com/a.git", "ref": "main", **change}).encode())


def message(**change: Any) -> str:
    with pytest.raises(Fault) as caught:
        parse(**change)
    assert caught.value.code == "fetch-failed" and "; " in caught.value.message
    return caught.value.message


def test_what_is_left_out_has_a_default() -> None:
    request = parse()
    assert (request.folder, request.host_keys, request.submodules, request.history) == ("", (), False, False)
    assert (request.maximum_bytes, request.maximum_archive, request.seconds) == (524_288_000, 104_857_600, 120)


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"1", b"[" * 100_000])
def test_what_is_no_object_is_a_fault(body: bytes) -> None:
    with pytest.raises(Fault):
        Request.parse(body)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"branch": "main"}, "branch"), ({"url": 1}, "url"), ({"url": None}, "url"), ({"ref": None}, "ref"), ({"ref": "a\0"}, "ref"),
        ({"folder": 1}, "folder"), ({"folder": "\ud800"}, "folder"), ({"submodules": 1}, "submodules"), ({"history": "yes"}, "history"), ({"hostKeys": "x"}, "hostKeys"),
        ({"repositories": "x"}, "repositories"), ({"repositories": [1]}, "repositories"), ({"repositories": []}, "policy"),
        ({"hostKeys": [1]}, "hostKeys"), ({"hostKeys": [ED25519] * 33}, "hostKeys"), ({"maximumBytes": 0}, "maximumBytes"),
        ({"maximumBytes": True}, "maximumBytes"), ({"maximumBytes": 524_288_001}, "maximumBytes"),
        ({"maximumArchive": 104_857_601}, "maximumArchive"), ({"seconds": 601}, "seconds"), ({"seconds": 1.5}, "seconds"),
    ],
)  # fmt: skip
def test_a_field_that_is_unknown_or_of_another_type_is_named(change: dict[str, Any], word: str) -> None:
    assert word in message(**change)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://Example.COM/a/b.git", "https://example.com/a/b.git"),
        ("https://example.com:443/a.git/", "https://example.com/a.git"),
        ("https://example.com:8443/a", "https://example.com:8443/a"),
        ("https://example.com/org/my%20project/_git/repo", "https://example.com/org/my%20project/_git/repo"),
        ("https://[::1]:8443/a.git", "https://[::1]:8443/a.git"),
        ("ssh://git@example.com/a.git", "ssh://git@example.com/a.git"),
        ("ssh://git@example.com:2222/~me/a.git", "ssh://git@example.com:2222/~me/a.git"),
    ],
)
def test_urls_of_repositories(text: str, shown: str) -> None:
    assert str(Address.parse(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "", "http://example.com/a.git", "git://example.com/a.git", "file:///etc", "/srv/a.git", "git@example.com:a.git",
        "ext::sh -c x", "https://example.com", "https://example.com/", "https:///a.git", "https://user@example.com/a.git",
        "https://user:password@example.com/a.git", "ssh://git:password@example.com/a.git", "ssh://example.com/a.git",
        "ssh://-oProxyCommand=x@example.com/a.git", "ssh://git@-x/a.git", "https://example.com:0/a.git",
        "https://example.com:65536/a.git", "https://example.com/a.git?x=1", "https://example.com/a.git#x",
        "https://example.com/a/../b.git", "https://example.com/a/%2e%2e/b.git", "https://example.com/a%2fb.git",
        "https://example.com/a%252fb.git", "https://example.com//a.git", "https://example.com/a%00.git", "https://example.com/a\nb",
        "https://example.com/a%0ab", "https://example.com/a b", "https://example.com/" + "a" * 3000, "ssh://git@example.com/a'b",
    ],
)  # fmt: skip
def test_other_urls_are_refused_and_never_repeated(text: str) -> None:
    found = message(url=text)
    assert "password@" not in found and "user:password@" not in found


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("../b.git", "https://example.com/group/b.git"),
        ("../../other/b.git", "https://example.com/other/b.git"),
        ("./b.git", "https://example.com/group/a.git/b.git"),
        ("https://example.com/b.git", "https://example.com/b.git"),
        ("https://EXAMPLE.com:443/b.git", "https://example.com/b.git"),
    ],
)
def test_urls_of_submodules_begin_at_the_repository(url: str, found: str) -> None:
    assert str(Address.parse("https://example.com/group/a.git").submodule(url, "lib")) == found


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example/b.git", "https://example.com:8443/b.git", "ssh://git@example.com/b.git", "git@example.com:b.git",
        "../../../b.git", "../../b/../c.git", "/srv/b.git", "b.git", "file:///srv/b.git", "https://u:p@example.com/b.git", "-u./b",
        "..", "",
    ],
)  # fmt: skip
def test_urls_of_submodules_stay_at_the_host(url: str) -> None:
    with pytest.raises(Fault):
        Address.parse("https://example.com/group/a.git").submodule(url, "lib")


def test_the_short_form_of_ssh_is_known_for_submodules() -> None:
    address = Address.parse("ssh://git@example.com/group/a.git")
    assert str(address.submodule("git@example.com:group/b.git", "lib")) == "ssh://git@example.com/group/b.git"
    assert str(address.submodule("../b.git", "lib")) == "ssh://git@example.com/group/b.git"


@pytest.mark.parametrize(
    "ref", ["main", "feature/x-1", "v1.0", "refs/heads/main", "refs/tags/v1", "HEAD", "ünï", "deadbeef", HASH]
)
def test_names_that_git_allows(ref: str) -> None:
    assert Wanted.parse(ref).text == ref


@pytest.mark.parametrize(
    "ref",
    [
        "", "-x", "--upload-pack=x", "a/-x", "@", "a..b", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[b", "a\\b", "a.lock", "a.lock/b",
        "/a", "a/", "a//b", ".a", "a/.b", "a.", "a@{1}", "a\nb", "a\x7f", "x" * 600, "refs/pull/1/head", "refs/heads/", "refs/x",
        "refs/heads/-x",
    ],
)  # fmt: skip
def test_names_that_git_does_not_allow(ref: str) -> None:
    assert "write" in message(ref=ref)


def test_an_id_is_whole_or_a_name() -> None:
    assert Wanted.parse(HASH.upper()).commit == HASH.encode()
    assert Wanted.parse(HASH + HASH[:24]).commit is not None
    assert Wanted.parse(HASH[:39]).names == (f"refs/heads/{HASH[:39]}".encode(), f"refs/tags/{HASH[:39]}".encode())


@pytest.mark.parametrize(
    "folder", ["/a", "a/", "a//b", ".", "..", "a/../b", "a\\b", "a\nb", ".git/hooks", "a/.GIT", "a/" * 600 + "a"]
)
def test_a_folder_is_below_the_root(folder: str) -> None:
    assert "folder" in message(folder=folder)


@pytest.mark.parametrize(
    "key",
    ["", "ssh-ed25519", "example.com " + ED25519, "ssh-dss AAAA", "ssh-ed25519 AAAA", "ssh-ed25519 !!!!", ED25519.replace("ssh-ed25519", "ssh-rsa"),
     "ssh-ed25519 " + "A" * 9000],
)  # fmt: skip
def test_a_host_key_is_type_and_content(key: str) -> None:
    assert "host" in message(hostKeys=[key])


def test_a_host_key_is_compared_by_type_and_content() -> None:
    key = HostKey.parse(ED25519 + " somebody@somewhere")
    assert str(key) == ED25519
    check(HostKey.parse(ED25519), [key], "example.com:22")
    for other in (HostKey(key.kind, key.blob[:-1] + b"x"), HostKey("ssh-rsa", key.blob)):
        with pytest.raises(Fault) as caught:
            check(other, [key], "example.com:22")
        assert other.fingerprint in caught.value.message and str(other) in caught.value.message


def test_the_types_of_known_keys_are_asked_for_first_and_sha1_never() -> None:
    known = HostKey.parse("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ==")
    assert algorithms([known])[:2] == ("rsa-sha2-512", "rsa-sha2-256")
    assert algorithms([])[0] == "ssh-ed25519" and "ssh-rsa" not in algorithms([known])


@pytest.mark.parametrize(
    "name",
    [b"", b".", b"..", b"a/b", b"\xff", b"a\0b", b"a\nb", b"a\x7f", "a\u2028".encode(), b"a\\b", b".GIT", b".git ", b".git.", b"git~1",
     "\u200c.git".encode(), b".Git::$INDEX_ALLOCATION", "e\u0301".encode(), b"x" * 256, b"C:x"],
)  # fmt: skip
def test_names_in_a_tree_that_are_refused(name: bytes) -> None:
    with pytest.raises(Fault) as caught:
        checked(name, "")
    assert caught.value.code == "archive-refused" and "rename it" in caught.value.message


def test_names_in_a_tree() -> None:
    assert checked("ü.py".encode(), "a") == "a/ü.py" and checked(b".gitignore", "") == ".gitignore"
    assert checked(b".env", "a") == "a/.env" and checked(b"git~2", "") == "git~2"
    with pytest.raises(Fault):
        checked(b"a", "x/" * 511 + "xx")
