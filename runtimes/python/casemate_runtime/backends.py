"""Puts what a source distribution is built with beside it: wheels, by their hashes, as locked as all other packages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, NamedTuple

from casemate_runtime.faults import Fault
from casemate_runtime.lock import Lock, read_lock
from casemate_runtime.requirements import Requirement, normalised, write
from casemate_runtime.sdists import Sdist, Sdists
from casemate_runtime.uv import Uv

_WANTED: Final = "wanted.json"


class Wanted(NamedTuple):
    """A package to build. `archive` is a file's name in its folder."""

    name: str
    version: str
    archive: str


def with_backends(uv: Uv, lock: Lock, sdists: Sdists) -> Lock:
    """The lock with the backends of all that is built. Raises a `Fault`."""
    backends = {}
    for item in lock.requirements:
        name = normalised(item.name)
        if name in lock.from_source:
            sdist, folder = sdists.get(item), sdists.folder / name
            backends[name] = _provide(uv, sdist, folder / "backend", lock.backends.get(name))
            wanted = Wanted(name, item.version, sdist.file.name)
            (folder / _WANTED).write_text(json.dumps(wanted._asdict()), encoding="utf-8")
    return lock._replace(backends=backends)


def wanted_in(folder: Path) -> Wanted:
    return Wanted(**json.loads((folder / _WANTED).read_text(encoding="utf-8")))


def _provide(uv: Uv, sdist: Sdist, target: Path, kept: list[Requirement] | None) -> list[Requirement]:
    target.mkdir()
    if not sdist.requires:
        return []
    name, place = sdist.requirement.name, sdist.requirement.place
    try:
        requirements = kept
        if requirements is None:
            made = read_lock(uv.compile(write(sdist.requires)))
            requirements = made.requirements if made else []
        uv.install(write(requirements), target)
    except Fault as fault:
        message = f"what {name} is built with: {fault.message}"
        raise Fault(fault.code, message, place.file, place.line, fault.body) from None
    return requirements
