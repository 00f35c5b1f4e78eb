"""Puts other versions into an author's file, and leaves every other byte of it as it is.

What came of it is read again: where it does not say just what was meant, the file is not touched.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any, Final, NamedTuple

from casemate_runtime import pyproject
from casemate_runtime.faults import Fault
from casemate_runtime.requirements import Place, Requirement, normalised, read

from casemate_gate.locks.lines import respecified
from casemate_gate.problems import Problem

_HASH: Final = re.compile(r"\s+--hash(?:=|\s+)\S+")
_COMMENT: Final = re.compile(r"(^|\s+)#.*")
_KEY: Final = re.compile(r"(?<![\w-])dependencies\s*=")


class Change(NamedTuple):
    """Of one line; `before` and `after` are the requirement's text."""

    place: Place
    before: Requirement
    after: Requirement


def rewritten(content: bytes, file: str, changes: list[Change]) -> bytes:
    """Raises a `Problem` with the line that can't be changed."""
    text = content.decode()
    change = _project if file == pyproject.FILE else _requirements
    return change(text, file, changes).encode()


def _requirements(text: str, file: str, changes: list[Change]) -> str:
    raw = re.split(r"(\r\n|\r|\n)", text)
    lines, ends = raw[::2], [*raw[1::2], ""]
    for change in changes:
        if change.place.line is None:
            raise _unchangeable(change)
        first = last = change.place.line - 1
        while lines[last].endswith("\\") and last + 1 < len(lines):
            last += 1
        # The lines stay as many as they were until all are changed.
        empty = [""] * (last - first)
        lines[first : last + 1] = [_changed(_joined(lines[first : last + 1]), change), *empty]
        ends[first : last + 1] = [ends[last], *empty]
    made = "".join(line + end for line, end in zip(lines, ends))
    if misread := _misread(made, text, file, {change.place.line: change for change in changes}):
        raise _unchangeable(misread)
    return made


def _joined(lines: list[str]) -> str:
    """What backslashes put into one line."""
    if len(lines) == 1:
        return lines[0]
    return " ".join([*(line.removesuffix("\\").strip(" \t") for line in lines[:-1]), lines[-1].lstrip(" \t")])


def _changed(line: str, change: Change) -> str:
    comment = _COMMENT.search(line)
    own, rest = (line[: comment.start()], line[comment.start() :]) if comment else (line, "")
    start = len(own) - len(own.lstrip("\ufeff \t"))
    return own[:start] + respecified(_HASH.sub("", own[start:]), change.after.versions) + rest


def _misread(made: str, text: str, file: str, changes: Mapping[int | None, Change]) -> Change | None:
    """A change after which the new text has other requirements than those of the old one with the changes."""
    before = read(text.encode(), False, file, lambda *_: [])
    try:
        after = read(made.encode(), False, file, lambda *_: [])
    except Fault:
        after = []
    for old, new in zip_longest(before, after):
        change = changes.get(old.place.line) if old else None
        wanted = change.after if change else old
        if wanted is None or new is None or _meaning(new) != _meaning(wanted):
            return change or next(iter(changes.values()))
    return None


def _meaning(item: Requirement) -> tuple[object, ...]:
    return normalised(item.name), item.extras, "".join(item.versions.split()), item.marker, item.hashes


def _project(text: str, file: str, changes: list[Change]) -> str:
    for change in changes:
        text = _with_dependency(text, change)
    return text


def _with_dependency(text: str, change: Change) -> str:
    """tomllib does not tell where an entry stands: it is where the changed text means the changed document, and nothing else."""
    document = tomllib.loads(text)
    old = document["project"]["dependencies"]
    at = next((at for at, entry in enumerate(old) if _is(entry, change)), None)
    if at is not None:
        new = respecified(old[at].strip(), change.after.versions)
        wanted: dict[str, Any] = {
            **document,
            "project": {**document["project"], "dependencies": [*old[:at], new, *old[at + 1 :]]},
        }
        key = _KEY.search(text)
        place = text.find(old[at], key.end() if key else 0)
        while place >= 0:
            made = text[:place] + new + text[place + len(old[at]) :]
            if _parsed(made) == wanted:
                return made
            place = text.find(old[at], place + 1)
    raise _unchangeable(change)


def _is(entry: str, change: Change) -> bool:
    return re.sub(r"\s+", " ", entry).strip() == change.before.text


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _unchangeable(change: Change) -> Problem:
    line = "" if change.place.line is None else f":{change.place.line}"
    what = f"{change.place.file}{line}: {change.before.text[:100]}"
    return Problem(f"{what}: this can't be changed by a program; write {change.after.text[:100]} there, and try again")
