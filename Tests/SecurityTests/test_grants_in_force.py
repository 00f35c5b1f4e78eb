"""Where grants are approved, none comes into force by going back, by being asked for again, or in somebody else's deployment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from accounts import Account, account
from casemate_fixture import Answer, Server, handler
from gate_answers import recorded
from supply_chain import (
    HOST,
    Team,
    active,
    answers,
    approved,
    back,
    live,
    path,
    refused_as_own,
    revision,
    set_rules,
    states,
    team,
    waiting,
)


def reaching(number: int) -> dict[str, str]:
    """A source whose function answers with this number, and whether it may reach `HOST`: what it may not has no address there."""
    return handler(f"""
        import socket

        def handle(data):
            try:
                found = socket.getaddrinfo("{HOST.split(":")[0]}", 443)[0][4][0]
            except OSError:
                found = ""
            return [{number}, found.startswith("127.66.")]
        """)


@dataclass
class Ours:
    team: Team
    writer: Account
    function: str

    @property
    def server(self) -> Server:
        return self.team.server

    def grant(self, how: str = "PUT") -> Answer:
        return self.writer.api(how, f"{path(self.function, 'egress')}/{HOST}")

    def allow(self, is_allowed: bool = True) -> Answer:
        where = f"/v1/namespaces/{self.team.namespace}/policy"
        policy = self.writer.api("GET", where).json()
        policy["egress"]["allow"] = [HOST] if is_allowed else []
        return self.writer.api("PUT", where, {key: value for key, value in policy.items() if key != "namespace"})

    def change(self, way: str, is_there: bool) -> None:
        answer = self.allow(is_there) if way == "policy" else self.grant("PUT" if is_there else "DELETE")
        assert answer.status == 200, answer.text

    def waits(self) -> dict[str, Any]:
        """The newest revision, as an approval has to name it."""
        number = max(states(self.server, self.function))
        shown = revision(self.server, self.function, number)
        assert shown["state"] == "pendingApproval" and shown["needsApproval"] == ["egress"], shown
        return {"revision": number, "digest": shown["digest"]}

    def answers(self) -> Any:
        return answers(self.server, self.function)[0]


@pytest.fixture
def ours(server: Server) -> Ours:
    made = team(server, "egress")
    rights = ("policy:write", "function:read", "function:deploy", "deploy:approve")
    writer = account(server, made.namespace, *((right, made.namespace) for right in rights))
    function = made.function()
    live(made.author, function, reaching(1))
    return Ours(made, writer, function)


WAYS = ["grant", "policy"]


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-25")
@pytest.mark.parametrize("way", WAYS)
def test_D11_COG_25_what_is_asked_for_again_is_not_in_force_by_going_back_and_deploying(ours: Ours, way: str) -> None:
    ours.change(way, True)
    approved(ours.team.approver, ours.function, ours.waits())
    assert ours.answers() == [1, True]
    ours.change(way, False)
    assert ours.answers() == [1, False]
    ours.change(way, True)
    waited = ours.waits()
    refused_as_own(ours.writer, ours.server, ours.function, waited)
    with_it = next(number for number in states(ours.server, ours.function) if number == 2)
    assert back(ours.writer, ours.function, with_it).status == 200
    assert ours.answers() == [1, False], "one person alone has it again"
    outcome = waiting(ours.team.author, ours.function, reaching(2))
    assert outcome["needsApproval"] == ["egress"], outcome
    assert ours.answers() == [1, False]
    refused_as_own(ours.writer, ours.server, ours.function, outcome)
    approved(ours.team.approver, ours.function, outcome)
    assert ours.answers() == [2, True]


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-25")
@pytest.mark.parametrize("way", WAYS)
def test_D11_COG_25_nobody_approves_what_they_let_be_reached_in_another_s_deployment(ours: Ours, way: str) -> None:
    ours.change(way, True)
    outcome = waiting(ours.team.author, ours.function, reaching(2))
    refused_as_own(ours.writer, ours.server, ours.function, outcome)
    # Taken back it is not theirs any more, and does not come with the approval either.
    ours.change(way, False)
    answer = ours.writer.api(
        "POST", path(ours.function, "revisions", outcome["revision"], "approval"), {"digest": outcome["digest"]}
    )
    assert answer.status in (200, 409), answer.text
    assert ours.answers()[1] is False
    ours.change(way, True)
    assert ours.answers()[1] is False, "approved by whoever asked for it"
    approved(ours.team.approver, ours.function, ours.waits())
    assert ours.answers()[1] is True


@pytest.mark.case("D11")
@pytest.mark.guarantee("AZR-13", "COG-25")
def test_D11_AZR_13_who_approved_there_approves_here_as_well_and_it_runs(server: Server) -> None:
    """Their word for what was promoted is another than their word for what was granted here."""
    source = team(server)
    prod = f"{source.namespace}-prod"
    set_rules(server, prod, production=True)
    function, there = source.function(), f"{prod}/{source.label()}"
    outcome = live(source.author, function, reaching(1))
    source.review(function, outcome["revision"])
    writer = account(server, prod, ("policy:write", prod))
    promoter = account(server, prod, ("deployer", prod), ("source:read", source.namespace))
    assert writer.api("PUT", f"{path(there, 'egress')}/{HOST}").status == 200
    answer = promoter.api("POST", f"/v1/namespaces/{prod}/promotions", {"from": function}, timeout=180)
    waited = answer.json()
    assert waited["status"] == "pendingApproval" and waited["needsApproval"] == ["egress"], answer.text
    source.approver.grant("approver", prod)
    approved(source.approver, there, waited)
    assert active(server, there) == 1 and answers(server, there)[0] == [1, True]
    assert [record["actor"] for record in recorded(server, "approval.given", namespace=prod)] == [
        source.approver.subject
    ]


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-25")
def test_D11_COG_25_where_nothing_is_approved_a_grant_is_in_force_at_once_also_after_going_back(server: Server) -> None:
    made = team(server)
    function = made.function()
    live(made.author, function, reaching(1))
    where = f"{path(function, 'egress')}/{HOST}"
    steps: list[Callable[[], Answer]] = [
        lambda: server.api("PUT", where),
        lambda: server.api("DELETE", where),
        lambda: server.api("PUT", where),
        lambda: back(server, function, 2),
    ]
    for step, reaches in zip(steps, (True, False, True, True), strict=True):
        assert step().status == 200
        assert answers(server, function)[0] == [1, reaches]
