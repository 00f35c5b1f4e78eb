"""Whether a pylock.toml still has what the file beside it asks for: else what is installed is not what its author reads there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from casemate_runtime.pylock import FILE
from casemate_runtime.requirements import Requirement, normalised, refused
from casemate_runtime.versions import allows

_REMEDY: Final = "make it anew: casemate deps lock PATH"


def check(asked: Iterable[Requirement], lock: Iterable[Requirement]) -> None:
    """Raises a `Fault` with the line that the lock does not have. A line with a condition is passed over: which of them hold is
    the installer's to say."""
    locked: dict[str, list[str]] = {}
    for item in lock:
        locked.setdefault(normalised(item.name), []).append(item.version)
    for item in asked:
        if item.marker:
            continue
        versions = locked.get(normalised(item.name))
        if versions is None:
            raise refused(f"{item.name}: {FILE} does not have it", _REMEDY, item.place)
        if not any(allows(item.versions, version) for version in versions):
            raise refused(f"{item.text}: {FILE} has {' and '.join(versions)}", _REMEDY, item.place)
