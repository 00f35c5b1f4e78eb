"""Carries a call to its process and the answer back, and no byte of either through this process's memory.

splice(2) moves pages between a socket and a pipe inside the kernel. Only the two headers are read here. Both directions
run at once: a function may answer before it has read everything, and no full pipe holds up the other one.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import Final, NamedTuple

from casemate_runtime.faults import ProtocolError
from casemate_runtime.frames import HEADER, LONGEST_REPLY_META, REPLY
from casemate_runtime.outcomes import BAD_REQUEST

_AT_ONCE: Final = 1 << 20
_FLAGS: Final = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE
_GONE: Final = select.POLLHUP | select.POLLERR
_IDLE_MILLISECONDS: Final = 1000


class CallProcess(NamedTuple):
    """`request` and `reply` are our ends of its pipes, `alive` is its pidfd."""

    pid: int
    request: int
    reply: int
    alive: int

    def close(self) -> None:
        for descriptor in self[1:]:
            os.close(descriptor)


class Pump:
    """One direction: `left` bytes from `source` to `target`, one of them a pipe."""

    def __init__(self, source: int, target: int, left: int) -> None:
        self.source = source
        self.target = target
        self.left = left
        self.lacks_source = self.lacks_target = False

    def move(self) -> None:
        """What is possible now. EOFError at the source's end."""
        while self.left and not (self.lacks_source or self.lacks_target):
            try:
                count = os.splice(self.source, self.target, min(self.left, _AT_ONCE), flags=_FLAGS)
            except BlockingIOError:  # of which, the kernel does not say
                self.lacks_source = self.lacks_target = True
                return
            if not count:
                raise EOFError
            self.left -= count


class Relay:
    """One call. The control socket does not block. `idle` is called now and then while nothing happens."""

    def __init__(self, control: int, process: CallProcess, idle: Callable[[], None]) -> None:
        self._control = control
        self._process = process
        self._idle = idle
        self._request = Pump(control, process.request, 0)
        self._takes_request = True
        self._head = bytearray(HEADER.size)
        self._have = 0
        self._unsent = b""
        self._reply: Pump | None = None  # from its header on
        self._is_dead = False

    @property
    def unread(self) -> int:
        """Bytes of the request that are still in the control socket."""
        return self._request.left

    def run(self, call: int, head: bytearray, length: int) -> bool:
        """Whether there was a reply; then all of it is sent. `head` is the request's, `length` what follows it."""
        self._request.left = length
        try:
            os.write(self._process.request, head)  # fits: the pipe is empty
        except BrokenPipeError:
            self._takes_request = False
        try:
            while True:
                self._push()
                if self._pull():
                    return True
                self._wait(call)
        except _Ended:
            if self._reply is None:
                return False
            raise ProtocolError("the process of a call ended inside its reply") from None

    def _push(self) -> None:
        if self._takes_request:
            try:
                self._request.move()
            except BrokenPipeError:
                self._takes_request = False
            except EOFError:
                raise ProtocolError("the stream ended inside a frame") from None

    def _pull(self) -> bool:
        """Whether the reply is complete."""
        if self._reply is None:
            return False
        if self._unsent:
            try:
                self._unsent = self._unsent[os.write(self._control, self._unsent) :]
            except BlockingIOError:
                pass
            if self._unsent:
                return False
        try:
            self._reply.move()
        except EOFError:
            raise _Ended from None
        return not self._reply.left

    def _wait(self, call: int) -> None:
        process, request, reply = self._process, self._request, self._reply
        starved = reply is None or reply.lacks_source
        poller = select.poll()
        # Without any event, too: its end is always told.
        events = select.POLLIN if self._takes_request and request.lacks_source else 0
        if self._unsent or (reply is not None and reply.lacks_target):
            events |= select.POLLOUT
        poller.register(self._control, events)
        if self._takes_request and request.lacks_target:
            poller.register(process.request, select.POLLOUT)
        if starved:
            poller.register(process.reply, select.POLLIN)
        if not self._is_dead:
            poller.register(process.alive, select.POLLIN)
        # A dead one's pipe may be held open by its children; but what it wrote itself is in there already.
        is_last_look = starved and self._is_dead
        ready = poller.poll(0 if is_last_look else _IDLE_MILLISECONDS)
        if not ready:
            if is_last_look:
                raise _Ended
            self._idle()
        for descriptor, events in ready:
            if descriptor == self._control:
                if events & _GONE:
                    raise ConnectionResetError("the server has gone during a call")
                if events & select.POLLIN:
                    request.lacks_source = False
                if events & select.POLLOUT and reply is not None:
                    reply.lacks_target = False
            elif descriptor == process.request:
                request.lacks_target = False
                self._takes_request = not events & _GONE
            elif descriptor == process.alive:
                self._is_dead = True
                self._takes_request = False
            elif reply is not None:
                reply.lacks_source = False
            else:
                self._read_head(call)

    def _read_head(self, call: int) -> None:
        count = os.readv(self._process.reply, [memoryview(self._head)[self._have :]])
        self._have += count
        if not count:
            raise _Ended
        if self._have < HEADER.size:
            return
        body_length, kind, flags, status, meta_length, number = HEADER.unpack(self._head)
        # Sixteen bytes that a process of a call has chosen: no later one shall find them.
        self._head[:] = bytes(HEADER.size)
        if (kind, number) != (REPLY, call) or flags > BAD_REQUEST or meta_length > LONGEST_REPLY_META:
            raise _Ended
        self._unsent = HEADER.pack(body_length, kind, flags, status, meta_length, number)
        self._reply = Pump(self._process.reply, self._control, meta_length + body_length)


class _Ended(Exception):
    """Nothing more comes from the process of the call, or nothing that is a reply."""


class Sink:
    """Where the rest of a request goes that its function did not read."""

    def __init__(self) -> None:
        self._out, self._in = os.pipe()
        self._null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)

    def swallow(self, source: int, length: int) -> None:
        poller = select.poll()
        poller.register(source, select.POLLIN)
        while length:
            poller.poll()
            try:
                count = os.splice(source, self._in, length, flags=_FLAGS)
            except BlockingIOError:
                continue
            if not count:
                raise ProtocolError("the stream ended inside a frame")
            length -= count
            while count:
                count -= os.splice(self._out, self._null, count)

    def close(self) -> None:
        for descriptor in (self._out, self._in, self._null):
            os.close(descriptor)
