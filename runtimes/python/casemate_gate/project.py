"""The operation `project`: a person's folder, with the settings of whatever platform it was written for."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from casemate_gate.checks.check import Check
from casemate_gate.checks.files import Files
from casemate_gate.checks.native_needs import NativeNeeds
from casemate_gate.checks.requirement_lines import PinnedLines, RequirementLines
from casemate_gate.checks.sast import Sast
from casemate_gate.checks.secrets import Secrets
from casemate_gate.database import load
from casemate_gate.findings import Finding, Severity
from casemate_gate.natives import Native, is_native, natives
from casemate_gate.problems import Problem, text
from casemate_gate.runner import Progress, run
from casemate_gate.scan import MUCH_SOURCE, parts
from casemate_gate.subject import VENDORED, Settings, Subject


class _Readers(Protocol):
    def examine(self, root: Path) -> Iterable[Finding]: ...


class Platforms:
    """What the readers of other platforms' files find. A native function's source is none of theirs: its author is told what
    a deployment finds, which has other rules."""

    name = "project"

    def __init__(self, native: Sequence[Native] = ()) -> None:
        self._native = native
        self._readers = cast(_Readers, importlib.import_module("casemate_gate.projects"))

    def examine(self, subject: Subject) -> Iterable[Finding]:
        return (item for item in self._readers.examine(subject.source) if not is_native(item.file, self._native))


def project(request: Mapping[str, Any], progress: Progress | None = None) -> dict[str, Any]:
    started = time.monotonic()
    root = Path(text(request, "path"))
    if not root.is_absolute() or not root.is_dir():
        raise Problem("path is no folder; it has to be absolute")
    try:
        settings = Settings.parse(request.get("settings"))
    except ValueError as error:
        raise Problem(str(error)) from None
    native = natives(request.get("sources"))
    vendored = (VENDORED, *(folder + VENDORED for folder, _ in native))
    subject = Subject(root.resolve(), settings=settings, is_project=True, vendored=vendored)
    own = parts(subject.files, MUCH_SOURCE)
    checks: list[Check] = [
        *map(Sast, own),
        *map(Secrets, own),
        RequirementLines(),
        NativeNeeds(native),
        Files(),
        Platforms(native),
    ]
    if request.get("advisories") is not None:
        checks.append(PinnedLines(records(text(request, "advisories")), _unscored(request)))
    findings = run(subject, checks, progress)
    return {
        "findings": [finding.as_json() for finding in findings],
        "milliseconds": round((time.monotonic() - started) * 1000),
    }


def records(path: str) -> list[dict[str, Any]]:
    try:
        return load(Path(path).read_bytes())
    except OSError as error:
        raise Problem(f"the advisories can't be read: {error.strerror}") from None


def _unscored(request: Mapping[str, Any]) -> Severity:
    settings = request.get("settings") or {}
    return Severity.MEDIUM if settings.get("unscored") == "warn" else Severity.HIGH
