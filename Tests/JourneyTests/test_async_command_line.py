"""Asynchronous calls on the command line: what is printed, and the exit codes that scripts go by."""

from __future__ import annotations

import json
import re

import pytest
from accounts import account
from async_calls import ABSENT, becomes, deploy_actor, ended, held, ids, listed, runs, view
from casemate_fixture import Server

FUNCTION = "line/actor"
ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def line(running: Server) -> Server:
    deploy_actor(running, FUNCTION, {"maxAttempts": 2, "backoff": "100ms", "maxBackoff": "100ms"})
    return running


def invoke(server: Server, order: dict[str, object], *options: str) -> str:
    code, out, err = server.cli("invoke", FUNCTION, "--async", "--data", json.dumps(order), *options)
    assert code == 0, err
    assert re.fullmatch(ID + "\n", out), f"a script takes it as it is: {out!r}"
    return out.strip()


def test_a_call_from_its_making_to_its_result(line: Server) -> None:
    call = invoke(line, {"tag": "typed", "s": 3})
    code, out, _ = line.cli("call", "show", FUNCTION, call)
    assert code == 3 and call in out, "it has not ended"
    assert line.cli("call", "result", FUNCTION, call)[0] != 0
    code, out, err = line.cli("call", "show", FUNCTION, call, "--wait", "20")
    assert code == 0 and "succeeded" in out, out + err
    code, out, err = line.cli("call", "result", FUNCTION, call)
    assert code == 0 and json.loads(out)["tag"] == "typed", err
    shown = json.loads(line.cli("call", "show", FUNCTION, call, "--json")[1])
    assert shown == view(line, call)


def test_show_exits_1_for_what_ended_in_vain_and_3_for_what_has_not_ended_in_the_time_it_waits(line: Server) -> None:
    dead = invoke(line, {"fails": 99, "way": "raise"})
    code, out, err = line.cli("call", "show", FUNCTION, dead, "--wait", "20")
    assert code == 1 and "dead" in out, out + err
    refused = invoke(line, {"fails": 99, "status": 404})
    code, out, _ = line.cli("call", "show", FUNCTION, refused, "--wait", "20", "--json")
    assert code == 1 and json.loads(out)["status"] == "failed"
    slow = invoke(line, {"s": 20})
    code, out, _ = line.cli("call", "show", FUNCTION, slow, "--wait", "1", "--json")
    assert code == 3 and json.loads(out)["status"] == "running"
    code, out, err = line.cli("call", "cancel", FUNCTION, slow)
    assert code == 0 and "cancelled" in out + err
    assert line.cli("call", "show", FUNCTION, slow)[0] == 1
    assert line.cli("call", "cancel", FUNCTION, slow)[0] not in (0, 3), "it has ended"


def test_result_waits_where_it_is_told_to(line: Server) -> None:
    call = invoke(line, {"tag": "waited for", "s": 1.5})
    code, out, err = line.cli("call", "result", FUNCTION, call, "--wait", "20")
    assert code == 0 and json.loads(out)["tag"] == "waited for", err
    large = invoke(line, {"answer": {"statusCode": 200, "body": "AAH/", "isBase64Encoded": True}})
    ended(line, large)
    # The fixture decodes what is printed.
    assert line.cli("call", "result", FUNCTION, large)[1] == "\x00\x01\ufffd"


def test_the_keys_of_the_command_line_are_those_of_the_fields(line: Server) -> None:
    with held(line, FUNCTION, "k"):
        call = invoke(line, {"tag": "keyed"}, "--key", "k")
        assert line.cli("call", "show", FUNCTION, call, "--wait", "1")[0] == 3
    assert ended(line, call)["status"] == "succeeded"
    same = [invoke(line, {"tag": "same"}, "--idempotency-key", "i-1") for _ in range(2)]
    assert same[0] == same[1] and ended(line, same[0])["status"] == "succeeded"
    assert len(runs(line, FUNCTION, same[0])) == 1
    code, out, err = line.cli("invoke", FUNCTION, "--async", "--data", "{}", "--idempotency-key", "i-1")
    assert code == 2 and out == "" and err


def test_list_shows_what_it_is_asked_for(line: Server) -> None:
    call = invoke(line, {"fails": 99})
    assert ended(line, call)["status"] == "dead"
    deploy_actor(line, "line/second")
    for scope in ("line", FUNCTION):
        code, out, err = line.cli("call", "list", scope, "--state", "dead", "--limit", "1")
        assert code == 0 and call in out and "dead" in out, out + err
    told = json.loads(line.cli("call", "list", FUNCTION, "--json", "--limit", "1000")[1])
    assert ids(told["calls"]) == ids(listed(line, FUNCTION))
    told = json.loads(line.cli("call", "list", FUNCTION, "--state", "dead,failed", "--json")[1])
    assert told["calls"] and {one["status"] for one in told["calls"]} <= {"dead", "failed"}
    first = json.loads(line.cli("call", "list", FUNCTION, "--limit", "2", "--json")[1])
    rest = json.loads(
        line.cli("call", "list", FUNCTION, "--limit", "1000", "--cursor", first["nextCursor"], "--json")[1]
    )
    assert ids(first["calls"] + rest["calls"]) == ids(listed(line, FUNCTION))
    created = told["calls"][0]["created"]
    before = json.loads(line.cli("call", "list", FUNCTION, "--until", created, "--json")[1])["calls"]
    after = json.loads(line.cli("call", "list", FUNCTION, "--since", created, "--json")[1])["calls"]
    assert all(one["created"] <= created for one in before) and all(one["created"] >= created for one in after)
    assert call in ids(before + after)
    code, out, _ = line.cli("call", "list", "line/second", "--json")
    assert code == 0 and json.loads(out)["calls"] == []


def test_redrive_of_one_and_of_all(line: Server) -> None:
    deploy_actor(line, "line/again", {"maxAttempts": 2, "backoff": "100ms", "maxBackoff": "100ms"})
    dead = []
    for number in range(3):
        order = json.dumps({"fails": 99, "tag": number})
        dead.append(line.cli("invoke", "line/again", "--async", "--data", order)[1].strip())
    assert [ended(line, call)["status"] for call in dead] == ["dead"] * 3
    code, out, err = line.cli("call", "redrive", "line/again", dead[0])
    assert code == 0, err
    new = view(line, dead[0])["redrivenAs"]
    assert new in out and view(line, new)["redriveOf"] == dead[0]
    assert ended(line, new)["status"] == "dead", "it fails again"
    code, out, err = line.cli("call", "redrive", "line/again", "--all")
    assert code == 0, err
    redriven = [view(line, call)["redrivenAs"] for call in (*dead[1:], new)]
    assert all(call in out for call in redriven) and len(set(redriven)) == 3
    for call in redriven:
        ended(line, call)


@pytest.mark.parametrize("what", ["show", "result", "cancel", "redrive"])
def test_a_call_that_is_not_there_is_refused(line: Server, what: str) -> None:
    for call in (ABSENT, "not-an-id"):
        code, out, err = line.cli("call", what, FUNCTION, call)
        assert code not in (0, 3) and out == "" and err, out
    code, _, err = line.cli("call", what, "line/absent", ABSENT)
    assert code not in (0, 3) and err


def test_wrong_usage_says_so(line: Server) -> None:
    for wrong in (
        ["call", "list", FUNCTION, "--state", "resting"],
        ["call", "list", FUNCTION, "--limit", "0"],
        ["call", "show", FUNCTION, ABSENT, "--wait", "61"],
        ["call", "redrive", FUNCTION],
        ["call", "redrive", FUNCTION, ABSENT, "--all"],
        ["call", "show", FUNCTION],
        ["invoke", FUNCTION, "--key", "k"],
    ):
        code, out, err = line.cli(*wrong)
        assert code not in (0, 3) and out == "" and err, wrong


def test_who_may_only_call_sees_no_list(line: Server) -> None:
    caller = account(line, "line", ("function:invoke", FUNCTION))
    code, out, _ = caller.cli("call", "list", FUNCTION)
    assert code != 0 and out == ""
    code, out, err = caller.cli("invoke", FUNCTION, "--async", "--data", "{}")
    assert code == 0 and re.fullmatch(ID + "\n", out), err
    assert becomes(line, out.strip(), "succeeded")["caller"] == caller.subject
