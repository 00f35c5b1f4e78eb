"""Which limit of the sandbox an exception comes from, so that the caller and the metrics can be told."""

from __future__ import annotations

import errno
import os
from typing import Final

_BY_NUMBER: Final = {
    errno.EMFILE: b"open-files",
    errno.ENFILE: b"open-files",
    errno.ENOSPC: b"tmp",
    errno.EFBIG: b"tmp",
}
# EAGAIN is also what a socket says that does not block: only where a process was to be made it is the limit on them.
_MAKERS: Final = frozenset({"subprocess.py", "popen_fork.py", "popen_spawn_posix.py"})
_MOST_CAUSES: Final = 8


def breach(error: BaseException | None) -> bytes:
    """The limit's name, or nothing. Looks at what the exception was raised from, too."""
    try:
        for _ in range(_MOST_CAUSES):
            if error is None:
                break
            if found := _of_one(error):
                return found
            error = error.__cause__ or error.__context__
    except BaseException:  # a class of the function's own, or no memory left
        pass
    return b""


def _of_one(error: BaseException) -> bytes:
    if isinstance(error, MemoryError):
        return b"memory"
    if type(error) is RuntimeError and error.args == ("can't start new thread",):
        return b"pids"
    if isinstance(error, OSError):
        if error.errno == errno.EAGAIN and _raised_in(error) in _MAKERS:
            return b"pids"
        return _BY_NUMBER.get(error.errno or 0, b"")
    return b""


def _raised_in(error: BaseException) -> str:
    """The file of the innermost frame."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return os.path.basename(trace.tb_frame.f_code.co_filename) if trace is not None else ""
