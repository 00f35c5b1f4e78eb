"""What a tool prints is kept in bounds, and as text that no terminal obeys."""

from __future__ import annotations

import pytest
from casemate_checks.output import LONGEST, Output, plain


def kept(*parts: bytes, longest: int = 1000) -> str:
    output = Output(longest)
    for part in parts:
        output.add(part)
    return output.text()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (b"plain\n", "plain\n"),
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"\x1b[38;5;1mred\x1b[K", "red"),
        (b"\x1b]0;title\x07after", "after"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1b]52;c;bm8=", ""),
        (b"\x1b(Bcharset\x1b7\x1b8\x1bc", "charset"),
        (b"\xc2\x9b31mred", "red"),
        (b"half\x1b[", "half"),
        (b"half\x1b", "half"),
        (b"10%\r20%\r\nend\r\n", "10%\n20%\nend\n"),
        (b"bell\x07 back\x08 del\x7f nul\x00 feed\x0c", "bell back del nul feed"),
        (b"tab\tstays", "tab\tstays"),
        ("gün äß 日本".encode(), "gün äß 日本"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        ("a\u202eb\u2066c\u200fd\ufeffe".encode(), "abcde"),
        (b"", ""),
    ],
)
def test_text_has_nothing_that_a_terminal_would_obey(given: bytes, text: str) -> None:
    assert plain(given) == text


def test_what_fits_is_whole() -> None:
    assert kept(b"a\n" * 500) == "a\n" * 500


def test_of_what_does_not_fit_the_beginning_and_the_end_are_kept_in_whole_lines() -> None:
    lines = [b"%06d" % number for number in range(1000)]
    text = kept(*(line + b"\n" for line in lines))
    begin, _, end = text.partition("\n[… some ")
    left_out, _, end = end.partition(" bytes are left out here …]\n")
    assert len(text.encode()) <= 1000
    assert begin.startswith("000000\n000001") and end.endswith("000999\n")
    assert all(len(line) == 6 for line in (begin + "\n" + end).splitlines())
    assert int(left_out) + len(begin) + len(end) == 7000


@pytest.mark.parametrize("size", [999, 1000, 1001, 1999, 2000, 2001, 100_000])
@pytest.mark.parametrize("unit", [b"x", b"x\n", b"\xff", "ü".encode(), "日".encode(), b"\x1b[31m", b"\r"], ids=range(7))
def test_the_bound_holds_for_whatever_comes(size: int, unit: bytes) -> None:
    text = kept(*[unit] * size)
    assert len(text.encode()) <= 1000


def test_a_flood_costs_no_memory() -> None:
    output = Output()
    for _ in range(2000):
        output.add(b"x" * 65_536)
    assert len(output._head) + len(output._tail) == 2 * LONGEST
    assert len(output.text().encode()) <= LONGEST


def test_an_escape_in_the_middle_of_a_cut_is_not_shown() -> None:
    text = kept(b"\x1b[31mred line\x1b[0m\n" * 500)
    assert "[31m" not in text and "[0m" not in text
    assert set(text.splitlines()) - {"red line"} == {line for line in text.splitlines() if "left out" in line}


def test_one_chunk_may_be_longer_than_all_that_is_kept() -> None:
    text = kept(b"begin\n" + b"x" * 5000 + b"\nend\n")
    assert text.startswith("begin\n") and text.endswith("end\n")
