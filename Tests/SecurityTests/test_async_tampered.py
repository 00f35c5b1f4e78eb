"""A queue whose database somebody changed while the server was stopped: no call goes back, none is another's, nobody gets rights."""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import pytest
from accounts import account
from async_calls import (
    QUICK,
    ask,
    becomes,
    begin,
    calls_path,
    deploy_actor,
    ended,
    operate,
    outcome,
    result,
    runs,
    view,
)
from casemate_fixture import Server, handler, wait_until

STATES = ["queued", "running", "succeeded", "failed", "timedOut", "cancelled", "dead"]
ALLOWED = {
    "queued": {"running", "cancelled", "dead"},
    "running": {"queued", "succeeded", "failed", "timedOut", "cancelled", "dead"},
}
MOVES = [(old, new) for old, new in itertools.product(STATES, STATES) if old != new]
CHANGES = [
    "UPDATE calls SET attempts = attempts + 1 WHERE id = ?",
    "UPDATE calls SET status = 299 WHERE id = ?",
    "UPDATE calls SET problem = 'x' WHERE id = ?",
    "UPDATE calls SET finished = 1 WHERE id = ?",
    "UPDATE calls SET fence = 99 WHERE id = ?",
]

# Asks for the log of another function, with the session that it has.
READS = handler("""
    import json, time, urllib.error, urllib.request

    def handle(event, context):
        order = json.loads(event["body"] or "{}")
        time.sleep(order.get("s", 0))
        session = {name.lower(): value for name, value in event["headers"].items()}.get("casemate-session", "")
        url = "http://casemate.internal/v1/namespaces/tamper/functions/actor/logs"
        try:
            request = urllib.request.Request(url, headers={"Authorization": "Bearer " + session})
            with urllib.request.urlopen(request, timeout=20) as answer:
                status = answer.status
        except urllib.error.HTTPError as error:
            status = error.code
        except OSError:
            status = 0
        return {"statusCode": 200, "body": json.dumps({"status": status})}
    """)


class Tables:
    """The queue's database, while its server is stopped."""

    def __init__(self, server: Server) -> None:
        assert not server.is_running()
        self.file = server.data / "server" / "queue.db"
        self.owner = self.file.stat()

    def __enter__(self) -> Tables:
        self.connection = sqlite3.connect(self.file, isolation_level=None)
        self.connection.execute("PRAGMA foreign_keys = OFF")
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.connection.close()
        for file in self.file.parent.glob(self.file.name + "*"):
            os.chown(file, self.owner.st_uid, self.owner.st_gid)

    def run(self, order: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(order, values).fetchall()

    def of(self, table: str, order: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.run(order.replace("TABLE", table), *values)

    def number(self, call: str) -> int:
        found: int = self.run("SELECT seq FROM calls WHERE id = ?", call)[0][0]
        return found

    def state(self, call: str) -> str:
        found: str = self.run("SELECT state FROM calls WHERE id = ?", call)[0][0]
        return found

    def sealed(self, table: str, call: str) -> bytes:
        found: bytes = self.of(table, "SELECT sealed FROM TABLE WHERE seq = ?", self.number(call))[0][0]
        return found

    def swap(self, table: str, one: str, other: str) -> None:
        first, second = self.sealed(table, one), self.sealed(table, other)
        assert first != second
        for call, content in ((one, second), (other, first)):
            # Results may not be written over; who changes files is not kept from taking them away first.
            self.of(table, "DELETE FROM TABLE WHERE seq = ?", self.number(call))
            self.of(table, "INSERT INTO TABLE (seq, sealed) VALUES (?, ?)", self.number(call), content)

    def give(self, call: str, of: str) -> None:
        """Makes the caller of `of` that of `call`."""
        owner, subject = self.run("SELECT owner, subject FROM calls WHERE id = ?", of)[0]
        assert (owner, subject) != self.run("SELECT owner, subject FROM calls WHERE id = ?", call)[0]
        self.run("UPDATE calls SET owner = ?, subject = ? WHERE id = ?", owner, subject, call)


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    with Server(options=("--pool-size", "2")) as server:
        deploy_actor(server, "tamper/actor")
        deploy_actor(server, "tamper/other")
        deploy_actor(server, "tamper/once", {"maxAttempts": 1}, limits={"timeout": "1s"})
        keys = {"signature": "scaleway", "limits": {"timeout": "60s"}, "async": QUICK}
        server.deploy("tamper", "reads", READS, {**keys, "capabilities": ["tamper/actor:logs:read"]})
        yield server


@pytest.fixture
def up(own: Server) -> Server:
    if not own.is_running():
        own.start()
    return own


def waiting(server: Server, function: str, *orders: Any, key: str = "", **more: Any) -> list[str]:
    """Calls that wait for another one, in a server that was killed meanwhile."""
    fields = {"Casemate-Key": "k"}
    holder = begin(server, function, {"s": 1.5}, headers=fields)
    calls = [begin(server, function, order, headers=fields, key=key, **more) for order in orders]
    becomes(server, holder, "running")
    server.kill()
    return calls


# ---------------------------------------------------------------- states


@pytest.fixture(scope="module")
def killed(own: Server) -> Iterator[tuple[Server, dict[str, str]]]:
    """A call in each state, and the server killed."""
    calls = {
        "succeeded": begin(own, "tamper/actor", {}),
        "failed": begin(own, "tamper/actor", {"fails": 9, "status": 404}),
        "dead": begin(own, "tamper/actor", {"fails": 9}),
        "timedOut": begin(own, "tamper/once", {"fails": 9, "way": "hang"}),
    }
    for state, call in calls.items():
        assert ended(own, call)["status"] == state
    fields = {"Casemate-Key": "k"}
    for state in ("running", "queued", "cancelled"):
        calls[state] = begin(own, "tamper/actor", {"s": 2}, headers=fields)
    assert operate(own, "tamper/actor", calls["cancelled"], "cancel").status == 200
    becomes(own, calls["running"], "running")
    own.kill()
    assert wait_until(lambda: not own.remains(), 10)
    yield own, calls
    if not own.is_running():
        own.start()


@pytest.mark.case("C15")
@pytest.mark.parametrize(("old", "new"), MOVES, ids=lambda state: state)
def test_C15_the_database_itself_refuses_a_move_that_no_call_makes(
    killed: tuple[Server, dict[str, str]], old: str, new: str
) -> None:
    server, calls = killed
    with Tables(server) as tables:
        assert tables.state(calls[old]) == old
        finished = None if new in ("queued", "running") else int(time.time() * 1000)
        # As a claim does it, so that only the move itself can be what is refused.
        claimed = int((old, new) == ("queued", "running"))
        order = "UPDATE calls SET state = ?, finished = ?, fence = fence + ? WHERE id = ?"
        tables.run("BEGIN")
        try:
            if new in ALLOWED.get(old, set()):
                tables.run(order, new, finished, claimed, calls[old])
                assert tables.state(calls[old]) == new
            else:
                with pytest.raises(sqlite3.IntegrityError):
                    tables.run(order, new, finished, claimed, calls[old])
        finally:
            tables.run("ROLLBACK")
        assert tables.state(calls[old]) == old


@pytest.mark.case("C15")
def test_C15_the_database_itself_refuses_what_changes_an_end_or_a_result_or_begins_with_one(
    killed: tuple[Server, dict[str, str]],
) -> None:
    server, calls = killed
    with Tables(server) as tables:
        for state in ("succeeded", "failed", "dead", "timedOut", "cancelled"):
            for order in CHANGES:
                with pytest.raises(sqlite3.IntegrityError):
                    tables.run(order, calls[state])
        with pytest.raises(sqlite3.IntegrityError):
            tables.run("UPDATE results SET sealed = x'00' WHERE seq = ?", tables.number(calls["succeeded"]))
        for state in ("queued", "running"):
            with pytest.raises(sqlite3.IntegrityError):
                tables.run("INSERT INTO results VALUES (?, x'00')", tables.number(calls[state]))
        # A copy of one that has ended, under another id.
        tables.run("CREATE TEMP TABLE copied AS SELECT * FROM calls WHERE id = ?", calls["succeeded"])
        tables.run("UPDATE copied SET seq = 1000000, id = '00000000-0000-4000-8000-000000000001'")
        with pytest.raises(sqlite3.IntegrityError, match="begins queued"):
            tables.run("INSERT INTO calls SELECT * FROM copied")


def test_after_all_that_each_call_ends_as_it_would_have(killed: tuple[Server, dict[str, str]]) -> None:
    server, calls = killed
    server.start()
    assert outcome(server, calls["running"])["attempt"] in (1, 2)
    assert outcome(server, calls["queued"])["attempt"] == 1
    for state in ("succeeded", "failed", "dead", "timedOut", "cancelled"):
        assert view(server, calls[state])["status"] == state


# ---------------------------------------------------------------- what is sealed


def test_calls_whose_requests_were_swapped_run_with_neither(up: Server) -> None:
    one, other = waiting(up, "tamper/actor", {"tag": "of the first"}, {"tag": "of the other"})
    with Tables(up) as tables:
        tables.swap("requests", one, other)
    up.start()
    for call in (one, other):
        assert ended(up, call, 40)["status"] in ("failed", "dead"), view(up, call)
        assert runs(up, "tamper/actor", call) == []
        answer = result(up, call)
        assert answer.status >= 400 and "of the" not in answer.text, answer.text
    assert "of the other" not in json.dumps(runs(up, "tamper/actor")), "it ran as no call"
    assert outcome(up, begin(up, "tamper/actor", {"tag": "on"}, headers={"Casemate-Key": "k"}))["tag"] == "on"


def test_a_request_that_was_moved_to_another_function_or_damaged_runs_nowhere(up: Server) -> None:
    # What succeeded has no request any more.
    moved = begin(up, "tamper/other", {"tag": "for the other function", "fails": 99, "status": 400})
    assert ended(up, moved)["status"] == "failed"
    taken, damaged, gone = waiting(up, "tamper/actor", {"tag": 1}, {"tag": 2}, {"tag": 3})
    with Tables(up) as tables:
        content = tables.sealed("requests", moved)
        tables.run("UPDATE requests SET sealed = ? WHERE seq = ?", content, tables.number(taken))
        content = tables.sealed("requests", damaged)
        changed = content[:-1] + bytes([content[-1] ^ 1])
        tables.run("UPDATE requests SET sealed = ? WHERE seq = ?", changed, tables.number(damaged))
        tables.run("DELETE FROM requests WHERE seq = ?", tables.number(gone))
    up.start()
    for call in (taken, damaged, gone):
        assert ended(up, call, 40)["status"] in ("failed", "dead"), view(up, call)
        assert runs(up, "tamper/actor", call) == []
    up.assert_serving()


def test_a_result_that_was_put_in_another_s_place_is_not_shown(up: Server) -> None:
    calls = [begin(up, "tamper/actor", {"tag": f"mine-{number}"}) for number in range(2)]
    for call in calls:
        ended(up, call)
    up.stop()
    with Tables(up) as tables:
        tables.swap("results", *calls)
    up.start()
    for call, other in (calls, calls[::-1]):
        for answer in (result(up, call), up.api("GET", calls_path("tamper/actor", call, "result"))):
            assert answer.status >= 400 and "mine-" not in answer.text, f"{other}'s: {answer.text}"


# ---------------------------------------------------------------- who called


def test_a_call_that_is_given_another_caller_has_not_that_caller_s_rights(up: Server) -> None:
    weak = account(up, "tamper", ("function:invoke", "tamper/reads"))
    strong = account(up, "tamper", ("function:invoke", "tamper/reads"), ("logs:read", "tamper"))
    before = [begin(up, "tamper/reads", {}, key=one.key) for one in (weak, strong)]
    assert [outcome(up, call)["status"] for call in before] == [404, 200], "what each may do"
    (call,) = waiting(up, "tamper/reads", {}, key=weak.key)
    with Tables(up) as tables:
        tables.give(call, before[1])
    up.start()
    shown = ended(up, call, 40)
    if shown["status"] == "succeeded":
        assert result(up, call).json()["status"] != 200, "an account that may not read logs has read them"
    else:
        assert shown["status"] in ("failed", "dead")


def test_a_call_that_is_given_another_caller_does_not_show_that_caller_its_answer(up: Server) -> None:
    caller, thief = (account(up, "tamper", ("function:invoke", "tamper/actor")) for _ in range(2))
    call = begin(up, "tamper/actor", {"tag": "not the thief's"}, key=caller.key)
    ended(up, call)
    theirs = begin(up, "tamper/actor", {}, key=thief.key)
    ended(up, theirs)
    assert ask(up, f"/calls/{call}/result", key=thief.key).status == 404
    up.stop()
    with Tables(up) as tables:
        tables.give(call, theirs)
    up.start()
    answer = ask(up, f"/calls/{call}/result", key=thief.key)
    assert answer.status != 200 and "not the thief's" not in answer.text, answer.text


def test_a_call_that_is_given_another_function_does_not_run_there(up: Server) -> None:
    caller = account(up, "tamper", ("function:invoke", "tamper"))
    there = begin(up, "tamper/other", {"tag": "at home"}, key=caller.key)
    ended(up, there)
    (call,) = waiting(up, "tamper/actor", {"tag": "moved"}, key=caller.key)
    with Tables(up) as tables:
        change = (
            "UPDATE calls SET function_id = (SELECT function_id FROM calls WHERE id = ?), order_key = NULL, blocked = 0"
        )
        tables.run(f"{change} WHERE id = ?", there, call)
    up.start()
    assert wait_until(lambda: view(up, call, key=up.key)["status"] not in ("queued", "running"), 20, 0.3)
    assert view(up, call)["status"] in ("failed", "dead")
    tags = [run["tag"] for run in runs(up, "tamper/other")]
    assert "at home" in tags and "moved" not in tags
    assert "moved" not in result(up, call).text
