"""What a check came to. It has passed only where the tool itself said so, and said what it looked at.

The author's code runs in the process of pytest, unittest and mypy's plugins, and could forge such a report if it set out to:
whoever asks for a check could as well leave it out. What is kept out is the accident: a process that ends too soon, an exit
status that was changed on the way, a run that looked at nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from casemate_runtime.faults import Fault, advised

from casemate_checks.output import plain
from casemate_checks.program import LONGEST_REPORT, Ended

_NUMBERS: Final = ("status", "passed", "failed", "skipped", "unloaded")
_PYTEST_STATUS: Final = {
    2: "it was interrupted before its end",
    3: "it failed itself",
    4: "it does not understand its arguments or settings",
}
_MYPY_PLACE: Final = re.compile(r"^([^\s:][^:\n]{0,400}):(\d{1,7})(?::\d+)*: error: ", re.MULTILINE)
_RUFF_PLACE: Final = re.compile(r"^([^\s:][^:\n]{0,400}):(\d{1,7}):\d+: \S", re.MULTILINE)
_NO_PYTHON: Final = "There are no .py[i] files in directory"
_LONGEST_NAME: Final = 300


@dataclass(frozen=True, slots=True)
class Report:
    """What a tool's process said at its end."""

    status: int
    """The tool's own exit status."""
    finish: int | None
    """What the exit status was before the author's code saw it."""
    is_complete: bool
    """Whether all was run that was collected."""
    passed: int
    failed: int
    skipped: int
    unloaded: int
    """Files that could not be loaded."""
    file: str
    line: int | None
    name: str
    """Of what failed first."""

    @classmethod
    def parse(cls, report: bytes, nonce: str) -> Report | str | None:
        """A text: why the tool could not be loaded. `None`: it said nothing, or something that is not its report."""
        if not report or len(report) > LONGEST_REPORT:
            return None
        try:
            given = json.loads(report)
        except (ValueError, RecursionError):
            return None
        if not isinstance(given, dict) or given.get("nonce") != nonce:
            return None
        broken = given.get("broken")
        if isinstance(broken, str):
            return _clean(broken)
        numbers = [number for name in _NUMBERS if (number := _number(given.get(name))) is not None]
        texts = [_clean(text) for name in ("file", "name") if isinstance(text := given.get(name), str)]
        is_complete = given.get("complete")
        if len(numbers) != len(_NUMBERS) or len(texts) != 2 or type(is_complete) is not bool:
            return None
        status, passed, failed, skipped, unloaded = numbers
        finish, line = _number(given.get("finish")), _number(given.get("line"))
        return cls(status, finish, is_complete, passed, failed, skipped, unloaded, texts[0], line, texts[1])

    @property
    def summary(self) -> str:
        return f"{self.passed} passed" + (f", {self.skipped} skipped" if self.skipped else "")


def of_tests(tool: str, ended: Ended, nonce: str) -> str:
    """A line about what passed. Else a `Fault` is raised."""
    report = _report(tool, ended, nonce)
    if report.unloaded:
        what, fix = f"{tool} could not load {report.name or 'a file'}", "the output says why"
        raise _failed(what, fix, report.file)
    if report.failed:
        first = f", the first is {report.name}" if report.name else ""
        what = f"{report.failed} of {report.failed + report.passed} tests failed{first}"
        raise _failed(what, "mend the code, or the test", report.file, report.line)
    if report.status not in (0, 5):
        why = _PYTEST_STATUS.get(report.status, f"it ended with status {report.status}")
        raise _failed(f"no test failed, but {tool} did: {why}", "the output says more")
    if report.status == 0 and report.finish is None:
        raise _failed(f"{tool} was kept from running tests", "take out what has its place, such as pytest_cmdline_main")
    if report.passed == 0:
        what = f"all {report.skipped} tests were skipped" if report.skipped else f"{tool} found no test"
        raise Fault("check-empty", advised(what, "add a test to the source, or take gate.test out of the manifest"))
    if report.finish != 0:
        what = f"something set the exit status of {tool} to 0"
        raise _failed(what, "leave it as it is, in conftest.py and in plugins")
    if not report.is_complete:
        what = f"{tool} was stopped before all tests had run"
        raise _failed(what, "take out what stops it, such as pytest.exit or session.shouldstop")
    return report.summary


def of_types(ended: Ended, nonce: str, output: str) -> str:
    report = _report("mypy", ended, nonce)
    if report.status == 0:
        return "no errors"
    if report.status == 2 and _NO_PYTHON in output:
        raise Fault(
            "check-empty", advised("mypy found no file to check", "name one, or take gate.type out of the manifest")
        )
    file, line = _place(_MYPY_PLACE, output)
    if not file:
        raise _failed("mypy could not do its work", "the output says why")
    raise _failed("mypy found errors", "the output lists them", file, line)


def of_lint(files: Ended, ended: Ended, listed: str, output: str) -> str:
    """`files`: of a run that lists the paths of what is to be looked at, `listed`."""
    for run in (files, ended):
        if run.status is None or run.status < 0:
            raise _unfinished("ruff", run)
    if ended.status == 1:
        raise _failed("ruff found faults", "the output lists them", *_place(_RUFF_PLACE, output))
    if files.status or ended.status:
        raise _failed("ruff could not do its work", "the output says why")
    if not any(line.startswith("/") for line in listed.splitlines()):
        raise Fault(
            "check-empty", advised("ruff found no file to check", "name one, or take gate.lint out of the manifest")
        )
    return "no faults"


def _report(tool: str, ended: Ended, nonce: str) -> Report:
    report = Report.parse(ended.report, nonce)
    if isinstance(report, str):
        raise Fault("check-broken", advised(f"{tool} could not be loaded: {report}", "tell the administrator"))
    if ended.status != 0 or report is None:
        raise _unfinished(tool, ended)
    return report


def _unfinished(tool: str, ended: Ended) -> Fault:
    if ended.status is None:
        return late(tool)
    if ended.status < 0:
        what = f"{tool} was ended by signal {-ended.status} before it was done"
        return _failed(what, "it may have needed more memory than a check has, or what it runs ends processes")
    what = f"{tool} ended with status {ended.status} before it said how the check went"
    return _failed(what, "take out what ends its process, such as os._exit or sys.exit in a test or in conftest.py")


def late(tool: str) -> Fault:
    what = f"{tool} took longer than it may"
    return Fault("check-timeout", advised(what, "make the check smaller or faster"))


def _place(form: re.Pattern[str], output: str) -> tuple[str, int | None]:
    match = form.search(output)
    return (match[1].removeprefix("./"), int(match[2])) if match else ("", None)


def _failed(what: str, fix: str, file: str = "", line: int | None = None) -> Fault:
    return Fault("check-failed", advised(what, fix), file, line)


def _number(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 1 << 31 else None


def _clean(text: str) -> str:
    """A stranger's text, for a message."""
    return " ".join(plain(text.encode("utf-8", "backslashreplace")).split())[:_LONGEST_NAME]
