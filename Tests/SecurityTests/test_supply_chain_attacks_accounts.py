"""Accounts that stand for one person: made, held or had by another, also when they are gone, and whoever has their name later."""

from __future__ import annotations

import itertools
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from accounts import Account, account
from casemate_fixture import Answer, Server
from identity_provider import Provider, SignInProvider
from sign_in import Home
from supply_chain import Caller, Holder, answering, approved, refused_as_own, sharing, waiting

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def firm(running: Server) -> Iterator[SignInProvider]:
    with SignInProvider() as provider:
        issuer = {"name": "firm-of-attacks", "url": provider.url, "audiences": ["casemate"]}
        made = running.api("POST", "/v1/issuers", {**issuer, "clientId": provider.client_id})
        assert made.status == 201, made.text
        yield provider
        assert running.api("DELETE", "/v1/issuers/firm-of-attacks").status == 204


def made_by(server: Server, maker: Caller, namespace: str, role: str, name: str = "") -> Holder:
    """A service account by the key that its maker has made."""
    where, name = f"/v1/namespaces/{namespace}/service-accounts", name or f"puppet-{next(_numbers)}"
    made = maker.api("POST", where, {"name": name, "role": role})
    assert made.status == 201, made.text
    key = maker.api("POST", f"{where}/{name}/keys", {})
    assert key.status == 201, key.text
    return Holder(server, key.json()["key"])


MAKERS = ["an administrator's own account", "a person who signed in", "one who has another make one of them"]


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-19")
@pytest.mark.parametrize("maker", MAKERS)
def test_D11_COG_19_of_two_accounts_of_one_maker_neither_approves_for_the_other(
    server: Server, firm: SignInProvider, tmp_path: Path, maker: str
) -> None:
    ours = sharing(server, "all")
    boss: Caller
    if maker == "a person who signed in":
        name = f"boss-{ours.number}"
        grant = {"subject": f"user:firm-of-attacks:{name}", "permission": "admin"}
        assert server.api("POST", f"/v1/namespaces/{ours.namespace}/grants", grant).status == 201
        firm.person = {"sub": name}
        boss = home = Home(server, firm, tmp_path)
        assert home.login("--issuer", "firm-of-attacks")[0] == 0
    else:
        boss = account(server, ours.namespace, ("admin", ours.namespace))
    between = boss if maker != MAKERS[2] else made_by(server, boss, ours.namespace, "admin")
    author, approver = made_by(server, between, ours.namespace, "developer"), made_by(
        server, boss, ours.namespace, "approver"
    )
    first = waiting(author, ours.function(), answering(1))
    refused_as_own(approver, server, ours.function(), first)
    refused_as_own(boss, server, ours.function(), first)
    # The other way round, too.
    approver_of_author = made_by(server, between, ours.namespace, "approver")
    second = waiting(made_by(server, boss, ours.namespace, "developer"), ours.function("g"), answering(1))
    refused_as_own(approver_of_author, server, ours.function("g"), second)
    # Two accounts that whoever keeps the server has made are two, and so are those of two makers.
    approved(ours.approver, ours.function(), first)
    stranger = made_by(server, account(server, ours.namespace, ("admin", ours.namespace)), ours.namespace, "approver")
    approved(stranger, ours.function("g"), second)


def forms_token(server: Server, form: dict[str, str]) -> Holder:
    answer = server.http(
        server.api_url, "POST", "/oauth/token", urllib.parse.urlencode({"grant_type": "client_credentials", **form}).encode(),
        {"Content-Type": "application/x-www-form-urlencoded"},
    )  # fmt: skip
    assert answer.status == 200, answer.text
    return Holder(server, answer.json()["access_token"])


@pytest.fixture(scope="module")
def pipelines(running: Server) -> Iterator[Provider]:
    with Provider() as provider:
        issuer = {"name": "ci-of-attacks", "url": provider.url, "audiences": ["casemate"], "forPipelines": True}
        made = running.api("POST", "/v1/issuers", issuer)
        assert made.status == 201, made.text
        yield provider
        assert running.api("DELETE", "/v1/issuers/ci-of-attacks").status == 204


# The account by what its maker has of it, and how that is got rid of.
Held = tuple[Holder, Callable[[], Answer]]


def by_making_it(maker: Account, theirs: Account, _: Provider) -> Held:
    name = f"puppet-{next(_numbers)}"
    puppet = made_by(maker.server, maker, maker.namespace, "developer", name)
    where = f"/v1/namespaces/{maker.namespace}/service-accounts/{name}"
    return puppet, lambda: maker.api("DELETE", where)


def by_a_key(maker: Account, theirs: Account, _: Provider) -> Held:
    key = maker.api("POST", f"{theirs.path}/keys", {}).json()
    return Holder(maker.server, key["key"]), lambda: maker.api("DELETE", f"{theirs.path}/keys/{key['id']}")


def by_its_secret(maker: Account, theirs: Account, _: Provider) -> Held:
    secret = maker.api("POST", f"{theirs.path}/secret").json()["clientSecret"]
    holder = forms_token(maker.server, {"client_id": theirs.client_id, "client_secret": secret})
    return holder, lambda: maker.server.api("POST", f"{theirs.path}/secret")


def by_a_federation(maker: Account, theirs: Account, provider: Provider) -> Held:
    claims = {"repository": "acme/plant", "ref": f"refs/heads/{theirs.name}"}
    rule = maker.api("POST", f"{theirs.path}/federations", {"issuer": "ci-of-attacks", "claims": claims})
    assert rule.status == 201, rule.text
    assertion = {
        "client_id": theirs.client_id,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": provider.token(sub=f"repo:acme/plant:{theirs.name}", **claims),
    }
    holder = forms_token(maker.server, assertion)
    return holder, lambda: maker.api("DELETE", f"{theirs.path}/federations/{rule.json()['id']}")


HOLDS: dict[str, Callable[[Account, Account, Provider], Held]] = {
    "the account is deleted": by_making_it,
    "its key is revoked": by_a_key,
    "its secret is another": by_its_secret,
    "its federation is deleted": by_a_federation,
}


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-19")
@pytest.mark.parametrize("how", HOLDS)
def test_D11_COG_19_whoever_could_act_as_an_account_stays_its_maker_when_that_is_gone(
    server: Server, pipelines: Provider, how: str
) -> None:
    ours = sharing(server, "all")
    maker = account(server, ours.namespace, ("admin", ours.namespace))
    theirs = account(server, ours.namespace, ("developer", ours.namespace))
    puppet, let_go = HOLDS[how](maker, theirs, pipelines)
    outcome = waiting(puppet, ours.function(), answering(1))
    refused_as_own(maker, server, ours.function(), outcome)
    assert let_go().status in (200, 204)
    refused_as_own(maker, server, ours.function(), outcome)
    approved(ours.approver, ours.function(), outcome)


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-19")
def test_D11_COG_19_who_has_a_name_later_is_not_taken_for_who_had_it(server: Server) -> None:
    ours = sharing(server, "all")
    accounts = f"/v1/namespaces/{ours.namespace}/service-accounts"
    chief_name, doll_name = f"chief-{ours.number}", f"doll-{ours.number}"
    # The maker's name.
    chief = account(server, ours.namespace, ("admin", ours.namespace), name=chief_name)
    doll = made_by(server, chief, ours.namespace, "developer", doll_name)
    assert server.api("DELETE", f"{accounts}/{chief_name}").status == 204
    another_chief = account(server, ours.namespace, ("admin", ours.namespace), name=chief_name)
    assert another_chief.subject == chief.subject
    approved(another_chief, ours.function("f"), waiting(doll, ours.function("f"), answering(1)))
    # What they make is theirs all the same.
    own = waiting(made_by(server, another_chief, ours.namespace, "developer"), ours.function("own"), answering(1))
    refused_as_own(another_chief, server, ours.function("own"), own)
    # The account's name.
    second = made_by(server, another_chief, ours.namespace, "developer", f"second-{doll_name}")
    outcome = waiting(second, ours.function("second"), answering(1))
    assert server.api("DELETE", f"{accounts}/second-{doll_name}").status == 204
    namesake = account(server, ours.namespace, ("developer", ours.namespace), name=f"second-{doll_name}")
    approved(another_chief, ours.function("g"), waiting(namesake, ours.function("g"), answering(1)))
    refused_as_own(another_chief, server, ours.function("second"), outcome)
    approved(ours.approver, ours.function("second"), outcome)
