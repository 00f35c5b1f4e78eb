"""What a client must say before the wall lets it through: the name in a TLS hello on 443, the Host of each request on 80.

What was refused never came to the host outside, and TLS is not looked into beyond the hello.
"""

from __future__ import annotations

import re
import struct
from typing import Any

import pytest
from casemate_fixture import Server, wait_until
from egress_probe import EgressProbe, assert_told, refused, was_refused
from network_world import ECHO, HTTP, World
from world_dns import A

PUBLIC = "93.184.216.34"
OTHER = "93.184.216.35"
SECURE, PLAIN, RAW = "secure.example.com", "plain.example.com", "raw.example.com"

probe = EgressProbe(
    "hello/probe",
    egress=[f"{SECURE}:443", "second.example.com:443", f"{PLAIN}:80", f"{RAW}:5432", "late.example.com:443"],
)


@pytest.fixture
def hosts(walled: Server, world: World) -> World:
    """The world with all allowed names on one address, and another name on another."""
    for name in (SECURE, "second.example.com", PLAIN, RAW, "late.example.com"):
        world.dns[name] = [A(PUBLIC)]
    world.dns["other.example.com"] = [A(OTHER)]
    return world


# ---------------------------------------------------------------- TLS


def extension(kind: int, data: bytes) -> bytes:
    return struct.pack(">HH", kind, len(data)) + data


def server_name(*names: str | bytes, kind: int = 0) -> bytes:
    entries = b""
    for name in names:
        raw = name.encode("latin-1") if isinstance(name, str) else name
        entries += struct.pack(">BH", kind, len(raw)) + raw
    return extension(0, struct.pack(">H", len(entries)) + entries)


def hello(*extensions: bytes, version: int = 0x0303, kind: int = 1) -> bytes:
    """A hand-made client hello, as one record, or as several where it is larger than a record may be."""
    more = extension(0x000A, b"\0\2\0\x17") + extension(0x000D, b"\0\2\4\3") + extension(0x002B, b"\2\3\3")
    listed = b"".join(extensions) + more
    body = struct.pack(">H", version) + bytes(32) + b"\0" + b"\0\2\xc0\x2b" + b"\1\0"
    body += struct.pack(">H", len(listed)) + listed
    message = bytes([kind]) + len(body).to_bytes(3, "big") + body
    parts = [message[place : place + 16384] for place in range(0, len(message), 16384)]
    return b"".join(b"\x16\x03\x01" + struct.pack(">H", len(part)) + part for part in parts)


PADDING = extension(21, bytes(60_000))


def test_a_hand_made_hello_with_the_right_name_comes_through(walled: Server, hosts: World) -> None:
    """What the refusals below are worth: the same hello is let through when its name is right."""
    for raw in (hello(server_name(SECURE)), hello(server_name(SECURE.upper()))):
        found = probe.exchanges(walled, host=SECURE, port=443, pieces=[raw.hex()], limit=1, timeout=3)
        assert found.get("received", "").startswith("\x16"), found

    def names() -> list[str]:
        return [arrival.sni.lower() for arrival in hosts.arrivals_at(PUBLIC, 443) if arrival.sni]

    assert wait_until(lambda: names() == [SECURE, SECURE], 3), names()


WRONG_NAMES = {
    "another": hello(server_name("other.example.com")),
    "another that is allowed": hello(server_name("second.example.com")),
    "a longer one": hello(server_name(SECURE + ".evil.com")),
    "a shorter one": hello(server_name("example.com")),
    "one with more before": hello(server_name("x" + SECURE)),
    "one below": hello(server_name("x." + SECURE)),
    "an address": hello(server_name(PUBLIC)),
    "its address inside": hello(server_name("127.66.0.1")),
    "one with a NUL": hello(server_name(SECURE + "\0.evil.com")),
    "one with a space": hello(server_name(SECURE + " ")),
    "one with a letter like it": hello(server_name("s\u0435cure.example.com".encode())),
    "a star": hello(server_name("*.example.com")),
    "an empty name": hello(server_name("")),
    "an empty list": hello(extension(0, b"\0\0")),
    "an empty extension": hello(extension(0, b"")),
    "no name": hello(),
    "another kind of name": hello(server_name(SECURE, kind=7)),
    "two, the right one first": hello(server_name(SECURE, "other.example.com")),
    "two, the right one last": hello(server_name("other.example.com", SECURE)),
    "two extensions, the right one first": hello(server_name(SECURE) + server_name("other.example.com")),
    "two extensions, the right one last": hello(server_name("other.example.com") + server_name(SECURE)),
    "a list longer than its extension": hello(extension(0, struct.pack(">HBH", 200, 0, len(SECURE)) + SECURE.encode())),
    "a name longer than its list": hello(extension(0, struct.pack(">HBH", 3 + len(SECURE), 0, 999) + SECURE.encode())),
    "another after much else": hello(PADDING, server_name("other.example.com")),
    "none after much else": hello(PADDING),
}

NO_TLS = {
    "an HTTP request": f"GET / HTTP/1.1\r\nHost: {SECURE}\r\n\r\n".encode(),
    "a CONNECT": f"CONNECT {SECURE}:443 HTTP/1.1\r\nHost: {SECURE}\r\n\r\n".encode(),
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a PostgreSQL start": struct.pack(">II", 8, 80877103),
    "the name alone": SECURE.encode() * 4,
    "zeros": bytes(512),
    "an SSL 2 hello": b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10" + bytes(35),
    "an alert": b"\x15\x03\x01\x00\x02\x02\x28",
    "application data": b"\x17\x03\x03\x00\x10" + bytes(16),
    "a server's hello": hello(server_name(SECURE), kind=2),
    "an empty record, then data": b"\x16\x03\x01\x00\x00" + b"\x17\x03\x03\x00\x10" + bytes(16),
    "a record over the limit": b"\x16\x03\x01\xff\xff" + bytes(65535),
    "a hello of 16 MiB": b"\x16\x03\x01\x40\x00\x01\xff\xff\xff"
    + bytes(16380)
    + (b"\x16\x03\x01\x40\x00" + bytes(16384)) * 8,
    "an alert within the hello": b"\x16\x03\x01\x00\x14"
    + hello(server_name(SECURE))[5:25]
    + b"\x15\x03\x01\x00\x02\x02\x28",
}


@pytest.mark.case("N5", "N7")
@pytest.mark.guarantee("COG-24")
@pytest.mark.parametrize("what", WRONG_NAMES)
def test_a_hello_without_just_the_right_name_is_reset(walled: Server, hosts: World, what: str) -> None:
    before = refused(walled, "wrong-name") + refused(walled, "not-tls") + refused(walled, "bad-request")
    found = probe.exchanges(walled, host=SECURE, port=443, pieces=[WRONG_NAMES[what].hex()])
    assert was_refused(found), f"{what}: {found}"
    hosts.assert_untouched()
    after = refused(walled, "wrong-name") + refused(walled, "not-tls") + refused(walled, "bad-request")
    assert after > before, f"{what} is not counted"


@pytest.mark.case("N5")
@pytest.mark.guarantee("COG-24")
@pytest.mark.parametrize("what", NO_TLS)
def test_what_is_no_TLS_is_reset_on_443(walled: Server, hosts: World, what: str) -> None:
    found = probe.exchanges(walled, host=SECURE, port=443, pieces=[NO_TLS[what].hex()])
    assert was_refused(found), f"{what}: {found}"
    hosts.assert_untouched()


def test_an_ordinary_client_with_another_name_is_refused_and_told(walled: Server, hosts: World) -> None:
    before, untold = refused(walled, "wrong-name"), refused(walled, "not-tls")
    assert was_refused(probe.fetches(walled, host=SECURE, sni="other.example.com"))
    assert_told(walled, "hello/probe", f"{SECURE}:443", "wrong-name", before)
    assert was_refused(
        probe.exchanges(walled, host="second.example.com", port=443, pieces=[NO_TLS["an HTTP request"].hex()])
    )
    assert_told(walled, "hello/probe", "second.example.com:443", "not-tls", untold)
    hosts.assert_untouched()


CUTS: list[dict[str, Any]] = [
    {"segment": 1, "pause": 0.0},
    {"segment": 40, "pause": 0.005},
    {"record": 1},
    {"record": 5},
    {"record": 100, "segment": 7},
    {"record": 1, "segment": 1},
]


@pytest.mark.case("N5")
@pytest.mark.parametrize("how", CUTS, ids=str)
def test_a_hello_in_pieces_is_read_as_a_whole(walled: Server, hosts: World, how: dict[str, Any]) -> None:
    found = probe.fetches_in_pieces(walled, host=SECURE, name=SECURE, **how)
    assert found.get("answer", "").startswith("HTTP/1.1 200"), found
    assert [arrival.sni for arrival in hosts.arrivals_at(PUBLIC)] == [SECURE]


@pytest.mark.case("N5")
@pytest.mark.guarantee("COG-24")
@pytest.mark.parametrize("name", ["other.example.com", None])
def test_pieces_do_not_hide_another_name(walled: Server, hosts: World, name: str | None) -> None:
    for how in CUTS:
        found = probe.fetches_in_pieces(walled, host=SECURE, name=name, **how)
        assert was_refused(found, within=2), f"{how}: {found}"
    hosts.assert_untouched()


def test_a_hello_of_64_KiB_is_let_through_or_refused_but_harms_nobody(walled: Server, hosts: World) -> None:
    for raw in (hello(PADDING, server_name(SECURE)), hello(server_name(SECURE), PADDING)):
        found = probe.exchanges(walled, host=SECURE, port=443, pieces=[raw.hex()], limit=1, timeout=2)
        assert found.get("received", "").startswith(("\x16", "\x15")) or was_refused(found), found
    assert probe.fetches(walled, host=SECURE).get("status") == 200


def test_a_hello_that_does_not_end_is_ended(walled: Server, hosts: World) -> None:
    before = refused(walled, "too-slow")
    found = probe.exchanges(
        walled, host="late.example.com", port=443, pieces=[hello(server_name(SECURE))[:30].hex()], timeout=20
    )
    assert was_refused(found, within=15), found
    assert_told(walled, "hello/probe", "late.example.com:443", "too-slow", before)
    hosts.assert_untouched()


@pytest.mark.case("N5")
@pytest.mark.guarantee("COG-24")
def test_TLS_on_a_raw_port_must_say_the_right_name_too(walled: Server, hosts: World) -> None:
    for what in ("another", "no name", "two, the right one first", "one with a NUL"):
        found = probe.exchanges(walled, host=RAW, port=ECHO, pieces=[WRONG_NAMES[what].hex()])
        assert was_refused(found), f"{what}: {found}"
    # One byte, and the rest later, is TLS as well.
    raw = WRONG_NAMES["another"]
    found = probe.exchanges(walled, host=RAW, port=ECHO, pieces=[raw[:1].hex(), raw[1:].hex()], pause=0.2)
    assert was_refused(found, within=2), found
    assert all(arrival.received == 0 for arrival in hosts.arrivals_at(PUBLIC, ECHO))
    good = hello(server_name(RAW))
    found = probe.exchanges(walled, host=RAW, port=ECHO, pieces=[good.hex()], finish=True)
    assert found.get("received") == good.decode("latin-1") + f"<{len(good)}>", found


# ---------------------------------------------------------------- HTTP


def request(*lines: str, body: str = "") -> bytes:
    return "\r\n".join([*lines, "", body]).encode("latin-1")


GOOD = request("GET /first HTTP/1.1", f"Host: {PLAIN}")

RIGHT = {
    "the name": (GOOD, 1),
    "the name with its port": (request("GET / HTTP/1.1", f"Host: {PLAIN}:80"), 1),
    "the name in upper case": (request("GET / HTTP/1.1", f"HOST: {PLAIN.upper()}"), 1),
    "three requests at once": (GOOD * 3, 3),
    "a body, then another": (request("POST / HTTP/1.1", f"Host: {PLAIN}", "Content-Length: 5", body="hello") + GOOD, 2),
    "a body that looks like a request": (request("PUT / HTTP/1.1", f"Host: {PLAIN}", "Content-Length: 38", body="GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 1),
    "an absolute URI of that name": (request(f"GET http://{PLAIN}/x HTTP/1.1", f"Host: {PLAIN}"), 1),
}  # fmt: skip

WRONG = {
    "another host": request("GET / HTTP/1.1", "Host: other.example.com"),
    "another port": request("GET / HTTP/1.1", f"Host: {PLAIN}:8080"),
    "a longer one": request("GET / HTTP/1.1", f"Host: {PLAIN}.evil.com"),
    "an address": request("GET / HTTP/1.1", f"Host: {PUBLIC}"),
    "no host": request("GET / HTTP/1.1", "Accept: */*"),
    "no host in HTTP/1.0": request("GET / HTTP/1.0"),
    "an empty host": request("GET / HTTP/1.1", "Host:"),
    "two, the right one first": request("GET / HTTP/1.1", f"Host: {PLAIN}", "Host: other.example.com"),
    "two, the right one last": request("GET / HTTP/1.1", "Host: other.example.com", f"Host: {PLAIN}"),
    "two in one": request("GET / HTTP/1.1", f"Host: {PLAIN}, other.example.com"),
    "a folded one": request("GET / HTTP/1.1", f"Host: {PLAIN}", " other.example.com"),
    "a space before the colon": request("GET / HTTP/1.1", "Host : other.example.com", f"Host: {PLAIN}"),
    "a user": request("GET / HTTP/1.1", f"Host: {PLAIN}@other.example.com"),
    "an absolute URI of another": request("GET http://other.example.com/ HTTP/1.1", f"Host: {PLAIN}"),
    "an absolute URI with a user": request(f"GET http://{PLAIN}@other.example.com/ HTTP/1.1", f"Host: {PLAIN}"),
    "an absolute URI of another scheme": request("GET ftp://other.example.com/ HTTP/1.1", f"Host: {PLAIN}"),
    "CONNECT": request("CONNECT other.example.com:443 HTTP/1.1", f"Host: {PLAIN}"),
    "CONNECT to itself": request(f"CONNECT {PLAIN}:80 HTTP/1.1", f"Host: {PLAIN}"),
    "a bare CR": b"GET / HTTP/1.1\r\nHost: " + PLAIN.encode() + b"\rHost: other.example.com\r\n\r\n",
    "a NUL": b"GET / HTTP/1.1\r\nHost: " + PLAIN.encode() + b"\0.evil.com\r\n\r\n",
    "HTTP/2 from the start": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "HTTP/0.9": b"GET /\r\n",
    "TLS": hello(server_name(PLAIN)),
    "no HTTP": b"\xff" * 300,
}


def chunk(body: bytes) -> bytes:
    return f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


SMUGGLED = b"0\r\n\r\n" + WRONG["another host"]

AFTER_A_GOOD_ONE = {
    "in the body of a TRACE": request("TRACE / HTTP/1.1", f"Host: {PLAIN}", f"Content-Length: {len(WRONG['another host'])}") + WRONG["another host"],
    "in chunks of another spelling": request("GET / HTTP/1.1", f"Host: {PLAIN}", "Transfer-Encoding: Chunked") + chunk(SMUGGLED),
    "in chunks named twice": request("GET / HTTP/1.1", f"Host: {PLAIN}", "Transfer-Encoding: chunked, chunked") + chunk(SMUGGLED),
    "in chunks of two fields": request(
        "GET / HTTP/1.1", f"Host: {PLAIN}", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"
    ) + chunk(SMUGGLED),
    "in chunks of HTTP/1.0": request("POST / HTTP/1.0", f"Host: {PLAIN}", "Transfer-Encoding: chunked") + chunk(SMUGGLED),
    "another host": GOOD + WRONG["another host"],
    "two hosts": GOOD + WRONG["two, the right one first"],
    "an absolute URI": GOOD + WRONG["an absolute URI of another"],
    "no HTTP": GOOD + b"\0\1\2\3" * 20,
    "length and chunks, the rest by length": request(
        "POST / HTTP/1.1", f"Host: {PLAIN}", "Content-Length: 5", "Transfer-Encoding: chunked", body="0\r\n\r\n"
    ) + WRONG["another host"],
    "two lengths": request("POST / HTTP/1.1", f"Host: {PLAIN}", "Content-Length: 0", "Content-Length: 44") + WRONG["another host"],
    "a strange coding": request("POST / HTTP/1.1", f"Host: {PLAIN}", "Transfer-Encoding: xchunked", body="0\r\n\r\n") + WRONG["another host"],
    "a length with a sign": request("POST / HTTP/1.1", f"Host: {PLAIN}", "Content-Length: +0") + WRONG["another host"],
    "after chunks": request("POST / HTTP/1.1", f"Host: {PLAIN}", "Transfer-Encoding: chunked", body="1\r\nx\r\n0\r\n\r\n") + WRONG["another host"],
}  # fmt: skip


def heads_that_arrived(world: World) -> list[bytes]:
    return [head for arrival in list(world.arrivals) for head in arrival.heads]


def asks_elsewhere(head: bytes) -> bool:
    hosts = re.findall(rb"^host\s*:\s*([^\r\n]*)", head, re.I | re.M)
    return b"other.example.com" in head or len(hosts) != 1 or hosts[0].lower().split(b":")[0] != PLAIN.encode()


@pytest.mark.case("N7")
@pytest.mark.parametrize("what", RIGHT)
def test_requests_to_the_allowed_host_come_through_on_80(walled: Server, hosts: World, what: str) -> None:
    raw, count = RIGHT[what]
    found = probe.exchanges(walled, host=PLAIN, port=HTTP, pieces=[raw.hex()], finish=True, timeout=3)
    assert found.get("received", "").count("HTTP/1.1 200 OK") == count, found
    assert len(heads_that_arrived(hosts)) == count
    assert not any(asks_elsewhere(head) for head in heads_that_arrived(hosts))


@pytest.mark.case("N7")
@pytest.mark.guarantee("COG-24")
@pytest.mark.parametrize("what", WRONG)
def test_a_request_to_another_host_never_comes_to_the_one_outside(walled: Server, hosts: World, what: str) -> None:
    found = probe.exchanges(
        walled, host=PLAIN, port=HTTP, pieces=[WRONG[what].hex()], finish=what == "HTTP/0.9", timeout=3
    )
    answered = found.get("received", "")
    assert not answered or re.match(r"HTTP/1\.1 4\d\d ", answered), f"{what}: {found}"
    assert found["seconds"] < 1, f"{what}: {found}"
    assert heads_that_arrived(hosts) == []
    assert all(arrival.received == 0 for arrival in hosts.arrivals)


@pytest.mark.case("N7")
@pytest.mark.guarantee("COG-24")
@pytest.mark.parametrize("what", AFTER_A_GOOD_ONE)
def test_a_later_request_of_a_connection_is_looked_at_as_the_first_is(walled: Server, hosts: World, what: str) -> None:
    raw = AFTER_A_GOOD_ONE[what]
    for pieces in ([raw.hex()], [raw[place : place + 1].hex() for place in range(len(raw))]):
        found = probe.exchanges(walled, host=PLAIN, port=HTTP, pieces=pieces, timeout=3)
        assert found.get("received", "").count("HTTP/1.1 200 OK") <= 1, found
    assert not any(asks_elsewhere(head) for head in heads_that_arrived(hosts)), heads_that_arrived(hosts)


def test_a_refused_request_is_told(walled: Server, hosts: World) -> None:
    before = refused(walled, "wrong-name")
    probe.exchanges(walled, host=PLAIN, port=HTTP, pieces=[WRONG["another host"].hex()], timeout=3)
    assert_told(walled, "hello/probe", f"{PLAIN}:80", "wrong-name", before)


def test_a_head_without_end_is_bounded_and_ended(walled: Server, hosts: World) -> None:
    large = b"GET / HTTP/1.1\r\nHost: " + PLAIN.encode() + b"\r\n" + b"X-More: " + b"x" * (1 << 20)
    found = probe.exchanges(walled, host=PLAIN, port=HTTP, pieces=[large.hex()], timeout=3)
    assert "200 OK" not in found.get("received", "") and found["seconds"] < 3, found
    slow = probe.exchanges(walled, host=PLAIN, port=HTTP, pieces=[GOOD[:20].hex()], timeout=20)
    assert "200 OK" not in slow.get("received", "") and slow["seconds"] < 15, slow
    assert heads_that_arrived(hosts) == []
    assert wait_until(
        lambda: probe.exchanges(walled, host=PLAIN, port=HTTP, pieces=[GOOD.hex()], finish=True).get("received"), 3
    )
