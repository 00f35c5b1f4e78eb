"""The process of one isolated call: it waits for its frame, answers it and waits for its end."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from collections.abc import Callable
from typing import Final, NoReturn

from casemate_runtime.faults import ProtocolError
from casemate_runtime.frames import REPLY, Channel, decode_fields
from casemate_runtime.outcomes import ANSWERED, answered, failed
from casemate_runtime.specialise import Specialised
from casemate_runtime.streams import Streams

BAD_FRAME: Final = 70
"""Exit status of one that can't make sense of its frame."""

PIPE_BUFFER_SIZE: Final = 8 * 1024
"""A page that is touched is a page fault in each process."""

_LENGTH: Final = struct.Struct(">I")


class Pipes:
    """In the place of a socket."""

    def __init__(self, request: int, reply: int) -> None:
        self._request = _out_of_reach(request)
        self._reply = _out_of_reach(reply)

    def recv_into(self, buffer: memoryview, nbytes: int = 0, flags: int = 0, /) -> int:
        return os.readv(self._request, [buffer])

    def sendall(self, data: bytes, /) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._reply, rest) :]

    def sendmsg(self, parts: list[memoryview], /) -> int:
        return os.writev(self._reply, parts)

    def fileno(self) -> int:
        return self._request

    def close(self) -> None:
        """More than once in a child of a child, where the numbers may be somebody else's by then."""
        for descriptor in (self._request, self._reply):
            if descriptor >= 0:
                os.close(descriptor)
        self._request = self._reply = -1


def answer_one(
    channel: Channel, function: Specialised, add_secrets: Callable[[dict[int, list[bytes]]], None], streams: Streams
) -> NoReturn:
    status = 1
    try:
        os.setsid()
        _reseed()
        pid = os.getpid()
        frame = channel.read()
        if frame is None:  # the parent has ended
            os._exit(0)
        _kind, call, meta, body = frame
        secrets, request = _split(meta)
        add_secrets(decode_fields(secrets))
        try:
            outcome = answered(function.handler(request, body, call))
        except BaseException as error:
            outcome = failed(error, streams.err)
        streams.flush()
        flags, http_status, pairs, answer = outcome
        if os.getpid() == pid:
            channel.send(REPLY, call, flags, http_status, pairs, answer)
            # Until it is ended: to exit takes a while, on the CPU that the parent may need to pass the reply on.
            channel.read()
            status = 0
        else:  # the function has forked and let its child return
            status = 0 if flags == ANSWERED else 1
    except ProtocolError as fault:
        streams.err.write(f"casemate: a call's frame: {fault}\n")
        streams.flush()
        status = BAD_FRAME
    finally:
        os._exit(status)


def _split(meta: memoryview) -> tuple[memoryview, memoryview]:
    """Fields, and the meta of an ordinary call."""
    if len(meta) < _LENGTH.size:
        raise ProtocolError("the length of the fields is cut off")
    (length,) = _LENGTH.unpack_from(meta)
    end = _LENGTH.size + length
    if end > len(meta):
        raise ProtocolError("the fields are longer than the frame")
    return meta[_LENGTH.size : end], meta[end:]


def _reseed() -> None:
    """`random` does it by itself after a fork; NumPy does not, and every call would draw the same numbers."""
    numpy_random = sys.modules.get("numpy.random")
    try:
        if numpy_random is not None:
            numpy_random.seed()
    except Exception:  # nosec B110  # whatever a bundle calls by that name
        pass


def _out_of_reach(descriptor: int) -> int:
    """Moved to where no script closes it by habit, as the control socket is."""
    for lowest in (1000, 100):
        try:
            moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)
        except OSError:
            continue
        os.close(descriptor)
        return moved
    return descriptor
