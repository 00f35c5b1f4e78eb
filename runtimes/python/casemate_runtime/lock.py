"""A lock's text: what it was made for in comments at its head, then every package with its hashes.

Two locks install the same where they differ in comments only, but for the Python version and what is built from source.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from casemate_runtime.faults import Fault
from casemate_runtime.requirements import Place, Requirement, normalised, parse, read, write

_LARGEST: Final = 8 * 1024 * 1024
_FIRST: Final = "# casemate lock 1"
_INPUTS: Final = "# inputs "
_PYTHON: Final = "# python "
_INDEXES: Final = "# indexes "
_FROM_SOURCE: Final = "# from source: "
_BACKEND: Final = "# backend "


class Lock(NamedTuple):
    requirements: list[Requirement]
    inputs: str
    python: str
    from_source: tuple[str, ...]  # normalised names, sorted
    # What each of these is built with, and all that that needs.
    backends: Mapping[str, list[Requirement]] = MappingProxyType({})
    # Of the indexes that it was resolved with, and which package is whose.
    indexes: str = ""

    def text(self) -> str:
        head = [_FIRST, f"{_INPUTS}{self.inputs}", f"{_PYTHON}{self.python}"]
        if self.indexes:
            head.append(f"{_INDEXES}{self.indexes}")
        if self.from_source:
            head.append(_FROM_SOURCE + ", ".join(self.from_source))
        for name, requirements in sorted(self.backends.items()):
            for item in requirements:
                head.append(" ".join([f"{_BACKEND}{name}: {item.text}", *(f"--hash={value}" for value in item.hashes)]))
        return "\n".join([*head, write(self.requirements)])

    def installs_like(self, other: Lock) -> bool:
        same_kind = (self.python, self.from_source) == (other.python, other.from_source)
        return same_kind and write(self.requirements) == write(other.requirements)


def read_lock(text: str) -> Lock | None:
    """`None` for one that is not ours: then it is as if there were none."""
    head = text[: text.find("\n")] if "\n" in text else text
    try:
        requirements = read(text.encode(), strict=True, largest=_LARGEST)
        if head != _FIRST:
            return Lock(requirements, "", "", ())
        backends = _backends(text)
    except Fault:
        return None
    built = _value(text, _FROM_SOURCE)
    names = tuple(built.split(", ")) if built else ()
    return Lock(requirements, _value(text, _INPUTS), _value(text, _PYTHON), names, backends, _value(text, _INDEXES))


def digest(requirements: Iterable[Requirement], python: str, **decided: Any) -> str:
    """Of all that decides about a lock. Order, comments and the requirements' files don't."""
    lines = sorted([*_normal(item), sorted(item.hashes)] for item in requirements)
    return digest_of({"requirements": lines, "python": python, **decided})


def digest_of(what: Mapping[str, object]) -> str:
    """Of what JSON can hold, whatever its order."""
    return "sha256:" + hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _normal(item: Requirement) -> list[str]:
    before, _, marker = item.text.partition(";")
    versions = re.sub(r"[\s()]+", "", before[len(item.name) :].rpartition("]")[2])
    return [normalised(item.name), item.extras, ",".join(sorted(filter(None, versions.split(",")))), marker.strip()]


def _value(text: str, head: str) -> str:
    return next((line.removeprefix(head).strip() for line in _head(text) if line.startswith(head)), "")


def _backends(text: str) -> dict[str, list[Requirement]]:
    found: dict[str, list[Requirement]] = {}
    for line in _head(text):
        if line.startswith(_BACKEND):
            name, _, requirement = line.removeprefix(_BACKEND).partition(": ")
            found.setdefault(name, []).append(parse(requirement, Place("", None), strict=True))
    return found


def _head(text: str) -> Iterator[str]:
    """The comments before the first other line."""
    for line in text.split("\n"):
        if not line.startswith("#"):
            return
        yield line
