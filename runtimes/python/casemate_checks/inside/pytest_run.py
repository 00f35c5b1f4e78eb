"""Calls pytest, and counts what it does."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Generator
from pkgutil import iter_modules
from typing import Any

import _pytest.config
import iniconfig
import pluggy
import pytest

# What pytest loads only as it needs it would later be looked for on the author's path.
for _name in (
    *(f"_pytest.{plugin}" for plugin in _pytest.config.default_plugins),
    *(
        f"{package.__name__}.{module.name}"
        for package in (pluggy, iniconfig)
        for module in iter_modules(package.__path__)
    ),
    "packaging.requirements",
    "packaging.version",
):
    importlib.import_module(_name)


class Witness:
    """A plugin of ours. It has no name by which settings could leave it out."""

    def __init__(self) -> None:
        self.finish: int | None = None
        self.collected = 0
        self.done = 0
        self.passed = 0
        self.failed = 0
        self.skipped = 0
        self.unloaded = 0
        self.first: tuple[str, int | None, str] | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.unloaded += 1
            if self.unloaded == 1:  # before all that fails later
                self.first = (report.nodeid.partition("::")[0], None, report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed += 1
            if self.first is None:
                file, line, _ = report.location
                self.first = (file, None if line is None else line + 1, report.nodeid)
        elif report.skipped:
            self.skipped += 1
        elif report.when == "call":
            self.passed += 1

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logfinish(self) -> None:
        self.done += 1

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None, None, None]:
        self.finish = int(exitstatus)
        self.collected = session.testscollected
        return (yield)


def run(job: dict[str, Any]) -> dict[str, Any]:
    sys.argv[:] = ["pytest", *job["arguments"]]
    arguments = [*job["arguments"], f"--rootdir={job['source']}", "--color=no"]
    # The bundle can't be written to. Without the plugin that has it, settings about it would be unknown ones.
    arguments += ["-o", f"cache_dir={job['scratch']}/.pytest_cache"]
    if os.path.isdir(job["vendored"]):
        arguments.append(f"--ignore={job['vendored']}")
    witness = Witness()
    status = pytest.main(arguments, plugins=[witness])
    file, line, name = witness.first or ("", None, "")
    return {
        "status": int(status),
        "finish": witness.finish,
        "complete": witness.done >= witness.collected,
        "passed": witness.passed,
        "failed": witness.failed,
        "skipped": witness.skipped,
        "unloaded": witness.unloaded,
        "file": file[:300],
        "line": line,
        "name": name[:300],
    }
