"""The entry: `python3 -I -S bootstrap.py serve` as process 1 of a sandbox, with the control socket as fd 3."""

import os
import sys
from typing import NoReturn

CONTROL = 3
TOOLS = "/opt/tools/fetch"
GATE_TOOLS = "/opt/tools/gate"


def main(arguments: list[str]) -> NoReturn:
    sys.dont_write_bytecode = True
    try:
        os.fstat(0)
    except OSError:  # closed: the next file that is opened would become standard input
        os.open("/dev/null", os.O_RDONLY)
    try:
        status = serve() if arguments == ["serve"] else 64
    except BaseException:
        import traceback

        # Not the error's text, which may hold what was received.
        traceback.print_tb(sys.exc_info()[2])
        status = 70
    sys.stderr.flush()
    os._exit(status)


def serve() -> int:
    # Neither the script's folder (-I) nor what is installed on the machine (-S) is on the path: only ours and the tools.
    sys.path[:0] = [os.path.dirname(os.path.dirname(os.path.abspath(__file__))), TOOLS]
    import socket

    from casemate_fetch.serve import Server
    from casemate_fetch.tools import load

    load()
    # No child inherits it.
    control = socket.socket(fileno=os.dup(CONTROL))
    os.close(CONTROL)
    return Server(control, GATE_TOOLS).run()


if __name__ == "__main__":
    main(sys.argv[1:])
