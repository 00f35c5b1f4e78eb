"""The made-up internet itself: what the egress tests take for granted of it. No function is involved."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
from pathlib import Path

import pytest
from casemate_fixture import Server, handler
from network_world import CLOSED, DEAD_ADDRESS, ECHO, OWN_ADDRESSES, RESOLVER_ADDRESS, Packet, World
from world_dns import AAAA, CNAME, TYPES, A, packed_name, read_query
from world_services import authority

REACHED = [
    "93.184.216.34", "10.50.0.9", "172.17.0.1", "192.168.0.1", "169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.2.1",
    "2600:1f18::34", "fd00:ec2::254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "2001:db8::1",
]  # fmt: skip


@pytest.mark.parametrize("address", REACHED)
def test_nothing_but_the_server_keeps_anyone_from_an_address(world: World, address: str) -> None:
    with world.inner.connect(address, ECHO, 2) as stream, stream.makefile("rb") as reader:
        stream.sendall(b"hi")
        stream.shutdown(socket.SHUT_WR)
        assert reader.read() == b"hi<2>"
    assert [arrival.address for arrival in world.arrivals_at(port=ECHO)] == [address]
    assert world.strays() == [Packet(socket.IPPROTO_TCP, address, ECHO)]


def test_a_dead_address_and_a_closed_port_are_seen_though_nothing_answers(world: World) -> None:
    with pytest.raises(TimeoutError):
        world.inner.connect(DEAD_ADDRESS, 443, 0.5)
    with pytest.raises(ConnectionRefusedError):
        world.inner.connect("93.184.216.34", CLOSED, 1)
    with world.inner.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("8.8.8.8", 53))
    assert [(packet.target, packet.port) for packet in world.strays()] == [
        (DEAD_ADDRESS, 443),
        ("93.184.216.34", CLOSED),
        ("8.8.8.8", 53),
    ]


def test_the_server_s_own_host_is_told_from_the_world(world: World) -> None:
    for address in (*OWN_ADDRESSES, "127.0.0.1"):
        world.inner.connect(address, 443, 1).close()
    assert world.strays() == [] and world.arrivals == []
    with pytest.raises(AssertionError):
        world.assert_untouched()


def test_names_have_the_records_that_a_test_gives_them(world: World) -> None:
    world.dns["alias.example.com"] = [CNAME("api.example.com", ttl=5)]
    world.dns["api.example.com"] = [A("93.184.216.34"), AAAA("2600:1f18::34")]
    world.dns["large.example.com"] = [A(f"93.184.216.{index}") for index in range(1, 200)]

    def ask(name: str, kind: str) -> tuple[int, int, bool]:
        raw = struct.pack(">HHHHHH", 77, 0x0100, 1, 0, 0, 0) + packed_name(name) + struct.pack(">HH", TYPES[kind], 1)
        assert read_query(raw, "udp") is not None
        with world.inner.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(2)
            asker.sendto(raw, (RESOLVER_ADDRESS, 53))
            answer = asker.recv(65535)
        assert answer[:2] == raw[:2] and answer[12 : len(raw)] == raw[12:]
        return answer[3] & 15, struct.unpack_from(">H", answer, 6)[0], bool(answer[2] & 2)

    assert ask("api.example.com", "A") == (0, 1, False)
    assert ask("Alias.example.com", "AAAA") == (0, 2, False)
    assert ask("nowhere.example.com", "A") == (3, 0, False)
    assert ask("large.example.com", "A") == (0, 0, True)
    assert world.dns.asked["alias.example.com"] == 1
    with world.inner.connect(RESOLVER_ADDRESS, 53, 2) as stream:
        raw = (
            struct.pack(">HHHHHH", 77, 0x0100, 1, 0, 0, 0) + packed_name("large.example.com") + struct.pack(">HH", 1, 1)
        )
        stream.sendall(struct.pack(">H", len(raw)) + raw)
        with stream.makefile("rb") as reader:
            answer = reader.read(struct.unpack(">H", reader.read(2))[0])
    assert struct.unpack_from(">H", answer, 6)[0] == 199


def test_any_name_has_a_certificate_of_the_authority(world: World) -> None:
    context = ssl.create_default_context(cadata=authority().certificate)
    for name in ("api.example.com", "API.example.com"):
        with context.wrap_socket(world.inner.connect("93.184.216.34", 443, 5), server_hostname=name) as stream:
            stream.sendall(f"GET /bytes/3 HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            assert b"".join(iter(lambda: stream.recv(4096), b"")).endswith(b"\r\n\r\nxxx")
    assert [arrival.sni for arrival in world.arrivals] == ["api.example.com", "API.example.com"]


def test_a_server_in_the_world_serves_its_own_tests(network: World) -> None:
    with network.server(resolvers="") as server:
        server.deploy("world", "echo", handler("def handle(data):\n    return data\n"))
        assert server.call("world/echo", body={"n": 1}).json() == {"n": 1}
        assert server.cli_json("status")
        own = Path(f"/proc/{server.pid}/ns/net").stat().st_ino
        assert own == Path(network.inner.path).stat().st_ino != Path("/proc/self/ns/net").stat().st_ino
        other: Server = Server()
        with pytest.raises(OSError):
            other.http(server.api_url, "GET", "/readyz", timeout=1)
        other.dispose()


def test_a_world_leaves_nothing_behind_even_after_a_failure() -> None:
    def namespaces() -> set[str]:
        return {path.name for path in Path("/run/netns").iterdir()}

    before = namespaces()
    links = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True).stdout
    with pytest.raises(ZeroDivisionError), World() as world:
        assert namespaces() == before | {world.inner.name, world.outside.name}
        1 / 0  # noqa: B018
    assert namespaces() == before
    assert subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True).stdout == links
