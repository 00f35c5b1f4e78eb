"""P1 and P2: cold start with a free slot, beside the stand-in for Fission. P3: with an empty pool. T: the phases.

Distinct functions, each called for the first time. That each call was a cold start, and none before, is asserted by the server's count.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from casemate_bench.load import Answer, Connection, request
from casemate_bench.options import Bench, Wrong
from casemate_bench.payload import check
from casemate_bench.peers import FISSION, LAMBDA, LAMBDA_PUBLISHED_MS, UVICORN, Peer, Peers, specialise_request
from casemate_bench.server import Server, trivial
from casemate_bench.stats import median, paired, rank, rotated
from casemate_bench.table import Row

# Between filling the pool, or starting the next peer, and the clock.
_QUIET_SECONDS = 0.03
_WARM_CALLS = 5
_PEER_STARTS = 5
_TIMING = {"Casemate-Timing": "1", "X-Casemate-Timing": "1"}

FISSION_MODULE = '''"""Function {number}: answers what it is sent."""

import json

from flask import Response, request

NUMBER = {number}


def main():
    data = request.get_json()
    answer = {{"ok": True, "function": NUMBER, "n": len(data.get("items", ())), "echo": data}}
    return Response(json.dumps(answer), content_type="application/json")
'''


def called(answer: Answer, number: int, who: str = "casemate") -> float:
    if answer.status != 200:
        raise Wrong(f"{who}, function {number}: {answer.status} {answer.body[:300]!r}")
    check(answer.body, number, who)
    return answer.milliseconds


class FissionPool:
    """Generic servers that run already: one is specialised, and the next one is started behind it."""

    def __init__(self, peers: Peers, folder: Path) -> None:
        self._peers = peers
        self._folder = folder
        self._next: Peer | None = None

    def __enter__(self) -> FissionPool:
        self.fill()
        return self

    def __exit__(self, *_: object) -> None:
        if self._next:
            self._next.stop()

    def fill(self) -> None:
        self._next = self._peers.fission(specialised=False)
        self._next.listen()

    def cold(self, number: int) -> float:
        """Specialise and the first call, on one connection that is open already."""
        module = self._folder / f"function_{number}.py"
        module.write_text(FISSION_MODULE.format(number=number))
        peer, self._next = self._next, None
        assert peer
        try:
            with Connection(peer.port) as connection:
                load, call = specialise_request(module), request("/")
                first = connection.call(load)
                second = connection.call(call)
            if first.status != 200:
                raise Wrong(f"{FISSION}: {first.status} {first.body[:300]!r}")
            return first.milliseconds + called(second, number, FISSION)
        finally:
            peer.stop()


def free_slot(bench: Bench) -> None:
    peers = Peers(bench)
    peers.needs_bjoern()
    count = bench.options.cold
    mine: list[list[float]] = []
    added: list[list[float]] = []
    theirs: list[list[float]] = []
    timed = bench.options.timed if bench.wants("T") else 0
    for turn in range(bench.options.rounds if bench.wants("P1", "P2") else 1):
        bench.say(f"  run {turn + 1}: {count} functions")
        last = turn == bench.options.rounds - 1 or not bench.wants("P1", "P2")
        with Server(bench) as server:
            server.deploy({f"f{number}": trivial(number) for number in range(count + (timed if last else 0))})
            if started := server.cold_starts():
                raise Wrong(f"{started} functions were specialised before the run")
            if bench.wants("P1", "P2"):
                folder = server.folder / "modules"
                folder.mkdir()
                with FissionPool(peers, folder) as pool, server.connection() as connection:
                    first, again, peer = _run(server, connection, pool, count, turn)
                mine.append(first)
                added.append([a - b for a, b in zip(first, again, strict=True)])
                theirs.append(peer)
            if last and timed:
                _phases(bench, server, range(count, count + timed))
    if not mine:
        return
    bench.keep("P1", {"casemate": mine, FISSION: theirs, "cold minus warm": added})
    middle, high = [rank(run, 0.5) for run in mine], [rank(run, 0.99) for run in mine]
    bench.add(
        Row(
            "P1",
            "cold p50, a slot is free",
            middle,
            "ms",
            FISSION,
            paired(middle, [rank(run, 0.5) for run in theirs]),
            1.0,
            count=count,
            note=f"{FISSION}: p50 {median([rank(run, 0.5) for run in theirs]):.2f} ms, specialise and first call",
        )
    )
    bench.add(
        Row(
            "P1b",
            "cold p50, a slot is free",
            middle,
            "ms",
            LAMBDA,
            [value / LAMBDA_PUBLISHED_MS for value in middle],
            0.05,
            count=count,
            published=True,
            note="the peer's figure is published, from another run: this is no measured ratio",
        )
    )
    bench.add(
        Row("P1c", "cold minus warm, paired per function, p50", [rank(run, 0.5) for run in added], "ms", count=count)
    )
    bench.add(
        Row(
            "P2",
            f"cold p99, {len(mine)} runs",
            high,
            "ms",
            FISSION,
            paired(high, [rank(run, 0.99) for run in theirs]),
            10,
            goal_is="value",
            count=count,
        )
    )


def _run(server: Server, connection: Connection, pool: FissionPool, count: int, turn: int) -> tuple[list[float], ...]:
    first: list[float] = []
    again: list[float] = []
    peer: list[float] = []

    def casemate(number: int) -> None:
        wire = server.wire(f"f{number}")
        server.wait_for_pool()
        time.sleep(_QUIET_SECONDS)
        first.append(called(connection.call(wire), number))
        again.append(median([called(connection.call(wire), number) for _ in range(_WARM_CALLS)]))
        server.wait_for_pool()

    def fission(number: int) -> None:
        time.sleep(_QUIET_SECONDS)
        peer.append(pool.cold(number))
        pool.fill()

    for number in range(count):
        for measure in rotated((casemate, fission), number + turn):
            measure(number)
    if (started := server.cold_starts()) != count:
        raise Wrong(f"{count} first calls made {started} cold starts")
    return first, again, peer


def phases(text: str) -> dict[str, float]:
    """Out of `Server-Timing`, in milliseconds."""
    found: dict[str, float] = {}
    for name, value in re.findall(r"([\w-]+)\s*;[^,]*?dur=([\d.]+)", text):
        found[name] = found.get(name, 0) + float(value)
    return found


def _phases(bench: Bench, server: Server, numbers: range) -> None:
    cold: list[tuple[float, dict[str, float]]] = []
    warm: list[tuple[float, dict[str, float]]] = []
    with server.connection() as connection:
        for number in numbers:
            wire = server.wire(f"f{number}", headers=_TIMING)
            server.wait_for_pool()
            time.sleep(_QUIET_SECONDS)
            for into, times in ((cold, 1), (warm, 20)):
                for _ in range(times):
                    answer = connection.call(wire)
                    took = called(answer, number)
                    told = answer.header("server-timing")
                    if told is None:
                        bench.add(
                            Row(
                                "T",
                                "share of the client's time that Server-Timing explains",
                                reason="this casemate sends no Server-Timing when asked with Casemate-Timing: 1",
                            )
                        )
                        return
                    into.append((took, phases(told)))
    bench.keep("T", {"cold": cold, "warm": warm})
    for identity, what, found in (("T", "cold", cold), ("Tb", "warm", warm)):
        shares = [sum(parts.values()) / took for took, parts in found]
        names = list(dict.fromkeys(name for _, parts in found for name in parts))
        told = ", ".join(f"{name} {median([parts.get(name, 0) for _, parts in found]):.3f}" for name in names)
        bench.add(
            Row(
                identity,
                f"{what}: explained by Server-Timing, medians",
                [median([sum(parts.values()) for _, parts in found])],
                "ms",
                "client's time",
                [median(shares)],
                0.9,
                at_least=True,
                count=len(found),
                note=f"{what}, ms: {told}",
            )
        )


def empty_pool(bench: Bench) -> None:
    peers = Peers(bench)
    count = bench.options.empty
    mine: list[list[float]] = []
    theirs: list[float] = []
    with Server(bench, pool=0) as server:
        total = count * bench.options.rounds
        server.deploy({f"f{number}": trivial(number) for number in range(total)})
        if server.status()["warmSandboxes"] or server.cold_starts():
            raise Wrong("the pool is not empty, or a function was specialised before the run")
        with server.connection() as connection:

            def casemate(turn: int) -> None:
                run = []
                for number in range(turn * count, (turn + 1) * count):
                    time.sleep(_QUIET_SECONDS)
                    run.append(called(connection.call(server.wire(f"f{number}")), number))
                mine.append(run)

            def uvicorn(turn: int) -> None:
                starts = []
                for _ in range(_PEER_STARTS):
                    peer = peers.uvicorn()
                    starts.append(peer.start())
                    peer.stop()
                theirs.append(median(starts))

            for turn in range(bench.options.rounds):
                for measure in rotated((casemate, uvicorn), turn):
                    measure(turn)
        if (started := server.cold_starts()) != total:
            raise Wrong(f"{total} first calls made {started} cold starts")
    bench.keep("P3", {"casemate": mine, UVICORN: theirs})
    middle = [rank(run, 0.5) for run in mine]
    bench.add(
        Row(
            "P3",
            "cold p50, the pool is empty",
            middle,
            "ms",
            f"{UVICORN}: process start to first answer",
            paired(middle, theirs),
            80,
            goal_is="value",
            count=count,
        )
    )
