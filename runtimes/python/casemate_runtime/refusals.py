"""Says in a refused connection's error why it was refused, and tells the platform what its resolver can't see.

The sandbox refuses by itself: a name without an address, an address without a route, a port without a listener. Nothing here is needed
for that; without it the error would only say what the system says.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from typing import Any

_RESOLVER = ("127.0.0.53", 53)
_INSIDE = "127.66."
_PORTS = {"http": 80, "https": 443}
_MOST_NAMES = 512


class Explainer:
    """Stands before `socket.getaddrinfo` and `socket.socket.connect`."""

    def __init__(self) -> None:
        self.function = ""
        self._names: dict[str, str] = {}
        self._getaddrinfo = socket.getaddrinfo
        self._connect = socket.socket.connect
        self._connect_ex = socket.socket.connect_ex

    def install(self) -> None:
        explain = self

        def getaddrinfo(host: Any, port: Any, *args: Any, **keywords: Any) -> Any:
            try:
                found = explain._getaddrinfo(host, port, *args, **keywords)
            except socket.gaierror as error:
                explain.name(error, host, port)
                raise
            explain.remember(host, found)
            return found

        def connect(self: socket.socket, address: Any) -> None:
            try:
                explain._connect(self, address)
            except OSError as error:
                explain.address(error, address)
                raise

        def connect_ex(self: socket.socket, address: Any) -> int:
            code = explain._connect_ex(self, address)
            if code:
                explain.address(OSError(code, ""), address)
            return code

        for made, original in (
            (getaddrinfo, self._getaddrinfo),
            (connect, self._connect),
            (connect_ex, self._connect_ex),
        ):
            made.__doc__, made.__module__, made.__qualname__ = original.__doc__, "socket", original.__qualname__
        socket.getaddrinfo = getaddrinfo
        setattr(socket.socket, "connect", connect)
        setattr(socket.socket, "connect_ex", connect_ex)

    def remember(self, host: Any, found: list[Any]) -> None:
        """Which name an address of the sandbox's stands for."""
        if isinstance(host, str) and len(self._names) < _MOST_NAMES:
            for entry in found:
                if str(entry[4][0]).startswith(_INSIDE):
                    self._names[entry[4][0]] = host

    def name(self, error: socket.gaierror, host: Any, port: Any) -> None:
        """A name was not found: most likely it is not listed."""
        name = _text(host).rstrip(".").lower()
        if error.errno != socket.EAI_NONAME or not name or _is_address(name):
            return
        number = port if isinstance(port, int) else _PORTS.get(str(port), 0)
        if number:
            self.tell(number, name)
        self._add(error, f"{name} is not in this function's egress list", f"{name}:{number or 'PORT'}")

    def address(self, error: OSError, address: Any) -> None:
        """A connection was refused: to an address, or at another port than those listed for its name."""
        if not isinstance(address, tuple) or len(address) < 2 or not isinstance(address[1], int):
            return
        host, port = _text(address[0]), address[1]
        if not _is_address(host) or not 0 < port < 65536:
            return
        if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL):
            self.tell(port, "x" + ipaddress.ip_address(host.partition("%")[0]).packed.hex())
            self._add(
                error, f"{host} is an address, and a function reaches only the names on its egress list", "NAME:PORT"
            )
        elif error.errno == errno.ECONNREFUSED and host.startswith(_INSIDE):
            self.tell(port, "x" + socket.inet_aton(host).hex())
            target = f"{self._names.get(host, host)}:{port}"
            self._add(error, f"{target} is not in this function's egress list", target)

    def _add(self, error: OSError, why: str, target: str) -> None:
        error.strerror = f"{error.strerror}: {why}; allow it with: casemate egress allow {self.function} {target}"
        error.args = (error.errno, error.strerror)

    def tell(self, port: int, host: str) -> None:
        """One datagram; no answer is waited for, and nothing is lost when it is."""
        labels = [label.encode() for label in (f"p{port}.{host}.refused.casemate.internal").split(".")]
        if not all(0 < len(label) < 64 for label in labels) or sum(len(label) + 1 for label in labels) > 253:
            return
        question = b"".join(bytes([len(label)]) + label for label in labels) + b"\0" + struct.pack(">HH", 1, 1)
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0) + question, _RESOLVER)
        except OSError:
            pass


def _text(host: Any) -> str:
    if isinstance(host, (bytes, bytearray)):
        return host.decode("ascii", "replace")
    return host if isinstance(host, str) else ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True
