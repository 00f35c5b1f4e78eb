"""P4: many distinct functions are called for the first time at the same moment, and the pool has a slot for each."""

from __future__ import annotations

import selectors

from casemate_bench.goals.cold import called
from casemate_bench.options import Bench, Wrong
from casemate_bench.server import Server, trivial
from casemate_bench.stats import rank
from casemate_bench.table import Row


def run(bench: Bench) -> None:
    count, rounds = bench.options.burst, bench.options.rounds
    runs: list[list[float]] = []
    with Server(bench, pool=count) as server:
        server.deploy({f"f{number}": trivial(number) for number in range(count * rounds)})
        if server.cold_starts():
            raise Wrong("a function was specialised before the run")
        for turn in range(rounds):
            server.wait_for_pool(seconds=180)
            runs.append(_burst(server, range(turn * count, (turn + 1) * count)))
        if (started := server.cold_starts()) != count * rounds:
            raise Wrong(f"{count * rounds} first calls made {started} cold starts")
    bench.keep("P4", runs)
    middle = ", ".join(f"{rank(run, 0.5):.1f}" for run in runs)
    bench.add(
        Row(
            "P4",
            f"burst of {count} cold starts, pool {count}, p99",
            [rank(run, 0.99) for run in runs],
            "ms",
            goal=60,
            goal_is="value",
            count=count,
            note=f"p50 of the rounds {middle} ms; each call from its own sending",
        )
    )


def _burst(server: Server, numbers: range) -> list[float]:
    """All connections are open before the first request is sent, and a single thread takes the answers as they come."""
    waiting = selectors.DefaultSelector()
    connections = {number: server.connection() for number in numbers}
    took: list[float] = []
    try:
        wires = {number: server.wire(f"f{number}") for number in numbers}
        for number, connection in connections.items():
            waiting.register(connection, selectors.EVENT_READ, number)
        begins = {number: connection.send(wires[number]) for number, connection in connections.items()}
        while len(took) < len(connections):
            ready = waiting.select(60)
            if not ready:
                raise Wrong(f"{len(connections) - len(took)} of a burst's calls were not answered within a minute")
            for key, _ in ready:
                waiting.unregister(key.fileobj)
                took.append(called(connections[key.data].receive(begins[key.data]), key.data))
    finally:
        waiting.close()
        for connection in connections.values():
            connection.close()
    return took
