"""The entry: `python3 -I -S bootstrap.py run` or `build`, as process 1 of a sandbox, with the control socket as fd 3."""

import os
import site
import sys

# What any interpreter has loaded before a script begins (`site` stands for what -S leaves out), and nothing of ours yet.
STARTUP = frozenset(sys.modules)

import socket
from typing import NoReturn

CONTROL = 3


def main(mode: str, root: str) -> NoReturn:
    sys.dont_write_bytecode = True
    sys.argv[:] = [""]  # a function that reads its arguments has none
    try:
        os.fstat(0)
    except OSError:  # closed: the next file that is opened would become standard input
        os.open("/dev/null", os.O_RDONLY)
    try:
        status = run(root) if mode == "run" else build(root) if mode == "build" else 64
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
        status = 70
    # Not sys.exit: threads and exit handlers of a function have no right to keep the sandbox.
    os._exit(status)


def run(function: str) -> int:
    """`function`: where the bundle is mounted."""
    open_own_path()
    from pathlib import Path

    from casemate_runtime.frames import Channel
    from casemate_runtime.output import TextStream
    from casemate_runtime.preload import preload
    from casemate_runtime.refusals import Explainer
    from casemate_runtime.serve import Server
    from casemate_runtime.specialise import Specialiser

    preload()
    explainer = Explainer()
    explainer.install()
    forget_own_modules()
    hide_memory()
    settle()
    out, err = TextStream(1, "<stdout>"), TextStream(2, "<stderr>")
    return Server(Channel(take_control_socket()), Specialiser(Path(function), STARTUP, explainer), out, err).run()


def build(out: str) -> int:
    """`out`: the folder of the build."""
    open_own_path()
    from pathlib import Path

    from casemate_runtime.build import Builder
    from casemate_runtime.frames import Channel

    os.umask(0o022)  # what comes out is read by another user
    return Builder(Channel(take_control_socket()), Path(out)).run()


def open_own_path() -> None:
    """The script's folder is not on the path (-I), and later nothing of ours shall be: only for our own imports."""
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def forget_own_modules() -> None:
    """A bundle may have modules of our names; we hold what we need."""
    del sys.path[0]
    for name in [key for key in sys.modules if key.partition(".")[0] == "casemate_runtime"]:
        del sys.modules[name]


def take_control_socket() -> socket.socket:
    """Moves the socket to a descriptor that no child inherits and no script closes by habit."""
    import fcntl

    for lowest in (1000, 100, 10):  # the sandbox's limit of descriptors may be low
        try:
            descriptor = fcntl.fcntl(CONTROL, fcntl.F_DUPFD_CLOEXEC, lowest)
            break
        except OSError:
            continue
    else:
        raise RuntimeError("descriptor 3 is no control socket")
    os.close(CONTROL)
    return socket.socket(fileno=descriptor)


def hide_memory() -> None:
    """PR_SET_DUMPABLE 0: a child process of the function can't open /proc/1/mem."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
    except (ImportError, OSError):  # the root file system may lack libffi
        pass


def settle() -> None:
    import gc
    import signal

    site.setquit()  # `exit()`, which -S leaves out
    # For process 1 the default is to ignore; Python's KeyboardInterrupt would let any child end the sandbox.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.collect()
    gc.freeze()  # the collector never looks at the preloaded modules again, and a fork does not copy their pages


if __name__ == "__main__":
    mode = sys.argv[1] if len(sys.argv) == 2 else ""
    main(mode, "/out" if mode == "build" else "/fn")
