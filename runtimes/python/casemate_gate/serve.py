"""Mode serve: the server sends requests over the control socket until it closes it, and each is answered before the next.

A request may come with a descriptor, that of an archive to import.
"""

from __future__ import annotations

import gc
import os
import socket
import traceback
from typing import Any, Final

from casemate_runtime.faults import ProtocolError
from casemate_runtime.frames import PROGRESS, SCAN, SCANNED, WARM, Channel, Frame, decode_fields

from casemate_gate.database import read_export
from casemate_gate.match import match
from casemate_gate.problems import Problem, encoded, parse, text
from casemate_gate.sbom import sbom
from casemate_gate.scan import scan

_SECRET: Final = 4


class Server:
    def __init__(self, control: socket.socket) -> None:
        self._socket = control
        self._channel = Channel(control)

    def run(self) -> int:
        # A fork then copies nothing of what is loaded.
        gc.collect()
        gc.freeze()
        self._channel.send(WARM)
        while True:
            frame, descriptor = self._next()
            if frame is None:
                return 0
            try:
                self._serve(frame, descriptor)
            finally:
                if descriptor is not None:
                    os.close(descriptor)

    def _next(self) -> tuple[Frame | None, int | None]:
        if self._channel.has_more:
            return self._channel.read(), None
        # A channel takes a descriptor with its first frame only.
        self._channel = Channel(self._socket)
        return self._channel.read_with_descriptor()

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
