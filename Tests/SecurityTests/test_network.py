"""A function reaches nothing: every attempt fails at once. All of it runs only inside Casemate's sandbox."""

from __future__ import annotations

import socket
import urllib.parse
from typing import Any

import pytest
from casemate_fixture import Inside, Server

probe = Inside("network/probe", limits={"timeout": "30s"})

TARGETS = [
    "1.1.1.1:443",
    "8.8.8.8:53",
    "169.254.169.254:80",
    "100.100.100.200:80",
    "192.0.2.1:80",
    "10.0.0.1:22",
    "172.17.0.1:80",
    "192.168.0.1:80",
    "0.0.0.0:80",
    "127.0.0.1:22",
    "2130706433:80",
    "0x7f000001:80",
    "017700000001:80",
    "[::1]:80",
    "[2606:4700:4700::1111]:443",
    "[fd00:ec2::254]:80",
    "[::ffff:169.254.169.254]:80",
    "[fe80::1]:80",
]


@probe
def connects(targets: list[str]) -> dict[str, list[Any]]:
    import socket
    import time

    found = {}
    for target in targets:
        host, _, port = target.rpartition(":")
        host = host.strip("[]")
        begin = time.monotonic()
        try:
            with socket.create_connection((host, int(port)), timeout=5):
                result = "connected"
        except OSError as refused:
            result = f"{type(refused).__name__} {refused.errno}"
        found[target] = [result, time.monotonic() - begin]
    return found


@probe
def resolves(names: list[str]) -> dict[str, list[Any]]:
    import socket
    import time

    found = {}
    for name in names:
        begin = time.monotonic()
        try:
            result = "resolved " + str(socket.getaddrinfo(name, 443)[0][4])
        except OSError as refused:
            result = type(refused).__name__
        found[name] = [result, time.monotonic() - begin]
    return found


@probe
def sends_datagrams(targets: list[str]) -> dict[str, list[Any]]:
    import socket
    import time

    query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x10\x00\x01"
    found = {}
    for target in targets:
        host, _, port = target.rpartition(":")
        family = socket.AF_INET6 if "[" in host else socket.AF_INET
        begin = time.monotonic()
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sender:
                sender.settimeout(0.5)
                sender.sendto(query, (host.strip("[]"), int(port)))
                result = f"answered {len(sender.recv(512))}"
        except OSError as refused:
            result = f"{type(refused).__name__} {refused.errno}"
        found[target] = [result, time.monotonic() - begin]
    return found


@probe
def connects_to_abstract(names: list[str]) -> dict[str, str]:
    import socket

    found = {}
    for name in names:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            try:
                client.connect(("\0" + name[1:]) if name.startswith("@") else name)
                found[name] = "connected"
            except OSError as refused:
                found[name] = str(refused.errno)
    return found


@pytest.mark.case("N1", "N2")
@pytest.mark.guarantee("COG-24", "KYM-10")
def test_N1_no_address_can_be_reached_and_every_attempt_fails_within_a_second(server: Server) -> None:
    for target, (result, seconds) in connects(server, targets=TARGETS).items():
        assert result != "connected", target
        assert seconds < 1, f"{target}: {result} after {seconds:.1f} s"


@pytest.mark.case("N1")
def test_N1_no_name_is_resolved_and_no_datagram_is_answered(server: Server) -> None:
    names = ["example.com", "metadata.google.internal", "a.b.c.example.org", "_dns.example.com"]
    for name, (result, seconds) in resolves(server, names=names).items():
        assert not str(result).startswith("resolved"), f"{name}: {result}"
        assert seconds < 1, f"{name}: {seconds:.1f} s"
    targets = [
        "1.1.1.1:53",
        "8.8.8.8:53",
        "127.0.0.1:53",
        "255.255.255.255:53",
        "224.0.0.251:5353",
        "[2001:4860:4860::8888]:53",
    ]
    for target, (result, seconds) in sends_datagrams(server, targets=targets).items():
        assert not str(result).startswith("answered"), f"{target}: {result}"
        assert seconds < 1, f"{target}: {seconds:.1f} s"


@pytest.mark.case("N2")
@pytest.mark.guarantee("KYM-10")
def test_N2_the_host_s_loopback_listeners_and_the_server_itself_cannot_be_reached(server: Server) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
    ):
        ports = [
            listener.getsockname()[1],
            urllib.parse.urlsplit(server.api_url).port,
            urllib.parse.urlsplit(server.gateway_url).port,
        ]
        targets = [f"127.0.0.1:{port}" for port in ports] + [
            f"0.0.0.0:{ports[0]}",
            f"[::1]:{six.getsockname()[1]}",
            f"localhost:{ports[0]}",
        ]
        for target, (result, seconds) in connects(server, targets=targets).items():
            assert result != "connected", target
            assert seconds < 1


@pytest.mark.case("X5")
def test_X5_unix_sockets_of_the_host_cannot_be_reached(server: Server) -> None:
    name = "casemate-test-abstract"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind("\0" + name)
        listener.listen()
        instance = next(iter(server.instances))
        names = [
            "@" + name,
            f"/run/casemate/{instance}/warden.sock",
            "/run/dbus/system_bus_socket",
            "/var/run/docker.sock",
        ]
        assert "connected" not in connects_to_abstract(server, names=names).values()
