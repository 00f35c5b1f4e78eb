"""Addresses on a function's list: they open themselves at one port, and nothing beside them. Everybody who reads the list is warned."""

from __future__ import annotations

import urllib.parse
from typing import Any

import pytest
from casemate_fixture import Outcome, Server, handler
from egress_probe import EgressProbe, assert_told, evidence, refused, set_policy, timed, was_refused
from network_world import ECHO, HTTP, HTTPS, OWN_ADDRESSES, World
from world_dns import A

ONE, NEIGHBOUR = "93.184.216.40", "93.184.216.41"
RANGE, FIRST, LAST, BEYOND = "93.184.220.0/24", "93.184.220.1", "93.184.220.255", "93.184.221.0"
PRIVATE = "10.50.0.9"
NAMED = "93.184.216.34"
HELLO = b"hello".hex()

probe = EgressProbe(
    "addresses/probe",
    egress=[
        f"{ONE}:{ECHO}", f"{ONE}:443", f"{ONE}:80", f"{RANGE}:{ECHO}", f"{RANGE}:443", f"{PRIVATE}:{ECHO}",
        f"{OWN_ADDRESSES[0]}:{ECHO}", "169.254.169.254:80", "api.example.com:443", f"db.example.com:{ECHO}",
    ],
)  # fmt: skip


def echo(server: Server, host: str, port: int = ECHO) -> dict[str, Any]:
    found: dict[str, Any] = probe.exchanges(server, host=host, port=port, pieces=[HELLO], finish=True)
    return found


@probe
def asks_without_a_name(host: str) -> dict[str, Any]:
    """TLS to an address, which has no server name (RFC 6066 §3)."""
    import socket
    import ssl

    def ask() -> dict[str, Any]:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection((host, 443), 5) as plain, context.wrap_socket(plain) as stream:
            stream.sendall(f"GET /bytes/7 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            data = b""
            while part := stream.recv(65536):
                data += part
            return {"body": data.partition(b"\r\n\r\n")[2].decode()}

    return timed(ask)


@pytest.mark.guarantee("COG-24")
def test_an_address_is_reached_at_its_port_alone(walled: Server, world: World) -> None:
    assert echo(walled, ONE)["received"] == "hello<5>"
    assert [arrival.address for arrival in world.arrivals_at(port=ECHO)] == [ONE]
    assert asks_without_a_name(walled, host=ONE)["body"] == "x" * 7
    for host, port in (
        (ONE, 22),
        (ONE, 5433),
        (NEIGHBOUR, ECHO),
        (NEIGHBOUR, HTTPS),
        (PRIVATE, HTTPS),
        ("127.0.0.1", ECHO),
    ):
        assert was_refused(echo(walled, host, port)), f"{host}:{port}"
    world.assert_untouched(ONE)


@pytest.mark.guarantee("COG-24")
def test_a_range_is_reached_from_its_first_to_its_last(walled: Server, world: World) -> None:
    for host in (FIRST, LAST):
        assert echo(walled, host)["received"] == "hello<5>"
        assert asks_without_a_name(walled, host=host)["body"] == "x" * 7
    assert {arrival.address for arrival in world.arrivals_at(port=ECHO)} == {FIRST, LAST}
    for host, port in ((BEYOND, ECHO), (BEYOND, HTTPS), (FIRST, HTTP), (FIRST, 22)):
        assert was_refused(echo(walled, host, port)), f"{host}:{port}"
    world.assert_untouched(FIRST, LAST)


def test_a_listener_for_a_range_answers_for_nothing_else(walled: Server, world: World) -> None:
    for host in ("127.0.0.1", "127.66.200.200", "127.1.2.3", ONE[:-2] + "99"):
        for port in (ECHO, HTTPS):
            assert was_refused(echo(walled, host, port)), f"{host}:{port}"
    world.assert_untouched()


def test_names_stay_held_to_their_rules_beside_addresses(walled: Server, world: World) -> None:
    world.dns["api.example.com"] = world.dns["db.example.com"] = [A(NAMED)]
    assert probe.fetches(walled, host="api.example.com")["saw"]["sni"] == "api.example.com"
    assert echo(walled, "db.example.com")["received"] == "hello<5>"
    assert was_refused(probe.fetches(walled, host="api.example.com", sni="other.example.com"))


def test_at_port_80_the_host_is_the_address(walled: Server, world: World) -> None:
    request = "GET /bytes/3 HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n"
    right = probe.exchanges(walled, host=ONE, port=80, pieces=[request.format(ONE).encode().hex()])
    assert right["received"].endswith("xxx"), right
    wrong = probe.exchanges(walled, host=ONE, port=80, pieces=[request.format("evil.example.org").encode().hex()])
    assert was_refused(wrong), wrong


@pytest.mark.case("N2")
@pytest.mark.guarantee("COG-24")
def test_an_entry_opens_no_private_address_by_itself(walled: Server, world: World) -> None:
    before = refused(walled, "private-address")
    assert was_refused(echo(walled, PRIVATE))
    assert_told(walled, "addresses/probe", f"{PRIVATE}:{ECHO}", "private-address", before)
    assert was_refused(echo(walled, OWN_ADDRESSES[0])) and was_refused(echo(walled, "169.254.169.254", 80))
    world.assert_untouched()
    try:
        set_policy(walled, "addresses", "10.50.0.0/16", "169.254.0.0/16", "93.184.217.0/24")
        assert echo(walled, PRIVATE)["received"] == "hello<5>"
        assert was_refused(echo(walled, OWN_ADDRESSES[0])), "no range opens the server's own"
        assert was_refused(echo(walled, "169.254.169.254", 80)), "nor a metadata service"
    finally:
        set_policy(walled, "addresses")
    assert was_refused(echo(walled, PRIVATE))


SOURCE = handler("def handle(data):\n    return 1\n")


def test_whoever_reads_the_list_is_warned(server: Server) -> None:
    outcome = server.try_deploy("addresses", "warned", SOURCE, {"egress": ["192.0.2.7:443", "api.example.com:443"]})
    assert outcome.code == 0 and "192.0.2.7:443 is an address" in outcome.said, outcome.said
    entries = evidence(server, "addresses/warned")["allowed"]
    assert [("warning" in entry and entry["warning"] is not None) for entry in entries] == [True, False], entries
    shown = Outcome(*server.cli("egress", "addresses/warned"))
    assert "warning: 192.0.2.7:443 is an address" in shown.said, shown.said


def test_a_range_is_granted_and_taken_back(server: Server) -> None:
    server.deploy("addresses", "granted", SOURCE)
    allowed = Outcome(*server.cli("egress", "allow", "addresses/granted", "192.0.2.0/24:5432"))
    assert allowed.code == 0 and "192.0.2.0/24:5432 is an address" in allowed.said, allowed.said
    assert [entry["target"] for entry in evidence(server, "addresses/granted")["allowed"]] == ["192.0.2.0/24:5432"]
    assert Outcome(*server.cli("egress", "revoke", "addresses/granted", "192.0.2.0/24:5432")).code == 0
    assert evidence(server, "addresses/granted")["allowed"] == []


WRONG = [
    "127.0.0.1:80", "127.0.0.0/8:80", "0.0.0.0:80", "0.0.0.0/0:443", "224.0.0.1:80", "255.255.255.255:80", "10.0.0.0/7:443",
    "10.0.0.1/8:443", "10.0.0.0/33:443", "10.0.0.0/-1:443", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1", "[2600:1f18::34]:443",
    "2600:1f18::34:443", "0x0a000001:443", "167772161:443", "010.0.0.1:443", "10.1:443", "10.0.0.0/8/8:443", "10.0.0.1%lo:443",
]  # fmt: skip


@pytest.mark.parametrize("entry", WRONG)
def test_what_is_no_address_to_list_is_refused(server: Server, entry: str) -> None:
    outcome = server.try_deploy("addresses", "wrong", SOURCE, {"egress": [entry]})
    assert outcome.code == 2 and "egress" in outcome.said, outcome.said
    server.namespace("addresses")
    path = f"/v1/namespaces/addresses/functions/wrong/egress/{urllib.parse.quote(entry, safe='')}"
    assert server.api("PUT", path).status in (400, 404)
    assert server.api("PUT", "/v1/namespaces/addresses/policy", {"egress": {"allow": [entry]}}).status == 400
