"""A made-up internet for the egress tests: two network namespaces, joined by one cable, with nothing behind them.

In `inner` runs the server under test. In `outside` lies every address there is, so that nothing but the server's own
refusal keeps a function from the private ones. A function's attempts end in here, whatever the server gets wrong.

The host's own network namespace is not touched: the cable is made inside the namespaces, and the services here are
threads of the test process whose sockets were made by a thread that lives in `outside`. A socket stays in the namespace
it was made in. Programs are put in with `nsenter`, as `ip netns exec` would hide the cgroups from the server.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import secrets
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

from casemate_fixture import Server
from world_dns import NameServer
from world_services import (
    Arrival,
    Handler,
    Service,
    discards,
    echoes,
    http,
    https,
    never_reads,
    says_farewell,
    trickles,
)

Socket = socket.socket

SERVER_ADDRESS = "198.18.0.1"
RESOLVER_ADDRESS = "198.18.0.53"
OTHER_RESOLVER_ADDRESS = "198.18.0.54"
RESOLVER = f"{RESOLVER_ADDRESS}:53"
# Public to look at, but addresses of the server's own host.
OWN_ADDRESSES = ("93.184.217.1", "2600:1f18:1::1")
# Packets to these are dropped without a word.
DEAD_ADDRESS = "93.184.218.1"
DEAD_ADDRESS_6 = "2600:1f19::1"

HTTPS, HTTP, ECHO, FAREWELL, TRICKLE, SINK, DRAIN = 443, 80, 5432, 7001, 7002, 7003, 7004
# A port that nothing listens on.
CLOSED = 7999

_CLONE_NEWNET = 0x40000000
_SO_ATTACH_FILTER = 26
_IP_FREEBIND = 15
_IPV6_FREEBIND = 78
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count(1)


class Namespace:
    """A network namespace, and a thread that lives in it and makes its sockets."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = f"/run/netns/{name}"
        self.enter = ["nsenter", f"--net={self.path}"]
        subprocess.run(["ip", "netns", "add", name], check=True, capture_output=True)
        self._maker = ThreadPoolExecutor(1, thread_name_prefix=name, initializer=self._move_in)

    def _move_in(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"setns to {self.name}")
        finally:
            os.close(descriptor)

    def socket(self, family: int, kind: int, protocol: int = 0) -> Socket:
        return self._maker.submit(socket.socket, family, kind, protocol).result()

    def connect(self, host: str, port: int, timeout: float) -> Socket:
        """A connection as from a program in this namespace."""
        made = self.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            made.settimeout(timeout)
            made.connect((host, port))
        except BaseException:
            made.close()
            raise
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def ip(self, *lines: str) -> None:
        """Commands of `ip`, one after the other, inside."""
        done = subprocess.run(
            [*self.enter, "ip", "-batch", "-"], input="\n".join(lines), capture_output=True, text=True
        )
        assert done.returncode == 0, f"ip in {self.name}: {done.stderr}"

    def close(self) -> None:
        self._maker.shutdown(wait=True)
        subprocess.run(["ip", "netns", "delete", self.name], check=True, capture_output=True)


@dataclass(frozen=True)
class Packet:
    """The first packet of a connection, or any packet that is not TCP, that left the server's namespace."""

    protocol: int
    target: str
    port: int


class Watch:
    """Sees what comes over the cable, whether anything answers it or not."""

    # Of IPv4 and of IPv6: TCP with SYN and without ACK, and whatever is not TCP. Offsets are from the IP header.
    _FILTER = (
        (0x30, 0, 0, 0), (0x54, 0, 0, 0xF0), (0x15, 6, 0, 0x60),
        (0x30, 0, 0, 9), (0x15, 0, 9, 6), (0xB1, 0, 0, 0), (0x50, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 5, 6, 2),
        (0x30, 0, 0, 6), (0x15, 0, 3, 6), (0x30, 0, 0, 53), (0x54, 0, 0, 0x12), (0x15, 0, 1, 2),
        (0x06, 0, 0, 128), (0x06, 0, 0, 0),
    )  # fmt: skip

    def __init__(self, tap: socket.socket, device: str) -> None:
        self.packets: list[Packet] = []
        self._tap = tap
        program = b"".join(struct.pack("=HBBI", *line) for line in self._FILTER)
        held = ctypes.create_string_buffer(program, len(program))
        tap.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(self._FILTER), ctypes.addressof(held))
        )
        tap.bind((device, 3))
        tap.settimeout(0.5)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while self._tap.fileno() >= 0:
            try:
                data, (_, _, kind, *_) = self._tap.recvfrom(128)
            except TimeoutError:
                continue
            except OSError:
                return
            packet = self._packet(data) if data and kind != socket.PACKET_OUTGOING else None
            if packet:
                self.packets.append(packet)

    @staticmethod
    def _packet(data: bytes) -> Packet | None:
        if data[0] >> 4 == 4 and len(data) >= 20:
            protocol, start = data[9], (data[0] & 15) * 4
            target = socket.inet_ntop(socket.AF_INET, data[16:20])
        elif data[0] >> 4 == 6 and len(data) >= 40:
            protocol, start = data[6], 40
            target = socket.inet_ntop(socket.AF_INET6, data[24:40])
        else:
            return None
        if protocol == socket.IPPROTO_ICMPV6 or (protocol == 0 and start == 40):
            # Neighbours looking for each other.
            if target.startswith(("ff02::", "fe80:", "fd00:5ca5:")):
                return None
        has_port = protocol in (socket.IPPROTO_TCP, socket.IPPROTO_UDP) and len(data) >= start + 4
        return Packet(protocol, target, struct.unpack_from(">H", data, start + 2)[0] if has_port else 0)

    def close(self) -> None:
        self._tap.close()


class World:
    """The two namespaces, their services, and what came there."""

    def __init__(self) -> None:
        self._open = contextlib.ExitStack()
        self.arrivals: list[Arrival] = []
        self.at_home: list[Arrival] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._build(stack)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    # -- the wiring

    def _build(self, stack: contextlib.ExitStack) -> None:
        own = f"casemate-test-{os.getpid()}-{next(_numbers)}-{secrets.token_hex(2)}"
        self.inner = Namespace(f"{own}-server")
        stack.callback(self.inner.close)
        self.outside = Namespace(f"{own}-outside")
        stack.callback(self.outside.close)
        self.inner.ip(
            "link set lo up",
            f"link add cable type veth peer name cable netns {self.outside.name}",
            f"address add {SERVER_ADDRESS}/24 dev cable",
            "address add fd00:5ca5::1/64 dev cable nodad",
            f"address add {OWN_ADDRESSES[0]}/32 dev lo",
            f"address add {OWN_ADDRESSES[1]}/128 dev lo nodad",
            "link set cable up",
        )
        # A route of type `local` makes every address of the range this namespace's own, without adding each.
        self.outside.ip(
            "link set lo up",
            f"address add {RESOLVER_ADDRESS}/24 dev cable",
            f"address add {OTHER_RESOLVER_ADDRESS}/24 dev cable",
            "address add fd00:5ca5::53/64 dev cable nodad",
            "link set cable up",
            "route add local 0.0.0.0/0 dev lo table main",
            "route add blackhole 93.184.218.0/24",
            "route add local ::/0 dev lo table main",
            "route add blackhole 2600:1f19::/64",
        )
        self.inner.ip(
            f"route add default via {RESOLVER_ADDRESS} src {SERVER_ADDRESS}",
            "route add default via fd00:5ca5::53 src fd00:5ca5::1",
        )
        tap = self.outside.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self.watch = Watch(tap, "cable")
        stack.callback(self.watch.close)
        self.dns = NameServer(self.outside.socket, [RESOLVER_ADDRESS, OTHER_RESOLVER_ADDRESS])
        stack.callback(self.dns.close)
        for port, does in {
            HTTPS: https,
            HTTP: http,
            ECHO: echoes,
            FAREWELL: says_farewell,
            TRICKLE: trickles,
            SINK: never_reads,
            DRAIN: discards,
        }.items():
            self.serve(port, does, stack=stack)
        # Whoever gets to the server's own host is seen, and told nothing.
        for port in (HTTPS, HTTP, ECHO):
            self.serve(port, discards, where=self.inner, into=self.at_home, stack=stack)

    def socket_in(self, namespace: Namespace, family: int, kind: int, protocol: int = 0) -> Socket:
        """A socket of `namespace`, for any thread."""
        return namespace.socket(family, kind, protocol)

    def serve(
        self,
        port: int,
        does: Handler,
        where: Namespace | None = None,
        into: list[Arrival] | None = None,
        stack: contextlib.ExitStack | None = None,
    ) -> Service:
        """Listens on `port` of every address of a namespace; every connection is noted, and given to `does`."""
        listeners = []
        for family, level, option in (
            (socket.AF_INET, socket.IPPROTO_IP, _IP_FREEBIND),
            (socket.AF_INET6, socket.IPPROTO_IPV6, _IPV6_FREEBIND),
        ):
            listener = (where or self.outside).socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(level, option, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))
            listener.listen(1024)
            listeners.append(listener)
        service = Service(port, listeners, does, self.arrivals if into is None else into)
        (stack or self._open).callback(service.close)
        return service

    # -- the server under test

    def server(self, *options: str, resolvers: str = RESOLVER) -> Server:
        """`casemate up` inside; its CLI and the test's own requests to it come from inside as well."""
        settings = ["--resolvers", resolvers, *options] if resolvers else [*options]
        return Server(options=settings, prefix=self.inner.enter, connect=self.inner.connect)

    def start(self, namespace: Namespace, command: Sequence[str], **more: Any) -> subprocess.Popen[bytes]:
        """A program in a namespace; it is ended, by its id, with the world."""
        process: subprocess.Popen[bytes] = subprocess.Popen([*namespace.enter, *command], **more)
        self._open.callback(_end, process)
        return process

    # -- what has happened

    def forget(self) -> None:
        """For the next test: no zones, nothing seen."""
        self.dns.forget()
        self.arrivals.clear()
        self.at_home.clear()
        self.watch.packets.clear()

    def arrivals_at(self, address: str | None = None, port: int | None = None) -> list[Arrival]:
        """The connections that came to the services outside, oldest first."""
        return [
            arrival
            for arrival in list(self.arrivals)
            if address in (None, arrival.address) and port in (None, arrival.port)
        ]

    def strays(self, *expected: str) -> list[Packet]:
        """Packets to anything but the resolvers and the addresses that a test expects."""
        known = {RESOLVER_ADDRESS, OTHER_RESOLVER_ADDRESS, *expected}
        # What was sent a moment ago may still be on its way to the one who notes it.
        time.sleep(0.1)
        return [packet for packet in list(self.watch.packets) if packet.target not in known]

    def assert_untouched(self, *expected: str) -> None:
        """Nothing came to any address but the expected ones, nor to the server's own host."""
        assert self.strays(*expected) == []
        assert self.at_home == []
        assert [arrival for arrival in self.arrivals if arrival.address not in expected] == []


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
