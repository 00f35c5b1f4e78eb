"""A function proves elsewhere who it is: short-lived tokens of the server's own, for the audiences that its manifest lists."""

from __future__ import annotations

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from casemate_fixture import Answer, Server, handler
from jwcrypto import jwk, jwt
from places import connect_from, place

AUDIENCE = "https://sts.example.com"
ASK = handler("""
    import json
    import urllib.error
    import urllib.parse
    import urllib.request

    def ask(data):
        query = urllib.parse.urlencode(data.get("query", {}), doseq=True)
        url = "http://casemate.internal" + data.get("path", "/v1/identity/token") + ("?" + query if query else "")
        request = urllib.request.Request(url, headers=data.get("headers", {}), method=data.get("method", "GET"))
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")
        except OSError as error:
            return 0, str(error)

    def handle(data):
        status, body = ask(data)
        text = json.dumps(body)
        if data.get("print"):
            print("got", text)
        # Turned round, it passes the redaction of what the function was given.
        return {"status": status, "turned": text[::-1], "plain": text}
    """)
FIELD = {"Casemate-Metadata": "true"}


@pytest.fixture(scope="module")
def proving(running: Server) -> Server:
    running.deploy("work", "one", ASK, {"identity": [AUDIENCE, "casemate-b"]})
    running.deploy("work", "none", ASK)
    return running


def ask(server: Server, function: str = "work/one", **data: Any) -> tuple[int, Any]:
    answer = server.call(function, body=data)
    assert answer.status == 200, answer.text
    said = answer.json()
    return said["status"], json.loads(said["turned"][::-1])


def token(server: Server, audience: str = AUDIENCE, function: str = "work/one") -> str:
    status, body = ask(server, function, query={"audience": audience}, headers=FIELD)
    assert status == 200, body
    return str(body["token"])


def fetch(server: Server, path: str) -> dict[str, Any]:
    answer = server.http(server.api_url, "GET", path)
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.guarantee("AZR-12")
def test_AZR_12_an_independent_verifier_takes_a_functions_token_with_what_discovery_says(proving: Server) -> None:
    document = fetch(proving, "/.well-known/openid-configuration")
    assert document["issuer"] == proving.api_url
    assert document["jwks_uri"].startswith(proving.api_url + "/")
    keys = fetch(proving, document["jwks_uri"].removeprefix(proving.api_url))
    assert all("d" not in key for key in keys["keys"]), "a private part is published"

    now = int(time.time())
    verified = jwt.JWT(
        jwt=token(proving), key=jwk.JWKSet.from_json(json.dumps(keys)), algs=["ES256"],
        check_claims={"iss": document["issuer"], "aud": AUDIENCE, "sub": "fn:work/one", "exp": None, "iat": None, "jti": None},
    )  # fmt: skip
    claims = json.loads(verified.claims)
    assert claims["aud"] == AUDIENCE, "one audience, and no other beside it"
    assert now - 5 <= claims["iat"] <= now + 5 and claims["exp"] - claims["iat"] <= 900
    assert (claims["namespace"], claims["function"]) == ("work", "one")
    assert json.loads(verified.header)["typ"] == "JWT"
    # Each is another one: a relying party may keep those that it has seen.
    assert json.loads(base64.urlsafe_b64decode(token(proving).split(".")[1] + "=="))["jti"] != claims["jti"]


@pytest.mark.guarantee("AZR-12")
def test_AZR_12_another_server_that_trusts_the_issuer_lets_the_function_in(proving: Server) -> None:
    with Server() as other:
        trusted = {"name": "first", "url": proving.api_url, "audiences": ["casemate-b"]}
        assert other.api("POST", "/v1/issuers", trusted).status == 201
        assert (
            other.api("POST", "/v1/grants", {"subject": "user:first:fn:work/one", "permission": "metrics:read"}).status
            == 201
        )

        def ask_other(path: str, token: str) -> Answer:
            return other.api("GET", path, key=token)

        mine = token(proving, "casemate-b")
        assert ask_other("/v1/whoami", mine).json()["subject"] == "user:first:fn:work/one"
        assert ask_other("/metrics", mine).status == 200
        assert ask_other("/v1/grants", mine).status == 403
        assert ask_other("/v1/whoami", token(proving)).status == 401, "it was made out for somebody else"


@pytest.mark.case("A10")
def test_A10_a_functions_token_is_no_credential_at_the_server_that_signed_it(proving: Server) -> None:
    call_url = proving.gateway_url + "/f/work/one"
    proving.deploy("work", "sly", ASK, {"identity": [call_url, proving.api_url, "casemate"]})
    for audience in (call_url, proving.api_url, "casemate"):
        mine = token(proving, audience, "work/sly")
        connect = connect_from(place())
        for url, path in ((proving.gateway_url, "/f/work/one"), (proving.api_url, "/v1/whoami")):
            for field in ({"Authorization": f"Bearer {mine}"}, {"X-Auth-Token": mine}):
                assert proving.http(url, "GET", path, None, field, connect=connect).status == 401, (audience, path)


@pytest.mark.parametrize(
    ("function", "data", "status"),
    [
        ("work/one", {"query": {"audience": AUDIENCE}}, 400),
        ("work/one", {"query": {"audience": AUDIENCE}, "headers": FIELD | {"X-Forwarded-For": "203.0.113.9"}}, 400),
        ("work/one", {"query": {"audience": AUDIENCE}, "headers": {"Casemate-Metadata": "false"}}, 400),
        ("work/one", {"headers": FIELD}, 400),
        ("work/one", {"query": {"audience": "https://other.example.com"}, "headers": FIELD}, 403),
        ("work/one", {"query": {"audience": AUDIENCE + "/"}, "headers": FIELD}, 403),
        ("work/one", {"query": {"audience": [AUDIENCE, AUDIENCE]}, "headers": FIELD}, 400),
        ("work/one", {"query": {"audience": AUDIENCE, "lifetime": "86400"}, "headers": FIELD}, 400),
        ("work/one", {"query": {"audience": AUDIENCE}, "headers": FIELD, "method": "POST"}, 404),
        ("work/none", {"query": {"audience": AUDIENCE}, "headers": FIELD}, 0),
    ],
    ids=[
        "no-field",
        "through-a-proxy",
        "another-value",
        "no-audience",
        "not-listed",
        "not-quite",
        "twice",
        "unknown",
        "POST",
        "undeclared",
    ],
)
def test_nothing_is_given_without_the_field_or_beyond_what_is_declared(
    proving: Server, function: str, data: dict[str, Any], status: int
) -> None:
    found, body = ask(proving, function, **data)
    assert found == status, body
    assert "ey" not in str(body), "a token"


def test_from_outside_the_operation_is_not_there(proving: Server) -> None:
    for key in (None, proving.key):
        assert proving.api("GET", f"/v1/identity/token?audience={AUDIENCE}", key=key, headers=FIELD).status == 404


def test_a_function_that_shows_its_token_shows_none(proving: Server) -> None:
    answer = proving.call("work/one", body={"query": {"audience": AUDIENCE}, "headers": FIELD, "print": True})
    whole = json.loads(answer.json()["turned"][::-1])["token"]
    header, _payload, _signature = whole.split(".")
    shown = json.loads(answer.json()["plain"])["token"]
    assert whole not in shown and "[token]" in shown
    assert header not in answer.json()["plain"], "what the signature is made over is not complete any more"
    logged = "\n".join(proving.messages("work/one", answer.call_id))
    assert "got" in logged and header not in logged


def test_a_functions_token_dies_with_its_shown_header(proving: Server) -> None:
    """What stays of a printed token can't be verified by anybody."""
    answer = proving.call("work/one", body={"query": {"audience": AUDIENCE}, "headers": FIELD})
    shown = json.loads(answer.json()["plain"])["token"]
    keys = jwk.JWKSet.from_json(json.dumps(fetch(proving, "/.well-known/jwks.json")))
    whole = json.loads(answer.json()["turned"][::-1])["token"]
    jwt.JWT(jwt=whole, key=keys, algs=["ES256"])
    with pytest.raises(Exception):  # noqa: B017 - however a library says it
        jwt.JWT(jwt=shown, key=keys, algs=["ES256"])
    seal = json.loads(base64.urlsafe_b64decode(whole.split(".")[0] + "=="))["seal"]
    assert seal not in answer.text


def test_a_function_that_was_deleted_or_lists_less_now_gets_no_more(proving: Server) -> None:
    """While its last call goes on, another has its name."""
    slow = handler(
        ASK["handler.py"].replace(
            "status, body = ask(data)", "import time; time.sleep(data.get('wait', 0)); status, body = ask(data)"
        )
    )
    with ThreadPoolExecutor(1) as pool:
        for change in ("deleted", "less"):
            proving.deploy("work", "slow", slow, {"identity": [AUDIENCE, "other"]})
            call = pool.submit(ask, proving, "work/slow", query={"audience": AUDIENCE}, headers=FIELD, wait=6)
            time.sleep(1)
            if change == "deleted":
                assert proving.api("DELETE", "/v1/namespaces/work/functions/slow").status == 204
                proving.deploy("work", "slow", ASK, {"identity": [AUDIENCE]})
            else:
                proving.deploy("work", "slow", slow, {"identity": ["other"]})
            status, body = call.result()
            assert status == 403, (change, body)
