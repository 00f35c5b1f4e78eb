"""Q1 to Q4: asynchronous calls, from the 202 to the end of the last.

The peers do on the same disk what the queue can't do without: an append with fsync, and the same rows through the same indexes into a
SQLite of the same settings, one commit each, without HTTP, authentication, encryption or anything to run. So a ratio tells what is ours and
what is the disk's.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from casemate_bench.load import Connection, Target, request, wrk
from casemate_bench.options import Bench, Wrong
from casemate_bench.payload import MARK
from casemate_bench.peers import need
from casemate_bench.server import Function, Server
from casemate_bench.stats import median, paired, rotated
from casemate_bench.table import Row, not_measured

# Answers what it is sent, at once or not before a time.
SOURCE = """import time


def handle(data):
    if "until" in data:
        time.sleep(max(0.0, data["until"] - time.time()))
    return data
"""
ASYNC = {"Prefer": "respond-async"}
_MANY = 16
_SLOTS = 32  # as many as --queue-workers has
_PAGE = 1000
_DRAIN_SECONDS = 300

CASEMATE = "casemate"
APPEND, WARM = "append and fsync", "a call that is waited for"
SQLITE, GROUPED = "SQLite, one commit each", f"SQLite, {_MANY} calls in each commit"


def function(**keys: Any) -> Function:
    return Function({"handler.py": SOURCE}, keys)


def _one() -> Function:
    return function(scale={"min": 1, "max": 1, "idle": "1h"}, limits={"timeout": "10m"})


# -- asynchronous calls, as a client has them


def accepted(connection: Connection, wire: bytes) -> tuple[str, float]:
    answer = connection.call(wire)
    if answer.status != 202:
        raise Wrong(f"not accepted: {answer.status} {answer.body[:300]!r}")
    return str(json.loads(answer.body)["callId"]), answer.milliseconds


def _warm(connection: Connection, wire: bytes) -> float:
    answer = connection.call(wire)
    if answer.status != 200 or MARK.encode() not in answer.body:
        raise Wrong(f"a wrong answer: {answer.status} {answer.body[:300]!r}")
    return answer.milliseconds


def calls(server: Server, function: str, query: str) -> dict[str, Any]:
    path = f"/v1/namespaces/{server.NAMESPACE}/functions/{function}/calls?{query}"
    found: dict[str, Any] = json.loads(server.api("GET", path))
    return found


def wait_until_drained(server: Server, function: str) -> None:
    end = time.monotonic() + _DRAIN_SECONDS
    while calls(server, function, "state=queued,running&limit=1")["calls"]:
        if time.monotonic() > end:
            raise Wrong(f"{function}: calls still wait after {_DRAIN_SECONDS} s")
        time.sleep(0.1)


def _milliseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1e3)


def _delete(server: Server, function: str) -> None:
    """With all of its calls. One that runs is ended first: by itself it would go on, and keep its worker."""
    path = f"/v1/namespaces/{server.NAMESPACE}/functions/{function}"
    for call in calls(server, function, "state=running")["calls"]:
        with contextlib.suppress(Wrong):  # it has ended meanwhile
            server.api("POST", f"{path}/calls/{call['callId']}/cancel")
    server.api("DELETE", path)


@contextlib.contextmanager
def _busy(server: Server, function: str, seconds: float, slots: int = 1) -> Iterator[float]:
    """All that the function has is taken, until the time that is yielded: what is accepted before waits."""
    until = time.time() + seconds
    wire = server.wire(function, json.dumps({"until": until}).encode(), ASYNC)
    with server.connection() as connection:
        for _ in range(slots):
            accepted(connection, wire)
    while (there := len(calls(server, function, f"state=running&limit={slots}")["calls"])) < slots:
        if time.time() > until - 0.5:
            raise Wrong(f"{function} does not take {slots} calls at once: {there} run")
        time.sleep(0.02)
    yield until


# -- the peers


class Disk:
    """Writes one call again and again, as the server wrote it."""

    _COLUMNS = (
        "id, function_id, namespace_id, created, available, expires, max_attempts, order_key, owner, subject, request_bytes, "
        "schedule_id, instant, redrive_of"
    )

    def __init__(self, server: Server, call: str) -> None:
        folder = server.folder / "peer"
        folder.mkdir()
        path = folder / "queue.db"
        with contextlib.closing(sqlite3.connect(f"file:{database(server)}?mode=ro", uri=True)) as source:
            schema = source.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%'")
            statements = [text for (text,) in schema]
            # Constants of this file.
            columns = f"SELECT {self._COLUMNS} FROM calls WHERE id = ?"  # nosec B608
            self._row = source.execute(columns, (call,)).fetchone()
            (self._sealed,) = source.execute(
                "SELECT sealed FROM requests r JOIN calls c ON c.seq = r.seq WHERE c.id = ?", (call,)
            ).fetchone()
        self._db = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 4000", "foreign_keys = ON"):
            self._db.execute(f"PRAGMA {pragma}")
        for statement in statements:
            self._db.execute(statement)
        marks = ", ".join("?" * len(self._row))
        self._insert = f"INSERT INTO calls ({self._COLUMNS}) VALUES ({marks})"  # nosec B608  # likewise
        self._file = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def __enter__(self) -> Disk:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
        self._db.close()

    def append(self) -> float:
        begin = time.perf_counter()
        os.write(self._file, self._sealed)
        os.fsync(self._file)
        return (time.perf_counter() - begin) * 1e3

    def insert(self, count: int = 1) -> float:
        """So many calls, in one commit."""
        rows = [(str(uuid.uuid4()), *self._row[1:]) for _ in range(count)]
        begin = time.perf_counter()
        self._db.execute("BEGIN IMMEDIATE")
        for row in rows:
            done = self._db.execute(self._insert, row)
            self._db.execute("INSERT INTO requests (seq, sealed) VALUES (?, ?)", (done.lastrowid, self._sealed))
        self._db.execute("COMMIT")
        return (time.perf_counter() - begin) * 1e3


def database(server: Server) -> Path:
    return server.data / "server/queue.db"


# -- Q1 to Q4


def run(bench: Bench) -> None:
    flushes: float | None = None
    with Server(bench) as server:
        # More than a load of some seconds gets accepted.
        limits = {"queue": {"perFunction": 1_000_000, "perNamespace": 1_000_000}}
        server.api("PUT", f"/v1/namespaces/{server.NAMESPACE}/policy", json.dumps(limits).encode())
        server.deploy({"one": _one()})
        with server.connection() as connection:
            for _ in range(50):
                _warm(connection, server.wire("one"))
            call, _ = accepted(connection, server.wire("one", headers=ASYNC))
        wait_until_drained(server, "one")
        with Disk(server, call) as disk:
            if bench.wants("Q1"):
                flushes = _latency(bench, server, disk)
            if bench.wants("Q2"):
                _acceptances(bench, server, disk)
        if bench.wants("Q3"):
            _to_the_end(bench, server)
        if bench.wants("Q4"):
            _drains(bench, server)
    if flushes is not None and flushes < 1:
        raise Wrong(f"of a hundred calls that were accepted one after the other {flushes * 100:.0f} were on the disk")


def _latency(bench: Bench, server: Server, disk: Disk) -> float | None:
    """Flushes to the disk for each call that was accepted, where they can be counted."""
    count = bench.options.direct_calls // 10
    took: dict[str, list[float]] = {}
    # Nothing of this one runs while it is busy.
    server.deploy({"held": _one()})
    with server.connection() as connection:
        wires = {name: server.wire(name, headers=ASYNC) for name in ("one", "held")}
        ways: dict[str, Callable[[], float]] = {
            CASEMATE: lambda: accepted(connection, wires["one"])[1],
            "held": lambda: accepted(connection, wires["held"])[1],
            WARM: lambda: _warm(connection, warm),
            SQLITE: disk.insert,
            APPEND: disk.append,
        }
        warm = server.wire("one")
        with _busy(server, "held", 300):
            for turn in range(bench.options.rounds):
                for name, way in rotated(list(ways.items()), turn):
                    took.setdefault(name, []).append(median([way() for _ in range(count)]))
                    wait_until_drained(server, "one")
            flushes = _flushes(server, lambda: [accepted(connection, wires["held"]) for _ in range(100)])
    _delete(server, "held")
    bench.keep("Q1", took)
    mine = took[CASEMATE]
    shown = ", ".join(f"{name} {median(took[name]):.2f} ms" for name in (WARM, SQLITE, APPEND))
    for identity, peer in (("Q1", SQLITE), ("Q1b", APPEND), ("Q1c", WARM)):
        row = Row(
            identity,
            "202 of an asynchronous call, c=1 p50",
            mine,
            "ms",
            peer,
            paired(mine, took[peer]),
            count=count * len(mine),
        )
        if identity == "Q1":
            row.goal, row.goal_is = 3, "value"
            row.note = (
                f"calls accepted before run meanwhile, and are claimed and ended on the same disk; while none runs "
                f"{median(took['held']):.2f} ms; {shown}"
            )
        bench.add(row)
    if flushes is None:
        bench.add(not_measured("Q1d", "flushes to the disk for each 202, c=1", "perf, which counts them, is not there"))
        return None
    bench.add(
        Row(
            "Q1d",
            "flushes to the disk for each 202, c=1",
            [flushes / 100],
            goal=1,
            goal_is="value",
            at_least=True,
            count=100,
            note="a count, the same on every machine: below the goal the run fails, and the other figures mean nothing",
        )
    )
    return flushes / 100


def _flushes(server: Server, work: Callable[[], object]) -> int | None:
    """How often the server has the kernel flush a file while `work` is done."""
    if not need("linux-perf"):
        return None
    events = [part for call in ("fsync", "fdatasync") for part in ("-e", f"syscalls:sys_enter_{call}")]
    perf = subprocess.Popen(
        ["perf", "stat", "-x", ",", *events, "-p", str(server.pid)], stderr=subprocess.PIPE, text=True
    )
    time.sleep(0.5)
    work()
    perf.send_signal(signal.SIGINT)
    _, said = perf.communicate(timeout=20)
    counts = re.findall(r"^(\d+|<not counted>),,syscalls:", said, re.M)
    return sum(int(each) for each in counts if each.isdigit()) if len(counts) == 2 else None


def _acceptances(bench: Bench, server: Server, disk: Disk) -> None:
    rates: dict[str, list[float]] = {}

    def inserts(together: int) -> float:
        end = (begin := time.perf_counter()) + bench.options.seconds
        count = 0
        while time.perf_counter() < end:
            disk.insert(together)
            count += together
        return count / (time.perf_counter() - begin)

    def load(name: str) -> float:
        headers = {**server.target(name).headers, **ASYNC}
        path = f"/f/{server.NAMESPACE}/{name}"
        port = server.target(name).port
        return wrk(
            Target(name, port, path, headers, status=202, mark='"status":"queued"'), _MANY, bench.options.seconds
        ).rate

    def taken(name: str) -> float:
        """By a function of its own, which goes with all that waits: the next load finds an empty queue."""
        server.deploy({name: _one()})
        with server.connection() as connection:
            _warm(connection, server.wire(name))
        try:
            if not name.startswith("held"):
                return load(name)
            with _busy(server, name, 300):
                return load(name)
        finally:
            _delete(server, name)

    for turn in range(bench.options.rounds):
        ways: list[tuple[str, Callable[[], float]]] = [
            (CASEMATE, lambda turn=turn: taken(f"taken{turn}")),  # type: ignore[misc]
            ("held", lambda turn=turn: taken(f"held{turn}")),  # type: ignore[misc]
            (SQLITE, lambda: inserts(1)),
            (GROUPED, lambda: inserts(_MANY)),
        ]
        for name, way in rotated(ways, turn):
            rates.setdefault(name, []).append(way())
        bench.say(f"  round {turn + 1} of {bench.options.rounds}")
    bench.keep("Q2", rates)
    for identity, name, peer, what in (
        ("Q2", CASEMATE, SQLITE, "accepted by group commit, while they run"),
        ("Q2b", "held", SQLITE, "accepted by group commit, while none runs"),
        ("Q2c", "held", GROUPED, "accepted by group commit, while none runs"),
    ):
        bench.add(
            Row(
                identity,
                f"{what}, c={_MANY}",
                rates[name],
                "calls/s",
                peer,
                paired(rates[name], rates[peer]),
                2000,
                goal_is="value",
                at_least=True,
                count=len(rates[name]),
                note=f"{median(rates[peer]):.0f}/s by {peer}, one writer without a client" if name == "held" else "",
            )
        )


def _to_the_end(bench: Bench, server: Server) -> None:
    count = bench.options.direct_calls // 20
    took: dict[str, list[float]] = {"inside": [], "outside": [], "started": [], WARM: []}
    with server.connection() as connection:
        wire, warm = server.wire("one", headers=ASYNC), server.wire("one")
        for _ in range(bench.options.rounds):
            found: dict[str, list[float]] = {name: [] for name in took}
            for _ in range(count):
                begin = time.perf_counter()
                call, _ = accepted(connection, wire)
                answer = connection.call(
                    request(f"/calls/{call}?wait=30", b"", {"X-Auth-Token": server.token}, method="GET")
                )
                found["outside"].append((time.perf_counter() - begin) * 1e3)
                seen = json.loads(answer.body)
                if answer.status != 200 or seen["status"] != "succeeded" or seen["attempts"] != 1:
                    raise Wrong(f"call {call}: {answer.status} {answer.body[:300]!r}")
                created = _milliseconds(seen["created"])
                found["started"].append(_milliseconds(seen["started"]) - created)
                found["inside"].append(_milliseconds(seen["finished"]) - created)
                found[WARM].append(_warm(connection, warm))
            for name, times in found.items():
                # The view's times are whole milliseconds, of which a median is too coarse for a ratio.
                whole = name in ("inside", "started")
                took[name].append(sum(times) / len(times) if whole else median(times))
                if whole:
                    bench.keep(f"Q3 {name}, p50 of a round", median(times))
    bench.keep("Q3", took)
    for identity, name, what in (
        ("Q3", "inside", "from queued to finished, by the call's own times"),
        ("Q3b", "outside", "from the request until ?wait= tells of the end, p50"),
    ):
        row = Row(
            identity,
            what,
            took[name],
            "ms",
            WARM,
            paired(took[name], took[WARM]),
            20,
            "value",
            count=count * len(took[name]),
        )
        if identity == "Q3":
            row.note = (
                f"mean; queued to started {median(took['started']):.1f} ms; {WARM} {median(took[WARM]):.2f} ms, p50"
            )
        else:
            row.note = (
                "whoever waits is told within 5 ms of the end, then 7.5, and so on up to 250: the queue is asked again"
            )
        bench.add(row)


def _drains(bench: Bench, server: Server) -> None:
    count = bench.options.queued
    # Threads of one process each, as that many workers need.
    server.deploy({"many": function(scale={"min": 4, "max": 4}, limits={"concurrency": _SLOTS // 4, "timeout": "10m"})})
    server.wait_for_pool()
    with server.connection() as connection:
        _warm(connection, server.wire("many"))
    waited = wrk(server.target("many"), _SLOTS, bench.options.seconds).rate
    rate, note = _drained(server, "many", count, _SLOTS)
    bench.add(
        Row(
            "Q4",
            f"{count:,} queued calls drained, {_SLOTS} at once",
            [rate],
            "calls/s",
            f"{_SLOTS} callers that wait",
            [rate / waited],
            count=count,
            note=f"0 lost; {note}; {waited:.0f}/s for callers that wait",
        )
    )
    waited = wrk(server.target("one"), 1, bench.options.seconds).rate
    rate, note = _drained(server, "one", max(1, count // 10), 1)
    bench.add(
        Row(
            "Q4b",
            f"{count // 10:,} queued calls drained, one at a time",
            [rate],
            "calls/s",
            "one caller that waits",
            [rate / waited],
            count=count // 10,
            note=f"0 lost; {note}",
        )
    )


def _drained(server: Server, function: str, count: int, slots: int) -> tuple[float, str]:
    """Calls a second, of those that waited when all were accepted, and what else there is to say."""
    before = {call["callId"] for call in _all(server, function)}
    ids: list[str] = []
    failed: list[BaseException] = []

    def send(share: int) -> None:
        try:
            with server.connection() as connection:
                wire = server.wire(function, headers=ASYNC)
                for _ in range(share):
                    ids.append(accepted(connection, wire)[0])
        except BaseException as error:
            failed.append(error)

    with _busy(server, function, 10 + count / 1000, slots) as until:
        shares = [count // _MANY + (at < count % _MANY) for at in range(_MANY)]
        threads = [threading.Thread(target=send, args=(share,)) for share in shares]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        begin = max(time.time(), until) * 1e3
    if failed:
        raise failed[0]
    wait_until_drained(server, function)
    ended = {call["callId"]: call for call in _all(server, function) if call["callId"] not in before}
    lost = [call for call in ids if ended.get(call, {}).get("status") != "succeeded"]
    if lost or len(set(ids)) != count:
        raise Wrong(
            f"{function}: {len(lost)} of {count} accepted calls did not succeed; the first: {ended.get(lost[0])}"
        )
    finished = sorted(at for call in ids if (at := _milliseconds(ended[call]["finished"])) > begin)
    if len(finished) < count // 2:
        raise Wrong(f"{function}: only {len(finished)} of {count} calls waited when all were accepted")
    part = max(1, len(finished) // 10)
    first, last = _per_second(begin, finished[:part]), _per_second(finished[-part - 1], finished[-part:])
    again = sum(ended[call]["attempts"] != 1 for call in ids)
    return (
        _per_second(begin, finished),
        f"{again} took another attempt; the first tenth at {first:.0f}/s, the last at {last:.0f}/s",
    )


def _per_second(begin: float, finished: Sequence[int]) -> float:
    return len(finished) / max(1, finished[-1] - begin) * 1e3


def _all(server: Server, function: str) -> Iterator[dict[str, Any]]:
    cursor: str | None = ""
    while cursor is not None:
        page = calls(server, function, f"limit={_PAGE}" + (f"&cursor={cursor}" if cursor else ""))
        yield from page["calls"]
        cursor = page.get("nextCursor")
