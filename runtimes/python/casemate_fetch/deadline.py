"""Ends a fetch that takes too long, wherever it is: in a handshake, at a server that drips, or inside a pack that unpacks
without end. A timeout of each socket would begin anew with every byte."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Late(BaseException):
    """No `Exception`: the libraries on the way take one for their own."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise Late

    before = signal.signal(signal.SIGALRM, ring)
    # Again each second: Python drops what is raised inside a destructor.
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
