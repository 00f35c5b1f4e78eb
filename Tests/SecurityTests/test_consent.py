"""Before a function acts for a person they are shown what it may do, and asked: once a revision. Machines are never asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accounts import account
from casemate_fixture import Server, handler, problem
from identity_provider import SignInProvider
from sign_in import Home

UNKNOWN = {"revisionId": "00000000-0000-4000-8000-000000000000"}
ONE = "def handle(data):\n    return {}\n"
KEYS = {
    "capabilities": ["agree/lookup:invoke", "agree/lookup:logs:read"],
    "egress": ["api.example.com:443"],
    "secrets": ["API_KEY"],
    "identity": ["https://sts.example.com"],
}


@pytest.fixture(scope="module")
def provider() -> Iterator[SignInProvider]:
    with SignInProvider() as provider:
        yield provider


@pytest.fixture(scope="module")
def asking(running: Server, provider: SignInProvider) -> Iterator[Server]:
    issuer = {"name": "firm", "url": provider.url, "audiences": ["casemate"], "clientId": provider.client_id}
    assert running.api("POST", "/v1/issuers", issuer).status == 201
    running.deploy("agree", "lookup", handler(ONE.format(1)))
    for subject in ("user:firm:alice", "user:firm:bob"):
        grant = {"subject": subject, "permission": "function:invoke"}
        assert running.api("POST", "/v1/namespaces/agree/grants", grant).status == 201
    yield running
    assert running.api("DELETE", "/v1/issuers/firm").status == 204


@pytest.fixture
def alice(asking: Server, provider: SignInProvider, tmp_path: Path) -> Home:
    home = Home(asking, provider, tmp_path)
    assert home.login()[0] == 0
    return home


def deploy(server: Server, name: str, answer: int = 1, **more: object) -> str:
    server.deploy("agree", name, handler(ONE.format(answer)), {**KEYS, **more})
    server.secret(f"agree/{name}", "API_KEY", "hunter2-hunter2")
    return f"agree/{name}"


@pytest.mark.guarantee("COG-26")
def test_COG_26_a_persons_first_call_of_a_revision_is_refused_until_they_agree(asking: Server, alice: Home) -> None:
    function = deploy(asking, "first")
    before = asking.status()["calls"]
    refused = alice.call(function, body={})
    told = problem(refused)
    assert (refused.status, told["type"]) == (428, "/problems/consent-required")
    assert "casemate consent agree/first" in told["detail"] and told["reason"] == "1"
    assert asking.status()["calls"] == before

    code, out, err = alice.cli("consent", function)
    assert code == 2 and "--yes" in err, "nobody can be asked there"
    for word in (
        "revision 1", "key:", "api.example.com:443", "API_KEY", "https://sts.example.com", "function:invoke",
        "agree/lookup:invoke  (you may, so it will)", "agree/lookup:logs:read  (you may not, so it won't)",
    ):  # fmt: skip
        assert word in out, f"{word} is not on the sheet:\n{out}"
    assert "hunter2" not in out
    assert alice.call(function, body={}).status == 428, "to look is not to agree"
    code, out, _ = alice.cli("consent", function, "--yes")
    assert code == 0 and "may act for you" in out
    assert alice.call(function, body={}).status == 200
    assert "you agreed on" in alice.cli("consent", function)[1]

    # It is theirs, and the revision's.
    seen = alice.api("GET", "/v1/namespaces/agree/functions/first/trust").json()["revisionId"]
    deploy(asking, "first", 2)
    again = alice.call(function, body={})
    assert again.status == 428 and problem(again)["reason"] == "2"
    old = alice.api("PUT", "/v1/namespaces/agree/functions/first/consent", {"revisionId": seen})
    assert old.status == 409 and problem(old)["reason"] == "2", "what was not seen is not agreed to"
    assert alice.cli("consent", function, "--yes")[0] == 0
    assert alice.call(function, body={}).status == 200
    # Back at the first one, to which they have agreed.
    assert asking.api("POST", "/v1/namespaces/agree/functions/first/rollback", {"revision": 1}).status == 200
    assert alice.call(function, body={}).status == 200


@pytest.mark.guarantee("COG-26")
def test_COG_26_what_one_agrees_to_another_has_not(
    asking: Server, alice: Home, provider: SignInProvider, tmp_path: Path
) -> None:
    function = deploy(asking, "mine")
    assert alice.cli("consent", function, "--yes")[0] == 0
    provider.person = {"sub": "bob"}
    bob = Home(asking, provider, tmp_path / "bob")
    assert bob.login()[0] == 0
    provider.person = {"sub": "alice", "groups": ["engineers"]}
    assert (alice.call(function, body={}).status, bob.call(function, body={}).status) == (200, 428)
    # It stays with the next sign-in, and with a token that is exchanged for it.
    assert alice.login()[0] == 0
    assert alice.call(function, body={}).status == 200
    for home, status in ((alice, 200), (bob, 428)):
        token = home.cli("token", "exchange", function)[1].strip()
        assert asking.call(function, key=None, headers={"Authorization": f"Bearer {token}"}, body={}).status == status


@pytest.mark.guarantee("COG-26")
def test_COG_26_machines_are_never_asked(asking: Server, provider: SignInProvider) -> None:
    function = deploy(asking, "machine")
    robot = account(asking, "agree", ("function:invoke", "agree"))
    scoped = provider.token(scope=f"fn:{function}")
    assert asking.call(function, body={}).status == 200, "the bootstrap key"
    assert robot.call(function, body={}).status == 200
    assert asking.call(function, key=None, token=asking.token(function)["token"], body={}).status == 200
    assert asking.call(function, key=None, headers={"Authorization": f"Bearer {scoped}"}, body={}).status == 200
    sheet = robot.api("GET", "/v1/namespaces/agree/functions/machine/trust").json()
    refused = robot.api("PUT", "/v1/namespaces/agree/functions/machine/consent", {"revisionId": sheet["revisionId"]})
    assert refused.status == 403 and "casemate login" in problem(refused)["detail"]
    # To call is not to read: what its rights show it nowhere else it does not see here either.
    assert not {"secrets", "egress", "findings"} & set(sheet)
    assert {"secrets", "egress", "findings"} <= set(
        asking.api("GET", "/v1/namespaces/agree/functions/machine/trust").json()
    )


@pytest.mark.guarantee("COG-26")
def test_COG_26_also_a_public_function_acts_for_nobody_unasked(asking: Server, alice: Home) -> None:
    function = deploy(asking, "open", access="public")
    assert asking.call(function, key=None, body={}).status == 200
    assert alice.call(function, body={}).status == 428
    assert alice.cli("consent", function, "--yes")[0] == 0
    assert alice.call(function, body={}).status == 200
    # Who could not agree, having no right to call it, calls it as anybody does.
    asking.deploy("elsewhere2", "open", handler(ONE.format(1)), {"access": "public"})
    assert alice.call("elsewhere2/open", body={}).status == 200


@pytest.mark.guarantee("COG-26")
def test_COG_26_a_function_behind_the_one_that_was_agreed_to_acts_for_nobody_unasked(
    asking: Server, alice: Home
) -> None:
    inner = handler("""
        import json
        import urllib.request

        def handle(event, context):
            session = {"Authorization": "Bearer " + event["headers"]["Casemate-Session"]}
            with urllib.request.urlopen(urllib.request.Request("http://casemate.internal/v1/whoami", headers=session)) as answer:
                return {"statusCode": 200, "body": answer.read().decode()}
        """)
    outer = handler("""
        import urllib.request

        def handle(event, context):
            session = {"Authorization": "Bearer " + event["headers"]["Casemate-Session"]}
            with urllib.request.urlopen(urllib.request.Request("http://inner.agree.internal/", headers=session)) as answer:
                return {"statusCode": 200, "body": answer.read().decode()}
        """)
    both = ["agree/inner:invoke", "agree/lookup:invoke"]
    asking.deploy("agree", "inner", inner, {"signature": "scaleway", "capabilities": both[1:]})
    asking.deploy("agree", "outer", outer, {"signature": "scaleway", "capabilities": both})
    assert asking.call("agree/outer", body={}).json()["grants"] == [
        {"on": "agree/lookup", "permission": "function:invoke"}
    ], "for a machine"
    assert alice.cli("consent", "agree/outer", "--yes")[0] == 0
    assert alice.call("agree/outer", body={}).json()["grants"] == []
    assert alice.cli("consent", "agree/inner", "--yes")[0] == 0
    assert len(alice.call("agree/outer", body={}).json()["grants"]) == 1
    assert alice.cli("consent", "agree/inner", "--withdraw")[0] == 0
    assert alice.call("agree/outer", body={}).json()["grants"] == []
    assert alice.cli("consent", "agree/inner", "--withdraw")[0] == 2


def test_a_function_that_was_made_again_under_its_name_is_another(asking: Server, alice: Home) -> None:
    function = deploy(asking, "again")
    seen = alice.api("GET", "/v1/namespaces/agree/functions/again/trust").json()
    assert asking.api("DELETE", "/v1/namespaces/agree/functions/again").status == 204
    deploy(asking, "again", 2)
    assert seen["revision"] == 1
    agreed = alice.api("PUT", "/v1/namespaces/agree/functions/again/consent", {"revisionId": seen["revisionId"]})
    assert agreed.status == 409
    assert alice.call(function, body={}).status == 428


def test_on_a_terminal_a_call_asks_and_goes_on(asking: Server, alice: Home) -> None:
    function = deploy(asking, "terminal")
    code, said = alice.on_terminal("invoke", function, "--data", "{}", answer="n")
    assert code == 2 and "api.example.com:443" in said and "nothing was called" in said
    code, said = alice.on_terminal("invoke", function, "--data", "{}", answer="y")
    assert code == 0 and "[y/N]" in said
    code, said = alice.on_terminal("invoke", function, "--data", "{}", answer="n")
    assert code == 0 and "[y/N]" not in said, "once a revision"


def test_without_a_terminal_nothing_asks_or_hangs(asking: Server, alice: Home) -> None:
    function = deploy(asking, "script")
    code, out, err = alice.cli("invoke", function, "--data", "{}")
    assert (code, out) == (2, "") and f"casemate consent {function}" in err
    code, out, err = alice.cli("consent", function, "--json")
    assert code == 2 and '"revision":1' in out
    assert alice.cli("consent", function, "--show")[0] == 0
    assert alice.call(function, body={}).status == 428


def test_who_may_not_call_sees_no_sheet(asking: Server, alice: Home) -> None:
    deploy(asking, "hidden")
    viewer = account(asking, "agree", ("viewer", "agree"))
    stranger = account(asking, "agree")
    sheet = "/v1/namespaces/agree/functions/hidden/trust"
    assert (viewer.api("GET", sheet).status, stranger.api("GET", sheet).status) == (403, 404)
    assert alice.api("GET", sheet + "?x=1").status == 400
    wrong: tuple[Any, ...] = ({}, {"revisionId": 1}, {"revisionId": "1"}, {"revision": 1}, [])
    for body in wrong:
        assert alice.api("PUT", "/v1/namespaces/agree/functions/hidden/consent", body).status == 400, body
    assert alice.api("PUT", "/v1/namespaces/agree/functions/hidden/consent", UNKNOWN).status == 409
    assert alice.api("PUT", "/v1/namespaces/agree/functions/absent/consent", UNKNOWN).status == 404


# ---------------------------------------------------------------- the standing answer of machines


@pytest.mark.guarantee("COG-26")
def test_COG_26_a_policy_narrows_what_machines_call_by_signer_and_by_what_it_may_do(
    asking: Server, provider: SignInProvider, tmp_path: Path
) -> None:
    asking.namespace("narrow")
    asking.deploy("narrow", "plain", handler(ONE.format(1)))
    asking.deploy(
        "narrow", "able", handler(ONE.format(1)), {"capabilities": ["agree/lookup:invoke", "agree/lookup:logs:read"]}
    )
    robot = account(asking, "narrow", ("function:invoke", "narrow"))
    signer = robot.api("GET", "/v1/namespaces/narrow/functions/plain/trust").json()["signer"]

    def statuses(policy: object) -> tuple[int, int]:
        assert asking.api("PUT", "/v1/namespaces/narrow/policy", policy).status == 200
        assert asking.api("GET", "/v1/namespaces/narrow/policy").json()["machines"] == policy["machines"]  # type: ignore[index]
        return robot.call("narrow/plain", body={}).status, robot.call("narrow/able", body={}).status

    both = ["agree/lookup:invoke", "agree/lookup:logs:read"]
    assert statuses({"machines": {}}) == (200, 200)
    assert statuses({"machines": {"capabilities": both}}) == (200, 200)
    assert statuses({"machines": {"capabilities": both[:1]}}) == (200, 403)
    assert statuses({"machines": {"capabilities": []}}) == (200, 403)
    assert statuses({"machines": {"signers": ["0" * 64]}}) == (403, 403)
    assert statuses({"machines": {"signers": [signer], "capabilities": []}}) == (200, 403)
    told = problem(robot.call("narrow/able", body={}))
    assert told["type"] == "/problems/forbidden" and "agree/lookup:invoke" in told["detail"]
    # Every machine is one: the bootstrap key, a function token, a token that says which function it is for; and what acts for one.
    token = asking.token("narrow/able")["token"]
    scoped = provider.token(scope="fn:narrow/able")
    assert asking.call("narrow/able", body={}).status == 403
    assert asking.call("narrow/able", key=None, token=token, body={}).status == 403
    assert asking.call("narrow/able", key=None, headers={"Authorization": f"Bearer {scoped}"}, body={}).status == 403
    # A person is asked instead.
    grant = {"subject": "user:firm:alice", "permission": "function:invoke"}
    assert asking.api("POST", "/v1/namespaces/narrow/grants", grant).status == 201
    alice = Home(asking, provider, tmp_path)
    assert alice.login()[0] == 0
    assert alice.cli("consent", "narrow/able", "--yes")[0] == 0
    assert alice.call("narrow/able", body={}).status == 200


@pytest.mark.parametrize(
    "machines",
    [{"signers": ["abc"]}, {"signers": ["G" * 64]}, {"capabilities": ["plant/lookup"]}, {"capabilities": ["a/b:token:write"]},
     {"signer": []}, {"signers": "x"}, {"capabilities": [1]}, []],
    ids=["short", "no-hex", "no-right", "right", "unknown", "text", "number", "list"],
)  # fmt: skip
def test_a_narrowing_that_says_nothing_is_refused(asking: Server, machines: object) -> None:
    asking.namespace("narrow")
    before = asking.api("GET", "/v1/namespaces/narrow/policy").json()
    assert asking.api("PUT", "/v1/namespaces/narrow/policy", {"machines": machines}).status == 400
    assert asking.api("GET", "/v1/namespaces/narrow/policy").json() == before
