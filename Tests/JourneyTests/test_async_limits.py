"""A full queue and a flood: what is refused, who is not kept waiting, and that synchronous calls go on."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from async_calls import (
    accepted,
    begin,
    calls_path,
    deploy_actor,
    ended,
    held,
    limit_queue,
    listed,
    metric,
    operate,
    outcome,
    send,
)
from casemate_fixture import Answer, Server, problem, wait_until

FLOOD = 300


@pytest.fixture(scope="module")
def limited(running: Server) -> Server:
    for namespace in ("limit-function", "limit-namespace", "limit-bytes"):
        for name in ("one", "two", "three"):
            deploy_actor(running, f"{namespace}/{name}")
    return running


@pytest.fixture(scope="module")
def narrow() -> Iterator[Server]:
    """A server that runs two asynchronous calls at once."""
    with Server(options=("--pool-size", "2"), environment={"CASEMATE_QUEUE_WORKERS": "2"}) as server:
        deploy_actor(server, "flood/many")
        deploy_actor(server, "flood/single")
        deploy_actor(server, "elsewhere/single")
        yield server


def is_full(answer: Answer) -> bool:
    if answer.status == 202:
        accepted(answer)
        return False
    assert answer.status == 429 and problem(answer)["type"] == "/problems/queue-full", answer.text
    assert int(answer.headers["retry-after"]) >= 1
    return True


def fill(server: Server, function: str, most: int, body: bytes = b"{}") -> list[str]:
    """Sends calls that wait behind the one that is held, until no more is taken."""
    kept: list[str] = []
    for _ in range(most + 1):
        answer = send(server, function, body, headers={"Casemate-Key": "k"})
        if is_full(answer):
            return kept
        kept.append(answer.call_id)
    raise AssertionError(f"{most + 1} calls are taken")


def test_a_function_s_queue_is_full_at_its_limit_and_takes_calls_again_when_some_have_ended(limited: Server) -> None:
    limit_queue(limited, "limit-function", perFunction=4)
    one = "limit-function/one"
    with held(limited, one, "k"):
        kept = fill(limited, one, 4)
        assert len(kept) in (3, 4), "the one that runs may count"
        assert not is_full(send(limited, "limit-function/two", {})), "this is another function"
        assert is_full(send(limited, one, {}))
        assert len(listed(limited, one)) == len(kept) + 1, "what was refused is nowhere"
        assert limited.call(one, body={"tag": "sync"}).json()["tag"] == "sync", "a synchronous call needs no place"
        assert operate(limited, one, kept[0], "cancel").status == 200
        assert not is_full(send(limited, one, {}, headers={"Casemate-Key": "k"}))
        assert is_full(send(limited, one, {}, headers={"Casemate-Key": "k"}))
    for call in kept[1:]:
        assert ended(limited, call)["status"] == "succeeded"
    assert not is_full(send(limited, one, {}))


def test_a_namespace_s_queue_is_full_at_its_limit_for_all_of_its_functions_and_no_other(limited: Server) -> None:
    limit_queue(limited, "limit-namespace", perNamespace=5)
    with held(limited, "limit-namespace/one", "k"), held(limited, "limit-namespace/two", "k"):
        kept = fill(limited, "limit-namespace/one", 5)
        assert len(kept) in (3, 4, 5)
        for name in ("one", "two"):
            assert is_full(send(limited, f"limit-namespace/{name}", {}, headers={"Casemate-Key": "k"}))
        assert is_full(send(limited, "limit-namespace/three", {}))
        assert not is_full(send(limited, "limit-function/three", {}))


def test_a_namespace_s_queue_holds_no_more_bytes_than_its_limit(limited: Server) -> None:
    limit_queue(limited, "limit-bytes", bytes=1 << 20)
    body = b'{"tag": "' + b"x" * 300_000 + b'"}'
    with held(limited, "limit-bytes/one", "k"):
        kept = fill(limited, "limit-bytes/one", 3, body)
        assert len(kept) in (2, 3)
        assert is_full(send(limited, "limit-bytes/two", body))
        assert not is_full(send(limited, "limit-bytes/one", {}, headers={"Casemate-Key": "k"})), "a small one fits"
    for call in kept:
        assert ended(limited, call)["status"] == "succeeded"
    assert not is_full(send(limited, "limit-bytes/two", body))


def test_of_forty_at_once_no_more_are_taken_than_the_limit(limited: Server) -> None:
    deploy_actor(limited, "limit-race/one")
    limit_queue(limited, "limit-race", perFunction=10)
    with held(limited, "limit-race/one", "k"), ThreadPoolExecutor(20) as pool:
        key = {"Casemate-Key": "k"}
        answers = list(pool.map(lambda _: send(limited, "limit-race/one", {}, headers=key), range(40)))
        taken = [answer for answer in answers if not is_full(answer)]
        assert len(taken) in (9, 10)
        assert len(listed(limited, "limit-race/one")) == len(taken) + 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"perFunction": 0},
        {"perFunction": -1},
        {"perNamespace": "many"},
        {"bytes": 1.5},
        {"retentionInHours": -1},
        {"nonsense": 1},
    ],
)
def test_a_limit_that_is_none_is_refused(limited: Server, wrong: dict[str, object]) -> None:
    path = "/v1/namespaces/limit-function/policy"
    before = limited.api("GET", path).json()["queue"]
    assert 400 <= limited.api("PUT", path, {"queue": wrong}).status < 500
    assert limited.api("GET", path).json()["queue"] == before


def test_a_namespace_without_limits_of_its_own_has_the_usual_ones(limited: Server) -> None:
    limited.namespace("limit-usual")
    queue = limited.api("GET", "/v1/namespaces/limit-usual/policy").json()["queue"]
    usual = {"perFunction": 20000, "perNamespace": 100000, "bytes": 1 << 30, "storedBytes": 10 << 30}
    usual["retentionInHours"] = 168
    assert queue == usual


def test_what_is_no_policy_writer_s_is_not_loosened(limited: Server) -> None:
    path = "/v1/namespaces/limit-function/policy"
    token = limited.token("limit-function")["token"]
    assert limited.api("PUT", path, {"queue": {"perFunction": 9}}, key=token).status == 401
    assert limited.api("GET", path).json()["queue"]["perFunction"] == 4


# ---------------------------------------------------------------- a flood


@pytest.fixture(scope="module")
def flooded(narrow: Server) -> Iterator[Server]:
    """Two run at once, a tenth of a second each: it takes a quarter of a minute until all have ended."""
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: begin(narrow, "flood/many", {"s": 0.1, "tag": n}), range(FLOOD)))
    yield narrow


def left(server: Server) -> int:
    return len(listed(server, "flood/many", state="queued"))


@pytest.mark.parametrize("function", ["flood/single", "elsewhere/single"])
def test_a_flood_on_one_function_does_not_keep_another_s_call_waiting(flooded: Server, function: str) -> None:
    before = left(flooded)
    assert before > FLOOD / 3, "the flood is over too soon to tell"
    call = begin(flooded, function, {"tag": "single"})
    shown = ended(flooded, call, 15)
    after = left(flooded)
    assert shown["status"] == "succeeded" and after > before / 2, f"{before - after} of the flood ran before it"
    assert outcome(flooded, call)["tag"] == "single"


def test_synchronous_calls_are_answered_during_a_flood(flooded: Server) -> None:
    assert left(flooded) > FLOOD / 6, "the flood is over too soon to tell"
    assert metric(flooded, "casemate_queue_waiting") >= FLOOD / 6
    assert 1 <= metric(flooded, "casemate_queue_running") <= 2, "no more than there are workers"
    answers = [flooded.call("flood/single", body={"tag": n}) for n in range(20)]
    assert {answer.status for answer in answers} == {200}
    assert statistics.median(answer.seconds for answer in answers) < 0.5
    assert flooded.call("flood/many", body={"tag": "sync"}, timeout=20).status == 200, "of that function, too"
    assert left(flooded) > 0


def test_all_of_a_flood_end_and_each_ran_once(flooded: Server) -> None:
    assert wait_until(lambda: not listed(flooded, "flood/many", state="queued,running"), 60, 0.5)
    shown = listed(flooded, "flood/many")
    assert len(shown) == FLOOD and {(one["status"], one["attempts"]) for one in shown} == {("succeeded", 1)}
    lines = [line for line in flooded.logs("flood/many") if line["message"].startswith("ran ") and line["callId"]]
    seen = [line["callId"] for line in lines]
    assert {one["callId"] for one in shown} <= set(seen) and len(seen) <= FLOOD + 1
    assert metric(flooded, "casemate_queue_waiting") == 0


def test_large_payloads_are_all_kept_and_given_back(narrow: Server) -> None:
    body = b'{"tag": "' + os.urandom(1 << 20).hex().encode() + b'"}'
    calls = [begin(narrow, "flood/single", body) for _ in range(4)]
    begun = time.monotonic()
    for call in calls:
        assert outcome(narrow, call, 30)["tag"].encode() in body
    assert time.monotonic() - begun < 30
    assert narrow.api("GET", calls_path("flood/single")).status == 200
