"""Records of known vulnerabilities in the form of OSV, made compact: one for each package of the Python index that one names.

Everything of a record is taken on no trust. What is not of its type makes the record useless, and no error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import yaml
from casemate_runtime.requirements import normalised
from cvss import CVSS2, CVSS3, CVSS4

from casemate_gate.findings import shown

LARGEST: Final = 4 << 20
_LONGEST_SUMMARY: Final = 300
_MOST_ALIASES: Final = 100
_MOST_VERSIONS: Final = 20_000
_MOST_RANGES: Final = 2_000
_DEEPEST: Final = 64
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,200}[A-Za-z0-9])?")
_VERSION: Final = re.compile(r"[A-Za-z0-9.!+_*-]{1,200}")
_EVENTS: Final = ("introduced", "fixed", "last_affected")
_KINDS: Final = frozenset(["ECOSYSTEM", "SEMVER"])
# Where a database has a word and no vector: the least score that has that name (CVSS 3.1, section 5).
_WORDS: Final = {"LOW": 0.1, "MODERATE": 4.0, "MEDIUM": 4.0, "HIGH": 7.0, "CRITICAL": 9.0}
# Text in which a nesting may hide that is too deep for the parser, whose recursion nothing limits.
_SUSPECT: Final = re.compile(rb"\n {64}|(?:[-?] *){24}")
_MOST_BRACKETS: Final = 200


class Useless(Exception):
    """A record that can't be used."""


def parse_json(content: bytes) -> Mapping[str, Any]:
    try:
        record = json.loads(content)
    except (ValueError, RecursionError):
        raise Useless("no JSON") from None
    return _object(record)


def parse_yaml(content: bytes) -> Mapping[str, Any]:
    """With every scalar as text: what YAML takes for a number (`1.10`) is a version here."""
    brackets = content.count(b"[") + content.count(b"{")
    try:
        if (brackets > _MOST_BRACKETS or _SUSPECT.search(content)) and _is_too_deep(content):
            raise Useless("nested too deeply")
        record = yaml.load(content, yaml.CBaseLoader)  # nosec B506  # it makes texts, lists and objects only
    except (yaml.YAMLError, ValueError, RecursionError):
        raise Useless("no YAML") from None
    return _object(record)


def compact(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Empty: nothing of the Python index is affected. A withdrawn record is the caller's to leave out."""
    identifier = record.get("id")
    if not isinstance(identifier, str) or not _IDENTIFIER.fullmatch(identifier):
        raise Useless("no id")
    aliases = [alias for alias in _texts(record.get("aliases"), _MOST_ALIASES) if _IDENTIFIER.fullmatch(alias)]
    packages: dict[str, dict[str, Any]] = {}
    for affected in _objects(record.get("affected"), _MOST_RANGES):
        package = affected.get("package")
        if not isinstance(package, Mapping) or str(package.get("ecosystem")).partition(":")[0].lower() != "pypi":
            continue
        name = package.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise Useless("no name")
        entry = packages.setdefault(normalised(name), {"ranges": [], "versions": {}, "severity": []})
        for given in _objects(affected.get("ranges"), _MOST_RANGES):
            if given.get("type") in _KINDS:
                entry["ranges"].append(_events(given.get("events")))
        for version in _texts(affected.get("versions"), _MOST_VERSIONS):
            if _VERSION.fullmatch(version):
                entry["versions"][version] = None
        entry["severity"] += _objects(affected.get("severity"), 20)
    return [
        {
            "id": identifier,
            "aliases": sorted({*aliases} - {identifier}),
            "package": name,
            "summary": _summary(record),
            "modified": modified(record),
            "score": _score(record, entry["severity"]),
            "ranges": entry["ranges"],
            "versions": list(entry["versions"]),
        }
        for name, entry in packages.items()
    ]


def is_withdrawn(record: Mapping[str, Any]) -> bool:
    return bool(record.get("withdrawn")) and record.get("withdrawn") != "null"


def modified(record: Mapping[str, Any]) -> str:
    """In UTC to the second, so that texts have the order of times. Empty where there is none."""
    given = record.get("modified")
    if not isinstance(given, str) or len(given) > 40:
        return ""
    try:
        time = datetime.fromisoformat(given)
    except ValueError:
        return ""
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if 1970 < time.year < 9000 else ""


def _events(given: object) -> list[dict[str, str]]:
    events = []
    for event in _objects(given, _MOST_RANGES):
        for kind in _EVENTS:
            version = event.get(kind)
            if isinstance(version, str) and _VERSION.fullmatch(version):
                events.append({kind: version})
    return events


def _summary(record: Mapping[str, Any]) -> str:
    for field in ("summary", "details"):
        text = record.get(field)
        if isinstance(text, str) and text.strip():
            return shown(" ".join(text[:2000].split()), _LONGEST_SUMMARY)
    return ""


def _score(record: Mapping[str, Any], more: list[Mapping[str, Any]]) -> float | None:
    scores: dict[bool, list[float]] = {True: [], False: []}
    for severity in (*_objects(record.get("severity"), 20), *more[:20]):
        vector = severity.get("score")
        if isinstance(vector, str) and len(vector) < 400:
            score = _scored(vector.strip())
            if score is not None:
                scores[vector.startswith("CVSS:")].append(score)
    if best := scores[True] or scores[False]:  # version 2, whose vectors have no such mark, only if there is no other
        return max(best)
    specific = record.get("database_specific")
    word = specific.get("severity") if isinstance(specific, Mapping) else None
    return _WORDS.get(word.upper()) if isinstance(word, str) else None


def _scored(vector: str) -> float | None:
    try:
        if vector.startswith("CVSS:4"):
            return float(CVSS4(vector).base_score)
        if vector.startswith("CVSS:3"):
            return float(CVSS3(vector).base_score)
        return float(CVSS2(vector).base_score)
    except Exception:  # the library's own, and what a strange vector does to its arithmetic
        return None


def _is_too_deep(content: bytes) -> bool:
    """By its events, for which the parser needs no recursion."""
    depth = 0
    for event in yaml.parse(content, yaml.CBaseLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                return True
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return False


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Useless("no object")
    return value


def _objects(value: object, most: int) -> list[Mapping[str, Any]]:
    """A list too long makes a record useless; cut short, it would keep silent about what is behind the cut."""
    if not isinstance(value, list):
        return []
    if len(value) > most:
        raise Useless("a list is too long")
    return [item for item in value if isinstance(item, Mapping)]


def _texts(value: object, most: int) -> list[str]:
    if not isinstance(value, list):
        return []
    if len(value) > most:
        raise Useless("a list is too long")
    return [item for item in value if isinstance(item, str)]
