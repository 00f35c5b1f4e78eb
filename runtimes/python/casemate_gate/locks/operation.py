"""The operation `lock`: what a folder asks for becomes a `pylock.toml` beside it.

Ask: what the author has written, by the builder's own readers. → Resolve: with the versions of the lock before, but for those to
upgrade. → Mend: what an upgrade leaves with known vulnerabilities. → Write: wheels with their hashes, and the lines that were in the
way. → Save: all files at once.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from casemate_runtime import pylock as locks
from casemate_runtime import pyproject
from casemate_runtime.faults import Fault
from casemate_runtime.requirements import Requirement, normalised
from casemate_runtime.sources import files_in, written
from casemate_runtime.uv import Uv

from casemate_gate.findings import Finding, shown
from casemate_gate.locks import pylock
from casemate_gate.locks.before import resolution_of
from casemate_gate.locks.known import Known
from casemate_gate.locks.mending import Mender, State
from casemate_gate.locks.outside import explained, uv_tool
from casemate_gate.locks.resolver import Resolution, Resolver
from casemate_gate.locks.rewriting import Change, rewritten
from casemate_gate.locks.saving import Files
from casemate_gate.locks.target import Target
from casemate_gate.problems import Problem, strings, text
from casemate_gate.runner import Progress

_EVERYTHING: Final = "*"


def lock(request: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    started = time.monotonic()
    folder = Path(text(request, "source"))
    if not folder.is_absolute() or not folder.is_dir():
        raise Problem("source is no folder; it has to be absolute")
    target = Target.parse(text(request, "python", "3.11"))
    index = text(request, "index")
    tool = uv_tool(Path(text(request, "uv")), target)
    names = frozenset(name if name == _EVERYTHING else normalised(name) for name in strings(request, "upgrade"))
    job = _Job(Files(folder), target, names, Known.of(request, target), progress)
    with tempfile.TemporaryDirectory(prefix="casemate-lock-") as scratch:
        try:
            result, contents = job.run(_asked(folder, target), Resolver(Uv(tool, Path(scratch), index)))
        except Fault as fault:
            raise explained(fault, index) from None
    if request.get("write") is True:
        job.files.replace(contents)
    return result | {"milliseconds": round((time.monotonic() - started) * 1000)}


def _asked(folder: Path, target: Target) -> list[Requirement]:
    needs = written(files_in(folder), strict=False)
    if needs is None:
        why = "there is neither a requirements.txt nor a pyproject.toml"
    elif not any(map(target.holds, needs.requirements)):
        why = f"{needs.file} asks for no packages"
    else:
        return needs.requirements
    raise Problem(f"there is nothing to lock: {why}; write each package in a line of its own into requirements.txt")


class _Job:
    def __init__(self, files: Files, target: Target, names: frozenset[str], known: Known, progress: Progress) -> None:
        self.files = files
        self._target = target
        self._names = names
        self._known = known
        self._progress = progress

    def run(self, asked: list[Requirement], resolver: Resolver) -> tuple[dict[str, Any], dict[str, bytes]]:
        """The result, and the files that change. Raises a `Fault` or a `Problem`."""
        for file in sorted({item.place.file for item in asked}):
            self.files.read(file)
        before = resolution_of(self.files.read(locks.FILE))
        kept = {name: item.version for name, item in before.items() if self._names.isdisjoint((name, _EVERYTHING))}
        first = self._first(resolver, asked, kept)
        if unknown := self._names - {_EVERYTHING, *first.resolution, *before}:
            known = ", ".join(first.resolution)
            raise Problem(f"{shown(', '.join(sorted(unknown)), 200)}: there is no such package here, only {known}")
        last, reasons = self._mended(resolver, first, kept)
        changes = _changes(asked, last.lines)
        contents = self._written(changes) | {locks.FILE: self._lock(resolver, last)}
        # What nobody had locked is compared with what a deployment would have locked.
        past = before or (first.resolution if self._names else Resolution())
        return {
            "lock": locks.FILE,
            "packages": _compared(past, last.resolution),
            "total": len(last.resolution),
            "lines": [_line(change) for change in changes],
            **self._findings(self._known.of_all(asked, past), self._known.of_all(last.lines, last.resolution), reasons),
        }, {name: content for name, content in contents.items() if content != self.files.read(name)}

    def _first(self, resolver: Resolver, asked: Sequence[Requirement], kept: Mapping[str, str]) -> State:
        started = time.monotonic()
        found = resolver.resolve(asked, kept)
        self._progress("packages", 0, round((time.monotonic() - started) * 1000))
        return State(tuple(asked), {}, found)

    def _mended(self, resolver: Resolver, state: State, kept: Mapping[str, str]) -> tuple[State, dict[str, str]]:
        """With why some could not be."""
        if not self._names:
            return state, {}
        since = time.monotonic()

        def look(lines: Sequence[Requirement], resolution: Resolution) -> list[Finding]:
            nonlocal since
            found = self._known.of_all(lines, resolution)
            self._progress("advisories", len(found), round((time.monotonic() - since) * 1000))
            since = time.monotonic()
            return found

        names = None if _EVERYTHING in self._names else self._names
        mender = Mender(resolver, self._target, look, kept, names)
        return mender.mend(state), mender.reasons

    def _lock(self, resolver: Resolver, state: State) -> bytes:
        packages = resolver.lock(state.lines, state.resolution)
        lines = filter(self._target.holds, state.lines)
        return pylock.written(self._target.python, packages, state.resolution, lines).encode()

    def _written(self, changes: Iterable[Change]) -> dict[str, bytes]:
        by_file: dict[str, list[Change]] = {}
        for change in changes:
            by_file.setdefault(change.place.file, []).append(change)
        return {file: rewritten(self.files.read(file) or b"", file, own) for file, own in by_file.items()}

    @staticmethod
    def _findings(before: list[Finding], after: list[Finding], reasons: Mapping[str, str]) -> dict[str, Any]:
        def key(finding: Finding) -> tuple[str, str]:
            return finding.rule, finding.subject

        staying = set(map(key, after))
        left = [
            finding.as_json() | ({"why": shown(reasons[finding.subject])} if finding.subject in reasons else {})
            for finding in after
        ]
        return {"fixed": [item.as_json() for item in before if key(item) not in staying], "left": left}


def _changes(before: Iterable[Requirement], after: Iterable[Requirement]) -> list[Change]:
    found: list[Change] = []
    for old, new in zip(before, after):
        change = Change(old.place, old, new)
        # A file may be included twice. In a project an entry may stand twice in a line.
        if old.text != new.text and (old.place.file == pyproject.FILE or change not in found):
            found.append(change)
    return found


def _compared(before: Resolution, after: Resolution) -> list[dict[str, str | None]]:
    changed = []
    for name in sorted({*before, *after}):
        old, new = (side[name].version if name in side else None for side in (before, after))
        if old != new:
            changed.append({"name": name, "before": old, "after": new})
    return changed


def _line(change: Change) -> dict[str, Any]:
    place = change.place
    return {"file": place.file, "line": place.line, "before": change.before.text, "after": change.after.text}
