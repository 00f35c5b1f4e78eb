"""A1: how often a warm call allocates in the server. A count, so that it may fail the run, as no time may.

The server starts with an environment of its own, so that nothing can be preloaded into it: the kernel counts, by probes in the C library.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path

from casemate_bench.load import Connection
from casemate_bench.options import Bench, NotMeasured, Wrong
from casemate_bench.payload import check
from casemate_bench.peers import need
from casemate_bench.server import Server, trivial
from casemate_bench.table import Row

# What a release build needed when this was written, and a tenth more. Lower it when you have lowered the count.
THRESHOLD = 51
_WARM_UP = 300
_FUNCTIONS = ("malloc", "calloc", "realloc", "posix_memalign")
_PREFIX = "casemate_bench_"


def run(bench: Bench) -> None:
    if not need("linux-perf"):
        raise NotMeasured("perf can not be installed")
    library = _c_library()
    calls = bench.options.direct_calls
    _remove_probes()
    for function in _FUNCTIONS:
        made = subprocess.run(
            ["perf", "probe", "--quiet", "--exec", library, f"{_PREFIX}{function}={function}"],
            capture_output=True,
            text=True,
        )
        if made.returncode:
            raise NotMeasured(f"no probe on {function}: {made.stderr.strip()[:200]}")
    try:
        with Server(bench) as server:
            server.deploy({"warm": trivial(1, scale={"max": 1, "idle": "1h"})})
            server.wait_for_pool()
            wire = server.wire("warm")
            with server.connection() as connection:
                _calls(connection, wire, _WARM_UP)
                by_itself = _counted(server.pid, lambda: time.sleep(2))
                begin = time.monotonic()
                counted = _counted(server.pid, lambda: _calls(connection, wire, calls))
                took = time.monotonic() - begin
    finally:
        _remove_probes()
    # What the server does by itself meanwhile is taken off.
    each = (counted - by_itself / 2 * took) / calls
    bench.keep("A1", {"counted": counted, "byItself": by_itself, "calls": calls})
    bench.add(
        Row(
            "A1",
            "allocations of a warm call",
            [each],
            "",
            goal=THRESHOLD,
            goal_is="value",
            count=calls,
            note="a count, the same on every machine: above the goal the run fails",
        )
    )
    if each > THRESHOLD:
        raise Wrong(f"a warm call allocates {each:.0f} times; at most {THRESHOLD} were agreed")


def _calls(connection: Connection, wire: bytes, number: int) -> None:
    for _ in range(number):
        check(connection.call(wire).body, 1, "warm")


def _counted(pid: int, work: object) -> int:
    """Allocations of a process while `work` is done."""
    events = [part for function in _FUNCTIONS for part in ("-e", f"probe_libc:{_PREFIX}{function}")]
    perf = subprocess.Popen(["perf", "stat", "-x", ",", *events, "-p", str(pid)], stderr=subprocess.PIPE, text=True)
    time.sleep(0.5)
    assert callable(work)
    work()
    perf.send_signal(signal.SIGINT)
    _, said = perf.communicate(timeout=20)
    counts = re.findall(rf"^(\d+),,probe_libc:{_PREFIX}", said, re.M)
    if len(counts) != len(_FUNCTIONS):
        raise NotMeasured(f"perf stat did not count: {said.strip()[:200]}")
    return sum(map(int, counts))


def _c_library() -> str:
    for path in ("/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6"):
        if Path(path).exists():
            return path
    raise NotMeasured("the C library was not found")


def _remove_probes() -> None:
    subprocess.run(["perf", "probe", "--quiet", "--del", f"{_PREFIX}*"], capture_output=True)
