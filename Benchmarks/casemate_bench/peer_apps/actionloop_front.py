"""Stand-in for OpenWhisk's action proxy: bare WSGI on bjoern before one process that speaks lines of JSON. One call at a time."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any

import bjoern

HERE = os.path.dirname(os.path.abspath(__file__))
answers, write_end = os.pipe()
if write_end != 3:
    if answers == 3:  # keep ours, and free the number that the action writes to
        answers = os.dup(answers)
    os.dup2(write_end, 3)
    os.close(write_end)
os.set_inheritable(3, True)
action = subprocess.Popen(
    [sys.executable, os.path.join(HERE, "actionloop_action.py")], stdin=subprocess.PIPE, pass_fds=(3,)
)
os.close(3)
assert action.stdin
lines_in, lines_out = action.stdin, os.fdopen(answers, "rb")


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    lines_in.write(body.replace(b"\n", b"") + b"\n")
    lines_in.flush()
    answer = lines_out.readline()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]


bjoern.run(app, "127.0.0.1", int(sys.argv[1]))
