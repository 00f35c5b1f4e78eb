"""Approvals: what waits for a second person, who that may be, and that they agree to exactly what then runs."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from accounts import Account, account
from casemate_fixture import Answer, Server, handler, problem
from gate_answers import recorded
from identity_provider import Provider, SignInProvider
from package_index import PackageWorld, Release
from secret_calls import value
from sign_in import Home
from source_packages import needing
from supply_chain import (
    HOST,
    OTHER_HOST,
    Caller,
    Holder,
    Team,
    active,
    answering,
    answers,
    approve,
    approved,
    deploy,
    is_waiting,
    live,
    page,
    path,
    pending,
    refusal,
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


def refused_as_own(who: Caller, server: Server, function: str, outcome: dict[str, Any]) -> None:
    """It is theirs: they are told so, and nothing of the revision changes."""
    number = outcome["revision"]
    before = revision(server, function, number)
    answer = approve(who, function, number, outcome["digest"])
    told = problem(answer)
    assert (answer.status, told["type"]) == (403, "/problems/self-approval"), told
    assert revision(server, function, number) == before
    assert before["state"] == "pendingApproval" and before["approvals"] == [], before


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
    live(ours.author, function, answering(2), {"access": "public"})
    refused()
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


# ---------------------------------------------------------------- nobody approves what is their own


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-19")
def test_D11_COG_19_an_author_does_not_approve_by_any_key_of_theirs(server: Server) -> None:
    ours = sharing(server, "all")
    author = account(server, ours.namespace, ("admin", ours.namespace))
    outcome = waiting(author, ours.function(), answering(1))
    refused_as_own(author, server, ours.function(), outcome)
    second = server.api("POST", f"{author.path}/keys", {}).json()["key"]
    assert second != author.key
    refused_as_own(Holder(server, second), server, ours.function(), outcome)
    refused_as_own(
        Holder(server, token_of(server, author.client_id, author.client_secret)), server, ours.function(), outcome
    )
    approved(ours.approver, ours.function(), outcome)


def token_of(server: Server, client_id: str, client_secret: str) -> str:
    """An access token for a client secret."""
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
    answer = server.http(
        server.api_url,
        "POST",
        "/oauth/token",
        urllib.parse.urlencode(form).encode(),
        {"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert answer.status == 200, answer.text
    return str(answer.json()["access_token"])


def made_by(maker: Account, role: str) -> Account:
    """A service account that another has made, with a key from there."""
    name = f"made-{next(_numbers)}"
    where = f"/v1/namespaces/{maker.namespace}/service-accounts"
    made = maker.api("POST", where, {"name": name, "role": role})
    assert made.status == 201, made.text
    key = maker.api("POST", f"{where}/{name}/keys", {})
    assert key.status == 201, key.text
    return Account(
        maker.server, maker.namespace, name, made.json()["clientId"], made.json()["clientSecret"], key.json()["key"]
    )


def keyed_by(maker: Account, role: str) -> Account:
    """A service account of somebody else's making, for which another has made themselves a key."""
    theirs = account(maker.server, maker.namespace, (role, maker.namespace))
    key = maker.api("POST", f"{theirs.path}/keys", {})
    assert key.status == 201, key.text
    theirs.key = key.json()["key"]
    return theirs


def rotated_by(maker: Account, role: str) -> Account:
    """Likewise by a new client secret, which is as good as a key."""
    theirs = account(maker.server, maker.namespace, (role, maker.namespace))
    renewed = maker.api("POST", f"{theirs.path}/secret")
    assert renewed.status == 200, renewed.text
    theirs.key = token_of(maker.server, theirs.client_id, renewed.json()["clientSecret"])
    return theirs


def made_by_one_made_by(maker: Account, role: str) -> Account:
    return made_by(made_by(maker, "admin"), role)


PUPPETS: dict[str, Callable[[Account, str], Account]] = {
    "made": made_by,
    "given a key": keyed_by,
    "given a client secret": rotated_by,
    "made by one they made": made_by_one_made_by,
}


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-19")
@pytest.mark.parametrize("how", PUPPETS)
def test_D11_COG_19_an_account_that_the_author_holds_does_not_approve_for_them(server: Server, how: str) -> None:
    ours = sharing(server, "all")
    author = account(server, ours.namespace, ("admin", ours.namespace))
    puppet = PUPPETS[how](author, "approver")
    outcome = waiting(author, ours.function(), answering(1))
    refused_as_own(puppet, server, ours.function(), outcome)
    approved(ours.approver, ours.function(), outcome)


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-19")
@pytest.mark.parametrize("how", PUPPETS)
def test_D11_COG_19_nobody_approves_what_an_account_that_they_hold_has_deployed(server: Server, how: str) -> None:
    ours = sharing(server, "all")
    approver = account(server, ours.namespace, ("admin", ours.namespace))
    puppet = PUPPETS[how](approver, "developer")
    outcome = waiting(puppet, ours.function(), answering(1))
    refused_as_own(approver, server, ours.function(), outcome)
    approved(ours.approver, ours.function(), outcome)


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-19")
def test_D11_COG_19_the_bootstrap_key_is_somebody_like_any_other(server: Server) -> None:
    ours = sharing(server, "all")
    mine = waiting(server, ours.function("mine"), answering(1))
    refused_as_own(server, server, ours.function("mine"), mine)
    # It has made both of them.
    refused_as_own(ours.approver, server, ours.function("mine"), mine)
    theirs = waiting(ours.author, ours.function("theirs"), answering(1))
    refused_as_own(server, server, ours.function("theirs"), theirs)
    approved(ours.approver, ours.function("theirs"), theirs)


# ---------------------------------------------------------------- people


@dataclass
class Issuers:
    """Issuers that people have accounts at. What those are called by is in the name."""

    server: Server
    providers: dict[str, Provider]

    def person(self, ours: Team, issuer: str, permission: str, **claims: Any) -> Holder:
        """Somebody with a token of one of them, who was granted something."""
        name = claims[CALLED_BY[issuer]]
        grant = {"subject": f"user:{issuer}:{name}", "permission": permission}
        made = self.server.api("POST", f"/v1/namespaces/{ours.namespace}/grants", grant)
        assert made.status in (200, 201, 409), made.text
        return Holder(self.server, self.providers[issuer].token(email_verified=True, **claims))


CALLED_BY = {
    "agree-firm": "sub",
    "agree-other": "sub",
    "agree-handles": "preferred_username",
    "agree-mail": "email",
    "agree-mail-too": "email",
}


@pytest.fixture(scope="module")
def firm() -> Iterator[SignInProvider]:
    with SignInProvider() as provider:
        yield provider


@pytest.fixture(scope="module")
def issuers(running: Server, firm: SignInProvider) -> Iterator[Issuers]:
    with contextlib.ExitStack() as stack:
        others = {name: stack.enter_context(Provider()) for name in CALLED_BY if name != "agree-firm"}
        providers: dict[str, Provider] = {"agree-firm": firm, **others}
        for name, provider in providers.items():
            issuer = {"name": name, "url": provider.url, "audiences": ["casemate"], "usernameClaim": CALLED_BY[name]}
            if name == "agree-firm":
                issuer["clientId"] = firm.client_id
            made = running.api("POST", "/v1/issuers", issuer)
            assert made.status == 201, made.text
        yield Issuers(running, providers)
        for name in providers:
            assert running.api("DELETE", f"/v1/issuers/{name}").status == 204


ELSEWHERE: dict[str, tuple[tuple[str, dict[str, str]], tuple[str, dict[str, str]]]] = {
    "the same subject": (("agree-firm", {"sub": "ann"}), ("agree-other", {"sub": "ann"})),
    "the same subject, called otherwise": (
        ("agree-mail", {"sub": "ann-2", "email": "ann@one.example"}),
        ("agree-other", {"sub": "ann-2"}),
    ),
    "the same username": (
        ("agree-firm", {"sub": "ann-3"}),
        ("agree-handles", {"sub": "0198-7", "preferred_username": "ann-3"}),
    ),
    "the same address": (
        ("agree-mail", {"sub": "a-1", "email": "ann@plant.example"}),
        ("agree-mail-too", {"sub": "b-2", "email": "ann@plant.example"}),
    ),
}


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-19")
@pytest.mark.parametrize("alike", ELSEWHERE)
def test_D11_COG_19_a_second_account_of_the_author_at_another_issuer_does_not_approve(
    server: Server, issuers: Issuers, alike: str
) -> None:
    ours = sharing(server, "all")
    (issuer, claims), (other_issuer, other_claims) = ELSEWHERE[alike]
    author = issuers.person(ours, issuer, "developer", **claims)
    again = issuers.person(ours, other_issuer, "approver", **other_claims)
    outcome = waiting(author, ours.function(), answering(1))
    refused_as_own(again, server, ours.function(), outcome)
    somebody = issuers.person(ours, "agree-other", "approver", sub="somebody", email="somebody@plant.example")
    approved(somebody, ours.function(), outcome)


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-19")
def test_D11_COG_19_a_sign_in_and_a_token_of_one_person_are_one(
    server: Server, issuers: Issuers, firm: SignInProvider, tmp_path: Path
) -> None:
    ours = sharing(server, "all")
    author = issuers.person(ours, "agree-firm", "admin", sub="carl")
    outcome = waiting(author, ours.function(), answering(1))
    firm.person = {"sub": "carl"}
    home = Home(server, firm, tmp_path)
    assert home.login("--issuer", "agree-firm")[0] == 0
    refused_as_own(home, server, ours.function(), outcome)
    # And an account that they have made, whichever way they had signed in.
    name = f"made-{next(_numbers)}"
    where = f"/v1/namespaces/{ours.namespace}/service-accounts"
    assert home.api("POST", where, {"name": name, "role": "approver"}).status == 201
    key = home.api("POST", f"{where}/{name}/keys", {}).json()["key"]
    refused_as_own(Holder(server, key), server, ours.function(), outcome)


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


def test_on_a_terminal_the_command_shows_the_diff_and_asks(
    server: Server, issuers: Issuers, firm: SignInProvider, tmp_path: Path
) -> None:
    ours = team(server)
    function = ours.function()
    live(ours.author, function, answering(1))
    set_rules(server, ours.namespace, requireApproval=["egress"])
    waiting(ours.author, function, answering(2), {"egress": [HOST]})
    issuers.person(ours, "agree-firm", "approver", sub="dora")
    firm.person = {"sub": "dora"}
    dora = Home(server, firm, tmp_path)
    assert dora.login("--issuer", "agree-firm")[0] == 0
    code, said = dora.on_terminal("approve", f"{function}#2", answer="n")
    assert code != 0 and HOST in said and "[y/N]" in said, said
    assert active(server, function) == 1
    code, said = dora.on_terminal("approve", f"{function}#2", answer="y")
    assert code == 0 and HOST in said, said
    assert answers(server, function) == (2, 2)
    assert revision(server, function, 2)["approvals"][0]["by"] == "user:agree-firm:dora"


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


# ---------------------------------------------------------------- packages


@pytest.fixture(scope="module")
def packages() -> Iterator[PackageWorld]:
    if os.geteuid() != 0:
        pytest.exit("these tests make network namespaces, which needs root", returncode=4)
    with PackageWorld() as world:
        world.index.add(
            *[Release(name) for name in ("acme-tools", "acme-paint", "quokkas", "left-pad")],
            Release("needy", requires=["left-pad"]),
            Release("wombats", "1.0"),
        )
        world.open_index()
        yield world


@pytest.fixture(scope="module")
def shop(packages: PackageWorld) -> Iterator[Server]:
    with packages.installing("--pool-size", "2") as server:
        yield server


@pytest.mark.guarantee("COG-19")
def test_COG_19_a_change_of_packages_waits_for_a_second_person(shop: Server) -> None:
    ours = team(shop, "dependencies")
    function = ours.function()
    live(ours.author, function, answering(1))
    outcome = waiting(ours.author, function, needing(["quokkas"], "quokkas", returns="2"))
    assert outcome["needsApproval"] == ["dependencies"] and "quokkas 1.0" in str(outcome["packages"]), outcome
    assert answers(shop, function) == (1, 1)
    author = problem(approve(ours.author, function, 2, outcome["digest"]))
    assert author["status"] == 403
    ours.author.grant("deploy:approve", ours.namespace)
    refused_as_own(ours.author, shop, function, outcome)
    approved(ours.approver, function, outcome)
    assert answers(shop, function) == (2, 2)
    # Other code with the same packages is no change of packages; fewer of them is one.
    live(ours.author, function, needing(["quokkas"], "quokkas", returns="3"))
    assert waiting(ours.author, function, answering(4))["needsApproval"] == ["dependencies"]
    assert answers(shop, function) == (3, 3)


@pytest.mark.guarantee("COG-19")
def test_COG_19_an_upgrade_of_what_is_locked_waits_as_well(shop: Server, packages: PackageWorld) -> None:
    ours = team(shop)
    function = ours.function()
    live(ours.author, function, needing(["wombats"], "wombats", returns="wombats.VERSION"))
    set_rules(shop, ours.namespace, requireApproval=["dependencies"])
    packages.index.add(Release("wombats", "2.0"))
    answer = ours.author.api("POST", path(function, "upgrade"), {}, timeout=180)
    assert answer.status == 200, answer.text
    outcome = is_waiting(answer.json())
    assert outcome["needsApproval"] == ["dependencies"] and answers(shop, function) == ("1.0", 1)
    approved(ours.approver, function, outcome)
    assert answers(shop, function) == ("2.0", 2)


def refused_for(outcome: dict[str, Any], package: str) -> None:
    assert outcome["status"] == "failed", outcome
    assert package in str([outcome["problem"], outcome["diagnostics"]]), outcome


@pytest.mark.guarantee("COG-19")
@pytest.mark.parametrize(
    ("rules", "requirement", "named"),
    [
        ({"deny": ["left-pad"]}, "left-pad", "left-pad"),
        ({"deny": ["Left_Pad"]}, "left.pad", "left-pad"),
        ({"deny": ["left-pad"]}, "needy", "left-pad"),
        ({"deny": ["acme-*"]}, "acme-tools", "acme-tools"),
        ({"allow": ["quokkas"]}, "acme-tools", "acme-tools"),
        ({"allow": ["needy"]}, "needy", "left-pad"),
        ({"allow": ["acme-*"], "deny": ["acme-paint"]}, "acme-paint", "acme-paint"),
        ({"allow": []}, "quokkas", "quokkas"),
    ],
    ids=["denied", "spelled otherwise", "behind another", "by a beginning", "not allowed", "behind an allowed one", "both", "none at all"],
)  # fmt: skip
def test_COG_19_a_package_that_the_namespace_does_not_take_is_refused(
    shop: Server, rules: dict[str, list[str]], requirement: str, named: str
) -> None:
    ours = team(shop, gate={"packages": rules})
    function = ours.function()
    module = requirement.replace(".", "_").replace("-", "_")
    refused_for(deploy(ours.author, function, needing([requirement], module)), named)
    assert shop.api("GET", path(function)).status == 404


@pytest.mark.guarantee("COG-19")
def test_COG_19_a_package_that_the_namespace_takes_is_installed(shop: Server) -> None:
    ours = team(shop, gate={"packages": {"allow": ["Quokkas", "acme-*"], "deny": ["acme-paint", "left-pad"]}})
    live(ours.author, ours.function(), needing(["quokkas", "acme_tools"], "quokkas", "acme_tools"))
    set_rules(shop, ours.namespace, gate={"packages": {"allow": []}})
    live(ours.author, ours.function("bare"), answering(1))
    # What is live serves on; with the next deployment the list counts.
    assert shop.call(ours.function(), body={}).status == 200
    refused_for(deploy(ours.author, ours.function(), needing(["quokkas"], "quokkas")), "quokkas")


@pytest.mark.parametrize(
    "lists",
    [
        {"allow": "quokkas"}, {"allow": [1]}, {"deny": [""]}, {"deny": ["../x"]}, {"deny": ["a b"]}, {"allow": ["x==1.0"]},
        {"allow": ["https://x.example/x.whl"]}, {"refuse": []}, [], "all",
    ],
    ids=range(10),
)  # fmt: skip
def test_lists_of_packages_that_are_none_are_refused(server: Server, lists: object) -> None:
    server.namespace("agreed-lists")
    where = "/v1/namespaces/agreed-lists/policy"
    before = server.api("GET", where).json()
    refused = server.api("PUT", where, {"gate": {"packages": lists}})
    assert refused.status == 400, refused.text
    assert server.api("GET", where).json() == before


@pytest.mark.guarantee("AZR-13")
def test_AZR_13_an_upgrade_is_no_way_round_a_promotion(shop: Server, packages: PackageWorld) -> None:
    ours, prod = team(shop), team(shop, production=True)
    there = f"{prod.namespace}/{ours.label()}"
    packages.index.add(Release("numbats", "1.0"))
    live(ours.author, ours.function(), needing(["numbats"], "numbats", returns="numbats.VERSION"))
    ours.review(ours.function(), 1)
    order = {"from": ours.function(), "revision": 1}
    promoted = shop.api("POST", f"/v1/namespaces/{prod.namespace}/promotions", order, timeout=180)
    assert promoted.status in (200, 201), promoted.text
    assert answers(shop, there) == ("1.0", 1)
    packages.index.add(Release("numbats", "2.0"))
    answer = prod.author.api("POST", path(there, "upgrade"), {}, timeout=180)
    assert refusal(answer) == "/problems/promotion-required", answer.text
    assert answers(shop, there) == ("1.0", 1) and len(page(shop, there)["revisions"]) == 1


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
