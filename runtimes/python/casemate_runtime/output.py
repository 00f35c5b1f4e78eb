"""Standard output and error of a function: lines of concurrent threads never mix inside a line.

A line is written as soon as it is complete. While one thread is in `write`, the others leave their lines with it, so that
many threads cost one system call for many lines instead of a queue for the descriptor.
"""

from __future__ import annotations

import io
import os
import select
import threading
from collections import deque
from typing import Any, Final

_LONGEST_LINE: Final = 64 * 1024
# Beyond this a printing thread waits for the reader, so that a flood is limited by the pipe and not by our memory.
_MOST_PENDING: Final = 1024 * 1024


class _Line:
    """A line so far. Compared and hashed by identity."""

    __slots__ = ("parts", "size")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0


class _Thread(threading.local):
    def __init__(self) -> None:
        self.line = _Line()


class LineWriter:
    """One descriptor. Both locks are re-entrant: a signal handler or a finalizer may print while its thread prints."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.reset()

    def reset(self) -> None:
        """Forgets what is unwritten. Also for the child of a fork: the parent's lines and its threads' locks are not its own."""
        self._mutex = threading.RLock()  # held for moments
        self._writing = threading.RLock()  # held while the pipe is full
        self._thread = _Thread()
        self._unfinished: dict[_Line, None] = {}
        self._pending: deque[bytes] = deque()
        self._pending_size = 0
        self._busy = False

    def write(self, data: bytes) -> None:
        end = data.rfind(b"\n") + 1
        line = self._thread.line
        if end:
            with self._mutex:
                line.parts.append(data[:end])
                self._take(line)
            data = data[end:]
        if data:
            # Without the lock, as most of what print() hands over: only this thread appends, and see _take.
            line.parts.append(data)
            line.size += len(data)
            if len(line.parts) == 1:
                self._unfinished[line] = None
            if line.size >= _LONGEST_LINE:
                with self._mutex:
                    self._take(line)
        if self._pending:
            self._drain(wait=self._pending_size > _MOST_PENDING)

    def flush(self) -> None:
        """Writes this thread's unfinished line."""
        with self._mutex:
            self._take(self._thread.line)
        self._drain(wait=True)

    def flush_all(self) -> None:
        """Writes every thread's unfinished line. When it returns, all that was printed before is in the pipe."""
        if not (self._unfinished or self._pending or self._busy):
            return
        with self._mutex:
            for line in list(self._unfinished):
                self._take(line)
        self._drain(wait=True)

    def _take(self, line: _Line) -> None:
        """Holding the mutex. The line's thread may append meanwhile: what it appends stays, and stays known."""
        count = len(line.parts)
        self._unfinished.pop(line, None)
        data = b"".join(line.parts[:count])
        line.size = 0
        del line.parts[:count]
        if line.parts:
            self._unfinished[line] = None
        if data:
            self._pending.append(data)
            self._pending_size += len(data)

    def _drain(self, wait: bool) -> None:
        while self._pending or (wait and self._busy):
            # Who can't have the lock may go: its holder looks again after it has let go.
            if not self._writing.acquire(blocking=wait):
                return
            try:
                with self._mutex:
                    data = b"".join(self._pending)
                    self._pending.clear()
                    self._pending_size = 0
                    self._busy = True
                self._write_fully(data)
            finally:
                self._busy = False
                self._writing.release()

    def _write_fully(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self.descriptor, rest) :]
            except BlockingIOError:  # somebody has made the pipe non-blocking
                waiter = select.poll()
                waiter.register(self.descriptor, select.POLLOUT)
                waiter.poll()
            except OSError:  # closed or nobody reads: a function does not fail because its log is gone
                return


class BinaryStream(io.RawIOBase):
    """`sys.stdout.buffer`: bytes, with the same lines and the same order as the text."""

    def __init__(self, lines: LineWriter, name: str) -> None:
        self._lines = lines
        self.name = name
        self.mode = "wb"

    @property
    def raw(self) -> BinaryStream:
        return self

    def write(self, data: Any) -> int:
        copied = bytes(memoryview(data).cast("B")) if not isinstance(data, bytes) else data
        if copied:
            self._lines.write(copied)
        return len(copied)

    def flush(self) -> None:
        self._lines.flush()

    def fileno(self) -> int:
        return self._lines.descriptor

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """Only flushes: a wrapper that a function puts around this closes it when it is collected."""
        self._lines.flush()


class TextStream(io.TextIOBase):
    """`sys.stdout` and `sys.stderr`."""

    encoding = "utf-8"
    errors = "backslashreplace"
    newlines = None
    line_buffering = True
    write_through = False
    mode = "w"

    def __init__(self, descriptor: int, name: str) -> None:
        self._lines = LineWriter(descriptor)
        self._write = self._lines.write
        self._buffer = BinaryStream(self._lines, name)
        self.name = name
        self.flush_all = self._lines.flush_all
        self.reset = self._lines.reset

    @property
    def buffer(self) -> BinaryStream:
        return self._buffer

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            self._write(text.encode("utf-8", "backslashreplace"))
        return len(text)

    def flush(self) -> None:
        self._lines.flush()

    def fileno(self) -> int:
        return self._lines.descriptor

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def reconfigure(self, **_: object) -> None:
        """Accepted, because scripts call it; the encoding stays."""

    def close(self) -> None:
        """Only flushes: the descriptor is the sandbox's, not the function's."""
        self._lines.flush()
