"""What a bundle depends on (AZR-14): names that imitate others, packages without a past, without a use or without number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from casemate_runtime.look_alikes import imitated
from casemate_runtime.requirements import normalised

from casemate_gate.checks.check import incomplete
from casemate_gate.components import Component, Inventory, modules
from casemate_gate.findings import Finding, Severity
from casemate_gate.imports import Imports
from casemate_gate.subject import Direct, Subject, Unreadable

_LOCK: Final = "requirements.txt"


class Dependencies:
    name = "dependencies"

    def __init__(self, inventory: Inventory | None = None, now: datetime | None = None) -> None:
        self._inventory = inventory
        self._now = now or datetime.now(UTC)

    def examine(self, subject: Subject) -> Iterable[Finding]:
        inventory = self._inventory or Inventory(subject)
        for problem in inventory.problems:
            yield incomplete(self.name, problem)
        places = {item.name: item for item in inventory.direct}
        installed = {item.name: item for item in inventory.components if not item.is_vendored}
        names = sorted({*places, *(item.name for item in inventory.components)})
        yield from self._look_alikes(names, places)
        yield from self._new(subject, names, places)
        yield from self._from_source(subject, names, places)
        if subject.dependencies is not None and installed:
            yield from self._unused(subject, inventory.direct, installed)
            yield from self._unmet(installed, places)
        if len(installed) > subject.settings.max_dependencies:
            yield self._finding(
                "excessive",
                Severity.MEDIUM,
                None,
                f"{len(installed)} packages are installed; {subject.settings.max_dependencies} are held to be enough",
                "leave out what is not needed, or choose smaller packages",
                "",
            )

    def _look_alikes(self, names: list[str], places: dict[str, Direct]) -> Iterator[Finding]:
        for name in names:
            if original := imitated(name):
                yield self._finding(
                    "look-alike",
                    Severity.HIGH,
                    places.get(name),
                    f"{name} looks like {original}, and is another package",
                    f"write {original} if that is meant; else let somebody look at the package and waive this",
                    name,
                )

    def _new(self, subject: Subject, names: list[str], places: dict[str, Direct]) -> Iterator[Finding]:
        least = timedelta(days=subject.settings.newest_days)
        dates = {normalised(name): date for name, date in subject.first_uploads.items()}
        for name in names:
            if name not in dates:
                continue
            first = parsed_date(dates[name])
            if first is None:
                yield incomplete(self.name, Unreadable(_LOCK, f"the date of {name}'s first upload is none"))
            elif self._now - first < least:
                days = max(0, (self._now - first).days)
                yield self._finding(
                    "very-new",
                    Severity.HIGH,
                    places.get(name),
                    f"{name} was first uploaded {days} days ago; packages that do harm are mostly found within {least.days}",
                    f"wait until it is {least.days} days old, or let somebody look at it and waive this",
                    name,
                )

    def _from_source(self, subject: Subject, names: list[str], places: dict[str, Direct]) -> Iterator[Finding]:
        for name in sorted({normalised(name) for name in subject.from_source}):
            yield self._finding(
                "built-from-source",
                Severity.MEDIUM,
                places.get(name),
                f"{name} was built from its source distribution, so that its build ran here",
                "choose a version that has a wheel for this platform",
                name,
            )

    def _unused(
        self, subject: Subject, direct: tuple[Direct, ...], installed: dict[str, Component]
    ) -> Iterator[Finding]:
        used = Imports(subject.files, [subject.handler])
        for item in direct:
            component = installed.get(item.name)
            tops = modules(component, subject) if component else None
            if tops and used.is_complete and tops.isdisjoint(used.named):
                yield self._finding(
                    "unused",
                    Severity.LOW,
                    item,
                    f"no file of the source imports {item.name} ({', '.join(sorted(tops)[:3])})",
                    "leave it out, unless another package loads it by name",
                    item.name,
                )

    def _unmet(self, installed: dict[str, Component], places: dict[str, Direct]) -> Iterator[Finding]:
        for component in installed.values():
            for requirement in component.requirements:
                other = installed.get(normalised(requirement.name))
                wanted = f"{component.name} {component.version} asks for {requirement.name}{requirement.specifier}"
                if other is None:
                    what = f"{wanted}, which is not installed"
                elif other.parsed and not requirement.specifier.contains(other.parsed, prereleases=True):
                    what = f"{wanted}; {other.version} is installed"
                else:
                    continue
                yield self._finding(
                    "unmet",
                    Severity.MEDIUM,
                    places.get(component.name),
                    what,
                    "choose versions that fit together: casemate deps upgrade",
                    f"{component.name} {requirement.name}",
                )

    def _finding(
        self, rule: str, severity: Severity, place: Direct | None, what: str, fix: str, subject: str
    ) -> Finding:
        return Finding(
            check=self.name,
            rule=rule,
            severity=severity,
            file=place.file if place else _LOCK,
            line=place.line if place else None,
            what=what,
            fix=fix,
            subject=subject,
            guarantee="AZR-14",
        )


def parsed_date(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
