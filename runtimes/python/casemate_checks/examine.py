"""One check, from its command to what it came to."""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from casemate_runtime.faults import Fault, advised

from casemate_checks import verdict
from casemate_checks.command import Command
from casemate_checks.output import Output
from casemate_checks.program import Ended, NotStarted, run
from casemate_checks.request import Request

_INSIDE: Final = Path(__file__).parent / "inside" / "entry.py"
_VENDORED: Final = "package"


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are in the sandbox."""

    bundle: Path = Path("/fn")
    tools: Path = Path("/opt/tools/checks")
    scratch: Path = Path("/tmp")  # nosec B108  # the sandbox's own

    @property
    def source(self) -> Path:
        return self.bundle / "src"

    @property
    def dependencies(self) -> Path:
        return self.bundle / "deps"

    @property
    def vendored(self) -> Path:
        """Packages that a source brings itself."""
        return self.source / _VENDORED

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.scratch),
            "TMPDIR": str(self.scratch),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "PYTHONDONTWRITEBYTECODE": "1",
        }


class Passed(NamedTuple):
    summary: str
    output: str


def examine(request: Request, places: Places, kill: Callable[[], None] | None = None) -> Passed:
    """Raises a `Fault` with the tool's output where the check did not pass."""
    output = Output()
    try:
        summary = _Check(request, places, kill, output).run()
    except NotStarted as error:
        what = f"{request.command.tool} could not be started: {error}"
        raise Fault("check-broken", advised(what, "tell the administrator"), body=output.text()) from None
    except Fault as fault:
        fault.body = output.text()
        raise
    return Passed(summary, output.text())


class _Check:
    def __init__(self, request: Request, places: Places, kill: Callable[[], None] | None, output: Output) -> None:
        self._request = request
        self._places = places
        self._kill = kill
        self._output = output
        self._deadline = time.monotonic() + request.seconds

    def run(self) -> str:
        command = self._request.command
        if command.tool == "ruff":
            return self._lint(command)
        nonce = secrets.token_hex(16)
        ended = self._inside(command, nonce)
        if command.kind == "type":
            return verdict.of_types(ended, nonce, self._output.text())
        return verdict.of_tests(command.tool, ended, nonce)

    def _inside(self, command: Command, nonce: str) -> Ended:
        """In a process of our own that calls the tool, and says at the end what it came to."""
        places = self._places
        job = {
            "nonce": nonce,
            "tool": command.tool,
            "arguments": command.arguments,
            "hasTargets": command.has_targets,
            "environment": self._request.environment,
            "source": str(places.source),
            "vendored": str(places.vendored),
            "dependencies": str(places.dependencies),
            "tools": str(places.tools),
            "scratch": str(places.scratch),
        }
        line = [sys.executable, "-I", "-S", "-B", str(_INSIDE)]
        return self._start(line, self._output, given=json.dumps(job).encode())

    def _lint(self, command: Command) -> str:
        # Nothing of the author's runs in ruff. It answers 0 where there is nothing to look at, so that is asked first.
        line = [str(self._places.tools / "bin" / "ruff"), "check", *command.arguments]
        # Its settings may say to mend, and then what is mended does not count.
        line += ["--no-cache", "--no-fix", "--no-fix-only", "--output-format=concise", "--color=never"]
        if self._places.vendored.is_dir():
            line.append(f"--extend-exclude={self._places.vendored}")
        listing = Output()
        files = self._start([*line, "--show-files"], listing)
        if files.status != 0:
            self._output.add(listing.text().encode())
            return verdict.of_lint(files, files, "", self._output.text())
        ended = self._start(line, self._output)
        return verdict.of_lint(files, ended, listing.text(), self._output.text())

    def _start(self, line: list[str], output: Output, given: bytes | None = None) -> Ended:
        places = self._places
        return run(
            line,
            given=given or b"",
            environment=places.environment,
            folder=places.source,
            deadline=self._deadline,
            output=output,
            kill=self._kill,
            reports=given is not None,
        )
