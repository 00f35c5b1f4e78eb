"""git's protocol over ssh: one key, one user, one command, and a host that is known. No agent, no file, no password."""

from __future__ import annotations

import io
import logging
import shlex
import urllib.parse
from collections.abc import Sequence
from typing import Any, Final

import paramiko

from casemate_fetch.address import Address
from casemate_fetch.faults import failed, shown
from casemate_fetch.hostkeys import HostKey, algorithms, check
from casemate_fetch.meter import Meter
from casemate_fetch.packets import Packets
from casemate_fetch.remote import SILENCE, connect

_HANDSHAKE: Final = 30
_KINDS: Final = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)

logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)


def private_key(secret: bytes | None) -> Any:
    """`secret`: `NAME` NUL `value`. No fault says anything of the value."""
    name, _, value = (secret or b"").partition(b"\0")
    if not value.strip():
        raise failed(
            "an ssh repository is fetched with a key; set a secret with the private key and let credentials: name it"
        )
    text = value.decode("ascii", "replace").replace("\r\n", "\n").strip() + "\n"
    for kind in _KINDS:
        try:
            return kind.from_private_key(io.StringIO(text))
        except paramiko.PasswordRequiredException:
            raise failed(
                f"the key in the secret {shown(name)} has a passphrase; make a key of its own for this, without one"
            ) from None
        except (
            Exception
        ):  # nosec B112  # a key of another kind fails in many ways, and what they say may hold of the key
            continue
    raise failed(f"the secret {shown(name)} holds no private key of ssh; set it to a key of type ed25519, ecdsa or rsa")


class Ssh:
    def __init__(self, address: Address, host_keys: Sequence[HostKey], key: Any, meter: Meter) -> None:
        self._address = address
        self._host_keys = host_keys
        self._key = key
        self._meter = meter
        self._transport: Any = None
        self._channel: Any = None

    def advertisement(self) -> Packets:
        if not self._host_keys:
            raise failed(f"hostKeys is empty, and no host is trusted unseen; add the key of {self._address.host} to it")
        self._begin()
        self._log_in()
        try:
            self._channel = self._transport.open_session(timeout=_HANDSHAKE)
            self._channel.settimeout(SILENCE)
            # A host need not take it, and then speaks an older version.
            self._channel.set_environment_variable("GIT_PROTOCOL", "version=2")
            self._channel.exec_command(
                f"git-upload-pack {shlex.quote(self._path)}"
            )  # nosec B601  # quoted, and of a URL that was checked
        except (paramiko.SSHException, OSError, EOFError):
            raise failed(
                f"{self._place} starts no git-upload-pack; check the URL, and that the key may read the repository"
            ) from None
        return Packets(self._read_some, self._meter)

    def command(self, body: bytes) -> Packets:
        try:
            self._channel.sendall(body)
        except TimeoutError:
            raise failed(f"{self._place} reads nothing any more; try again later") from None
        except (paramiko.SSHException, OSError, EOFError):
            pass  # it has ended, and what it said before can be read
        return Packets(self._read_some, self._meter)

    @property
    def complaint(self) -> str:
        try:
            if self._channel is not None and (self._channel.recv_stderr_ready() or self._channel.exit_status_ready()):
                return shown(self._channel.recv_stderr(4096))
        except (paramiko.SSHException, OSError, EOFError):
            pass
        return ""

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    @property
    def _place(self) -> str:
        return f"{self._address.host}:{self._address.port}"

    @property
    def _path(self) -> str:
        path = urllib.parse.unquote(self._address.path)
        return path[1:] if path.startswith("/~") else path  # a home folder, as git has it

    def _begin(self) -> None:
        connection = connect(self._address)
        try:
            self._transport = paramiko.Transport(connection)
            self._transport.banner_timeout = self._transport.handshake_timeout = self._transport.auth_timeout = (
                _HANDSHAKE
            )
            self._transport.get_security_options().key_types = algorithms(self._host_keys)
            self._transport.start_client(timeout=_HANDSHAKE)
            offered = self._transport.get_remote_server_key()
        except (paramiko.SSHException, OSError, EOFError, ValueError):
            connection.close()
            raise failed(
                f"{self._place} and the fetch find no common ssh; check the port, and that the host is up to date"
            ) from None
        check(HostKey(offered.get_name(), offered.asbytes()), self._host_keys, self._place)

    def _log_in(self) -> None:
        try:
            left = self._transport.auth_publickey(self._address.user, self._key)
        except (paramiko.SSHException, OSError, EOFError, ValueError):
            left = ["publickey"]
        if left:
            raise failed(
                f"{self._place} does not let {self._address.user} in with the key of the secret; add its public half at the host"
            )

    def _read_some(self, size: int) -> bytes:
        try:
            return bytes(self._channel.recv(size))
        except TimeoutError:
            raise failed(f"{self._place} says nothing any more; try again later") from None
        except (paramiko.SSHException, OSError, EOFError):
            return b""
