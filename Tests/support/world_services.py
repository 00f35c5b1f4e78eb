"""What listens in the made-up internet. Each connection is noted as an `Arrival`, whatever becomes of it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO


@dataclass
class Arrival:
    """One connection: where it came to, and what was said on it."""

    address: str
    port: int
    peer: str
    sni: str | None = None
    heads: list[bytes] = field(default_factory=list)
    received: int = 0
    failure: str = ""
    closed: bool = False


Handler = Callable[[socket.socket, Arrival], None]


class Service:
    """Accepts on its listeners until it is closed; a thread serves each connection."""

    def __init__(self, port: int, listeners: Sequence[socket.socket], does: Handler, into: list[Arrival]) -> None:
        self.port = port
        self._listeners = listeners
        self._does = does
        self._into = into
        self._streams: set[socket.socket] = set()
        for listener in listeners:
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                stream, peer = listener.accept()
                arrival = Arrival(stream.getsockname()[0], self.port, peer[0])
            except OSError:
                if listener.fileno() < 0:
                    return
                continue
            self._into.append(arrival)
            self._streams.add(stream)
            threading.Thread(target=self._serve, args=(stream, arrival), daemon=True).start()

    def _serve(self, stream: socket.socket, arrival: Arrival) -> None:
        try:
            stream.settimeout(60)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._does(stream, arrival)
        except (OSError, ValueError, EOFError) as failure:
            arrival.failure = f"{type(failure).__name__}: {failure}"
        finally:
            arrival.closed = True
            self._streams.discard(stream)
            stream.close()

    def close(self) -> None:
        for made in [*self._listeners, *self._streams]:
            with contextlib.suppress(OSError):
                made.shutdown(socket.SHUT_RDWR)
            made.close()


# ---------------------------------------------------------------- TLS


class Authority:
    """A certificate authority of the tests' own, by the `openssl` command; it vouches for any name, on demand."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="casemate-authority-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self._lock = threading.Lock()
        self._contexts: dict[str, ssl.SSLContext] = {}
        for name in ("authority", "leaf"):
            self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
        self._openssl(
            *("req", "-x509", "-new", "-key", "authority.key", "-subj", "/CN=Casemate test authority", "-days", "2"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", "authority.crt"),
        )

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, f"openssl {arguments[0]}: {done.stderr}"

    @property
    def certificate(self) -> str:
        return (self.folder / "authority.crt").read_text()

    def files(self, name: str) -> tuple[Path, Path]:
        """A certificate for `name` and its key."""
        made = self.folder / (re.sub(r"[^a-z0-9.-]", "_", name.lower()) + ".leaf.crt")
        if not made.exists():
            kind = "IP" if ":" in name or re.fullmatch(r"[\d.]+", name) else "DNS"
            self._openssl(
                *("req", "-x509", "-new", "-key", "leaf.key", "-subj", "/CN=leaf", "-days", "2"),
                *("-CA", "authority.crt", "-CAkey", "authority.key", "-addext", f"subjectAltName={kind}:{name}"),
                *("-addext", "basicConstraints=critical,CA:FALSE", "-out", made.name),
            )
        return made, self.folder / "leaf.key"

    def context(self, name: str) -> ssl.SSLContext:
        with self._lock:
            if name not in self._contexts:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*self.files(name))
                context.set_alpn_protocols(["http/1.1"])
                context.sni_callback = self._named
                self._contexts[name] = context
            return self._contexts[name]

    def _named(self, stream: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        if name is not None:
            stream.asked_for = name  # type: ignore[union-attr]
            stream.context = self.context(name)


@functools.cache
def authority() -> Authority:
    return Authority()


# ---------------------------------------------------------------- what the ports do


def http(stream: socket.socket, arrival: Arrival) -> None:
    """Answers each request with what it saw of it. `/bytes/N` gives N bytes, `/slow/N` one byte in each of N tenths."""
    with stream.makefile("rb") as reader:
        while True:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = reader.readline(65536)
                if not line:
                    return
                head += line
            arrival.heads.append(head)
            _take_body(reader, arrival, head)
            _answer(stream, arrival, head)
            if re.search(rb"^connection: *close", head, re.I | re.M):
                return


def _take_body(reader: IO[bytes], arrival: Arrival, head: bytes) -> None:
    if re.search(rb"^transfer-encoding: *chunked\r", head, re.I | re.M):
        while length := int(reader.readline(65536), 16):
            arrival.received += len(reader.read(length))
            reader.readline()
        while reader.readline(65536).strip():
            pass
        return
    found = re.search(rb"^content-length: *(\d+)", head, re.I | re.M)
    left = int(found[1]) if found else 0
    while left > 0:
        part = reader.read(min(left, 1 << 16))
        if not part:
            raise EOFError("the body is not whole")
        left -= len(part)
        arrival.received += len(part)


def _answer(stream: socket.socket, arrival: Arrival, head: bytes) -> None:
    method, target, *_ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ") + [""]
    hosts = [host.strip().decode("latin-1") for host in re.findall(rb"^host:([^\r]*)", head, re.I | re.M)]
    wanted = re.fullmatch(r"/(bytes|slow)/(\d+)", target)
    if wanted:
        count = int(wanted[2])
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % count)
        if wanted[1] == "bytes":
            for place in range(0, count, 1 << 16):
                stream.sendall(b"x" * min(1 << 16, count - place))
        else:
            for _ in range(count):
                time.sleep(0.1)
                stream.sendall(b".")
        return
    saw = {
        "method": method,
        "target": target,
        "hosts": hosts,
        "sni": arrival.sni,
        "address": arrival.address,
        "received": arrival.received,
    }
    body = json.dumps(saw).encode()
    stream.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        + (b"" if method == "HEAD" else body)
    )


def https(stream: socket.socket, arrival: Arrival) -> None:
    context = authority().context("unnamed.invalid")
    with context.wrap_socket(stream, server_side=True, do_handshake_on_connect=False) as secure:
        secure.asked_for = None  # type: ignore[attr-defined]
        try:
            secure.do_handshake()
        finally:
            arrival.sni = secure.asked_for  # type: ignore[attr-defined]
        http(secure, arrival)


def echoes(stream: socket.socket, arrival: Arrival) -> None:
    """Gives back what comes. When the other side has finished, it says how much that was, and finishes too."""
    while data := stream.recv(1 << 16):
        arrival.received += len(data)
        stream.sendall(data)
    stream.sendall(b"<%d>" % arrival.received)
    stream.shutdown(socket.SHUT_WR)


def says_farewell(stream: socket.socket, arrival: Arrival) -> None:
    """Speaks first, finishes its own side, and goes on to listen."""
    stream.sendall(b"farewell")
    stream.shutdown(socket.SHUT_WR)
    discards(stream, arrival)


def discards(stream: socket.socket, arrival: Arrival) -> None:
    while data := stream.recv(1 << 16):
        arrival.received += len(data)


def trickles(stream: socket.socket, arrival: Arrival) -> None:
    """A byte in each tenth of a second, until nobody wants it."""
    while True:
        stream.sendall(b".")
        time.sleep(0.1)


def never_reads(stream: socket.socket, arrival: Arrival) -> None:
    """Holds the connection and takes nothing from it, for a minute or until the service is closed."""
    end = time.monotonic() + 60
    while time.monotonic() < end and stream.fileno() >= 0:
        time.sleep(0.1)
