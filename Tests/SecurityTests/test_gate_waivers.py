"""Waivers: who may let a finding pass, why and for how long, and what is told of it for as long as it holds and afterwards."""

from __future__ import annotations

import itertools
import time
import uuid
from typing import Any

import pytest
from accounts import account
from casemate_fixture import Outcome, Server, problem, wait_until
from gate_answers import (
    PLAIN,
    RISKY,
    after,
    found,
    known,
    let_pass,
    posture_of,
    recorded,
    refused_by_the_gate,
    waive,
)

DAY = 86400
_numbers = itertools.count(1)


def stopped(server: Server, more: str = "", function: str | None = None) -> tuple[str, str]:
    """A function whose deployment the gate refused, and the id of why."""
    function = function or f"waived/f{next(_numbers)}"
    return function, found(refused_by_the_gate(deploy(server, function, more)))[0]["finding"]["id"]


def deploy(server: Server, function: str, more: str = "", code: str = RISKY) -> Outcome:
    namespace, name = function.split("/")
    return server.try_deploy(namespace, name, {"handler.py": code + more})


@pytest.mark.guarantee("AZR-17")
def test_AZR_17_only_the_right_gate_waive_lets_a_finding_pass(server: Server) -> None:
    let_pass(server.try_deploy("waived", "rights", {"handler.py": PLAIN}))
    let_pass(server.try_deploy("waived", "neighbour", {"handler.py": PLAIN}))
    function, finding = stopped(server, function="waived/rights")
    for role in ("viewer", "developer", "deployer"):
        who = account(server, "waived", (role, "waived"))
        refused = waive(server, function, finding, key=who.key)
        assert refused.status == 403 and "gate:waive" in problem(refused)["detail"], f"{role}: {refused.text}"
    elsewhere = account(server, "waived", ("gate:waive", "waived/neighbour"), ("function:read", "waived"))
    assert waive(server, function, finding, key=elsewhere.key).status == 403
    stranger = account(server, "strangers", ("gate:waive", "strangers"))
    assert waive(server, function, finding, key=stranger.key).status == 404
    anonymous = server.api("POST", f"{server.function_path(function)}/waivers", {}, key=None)
    assert anonymous.status == 401
    assert server.api("GET", f"{server.function_path(function)}/waivers").json()["waivers"] == []
    refused_by_the_gate(deploy(server, function))
    waiver = account(server, "waived", ("gate:waive", function))
    assert waive(server, function, finding, key=waiver.key).status == 201
    let_pass(deploy(server, function))


@pytest.mark.guarantee("AZR-17")
def test_AZR_17_also_before_the_first_revision_the_answer_names_the_right(server: Server) -> None:
    function, finding = stopped(server)
    developer = account(server, "waived", ("developer", "waived"))
    assert developer.api("GET", f"{server.function_path(function)}/findings").status == 200
    assert waive(server, function, finding, key=developer.key).status == 403


@pytest.mark.guarantee("AZR-17")
def test_AZR_17_reason_and_end_are_demanded_and_bounded(server: Server) -> None:
    function, finding = stopped(server)
    path = f"{server.function_path(function)}/waivers"
    whole = {"finding": finding, "reason": "a test", "expires": after(60)}
    wrong: list[dict[str, Any]] = [{key: value for key, value in whole.items() if key != left} for left in whole]
    wrong += [{**whole, "reason": reason} for reason in ("", "   ", "\n\t", "x" * 501, 7, None)]
    wrong += [
        {**whole, "expires": expires}
        for expires in (after(-60), after(90 * DAY + 60), "never", "", "2099-01-01", "9999-12-31T23:59:59Z", 1e12, None)
    ]
    wrong += [
        {**whole, "finding": name} for name in ("", "zz", finding[:11], finding + "0", finding.upper() + "G", None)
    ]
    wrong += [{**whole, "forever": True}, {**whole, "function": "waived/other"}]
    for body in wrong:
        answer = server.api("POST", path, body)
        assert answer.status == 400, f"{body}: {answer.status} {answer.text}"
        problem(answer)
    assert server.api("GET", path).json()["waivers"] == []
    for body in ({**whole, "expires": after(90 * DAY - 60)}, {**whole, "reason": "é" * 250}):
        assert server.api("POST", path, body).status in (201, 409), body


@pytest.mark.guarantee("AZR-17")
def test_AZR_17_what_no_deployment_has_shown_can_not_be_waived(server: Server) -> None:
    function, _ = stopped(server)
    assert waive(server, function, "0" * 32).status == 404
    assert waive(server, "waived/never-seen", "0" * 32).status == 404
    code, _, err = server.cli("waive", f"{function}#{'0' * 32}", "--reason", "x", "--expires", "1d")
    assert code == 2 and "no finding" in err, err


@pytest.mark.guarantee("AZR-17")
def test_AZR_17_a_waiver_holds_for_its_function_and_its_finding_alone(server: Server) -> None:
    function, finding = stopped(server)
    other, same = stopped(server)
    assert waive(server, function, finding).status == 201
    let_pass(deploy(server, function))
    assert same == finding, "the same fault has the same id, so that what follows says something"
    refused_by_the_gate(deploy(server, other))
    twice = deploy(server, function, "\n\ndef other(data):\n    exec(data)\n")
    stopping = [item for item in found(refused_by_the_gate(twice)) if item["severity"] == "error"]
    assert [item["finding"]["rule"] for item in stopping] == ["B102"], twice.said


@pytest.mark.guarantee("AZR-17")
def test_AZR_17_a_finding_keeps_its_id_when_lines_move_and_gets_another_in_other_code(server: Server) -> None:
    function, finding = stopped(server)
    moved = deploy(server, function, code="import os\n\n# more\n" + RISKY)
    assert found(refused_by_the_gate(moved))[0]["finding"]["id"] == finding
    other = deploy(server, function, code=RISKY.replace("data['x']", "data['y']"))
    assert found(refused_by_the_gate(other))[0]["finding"]["id"] != finding


@pytest.mark.guarantee("AZR-17", "AZR-23")
def test_AZR_17_what_is_waived_stays_as_a_warning_with_who_why_and_until_when(server: Server) -> None:
    function, finding = stopped(server)
    waiver = account(server, "waived", ("gate:waive", "waived"))
    assert waive(server, function, finding, reason="reads our own file only", key=waiver.key).status == 201
    made = let_pass(deploy(server, function))
    page = server.cli_json("function", "show", function)
    places = {
        "the deployment": made["diagnostics"],
        "the function": next(one for one in page["revisions"] if one["isActive"])["findings"],
        "its findings": known(server, function)["active"],
        "the posture": posture_of(server, function)["findings"],
    }
    for place, diagnostics in places.items():
        items = [item for item in found({"diagnostics": diagnostics}) if item["finding"]["id"] == finding]
        assert len(items) == 1 and items[0]["severity"] == "warning", f"{place}: {diagnostics}"
        told = items[0]["finding"]["waiver"]
        assert told["reason"] == "reads our own file only" and told["by"] == waiver.subject and told["expires"], told
    assert posture_of(server, function)["posture"] == "amber"
    code, out, _ = server.cli("posture", "waived")
    assert code == 0 and "reads our own file only" in out and waiver.subject in out, out


@pytest.mark.guarantee("AZR-17")
def test_AZR_17_waivers_are_listed_and_removed_and_what_is_removed_stops_again(server: Server) -> None:
    function, finding = stopped(server)
    code, _, err = server.cli(
        "waive", f"{function}#{finding}", "--reason", "test data only", "--expires", "14d", "--json"
    )
    assert code == 0, err
    listed = server.cli_json("waiver", "list", function)["waivers"]
    assert [(one["finding"], one["reason"], one["isInForce"]) for one in listed] == [(finding, "test data only", True)]
    assert "test data only" in server.cli("waiver", "list", function)[1]
    let_pass(deploy(server, function))
    identity = listed[0]["id"]
    path = f"{server.function_path(function)}/waivers/{identity}"
    developer = account(server, "waived", ("developer", "waived"))
    assert developer.api("DELETE", path).status == 403
    assert server.api("DELETE", f"{server.function_path('waived/never-seen')}/waivers/{identity}").status == 404
    assert server.api("DELETE", f"{server.function_path(function)}/waivers/{uuid.uuid4()}").status == 404
    assert server.cli("waiver", "remove", function, identity)[0] == 0
    assert server.api("GET", f"{server.function_path(function)}/waivers").json()["waivers"] == []
    refused_by_the_gate(deploy(server, function, "\n# changed\n"))
    assert server.call(function, body={"x": "6*7"}).json() == 42, "what is live serves on"


@pytest.mark.guarantee("AZR-17")
def test_AZR_17_all_of_it_is_in_the_audit_log(server: Server) -> None:
    function, finding = stopped(server)
    waiver = account(server, "waived", ("gate:waive", "waived"))
    made = waive(server, function, finding, reason="for the record", key=waiver.key).json()
    assert waive(server, function, "0" * 32, key=waiver.key).status == 404
    waiver.api("DELETE", f"{server.function_path(function)}/waivers/{made['id']}")
    (record,) = recorded(server, "gate.waived", waiver=made["id"])
    assert record["actor"] == waiver.subject and record["outcome"] == "done", record
    assert record["details"]["reason"] == "for the record" and record["details"]["finding"] == finding, record
    assert record["details"]["expires"] == made["expires"] and record["details"]["function"] == function, record
    (removed,) = recorded(server, "gate.waiver-removed", waiver=made["id"])
    assert removed["actor"] == waiver.subject, removed


# ---------------------------------------------------------------- the end of a waiver


def ended(server: Server) -> str:
    """A function that is live by a waiver which has ended."""
    function, finding = stopped(server)
    made = waive(server, function, finding, seconds=12)
    assert made.status == 201, made.text
    let_pass(deploy(server, function))
    path = f"{server.function_path(function)}/waivers"
    assert wait_until(lambda: not server.api("GET", path).json()["waivers"][0]["isInForce"], 15, every=0.2)
    return function


@pytest.fixture(scope="module")
def expired(running: Server) -> str:
    return ended(running)


@pytest.mark.guarantee("AZR-17")
def test_AZR_17_when_a_waiver_has_ended_its_finding_stops_the_next_deployment(server: Server, expired: str) -> None:
    refused = refused_by_the_gate(deploy(server, expired, "\n# changed\n"))
    assert "waiver" not in found(refused)[0]["finding"], refused
    (listed,) = server.cli_json("waiver", "list", expired)["waivers"]
    assert not listed["isInForce"]
    assert "ended" in server.cli("waiver", "list", expired)[1]


@pytest.mark.guarantee("AZR-17")
def test_AZR_17_when_a_waiver_has_ended_the_same_source_is_refused_too(server: Server, expired: str) -> None:
    refused_by_the_gate(deploy(server, expired))


@pytest.mark.guarantee("AZR-17")
def test_AZR_17_when_a_waiver_has_ended_the_posture_is_red(server: Server, expired: str) -> None:
    assert posture_of(server, expired)["posture"] == "red"
    assert server.cli("posture", "waived")[0] == 1


@pytest.mark.guarantee("AZR-17")
def test_AZR_17_when_a_waiver_was_removed_the_posture_is_red(server: Server) -> None:
    function, finding = stopped(server)
    made = waive(server, function, finding).json()
    let_pass(deploy(server, function))
    assert server.api("DELETE", f"{server.function_path(function)}/waivers/{made['id']}").status == 204
    assert posture_of(server, function)["posture"] == "red"


@pytest.mark.guarantee("AZR-17")
def test_AZR_17_a_waiver_can_be_made_again_after_its_end(server: Server, expired: str) -> None:
    outcome = refused_by_the_gate(deploy(server, expired, "\n# once more\n"))
    assert waive(server, expired, found(outcome)[0]["finding"]["id"], reason="once more").status == 201
    assert found(let_pass(deploy(server, expired, "\n# once more\n")))[0]["finding"]["waiver"]["reason"] == "once more"


@pytest.mark.guarantee("AZR-17")
@pytest.mark.parametrize("end", ["91d", "0d", "-1d", "soon", "1y", ""])
def test_AZR_17_the_command_takes_no_end_beyond_90_days(server: Server, end: str) -> None:
    function, finding = stopped(server, function="waived/command")
    code, out, err = server.cli("waive", f"{function}#{finding}", "--reason", "x", f"--expires={end}")
    assert code in (1, 2, 64) and err and not out, f"{code} {out}{err}"
    assert server.api("GET", f"{server.function_path(function)}/waivers").json()["waivers"] == []


@pytest.mark.guarantee("AZR-17")
def test_AZR_17_two_waivers_of_one_finding_do_not_lengthen_each_other(server: Server) -> None:
    function, finding = stopped(server)
    assert waive(server, function, finding, seconds=3600).status == 201
    assert waive(server, function, finding, seconds=7200).status in (201, 409)
    let_pass(deploy(server, function))
    for one in server.api("GET", f"{server.function_path(function)}/waivers").json()["waivers"]:
        assert server.api("DELETE", f"{server.function_path(function)}/waivers/{one['id']}").status == 204
    time.sleep(0.1)
    refused_by_the_gate(deploy(server, function, "\n# changed\n"))
