"""The clock is set while calls wait: none of them is lost, waits longer or runs twice for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from async_calls import FINAL, becomes, begin, deploy_actor, result, runs, view
from casemate_fixture import Server, wait_until
from clock import Clock

HOUR, YEAR = 3600, 365 * 86400
# One after the other; what there was of the last has ended before the next.
JUMPS = {"an hour on": HOUR, "an hour back": -HOUR, "a year on": YEAR, "a year back": -YEAR}
KINDS = {
    "running": "runs when the clock is set, and until that is seen",
    "retried": "waits for its second attempt",
    "waiting": "waits for a free instance",
    "keyed": "waits for another of its key",
    "next": "is claimed right after the clock was set",
    "late": "is accepted right after the clock was set",
}
# A jump is seen to within five seconds; and a little more.
SEEN = 7
# Of all that is there, when it was late.
MOST = 20


@pytest.fixture(scope="module")
def clock() -> Iterator[Clock]:
    with Clock() as clock:
        yield clock


@pytest.fixture(scope="module")
def set_server(clock: Clock) -> Iterator[Server]:
    with Server(options=("--pool-size", "4"), environment=clock.environment) as server:
        # Shorter than any jump.
        rules = {"maxAttempts": 3, "maxAge": "10m", "backoff": "4s", "maxBackoff": "4s"}
        for name in ("busy", "brief", "retry"):
            deploy_actor(server, f"jump/{name}", rules, scale={"max": 1}, limits={"timeout": "60s", "concurrency": 2})
        yield server


@dataclass
class Jumped:
    calls: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    ends: dict[str, dict[str, Any]] = field(default_factory=dict)


@pytest.fixture(scope="module", params=JUMPS)
def jumped(set_server: Server, clock: Clock, request: pytest.FixtureRequest) -> Jumped:
    """What became of calls of each kind."""
    seen = Jumped({kind: [] for kind in KINDS})

    def send(kind: str, function: str, key: str = "", **order: Any) -> str:
        fields = {"Casemate-Key": key} if key else {}
        call = begin(set_server, f"jump/{function}", {"tag": kind, **order}, headers=fields)
        seen.calls[kind].append((f"jump/{function}", call))
        return call

    running = [send("running", "busy", "order", s=SEEN), send("running", "busy", s=SEEN)]
    for _ in range(4):
        # Somewhat of it is claimed at each moment, for as long as it takes to see a jump.
        send("next", "brief", s=0.6)
        send("next", "brief", s=0.8)
    for call in running:
        becomes(set_server, call, "running")
    for _ in range(3):
        send("waiting", "busy")
        send("keyed", "busy", "order")
        send("retried", "retry", fails=1)
    assert wait_until(lambda: all(view(set_server, call)["attempts"] for _, call in seen.calls["retried"]), 5)
    clock.shift(JUMPS[request.param])
    time.sleep(0.05)
    for _ in range(3):
        send("late", "busy")
    calls = [call for kind in KINDS for _, call in seen.calls[kind]]

    def all_ended() -> bool:
        with ThreadPoolExecutor(4) as pool:
            seen.ends = {shown["callId"]: shown for shown in pool.map(lambda call: view(set_server, call), calls)}
        return all(shown["status"] in FINAL for shown in seen.ends.values())

    wait_until(all_ended, MOST, 0.5)
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_ends_once_and_in_its_time_though_the_clock_is_set(
    set_server: Server, jumped: Jumped, kind: str
) -> None:
    assert len(jumped.calls[kind]) >= 2
    for function, call in jumped.calls[kind]:
        shown = jumped.ends[call]
        assert (shown["status"], shown["attempts"]) == ("succeeded", 2 if kind == "retried" else 1), shown
        told = result(set_server, call).json()
        assert (told["request"], told["attempt"]) == (call, shown["attempts"])
        assert [one["attempt"] for one in runs(set_server, function, call)] == list(range(1, shown["attempts"] + 1))


def test_the_server_is_there_still(set_server: Server) -> None:
    set_server.assert_serving()
