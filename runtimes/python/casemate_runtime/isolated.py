"""`isolate: call`: a fresh process per call, forked from this one after the import, and nothing left when it ends.

This process never holds a secret or a byte of a request: what it does not know, no process that it makes can find. The
process of the next call is made before that call comes, so that nobody waits for the fork.
"""

from __future__ import annotations

import fcntl
import gc
import os
import select
import signal
from collections.abc import Callable
from functools import partial
from os import fork  # before it is wrapped to remember whose child is whose: these are ours
from typing import Final, NoReturn

from casemate_runtime.faults import ProtocolError
from casemate_runtime.frames import HEADER, INVOKE_ISOLATED, LONGEST_BODY, LONGEST_META, READY, REPLY, Channel
from casemate_runtime.isolated_call import BAD_FRAME
from casemate_runtime.outcomes import CHILD_ENDED
from casemate_runtime.output import TextStream
from casemate_runtime.relay import CallProcess, Relay, Sink
from casemate_runtime.renewal import Renewal, reap_orphans

_PIPE_SIZE: Final = 1 << 20
_MOST_EARLY_ENDS: Final = 3
_GRACE_MILLISECONDS: Final = 100


class IsolatedCalls:
    """`answer_one`: what the process of a call does with its two pipes."""

    def __init__(
        self, channel: Channel, err: TextStream, renewal: Renewal, answer_one: Callable[[int, int], NoReturn]
    ) -> None:
        if channel.has_more:
            raise ProtocolError("a call before the function was ready")
        self._control = channel.fileno()
        self._err = err
        self._renewal = renewal
        self._answer_one = answer_one
        self._sink = Sink()
        self._waiting = select.poll()
        self._waiting.register(self._control, select.POLLIN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would take the status of our children away
        gc.freeze()  # the collector of a call's process would copy every page that it looks at
        self._process = self._make()

    def serve(self) -> None:
        """Until the stream ends."""
        os.set_blocking(self._control, False)
        while self._await_call():
            head = bytearray(HEADER.size)
            if not self._receive(head):
                return
            call, length = _checked(head)
            relay = Relay(self._control, self._process, partial(reap_orphans, self._process.pid))
            if not relay.run(call, head, length):
                self._tell_end()
                self._send(HEADER.pack(0, REPLY, CHILD_ENDED, 502, 0, call))
            self._forget_process()
            self._renewal()
            self._sink.swallow(self._control, relay.unread)
            self._process = self._fork()
            self._send(HEADER.pack(0, READY, 0, 0, 0, call))

    def _make(self) -> CallProcess:
        """The first one finds what all others find: nothing that the import has started or has left in a folder."""
        self._renewal()
        return self._fork()

    def _fork(self) -> CallProcess:
        theirs, request = os.pipe()
        reply, to_us = os.pipe()
        for descriptor in (request, reply):
            try:
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
            except OSError:  # the user's share of the kernel's memory is used up
                pass
        pid = fork()
        if not pid:
            for descriptor in (request, reply):
                os.close(descriptor)
            self._sink.close()
            self._answer_one(theirs, to_us)
        os.close(theirs)
        os.close(to_us)
        alive = os.pidfd_open(pid)
        self._waiting.register(alive, select.POLLIN)
        return CallProcess(pid, request, reply, alive)

    def _forget_process(self) -> None:
        self._waiting.unregister(self._process.alive)
        self._process.close()

    def _await_call(self) -> bool:
        """With a process for it: one that ended before is replaced."""
        for _ in range(_MOST_EARLY_ENDS):
            ready = {descriptor for descriptor, _ in self._waiting.poll()}
            if self._process.alive not in ready:
                return True
            self._forget_process()
            self._process = self._make()
        raise ProtocolError("the processes of calls end before a call comes")

    def _receive(self, head: bytearray) -> bool:
        """False at the end of the stream. Takes no byte behind the header."""
        have = 0
        while have < len(head):
            try:
                count = os.readv(self._control, [memoryview(head)[have:]])
            except BlockingIOError:
                self._until(select.POLLIN)
                continue
            if not count and have:
                raise ProtocolError("the stream ended inside a header")
            if not count:
                return False
            have += count
        return True

    def _send(self, frame: bytes) -> None:
        while frame:
            try:
                frame = frame[os.write(self._control, frame) :]
            except BlockingIOError:
                self._until(select.POLLOUT)

    def _until(self, event: int) -> None:
        poller = select.poll()
        poller.register(self._control, event)
        poller.poll()

    def _tell_end(self) -> None:
        """Why there is no answer, for the function's log."""
        poller = select.poll()
        poller.register(self._process.alive, select.POLLIN)
        poller.poll(_GRACE_MILLISECONDS)  # its pipes are closed a little before its end can be seen
        how = "did not send a reply"
        try:
            pid, status = os.waitpid(self._process.pid, os.WNOHANG)
        except ChildProcessError:  # a thread of the function's was faster
            pid, status = 0, 0
        if pid:
            code = os.waitstatus_to_exitcode(status)
            if code == BAD_FRAME:
                raise ProtocolError("a call that its process could not read")
            how = f"ended with status {code} before it answered"
            if code < 0:
                how = f"was ended by {signal.Signals(-code).name} before it answered"
            if code == -signal.SIGKILL:
                how += ", as it is when its memory limit is reached"
        self._err.write(f"casemate: the process of the call {how}\n")
        self._err.flush_all()


def _checked(head: bytearray) -> tuple[int, int]:
    """The call's number, and how many bytes follow."""
    body_length, kind, _, _, meta_length, call = HEADER.unpack(head)
    if kind != INVOKE_ISOLATED:
        raise ProtocolError(f"a frame of kind {kind:#04x} where an isolated call was due")
    if meta_length > LONGEST_META or body_length > LONGEST_BODY:
        raise ProtocolError("the frame is too long")
    return call, meta_length + body_length
