"""The requirements that a project writes down: those that name no one version (COG-18), imitate a name, or are known to be at fault."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from casemate_runtime.look_alikes import imitated
from casemate_runtime.pylock import FILE as LOCK
from casemate_runtime.requirements import FILE as TOP

from casemate_gate.findings import Finding, Severity
from casemate_gate.match import CHECK, Advisories
from casemate_gate.requirements import Line, read
from casemate_gate.subject import File, Subject, Unreadable

_FILE: Final = re.compile(r"(?:.*/)?(?:requirements[\w.-]*|requirements/[\w.-]+)\.txt")
_MOST_FILES: Final = 200


class RequirementLines:
    name = "dependencies"

    def examine(self, subject: Subject) -> Iterable[Finding]:
        locks = {file.name for file in subject.files if file.name.rpartition("/")[2] == LOCK}
        for file, line in _lines(subject):
            is_locked = f"{file.name.removesuffix(TOP)}{LOCK}" in locks
            if line.version is None and not is_locked:
                what = f"{line.written} is in no one version, so that another one may be installed next time"
                fix = f"pin it: {line.written}==…, or make a lock of all: casemate deps lock PATH"
                yield _finding("unpinned", Severity.MEDIUM, file, line, what, fix, "COG-18")
            if original := imitated(line.name):
                what = f"{line.written} looks like {original}, and is another package"
                fix = f"write {original} if that is meant; else let somebody look at the package and waive this"
                yield _finding("look-alike", Severity.HIGH, file, line, what, fix, "AZR-14")


class PinnedLines:
    """Against advisories; what is not pinned has no version to compare."""

    name = CHECK

    def __init__(self, records: list[dict[str, Any]], unscored: Severity) -> None:
        self._known = Advisories(records, unscored)

    def examine(self, subject: Subject) -> Iterable[Finding]:
        return self._known.findings(
            {"name": line.name, "version": line.version, "file": file.name, "line": line.line}
            for file, line in _lines(subject)
            if line.version
        )


def _lines(subject: Subject) -> Iterator[tuple[File, Line]]:
    files = [file for file in subject.files if _FILE.fullmatch(file.name) and not file.is_vendored]
    for file in files[:_MOST_FILES]:
        try:
            for line in read(file.read(1 << 20)):
                yield file, line
        except Unreadable:
            continue  # `secrets`, which reads every file, says so


def _finding(rule: str, severity: Severity, file: File, line: Line, what: str, fix: str, guarantee: str) -> Finding:
    return Finding(
        check="dependencies",
        rule=rule,
        severity=severity,
        file=file.name,
        line=line.line,
        what=what,
        fix=fix,
        subject=line.name,
        guarantee=guarantee,
    )
