"""What is known of the packages of a resolution, with the lines that ask for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from casemate_runtime.pylock import FILE
from casemate_runtime.requirements import Requirement, normalised

from casemate_gate.findings import Finding, Severity
from casemate_gate.locks.resolver import Resolution
from casemate_gate.locks.target import Target
from casemate_gate.match import Advisories
from casemate_gate.problems import Problem, text
from casemate_gate.project import records


class Known:
    def __init__(self, advisories: Advisories | None, target: Target) -> None:
        self._advisories = advisories
        self._target = target

    @classmethod
    def of(cls, request: Mapping[str, Any], target: Target) -> Known:
        """Nothing is known without `advisories`, a file that the operation `import` has written."""
        settings = request.get("settings") or {}
        unscored = settings.get("unscored", "high") if isinstance(settings, Mapping) else None
        if unscored not in ("high", "warn"):
            raise Problem('settings.unscored is neither "high" nor "warn"')
        if request.get("advisories") is None:
            return cls(None, target)
        severity = Severity.HIGH if unscored == "high" else Severity.MEDIUM
        return cls(Advisories(records(text(request, "advisories")), severity), target)

    def of_all(self, lines: Sequence[Requirement], resolution: Resolution) -> list[Finding]:
        if self._advisories is None:
            return []
        places = {normalised(item.name): item.place for item in lines if self._target.holds(item)}
        components: list[dict[str, object]] = []
        for name, package in resolution.items():
            place = places.get(name)
            components.append(
                {
                    "name": name,
                    "version": package.version,
                    "requires": resolution.needed(name),
                    "direct": place is not None,
                    "file": place.file if place else FILE,
                    "line": place.line if place else None,
                }
            )
        return self._advisories.findings(components)
