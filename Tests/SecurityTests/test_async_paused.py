"""The server stands still for longer than its lease of a call lasts, and goes on: each call has one end and one answer."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from async_calls import FINAL, accepted, becomes, begin, deploy_actor, listed, result, runs, send, view
from casemate_fixture import Answer, Server, wait_until

# A process that stands still is nothing for others to wait for.
pytestmark = pytest.mark.alone

LEASE = 30
PAUSE = LEASE + 3
VICTIMS = ["server", "server and warden"]
KINDS = {
    "ends": "ends while the server stands still",
    "tight": "is beyond its timeout by then, though its function has answered",
    "long": "runs for longer than that",
    "once": "may be tried once",
    "retried": "is to be tried again meanwhile",
    "waiting": "waits for a free instance",
    "keyed": "waits for another of its key",
    "asked": "is sent to a server that stands still",
    "old": "is too old to run by then",
}


@dataclass
class Paused:
    calls: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    asked: list[Answer] = field(default_factory=list)
    then: dict[str, tuple[dict[str, Any], int, bytes]] = field(default_factory=dict)
    later: dict[str, tuple[dict[str, Any], int, bytes]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def pausing() -> Iterator[Server]:
    with Server(options=("--pool-size", "4")) as server:
        often = {"maxAttempts": 5, "backoff": "4s", "maxBackoff": "4s"}
        limits = {"timeout": "90s", "concurrency": 4}
        deploy_actor(server, "paused/actor", often, scale={"max": 1}, limits=limits)
        deploy_actor(server, "paused/tight", often, scale={"max": 1}, limits={"timeout": "10s", "concurrency": 4})
        deploy_actor(server, "paused/once", {"maxAttempts": 1}, scale={"max": 1}, limits=limits)
        deploy_actor(server, "paused/old", {**often, "maxAge": "10s"}, scale={"max": 1}, limits={"timeout": "90s"})
        yield server


def told(server: Server, seen: Paused) -> dict[str, tuple[dict[str, Any], int, bytes]]:
    found = {}
    for _, call in [one for calls in seen.calls.values() for one in calls]:
        answer = result(server, call)
        found[call] = (view(server, call), answer.status, answer.body if answer.status == 200 else b"")
    return found


@pytest.fixture(scope="module", params=VICTIMS)
def paused(pausing: Server, request: pytest.FixtureRequest) -> Paused:
    """A pause, and all that can be asked about its calls: then, and after a restart."""
    seen = Paused()

    def add(kind: str, function: str, key: str = "", **order: Any) -> str:
        fields = {"Casemate-Key": key} if key else {}
        call = begin(pausing, f"paused/{function}", {"tag": kind, **order}, headers=fields)
        seen.calls[kind].append((f"paused/{function}", call))
        return call

    # These four are all that it has room for.
    running = [add("long", "actor", s=PAUSE + 5), add("long", "actor", "order", s=PAUSE + 5)]
    running += [add("ends", "actor", s=5) for _ in range(2)]
    running += [add("tight", "tight", s=5), add("once", "once", s=5), add("once", "once", s=PAUSE + 5)]
    running.append(begin(pausing, "paused/old", {"s": 8}))
    for call in running:
        becomes(pausing, call, "running")
    for _ in range(2):
        add("waiting", "actor")
        add("keyed", "actor", "order")
        add("old", "old")
        add("retried", "tight", fails=1)
    assert wait_until(lambda: all(view(pausing, call)["attempts"] for _, call in seen.calls["retried"]), 5)
    victims = [pausing.pid]
    if request.param != "server":
        victims += [process.pid for process in pausing.wardens()]
    threads = [
        threading.Thread(target=lambda: seen.asked.append(send(pausing, "paused/actor", {"tag": "asked"}, timeout=90)))
        for _ in range(3)
    ]
    for pid in victims:
        os.kill(pid, signal.SIGSTOP)
    try:
        for thread in threads:
            thread.start()
        time.sleep(PAUSE)
    finally:
        for pid in victims:
            os.kill(pid, signal.SIGCONT)
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "a caller hangs"
    seen.calls["asked"] = [("paused/actor", accepted(answer)) for answer in seen.asked]
    assert wait_until(lambda: not listed(pausing, "paused", state="queued,running"), 60, 0.5), listed(pausing, "paused")
    seen.then = told(pausing, seen)
    pausing.kill()
    assert wait_until(lambda: not pausing.remains(), 10)
    pausing.start()
    seen.later = told(pausing, seen)
    return seen


@pytest.mark.case("C7")
@pytest.mark.parametrize("kind", KINDS)
def test_C7_a_call_has_one_end_though_the_server_stood_still(pausing: Server, paused: Paused, kind: str) -> None:
    assert len(paused.calls[kind]) == {"asked": 3, "tight": 1}.get(kind, 2)
    for function, call in paused.calls[kind]:
        shown, status, body = paused.then[call]
        assert shown["status"] in FINAL and paused.later[call] == paused.then[call], "it was told another end before"
        ran = [one["attempt"] for one in runs(pausing, function, call)]
        if kind == "old":
            assert (shown["status"], shown["attempts"], ran) == ("dead", 0, []), shown
            continue
        assert (shown["status"], status) == ("succeeded", 200), shown
        assert ran == list(range(1, shown["attempts"] + 1)), f"each run is an attempt: {shown}"
        assert f'"request": "{call}"'.encode() in body and f'"attempt": {shown["attempts"]}'.encode() in body
        if kind == "retried":
            assert shown["attempts"] == 2
        elif kind != "tight":
            assert shown["attempts"] == 1, "nobody else took it meanwhile"


@pytest.mark.parametrize("paused", VICTIMS, indirect=True)
def test_the_server_goes_on(pausing: Server, paused: Paused) -> None:
    assert paused.then
    pausing.assert_serving()
