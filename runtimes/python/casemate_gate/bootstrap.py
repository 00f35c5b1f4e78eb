"""The entry: `python3 -I -S bootstrap.py serve` as process 1 of a sandbox with the control socket as fd 3, or
`python3 -I -S bootstrap.py local TOOLS` on somebody's own machine."""

import os
import sys
from typing import NoReturn

CONTROL = 3
TOOLS = "/opt/tools/gate"


def main(arguments: list[str]) -> NoReturn:
    sys.dont_write_bytecode = True
    try:
        os.fstat(0)
    except OSError:  # closed: the next file that is opened would become standard input
        os.open("/dev/null", os.O_RDONLY)
    try:
        match arguments:
            case ["serve"]:
                status = serve()
            case ["local", tools]:
                status = local(tools)
            case _:
                status = 64
    except BaseException:
        import traceback

        traceback.print_exc()
        status = 70
    sys.stderr.flush()
    os._exit(status)


def serve() -> int:
    open_path(TOOLS)
    import socket

    from casemate_gate.serve import Server
    from casemate_gate.tools import load

    load()
    # No child inherits it.
    control = socket.socket(fileno=os.dup(CONTROL))
    os.close(CONTROL)
    return Server(control).run()


def local(tools: str) -> int:
    open_path(os.path.abspath(tools))
    from casemate_gate.local import main as run
    from casemate_gate.tools import load

    load()
    return run(sys.stdin.buffer, sys.stdout.buffer)


def open_path(tools: str) -> None:
    """Neither the script's folder (-I) nor what is installed on the machine (-S) is on the path: only ours and the tools."""
    sys.path[:0] = [os.path.dirname(os.path.dirname(os.path.abspath(__file__))), tools]


if __name__ == "__main__":
    main(sys.argv[1:])
