"""Where a bundle says what it needs. A lock comes first, then the first of the other files that exists, and no other."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from casemate_runtime import agreement, nested, pylock, pyproject, requirements
from casemate_runtime.faults import Fault
from casemate_runtime.requirements import HOW_TO_LOCK, Files, Place, Requirement, Tell, normalised, refused, stop


class Needs(NamedTuple):
    file: str
    requirements: list[Requirement]
    # All that will be installed, with hashes: nothing is resolved.
    is_lock: bool
    # What the author has asked for, where that stands beside a lock of the whole.
    asked: tuple[Requirement, ...] = ()

    def direct(self, name: str) -> Requirement | None:
        """The first line for this package."""
        return next(
            (item for item in (*self.asked, *self.requirements) if normalised(item.name) == normalised(name)), None
        )

    def place(self, *names: str) -> Place:
        """Where the first of them stands that stands somewhere; of what others need only the file is known."""
        found = (item.place for item in map(self.direct, names) if item)
        return next(found, Place(self.file, None))


def files_in(source: Path) -> Files:
    """`source`: the unpacked bundle, which holds no links."""

    def read(name: str) -> bytes | None:
        return (source / name).read_bytes() if (source / name).is_file() else None

    return read


def find(files: Files, strict: bool, from_source: Collection[str] = (), tell: Tell = stop) -> Needs | None:
    """`from_source`: normalised names of packages that are built. Raises a `Fault` with file and line."""
    if (content := files(pylock.FILE)) is not None:
        lock = pylock.read(content, from_source)
        try:
            asked = written(files, strict=False)
        except Fault:
            # Other tools read more than we do, such as tables of their own. What is installed is the lock's.
            asked = None
        if asked is None:
            return Needs(pylock.FILE, lock, True)
        agreement.check(asked.requirements, lock)
        return Needs(pylock.FILE, lock, True, tuple(asked.requirements))
    return written(files, strict, tell)


def written(files: Files, strict: bool, tell: Tell = stop) -> Needs | None:
    """What the author has written, whether or not there is a lock of it. Raises a `Fault` with file and line."""
    if (content := files(requirements.FILE)) is not None:
        return Needs(requirements.FILE, nested.read_files(files, content, strict, tell), strict)
    if (content := files(pyproject.FILE)) is not None:
        found = pyproject.read(content)
        if strict and found:
            what = f"{found[0].name}: the policy asks for a full lock beside {pyproject.FILE}"
            raise refused(what, HOW_TO_LOCK, found[0].place)
        return Needs(pyproject.FILE, found, False)
    return None
