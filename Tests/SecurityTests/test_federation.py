"""Pipelines without a stored secret: tokens of their own system that stand for a service account, by what they say of the run."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
from accounts import Account, account
from casemate_fixture import Answer, Server, handler, problem
from identity_provider import Provider
from places import connect_from, place

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
RUN = {
    "repository": "acme/plant",
    "ref": "refs/heads/main",
    "environment": "production",
    "sub": "repo:acme/plant:ref:refs/heads/main",
}
ONE = handler("def handle(data):\n    return 1\n")


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def pipelines(running: Server, provider: Provider) -> Iterator[Server]:
    made = running.api(
        "POST", "/v1/issuers", {"name": "github", "url": provider.url, "audiences": ["casemate"], "forPipelines": True}
    )
    assert made.status == 201, made.text
    running.deploy("pipe", "one", ONE)
    yield running
    assert running.api("DELETE", "/v1/issuers/github").status == 204


@pytest.fixture
def ci(pipelines: Server) -> Account:
    made = account(pipelines, "pipe", ("deployer", "pipe"))
    trust(made, repository="acme/plant", ref="refs/heads/main", environment="production")
    return made


def trust(of: Account, **claims: str) -> dict[str, Any]:
    made = of.server.api("POST", f"{of.path}/federations", {"issuer": "github", "claims": claims})
    assert made.status == 201, made.text
    rule: dict[str, Any] = made.json()
    return rule


def sign_in(server: Server, client: str, token: str, **more: Any) -> Answer:
    form = {
        "grant_type": "client_credentials", "client_id": client, "client_assertion_type": ASSERTION, "client_assertion": token,
    } | more.pop("form", {})  # fmt: skip
    body = urllib.parse.urlencode({name: value for name, value in form.items() if value is not None}).encode()
    return server.http(
        server.api_url, "POST", "/oauth/token", body, {"Content-Type": "application/x-www-form-urlencoded"}, **more
    )


def test_a_pipelines_own_token_stands_for_its_account_for_an_hour(
    pipelines: Server, provider: Provider, ci: Account
) -> None:
    answer = sign_in(pipelines, ci.client_id, provider.token(**RUN))
    assert answer.status == 200 and answer.json()["expires_in"] == 3600
    key = answer.json()["access_token"]
    assert pipelines.api("GET", "/v1/whoami", key=key).json()["subject"] == ci.subject
    folder = pipelines.project("pipe", "two", ONE)
    code, _, err = pipelines.cli(
        "deploy", str(folder), environment={"CASEMATE_URL": pipelines.api_url, "CASEMATE_KEY": key}
    )
    assert code == 0, err


@pytest.mark.case("A22")
def test_A22_a_pipelines_token_by_itself_is_no_credential_whatever_it_is_made_out_for(
    pipelines: Server, provider: Provider
) -> None:
    """Anyone can have a run there, and a token for any audience."""
    connect = connect_from(place())
    for claims in ({}, {"scope": "fn:pipe/one"}, {"aud": f"{pipelines.gateway_url}/f/pipe/one"}):
        headers = {"Authorization": f"Bearer {provider.token(**RUN, **claims)}"}
        for url, path in ((pipelines.gateway_url, "/f/pipe/one"), (pipelines.api_url, "/v1/whoami")):
            assert pipelines.http(url, "GET", path, None, headers, connect=connect).status == 401, (claims, path)


@pytest.mark.case("A22")
@pytest.mark.parametrize(
    "claims",
    [
        {"repository": "acme-plant"}, {"repository": "acme/plant2"}, {"repository": "Acme/plant"}, {"repository": "acme/plant "},
        {"repository": "evil/plant"}, {"ref": "refs/heads/main2"}, {"ref": "refs/pull/7/merge"}, {"ref": "refs/heads/*"},
        {"environment": None}, {"environment": "staging"}, {"environment": ["production"]}, {"ref": "refs/heads/ma\u0131n"},
        {"repository": "acme/plant", "ref": None}, {"ref": 1},
    ],
    ids=["org-repo", "longer", "case", "space", "fork", "branch", "pull", "star", "no-env", "env", "list", "lookalike", "no-ref", "number"],
)  # fmt: skip
def test_A22_a_fork_another_branch_or_a_look_alike_is_refused(
    pipelines: Server, provider: Provider, ci: Account, claims: dict[str, Any]
) -> None:
    refused = sign_in(pipelines, ci.client_id, provider.token(**(RUN | claims)))
    assert (refused.status, refused.json()["error"]) == (403, "access_denied"), refused.text
    assert sign_in(pipelines, ci.client_id, provider.token(**RUN)).status == 200


@pytest.mark.case("A22")
def test_A22_a_rule_of_one_account_lets_nothing_in_for_another(
    pipelines: Server, provider: Provider, ci: Account
) -> None:
    other = account(pipelines, "pipe2", ("admin", "pipe2"))
    mine = provider.token(**RUN)
    alike = set()
    for client in (other.client_id, "00000000-0000-4000-8000-000000000000", "nobody"):
        refused = sign_in(pipelines, client, mine)
        assert refused.status == 403
        alike.add(refused.text)
    assert len(alike) == 1
    # Another tenant's rule with the same claims changes nothing for whom the client names.
    trust(other, repository="acme/plant", ref="refs/heads/main")
    key = sign_in(pipelines, ci.client_id, mine).json()["access_token"]
    assert pipelines.api("GET", "/v1/whoami", key=key).json()["subject"] == ci.subject


@pytest.mark.case("A22")
def test_A22_another_issuers_token_with_the_same_claims_is_refused(pipelines: Server, ci: Account) -> None:
    with Provider() as other:
        assert sign_in(pipelines, ci.client_id, other.token(**RUN), connect=connect_from(place())).status == 401
        made = pipelines.api("POST", "/v1/issuers", {"name": "gitlab", "url": other.url, "audiences": ["casemate"]})
        assert made.status == 201
        assert sign_in(pipelines, ci.client_id, other.token(**RUN)).status == 403
        assert pipelines.api("DELETE", "/v1/issuers/gitlab").status == 204


def test_only_a_valid_token_for_this_server_is_looked_at(pipelines: Server, provider: Provider, ci: Account) -> None:
    connect = connect_from(place())
    now = int(time.time())
    for token in (
        provider.token(**RUN, aud="elsewhere"), provider.token(**RUN, aud=["casemate", "elsewhere"]), provider.token(**RUN, exp=now - 120),
        provider.token(**RUN)[:-4] + "AAAA", "not-a-token", "", ci.key, ci.client_secret,
    ):  # fmt: skip
        refused = sign_in(pipelines, ci.client_id, token, connect=connect)
        assert (refused.status, refused.json()["error"]) == (401, "invalid_client"), refused.text
    for form, error in (
        ({"client_assertion_type": None}, "invalid_request"), ({"client_assertion_type": "x"}, "invalid_request"),
        ({"client_id": None}, "invalid_client"), ({"client_secret": ci.client_secret}, "invalid_request"),
        ({"scope": "admin"}, "invalid_scope"),
    ):  # fmt: skip
        refused = sign_in(pipelines, ci.client_id, provider.token(**RUN), form=form, connect=connect)
        assert refused.json()["error"] == error, (form, refused.text)


@pytest.mark.case("A19")
def test_A19_with_its_rule_go_the_accounts_access_tokens(pipelines: Server, provider: Provider, ci: Account) -> None:
    rules = pipelines.api("GET", f"{ci.path}/federations").json()["federations"]
    key = sign_in(pipelines, ci.client_id, provider.token(**RUN)).json()["access_token"]
    assert pipelines.api("DELETE", f"{ci.path}/federations/{rules[0]['id']}").status == 204
    assert pipelines.api("GET", "/v1/whoami", key=key).status == 401
    assert sign_in(pipelines, ci.client_id, provider.token(**RUN)).status == 403
    assert pipelines.api("GET", "/v1/whoami", key=ci.key).status == 200
    with Provider() as brief:
        issuer = {"name": "brief-ci", "url": brief.url, "audiences": ["casemate"]}
        assert pipelines.api("POST", "/v1/issuers", issuer).status == 201
        rule = {"issuer": "brief-ci", "claims": {"repository": "acme/plant"}}
        assert pipelines.api("POST", f"{ci.path}/federations", rule).status == 201
        key = sign_in(pipelines, ci.client_id, brief.token(**RUN)).json()["access_token"]
        assert pipelines.api("DELETE", "/v1/issuers/brief-ci").status == 204
        assert pipelines.api("GET", "/v1/whoami", key=key).status == 401, "and with its issuer"
    assert pipelines.api("DELETE", f"{ci.path}/federations/{rules[0]['id']}").status == 404


def test_nobody_writes_a_rule_for_an_account_that_holds_more_than_they_do(pipelines: Server) -> None:
    strong = account(pipelines, "pipe", ("admin", None))
    boss = account(pipelines, "pipe", ("admin", "pipe"))
    refused = boss.api(
        "POST", f"{strong.path}/federations", {"issuer": "github", "claims": {"repository": "evil/plant"}}
    )
    assert refused.status == 403 and "holds" in problem(refused)["detail"]
    assert boss.api("GET", f"{strong.path}/federations").json() == {"federations": []}


@pytest.mark.parametrize(
    "body",
    [
        {}, {"issuer": "github"}, {"issuer": "github", "claims": {}}, {"issuer": "github", "claims": {"aud": "casemate"}},
        {"issuer": "github", "claims": {"iss": "x", "repository": "a"}}, {"issuer": "github", "claims": {"exp": "1"}},
        {"issuer": "github", "claims": {"repository": ""}}, {"issuer": "github", "claims": {"": "x"}},
        {"issuer": "github", "claims": {"repository": 1}}, {"issuer": "github", "claims": {"repository": ["a"]}},
        {"issuer": "github", "claims": {f"c{n}": "x" for n in range(17)}}, {"issuer": "github", "claims": {"a": "x" * 513}},
        {"issuer": "github", "claims": {"a": "x"}, "audience": "y"}, {"issuer": "GitHub", "claims": {"a": "x"}},
    ],
    ids=range(14),
)  # fmt: skip
def test_a_rule_that_would_let_anyone_in_or_says_nothing_is_refused(pipelines: Server, body: dict[str, Any]) -> None:
    made = account(pipelines, "pipe")
    assert pipelines.api("POST", f"{made.path}/federations", body).status in (400, 422), body
    assert pipelines.api("GET", f"{made.path}/federations").json() == {"federations": []}


def test_an_unknown_issuer_and_an_unknown_rule_are_said_to_be_so(pipelines: Server) -> None:
    made = account(pipelines, "pipe")
    assert pipelines.api("POST", f"{made.path}/federations", {"issuer": "nobody", "claims": {"a": "x"}}).status == 404
    assert pipelines.api("DELETE", f"{made.path}/federations/00000000-0000-4000-8000-000000000000").status == 404
    assert pipelines.api("DELETE", f"{made.path}/federations/x").status == 400


def test_the_whole_way_by_the_command_line(pipelines: Server, provider: Provider) -> None:
    assert pipelines.cli("service-account", "create", "robot", "--namespace", "pipe", "--role", "deployer")[0] == 0
    client = pipelines.api("GET", "/v1/namespaces/pipe/service-accounts").json()["serviceAccounts"]
    client_id = next(item["clientId"] for item in client if item["name"] == "robot")
    code, out, err = pipelines.cli(
        "service-account", "trust", "add", "pipe/robot", "github", "--claim", "repository=acme/plant"
    )
    assert code == 0 and "repository=acme/plant" in out and "any branch" in err
    rule = out.split()[0]
    assert rule in pipelines.cli("service-account", "trust", "list", "pipe/robot")[1]
    alone = {"CASEMATE_URL": pipelines.api_url}
    code, out, err = pipelines.cli(
        "token", "assume", client_id, "--token-file", "-", environment=alone, input=provider.token(**RUN) + "\n"
    )
    assert code == 0, err
    who = pipelines.cli("whoami", environment={**alone, "CASEMATE_KEY": out.strip()})
    assert "service-account:pipe/robot" in who[1]
    wrong = provider.token(**(RUN | {"repository": "evil/plant"}))
    code, out, err = pipelines.cli("token", "assume", client_id, "--token-file", "-", environment=alone, input=wrong)
    assert (code, out) == (2, "") and "no rule" in err and wrong not in err
    assert pipelines.cli("token", "assume", client_id, "--token-file", "/nonexistent", environment=alone)[0] == 2
    assert pipelines.cli("service-account", "trust", "add", "pipe/robot", "github", "--claim", "repository")[0] == 2
    assert pipelines.cli("service-account", "trust", "remove", "pipe/robot", rule)[0] == 0
