"""Whether a package's name is one slip away from a well-known one, as names of bad packages are."""

from __future__ import annotations

from functools import cache
from typing import Final

from casemate_runtime.popular import POPULAR, SOUND

_SHORTEST: Final = 5
"""Of names with fewer letters too many lie side by side."""
_LOOKS: Final = str.maketrans("013457", "oleast")


def imitated(name: str) -> str | None:
    """The well-known name that `name` is one slip away from."""
    if name in POPULAR or name in SOUND:
        return None
    joined = name.replace("-", "")
    if original := _joined().get(joined) or _joined().get(joined.translate(_LOOKS)):
        return original
    if len(joined) < _SHORTEST:
        return None
    # By what is left when one letter is taken away: both names of a slip share one of these.
    for shape in _shapes(joined):
        for original in _by_shape().get(shape, ()):
            if len(original) >= _SHORTEST and _is_slip(joined, original.replace("-", "")):
                return original
    return None


def _shapes(name: str) -> set[str]:
    return {name, *(name[:at] + name[at + 1 :] for at in range(len(name)))}


def _is_slip(one: str, other: str) -> bool:
    """Whether one letter is changed, added or left out, or two neighbours are swapped (Damerau-Levenshtein distance 1)."""
    if len(one) > len(other):
        one, other = other, one
    at = 0
    while at < len(one) and one[at] == other[at]:
        at += 1
    if len(one) < len(other):
        return len(one) + 1 == len(other) and one[at:] == other[at + 1 :]
    if one[at + 1 :] == other[at + 1 :]:
        # A digit at the end is mostly the next version of the same people.
        return not (at == len(one) - 1 and one[at].isdigit() and other[at].isdigit())
    return one[at : at + 2] == other[at : at + 2][::-1] and one[at + 2 :] == other[at + 2 :]


# Made when they are asked for: most builds never do.
@cache
def _joined() -> dict[str, str]:
    return {name.replace("-", ""): name for name in sorted(POPULAR)}


@cache
def _by_shape() -> dict[str, list[str]]:
    shapes: dict[str, list[str]] = {}
    for name in sorted(POPULAR):
        for shape in _shapes(name.replace("-", "")):
            shapes.setdefault(shape, []).append(name)
    return shapes
