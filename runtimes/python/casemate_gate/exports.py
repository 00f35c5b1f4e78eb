"""Reads the members of an export of a database of vulnerabilities: a zip, or a tar (plain, gzip, bzip2 or xz).

What is more than an export can be, or claims to be other than it is, is refused before anything of it is used.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Final, NamedTuple, cast

from casemate_gate.osv import LARGEST
from casemate_gate.problems import Problem

MOST_ENTRIES: Final = 200_000
MOST_BYTES: Final = 1 << 30
_LARGEST_ARCHIVE: Final = 512 << 20
_SUFFIXES: Final = (".json", ".yaml", ".yml")
_FAULTS: Final = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, KeyError, OverflowError,
    NotImplementedError, RuntimeError, UnicodeError,
)  # fmt: skip


class Entry(NamedTuple):
    name: str
    content: bytes


def read(descriptor: int) -> Iterator[Entry]:
    """Every record of the archive. Raises a `Problem`, after which what was read before has to be forgotten."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise Problem("the archive is no regular file")
    size = os.fstat(descriptor).st_size
    if size > _LARGEST_ARCHIVE:
        raise Problem(f"the archive has {size} bytes; {_LARGEST_ARCHIVE} are allowed")
    try:
        with open(os.dup(descriptor), "rb") as stream:
            stream.seek(0)
            head = stream.read(512)
            stream.seek(0)
            if head.startswith(b"PK"):
                yield from _zipped(stream, size)
            elif head.startswith(b"\x1f\x8b"):
                yield from _tarred(cast(IO[bytes], gzip.GzipFile(fileobj=stream, mode="rb")))
            elif head.startswith(b"\xfd7zXZ\x00"):
                yield from _tarred(cast(IO[bytes], lzma.LZMAFile(stream)))
            elif head.startswith(b"BZh"):
                yield from _tarred(cast(IO[bytes], bz2.BZ2File(stream)))
            elif head[257:262] == b"ustar":
                yield from _tarred(stream)
            else:
                raise Problem("this is no zip and no tar (plain, gzip, bzip2 or xz)")
    except _FAULTS:
        raise Problem("the archive is damaged") from None
    except MemoryError:
        raise Problem("the archive needs more memory than it may have") from None


def _zipped(stream: IO[bytes], size: int) -> Iterator[Entry]:
    with zipfile.ZipFile(stream) as archive:
        items = archive.infolist()
        if len(items) > MOST_ENTRIES:
            raise Problem(f"the archive has {len(items)} entries; {MOST_ENTRIES} are allowed")
        if sum(item.compress_size for item in items) > size:
            raise Problem("the archive's entries share bytes")
        if sum(item.file_size for item in items) > MOST_BYTES:
            raise Problem(f"the archive unpacks to more than {MOST_BYTES} bytes")
        for item in items:
            kind = stat.S_IFMT(item.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise Problem(f"{_shown(item.filename)}: links and devices have no place in an export")
            if item.flag_bits & 1:
                raise Problem(f"{_shown(item.filename)}: it is encrypted")
            if not item.is_dir() and item.filename.endswith(_SUFFIXES):
                _check_size(item.filename, item.file_size)
                with archive.open(item) as member:
                    # One byte more than it claims, so that its checksum is looked at.
                    content = member.read(LARGEST + 1)
                if len(content) != item.file_size:
                    raise Problem(f"{_shown(item.filename)}: it has another size than its header says")
                yield Entry(item.filename, content)


def _tarred(stream: IO[bytes]) -> Iterator[Entry]:
    counted = _Counted(stream)
    entries = 0
    with tarfile.open(fileobj=cast(IO[bytes], counted), mode="r|", errorlevel=2) as archive:
        for item in archive:
            entries += 1
            if entries > MOST_ENTRIES:
                raise Problem(f"the archive has more than {MOST_ENTRIES} entries")
            # What was read is kept by the library for a search that there is none of here.
            archive.members.clear()  # type: ignore[attr-defined]
            if item.isdir():
                continue
            if not item.isreg() or item.issparse():
                raise Problem(f"{_shown(item.name)}: links and devices have no place in an export")
            if item.name.endswith(_SUFFIXES):
                _check_size(item.name, item.size)
                member = archive.extractfile(item)
                content = member.read(item.size) if member else b""
                if len(content) != item.size:
                    raise Problem("the archive is cut off")
                yield Entry(item.name, content)
    if not entries:
        raise Problem("the archive is empty")


class _Counted:
    """Ends a stream that inflates to more than is allowed."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._left = MOST_BYTES

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(min(size, 1 << 20) if size >= 0 else 1 << 20)
        self._left -= len(data)
        if self._left < 0:
            raise Problem(f"the archive unpacks to more than {MOST_BYTES} bytes")
        return data


def _check_size(name: str, size: int) -> None:
    if size > LARGEST:
        raise Problem(f"{_shown(name)}: it has {size} bytes; a record has {LARGEST} at most")


def _shown(name: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in name[:200])
