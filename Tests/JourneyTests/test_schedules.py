"""Schedules: functions that are called at their times, as the schedule's own, each time once."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import pytest
from accounts import account
from async_calls import ECHO, ended, listed, result
from casemate_fixture import Answer, Server, problem, wait_until

KEYS = {"signature": "scaleway", "limits": {"timeout": "20s"}}


@pytest.fixture(scope="module")
def clock(running: Server) -> Server:
    running.deploy("clock", "echo", ECHO, KEYS)
    return running


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """One that tests stop, kill and start again."""
    with Server(options=("--pool-size", "2")) as server:
        server.deploy("clock", "echo", ECHO, KEYS)
        yield server


def path(*parts: str, function: str = "echo") -> str:
    return "/".join((f"/v1/namespaces/clock/functions/{function}/schedules", *parts))


def create(server: Server, name: str, cron: str = "@yearly", key: str | None = "", **more: Any) -> Answer:
    return server.api("POST", path(), {"name": name, "cron": cron, **more}, key=key)


def history(server: Server, name: str) -> list[dict[str, Any]]:
    fires: list[dict[str, Any]] = server.api("GET", path(name, "history")).json()["fires"]
    return fires


def run_now(server: Server, name: str) -> Any:
    answer = server.api("POST", path(name, "run"))
    assert answer.status == 202, answer.text
    call = answer.json()["callId"]
    assert ended(server, call)["status"] == "succeeded"
    return result(server, call).json()


# ---------------------------------------------------------------- what it is


def test_a_schedule_is_made_shown_and_removed(clock: Server) -> None:
    made = create(
        clock, "first", "0 6 * * 1-5", timezone="Europe/Berlin", input={"days": 1}, jitterSeconds=5, missed="once"
    )
    assert made.status == 201, made.text
    shown = made.json()
    assert shown["next"].endswith(":00:00.000Z") and shown["origin"] == "api" and shown["paused"] is False
    assert clock.api("GET", path("first")).json() == shown == clock.api("GET", path(shown["id"])).json()
    assert shown in clock.api("GET", path()).json()["schedules"]
    assert "input" not in shown, "what it sends is not shown to whoever may only see the function"
    again = create(clock, "first")
    assert again.status == 409, again.text
    assert clock.api("DELETE", path("first")).status == 204
    assert clock.api("GET", path("first")).status == 404


@pytest.mark.case("I3")
@pytest.mark.parametrize(
    "cron",
    [
        "* * * * * *",
        "0 0 31 2 *",
        "*/0 * * * *",
        "60 * * * *",
        "0-99999999999999999999 * * * *",
        "@reboot",
        "",
        "a b c d e",
        "* * * *",
    ],
)
def test_I3_an_expression_that_is_none_or_never_comes_is_refused(clock: Server, cron: str) -> None:
    answer = create(clock, "wrong", cron)
    assert answer.status == 422 and problem(answer)["type"] == "/problems/invalid-schedule", answer.text
    assert clock.api("GET", path("wrong")).status == 404
    code, _, err = clock.cli("schedule", "next", cron)
    assert code == 2 and problem(answer)["detail"] in err


@pytest.mark.case("I3")
@pytest.mark.parametrize(
    "more",
    [
        {"timezone": "Mars/Olympus"},
        {"timezone": "EST"},
        {"timezone": "GMT+3"},
        {"timezone": "../../etc/passwd"},
        {"missed": "all"},
        {"jitterSeconds": 3601},
        {"jitterSeconds": -1},
    ],
)
def test_I3_a_part_of_a_schedule_that_is_none_is_refused(clock: Server, more: dict[str, Any]) -> None:
    assert create(clock, "wrong", **more).status == 422
    assert create(clock, "wrong", unknown=1).status == 400


def test_times_are_shown_without_a_server(clock: Server) -> None:
    code, out, _ = clock.cli(
        "schedule",
        "next",
        "30 2 * * *",
        "--timezone",
        "Europe/Berlin",
        "--from",
        "2026-03-27T00:00:00Z",
        "--count",
        "4",
    )
    assert code == 0
    # On the 29th clocks go from 02:00 to 03:00: the first moment after the gap.
    assert out.split() == [
        "2026-03-27T01:30:00Z",
        "2026-03-28T01:30:00Z",
        "2026-03-29T01:00:00Z",
        "2026-03-30T00:30:00Z",
    ]


# ---------------------------------------------------------------- as whom


@pytest.mark.guarantee("SCW-16")
def test_SCW_16_a_private_function_is_called_by_its_schedule_without_a_token(clock: Server) -> None:
    assert clock.call("clock/echo", key=None).status == 401
    made = create(clock, "input", input={"days": [1, 2.5, None, "é"]}).json()
    told = run_now(clock, "input")
    assert told["httpMethod"] == "POST" and json.loads(told["body"]) == {"days": [1, 2.5, None, "é"]}
    assert told["headers"]["casemate-schedule"] == made["id"] and "authorization" not in told["headers"]
    (call,) = [one for one in listed(clock, "clock/echo") if one["caller"] == f"schedule:{made['id']}"]
    assert call["status"] == "succeeded"


@pytest.mark.guarantee("SCW-16")
def test_SCW_16_nobody_outside_passes_for_a_schedule(clock: Server) -> None:
    made = create(clock, "forged").json()
    forged = [("Casemate-Schedule", made["id"]), ("Casemate-Scheduled-Time", "2026-01-01T00:00:00.000Z")]
    assert clock.call("clock/echo", "POST", headers=forged, key=None).status == 401
    told = clock.call("clock/echo", "POST", headers=forged).json()
    assert not [name for name in told["headers"] if name.startswith("casemate-schedule")]


def test_it_takes_the_right_to_write_schedules_and_to_call(clock: Server) -> None:
    writer = account(clock, "clock", ("schedule:write", "clock/echo"))
    answer = create(clock, "mine", key=writer.key)
    assert answer.status == 403 and "function:invoke" in problem(answer)["detail"]
    caller = account(clock, "clock", ("function:invoke", "clock/echo"))
    assert create(clock, "mine", key=caller.key).status == 403
    both = account(clock, "clock", ("schedule:write", "clock/echo"), ("function:invoke", "clock/echo"))
    assert create(clock, "mine", key=both.key).status == 201
    stranger = account(clock, "elsewhere", ("admin", "elsewhere"))
    for method, what in (("GET", ""), ("POST", "pause"), ("POST", "run"), ("GET", "history"), ("DELETE", "")):
        assert clock.api(method, path(*["mine", what][: 2 if what else 1]), key=stranger.key).status == 404


@pytest.mark.guarantee("COG-22")
def test_COG_22_a_schedule_runs_for_the_account_whose_secret_was_shown_while_that_may_call(clock: Server) -> None:
    runner = account(clock, "clock")
    granted = runner.grant("function:invoke", "clock/echo")
    body = {"clientId": runner.client_id, "clientSecret": runner.client_secret}
    session = clock.api("POST", "/v1/sessions", body).json()
    schedule = create(clock, "for-runner", nonce=session["nonce"])
    assert schedule.status == 201 and schedule.json()["account"], schedule.text
    assert create(clock, "twice", nonce=session["nonce"]).status == 401, "a nonce counts once"
    run_now(clock, "for-runner")
    assert clock.api("DELETE", granted).status == 204
    assert clock.api("POST", path("for-runner", "run")).status == 403


@pytest.mark.guarantee("COG-22")
def test_COG_22_a_key_of_an_account_is_not_its_secret(clock: Server) -> None:
    rights = (("schedule:write", "clock/echo"), ("function:invoke", "clock/echo"))
    holder = account(clock, "clock", *rights)
    session = holder.api("POST", "/v1/sessions", {}).json()
    answer = create(clock, "outlives", key=holder.key, nonce=session["nonce"])
    assert answer.status == 422 and "client id and secret" in problem(answer)["detail"], answer.text
    assert clock.api("GET", path("outlives")).status == 404


def test_what_a_manifest_s_schedule_sends_is_not_in_a_diff(clock: Server) -> None:
    def triggers(text: str) -> dict[str, Any]:
        return {**KEYS, "triggers": [{"name": "one", "cron": "@daily", "input": {"text": text}}]}

    clock.deploy("clock", "differs", ECHO, triggers("unmistakable-1"))
    clock.deploy("clock", "differs", ECHO, triggers("unmistakable-2"))
    diff = clock.api("GET", "/v1/namespaces/clock/functions/differs/diff?from=1&to=2")
    assert diff.status == 200 and "unmistakable" not in diff.text
    assert [change["path"] for change in diff.json()["changes"]] == ["schedules.one.input"]


# ---------------------------------------------------------------- a manifest's


def test_the_triggers_of_a_manifest_are_schedules_that_a_deployment_sees_to(clock: Server) -> None:
    def names() -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in clock.api("GET", path(function="from")).json()["schedules"]}

    triggers: list[dict[str, Any]] = [
        {"name": "morning", "cron": "0 6 * * 1-5", "timezone": "Europe/Berlin", "input": {"a": [1, "x"]}},
        {"cron": "@hourly"},
    ]
    clock.deploy("clock", "from", ECHO, {**KEYS, "triggers": triggers})
    first = names()
    assert set(first) == {"morning", "cron-2"} and {one["origin"] for one in first.values()} == {"manifest"}
    answer = clock.api("DELETE", path("morning", function="from"))
    assert answer.status == 409 and "manifest" in problem(answer)["detail"]
    assert clock.api("POST", path("morning", "pause", function="from")).json()["paused"] is True
    call = clock.api("POST", path("morning", "run", function="from")).json()["callId"]
    assert ended(clock, call)["status"] == "succeeded"
    assert json.loads(result(clock, call).json()["body"]) == {"a": [1, "x"]}
    triggers[0]["cron"] = "0 7 * * *"
    clock.deploy("clock", "from", ECHO, {**KEYS, "triggers": triggers[:1]})
    now = names()
    assert set(now) == {"morning"} and now["morning"]["cron"] == "0 7 * * *"
    assert now["morning"]["id"] == first["morning"]["id"] and now["morning"]["paused"] is True, "it stays what it was"
    clock.deploy("clock", "from", ECHO, KEYS)
    assert names() == {}


@pytest.mark.parametrize(
    "trigger,said",
    [
        ({"cron": "* * * * * *"}, "five fields"),
        ({"cron": "0 0 31 2 *"}, ""),
        ({"cron": "@daily", "timezone": "Nowhere/City"}, "time zone"),
        ({"cron": "@daily", "missed": "all"}, "missed"),
        ({"cron": "@daily", "jitter": "2h"}, "jitter"),
    ],
)
def test_a_trigger_that_is_wrong_stops_the_deployment_with_its_line(
    clock: Server, trigger: dict[str, Any], said: str
) -> None:
    done = clock.try_deploy("clock", "wrong", ECHO, {**KEYS, "triggers": [trigger]})
    assert done.code != 0 and "casemate.yaml:" in done.said and said in done.said, done.said


# ---------------------------------------------------------------- each time once


def cursor(server: Server, schedule: str, seconds_ago: float) -> None:
    """As if nothing had been heeded since; the server is stopped."""
    with sqlite3.connect(server.data / "server/queue.db") as database:
        moment = int((time.time() - seconds_ago) * 1000)
        database.execute("UPDATE schedule_cursors SET cursor = ? WHERE schedule_id = ?", (moment, schedule))


def test_a_time_that_was_heeded_is_not_heeded_again_however_often_the_server_is_killed(own: Server) -> None:
    made = create(own, "often", "* * * * *").json()
    # Not across a full minute, which would be another time.
    if time.time() % 60 > 25:
        time.sleep(61 - time.time() % 60)
    for number in range(20):
        own.kill()
        cursor(own, made["id"], 59)
        own.start()
        if number % 2:
            assert wait_until(lambda: history(own, "often"), 5)
    assert wait_until(lambda: history(own, "often"), 5)
    times = [fire["time"] for fire in history(own, "often")]
    assert len(times) == len(set(times)) <= 3
    calls = [one for one in listed(own, "clock/echo") if one.get("schedule") == made["id"]]
    assert sorted(one["scheduledTime"] for one in calls) == sorted(times), "one call for each"
    assert wait_until(lambda: {fire["status"] for fire in history(own, "often")} == {"succeeded"}, 20)


@pytest.mark.parametrize("missed", ["skip", "once"])
def test_what_passed_unheeded_is_let_go_or_made_up_for_once(own: Server, missed: str) -> None:
    name = f"missed-{missed}"
    made = create(own, name, "*/5 * * * *", missed=missed).json()
    own.stop()
    cursor(own, made["id"], 3600)
    own.start()
    assert wait_until(lambda: history(own, name), 10)
    time.sleep(1)
    fires = history(own, name)
    late = [fire for fire in fires if fire.get("missed")]
    assert len(late) == 1 and 10 <= late[0]["missed"] <= 12, fires
    assert late[0]["outcome"] == ("skipped" if missed == "skip" else "fired")
    calls = [one for one in listed(own, "clock/echo") if one.get("schedule") == made["id"]]
    assert len(calls) == len([fire for fire in fires if fire["outcome"] == "fired"])
    assert len(fires) <= 2, "and the one that is due now, if any"


def test_a_schedule_that_is_paused_makes_no_call_and_makes_up_for_none(own: Server) -> None:
    made = create(own, "paused", "*/5 * * * *", missed="once").json()
    assert own.api("POST", path("paused", "pause")).json().get("next") is None
    own.stop()
    cursor(own, made["id"], 3600)
    own.start()
    time.sleep(1)
    assert history(own, "paused") == []
    assert own.api("POST", path("paused", "resume")).json()["next"]
    time.sleep(1)
    assert [fire for fire in history(own, "paused") if fire.get("missed")] == []


def test_the_command_line_does_all_of_it(clock: Server) -> None:
    where = ("clock/echo", "typed")
    code, out, err = clock.cli(
        "schedule", "create", *where, "--cron", "@daily", "--input", '{"a": 1}', "--missed", "once"
    )
    assert code == 0 and "next at" in out, err
    assert "typed" in clock.cli("schedule", "list", "clock/echo")[1]
    assert clock.cli("schedule", "pause", *where)[0] == 0
    assert "paused" in clock.cli("schedule", "list", "clock/echo")[1]
    assert clock.cli("schedule", "resume", *where)[0] == 0
    code, out, _ = clock.cli("schedule", "run", *where, "--json")
    assert code == 0 and ended(clock, json.loads(out)["callId"])["status"] == "succeeded"
    assert json.loads(clock.cli("schedule", "history", *where, "--json")[1]) == {"fires": []}
    assert clock.cli("schedule", "create", *where, "--cron", "@daily")[0] == 2, "the name is taken"
    assert clock.cli("schedule", "create", "clock/echo", "x", "--cron", "@daily", "--input", "{")[0] == 2
    assert clock.cli("schedule", "remove", *where)[0] == 0
    assert clock.cli("schedule", "remove", *where)[0] == 2
