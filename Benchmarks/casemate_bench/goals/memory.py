"""P9: memory of warm idle functions. P10: how many are warm at once."""

from __future__ import annotations

import time

from casemate_bench import processes
from casemate_bench.goals.cold import called
from casemate_bench.options import Bench, Wrong
from casemate_bench.peers import FRAMEWORK, Peer, Peers
from casemate_bench.server import Server, trivial
from casemate_bench.table import Row

_MIB = 1024
_NODE_MIB = 24 * 1024
_SETTLE_SECONDS = 3.0
_PEER_INSTANCES = 10


def run(bench: Bench) -> None:
    first = bench.options.idle_functions
    total = max(first, bench.options.warm_functions) if bench.wants("P10") else first
    peer = _framework(bench) if bench.wants("P9") else 0.0
    # No pool: what is there then belongs to functions.
    with Server(bench, pool=0) as server:
        server.deploy({f"f{number}": trivial(number, scale={"max": 1, "idle": "1h"}) for number in range(total)})
        time.sleep(_SETTLE_SECONDS)
        overhead = sum(map(processes.rss_in_kib, (server.pid, *server.wardens())))
        free = processes.available_in_kib()
        _call(server, range(first))
        if bench.wants("P9"):
            time.sleep(_SETTLE_SECONDS)
            each, there = _each(server)
            if there != first:
                raise Wrong(f"{first} functions were called, and {there} sandboxes are there")
            more = (sum(map(processes.rss_in_kib, (server.pid, *server.wardens()))) - overhead) / first / _MIB
            bench.keep("P9", {"PSS each": each, FRAMEWORK: peer, "server and warden, more RSS per function": more})
            bench.add(
                Row(
                    "P9",
                    f"PSS per warm idle function, of {first}",
                    [each],
                    "MiB",
                    FRAMEWORK,
                    [each / peer],
                    4,
                    goal_is="value",
                    count=first,
                    note=f"all processes of a sandbox; {FRAMEWORK} {peer:.1f} MiB each, of {_PEER_INSTANCES}; server "
                    f"and warden grew by {more:.2f} MiB RSS per function",
                )
            )
            bench.add(
                Row(
                    "P9b",
                    "the same beside a framework's process",
                    [each],
                    "MiB",
                    FRAMEWORK,
                    [each / peer],
                    1 / 9,
                    count=first,
                )
            )
        if bench.wants("P10"):
            _many(bench, server, first, total, free)


def _many(bench: Bench, server: Server, first: int, total: int, free: int) -> None:
    for at in range(first, total, 100):
        _call(server, range(at, min(at + 100, total)))
        bench.say(f"  {min(at + 100, total)} of {total} warm")
    time.sleep(_SETTLE_SECONDS)
    started = server.cold_starts()
    each, there = _each(server)
    _call(server, range(total))
    again = server.cold_starts() - started
    lost = (free - processes.available_in_kib()) / total / _MIB
    bench.keep(
        "P10",
        {
            "called": total,
            "sandboxes": there,
            "started again": again,
            "PSS each": each,
            "available memory lost each": lost,
        },
    )
    bench.add(
        Row(
            "P10",
            "warm isolated functions at once",
            [float(min(there, total - again))],
            "functions",
            goal=4000,
            goal_is="value",
            at_least=True,
            count=total,
            note=f"bounded by --p10 {total}, not by the machine; {each:.1f} MiB PSS each, so 24 GiB "
            f"would hold {_NODE_MIB / max(each, 0.01):,.0f}: extrapolated, without the kernel's share (the host's available memory "
            f"fell by {lost:.1f} MiB per function, in which everything else that runs here counts too)",
        )
    )


def _call(server: Server, numbers: range) -> None:
    with server.connection() as connection:
        for number in numbers:
            called(connection.call(server.wire(f"f{number}")), number)


def _each(server: Server) -> tuple[float, int]:
    """MiB per sandbox, and how many there are."""
    sandboxes = server.functions_sandboxes()
    return sum(map(processes.pss_in_kib, sandboxes)) / max(1, len(sandboxes)) / _MIB, len(sandboxes)


def _framework(bench: Bench) -> float:
    """MiB per instance. Several run at once: they share pages of files, as sandboxes do."""
    peers = Peers(bench)
    running: list[Peer] = []
    try:
        for _ in range(_PEER_INSTANCES):
            peer = peers.functions_framework()
            running.append(peer)
            peer.start()
        time.sleep(_SETTLE_SECONDS)
        return sum(processes.pss_in_kib(peer.pids()) for peer in running) / len(running) / _MIB
    finally:
        for peer in running:
            peer.stop()
