"""What a request to a host that gets a secret put in may not be."""

from __future__ import annotations

import pytest
from casemate_fixture import Server, wait_until
from egress_probe import assert_told, evidence, refused, was_refused
from inject_hosts import (  # noqa: F401  fixtures are taken by their names
    doubtful,
    hosts,
    walled_server,
)
from inject_probe import AGAIN, API, KEY, MIRROR, OTHER, PUBLIC, get, heads, named, probe, request, unveil
from network_world import World

HOST = f"Host: {API}"
GOOD = request("GET /first HTTP/1.1", HOST)
# With the reason; none where either will do.
WRONG: dict[str, tuple[bytes, str]] = {
    "another host": (request("GET / HTTP/1.1", f"Host: {OTHER}"), "wrong-name"),
    "another host with a secret": (request("GET / HTTP/1.1", f"Host: {MIRROR}"), "wrong-name"),
    "another port": (request("GET / HTTP/1.1", f"Host: {API}:{AGAIN}"), "wrong-name"),
    "a longer one": (request("GET / HTTP/1.1", f"Host: {API}.evil.com"), "wrong-name"),
    "a shorter one": (request("GET / HTTP/1.1", "Host: example.com"), "wrong-name"),
    "an address": (request("GET / HTTP/1.1", f"Host: {PUBLIC}"), "wrong-name"),
    "no host": (request("GET / HTTP/1.1", "Accept: */*"), ""),
    "an empty host": (request("GET / HTTP/1.1", "Host:"), ""),
    "two, the right one first": (request("GET / HTTP/1.1", HOST, f"Host: {OTHER}"), ""),
    "two, the right one last": (request("GET / HTTP/1.1", f"Host: {OTHER}", HOST), ""),
    "two in one": (request("GET / HTTP/1.1", f"Host: {API}, {OTHER}"), ""),
    "a user": (request("GET / HTTP/1.1", f"Host: {API}@{OTHER}"), ""),
    "a folded one": (request("GET / HTTP/1.1", HOST, f" {OTHER}"), ""),
    "an absolute URI of another": (request(f"GET https://{OTHER}/ HTTP/1.1", HOST), ""),
    "an absolute URI with a user": (request(f"GET https://{API}@{OTHER}/ HTTP/1.1", HOST), ""),
    "CONNECT": (request(f"CONNECT {OTHER}:443 HTTP/1.1", HOST), "bad-request"),
    "CONNECT to itself": (request(f"CONNECT {API}:443 HTTP/1.1", HOST), "bad-request"),
    "TRACE": (request("TRACE / HTTP/1.1", HOST), "bad-request"),
    "a WebSocket": (request("GET / HTTP/1.1", HOST, "Connection: Upgrade", "Upgrade: websocket"), "bad-request"),
    "HTTP/2 by an upgrade": (
        request(
            "GET / HTTP/1.1", HOST, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"
        ),
        "bad-request",
    ),
    "HTTP/2 from the start": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), ""),
    "HTTP/1.0": (request("GET / HTTP/1.0", HOST), "bad-request"),
    "length and chunks": (
        request("POST / HTTP/1.1", HOST, "Content-Length: 5", "Transfer-Encoding: chunked", body="0\r\n\r\n"),
        "bad-request",
    ),
    "two lengths": (
        request("POST / HTTP/1.1", HOST, "Content-Length: 0", "Content-Length: 4", body="body"),
        "bad-request",
    ),
    "a length with a sign": (request("POST / HTTP/1.1", HOST, "Content-Length: +0"), "bad-request"),
    "a strange coding": (
        request("POST / HTTP/1.1", HOST, "Transfer-Encoding: xchunked", body="0\r\n\r\n"),
        "bad-request",
    ),
    "chunks named twice": (
        request("POST / HTTP/1.1", HOST, "Transfer-Encoding: chunked, chunked", body="0\r\n\r\n"),
        "bad-request",
    ),
    "a packed body": (
        request("POST / HTTP/1.1", HOST, "Transfer-Encoding: gzip, chunked", body="0\r\n\r\n"),
        "bad-request",
    ),
    "a space before the colon": (request("GET / HTTP/1.1", HOST, "Authorization : mine"), "bad-request"),
    "a NUL": (request("GET / HTTP/1.1", HOST, "X-A: a\0b"), "bad-request"),
    "a bare CR": (request("GET / HTTP/1.1", HOST, "X-A: a\rAuthorization: mine"), "bad-request"),
    "no HTTP": (b"\xff" * 300, "bad-request"),
    "a head without end": (request("GET / HTTP/1.1", HOST, "X-A: " + "a" * (1 << 20)), ""),
}


def all_refused(server: Server) -> float:
    return refused(server, "wrong-name") + refused(server, "bad-request")


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize("what", WRONG)
def test_a_request_that_is_not_for_the_host_is_reset_and_never_sent(walled: Server, hosts: World, what: str) -> None:
    raw, reason = WRONG[what]
    before, either = refused(walled, reason) if reason else 0, all_refused(walled)
    found = probe.talks(walled, host=API, pieces=[raw.hex()])
    # The handshake was fine: it is the request that was refused.
    assert "received" in found and was_refused(found, within=2), f"{what}: {found}"
    assert heads(hosts) == [] and all(arrival.received == 0 for arrival in hosts.arrivals)
    assert wait_until(lambda: refused(walled, reason) > before if reason else all_refused(walled) > either, 3), what


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize("what", WRONG)
def test_a_later_request_of_a_connection_is_looked_at_as_the_first_is(walled: Server, hosts: World, what: str) -> None:
    before = all_refused(walled)
    found = probe.talks(walled, host=API, pieces=[GOOD.hex(), WRONG[what][0].hex()], pause=0.3)
    assert unveil(found["received"]).count(b"HTTP/1.1 200") == 1 and found["ended"] != "timeout", found
    [asked] = heads(hosts)
    assert asked.startswith(b"GET /first ") and named(asked, "authorization") == [b"Bearer " + KEY]
    assert wait_until(lambda: all_refused(walled) > before, 3), what


@pytest.mark.guarantee("COG-16")
def test_a_request_in_another_s_body_is_sent_as_a_body(walled: Server, hosts: World) -> None:
    hidden = request("GET /hidden HTTP/1.1", HOST).decode()
    for lines, body in (
        ([f"Content-Length: {len(hidden)}"], hidden),
        (["Transfer-Encoding: Chunked"], f"{len(hidden):x}\r\n{hidden}\r\n0\r\n\r\n"),
    ):
        raw = request("POST /outer HTTP/1.1", HOST, *lines, body=body).hex() + get(API, "/last")
        found = probe.talks(walled, host=API, pieces=[raw])
        assert unveil(found["received"]).count(b"HTTP/1.1 200") == 2, found
    assert [asked.split(b" ")[1] for asked in heads(hosts)] == [b"/outer", b"/last"] * 2
    # A body whose end can't be told is not followed by another request.
    unclear = request("POST /outer HTTP/1.1", HOST, "Transfer-Encoding: chunked", body="zz\r\n" + hidden)
    found = probe.talks(walled, host=API, pieces=[unclear.hex() + get(API, "/last")])
    assert found["ended"] != "timeout" and b"200" not in unveil(found["received"])[:20], found
    assert not any(b"/hidden" in asked.partition(b"\r\n")[0] for asked in heads(hosts))


def test_a_refused_request_and_a_good_one_are_told(walled: Server, hosts: World) -> None:
    before = refused(walled, "wrong-name")
    probe.talks(walled, host=API, pieces=[WRONG["another host"][0].hex()])
    assert_told(walled, "inject/probe", f"{API}:443", "wrong-name", before)
    before = refused(walled, "bad-request")
    probe.talks(walled, host=API, pieces=[WRONG["TRACE"][0].hex()])
    assert_told(walled, "inject/probe", f"{API}:443", "bad-request", before)
    probe.talks(walled, host=API, pieces=[get(API)])

    def used() -> bool:
        [entry] = [entry for entry in evidence(walled, "inject/probe")["used"] if entry["target"] == f"{API}:443"] or [
            {}
        ]
        return bool(entry.get("connections") and entry["bytesOut"] and entry["bytesIn"])

    assert wait_until(used, 3), evidence(walled, "inject/probe")["used"]
