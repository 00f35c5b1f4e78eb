"""Promotion: production takes what somebody else has agreed to and what passes its own gate, by the digest that was agreed to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from accounts import Account, account
from casemate_fixture import Answer, Server, handler, problem
from gate_answers import PLAIN, RISKY, recorded
from secret_calls import value
from supply_chain import (
    HOST,
    Caller,
    Team,
    active,
    answering,
    answers,
    approve,
    approved,
    deploy,
    live,
    page,
    path,
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


@dataclass
class Street:
    """A namespace where functions are written, another that is production, and who may bring them there."""

    ours: Team
    prod: str
    promoter: Account

    @property
    def server(self) -> Server:
        return self.ours.server

    def there(self, name: str = "f") -> str:
        return f"{self.prod}/{self.ours.label(name)}"

    def promote(self, who: Caller | None = None, name: str = "f", **order: Any) -> Answer:
        return promote(who or self.promoter, self.prod, {"from": self.ours.function(name), **order})

    def reviewed(self, source: dict[str, str], keys: dict[str, Any] | None = None, name: str = "f") -> int:
        """Deploys as the author, and reviews as the other."""
        number = int(live(self.ours.author, self.ours.function(name), source, keys)["revision"])
        self.ours.review(self.ours.function(name), number)
        return number


def promote(who: Caller, target: str, order: Any) -> Answer:
    return who.api("POST", f"/v1/namespaces/{target}/promotions", order, timeout=180)


def passed(answer: Answer) -> None:
    assert answer.status in (200, 201), answer.text
    body = answer.json()
    outcome = body["functions"][0] if "functions" in body else body
    assert outcome.get("status") != "failed", outcome


def not_approved(answer: Answer) -> None:
    told = problem(answer)
    assert (told["status"], told["type"]) == (403, "/problems/approval-required"), told


def street(server: Server) -> Street:
    """In namespaces that other tests have, too, whose rules stay as they are."""
    return leading(sharing(server), "street-prod", production=True)


def own_street(server: Server, *kinds: str, **rules: Any) -> Street:
    ours = team(server, *kinds)
    return leading(ours, f"{ours.namespace}-prod", **{"production": True, **rules})


def leading(ours: Team, prod: str, **rules: Any) -> Street:
    set_rules(ours.server, prod, **rules)
    promoter = account(ours.server, prod, ("deployer", prod), ("source:read", ours.namespace))
    return Street(ours, prod, promoter)


# ---------------------------------------------------------------- what is taken


@pytest.mark.guarantee("AZR-13")
def test_AZR_13_what_nobody_else_has_approved_is_not_promoted(server: Server) -> None:
    way = own_street(server)
    function = way.ours.function()
    live(way.ours.author, function, answering(1))
    not_approved(way.promote())
    not_approved(way.promote(server))
    way.ours.author.grant("admin", way.ours.namespace)
    own = problem(approve(way.ours.author, function, 1, revision(server, function, 1)["digest"]))
    assert (own["status"], own["type"]) == (403, "/problems/self-approval")
    not_approved(way.promote())
    assert server.api("GET", path(way.there())).status == 404
    way.ours.review(function, 1)
    passed(way.promote())
    assert answers(server, way.there()) == (1, 1)


@pytest.mark.guarantee("AZR-13")
def test_AZR_13_what_is_promoted_is_the_very_bundle_that_was_approved(server: Server) -> None:
    way = street(server)
    source = handler("import os\ndef handle(data):\n    return os.environ['REGION']\n")
    keys = {"env": {"REGION": "north"}, "egress": [HOST], "limits": {"timeout": "7s"}}
    number = way.reviewed(source, keys)
    passed(way.promote())
    here, there = (revision(server, function, 1) for function in (way.ours.function(), way.there()))
    assert there["bundleDigest"] == here["bundleDigest"] and there["sourceDigest"] == here["sourceDigest"]
    assert there["digest"] != here["digest"], "it is another function's"
    told = there["promotedFrom"]
    assert (told["function"], told["revision"], told["digest"]) == (way.ours.function(), number, here["digest"]), told
    assert there["createdBy"] == way.promoter.subject and active(server, way.there()) == 1
    assert "promotedFrom" not in here or here["promotedFrom"] is None
    assert answers(server, way.there()) == ("north", 1)
    assert HOST in server.api("GET", path(way.there(), "egress")).text


@pytest.mark.guarantee("AZR-13")
def test_AZR_13_the_active_revision_is_meant_unless_another_is_named(server: Server) -> None:
    way = street(server)
    first = way.reviewed(answering(1))
    live(way.ours.author, way.ours.function(), answering(2))
    not_approved(way.promote())
    not_approved(way.promote(revision=2))
    passed(way.promote(revision=first))
    assert answers(server, way.there()) == (1, 1)
    way.ours.review(way.ours.function(), 2)
    passed(way.promote())
    assert answers(server, way.there()) == (2, 2)
    assert states(server, way.there()) == {1: "superseded", 2: "active"}


@pytest.mark.guarantee("AZR-13")
def test_AZR_13_what_waits_or_was_rejected_is_not_promoted(server: Server) -> None:
    way = own_street(server, "all")
    function = way.ours.function()
    first = waiting(way.ours.author, function, answering(1))
    not_approved(way.promote(revision=1))
    assert problem(way.promote())["status"] in (403, 404, 409), "nothing is active there"
    assert reject(way.ours.approver, function, 1, first["digest"]).status == 204
    not_approved(way.promote(revision=1))
    approved(way.ours.approver, function, waiting(way.ours.author, function, answering(2)))
    passed(way.promote())
    assert answers(server, way.there()) == (2, 1)


def test_secrets_stay_where_they_were_set(server: Server) -> None:
    way = street(server)
    server.secret(way.ours.function(), "API_KEY", value(22))
    way.reviewed(handler("def handle(data, secrets):\n    return len(secrets['API_KEY'])\n"), {"secrets": ["API_KEY"]})
    assert server.call(way.ours.function(), body={}).json() == 22
    passed(way.promote())
    assert not page(server, way.there())["secrets"]
    told = problem(server.call(way.there(), body={}))
    assert told["type"] == "/problems/secret-missing", told
    server.secret(way.there(), "API_KEY", value(30))
    assert server.call(way.there(), body={}).json() == 30


def test_what_was_promoted_serves_on_when_its_source_function_is_gone(server: Server) -> None:
    way = street(server)
    way.reviewed(answering("promoted"))
    passed(way.promote())
    assert server.api("DELETE", path(way.ours.function())).status == 204
    # Its first call: nothing of it is loaded yet.
    assert answers(server, way.there()) == ("promoted", 1)
    assert server.api("GET", path(way.there(), "source")).status == 200


@pytest.mark.guarantee("AZR-13", "COG-27")
def test_COG_27_the_approval_of_the_source_is_the_review_of_what_came_of_it(server: Server) -> None:
    way = own_street(server, requireReview=True)
    way.reviewed(answering(1))
    passed(way.promote())
    assert answers(server, way.there()) == (1, 1)


# ---------------------------------------------------------------- the gate of the target


@pytest.mark.guarantee("AZR-13", "AZR-17")
def test_AZR_13_the_gate_of_the_target_runs_again_with_its_own_waivers(server: Server) -> None:
    way = street(server)
    function = way.ours.function()
    way.reviewed({"handler.py": PLAIN})
    passed(way.promote())
    refused = deploy(way.ours.author, function, {"handler.py": RISKY})
    assert refused["problemType"] == "/problems/gate-failed", refused
    server.waive(function, refused)
    number = way.reviewed({"handler.py": RISKY})
    answer = way.promote(revision=number)
    assert refusal(answer) == "/problems/gate-failed", answer.text
    assert active(server, way.there()) == 1 and len(states(server, way.there())) == 1
    assert server.call(way.there(), body={}).json() == 1
    server.waive(way.there(), refused)
    passed(way.promote(revision=number))
    assert server.call(way.there(), body={"x": "6*7"}).json() == 42


# ---------------------------------------------------------------- no other way in


@pytest.mark.guarantee("AZR-13")
def test_AZR_13_production_takes_nothing_but_what_is_promoted(server: Server) -> None:
    way = street(server)
    way.reviewed(answering(1))
    passed(way.promote())
    strong = account(server, way.prod, ("admin", way.prod))
    for who in (way.promoter, strong, server):
        for name in ("f", "g"):
            answer = send(who, way.there(name), answering("by hand"))
            assert refusal(answer) == "/problems/promotion-required", answer.text
    assert server.api("GET", path(way.there("g"))).status == 404
    assert states(server, way.there()) == {1: "active"} and answers(server, way.there()) == (1, 1)
    folder = server.project(way.prod, way.ours.label(), answering("by hand"))
    code, out, err = way.promoter.cli("deploy", str(folder))
    assert code == 1 and "promote" in out + err, out + err


@pytest.mark.guarantee("AZR-13")
def test_AZR_13_a_rollback_in_production_stays_among_what_was_promoted(server: Server) -> None:
    way = own_street(server, production=False)
    live(server, way.there(), answering("by hand"))
    set_rules(server, way.prod, production=True)
    way.reviewed(answering(1))
    passed(way.promote())
    way.reviewed(answering(2))
    passed(way.promote())
    assert answers(server, way.there()) == (2, 3)
    back = way.promoter.api("POST", path(way.there(), "rollback"), {"revision": 1})
    told = problem(back)
    assert (told["status"], told["type"]) == (403, "/problems/promotion-required"), told
    assert answers(server, way.there()) == (2, 3)
    assert way.promoter.api("POST", path(way.there(), "rollback"), {"revision": 2}).status == 200
    assert answers(server, way.there()) == (1, 2)


# ---------------------------------------------------------------- who may


@pytest.mark.guarantee("AZR-13")
def test_to_promote_takes_a_right_on_both_sides(server: Server) -> None:
    way = street(server)
    way.reviewed(answering(1))
    here, prod = way.ours.namespace, way.prod
    for grants, status, named in (
        ([("admin", here)], 404, None),
        ([("admin", prod)], 404, None),
        ([("viewer", prod), ("developer", here)], 403, "function:deploy"),
        ([("deployer", prod), ("function:invoke", here)], 403, "source:read"),
    ):
        told = problem(way.promote(account(server, here, *grants)))
        assert told["status"] == status and (named or "") in told["detail"], f"{grants}: {told}"
    anonymous = server.api("POST", f"/v1/namespaces/{prod}/promotions", {"from": way.ours.function()}, key=None)
    assert anonymous.status == 401
    assert server.api("GET", path(way.there())).status == 404
    passed(way.promote(account(server, here, ("function:deploy", prod), ("source:read", way.ours.function()))))


@pytest.mark.guarantee("KYM-5")
def test_KYM_5_a_promotion_is_no_way_round_the_right_to_make_a_function_public(server: Server) -> None:
    way = street(server)
    way.reviewed(answering(1), {"access": "public"})
    answer = way.promote()
    assert refusal(answer) == "/problems/forbidden" and "function:publish" in answer.text, answer.text
    assert server.api("GET", path(way.there())).status == 404
    way.promoter.grant("function:publish", way.prod)
    passed(way.promote())
    assert server.call(way.there(), body={}, key=None).status == 200


@pytest.mark.guarantee("KYM-17")
@pytest.mark.case("A17")
def test_A17_KYM_17_another_tenants_function_is_not_had_by_promoting_it(server: Server) -> None:
    way = street(server)
    way.reviewed(answering(1))
    thief = team(server)
    strong = account(server, thief.namespace, ("admin", thief.namespace))
    label = way.ours.label()
    sources = [way.ours.function(), f"{way.ours.namespace}/absent", f"absent/{label}"]
    told = [problem(promote(strong, thief.namespace, {"from": source, "revision": 1})) for source in sources]
    assert {one["status"] for one in told} == {404}
    words = {
        one["detail"].replace(source, f"absent/{label}").replace(way.ours.namespace, "absent")
        for one, source in zip(told, sources)
    }
    assert len(words) == 1, words
    assert server.api("GET", f"/v1/namespaces/{thief.namespace}/functions").json()["functions"] == []


def test_an_order_that_is_not_whole_is_refused(server: Server) -> None:
    way = street(server)
    way.reviewed(answering(1))
    source = way.ours.function()
    orders: list[Any] = [
        {}, [], b"", b"{", {"revision": 1}, {"from": 1}, {"from": [source]}, {"from": None}, {"from": source, "revision": "1"},
        {"from": source, "revision": 1.5}, {"from": source, "revision": True}, {"from": source, "force": True},
        {"from": source, "to": way.prod}, {"From": source}, {"from": source, "digest": 1},
    ]  # fmt: skip
    for order in orders:
        answer = promote(server, way.prod, order)
        assert answer.status == 400, f"{order!r}: {answer.status} {answer.text}"
        problem(answer)
    for name in ("", "f", "/f", f"{source}/x", f"{source}#1", "A/B", "../f"):
        answer = promote(server, way.prod, {"from": name})
        assert problem(answer)["status"] in (400, 404, 422), f"{name}: {answer.text}"
    for order in ({"from": f"{way.ours.namespace}/absent"}, {"from": source, "revision": 2}):
        assert problem(promote(server, way.prod, order))["status"] == 404, order
    assert problem(promote(server, "absent", {"from": source}))["status"] == 404
    assert server.api("GET", path(way.there())).status == 404


# ---------------------------------------------------------------- the command line, and the record


@pytest.mark.guarantee("AZR-13")
def test_AZR_13_the_story_of_a_promotion_on_the_command_line(server: Server) -> None:
    way = street(server)
    source = way.ours.function()
    live(way.ours.author, source, answering(1))
    code, out, err = way.promoter.cli("promote", source, "--to", way.prod)
    assert code in (1, 2) and "approv" in (out + err).lower(), out + err
    way.ours.review(source, 1)
    code, out, err = way.promoter.cli("promote", source, "--to", way.prod)
    assert code == 0 and way.there() in out, out + err
    assert answers(server, way.there()) == (1, 1)
    live(way.ours.author, source, answering(2))
    label = way.there("other").split("/")[1]
    code, out, err = way.promoter.cli("promote", source, "--to", way.prod, "--revision", "1", "--as", label)
    assert code == 0 and way.there("other") in out, out + err
    assert answers(server, way.there("other")) == (1, 1)
    assert revision(server, way.there("other"), 1)["promotedFrom"]["function"] == source
    for wrong in (["--to", "absent"], ["--to", way.prod, "--as", "No Name"], ["--to", way.prod, "--revision", "9"], []):
        code, _, err = way.promoter.cli("promote", source, *wrong)
        assert code != 0 and err, wrong


@pytest.mark.guarantee("AZR-13")
def test_AZR_13_who_promoted_what_is_in_the_audit_log(server: Server) -> None:
    way = street(server)
    way.reviewed(answering(1))
    passed(way.promote())
    (record,) = recorded(server, "function.deployed", function=way.there())
    assert record["actor"] == way.promoter.subject, record
    assert way.ours.function() in str(record["details"]), f"it says where from: {record}"


@pytest.mark.guarantee("AZR-13")
def test_AZR_13_what_was_approved_for_one_function_is_not_for_another_of_its_namespace(server: Server) -> None:
    way = street(server)
    way.reviewed(answering(1))
    told = problem(promote(server, way.ours.namespace, {"from": way.ours.function(), "name": "payroll"}))
    assert told["status"] == 400 and "another namespace" in told["detail"], told
