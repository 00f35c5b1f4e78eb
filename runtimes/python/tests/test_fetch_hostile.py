"""Servers that do not what a server does: each ends in a clear fault, and soon."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator

import pytest
from fetch_support import Certificate, SshServer, fault, pack_of, raw_server, serve

Answer = Callable[[ssl.SSLSocket, bytes], None]

OID = b"1" * 40
CAPABILITIES: tuple[str, list[bytes | None]] = (
    "advertisement",
    [b"version 2\n", b"ls-refs=unborn\n", b"fetch=shallow\n", None],
)
REFS: tuple[str, list[bytes | None]] = ("result", [OID + b" refs/heads/main\n", None])


def packets(lines: list[bytes | None]) -> bytes:
    return b"".join(b"0000" if line is None else b"%04x" % (len(line) + 4) + line for line in lines)


def head(kind: str, length: int | None = None) -> bytes:
    size = "" if length is None else f"Content-Length: {length}\r\n"
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-{kind}\r\n{size}\r\n".encode()


def said(kind: str, lines: list[bytes | None]) -> bytes:
    body = packets(lines)
    return head(kind, len(body)) + body


def talking(
    fetched: bytes | Answer, listed: bytes | Answer | None = None, offered: bytes | Answer | None = None
) -> Answer:
    """Answers in turn, as the request is one for capabilities, refs or a pack."""

    def answer(connection: ssl.SSLSocket, request: bytes) -> None:
        content = request.partition(b"\r\n\r\n")[2]
        while request.startswith(b"POST") and not content.endswith(b"0000"):
            content += connection.recv(65536)
        what = offered or said(*CAPABILITIES)
        if content:
            what = fetched if b"command=fetch" in content else listed or said(*REFS)
        if callable(what):
            what(connection, request)
        else:
            connection.sendall(what)

    return answer


def pack_answer(pack: bytes, *before: bytes | None) -> bytes:
    bands = [b"\x01" + pack[at : at + 60_000] for at in range(0, len(pack), 60_000)]
    return said("result", [*before, b"packfile\n", *bands, None])


def endless(begin: bytes, again: bytes, seconds: float = 0) -> Answer:
    def answer(connection: ssl.SSLSocket, request: bytes) -> None:
        connection.sendall(begin)
        while True:
            connection.sendall(again)
            time.sleep(seconds)

    return answer


def commit_of(tree: bytes) -> bytes:
    return b"tree %s\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\none" % tree


def packed(kind: int, content: bytes, size: int | None = None) -> bytes:
    """An entry of a pack. `size`: what it says of itself."""
    left = len(content) if size is None else size
    first, left = kind << 4 | left & 15, left >> 4
    out = bytearray()
    while left:
        out.append(first | 0x80)
        first, left = left & 0x7F, left >> 7
    return bytes([*out, first]) + zlib.compress(content)


GARBAGE = bytes(range(256)) * 8

CASES: dict[str, tuple[Answer, str]] = {
    "garbage": (talking(b"", offered=head("advertisement") + GARBAGE), "not in git's packets"),
    "nothing": (talking(b"", offered=head("advertisement", 0)), "ends the conversation"),
    "no HTTP": (lambda connection, _: connection.sendall(GARBAGE), "does not answer in HTTP"),
    "closed at once": (lambda connection, _: connection.close(), "does not answer in HTTP"),
    "cut off packet": (talking(b"", offered=head("advertisement") + b"fff0version 2"), "not in git's packets"),
    "negative packet": (talking(b"", offered=head("advertisement") + b"-001x"), "not in git's packets"),
    "shorter than it says": (talking(b"", offered=head("advertisement", 500) + b"000eversion 2\n"), "ends the conversation"),
    "too many capabilities": (
        talking(b"", offered=said("advertisement", [b"version 2\n", *(b"c%d\n" % at for at in range(1500)), None])),
        "too many capabilities",
    ),
    "endless refs": (talking(b"", listed=endless(head("result"), packets([OID + b" refs/heads/other\n"]) * 500)), "more than the"),
    "endless old refs": (
        talking(b"", offered=endless(head("advertisement"), packets([OID + b" refs/heads/other\n"]) * 500)), "more than the",
    ),
    "a ref without an id": (talking(b"", listed=said("result", [b"x refs/heads/main\n", None])), "a ref without an id"),
    "an unknown hash": (
        talking(b"", offered=said("advertisement", [b"version 2\n", b"object-format=md5\n", None])), "a hash that is not known",
    ),
    "an error": (talking(b"", listed=said("result", [b"ERR \x1b[2Jno\nway"])), "says: [2Jno way; check"),
    "an error in the band": (talking(said("result", [b"packfile\n", b"\x03out of order", None])), "says: out of order"),
    "hung up": (talking(head("result", 0)), "ends the conversation"),
    "another section": (talking(said("result", [b"packfile-uris\n", b"0 https://elsewhere.example/a.pack\n", None])), "not asked for"),
    "another band": (talking(said("result", [b"packfile\n", b"\x07abc", None])), "an unknown band"),
    "endless progress": (talking(endless(head("result") + packets([b"packfile\n"]), packets([b"\x02" + b"x" * 1000]) * 50)), "more than"),
    "endless pack": (talking(endless(head("result") + packets([b"packfile\n"]), packets([b"\x01" + b"x" * 1000]) * 50)), "more than"),
    "endless keepalive": (talking(endless(head("result") + packets([b"packfile\n"]), packets([b"\x02"]) * 5000)), "more than the"),
    "no pack": (talking(pack_answer(b"x" * 100)), "no pack"),
    "an empty pack": (talking(pack_answer(b"")), "an empty pack"),
    "another commit": (talking(pack_answer(pack_of(packed(1, commit_of(OID))))), f"{OID.decode()} is missing"),
    "a redirect of the pack": (
        talking(b"HTTP/1.1 307 x\r\nLocation: /b.git/git-upload-pack\r\nContent-Length: 0\r\n\r\n"), "redirects in the middle",
    ),
    "another type": (talking(head("advertisement", 0)), "not as a git repository"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_server_ends_in_a_fault(name: str, tls: Certificate) -> None:
    answer, words = CASES[name]
    with raw_server(tls, answer) as url:
        code, message = fault(url, authority=tls.pem, maximumBytes=1_000_000)
    assert code == ("too-large" if words.startswith("more than") else "fetch-failed")
    assert words in message and "; " in message and message.isprintable()


def test_a_commit_that_was_not_asked_for_is_not_taken(tls: Certificate) -> None:
    pack = pack_of(packed(1, commit_of(OID)))
    with raw_server(tls, talking(pack_answer(pack))) as url:
        message = fault(url, OID.decode(), authority=tls.pem)[1]
    assert "sent something else than the commit 111" in message


def test_a_commit_that_comes_along_and_no_ref_leads_to_is_not_taken(tls: Certificate) -> None:
    tree = hashlib.sha1(b"tree 0\0", usedforsecurity=False).hexdigest().encode()
    contents = [commit_of(tree), commit_of(tree) + b" more"]
    named, other = (
        hashlib.sha1(b"commit %d\0" % len(content) + content, usedforsecurity=False).hexdigest().encode()
        for content in contents
    )
    pack = pack_answer(pack_of(packed(2, b""), *(packed(1, content) for content in contents)))

    def fetched(connection: ssl.SSLSocket, _: bytes) -> None:
        asked.append(len(asked))
        connection.sendall(said("result", [b"ERR not our ref"]) if len(asked) == 1 else pack)

    for wanted, words in ((other, "no branch and no tag"), (named, "holds no files")):
        asked: list[int] = []
        with raw_server(tls, talking(fetched, said("result", [named + b" refs/heads/main\n", None]))) as url:
            assert words in fault(url, wanted.decode(), authority=tls.pem)[1] and len(asked) == 2


@pytest.fixture
def silent() -> Iterator[str]:
    """Accepts a connection and never says a word: no TLS, no ssh."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept = []
        threading.Thread(target=lambda: kept.append(listener.accept()), daemon=True).start()
        yield f"localhost:{listener.getsockname()[1]}"
        for connection, _ in kept:
            connection.close()


@pytest.mark.parametrize("scheme", ["https://", "ssh://git@"])
def test_a_silent_server_ends_at_the_deadline(silent: str, scheme: str, sshd: SshServer) -> None:
    request = {"url": f"{scheme}{silent}/a.git", "ref": "main", "seconds": 1, "hostKeys": [sshd.host_key]}
    started = time.monotonic()
    answer = serve(request, (4, b"K\0" + sshd.keys["ed25519"]))
    assert answer.fault[0] == "fetch-failed" and "took longer than it may" in answer.fault[1]
    assert time.monotonic() - started < 5 and (answer.exit_status, answer.err) == (0, "")


@pytest.mark.parametrize("where", ["head", "pack"])
def test_a_server_that_drips_ends_at_the_deadline(tls: Certificate, where: str) -> None:
    drip = endless(b"HTTP/1.1 200 OK\r\nX: ", b"x", 0.05)
    if where == "pack":
        drip = talking(endless(head("result") + packets([b"packfile\n"]) + b"fff0\x01", b"x", 0.05))
    with raw_server(tls, drip) as url:
        started = time.monotonic()
        answer = serve({"url": url, "ref": "main", "seconds": 1}, (14, tls.pem))
    assert "took longer than it may" in answer.fault[1] and time.monotonic() - started < 5


def test_progress_is_told_twice_a_second_at_most(tls: Certificate) -> None:
    flow = talking(endless(head("result") + packets([b"packfile\n"]), packets([b"\x02" + b"x" * 1000]), 0.002))
    with raw_server(tls, flow) as url:
        answer = serve({"url": url, "ref": "main", "seconds": 1}, (14, tls.pem))
    assert 1 <= len(answer.progress) <= 2 and answer.progress[-1]["received"] > 10_000


def test_a_bomb_stays_within_memory(tls: Certificate) -> None:
    """Objects as large as one may be, and deltas that copy them whole: 300 MiB out of some 300 KB."""
    size = 100 << 20
    base = packed(3, bytes(size))
    varint = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14 & 0x7F | 0x80, size >> 21])
    copies = (
        b"".join(bytes([0xF0, 0xFF, 0xFF, 0xFF]) for _ in range(6))
        + b"\xf0"
        + (size - 6 * 0xFFFFFF).to_bytes(3, "little")
    )
    deltas = []
    distance = len(base)
    for _ in range(2):
        raw = packed(6, varint + varint + copies)
        header = 1 if raw[0] < 0x80 else 2
        back = bytes([distance & 0x7F])
        rest = (distance >> 7) - 1
        while rest >= 0:
            back = bytes([rest & 0x7F | 0x80]) + back
            rest = (rest >> 7) - 1
        entry = raw[:header] + back + raw[header:]
        deltas.append(entry)
        distance += len(entry)
    with raw_server(tls, talking(pack_answer(pack_of(base, *deltas)))) as url:
        answer = serve({"url": url, "ref": "main"}, (14, tls.pem))
    assert f"{OID.decode()} is missing" in answer.fault[1] and answer.err == ""
    assert 300 << 20 < answer.memory < 600 << 20
