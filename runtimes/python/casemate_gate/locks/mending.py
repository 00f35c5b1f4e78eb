"""Finds versions without known vulnerabilities where an author's lines, or the packages that they name, hold on to others.

A package that has an advisory gets a floor: the version in which it is fixed. A line that forbids this version is raised. Where
nothing fits then, the upper bounds of the lines go whose packages need this one. No package ever goes back to an older version:
that would often end an advisory too, at the price of others that nobody wrote down any more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

from casemate_runtime.requirements import Requirement, normalised
from casemate_runtime.uv import Unresolvable
from casemate_runtime.versions import allows
from packaging.version import Version

from casemate_gate.findings import Finding
from casemate_gate.locks.lines import raised, uncapped
from casemate_gate.locks.resolver import Resolution, Resolver
from casemate_gate.locks.target import Target
from casemate_gate.match import parsed

_ROUNDS: Final = 5

Look = Callable[[Sequence[Requirement], Resolution], list[Finding]]
"""What is known of the packages of a resolution."""


class State(NamedTuple):
    lines: tuple[Requirement, ...]
    floors: Mapping[str, Version]
    resolution: Resolution


class Mender:
    """`kept`: versions that stay as far as they fit. `names`: the packages that shall be mended; `None` for all."""

    def __init__(
        self, resolver: Resolver, target: Target, look: Look, kept: Mapping[str, str], names: Collection[str] | None
    ) -> None:
        self._resolver = resolver
        self._target = target
        self._look = look
        self._kept = kept
        self._names = names
        self.reasons: dict[str, str] = {}
        """Why a package could not be mended, by its name."""

    def mend(self, state: State) -> State:
        for _ in range(_ROUNDS):
            floors = self._floors(state)
            if not floors:
                break
            state = self._all(state, floors) or self._each(state, floors)
        return state

    def _floors(self, state: State) -> dict[str, Version]:
        floors: dict[str, Version] = {}
        for finding in self._look(state.lines, state.resolution):
            name = finding.subject
            fixed = parsed(finding.fixed) if finding.fixed else None
            if fixed and name not in self.reasons and (self._names is None or name in self._names):
                # A pre-release would let in all others of the package.
                floor = Version(fixed.base_version) if fixed.is_prerelease else Version(fixed.public)
                floors[name] = max(floor, floors.get(name, floor))
        return floors

    def _all(self, state: State, floors: Mapping[str, Version]) -> State | None:
        try:
            return self._resolved(state, self._raised(state, floors), floors)
        except Unresolvable:
            return None

    def _each(self, state: State, floors: Mapping[str, Version]) -> State:
        for name, floor in floors.items():
            package = state.resolution.get(name)
            if package and Version(package.version) < floor:
                state = self._one(state, name, floor)
        return state

    def _one(self, state: State, name: str, floor: Version) -> State:
        """What fits without touching more lines, else with one line more, else with all that can be in the way."""
        floors = {name: floor}
        lines = self._raised(state, floors)
        above = state.resolution.needing(name)
        capped = sorted(
            {normalised(item.name) for item in lines if self._is_capped(item) and normalised(item.name) in above}
        )
        attempts: list[set[str]] = [set(), *({one} for one in capped)]
        if len(capped) > 1:
            attempts.append(set(capped))
        for attempt in attempts:
            try:
                return self._lifted(state, lines, attempt, floors)
            except Unresolvable as fault:
                # The first one's: it says what is in the way of the author's own lines.
                self.reasons.setdefault(name, fault.message)
        return state

    def _lifted(
        self, state: State, lines: Sequence[Requirement], names: Collection[str], floors: Mapping[str, Version]
    ) -> State:
        def changed(change: Callable[[Requirement], Requirement]) -> list[Requirement]:
            return [
                change(item) if normalised(item.name) in names and self._is_capped(item) else item for item in lines
            ]

        found = self._resolved(state, changed(uncapped), floors)
        if names:
            # What a line allowed before is known to be no good.
            versions = {name: Version(package.version) for name, package in found.resolution.items()}
            written = changed(lambda item: raised(item, versions[normalised(item.name)]))
            found = self._resolved(found, written, floors)
        for name in floors:
            self.reasons.pop(name, None)
        return found

    def _resolved(self, state: State, lines: Sequence[Requirement], floors: Mapping[str, Version]) -> State:
        all_floors = {**state.floors, **floors}
        bounds = {name: Version(package.version) for name, package in state.resolution.items()} | all_floors
        found = self._resolver.resolve(lines, self._kept, bounds)
        return State(tuple(lines), all_floors, found)

    def _raised(self, state: State, floors: Mapping[str, Version]) -> list[Requirement]:
        """Only lines that forbid the version change."""
        changed = []
        for item in state.lines:
            floor = floors.get(normalised(item.name))
            forbids = floor is not None and self._target.holds(item) and not allows(item.versions, str(floor))
            changed.append(raised(item, floor) if floor is not None and forbids else item)
        return changed

    def _is_capped(self, item: Requirement) -> bool:
        return uncapped(item).versions != item.versions and self._target.holds(item)
