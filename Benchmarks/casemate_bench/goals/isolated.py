"""P8: `isolate: call`, a fresh process for each call, beside a server that executes a Python for each request."""

from __future__ import annotations

from casemate_bench.goals.cold import called
from casemate_bench.load import Load, wrk
from casemate_bench.options import Bench, NotMeasured
from casemate_bench.peers import WATCHDOG, Peers
from casemate_bench.server import NotDeployed, Server, trivial
from casemate_bench.stats import median, paired, rotated
from casemate_bench.table import Row

_MANY = 16


def run(bench: Bench) -> None:
    peers = Peers(bench)
    peers.prepare()
    mine: dict[int, list[Load]] = {1: [], _MANY: []}
    theirs: dict[int, list[Load]] = {1: [], _MANY: []}
    with Server(bench) as server:
        try:
            server.deploy({"one": trivial(1, isolate="call")})
        except NotDeployed as why:
            if "not available yet" not in str(why):
                raise
            raise NotMeasured("this casemate has no `isolate: call` yet") from None
        with server.connection() as connection:
            answer = connection.call(server.wire("one"))
        if answer.status == 502 and "a frame of kind 0x06" in server.cli("logs", f"{server.NAMESPACE}/one"):
            raise NotMeasured("the runtime's files beside this casemate are older than it, and have no isolated calls")
        called(answer, 1)

        def casemate() -> None:
            for connections in (1, _MANY):
                wrk(server.target("one"), connections, 2 if connections > 1 else 1)  # so many instances as it takes
                mine[connections].append(wrk(server.target("one"), connections, bench.options.seconds))

        def watchdog() -> None:
            with peers.watchdog() as peer:
                for connections in (1, _MANY):
                    wrk(peer.target(), connections, 1)
                    theirs[connections].append(wrk(peer.target(), connections, bench.options.seconds))

        for turn in range(bench.options.rounds):
            for measure in rotated((casemate, watchdog), turn):
                measure()
            bench.say(f"  round {turn + 1} of {bench.options.rounds}")
    bench.keep("P8", {"casemate": mine, WATCHDOG: theirs})
    for identity, connections in (("P8", 1), ("P8b", _MANY)):
        rates = [load.rate for load in mine[connections]]
        others = [load.rate for load in theirs[connections]]
        bench.add(
            Row(
                identity,
                f"isolate: call, rate c={connections}",
                rates,
                "req/s",
                WATCHDOG,
                paired(rates, others),
                10,
                at_least=True,
                count=len(rates),
                note=f"{WATCHDOG}: {median(others):.0f} req/s",
            )
        )
    middle = [load.p50 / 1e3 for load in mine[1]]
    bench.add(
        Row(
            "P8c",
            "isolate: call, p50 c=1",
            middle,
            "ms",
            WATCHDOG,
            paired(middle, [load.p50 / 1e3 for load in theirs[1]]),
            2,
            goal_is="value",
            count=len(middle),
        )
    )
