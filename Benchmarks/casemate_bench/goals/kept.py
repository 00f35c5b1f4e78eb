"""Q6: whether lists of calls stay fast, and the queue quiet, when it keeps a million calls."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from casemate_bench.goals.queue import ASYNC, accepted, calls, database, function, wait_until_drained
from casemate_bench.goals.schedules import used_while_idle
from casemate_bench.load import Connection
from casemate_bench.options import Bench, Wrong
from casemate_bench.server import Server
from casemate_bench.stats import median, paired, rotated
from casemate_bench.table import Row

_FEW = 1_000
_SPAN = 3 * 24 * 3_600_000  # milliseconds that the calls are spread over; what is older than a week goes


def run(bench: Bench) -> None:
    many = bench.options.kept_calls
    with Server(bench, pool=1) as large, Server(bench, pool=1) as small:
        servers = {"few": small, "many": large}
        started: dict[str, float] = {}
        for name, count in (("few", _FEW), ("many", many)):
            began = time.perf_counter()
            started[name] = _keep(servers[name], count)
            bench.say(f"  {count:,} calls after {time.perf_counter() - began:.0f} s")
        took: dict[str, dict[str, list[float]]] = {}
        for turn in range(bench.options.rounds):
            for name in rotated(list(servers), turn):
                server = servers[name]
                with server.api_connection() as connection:
                    for what, path in _questions(server).items():
                        page = _page(connection, server.question(path), bench.options.timed)
                        took.setdefault(what, {"few": [], "many": []})[name].append(page)
        used = used_while_idle(bench, small, large)
        longest = _longest(small, large)
    bench.keep("Q6", {"p50 in ms": took, "start in s": started, "idle in % of a core": used})
    letters = iter(("", *"bcdefgh"))
    for what, times in took.items():
        row = Row(
            f"Q6{next(letters)}",
            f"{what}, of {many:,} calls",
            times["many"],
            "ms",
            f"of {_FEW:,} calls",
            paired(times["many"], times["few"]),
            1.5,
            count=bench.options.timed * len(times["many"]),
        )
        if row.identity == "Q6":
            row.note = (
                f"p50; the server starts within {started['many']:.1f} s, with {_FEW:,} calls {started['few']:.1f} s"
            )
        bench.add(row)
    bench.add(
        Row(
            f"Q6{next(letters)}",
            f"idle CPU with {many:,} calls",
            [used[1]],
            "% of a core",
            f"with {_FEW:,} calls",
            [used[1] / max(used[0], 0.001)],
            0.5,
            "value",
            count=many,
            note=f"the server; with {_FEW:,} calls {used[0]:.2f} %; of ten seconds the longest 202 took {longest[1]:.1f} ms, with {_FEW:,} "
            f"calls {longest[0]:.1f} ms: what looks after the queue is not to hold it up",
        )
    )


def _longest(*servers: Server) -> list[float]:
    """Milliseconds until the 202, at worst, of calls to each in turn."""
    worst = [0.0] * len(servers)
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(server.connection()) for server in servers]
        wires = [server.wire("f0", b"{}", ASYNC) for server in servers]
        end = time.monotonic() + 10
        while time.monotonic() < end:
            for at, (connection, wire) in enumerate(zip(connections, wires, strict=True)):
                worst[at] = max(worst[at], accepted(connection, wire)[1])
            time.sleep(0.01)
    for server in servers:
        wait_until_drained(server, "f0")
    return worst


def _questions(server: Server) -> dict[str, str]:
    space = f"/v1/namespaces/{server.NAMESPACE}"
    schedule = json.loads(server.api("GET", f"{space}/functions/f0/schedules"))["schedules"][0]["id"]
    middle = datetime.fromtimestamp(time.time() - _SPAN / 2e3, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def behind(path: str) -> str:
        """The page after that of the middle, as whoever leafs through would ask for it."""
        cursor = json.loads(server.api("GET", f"{path}&until={middle}"))["nextCursor"]
        return f"{path}&cursor={cursor}"

    return {
        "first page": f"{space}/calls?limit=50",
        "by cursor, in the middle": behind(f"{space}/calls?limit=50"),
        "dead": f"{space}/calls?limit=10&state=dead",
        "a function's": f"{space}/functions/f1/calls?limit=50",
        "a function's that failed, by cursor": behind(f"{space}/functions/f1/calls?limit=5&state=failed"),
        "a schedule's": f"{space}/calls?limit=5&schedule={schedule}",
        "a schedule's that succeeded": f"{space}/functions/f0/calls?limit=5&schedule={schedule}&state=succeeded",
    }


def _page(connection: Connection, wire: bytes, count: int) -> float:
    times: list[float] = []
    for _ in range(count):
        answer = connection.call(wire)
        if answer.status != 200 or not json.loads(answer.body)["calls"]:
            raise Wrong(f"{wire.split(maxsplit=2)[1].decode()}: {answer.status} {answer.body[:300]!r}")
        times.append(answer.milliseconds)
    return median(times)


def _keep(server: Server, count: int) -> float:
    """Seconds that the server takes to start with so many calls, of four functions and one schedule."""
    names = [f"f{number}" for number in range(4)]
    server.deploy({name: function() for name in names})
    with server.connection() as connection:
        for name in names:
            accepted(connection, server.wire(name, b"{}", ASYNC))
    for name in names:
        wait_until_drained(server, name)
    body = b'{"name": "model", "cron": "0 3 1 1 *"}'
    made = server.api("POST", f"/v1/namespaces/{server.NAMESPACE}/functions/f0/schedules", body)
    ids = [calls(server, name, "limit=1")["calls"][0]["callId"] for name in names]
    server.stop()
    _fill(database(server), count - len(names), ids, json.loads(made)["id"])
    begin = time.perf_counter()
    server.start()
    return time.perf_counter() - begin


def _fill(path: Path, count: int, models: Sequence[str], schedule: str) -> None:
    """Calls as those of `models`, but for their ids, times and ends; what is sealed is copied, and can't be opened."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.row_factory = sqlite3.Row
        # Only for as long as this takes: a million calls by the queue's rules and synchronous commits are an hour's work.
        for pragma in ("journal_mode = MEMORY", "synchronous = OFF", "cache_size = -262144", "temp_store = MEMORY"):
            db.execute(f"PRAGMA {pragma}")
        rules = db.execute(
            "SELECT * FROM sqlite_master WHERE type IN ('trigger', 'index') AND sql IS NOT NULL"
        ).fetchall()
        rows = [db.execute("SELECT * FROM calls WHERE id = ?", (each,)).fetchone() for each in models]
        db.execute("BEGIN")
        for rule in rules:
            db.execute(f"DROP {rule['type']} {rule['name']}")
        functions = " ".join(f"WHEN {at} THEN '{row['function_id']}'" for at, row in enumerate(rows))
        # One of a hundred is dead, ten failed; a schedule's are about twenty.
        made = {
            "seq": ":base + i",
            "id": "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-a' || "
            "substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))",
            "function_id": f"CASE (i / 7) % 4 {functions} END",
            "state": "CASE WHEN i % 100 = 10 THEN 'dead' WHEN i % 10 = 6 THEN 'failed' ELSE 'succeeded' END",
            "status": "CASE WHEN i % 100 = 10 OR i % 10 = 6 THEN 500 ELSE 200 END",
            "problem": "CASE WHEN i % 100 = 10 OR i % 10 = 6 THEN 'function-error' END",
            "told": "i % 100 = 10",
            "schedule_id": "CASE WHEN i % :part = 0 AND (i / 7) % 4 = 0 THEN :schedule END",
            "created": ":begin + i * :step",
            "available": ":begin + i * :step",
            "expires": ":begin + i * :step + 21600000",
            "started": ":begin + i * :step + 5",
            "finished": ":begin + i * :step + 10",
        }
        columns = rows[0].keys()
        values = ", ".join(made.get(name, f":{name}") for name in columns)
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
        base = db.execute("SELECT max(seq) FROM calls").fetchone()[0]
        known = {
            **dict(rows[0]),
            "base": base,
            "count": count,
            "schedule": schedule,
            "part": max(1, count // 80),
            "begin": int(time.time() * 1000) - _SPAN,
            "step": _SPAN // (count + 1),
        }
        db.execute(f"{numbers} INSERT INTO calls ({', '.join(columns)}) SELECT {values} FROM n", known)  # nosec B608
        for table in ("requests", "results"):
            db.execute(
                f"INSERT INTO {table} SELECT c.seq, m.sealed FROM calls c, {table} m WHERE c.seq > ? AND m.seq = ?",  # nosec B608
                (base, rows[0]["seq"]),
            )
        for rule in rules:
            db.execute(rule["sql"])
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = WAL")
    with path.open("rb") as file:
        os.fsync(file.fileno())
