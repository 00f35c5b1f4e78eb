"""What a tool prints: its beginning and its end are kept, and nothing of it that a terminal would obey."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 64 << 10
"""In bytes of UTF-8."""

_OSC: Final = r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"
_CSI: Final = r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
_OTHER: Final = r"\x1b[ -/]*[0-~]?"
_ESCAPES: Final = re.compile(f"{_OSC}|{_CSI}|{_OTHER}")
_LINE_ENDS: Final = re.compile("\r+\n?")
# Controls, and what turns the direction of text round. DEL is one, too.
_UNSEEN: Final = dict.fromkeys(
    [*(code for code in range(0xA0) if (code < 0x20 or code >= 0x7F) and chr(code) not in "\n\t")]
    + [0x200E, 0x200F, 0x061C, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF]
)


class Output:
    """Holds twice `longest` bytes at most, whatever comes."""

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._head = bytearray()
        self._tail = bytearray()
        self._count = 0

    def add(self, data: bytes) -> None:
        self._count += len(data)
        room = max(0, self._longest - len(self._head))
        self._head += data[:room]
        self._tail += data[room:]
        del self._tail[: -self._longest]

    def text(self) -> str:
        """At most `longest` bytes of it, in whole lines where it has any."""
        is_whole = self._count == len(self._head) + len(self._tail)
        if is_whole:
            everything = plain(bytes(self._head + self._tail))
            if len(everything.encode()) <= self._longest:
                return everything
            head = tail = everything
        else:
            head, tail = plain(bytes(self._head)), plain(bytes(self._tail))
        half = (self._longest - 100) // 2
        begin, end = _first(head, half), _last(tail, half)
        left_out = self._count - len(begin.encode()) - len(end.encode())
        return f"{begin}\n[… some {max(left_out, 1)} bytes are left out here …]\n{end}"


def plain(data: bytes) -> str:
    text = _ESCAPES.sub("", data.decode("utf-8", "replace"))
    return _LINE_ENDS.sub("\n", text).translate(_UNSEEN)


def _first(text: str, longest: int) -> str:
    cut = text.encode()[:longest].decode("utf-8", "ignore")
    whole, line_end, _ = cut.rpartition("\n")
    return whole if line_end else cut


def _last(text: str, longest: int) -> str:
    cut = text.encode()[-longest:].decode("utf-8", "ignore")
    _, line_end, whole = cut.partition("\n")
    return whole if line_end else cut
