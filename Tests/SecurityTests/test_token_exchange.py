"""A credential that may do much, exchanged for a token that calls one function for ten minutes (RFC 8693)."""

from __future__ import annotations

import base64
import json
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from accounts import account
from casemate_fixture import Answer, Server, handler, problem
from identity_provider import Provider
from places import connect_from, place

ECHO = handler(
    "def handle(event, context):\n    return {'statusCode': 200, 'body': event['headers'].get('Casemate-Claims', '')}\n"
)
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def exchanging(running: Server, provider: Provider) -> Iterator[Server]:
    made = running.api("POST", "/v1/issuers", {"name": "bank", "url": provider.url, "audiences": ["casemate"]})
    assert made.status == 201, made.text
    for name in ("one", "two"):
        running.deploy("swap", name, ECHO, {"signature": "scaleway"})
    running.deploy("swap", "open", ECHO, {"signature": "scaleway", "access": "public"})
    running.namespace("elsewhere")
    yield running
    assert running.api("DELETE", "/v1/issuers/bank").status == 204


def exchange(server: Server, subject: str, form: Mapping[str, str | None] | None = None, **more: Any) -> Answer:
    fields: dict[str, str | None] = {
        "grant_type": GRANT,
        "subject_token": subject,
        "subject_token_type": ACCESS_TOKEN,
        "scope": "fn:swap/one",
        **(form or {}),
    }
    body = urllib.parse.urlencode({name: value for name, value in fields.items() if value is not None}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", **more.pop("headers", {})}
    return server.http(server.api_url, "POST", "/oauth/token", body, headers, **more)


def exchanged(server: Server, subject: str, form: Mapping[str, str | None] | None = None) -> str:
    answer = exchange(server, subject, form)
    assert answer.status == 200, answer.text
    return str(answer.json()["access_token"])


def call(server: Server, token: str, function: str = "swap/one", **more: Any) -> Answer:
    return server.call(function, key=None, headers={"Authorization": f"Bearer {token}"}, **more)


def claims(token: str) -> Any:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


@pytest.mark.guarantee("KYM-2")
def test_KYM_2_an_exchanged_token_opens_its_function_and_nothing_else(exchanging: Server) -> None:
    machine = account(exchanging, "swap", ("function:invoke", "swap"))
    answer = exchange(exchanging, machine.key)
    assert answer.status == 200 and answer.headers["cache-control"] == "no-store"
    said = answer.json()
    token = said["access_token"]
    assert said == {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": 600,
        "issued_token_type": ACCESS_TOKEN,
        "scope": "fn:swap/one",
    }
    told = claims(token)
    assert told["aud"] == f"{exchanging.gateway_url}/f/swap/one" and told["exp"] - told["iat"] == 600
    opened = call(exchanging, token)
    assert opened.status == 200
    # The function learns who calls, never the token.
    seen = json.loads(base64.urlsafe_b64decode(opened.text + "=="))
    assert seen["sub"] == f"service-account:{machine.client_id}" and seen["username"] == machine.subject
    refused = call(exchanging, token, "swap/two")
    assert (refused.status, problem(refused)["type"]) == (403, "/problems/insufficient-scope")
    assert call(exchanging, token, "swap/absent").status == 403
    assert call(exchanging, token, "swap/open").status == 403, "with the call would come what its holder may do"
    connect = connect_from(place())
    api = exchanging.http(
        exchanging.api_url, "GET", "/v1/whoami", None, {"Authorization": f"Bearer {token}"}, connect=connect
    )
    assert api.status == 401, "it is no credential of the API's"
    again = exchange(exchanging, token, connect=connect)
    assert (again.status, again.json()["error"]) == (400, "invalid_request"), "nor can it be exchanged for another"


@pytest.mark.guarantee("KYM-2")
def test_KYM_2_every_credential_of_the_platform_can_be_exchanged_and_whoever_holds_it_is_still_asked(
    exchanging: Server, provider: Provider
) -> None:
    machine = account(exchanging, "swap", ("function:invoke", "swap/one"))
    form = {"grant_type": "client_credentials", "client_id": machine.client_id, "client_secret": machine.client_secret}
    signed_in = exchanging.http(
        exchanging.api_url,
        "POST",
        "/oauth/token",
        urllib.parse.urlencode(form).encode(),
        {"Content-Type": "application/x-www-form-urlencoded"},
    )
    granted = exchanging.api(
        "POST",
        "/v1/namespaces/swap/grants",
        {"subject": "user:bank:alice", "permission": "function:invoke", "function": "one"},
    )
    assert granted.status == 201, granted.text
    subjects = {
        "the bootstrap key": exchanging.key, "an API key": machine.key, "an access token": signed_in.json()["access_token"],
        "a person's token": provider.token(), "a function token": exchanging.token("swap/one")["token"],
        "a namespace's token": exchanging.token("swap")["token"],
    }  # fmt: skip
    tokens = {name: exchanged(exchanging, subject) for name, subject in subjects.items()}
    assert {name: call(exchanging, token).status for name, token in tokens.items()} == dict.fromkeys(subjects, 200)

    # What is taken from the holder is taken from the token.
    assert exchanging.api("DELETE", f"/v1/namespaces/swap/grants/{granted.json()['id']}").status == 204
    assert call(exchanging, tokens["a person's token"]).status == 404
    assert exchanging.api("DELETE", machine.path).status == 204
    assert call(exchanging, tokens["an API key"]).status == 401
    assert call(exchanging, tokens["an access token"]).status == 401
    listed = exchanging.api("GET", "/v1/namespaces/swap/tokens").json()["tokens"]
    for token in listed:
        assert exchanging.api("DELETE", f"/v1/namespaces/swap/tokens/{token['id']}").status == 204
    assert call(exchanging, tokens["a function token"]).status == 401
    assert call(exchanging, tokens["the bootstrap key"]).status == 200


@pytest.mark.guarantee("KYM-2")
def test_KYM_2_a_token_ends_with_the_key_that_was_exchanged(exchanging: Server) -> None:
    machine = account(exchanging, "swap", ("function:invoke", "swap/one"))
    second = exchanging.api("POST", f"{machine.path}/keys", {}).json()
    first_token, second_token = exchanged(exchanging, machine.key), exchanged(exchanging, second["key"])
    assert exchanging.api("DELETE", f"{machine.path}/keys/{second['id']}").status == 204
    assert (call(exchanging, first_token).status, call(exchanging, second_token).status) == (200, 401)


def test_a_token_lives_no_longer_than_what_it_was_exchanged_for(exchanging: Server, provider: Provider) -> None:
    granted = {"subject": "user:bank:brief", "permission": "function:invoke", "function": "one"}
    assert exchanging.api("POST", "/v1/namespaces/swap/grants", granted).status == 201
    now = int(time.time())
    answer = exchange(exchanging, provider.token(sub="brief", exp=now + 100))
    assert answer.status == 200 and 90 <= answer.json()["expires_in"] <= 100
    assert claims(answer.json()["access_token"])["exp"] <= now + 101
    late = exchange(exchanging, provider.token(sub="brief", exp=now - 30))
    assert (late.status, late.json()["error"]) == (
        400,
        "invalid_request",
    ), "taken for a minute more, but exchanged no more"


def test_somebody_whom_no_token_could_name_gets_none(exchanging: Server, provider: Provider) -> None:
    long = "x" * 250
    granted = {"subject": f"user:bank:{long}", "permission": "function:invoke", "function": "one"}
    assert exchanging.api("POST", "/v1/namespaces/swap/grants", granted).status == 201
    refused = exchange(exchanging, provider.token(sub=long))
    assert (refused.status, refused.json()["error"]) == (400, "invalid_request")


@pytest.mark.guarantee("KYM-2")
def test_KYM_2_nobody_exchanges_for_what_they_may_not_call(exchanging: Server, provider: Provider) -> None:
    viewer = account(exchanging, "swap", ("viewer", "swap"))
    stranger = account(exchanging, "elsewhere", ("admin", "elsewhere"))
    other = exchanging.token("swap/two")["token"]
    words = set()
    for subject in (viewer.key, stranger.key, other, provider.token(sub="mallory")):
        for function in ("swap/one", "swap/absent", "absent/absent"):
            refused = exchange(exchanging, subject, {"scope": f"fn:{function}"})
            said = refused.json()
            assert (refused.status, said["error"]) == (400, "invalid_target"), said
            words.add(said["error_description"].replace(function, "NAME"))
    assert len(words) == 1, "what is there and what is not are told alike"


def test_the_function_can_be_named_in_scope_audience_or_resource_but_only_one(exchanging: Server) -> None:
    url = f"{exchanging.gateway_url}/f/swap/one"
    right: tuple[dict[str, str | None], ...] = (
        {"scope": "fn:swap/one:invoke"}, {"scope": None, "audience": url}, {"scope": None, "resource": url},
        {"scope": None, "audience": "fn:swap/one"}, {"audience": url, "resource": url}, {"scope": "fn:swap/one fn:swap/one"},
    )  # fmt: skip
    for form in right:
        assert call(exchanging, exchanged(exchanging, exchanging.key, form)).status == 200, form
    wrong: tuple[tuple[dict[str, str | None], str], ...] = (
        ({"scope": None}, "invalid_request"), ({"scope": "openid"}, "invalid_scope"), ({"scope": "fn:swap/*"}, "invalid_scope"),
        ({"scope": "fn:swap"}, "invalid_scope"), ({"scope": "fn:swap/one openid"}, "invalid_scope"),
        ({"scope": "fn:swap/one fn:swap/two"}, "invalid_target"), ({"audience": f"{exchanging.gateway_url}/f/swap/two"}, "invalid_target"),
        ({"audience": "https://elsewhere.example/f/swap/one"}, "invalid_target"), ({"audience": exchanging.api_url}, "invalid_target"),
        ({"audience": url + "/"}, "invalid_target"), ({"subject_token": None}, "invalid_request"),
        ({"subject_token": ""}, "invalid_request"), ({"subject_token_type": None}, "invalid_request"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
        ({"actor_token": "x"}, "invalid_request"), ({"grant_type": GRANT.upper()}, "unsupported_grant_type"),
    )  # fmt: skip
    connect = connect_from(place())
    for form, error in wrong:
        refused = exchange(exchanging, exchanging.key, form, connect=connect)
        assert (refused.status, refused.json()["error"]) == (400, error), (form, refused.text)
        assert exchanging.key not in refused.text


def test_a_client_that_says_who_it_is_must_be_it(exchanging: Server) -> None:
    machine = account(exchanging, "swap", ("function:invoke", "swap/one"))
    right = {"client_id": machine.client_id, "client_secret": machine.client_secret}
    assert call(exchanging, exchanged(exchanging, machine.key, right)).status == 200
    refused = exchange(exchanging, machine.key, right | {"client_secret": "cmc_wrong"}, connect=connect_from(place()))
    assert (refused.status, refused.json()["error"]) == (401, "invalid_client")


def test_wrong_subject_tokens_count_as_guesses(exchanging: Server) -> None:
    connect = connect_from(place())
    statuses = [exchange(exchanging, f"guess-{number}", connect=connect).status for number in range(70)]
    assert statuses[:50] == [400] * 50 and statuses[-1] == 429
    assert exchange(exchanging, exchanging.key).status == 200, "who comes from elsewhere is not concerned"


def test_the_servers_own_url_can_not_be_an_issuers(exchanging: Server) -> None:
    refused = exchanging.api("POST", "/v1/issuers", {"name": "self", "url": exchanging.api_url, "audiences": ["a"]})
    assert refused.status == 400 and "its own tokens" in problem(refused)["detail"]


def test_the_command_line_exchanges_its_own_credential(exchanging: Server) -> None:
    machine = account(exchanging, "swap", ("function:invoke", "swap/one"))
    code, out, err = machine.cli("token", "exchange", "swap/one")
    assert code == 0 and "for 10 minutes" in err
    assert call(exchanging, out.strip()).status == 200
    assert machine.key not in out + err
    whole = json.loads(machine.cli("token", "exchange", "swap/one", "--json")[1])
    assert whole["scope"] == "fn:swap/one"
    code, out, err = machine.cli("token", "exchange", "swap/two")
    assert (code, out) == (2, "") and "may not call swap/two" in err
