"""S1: what the check of a large bundle adds to a cold start. S2: how soon a rollback is live. S3: how exact a split is."""

from __future__ import annotations

import json
import random
import time

from casemate_bench.goals.cold import called
from casemate_bench.options import Bench, Wrong
from casemate_bench.payload import HANDLER
from casemate_bench.server import Function, Server, trivial
from casemate_bench.stats import differences, paired
from casemate_bench.table import Row

_LARGE_MIB = 20
_PAIRS = 6
_CALLS, _PERCENT = 10_000, 10
_LINES = 4096


def run(bench: Bench) -> None:
    with Server(bench, pool=6) as server:
        if bench.wants("S1"):
            _large_bundles(bench, server)
        if bench.wants("S2"):
            _rollbacks(bench, server)
        if bench.wants("S3"):
            _split(bench, server)


def _large_bundles(bench: Bench, server: Server) -> None:
    # No line twice in the window of a compressor: what unpacks to hundreds of times its size is refused.
    chance = random.Random(20)  # nosec B311  # the same data in each run
    lines = "".join(f"2026-01-01 pump {chance.randrange(10**6)} reports {chance.random()} bar\n" for _ in range(_LINES))
    data = lines * ((_LARGE_MIB << 20) // len(lines))
    took: dict[str, list[float]] = {"small": [], "large": []}
    for number in range(_PAIRS):
        small, large = trivial(2 * number), Function(
            {"handler.py": HANDLER.format(number=2 * number + 1), "data.txt": data}
        )
        server.deploy({f"small{number}": small, f"large{number}": large})
    for number in range(_PAIRS):
        order = ("small", "large") if number % 2 else ("large", "small")
        for kind in order:
            server.wait_for_pool()
            with server.connection() as connection:
                answer = connection.call(server.wire(f"{kind}{number}"))
            took[kind].append(called(answer, 2 * number + (kind == "large")))
    bench.keep("S1", took)
    bench.add(
        Row(
            "S1",
            f"cold start of a {_LARGE_MIB} MiB bundle, more than of a small one",
            differences(took["large"], took["small"]),
            "ms",
            "a small bundle",
            paired(took["large"], took["small"]),
            1,
            goal_is="value",
            count=_PAIRS,
            note="digest and signature are checked at each cold start; unchanged inodes are not read again",
        )
    )


def _rollbacks(bench: Bench, server: Server) -> None:
    for number in (101, 102):
        server.deploy({"back": trivial(number)})
    took: list[float] = []
    with server.connection() as connection:
        for turn in range(2 * _PAIRS):
            target, number = (1, 101) if turn % 2 == 0 else (2, 102)
            begin = connection.call(server.wire("back"))
            called(begin, 203 - number)
            took.append(_back(server, target) + called(connection.call(server.wire("back")), number))
    bench.keep("S2", took)
    bench.add(
        Row(
            "S2",
            "rollback, until the revision answers",
            took,
            "ms",
            goal=1000,
            goal_is="value",
            count=len(took),
            note="the request and the first call, which is a cold start",
        )
    )


def _back(server: Server, revision: int) -> float:
    path = f"/v1/namespaces/{server.NAMESPACE}/functions/back/rollback"
    begin = time.perf_counter()
    server.api("POST", path, json.dumps({"revision": revision}).encode())
    return (time.perf_counter() - begin) * 1e3


def _split(bench: Bench, server: Server) -> None:
    for number in (201, 202):
        server.deploy({"split": trivial(number)})
    path = f"/v1/namespaces/{server.NAMESPACE}/functions/split/split"
    server.api("PUT", path, json.dumps({"revision": 1, "percent": _PERCENT}).encode())
    other = 0
    with server.connection() as connection:
        for _ in range(_CALLS):
            answer = connection.call(server.wire("split"))
            if answer.status != 200:
                raise Wrong(f"split: {answer.status} {answer.body[:300]!r}")
            other += json.loads(answer.body)["function"] == 201
    bench.add(
        Row(
            "S3",
            f"a split of {_PERCENT} %, off by",
            [abs(100 * other / _CALLS - _PERCENT)],
            "%",
            goal=1,
            goal_is="value",
            count=_CALLS,
            note=f"{other} of {_CALLS} calls",
        )
    )
