"""What is said with a server's `git-upload-pack`, in the protocol's version 2 (gitprotocol-v2) or, where it knows that alone,
in version 0 (gitprotocol-pack). Nothing is ever said to be had already, and no thin pack is taken."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import IO, Final

from dulwich.object_format import OBJECT_FORMATS

from casemate_fetch.faults import ServerError, damaged, failed
from casemate_fetch.packets import DELIMITER, FLUSH, Packets, packet
from casemate_fetch.remote import Remote

_MOST_CAPABILITIES: Final = 1_000
_MOST_REFS: Final = 10_000
_HEX: Final = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class Conversation:
    """`refs`: the server's, as far as their names begin as asked; `symbolic`: what HEAD stands for."""

    def __init__(self, remote: Remote, prefixes: Sequence[bytes]) -> None:
        """`prefixes`: of the refs that matter, or their whole names; with none, no list is asked for."""
        self._remote = remote
        self._prefixes = tuple(prefixes)
        self._folders = tuple(prefix for prefix in prefixes if prefix.endswith(b"/"))
        self._capabilities: dict[bytes, bytes] = {}
        self.refs: dict[bytes, bytes] = {}
        self.symbolic: dict[bytes, bytes] = {}
        packets = remote.advertisement()
        first = packets.line()
        if first is not None and first.startswith(b"# service="):
            packets.line()
            first = packets.line()
        self._is_newer = first == b"version 2"
        if self._is_newer:
            self._read_capabilities(packets)
            if self._prefixes:
                self._list()
        else:
            self._read_old(packets, packets.line() if first == b"version 1" else first)
        name = self._capabilities.get(b"object-format", b"sha1").decode("ascii", "replace")
        if name not in OBJECT_FORMATS:
            raise failed("the repository's objects are named by a hash that is not known; use SHA-1 or SHA-256")
        self.object_format = OBJECT_FORMATS[name]

    def fetch(self, wants: Sequence[bytes], depth: int | None, out: IO[bytes]) -> None:
        """Writes the pack of what is wanted and all that it needs. `depth`: in commits, where the server can do that."""
        if self._is_newer:
            self._fetch(wants, depth, out)
        else:
            self._fetch_old(wants, depth, out)

    def _read_capabilities(self, packets: Packets) -> None:
        while line := packets.line():
            name, _, value = line.partition(b"=")
            self._capabilities[name] = value
            if len(self._capabilities) > _MOST_CAPABILITIES:
                raise damaged("too many capabilities")

    def _list(self) -> None:
        arguments = [b"symrefs", *(b"ref-prefix " + prefix for prefix in self._prefixes)]
        packets = self._remote.command(self._command(b"ls-refs", arguments))
        while line := packets.line():
            oid, _, rest = line.partition(b" ")
            name, *attributes = rest.split(b" ")
            if oid != b"unborn":
                self._add(name, oid)
            for attribute in attributes:
                if attribute.startswith(b"symref-target:"):
                    self.symbolic[name] = attribute.partition(b":")[2]

    def _fetch(self, wants: Sequence[bytes], depth: int | None, out: IO[bytes]) -> None:
        arguments = [b"no-progress", b"ofs-delta", *(b"want " + oid for oid in wants)]
        if depth and b"shallow" in self._capabilities.get(b"fetch", b"").split():
            arguments.append(b"deepen %d" % depth)
        packets = self._remote.command(self._command(b"fetch", [*arguments, b"done"]))
        while (section := packets.line()) != b"packfile":
            # The rest was not asked for: least of all, that a part be fetched from elsewhere (packfile-uris).
            if section not in (b"shallow-info", b"acknowledgments"):
                raise damaged("a section that was not asked for")
            while packets.line():
                pass
        packets.copy_pack(out)

    def _command(self, name: bytes, arguments: Iterable[bytes]) -> bytes:
        head = [b"command=" + name]
        if b"object-format" in self._capabilities:
            head.append(b"object-format=" + self._capabilities[b"object-format"])
        return b"".join([*map(packet, head), DELIMITER, *map(packet, arguments), FLUSH])

    def _read_old(self, packets: Packets, line: bytes | None) -> None:
        if line:
            line, _, capabilities = line.partition(b"\0")
            for part in capabilities.split():
                name, _, value = part.partition(b"=")
                if name == b"symref":
                    source, _, target = value.partition(b":")
                    self.symbolic[source] = target
                else:
                    self._capabilities[name] = value
        while line:
            oid, _, name = line.partition(b" ")
            if not name.endswith(b"^{}"):
                self._add(name, oid)
            line = packets.line()

    def _fetch_old(self, wants: Sequence[bytes], depth: int | None, out: IO[bytes]) -> None:
        # Some hosts give nothing to a client that does not know multi_ack_detailed; without a `have` it changes nothing.
        known = [b"multi_ack_detailed", b"side-band-64k", b"ofs-delta", b"no-progress", b"object-format"]
        if b"side-band-64k" not in self._capabilities:
            raise failed("the host speaks a git protocol of before 2007; have it brought up to date")
        asked = [_joined(name, self._capabilities[name]) for name in known if name in self._capabilities]
        lines = [b"want " + oid for oid in wants]
        lines[0] = b" ".join([lines[0], *asked])
        is_shallow = bool(depth) and b"shallow" in self._capabilities
        if is_shallow:
            lines.append(b"deepen %d" % (depth or 1))
        packets = self._remote.command(b"".join([*map(packet, lines), FLUSH, packet(b"done")]))
        if is_shallow:
            while packets.line():
                pass
        if packets.line() is None:
            raise ServerError
        packets.copy_pack(out)

    def _add(self, name: bytes, oid: bytes) -> None:
        if not _HEX.fullmatch(oid):
            raise damaged("a ref without an id")
        # A prefix is only a hint to a server, and that of a branch fits others too.
        if name in self._prefixes or name.startswith(self._folders):
            self.refs[name] = oid
        if len(self.refs) > _MOST_REFS:
            raise failed(
                f"the repository has more than {_MOST_REFS} branches and tags to look through; name one by its whole name"
            )


def _joined(name: bytes, value: bytes) -> bytes:
    return b"=".join((name, value)) if value else name
