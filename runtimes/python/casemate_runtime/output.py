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
from typing import Any, Final, Protocol

_LONGEST_LINE: Final = 64 * 1024
# Beyond this a printing thread waits for the reader, so that a flood is limited by the pipe and not by our memory.
_MOST_PENDING: Final = 1024 * 1024
_MOST_ROUNDS: Final = 20

Parts = list[str | bytes]  # as they came: encoded once, with the whole line


class Lines(Protocol):
    """Where a stream's text goes."""

    descriptor: int

    def write_text(self, text: str) -> None: ...
    def write_bytes(self, data: bytes) -> None: ...
    def flush(self) -> None: ...
    def flush_all(self) -> None: ...


class _Line:
    """A thread's place for its unfinished line. Compared and hashed by identity."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0


class _Thread(threading.local):
    def __init__(self) -> None:
        self.line = _Line()


class LineWriter:
    """One descriptor.

    Threads meet only in single operations of a dict and a deque, which the interpreter makes atomic: a lock around them
    would be handed from thread to thread with each line. Who takes a line's parts out of `_unfinished` owns them; who
    holds `_writing` empties `_pending`.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.reset()

    def reset(self) -> None:
        """Forgets what is unwritten. Also for the child of a fork: the parent's lines and its threads' locks are not its own."""
        # Re-entrant: a signal handler or a finalizer may print while its thread does.
        self._writing = threading.RLock()
        self._busy = False
        self._thread = _Thread()
        self._unfinished: dict[_Line, Parts] = {}
        self._pending: deque[bytes] = deque()
        self._pending_size = 0  # about: it is counted without a lock

    def write_text(self, text: str) -> None:
        if "\n" not in text:
            self._append(text)
        elif text[-1] == "\n":
            self._end_line(text)
        else:
            end = text.rindex("\n") + 1
            self._end_line(text[:end])
            self._append(text[end:])

    def write_bytes(self, data: bytes) -> None:
        end = data.rfind(b"\n") + 1
        if end:
            self._end_line(data[:end])
        if end < len(data):
            self._append(data[end:])

    def flush(self) -> None:
        """Writes this thread's unfinished line."""
        self._finish(self._unfinished.pop(self._thread.line, None))
        self._drain(wait=True)

    def flush_all(self) -> None:
        """Writes every thread's unfinished line. When it returns, all that was printed before is in the pipe."""
        if not (self._unfinished or self._pending or self._busy):
            return
        self.finish_all()
        self._drain(wait=True)

    def finish_all(self) -> None:
        """Ends every thread's unfinished line without writing it yet."""
        while self._unfinished:
            try:
                self._finish(self._unfinished.popitem()[1])
            except KeyError:  # its thread was faster
                break

    def _append(self, part: str | bytes) -> None:
        line = self._thread.line
        parts = self._unfinished.pop(line, None)
        if parts is None:
            parts = [part]
            line.size = len(part)
        else:
            parts.append(part)
            line.size += len(part)
        if line.size < _LONGEST_LINE:
            self._unfinished[line] = parts
        else:
            self._finish(parts)
            self._drain()

    def _end_line(self, part: str | bytes) -> None:
        parts = self._unfinished.pop(self._thread.line, None)
        if parts is None:
            parts = [part]
        else:
            parts.append(part)
        self._finish(parts)
        self._drain()

    def _finish(self, parts: Parts | None) -> None:
        if parts:
            data = encoded(parts)
            self._pending.append(data)
            self._pending_size += len(data)

    def _drain(self, wait: bool = False) -> None:
        """`wait`: until all that was pending before is written. Otherwise whoever writes just now does it."""
        wait = wait or self._pending_size > _MOST_PENDING
        # More than once, because who could not have the lock has left its lines to us. Not for ever, because a thread
        # that only prints must not keep a call from its answer.
        for _ in range(_MOST_ROUNDS):
            if not (self._pending or (wait and self._busy)) or not self._writing.acquire(blocking=wait):
                return
            wait = False
            try:
                self._busy = True
                self._pending_size = 0
                self._write_fully(self._take_pending())
            finally:
                self._busy = False
                self._writing.release()

    def _take_pending(self) -> bytes:
        taken: list[bytes] = []
        try:
            for _ in range(len(self._pending)):
                taken.append(self._pending.popleft())
        except IndexError:  # a signal handler or a finalizer has printed in between
            pass
        return b"".join(taken)

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


def encoded(parts: Parts) -> bytes:
    try:
        return "".join(parts).encode("utf-8", "backslashreplace")  # type: ignore[arg-type]
    except TypeError:  # some came through the binary stream
        return b"".join(part if isinstance(part, bytes) else part.encode("utf-8", "backslashreplace") for part in parts)


class BinaryStream(io.RawIOBase):
    """`sys.stdout.buffer`: bytes, with the same lines and the same order as the text."""

    def __init__(self, lines: Lines, name: str) -> None:
        self._lines = lines
        self.name = name
        self.mode = "wb"

    @property
    def raw(self) -> BinaryStream:
        return self

    def write(self, data: Any) -> int:
        copied = bytes(memoryview(data).cast("B")) if not isinstance(data, bytes) else data
        if copied:
            self._lines.write_bytes(copied)
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
        self._own = LineWriter(descriptor)
        self._buffer = BinaryStream(self._own, name)
        self.name = name
        self.lead_to(self._own)

    def lead_to(self, lines: Lines) -> None:
        """The stream stays the same: a handler of `logging` may hold it since the import."""
        self._lines = self._buffer._lines = lines
        self._write = lines.write_text
        self.flush_all = lines.flush_all

    def reset(self) -> None:
        """Leads to the descriptor again, without what is unwritten."""
        self.lead_to(self._own)
        self._own.reset()

    @property
    def buffer(self) -> BinaryStream:
        return self._buffer

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            self._write(text)
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
