"""The clock is set while the server runs, and by its calendar: each time of a schedule comes once, and what is missed is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from async_calls import ECHO, listed
from casemate_fixture import Server, wait_until
from clock import Clock

Fire = tuple[str, str, int]


@pytest.fixture(scope="module")
def clock() -> Iterator[Clock]:
    with Clock() as clock:
        yield clock


@pytest.fixture(scope="module")
def set_server(clock: Clock) -> Iterator[Server]:
    with Server(options=("--pool-size", "2"), environment=clock.environment) as server:
        server.deploy("jump", "echo", ECHO, {"signature": "scaleway", "limits": {"timeout": "20s"}})
        yield server


class Schedules:
    def __init__(self, server: Server, clock: Clock) -> None:
        self.server, self.clock = server, clock
        self.ids: dict[str, str] = {}

    def path(self, *parts: str) -> str:
        return "/".join(("/v1/namespaces/jump/functions/echo/schedules", *parts))

    def make(self, name: str, cron: str, **more: Any) -> dict[str, Any]:
        answer = self.server.api("POST", self.path(), {"name": name, "cron": cron, **more})
        assert answer.status == 201, answer.text
        made: dict[str, Any] = answer.json()
        self.ids[name] = made["id"]
        return made

    def fires(self, name: str) -> list[Fire]:
        """Time, outcome and how many were missed, in the order in which they came."""
        answer = self.server.api("GET", self.path(name, "history?limit=1000"))
        assert answer.status == 200, answer.text
        return [
            (fire["time"][:16], fire["outcome"], fire.get("missed", 0)) for fire in reversed(answer.json()["fires"])
        ]

    def become(self, wanted: dict[str, list[Fire]]) -> None:
        """Their histories are these, and stay so for a moment."""

        def all() -> dict[str, list[Fire]]:
            return {name: self.fires(name) for name in wanted}

        wait_until(lambda: all() == wanted, 5, 0.1)
        time.sleep(0.3)
        assert all() == wanted

    def calls(self, name: str) -> list[dict[str, Any]]:
        return [one for one in listed(self.server, "jump/echo") if one.get("schedule") == self.ids[name]]

    def check(self) -> None:
        """Each time that fired has one call, which ran once, and nothing else has any."""

        def all_ended() -> bool:
            return all(one["status"] == "succeeded" for name in self.ids for one in self.calls(name))

        wait_until(all_ended, 10, 0.2)
        for name in self.ids:
            found = self.calls(name)
            fired = sorted(at for at, outcome, _ in self.fires(name) if outcome == "fired")
            assert sorted(one["scheduledTime"][:16] for one in found) == fired, f"{name}: {found}"
            assert {(one["status"], one["attempts"]) for one in found} <= {("succeeded", 1)}, found

    def begin(self, instant: str) -> None:
        """Sets the clock before there are any."""
        self.clock.set(instant)
        # Until the scheduler has seen it.
        time.sleep(1.2)

    def to(self, instant: str) -> None:
        self.clock.set(instant)

    def over(self, minute: str) -> None:
        """Sets the clock to shortly before the minute, and waits for it to pass."""
        wanted = datetime.fromisoformat(minute + ":00Z").timestamp()
        # A clock that was set back is seen within a second.
        before = 2.0 if wanted < self.clock.now() else 0.8
        self.clock.set(wanted - before)
        time.sleep(before + 1.2)


@pytest.fixture
def schedules(set_server: Server, clock: Clock) -> Iterator[Schedules]:
    made = Schedules(set_server, clock)
    yield made
    for name in made.ids:
        assert set_server.api("DELETE", made.path(name)).status == 204
    assert set_server.is_running()


def both(schedules: Schedules) -> dict[str, list[Fire]]:
    """Schedules of either kind."""
    for missed in ("skip", "once"):
        schedules.make(f"minutes-{missed}", "* * * * *", missed=missed)
        schedules.make(f"hours-{missed}", "@hourly", missed=missed)
    return {name: [] for name in schedules.ids}


def test_an_hour_on_and_back_brings_no_time_twice(schedules: Schedules) -> None:
    schedules.begin("2027-01-12T10:00:20Z")
    wanted = both(schedules)
    schedules.to("2027-01-12T11:00:20Z")
    wanted["minutes-skip"].append(("2027-01-12T10:59", "skipped", 59))
    wanted["minutes-once"].append(("2027-01-12T10:59", "fired", 58))
    for fires in wanted.values():
        fires.append(("2027-01-12T11:00", "fired", 0))
    schedules.become(wanted)
    # This minute had not been heeded by itself.
    schedules.over("2027-01-12T10:01")
    for name in ("minutes-skip", "minutes-once"):
        wanted[name].append(("2027-01-12T10:01", "fired", 0))
    schedules.become(wanted)
    # Those that were come again, as the clock has it.
    schedules.over("2027-01-12T10:59")
    wanted["minutes-skip"] += [("2027-01-12T10:57", "skipped", 56), ("2027-01-12T10:58", "fired", 0)]
    wanted["minutes-once"] += [("2027-01-12T10:57", "fired", 55), ("2027-01-12T10:58", "fired", 0)]
    schedules.become(wanted)
    schedules.over("2027-01-12T11:00")
    schedules.become(wanted)
    schedules.check()


def test_a_year_on_and_back_brings_no_time_twice(schedules: Schedules) -> None:
    schedules.begin("2027-01-12T10:00:20Z")
    wanted = both(schedules)
    schedules.to("2028-01-12T10:00:20Z")
    # No more than this are counted.
    wanted["minutes-skip"].append(("2028-01-12T09:59", "skipped", 10_000))
    wanted["minutes-once"].append(("2028-01-12T09:59", "fired", 9_999))
    wanted["hours-skip"].append(("2028-01-12T09:00", "skipped", 365 * 24 - 1))
    wanted["hours-once"].append(("2028-01-12T09:00", "fired", 365 * 24 - 2))
    for fires in wanted.values():
        fires.append(("2028-01-12T10:00", "fired", 0))
    schedules.become(wanted)
    schedules.over("2027-01-12T10:01")
    for name in ("minutes-skip", "minutes-once"):
        wanted[name].append(("2027-01-12T10:01", "fired", 0))
    schedules.become(wanted)
    schedules.over("2028-01-12T10:00")
    wanted["minutes-skip"].append(("2028-01-12T09:58", "skipped", 10_000))
    wanted["minutes-once"].append(("2028-01-12T09:58", "fired", 9_999))
    schedules.become(wanted)
    schedules.check()


def test_a_time_right_after_the_clock_was_set_back_is_heeded(schedules: Schedules) -> None:
    schedules.begin("2027-01-22T10:00:20Z")
    schedules.make("minutes", "* * * * *")
    schedules.to("2027-01-22T11:00:20Z")
    fires: list[Fire] = [("2027-01-22T10:59", "skipped", 59), ("2027-01-22T11:00", "fired", 0)]
    schedules.become({"minutes": fires})
    # At a change all schedules are looked at, and the next time a second later: after the full minute.
    schedules.make("change", "@yearly")
    schedules.to("2027-01-22T10:00:59.600Z")
    time.sleep(1.5)
    schedules.become({"minutes": [*fires, ("2027-01-22T10:01", "fired", 0)]})


def test_a_call_that_jitter_holds_back_when_the_clock_is_set_waits_no_longer(
    schedules: Schedules, set_server: Server
) -> None:
    schedules.begin("2027-01-20T10:00:20Z")
    # Until all has seen that.
    time.sleep(5)
    for number in range(6):
        schedules.make(f"jitter-{number}", "@hourly", jitterSeconds=6)
    # Their time comes before the jump is seen to by what looks after calls.
    schedules.over("2027-01-20T11:00")
    wait_until(lambda: not listed(set_server, "jump/echo", state="queued,running"), 12, 0.3)
    for name in schedules.ids:
        assert schedules.fires(name) == [("2027-01-20T11:00", "fired", 0)]
    schedules.check()


def test_what_is_missed_by_a_jump_is_an_event(schedules: Schedules, set_server: Server) -> None:
    schedules.begin("2027-02-02T10:00:20Z")
    made = schedules.make("told", "*/10 * * * *")
    schedules.to("2027-02-02T11:05:20Z")
    schedules.become({"told": [("2027-02-02T11:00", "skipped", 6)]})
    (line,) = [message for message in set_server.messages("jump/echo") if "schedule told" in message]
    assert "6 times passed unheeded, the last at 2027-02-02T11:00:00.000Z" in line
    answer = set_server.api("GET", "/v1/audit?limit=1000&kind=schedule.missed")
    assert answer.status == 200 and answer.text.count(f"schedule:{made['id']}") == 1, answer.text


def test_a_leap_day_comes_in_leap_years(schedules: Schedules) -> None:
    schedules.begin("2027-02-28T23:59:50Z")
    assert schedules.make("leap", "0 0 29 2 *")["next"] == "2028-02-29T00:00:00.000Z"
    schedules.make("daily", "@daily")
    schedules.over("2027-03-01T00:00")
    schedules.become({"leap": [], "daily": [("2027-03-01T00:00", "fired", 0)]})
    schedules.over("2028-02-29T00:00")
    leap: list[Fire] = [("2028-02-29T00:00", "fired", 0)]
    schedules.become({"leap": leap})
    schedules.over("2028-03-01T00:00")
    schedules.become({"leap": leap})
    assert schedules.fires("daily")[-2:] == [*leap, ("2028-03-01T00:00", "fired", 0)]
    schedules.check()


def test_a_time_in_the_gap_comes_right_after_it(schedules: Schedules) -> None:
    schedules.begin("2027-03-28T00:59:50Z")
    for name, cron in (("fixed", "30 2 * * *"), ("elapsed", "30 * * * *"), ("three", "0 3 * * *")):
        schedules.make(name, cron, timezone="Europe/Berlin")
    # At this moment 02:00 is 03:00.
    schedules.over("2027-03-28T01:00")
    first: list[Fire] = [("2027-03-28T01:00", "fired", 0)]
    schedules.become({"fixed": first, "three": first, "elapsed": []})
    schedules.over("2027-03-28T01:30")
    schedules.become({"fixed": first, "three": first, "elapsed": [("2027-03-28T01:30", "fired", 0)]})
    schedules.check()


def test_a_fixed_time_that_is_there_twice_comes_the_first_time(schedules: Schedules) -> None:
    schedules.begin("2027-10-31T00:29:50Z")
    for name, cron in (("fixed", "30 2 * * *"), ("elapsed", "30 * * * *")):
        schedules.make(name, cron, timezone="Europe/Berlin")
    schedules.over("2027-10-31T00:30")
    first: list[Fire] = [("2027-10-31T00:30", "fired", 0)]
    schedules.become({"fixed": first, "elapsed": first})
    # At 03:00 it was 02:00 once more.
    schedules.over("2027-10-31T01:30")
    schedules.become({"fixed": first, "elapsed": [*first, ("2027-10-31T01:30", "fired", 0)]})
    schedules.check()
