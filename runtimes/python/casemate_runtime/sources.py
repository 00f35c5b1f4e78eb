"""Where a bundle says what it needs. A lock comes first, then the first of the other files that exists, and no other."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from casemate_runtime import nested, pylock, pyproject, requirements
from casemate_runtime.requirements import HOW_TO_LOCK, Place, Requirement, normalised, refused


class Needs(NamedTuple):
    file: str
    requirements: list[Requirement]
    # All that will be installed, with hashes: nothing is resolved.
    is_lock: bool
    # What the author has asked for, where that stands beside a lock of the whole.
    asked: tuple[Requirement, ...] = ()

    def direct(self, name: str) -> Requirement | None:
        """The first line for this package."""
        return next((item for item in self.requirements if normalised(item.name) == normalised(name)), None)

    def place(self, *names: str) -> Place:
        """Where the first of them stands that stands somewhere; of what others need only the file is known."""
        found = (item.place for item in map(self.direct, names) if item)
        return next(found, Place(self.file, None))


def find(source: Path, strict: bool, from_source: Collection[str] = ()) -> Needs | None:
    """`from_source`: normalised names of packages that are built. Raises a `Fault` with file and line."""
    if (source / pylock.FILE).is_file():
        lock = pylock.read((source / pylock.FILE).read_bytes(), from_source)
        try:
            asked = written(source, strict=False)
        except Fault:
            # Other tools read more than we do, such as tables of their own. What is installed is the lock's.
            asked = None
        if asked is None:
            return Needs(pylock.FILE, lock, True)
        agreement.check(asked.requirements, lock)
        return Needs(pylock.FILE, lock, True, tuple(asked.requirements))
    return written(source, strict)


def written(source: Path, strict: bool) -> Needs | None:
    """What the author has written, whether or not there is a lock of it. Raises a `Fault` with file and line."""
    if (source / requirements.FILE).is_file():
        return Needs(requirements.FILE, nested.read_files(source, strict), strict)
    if (source / pyproject.FILE).is_file():
        found = pyproject.read((source / pyproject.FILE).read_bytes())
        if strict and found:
            what = f"{found[0].name}: the policy asks for a full lock beside {pyproject.FILE}"
            raise refused(what, HOW_TO_LOCK, found[0].place)
        return Needs(pyproject.FILE, found, False)
    return None
