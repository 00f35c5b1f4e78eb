"""`requirements.txt` with the files that it names by `-r`: all inside the bundle, as pip reads them."""

from __future__ import annotations

import posixpath
import re
from typing import Final

from casemate_runtime.requirements import FILE, Files, Place, Requirement, Tell, read, refused, shown, stop

_DEEPEST: Final = 8
_MOST_FILES: Final = 32


def read_files(files: Files, content: bytes, strict: bool, tell: Tell = stop) -> list[Requirement]:
    """`content`: of the first file. Raises a `Fault` with the file and line that it is about."""
    return _Reader(files, strict, tell).read(FILE, content)


class _Reader:
    def __init__(self, files: Files, strict: bool, tell: Tell) -> None:
        self._files = files
        self._strict = strict
        self._tell = tell
        self._open: list[str] = []
        self._count = 0

    def read(self, file: str, content: bytes) -> list[Requirement]:
        self._open.append(file)
        try:
            return read(content, self._strict, file, self._include, tell=self._tell)
        finally:
            self._open.pop()

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
        content = self._files(file)
        if content is None:
            raise refused(f"{line}: there is no such file in the bundle", "correct the name, or add the file", place)
        return self.read(file, content)
