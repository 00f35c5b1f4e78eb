"""Tokens of identity providers: which are believed, and what they open."""

from __future__ import annotations

import base64
import json
import socket
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
from accounts import account
from casemate_fixture import Answer, Server, handler, problem
from identity_provider import Provider
from jwcrypto import jwk
from places import connect_from, place

ECHO = handler(
    "def handle(event, context):\n    return {'seen': {k.lower(): v for k, v in event['headers'].items()}}\n"
)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def trusting(running: Server, provider: Provider) -> Iterator[Server]:
    made = running.api("POST", "/v1/issuers", {"name": "corp", "url": provider.url, "audiences": ["casemate"]})
    assert made.status == 201, made.text
    running.deploy("jwt", "one", ECHO)
    running.deploy("jwt", "two", ECHO)
    yield running
    assert running.api("DELETE", "/v1/issuers/corp").status == 204


def scope(function: str = "jwt/one") -> dict[str, str]:
    return {"scope": f"openid fn:{function} profile"}


def call(server: Server, token: str, function: str = "jwt/one", **headers: str) -> Answer:
    return server.call(function, key=None, headers={"Authorization": f"Bearer {token}", **headers})


def refused_everywhere(server: Server, token: str) -> None:
    """401 at both listeners, in the same words as for anything else that is no credential, and no sandbox starts."""
    before = server.status()["calls"]
    connect = connect_from(place())

    def asked(url: str, path: str, credential: str) -> Answer:
        return server.http(url, "GET", path, None, {"Authorization": f"Bearer {credential}"}, connect=connect)

    for url, path in ((server.gateway_url, "/f/jwt/one"), (server.api_url, "/v1/whoami")):
        answer, other = asked(url, path, token), asked(url, path, "not-a-credential")
        assert answer.status == 401, f"{answer.status} {answer.text}"
        assert problem(answer)["detail"] == problem(other)["detail"]
    assert server.status()["calls"] == before


# ---------------------------------------------------------------- what opens a function


@pytest.mark.guarantee("KYM-2")
@pytest.mark.case("A8")
def test_A8_KYM_2_a_valid_token_without_the_functions_scope_opens_nothing(trusting: Server, provider: Provider) -> None:
    for claims in (
        {},
        {"scope": "openid"},
        {"scope": "fn:jwt/two"},
        {"scope": "fn:jwt/*"},
        {"scope": "fn:jwt/one2"},
        {"scope": "FN:jwt/one"},
    ):
        refused = call(trusting, provider.token(**claims))
        told = problem(refused)
        assert (refused.status, told["type"]) == (403, "/problems/insufficient-scope"), claims
        challenge = refused.headers["www-authenticate"]
        assert (
            challenge.startswith("Bearer ")
            and 'error="insufficient_scope"' in challenge
            and 'scope="fn:jwt/one"' in challenge
        )
    # Nor does it tell which functions there are.
    absent = call(trusting, provider.token(), "jwt/absent")
    assert absent.status == 403
    assert problem(absent)["detail"] == problem(call(trusting, provider.token(), "jwt/one"))["detail"].replace(
        "jwt/one", "jwt/absent"
    )


@pytest.mark.guarantee("KYM-2")
def test_KYM_2_the_scope_or_the_functions_own_audience_opens_it(trusting: Server, provider: Provider) -> None:
    url = trusting.api("GET", "/v1/namespaces/jwt/functions/one").json()["url"]
    for claims in (
        scope(), {"scp": ["fn:jwt/one"]}, {"scopes": ["x", "fn:jwt/one"]}, {"scope": "fn:jwt/one:invoke"}, {"aud": url}, {"aud": [url]},
    ):  # fmt: skip
        answer = call(trusting, provider.token(**claims))
        assert answer.status == 200, f"{claims}: {answer.text}"
    assert call(trusting, provider.token(aud=url), "jwt/two").status == 401


@pytest.mark.guarantee("KYM-3")
def test_KYM_3_of_ten_functions_each_token_opens_its_own_alone(trusting: Server, provider: Provider) -> None:
    names = [f"jwt-matrix/f{number}" for number in range(10)]
    for name in names:
        trusting.deploy("jwt-matrix", name.partition("/")[2], ECHO)
    tokens = {name: provider.token(**scope(name)) for name in names}
    opened = {(token, name) for token in names for name in names if call(trusting, tokens[token], name).status == 200}
    assert opened == {(name, name) for name in names}


@pytest.mark.guarantee("KYM-4")
def test_KYM_4_the_function_gets_verified_claims_and_never_the_token(trusting: Server, provider: Provider) -> None:
    token = provider.token(**scope(), department="Größe")
    forged = base64.urlsafe_b64encode(b'{"sub": "admin"}').decode()
    answer = call(trusting, token, **{"Casemate-Claims": forged, "casemate-CLAIMS": forged})
    assert answer.status == 200
    seen = answer.json()["seen"]
    assert token not in answer.text and "authorization" not in seen
    claims = json.loads(base64.urlsafe_b64decode(seen["casemate-claims"] + "=="))
    assert (claims["sub"], claims["iss"], claims["department"]) == ("alice", provider.url, "Größe")
    assert "casemate-claims" not in trusting.call("jwt/one", headers={"Casemate-Claims": forged}).json()["seen"]


def test_a_token_stands_for_a_person_at_the_api_who_may_do_what_is_granted(
    trusting: Server, provider: Provider
) -> None:
    trusting.namespace("jwt")
    token = provider.token(sub="bob", groups=["engineers", "others"])
    assert trusting.api("GET", "/v1/whoami", key=token).json() == {
        "subject": "user:corp:bob",
        "grants": [],
        "calls": "standing",
    }
    path = "/v1/namespaces/jwt/functions/one"
    assert trusting.api("GET", path, key=token).status == 404
    made = trusting.api(
        "POST", "/v1/namespaces/jwt/grants", {"subject": "group:corp:engineers", "permission": "viewer"}
    )
    assert made.status == 201
    assert trusting.api("GET", path, key=token).status == 200
    assert trusting.api("GET", path, key=provider.token(sub="bob", groups=["engineersx"])).status == 404
    assert trusting.api("GET", path, key=provider.token(sub="group:corp:engineers")).status == 404
    trusting.api(
        "POST", "/v1/namespaces/jwt/grants", {"subject": "user:corp:bob", "permission": "logs:read", "function": "one"}
    )
    assert trusting.api("GET", f"{path}/logs?tail=1", key=token).status == 200
    assert trusting.api("DELETE", f"/v1/namespaces/jwt/grants/{made.json()['id']}").status == 204
    assert trusting.api("GET", path, key=token).status == 403
    # A right to the API opens no function: for that the token must be made out for it.
    trusting.api("POST", "/v1/namespaces/jwt/grants", {"subject": "user:corp:bob", "permission": "function:invoke"})
    assert call(trusting, token).status == 403


# ---------------------------------------------------------------- what is not believed


@pytest.mark.case("A1")
@pytest.mark.parametrize("name", ["none", "None", "nOnE", "NONE", ""])
def test_A1_a_token_without_a_signature_is_refused(trusting: Server, provider: Provider, name: str) -> None:
    sound = provider.token(**scope())
    refused_everywhere(trusting, provider.forge({"alg": name, "typ": "JWT"}, provider.claims(**scope())))
    refused_everywhere(trusting, provider.forge({"alg": name}, provider.claims(**scope()), b"signature"))
    header, payload, signature = sound.split(".")
    for wrong in (
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{header}.{payload}.{signature[:-4]}",
        f"{header}..{signature}",
    ):
        refused_everywhere(trusting, wrong)


@pytest.mark.case("A2")
def test_A2_a_public_key_is_no_secret_to_sign_with(trusting: Server, provider: Provider) -> None:
    public = provider.rotate("RSA")
    assert call(trusting, provider.token(**scope())).status == 200
    for form in (public.export_to_pem(), public.export_public().encode(), public.export_to_pem().rstrip(b"\n")):
        secret = jwk.JWK(kty="oct", k=base64.urlsafe_b64encode(form).rstrip(b"=").decode())
        for kid in (public["kid"], None):
            forged = Provider.sign(
                json.dumps(provider.claims(**scope())),
                {"alg": "HS256", "typ": "JWT"} | ({"kid": kid} if kid else {}),
                secret,
            )
            refused_everywhere(trusting, forged)
    provider.rotate()


@pytest.mark.case("A3")
def test_A3_a_token_for_somebody_else_is_refused(trusting: Server, provider: Provider) -> None:
    for audience in ("other", "Casemate", "casemate ", "", [], ["other"], ["casemate", "other"], None, {"casemate": 1}):
        refused_everywhere(trusting, provider.token(aud=audience, **scope()))
    assert call(trusting, provider.token(aud=["casemate"], **scope())).status == 200


@pytest.mark.case("A4")
def test_A4_an_issuer_is_known_by_its_exact_name(trusting: Server, provider: Provider) -> None:
    for issuer in (
        provider.url + "/",
        provider.url.upper(),
        provider.url.replace("127.0.0.1", "localhost"),
        "https://other.example",
        "",
        None,
        7,
    ):
        refused_everywhere(trusting, provider.token(iss=issuer, **scope()))


@pytest.mark.case("A5")
def test_A5_a_token_counts_in_its_time_give_or_take_a_minute(trusting: Server, provider: Provider) -> None:
    now = int(time.time())
    for claims in (
        {"exp": now - 61}, {"exp": now - 10**6}, {"exp": 0}, {"exp": None}, {"nbf": now + 70}, {"iat": now + 70},
        {"exp": 9 * 10**18}, {"exp": now + 300.5}, {"exp": str(now + 300)}, {"exp": True}, {"exp": -1}, {"nbf": "0"}, {"exp": [now + 300]},
    ):  # fmt: skip
        refused_everywhere(trusting, provider.token(**claims, **scope()))
    for claims in ({"exp": now - 30}, {"nbf": now + 30}, {"nbf": now - 10}, {"exp": now + 10**8}):
        assert call(trusting, provider.token(**claims, **scope())).status == 200, claims


@pytest.mark.case("A7")
def test_A7_a_token_does_not_say_which_key_is_to_be_believed(trusting: Server, provider: Provider) -> None:
    with Provider() as attacker:
        key = attacker.keys[0]
        public = json.loads(key.export_public())
        for header in (
            {"jku": attacker.url + "/jwks"}, {"x5u": attacker.url + "/jwks"}, {"jwk": public}, {"jku": attacker.url, "jwk": public},
        ):  # fmt: skip
            for kid in (key["kid"], provider.keys[0]["kid"], None):
                refused_everywhere(trusting, attacker.token({**header, "kid": kid}, key, iss=provider.url, **scope()))
        assert attacker.requests == []


def test_a_token_about_somebody_is_not_one_of_theirs(trusting: Server, provider: Provider) -> None:
    events: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}
    refused_everywhere(trusting, provider.token(events=events, **scope()))
    for name in ("a\x00b", "a\nb", "jose\u0301", "\u212aim", "", "\u202eecila"):
        refused_everywhere(trusting, provider.token(sub=name, **scope()))


def test_a_header_or_claims_that_are_not_quite_json_are_refused(trusting: Server, provider: Provider) -> None:
    sound = json.dumps(provider.claims(**scope()))
    twice = sound[:-1] + ', "sub": "admin"}'
    deep = sound[:-1] + ', "x": ' + "[" * 200 + "]" * 200 + "}"
    header = {"alg": "ES256", "kid": provider.keys[0]["kid"], "typ": "JWT"}
    for payload in (twice, deep, sound[:-1], sound + "x", "[]", "1", "", '"text"', "\ufeff" + sound):
        refused_everywhere(trusting, Provider.sign(payload, header, provider.keys[0]))
    for wrong in ({"kid": "k" * 10_000}, {"typ": "logout+jwt"}, {"typ": 1}):
        refused_everywhere(trusting, provider.token(wrong, **scope()))
    refused_everywhere(trusting, provider.token(padding="x" * 20_000, **scope())[:20_000])


@pytest.mark.case("A10")
def test_A10_our_own_credentials_of_other_kinds_are_no_tokens(trusting: Server) -> None:
    client = account(trusting, "jwt", ("developer", "jwt"))
    refused_everywhere(trusting, client.client_secret)


# ---------------------------------------------------------------- keys


def test_a_new_key_is_believed_at_once_and_an_old_one_as_long_as_it_is_published(
    trusting: Server, provider: Provider
) -> None:
    before = provider.token(**scope())
    assert call(trusting, before).status == 200
    time.sleep(15.5)
    provider.rotate("OKP")
    assert call(trusting, provider.token(**scope())).status == 200
    assert call(trusting, before).status == 200


def test_made_up_keys_do_not_make_us_ask_again_and_again(trusting: Server, provider: Provider) -> None:
    call(trusting, provider.token(**scope()))
    asked = len(provider.requests)
    other = jwk.JWK.generate(kty="EC", crv="P-256", kid="made-up")
    for number in range(40):
        token = provider.token({"kid": f"made-up-{number}"}, other, **scope())
        headers = {"Authorization": f"Bearer {token}"}
        answer = trusting.http(trusting.gateway_url, "GET", "/f/jwt/one", None, headers, connect=connect_from(place()))
        assert answer.status == 401
    assert len(provider.requests) - asked <= 12, "four at once, of two requests each, and one in fifteen seconds"


def test_while_the_provider_is_down_its_last_keys_serve(trusting: Server, provider: Provider) -> None:
    assert call(trusting, provider.token(**scope())).status == 200
    provider.is_down = True
    try:
        assert call(trusting, provider.token(**scope())).status == 200
    finally:
        provider.is_down = False


def test_a_provider_that_never_answered_is_503_and_comes_back() -> None:
    with Server() as server, Provider() as late:
        late.is_down = True
        server.deploy("jwt", "one", ECHO)
        assert (
            server.api("POST", "/v1/issuers", {"name": "late", "url": late.url, "audiences": ["casemate"]}).status
            == 201
        )
        refused = call(server, late.token(**scope()))
        assert refused.status == 503 and int(refused.headers["retry-after"]) >= 1
        late.is_down = False
        time.sleep(15.5)
        assert call(server, late.token(**scope())).status == 200
        assert server.api("DELETE", "/v1/issuers/late").status == 204
        assert call(server, late.token(**scope())).status == 401


def test_requests_behind_one_that_waits_for_keys_are_answered_in_order_each_as_itself() -> None:
    """The first call's keys are not here: what comes behind it on the connection waits, and gets none of its rights."""
    with Server() as server, Provider() as late:
        server.deploy("jwt", "one", handler("def handle(data):\n    return {'n': data.get('n')}\n"))
        assert (
            server.api("POST", "/v1/issuers", {"name": "late", "url": late.url, "audiences": ["casemate"]}).status
            == 201
        )
        credentials = [late.token(**scope()), "", late.token(), late.token(**scope())]
        sent = b""
        for number, credential in enumerate(credentials):
            body = json.dumps({"n": number}).encode()
            field = f"Authorization: Bearer {credential}\r\n" if credential else ""
            head = f"POST /f/jwt/one HTTP/1.1\r\nHost: x\r\n{field}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            sent += head.encode() + body
        parts = urllib.parse.urlsplit(server.gateway_url)
        with socket.create_connection((parts.hostname or "", parts.port), 30) as connection:
            connection.sendall(sent)
            received = b""
            while received.count(b"HTTP/1.1 ") < len(credentials) or not received.endswith(b"}"):
                part = connection.recv(65536)
                assert part, f"the connection ended after {received!r}"
                received += part
        answers = received.split(b"HTTP/1.1 ")[1:]
        assert [int(answer[:3]) for answer in answers] == [200, 401, 403, 200]
        assert [json.loads(answers[index].split(b"\r\n\r\n", 1)[1])["n"] for index in (0, 3)] == [0, 3]
        # Whoever goes while keys are fetched leaves nothing behind.
        assert server.api("DELETE", "/v1/issuers/late").status == 204
        assert (
            server.api("POST", "/v1/issuers", {"name": "late", "url": late.url, "audiences": ["casemate"]}).status
            == 201
        )
        for _ in range(20):
            with socket.create_connection((parts.hostname or "", parts.port), 30) as connection:
                connection.sendall(sent)
        assert call(server, late.token(**scope())).status == 200


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": "https://other.example"},
        {"issuer": None},
        {"jwks_uri": "http://192.0.2.1/jwks"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": 1},
    ],
    ids=range(5),
)
def test_a_discovery_document_of_somebody_else_gives_no_keys(running: Server, discovery: dict[str, object]) -> None:
    with Provider() as odd:
        odd.discovery = discovery
        running.deploy("jwt", "one", ECHO)
        assert (
            running.api("POST", "/v1/issuers", {"name": "odd", "url": odd.url, "audiences": ["casemate"]}).status == 201
        )
        try:
            assert call(running, odd.token(**scope())).status == 503
            assert "/jwks" not in odd.requests
        finally:
            assert running.api("DELETE", "/v1/issuers/odd").status == 204


@pytest.mark.parametrize(
    "body",
    [
        {}, {"name": "x"}, {"name": "x", "url": "http://idp.example", "audiences": ["a"]}, {"name": "x", "url": "https://", "audiences": ["a"]},
        {"name": "x", "url": "https://u:p@idp.example", "audiences": ["a"]}, {"name": "x", "url": "https://idp.example?x=1", "audiences": ["a"]},
        {"name": "x", "url": "https://idp.example", "audiences": []}, {"name": "X", "url": "https://idp.example", "audiences": ["a"]},
        {"name": "x", "url": "https://idp.example", "audiences": ["a"], "algorithms": ["HS256"]},
        {"name": "x", "url": "https://idp.example", "audiences": ["a"], "algorithms": ["none"]},
        {"name": "x", "url": "https://idp.example", "audiences": ["a"], "algorithms": []},
        {"name": "x", "url": "https://idp.example", "audiences": ["a"], "authority": "no pem"},
        {"name": "x", "url": "https://idp.example", "audiences": ["a"], "more": 1}, {"name": "x", "url": "file:///etc/passwd", "audiences": ["a"]},
        {"name": "x", "url": "http://127.0.0.1.evil.example", "audiences": ["a"]},
    ],
    ids=range(15),
)  # fmt: skip
def test_an_issuer_that_makes_no_sense_is_refused(running: Server, body: dict[str, object]) -> None:
    answer = running.api("POST", "/v1/issuers", body)
    assert answer.status in (400, 422), answer.text
    assert "x" not in [issuer["name"] for issuer in running.api("GET", "/v1/issuers").json()["issuers"]]


def test_an_issuer_from_the_command_line(running: Server) -> None:
    with Provider() as provider:
        running.deploy("jwt", "one", ECHO)
        code, out, err = running.cli(
            "issuer", "add", "shell", provider.url, "--audience", "casemate", "--groups-claim", "roles"
        )
        assert code == 0 and provider.url in out, err
        assert "shell" in running.cli("issuer", "list")[1]
        listed = running.cli_json("issuer", "list")["issuers"]
        assert [item["groupsClaim"] for item in listed if item["name"] == "shell"] == ["roles"]
        assert running.cli("grant", "group:shell:engineers", "viewer", "--on", "jwt")[0] == 0
        assert "group:shell:engineers" in running.cli("who-can", "function:read", "jwt/one")[1]
        as_person = {"CASEMATE_URL": running.api_url, "CASEMATE_KEY": provider.token(roles=["engineers"])}
        assert "user:shell:alice" in running.cli("whoami", environment=as_person)[1]
        assert running.cli("function", "show", "jwt/one", environment=as_person)[0] == 0
        assert running.cli("grant", "user:absent:x", "viewer", "--on", "jwt")[0] == 2
        assert running.cli("issuer", "add", "shell", "https://other.example", "--audience", "x")[0] == 2
        assert running.cli("issuer", "add", "plain", "http://idp.example", "--audience", "x")[0] == 2
        assert running.cli("issuer", "remove", "shell")[0] == 0
        assert running.cli("issuer", "remove", "shell")[0] == 2
        assert running.cli("whoami", environment=as_person)[0] == 2
        assert "group:shell" not in running.cli("grant", "--on", "jwt")[1]


# ---------------------------------------------------------------- a function's own rules


@pytest.mark.guarantee("KYM-2")
def test_KYM_2_a_functions_own_rules_narrow_what_opens_it(trusting: Server, provider: Provider) -> None:
    rules = {"issuers": ["corp"], "scopes": ["orders.read", "orders.list"], "algorithms": ["ES256"]}
    trusting.deploy("jwt", "strict", ECHO, {"tokens": rules})
    provider.rotate("EC")
    mine = "fn:jwt/strict"
    assert call(trusting, provider.token(scope=f"{mine} orders.read orders.list"), "jwt/strict").status == 200
    lacking = call(trusting, provider.token(scope=f"{mine} orders.list"), "jwt/strict")
    assert lacking.status == 403 and 'scope="orders.read"' in lacking.headers["www-authenticate"]
    assert (
        call(trusting, provider.token(scope="orders.read orders.list"), "jwt/strict").status == 403
    ), "nor is its own scope dispensed with"
    with Provider() as other:
        for kind, why in (("RSA", "signed with RS256"), ("EC", "no tokens of second")):
            other.rotate(kind)
            if kind == "RSA":
                # The one that it trusts, with another algorithm.
                provider.keys = [other.keys[0], *provider.keys]
                refused = call(trusting, provider.token(scope=f"{mine} orders.read orders.list"), "jwt/strict")
                provider.keys = provider.keys[1:]
            else:
                made = trusting.api(
                    "POST", "/v1/issuers", {"name": "second", "url": other.url, "audiences": ["casemate"]}
                )
                assert made.status == 201
                refused = call(trusting, other.token(scope=f"{mine} orders.read orders.list"), "jwt/strict")
                assert call(trusting, other.token(scope="fn:jwt/one")).status == 200, "elsewhere it is taken"
                assert trusting.api("DELETE", "/v1/issuers/second").status == 204
            assert refused.status == 403 and why in problem(refused)["detail"], refused.text


@pytest.mark.guarantee("KYM-2")
def test_KYM_2_a_functions_own_audience_opens_it_but_the_apis_never_does(trusting: Server, provider: Provider) -> None:
    trusting.deploy("jwt", "orders", ECHO, {"tokens": {"audiences": ["api://orders", "casemate"]}})
    assert call(trusting, provider.token(aud="api://orders"), "jwt/orders").status == 200
    assert call(trusting, provider.token(aud="api://orders"), "jwt/one").status == 401, "it is for nobody there"
    assert call(trusting, provider.token(aud=["api://orders", "elsewhere"]), "jwt/orders").status == 401
    # Every token for the API of this server would open it.
    refused = call(trusting, provider.token(aud="casemate"), "jwt/orders")
    assert (refused.status, problem(refused)["type"]) == (403, "/problems/insufficient-scope")


def test_an_audience_of_a_functions_own_makes_no_token_act_for_its_holder(trusting: Server, provider: Provider) -> None:
    keys = {"tokens": {"audiences": ["devtool"]}, "capabilities": ["jwt/one:source:read"]}
    outcome = trusting.try_deploy("jwt", "both", ECHO, keys)
    assert outcome.code != 0 and "don't go together" in outcome.said and "casemate.yaml:" in outcome.said
    # Nor does one that stands for another function.
    trusting.deploy("jwt", "greedy", ECHO, {"tokens": {"audiences": [f"{trusting.gateway_url}/f/jwt/one"]}})
    assert call(trusting, provider.token(aud=f"{trusting.gateway_url}/f/jwt/one"), "jwt/greedy").status == 401


@pytest.mark.parametrize(
    ("rules", "what"),
    [
        ({"issuers": ["Corp!"]}, "no issuer's name"),
        ({"algorithms": ["HS256"]}, "unknown algorithm"),
        ({"algorithms": ["none"]}, "unknown algorithm"),
        ({"scopes": ["a b"]}, "no scope"),
        ({"audiences": [""]}, "no audience"),
        ({"issuer": ["corp"]}, "issuers"),
        (["corp"], "mapping"),
    ],
    ids=["issuer", "HS256", "none", "scope", "audience", "unknown", "list"],
)
def test_rules_that_can_not_be_meant_are_refused_with_their_line(trusting: Server, rules: object, what: str) -> None:
    outcome = trusting.try_deploy("jwt", "wrong", ECHO, {"tokens": rules})
    assert outcome.code != 0 and what in outcome.said and "casemate.yaml:" in outcome.said, outcome.said
