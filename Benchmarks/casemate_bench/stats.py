"""Few statistics: nearest ranks, and ratios that are paired per round."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TypeVar

Item = TypeVar("Item")

__all__ = ["differences", "median", "paired", "rank", "rotated"]


def rank(values: Sequence[float], part: float) -> float:
    """Nearest rank: `part` 0.99 of 100 values is the 99th."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * part // 1) - 1)]


def paired(mine: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """The same round against the same round."""
    return [a / b for a, b in zip(mine, theirs, strict=True)]


def differences(mine: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Likewise."""
    return [a - b for a, b in zip(mine, theirs, strict=True)]


def rotated(items: Sequence[Item], turn: int) -> list[Item]:
    """So that nobody is always the first, or always after the same one."""
    at = turn % len(items)
    return [*items[at:], *items[:at]]
