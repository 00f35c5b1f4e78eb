"""Puts other versions into an author's file, and leaves every other byte of it as it is.

What came of it is read again: where it does not say just what was meant, the file is not touched.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
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
    by_line = {change.place.line: change for change in changes}
    for number, change in by_line.items():
        if number is None:
            raise _unchangeable(change)
        first = last = number - 1
        while lines[last].endswith("\\") and last + 1 < len(lines):
            last += 1
        joined = " ".join(
            line.removesuffix("\\").rstrip() if at < last else line
            for at, line in enumerate(lines[: last + 1])
            if at >= first
        )
        comment = _COMMENT.search(joined)
        own, rest = (joined[: comment.start()], joined[comment.start() :]) if comment else (joined, "")
        start = len(own) - len(own.lstrip("\ufeff \t"))
        changed = own[:start] + respecified(_HASH.sub("", own[start:]), change.after.versions) + rest
        # The lines stay as many as they were until all are changed.
        lines[first : last + 1] = [changed, *[""] * (last - first)]
        ends[first : last + 1] = [ends[last], *[""] * (last - first)]
    made = "".join(line + end for line, end in zip(lines, ends))
    if not _says(made, text, file, by_line):
        raise _unchangeable(changes[0])
    return made


def _says(made: str, text: str, file: str, changes: Mapping[int | None, Change]) -> bool:
    """Whether the new text has the requirements of the old one, but for the changes."""
    try:
        before = read(text.encode(), False, file, lambda *_: [])
        after = read(made.encode(), False, file, lambda *_: [])
    except Fault:
        return False
    wanted = [changes[item.place.line].after if item.place.line in changes else item for item in before]
    return [_meaning(item) for item in after] == [_meaning(item) for item in wanted]


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
