"""P5: one caller, the whole path. P7: sixteen callers of one function that has one process, as the peers have."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from casemate_bench.goals.cold import called
from casemate_bench.load import Load, Target, wrk
from casemate_bench.options import Bench, NotMeasured
from casemate_bench.peers import FISSION, FLASK, FRAMEWORK, GRANIAN, OPENWHISK, UVICORN, Peer, Peers
from casemate_bench.server import Server, trivial
from casemate_bench.stats import median, paired, rotated
from casemate_bench.table import Row, not_measured

CASEMATE = "casemate"
_MANY = 16


def run(bench: Bench) -> None:
    peers = Peers(bench)
    makers: list[tuple[str, Callable[[], Peer]]] = [
        (UVICORN, peers.uvicorn),
        (OPENWHISK, peers.openwhisk),
        (FISSION, peers.fission),
        (FRAMEWORK, peers.functions_framework),
        (GRANIAN, peers.granian),
        (FLASK, peers.flask),
    ]
    there: list[Callable[[], Peer]] = []
    missing: dict[str, str] = {}
    for name, make in makers:
        try:
            with make():
                there.append(make)
        except NotMeasured as why:
            missing[name] = str(why)
    single: dict[str, list[Load]] = {}
    many: dict[str, list[Load]] = {}
    with Server(bench) as server:
        server.deploy({"one": trivial(1, scale={"max": 1})})

        def measure(target: Target) -> None:
            alone = target.name == OPENWHISK  # an action takes one call at a time
            wrk(target, 1 if alone else 4, 1)
            if bench.wants("P5"):
                single.setdefault(target.name, []).append(wrk(target, 1, bench.options.seconds))
            if bench.wants("P7") and not alone:
                many.setdefault(target.name, []).append(wrk(target, _MANY, bench.options.seconds))

        for turn in range(bench.options.rounds):
            for entry in rotated([None, *there], turn):
                if entry is None:
                    server.wait_for_pool()
                    with contextlib.closing(server.connection()) as connection:
                        called(
                            connection.call(server.wire("one")), 1
                        )  # starts it, so that its process is in the target's
                    measure(server.target("one"))
                    continue
                with entry() as peer:
                    measure(peer.target())
            bench.say(f"  round {turn + 1} of {bench.options.rounds}")
    bench.keep("P5 and P7", {"c=1": single, f"c={_MANY}": many})
    if single:
        _latency(bench, single, missing)
    if many:
        _rate(bench, many, missing)


def _latency(bench: Bench, loads: dict[str, list[Load]], missing: dict[str, str]) -> None:
    mine = [load.p50 for load in loads[CASEMATE]]
    goals = {UVICORN: ("P5", 1.0), OPENWHISK: ("P5b", 0.75)}
    for name, (identity, goal) in goals.items():
        if name not in loads:
            bench.add(not_measured(identity, f"warm c=1 p50 beside {name}", missing.get(name, "the peer is missing")))
            continue
        row = Row(
            identity,
            "warm c=1 p50",
            mine,
            "µs",
            name,
            paired(mine, [load.p50 for load in loads[name]]),
            goal,
            count=len(mine),
        )
        if identity == "P5":
            row.note = _shown(loads, lambda load: f"{load.p50:.0f} µs, p99 {load.p99:.0f}, CPU {load.cpu:.0f} µs/call")
        bench.add(row)


def _rate(bench: Bench, loads: dict[str, list[Load]], missing: dict[str, str]) -> None:
    mine = [load.rate for load in loads[CASEMATE]]
    goals = {UVICORN: ("P7", 0.8), FISSION: ("P7b", 1.8), FRAMEWORK: ("P7c", 8.0)}
    for name, (identity, goal) in goals.items():
        if name not in loads:
            bench.add(
                not_measured(identity, f"throughput c={_MANY} beside {name}", missing.get(name, "the peer is missing"))
            )
            continue
        row = Row(
            identity,
            f"throughput c={_MANY}, one process each",
            mine,
            "req/s",
            name,
            paired(mine, [load.rate for load in loads[name]]),
            goal,
            at_least=True,
            count=len(mine),
        )
        if identity == "P7":
            row.note = _shown(loads, lambda load: f"{load.rate:.0f} req/s, CPU {load.cpu:.0f} µs/call")
        bench.add(row)


def _shown(loads: dict[str, list[Load]], text: Callable[[Load], str]) -> str:
    """Everybody's medians, for orientation."""
    parts = []
    for name, each in loads.items():
        middle = Load(*(median(column) for column in zip(*each, strict=True)))
        parts.append(f"{name.split(' (')[0]} {text(middle)}")
    return "; ".join(parts)
