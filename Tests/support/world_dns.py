"""The made-up internet's resolver: says what a test put in, well-formed or not, and counts who asked for what.

It answers as a recursive resolver does, with a CNAME's target in the same answer.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "TXT": 16, "AAAA": 28, "HTTPS": 65}
NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME = 0, 2, 3


@dataclass(frozen=True)
class Record:
    """`data` is an address, a name for CNAME, or the raw bytes of anything else."""

    type: str
    data: str | bytes
    ttl: int = 60

    def packed(self) -> bytes:
        if isinstance(self.data, bytes):
            return self.data
        if self.type == "A":
            return socket.inet_pton(socket.AF_INET, self.data)
        if self.type == "AAAA":
            return socket.inet_pton(socket.AF_INET6, self.data)
        return packed_name(self.data)


def A(address: str, ttl: int = 60) -> Record:
    return Record("A", address, ttl)


def AAAA(address: str, ttl: int = 60) -> Record:
    return Record("AAAA", address, ttl)


def CNAME(name: str, ttl: int = 60) -> Record:
    return Record("CNAME", name, ttl)


def address(text: str, ttl: int = 60) -> Record:
    """An A or AAAA record, by the look of the address."""
    return AAAA(text, ttl) if ":" in text else A(text, ttl)


def packed_name(name: str) -> bytes:
    labels = [label.encode("latin-1") for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


@dataclass(frozen=True)
class Query:
    """A question as it came."""

    id: int
    name: str
    type: int
    transport: str
    raw: bytes

    @property
    def question(self) -> bytes:
        return self.raw[12 : 12 + len(packed_name(self.name)) + 4]

    def wants(self, kind: str) -> bool:
        return self.type == TYPES[kind]

    def header(self, answers: int = 0, code: int = NO_ERROR, truncated: bool = False, id: int | None = None) -> bytes:
        flags = 0x8180 | (0x0200 if truncated else 0) | code
        return struct.pack(">HHHHHH", self.id if id is None else id, flags, 1, answers, 0, 0)

    def answer(self, records: Iterable[tuple[str, Record]] = (), code: int = NO_ERROR, **more: object) -> bytes:
        """A well-formed answer; each record comes with the name it belongs to."""
        listed = list(records)
        body = self.header(len(listed), code, **more) + self.question  # type: ignore[arg-type]
        for owner, record in listed:
            data = record.packed()
            body += packed_name(owner) + struct.pack(">HHIH", TYPES[record.type], 1, record.ttl, len(data)) + data
        return body

    def of(self, *records: Record) -> bytes:
        """An answer with those of `records` that were asked for."""
        return self.answer((self.name, record) for record in records if self.wants(record.type))


# What a callable gives: an answer, several (each a datagram), or none at all.
Given = bytes | list[bytes] | None
Zone = Sequence[Record] | Callable[[Query], Given]


def read_query(raw: bytes, transport: str) -> Query | None:
    if len(raw) < 17 or raw[2] & 0x80 or raw[4:6] != b"\0\1":
        return None
    labels, place = [], 12
    while place < len(raw) and raw[place]:
        length = raw[place]
        if length > 63:
            return None
        labels.append(raw[place + 1 : place + 1 + length].decode("latin-1"))
        place += 1 + length
    if place + 5 > len(raw):
        return None
    kind = struct.unpack_from(">H", raw, place + 1)[0]
    return Query(struct.unpack_from(">H", raw)[0], ".".join(labels), kind, transport, raw)


@dataclass
class NameServer:
    """On UDP and TCP port 53 of each address. `server["name"] = [A(…), AAAA(…)]`, or a callable for strange answers."""

    make: Callable[..., socket.socket]
    addresses: Sequence[str]
    zones: dict[str, Zone] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    questions: list[tuple[str, int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._sockets: list[socket.socket] = []
        for listen in self.addresses:
            udp = self._bound(listen, socket.SOCK_DGRAM)
            threading.Thread(target=self._serve_datagrams, args=(udp,), daemon=True).start()
            tcp = self._bound(listen, socket.SOCK_STREAM)
            tcp.listen(128)
            threading.Thread(target=self._serve_streams, args=(tcp,), daemon=True).start()

    def _bound(self, listen: str, kind: int) -> socket.socket:
        made = self.make(socket.AF_INET, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((listen, 53))
        self._sockets.append(made)
        return made

    def __setitem__(self, name: str, zone: Zone) -> None:
        self.zones[name.lower()] = zone

    def forget(self) -> None:
        self.zones.clear()
        self.asked.clear()
        self.questions.clear()

    def close(self) -> None:
        for made in self._sockets:
            with contextlib.suppress(OSError):
                made.shutdown(socket.SHUT_RDWR)
            made.close()

    # -- answering

    def reply(self, raw: bytes, transport: str) -> Given:
        query = read_query(raw, transport)
        if query is None:
            return None
        name = query.name.lower()
        self.asked[name] += 1
        self.questions.append((name, query.type, transport))
        zone = self.zones.get(name)
        if callable(zone):
            return zone(query)
        if zone is None:
            return query.answer(code=NO_SUCH_NAME)
        return query.answer(self._records(query))

    def _records(self, query: Query) -> list[tuple[str, Record]]:
        found: list[tuple[str, Record]] = []
        name = query.name
        for _ in range(16):
            zone = self.zones.get(name.lower(), ())
            records = [] if callable(zone) else list(zone)
            aliases = [record for record in records if record.type == "CNAME"]
            if not aliases:
                return found + [(name, record) for record in records if query.wants(record.type)]
            found.append((name, aliases[0]))
            name = str(aliases[0].data).rstrip(".")
        return found

    def _serve_datagrams(self, udp: socket.socket) -> None:
        while True:
            try:
                raw, peer = udp.recvfrom(65535)
            except OSError:
                return
            if not raw:
                continue
            threading.Thread(target=self._datagram, args=(udp, raw, peer), daemon=True).start()

    def _datagram(self, udp: socket.socket, raw: bytes, peer: object) -> None:
        answer = self.reply(raw, "udp")
        if answer is None:
            return
        query = read_query(raw, "udp")
        zone = self.zones.get(query.name.lower()) if query else None
        if query and not callable(zone) and len(answer) > 512:
            answer = query.answer(truncated=True)
        for datagram in answer if isinstance(answer, list) else [answer]:
            with contextlib.suppress(OSError):
                udp.sendto(datagram, peer)  # type: ignore[call-overload]

    def _serve_streams(self, tcp: socket.socket) -> None:
        while True:
            try:
                stream, _ = tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._stream, args=(stream,), daemon=True).start()

    def _stream(self, stream: socket.socket) -> None:
        with contextlib.suppress(OSError), stream, stream.makefile("rb") as reader:
            stream.settimeout(30)
            while len(head := reader.read(2)) == 2:
                answer = self.reply(reader.read(struct.unpack(">H", head)[0]), "tcp")
                if answer is None:
                    # As a resolver that has nothing to say; the asker's patience ends this.
                    reader.read(1)
                    return
                for message in answer if isinstance(answer, list) else [answer]:
                    stream.sendall(struct.pack(">H", len(message)) + message)
