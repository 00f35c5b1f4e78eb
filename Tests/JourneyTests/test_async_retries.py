"""What becomes of an attempt: tried again, given up, or not counted at all."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
import uuid
from functools import partial
from typing import Any

import pytest
from async_calls import (
    QUICK,
    becomes,
    begin,
    deploy_actor,
    ended,
    held,
    metric,
    moment,
    outcome,
    result,
    runs,
    send,
    view,
)
from casemate_fixture import Answer, Server, handler, wait_until, with_argument
from secret_calls import path, put

FAILURES: dict[str, dict[str, Any]] = {
    "500": {"way": "status", "status": 500},
    "503": {"way": "status", "status": 503},
    "599": {"way": "status", "status": 599},
    "429": {"way": "status", "status": 429},
    "an exception": {"way": "raise"},
    "an exit": {"way": "exit"},
    "a fault": {"way": "fault"},
    "a broken answer": {"way": "broken"},
    "a timeout": {"way": "hang"},
}


@pytest.fixture(scope="module")
def retried(running: Server) -> Server:
    deploy_actor(running, "retry/three", limits={"timeout": "1s"})
    deploy_actor(running, "retry/once", {"maxAttempts": 1}, limits={"timeout": "1s"})
    deploy_actor(running, "retry/twice", {**QUICK, "maxAttempts": 2}, limits={"timeout": "1s"})
    return running


@pytest.mark.parametrize("how", FAILURES.values(), ids=FAILURES.keys())
def test_what_fails_twice_and_then_succeeds_has_succeeded(retried: Server, how: dict[str, Any]) -> None:
    before = metric(retried, "casemate_queue_retries_total")
    call = begin(retried, "retry/three", {**how, "fails": 2, "tag": "third time"})
    told = outcome(retried, call)
    assert (told["attempt"], told["tag"]) == (3, "third time")
    shown = view(retried, call)
    assert (shown["attempts"], shown["maxAttempts"], shown.get("problem")) == (3, 3, None)
    seen = runs(retried, "retry/three", call)
    assert [run["attempt"] for run in seen] == [1, 2, 3]
    assert {run["request"] for run in seen} == {call}, "each attempt has the call's id"
    assert metric(retried, "casemate_queue_retries_total") >= before + 2


@pytest.mark.parametrize("how", FAILURES.values(), ids=FAILURES.keys())
def test_what_never_succeeds_is_dead_after_its_last_attempt(retried: Server, how: dict[str, Any]) -> None:
    call = begin(retried, "retry/twice", {**how, "fails": 99})
    shown = ended(retried, call)
    assert (shown["status"], shown["attempts"], shown["maxAttempts"]) == ("dead", 2, 2)
    if how["way"] == "status":
        assert shown["responseStatus"] == how["status"]
    else:
        types = {"raise": "function-error", "broken": "function-result", "hang": "function-timeout"}
        assert shown["problem"]["type"] == f"/problems/{types.get(how['way'], 'function-crashed')}", shown
        assert shown["problem"]["detail"]
    assert [run["attempt"] for run in runs(retried, "retry/twice", call)] == [1, 2]
    time.sleep(0.5)
    assert view(retried, call) == shown


@pytest.mark.parametrize("how", FAILURES.values(), ids=FAILURES.keys())
def test_with_one_attempt_a_call_has_failed_or_timed_out(retried: Server, how: dict[str, Any]) -> None:
    call = begin(retried, "retry/once", {**how, "fails": 99})
    shown = ended(retried, call)
    expected = "timedOut" if how["way"] == "hang" else "failed"
    assert (shown["status"], shown["attempts"], shown["maxAttempts"]) == (expected, 1, 1), shown
    time.sleep(0.4)
    assert len(runs(retried, "retry/once", call)) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 422, 499])
def test_a_refusal_of_the_function_s_own_is_not_tried_again(retried: Server, status: int) -> None:
    call = begin(retried, "retry/three", {"fails": 99, "status": status})
    shown = ended(retried, call)
    assert (shown["status"], shown["responseStatus"], shown["attempts"]) == ("failed", status, 1), shown
    answer = result(retried, call)
    assert (answer.status, answer.body) == (status, b"attempt 1")
    time.sleep(0.4)
    assert len(runs(retried, "retry/three", call)) == 1


@pytest.mark.case("C3")
def test_C3_an_interpreter_that_is_killed_in_the_middle_of_a_call_costs_an_attempt(running: Server) -> None:
    deploy_actor(running, "retry/killed", {**QUICK, "maxAttempts": 2})
    marker = f"marker-{uuid.uuid4()}"
    call = begin(running, "retry/killed", {"child": marker, "s": 3})
    assert wait_until(lambda: with_argument(marker), 10)
    cgroup = with_argument(marker)[0].cgroup
    victims = [process for process in running.remains() if process.cgroup == cgroup]
    assert len(victims) >= 2, "the child and its interpreter"
    for process in victims:
        os.kill(process.pid, signal.SIGKILL)
    told = outcome(running, call)
    assert told["attempt"] == 2 and view(running, call)["attempts"] == 2
    assert [run["attempt"] for run in runs(running, "retry/killed", call)] == [1, 2]


# ---------------------------------------------------------------- when


def test_retries_are_spread_within_the_backoff_and_never_beyond_it(running: Server) -> None:
    deploy_actor(running, "retry/jitter", {"maxAttempts": 3, "backoff": "2s", "maxBackoff": "2s"}, scale={"max": 8})
    calls = [begin(running, "retry/jitter", {"fails": 2}) for _ in range(8)]
    seen = None
    for call in calls:
        shown = view(running, call)
        if shown["status"] == "queued" and shown.get("notBefore"):
            seen = shown
    gaps = []
    for call in calls:
        assert outcome(running, call, 40)["attempt"] == 3
        begun = [run["begin"] for run in runs(running, "retry/jitter", call)]
        gaps += [later - earlier for earlier, later in itertools.pairwise(begun)]
    assert len(gaps) == 16
    assert max(gaps) < 2 + 1.5, f"the backoff is 2 s at most: {gaps}"
    assert max(gaps) > 0.5, f"there is none: {gaps}"
    assert len({round(gap, 1) for gap in gaps}) > 5, f"they come together: {gaps}"
    if seen:
        assert moment(seen["created"]) < moment(seen["notBefore"]) < moment(seen["created"]) + 4


def test_the_backoff_doubles_up_to_its_limit(running: Server) -> None:
    deploy_actor(running, "retry/doubles", {"maxAttempts": 7, "backoff": "100ms", "maxBackoff": "400ms"})
    call = begin(running, "retry/doubles", {"fails": 6})
    assert outcome(running, call)["attempt"] == 7
    begun = [run["begin"] for run in runs(running, "retry/doubles", call)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(begun)]
    for gap, most in zip(gaps, (0.1, 0.2, 0.4, 0.4, 0.4, 0.4)):
        assert gap < most + 1, gaps


def test_what_waits_for_its_next_attempt_is_queued_and_says_until_when(running: Server) -> None:
    deploy_actor(running, "retry/later", {"maxAttempts": 2, "backoff": "1h", "maxBackoff": "1h"})
    calls = [begin(running, "retry/later", {"fails": 1}) for _ in range(3)]

    def waits(call: str) -> Any:
        return view(running, call).get("notBefore")

    for call in calls:
        assert wait_until(partial(waits, call), 10)
    shown = [view(running, call) for call in calls]
    # The chance that two of three are due within ten seconds is one in 50,000.
    waiting = [one for one in shown if one["status"] == "queued"]
    assert len(waiting) >= 2, shown
    for one in waiting:
        assert one["attempts"] == 1 and "finished" not in one
        assert 0 < moment(one["notBefore"]) - moment(one["created"]) < 3605
    for call in calls:
        running.api("POST", f"/v1/namespaces/retry/functions/later/calls/{call}/cancel")


def test_a_call_that_grows_too_old_between_its_attempts_is_dead(running: Server) -> None:
    deploy_actor(running, "retry/old", {"maxAttempts": 20, "maxAge": "2s", "backoff": "700ms", "maxBackoff": "700ms"})
    call = begin(running, "retry/old", {"fails": 99})
    shown = ended(running, call, 20)
    assert shown["status"] == "dead" and 1 <= shown["attempts"] < 20, shown
    assert moment(shown["finished"]) - moment(shown["created"]) < 8
    assert shown.get("responseStatus") == 500 or shown["problem"]["type"] == "/problems/too-old", shown


def test_a_call_that_grows_too_old_before_its_first_attempt_never_runs(running: Server) -> None:
    deploy_actor(running, "retry/never", {**QUICK, "maxAge": "2s"})
    # The one that runs is old, too, when it ends; but it has begun in time.
    with held(running, "retry/never", "k", 6):
        call = begin(running, "retry/never", {"tag": "late"}, headers={"Casemate-Key": "k"})
        shown = ended(running, call, 20)
    assert (shown["status"], shown["attempts"], shown["problem"]["type"]) == ("dead", 0, "/problems/too-old"), shown
    assert moment(shown["finished"]) - moment(shown["created"]) >= 1.9
    time.sleep(0.5)
    assert runs(running, "retry/never", call) == []


# ---------------------------------------------------------------- what the platform could not do


def change(server: Server, name: str, is_there: bool) -> None:
    if name == "disabled":
        assert server.cli("function", "enable" if is_there else "disable", f"retry/{name}")[0] == 0
    elif name == "sealed":
        assert server.cli("vault", "unseal" if is_there else "seal")[0] == 0
    elif is_there:
        assert put(server, f"retry/{name}", "a-value-of-some-length").status == 200
    else:
        assert server.api("DELETE", path(f"retry/{name}")).status == 204


@pytest.mark.parametrize("name", ["disabled", "secretless", "sealed"])
def test_what_the_platform_can_not_do_costs_no_attempt(running: Server, name: str) -> None:
    running.namespace("retry")
    change(running, "secretless", True)
    assert put(running, f"retry/{name}", "a-value-of-some-length").status == 200
    deploy_actor(running, f"retry/{name}", {**QUICK, "maxAttempts": 1}, secrets=["KEY"], scale={"idle": "1s"})
    key = {"Casemate-Key": "k"}
    try:
        with held(running, f"retry/{name}", "k") as holder:
            call = begin(running, f"retry/{name}", {"tag": name}, headers=key)
            change(running, name, False)
        ended(running, holder)
        # Longer than an instance that has the secret already stays.
        time.sleep(2.5)
        shown = view(running, call)
        if name == "disabled":
            assert (shown["status"], shown["attempts"]) == ("queued", 0), shown
        assert shown["status"] in ("queued", "succeeded") and shown["attempts"] <= 1, shown
    finally:
        change(running, name, True)
    told = outcome(running, call, 90)
    assert (told["tag"], told["attempt"]) == (name, 1)
    assert len(runs(running, f"retry/{name}", call)) == 1


def test_a_call_waits_for_an_instance_and_for_the_function_s_rate_without_an_attempt(running: Server) -> None:
    deploy_actor(running, "retry/narrow", {**QUICK, "maxAttempts": 1}, scale={"max": 1})
    answers: list[Answer] = []
    busy = threading.Thread(target=lambda: answers.append(running.call("retry/narrow", body={"s": 2})))
    busy.start()
    time.sleep(0.3)
    calls = [begin(running, "retry/narrow", {"tag": number}) for number in range(12)]
    assert [outcome(running, call)["attempt"] for call in calls] == [1] * 12
    busy.join(20)
    assert [answer.status for answer in answers] == [200]

    deploy_actor(running, "retry/rated", {**QUICK, "maxAttempts": 1}, rate={"function": "2/s"})
    kept: list[str] = []
    for number in range(60):
        answer = send(running, "retry/rated", {"tag": number})
        if answer.status == 202:
            kept.append(answer.call_id)
        else:
            assert answer.status == 429 and int(answer.headers["retry-after"]) >= 1, answer.text
            time.sleep(0.25)
        if len(kept) == 6:
            break
    assert len(kept) == 6
    for call in kept:
        assert ended(running, call, 40)["status"] == "succeeded"
        assert len(runs(running, "retry/rated", call)) == 1


def test_a_deployment_that_mends_a_function_reaches_the_calls_that_wait_for_another_attempt(running: Server) -> None:
    slow = {"maxAttempts": 20, "backoff": "500ms", "maxBackoff": "500ms"}
    broken = handler("def handle(data):\n    raise ValueError('not yet')\n")
    running.deploy("retry", "mended", broken, {"async": slow})
    call = begin(running, "retry/mended", {})
    assert wait_until(lambda: view(running, call)["attempts"] >= 1, 10)
    running.deploy("retry", "mended", handler("def handle(data):\n    return 'mended'\n"), {"async": slow})
    assert outcome(running, call, 20) == "mended"
    shown = view(running, call)
    assert shown["attempts"] >= 2 and shown["revision"] == 2, shown
    assert becomes(running, begin(running, "retry/mended", {}), "succeeded")["attempts"] == 1
