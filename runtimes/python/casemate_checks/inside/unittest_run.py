"""Calls unittest, and counts what it does."""

from __future__ import annotations

import sys
import unittest
from typing import Any


class _Result(unittest.TextTestResult):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.passed = 0

    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        self.passed += 1


class _Runner(unittest.TextTestRunner):
    resultclass = _Result


def run(job: dict[str, Any]) -> dict[str, Any]:
    arguments = ["discover", *job["arguments"]] if _finds(job["arguments"]) else job["arguments"]
    sys.argv[:] = ["unittest", *arguments]
    # Errors in the arguments leave it by SystemExit.
    result: Any = unittest.main(module=None, argv=sys.argv, testRunner=_Runner, exit=False).result
    bad = [*result.errors, *result.failures, *((test, "") for test in result.unexpectedSuccesses)]
    unloaded = [test for test, _ in result.errors if isinstance(test, unittest.loader._FailedTest)]  # type: ignore[attr-defined]
    first = (unloaded or [test for test, _ in bad] or [None])[0]
    return {
        "status": int(not result.wasSuccessful()),
        "finish": int(not result.wasSuccessful()),
        "complete": not result.shouldStop,
        "passed": result.passed,
        "failed": len(bad) - len(unloaded),
        "skipped": len(result.skipped),
        "unloaded": len(unloaded),
        "file": "",
        "line": None,
        "name": "" if first is None else first.id()[:300],
    }


def _finds(arguments: list[str]) -> bool:
    """Whether it is to look for tests itself."""
    return not any(_is_name(arguments, index) for index in range(len(arguments)))


def _is_name(arguments: list[str], index: int) -> bool:
    return not arguments[index].startswith("-") and (index == 0 or arguments[index - 1] not in ("-k", "-s"))
