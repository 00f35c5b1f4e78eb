"""A server that stops, is copied, or is put back somewhere else takes its queue with it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest
from async_calls import becomes, begin, deploy_actor, ended, ids, listed, operate, outcome, result, runs, view
from casemate_fixture import Server, wait_until


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    with Server(options=("--pool-size", "2"), environment={"CASEMATE_DRAIN_SECONDS": "8"}) as server:
        deploy_actor(server, "stop/actor")
        deploy_actor(server, "stop/once", {"maxAttempts": 1})
        deploy_actor(server, "stop/last", {"maxAttempts": 2, "backoff": "100ms", "maxBackoff": "100ms"})
        yield server


def terminate(server: Server, seconds: float) -> float:
    """How long it took to end after SIGTERM."""
    assert server.process is not None
    begun = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(seconds)
    return time.monotonic() - begun


@pytest.mark.case("C7")
def test_a_server_that_is_told_to_stop_lets_running_calls_end_and_runs_the_others_when_it_is_back(own: Server) -> None:
    key = {"Casemate-Key": "k"}
    running = [begin(own, f"stop/{name}", {"s": 2.5, "tag": name}, headers=key) for name in ("actor", "once")]
    queued = [begin(own, "stop/actor", {"tag": number}, headers=key) for number in range(3)]
    for call in running:
        becomes(own, call, "running")
    took = terminate(own, 20)
    assert 1 < took < 9, f"{took} s: the calls take 2.5"
    own.start()
    for call, tag in zip(running, ("actor", "once")):
        told = outcome(own, call, 5)
        assert (told["attempt"], told["tag"]) == (1, tag)
        assert view(own, call)["attempts"] == 1 and len(runs(own, f"stop/{tag}", call)) == 1
    told = [outcome(own, call) for call in queued]
    assert [one["tag"] for one in told] == [0, 1, 2] and {one["attempt"] for one in told} == {1}
    assert [one["begin"] for one in told] == sorted(one["begin"] for one in told)


def test_a_server_that_stops_waits_no_longer_than_it_was_told_to(own: Server) -> None:
    call = begin(own, "stop/actor", {"s": 40})
    last = begin(own, "stop/last", {"s": 10, "fails": 1, "tag": "last"})
    waits = begin(own, "stop/actor", {"tag": "quick"})
    ended(own, waits)
    becomes(own, call, "running")
    assert wait_until(lambda: (view(own, last)["attempts"], view(own, last)["status"]) == (1, "running"), 20)
    took = terminate(own, 30)
    assert 6 < took < 16, f"{took} s, of which 8 are for running calls"
    own.start()
    assert outcome(own, last, 30)["tag"] == "last", "that the server stops at its last attempt is not its fault"
    shown = becomes(own, call, "running", 15)
    assert shown["attempts"] in (1, 2), "it runs again"
    assert operate(own, "stop/actor", call, "cancel").status == 200
    assert view(own, call)["status"] == "cancelled"


def test_a_backup_carries_the_queue(own: Server) -> None:
    key = {"Casemate-Key": "k"}
    done = begin(own, "stop/actor", {"tag": "done"})
    answer = (ended(own, done), result(own, done).body)
    dead = begin(own, "stop/actor", {"fails": 9})
    assert ended(own, dead)["status"] == "dead"
    same = {"Idempotency-Key": "the-same"}
    idempotent = begin(own, "stop/actor", {"tag": "same"}, headers=same)
    ended(own, idempotent)
    holder = begin(own, "stop/actor", {"s": 6, "tag": "held"}, headers=key)
    queued = [begin(own, "stop/actor", {"tag": number}, headers=key) for number in range(3)]
    becomes(own, holder, "running")
    file, data = own.folder / "queue.tar.gz", own.folder / "restored" / "data"
    code, out, err = own.cli("backup", "--data", str(own.data), str(file))
    assert code == 0, out + err
    assert [outcome(own, call)["tag"] for call in queued] == [0, 1, 2], "the first server goes on"
    data.parent.mkdir(mode=0o711)
    kek = own.data / "server" / "kek"
    code, out, err = own.cli("restore", str(file), "--data", str(data), "--kek-file", str(kek))
    assert code == 0, out + err
    other = Server(options=("--pool-size", "2"))
    other.data = data
    with other:
        assert set(ids(listed(other, "stop/actor"))) >= {done, dead, idempotent, holder, *queued}
        assert (view(other, done), result(other, done).body) == answer
        assert view(other, dead)["status"] == "dead"
        tags = [outcome(other, call, 40)["tag"] for call in (holder, *queued)]
        assert tags == ["held", 0, 1, 2]
        assert [view(other, call)["status"] for call in queued] == ["succeeded"] * 3
        assert wait_until(lambda: not listed(other, "stop", state="queued,running"), 10)
