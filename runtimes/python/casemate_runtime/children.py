"""Orphans are reaped, a function's own children are left to it.

As process 1 we inherit every orphan of the sandbox; 60 dead ones would use up its process limit. But a child that the
function started itself belongs to a `subprocess.Popen` or an `os.waitpid` of the function, which would lose its status.
So the calls that start processes are wrapped to remember whose pid is whose.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

# Calls between two looks: without a start that we have seen, only an extension module can have made children.
REAP_EVERY: Final = 64
_SCAN_EVERY_SECONDS: Final = 1.0
_GONE_OR_NOT_OURS: Final = (ChildProcessError, ProcessLookupError)


class Children:
    def __init__(self) -> None:
        self.owned: set[int] = set()
        self._starts: set[object] = set()  # under way: their pids are not in `owned` yet
        self.any_started = False
        self._next_scan = 0.0

    def watch(self) -> None:
        """Wraps what starts processes. Call it once, before any code of a function runs."""
        import _posixsubprocess
        import subprocess

        for module, names in (
            (os, ("fork", "forkpty", "posix_spawn", "posix_spawnp")),
            (_posixsubprocess, ("fork_exec",)),
            (subprocess, ("_fork_exec",)),
        ):
            for name in names:
                self._wrap(module, name)
        os.register_at_fork(after_in_child=self.owned.clear)
        os.register_at_fork(after_in_child=self._starts.clear)

    def reap(self) -> None:
        """Collects dead orphans without waiting, in one thread at a time. With none it costs a failing system call."""
        known = self.owned.copy()
        try:
            while True:
                dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if dead is None:
                    return
                # In this order: who has started it notes it in `owned` before the start is over.
                if self._starts:
                    return
                if dead.si_pid in self.owned:
                    self._scan()
                    return
                os.waitpid(dead.si_pid, os.WNOHANG)
        except ChildProcessError:
            self.owned -= known

    def _scan(self) -> None:
        """Looks behind a dead child that the function has not waited for: the kernel shows that one first each time."""
        now = time.monotonic()
        if now < self._next_scan:
            return
        self._next_scan = now + _SCAN_EVERY_SECONDS
        known = self.owned.copy()
        present = {int(name) for name in os.listdir("/proc") if name.isdecimal()}
        if self._starts:
            return
        self.owned -= known - present
        for pid in present - self.owned - {os.getpid()}:
            try:
                os.waitpid(pid, os.WNOHANG)
            except _GONE_OR_NOT_OURS:
                continue

    def _wrap(self, module: ModuleType, name: str) -> None:
        original: Callable[..., Any] | None = getattr(module, name, None)
        if original is None:
            return
        owned, starts = self.owned, self._starts

        def start(*arguments: Any, **options: Any) -> Any:
            this = object()
            starts.add(this)
            try:
                started = original(*arguments, **options)
                self.any_started = True
                pid = started[0] if isinstance(started, tuple) else started  # forkpty answers (pid, descriptor)
                if pid > 0:
                    owned.add(pid)
                return started
            finally:
                starts.discard(this)

        start.__name__ = start.__qualname__ = name
        start.__doc__ = original.__doc__
        setattr(module, name, start)
