"""Reads a `.tar.gz` strictly, as a stream: regular files and folders beneath one top folder, and nothing else.

The standard library's `tarfile` understands more than a source distribution may be, and holds a header of any length.
Layout: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar's `L` for long names.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

_BLOCK: Final = 512
_CHUNK: Final = 256 * 1024
_LONGEST_HEADER: Final = 64 * 1024
_LONGEST_PATH: Final = 1024
_MOST_MEMBERS: Final = 20_000
_FILE, _FOLDER, _PAX, _PAX_GLOBAL, _GNU_LONG_NAME = (b"0", b"\0"), b"5", b"x", b"g", b"L"
_PAX_RECORD: Final = re.compile(rb"(\d{1,6}) ([^=\n]{1,100})=")


class BadTarball(Exception):
    """The message says what is wrong."""


class Member(NamedTuple):
    """`path` is beneath the top folder; empty for that itself."""

    path: str
    is_folder: bool
    is_executable: bool
    content: Iterator[bytes]  # to be read before the next member, or not at all


def members(file: BinaryIO, largest: int) -> Iterator[Member]:
    """`largest`: bytes, unpacked, with all headers. Raises `BadTarball`."""
    stream = _Stream(file, largest)
    top = ""
    long_name: str | None = None
    for _ in range(2 * _MOST_MEMBERS):
        header = stream.read(_BLOCK)
        if header == bytes(_BLOCK):
            return
        kind, size = header[156:157], _checked_size(header)
        if kind in (_PAX, _PAX_GLOBAL, _GNU_LONG_NAME):
            if size > _LONGEST_HEADER:
                raise BadTarball("a header is too long")
            data = stream.read(size)
            stream.skip_padding(size)
            if kind == _PAX:
                long_name = _pax_path(data) or long_name
            elif kind == _GNU_LONG_NAME:
                long_name = _text(data.rstrip(b"\0"))
            continue
        is_folder = kind == _FOLDER
        if not is_folder and kind not in _FILE:
            raise BadTarball("it holds a link or another thing that is neither file nor folder")
        name = long_name if long_name is not None else _short_name(header)
        long_name = None
        first, path = _split(name)
        if top not in ("", first) or (not path and not is_folder):
            raise BadTarball("it is not one folder with everything in it")
        top = first
        content = stream.content(0 if is_folder else size)
        yield Member(path, is_folder, bool(_octal(header[100:108]) & 0o111), content)
        for _ in content:  # what nobody has read
            pass
        stream.skip_padding(0 if is_folder else size)
    raise BadTarball(f"it has more than {_MOST_MEMBERS} entries")


class _Stream:
    def __init__(self, file: BinaryIO, largest: int) -> None:
        self._file = file
        self._inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._packed = b""
        self._data = b""
        self._at = 0  # of the data, what was read
        self._left = largest

    def read(self, length: int) -> bytes:
        while len(self._data) - self._at < length:
            self._data = self._data[self._at :] + self._more()
            self._at = 0
        self._at += length
        return self._data[self._at - length : self._at]

    def content(self, length: int) -> Iterator[bytes]:
        while length:
            data = self.read(min(length, _CHUNK))
            length -= len(data)
            yield data

    def skip_padding(self, length: int) -> None:
        self.read(-length % _BLOCK)

    def _more(self) -> bytes:
        self._packed = self._packed or self._file.read(_CHUNK)
        if not self._packed or self._inflater.eof:
            raise BadTarball("it is cut off")
        try:
            data = self._inflater.decompress(self._packed, _CHUNK)
        except zlib.error:
            raise BadTarball("it is not packed with gzip, or damaged") from None
        self._packed = self._inflater.unconsumed_tail
        self._left -= len(data)
        if self._left < 0:
            raise BadTarball("it unpacks to more than is allowed")
        return data


def _checked_size(header: bytes) -> int:
    wanted = _octal(header[148:156])
    if wanted != sum(header[:148]) + 8 * 0x20 + sum(header[156:]):
        raise BadTarball("a header is damaged")
    return _octal(header[124:136])


def _octal(field: bytes) -> int:
    text = field.strip(b" \0")
    if not re.fullmatch(rb"[0-7]*", text):
        raise BadTarball("a number in a header is none")
    return int(text or b"0", 8)


def _short_name(header: bytes) -> str:
    name, prefix = header[:100].partition(b"\0")[0], header[345:500].partition(b"\0")[0]
    is_ustar = header[257:263] == b"ustar\0"
    return _text(prefix + b"/" + name if is_ustar and prefix else name)


def _pax_path(data: bytes) -> str | None:
    """Of the records `length key=value`. A size there would be more than the header can say, which is too much."""
    at, path = 0, None
    while at < len(data):
        head = _PAX_RECORD.match(data, at)
        end = at + int(head[1]) if head else 0
        if head is None or not head.end() <= end - 1 < len(data) or data[end - 1 : end] != b"\n":
            raise BadTarball("a header is damaged")
        if head[2] == b"size" or head[2].startswith(b"GNU.sparse"):
            raise BadTarball("it holds a file that is too large or has holes")
        if head[2] == b"path":
            path = _text(data[head.end() : end - 1])
        at = end
    return path


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise BadTarball("a name is not UTF-8") from None


def _split(name: str) -> tuple[str, str]:
    """The top folder, and the path beneath it."""
    if name.startswith("/") or "\\" in name or not name.isprintable() or len(name.encode()) > _LONGEST_PATH:
        raise BadTarball("a name is absolute, too long, or has characters that don't belong there")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise BadTarball("a name leads out of it")
    return (parts[0], "/".join(parts[1:])) if parts else ("", "")
