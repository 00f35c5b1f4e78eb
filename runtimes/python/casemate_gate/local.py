"""Mode local: one request from standard input, on somebody's own machine and with their rights. Only `lock` asks a network."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Mapping
from typing import IO, Any, Final

from casemate_gate.database import read_export
from casemate_gate.findings import shown
from casemate_gate.history import history
from casemate_gate.locks.operation import lock
from casemate_gate.match import match
from casemate_gate.problems import Problem, encoded, parse, text
from casemate_gate.project import project, records
from casemate_gate.scan import scan

_LONGEST_PROBLEM: Final = 8_000
_LONGEST_REQUEST: Final = 256 << 20


def main(source: IO[bytes], out: IO[bytes]) -> int:
    """Writes a line of JSON for each step and one for the end. Answers the process's exit status."""

    def tell(line: Mapping[str, Any]) -> None:
        out.write(encoded(line) + b"\n")
        out.flush()

    def progress(check: str, findings: int, milliseconds: int) -> None:
        tell({"progress": {"check": check, "findings": findings, "milliseconds": milliseconds}})

    try:
        body = source.read(_LONGEST_REQUEST + 1)
        if len(body) > _LONGEST_REQUEST:
            raise Problem("the request is too long")
        request = parse(body)
        operation = text(request, "operation")
        if operation == "scan":
            if "source" not in request:
                raise Problem("a scan on this machine has a source")
            result = scan(request, [], progress)
        elif operation == "project":
            result = project(request, progress)
        elif operation == "history":
            result = history(request, progress)
        elif operation == "match":
            result = _match(request)
        elif operation == "import":
            result = _import(request)
        elif operation == "lock":
            result = lock(request, progress)
        else:
            raise Problem(f"there is no operation {operation[:40]}")
    except Problem as problem:
        # It may quote what stands in a stranger's file.
        tell({"problem": shown(problem.message, _LONGEST_PROBLEM)})
        return 1
    except Exception as error:
        traceback.print_exc()
        tell({"problem": f"the gate failed at this request ({type(error).__name__})"})
        return 1
    tell({"result": result})
    return 0


def _match(request: dict[str, Any]) -> dict[str, Any]:
    """The advisories may be in a file that `import` has written."""
    known = request.get("advisories")
    return match(request | {"advisories": records(known)} if isinstance(known, str) else request)


def _import(request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        descriptor = os.open(text(request, "path"), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise Problem(f"the archive can't be read: {error.strerror}") from None
    try:
        summary, _, lines = read_export(descriptor).partition(b"\n")
    finally:
        os.close(descriptor)
    _replace(text(request, "output"), lines)
    return parse(summary)


def _replace(path: str, content: bytes) -> None:
    """All of it or nothing: whoever reads the file meanwhile has the old one."""
    try:
        with tempfile.NamedTemporaryFile(dir=os.path.dirname(os.path.abspath(path)), delete=False) as out:
            try:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
                os.chmod(out.name, 0o644)
                os.replace(out.name, path)
            except BaseException:
                os.unlink(out.name)
                raise
    except OSError as error:
        raise Problem(f"the records can't be written: {error.strerror}") from None
