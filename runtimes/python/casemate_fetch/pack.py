"""The objects of a pack, by ids that are computed here: an object is what its id says, or it is not there at all.

The file is mapped, and read twice: once for where objects are, once for what deltas make. What is kept in memory has a
limit, and so has each object; one above it is passed over, and is missed only where somebody wants it.
"""

from __future__ import annotations

import mmap
import zlib
from array import array
from binascii import unhexlify
from bisect import bisect_left
from collections.abc import Iterator
from typing import IO, Any, Final

from dulwich.errors import ApplyDeltaError
from dulwich.pack import apply_delta

from casemate_fetch.faults import damaged
from casemate_fetch.meter import Meter
from casemate_fetch.recent import Recent

COMMIT: Final = 1
TREE: Final = 2
BLOB: Final = 3
TAG: Final = 4
_BY_OFFSET: Final = 6
_BY_ID: Final = 7
_NAMES: Final = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}

LARGEST: Final = 100 << 20
"""Bytes of one object, unpacked: at a delta there are three of them in memory."""
_DEEPEST: Final = 10_000
_PIECE: Final = 1 << 16
_HEADER: Final = 12
_NONE: Final = -1


class Pack:
    def __init__(
        self, file: IO[bytes], object_format: Any, meter: Meter, recent: Recent, largest: int = LARGEST
    ) -> None:
        """`file`: complete, and kept as it is for as long as the pack is used. `object_format`: of dulwich."""
        self._new_hash = object_format.hash_func
        self._largest = largest
        self._meter = meter
        self.oid_length: int = object_format.oid_length
        file.flush()
        try:
            self._contents = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise damaged("an empty pack") from None
        self._end = len(self._contents) - self.oid_length
        self._count = self._read_header()
        self._at = array("Q")
        self._kind = bytearray()
        self._size = array("Q")
        self._base = array("q")
        self._index: dict[bytes, int] = {}
        self._recent = recent
        self.has_larger = False
        """Whether objects were passed over for their size."""
        self._open()

    def __contains__(self, oid: bytes) -> bool:
        return unhexlify(oid) in self._index

    def kind(self, oid: bytes) -> int:
        return self._kind[self._find(oid)]

    def size(self, oid: bytes) -> int:
        return self._size[self._find(oid)]

    def read(self, oid: bytes, kind: int) -> bytes:
        """A `Fault` where it is missing or of another kind."""
        index = self._find(oid)
        if self._kind[index] != kind:
            raise damaged(f"{oid.decode()} is no {_NAMES[kind].decode()}")
        return self._make(index)

    def _find(self, oid: bytes) -> int:
        index = self._index.get(unhexlify(oid))
        if index is None:
            raise damaged(f"{oid.decode()} is missing")
        return index

    def _read_header(self) -> int:
        header = self._contents[:_HEADER]
        if self._end < _HEADER or header[:4] != b"PACK" or header[4:8] not in (b"\0\0\0\2", b"\0\0\0\3"):
            raise damaged("no pack")
        count = int.from_bytes(header[8:], "big")
        self._meter.expect_objects(count)
        return count

    def _open(self) -> None:
        digest = self._new_hash()
        for at in range(0, self._end, 1 << 20):
            digest.update(self._contents[at : min(at + (1 << 20), self._end)])
        if digest.digest() != self._contents[self._end :]:
            raise damaged("a pack with another checksum")
        try:
            by_id = self._scan()
            self._resolve(by_id)
        except (zlib.error, IndexError, OverflowError):
            raise damaged("a pack that can't be unpacked") from None

    def _scan(self) -> dict[bytes, list[int]]:
        """Finds all objects, and names those that are no deltas. Answers the deltas whose base is given by its id."""
        by_id: dict[bytes, list[int]] = {}
        at = _HEADER
        for index in range(self._count):
            start = at
            kind, size, at = self._entry(at)
            base = _NONE
            if kind == _BY_OFFSET:
                distance, at = self._distance(at)
                base = self._index_at(start - distance)
            elif kind == _BY_ID:
                by_id.setdefault(self._contents[at : at + self.oid_length], []).append(index)
                at += self.oid_length
            elif kind not in _NAMES:
                raise damaged("an object of an unknown kind")
            self._at.append(start)
            self._kind.append(kind)
            self._base.append(base)
            at = self._skim(index, kind, at, size)
            self._meter.read_objects(1)
        if at != self._end:
            raise damaged("more behind a pack")
        return by_id

    def _skim(self, index: int, kind: int, at: int, size: int) -> int:
        """Unpacks an object piece by piece, for its end, its id or the size of what a delta makes."""
        inflated = _Inflated(self._contents, at, size)
        if kind in _NAMES:
            digest = self._new_hash()
            digest.update(b"%s %d\0" % (_NAMES[kind], size))
            for piece in inflated:
                digest.update(piece)
            self._size.append(size)
            if size <= self._largest:
                self._index.setdefault(digest.digest(), index)
            else:
                self.has_larger = True
        else:
            head = b""
            for piece in inflated:
                head = head or piece[:32]
            made = _delta_sizes(head)[1]
            # A delta that is too large is passed over like what it makes.
            self._size.append(max(made, size) if size > self._largest else made)
            if self._size[index] > self._largest:
                self.has_larger = True
                self._base[index] = _NONE
        return inflated.end

    def _resolve(self, by_id: dict[bytes, list[int]]) -> None:
        """Names the deltas, each after what it is made of. What rests on an object that is not there stays without a name."""
        first, following = array("q", [_NONE]) * self._count, array("q", [_NONE]) * self._count
        for index in range(self._count - 1, -1, -1):
            if (base := self._base[index]) != _NONE:
                following[index], first[base] = first[base], index
        depth = array("L", [0]) * self._count
        for oid, root in list(self._index.items()):
            waiting = [(oid, root)]
            while waiting:
                oid, index = waiting.pop()
                children = by_id.pop(oid, [])
                for child in children:
                    self._base[child] = index
                child = first[index]
                while child != _NONE:
                    children.append(child)
                    child = following[child]
                for child in children:
                    if self._size[child] > self._largest:
                        continue
                    depth[child] = depth[index] + 1
                    if depth[child] > _DEEPEST:
                        raise damaged("a chain of deltas without end")
                    self._kind[child] = self._kind[index]
                    waiting.append((self._named(child), child))

    def _named(self, index: int) -> bytes:
        data = self._make(index)
        digest = self._new_hash()
        digest.update(b"%s %d\0" % (_NAMES[self._kind[index]], len(data)))
        digest.update(data)
        oid: bytes = digest.digest()
        self._index.setdefault(oid, index)
        return oid

    def _make(self, index: int) -> bytes:
        """The content of an object, through its chain of deltas as far down as none is remembered."""
        chain = []
        while (self, index) not in self._recent and self._base[index] != _NONE:
            chain.append(index)
            index = self._base[index]
        data = self._recent.get((self, index))
        if data is None:
            data = self._raw(index)
            self._recent.put((self, index), data)
        for above in reversed(chain):
            delta = self._raw(above)
            if _delta_sizes(delta[:32]) != (len(data), self._size[above]):
                raise damaged("a delta of something else")
            try:
                data = b"".join(apply_delta(data, delta))
            except (ApplyDeltaError, ValueError, TypeError, IndexError, OverflowError):
                raise damaged("a delta that makes nothing") from None
            if len(data) != self._size[above]:
                raise damaged("a delta that makes something else")
            self._recent.put((self, above), data)
        return data

    def _raw(self, index: int) -> bytes:
        """As it is packed: a delta is not applied."""
        kind, size, at = self._entry(self._at[index])
        if kind == _BY_OFFSET:
            _, at = self._distance(at)
        elif kind == _BY_ID:
            at += self.oid_length
        return b"".join(_Inflated(self._contents, at, size))

    def _index_at(self, offset: int) -> int:
        index = bisect_left(self._at, offset) if offset > 0 else len(self._at)
        if index >= len(self._at) or self._at[index] != offset:
            raise damaged("a delta of nothing")
        return index

    def _entry(self, at: int) -> tuple[int, int, int]:
        """Kind, unpacked size, and where the rest begins (gitformat-pack, "n-byte type and length")."""
        byte = self._contents[at]
        kind, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 0x80:
            at += 1
            byte = self._contents[at]
            size |= (byte & 0x7F) << shift
            shift += 7
            if shift > 60:
                raise damaged("an object of no size")
        return kind, size, at + 1

    def _distance(self, at: int) -> tuple[int, int]:
        """Of a delta to its base, and where the rest begins (gitformat-pack, "offset encoding")."""
        byte = self._contents[at]
        distance = byte & 0x7F
        while byte & 0x80:
            at += 1
            byte = self._contents[at]
            distance = (distance + 1) << 7 | byte & 0x7F
            if distance >> 60:
                raise damaged("a delta of nothing")
        return distance, at + 1


class _Inflated:
    """The pieces of an object of `size` bytes, and where its packed form ends."""

    def __init__(self, contents: mmap.mmap, at: int, size: int) -> None:
        self._contents = contents
        self._size = size
        self.end = at

    def __iter__(self) -> Iterator[bytes]:
        inflate = zlib.decompressobj()
        left = self._size
        # Most are small, and what was taken too much was copied for nothing.
        take = min(_PIECE, self._size + 64)
        while not inflate.eof:
            packed = self._contents[self.end : self.end + take]
            if not packed:
                raise zlib.error("cut off")
            self.end += len(packed)
            take = _PIECE
            while packed and not inflate.eof:
                piece = inflate.decompress(packed, min(left + 1, 1 << 20))
                packed = inflate.unconsumed_tail
                left -= len(piece)
                if left < 0:
                    raise zlib.error("more than was said")
                if piece:
                    yield piece
        self.end -= len(inflate.unused_data)
        if left:
            raise zlib.error("less than was said")


def _delta_sizes(delta: bytes) -> tuple[int, int]:
    """Of the base and of what is made of it, which a delta begins with."""
    sizes = []
    at = 0
    for _ in range(2):
        size = shift = 0
        while True:
            byte = delta[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        sizes.append(size)
    return sizes[0], sizes[1]
