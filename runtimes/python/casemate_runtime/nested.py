"""`requirements.txt` with the files that it names by `-r`: all inside the bundle, as pip reads them."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Final

from casemate_runtime.requirements import FILE, Place, Requirement, read, refused, shown

_DEEPEST: Final = 8
_MOST_FILES: Final = 32


def read_files(source: Path, strict: bool) -> list[Requirement]:
    """`source`: the unpacked bundle, which holds no links. Raises a `Fault` with the file and line that it is about."""
    return _Reader(source, strict).read(FILE)


class _Reader:
    def __init__(self, source: Path, strict: bool) -> None:
        self._source = source
        self._strict = strict
        self._open: list[str] = []
        self._count = 0

    def read(self, file: str) -> list[Requirement]:
        self._open.append(file)
        found = read((self._source / file).read_bytes(), self._strict, file, self._include)
        self._open.pop()
        return found

    def _include(self, name: str, place: Place) -> list[Requirement]:
        line = f"-r {shown(name)}"
        if "://" in name or name.startswith("file:"):
            raise refused(
                f"{line}: requirements come from the bundle, not from a URL",
                "put the file into the source, and name its path there",
                place,
            )
        if re.search(r"[\\$'\"\s]", name):
            raise refused(f"{line}: this is no plain path", "leave out spaces, quotes, variables and options", place)
        file = posixpath.normpath(posixpath.join(posixpath.dirname(place.file), name))
        if name.startswith("/") or file == ".." or file.startswith("../"):
            raise refused(f"{line}: the file is outside the bundle", "put it into the source folder", place)
        if file in self._open:
            raise refused(f"{line}: the files name each other in a circle", "leave out one of these lines", place)
        self._count += 1
        if len(self._open) > _DEEPEST or self._count > _MOST_FILES:
            raise refused(
                f"{line}: {_MOST_FILES} files are allowed, {_DEEPEST} deep", "put them into fewer files", place
            )
        if not (self._source / file).is_file():
            raise refused(f"{line}: there is no such file in the bundle", "correct the name, or add the file", place)
        return self.read(file)
