"""The entry of a tool's process: `python3 -I -S -B entry.py DESCRIPTOR`, with the job as JSON on standard input.

DESCRIPTOR takes the report: what the tool came to, and the job's nonce. It is written once, last, by the process that was
started and by none that was forked from it. A process that ends in another way has reported nothing.
"""

import os
import site
import sys

# What any interpreter has loaded before a script begins (`site` stands for what -S leaves out), and nothing of ours yet.
STARTUP = frozenset(sys.modules)

import fcntl
import json
import signal
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

Run = Callable[[dict[str, Any]], dict[str, Any]]
_OWN = "casemate_checks"
# They would have the tools do something else than what is written under `gate`, or in the source.
_NOT_FOR_TOOLS = ("PYTEST_", "MYPY")


def main(descriptor: int) -> NoReturn:
    sys.dont_write_bytecode = True
    # Before the author's code can put others in their place.
    write, end, process, dumps, own = os.write, os._exit, os.getpid, json.dumps, os.getpid()
    job: dict[str, Any] = json.load(sys.stdin)
    nonce = job.pop("nonce")
    take_standard_input()
    descriptor = move_up(descriptor)

    def report(content: dict[str, Any]) -> None:
        if process() == own:
            write(descriptor, dumps({"nonce": nonce, **content}).encode())

    try:
        run = load(job)
    except Exception as error:
        report({"broken": f"{type(error).__name__}: {error}"[:300]})
        end(0)
    status = 0
    try:
        content = run(job)
    except SystemExit as ended:
        status = code(ended)
    except BaseException:
        traceback.print_exc()
        status = 70
    flush()
    if not status:
        report(content)
    # Not sys.exit: threads and exit handlers of the author's have no say in it.
    end(status)


def load(job: dict[str, Any]) -> Run:
    """The tool first, out of its own folder; then the author's environment and paths."""
    ours = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.path[:0] = [ours, job["tools"]]
    run: Run
    from casemate_checks.inside import paths

    match job["tool"]:
        case "pytest":
            from casemate_checks.inside.pytest_run import run
        case "unittest":
            from casemate_checks.inside.unittest_run import run
        case "mypy":
            from casemate_checks.inside.mypy_run import run
        case other:
            raise LookupError(other)
    del sys.path[:2]
    if job["tool"] == "mypy":
        paths.open_behind(job)
    else:
        paths.open_first(job, STARTUP)
    # A bundle may have modules of our name.
    for name in [key for key in sys.modules if key.partition(".")[0] == _OWN]:
        del sys.modules[name]
    site.setquit()  # `exit()`, which -S leaves out
    for name, value in job["environment"]:
        if not name.startswith(_NOT_FOR_TOOLS):
            os.environ[name] = value
    time.tzset()
    return run


def take_standard_input() -> None:
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0, inheritable=True)
    os.close(nothing)


def move_up(descriptor: int) -> int:
    """To where no child inherits it and no loop over small numbers closes it."""
    for lowest in (900, 100, 10):
        try:
            moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)
            os.close(descriptor)
            return moved
        except OSError:
            continue
    return descriptor


def code(ended: SystemExit) -> int:
    """Never 0: the tool did not come to its end."""
    try:
        print(f"the process was ended by SystemExit: {ended.code}", file=sys.__stderr__)
    except Exception:  # nosec B110  # the author's code has closed it
        pass
    return ended.code & 0xFF or 70 if isinstance(ended.code, int) else 70


def flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # nosec B110  # the author's code has closed it, or put something else there
            pass


if __name__ == "__main__":
    # Handlers that whoever started us had.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    main(int(sys.argv[1]))
