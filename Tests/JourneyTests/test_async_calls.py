"""Asynchronous calls as their callers see them: accepted, looked at, waited for, and answered."""

from __future__ import annotations

import base64
import json
import os
import re
import time
from typing import Any

import pytest
from accounts import account
from async_calls import (
    ABSENT,
    ECHO,
    QUICK,
    accepted,
    ask,
    becomes,
    begin,
    calls_path,
    deploy_actor,
    ended,
    moment,
    outcome,
    result,
    runs,
    send,
    view,
)
from casemate_fixture import Answer, Server, handler, problem

# What the platform puts into each answer, and what differs between any two.
OURS = {"date", "casemate-call-id", "content-length", "transfer-encoding", "connection", "casemate-revision"}
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"


@pytest.fixture(scope="module")
def actor(running: Server) -> Server:
    deploy_actor(running, "async/actor")
    running.deploy("async", "echo", ECHO, {"signature": "scaleway", "async": QUICK})
    return running


def own(answer: Answer) -> list[tuple[str, str]]:
    return sorted((name.lower(), value) for name, value in answer.fields if name.lower() not in OURS)


def echoed(told: dict[str, Any]) -> dict[str, Any]:
    """What the function saw, without what is another in each call."""
    mine = {"x-request-id", "casemate-attempt", "prefer"}
    return {**told, "headers": {name: value for name, value in told["headers"].items() if name not in mine}}


# ---------------------------------------------------------------- from acceptance to result


def test_a_call_is_accepted_while_it_still_runs_and_its_answer_is_fetched_later(actor: Server) -> None:
    answer = send(actor, "async/actor", {"s": 2, "tag": "later"})
    call = accepted(answer)
    assert answer.seconds < 1.5
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", call)
    shown = becomes(actor, call, "running")
    assert "finished" not in shown and "responseStatus" not in shown and shown["attempts"] <= 1
    early = result(actor, call)
    assert early.status == 409 and problem(early)["status"] == 409
    shown = ended(actor, call)
    assert (shown["status"], shown["function"], shown["responseStatus"]) == ("succeeded", "async/actor", 200)
    assert (shown["attempts"], shown["maxAttempts"], shown["revision"]) == (1, 3, 1)
    assert not {"problem", "notBefore", "schedule", "redriveOf", "redrivenAs"} & {k for k, v in shown.items() if v}
    times = [shown[name] for name in ("created", "started", "finished")]
    assert all(re.fullmatch(TIME, text) for text in times) and times == sorted(times), times
    assert moment(shown["finished"]) - moment(shown["started"]) >= 1.9
    answer = result(actor, call)
    assert answer.status == 200 and answer.json()["tag"] == "later"
    assert result(actor, call).body == answer.body, "as often as one asks"
    assert len(runs(actor, "async/actor", call)) == 1


def test_a_caller_waits_for_an_end_for_as_long_as_it_says(actor: Server) -> None:
    call = begin(actor, "async/actor", {"s": 2.5})
    at_once = ask(actor, f"/calls/{call}?wait=0")
    assert at_once.seconds < 1 and at_once.json()["status"] in ("queued", "running")
    short = ask(actor, f"/calls/{call}?wait=1")
    assert 0.9 < short.seconds < 2.2 and short.json()["status"] == "running"
    long = ask(actor, f"/calls/{call}?wait=20")
    assert long.json()["status"] == "succeeded" and long.seconds < 5, "it ends with the call"
    assert ask(actor, f"/calls/{call}?wait=20").seconds < 1, "it has ended already"
    call = begin(actor, "async/actor", {"s": 1})
    answer = result(actor, call, wait=20)
    assert answer.status == 200 and 0.5 < answer.seconds < 5
    call = begin(actor, "async/actor", {"s": 3})
    assert result(actor, call, wait=1).status == 409


@pytest.mark.parametrize("query", ["wait=61", "wait=-1", "wait=x", "wait=", "wait=1.5", "wait=1&wait=2"])
def test_a_time_to_wait_that_is_none_is_refused(actor: Server, query: str) -> None:
    call = begin(actor, "async/actor", {})
    for path in (f"/calls/{call}?{query}", f"/calls/{call}/result?{query}"):
        assert ask(actor, path).status == 400, path
    assert actor.api("GET", f"{calls_path('async/actor', call)}?{query}").status == 400


def test_a_function_of_the_other_signature_is_called_asynchronously_too(actor: Server) -> None:
    actor.deploy("async", "plain", handler("def handle(data):\n    return {'got': data}\n"))
    assert outcome(actor, begin(actor, "async/plain", {"a": [1, "ä"]})) == {"got": {"a": [1, "ä"]}}


def test_the_operators_view_and_result_are_the_callers(actor: Server) -> None:
    binary = bytes(range(256))
    answers = [
        {"statusCode": 201, "headers": {"Content-Type": "text/plain", "X-Own": "a"}, "body": "text: ä"},
        {"statusCode": 200, "body": base64.b64encode(binary).decode(), "isBase64Encoded": True},
    ]
    for given, body in zip(answers, ["text: ä".encode(), binary]):
        call = begin(actor, "async/actor", {"answer": given})
        shown = ended(actor, call)
        path = calls_path("async/actor", call)
        assert actor.api("GET", path).json() == shown == actor.api("GET", f"{path}?wait=1").json()
        told = actor.api("GET", f"{path}/result").json()
        assert (told["callId"], told["status"]) == (call, given["statusCode"])
        assert ("body" in told) != ("bodyBase64" in told)
        assert (told["body"].encode() if "body" in told else base64.b64decode(told["bodyBase64"])) == body
        if "headers" in given:
            fields = {(field["name"].lower(), field["value"]) for field in told["headers"]}
            assert {("x-own", "a"), ("content-type", "text/plain")} <= fields


# ---------------------------------------------------------------- what the function is given


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_the_function_sees_each_method_path_query_and_field_as_in_a_synchronous_call(
    actor: Server, method: str
) -> None:
    body = b"text=1" if method in ("POST", "PUT", "PATCH") else None
    fields = [("X-Mine", "kept"), ("Accept-Language", "sv"), ("Content-Type", "application/x-www-form-urlencoded")]
    path = "/a/b%20c?x=1&y=%C3%A4"
    call = accepted(send(actor, "async/echo", body, method, fields, path=path)) if method != "HEAD" else ""
    if method == "HEAD":
        answer = send(actor, "async/echo", body, method, fields, path=path)
        assert (answer.status, answer.body) == (202, b"")
        call = answer.call_id
    told = outcome(actor, call)
    assert (told["headers"]["casemate-attempt"], told["headers"]["x-request-id"]) == ("1", call)
    assert (told["httpMethod"], told["headers"]["x-mine"]) == (method, "kept")
    alike = actor.call("async/echo", method, path, body, fields)
    if method != "HEAD":
        assert echoed(told) == echoed(alike.json())
    assert [name for name in told["headers"] if name.startswith("casemate-")] == ["casemate-attempt"]


BODIES = {
    "empty": b"",
    "every byte": bytes(range(256)),
    "UTF-8": "schlüssel \u0000 ключ".encode(),
    "not UTF-8": b"\xff\xfe\x00abc",
    "a megabyte": os.urandom(1 << 20),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_the_function_gets_the_body_to_the_byte(actor: Server, body: bytes) -> None:
    fields = {"Content-Type": "application/octet-stream"}
    told = outcome(actor, begin(actor, "async/echo", body, headers=fields))
    encoded = told["isBase64Encoded"]
    assert (base64.b64decode(told["body"]) if encoded else (told["body"] or "").encode()) == body
    alike = actor.call("async/echo", "POST", body=body, headers=fields).json()
    assert (told["body"], encoded) == (alike["body"], alike["isBase64Encoded"])


@pytest.mark.parametrize(
    ("preferences", "status"),
    [
        (["respond-async, wait=10"], 202),
        (["wait=10", "respond-async"], 202),
        (["return=minimal", "handling=lenient, respond-async"], 202),
        (["Respond-Async"], 202),
        (["wait=10"], 200),
        (["respond-asynchronously"], 200),
        (['note="respond-async"'], 200),
    ],
)
def test_a_call_is_asynchronous_where_its_caller_prefers_just_that(
    actor: Server, preferences: list[str], status: int
) -> None:
    answer = actor.call("async/actor", "POST", body={}, headers=[("Prefer", text) for text in preferences])
    assert answer.status == status, answer.text
    if status == 202:
        assert ended(actor, accepted(answer))["status"] == "succeeded"
    else:
        assert answer.json()["attempt"] == 0 and "preference-applied" not in answer.headers
        assert ask(actor, f"/calls/{answer.call_id}").status == 404, "nobody can ask for a synchronous call"


# ---------------------------------------------------------------- what comes back


ANSWERS: dict[str, dict[str, Any]] = {
    "text": {"statusCode": 200, "headers": {"Content-Type": "text/plain; charset=utf-8"}, "body": "grüße\n"},
    "bytes": {
        "statusCode": 201,
        "headers": {"Content-Type": "image/png", "X-Own": "1", "ETag": '"a"', "Cache-Control": "no-store"},
        "body": base64.b64encode(bytes(range(256))).decode(),
        "isBase64Encoded": True,
    },
    "nothing": {"statusCode": 204, "headers": {"X-Own": "2"}},
    "a redirect": {"statusCode": 302, "headers": {"Location": "https://example.com/x"}, "body": ""},
    "a refusal of its own": {"statusCode": 404, "headers": {"Content-Type": "text/plain"}, "body": "no such thing"},
}


@pytest.mark.parametrize("given", ANSWERS.values(), ids=ANSWERS.keys())
def test_a_result_is_what_a_synchronous_caller_would_have_got(actor: Server, given: dict[str, Any]) -> None:
    call = begin(actor, "async/actor", {"answer": given})
    shown = ended(actor, call)
    answer, alike = result(actor, call), actor.call("async/actor", body={"answer": given})
    assert shown["status"] == ("succeeded" if given["statusCode"] < 400 else "failed")
    assert answer.status == alike.status == shown["responseStatus"] == given["statusCode"]
    assert answer.body == alike.body and own(answer) == own(alike)
    assert answer.call_id == call


def test_a_result_over_4_MiB_is_not_kept_and_the_call_has_succeeded_all_the_same(actor: Server) -> None:
    for size, kept in (((4 << 20) - 65536, True), ((4 << 20) + 1, False), (16 << 20, False)):
        call = begin(actor, "async/actor", {"size": size})
        shown = ended(actor, call)
        assert (shown["status"], shown["responseStatus"], shown["attempts"]) == ("succeeded", 200, 1), shown
        answer = result(actor, call)
        told = actor.api("GET", calls_path("async/actor", call, "result"))
        if kept:
            assert answer.status == 200 and answer.body == b"x" * size
            assert told.json()["body"] == "x" * size
        else:
            assert answer.status == told.status == 404, size


# ---------------------------------------------------------------- who may ask, and how


def test_a_caller_s_other_ids_and_malformed_ones_are_not_found(actor: Server) -> None:
    call = begin(actor, "async/actor", {})
    ended(actor, call)
    for wrong in (ABSENT, call[:-1], call + "0", "x", "1", "..", "%00", call.replace("-", ""), f"{call}/x", "a" * 300):
        for what in ("", "/result"):
            answer = ask(actor, f"/calls/{wrong}{what}")
            assert answer.status == 404 and problem(answer)["type"] == "/problems/not-found", f"{wrong}: {answer.text}"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_call_is_only_read_at_its_address(actor: Server, method: str) -> None:
    call = begin(actor, "async/actor", {})
    for what in ("", "/result"):
        assert ask(actor, f"/calls/{call}{what}", method=method).status == 405
    assert ended(actor, call)["status"] == "succeeded"


def test_a_call_without_a_credential_is_shown_to_whoever_has_its_id(actor: Server) -> None:
    deploy_actor(actor, "async/public", access="public")
    call = begin(actor, "async/public", {"tag": "anybody"}, key=None)
    assert outcome(actor, call, key=None)["tag"] == "anybody"
    stranger = account(actor, "async-elsewhere")
    known = begin(actor, "async/public", {}, key=stranger.key)
    assert ended(actor, known, key=stranger.key)["caller"] == stranger.subject
    assert ask(actor, f"/calls/{known}", key=None).status in (401, 404), "this one has a caller"


def test_a_call_without_a_credential_is_shown_to_whoever_has_its_id_and_some_credential(actor: Server) -> None:
    deploy_actor(actor, "async/public", access="public")
    call = begin(actor, "async/public", {"tag": "anybody"}, key=None)
    assert outcome(actor, call, key=account(actor, "async-elsewhere").key)["tag"] == "anybody"


def test_who_reads_the_logs_of_a_function_reads_its_calls(actor: Server) -> None:
    caller = account(actor, "async", ("function:invoke", "async/actor"))
    reader = account(actor, "async", ("logs:read", "async/actor"))
    call = begin(actor, "async/actor", {"tag": "mine"}, key=caller.key)
    assert outcome(actor, call, key=caller.key)["tag"] == "mine"
    assert view(actor, call, key=reader.key)["caller"] == caller.subject
    assert result(actor, call, key=reader.key).json()["tag"] == "mine"
    assert reader.api("GET", calls_path("async/actor", call)).status == 200
    assert reader.api("GET", calls_path("async/actor", call, "result")).json()["status"] == 200
    assert caller.api("GET", calls_path("async/actor", call)).status in (403, 404), "that takes logs:read"


def test_a_function_token_makes_calls_and_reads_them(actor: Server) -> None:
    token, other = actor.token("async/actor")["token"], actor.token("async/actor")["token"]
    call = begin(actor, "async/actor", {"tag": "by token"}, token=token)
    assert outcome(actor, call, token=token)["tag"] == "by token"
    assert ask(actor, f"/calls/{call}", token=other).status == 404, "another token is another caller"


def test_a_hundred_calls_at_once_all_end_and_each_has_its_own_answer(actor: Server) -> None:
    begun = time.monotonic()
    calls = {begin(actor, "async/actor", {"tag": number}): number for number in range(100)}
    told = {call: outcome(actor, call, 60) for call in calls}
    assert {call: one["tag"] for call, one in told.items()} == calls
    assert len({one["run"] for one in told.values()}) == 100
    assert time.monotonic() - begun < 60
    assert json.loads(result(actor, next(iter(calls))).body)["attempt"] == 1
