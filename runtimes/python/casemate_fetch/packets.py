"""git's packets (gitprotocol-common, "pkt-line"), read from a server that may send anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Final

from dulwich.errors import GitProtocolError, HangupException
from dulwich.protocol import Protocol, pkt_line

from casemate_fetch.faults import ServerError, damaged
from casemate_fetch.meter import Meter

FLUSH: Final = b"0000"
DELIMITER: Final = b"0001"


def packet(text: bytes) -> bytes:
    return bytes(pkt_line(text + b"\n"))


class Packets:
    def __init__(self, read_some: Callable[[int], bytes], meter: Meter) -> None:
        """`read_some`: at most so many bytes, `b""` at the end."""
        self._read_some = read_some
        self._meter = meter
        self._protocol = Protocol(self._read, lambda data: None)

    def read(self) -> bytes | None:
        """`None` for the end of a section. An error of the server's is raised as `ServerError`, its end too."""
        try:
            content = self._protocol.read_pkt_line()
        except HangupException:
            raise ServerError from None
        except GitProtocolError:
            raise damaged("it is not in git's packets") from None
        if content is None:
            return None
        if content.startswith(b"ERR "):
            raise ServerError(content[4:].decode("utf-8", "backslashreplace"))
        return bytes(content)

    def line(self) -> bytes | None:
        content = self.read()
        return content if content is None else content.rstrip(b"\n")

    def copy_pack(self, out: IO[bytes]) -> None:
        """What is in side band 1, until the end of the section."""
        while content := self.read():
            band, data = content[0], content[1:]
            if band == 1:
                out.write(data)
            elif band == 3:
                raise ServerError(data.decode("utf-8", "backslashreplace"))
            elif band != 2:
                raise damaged("a pack in an unknown band")

    def _read(self, size: int) -> bytes:
        """All of it, or what there is before the end."""
        parts = []
        while size > 0 and (part := self._read_some(size)):
            self._meter.receive(len(part))
            parts.append(part)
            size -= len(part)
        return b"".join(parts)
