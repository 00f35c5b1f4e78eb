"""Asynchronous calls under attack: what is refused leaves nothing, ids of others lead nowhere, and time gives nobody rights."""

from __future__ import annotations

import itertools
import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from accounts import Account, account
from async_calls import (
    ABSENT,
    ECHO,
    QUICK,
    ask,
    becomes,
    begin,
    calls_path,
    deploy_actor,
    ended,
    held,
    ids,
    listed,
    metric,
    operate,
    outcome,
    page,
    redriven,
    refusal,
    result,
    runs,
    send,
    view,
)
from casemate_fixture import Answer, Server, problem, wait_until
from places import connect_from, place

FUNCTION = "async-mine/actor"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def attacked(running: Server) -> Server:
    for function in (FUNCTION, "async-mine/other", "async-yours/actor"):
        deploy_actor(running, function)
    running.deploy("async-mine", "echo", ECHO, {"signature": "scaleway", "async": QUICK})
    return running


def new() -> str:
    return f"key-{next(_numbers)}"


# ---------------------------------------------------------------- refused before acceptance


def refused(server: Server) -> dict[str, Callable[..., Answer]]:
    """Calls that are refused; each takes the fields that make it asynchronous, or none."""
    token = server.token("async-mine/other")["token"]
    guest = account(server, "async-yours", ("function:invoke", "async-yours"))
    nobody = account(server, "async-mine")
    server.deploy("async-mine", "rated", ECHO, {"signature": "scaleway", "rate": {"function": "1/h"}})
    server.call("async-mine/rated", body={})
    return {
        "nobody": lambda **more: server.call(FUNCTION, body={}, key=None, **more),
        "a wrong key": lambda **more: server.http(
            server.gateway_url, "POST", f"/f/{FUNCTION}", b"{}",
            [("Authorization", f"Bearer {uuid.uuid4()}"), *more.get("headers", ())], connect=connect_from(place()),
        ),
        "another function's token": lambda **more: server.call(FUNCTION, body={}, token=token, **more),
        "another tenant": lambda **more: server.call(FUNCTION, body={}, key=guest.key, **more),
        "no right to call": lambda **more: server.call(FUNCTION, body={}, key=nobody.key, **more),
        "no such function": lambda **more: server.call("async-mine/absent", body={}, **more),
        "no such namespace": lambda **more: server.call("async-absent/actor", body={}, **more),
        "too much": lambda **more: server.call(FUNCTION, "POST", body=b"x" * (9 << 20), **more),
        "too much in parts": lambda **more: server.call(FUNCTION, "POST", body=parts(9), **more),
        "100 MB": lambda **more: server.call(FUNCTION, "POST", body=b"x" * (100 << 20), **more),
        "too long an address": lambda **more: server.call(FUNCTION, "POST", "/?" + "x" * 20_000, body={}, **more),
        "too often": lambda **more: server.call("async-mine/rated", body={}, **more),
        "two credentials": lambda **more: server.call(
            FUNCTION, body={}, token=token, headers=[("X-Auth-Token", "cmt_other"), *more.get("headers", ())]
        ),
    }  # fmt: skip


def parts(megabytes: int) -> Iterator[bytes]:
    for _ in range(megabytes * 4):
        yield b"x" * (1 << 18)


def everywhere(server: Server) -> int:
    return sum(len(listed(server, namespace)) for namespace in ("async-mine", "async-yours"))


@pytest.mark.guarantee("SCW-15")
def test_what_is_refused_is_refused_as_a_synchronous_call_is_and_leaves_nothing_in_the_queue(attacked: Server) -> None:
    before, ran = everywhere(attacked), len(attacked.messages(FUNCTION))
    answers = refused(attacked)
    statuses = set()
    for what, attempt in answers.items():
        alike, answer = refusal(attempt()), refusal(attempt(headers=[("Prefer", "respond-async")]))
        assert answer == alike, what
        statuses.add(answer[0])
    assert {401, 404, 413, 429} <= statuses <= {400, 401, 403, 404, 413, 414, 429}
    time.sleep(0.3)
    assert everywhere(attacked) == before and len(attacked.messages(FUNCTION)) == ran
    attacked.assert_serving()


def test_a_call_whose_body_never_comes_is_not_accepted(attacked: Server) -> None:
    before = everywhere(attacked)
    fields = [("Authorization", f"Bearer {attacked.key}"), ("Prefer", "respond-async"), ("Content-Length", "1000")]
    with pytest.raises(OSError):
        attacked.http(attacked.gateway_url, "POST", f"/f/{FUNCTION}", b"half of it", fields, timeout=2)
    time.sleep(0.3)
    assert everywhere(attacked) == before


# ---------------------------------------------------------------- ids of others


@pytest.fixture(scope="module")
def theirs(attacked: Server) -> Iterator[dict[str, str]]:
    """Calls of somebody else: one that has ended, one that is dead, one that runs and one that waits."""
    owner = account(attacked, "async-mine", ("function:invoke", FUNCTION))
    calls = {
        "ended": begin(attacked, FUNCTION, {"tag": "theirs"}, key=owner.key),
        "dead": begin(attacked, FUNCTION, {"fails": 9}, key=owner.key),
    }
    for call in calls.values():
        ended(attacked, call, key=owner.key)
    key = new()
    with held(attacked, FUNCTION, key, key=owner.key) as holder:
        waits = begin(attacked, FUNCTION, {}, headers={"Casemate-Key": key}, key=owner.key)
        yield {**calls, "running": holder, "queued": waits, "owner": owner.key}


def strangers(server: Server) -> dict[str, dict[str, Any]]:
    """Who may not know of those calls, each by the credential that it shows."""
    accounts: dict[str, Account] = {
        "another tenant's administrator": account(server, "async-yours", ("admin", "async-yours")),
        "another caller of the function": account(server, "async-mine", ("function:invoke", FUNCTION)),
        "a caller of another function": account(server, "async-mine", ("function:invoke", "async-mine/other")),
        "an account without rights": account(server, "async-mine"),
    }
    who: dict[str, dict[str, Any]] = {name: {"key": one.key} for name, one in accounts.items()}
    who["another function's token"] = {"token": server.token("async-mine/other")["token"]}
    who["a token of this function"] = {"token": server.token(FUNCTION)["token"]}
    who["nobody"] = {"key": None}
    return who


@pytest.mark.case("A17")
@pytest.mark.parametrize("state", ["ended", "dead", "running", "queued"])
def test_A17_a_call_of_somebody_else_is_to_the_gateway_as_one_that_is_not_there(
    attacked: Server, theirs: dict[str, str], state: str
) -> None:
    call = theirs[state]
    for name, who in strangers(attacked).items():
        for what in ("", "?wait=1", "/result", "/result?wait=1"):
            begun = time.monotonic()
            there = ask(attacked, f"/calls/{call}{what}", **who)
            assert time.monotonic() - begun < 0.9, "it waits for what it may not see"
            absent = ask(attacked, f"/calls/{ABSENT}{what}", **who)
            assert there.status in ((401, 404) if name == "nobody" else (404,)), f"{name}: {there.text}"
            assert str(refusal(there)).replace(call, ABSENT) == str(refusal(absent)), name
        for method in ("POST", "DELETE"):
            there, absent = (ask(attacked, f"/calls/{one}", method=method, **who) for one in (call, ABSENT))
            assert str(refusal(there)).replace(call, ABSENT) == str(refusal(absent)), f"{name} {method}"
    assert view(attacked, call, key=theirs["owner"])["callId"] == call, "it is there"


@pytest.mark.case("A17")
@pytest.mark.parametrize("state", ["ended", "dead", "running", "queued"])
def test_A17_a_call_of_somebody_else_is_to_the_api_as_one_that_is_not_there(
    attacked: Server, theirs: dict[str, str], state: str
) -> None:
    call, before = theirs[state], view(attacked, theirs[state])
    mine = account(attacked, "async-yours", ("admin", "async-yours"))
    narrow = account(attacked, "async-mine", ("admin", "async-mine"))
    operations = [("GET", ""), ("GET", "result"), ("POST", "cancel"), ("POST", "redrive")]
    # By way of its own address, of a function of one's own, and of another of that namespace.
    places: list[tuple[str, Account]] = [
        (FUNCTION, mine),
        ("async-yours/actor", mine),
        ("async-yours/absent", mine),
        ("async-mine/other", narrow),
    ]
    for (function, who), (method, what) in itertools.product(places, operations):
        there, absent = (who.api(method, calls_path(function, one, what)) for one in (call, ABSENT))
        assert there.status == 404, f"{who.namespace} {function} {what}: {there.text}"
        assert str(refusal(there)).replace(call, ABSENT) == str(refusal(absent)), (function, what)
        assert there.text.count("theirs") == 0
    for scope in (FUNCTION, "async-mine"):
        assert page(attacked, scope, mine.key).status == 404
    assert call not in ids(listed(attacked, "async-yours", mine.key))
    assert operate(attacked, FUNCTION, "", "redrive", mine.key).status == 404
    assert view(attacked, call) == before


def test_an_idempotency_key_tells_nothing_of_others_calls(attacked: Server) -> None:
    key = {"Idempotency-Key": new()}
    owner, other = (account(attacked, "async-mine", ("function:invoke", FUNCTION)) for _ in range(2))
    first = begin(attacked, FUNCTION, {"tag": "first"}, headers=key, key=owner.key)
    second = begin(attacked, FUNCTION, {"tag": "second"}, headers=key, key=other.key)
    assert first != second
    assert outcome(attacked, second, key=other.key)["tag"] == "second"
    token = attacked.token("async-mine/other")["token"]
    answer = send(attacked, FUNCTION, {"tag": "first"}, headers=key, token=token)
    assert answer.status in (403, 404) and first not in answer.text, "it may not call, with any key"


# ---------------------------------------------------------------- what reaches the function


@pytest.mark.case("A18")
@pytest.mark.guarantee("KYM-4", "SCW-17")
def test_A18_neither_the_credential_nor_a_forged_field_reaches_the_function_in_any_attempt(attacked: Server) -> None:
    token = attacked.token("async-mine/echo")["token"]
    forged = [
        ("Casemate-Attempt", "7"),
        ("casemate-attempt", "8"),
        ("Casemate-Call-Id", ABSENT),
        ("Casemate-Session", "cms_forged"),
        ("Casemate-Caller", "async-yours/actor"),
        ("Casemate-Dead-Letter", "1"),
        ("Casemate_Attempt", "9"),
        ("X-Casemate-Attempt", "9"),
        ("X-Request-Id", ABSENT),
        ("X-Forwarded-For", "203.0.113.9"),
    ]
    for who in ({"token": token}, {"key": attacked.key}):
        call = begin(attacked, "async-mine/echo", {}, headers=forged, **who)
        told = outcome(attacked, call, **who)
        given = told["headers"]
        assert (given["casemate-attempt"], given["x-request-id"]) == ("1", call)
        left = [name for name in given if "casemate" in name and name != "casemate-attempt"]
        assert left == [] and "forged" not in json.dumps(told) and ABSENT not in json.dumps(told)
        assert given["x-forwarded-for"] == "127.0.0.1"
        assert not {"authorization", "x-auth-token"} & set(given)
        assert token not in json.dumps(told) and attacked.key not in json.dumps(told)
    alike = attacked.call("async-mine/echo", "POST", body={}, headers=forged)
    assert not [name for name in alike.json()["headers"] if "attempt" in name], "a synchronous call has none"


# ---------------------------------------------------------------- nobody's calls


def test_nobody_has_no_idempotency_key_and_nothing_of_what_somebody_redrives(attacked: Server) -> None:
    deploy_actor(attacked, "async-mine/open", access="public")
    answer = send(attacked, "async-mine/open", {}, headers={"Idempotency-Key": "guessed"}, key=None)
    assert answer.status == 400 and "credential" in problem(answer)["detail"], answer.text
    dead = begin(attacked, "async-mine/open", {"fails": 3}, key=None)
    assert ended(attacked, dead, key=None)["status"] == "dead"
    stranger = account(attacked, "async-mine", ("function:invoke", "async-mine/open"))
    ((_, new_id),) = redriven(operate(attacked, "async-mine/open", dead, "redrive", key=stranger.key))
    ended(attacked, new_id)
    for key in (None, stranger.key):
        for what in ("", "/result"):
            assert ask(attacked, f"/calls/{new_id}{what}", key=key).status == 404


@pytest.mark.parametrize("states", ["dead,dead", ",".join(["succeeded"] * 500)])
def test_a_state_is_asked_for_once(attacked: Server, states: str) -> None:
    assert page(attacked, "async-mine", state=states).status == 400


# ---------------------------------------------------------------- a function that goes


def test_a_call_that_runs_when_its_function_is_deleted_holds_no_worker(attacked: Server) -> None:
    before = metric(attacked, "casemate_queue_running")
    deploy_actor(attacked, "async-mine/long")
    becomes(attacked, begin(attacked, "async-mine/long", {"s": 50}), "running")
    assert metric(attacked, "casemate_queue_running") == before + 1
    assert attacked.cli("function", "delete", "async-mine/long")[0] == 0
    assert wait_until(lambda: metric(attacked, "casemate_queue_running") == before, 5)


def test_calls_of_a_function_that_was_deleted_never_run_in_a_later_one_of_its_name(attacked: Server) -> None:
    before = metric(attacked, "casemate_queue_running")
    deploy_actor(attacked, "async-mine/reborn")
    caller = account(attacked, "async-mine", ("function:invoke", "async-mine"))
    key, same = new(), {"Idempotency-Key": new()}
    done = begin(attacked, "async-mine/reborn", {"tag": "done"}, headers=same, key=caller.key)
    ended(attacked, done)
    holder = begin(attacked, "async-mine/reborn", {"s": 4}, headers={"Casemate-Key": key}, key=caller.key)
    order = {"tag": "of the first"}
    waits = [
        begin(attacked, "async-mine/reborn", order, headers={"Casemate-Key": key}, key=caller.key) for _ in range(3)
    ]
    assert attacked.cli("function", "delete", "async-mine/reborn")[0] == 0
    for call in (done, holder, *waits):
        answer = ask(attacked, f"/calls/{call}", key=caller.key)
        assert answer.status == 404 or answer.json()["status"] in ("cancelled", "dead", "succeeded"), answer.text
    deploy_actor(attacked, "async-mine/reborn")
    ours = begin(attacked, "async-mine/reborn", {"tag": "of the second"}, headers=same, key=caller.key)
    assert ours != done, "an idempotency key of the first one's is free again"
    assert outcome(attacked, ours, key=caller.key)["tag"] == "of the second"
    time.sleep(5)
    assert [run["tag"] for run in runs(attacked, "async-mine/reborn")] == ["of the second"]
    assert ids(listed(attacked, "async-mine/reborn")) == [ours]
    for call in (done, *waits):
        for who in (caller.key, attacked.key):
            for what in ("", "/result"):
                answer = ask(attacked, f"/calls/{call}{what}", key=who)
                assert answer.status == 404 or answer.json().get("status") in ("cancelled", "dead"), answer.text
        assert operate(attacked, "async-mine/reborn", call, "redrive").status == 404
    assert wait_until(lambda: metric(attacked, "casemate_queue_running") <= before, 10), "its place is free again"


def test_a_namespace_with_calls_in_the_queue_goes_with_them(attacked: Server) -> None:
    deploy_actor(attacked, "async-gone/actor")
    with held(attacked, "async-gone/actor", "k", 5):
        waits = begin(attacked, "async-gone/actor", {}, headers={"Casemate-Key": "k"})
        assert attacked.cli("function", "delete", "async-gone/actor")[0] == 0
    assert attacked.api("DELETE", "/v1/namespaces/async-gone").status == 204
    attacked.namespaces.discard("async-gone")
    assert ask(attacked, f"/calls/{waits}").status == 404
    gone = page(attacked, "async-gone")
    assert gone.status == 404 and problem(gone)["type"] == "/problems/not-found"
    deploy_actor(attacked, "async-gone/actor")
    assert listed(attacked, "async-gone") == []


def test_who_lost_the_right_to_call_does_not_get_results_of_others_by_redriving(attacked: Server) -> None:
    owner = account(attacked, "async-mine", ("function:invoke", FUNCTION))
    call = begin(attacked, FUNCTION, {"fails": 9}, key=owner.key)
    assert ended(attacked, call)["status"] == "dead"
    other = account(attacked, "async-mine", ("function:invoke", FUNCTION))
    answer = operate(attacked, FUNCTION, call, "redrive", other.key)
    if answer.status == 202:
        redriven = answer.json()["calls"][0]["callId"]
        assert view(attacked, redriven)["caller"] == owner.subject
        assert ask(attacked, f"/calls/{redriven}", key=other.key).status == 404
        assert result(attacked, redriven, key=other.key).status == 404
    else:
        assert answer.status == 404
