"""Mode run: specialise once, then answer one call after the other until the socket ends."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from types import TracebackType
from typing import Any, Final

from casemate_runtime.children import Children
from casemate_runtime.faults import Fault, ProtocolError
from casemate_runtime.frames import (
    CHECK,
    INVOKE,
    LONGEST_REPLY_BODY,
    LONGEST_REPLY_META,
    REPLY,
    SCAN,
    SCANNED,
    SPECIALISE,
    SPECIALISED,
    WARM,
    Channel,
    decode_fields,
)
from casemate_runtime.handlers.common import TEXT_TYPE, BadRequest, BadResult, Handler
from casemate_runtime.output import TextStream
from casemate_runtime.scan import scan
from casemate_runtime.specialise import Specialiser

ANSWERED: Final = 0
RAISED: Final = 1
BAD_RESULT: Final = 2
BAD_REQUEST: Final = 3

_SECRET: Final = 4
# Without a start that we have seen, only an extension module can have made children.
_REAP_EVERY: Final = 64
# Frames above the function's own one: ours, and asyncio's for an `async def`.
_NOT_THE_AUTHORS: Final = tuple(f"{os.path.dirname(os.path.abspath(file))}/" for file in (__file__, asyncio.__file__))


class Server:
    def __init__(self, channel: Channel, specialiser: Specialiser, out: TextStream, err: TextStream) -> None:
        self._channel = channel
        self._specialiser = specialiser
        self._out = out
        self._err = err
        self._children = Children()
        self._forked = False

    def run(self) -> int:
        """Answers the process's exit status."""
        self._children.watch()
        os.register_at_fork(after_in_child=self._after_fork)
        self._restore_streams()
        self._channel.send(WARM)
        try:
            handler = self._specialise()
            if handler is not None:
                self._serve(handler)
        except (ProtocolError, OSError) as error:
            if not self._forked:
                self._err.write(f"casemate: the control socket: {error}\n")
            self._flush()
            return 70
        self._flush()
        return 0

    def _specialise(self) -> Handler | None:
        frame = self._channel.read()
        if frame is None:
            return None
        kind, _, meta, _ = frame
        if kind == SCAN:
            self._scan(decode_fields(meta).get(_SECRET, []))
            return None
        if kind not in (SPECIALISE, CHECK):
            raise ProtocolError(f"a frame of kind {kind:#04x} where specialise or check was due")
        handler = None
        try:
            name, made = self._specialiser.specialise(decode_fields(meta))
            answer = (0, name.encode(), b"")
            handler = made if kind == SPECIALISE else None
        except Fault as fault:
            answer = (1, fault.meta(), fault.content())
        self._flush()
        if self._forked:
            os._exit(0)
        status, reply_meta, body = answer
        self._channel.send(SPECIALISED, status=status, meta=reply_meta, body=body)
        if handler is None and self._channel.read() is not None:
            raise ProtocolError("a frame for an instance that has no function")
        return handler

    def _scan(self, secrets: list[bytes]) -> None:
        """Searches the bundle instead of loading it: in this sandbox nothing of its author's ever runs."""
        self._channel.send(SCANNED, body=scan(self._specialiser.bundle, secrets))
        if self._channel.read() is not None:
            raise ProtocolError("a frame after a scan")

    def _serve(self, handler: Handler) -> None:
        channel, children = self._channel, self._children
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
            except BadRequest as problem:
                flags, status, pairs, answer = BAD_REQUEST, 400, TEXT_TYPE, str(problem).encode("utf-8", "replace")
            except BadResult as problem:
                flags, status, pairs, answer = BAD_RESULT, 500, b"", b""
                self._err.write(f"casemate: the handler's result can't be turned into a response: {problem}\n")
            except ProtocolError:
                raise
            except BaseException as error:
                flags, status, pairs, answer = RAISED, 500, b"", b""
                self._report(error)
            self._flush()
            if self._forked:  # the function has forked and let its child return
                os._exit(0 if flags == ANSWERED else 1)
            channel.send(REPLY, call, flags, status, pairs, answer)
            del frame, meta, body, answer  # nothing of a call is kept while waiting for the next one
            if children.any_started or not call % _REAP_EVERY:
                children.reap()

    def _report(self, error: BaseException) -> None:
        """The traceback from the author's first frame on."""
        try:
            trace: TracebackType | None = error.__traceback__
            while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_NOT_THE_AUTHORS):
                trace = trace.tb_next
            text = "".join(traceback.format_exception(type(error), error, trace))
        except BaseException:  # no memory left, or a class that can't even be printed
            text = f"{type(error).__name__}\n"
        self._err.write(text)

    def _flush(self) -> None:
        if getattr(sys, "stdout", None) is not self._out or getattr(sys, "stderr", None) is not self._err:
            self._restore_streams()
        self._out.flush_all()
        self._err.flush_all()

    def _restore_streams(self) -> None:
        """Puts ours back, also after a function that has put its own in place. What that one held goes out first."""
        for name in ("stdout", "stderr"):
            stream: Any = getattr(sys, name, None)
            if stream is not self._out and stream is not self._err:
                try:
                    stream.flush()
                except BaseException:  # a function's object, or none: anything may happen
                    continue
        sys.stdout = sys.__stdout__ = self._out  # type: ignore[misc, assignment]
        sys.stderr = sys.__stderr__ = self._err  # type: ignore[misc, assignment]

    def _after_fork(self) -> None:
        """A child has no say on the control socket, and none of the lines that the parent has not written yet."""
        self._forked = True
        self._channel.close()
        self._out.reset()
        self._err.reset()
