"""The operation `match` (KYM-8): which installed versions known vulnerabilities affect, by the rules of OSV and PEP 440."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

from casemate_runtime.requirements import normalised
from packaging.version import InvalidVersion, Version

from casemate_gate.findings import Finding, Severity, shown
from casemate_gate.problems import Problem
from casemate_gate.runner import in_order

CHECK: Final = "advisories"
_MOST_COMPONENTS: Final = 200_000
_PLAIN: Final = re.compile(r"\d+(?:\.\d+)*")
_LOCK: Final = "lock"


@dataclass(frozen=True, slots=True)
class Advisory:
    """Of a compact record only what is of the right type."""

    id: str
    aliases: tuple[str, ...]
    summary: str
    score: float | None
    ranges: tuple[tuple[tuple[str, str], ...], ...]
    versions: frozenset[str]

    @property
    def names(self) -> set[str]:
        return {self.id, *self.aliases}

    @property
    def is_malicious(self) -> bool:
        return any(name.startswith("MAL-") for name in self.names)


@dataclass(frozen=True, slots=True)
class _Hit:
    advisory: Advisory
    fixed: Version | None


def match(request: Mapping[str, Any]) -> dict[str, Any]:
    settings = request.get("settings") or {}
    unscored = settings.get("unscored", "high") if isinstance(settings, Mapping) else None
    if unscored not in ("high", "warn"):
        raise Problem('settings.unscored is neither "high" nor "warn"')
    known = Advisories(
        _list(request.get("advisories"), "advisories"), Severity.HIGH if unscored == "high" else Severity.MEDIUM
    )
    functions = request.get("functions")
    if functions is None:
        found = known.findings(_list(request.get("components"), "components"))
        return {"findings": [finding.as_json() for finding in found]}
    if not isinstance(functions, Mapping):
        raise Problem("functions is no object")
    if sum(len(item) for item in functions.values() if isinstance(item, list)) > _MOST_COMPONENTS:
        raise Problem(f"there are more than {_MOST_COMPONENTS} components")
    return {
        "findings": {
            key: [finding.as_json() for finding in known.findings(_list(components, "components"))]
            for key, components in functions.items()
        }
    }


class Advisories:
    """Records by package; one that can't be used is not there."""

    def __init__(self, records: Iterable[object], unscored: Severity = Severity.HIGH) -> None:
        self._unscored = unscored
        self._by_package: dict[str, list[Advisory]] = {}
        for record in records:
            if isinstance(record, Mapping) and (advisory := _advisory(record)):
                self._by_package.setdefault(normalised(plain(record["package"])), []).append(advisory)
        self._answers: dict[tuple[str, str], list[list[_Hit]]] = {}

    def findings(self, components: Iterable[object]) -> list[Finding]:
        components = list(components)
        users = _users(components)
        return in_order(finding for component in components for finding in self._of(component, users))

    def _of(self, component: object, users: Mapping[str, list[str]]) -> Iterator[Finding]:
        if not isinstance(component, Mapping):
            return
        name, written = component.get("name"), component.get("version")
        if not isinstance(name, str) or not isinstance(written, str):
            return
        name, written = normalised(plain(name)), plain(written)
        advisories = self._by_package.get(name)
        if not advisories:
            return
        # The same version is in many functions.
        answer = self._answers.get((name, written))
        if answer is None:
            answer = self._answers[name, written] = _grouped(_hits(advisories, written))
        for hits in answer:
            yield self._finding(name, written, hits, component, users.get(name, []))

    def _finding(
        self, name: str, version: str, hits: list[_Hit], component: Mapping[str, Any], users: list[str]
    ) -> Finding:
        first = hits[0].advisory
        others = sorted({alias for hit in hits for alias in hit.advisory.names} - {first.id}, key=_by_database)
        fixed = next((hit.fixed for hit in hits if hit.fixed), None)
        summary = next((hit.advisory.summary for hit in hits if hit.advisory.summary), "")
        malicious = any(hit.advisory.is_malicious for hit in hits)
        if malicious:
            fix = f"remove {name}, and set new values for the secrets of what has run with it"
        elif fixed:
            fix = f"upgrade to {fixed} or later: casemate deps upgrade"
        else:
            fix = f"there is no fixed version yet: do without {name}, or waive this with the reason why it does no harm"
        needed = f", which {' and '.join(users[:3])} needs" if users and not component.get("direct") else ""
        aliases = f" ({', '.join(others)})" if others else ""
        what = f"{name} {version}{needed}: {first.id}{aliases}"
        if first.score is None and not malicious:
            what += ", unscored"
        file, line = component.get("file"), component.get("line")
        return Finding(
            check=CHECK,
            rule=first.id,
            severity=Severity.CRITICAL if malicious else self._severity(first.score),
            file=file if isinstance(file, str) and file else _LOCK,
            line=line if type(line) is int else None,
            what=f"{what}: {summary}" if summary else what,
            fix=fix,
            subject=name,
            guarantee="KYM-8",
            package=f"pkg:pypi/{quote(name, safe='-._~')}@{quote(version, safe='-._~')}",
            fixed=str(fixed) if fixed else None,
        )

    def _severity(self, score: float | None) -> Severity:
        if score is None:
            return self._unscored
        if score >= 9:
            return Severity.CRITICAL
        return Severity.HIGH if score >= 7 else Severity.MEDIUM if score >= 4 else Severity.LOW


def _users(components: list[object]) -> dict[str, list[str]]:
    """Names of packages, and those that need them."""
    users: dict[str, list[str]] = {}
    for component in components:
        if isinstance(component, Mapping) and isinstance(name := component.get("name"), str):
            for needed in _listed(component.get("requires")):
                if isinstance(needed, str):
                    users.setdefault(normalised(plain(needed)), []).append(normalised(plain(name)))
    return users


def _advisory(record: Mapping[str, Any]) -> Advisory | None:
    identifier, package = record.get("id"), record.get("package")
    if not isinstance(identifier, str) or not isinstance(package, str) or record.get("withdrawn"):
        return None
    score = record.get("score")
    ranges = tuple(
        tuple((kind, version) for event in given if isinstance(event, Mapping) for kind, version in _pairs(event))
        for given in _listed(record.get("ranges"))
        if isinstance(given, list)
    )
    summary = record.get("summary")
    return Advisory(
        id=shown(identifier, 100),
        aliases=tuple(shown(alias, 100) for alias in _listed(record.get("aliases")) if isinstance(alias, str)),
        summary=shown(summary, 300) if isinstance(summary, str) else "",
        score=float(score) if isinstance(score, (int, float)) and score is not True and 0 <= score <= 10 else None,
        ranges=ranges,
        versions=frozenset(version for version in _listed(record.get("versions")) if isinstance(version, str)),
    )


def _pairs(event: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for kind in ("introduced", "fixed", "last_affected"):
        if isinstance(version := event.get(kind), str):
            yield kind, version


def _hits(advisories: list[Advisory], written: str) -> Iterator[_Hit]:
    version = parsed(written)
    for advisory in advisories:
        is_affected, fixed = False, None
        if version is not None:
            for events in advisory.ranges:
                inside, end = _inside(events, version)
                if inside:
                    is_affected = True
                    fixed = min(fixed, end) if fixed and end else fixed or end
        if is_affected or written in advisory.versions or _key(written) in _keys(advisory.versions):
            if fixed is None and version is not None:
                fixed = _lowest_fix(advisory, version)
            yield _Hit(advisory, fixed)


def _inside(events: tuple[tuple[str, str], ...], version: Version) -> tuple[bool, Version | None]:
    """Whether a range holds `version`, and the lowest version behind it that is fixed.

    What can't be read counts against the package: an unreadable beginning is the very first version, an unreadable end
    none.
    """
    starts = [(parsed(text) or _FIRST) if text != "0" else _FIRST for kind, text in events if kind == "introduced"]
    fixes = [end for kind, text in events if kind == "fixed" and (end := parsed(text))]
    lasts = [end for kind, text in events if kind == "last_affected" and (end := parsed(text))]
    begun = [start for start in starts if start <= version]
    if not begun:
        return False, None
    start = max(begun)
    if any(start < fix <= version for fix in fixes) or any(start <= last < version for last in lasts):
        return False, None
    return True, min((fix for fix in fixes if fix > version), default=None)


_FIRST: Final = Version("0.dev0")


def _lowest_fix(advisory: Advisory, version: Version) -> Version | None:
    ends = (parsed(text) for events in advisory.ranges for kind, text in events if kind == "fixed")
    return min((end for end in ends if end and end > version), default=None)


def _grouped(hits: Iterable[_Hit]) -> list[list[_Hit]]:
    """Those of one fault together, which several databases know by several names; the one with the best score first."""
    groups: list[tuple[set[str], list[_Hit]]] = []
    for hit in hits:
        names, members = hit.advisory.names, [hit]
        apart = []
        for group in groups:
            if group[0].isdisjoint(names):
                apart.append(group)
            else:
                names |= group[0]
                members += group[1]
        groups = [*apart, (names, members)]
    return [sorted(members, key=_rank) for _, members in groups]


def _rank(hit: _Hit) -> tuple[bool, bool, float, tuple[int, str]]:
    advisory = hit.advisory
    return not advisory.is_malicious, advisory.score is None, -(advisory.score or 0.0), _by_database(advisory.id)


def _by_database(identifier: str) -> tuple[int, str]:
    prefix = identifier.partition("-")[0]
    order = ("MAL", "PYSEC", "CVE", "GHSA")
    return (order.index(prefix) if prefix in order else len(order)), identifier


@lru_cache(maxsize=100_000)
def parsed(text: str) -> Version | None:
    if len(text) > 200:
        return None
    try:
        return Version(text)
    except InvalidVersion:
        return None


@lru_cache(maxsize=200_000)
def _key(text: str) -> str:
    """The same for `1.0`, `1.0.0` and `v1`."""
    if not _PLAIN.fullmatch(text):
        version = parsed(text)
        if version is None:
            return text
        release = ".".join(map(str, version.release))
        return f"{version.epoch}!{_stripped(release)}|{str(version).replace(version.base_version, '', 1)}"
    return f"0!{_stripped('.'.join(part.lstrip('0') or '0' for part in text.split('.')))}|"


def _stripped(release: str) -> str:
    while release.endswith(".0"):
        release = release[:-2]
    return release


@lru_cache(maxsize=20_000)
def _keys(versions: frozenset[str]) -> frozenset[str]:
    return frozenset(map(_key, versions))


def plain(text: str) -> str:
    """Without surrogates, which JSON can write and UTF-8 can't."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _list(value: object, name: str) -> list[object]:
    if not isinstance(value, list):
        raise Problem(f"{name} is no list")
    return value


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []
