"""Nobody approves what is their own, by whichever account."""

from __future__ import annotations

import contextlib
import itertools
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from accounts import Account, account
from casemate_fixture import Server
from identity_provider import Provider, SignInProvider
from sign_in import Home
from supply_chain import (
    HOST,
    Holder,
    Team,
    active,
    answering,
    answers,
    approved,
    live,
    refused_as_own,
    revision,
    set_rules,
    sharing,
    team,
    waiting,
)

_numbers = itertools.count(1)


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


# ---------------------------------------------------------------- whoever is asked on a terminal


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
