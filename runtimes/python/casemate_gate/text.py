"""Bytes as the text that an author sees, with the number of each line, whatever encoding they have."""

from __future__ import annotations

import codecs
import json
import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Final

_SAMPLE: Final = 8192
_LONGEST_LINE: Final = 8192
_OVERLAP: Final = 512
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is this one's beginning
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LITERAL: Final = re.compile(r'"((?:[^"\\\n]|\\.){0,65536})"')


@dataclass(frozen=True)
class Page:
    """A text, and how its positions become lines of the file that it comes from."""

    text: str
    numbers: tuple[int | None, ...] | None = None
    """For a text that was put together: the file's line of each of its lines."""

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    def line(self, at: int) -> int | None:
        index = bisect_right(self._starts, at) - 1
        return index + 1 if self.numbers is None else self.numbers[index]

    def content(self, at: int) -> str:
        """The line that holds position `at`, cut where it is endless."""
        start = max(self.text.rfind("\n", 0, at) + 1, at - _LONGEST_LINE)
        end = self.text.find("\n", at)
        return self.text[start : min(len(self.text) if end < 0 else end, at + _LONGEST_LINE)]


def decode(content: bytes) -> str | None:
    """`None`: this is no text."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _plain(content[len(mark) :].decode(encoding, "replace"))
    sample = content[:_SAMPLE]
    if b"\0" in sample:
        wide = _unmarked(sample)
        return None if wide is None else _plain(content.decode(wide, "replace"))
    try:
        return _plain(content.decode("utf-8"))
    except UnicodeDecodeError:
        return _plain(content.decode("latin-1"))


def notebook(text: str) -> Page:
    """The strings of a Jupyter notebook, which its file holds escaped."""
    parts: list[str] = []
    numbers: list[int | None] = []
    line, counted = 1, 0
    for match in _LITERAL.finditer(text):
        line += text.count("\n", counted, match.start())
        counted = match.start()
        literal = match[1]
        if "\\" in literal:
            try:
                literal = json.loads(f'"{literal}"', strict=False)
            except ValueError:
                pass
        lines = literal.removesuffix("\n").split("\n")
        parts += lines
        numbers += [line] * len(lines)
    return Page("\n".join(parts), tuple(numbers) or (None,))


def pieces(line: str) -> list[tuple[int, str]]:
    """A line of endless length in pieces that overlap, each with where it begins: the time of some patterns grows with
    the square of a line."""
    if len(line) <= _LONGEST_LINE:
        return [(0, line)]
    return [(at, line[at : at + _LONGEST_LINE]) for at in range(0, len(line), _LONGEST_LINE - _OVERLAP)]


def _plain(text: str) -> str:
    """With line feeds only, as Python reads a source."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _unmarked(sample: bytes) -> str | None:
    """UTF-16 without a mark, as PowerShell and the Windows registry write it: nearly every second byte is NUL."""
    half = len(sample) // 2
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if half >= 4 and odd > half * 0.7 and even < half * 0.1:
        return "utf-16-le"
    if half >= 4 and even > half * 0.7 and odd < half * 0.1:
        return "utf-16-be"
    return None
