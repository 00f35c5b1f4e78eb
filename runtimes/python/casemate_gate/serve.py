"""Mode serve: the server sends requests over the control socket until it closes it, and each is answered before the next
is sent.

A request may come with a descriptor, that of an archive to import.
"""

from __future__ import annotations

import gc
import os
import socket
import traceback
from typing import Any, Final, NoReturn

from casemate_runtime.faults import ProtocolError
from casemate_runtime.frames import PROGRESS, SCAN, SCANNED, WARM, Channel, Frame, decode_fields

from casemate_gate.aftermath import clear_away, keep_closed
from casemate_gate.database import read_export
from casemate_gate.match import match
from casemate_gate.problems import Problem, encoded, parse, text
from casemate_gate.sbom import sbom
from casemate_gate.scan import scan

_SECRET: Final = 4


class Server:
    """Serves each request in a process of its own, which alone reads it and what is shown: this one has seen nothing of
    any bundle, and holds no secret, when the next request comes."""

    def __init__(self, control: socket.socket) -> None:
        self._socket = control
        self._channel = Channel(control)

    def run(self) -> int:
        # A fork then copies nothing of what is loaded.
        gc.collect()
        gc.freeze()
        keep_closed()
        self._channel.send(WARM)
        while self._socket.recv(1, socket.MSG_PEEK):
            process = os.fork()
            if not process:
                self._serve_one()
            status = clear_away(process)
            if status:
                return status
        return 0

    def _serve_one(self) -> NoReturn:
        status = 70
        try:
            os.setsid()
            frame, descriptor = self._channel.read_with_descriptor()
            if frame is not None:
                self._serve(frame, descriptor)
            status = 0
        except BaseException:
            traceback.print_exc()
        os._exit(status)

    def _serve(self, frame: Frame, descriptor: int | None) -> None:
        kind, call, meta, body = frame
        if kind != SCAN:
            raise ProtocolError("a frame that is no scan")
        secrets = decode_fields(meta).get(_SECRET, [])
        try:
            answer = self._answer(bytes(body), secrets, descriptor, call)
        except Problem as problem:
            self._channel.send(SCANNED, call, status=1, body=encoded({"problem": problem.message}))
        except Exception as error:
            traceback.print_exc()  # for the operator; a request is answered whatever is in it
            what = f"the gate failed at this request ({type(error).__name__})"
            self._channel.send(SCANNED, call, status=1, body=encoded({"problem": what}))
        else:
            self._channel.send(SCANNED, call, body=answer)

    def _answer(self, body: bytes, secrets: list[bytes], descriptor: int | None, call: int) -> bytes:
        def progress(check: str, findings: int, milliseconds: int) -> None:
            report: dict[str, Any] = {"check": check, "findings": findings, "milliseconds": milliseconds}
            self._channel.send(PROGRESS, call, body=encoded(report))

        request = parse(body)
        match text(request, "operation"):
            case "scan":
                return encoded(scan(request, secrets, progress))
            case "match":
                return encoded(match(request))
            case "import":
                if descriptor is None:
                    raise Problem("there is no archive with the request")
                return read_export(descriptor)
            case "sbom":
                return sbom(request).encode("utf-8", "backslashreplace")
            case other:
                raise Problem(f"there is no operation {other[:40]}")
