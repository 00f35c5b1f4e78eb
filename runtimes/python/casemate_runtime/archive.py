"""Reads a zip's directory and its entries strictly: what is ambiguous, damaged or too much is refused.

The standard library's `zipfile` is made to open as much as it can and holds the whole directory before it can be asked
for its size. Here the end record is checked first, and no two entries may share bytes. Layout: PKWARE APPNOTE 6.3.10.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from casemate_runtime.faults import Fault

MOST_ENTRIES: Final = 20_000
LARGEST_DIRECTORY: Final = 8 * 1024 * 1024

_END: Final = struct.Struct("<4s4H2IH")
_END64_LOCATOR: Final = struct.Struct("<4sIQI")
_END64: Final = struct.Struct("<4sQ2H2I4Q")
_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_LOCAL: Final = struct.Struct("<4s5H3I2H")
_LONGEST_COMMENT: Final = 0xFFFF
# What is not used of a packed piece is copied for each piece that comes out of it.
_PACKED_CHUNK: Final = 16 * 1024
_CHUNK: Final = 64 * 1024

_MAGIC: Final = (
    (257, b"ustar", "a tar archive"),
    (0, b"\x1f\x8b", "a tar archive or a file packed with gzip"),
    (0, b"BZh", "a tar archive or a file packed with bzip2"),
    (0, b"\xfd7zXZ\0", "a tar archive or a file packed with xz"),
    (0, b"\x28\xb5\x2f\xfd", "a tar archive or a file packed with zstd"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
)
_LONGEST_MAGIC: Final = 512

STORED: Final = 0
DEFLATED: Final = 8
_FLAG_ENCRYPTED: Final = 0x0001 | 0x0040 | 0x2000
_FLAG_PATCH: Final = 0x0020
FLAG_UTF8: Final = 0x0800


@dataclass(frozen=True, slots=True)
class Entry:
    name: bytes
    flags: int
    method: int
    crc: int
    packed_size: int
    size: int
    mode: int  # a Unix mode, 0 where the archive has none
    at: int


def refused(message: str, entry: bytes = b"") -> Fault:
    shown = display(entry)
    return Fault("archive-refused", f"{shown}: {message}" if shown else message, shown)


def display(name: bytes) -> str:
    """A name that may hold anything, for a message."""
    text = name[:300].decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def read_directory(descriptor: int) -> list[Entry]:
    """Every entry, checked as far as that is possible without inflating it."""
    count, size, start = _read_end(descriptor)
    directory = _read(descriptor, start, size)
    entries = []
    at = 0
    for _ in range(count):
        if len(directory) - at < _CENTRAL.size:
            raise refused("the archive's directory is cut off")
        fields = _CENTRAL.unpack_from(directory, at)
        if fields[0] != b"PK\x01\x02":
            raise refused("the archive's directory is damaged")
        flags, method, crc, packed, unpacked = fields[3], fields[4], fields[7], fields[8], fields[9]
        name_length, extra_length, comment_length, disk, _, attributes, offset = fields[10:]
        name_at = at + _CENTRAL.size
        extra_at = name_at + name_length
        at = extra_at + extra_length + comment_length
        if at > len(directory):
            raise refused("the archive's directory is cut off")
        name = directory[name_at:extra_at]
        extra = directory[extra_at : extra_at + extra_length]
        unpacked, packed, offset = _zip64(extra, unpacked, packed, offset)
        if disk not in (0, 0xFFFF):
            raise refused("it lies in another part of a split archive", name)
        if flags & _FLAG_ENCRYPTED:
            raise refused("it is encrypted", name)
        if flags & _FLAG_PATCH or method not in (STORED, DEFLATED):
            raise refused("it is packed with a method other than stored and deflated", name)
        entries.append(Entry(name, flags, method, crc, packed, unpacked, attributes >> 16, offset))
    if at != len(directory):
        raise refused("the archive's directory has more entries than its end record says")
    return _located(descriptor, entries, start)


def inflate(descriptor: int, entry: Entry) -> Iterator[bytes]:
    """The content, counted while it is inflated: the sizes in the headers are claims."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS) if entry.method == DEFLATED else None
    crc = size = 0
    at, end = entry.at, entry.at + entry.packed_size
    packed = data = b""
    # A full chunk may have been cut: what is left of it comes without further input.
    while packed or at < end or (inflater and not inflater.eof and len(data) == _CHUNK):
        if not packed and at < end:
            packed = _read(descriptor, at, min(_PACKED_CHUNK if inflater else _CHUNK, end - at))
            at += len(packed)
        if inflater:
            try:
                data = inflater.decompress(packed, _CHUNK)
            except zlib.error:
                raise refused("its content is damaged", entry.name) from None
            packed = inflater.unconsumed_tail
            if inflater.eof and (inflater.unused_data or at < end):
                raise refused("it has bytes behind the end of its content", entry.name)
        else:
            data, packed = packed, b""
        size += len(data)
        if size > entry.size:
            raise refused("it holds more than its header says", entry.name)
        crc = zlib.crc32(data, crc)
        if data:
            yield data
    if inflater and not inflater.eof:
        raise refused("its content is cut off", entry.name)
    if size != entry.size:
        raise refused("it holds less than its header says", entry.name)
    if crc != entry.crc:
        raise refused("its checksum is wrong", entry.name)


def _read_end(descriptor: int) -> tuple[int, int, int]:
    """Count of entries, size and start of the directory, out of the end record alone."""
    length = os.fstat(descriptor).st_size
    tail_at = max(0, length - _END.size - _LONGEST_COMMENT)
    tail = _read(descriptor, tail_at, length - tail_at)
    found = tail.rfind(b"PK\x05\x06")
    while found >= 0:
        if len(tail) - found >= _END.size:
            fields = _END.unpack_from(tail, found)
            if found + _END.size + fields[7] == len(tail):
                break
        found = tail.rfind(b"PK\x05\x06", 0, found)
    else:
        raise refused(_what_else(_read(descriptor, 0, min(length, _LONGEST_MAGIC))))
    end_at = tail_at + found
    disk, directory_disk, here, count, size, start, _ = fields[1:]
    if 0xFFFF in (disk, directory_disk, here, count) or 0xFFFF_FFFF in (size, start):
        end_at, disk, directory_disk, here, count, size, start = _read_end64(descriptor, end_at, fields)
    if disk or directory_disk or here != count:
        raise refused("this is a part of a split archive")
    if count > MOST_ENTRIES:
        raise refused(f"the archive has {count} entries; {MOST_ENTRIES} are allowed")
    if size > LARGEST_DIRECTORY:
        raise refused(f"the archive's directory has {size} bytes; {LARGEST_DIRECTORY} are allowed")
    if start + size != end_at:
        raise refused("the archive's directory is not where its end record says")
    return count, size, start


def _what_else(head: bytes) -> str:
    """A word about what was sent instead."""
    for at, magic, kind in _MAGIC:
        if head[at : at + len(magic)] == magic:
            return f"this is {kind}, not a zip archive: only zip is accepted"
    return "this is not a zip archive, or it is cut off"


def _read_end64(descriptor: int, end_at: int, fields: tuple[int, ...]) -> tuple[int, int, int, int, int, int, int]:
    locator_at = end_at - _END64_LOCATOR.size
    if locator_at < _END64.size:
        # No room for one: then the values of the plain record are meant as they are.
        return (end_at, *fields[1:7])  # type: ignore[return-value]
    signature, _, record_at, _ = _END64_LOCATOR.unpack(_read(descriptor, locator_at, _END64_LOCATOR.size))
    if signature != b"PK\x06\x07":
        return (end_at, *fields[1:7])  # type: ignore[return-value]
    if record_at > locator_at - _END64.size:
        raise refused("the archive's end record is damaged")
    record = _END64.unpack(_read(descriptor, record_at, _END64.size))
    if record[0] != b"PK\x06\x06" or record_at + 12 + record[1] != locator_at:
        raise refused("the archive's end record is damaged")
    disk, directory_disk, here, count, size, start = record[4:]
    return record_at, disk, directory_disk, here, count, size, start


def _zip64(extra: bytes, unpacked: int, packed: int, offset: int) -> tuple[int, int, int]:
    """The three values, with those that did not fit into 32 bits taken from the extra field 1."""
    values = [unpacked, packed, offset]
    if 0xFFFF_FFFF not in values:
        return unpacked, packed, offset
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        at += 4
        if kind == 1:
            field = extra[at : at + length]
            wide = list(struct.unpack_from(f"<{len(field) // 8}Q", field))
            for index, value in enumerate(values):
                if value == 0xFFFF_FFFF and wide:
                    values[index] = wide.pop(0)
            break
        at += length
    return values[0], values[1], values[2]


def _located(descriptor: int, entries: list[Entry], directory_at: int) -> list[Entry]:
    """With `at` moved from the local header to the content. Entries that share bytes are how a small bomb is made."""
    located: dict[int, Entry] = {}
    previous_end = 0
    for index, entry in sorted(enumerate(entries), key=lambda item: item[1].at):
        if entry.at < previous_end or entry.at + _LOCAL.size > directory_at:
            raise refused("its place in the archive is not its own", entry.name)
        header = _LOCAL.unpack(_read(descriptor, entry.at, _LOCAL.size))
        name_at = entry.at + _LOCAL.size
        content_at = name_at + header[9] + header[10]
        if header[0] != b"PK\x03\x04" or content_at + entry.packed_size > directory_at:
            raise refused("its header is damaged or it is cut off", entry.name)
        same_name = header[9] == len(entry.name) and _read(descriptor, name_at, header[9]) == entry.name
        if not same_name or header[3] != entry.method or (header[2] ^ entry.flags) & _FLAG_ENCRYPTED:
            raise refused("its header and the archive's directory differ", entry.name)
        previous_end = content_at + entry.packed_size
        located[index] = Entry(
            entry.name, entry.flags, entry.method, entry.crc, entry.packed_size, entry.size, entry.mode, content_at
        )
    first = min((entry.at for entry in entries), default=0)
    if first:
        raise refused("the archive begins with something that is none of its entries")
    return [located[index] for index in range(len(entries))]


def _read(descriptor: int, at: int, length: int) -> bytes:
    data = os.pread(descriptor, length, at)
    if len(data) != length:
        raise refused("the archive is cut off")
    return data
