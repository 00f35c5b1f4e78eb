"""What an author's requirement becomes where its versions are in the way. All else of its text stays as it is."""

from __future__ import annotations

from typing import Final

from casemate_runtime.requirements import CLAUSE, PARTS, Requirement
from casemate_runtime.versions import allows
from packaging.version import Version

_LOWER: Final = (">", ">=")
_EXACT: Final = ("==", "===")


def raised(item: Requirement, floor: Version) -> Requirement:
    """With `>=FLOOR`. Of its clauses those stay that allow this version, but for those that pin and those that are lower."""
    kept = [clause for clause in _clauses(item) if not _sign(clause).startswith(_LOWER) and _stays(clause, str(floor))]
    return _with(item, [f">={floor}", *kept])


def uncapped(item: Requirement) -> Requirement:
    """Without what keeps newer versions out."""
    return _with(item, [clause for clause in _clauses(item) if _sign(clause) in (*_LOWER, "!=")])


def _stays(clause: str, floor: str) -> bool:
    is_pinned = _sign(clause) in _EXACT and not clause.endswith(".*")
    return not is_pinned and allows(clause, floor)


def respecified(text: str, versions: str) -> str:
    """A requirement's text with other clauses in the place of its own."""
    parts = PARTS.match(text)
    if parts is None:
        return text
    head, gap, old, rest = parts.group("head", "gap", "versions", "rest")
    if old is None:
        return f"{head}{versions}{gap}{rest}"
    # The pattern takes the space behind it too.
    behind = old[len(old.rstrip()) :]
    return f"{head}{gap if versions else ''}{versions}{behind}{rest}"


def _with(item: Requirement, clauses: list[str]) -> Requirement:
    """A `--hash` is of the version that was pinned."""
    return item._replace(text=respecified(item.text, ",".join(clauses)), hashes=(), version="")


def _clauses(item: Requirement) -> list[str]:
    return ["".join(clause.split()) for clause in CLAUSE.findall(item.versions)]


def _sign(clause: str) -> str:
    return clause[: next(at for at, char in enumerate(clause) if char not in "<>=!~")]
