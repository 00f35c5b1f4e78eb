"""What an index has withdrawn (PEP 592). Only who pins such a version still gets it, and here nobody does."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from casemate_runtime.faults import Fault
from casemate_runtime.requirements import refused
from casemate_runtime.sources import Needs

_LONGEST_REASON: Final = 200
# uv has read the very page that it chose the file from; a test with the real one holds it to these words.
_WARNING: Final = re.compile(r'^warning: `([^`=\s]+)==([^`\s]+)` is yanked(?: \(reason: "(.*))?$', re.MULTILINE)


class Yanked(NamedTuple):
    """`reason`: the index's own, empty where it gives none."""

    name: str
    version: str
    reason: str


def warned_of(output: str) -> list[Yanked]:
    """By uv, of what it has installed. Of a reason with several lines the first."""
    return [Yanked(found[1], found[2], (found[3] or "").removesuffix('")')) for found in _WARNING.finditer(output)]


def refusal(item: Yanked, needs: Needs) -> Fault:
    reason = "".join(char if char.isprintable() else " " for char in item.reason).strip()
    if len(reason) > _LONGEST_REASON:
        reason = f"{reason[: _LONGEST_REASON - 1]}…"
    why = f': "{reason}"' if reason else ", which gives no reason"
    line = needs.direct(item.name)
    # Else it stayed from the lock that is kept.
    fix = (
        f"pin another version of {item.name}"
        if line and line.version
        else "take another version: casemate deps upgrade"
    )
    return refused(f"{item.name} {item.version} was yanked from its index{why}", fix, needs.place(item.name))
