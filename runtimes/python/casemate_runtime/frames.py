"""Frames on the control socket: a 16-byte header, `meta`, `body`. The layout is the server's PROTOCOL.md.

A call costs one `recv` and one `send` as long as it is small, and a large body is received where it stays.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from typing import Final, Protocol

from casemate_runtime.faults import ProtocolError

HEADER: Final = struct.Struct(">IBBHII")
_FIELD: Final = struct.Struct(">BI")

SPECIALISE: Final = 0x01
INVOKE: Final = 0x02
BUILD: Final = 0x03
CHECK: Final = 0x04
SCAN: Final = 0x05
INVOKE_ISOLATED: Final = 0x06
FETCH: Final = 0x07
VERIFY: Final = 0x08
WARM: Final = 0x81
SPECIALISED: Final = 0x82
REPLY: Final = 0x83
BUILT: Final = 0x84
SCANNED: Final = 0x85
PRINTED: Final = 0x86
READY: Final = 0x87
PROGRESS: Final = 0x88
FETCHED: Final = 0x89
VERIFIED: Final = 0x8A

# What the server sends is checked too, so that a fault there ends one sandbox and not its memory.
# A hundred secrets of 64 KiB fit.
LONGEST_META: Final = 16 << 20
LONGEST_BODY: Final = 1 << 30
# Towards the server. A longer one would cost the sandbox its life.
LONGEST_REPLY_META: Final = 65_536
LONGEST_REPLY_BODY: Final = 0xFFFF_FFFF
LONGEST_PRINTED: Final = 65_536

_BUFFER_SIZE: Final = 128 * 1024
_JOIN_BELOW: Final = 64 * 1024

Frame = tuple[int, int, memoryview, memoryview]
"""Kind, call, meta, body. A plain tuple, because one is made per call."""

Outgoing = tuple[int, int, int, int, bytes, bytes]
"""Kind, call, flags, status, meta, body."""


class Stream(Protocol):
    """What frames travel on: the control socket, or the pipes of an isolated call."""

    def recv_into(self, buffer: memoryview, nbytes: int = 0, flags: int = 0, /) -> int: ...
    def sendall(self, data: bytes, /) -> None: ...
    def sendmsg(self, parts: list[memoryview], /) -> int: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...


class Channel:
    """Reads and writes whole frames. The views of a frame are valid until the next one is read."""

    def __init__(self, control: Stream, buffer_size: int = _BUFFER_SIZE) -> None:
        self._socket = control
        self._buffer = bytearray(buffer_size)
        self._view = memoryview(self._buffer)
        self._have = 0  # bytes in the buffer
        self._used = 0  # of these, the frame that was handed out last

    def read(self) -> Frame | None:
        """The next frame; `None` at the end of the stream."""
        view = self._view
        have = self._have - self._used
        if have:  # the server sent more than one frame at once
            view[:have] = bytes(view[self._used : self._have])
        self._used = self._have = 0
        while have < HEADER.size:
            count = self._socket.recv_into(view[have:])
            if not count:
                if have:
                    raise ProtocolError("the stream ended inside a header")
                return None
            have += count
        body_length, kind, _, _, meta_length, call = HEADER.unpack_from(view)
        if meta_length > LONGEST_META or body_length > LONGEST_BODY:
            raise ProtocolError("the frame is too long")
        body_at = HEADER.size + meta_length
        total = body_at + body_length
        if have < total:
            if total > len(self._buffer):
                view = memoryview(bytearray(total))
                view[:have] = self._view[:have]
            self._fill(view, have, total)
            have = total
        if total <= len(self._buffer):
            self._have = have
            self._used = total
        return kind, call, view[HEADER.size : body_at], view[body_at:total]

    def read_kept(self) -> Frame | None:
        """The next frame in memory of its own, so that it stays valid while others are read."""
        frame = self.read()
        if frame is None or frame[2].obj is not self._buffer:
            return frame
        kind, call, meta, body = frame
        return kind, call, memoryview(bytes(meta)), memoryview(bytes(body))

    @property
    def has_more(self) -> bool:
        """Whether bytes behind the frame that was handed out last have been received already."""
        return self._have > self._used

    def read_with_descriptor(self) -> tuple[Frame | None, int | None]:
        """The next frame and the descriptor that came with its first byte. Only for a stream of which nothing was read."""
        assert isinstance(self._socket, socket.socket)  # nosec B101  # for mypy
        first, descriptors, _, _ = socket.recv_fds(self._socket, 1, 1, socket.MSG_CMSG_CLOEXEC)
        self._view[: len(first)] = first
        self._have = len(first)
        return (self.read() if first else None), (descriptors[0] if descriptors else None)

    def send(
        self,
        kind: int,
        call: int = 0,
        flags: int = 0,
        status: int = 0,
        meta: bytes = b"",
        body: bytes = b"",
    ) -> None:
        header = HEADER.pack(len(body), kind, flags, status, len(meta), call)
        if len(meta) + len(body) < _JOIN_BELOW:
            self._socket.sendall(b"".join((header, meta, body)))
            return
        parts = [memoryview(part) for part in (header, meta, body) if part]
        while parts:
            count = self._socket.sendmsg(parts)
            while parts and count >= len(parts[0]):
                count -= len(parts.pop(0))
            if parts:
                parts[0] = parts[0][count:]

    def send_all(self, frames: Iterable[Outgoing]) -> None:
        """Many small frames in one packet."""
        small: list[bytes] = []
        for kind, call, flags, status, meta, body in frames:
            if len(meta) + len(body) < _JOIN_BELOW:
                small += (HEADER.pack(len(body), kind, flags, status, len(meta), call), meta, body)
                continue
            self._socket.sendall(b"".join(small))
            small.clear()
            self.send(kind, call, flags, status, meta, body)
        self._socket.sendall(b"".join(small))

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def _fill(self, view: memoryview, have: int, total: int) -> None:
        while have < total:
            count = self._socket.recv_into(view[have:total], 0, socket.MSG_WAITALL)
            if not count:
                raise ProtocolError("the stream ended inside a frame")
            have += count


def decode_fields(meta: memoryview) -> dict[int, list[bytes]]:
    """The fields of a specialise, check or build frame, by tag, in their order."""
    fields: dict[int, list[bytes]] = {}
    at = 0
    while at < len(meta):
        if len(meta) - at < _FIELD.size:
            raise ProtocolError("a field is cut off")
        tag, length = _FIELD.unpack_from(meta, at)
        at += _FIELD.size
        if length > len(meta) - at:
            raise ProtocolError("a field is longer than the frame")
        fields.setdefault(tag, []).append(bytes(meta[at : at + length]))
        at += length
    return fields


def encode_field(tag: int, value: bytes) -> bytes:
    return _FIELD.pack(tag, len(value)) + value


def encode_pairs(pairs: Iterable[tuple[str, str]]) -> bytes:
    """Headers as `name` NUL `value` NUL. The caller has checked that neither holds a NUL."""
    return "".join(f"{name}\0{value}\0" for name, value in pairs).encode()


def decode_request(meta: memoryview) -> tuple[str, str, str, list[str]]:
    """Method, path, query, and the headers' names and values in turn."""
    try:
        text = str(meta, "utf-8")
    except UnicodeDecodeError:
        text = str(meta, "latin-1")  # RFC 9110 section 5.5: older peers send header values in ISO-8859-1
    parts = text.split("\0")
    if len(parts) < 4 or len(parts) % 2 or parts.pop():
        raise ProtocolError("a request's meta is not METHOD, path, query and pairs")
    return parts[0], parts[1], parts[2], parts[3:]
