"""The queue as an operator works with it: looked through, calls cancelled, and what was given up tried once more."""

from __future__ import annotations

import itertools
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from accounts import account
from async_calls import (
    ABSENT,
    FINAL,
    begin,
    calls_path,
    deploy_actor,
    ended,
    held,
    ids,
    listed,
    operate,
    outcome,
    page,
    redriven,
    result,
    runs,
    view,
)
from casemate_fixture import Server, problem, wait_until, with_argument
from secret_calls import records

TWICE = {"maxAttempts": 2, "backoff": "100ms", "maxBackoff": "100ms"}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def queue(running: Server) -> Server:
    for name in ("mixed", "other", "pages", "cancels", "redrives"):
        deploy_actor(running, f"queue/{name}", TWICE)
    deploy_actor(running, "queue/once", {"maxAttempts": 1}, limits={"timeout": "1s"})
    return running


def new() -> str:
    return f"key-{next(_numbers)}"


# ---------------------------------------------------------------- looking


def test_a_list_has_what_was_asked_for_newest_first(queue: Server) -> None:
    calls = {
        "succeeded": begin(queue, "queue/mixed", {}),
        "failed": begin(queue, "queue/mixed", {"fails": 9, "status": 404}),
        "dead": begin(queue, "queue/mixed", {"fails": 9}),
    }
    for state, call in calls.items():
        assert ended(queue, call)["status"] == state
    with held(queue, "queue/mixed", "k") as holder:
        calls |= {"running": holder}
        for state in ("queued", "cancelled"):
            calls[state] = begin(queue, "queue/mixed", {}, headers={"Casemate-Key": "k"})
        assert operate(queue, "queue/mixed", calls["cancelled"], "cancel").status == 200
        elsewhere = begin(queue, "queue/other", {})
        ended(queue, elsewhere)
        order = ["cancelled", "queued", "running", "dead", "failed", "succeeded"]
        shown = listed(queue, "queue/mixed")
        assert ids(shown) == [calls[state] for state in order]
        assert [one["status"] for one in shown] == order
        assert {one["function"] for one in shown} == {"queue/mixed"}
        for state in order:
            assert ids(listed(queue, "queue/mixed", state=state)) == [calls[state]]
        assert ids(listed(queue, "queue/mixed", state="dead,queued")) == [calls["queued"], calls["dead"]]
        everything = listed(queue, "queue")
        assert ids(everything)[0] == elsewhere and set(calls.values()) <= set(ids(everything))
        assert [one for one in everything if one["function"] == "queue/mixed"] == shown
        created = shown[2]["created"]
        for query in ({"since": created}, {"until": created}):
            found = ids(listed(queue, "queue/mixed", **query))
            inside = [one["created"] > created if "since" in query else one["created"] < created for one in shown]
            assert {one["callId"] for one, is_in in zip(shown, inside) if is_in} <= set(found)
            assert len(found) <= sum(inside) + 1
    assert listed(queue, "queue/mixed", schedule=ABSENT) == []


def test_pages_are_complete_and_without_repeats_while_calls_are_added(queue: Server) -> None:
    before = [begin(queue, "queue/pages", {"tag": number}) for number in range(23)]
    cursor, found, added = "", [], 0
    while True:
        answer = page(queue, "queue/pages", limit=4, **({"cursor": cursor} if cursor else {}))
        assert answer.status == 200, answer.text
        told = answer.json()
        assert 1 <= len(told["calls"]) <= 4
        found += ids(told["calls"])
        cursor = told.get("nextCursor") or ""
        if not cursor:
            break
        begin(queue, "queue/pages", {})
        added += 1
    assert len(found) == len(set(found)), "a repeat"
    assert [call for call in found if call in before] == before[::-1]
    assert added >= 5 and len(found) < 23 + added
    assert len(page(queue, "queue/pages").json()["calls"]) == min(50, 23 + added)
    assert page(queue, "queue/pages", limit=1000).json().get("nextCursor") is None


@pytest.mark.parametrize(
    "query",
    [
        "state=resting",
        "state=dead,resting",
        "state=",
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=x",
        "since=yesterday",
        "until=2026-13-01T00:00:00Z",
        "cursor=x",
        "cursor=%00",
        "nonsense=1",
        "State=dead",
    ],
)
def test_a_list_refuses_what_it_does_not_understand(queue: Server, query: str) -> None:
    for path in (calls_path("queue/mixed"), "/v1/namespaces/queue/calls"):
        answer = queue.api("GET", f"{path}?{query}")
        assert answer.status == 400 and problem(answer)["type"] == "/problems/invalid-request", path


def test_lists_take_the_right_to_read_logs(queue: Server) -> None:
    call = begin(queue, "queue/mixed", {})
    one = account(queue, "queue", ("logs:read", "queue/mixed"))
    every = account(queue, "queue", ("logs:read", "queue"))
    caller = account(queue, "queue", ("function:invoke", "queue"))
    assert call in ids(listed(queue, "queue/mixed", one.key)) and call in ids(listed(queue, "queue", every.key))
    assert page(queue, "queue/other", one.key).status in (403, 404)
    narrow = page(queue, "queue", one.key)
    assert narrow.status in (403, 404) or {c["function"] for c in narrow.json()["calls"]} <= {"queue/mixed"}
    for scope in ("queue", "queue/mixed"):
        assert page(queue, scope, caller.key).status in (403, 404)
    assert queue.api("GET", calls_path("queue/mixed"), key=None).status == 401


# ---------------------------------------------------------------- cancelling


def test_a_call_that_is_cancelled_while_it_waits_never_runs(queue: Server) -> None:
    key = new()
    with held(queue, "queue/cancels", key):
        call = begin(queue, "queue/cancels", {}, headers={"Casemate-Key": key})
        answer = operate(queue, "queue/cancels", call, "cancel")
        assert (answer.status, answer.json()["status"], answer.json()["callId"]) == (200, "cancelled", call)
        assert answer.json()["attempts"] == 0 and answer.json()["finished"]
    time.sleep(0.7)
    assert view(queue, call)["status"] == "cancelled" and runs(queue, "queue/cancels", call) == []
    assert result(queue, call).status == 404
    assert [one["details"] for one in records(queue, "call.cancelled", "queue/cancels") if call in str(one)]


def test_a_call_that_is_cancelled_while_it_runs_ends_with_its_sandbox(queue: Server) -> None:
    marker = f"marker-{uuid.uuid4()}"
    call = begin(queue, "queue/cancels", {"child": marker, "s": 4})
    assert wait_until(lambda: with_argument(marker), 10)
    answer = operate(queue, "queue/cancels", call, "cancel")
    assert (answer.status, answer.json()["status"]) == (200, "cancelled"), answer.text
    assert wait_until(lambda: not with_argument(marker), 2), "what it started goes on"
    shown = view(queue, call)
    time.sleep(4.5)
    assert view(queue, call) == shown and shown["attempts"] <= 1, "it stays cancelled"
    assert result(queue, call).status == 404
    assert len(runs(queue, "queue/cancels", call)) == 1
    assert outcome(queue, begin(queue, "queue/cancels", {"tag": "next"}))["tag"] == "next"


def test_what_has_ended_can_not_be_cancelled(queue: Server) -> None:
    for order in ({}, {"fails": 9}, {"fails": 9, "status": 404}):
        call = begin(queue, "queue/cancels", order)
        shown = ended(queue, call)
        answer = operate(queue, "queue/cancels", call, "cancel")
        assert answer.status == 409 and problem(answer)["type"] == "/problems/conflict"
        assert view(queue, call) == shown
    key = new()
    with held(queue, "queue/cancels", key):
        call = begin(queue, "queue/cancels", {}, headers={"Casemate-Key": key})
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: operate(queue, "queue/cancels", call, "cancel").status, range(8)))
        assert sorted(answers) == [200] + [409] * 7


def test_whoever_may_call_may_cancel_and_redrive_and_nobody_else(queue: Server) -> None:
    reader = account(queue, "queue", ("logs:read", "queue"))
    caller = account(queue, "queue", ("function:invoke", "queue/cancels"), ("logs:read", "queue/cancels"))
    dead = begin(queue, "queue/cancels", {"fails": 9})
    ended(queue, dead)
    key = new()
    with held(queue, "queue/cancels", key):
        call = begin(queue, "queue/cancels", {}, headers={"Casemate-Key": key})
        for wrong in (call, dead, ""):
            for what in ("cancel", "redrive") if wrong else ("redrive",):
                assert operate(queue, "queue/cancels", wrong, what, reader.key).status == 403
                assert operate(queue, "queue/cancels", wrong, what, None).status == 401
                if wrong:
                    assert operate(queue, "queue/other", wrong, what).status == 404, "a call of another function"
        assert view(queue, call)["status"] == "queued" and not view(queue, dead).get("redrivenAs")
        assert operate(queue, "queue/cancels", call, "cancel", caller.key).status == 200
    assert operate(queue, "queue/cancels", dead, "redrive", caller.key).status == 202
    for absent in (ABSENT, "x"):
        for what in ("cancel", "redrive"):
            assert operate(queue, "queue/cancels", absent, what).status in (400, 404)


# ---------------------------------------------------------------- once more


@pytest.mark.parametrize("state", ["dead", "failed", "timedOut"])
def test_what_ended_in_vain_is_redriven_once_as_a_new_call_of_the_same_caller(queue: Server, state: str) -> None:
    caller = account(queue, "queue", ("function:invoke", "queue"))
    function = "queue/once" if state == "timedOut" else "queue/redrives"
    ways: dict[str, dict[str, Any]] = {"dead": {}, "failed": {"status": 418}, "timedOut": {"way": "hang"}}
    order = {"fails": 9, "until": time.time() + 2, "tag": state, **ways[state]}
    old = begin(queue, function, order, key=caller.key)
    assert ended(queue, old)["status"] == state
    time.sleep(max(0.0, float(str(order["until"])) - time.time()))
    first = redriven(operate(queue, function, old, "redrive"))
    assert len(first) == 1 and first[0][0] == old and first[0][1] != old
    new_ = first[0][1]
    assert redriven(operate(queue, function, old, "redrive")) == first, "twice is once"
    told = outcome(queue, new_, key=caller.key)
    assert (told["tag"], told["attempt"], told["request"]) == (state, 1, new_)
    shown, before = view(queue, new_), view(queue, old)
    assert (shown["redriveOf"], shown["caller"]) == (old, caller.subject)
    assert (before["redrivenAs"], before["status"]) == (new_, state)
    assert redriven(operate(queue, function, old, "redrive")) == first, "also when that one has ended"
    assert len(runs(queue, function, new_)) == 1
    assert [one for one in records(queue, "call.redriven", function) if old in str(one)]


def test_twenty_at_once_redrive_a_call_once(queue: Server) -> None:
    old = begin(queue, "queue/redrives", {"fails": 9})
    ended(queue, old)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: operate(queue, "queue/redrives", old, "redrive"), range(20)))
    assert len({redriven(answer)[0] for answer in answers}) == 1
    assert len([one for one in listed(queue, "queue/redrives") if one.get("redriveOf") == old]) == 1


def test_what_has_not_ended_or_ended_well_is_not_redriven(queue: Server) -> None:
    function, key = "queue/redrives", new()
    fine = begin(queue, function, {})
    ended(queue, fine)
    with held(queue, function, key) as running:
        queued, cancelled = (begin(queue, function, {}, headers={"Casemate-Key": key}) for _ in range(2))
        operate(queue, function, cancelled, "cancel")
        before = len(listed(queue, function))
        for call in (fine, running, queued, cancelled):
            answer = operate(queue, function, call, "redrive")
            assert answer.status == 409 and problem(answer)["type"] == "/problems/conflict", view(queue, call)
        assert len(listed(queue, function)) == before


def test_all_dead_calls_of_a_function_are_redriven_a_hundred_at_a_time(queue: Server) -> None:
    deploy_actor(queue, "queue/many", TWICE, scale={"max": 6})
    assert redriven(operate(queue, "queue/many", "", "redrive")) == []

    def doomed(number: int) -> str:
        return begin(queue, "queue/many", {"fails": 9, "tag": number})

    with ThreadPoolExecutor(4) as pool:
        dead = list(pool.map(doomed, range(104)))
    other = begin(queue, "queue/many", {"fails": 9, "status": 404})
    assert wait_until(lambda: len(listed(queue, "queue/many", state="dead")) == 104, 60, 0.2)
    assert ended(queue, other)["status"] == "failed"
    single = redriven(operate(queue, "queue/many", dead[50], "redrive"))
    ended(queue, single[0][1], 60)
    deploy_actor(queue, "queue/many", TWICE, scale={"max": 6}, env={"MENDED": "1"})
    answers = [operate(queue, "queue/many", "", "redrive")]
    assert len(answers[0].json()["calls"]) == 100 and answers[0].json()["more"] is True
    answers.append(operate(queue, "queue/many", "", "redrive"))
    assert not answers[1].json().get("more")
    pairs = [pair for answer in answers for pair in redriven(answer)]
    again = {old for old, _ in pairs}
    assert other not in again
    assert again == set(dead) - {dead[50]} | {single[0][1]}, "the one that was redriven has died again"
    assert len(pairs) == len(again) == 104
    for _, call in pairs:
        assert ended(queue, call, 60)["status"] == "succeeded"
    assert redriven(operate(queue, "queue/many", "", "redrive")) == []
    assert {one["status"] for one in listed(queue, "queue/many")} <= FINAL
