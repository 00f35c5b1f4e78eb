"""What lies packed inside a file: zip (also wheels, eggs and office documents), gzip, bzip2 and xz, within one budget."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol, cast

from casemate_gate.subject import LARGEST_TEXT, Unreadable, display

DEEPEST: Final = 3
_MOST_BYTES: Final = 512 << 20
_MOST_MEMBERS: Final = 20_000
_CHUNK: Final = 1 << 20
_ZIP_SUFFIXES: Final = (".zip", ".whl", ".egg", ".jar", ".pyz", ".docx", ".xlsx", ".pptx", ".nupkg")
_GZIP: Final = b"\x1f\x8b\x08"
_BZIP2: Final = b"BZh"
_XZ: Final = b"\xfd7zXZ\x00"
_DAMAGED: Final = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, MemoryError)


class Member(NamedTuple):
    """`name` is `outer.zip!inner/file`."""

    name: str
    content: bytes


class _Stream(Protocol):
    def read1(self, size: int, /) -> bytes: ...


class Budget:
    """What one check may unpack in all, so that many small bombs are no more than one."""

    def __init__(self, most_bytes: int = _MOST_BYTES, most_members: int = _MOST_MEMBERS) -> None:
        self._bytes = most_bytes
        self._members = most_members

    def take(self, size: int, file: str) -> None:
        self._bytes -= size
        if self._bytes < 0:
            raise Unreadable(file, "what is packed in it has too many bytes to be searched")

    def member(self, file: str) -> None:
        self._members -= 1
        if self._members < 0:
            raise Unreadable(file, "what is packed in it is too many files to be searched")


def is_packed(name: str, content: bytes) -> bool:
    return content.startswith((b"PK\x03\x04", _GZIP, _BZIP2, _XZ)) or name.lower().endswith(_ZIP_SUFFIXES)


def names(name: str, content: bytes) -> Iterator[str]:
    """Of a zip's members only, nothing being inflated."""
    if content.startswith(b"PK") or name.lower().endswith(_ZIP_SUFFIXES):
        with _opened(name, content) as archive:
            for item in archive.infolist():
                yield f"{name}!{display(item.filename)}"


def members(name: str, content: bytes, budget: Budget, depth: int = 1) -> Iterator[Member | Unreadable]:
    """What is packed in `content`, at any depth up to three. What can't be read comes as an `Unreadable` in its place."""
    if not is_packed(name, content):
        return
    if depth > DEEPEST:
        yield Unreadable(name, f"archives are nested deeper than {DEEPEST}", content)
        return
    try:
        inside = _zipped if content.startswith(b"PK") or name.lower().endswith(_ZIP_SUFFIXES) else _streamed
        for member in inside(name, content, budget):
            yield member if isinstance(member, Member) else member.of(content)
            if isinstance(member, Member):
                yield from members(member.name, member.content, budget, depth + 1)
    except Unreadable as problem:
        yield problem.of(content)


def _zipped(name: str, content: bytes, budget: Budget) -> Iterator[Member | Unreadable]:
    with _opened(name, content) as archive:
        for item in archive.infolist():
            if item.is_dir():
                continue
            inner = f"{name}!{display(item.filename)}"
            budget.member(name)
            if item.flag_bits & 1:
                yield Unreadable(inner, "it is encrypted")
                continue
            try:
                with archive.open(item) as stream:
                    content = _read(cast(zipfile.ZipExtFile, stream), inner, budget)
            except NotImplementedError:
                yield Unreadable(inner, "it is packed with an unknown method")
            except (*_DAMAGED, RuntimeError):
                yield Unreadable(inner, "it is damaged")
            else:
                yield Member(inner, content)


def _opened(name: str, content: bytes) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(content))
    except Exception:  # the reader of the standard library has no one kind for what a damaged directory does to it
        raise Unreadable(name, "the archive is damaged") from None


def _read(stream: _Stream, name: str, budget: Budget) -> bytes:
    parts = []
    size = 0
    try:
        while part := stream.read1(_CHUNK):  # one step, so that an error keeps what came before
            budget.take(len(part), name)
            size += len(part)
            if size > LARGEST_TEXT:
                raise Unreadable(name, f"unpacked it has more than {LARGEST_TEXT} bytes")
            parts.append(part)
    except _DAMAGED as error:
        # Bytes behind the end of the last stream are none of it.
        if not parts or isinstance(error, MemoryError) or "Not a gzipped file" not in str(error):
            raise Unreadable(name, "it is damaged") from None
    return b"".join(parts)


def _streamed(name: str, content: bytes, budget: Budget) -> Iterator[Member]:
    budget.member(name)
    source = io.BytesIO(content)
    stream: _Stream
    if content.startswith(_GZIP):
        stream = gzip.GzipFile(fileobj=source, mode="rb")
    else:
        stream = bz2.BZ2File(source) if content.startswith(_BZIP2) else lzma.LZMAFile(source)
    yield Member(f"{name}!", _read(stream, name, budget))
