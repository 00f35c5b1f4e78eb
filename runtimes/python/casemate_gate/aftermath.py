"""What a request leaves behind: nothing. The next one may be about another tenant's bundle."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
from pathlib import Path
from typing import Final

_PR_SET_DUMPABLE: Final = 4
_WRITABLE: Final = (Path("/tmp"), Path("/dev/shm"))  # nosec B108  # a sandbox's own


def keep_closed() -> None:
    """No process of a request can look into this one, or change it. Raises where the kernel will not have that."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "a process that others can't look into")


def clear_away(process: int) -> int:
    """Waits for a request's process, and ends what it has begun. Its exit status; 70 where a signal ended it."""
    _, how = os.waitpid(process, 0)
    status = os.waitstatus_to_exitcode(how)
    try:
        os.killpg(process, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    # Elsewhere than in a sandbox, these would be everybody's processes and files.
    if os.getpid() == 1:
        _end_all_others()
        for folder in _WRITABLE:
            for entry in folder.iterdir():
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    return 70 if status < 0 else status


def _end_all_others() -> None:
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        pass
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass
