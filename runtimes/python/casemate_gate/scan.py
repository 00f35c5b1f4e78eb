"""The operation `scan`: a request becomes a subject, its checks run, and their findings and the components are the answer."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from casemate_runtime.requirements import normalised

from casemate_gate.checks.check import Check, Part
from casemate_gate.checks.dependencies import Dependencies
from casemate_gate.checks.environment import Environment
from casemate_gate.checks.files import Files
from casemate_gate.checks.own_secrets import OwnSecrets
from casemate_gate.checks.sast import Sast
from casemate_gate.checks.secrets import Secrets
from casemate_gate.components import Inventory
from casemate_gate.problems import Problem, strings, table, text
from casemate_gate.runner import MOST_AT_ONCE, Progress, run
from casemate_gate.subject import Direct, File, Settings, Subject

MOST_COMPONENTS: Final = 5_000
_MUCH: Final = 8 << 20
MUCH_SOURCE: Final = 128 << 10


def scan(request: Mapping[str, Any], secrets: list[bytes], progress: Progress | None = None) -> dict[str, Any]:
    started = time.monotonic()
    subject = read_subject(request, secrets)
    lock = request.get("lock")
    inventory = Inventory(subject, lock if isinstance(lock, str) else None)
    findings = run(subject, checks_for(subject, inventory), progress)
    if len(inventory.components) > MOST_COMPONENTS:
        raise Problem(f"{len(inventory.components)} packages are installed; {MOST_COMPONENTS} can be looked at")
    return {
        "findings": [finding.as_json() for finding in findings],
        "components": [component.as_json() for component in inventory.components],
        "milliseconds": round((time.monotonic() - started) * 1000),
    }


def checks_for(subject: Subject, inventory: Inventory) -> list[Check]:
    """The one that takes longest first. Those that have nothing to look at need no process."""
    own = parts(subject.files, MUCH_SOURCE)
    checks: list[Check] = [*map(Sast, own), *map(Secrets, own), Dependencies(inventory), Files()]
    if subject.secrets:
        checks[:0] = map(OwnSecrets, parts([*subject.files, *subject.installed], _MUCH))
    if subject.environment:
        checks.append(Environment())
    return checks


def parts(files: list[File], much: int) -> list[Part]:
    """What is large is shared by as many processes as there are processors."""
    count = min(MOST_AT_ONCE, len(os.sched_getaffinity(0))) if sum(file.size for file in files) > much else 1
    return [Part(index, count) for index in range(count)]


def read_subject(request: Mapping[str, Any], secrets: list[bytes]) -> Subject:
    source = text(request, "source", "")
    root = text(request, "root", "")
    if bool(source) == bool(root):
        raise Problem("a scan has either a root or a source")
    folder = Path(source) if source else Path(root) / "src"
    if not folder.is_dir():
        raise Problem("there is no such source")
    dependencies = None if source else Path(root) / "deps"
    try:
        settings = Settings.parse(request.get("settings"))
    except ValueError as error:
        raise Problem(str(error)) from None
    return Subject(
        source=folder,
        dependencies=dependencies if dependencies and dependencies.is_dir() else None,
        function=text(request, "function", ""),
        handler=text(request, "handler", ""),
        environment=table(request, "environment"),
        settings=settings,
        secrets=tuple(secrets),
        direct=_direct(request.get("direct")),
        first_uploads=table(request, "firstUploads"),
        from_source=frozenset(strings(request, "fromSource")),
        is_project=bool(source),
    )


def _direct(given: object) -> tuple[Direct, ...] | None:
    """Names, or objects that say where each one stands."""
    if given is None:
        return None
    if not isinstance(given, list):
        raise Problem("direct is no list")
    found = []
    for item in given:
        if isinstance(item, str):
            found.append(Direct(normalised(item), "requirements.txt", None))
        elif isinstance(item, dict) and isinstance(item.get("name"), str):
            file, line = item.get("file"), item.get("line")
            place = file if isinstance(file, str) else "requirements.txt"
            found.append(Direct(normalised(item["name"]), place, line if isinstance(line, int) else None))
        else:
            raise Problem("direct holds something other than names")
    return tuple(found)
