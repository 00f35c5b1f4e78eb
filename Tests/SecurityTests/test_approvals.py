"""Approvals: what waits for a second person, who that may be, and that they agree to exactly what then runs."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from accounts import account
from casemate_fixture import Answer, Server, handler, problem
from gate_answers import recorded
from secret_calls import value
from supply_chain import (
    HOST,
    OTHER_HOST,
    Caller,
    active,
    answering,
    answers,
    approve,
    approved,
    deploy,
    live,
    path,
    pending,
    refusal,
    refused_as_own,
    reject,
    revision,
    send,
    set_rules,
    sharing,
    states,
    team,
    waiting,
)

NAMED = ("access", "capabilities", "dependencies", "egress")
ANOTHER_DIGEST = "sha256:" + "0" * 64
_numbers = itertools.count(1)


# ---------------------------------------------------------------- what needs a second person


@pytest.mark.guarantee("COG-25")
def test_COG_25_a_host_that_is_added_waits_for_a_second_person_and_the_old_revision_serves_on(server: Server) -> None:
    ours = sharing(server, "egress")
    function = ours.function()
    assert live(ours.author, function, answering(1))["revision"] == 1
    outcome = waiting(ours.author, function, answering(2), {"egress": [HOST]})
    assert (outcome["revision"], outcome["needsApproval"]) == (2, ["egress"])
    assert HOST in str(outcome["egress"]["added"]), outcome
    assert states(server, function) == {1: "active", 2: "pendingApproval"} and active(server, function) == 1
    assert answers(server, function) == (1, 1)
    assert HOST not in server.api("GET", path(function, "egress")).text, "what is not live may not be reached"
    view = approved(ours.approver, function, outcome)
    assert (view["number"], view["state"], view["digest"]) == (2, "active", outcome["digest"])
    assert states(server, function) == {1: "superseded", 2: "active"} and active(server, function) == 2
    assert answers(server, function) == (2, 2)
    assert HOST in server.api("GET", path(function, "egress")).text


@pytest.mark.guarantee("COG-25")
def test_COG_25_a_host_that_is_removed_waits_too(server: Server) -> None:
    ours = team(server)
    function = ours.function()
    live(ours.author, function, answering(1), {"egress": [HOST, OTHER_HOST]})
    set_rules(server, ours.namespace, requireApproval=["egress"])
    outcome = waiting(ours.author, function, answering(1), {"egress": [HOST]})
    assert outcome["needsApproval"] == ["egress"] and OTHER_HOST in str(outcome["egress"]["removed"]), outcome


CHANGES: dict[str, dict[str, Any]] = {
    "egress": {"egress": [HOST]},
    "access": {"access": "public"},
    "capabilities": {"capabilities": ["agreed/lookup:invoke"]},
}


@pytest.mark.guarantee("COG-19", "COG-25")
@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_waits_where_its_kind_needs_approval_and_not_where_only_others_do(server: Server, kind: str) -> None:
    ours = team(server, kind)
    function = ours.function()
    live(ours.author, function, answering(1))
    assert waiting(ours.author, function, answering(1), CHANGES[kind])["needsApproval"] == [kind]
    set_rules(server, ours.namespace, requireApproval=[other for other in NAMED if other != kind])
    live(ours.author, function, answering(1), CHANGES[kind])


def test_all_kinds_of_a_change_are_named(server: Server) -> None:
    ours = sharing(server, *NAMED)
    live(ours.author, ours.function(), answering(1))
    together = {key: value for change in CHANGES.values() for key, value in change.items()}
    outcome = waiting(ours.author, ours.function(), answering(1), together)
    assert sorted(outcome["needsApproval"]) == sorted(CHANGES), outcome


def test_code_environment_and_limits_need_nobody_but_under_all(server: Server) -> None:
    ours = team(server, *NAMED)
    function = ours.function()
    live(ours.author, function, answering(1))
    live(ours.author, function, answering(2))
    live(ours.author, function, answering(2), {"env": {"REGION": "north"}})
    set_rules(server, ours.namespace, requireApproval=["all"])
    waiting(ours.author, function, answering(3), {"env": {"REGION": "north"}})
    waiting(ours.author, function, answering(2), {"env": {"REGION": "south"}})
    waiting(ours.author, function, answering(2), {"env": {"REGION": "north"}, "limits": {"timeout": "7s"}})
    assert answers(server, function) == (2, 3)


def test_what_is_live_already_can_be_deployed_again_without_anybody(server: Server) -> None:
    ours = team(server)
    live(ours.author, ours.function(), answering(1), {"egress": [HOST]})
    set_rules(server, ours.namespace, requireApproval=["all"])
    assert deploy(ours.author, ours.function(), answering(1), {"egress": [HOST]})["status"] == "unchanged"
    assert pending(server, ours.function()) == []


@pytest.mark.guarantee("COG-25")
def test_a_first_deployment_waits_too_and_until_then_there_is_nothing_to_call(server: Server) -> None:
    ours = sharing(server, "egress")
    live(ours.author, ours.function("plain"), answering(1))
    function = ours.function("reaching")
    outcome = waiting(ours.author, function, answering(1), {"egress": [HOST]})
    assert outcome["revision"] == 1 and active(server, function) is None
    assert server.call(function, body={}).status in (404, 409, 503)
    approved(ours.approver, function, outcome)
    assert answers(server, function) == (1, 1)


def test_a_dry_run_leaves_nothing_that_waits(server: Server) -> None:
    ours = sharing(server, "all")
    assert deploy(ours.author, ours.function(), answering(1), dryRun=True)["status"] == "planned"
    assert pending(server, ours.function()) == []
    assert server.api("GET", path(ours.function())).status == 404


@pytest.mark.case("D15")
def test_D15_the_same_deployed_again_while_it_waits_waits_once(server: Server) -> None:
    ours = sharing(server, "all")
    first = waiting(ours.author, ours.function(), answering(1))
    again = waiting(ours.author, ours.function(), answering(1))
    assert again["bundleDigest"] == first["bundleDigest"]
    assert [one["revision"] for one in pending(server, ours.function())] == [again["revision"]]


# ---------------------------------------------------------------- agreeing


@pytest.mark.guarantee("COG-19")
def test_an_approval_says_who_when_and_why_and_stays_with_the_revision(server: Server) -> None:
    ours = sharing(server, "all")
    function = ours.function()
    outcome = waiting(ours.author, function, answering(1))
    answer = approve(ours.approver, function, 1, outcome["digest"], comment="read it twice")
    assert answer.status == 200, answer.text
    (approval,) = answer.json()["approvals"]
    assert (approval["by"], approval["comment"]) == (ours.approver.subject, "read it twice") and approval["at"]
    shown = revision(server, function, 1)
    assert shown["approvals"] == [approval] and shown["createdBy"] == ours.author.subject


@pytest.mark.case("D11")
@pytest.mark.parametrize("which", ["made up", "another function's", "its bundle's", "its source's"])
def test_D11_an_approval_of_another_digest_is_none(server: Server, which: str) -> None:
    ours = sharing(server, "all")
    function = ours.function()
    outcome = waiting(ours.author, function, answering(1))
    shown = revision(server, function, 1)
    digest = {
        "made up": ANOTHER_DIGEST,
        "another function's": waiting(ours.author, ours.function("g"), answering(1))["digest"],
        "its bundle's": shown["bundleDigest"],
        "its source's": shown["sourceDigest"],
    }[which]
    assert digest != outcome["digest"]
    for act in (approve, reject):
        assert problem(act(ours.approver, function, 1, digest))["status"] == 409
    assert revision(server, function, 1) == shown and active(server, function) is None


@pytest.mark.case("D11")
def test_D11_every_revision_has_a_digest_of_its_own_also_where_the_bundle_is_the_same(server: Server) -> None:
    ours = sharing(server)
    function = ours.function()
    for region in ("north", "south", "north"):
        live(ours.author, function, answering(1), {"env": {"REGION": region}})
    shown = [revision(server, function, number) for number in (1, 2, 3)]
    assert len({one["bundleDigest"] for one in shown}) == 1 and len({one["digest"] for one in shown}) == 3


@pytest.mark.case("D11")
def test_D11_an_approval_of_a_diff_from_what_is_not_live_any_more_is_refused(server: Server) -> None:
    ours = team(server)
    function = ours.function()
    live(ours.author, function, answering(1))
    live(ours.author, function, answering(2))
    set_rules(server, ours.namespace, requireApproval=["egress"])
    outcome = waiting(ours.author, function, answering(3), {"egress": [HOST]})
    assert ours.author.api("POST", path(function, "rollback"), {"revision": 1}).status == 200
    told = problem(approve(ours.approver, function, 3, outcome["digest"]))
    assert told["status"] == 409 and "revision 2" in told["detail"] and "revision 1" in told["detail"], told
    assert active(server, function) == 1 and answers(server, function) == (1, 1)
    again = waiting(ours.author, function, answering(3), {"egress": [HOST]})
    approved(ours.approver, function, again)
    assert answers(server, function) == (3, again["revision"])


@pytest.mark.case("D11")
def test_D11_a_newer_deployment_replaces_what_waits(server: Server) -> None:
    ours = sharing(server, "egress")
    function = ours.function()
    live(ours.author, function, answering(1))
    first = waiting(ours.author, function, answering(2), {"egress": [HOST]})
    second = waiting(ours.author, function, answering(3), {"egress": [HOST, OTHER_HOST]})
    assert states(server, function) == {1: "active", 2: "superseded", 3: "pendingApproval"}
    assert [one["revision"] for one in pending(server, ours.function())] == [3]
    assert problem(approve(ours.approver, function, 2, first["digest"]))["status"] == 409
    # One that needs nobody does so, too.
    live(ours.author, function, answering(4))
    assert pending(server, ours.function()) == []
    assert problem(approve(ours.approver, function, 3, second["digest"]))["status"] == 409
    assert states(server, function) == {1: "superseded", 2: "superseded", 3: "superseded", 4: "active"}
    assert answers(server, function) == (4, 4)


@pytest.mark.guarantee("COG-19")
def test_what_was_rejected_can_not_be_approved_and_the_next_deployment_can(server: Server) -> None:
    ours = sharing(server, "egress")
    function = ours.function()
    live(ours.author, function, answering(1))
    outcome = waiting(ours.author, function, answering(2), {"egress": [HOST]})
    assert reject(ours.approver, function, 2, outcome["digest"], comment="why there?").status == 204
    assert states(server, function) == {1: "active", 2: "rejected"} and pending(server, ours.function()) == []
    assert problem(approve(ours.approver, function, 2, outcome["digest"]))["status"] == 409
    assert states(server, function)[2] == "rejected" and answers(server, function) == (1, 1)
    again = waiting(ours.author, function, answering(2), {"egress": [HOST]})
    assert again["revision"] == 3 and again["digest"] != outcome["digest"]
    approved(ours.approver, function, again)
    assert answers(server, function) == (2, 3)


def test_who_approves_twice_has_approved_once_and_others_may_as_well(server: Server) -> None:
    ours = sharing(server, "all")
    function = ours.function()
    outcome = waiting(ours.author, function, answering(1))
    first = approve(ours.approver, function, 1, outcome["digest"], comment="once")
    again = approve(ours.approver, function, 1, outcome["digest"], comment="twice")
    assert (first.status, again.status) == (200, 200) and again.json()["approvals"] == first.json()["approvals"]
    second = account(server, ours.namespace, ("approver", ours.namespace))
    assert approve(second, function, 1, outcome["digest"]).status == 200
    shown = revision(server, function, 1)["approvals"]
    assert [one["by"] for one in shown] == [ours.approver.subject, second.subject]
    assert len(recorded(server, "approval.given", function=function)) == 2


@pytest.mark.guarantee("COG-27")
def test_COG_27_what_is_live_without_an_approval_can_be_reviewed(server: Server) -> None:
    ours = sharing(server)
    function = ours.function()
    for number in (1, 2):
        live(ours.author, function, answering(number))
    for number, state in ((2, "active"), (1, "superseded")):
        shown = revision(server, function, number)
        assert shown["approvals"] == []
        view = approve(ours.approver, function, number, shown["digest"], comment="looked at").json()
        assert (view["state"], view["approvals"][0]["by"]) == (state, ours.approver.subject), view
    assert active(server, function) == 2, "to review is not to activate"
    told = problem(approve(ours.author, function, 2, revision(server, function, 2)["digest"]))
    assert told["status"] == 403


@pytest.mark.guarantee("COG-27")
def test_COG_27_under_require_review_nobody_calls_what_its_author_alone_has_seen(server: Server) -> None:
    ours = team(server)
    function = ours.function()
    live(ours.author, function, answering(1), {"access": "public"})
    set_rules(server, ours.namespace, requireReview=True)

    def refused() -> None:
        for key in ("", None, ours.author.key):
            told = problem(server.call(function, body={}, key=key))
            assert (told["status"], told["type"]) == (403, "/problems/untrusted-version"), told

    refused()
    ours.review(function, 1)
    assert answers(server, function) == (1, 1) and server.call(function, body={}, key=None).status == 200
    outcome = waiting(ours.author, function, answering(2), {"access": "public"})
    assert answers(server, function) == (1, 1), "what was reviewed serves on"
    approved(ours.approver, function, outcome)
    assert answers(server, function) == (2, 2)
    assert ours.author.api("POST", path(function, "rollback"), {"revision": 1}).status == 200
    assert answers(server, function) == (1, 1)


# ---------------------------------------------------------------- who may


@pytest.mark.guarantee("COG-19")
def test_only_the_right_to_approve_approves_and_rejects(server: Server) -> None:
    ours = sharing(server, "all")
    here, function = ours.namespace, ours.function()
    outcome = waiting(ours.author, function, answering(1))
    waiting(ours.author, ours.function("g"), answering(1))
    for grants in (
        [("viewer", here)],
        [("developer", here)],
        [("deployer", here)],
        [("operator", here)],
        [("policy:write", here), ("function:read", here)],
        [("deploy:approve", ours.function("g")), ("function:read", here)],
    ):
        who = account(server, here, *grants)
        for act in (approve, reject):
            told = problem(act(who, function, 1, outcome["digest"]))
            assert told["status"] == 403 and "deploy:approve" in told["detail"], f"{grants}: {told}"
    for what in ("approval", "rejection"):
        anonymous = server.api("POST", path(function, "revisions", 1, what), {"digest": outcome["digest"]}, key=None)
        assert anonymous.status == 401
    former = account(server, here, ("function:read", here))
    grant = former.grant("deploy:approve", here)
    assert server.api("DELETE", grant).status == 204
    assert approve(former, function, 1, outcome["digest"]).status == 403
    assert states(server, function) == {1: "pendingApproval"}
    for permission, on in (("admin", here), ("deploy:approve", function)):
        who = account(server, here, (permission, on), ("function:read", here))
        assert approve(who, function, 1, outcome["digest"]).status == 200, permission


@pytest.mark.guarantee("KYM-17")
@pytest.mark.case("A17")
def test_A17_KYM_17_another_tenants_revision_is_as_if_it_were_not_there(server: Server) -> None:
    ours, theirs = team(server, "all"), team(server, "all")
    outcome = waiting(ours.author, ours.function(), answering(1))
    stranger = account(server, theirs.namespace, ("admin", theirs.namespace))
    for act in (approve, reject):
        there, absent = (
            problem(act(stranger, f"{namespace}/{ours.label()}", 1, outcome["digest"]))
            for namespace in (ours.namespace, "absent")
        )
        assert there["status"] == absent["status"] == 404
        assert there["detail"].replace(ours.namespace, "absent") == absent["detail"]
    listed, absent_list = (
        problem(stranger.api("GET", f"/v1/namespaces/{namespace}/approvals"))
        for namespace in (ours.namespace, "absent")
    )
    assert listed["status"] == absent_list["status"] == 404
    assert listed["detail"].replace(ours.namespace, "absent") == absent_list["detail"]
    assert states(server, ours.function()) == {1: "pendingApproval"}


def test_a_function_or_revision_that_is_not_there_is_404(server: Server) -> None:
    ours = sharing(server, "all")
    outcome = waiting(ours.author, ours.function(), answering(1))
    for act in (approve, reject):
        assert problem(act(ours.approver, ours.function("absent"), 1, outcome["digest"]))["status"] == 404
        assert problem(act(ours.approver, ours.function(), 2, outcome["digest"]))["status"] == 404
    for number in ("0", "-1", "x", "1.0", "99999999999999999999", "latest"):
        answer = ours.approver.api(
            "POST", path(ours.function(), "revisions", number, "approval"), {"digest": outcome["digest"]}
        )
        assert problem(answer)["status"] in (400, 404), number
    assert states(server, ours.function()) == {1: "pendingApproval"}


def test_a_body_that_is_not_whole_is_refused(server: Server) -> None:
    ours = sharing(server, "all")
    function = ours.function()
    digest = waiting(ours.author, function, answering(1))["digest"]
    bodies: list[Any] = [
        {}, [], b"", b"{", b'"x"', {"comment": "fine"}, {"digest": None}, {"digest": 1}, {"digest": [digest]}, {"digest": ""},
        {"digest": digest, "comment": 1}, {"digest": digest, "comment": ["x"]}, {"digest": digest, "force": True},
        {"digest": digest, "by": ours.approver.subject}, {"digest": digest, "revision": 1}, {"Digest": digest},
    ]  # fmt: skip
    for body in bodies:
        for act in ("approval", "rejection"):
            answer = ours.approver.api("POST", path(function, "revisions", 1, act), body)
            assert answer.status == 400, f"{act} {body!r}: {answer.status} {answer.text}"
            problem(answer)
    assert states(server, function) == {1: "pendingApproval"}


# ---------------------------------------------------------------- at once


def test_of_an_approval_and_a_rejection_at_once_one_holds(server: Server) -> None:
    ours = sharing(server, "all")
    function = ours.function()
    second = account(server, ours.namespace, ("approver", ours.namespace))
    outcome = waiting(ours.author, function, answering(1))
    barrier = threading.Barrier(2)

    def act(what: Callable[..., Answer], who: Caller) -> int:
        barrier.wait()
        return what(who, function, 1, outcome["digest"]).status

    with ThreadPoolExecutor(2) as pool:
        approval, rejection = pool.submit(act, approve, ours.approver), pool.submit(act, reject, second)
    told = (approval.result(), rejection.result())
    assert told in ((200, 409), (409, 204)), told
    assert states(server, function) == {1: "active" if told[0] == 200 else "rejected"}


def test_a_deployment_that_is_under_way_while_another_is_approved_does_not_pass_over_it(server: Server) -> None:
    ours = sharing(server, "egress")
    function = ours.function()
    live(ours.author, function, answering(1))
    outcome = waiting(ours.author, function, answering(2), {"egress": [HOST]})
    slow = handler("import time\ntime.sleep(2)\ndef handle(data):\n    return 3\n")
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send, ours.author, function, slow)
        time.sleep(1)
        assert not sent.done(), "it should still be built"
        approval = approve(ours.approver, function, 2, outcome["digest"])
        assert approval.status == 200, approval.text
    assert refusal(sent.result()) == "/problems/conflict", sent.result().text
    assert answers(server, function) == (2, 2) and set(states(server, function)) == {1, 2}


# ---------------------------------------------------------------- what is told


def test_what_waits_is_listed_to_who_may_read_it(server: Server) -> None:
    ours = team(server)
    here, changed, new = ours.namespace, ours.function("changed"), ours.function("new")

    def listed(who: Caller) -> dict[str, dict[str, Any]]:
        answer = who.api("GET", f"/v1/namespaces/{here}/approvals")
        assert answer.status == 200, answer.text
        return {one["function"]: one for one in answer.json()["pending"]}

    assert listed(server) == {}
    live(ours.author, changed, answering(1))
    set_rules(server, here, requireApproval=["all"])
    first = waiting(ours.author, changed, answering(2), {"egress": [HOST]})
    second = waiting(ours.author, new, answering(1))
    assert set(listed(server)) == {changed, new}
    one = listed(server)[changed]
    assert (one["revision"], one["digest"], one["author"]) == (2, first["digest"], ours.author.subject), one
    assert one["created"] == revision(server, changed, 2)["created"]
    assert one["needsApproval"] == first["needsApproval"] and HOST in str(one["changes"]), one
    reader = account(server, here, ("function:read", new))
    assert set(listed(reader)) == {new}
    assert server.api("GET", f"/v1/namespaces/{here}/approvals", key=None).status == 401
    approved(ours.approver, new, second)
    assert set(listed(server)) == {changed}
    assert server.api("DELETE", path(changed)).status == 204
    assert listed(server) == {}


@pytest.mark.guarantee("COG-19")
def test_COG_19_all_of_it_is_in_the_audit_log(server: Server) -> None:
    ours = sharing(server, "all")
    function = ours.function()
    author = account(server, ours.namespace, ("admin", ours.namespace))
    outcome = waiting(author, function, answering(1))
    assert recorded(server, "function.deployed", function=function) == [], "nothing became live"
    refused_as_own(author, server, function, outcome)
    assert reject(ours.approver, function, 1, outcome["digest"], comment="not so").status == 204
    again = waiting(author, function, answering(2))
    assert approve(ours.approver, function, 2, again["digest"], comment="so").status == 200

    def told(kind: str) -> list[tuple[str, str]]:
        records = recorded(server, kind, function=function)
        for record in records:
            digest = {"1": outcome, "2": again}[record["details"]["revision"]]["digest"]
            assert digest.removeprefix("sha256:") in str(record["details"]), f"{kind} names no digest: {record}"
        return [(record["actor"], record["details"]["revision"]) for record in records]

    assert told("approval.requested") == [(author.subject, "1"), (author.subject, "2")]
    assert told("approval.refused") == [(author.subject, "1")]
    assert told("approval.rejected") == [(ours.approver.subject, "1")]
    assert told("approval.given") == [(ours.approver.subject, "2")]
    assert recorded(server, "approval.refused", function=function)[0]["outcome"] == "refused"
    assert "not so" in str(recorded(server, "approval.rejected", function=function))
    assert "so" in str(recorded(server, "approval.given", function=function)[0]["details"])


# ---------------------------------------------------------------- the command line


@pytest.mark.guarantee("COG-25")
def test_the_story_of_an_approval_on_the_command_line(server: Server) -> None:
    ours = sharing(server, "egress")
    function = ours.function()
    live(ours.author, function, answering(1))
    folder = server.project(ours.namespace, ours.label(), answering(2), {"egress": [HOST]})
    code, out, err = ours.author.cli("deploy", str(folder))
    assert code == 0 and f"casemate approve {function}#2" in out + err and HOST in out, out + err
    code, out, err = ours.approver.cli("approvals", ours.namespace)
    assert code == 0 and f"{function}#2" in out and ours.author.subject in out and "egress" in out, out + err
    code, out, _ = ours.approver.cli("approvals", ours.namespace, "--json")
    assert code == 0 and f'"{function}"' in out and HOST in out, out
    digest = revision(server, function, 2)["digest"]
    code, out, err = ours.author.cli("approve", f"{function}#2", "--digest", digest)
    assert code == 2 and "deploy:approve" in err, out + err
    code, out, err = ours.approver.cli("approve", f"{function}#2", "--digest", ANOTHER_DIGEST)
    assert code == 2 and active(server, function) == 1, out + err
    code, out, err = ours.approver.cli("approve", f"{function}#2", "--digest", digest, "--comment", "as we said")
    assert code == 0 and function in out, out + err
    assert answers(server, function) == (2, 2)
    assert revision(server, function, 2)["approvals"][0]["comment"] == "as we said"
    assert "pendingApproval" not in ours.author.cli("function", "show", function)[1]


def test_the_command_rejects_and_the_function_shows_it(server: Server) -> None:
    ours = sharing(server, "all")
    function = ours.function()
    outcome = waiting(ours.author, function, answering(1))
    assert "pending" in ours.author.cli("function", "show", function)[1].lower()
    code, out, err = ours.approver.cli("reject", f"{function}#1", "--digest", outcome["digest"], "--comment", "no")
    assert code == 0, out + err
    assert states(server, function) == {1: "rejected"}
    assert "rejected" in ours.author.cli("function", "show", function)[1]
    code, _, err = ours.approver.cli("approve", f"{function}#1", "--digest", outcome["digest"])
    assert code == 2 and "reject" in err, err


@pytest.mark.case("D11")
@pytest.mark.parametrize("command", ["approve", "reject"])
def test_D11_without_a_digest_and_a_terminal_the_command_refuses_and_changes_nothing(
    server: Server, command: str
) -> None:
    ours = sharing(server, "all")
    waiting(ours.author, ours.function(), answering(1))
    code, out, err = ours.approver.cli(command, f"{ours.function()}#1", input="y\n")
    assert code == 2 and "--digest" in err, out + err
    assert states(server, ours.function()) == {1: "pendingApproval"}


@pytest.mark.parametrize("what", ["f", "ns/f", "ns/f#", "ns/f#x", "ns/f#0", "ns/f#-1", "ns/f@1", "#1", ""])
def test_the_command_takes_nothing_that_names_no_revision(server: Server, what: str) -> None:
    for command in ("approve", "reject"):
        code, out, err = server.cli(command, what, "--digest", ANOTHER_DIGEST)
        assert code not in (0, 1) and err and not out, f"{code} {out}{err}"


# ---------------------------------------------------------------- the policy


DEFAULTS = {
    "requireSignature": False,
    "signers": [],
    "requireApproval": [],
    "requireReview": False,
    "production": False,
}


def test_a_policy_shows_what_it_has_of_all_this(server: Server) -> None:
    ours = team(server)
    where = f"/v1/namespaces/{ours.namespace}/policy"
    assert server.api("PUT", where, {}).status == 200
    assert server.api("GET", where).json()["supplyChain"] == DEFAULTS
    set_rules(server, ours.namespace, requireApproval=["egress", "dependencies"], requireReview=True)
    told = server.api("GET", where).json()["supplyChain"]
    assert sorted(told["requireApproval"]) == ["dependencies", "egress"]
    assert {**told, "requireApproval": []} == {**DEFAULTS, "requireReview": True}


@pytest.mark.parametrize(
    "rules",
    [
        {"requireApproval": "egress"}, {"requireApproval": ["hosts"]}, {"requireApproval": [1]}, {"requireApproval": ["Egress"]},
        {"requireApproval": [""]}, {"requireApproval": {"egress": True}}, {"requireReview": "yes"}, {"requireReview": 1},
        {"production": "true"}, {"production": 1}, {"requireSignature": 0}, {"approvers": ["x"]}, {"RequireReview": True}, [], "all",
    ],
    ids=range(15),
)  # fmt: skip
def test_a_policy_that_says_nothing_is_refused_and_the_old_one_stays(server: Server, rules: object) -> None:
    where = "/v1/namespaces/agreed-strict/policy"
    set_rules(server, "agreed-strict", requireApproval=["all"], requireReview=True, production=True)
    before = server.api("GET", where).json()
    refused = server.api("PUT", where, {"supplyChain": rules})
    assert refused.status == 400, refused.text
    problem(refused)
    assert server.api("GET", where).json() == before


@pytest.mark.guarantee("COG-19")
def test_COG_19_to_ask_for_less_takes_the_right_to_approve(server: Server) -> None:
    ours = team(server)
    where = f"/v1/namespaces/{ours.namespace}/policy"
    writer = account(server, ours.namespace, ("policy:write", ours.namespace), ("function:read", ours.namespace))
    strict = {"requireApproval": ["dependencies", "egress"], "requireReview": True, "production": True}
    for tighter in ({"requireApproval": ["egress"]}, strict):
        assert writer.api("PUT", where, {"supplyChain": tighter}).status == 200, tighter
    looser: list[dict[str, Any]] = [
        {},
        {"supplyChain": {}},
        {"supplyChain": {**strict, "requireApproval": ["egress"]}},
        {"supplyChain": {**strict, "requireApproval": ["access", "egress"]}},
        {"supplyChain": {**strict, "requireReview": False}},
        {"supplyChain": {**strict, "production": False}},
    ]
    for body in looser:
        told = problem(writer.api("PUT", where, body))
        assert told["status"] == 403 and "deploy:approve" in told["detail"], f"{body}: {told}"
    assert sorted(server.api("GET", where).json()["supplyChain"]["requireApproval"]) == ["dependencies", "egress"]
    writer.grant("deploy:approve", ours.namespace)
    for body in looser[2:]:
        assert writer.api("PUT", where, body).status == 200, body
        assert writer.api("PUT", where, {"supplyChain": strict}).status == 200
    records = recorded(server, "policy.changed", namespace=ours.namespace, actor=writer.subject)
    told_of = " ".join(str(record["details"]) for record in records)
    for field in ("requireApproval", "requireReview", "production"):
        assert f"supplyChain.{field}" in told_of, told_of


@pytest.mark.guarantee("COG-25")
def test_COG_25_what_waits_was_shown_no_secret_when_it_was_loaded(server: Server) -> None:
    ours = team(server, "egress")
    function = ours.function()
    live(ours.author, function, answering(1))
    server.secret(function, "KEY", value(24))
    before = len(server.api("GET", "/v1/audit?tail=1000&kind=secret.used").json()["records"])
    bad = handler("raise ImportError('the way out is missing')\ndef handle(data, secrets):\n    return 1\n")
    outcome = waiting(ours.author, function, bad, {"egress": [HOST], "secrets": ["KEY"]})
    assert any("once it is approved" in each["what"] for each in outcome["diagnostics"]), outcome
    after = [
        record
        for record in server.api("GET", "/v1/audit?tail=1000&kind=secret.used").json()["records"][before:]
        if "loading" in record["details"].get("for", "") and record.get("function") == function
    ]
    assert after == [], "it was handed its secrets before anybody had approved where it may send them"


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-19")
def test_D11_COG_19_an_account_that_is_gone_was_its_makers_all_the_same(server: Server) -> None:
    ours = team(server, "all")
    boss = account(server, ours.namespace, ("admin", ours.namespace))
    puppet = boss.api("POST", f"/v1/namespaces/{ours.namespace}/service-accounts", {"name": "puppet"}).json()
    grants = f"/v1/namespaces/{ours.namespace}/grants"
    boss.api("POST", grants, {"subject": f"service-account:{ours.namespace}/puppet", "permission": "developer"})
    key = boss.api("POST", f"/v1/namespaces/{ours.namespace}/service-accounts/puppet/keys", {"description": "x"}).json()
    assert puppet and "key" in key, key
    function = ours.function()
    holder = replace(ours.author, key=key["key"])
    outcome = waiting(holder, function, answering(1))
    assert boss.api("DELETE", f"/v1/namespaces/{ours.namespace}/service-accounts/puppet").status == 204
    told = problem(approve(boss, function, outcome["revision"], outcome["digest"]))
    assert (told["status"], told["type"]) == (403, "/problems/self-approval"), told
    approved(ours.approver, function, outcome)


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-25")
def test_D11_COG_25_what_was_taken_back_is_not_granted_again_without_a_second_person(server: Server) -> None:
    ours = team(server, "egress")
    function = ours.function()
    live(ours.author, function, answering(1))
    writer = account(server, ours.namespace, ("policy:write", ours.namespace))
    where = f"{path(function, 'egress')}/{HOST}"
    first = writer.api("PUT", where).json()
    assert first["needsApproval"] == ["egress"], first
    approved(
        ours.approver, function, {"revision": first["revision"], "digest": revision(server, function, 2)["digest"]}
    )
    assert writer.api("DELETE", where).json()["revision"] == 3, "the narrower one is live at once"
    assert active(server, function) == 3 and answers(server, function)[0] == 1
    again = writer.api("PUT", where).json()
    assert again["needsApproval"] == ["egress"] and active(server, function) == 3, again


@pytest.mark.case("D11")
def test_D11_a_deployment_that_was_decided_by_older_rules_is_not_made(server: Server) -> None:
    ours = team(server)
    function = ours.function()
    live(ours.author, function, answering(1))
    slow = handler("import time\ntime.sleep(3)\ndef handle(data, secrets):\n    return 2\n")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(deploy, ours.author, function, slow)
        time.sleep(1.5)
        set_rules(server, ours.namespace, requireApproval=["all"])
        outcome = running.result()
    assert outcome["status"] == "failed" and outcome["problemType"] == "/problems/conflict", outcome
    assert active(server, function) == 1
