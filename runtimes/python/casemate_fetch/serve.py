"""Mode serve: one fetch, for one tenant, in a process and a sandbox that are thrown away after it."""

from __future__ import annotations

import errno
import os
import resource
import socket
import sys
from typing import IO, Any, Final

from casemate_gate.problems import encoded
from casemate_runtime.faults import Fault, ProtocolError
from casemate_runtime.frames import FETCH, FETCHED, PROGRESS, WARM, Channel, Frame, decode_fields

from casemate_fetch.deadline import Late, within
from casemate_fetch.faults import failed, too_large
from casemate_fetch.fetch import fetch
from casemate_fetch.source import Source
from casemate_fetch.tools import gate

_SECRET: Final = 4
_AUTHORITY: Final = 14
_MEMORY: Final = 560 << 20


class Server:
    def __init__(self, control: socket.socket, gate_tools: str) -> None:
        """`gate_tools`: the folder of what a history is searched with."""
        self._socket = control
        self._channel = Channel(control)
        self._gate_tools = gate_tools

    def run(self) -> int:
        _confine()
        self._channel.send(WARM)
        frame = self._channel.read()
        if frame is not None:
            self._serve(frame)
            if self._socket.recv(1):
                raise ProtocolError("a second frame")
        return 0

    def _serve(self, frame: Frame) -> None:
        kind, call, meta, body = frame
        if kind != FETCH:
            raise ProtocolError("a frame that is no fetch")
        fields = decode_fields(meta)
        secrets = fields.get(_SECRET, [])
        authority = b"\n".join(fields.get(_AUTHORITY, []))
        try:
            report, archive = self._fetched(bytes(body), authority, secrets[0] if secrets else None, call)
        except Fault as fault:
            self._channel.send(FETCHED, call, status=1, meta=fault.meta(), body=fault.content())
            return
        with archive:
            archive.seek(0)
            self._channel.send(FETCHED, call, body=b"".join((encoded(report), b"\n", archive.read())))

    def _fetched(
        self, body: bytes, authority: bytes, secret: bytes | None, call: int
    ) -> tuple[dict[str, Any], IO[bytes]]:
        """Only a `Fault` comes out of it, whatever the server sends."""

        def tell(received: int, objects: int) -> None:
            self._channel.send(PROGRESS, call, body=encoded({"received": received, "objects": objects}))

        try:
            task = fetch(body, authority, secret, tell, self._search)
            with within(task.seconds):
                return task.run()
        except Fault:
            raise
        except Late:
            raise failed(
                "the fetch took longer than it may; fetch a smaller repository, or without its history, or try again later"
            ) from None
        except MemoryError:
            raise too_large(
                "the repository needs more memory than a fetch may have; take large files out of it"
            ) from None
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise too_large(
                    "the repository does not fit into the space of a fetch; take large files out of it"
                ) from None
            raise _unexpected(error) from None
        except Exception as error:
            raise _unexpected(error) from None

    def _search(self, source: Source, known: frozenset[bytes], folder: str, seconds: float) -> list[dict[str, Any]]:
        return gate(self._gate_tools)(source, known, folder, seconds)


def _unexpected(error: Exception) -> Fault:
    """What no rule foresaw. For the operator, its kind and place: its text might hold of a key or of a file."""
    where = error.__traceback__
    while where and where.tb_next:
        where = where.tb_next
    at = f" in line {where.tb_lineno} of {os.path.basename(where.tb_frame.f_code.co_filename)}" if where else ""
    print(f"the fetch failed: {type(error).__name__}{at}", file=sys.stderr, flush=True)
    return failed(
        f"the fetch failed at this repository ({type(error).__name__}); have it checked, and tell the administrator"
    )


def _confine() -> None:
    """What would need more ends in a `MemoryError`, and with an answer. The map of a pack does not count."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _MEMORY if hard == resource.RLIM_INFINITY else min(_MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
