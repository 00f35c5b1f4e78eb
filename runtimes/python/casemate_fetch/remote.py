"""How a server is reached."""

from __future__ import annotations

import socket
from typing import Final, Protocol

from casemate_fetch.address import Address
from casemate_fetch.faults import failed
from casemate_fetch.packets import Packets

SILENCE: Final = 60.0
"""Seconds without a byte after which a server is given up. The deadline of the whole may come before."""
_CONNECTING: Final = 20.0


class Remote(Protocol):
    """`git-upload-pack` of one repository."""

    def advertisement(self) -> Packets:
        """What the server says of itself. Asked for once, and first."""

    def command(self, body: bytes) -> Packets:
        """The answer to a command."""

    @property
    def complaint(self) -> str:
        """What the server wrote beside the protocol: why it ended, as a rule."""

    def close(self) -> None: ...


def connect(address: Address) -> socket.socket:
    where = f"{address.host}:{address.port}"
    try:
        connection = socket.create_connection((address.dialled, address.port), timeout=_CONNECTING)
    except socket.gaierror:
        raise failed(
            f"the name of {where} leads nowhere; check the URL, and that the namespace may reach the host"
        ) from None
    except OSError as error:
        why = error.strerror or "it does not answer"
        raise failed(
            f"{where} can't be reached ({why}); check the URL, and that the namespace may reach the host"
        ) from None
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(SILENCE)
    return connection
