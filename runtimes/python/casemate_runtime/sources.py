"""Where a bundle says what it needs. The first of these files that exists is read, and no other."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from casemate_runtime import nested, pylock, pyproject, requirements
from casemate_runtime.requirements import HOW_TO_LOCK, Requirement, refused


class Needs(NamedTuple):
    file: str
    requirements: list[Requirement]
    # All that will be installed, with hashes: nothing is resolved.
    is_lock: bool


def find(source: Path, strict: bool, from_source: Collection[str] = ()) -> Needs | None:
    """`from_source`: normalised names of packages that are built. Raises a `Fault` with file and line."""
    if (source / pylock.FILE).is_file():
        return Needs(pylock.FILE, pylock.read((source / pylock.FILE).read_bytes(), from_source), True)
    if (source / requirements.FILE).is_file():
        return Needs(requirements.FILE, nested.read_files(source, strict), strict)
    if (source / pyproject.FILE).is_file():
        found = pyproject.read((source / pyproject.FILE).read_bytes())
        if strict and found:
            message = f"{found[0].name}: the policy asks for a full lock beside {pyproject.FILE}; {HOW_TO_LOCK}"
            raise refused(message, found[0].place)
        return Needs(pyproject.FILE, found, False)
    return None
