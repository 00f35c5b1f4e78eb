"""Calls that are given up: told of by an event and a metric, and handed to a function that is there for them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from accounts import account
from async_calls import (
    ECHO,
    begin,
    deploy_actor,
    ended,
    ids,
    listed,
    metric,
    operate,
    outcome,
    redriven,
    result,
    view,
)
from casemate_fixture import Server, memory_in_kib, wait_until
from secret_calls import records
from webhooks import Receiver

TWICE = {"maxAttempts": 2, "backoff": "100ms", "maxBackoff": "100ms"}


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def letters(running: Server) -> Server:
    """Two functions that fail, and one that is given what they failed at."""
    keys = {"signature": "scaleway", "callers": ["letters/fails", "letters/ages"]}
    running.deploy("letters", "office", ECHO, keys)
    deploy_actor(running, "letters/fails", {**TWICE, "deadLetter": "letters/office"}, limits={"timeout": "1s"})
    deploy_actor(running, "letters/ages", {**TWICE, "maxAttempts": 20, "maxAge": "1s", "deadLetter": "letters/office"})
    return running


def delivered(server: Server, call: str, to: str = "letters/office", seconds: float = 15) -> dict[str, Any]:
    """What the function for dead letters was given for a call, after checking that it was given once."""

    def find() -> list[dict[str, Any]]:
        found = []
        for one in listed(server, to, state="succeeded"):
            told = result(server, one["callId"]).json()
            if call in told["body"]:
                found.append({**told, "view": one})
        return found

    assert wait_until(find, seconds, 0.2), f"no letter; waiting: {listed(server, to)}"
    time.sleep(0.5)
    found = find()
    assert len(found) == 1, "once for each call"
    return found[0]


@pytest.mark.parametrize("how", ["status", "raise", "exit", "hang"])
def test_a_dead_call_is_handed_on_with_its_request_and_what_became_of_it(letters: Server, how: str) -> None:
    caller = account(letters, "letters", ("function:invoke", "letters/fails"))
    order = json.dumps({"fails": 9, "way": how, "tag": "grüße"}, ensure_ascii=False)
    fields = {"Content-Type": "application/json; charset=utf-8"}
    call = begin(
        letters, "letters/fails", order.encode(), method="PUT", headers=fields, path="/a/b?c=d&e=f", key=caller.key
    )
    shown = ended(letters, call)
    assert shown["status"] == "dead"
    told = delivered(letters, call)
    assert (told["httpMethod"], told["path"]) == ("POST", "/")
    assert told["headers"]["content-type"].startswith("application/json")
    assert told["headers"]["casemate-caller"] == "letters/fails" and "authorization" not in told["headers"]
    assert told["view"]["caller"].startswith("function:")
    letter = json.loads(told["body"])
    assert (letter["callId"], letter["function"], letter["subject"]) == (call, "letters/fails", caller.subject)
    assert (letter["created"], letter["finished"], letter["attempts"]) == (shown["created"], shown["finished"], 2)
    assert letter["request"] == {
        "method": "PUT",
        "path": "/a/b",
        "query": "c=d&e=f",
        "contentType": fields["Content-Type"],
        "body": order,
    }
    if how == "status":
        assert letter["status"] == 500
    else:
        assert letter["problem"] == shown["problem"]["type"].removeprefix("/problems/")
        assert letter["detail"] == shown["problem"]["detail"]


def test_a_body_that_is_no_text_is_handed_on_to_the_byte(letters: Server) -> None:
    body = b"\xff\x00{" + bytes(range(256))
    call = begin(letters, "letters/fails", body)
    assert ended(letters, call)["status"] == "dead", "it is not JSON, and the function raises"
    letter = json.loads(delivered(letters, call)["body"])
    assert base64.b64decode(letter["request"]["bodyBase64"]) == body and "body" not in letter["request"]


def test_a_call_that_grew_too_old_is_handed_on_too(letters: Server) -> None:
    call = begin(letters, "letters/ages", {"fails": 99})
    assert ended(letters, call)["status"] == "dead"
    letter = json.loads(delivered(letters, call)["body"])
    assert (letter["callId"], letter["function"]) == (call, "letters/ages")


def test_what_failed_was_refused_or_succeeded_is_nobody_s_letter(letters: Server) -> None:
    before = set(ids(listed(letters, "letters/office")))
    deploy_actor(letters, "letters/once", {"maxAttempts": 1, "deadLetter": "letters/office"})
    letters.deploy(
        "letters",
        "office",
        ECHO,
        {"signature": "scaleway", "callers": ["letters/fails", "letters/ages", "letters/once"]},
    )
    calls = [begin(letters, "letters/fails", {}), begin(letters, "letters/fails", {"fails": 9, "status": 404})]
    calls.append(begin(letters, "letters/once", {"fails": 9}))
    assert [ended(letters, call)["status"] for call in calls] == ["succeeded", "failed", "failed"]
    time.sleep(1)
    assert set(ids(listed(letters, "letters/office"))) == before


def test_a_dead_call_is_an_event_a_record_and_a_number(letters: Server, receiver: Receiver) -> None:
    made = letters.api("POST", "/v1/alerts", {"events": ["call.dead"], "url": receiver.url("/dead")})
    assert made.status == 201, made.text
    dead, ended_ = metric(letters, "casemate_queue_dead_letters"), metric_of(letters, "dead")
    well = metric_of(letters, "succeeded")
    call = begin(letters, "letters/fails", {"fails": 9})
    assert ended(letters, call)["status"] == "dead"
    assert wait_until(lambda: [one for one in records(letters, "call.dead", "letters/fails") if call in str(one)], 5)
    assert wait_until(lambda: [one for one in receiver.got("/dead") if call in str(one.record)], 10)
    told = next(one for one in receiver.got("/dead") if call in str(one.record))
    assert told.json()["type"] == "casemate.call.dead"
    assert wait_until(lambda: metric_of(letters, "dead") >= ended_ + 1, 5)
    assert wait_until(lambda: metric_of(letters, "succeeded") >= well + 1, 5), "the letter"
    assert metric(letters, "casemate_queue_dead_letters") >= dead + 1
    assert metric(letters, "casemate_queue_wait_seconds_count") > 0
    told_metrics = letters.api("GET", "/metrics").text
    for name in ("waiting", "running", "dead_letters", "retries_total", "fenced_total"):
        assert f"\ncasemate_queue_{name} " in told_metrics, name
    assert letters.api("DELETE", f"/v1/alerts/{made.json()['id']}").status == 204


def metric_of(server: Server, state: str) -> float:
    return metric(server, "casemate_queue_ended_total", f'{{state="{state}"}}')


@pytest.mark.parametrize("destination", ["letters/closed", "letters/absent", "strangers/office"])
def test_a_destination_that_does_not_list_the_function_is_given_nothing(letters: Server, destination: str) -> None:
    letters.deploy("letters", "closed", ECHO, {"signature": "scaleway", "callers": ["letters/ages"]})
    letters.deploy("strangers", "office", ECHO, {"signature": "scaleway", "access": "public"})
    name = "letters/to-" + destination.replace("/", "-")
    deploy_actor(letters, name, {**TWICE, "deadLetter": destination})
    call = begin(letters, name, {"fails": 9})
    shown = ended(letters, call)
    assert shown["status"] == "dead"
    time.sleep(1.5)
    assert view(letters, call) == shown
    if destination != "letters/absent":
        assert [one["status"] for one in listed(letters, destination) if one["status"] != "cancelled"] == []
        assert letters.messages(destination) == []
    assert outcome(letters, begin(letters, name, {"tag": "on"}))["tag"] == "on"


@pytest.mark.parametrize("names", [("left", "right"), ("own",)], ids=["two", "one"])
def test_functions_that_hand_their_dead_calls_round_come_to_an_end_and_hurt_nobody(names: tuple[str, ...]) -> None:
    with Server(options=("--pool-size", "2")) as server:
        server.deploy("letters", "office", ECHO, {"signature": "scaleway", "callers": ["letters/fails"]})
        deploy_actor(server, "letters/fails", {**TWICE, "deadLetter": "letters/office"})
        fails = {"handler.py": "def handle(event, context):\n    raise ValueError('never')\n"}
        for name, other in zip(names, names[1:] + names[:1]):
            again = {**TWICE, "deadLetter": f"loop/{other}"}
            keys = {"signature": "scaleway", "callers": [f"loop/{one}" for one in names], "async": again}
            tried = server.try_deploy("loop", name, fails, keys)
            if tried.code and len(names) == 1:
                assert "deadLetter" in tried.said, "refused, with a reason"
                return
            assert tried.code == 0, tried.said
        before = memory_in_kib(server.pid)
        call = begin(server, f"loop/{names[0]}", {})
        assert ended(server, call)["status"] == "dead"
        counts: list[int] = []

        def is_quiet() -> bool:
            counts.append(len(listed(server, "loop")))
            is_empty = not listed(server, "loop", state="queued,running")
            return len(counts) > 6 and counts[-6] == counts[-1] and is_empty

        assert wait_until(is_quiet, 30, 0.5), f"it goes on: {counts}"
        assert 2 <= counts[-1] <= 40, "the other one was told once at least"
        assert {one["status"] for one in listed(server, "loop")} == {"dead"}
        grown = memory_in_kib(server.pid) - before
        assert grown < 256 * 1024, f"each letter has those before it: {grown >> 10} MiB"
        begun = time.monotonic()
        delivered(server, begin(server, "letters/fails", {"fails": 9}))
        assert time.monotonic() - begun < 6, "others' letters wait"
        assert len(listed(server, "loop")) == counts[-1], "it went on meanwhile"


def test_a_redriven_call_that_dies_again_is_a_letter_of_its_own(letters: Server) -> None:
    old = begin(letters, "letters/fails", {"fails": 9, "way": "raise"})
    assert ended(letters, old)["status"] == "dead"
    delivered(letters, old)
    new = redriven(operate(letters, "letters/fails", old, "redrive"))[0][1]
    assert ended(letters, new)["status"] == "dead"
    assert json.loads(delivered(letters, new)["body"])["callId"] == new
