"""P15: a function whose imports take long. Its first call after the deployment, and a call after it was idle for long enough."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from casemate_bench import processes
from casemate_bench.goals.cold import called
from casemate_bench.options import Bench, NotMeasured, Wrong
from casemate_bench.payload import HANDLER
from casemate_bench.peers import interpreter
from casemate_bench.server import Function, NotDeployed, Server
from casemate_bench.stats import median, paired, rank
from casemate_bench.table import Row, not_measured

PANDAS = "pandas==2.2.3"
_IDLE_SECONDS = 2
SOURCE = HANDLER.replace("NUMBER = ", "import pandas\n\nNUMBER = ", 1).replace(
    '"ok": True', '"ok": bool(pandas.__version__)'
)
_IMPORT = """import sys, time
begin = time.perf_counter()
import pandas
print((time.perf_counter() - begin) * 1e3, flush=True)
sys.stdin.read()
"""


def run(bench: Bench) -> None:
    first: list[float] = []
    woken: list[float] = []
    imports: list[float] = []
    again = 0
    frozen: float | None = None
    sandbox = plain = 0.0
    with Server(bench) as server:
        for turn in range(bench.options.rounds):
            name = f"pandas{turn}"
            files = {"handler.py": SOURCE.format(number=turn), "requirements.txt": PANDAS + "\n"}
            keys = {"limits": {"memory": "512MiB"}, "scale": {"max": 1, "idle": f"{_IDLE_SECONDS}s"}}
            try:
                took = server.deploy({name: Function(files, keys)})
            except NotDeployed as why:
                raise NotMeasured(f"the deployment with {PANDAS} failed: {why}") from None
            bench.say(f"  deployed with {PANDAS}, {took:.1f} s")
            server.wait_for_pool()
            with server.connection() as connection:
                first.append(called(connection.call(server.wire(name)), turn))
            before = server.cold_starts()
            wakes = []
            for _ in range(bench.options.wakes):
                frozen = _put_away(server)
                if turn == 0 and not sandbox:
                    sandbox = max(map(processes.pss_in_kib, server.functions_sandboxes()), default=0) / 1024
                with server.connection() as connection:
                    wakes.append(called(connection.call(server.wire(name)), turn))
            again += server.cold_starts() - before
            woken.append(rank(wakes, 0.5))
            imports.append(median([_plain(server.data)[0] for _ in range(2)]))
            if turn < bench.options.rounds - 1:
                server.cli("function", "delete", f"{server.NAMESPACE}/{name}")
        server.stop()  # what a process by itself needs must not be shared with a sandbox
        plain = _plain(server.data)[1]
    bench.keep(
        "P15", {"first call": first, "after idling": woken, "plain import": imports, "cold starts after idling": again}
    )
    peer = f"import {PANDAS} in a plain process"
    how = "frozen, and thawed by the call" if frozen and not again else f"ended, and started anew: {again} cold starts"
    count = bench.options.wakes * bench.options.rounds
    bench.add(
        Row(
            "P15",
            "pandas: call after it was idle, p50",
            woken,
            "ms",
            peer,
            _ratios(woken, imports),
            5,
            goal_is="value",
            count=count,
            note=f"the idle instance was {how}; importing takes {median(imports):.0f} ms in a plain process",
        )
    )
    bench.add(
        Row(
            "P15b",
            "pandas: first call after the deployment",
            first,
            "ms",
            peer,
            _ratios(first, imports),
            count=len(first),
        )
    )
    if sandbox and plain and frozen:
        bench.add(
            Row(
                "P15c",
                "pandas: PSS of the frozen instance",
                [sandbox],
                "MiB",
                f"{peer}, alone",
                [sandbox / plain],
                1.1,
                count=1,
                note=f"the plain process {plain:.1f} MiB",
            )
        )
    else:
        reason = "no instance was frozen" if not frozen else "its bundle was not found below the data folder"
        bench.add(not_measured("P15c", "pandas: PSS of the frozen instance", reason))


def _put_away(server: Server) -> float | None:
    """Waits until the idle instance is frozen or gone; how many are frozen."""
    end = time.monotonic() + _IDLE_SECONDS + 20
    while time.monotonic() < end:
        time.sleep(0.25)
        frozen = server.metric("casemate_instances_frozen")
        if frozen or not server.functions_sandboxes():
            time.sleep(0.5)
            server.wait_for_pool()
            return frozen
    raise Wrong(f"an instance was neither frozen nor ended {_IDLE_SECONDS + 20} s after its last call")


def _dependencies(data: Path) -> Path | None:
    found = sorted(data.glob("warden/bundles/*/deps/pandas"))
    return found[0].parent if found else None


def _plain(data: Path) -> tuple[float, float]:
    deps = _dependencies(data)
    return _import(deps) if deps else (0.0, 0.0)


def _import(deps: Path) -> tuple[float, float]:
    """Milliseconds that the import takes in a process by itself, and its PSS in MiB afterwards."""
    environment = {**os.environ, "PYTHONPATH": str(deps), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [interpreter(), "-c", _IMPORT]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout
        took = float(process.stdout.readline() or 0)
        memory = processes.pss_in_kib([process.pid]) / 1024
        process.stdin.close()
    return took, memory


def _ratios(mine: list[float], theirs: list[float]) -> list[float]:
    return paired(mine, theirs) if all(theirs) else []
