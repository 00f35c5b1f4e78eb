"""The entry: `python3 -I -S bootstrap.py serve` as process 1 of a sandbox, with the control socket as fd 3."""

import os
import sys
from typing import NoReturn

CONTROL = 3


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

        traceback.print_exc()
        status = 70
    sys.stderr.flush()
    os._exit(status)


def serve() -> int:
    # Neither the script's folder (-I) nor what is installed on the machine (-S) is on the path, and no tool is: only ours.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    import signal
    import socket

    from casemate_checks.serve import Server

    # For process 1 the default is to ignore; Python's KeyboardInterrupt would let any process of a check end the sandbox.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # No child inherits it.
    control = socket.socket(fileno=os.dup(CONTROL))
    os.close(CONTROL)
    return Server(control).run()


if __name__ == "__main__":
    main(sys.argv[1:])
