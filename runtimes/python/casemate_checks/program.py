"""Runs one program beside which the author's code runs, or in which it does: with a deadline, with what it prints in bounds,
and nothing of it is left running.

It is given nothing but its standard descriptors and one pipe for a report. The control socket stays here.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from casemate_runtime.renewal import reap_all, reap_orphans

from casemate_checks.output import Output

LONGEST_REPORT: Final = 16 << 10
_CHUNK: Final = 64 << 10
# What a pipe holds, and some more: who writes on and on keeps nobody here.
_MOST_CHUNKS: Final = 64


class NotStarted(Exception):
    """The program is not there, or there is no room for one more process."""


class Ended(NamedTuple):
    status: int | None
    """As `subprocess` has it: negative for a signal. `None`: the time was up."""
    report: bytes


def run(
    line: Sequence[str],
    *,
    given: bytes,
    environment: Mapping[str, str],
    folder: Path,
    deadline: float,
    output: Output,
    kill: Callable[[], None] | None = None,
    reports: bool = True,
) -> Ended:
    """`given`: its standard input. `deadline`: of the monotonic clock. `kill` ends every other process of the sandbox; outside of
    one only the program's own group is ended. `reports`: the number of the report's descriptor is put behind `line`."""
    printed, printing = os.pipe()
    reported, reporting = os.pipe()
    try:
        with open(os.memfd_create("job"), "w+b", buffering=0) as standard_input:
            standard_input.write(given)
            standard_input.seek(0)
            passed = (reporting,) if reports else ()
            process = _start(line, standard_input.fileno(), printing, passed, environment, folder)
        os.close(printing)
        os.close(reporting)
        printing = reporting = -1
        os.set_blocking(printed, False)
        os.set_blocking(reported, False)
        status = _watch(process, printed, output, deadline, kill)
        _read(printed, output.add)
        report = bytearray()
        _read(reported, report.extend)
        return Ended(status, bytes(report[: LONGEST_REPORT + 1]))
    finally:
        for descriptor in (printed, printing, reported, reporting):
            if descriptor >= 0:
                os.close(descriptor)


def _start(
    line: Sequence[str],
    given: int,
    printing: int,
    passed: Sequence[int],
    environment: Mapping[str, str],
    folder: Path,
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [*line, *map(str, passed)],
            stdin=given,
            stdout=printing,
            stderr=printing,
            pass_fds=passed,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NotStarted(str(error)) from None


def _watch(
    process: subprocess.Popen[bytes], printed: int, output: Output, deadline: float, kill: Callable[[], None] | None
) -> int | None:
    ending = os.pidfd_open(process.pid)
    has_ended = False
    try:
        has_ended = _wait(process.pid, ending, printed, output, deadline)
    finally:
        _end(process.pid, kill)  # while its pid can't be anybody else's
        status = process.wait()
        if os.getpid() == 1:
            reap_all()
        os.close(ending)
    return status if has_ended else None


def _wait(process: int, ending: int, printed: int, output: Output, deadline: float) -> bool:
    """Whether it ended in time."""
    waiting = select.poll()
    waiting.register(ending, select.POLLIN)
    waiting.register(printed, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        ready = {descriptor for descriptor, _ in waiting.poll(min(left, 0.5) * 1000)}
        if ending in ready:
            return True
        if os.getpid() == 1:
            reap_orphans(process)
        if printed in ready:
            try:
                data = os.read(printed, _CHUNK)
            except BlockingIOError:
                continue
            output.add(data)
            if not data:
                waiting.unregister(printed)
    return False


def _end(group: int, kill: Callable[[], None] | None) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    if kill:
        kill()


def _read(descriptor: int, take: Callable[[bytes], None]) -> None:
    """What is in the pipe now."""
    for _ in range(_MOST_CHUNKS):
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            return
        take(data)
