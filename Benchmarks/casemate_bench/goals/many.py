"""P11: what many deployed functions cost the server, in memory and in routing. P13: what it does while nobody calls."""

from __future__ import annotations

import time

from casemate_bench import processes
from casemate_bench.goals.cold import called
from casemate_bench.load import wrk
from casemate_bench.options import Bench
from casemate_bench.server import Server, trivial
from casemate_bench.stats import paired, rotated
from casemate_bench.table import Row

_MIB = 1024
_GOAL_FUNCTIONS = 100_000


def run(bench: Bench) -> None:
    options = bench.options
    few, many = options.deployed_base, options.deployed
    with Server(bench) as large:
        bench.say(f"  deploying {many} functions; --p11 changes that")
        took = large.deploy({f"f{number}": trivial(number, scale={"max": 1}) for number in range(many)})
        if not bench.wants("P11"):
            return _idle(bench, large, many)
        deployed = processes.rss_in_kib(large.pid) / _MIB
        large.restart()
        with Server(bench) as small:
            small.deploy({f"f{number}": trivial(number, scale={"max": 1}) for number in range(few)})
            small.restart()
            memory = {name: _settled(server) for name, server in (("few", small), ("many", large))}
            latency: dict[str, list[float]] = {"few": [], "many": []}
            for turn in range(options.rounds):
                for name, server in rotated((("few", small), ("many", large)), turn):
                    server.wait_for_pool()
                    with server.connection() as connection:
                        called(connection.call(server.wire("f0")), 0)
                    wrk(server.target("f0"), 1, 1)
                    latency[name].append(wrk(server.target("f0"), 1, options.seconds).p50)
        slope = (memory["many"] - memory["few"]) / max(1, many - few)
        expected = memory["few"] + slope * (_GOAL_FUNCTIONS - few)
        wardens = sum(map(processes.rss_in_kib, large.wardens())) / _MIB
        bench.keep(
            "P11", {"RSS in MiB after a restart": memory, "RSS in MiB after deploying": deployed, "p50 in µs": latency}
        )
        bench.add(
            Row(
                "P11",
                f"RSS of the server with {many} deployed functions",
                [memory["many"]],
                "MiB",
                f"with {few}",
                [memory["many"] / memory["few"]],
                300,
                goal_is="value",
                count=many,
                note=f"the goal is for {_GOAL_FUNCTIONS:,} functions: {expected:.0f} MiB, extrapolated from {slope * 1024:.1f} KiB "
                f"each; {deployed:.0f} MiB right after deploying, before a restart; wardens {wardens:.1f} MiB; deploying "
                f"took {took / many * 1e3:.0f} ms each",
            )
        )
        bench.add(
            Row(
                "P11b",
                f"warm c=1 p50 with {many} deployed functions",
                latency["many"],
                "µs",
                f"with {few}",
                paired(latency["many"], latency["few"]),
                1.05,
                count=len(latency["many"]),
            )
        )
        if bench.wants("P13"):
            _idle(bench, large, many)


def _settled(server: Server) -> float:
    """MiB, after the start's work is done."""
    server.wait_for_pool()
    time.sleep(2)
    return processes.rss_in_kib(server.pid) / _MIB


def _idle(bench: Bench, server: Server, deployed: int) -> None:
    server.wait_for_pool()
    time.sleep(8)  # past what follows a start or a call
    pids = [server.pid, *server.wardens()]
    sandboxes = [pid for each in server.sandboxes().values() for pid in each]
    begin = time.perf_counter()
    before, inside = processes.cpu_of_threads_in_microseconds(pids), processes.cpu_of_threads_in_microseconds(sandboxes)
    time.sleep(bench.options.idle_seconds)
    passed = (time.perf_counter() - begin) * 1e6
    used = (processes.cpu_of_threads_in_microseconds(pids) - before) / passed * 100
    within = (processes.cpu_of_threads_in_microseconds(sandboxes) - inside) / passed * 100
    bench.add(
        Row(
            "P13",
            f"idle CPU with {deployed} deployed functions",
            [used],
            "% of a core",
            goal=0.5,
            goal_is="value",
            count=deployed,
            note=f"server and warden over {bench.options.idle_seconds:.0f} s, by the scheduler's account; {len(sandboxes)} processes "
            f"in sandboxes {within:.3f} %; the goal is for 10,000 deployed functions",
        )
    )
