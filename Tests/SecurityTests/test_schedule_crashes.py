"""Kill -9 of the server around the commits of schedules' fires: no time is lost, and none comes twice."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from async_calls import deploy_actor, listed, moment, result
from casemate_fixture import Server, wait_until
from clock import Clock
from commit_lock import CommitLock

# Kills come at points in time, which other tests would shift.
pytestmark = pytest.mark.alone

KILLS = 20
FUNCTION = "crash/actor"
POINTS = {"fire": "before the commit of a fire", "fired": "right after it, before its call runs or while it does"}
# What the server's start may take, on the way to the next full minute.
START = 3.5


@dataclass
class Kill:
    point: str
    instant: str
    # As the killed server left it: of each schedule that had heeded the instant, its outcome and the state of its call.
    fires: dict[str, tuple[str, str]]


@dataclass
class Seen:
    schedules: dict[str, str]
    kills: list[Kill] = field(default_factory=list)
    first: str = ""
    last: str = ""
    history: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)

    def of(self, point: str) -> list[Kill]:
        return [kill for kill in self.kills if kill.point == point]


def path(name: str, *parts: str) -> str:
    return "/".join(("/v1/namespaces/crash/functions/actor/schedules", name, *parts))


def history(server: Server, name: str) -> list[dict[str, Any]]:
    answer = server.api("GET", path(name, "history?limit=1000"))
    assert answer.status == 200, answer.text
    fires: list[dict[str, Any]] = answer.json()["fires"]
    return fires


def on_disk(server: Server, instant: float) -> dict[str, tuple[str, str]]:
    """Of a copy: who looks at the database itself mends it."""
    with tempfile.TemporaryDirectory(prefix="casemate-test-") as folder:
        for file in (server.data / "server").glob("queue.db*"):
            shutil.copy(file, Path(folder) / file.name)
        database = sqlite3.connect(Path(folder) / "queue.db")
        try:
            ask = "SELECT f.schedule_id, f.outcome, c.state FROM fires f LEFT JOIN calls c ON c.id = f.call_id WHERE f.instant = ?"
            found = database.execute(ask, (round(instant * 1000),)).fetchall()
        finally:
            database.close()
    assert len(found) == len({schedule for schedule, _, _ in found}), "a time that came twice"
    return {schedule: (outcome, state) for schedule, outcome, state in found}


class Crashes:
    """A server whose clock stands shortly before a full minute whenever it starts."""

    def __init__(self, server: Server, clock: Clock, seen: Seen) -> None:
        self.server, self.clock, self.seen = server, clock, seen
        self.names = list(seen.schedules)

    def to_next_minute(self) -> float:
        """Starts the server; the full minute that then comes."""
        while True:
            assert wait_until(lambda: not self.server.remains(), 10), "processes of the server that was killed"
            # The one before is not late yet when the server is there again.
            minute = self.clock.now() // 60 * 60 + 60
            self.clock.set(minute - START)
            self.server.start()
            if self.clock.now() < minute - 0.7:
                return minute
            self.server.kill()

    def before_its_commit(self, minute: float) -> None:
        lock = CommitLock(self.server.data)
        try:
            self.clock.until(minute - 0.3)
            lock.take()
            assert self.clock.now() < minute, "the lock came too late to tell anything"
            self.clock.until(minute + 0.25)
            self.server.kill()
        finally:
            lock.end()

    def right_after_it(self, minute: float, is_running: bool) -> None:
        self.clock.until(minute - 0.05)
        name, wanted = (self.names[0], {"running"}) if is_running else (self.names[-1], {"queued", "running"})

        def has_come() -> bool:
            fire = history(self.server, name)[:1]
            return bool(fire) and fire[0]["time"] == self.clock.text(minute) and fire[0].get("status") in wanted

        assert wait_until(has_come, 5, 0.005)
        self.server.kill()

    def kill(self, point: str, number: int) -> None:
        minute = self.to_next_minute()
        if point == "fire":
            self.before_its_commit(minute)
        else:
            self.right_after_it(minute, number % 2 == 0)
        self.seen.kills.append(Kill(point, self.clock.text(minute), on_disk(self.server, minute)))

    def rest(self) -> None:
        """Nothing more comes, and everything ends."""
        self.server.start()
        last = self.seen.kills[-1].instant

        def is_over() -> bool:
            heeded = all(history(self.server, name)[0]["time"] >= last for name in self.names)
            return heeded and not listed(self.server, "crash", state="queued,running")

        assert wait_until(is_over, 40, 0.3), [history(self.server, name)[:2] for name in self.names]
        for name in self.names:
            assert self.server.api("POST", path(name, "pause")).status == 200


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    """All kills, and all that the server says afterwards."""
    with Clock() as clock, Server(options=("--pool-size", "1"), environment=clock.environment) as server:
        often = {"maxAttempts": 20, "backoff": "100ms", "maxBackoff": "100ms"}
        deploy_actor(server, FUNCTION, often, scale={"max": 1}, limits={"timeout": "60s", "concurrency": 16})
        # Not across a full minute, before all of them are there.
        clock.set(clock.now() // 60 * 60 + 30)
        found = Seen({}, first=clock.text(clock.now() // 60 * 60 + 60))
        kinds: dict[str, dict[str, Any]] = {"skip": {}, "once": {"missed": "once"}, "later": {"jitterSeconds": 1}}
        for name, more in kinds.items():
            order = {"name": name, "cron": "* * * * *", "input": {"tag": name, "s": 0.8}, **more}
            made = server.api("POST", path("")[:-1], order)
            assert made.status == 201, made.text
            found.schedules[name] = made.json()["id"]
        crashes = Crashes(server, clock, found)
        server.kill()
        for number in range(KILLS):
            for point in POINTS:
                crashes.kill(point, number)
        crashes.rest()
        found.last = clock.text(clock.now() // 60 * 60)
        found.history = {name: history(server, name) for name in found.schedules}
        found.calls = [one for one in listed(server, "crash") if one.get("schedule")]
        for one in found.calls:
            answer = result(server, one["callId"])
            found.answers[one["callId"]] = answer.json() if answer.status == 200 else answer.text
        yield found


def test_kills_came_when_they_should(seen: Seen) -> None:
    """The tests below are about what they say."""
    assert [len(seen.of(point)) for point in POINTS] == [KILLS, KILLS]
    assert [kill for kill in seen.of("fire") if kill.fires] == [], "while the lock is held nothing is committed"
    states = []
    for kill in seen.of("fired"):
        assert {outcome for outcome, _ in kill.fires.values()} == {"fired"}, kill
        states += [state for _, state in kill.fires.values()]
    assert set(states) <= {"queued", "running"} and states.count("running") >= KILLS, states
    assert states.count("queued") >= KILLS / 4, states


@pytest.mark.case("C7")
@pytest.mark.parametrize("name", ["skip", "once", "later"])
def test_C7_each_time_of_a_schedule_is_heeded_once(seen: Seen, name: str) -> None:
    fires = seen.history[name]
    times = [fire["time"] for fire in fires]
    first, last = moment(seen.first), moment(seen.last)
    due = [first + 60 * number for number in range(round((last - first) / 60) + 1)]
    # A server that was down for less than a minute missed nothing.
    assert sorted(map(moment, times)) == due, "none is lost, none comes twice"
    assert {fire["outcome"] for fire in fires} == {"fired"} and not [fire for fire in fires if fire.get("missed")]
    assert {kill.instant for kill in seen.kills} <= set(times)


@pytest.mark.case("C7")
@pytest.mark.parametrize("name", ["skip", "once", "later"])
def test_C7_each_time_has_one_call_that_ends_once(seen: Seen, name: str) -> None:
    calls = {one["scheduledTime"]: one for one in seen.calls if one["schedule"] == seen.schedules[name]}
    fires = {fire["time"]: fire for fire in seen.history[name]}
    assert len([one for one in seen.calls if one["schedule"] == seen.schedules[name]]) == len(calls) == len(fires)
    for instant, fire in fires.items():
        call = calls[instant]
        assert call["callId"] == fire["callId"] and call["status"] == fire["status"] == "succeeded", call
        told = seen.answers[call["callId"]]
        assert told["tag"] == name and told["request"] == call["callId"] and told["attempt"] == call["attempts"]


def test_a_call_that_ran_at_the_kill_ran_again(seen: Seen) -> None:
    again = {
        (kill.instant, schedule)
        for kill in seen.kills
        for schedule, (_, state) in kill.fires.items()
        if state == "running"
    }
    few = [one for one in seen.calls if (one["scheduledTime"], one["schedule"]) in again and one["attempts"] < 2]
    assert few == [], "an attempt that nobody knows the end of"
