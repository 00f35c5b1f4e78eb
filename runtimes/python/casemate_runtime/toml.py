"""TOML with the place of what is wrong in it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from typing import Any, Final

from casemate_runtime.requirements import Place, refused, text_of

_LARGEST: Final = 4 * 1024 * 1024
_AT: Final = re.compile(r" \(at line (\d+), column \d+\)$")


def read_toml(content: bytes, file: str) -> tuple[dict[str, Any], str]:
    """The document and its text. Raises a `Fault` with file and line."""
    text = text_of(content, file, _LARGEST)
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        place = _AT.search(str(error))
        line = int(place[1]) if place else None
        what = f"the file is not TOML: {_AT.sub('', str(error))[:200]}"
        raise refused(what, "correct it there", Place(file, line)) from None
    except RecursionError:
        raise refused("the file is nested too deeply", "write it with fewer levels", Place(file, None)) from None


def lines_of(text: str, places: Iterable[int]) -> list[int]:
    """Numbers of the lines in which the places are, which ascend."""
    lines = []
    line, counted = 1, 0
    for place in places:
        line += text.count("\n", counted, place)
        counted = place
        lines.append(line)
    return lines


def line_of(text: str, place: int) -> int:
    return lines_of(text, [place])[0]
