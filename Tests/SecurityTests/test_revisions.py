"""Revisions: which can be gone back to, how two differ, and which are kept."""

from __future__ import annotations

import itertools
import secrets as randomness
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from accounts import account
from casemate_fixture import Answer, Server, problem, wait_until
from gate_answers import recorded
from supply_chain import (
    HOST,
    Team,
    active,
    answering,
    answers,
    approved,
    back,
    deploy,
    is_there,
    live,
    on_disk,
    page,
    path,
    pending,
    reject,
    revision,
    send,
    set_rules,
    sharing,
    states,
    team,
    waiting,
)

_numbers = itertools.count(1)


def unlike() -> dict[str, str]:
    """A source whose bundle nothing else has."""
    return answering(randomness.token_hex(4))


def not_approved(answer: Answer) -> None:
    told = problem(answer)
    assert (told["status"], told["type"]) == (403, "/problems/approval-required"), told


# ---------------------------------------------------------------- going back


def test_what_was_live_can_be_gone_back_to_without_anybody(server: Server) -> None:
    ours = team(server)
    function = ours.function()
    live(ours.author, function, answering(1), {"egress": [HOST]})
    live(ours.author, function, answering(2))
    digests = [revision(server, function, number)["digest"] for number in (1, 2)]
    set_rules(server, ours.namespace, requireApproval=["all"])
    view = back(ours.author, function)
    assert view.status == 200 and (view.json()["number"], view.json()["state"]) == (1, "active"), view.text
    assert answers(server, function) == (1, 1) and states(server, function) == {1: "active", 2: "superseded"}
    assert back(ours.author, function, 2).status == 200
    assert answers(server, function) == (2, 2)
    assert [revision(server, function, number)["digest"] for number in (1, 2)] == digests, "a revision never changes"


@pytest.mark.guarantee("COG-19")
@pytest.mark.case("D11")
def test_D11_what_waits_was_rejected_or_replaced_can_not_be_gone_back_to(server: Server) -> None:
    ours = team(server, "all")
    function = ours.function()
    approved(ours.approver, function, waiting(ours.author, function, answering(1)))
    rejected = waiting(ours.author, function, answering(2))
    assert reject(ours.approver, function, 2, rejected["digest"]).status == 204
    waiting(ours.author, function, answering(3))
    waiting(ours.author, function, answering(4))
    assert states(server, function) == {1: "active", 2: "rejected", 3: "superseded", 4: "pendingApproval"}
    for number in (2, 3, 4):
        for who in (ours.author, server):
            not_approved(back(who, function, number))
    assert answers(server, function) == (1, 1)
    # Also where nobody would have to approve it any more.
    set_rules(server, ours.namespace)
    for number in (2, 4):
        not_approved(back(server, function, number))
    assert answers(server, function) == (1, 1)


@pytest.mark.guarantee("COG-19")
def test_going_back_by_one_passes_over_what_was_rejected(server: Server) -> None:
    ours = sharing(server, "all")
    function = ours.function()
    approved(ours.approver, function, waiting(ours.author, function, answering(1)))
    rejected = waiting(ours.author, function, answering(2))
    assert reject(ours.approver, function, 2, rejected["digest"]).status == 204
    approved(ours.approver, function, waiting(ours.author, function, answering(3)))
    code, out, err = ours.author.cli("function", "rollback", function)
    assert code == 0, out + err
    assert answers(server, function) == (1, 1) and states(server, function)[2] == "rejected"


def test_a_rollback_by_the_command_is_live_at_once_and_on_record(server: Server) -> None:
    ours = sharing(server)
    function = ours.function()
    for number in (1, 2, 3):
        live(ours.author, function, answering(number))
    assert answers(server, function) == (3, 3)
    code, out, err = ours.author.cli("function", "rollback", function, "--revision", "1")
    assert code == 0, out + err
    assert answers(server, function) == (1, 1)
    (record,) = recorded(server, "function.rolled-back", function=function)
    assert (record["actor"], record["details"]["from"], record["details"]["to"]) == (ours.author.subject, "3", "1")
    for wrong in ("9", "0", "-1", "x"):
        assert ours.author.cli("function", "rollback", function, f"--revision={wrong}")[0] not in (0, 1), wrong
    assert active(server, function) == 1
    # A new one goes on from the highest number.
    assert live(ours.author, function, answering(4))["revision"] == 4


# ---------------------------------------------------------------- how two differ


def difference(who: Any, function: str, before: object, after: object) -> Answer:
    answer: Answer = who.api("GET", path(function, f"diff?from={before}&to={after}"))
    return answer


@pytest.fixture(scope="module")
def changed(running: Server) -> tuple[Team, str, list[str]]:
    """A function of three revisions, and the values of its environment, which no diff may show."""
    ours = sharing(running)
    function = ours.function()
    values = [f"{word}-{randomness.token_hex(2)}" for word in ("north", "south", "kept", "gone", "added")]
    north, south, kept, gone, added = values
    live(
        ours.author,
        function,
        answering(1),
        {"env": {"REGION": north, "KEPT": kept, "GONE": gone}, "limits": {"timeout": "5s"}},
    )
    after = {
        "env": {"REGION": south, "KEPT": kept, "ADDED": added},
        "limits": {"timeout": "7s"},
        "egress": [HOST],
        "capabilities": ["agreed/lookup:invoke"],
    }
    live(ours.author, function, answering(1), after)
    live(ours.author, function, answering(2), after)
    return ours, function, values


@pytest.mark.guarantee("COG-25")
def test_COG_25_a_diff_shows_what_of_the_configuration_changes_and_no_value(
    server: Server, changed: tuple[Team, str, list[str]]
) -> None:
    ours, function, values = changed
    answer = difference(ours.author, function, 1, 2)
    assert answer.status == 200, answer.text
    told = answer.json()
    assert set(told) >= {"from", "to", "source", "bundle", "changes", "packages", "findings"}, told
    assert (told["from"], told["to"], told["source"], told["bundle"]) == (1, 2, False, False), told
    assert all(set(change) <= {"path", "before", "after"} and change["path"] for change in told["changes"]), told

    def about(word: str) -> list[dict[str, Any]]:
        return [change for change in told["changes"] if word in str(change)]

    for word in ("REGION", "GONE", "ADDED", HOST, "agreed/lookup:invoke", "timeout"):
        assert len(about(word)) == 1, f"{word}: {told['changes']}"
    assert about("KEPT") == [] and "changed" in str(about("REGION")[0])
    assert about("timeout")[0]["before"] != about("timeout")[0]["after"]
    assert not [value for value in values if value in answer.text], "a value of the environment is shown"


def test_a_diff_says_whether_source_and_bundle_are_others(server: Server, changed: tuple[Team, str, list[str]]) -> None:
    ours, function, _ = changed
    told = difference(ours.author, function, 2, 3).json()
    assert (told["source"], told["bundle"], told["changes"]) == (True, True, []), told
    same = difference(ours.author, function, 3, 3).json()
    assert (same["source"], same["bundle"], same["changes"]) == (False, False, []), same
    there, here = (difference(ours.author, function, *pair).json() for pair in ((1, 3), (3, 1)))
    assert (there["source"], here["source"], here["from"], here["to"]) == (True, True, 3, 1)
    assert len(there["changes"]) == len(here["changes"]) > 0
    for change in there["changes"]:
        if "timeout" in change["path"]:
            (reverse,) = [one for one in here["changes"] if one["path"] == change["path"]]
            assert (reverse["before"], reverse["after"]) == (change["after"], change["before"])


@pytest.mark.guarantee("COG-25")
def test_the_command_shows_a_diff(server: Server, changed: tuple[Team, str, list[str]]) -> None:
    ours, function, values = changed
    code, out, err = ours.author.cli("function", "diff", function, "1", "2")
    assert code == 0 and HOST in out and "REGION" in out, out + err
    assert not [value for value in values if value in out + err]
    for wrong in (["1"], ["1", "9"], ["0", "1"], ["x", "1"], ["1", "-1"]):
        assert ours.author.cli("function", "diff", function, *wrong)[0] not in (0, 1), wrong


def test_a_diff_takes_the_right_to_read_and_two_revisions_that_are_there(
    server: Server, changed: tuple[Team, str, list[str]]
) -> None:
    ours, function, _ = changed
    caller = account(server, ours.namespace, ("function:invoke", ours.namespace))
    told = problem(difference(caller, function, 1, 2))
    assert told["status"] == 403 and "function:read" in told["detail"]
    assert difference(account(server, ours.namespace, ("viewer", ours.namespace)), function, 1, 2).status == 200
    for pair in ((1, 9), (9, 1)):
        assert problem(difference(server, function, *pair))["status"] == 404, pair
    for query in ("", "?from=1", "?to=1", "?from=1&to=x", "?from=1&to=", "?from=1&to=1.5", "?from=1&to=2&env=show"):
        assert problem(server.api("GET", path(function, f"diff{query}")))["status"] == 400, query


# ---------------------------------------------------------------- strangers


@pytest.mark.guarantee("KYM-17")
@pytest.mark.case("A17")
def test_A17_KYM_17_another_tenants_revisions_are_as_if_they_were_not_there(server: Server) -> None:
    ours, theirs = sharing(server), team(server)
    live(ours.author, ours.function(), answering(1))
    live(ours.author, ours.function(), answering(2))
    stranger = account(server, theirs.namespace, ("admin", theirs.namespace))
    asked: list[tuple[str, str, Any]] = [
        ("GET", "diff?from=1&to=2", None),
        ("PUT", "revisions/1/pin", None),
        ("DELETE", "revisions/1/pin", None),
        ("PUT", "split", {"revision": 1, "percent": 50}),
        ("DELETE", "split", None),
        ("POST", "rollback", {"revision": 1}),
    ]
    for method, what, body in asked:
        there, absent = (
            problem(stranger.api(method, path(f"{namespace}/{ours.label()}", what), body))
            for namespace in (ours.namespace, "absent")
        )
        assert there["status"] == absent["status"] == 404, f"{method} {what}: {there} {absent}"
        assert there["detail"].replace(ours.namespace, "absent") == absent["detail"], what
    assert answers(server, ours.function()) == (2, 2)


@pytest.mark.parametrize(("method", "what"), [("PUT", "revisions/1/pin"), ("DELETE", "revisions/1/pin")])
def test_to_pin_takes_the_right_to_deploy(server: Server, method: str, what: str) -> None:
    ours = sharing(server)
    live(ours.author, ours.function(), answering(1))
    for role in ("viewer", "approver", "operator"):
        told = problem(account(server, ours.namespace, (role, ours.namespace)).api(method, path(ours.function(), what)))
        assert told["status"] == 403 and "function:deploy" in told["detail"], f"{role}: {told}"
    assert server.api(method, path(ours.function(), what), key=None).status == 401
    assert problem(ours.author.api(method, path(ours.function(), "revisions/9/pin")))["status"] == 404
    assert ours.author.api(method, path(ours.function(), what)).status in (200, 204)


# ---------------------------------------------------------------- which are kept


def are_kept(server: Server, function: str, *numbers: int) -> None:
    wait_until(lambda: set(states(server, function)) == set(numbers), 10, every=0.2)
    assert set(states(server, function)) == set(numbers)


def is_gone(server: Server, function: str, before: dict[str, Any]) -> None:
    assert wait_until(lambda: not on_disk(server, before["bundleDigest"]), 10, every=0.2), before
    assert wait_until(lambda: not on_disk(server, before["sourceDigest"]), 10, every=0.2), before
    number = before["number"]
    assert server.api("GET", path(function, f"source?revision={number}")).status == 404
    assert problem(back(server, function, number))["status"] == 404


def test_older_revisions_go_but_for_those_that_are_active_split_pinned_or_waiting(server: Server) -> None:
    ours = team(server)
    function = ours.function()
    for _ in range(6):
        live(ours.author, function, unlike())
    shown = {number: revision(server, function, number) for number in range(1, 7)}
    assert back(ours.author, function, 3).status == 200
    code, out, err = ours.author.cli("function", "pin", function, "1")
    assert code == 0, out + err
    assert ours.author.api("PUT", path(function, "split"), {"revision": 2, "percent": 50}).status in (200, 204)
    assert set(states(server, function)) == set(range(1, 7)), "so many are kept unless a policy says otherwise"

    set_rules(server, ours.namespace, keep=2, requireApproval=["all"])
    waiting(ours.author, function, unlike())
    are_kept(server, function, 1, 2, 3, 5, 6, 7)
    is_gone(server, function, shown[4])
    for number in (1, 2, 3, 5, 6, 7):
        is_there(server, function, number)
    assert {answers(server, function)[1] for _ in range(40)} == {2, 3}

    # What held the first two is gone, and what waited is replaced.
    code, out, err = ours.author.cli("function", "unpin", function, "1")
    assert code == 0, out + err
    assert ours.author.api("DELETE", path(function, "split")).status in (200, 204)
    waiting(ours.author, function, unlike())
    are_kept(server, function, 3, 5, 6, 7, 8)
    for number in (1, 2, 4):
        is_gone(server, function, shown[number])
    assert answers(server, function)[1] == 3
    assert [one["revision"] for one in pending(server, function)] == [8]


def test_bundle_and_source_stay_as_long_as_any_revision_has_them(server: Server) -> None:
    ours = team(server, keep=2)
    function, other = ours.function(), ours.function("other")
    first, second = unlike(), unlike()
    live(ours.author, function, first, {"env": {"REGION": "north"}})
    before = revision(server, function, 1)
    live(ours.author, function, first, {"env": {"REGION": "south"}})
    live(ours.author, function, second)
    shared = revision(server, function, 3)
    are_kept(server, function, 2, 3)
    is_there(server, function, 2)
    assert revision(server, function, 2)["bundleDigest"] == before["bundleDigest"]
    live(ours.author, other, second)
    assert revision(server, other, 1)["sourceDigest"] == shared["sourceDigest"]
    live(ours.author, function, unlike())
    are_kept(server, function, 3, 4)
    is_gone(server, function, before)
    live(ours.author, function, unlike())
    are_kept(server, function, 4, 5)
    is_there(server, other, 1)
    assert server.call(other, body={}).status == 200


def test_a_policy_keeps_2_to_1000_revisions(server: Server) -> None:
    where = "/v1/namespaces/agreed-kept/policy"
    server.namespace("agreed-kept")
    for number in (2, 1000):
        set_rules(server, "agreed-kept", keep=number)
        assert server.api("GET", where).json()["keepRevisions"] == number
    for wrong in (1, 0, -1, 1001, 10**9, 10**30, "20", 2.5, True, [20]):
        assert server.api("PUT", where, {"keepRevisions": wrong}).status == 400, wrong
    assert server.api("GET", where).json()["keepRevisions"] == 1000


# ---------------------------------------------------------------- the same twice, and two at once


@pytest.mark.case("D15")
def test_D15_the_same_deployed_twice_is_one_revision_also_by_somebody_else(server: Server) -> None:
    ours = sharing(server)
    function = ours.function()
    first = live(ours.author, function, answering("same"), {"env": {"REGION": "north"}})
    shown = revision(server, function, 1)
    for who in (ours.author, account(server, ours.namespace, ("deployer", ours.namespace))):
        again = deploy(who, function, answering("same"), {"env": {"REGION": "north"}})
        assert (again["status"], again["revision"], again["bundleDigest"]) == ("unchanged", 1, first["bundleDigest"])
    assert page(server, function)["revisions"] == [shown]
    assert live(ours.author, ours.function("g"), answering("same"))["bundleDigest"] == first["bundleDigest"]


@pytest.mark.case("D15")
@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
def test_D15_of_two_deployments_at_once_one_wins_and_the_other_is_told_of_the_conflict(
    server: Server, existing: bool
) -> None:
    ours = sharing(server)
    function = ours.function()
    if existing:
        live(ours.author, function, answering("before"))

    def source(number: int) -> dict[str, str]:
        # Both are planned long before either is loaded.
        code = f"import os, part, time\ntime.sleep(1.5)\ndef handle(data):\n    return [{number}, part.N, os.environ['N']]\n"
        return {"handler.py": code, "part.py": f"N = {number}\n"}

    def attempt(number: int) -> Answer:
        return send(ours.author, function, source(number), {"env": {"N": str(number)}})

    with ThreadPoolExecutor(2) as pool:
        sent = list(pool.map(attempt, (1, 2)))
    won, lost = [], []
    for number, answer in enumerate(sent, 1):
        if answer.status == 409:
            problem(answer)
            lost.append(number)
            continue
        assert answer.status == 200, answer.text
        outcome = answer.json()["functions"][0]
        if outcome["status"] == "deployed":
            won.append(number)
        else:
            assert (outcome["status"], outcome["problemType"]) == ("failed", "/problems/conflict"), outcome
            lost.append(number)
    assert len(won) == len(lost) == 1, [answer.text for answer in sent]
    number = 2 if existing else 1
    assert answers(server, function) == ([won[0], won[0], str(won[0])], number)
    assert set(states(server, function)) == set(range(1, number + 1)), "of the one that lost nothing is left"
