"""What uv's failures mean for an author: what is wrong, what to do about it, and with which packages.

uv writes for people alone. What is not understood here is shown as uv has said it.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from casemate_runtime.look_alikes import imitated
from casemate_runtime.requirements import HOW_TO_LOCK, OTHER_HASH, normalised

_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_OTHER_HASH: Final = re.compile(rf"Hash mismatch for `({_NAME})==([^`\s]+)`")
_NO_HASH: Final = re.compile(rf"no trusted hash was provided for: `({_NAME})")
_ABSENT: Final = re.compile(
    rf"Because (?:({_NAME}) was not found in the package registry|there are no versions of ({_NAME}))"
)
_NEEDS: Final = rf"and (?:all versions of )?({_NAME})(?:==\S+)? depends? on "
_REQUIRED: Final = re.compile(rf"\byou require ({_NAME})")
_NO_WHEEL: Final = re.compile(rf"Because ({_NAME})\S* has no (?:usable )?wheels\b")
_LONGEST: Final = 300
_WHERE_FROM: Final = "correct its name, or name the index that has it in casemate.yaml under dependencies.indexes"


class Complaint(NamedTuple):
    """`packages`: names of those that it is about, the nearest to the cause first."""

    what: str
    fix: str
    packages: tuple[str, ...] = ()


def complaint(said: str) -> Complaint:
    """`said`: uv's error and its causes in one line."""
    if found := _OTHER_HASH.search(said):
        return Complaint(
            f"{found[1]} {found[2]}: its file has another hash than the one locked", OTHER_HASH, (found[1],)
        )
    if found := _NO_HASH.search(said):
        what = f"{found[1]}: another package needs it, and the lock has no hash of it"
        return Complaint(what, HOW_TO_LOCK, (found[1],))
    if found := _ABSENT.search(said):
        return _absent(found[1] or found[2], said)
    packages = _required(said)
    shown = said.rstrip(".") if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…"
    if found := _NO_WHEEL.search(said):
        fix = "choose a version that has a wheel, or name it in casemate.yaml under dependencies.fromSource"
        return Complaint(shown, fix, (found[1], *packages))
    if said.startswith("No solution found"):
        # Of a name with extras uv says only that no version of it fits.
        original = imitated(normalised(packages[0])) if packages else None
        fix = "choose versions that the index has and that fit together"
        return Complaint(shown, f"did you mean {original}? Else {fix}" if original else fix, packages)
    return Complaint(shown, "try again, or have whoever runs the server look at its package index")


def _absent(name: str, said: str) -> Complaint:
    parent = re.search(rf"{_NEEDS}{re.escape(name)}(?![A-Za-z0-9._-])", said)
    needed = f", and {parent[1]} needs it" if parent else ""
    packages = (name, *(parent.groups() if parent else ()), *_required(said))
    if original := imitated(normalised(name)):
        what = f"{name}, which looks like {original}, is not in its package index{needed}"
        return Complaint(what, f"did you mean {original}?", packages)
    return Complaint(f"{name} is not in its package index{needed}", _WHERE_FROM, packages)


def _required(said: str) -> tuple[str, ...]:
    """What the author asked for. Of several nobody can say which one is to be changed."""
    names = tuple(dict.fromkeys(_REQUIRED.findall(said)))
    return names if len(names) == 1 else ()
