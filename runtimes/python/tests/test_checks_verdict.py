"""A check has passed where its tool said so, whole and by the nonce; whatever else comes out of its process is no pass."""

from __future__ import annotations

import json
from typing import Any

import pytest
from casemate_checks.program import LONGEST_REPORT, Ended
from casemate_checks.verdict import Report, of_lint, of_tests, of_types
from casemate_runtime.faults import Fault

NONCE = "0123456789abcdef"
GOOD: dict[str, Any] = {
    "nonce": NONCE, "status": 0, "finish": 0, "complete": True, "passed": 3, "failed": 0, "skipped": 0, "unloaded": 0,
    "file": "", "line": None, "name": "",
}  # fmt: skip

CHANGES: list[dict[str, Any]] = [
    {"nonce": ""}, {"nonce": "0" * 16}, {"nonce": None}, {"nonce": [NONCE]},
    {"status": None}, {"status": "0"}, {"status": -1}, {"status": 1 << 40}, {"status": True}, {"status": 0.0},
    {"passed": None}, {"passed": "3"}, {"passed": -3}, {"passed": True}, {"failed": None}, {"skipped": None}, {"unloaded": []},
    {"complete": None}, {"complete": 1}, {"complete": "yes"}, {"file": None}, {"file": 1}, {"name": None}, {"name": ["x"]},
]  # fmt: skip


def ended(process: int | None = 0, /, **changes: Any) -> Ended:
    return Ended(process, json.dumps({**GOOD, **changes}).encode())


def judged(run: Ended) -> Fault:
    with pytest.raises(Fault) as caught:
        of_tests("pytest", run, NONCE)
    return caught.value


def test_what_all_passed_has_passed() -> None:
    assert of_tests("pytest", ended(), NONCE) == "3 passed"
    assert of_tests("pytest", ended(skipped=2), NONCE) == "3 passed, 2 skipped"


@pytest.mark.parametrize(
    "report",
    [
        b"", b"x", b"{}", b"[]", b"null", b"0", b"\xff\xfe", b"{" * 5000, b'{"nonce": "0123456789abcdef"}',
        json.dumps(GOOD).encode() * 2,
        json.dumps(GOOD).encode()[:-1],
        json.dumps(GOOD).encode() + b" " * LONGEST_REPORT,
        *(json.dumps({**GOOD, **change}).encode() for change in CHANGES),
    ],
    ids=range(36),
)  # fmt: skip
def test_a_report_that_is_not_whole_is_none(report: bytes) -> None:
    assert Report.parse(report, NONCE) is None
    assert judged(Ended(0, report)).code == "check-failed"


@pytest.mark.parametrize("without", [key for key in GOOD if key not in ("finish", "line")])
def test_a_report_lacks_nothing(without: str) -> None:
    report = json.dumps({key: value for key, value in GOOD.items() if key != without}).encode()
    assert judged(Ended(0, report)).code == "check-failed"


@pytest.mark.parametrize(
    ("run", "code", "words"),
    [
        (ended(None), "check-timeout", "took longer"),
        (ended(1), "check-failed", "ended with status 1 before"),
        (ended(70), "check-failed", "os._exit or sys.exit"),
        (ended(-9), "check-failed", "signal 9"),
        (ended(-11), "check-failed", "signal 11"),
        (Ended(None, b""), "check-timeout", "took longer"),
        (Ended(0, b""), "check-failed", "ended with status 0 before"),
        (ended(failed=1), "check-failed", "1 of 4 tests failed"),
        (ended(failed=1, status=1, finish=1), "check-failed", "1 of 4"),
        (ended(unloaded=1, name="test_a.py"), "check-failed", "could not load test_a.py"),
        (ended(passed=0), "check-empty", "found no test"),
        (ended(passed=0, status=5, finish=5), "check-empty", "found no test"),
        (ended(passed=0, skipped=4), "check-empty", "all 4 tests were skipped"),
        (ended(status=1), "check-failed", "ended with status 1"),
        (ended(status=2), "check-failed", "interrupted"),
        (ended(status=3), "check-failed", "failed itself"),
        (ended(status=4), "check-failed", "arguments or settings"),
        (ended(finish=None), "check-failed", "kept from running"),
        (ended(finish=None, passed=0), "check-failed", "kept from running"),
        (ended(finish=None, passed=0, status=5), "check-empty", "found no test"),
        (ended(finish=1), "check-failed", "set the exit status"),
        (ended(finish=2), "check-failed", "set the exit status"),
        (ended(finish="0"), "check-failed", "kept from running"),
        (ended(complete=False), "check-failed", "stopped before all"),
        (Ended(0, json.dumps({"nonce": NONCE, "broken": "ImportError: x"}).encode()), "check-broken", "ImportError: x"),
    ],
    ids=range(25),
)
def test_anything_but_all_passed_is_a_fault(run: Ended, code: str, words: str) -> None:
    found = judged(run)
    assert found.code == code and words in found.message
    assert found.message.count("; ") == 1


def test_the_place_of_what_failed_first_comes_along_as_text() -> None:
    found = judged(ended(failed=1, file="a\n\x1b[31m.py", line=3, name="x" * 5000))
    assert (found.file, found.line) == ("a .py", 3) and len(found.message) < 500
    assert judged(ended(failed=1, file="a.py", line="3")).line is None


@pytest.mark.parametrize("output", ["", "a.py:x: error: y", "error: y", "\n:1: error: y"])
def test_types_without_a_place_are_a_fault_all_the_same(output: str) -> None:
    with pytest.raises(Fault) as caught:
        of_types(ended(status=2), NONCE, output)
    assert (caught.value.code, caught.value.file) == ("check-failed", "")


def test_the_first_error_of_types_has_its_place() -> None:
    with pytest.raises(Fault) as caught:
        of_types(ended(status=1), NONCE, "note\nlib/a.py:12: note: n\n./lib/a.py:13:4: error: e\nb.py:1: error: f\n")
    assert (caught.value.file, caught.value.line) == ("lib/a.py", 13)


@pytest.mark.parametrize(
    ("files", "run", "listed", "code"),
    [
        (Ended(0, b""), Ended(0, b""), "", "check-empty"),
        (Ended(0, b""), Ended(0, b""), "warning: No Python files found\n", "check-empty"),
        (Ended(0, b""), Ended(1, b""), "/fn/src/a.py\n", "check-failed"),
        (Ended(0, b""), Ended(2, b""), "/fn/src/a.py\n", "check-failed"),
        (Ended(2, b""), Ended(0, b""), "/fn/src/a.py\n", "check-failed"),
        (Ended(None, b""), Ended(0, b""), "/fn/src/a.py\n", "check-timeout"),
        (Ended(0, b""), Ended(None, b""), "/fn/src/a.py\n", "check-timeout"),
        (Ended(-9, b""), Ended(0, b""), "/fn/src/a.py\n", "check-failed"),
        (Ended(0, b""), Ended(-9, b""), "/fn/src/a.py\n", "check-failed"),
    ],
    ids=range(9),
)
def test_lint_passes_where_ruff_saw_a_file_and_found_nothing(files: Ended, run: Ended, listed: str, code: str) -> None:
    with pytest.raises(Fault) as caught:
        of_lint(files, run, listed, "")
    assert caught.value.code == code
    assert of_lint(Ended(0, b""), Ended(0, b""), "/fn/src/a.py\n", "") == "no faults"
