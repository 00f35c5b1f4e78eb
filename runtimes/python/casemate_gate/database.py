"""The operation `import`: an export of a database of vulnerabilities becomes compact records, in a process of its own.

The process has limits of memory and time, and what it did stands only when it ended well.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import time
from dataclasses import dataclass
from typing import IO, Any, Final, NoReturn

from casemate_gate import exports
from casemate_gate.osv import Useless, compact, is_withdrawn, modified, parse_json, parse_yaml
from casemate_gate.problems import Problem, encoded

_MEMORY: Final = 4 << 30
_SECONDS: Final = 300
_LONGEST_RESULT: Final = 1 << 30


@dataclass
class Summary:
    records: int = 0
    withdrawn: int = 0
    skipped: int = 0
    """Of another index, or of no use."""
    newest: str = ""

    def line(self) -> bytes:
        fields: dict[str, Any] = {
            "records": self.records,
            "withdrawn": self.withdrawn,
            "skipped": self.skipped,
            "newest": self.newest or None,
        }
        return encoded(fields) + b"\n"


def read_export(descriptor: int) -> bytes:
    """The summary and the records, each in a line of JSON."""
    with open(os.memfd_create("records"), "w+b") as out:
        process = os.fork()
        if not process:
            _work(descriptor, out)
        status = _ended(process)
        out.seek(0)
        # The file has been written by a process that has read what strangers wrote: its first byte says what it holds.
        verdict = out.read(1)
        if status == 0 and verdict == b"+":
            content = out.read(_LONGEST_RESULT)
            if len(content) < _LONGEST_RESULT:
                return content
        if status == 0 and verdict == b"-":
            raise Problem(out.read(2000).decode("utf-8", "replace"))
    raise Problem("the archive could not be read within the limits of memory and time")


def summarised(descriptor: int) -> tuple[Summary, bytes]:
    """In this process."""
    summary = Summary()
    lines: list[bytes] = []
    for entry in exports.read(descriptor):
        try:
            parse = parse_json if entry.name.endswith(".json") else parse_yaml
            record = parse(entry.content)
            records = compact(record)
        except Useless:
            summary.skipped += 1
            continue
        if not records:
            summary.skipped += 1
        elif is_withdrawn(record):
            summary.withdrawn += 1
        else:
            summary.records += len(records)
            summary.newest = max(summary.newest, modified(record))
            lines += [encoded(item) for item in records]
    if not lines:
        raise Problem("the archive has no record of a Python package")
    lines.sort()
    return summary, b"\n".join(lines) + b"\n"


def _work(descriptor: int, out: IO[bytes]) -> NoReturn:
    status = 1
    try:
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            summary, records = summarised(descriptor)
            out.write(b"+" + summary.line() + records)
        except Problem as problem:
            out.write(b"-" + problem.message.encode("utf-8", "backslashreplace"))
        out.flush()
        status = 0
    finally:
        os._exit(status)


def _ended(process: int) -> int:
    """The status; a process that takes too long is ended."""
    pidfd = os.pidfd_open(process)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        deadline = time.monotonic() + _SECONDS
        while not poll.poll(max(0, (deadline - time.monotonic()) * 1000)):
            os.kill(process, signal.SIGKILL)
        return os.waitpid(process, 0)[1]
    finally:
        os.close(pidfd)


def load(lines: bytes) -> list[dict[str, Any]]:
    """Compact records out of a file that `import` has written; the summary, which has no id, is left out."""
    found = []
    for line in lines.splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and "id" in record:
            found.append(record)
    return found
