"""The operation `import`: an export of a database of vulnerabilities becomes compact records, in a process of its own.

The process has limits of memory and time, and what it did stands only when it ended well.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from casemate_gate import exports
from casemate_gate.osv import Useless, compact, is_withdrawn, modified, parse_json, parse_yaml
from casemate_gate.problems import Problem, encoded
from casemate_gate.runner import confine

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
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    process = os.fork()
    if not process:
        os.close(ours)
        _work(descriptor, theirs)
    os.close(theirs)
    try:
        result = _received(ours)
    finally:
        os.close(ours)
        os.kill(process, signal.SIGKILL)  # it is done, or too late
        os.waitpid(process, 0)
    # What is shorter than it says was cut off by the end of its process.
    length = int.from_bytes(result[1:9], "big")
    if len(result) == 9 + length and result[:1] == b"+":
        return result[9:]
    if len(result) == 9 + length and result[:1] == b"-":
        raise Problem(result[9:2009].decode("utf-8", "replace"))
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


def _work(descriptor: int, pipe: int) -> NoReturn:
    try:
        confine(_SECONDS, _MEMORY)
        try:
            summary, records = summarised(descriptor)
            verdict, answer = b"+", summary.line() + records
        except Problem as problem:
            verdict, answer = b"-", problem.message.encode("utf-8", "backslashreplace")
        with open(pipe, "wb") as out:
            out.write(verdict + len(answer).to_bytes(8, "big"))
            out.write(answer)
    finally:
        os._exit(0)


def _received(pipe: int) -> bytes:
    """All that is written until the other end closes, the deadline passes or it is too much."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    deadline = time.monotonic() + _SECONDS
    parts: list[bytes] = []
    size = 0
    while size <= _LONGEST_RESULT and (left := deadline - time.monotonic()) > 0:
        if poll.poll(left * 1000):
            part = os.read(pipe, 1 << 20)
            if not part:
                break
            parts.append(part)
            size += len(part)
    return b"".join(parts)


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
