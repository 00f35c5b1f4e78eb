"""The archive that a deployment would have sent: the same tree gives the same bytes."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterable
from typing import IO, Final

from casemate_fetch.faults import refused, shown, too_large
from casemate_fetch.pack import BLOB
from casemate_fetch.tree import Planned

_WHEN: Final = (1980, 1, 1, 0, 0, 0)
_LEVEL: Final = 6
_UNIX: Final = 3
_LONGEST_POINTER: Final = 1024
_POINTERS: Final = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")


def write(files: Iterable[Planned], out: IO[bytes], maximum: int) -> None:
    """`maximum`: bytes of the archive."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(files, key=lambda file: file.path.encode()):
            content = file.pack.read(file.oid, BLOB)
            if len(content) <= _LONGEST_POINTER and content.startswith(_POINTERS):
                what = (
                    f"{shown(file.path)} is a pointer of Git LFS, whose content is not fetched; commit the file itself"
                )
                raise refused(what, file.path)
            entry = zipfile.ZipInfo(file.path, _WHEN)
            entry.create_system = _UNIX
            entry.external_attr = (stat.S_IFREG | (0o755 if file.is_executable else 0o644)) << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED, _LEVEL)
            _check(out, maximum)
    _check(out, maximum)


def _check(out: IO[bytes], maximum: int) -> None:
    if out.tell() > maximum:
        raise too_large(f"the source packs to more than {maximum} bytes; take out what the function does not need")
