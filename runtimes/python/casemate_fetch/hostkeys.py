"""Which ssh host answers. A key that nobody has written down is never trusted, not even the first time."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from casemate_fetch.faults import failed

_KINDS: Final = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    # Signatures with SHA-1 (RFC 8332 retires them) are not among them.
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
_LONGEST: Final = 8192


@dataclass(frozen=True, slots=True)
class HostKey:
    kind: str
    """Of RFC 4253: `ssh-ed25519`."""
    blob: bytes

    @classmethod
    def parse(cls, line: str) -> HostKey:
        """`TYPE BASE64`, and perhaps a comment, as in a .pub file."""
        parts = line.split() if len(line) <= _LONGEST else []
        if len(parts) < 2 or parts[0] not in _KINDS:
            raise failed(
                f"an entry of hostKeys is no host key; write `TYPE BASE64`, where TYPE is one of {', '.join(_KINDS)}"
            )
        try:
            blob = base64.b64decode(parts[1], validate=True)
        except (binascii.Error, ValueError):
            blob = b""
        # RFC 4253 section 6.6: the key begins with its type, as a string with a length.
        named = parts[0].encode()
        if not blob.startswith(len(named).to_bytes(4, "big") + named):
            raise failed(f"the host key of type {parts[0]} is cut off or another's; copy its whole line into hostKeys")
        return cls(parts[0], blob)

    def __str__(self) -> str:
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -lf` shows it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")


def algorithms(keys: Iterable[HostKey]) -> tuple[str, ...]:
    """Those of the keys first, so that a host with several shows one that is known; then all others, so that it shows any
    and can be named."""
    first = [name for key in keys for name in _KINDS[key.kind]]
    return tuple(dict.fromkeys([*first, *(name for names in _KINDS.values() for name in names)]))


def check(offered: HostKey, known: Iterable[HostKey], host: str) -> None:
    if offered in known:
        return
    kind = offered.kind if re.fullmatch(r"[a-z0-9@.-]{1,64}", offered.kind) else "an unknown type"
    raise failed(
        f"{host} shows a host key that hostKeys does not have: {kind} {offered.fingerprint}; ask whoever runs the host, or "
        f"its documentation, for its fingerprint, and if it is this one, add the key to hostKeys: {offered}"
    )
