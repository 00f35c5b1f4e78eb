"""Rows of results: as text for people, and as results/latest.json for machines."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Row:
    """One figure. `values` and `ratios` have an entry per round. A row without values was not measured.

    `goal` bounds the ratio where `goal_is` says "ratio", else the value; `at_least` turns the bound round.
    """

    identity: str
    what: str
    values: list[float] = field(default_factory=list)
    unit: str = ""
    ratio_to: str | None = None
    ratios: list[float] = field(default_factory=list)
    goal: float | None = None
    goal_is: str = "ratio"
    at_least: bool = False
    count: int = 0
    note: str = ""
    reason: str = ""
    published: bool = False
    """The peer's figure is from elsewhere: the ratio is for orientation and never judged."""

    @property
    def value(self) -> float | None:
        return statistics.median(self.values) if self.values else None

    @property
    def ratio(self) -> float | None:
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def goal_text(self) -> str:
        if self.goal is None:
            return ""
        return (
            f"{'≥' if self.at_least else '≤'} {number(self.goal)}{'x' if self.goal_is == 'ratio' else ' ' + self.unit}"
        )

    @property
    def mark(self) -> str:
        """Only ratios are judged: absolute figures of different machines, or days, can't be compared."""
        if self.goal is None or self.goal_is != "ratio" or self.ratio is None or self.published:
            return ""
        return "reached" if (self.ratio >= self.goal if self.at_least else self.ratio <= self.goal) else "not yet"

    def json(self) -> dict[str, Any]:
        spread = self.ratios or self.values
        found: dict[str, Any] = {
            "id": self.identity,
            "what": self.what,
            "value": self.value,
            "unit": self.unit,
            "ratioTo": self.ratio_to,
            "ratio": self.ratio,
            "min": min(spread) if spread else None,
            "max": max(spread) if spread else None,
            "spreadOf": "ratio" if self.ratios else "value",
            "n": self.count,
            "goal": self.goal,
            "goalIs": ("" if self.goal is None else self.goal_is) or None,
            "goalText": self.goal_text or None,
        }
        if self.published:
            found["published"] = True
        if self.note:
            found["note"] = self.note
        if self.reason:
            found["notMeasured"] = self.reason
        return found


def not_measured(identity: str, what: str, reason: str) -> Row:
    return Row(identity, what, reason=reason)


def number(value: float) -> str:
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.3f}"


def spread(values: list[float]) -> str:
    if not values:
        return ""
    middle = number(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} [{number(min(values))}..{number(max(values))}]"


def order(row: Row) -> tuple[int, str]:
    digits = "".join(char for char in row.identity if char.isdigit())
    return (int(digits) if digits else 1000, row.identity)


def text(rows: list[Row]) -> str:
    """A table with the notes below it."""
    head = ("", "what", "value", "ratio", "to", "goal", "n")
    body = []
    notes = []
    for row in sorted(rows, key=order):
        if row.reason:
            body.append((row.identity, row.what, f"not measured: {row.reason}", "", "", "", ""))
            continue
        if row.note:
            notes.append(f"  {row.identity}: {row.note}")
        goal = f"{row.goal_text} {row.mark}".strip()
        body.append(
            (
                row.identity,
                row.what,
                f"{spread(row.values)} {row.unit}".strip(),
                spread(row.ratios),
                row.ratio_to or "",
                goal,
                str(row.count) if row.count else "",
            )
        )
    shown = [line for line in body if not line[2].startswith("not measured")]
    widths = [max(len(line[column]) for line in (*shown, head)) for column in range(len(head))]
    widths[1] = max(widths[1], *(len(line[1]) for line in body)) if body else widths[1]
    lines = []
    for line in (head, *body):
        if line[2].startswith("not measured"):
            lines.append("  ".join((line[0].ljust(widths[0]), line[1].ljust(widths[1]), line[2])))
        else:
            lines.append("  ".join(part.ljust(width) for part, width in zip(line, widths, strict=True)).rstrip())
    if notes:
        lines += ["", *notes]
    return "\n".join(lines)


def write(rows: list[Row], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([row.json() for row in sorted(rows, key=order)], indent=1, ensure_ascii=False) + "\n")
