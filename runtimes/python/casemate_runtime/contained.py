"""Runs a program of other people's for some time, keeps the end of what it prints, and leaves nothing of it running."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from casemate_runtime.faults import failed
from casemate_runtime.renewal import kill_all_others, reap_all

_LONGEST_OUTPUT: Final = 16 * 1024
_CHUNK: Final = 64 * 1024
_PR_GET_DUMPABLE: Final = 3
_PR_SET_DUMPABLE: Final = 4


class Ran(NamedTuple):
    """`status` is `None` where the time was up."""

    status: int | None
    output: str


def hide() -> None:
    """No process of this user can look into this one: not at its memory, its descriptors, nor its control socket."""
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        is_hidden = prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) == 0
    except (ImportError, OSError):
        is_hidden = False
    if not is_hidden:
        what = "this sandbox can't build from source: it can't hide its own process"
        raise failed(what, "choose versions that have a wheel, and leave dependencies.fromSource out")


def run(
    line: list[str], environment: dict[str, str], folder: Path, seconds: float, kill: Callable[[], None] | None = None
) -> Ran:
    """`kill` ends every other process of the sandbox; outside of one only the program's own group is ended."""
    hide()
    process = subprocess.Popen(
        line,
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        close_fds=True,
    )
    assert process.stdout  # nosec B101  # a pipe was asked for
    output = bytearray()
    ending = os.pidfd_open(process.pid)
    has_ended = False
    try:
        os.set_blocking(process.stdout.fileno(), False)
        has_ended = _watch(process.stdout.fileno(), ending, output, time.monotonic() + seconds)
    finally:
        _end(process.pid, kill)  # while its pid can't be anybody else's
        status = process.wait()
        if os.getpid() == 1:
            reap_all()
        os.close(ending)
        process.stdout.close()
    return Ran(status if has_ended else None, output.decode("utf-8", "replace"))


def _watch(printed: int, ending: int, output: bytearray, deadline: float) -> bool:
    """Whether it ended in time. Whoever floods its output, or keeps it open, gains nothing by it."""
    waiting = select.poll()
    waiting.register(ending, select.POLLIN)
    waiting.register(printed, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        ready = {descriptor for descriptor, _ in waiting.poll(min(left, 1.0) * 1000)}
        if printed in ready and not _keep(printed, output):
            waiting.unregister(printed)
        if ending in ready:
            for _ in range(_LONGEST_OUTPUT // 1024):
                if not _keep(printed, output):
                    break
            return True
    return False


def _keep(printed: int, output: bytearray) -> bool:
    """Whether there may be more."""
    try:
        data = os.read(printed, _CHUNK)
    except BlockingIOError:
        return True
    output += data
    del output[:-_LONGEST_OUTPUT]
    return bool(data)


def _end(group: int, kill: Callable[[], None] | None) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    if kill:
        kill()
    elif os.getpid() == 1:
        kill_all_others()
