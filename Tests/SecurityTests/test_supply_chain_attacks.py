"""Ways round a second person: by another namespace, by another account, by a grant, or by a policy that changes meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from accounts import Account, account
from casemate_fixture import Answer, Server, handler, problem
from gate_answers import recorded
from ssh_signatures import Keys, assert_untrusted, deployment, signer, supply_chain
from supply_chain import (
    HOST,
    OTHER_HOST,
    Caller,
    Team,
    active,
    answering,
    answers,
    approve,
    approved,
    is_waiting,
    live,
    path,
    refusal,
    refused_as_own,
    revision,
    set_rules,
    sharing,
    states,
    team,
    waiting,
)

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


def promote(who: Caller, target: str, source: str, **order: Any) -> Answer:
    return who.api("POST", f"/v1/namespaces/{target}/promotions", {"from": source, **order}, timeout=180)


def promoted(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.text
    outcome: dict[str, Any] = answer.json()
    assert outcome["status"] == "deployed", outcome
    return outcome


def promoter_of(server: Server, prod: str, *sources: str) -> Account:
    return account(server, prod, ("deployer", prod), *[("source:read", source) for source in sources])


def as_outcome(server: Server, function: str, number: int) -> dict[str, Any]:
    """What an approval of it has to name."""
    return {"revision": number, "digest": revision(server, function, number)["digest"]}


def reviewed(ours: Team, source: dict[str, str], function: str | None = None) -> str:
    """A function that its author deployed and another approved."""
    function = function or ours.function()
    ours.review(function, live(ours.author, function, source)["revision"])
    return function


def is_absent(server: Server, function: str) -> None:
    assert server.api("GET", path(function)).status == 404


def refused_for_right(answer: Answer, right: str) -> None:
    told = problem(answer)
    assert (told["status"], told["type"]) == (403, "/problems/forbidden") and right in told["detail"], told


# ---------------------------------------------------------------- from where


@pytest.mark.case("D11")
@pytest.mark.guarantee("AZR-13")
def test_D11_AZR_13_a_promotion_from_a_namespace_that_is_not_listed_is_refused(server: Server) -> None:
    listed, other = sharing(server), team(server)
    prod = f"{other.namespace}-prod"
    set_rules(server, prod, production=True, promoteFrom=[listed.namespace])
    promoter = promoter_of(server, prod, listed.namespace, other.namespace)
    for ours in (listed, other):
        reviewed(ours, answering(ours.namespace))
    for who in (promoter, account(server, prod, ("admin", None)), server):
        answer = promote(who, prod, other.function())
        assert refusal(answer) == "/problems/forbidden" and "promoteFrom" in answer.text, answer.text
    code, out, err = promoter.cli("promote", other.function(), "--to", prod)
    assert code in (1, 2) and "promoteFrom" in out + err, out + err
    there = f"{prod}/{other.label()}"
    is_absent(server, there)
    promoted(promote(promoter, prod, listed.function()))
    assert answers(server, f"{prod}/{listed.label()}") == (listed.namespace, 1)
    # Nor where the namespace is no production; and a list of none is none.
    for rules in ({"promoteFrom": [listed.namespace]}, {"production": True, "promoteFrom": []}):
        set_rules(server, prod, **rules)
        assert refusal(promote(promoter, prod, other.function())) == "/problems/forbidden", rules
    is_absent(server, there)
    set_rules(server, prod, production=True)
    promoted(promote(promoter, prod, other.function()))


@dataclass
class Detour:
    """What eve's people approved in a namespace of hers was promoted to one that production takes from."""

    staging: Team
    prod: str
    eve: Account

    @property
    def function(self) -> str:
        return self.staging.function()


@pytest.fixture
def detour(server: Server) -> Detour:
    laboratory, staging = team(server), team(server)
    prod = f"{staging.namespace}-prod"
    set_rules(server, prod, production=True, promoteFrom=[staging.namespace])
    source = reviewed(laboratory, answering("from the laboratory"), f"{laboratory.namespace}/{staging.label()}")
    eve = account(
        server, staging.namespace, ("deployer", staging.namespace), ("deployer", prod), ("source:read", staging.namespace),
        ("admin", laboratory.namespace),
    )  # fmt: skip
    promoted(promote(eve, staging.namespace, source))
    return Detour(staging, prod, eve)


@pytest.mark.case("D11")
@pytest.mark.guarantee("AZR-13")
def test_D11_AZR_13_an_approval_of_elsewhere_does_not_count_after_a_detour_through_what_is_listed(
    server: Server, detour: Detour
) -> None:
    told = problem(promote(detour.eve, detour.prod, detour.function))
    assert (told["status"], told["type"]) == (403, "/problems/approval-required"), told
    is_absent(server, f"{detour.prod}/{detour.staging.label()}")
    detour.staging.review(detour.function, 1)
    promoted(promote(detour.eve, detour.prod, detour.function))


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-27")
def test_D11_COG_27_an_approval_of_elsewhere_is_no_review_where_it_was_promoted_to(
    server: Server, detour: Detour
) -> None:
    assert answers(server, detour.function) == ("from the laboratory", 1)
    set_rules(server, detour.staging.namespace, requireReview=True)
    assert_untrusted(server.call(detour.function, body={}))
    detour.staging.review(detour.function, 1)
    assert answers(server, detour.function) == ("from the laboratory", 1)


@pytest.mark.case("D11")
@pytest.mark.guarantee("AZR-13")
def test_D11_AZR_13_to_take_from_more_namespaces_takes_the_right_to_approve(server: Server) -> None:
    house = f"listing-{next(_numbers)}"
    server.namespace(house)
    writer = account(server, house, ("policy:write", house), ("function:read", house))
    where = f"/v1/namespaces/{house}/policy"

    def put(sources: list[Any] | None) -> Answer:
        chain = {"production": True, **({} if sources is None else {"promoteFrom": sources})}
        return writer.api("PUT", where, {"supplyChain": chain})

    for narrower in (["staging", "trials"], ["staging"]):
        assert put(narrower).status == 200, narrower
    looser: list[list[str] | None] = [["staging", "trials"], ["trials"], ["staging", "staging-2"], None]
    for wider in looser:
        refused_for_right(put(wider), "deploy:approve")
        assert server.api("GET", where).json()["supplyChain"]["promoteFrom"] == ["staging"], wider
    for wrong in ([1], [""], ["A B"], ["../x"], "staging", {"staging": True}, ["staging"] * 101):
        answer = writer.api("PUT", where, {"supplyChain": {"production": True, "promoteFrom": wrong}})
        assert answer.status in (400, 422), f"{wrong}: {answer.status} {answer.text}"
    assert put([]).status == 200, "none is less than one"
    refused_for_right(put(["staging"]), "deploy:approve")
    writer.grant("deploy:approve", house)
    for wider in looser:
        assert put(wider).status == 200, wider
        assert server.api("GET", where).json()["supplyChain"].get("promoteFrom") == wider
    told = str([record["details"] for record in recorded(server, "policy.changed", namespace=house)])
    assert "supplyChain.promoteFrom=staging+trials" in told and "supplyChain.promoteFrom=any" in told, told


@pytest.mark.case("D11")
@pytest.mark.guarantee("AZR-13", "COG-27")
def test_D11_COG_27_under_another_name_no_signature_counts_for_a_promotion(server: Server, keys: Keys) -> None:
    ours = team(server, signers=[signer("ada", keys("ada"))])
    prod = f"{ours.namespace}-prod"
    supply_chain(server, prod, signer("ada of prod", keys("ada")), requireSignature=True, production=True)
    promoter = promoter_of(server, prod, ours.namespace)
    function = ours.function()
    deployment(server, function, answering("signed")).by(keys("ada"), by=ours.author)
    ours.review(function, 1)
    for name in ("payroll", f"{ours.label()}-2"):
        for who in (promoter, server):
            answer = promote(who, prod, function, name=name)
            assert refusal(answer) == "/problems/untrusted-signature", answer.text
        code, out, err = promoter.cli("promote", function, "--to", prod, "--as", name)
        assert code != 0 and "signed" in out + err, out + err
        is_absent(server, f"{prod}/{name}")
    unsigned = reviewed(ours, answering("unsigned"), ours.function("g"))
    assert refusal(promote(promoter, prod, unsigned)) == "/problems/untrusted-signature"
    is_absent(server, f"{prod}/{ours.label('g')}")
    promoted(promote(promoter, prod, function))
    there = f"{prod}/{ours.label()}"
    assert answers(server, there) == ("signed", 1)
    assert revision(server, there, 1)["signedBy"] == {"name": "ada of prod", "key": keys("ada").fingerprint}


# ---------------------------------------------------------------- grants


def reaching(number: int) -> dict[str, str]:
    """A source whose function answers with this number, and whether it may reach `HOST`: what it may not has no address there."""
    return handler(f"""
        import socket

        def handle(data):
            try:
                found = socket.getaddrinfo("{HOST.split(':')[0]}", 443)[0][4][0]
            except OSError:
                found = ""
            return [{number}, found.startswith("127.66.")]
        """)


@dataclass
class Granting:
    """A production namespace with a function of somebody else's, and who may grant there."""

    ours: Team
    prod: str
    promoter: Account
    writer: Account
    approver: Account

    @property
    def function(self) -> str:
        return f"{self.prod}/{self.ours.label()}"

    def grant(self, who: Caller | None = None, host: str = HOST) -> dict[str, Any]:
        answer = (who or self.writer).api("PUT", f"{path(self.function, 'egress')}/{host}")
        assert answer.status == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def revoke(self) -> dict[str, Any]:
        answer = self.writer.api("DELETE", f"{path(self.function, 'egress')}/{HOST}")
        assert answer.status == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def promote(self) -> dict[str, Any]:
        answer = promote(self.promoter, self.prod, self.ours.function())
        assert answer.status == 200, answer.text
        outcome: dict[str, Any] = answer.json()
        return outcome


@pytest.fixture
def granting(server: Server) -> Granting:
    ours = sharing(server)
    prod = f"granted-{next(_numbers)}-prod"
    set_rules(server, prod, production=True)
    reviewed(ours, reaching(1))
    writer = account(
        server,
        prod,
        ("policy:write", prod),
        ("function:read", prod),
        ("function:deploy", prod),
        ("deploy:approve", prod),
    )
    approver = account(server, prod, ("approver", prod))
    return Granting(ours, prod, promoter_of(server, prod, ours.namespace), writer, approver)


@pytest.mark.case("D11")
@pytest.mark.guarantee("AZR-13", "COG-25")
def test_D11_AZR_13_a_grant_in_production_waits_for_a_second_person(server: Server, granting: Granting) -> None:
    function = granting.function
    assert granting.promote()["status"] == "deployed"
    another = account(server, granting.prod, *((right, granting.prod) for right in ("policy:write", "deploy:approve")))
    for number, who, host in ((2, another, HOST), (3, granting.writer, OTHER_HOST)):
        told = granting.grant(who, host)
        assert told["needsApproval"] == ["egress"] and told["revision"] == number, told
        assert active(server, function) == 1 and states(server, function)[number] == "pendingApproval"
        refused_as_own(who, server, function, as_outcome(server, function, number))
    assert answers(server, function) == ([1, False], 1)
    approved(granting.approver, function, as_outcome(server, function, 3))
    assert answers(server, function) == ([1, True], 3)
    # To take one back needs nobody.
    assert granting.revoke()["revision"] == 4
    assert answers(server, function) == ([1, False], 4)


@pytest.mark.case("D11")
@pytest.mark.guarantee("AZR-13", "COG-25")
@pytest.mark.parametrize("when", ["before the first promotion", "while the grant waits"])
def test_D11_AZR_13_a_grant_does_not_come_into_force_by_way_of_a_promotion(
    server: Server, granting: Granting, when: str
) -> None:
    """What was approved where it comes from did not have it."""
    number = 1
    if when == "while the grant waits":
        assert granting.promote()["status"] == "deployed"
        assert granting.grant()["needsApproval"] == ["egress"]
        reviewed(granting.ours, reaching(2))
        number = 2
    else:
        granting.grant()
    outcome = granting.promote()
    if outcome["status"] == "pendingApproval":
        assert active(server, granting.function) == (1 if number == 2 else None)
        approved(granting.approver, granting.function, is_waiting(outcome))
        assert answers(server, granting.function)[0] == [number, True]
    else:
        assert answers(server, granting.function)[0] == [number, False], f"nobody approved this: {outcome}"


@pytest.mark.case("D11")
@pytest.mark.guarantee("AZR-13", "COG-25")
def test_D11_AZR_13_a_grant_that_waits_does_not_come_into_force_by_way_of_a_rollback(
    server: Server, granting: Granting
) -> None:
    """Of what was taken back and is asked for again."""
    function = granting.function
    assert granting.promote()["status"] == "deployed"
    assert granting.grant()["revision"] == 2
    approved(granting.approver, function, as_outcome(server, function, 2))
    assert answers(server, function) == ([1, True], 2)
    assert granting.revoke()["revision"] == 3
    back = granting.writer.api("POST", path(function, "rollback"), {"revision": 2})
    assert back.status == 200 and answers(server, function) == ([1, False], 2), back.text
    assert granting.writer.api("POST", path(function, "rollback"), {"revision": 3}).status == 200
    again = granting.grant()
    assert again["needsApproval"] == ["egress"] and answers(server, function) == ([1, False], 3), again
    back = granting.writer.api("POST", path(function, "rollback"), {"revision": 2})
    assert back.status in (200, 403, 409) and answers(server, function)[0] == [
        1,
        False,
    ], "one person alone has it again"


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-19", "COG-25")
def test_D11_COG_25_whoever_gave_a_grant_does_not_approve_it_by_way_of_anothers_deployment(server: Server) -> None:
    ours = sharing(server, "egress")
    function = ours.function()
    live(ours.author, function, reaching(1))
    writer = account(server, ours.namespace, ("policy:write", ours.namespace), ("approver", ours.namespace))
    granted = writer.api("PUT", f"{path(function, 'egress')}/{HOST}").json()
    assert granted["needsApproval"] == ["egress"], granted
    refused_as_own(writer, server, function, as_outcome(server, function, 2))
    # The author changes code alone: all that waits is the grant.
    outcome = waiting(ours.author, function, reaching(2))
    assert outcome["needsApproval"] == ["egress"] and HOST in str(outcome["egress"]["added"]), outcome
    refused_as_own(writer, server, function, outcome)
    assert answers(server, function) == ([1, False], 1)
    approved(ours.approver, function, outcome)
    assert answers(server, function) == ([2, True], 3)


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-27")
def test_D11_COG_27_after_a_grant_who_wrote_the_code_does_not_approve_it(server: Server) -> None:
    ours = team(server)
    function = ours.function()
    author = account(server, ours.namespace, ("admin", ours.namespace))
    writer = account(server, ours.namespace, ("policy:write", ours.namespace), ("deploy:approve", ours.namespace))
    live(author, function, answering(1))
    # The revision is the grantor's, the code in it is not.
    granted = writer.api("PUT", f"{path(function, 'egress')}/{HOST}").json()
    assert granted["revision"] == 2 and granted.get("needsApproval") is None, granted
    assert active(server, function) == 2
    set_rules(server, ours.namespace, requireReview=True)
    digest = revision(server, function, 2)["digest"]
    for who in (author, writer):
        told = problem(approve(who, function, 2, digest))
        assert (told["status"], told["type"]) == (403, "/problems/self-approval"), told
        assert_untrusted(server.call(function, body={}))
    assert approve(ours.approver, function, 2, digest).status == 200
    assert answers(server, function) == (1, 2)
    # And where the rule was there before.
    second = writer.api("PUT", f"{path(function, 'egress')}/{OTHER_HOST}").json()
    assert second["revision"] == 3 and second["needsApproval"], second
    for who in (author, writer):
        refused_as_own(who, server, function, as_outcome(server, function, 3))
    approved(ours.approver, function, as_outcome(server, function, 3))
    assert answers(server, function) == (1, 3)


# ---------------------------------------------------------------- while it waits


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-27")
def test_D11_COG_27_under_require_review_what_is_new_waits_and_what_was_reviewed_serves_on(server: Server) -> None:
    ours = team(server, requireReview=True)
    ours.author.grant("deploy:approve", ours.namespace)
    function = ours.function()
    first = waiting(ours.author, function, answering(1))
    assert active(server, function) is None and server.call(function, body={}).status != 200
    approved(ours.approver, function, first)
    assert answers(server, function) == (1, 1)
    # Also where neither reach, nor access, nor packages change, and for whoever keeps the server.
    who: Caller
    for number, who in ((2, server), (3, ours.author)):
        outcome = waiting(who, function, answering(number))
        assert outcome["revision"] == number and active(server, function) == 1
        assert answers(server, function) == (1, 1)
        refused_as_own(who, server, function, outcome)
        trial = {"revision": number, "percent": 50}
        for method, what, body, why in (
            ("PUT", "split", trial, "untrusted-version"),
            ("POST", "rollback", {"revision": number}, "approval-required"),
        ):
            told = problem(server.api(method, path(function, what), body))
            assert (told["status"], told["type"]) == (403, f"/problems/{why}"), told
        assert answers(server, function) == (1, 1)
    approved(ours.approver, function, outcome)
    assert answers(server, function) == (3, 3) and states(server, function)[2] == "superseded"


CHANGES: dict[str, Callable[[Keys], dict[str, Any]]] = {
    "it became production": lambda keys: {"requireApproval": ["all"], "production": True},
    "it asks for signatures": lambda keys: {
        "requireApproval": ["all"],
        "requireSignature": True,
        "signers": [signer("ada", keys("ada"))],
    },
    "its signer was taken out": lambda keys: {
        "requireApproval": ["all"],
        "requireSignature": True,
        "signers": [signer("eve", keys("eve"))],
    },
}


@pytest.mark.case("D11")
@pytest.mark.guarantee("AZR-13", "COG-27")
@pytest.mark.parametrize("change", CHANGES)
def test_D11_what_a_policy_takes_no_more_is_not_approved_either(server: Server, keys: Keys, change: str) -> None:
    before: dict[str, Any] = {"requireApproval": ["all"]}
    signed = change == "its signer was taken out"
    if signed:
        before |= {"requireSignature": True, "signers": [signer("ada", keys("ada"))]}
    ours = team(server)
    set_rules(server, ours.namespace, **before)
    function = ours.function()

    def wanted(number: int) -> dict[str, Any]:
        order = deployment(server, function, answering(number))
        return is_waiting(order.outcome(order.signed(keys("ada")) if signed else None, by=ours.author))

    approved(ours.approver, function, wanted(1))
    outcome = wanted(2)
    set_rules(server, ours.namespace, **CHANGES[change](keys))
    told = problem(approve(ours.approver, function, 2, outcome["digest"]))
    assert (told["status"], told["type"]) == (409, "/problems/conflict") and "policy" in told["detail"], told
    assert states(server, function) == {1: "active", 2: "pendingApproval"} and active(server, function) == 1
    assert revision(server, function, 2)["approvals"] == []
    set_rules(server, ours.namespace, **before)
    approved(ours.approver, function, outcome)
    assert answers(server, function) == (2, 2)
