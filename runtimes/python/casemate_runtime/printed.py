"""What concurrent calls print: the lines of each in frames of its own, all of them before its reply."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

from casemate_runtime.frames import LONGEST_PRINTED, PRINTED, REPLY, Channel, Outgoing
from casemate_runtime.outcomes import Outcome
from casemate_runtime.output import LineWriter, Parts, encoded

# Beyond this a printing thread waits for the server, as it does with a full pipe.
_MOST_PENDING: Final = 1024 * 1024
_MOST_ROUNDS: Final = 20


class Call:
    """A call under way. `is_over` once its reply is on its way: what it still prints is nobody's."""

    __slots__ = ("number", "is_over", "lines")

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_over = False
        self.lines: dict[int, CallLines] = {}

    def finish_lines(self) -> None:
        for flags in sorted(self.lines):
            self.lines[flags].finish_all()


CURRENT: Final[ContextVar[Call | None]] = ContextVar("call", default=None)
"""The call for which code runs; it goes along into tasks and `asyncio.to_thread`."""


class Outbox:
    """Frames of all threads, sent one after the other by whichever thread is at it; the others leave theirs with it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._pending: deque[tuple[Call | None, int, Outcome]] = deque()
        self._pending_size = 0  # about: it is counted without a lock
        self._sending = threading.Lock()
        self._sender: int | None = None
        self._waiting: deque[None] = deque()

    def add_printed(self, call: Call | None, flags: int, text: bytes) -> None:
        for piece in _pieces(text):
            self._pending.append((call, PRINTED, (flags, 0, b"", piece)))
        self._pending_size += len(text)

    def send_reply(self, call: Call, outcome: Outcome) -> None:
        self._pending.append((call, REPLY, outcome))
        self.drain(wait=True)

    def drain(self, wait: bool = False) -> None:
        """`wait`: until all that was pending before is sent. Otherwise whoever sends just now does it."""
        wait = wait or self._pending_size > _MOST_PENDING
        # Rounds, as in LineWriter: who found the lock taken has left its frames to us.
        for _ in range(_MOST_ROUNDS):
            if not self._pending or not self._acquire(wait):
                return
            wait = False
            try:
                self._sender = threading.get_ident()
                self._send_pending()
            finally:
                self._sender = None
                self._sending.release()

    def _acquire(self, wait: bool) -> bool:
        if self._sender == threading.get_ident():
            return False  # a finalizer prints in the middle of a frame: its line goes out after that
        if not wait:  # who waits takes all that is pending along: a flood of lines must not overtake a reply
            return not self._waiting and self._sending.acquire(blocking=False)
        self._waiting.append(None)
        self._sending.acquire()
        self._waiting.pop()
        return True

    def _send_pending(self) -> None:
        self._pending_size = 0
        try:
            self._channel.send_all(self._take_pending())
        except OSError:  # the server is gone: whoever reads the socket sees its end
            pass
        except BaseException:  # no memory left: a frame may be sent by half, or a reply be lost
            os._exit(70)

    def _take_pending(self) -> list[Outgoing]:
        """One frame for neighbouring lines of the same call and stream. Only one thread at a time is here, so that no
        text of a call can come behind its reply."""
        frames: list[Outgoing] = []
        texts: list[bytes] = []  # of the last frame, which may still grow
        size = 0
        for _ in range(len(self._pending)):
            call, kind, (flags, status, meta, body) = self._pending.popleft()
            number = 0 if call is None or call.is_over else call.number
            if kind == REPLY and call is not None:
                call.is_over = True
            elif texts and frames[-1][:3] == (kind, number, flags) and size + len(body) <= LONGEST_PRINTED:
                texts.append(body)
                size += len(body)
                continue
            _complete(frames, texts)
            frames.append((kind, number, flags, status, meta, body))
            texts = [body] if kind == PRINTED else []
            size = len(body)
        _complete(frames, texts)
        return frames


def _complete(frames: list[Outgoing], texts: list[bytes]) -> None:
    if len(texts) > 1:
        kind, number, flags, status, meta, _ = frames[-1]
        frames[-1] = (kind, number, flags, status, meta, b"".join(texts))


def _pieces(text: bytes) -> Iterator[bytes]:
    """At most a frame's worth each, cut at a line's end, or inside a longer line at least not inside a character."""
    at = 0
    while len(text) - at > LONGEST_PRINTED:
        limit = at + LONGEST_PRINTED
        end = text.rfind(b"\n", at, limit) + 1
        if not end:
            end = next((near for near in range(limit, limit - 4, -1) if text[near] & 0xC0 != 0x80), limit)
        yield text[at:end]
        at = end
    yield text[at:]


class CallLines(LineWriter):
    """One stream of one call, or of what runs outside of any: lines go to the outbox instead of the descriptor."""

    def __init__(self, call: Call | None, flags: int, descriptor: int, outbox: Outbox) -> None:
        super().__init__(descriptor)
        self._call = call
        self._flags = flags
        self._outbox = outbox

    def flush(self) -> None:
        """Not the unfinished line: the server looks for secrets in whole ones."""
        self._drain(wait=True)

    def _finish(self, parts: Parts | None) -> None:
        if parts:
            self._outbox.add_printed(self._call, self._flags, encoded(parts))

    def _drain(self, wait: bool = False) -> None:
        self._outbox.drain(wait)


class Switch:
    """Leads a stream's text to the lines of the call that prints it. `flags`: 0 standard output, 1 standard error."""

    def __init__(self, flags: int, descriptor: int, outbox: Outbox) -> None:
        self.descriptor = descriptor
        self._flags = flags
        self._outbox = outbox
        self._nobodys = CallLines(None, flags, descriptor, outbox)

    def write_text(self, text: str) -> None:
        self._lines().write_text(text)

    def write_bytes(self, data: bytes) -> None:
        self._lines().write_bytes(data)

    def flush(self) -> None:
        self._lines().flush()

    def flush_all(self) -> None:
        """Of what no call printed."""
        self._nobodys.flush_all()

    def _lines(self) -> CallLines:
        call = CURRENT.get()
        if call is None or call.is_over:
            return self._nobodys
        lines = call.lines.get(self._flags)
        # `setdefault`, because two threads of a call may print their first line at once.
        return lines or call.lines.setdefault(self._flags, CallLines(call, self._flags, self.descriptor, self._outbox))
