"""Mode serve: the server asks for checks of the bundle that is attached, one after the other, until it closes the socket.

This process never loads anything of a bundle, and holds no secret. As process 1 of the sandbox it can't be ended from inside,
and none of a check's processes has the control socket.
"""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable

from casemate_gate.aftermath import keep_closed
from casemate_runtime.faults import Fault, ProtocolError, advised
from casemate_runtime.frames import VERIFIED, VERIFY, WARM, Channel, Frame
from casemate_runtime.renewal import Renewal, kill_all_others

from casemate_checks.examine import Places, examine
from casemate_checks.request import Request


class Server:
    """`renewal` and `kill`: what lies between two checks, and what ends all that a check has started."""

    def __init__(
        self,
        control: socket.socket,
        places: Places | None = None,
        renewal: Callable[[], None] | None = None,
        kill: Callable[[], None] = kill_all_others,
    ) -> None:
        self._channel = Channel(control)
        self._places = places or Places()
        self._renewal = renewal or Renewal()
        self._kill = kill

    def run(self) -> int:
        keep_closed()
        self._channel.send(WARM)
        while (frame := self._channel.read()) is not None:
            self._serve(frame)
            self._renewal()
        return 0

    def _serve(self, frame: Frame) -> None:
        kind, call, meta, body = frame
        if kind != VERIFY:
            raise ProtocolError("a frame that is no check of a user's")
        try:
            passed = examine(Request.read(meta, body), self._places, self._kill)
        except Fault as fault:
            self._refuse(call, fault)
        except ProtocolError:
            raise
        except Exception as error:
            traceback.print_exc()  # for the operator
            what = f"the check could not be made ({type(error).__name__})"
            self._refuse(call, Fault("check-broken", advised(what, "tell the administrator")))
        else:
            self._channel.send(VERIFIED, call, meta=passed.summary.encode(), body=passed.output.encode())

    def _refuse(self, call: int, fault: Fault) -> None:
        self._channel.send(VERIFIED, call, status=1, meta=fault.meta(), body=fault.content())
