"""Mode run: specialise once, then answer calls until the socket ends: one after the other, several at once, or each in
a process of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from casemate_runtime.children import REAP_EVERY, Children
from casemate_runtime.concurrent import ConcurrentCalls
from casemate_runtime.emptying import NotEmptied
from casemate_runtime.faults import Fault, ProtocolError
from casemate_runtime.frames import (
    CHECK,
    INVOKE,
    LONGEST_REPLY_BODY,
    LONGEST_REPLY_META,
    REPLY,
    SPECIALISE,
    SPECIALISED,
    WARM,
    Channel,
    decode_fields,
)
from casemate_runtime.handlers.common import BadResult, Handler
from casemate_runtime.isolated import IsolatedCalls
from casemate_runtime.isolated_call import PIPE_BUFFER_SIZE, Pipes, answer_one
from casemate_runtime.outcomes import ANSWERED, failed
from casemate_runtime.output import TextStream
from casemate_runtime.renewal import Renewal
from casemate_runtime.specialise import Specialised, Specialiser
from casemate_runtime.streams import Streams


class Server:
    """`renewal` is made for isolated calls only."""

    def __init__(
        self,
        channel: Channel,
        specialiser: Specialiser,
        out: TextStream,
        err: TextStream,
        renewal: Callable[[], Renewal] = Renewal,
    ) -> None:
        self._channel = channel
        self._specialiser = specialiser
        self._streams = Streams(out, err)
        self._renewal = renewal
        self._children = Children()
        self._forked = False

    def run(self) -> int:
        """Answers the process's exit status."""
        self._children.watch()
        os.register_at_fork(after_in_child=self._after_fork)
        self._streams.restore()
        self._channel.send(WARM)
        status = 0
        try:
            serve = self._specialise()
            if serve is not None:
                serve()
        except (ProtocolError, OSError) as error:
            if not self._forked:
                self._streams.err.write(f"casemate: the control socket: {error}\n")
            status = 70
        except NotEmptied as error:
            self._streams.err.write(f"casemate: something of a call would be left to the next one: {error}\n")
            status = 71
        self._streams.flush()
        return status

    def _specialise(self) -> Callable[[], None] | None:
        """What answers the calls."""
        frame = self._channel.read()
        if frame is None:
            return None
        kind, _, meta, _ = frame
        if kind not in (SPECIALISE, CHECK):
            raise ProtocolError(f"a frame of kind {kind:#04x} where specialise or check was due")
        function = None
        try:
            made = self._specialiser.specialise(decode_fields(meta))
            answer = (0, made.signature.encode(), b"")
            function = made if kind == SPECIALISE else None
        except Fault as fault:
            answer = (1, fault.meta(), fault.content())
        self._streams.flush()
        if self._forked:
            os._exit(0)
        serve = None if function is None else self._way_of(function)
        status, reply_meta, body = answer
        self._channel.send(SPECIALISED, status=status, meta=reply_meta, body=body)
        if serve is None and self._channel.read() is not None:
            raise ProtocolError("a frame for an instance that has no function")
        return serve

    def _way_of(self, function: Specialised) -> Callable[[], None]:
        if function.mode.isolated:
            return IsolatedCalls(
                self._channel, self._streams.err, self._renewal(), partial(self._isolated, function)
            ).serve
        if function.mode.concurrency > 1:
            return ConcurrentCalls(self._channel, function, self._streams, self._children).serve
        return partial(self._serve, function.handler)

    def _serve(self, handler: Handler) -> None:
        channel, children, flush = self._channel, self._children, self._streams.flush
        while True:
            frame = channel.read()
            if frame is None:
                return
            kind, call, meta, body = frame
            if kind != INVOKE:
                raise ProtocolError(f"a frame of kind {kind:#04x} where a call was due")
            flags = ANSWERED
            try:
                status, pairs, answer = handler(meta, body, call)
                if len(pairs) > LONGEST_REPLY_META or len(answer) > LONGEST_REPLY_BODY:
                    raise BadResult("its headers or its body are too long")
            except BaseException as error:
                flags, status, pairs, answer = failed(error, self._streams.err)
            flush()
            if self._forked:  # the function has forked and let its child return
                os._exit(0 if flags == ANSWERED else 1)
            channel.send(REPLY, call, flags, status, pairs, answer)
            del frame, meta, body, answer  # nothing of a call is kept while waiting for the next one
            if children.any_started or not call % REAP_EVERY:
                children.reap()

    def _isolated(self, function: Specialised, request: int, reply: int) -> NoReturn:
        """In a process of its own. What that one forks has no say on its pipes either."""
        self._channel, self._forked = Channel(Pipes(request, reply), PIPE_BUFFER_SIZE), False
        answer_one(self._channel, function, self._specialiser.add_secrets, self._streams)

    def _after_fork(self) -> None:
        """A child has no say on the control socket, and none of the lines that the parent has not written yet."""
        self._forked = True
        self._channel.close()
        self._streams.reset()
