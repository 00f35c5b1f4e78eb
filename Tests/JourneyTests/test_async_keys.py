"""Keys of asynchronous calls: those that keep an order, and those that make a call the same call."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from accounts import account
from async_calls import (
    ECHO,
    QUICK,
    accepted,
    begin,
    deploy_actor,
    ended,
    held,
    ids,
    listed,
    operate,
    outcome,
    result,
    runs,
    send,
    view,
)
from casemate_fixture import Answer, Server, problem

FUNCTION = "keys/actor"
_numbers = itertools.count(1)

MALFORMED: dict[str, list[str]] = {
    "empty": [""],
    "257 characters": ["k" * 257],
    "a space": ["a b"],
    "a tab": ["a\tb"],
    "not ASCII": ["schl\xfcssel"],
    "twice": ["a", "b"],
    "twice the same": ["a", "a"],
}


@pytest.fixture(scope="module")
def keyed(running: Server) -> Server:
    deploy_actor(running, FUNCTION, scale={"max": 6})
    deploy_actor(running, "keys/other")
    running.deploy("keys", "echo", ECHO, {"signature": "scaleway", "async": QUICK})
    return running


def new(name: str = "key") -> str:
    return f"{name}-{next(_numbers)}"


def same(answer: Answer) -> str:
    """The id of a call that may have been accepted before, and be further by now."""
    assert answer.status == 202, answer.text
    assert answer.json()["callId"] == answer.call_id and answer.headers["location"] == f"/calls/{answer.call_id}"
    return answer.call_id


def in_order(server: Server, calls: list[str], function: str = FUNCTION) -> bool:
    """Whether all runs of each came before all runs of the next."""
    told = [outcome(server, call, 40) for call in calls]
    begun = [[run["begin"] for run in runs(server, function, call)] for call in calls]
    return all(one["end"] <= min(after) for one, after in zip(told, begun[1:]))


# ---------------------------------------------------------------- one after the other


@pytest.mark.case("C7")
def test_calls_with_one_key_run_one_after_the_other_as_they_came(keyed: Server) -> None:
    key = {"Casemate-Key": new()}
    calls = [begin(keyed, FUNCTION, {"s": 0.1, "tag": number}, headers=key) for number in range(8)]
    assert in_order(keyed, calls)


def test_calls_without_a_key_run_beside_each_other(keyed: Server) -> None:
    """The check of the test above is able to fail."""
    calls = [begin(keyed, FUNCTION, {"s": 1}) for _ in range(4)]
    assert not in_order(keyed, calls)


@pytest.mark.case("C7")
def test_a_retry_of_the_first_keeps_those_behind_it_waiting(keyed: Server) -> None:
    key = {"Casemate-Key": new()}
    orders: list[dict[str, Any]] = [{"fails": 2}, {"fails": 1, "way": "exit"}, {}, {"fails": 1, "way": "raise"}, {}]
    calls = [begin(keyed, FUNCTION, order, headers=key) for order in orders]
    assert in_order(keyed, calls)
    assert [view(keyed, call)["attempts"] for call in calls] == [3, 2, 1, 2, 1]


def test_one_that_is_dead_refused_or_cancelled_lets_the_next_go_on(keyed: Server) -> None:
    key = new()
    with held(keyed, FUNCTION, key):
        orders: list[dict[str, Any]] = [{"fails": 99}, {"fails": 1, "status": 404}, {"tag": "cancelled"}, {}]
        calls = [begin(keyed, FUNCTION, order, headers={"Casemate-Key": key}) for order in orders]
        assert operate(keyed, FUNCTION, calls[2], "cancel").status == 200
        assert [view(keyed, call)["attempts"] for call in calls] == [0] * 4
    assert [ended(keyed, call)["status"] for call in calls] == ["dead", "failed", "cancelled", "succeeded"]
    assert min(run["begin"] for run in runs(keyed, FUNCTION, calls[1])) >= max(
        run["begin"] for run in runs(keyed, FUNCTION, calls[0])
    )
    assert runs(keyed, FUNCTION, calls[2]) == []


def test_another_key_no_key_and_another_function_do_not_wait(keyed: Server) -> None:
    key = new()
    with held(keyed, FUNCTION, key) as holder:
        waits = begin(keyed, FUNCTION, {}, headers={"Casemate-Key": key})
        free = [
            (FUNCTION, begin(keyed, FUNCTION, {}, headers={"Casemate-Key": key + "x"})),
            (FUNCTION, begin(keyed, FUNCTION, {}, headers={"Casemate-Key": key.upper()})),
            (FUNCTION, begin(keyed, FUNCTION, {})),
            ("keys/other", begin(keyed, "keys/other", {}, headers={"Casemate-Key": key})),
        ]
        for _, call in free:
            assert ended(keyed, call, 20)["status"] == "succeeded"
        assert (view(keyed, holder)["status"], view(keyed, waits)["status"]) == ("running", "queued")
    assert ended(keyed, waits)["status"] == "succeeded"


def test_the_key_of_one_caller_is_that_of_another_too(keyed: Server) -> None:
    key = new()
    other = account(keyed, "keys", ("function:invoke", FUNCTION))
    with held(keyed, FUNCTION, key):
        call = begin(keyed, FUNCTION, {}, key=other.key, headers={"Casemate-Key": key})
        time.sleep(0.7)
        assert view(keyed, call)["status"] == "queued"
    assert ended(keyed, call)["status"] == "succeeded"


@pytest.mark.parametrize("field", ["Casemate-Key", "Idempotency-Key"])
@pytest.mark.parametrize("texts", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_key_is_refused_and_leaves_no_call(keyed: Server, field: str, texts: list[str]) -> None:
    before = len(listed(keyed, FUNCTION))
    answer = send(keyed, FUNCTION, {}, headers=[(field, text) for text in texts])
    assert answer.status == 400 and problem(answer)["type"] == "/problems/invalid-request", answer.text
    assert len(listed(keyed, FUNCTION)) == before


@pytest.mark.parametrize("field", ["Casemate-Key", "Idempotency-Key"])
def test_the_longest_and_the_strangest_key_are_taken(keyed: Server, field: str) -> None:
    for text in (f"{next(_numbers):0256d}", "!#$%&'()*+,-./:;<=>?@[]^_`{|}~" + str(next(_numbers)), "a"):
        assert ended(keyed, begin(keyed, FUNCTION, {}, headers={field: text}))["status"] == "succeeded"


# ---------------------------------------------------------------- the same call


def test_the_same_request_with_the_same_key_is_the_same_call_and_runs_once(keyed: Server) -> None:
    key = new()
    first = begin(keyed, FUNCTION, {"tag": 1, "s": 0.5}, headers={"Idempotency-Key": key})
    for text in (key, f'"{key}"'):
        assert same(send(keyed, FUNCTION, {"tag": 1, "s": 0.5}, headers={"Idempotency-Key": text})) == first
    told = outcome(keyed, first)
    again = send(keyed, FUNCTION, {"tag": 1, "s": 0.5}, headers={"Idempotency-Key": key, "X-Other": "field"})
    assert same(again) == first, "also when it has ended"
    time.sleep(0.5)
    assert result(keyed, first).json() == told
    assert len(runs(keyed, FUNCTION, first)) == 1
    assert ids(listed(keyed, FUNCTION)).count(first) == 1


@pytest.mark.parametrize("what", ["body", "method", "path", "query", "content-type"])
def test_another_request_with_the_same_key_is_refused(keyed: Server, what: str) -> None:
    key = {"Idempotency-Key": new()}
    usual: dict[str, Any] = {"body": b"{}", "method": "POST", "path": "/a?b=1", "headers": {"Content-Type": "text/a"}}
    changes: dict[str, dict[str, Any]] = {
        "body": {"body": b"{ }"},
        "method": {"method": "PUT"},
        "path": {"path": "/a/?b=1"},
        "query": {"path": "/a?b=2"},
        "content-type": {"headers": {"Content-Type": "text/b"}},
    }

    def ordered(**with_: Any) -> Answer:
        order = {**usual, **with_}
        return send(keyed, "keys/echo", **{**order, "headers": {**order["headers"], **key}})

    first = accepted(ordered())
    before = len(listed(keyed, "keys/echo"))
    answer = ordered(**changes[what])
    assert (answer.status, problem(answer)["type"]) == (422, "/problems/idempotency-key-reused")
    assert len(listed(keyed, "keys/echo")) == before
    assert same(ordered()) == first, "the first one stands"
    assert ended(keyed, first)["status"] == "succeeded"


def test_the_same_key_of_another_caller_or_for_another_function_is_another_call(keyed: Server) -> None:
    key = {"Idempotency-Key": new()}
    callers = [account(keyed, "keys", ("function:invoke", "keys")) for _ in range(2)]
    tokens = [keyed.token(FUNCTION)["token"] for _ in range(2)]
    calls = [begin(keyed, FUNCTION, {}, headers=key)]
    calls += [begin(keyed, FUNCTION, {}, headers=key, key=caller.key) for caller in callers]
    calls += [begin(keyed, FUNCTION, {}, headers=key, token=token) for token in tokens]
    calls.append(begin(keyed, "keys/other", {}, headers=key))
    assert len(set(calls)) == 6
    assert [ended(keyed, call)["status"] for call in calls] == ["succeeded"] * 6
    # What the first sent is not held against the next one.
    assert send(keyed, FUNCTION, {"tag": "another"}, headers={"Idempotency-Key": new()}).status == 202
    assert same(send(keyed, FUNCTION, {}, headers=key, key=callers[0].key)) == calls[1]


@pytest.mark.case("C7")
def test_twenty_at_once_with_the_same_key_are_one_call_that_runs_once(keyed: Server) -> None:
    key = {"Idempotency-Key": new()}
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: send(keyed, FUNCTION, {"s": 0.3, "tag": "one"}, headers=key), range(20)))
    calls = {same(answer) for answer in answers}
    assert len(calls) == 1
    call = calls.pop()
    assert outcome(keyed, call)["tag"] == "one"
    time.sleep(0.5)
    assert len(runs(keyed, FUNCTION, call)) == 1
    assert ids(listed(keyed, FUNCTION)).count(call) == 1


def test_a_request_that_was_refused_does_not_use_up_its_key(keyed: Server) -> None:
    key = new()
    caller = account(keyed, "keys")
    assert send(keyed, FUNCTION, {}, headers={"Idempotency-Key": key}, key=caller.key).status in (403, 404)
    caller.grant("function:invoke", FUNCTION)
    call = begin(keyed, FUNCTION, {"tag": "now"}, headers={"Idempotency-Key": key}, key=caller.key)
    assert outcome(keyed, call, key=caller.key)["tag"] == "now"


def test_both_keys_together_count_each_for_its_own(keyed: Server) -> None:
    order = {"Casemate-Key": new()}
    calls = [
        begin(keyed, FUNCTION, {"s": 0.2, "tag": number}, headers={**order, "Idempotency-Key": f"{new()}-{number}"})
        for number in range(4)
    ]
    assert len(set(calls)) == 4 and in_order(keyed, calls)
