"""What lies between two isolated calls: nothing of the one is left when the other's process is made."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
from collections.abc import Callable, Sequence

from casemate_runtime.emptying import NotEmptied, empty

FOLDERS = ("/tmp", "/dev/shm")  # nosec B108  # all that a function can write to
_LIMITS = range(16)  # RLIM_NLIMITS


class Renewal:
    """`kill` ends every process of the sandbox but this one."""

    def __init__(self, folders: Sequence[str] | None = None, kill: Callable[[], None] | None = None) -> None:
        if os.getpid() != 1 and (folders is None or kill is None):
            raise RuntimeError("outside a sandbox only what a test names is killed and emptied")
        self._folders = FOLDERS if folders is None else folders
        self._kill = kill_all_others if kill is None else kill
        self._own_state = _state()
        self._flags = {descriptor: fcntl.fcntl(descriptor, fcntl.F_GETFL) for descriptor in (0, 1, 2)}

    def __call__(self) -> None:
        """Raises `NotEmptied`."""
        self._kill()
        reap_all()
        for folder in self._folders:
            empty(folder)
        for descriptor, flags in self._flags.items():  # O_NONBLOCK and the like belong to the pipe, not to who set them
            fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)
        if _state() != self._own_state:
            raise NotEmptied("a call has changed the limits of process 1")


def kill_all_others() -> None:
    if os.getpid() != 1:
        raise RuntimeError("only process 1 of a sandbox kills everything else")
    try:
        os.kill(-1, signal.SIGKILL)  # in one step for the kernel: not even a fork bomb gets away
    except ProcessLookupError:
        pass


def reap_all() -> None:
    """Waits until every child is gone; as process 1 we inherit those of others, too."""
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass


def reap_orphans(but: int) -> None:
    """Without waiting, while `but` runs: the dead ones count against the sandbox's limit of processes."""
    try:
        while (dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and dead.si_pid != but:
            os.waitpid(dead.si_pid, os.WNOHANG)
    except ChildProcessError:
        pass


def _state() -> list[object]:
    """What a process of the same user can change in this one from outside, and the next call would inherit: `prlimit`,
    `sched_setaffinity`, `setpriority`."""
    limits: list[object] = [resource.getrlimit(limit) for limit in _LIMITS]
    return [*limits, os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)]
