"""The lines of a requirements file, read for what they say: what is wrong in them is somebody else's to refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from casemate_runtime.requirements import logical_lines, normalised
from packaging.requirements import InvalidRequirement, Requirement

_LARGEST: Final = 1 << 20
_HASH: Final = re.compile(r"--hash(?:=|\s+)([a-z0-9]+:[0-9A-Fa-f]+)(?=\s|$)")
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


class Line(NamedTuple):
    name: str
    """As PEP 503 normalises it."""
    written: str
    line: int
    version: str | None
    """The one that it is pinned to."""
    hashes: tuple[str, ...]
    applies: bool
    """Whether its marker holds here."""


def read(content: bytes) -> Iterator[Line]:
    """Options and what can't be understood are passed over."""
    text = content[:_LARGEST].decode("utf-8-sig", "replace")
    for number, logical in logical_lines(text):
        hashes = tuple(_HASH.findall(logical))
        bare = re.sub(r"\s--.*", "", f" {logical}").strip()
        if not bare or bare.startswith("-"):
            continue
        try:
            requirement = Requirement(bare)
        except InvalidRequirement:
            matched = _NAME.match(bare)
            if matched and "://" not in bare:
                yield Line(normalised(matched[0]), matched[0], number, None, hashes, True)
            continue
        clauses = list(requirement.specifier)
        pinned = len(clauses) == 1 and clauses[0].operator in ("==", "===") and not clauses[0].version.endswith("*")
        version = clauses[0].version if pinned else None
        yield Line(normalised(requirement.name), requirement.name, number, version, hashes, holds(requirement))


def holds(requirement: Requirement) -> bool:
    """Whether its marker does, here and without extras."""
    try:
        return requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    except Exception:  # a marker may compare what can't be compared
        return True
