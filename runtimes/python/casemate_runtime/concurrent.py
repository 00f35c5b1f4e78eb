"""Several calls at once in one process: plain handlers in threads, `async def` ones on one event loop."""

from __future__ import annotations

import os
from collections.abc import Coroutine
from contextvars import copy_context
from functools import partial
from types import CoroutineType
from typing import Any, NoReturn

from casemate_runtime.children import REAP_EVERY, Children
from casemate_runtime.faults import ProtocolError
from casemate_runtime.frames import INVOKE, Channel
from casemate_runtime.outcomes import ANSWERED, Outcome, answered, failed
from casemate_runtime.printed import CURRENT, Call, Outbox, Switch
from casemate_runtime.specialise import Specialised
from casemate_runtime.streams import Streams
from casemate_runtime.threads import EventLoop, Threads


class ConcurrentCalls:
    """The main thread reads calls; each is begun, run and answered elsewhere."""

    def __init__(self, channel: Channel, function: Specialised, streams: Streams, children: Children) -> None:
        self._channel = channel
        self._function = function
        self._streams = streams
        self._children = children
        self._outbox = Outbox(channel)
        self._threads = Threads()
        self._loop = EventLoop()
        self._running: set[int] = set()
        self._pid = os.getpid()

    def serve(self) -> None:
        """Until the stream ends; what still runs then, ends with the process."""
        for flags, stream in enumerate((self._streams.out, self._streams.err)):
            stream.lead_to(Switch(flags, stream.fileno(), self._outbox))
        try:
            while (frame := self._channel.read_kept()) is not None:
                self._take(*frame)
                if self._children.any_started or not frame[1] % REAP_EVERY:
                    self._children.reap()
                del frame
        finally:
            self._streams.reset()

    def _take(self, kind: int, number: int, meta: memoryview, body: memoryview) -> None:
        if kind != INVOKE:
            raise ProtocolError(f"a frame of kind {kind:#04x} where a call was due")
        if not number or number in self._running or len(self._running) >= self._function.mode.concurrency:
            raise ProtocolError("a call too many, or its number is not its own")
        self._running.add(number)
        # A copy of this thread's: what the module set while it was loaded (`decimal`'s precision) holds in its calls.
        begin = partial(copy_context().run, partial(self._begin, Call(number), meta, body))
        if self._function.is_async:  # nothing of it runs yet
            begin()
        else:
            self._threads.run(begin, len(self._running))

    def _begin(self, call: Call, meta: memoryview, body: memoryview) -> None:
        CURRENT.set(call)
        try:
            result = self._function.begin(meta, body, call.number)
            if type(result) is CoroutineType:
                self._loop.start(self._finish(call, result))
                return
            outcome = answered(self._function.respond(result))
        except BaseException as error:
            outcome = self._failed(error)
        self._end(call, outcome)

    async def _finish(self, call: Call, result: Coroutine[Any, Any, Any]) -> None:
        try:
            outcome = answered(self._function.respond(await result))
        except BaseException as error:
            outcome = self._failed(error)
        self._end(call, outcome)

    def _failed(self, error: BaseException) -> Outcome:
        try:
            return failed(error, self._streams.err)
        except BaseException as fault:
            self._give_up(fault)

    def _end(self, call: Call, outcome: Outcome) -> None:
        try:
            if os.getpid() != self._pid:  # the function has forked and let its child return
                self._streams.flush()
                os._exit(0 if outcome[0] == ANSWERED else 1)
            if len(self._running) == 1:  # not while others may have put theirs in place
                self._streams.flush()
            call.finish_lines()
            self._running.discard(call.number)  # before the reply, behind which the next call may come at once
            self._outbox.send_reply(call, outcome)
        except BaseException as fault:
            self._give_up(fault)

    def _give_up(self, fault: BaseException) -> NoReturn:
        """A call that is never answered would only run into its time limit."""
        try:
            self._streams.reset()
            self._streams.err.write(f"casemate: a call can't be answered: {fault!r}\n")
            self._streams.err.flush_all()
        finally:
            os._exit(70)
