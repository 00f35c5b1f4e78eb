"""Kill -9 of the server and of the warden around each commit of the queue: what was accepted ends, once, and nothing is lost."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from async_calls import FINAL, begin, deploy_actor, ended, listed, moment, result, runs, send, view
from casemate_fixture import Server, wait_until
from commit_lock import CommitLock

# Kills come at points in time, which other tests would shift.
pytestmark = pytest.mark.alone

# Of each victim at each point. A busy machine makes some come too late: those are made up for.
KILLS, MOST = 20, 30
FUNCTION, ONCE = "crash/actor", "crash/once"
POINTS = {
    "enqueue": "before the commit that accepts a call",
    "acknowledged": "right after a call was accepted",
    "claim": "before the commit that gives a call to a worker",
    "running": "while a call runs",
    "result": "before the commit that ends a call",
    "ended": "right after that",
    "keyed": "while calls of one key wait for each other",
    "missed": "at some other moment",
}


@dataclass
class Sent:
    point: str
    tag: str
    round: int
    function: str = FUNCTION
    call: str = ""


@dataclass
class Seen:
    """How calls ended, as it was told at different times."""

    victim: str
    sent: list[Sent] = field(default_factory=list)
    first: dict[str, dict[str, Any]] = field(default_factory=dict)
    then: dict[str, tuple[dict[str, Any], int, bytes]] = field(default_factory=dict)
    later: dict[str, tuple[dict[str, Any], int, bytes]] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    # Kills while one was waiting for its commit.
    pending_claims: int = 0
    rounds: int = 0

    def of(self, point: str) -> list[Sent]:
        return [one for one in self.sent if one.point == point]

    def accepted(self, point: str) -> list[Sent]:
        return [one for one in self.of(point) if one.call]

    def kills(self, point: str, function: str = FUNCTION) -> int:
        """How many found a call at the point."""
        if point == "claim":
            return self.pending_claims
        return len({one.round for one in self.of(point) if one.function == function})

    def are_enough(self) -> bool:
        points = [point for point in POINTS if point != "missed"]
        return min(self.kills("running", ONCE), *map(self.kills, points)) >= KILLS


class Crashes:
    """A server that is killed again and again while calls are at each of the points."""

    def __init__(self, server: Server, victim: str) -> None:
        self.server = server
        self.seen = Seen(victim)
        self.round = 0
        self.numbers = itertools.count(1)

    def send(self, point: str, function: str = FUNCTION, key: str | None = None, **order: Any) -> Sent:
        made = Sent(point, f"{self.seen.victim}-{point}-{next(self.numbers)}", self.round, function)
        self.seen.sent.append(made)
        fields = {"Casemate-Key": key} if key else {}
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer = send(self.server, function, {"tag": made.tag, **order}, headers=fields, timeout=20)
            if answer.status == 202:
                made.call = answer.call_id
        return made

    def kill(self) -> None:
        if self.seen.victim == "server":
            self.server.kill()
        else:
            self.before = {process.pid for process in self.server.wardens()}
            for pid in self.before:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def again(self) -> None:
        def is_back() -> bool:
            new = {process.pid for process in self.server.wardens()}
            with contextlib.suppress(OSError, http.client.HTTPException):
                return len(new) >= 2 and not new & self.before and self.server.api("GET", "/readyz").status == 200
            return False

        # A server ends with its warden, or starts another.
        if self.seen.victim == "warden":
            assert wait_until(lambda: not self.server.is_running() or is_back(), 20), "it neither ends nor recovers"
        if not self.server.is_running():
            assert wait_until(lambda: not self.server.remains(), 10), "processes of the server that was killed"
            self.server.start()

    def states(self, calls: list[Sent]) -> dict[str, dict[str, Any]]:
        shown = {one["callId"]: one for one in listed(self.server, "crash", state="queued,running")}
        return {one.call: shown[one.call] for one in calls if one.call in shown}

    def are_running(self, calls: list[Sent]) -> bool:
        found = self.states(calls).values()
        return len(found) == len(calls) and all(one["status"] == "running" for one in found)

    def due(self, calls: list[Sent]) -> list[float]:
        """When those that wait for another attempt are to be claimed, the earliest first."""
        shown = [one for one in self.states(calls).values() if one["status"] == "queued" and one.get("notBefore")]
        return sorted(instant for instant in (moment(one["notBefore"]) for one in shown) if instant > time.time())

    # -- the two moments

    def while_nothing_commits(self) -> None:
        """Calls that wait for a claim, an end and their acceptance at once, none of which comes before the kill."""
        lock = CommitLock(self.server.data)
        try:
            claims = [self.send("claim", fails=1) for _ in range(5)]
            results = [self.send("result", s=0.5) for _ in range(2)]
            wait_until(lambda: self.are_running(results) and self.due(claims), 2, 0.01)
            lock.take()
            # From here on nothing becomes of them.
            shown = self.states(results)
            for one in results:
                if shown.get(one.call, {}).get("status") != "running":
                    one.point = "missed"
            ends = [moment(one["started"]) + 0.5 for one in shown.values() if one["status"] == "running"]
            due = self.due(claims)
            self.seen.pending_claims += bool(due)
            threads = [threading.Thread(target=self.send, args=("enqueue",)) for _ in range(3)]
            for thread in threads:
                thread.start()
            time.sleep(max(0.0, max([*ends, *due[:1]], default=0) + 0.1 - time.time()))
            self.kill()
        finally:
            lock.end()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive(), "a caller hangs"

    def while_all_goes_on(self) -> None:
        """Calls that run, that were just accepted, and that just ended."""
        running = [self.send("running", s=0.8) for _ in range(2)]
        running.append(self.send("running", ONCE, s=2))
        for _ in range(3):
            self.send("keyed", key=f"{self.seen.victim}-{self.round}", s=0.1)
        wait_until(lambda: self.are_running(running), 2, 0.01)
        shown = self.states(running)
        for one in running:
            # What began too early or not at all says nothing of this moment.
            told = shown.get(one.call, {"status": "ended"})
            late = 1.5 if one.function == ONCE else 0.4
            if told["status"] != "running" or moment(told["started"]) < time.time() - late:
                one.point = "missed"

        def finish() -> None:
            one = self.send("ended")
            self.seen.first[one.call] = ended(self.server, one.call)

        def accept() -> None:
            for _ in range(3):
                self.send("acknowledged")

        for step in (finish, accept) if self.round % 2 else (accept, finish):
            step()
        self.kill()

    # -- what became of them

    def told(self) -> dict[str, tuple[dict[str, Any], int, bytes]]:
        shown = listed(self.server, "crash")

        def one(view_: dict[str, Any]) -> tuple[dict[str, Any], int, bytes]:
            answer = result(self.server, view_["callId"])
            return view_, answer.status, answer.body if answer.status == 200 else b""

        with ThreadPoolExecutor(4) as pool:
            return {told[0]["callId"]: told for told in pool.map(one, shown)}


@pytest.fixture(scope="module")
def crashing() -> Iterator[Server]:
    with Server(options=("--pool-size", "1", "--pool-max", "2")) as server:
        often = {"maxAttempts": 20, "backoff": "500ms", "maxBackoff": "500ms"}
        # All in one process each: after a kill it is cold starts that take time.
        limits = {"timeout": "60s", "concurrency": 16}
        deploy_actor(server, FUNCTION, often, scale={"max": 1}, limits=limits)
        deploy_actor(server, ONCE, {"maxAttempts": 1}, scale={"max": 1}, limits=limits)
        yield server


@pytest.fixture(scope="module", params=["server", "warden"])
def seen(crashing: Server, request: pytest.FixtureRequest) -> Seen:
    """All kills, and all that can be asked about their calls, before and after one more."""
    if not crashing.is_running():
        crashing.start()
    before = {one["callId"] for one in listed(crashing, "crash")}
    crashes = Crashes(crashing, request.param)
    while not crashes.seen.are_enough() and crashes.round < MOST:
        for moment_ in (crashes.while_nothing_commits, crashes.while_all_goes_on):
            moment_()
            crashes.again()
            # Not for long: what is still under way then lives through the next kill, too.
            wait_until(lambda: not listed(crashing, "crash", state="queued,running"), 0.4, 0.1)
        crashes.round += 1
    crashes.seen.rounds = crashes.round
    assert wait_until(lambda: not listed(crashing, "crash", state="queued,running"), 60, 0.3), listed(
        crashing, "crash", state="queued,running"
    )
    crashes.seen.then = {call: told for call, told in crashes.told().items() if call not in before}
    for one in crashes.seen.sent:
        if one.function == ONCE:
            crashes.seen.runs[one.call] = len(runs(crashing, ONCE, one.call))
    crashing.kill()
    assert wait_until(lambda: not crashing.remains(), 10)
    crashing.start()
    crashes.seen.later = {call: told for call, told in crashes.told().items() if call not in before}
    return crashes.seen


def answers(told: tuple[dict[str, Any], int, bytes]) -> dict[str, Any]:
    view_, status, body = told
    assert (view_["status"], status) == ("succeeded", 200), view_
    found: dict[str, Any] = json.loads(body)
    return found


# ---------------------------------------------------------------- each point


@pytest.mark.case("C7")
@pytest.mark.parametrize("point", POINTS)
def test_C7_every_call_that_was_accepted_ends_once_and_its_answer_stays(seen: Seen, point: str) -> None:
    accepted = seen.accepted(point)
    if point == "missed":
        assert len(accepted) == len(seen.of(point)) <= KILLS, "most kills come when they should"
    else:
        assert seen.kills(point) >= KILLS
    if point == "enqueue":
        assert accepted == [] or seen.victim == "warden", "while a commit waits nobody is told that it is done"
    else:
        assert len(accepted) == len(seen.of(point))
    for one in accepted:
        assert one.call in seen.then, f"{one} is lost"
        view_ = seen.then[one.call][0]
        assert view_["status"] in FINAL and view_["finished"]
        if one.function == FUNCTION:
            told = answers(seen.then[one.call])
            assert told["tag"] == one.tag and told["request"] == one.call
            assert told["attempt"] == view_["attempts"], "each attempt counts"
        assert seen.later[one.call] == seen.then[one.call], "it was told another end before"
        if one.call in seen.first:
            assert view_ == seen.first[one.call], "it had ended before the kill"


@pytest.mark.case("C7")
def test_C7_a_call_that_was_not_accepted_is_there_whole_or_not_at_all(seen: Seen) -> None:
    accepted = {one.call for one in seen.sent}
    others = {call: told for call, told in seen.then.items() if call not in accepted}
    open_ = [one.tag for one in seen.sent if not one.call]
    tags = [answers(told)["tag"] for told in others.values()]
    assert len(tags) == len(set(tags)) and set(tags) <= set(open_), "each was sent, and none is there twice"
    if seen.victim == "server":
        assert len(open_) >= 3 * KILLS, "the kills came too late to tell"


@pytest.mark.parametrize("seen", ["server"], indirect=True)
def test_a_call_that_ran_when_the_server_died_runs_again_and_that_is_counted(seen: Seen) -> None:
    again = [one for point in ("running", "result") for one in seen.accepted(point) if one.function == FUNCTION]
    assert len(again) >= 2 * KILLS
    few = [one for one in again if seen.then[one.call][0]["attempts"] < 2]
    assert few == [], "an attempt that nobody knows the end of"
    many = [one for one in again if seen.then[one.call][0]["attempts"] > 2 * (seen.rounds - one.round) + 1]
    assert many == [], "more attempts than there were kills"


def test_a_call_with_one_attempt_that_ran_at_the_kill_was_interrupted_and_ran_no_second_time(seen: Seen) -> None:
    once = [one for one in seen.accepted("running") if one.function == ONCE]
    assert len(once) >= KILLS
    for one in once:
        view_, status, _ = seen.then[one.call]
        assert view_["attempts"] == 1 and seen.runs[one.call] <= 1, view_
        if seen.victim == "server":
            assert (view_["status"], view_["problem"]["type"]) == ("failed", "/problems/interrupted"), view_
            assert status == 404
    # Without its warden, what had no sandbox yet has not begun.
    assert [seen.then[one.call][0]["status"] for one in once].count("failed") >= KILLS / 2


def test_claims_were_pending_when_the_kill_came(seen: Seen) -> None:
    """The tests above are about what they say."""
    assert seen.pending_claims >= KILLS
    for one in seen.accepted("claim"):
        assert seen.then[one.call][0]["attempts"] >= 2, "its first attempt fails"


@pytest.mark.case("C7")
def test_C7_calls_of_one_key_keep_their_order_over_kills(seen: Seen) -> None:
    chains: dict[int, list[dict[str, Any]]] = {}
    for one in seen.accepted("keyed"):
        chains.setdefault(one.round, []).append(answers(seen.then[one.call]))
    assert len(chains) >= KILLS and {len(chain) for chain in chains.values()} == {3}
    for chain in chains.values():
        for earlier, later in itertools.pairwise(chain):
            assert earlier["end"] <= later["begin"], chain


def test_the_queue_goes_on_after_all_that(crashing: Server, seen: Seen) -> None:
    call = begin(crashing, FUNCTION, {"tag": "after"})
    assert ended(crashing, call)["status"] == "succeeded" and view(crashing, call)["attempts"] == 1
