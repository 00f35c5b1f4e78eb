"""Q5: what schedules cost while none is due."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from casemate_bench import processes
from casemate_bench.goals.queue import database, function
from casemate_bench.options import Bench, Wrong
from casemate_bench.server import Server
from casemate_bench.table import Row


def run(bench: Bench) -> None:
    count = bench.options.schedules
    functions = [f"f{number}" for number in range(10)]
    with Server(bench, pool=1) as server:
        server.deploy({name: function() for name in functions})
        (without,) = used_while_idle(bench, server)
        # One through the API; the others are as it.
        now = datetime.now(UTC)
        body = {"name": "model", "cron": "0 3 1 * *", "timezone": "Europe/Berlin", "input": {"days": 1}}
        path = f"/v1/namespaces/{server.NAMESPACE}/functions"
        server.api("POST", f"{path}/f0/schedules", json.dumps(body).encode())
        server.stop()
        _schedule(
            server, count, days=[day for day in range(1, 29) if day not in (now.day, (now + timedelta(days=1)).day)]
        )
        begin = time.perf_counter()
        server.start()
        took = time.perf_counter() - begin
        listed = [
            each
            for name in functions
            for each in json.loads(server.api("GET", f"{path}/{name}/schedules"))["schedules"]
        ]
        if len(listed) != count or not all(each.get("next") for each in listed):
            raise Wrong(
                f"{len(listed)} of {count} schedules are there, {sum(bool(each.get('next')) for each in listed)} with a next time"
            )
        (used,) = used_while_idle(bench, server)
    bench.keep("Q5", {"with": used, "without": without})
    bench.add(
        Row(
            "Q5",
            f"idle CPU with {count:,} schedules",
            [used],
            "% of a core",
            "without schedules",
            [used / max(without, 0.001)],
            0.5,
            goal_is="value",
            count=count,
            note=f"the server over {bench.options.idle_seconds:.0f} s, none of them due; without {without:.3f} %; it started within {took:.1f} s",
        )
    )


def used_while_idle(bench: Bench, *servers: Server) -> list[float]:
    """Percent of a core, of each server in the same time."""
    for server in servers:
        server.wait_for_pool()
    time.sleep(5)  # past what follows a start
    begin = time.perf_counter()
    before = [processes.cpu_in_microseconds([server.pid]) for server in servers]
    time.sleep(bench.options.idle_seconds)
    passed = (time.perf_counter() - begin) * 1e6
    after = [processes.cpu_in_microseconds([server.pid]) for server in servers]
    return [(now - then) / passed * 100 for now, then in zip(after, before, strict=True)]


def _copied(db: sqlite3.Connection, table: str, model: sqlite3.Row, changes: Iterable[dict[str, Any]]) -> None:
    columns = model.keys()
    marks = ", ".join(f":{name}" for name in columns)
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # nosec B608  # names of the schema
    db.executemany(statement, ({**dict(model), **change} for change in changes))


def _schedule(server: Server, count: int, days: Sequence[int]) -> None:
    """More than the API lets one function have, which is all the same to whoever waits for the nearest."""
    with contextlib.closing(sqlite3.connect(server.data / "server/casemate.db")) as db, db:
        db.row_factory = sqlite3.Row
        model = db.execute("SELECT * FROM schedules").fetchone()
        functions = [row["id"] for row in db.execute("SELECT id FROM functions")]
        new = [
            {
                "id": str(uuid.uuid4()),
                "function_id": functions[number % len(functions)],
                "name": f"s{number}",
                "cron": f"{number % 60} {number // 60 % 24} {days[number % len(days)]} * *",
            }
            for number in range(1, count)
        ]
        _copied(db, "schedules", model, new)
    with contextlib.closing(sqlite3.connect(database(server))) as db, db:
        db.row_factory = sqlite3.Row
        model = db.execute("SELECT * FROM schedule_cursors").fetchone()
        _copied(db, "schedule_cursors", model, ({"schedule_id": each["id"]} for each in new))
