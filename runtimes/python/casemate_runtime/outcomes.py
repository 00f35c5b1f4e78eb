"""How a call can end, and what its author reads in the log when it did not end well."""

from __future__ import annotations

import os
import traceback
from types import TracebackType
from typing import Final

from casemate_runtime.breaches import breach
from casemate_runtime.faults import ProtocolError
from casemate_runtime.frames import LONGEST_REPLY_BODY, LONGEST_REPLY_META
from casemate_runtime.handlers.common import TEXT_TYPE, BadRequest, BadResult, Reply
from casemate_runtime.output import TextStream

ANSWERED: Final = 0
RAISED: Final = 1
BAD_RESULT: Final = 2
BAD_REQUEST: Final = 3
CHILD_ENDED: Final = 4

Outcome = tuple[int, int, bytes, bytes]
"""Flags, HTTP status, headers as pairs, body."""

# Frames above the function's own one: ours, and asyncio's for an `async def`.
_NOT_THE_AUTHORS: Final = (
    f"{os.path.dirname(os.path.abspath(__file__))}/",
    f"{os.path.join(os.path.dirname(os.path.abspath(os.__file__)), 'asyncio')}/",
)


def answered(reply: Reply) -> Outcome:
    status, pairs, body = reply
    if len(pairs) > LONGEST_REPLY_META or len(body) > LONGEST_REPLY_BODY:
        raise BadResult("its headers or its body are too long")
    return ANSWERED, status, pairs, body


def failed(error: BaseException, err: TextStream) -> Outcome:
    """What `error` comes to for the caller; for the author it goes to `err`. A fault of the server is raised again."""
    if isinstance(error, ProtocolError):
        raise error
    if isinstance(error, BadRequest):
        return BAD_REQUEST, 400, TEXT_TYPE, str(error).encode("utf-8", "replace")
    if isinstance(error, BadResult):
        err.write(f"casemate: the handler's result can't be turned into a response: {error}\n")
        return BAD_RESULT, 500, b"", b""
    err.write(_told(error))
    return RAISED, 500, b"", breach(error)


def _told(error: BaseException) -> str:
    """The traceback from the author's first frame on."""
    try:
        trace: TracebackType | None = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_NOT_THE_AUTHORS):
            trace = trace.tb_next
        return "".join(traceback.format_exception(type(error), error, trace))
    except BaseException:  # no memory left, or a class that can't even be printed
        return f"{type(error).__name__}\n"
