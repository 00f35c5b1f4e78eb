"""Secrets that are put in on the way: the function has a placeholder, one host gets the value, and nobody else ever does."""

from __future__ import annotations

import json
import secrets as randomness
from typing import Any

import pytest
from casemate_fixture import Server, handler, wait_until
from egress_probe import assert_told, refused, was_refused
from inject_hosts import (  # noqa: F401  fixtures are taken by their names
    around,
    bytewise,
    doubtful,
    head,
    hosts,
    in_parts,
    path,
    walled_server,
)
from inject_probe import (
    AGAIN,
    API,
    API_BOUND,
    CLOSED_HOST,
    GIVEN,
    KEY,
    MARK,
    MIRROR,
    MIRROR_KEY,
    MIRRORED,
    NEAR,
    ONE,
    OTHER,
    OTHER_ADDRESS,
    PLACEHOLDER,
    PROBES,
    PUBLIC,
    RAW,
    VALUES,
    VARIABLES,
    InjectProbe,
    answers,
    assert_untold,
    believing,
    get,
    heads,
    named,
    neighbour,
    probe,
    request,
    some,
    stranger,
    unveil,
    veiled,
)
from network_world import CLOSED, ECHO, HTTP, HTTPS, World


@pytest.mark.guarantee("COG-16")
@PROBES
def test_the_function_has_a_placeholder_and_its_host_gets_the_value(
    walled: Server, hosts: World, inside: InjectProbe
) -> None:
    held = inside.given(walled)
    assert held == {"secrets": {name: f"casemate-placeholder-{name}" for name in inside.values}, "environment": []}
    found = inside.talks(walled, host=API, pieces=[get(API, "/first", f"Authorization: Bearer {PLACEHOLDER}")])
    [told] = answers(unveil(found["received"]))
    assert (told.status, json.loads(told.body)["target"]) == (200, "/first")
    [asked] = heads(hosts, PUBLIC, HTTPS)
    assert named(asked, "authorization") == [b"Bearer " + KEY]
    assert named(asked, "host") == [API.encode()]
    assert [arrival.sni for arrival in hosts.arrivals_at(PUBLIC, HTTPS)] == [API]
    hosts.assert_untouched(PUBLIC)


EARLY = handler(f"""
    import os, ssl, urllib.request

    KEY, BUNDLE = os.environ.get("API_KEY"), os.environ.get("SSL_CERT_FILE")
    VARIABLES = {{name: os.environ.get(name) for name in {VARIABLES}}}
    TEXT = open(BUNDLE).read() if BUNDLE else ""
    CONTEXT = ssl.create_default_context()

    def handle(event, context):
        asked = urllib.request.Request("https://{API}/", headers={{"Authorization": "Bearer " + os.environ["API_KEY"]}})
        with urllib.request.urlopen(asked, context=CONTEXT, timeout=8) as answer:
            status = answer.status
        return {{
            "at import": KEY, "now": os.environ["API_KEY"], "variables": VARIABLES, "status": status,
            "same": TEXT == open(BUNDLE).read() and VARIABLES == {{name: os.environ[name] for name in VARIABLES}},
        }}
    """)


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize("isolate", ["instance", "call"])
def test_the_environment_has_placeholder_and_authorities_before_the_module_is_loaded(
    walled: Server, hosts: World, isolate: str
) -> None:
    name = f"early-{isolate}"
    walled.namespace("inject")
    walled.secret(f"inject/{name}", "API_KEY", VALUES["API_KEY"])
    walled.deploy("inject", name, EARLY, {"egress": [f"{API}:443"], "secrets": [API_BOUND], "isolate": isolate})
    for count in (1, 2):
        answer = walled.call(f"inject/{name}")
        assert answer.status == 200, answer.text
        found = answer.json()
        assert (found["now"], found["status"], found["same"]) == (PLACEHOLDER, 200, True), found
        # Secrets come to an isolated call alone, and so may what stands for them.
        assert found["at import"] == PLACEHOLDER or isolate == "call", found
        [bundle] = set(found["variables"].values())
        assert bundle.startswith("/tmp/")
        assert [named(asked, "authorization") for asked in heads(hosts, PUBLIC)] == [[b"Bearer " + KEY]] * count


def test_a_function_without_such_a_secret_has_no_bundle_and_an_ordinary_one_besides_keeps_its_value(
    walled: Server, hosts: World
) -> None:
    source = handler(f"""
        import os
        def handle(secrets):
            return [sorted(secrets.items()), [name for name in {VARIABLES} if name in os.environ]]
        """)
    ordinary = "an-ordinary-value-" + randomness.token_hex(8)
    walled.namespace("inject")
    for name, wanted in {"ordinary": ["PLAIN"], "both": ["PLAIN", API_BOUND]}.items():
        walled.secret(f"inject/{name}", "PLAIN", ordinary)
        walled.secret(f"inject/{name}", "API_KEY", VALUES["API_KEY"])
        walled.deploy("inject", name, source, {"secrets": wanted, "egress": [f"{API}:443"]})
    # The server marks the ordinary value in the answer, and so shows that it was there.
    assert walled.call("inject/ordinary").json() == [[["PLAIN", "[secret:PLAIN]"]], []]
    assert walled.call("inject/both").json() == [[["API_KEY", PLACEHOLDER], ["PLAIN", "[secret:PLAIN]"]], VARIABLES]


SENT = {
    "nothing": [],
    "the placeholder": [f"Authorization: Bearer {PLACEHOLDER}", "X-Second: casemate-placeholder-SECOND"],
    "something of its own": ["Authorization: Basic eDp5", "x-second: mine"],
    "several in any case": ["AUTHORIZATION: a", "authorization: b", "aUtHoRiZaTiOn: c", "X-SECOND: d", "x-Second: e"],
    "empty ones": ["Authorization:", "X-Second:  "],
    "a long one": ["Authorization: " + "a" * 8000],
}


@pytest.mark.parametrize("what", SENT)
def test_the_header_has_the_value_alone_whatever_the_function_sent(walled: Server, hosts: World, what: str) -> None:
    found = probe.talks(walled, host=API, pieces=[get(API, "/", *SENT[what])])
    assert answers(unveil(found["received"]))[0].status == 200
    [asked] = heads(hosts, PUBLIC, HTTPS)
    assert named(asked, "authorization") == [b"Bearer " + KEY]
    assert named(asked, "x-second") == [VALUES["SECOND"].encode()]


@pytest.mark.guarantee("COG-16")
def test_a_placeholder_anywhere_else_stays_one(walled: Server, hosts: World) -> None:
    text = "casemate-placeholder-MIRROR_KEY"
    lines = [f"X-Other: {text}", f"Cookie: k={text}", f"X-Authorization: {text}", f"Content-Length: {len(text)}"]
    asked = request(
        f"POST {path('a body')}?k={text} HTTP/1.1", f"Host: {MIRROR}", *lines, "Connection: close", body=text
    )
    found = probe.talks(walled, host=MIRROR, port=MIRRORED, pieces=[asked.hex()])
    assert answers(unveil(found["received"]))[0].body == around(MARK)
    [came] = heads(hosts, PUBLIC, MIRRORED)
    assert came.count(MIRROR_KEY) == 1 and named(came, "authorization") == [b"Bearer " + MIRROR_KEY]
    assert came.count(text.encode()) == 5


def test_no_part_of_an_answer_and_no_packed_one_is_asked_for(walled: Server, hosts: World) -> None:
    lines = [
        "Accept-Encoding: gzip, br",
        "accept-encoding: zstd",
        "Range: bytes=5-",
        "If-Range: x",
        "X-Kept: yes",
        "Accept: text/plain",
    ]
    found = probe.talks(walled, host=API, pieces=[get(API, "/", *lines)])
    assert answers(unveil(found["received"]))[0].status == 200
    [asked] = heads(hosts, PUBLIC, HTTPS)
    assert [named(asked, name) for name in ("accept-encoding", "range", "if-range")] == [[b"identity"], [], []]
    assert (named(asked, "x-kept"), named(asked, "accept")) == ([b"yes"], [b"text/plain"])


@pytest.mark.parametrize("host", [API, f"{API}:443", API.upper()])
def test_the_host_may_be_given_with_its_port_and_in_any_case(walled: Server, hosts: World, host: str) -> None:
    found = probe.talks(walled, host=API, pieces=[get(host)])
    assert answers(unveil(found["received"]))[0].status == 200
    [asked] = heads(hosts, PUBLIC, HTTPS)
    assert named(asked, "authorization") == [b"Bearer " + KEY]


def test_bodies_come_whole_by_length_in_chunks_and_byte_by_byte(walled: Server, hosts: World) -> None:
    text = "the whole body, " * 20
    start = [f"POST {path('a body')} HTTP/1.1", f"Host: {MIRROR}:{MIRRORED}", "Connection: close"]
    by_length = request(*start, f"Content-Length: {len(text)}", body=text)
    chunks = "".join(f"{len(part):x}\r\n{part.decode()}\r\n" for part in in_parts(text.encode(), 33)) + "0\r\n\r\n"
    by_chunks = request(*start, "Transfer-Encoding: chunked", body=chunks)
    for raw in (by_length, by_chunks):
        for pieces in ([raw.hex()], [byte.hex() for byte in bytewise(raw)]):
            found = probe.talks(walled, host=MIRROR, port=MIRRORED, pieces=pieces)
            assert answers(unveil(found["received"]))[0].body == around(MARK), found
    came = heads(hosts, PUBLIC, MIRRORED)
    assert [asked.partition(b"\r\n\r\n")[2] for asked in came] == [text.encode()] * 4
    assert all(named(asked, "authorization") == [b"Bearer " + MIRROR_KEY] for asked in came)


@probe
def waits_to_go_on(host: str, port: int, target: str, body: str) -> dict[str, Any]:
    import socket

    head = f"POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    with socket.create_connection((host, port), 8) as plain:
        with believing("").wrap_socket(plain, server_hostname=host) as stream:
            stream.sendall(head.encode())
            first = b""
            while b"\r\n\r\n" not in first:
                first += stream.recv(4096) or b"\r\n\r\n"
            stream.sendall(body.encode())
            rest = b""
            while part := stream.recv(65536):
                rest += part
    return {"first": veiled(first), "rest": veiled(rest)}


def test_a_client_that_waits_to_be_told_to_go_on_is_told(walled: Server, hosts: World) -> None:
    found = waits_to_go_on(walled, host=MIRROR, port=MIRRORED, target=path("a body"), body="at last")
    first, rest = unveil(found["first"]), unveil(found["rest"])
    assert first.startswith(b"HTTP/1.1 100"), first
    assert answers(rest)[-1].body == around(MARK)
    assert_untold(first + rest, "the answer")
    [came] = heads(hosts, PUBLIC, MIRRORED)
    assert came.endswith(b"\r\n\r\nat last") and named(came, "authorization") == [b"Bearer " + MIRROR_KEY]


@probe
def asks_one_after_the_other(host: str, targets: list[str]) -> dict[str, Any]:
    """All on one connection, by the standard library's client as it is."""
    import http.client
    import json

    connection = http.client.HTTPSConnection(host, timeout=8)
    found, sockets = [], []
    for number, target in enumerate(targets):
        connection.request("POST" if number % 2 else "GET", target, body=b"b" * number)
        sockets.append(connection.sock)
        found.append(json.loads(connection.getresponse().read())["target"])
    return {"found": found, "connections": len(set(sockets))}


def test_requests_one_after_the_other_and_at_once_share_a_connection(walled: Server, hosts: World) -> None:
    targets = [f"/{number}" for number in range(6)]
    assert asks_one_after_the_other(walled, host=API, targets=targets) == {"found": targets, "connections": 1}
    raw = b"".join(request(f"GET {target} HTTP/1.1", f"Host: {API}") for target in targets).hex() + get(API, "/last")
    found = probe.talks(walled, host=API, pieces=[raw])
    told = answers(unveil(found["received"]))
    assert [json.loads(answer.body)["target"] for answer in told] == [*targets, "/last"]
    came = heads(hosts, PUBLIC, HTTPS)
    assert len(came) == 13 and all(named(asked, "authorization") == [b"Bearer " + KEY] for asked in came)


def test_answers_without_a_body_do_not_confuse_those_that_follow(walled: Server, hosts: World) -> None:
    asked = [
        ("HEAD", "a header"),
        ("GET", "no content"),
        ("HEAD", "a body"),
        ("GET", "not modified"),
        ("GET", "a chunk"),
    ]
    raw = b"".join(request(f"{method} {path(way)} HTTP/1.1", f"Host: {MIRROR}") for method, way in asked)
    found = probe.talks(walled, host=MIRROR, port=MIRRORED, pieces=[raw.hex() + get(MIRROR, path("a body"))])
    told = answers(unveil(found["received"]), *(method for method, _ in asked), "GET")
    assert [answer.status for answer in told] == [200, 204, 200, 304, 200, 200]
    assert [answer.named("x-told") for answer in told] == [
        [MARK.decode()],
        [MARK.decode()],
        [],
        [MARK.decode()],
        [],
        [],
    ]
    assert [answer.body for answer in told[-2:]] == [around(MARK)] * 2
    assert_untold(unveil(found["received"]), "an answer")


@probe
def agrees(host: str, newest: str, oldest: str) -> dict[str, Any]:
    import socket
    import ssl

    context = ssl.create_default_context()
    context.minimum_version, context.maximum_version = ssl.TLSVersion[oldest], ssl.TLSVersion[newest]
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection((host, 443), 8) as plain, context.wrap_socket(plain, server_hostname=host) as stream:
        stream.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        first = stream.recv(65536)
        return {"version": stream.version(), "protocol": stream.selected_alpn_protocol(), "first": first[:12].decode()}


def test_a_client_of_either_TLS_that_would_speak_HTTP_2_speaks_HTTP_1(walled: Server, hosts: World) -> None:
    for version, name in (("TLSv1_2", "TLSv1.2"), ("TLSv1_3", "TLSv1.3")):
        found = agrees(walled, host=API, newest=version, oldest=version)
        assert found["protocol"] in ("http/1.1", None), found
        assert (found["version"], found["first"]) == (name, "HTTP/1.1 200"), found


cutting = InjectProbe("inject/cutting", some("API_KEY"), egress=[f"{API}:443"], secrets=[API_BOUND])


@cutting
def trusting() -> Any:
    """In place of the tools' own, which believes in the world's authority alone."""
    import ssl

    return ssl.create_default_context()


@pytest.mark.parametrize("how", [{"segment": 1}, {"record": 5}, {"record": 100, "segment": 7}], ids=str)
def test_a_hello_in_pieces_is_read_as_a_whole(walled: Server, hosts: World, how: dict[str, int]) -> None:
    found = cutting.fetches_in_pieces(walled, host=API, name=API, **how)
    assert found.get("answer", "").startswith("HTTP/1.1 200"), found
    assert [named(asked, "authorization") for asked in heads(hosts, PUBLIC, HTTPS)] == [[b"Bearer " + KEY]]


# ---------------------------------------------------------------- for that host alone


@pytest.mark.guarantee("COG-16")
def test_other_hosts_and_ports_get_what_the_function_sends_and_show_their_own_certificates(
    walled: Server, hosts: World
) -> None:
    line = f"Authorization: Bearer {PLACEHOLDER}"
    for host, port in ((OTHER, HTTPS), (ONE, HTTPS), (API, AGAIN)):
        found = probe.talks(walled, host=host, port=port, pieces=[get(host, "/", line)], trusts="world")
        assert (found.get("issuer"), found.get("names")) == ("Casemate test authority", [host]), found
        [asked] = [asked for asked in heads(hosts) if named(asked, "host") == [host.encode()]]
        assert named(asked, "authorization") == [f"Bearer {PLACEHOLDER}".encode()], asked
        hosts.arrivals.clear()
        # What the environment names does not vouch for them: only the system's authorities could.
        assert "certificate verify failed" in probe.talks(walled, host=host, port=port).get("error", "")
    hosts.arrivals.clear()
    for host in (API, OTHER):
        raw = request("GET /plain HTTP/1.1", f"Host: {host}", line).hex()
        found = probe.exchanges(walled, host=host, port=HTTP, pieces=[raw], finish=True)
        assert found.get("received", "").startswith("HTTP/1.1 200"), found
    assert [named(asked, "authorization") for asked in heads(hosts, port=HTTP)] == [
        [f"Bearer {PLACEHOLDER}".encode()]
    ] * 2
    # What all of it is worth: the host it is for does get it, and the certificate there is not the world's.
    found = probe.talks(walled, host=API, pieces=[get(API, "/", line)])
    assert found["names"] == [API] and found["issuer"] != "Casemate test authority", found
    assert named(heads(hosts, PUBLIC, HTTPS)[-1], "authorization") == [b"Bearer " + KEY]
    hosts.assert_untouched(PUBLIC, OTHER_ADDRESS)


@pytest.mark.guarantee("COG-16")
def test_another_function_that_may_reach_the_host_reaches_it_without_the_value(walled: Server, hosts: World) -> None:
    line = f"Authorization: Bearer {PLACEHOLDER}"
    found = stranger.talks(walled, host=API, pieces=[get(API, "/", line)], trusts="world")
    assert found.get("issuer") == "Casemate test authority", found
    found = neighbour.talks(walled, host=API, pieces=[get(API, "/", line)])
    assert answers(unveil(found["received"]))[0].status == 200
    assert [named(asked, "authorization") for asked in heads(hosts, PUBLIC, HTTPS)] == [
        [f"Bearer {PLACEHOLDER}".encode()],
        [b"Bearer " + neighbour.values["API_KEY"].encode()],
    ]
    assert_untold(b"".join(heads(hosts)), "a request of another function")


@probe
def follows(url: str) -> dict[str, Any]:
    """A client that takes its headers along wherever it is sent."""
    import urllib.request

    asked = urllib.request.Request(url, headers={"Authorization": "Bearer " + GIVEN["MIRROR_KEY"]})
    with urllib.request.urlopen(asked, timeout=8) as answer:
        return {"url": answer.url, "status": answer.status}


@pytest.mark.guarantee("COG-16")
def test_a_host_that_sends_its_clients_elsewhere_sends_no_value_there(walled: Server, hosts: World) -> None:
    found = follows(walled, url=f"https://{MIRROR}:{MIRRORED}{path('a way out')}")
    assert found == {"url": f"http://{OTHER}/away", "status": 200}
    assert named(heads(hosts, PUBLIC, MIRRORED)[0], "authorization") == [b"Bearer " + MIRROR_KEY]
    [asked] = heads(hosts, OTHER_ADDRESS)
    assert named(asked, "authorization") == [b"Bearer casemate-placeholder-MIRROR_KEY"]
    assert_untold(asked, "the other host's request")


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize(("host", "sni"), [(API, OTHER), (API, MIRROR), (API, PUBLIC), (OTHER, API), (ONE, API)])
def test_another_name_in_the_hello_opens_nothing(walled: Server, hosts: World, host: str, sni: str) -> None:
    before = refused(walled, "wrong-name") + refused(walled, "not-tls")
    for trusts in ("", "world"):
        assert was_refused(probe.talks(walled, host=host, sni=sni, pieces=[get(sni)], trusts=trusts))
    assert wait_until(lambda: refused(walled, "wrong-name") + refused(walled, "not-tls") >= before + 2, 3)
    assert hosts.arrivals == []


@pytest.mark.guarantee("COG-16")
def test_without_TLS_nothing_is_put_in(walled: Server, hosts: World) -> None:
    plain = request("GET / HTTP/1.1", f"Host: {API}", f"Authorization: Bearer {PLACEHOLDER}")
    before = refused(walled, "not-tls")
    assert was_refused(probe.exchanges(walled, host=API, port=443, pieces=[plain.hex()]))
    assert wait_until(lambda: refused(walled, "not-tls") > before, 3)
    assert hosts.arrivals == []
    # At a port of no known protocol plain bytes may pass, but as they are.
    found = probe.exchanges(walled, host=RAW, port=ECHO, pieces=[plain.hex()], finish=True)
    assert was_refused(found) or found["received"] == plain.decode() + f"<{len(plain)}>", found
    assert_untold(json.dumps(found).encode(), "what came back")


def test_the_wall_stands_where_a_secret_is_put_in_too(walled: Server, hosts: World) -> None:
    for target, reason in ((f"{NEAR}:443", "private-address"), (f"{CLOSED_HOST}:{CLOSED}", "unreachable")):
        host, _, port = target.partition(":")
        before = refused(walled, reason)
        found = probe.talks(walled, host=host, port=int(port), pieces=[get(host)])
        assert was_refused(found, within=2), found
        assert_told(walled, "inject/probe", target, reason, before)
    hosts.assert_untouched(PUBLIC)
    assert hosts.arrivals == []
