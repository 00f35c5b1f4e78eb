"""People sign in at their provider with the command line: by browser or by code, and nobody else in their place."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import stat
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accounts import account
from casemate_fixture import Answer, Server, handler, problem
from identity_provider import SignInProvider
from places import connect_from, place
from sign_in import Home

ONE = handler("def handle(data):\n    return 1\n")


@pytest.fixture(scope="module")
def provider() -> Iterator[SignInProvider]:
    with SignInProvider() as provider:
        yield provider


@pytest.fixture(scope="module")
def offering(running: Server, provider: SignInProvider) -> Iterator[Server]:
    issuer: dict[str, Any] = {
        "name": "corp",
        "url": provider.url,
        "audiences": ["casemate"],
        "clientId": provider.client_id,
        "scope": "openid groups",
    }
    issuer |= {"allowsDevice": True}
    made = running.api("POST", "/v1/issuers", issuer)
    assert made.status == 201, made.text
    running.namespace("people")
    grant = {"subject": "group:corp:engineers", "permission": "developer"}
    assert running.api("POST", "/v1/namespaces/people/grants", grant).status == 201
    yield running
    assert running.api("DELETE", "/v1/issuers/corp").status == 204


@pytest.fixture
def home(offering: Server, provider: SignInProvider, tmp_path: Path) -> Iterator[Home]:
    yield Home(offering, provider, tmp_path)
    provider.redirect, provider.claimed, provider.approved, provider.polls = {}, {}, True, 0
    provider.person = {"sub": "alice", "groups": ["engineers"]}


def sign_in(server: Server, token: str, issuer: str = "corp", **more: Any) -> Answer:
    body = json.dumps({"issuer": issuer, "idToken": token} | more.pop("body", {})).encode()
    return server.http(server.api_url, "POST", "/v1/sign-in", body, {"Content-Type": "application/json"}, **more)


@pytest.mark.guarantee("SCW-2")
def test_SCW_2_a_person_signs_in_works_and_signs_out(offering: Server, home: Home, provider: SignInProvider) -> None:
    code, out, err = home.login()
    assert code == 0 and "signed in as user:corp:alice" in out, err
    assert stat.S_IMODE(home.file.stat().st_mode) == 0o600
    assert home.key.startswith("cmp_") and home.key not in out + err
    asked = provider.asked[-1]
    assert (
        asked["code_challenge_method"] == "S256"
        and asked["response_type"] == "code"
        and "groups" in asked["scope"].split()
    )
    assert urllib.parse.urlsplit(asked["redirect_uri"]).hostname == "127.0.0.1"

    code, out, _ = home.cli("whoami")
    assert code == 0 and "user:corp:alice" in out and "developer on people" in out
    folder = offering.project("people", "mine", ONE)
    assert home.cli("deploy", str(folder))[0] == 0, "as its groups may"
    assert home.cli("namespace", "create", "more")[0] == 2, "and no more"

    listed = home.cli("session", "list")[1]
    assert "sign-in" in listed and "*" in listed and "casemate on " in listed
    key = home.key
    code, out, _ = home.cli("logout")
    assert code == 0 and out == "signed out\n" and not home.file.exists()
    assert offering.api("GET", "/v1/whoami", key=key).status == 401
    code, _, err = home.cli("whoami")
    assert code == 2 and "casemate login" in err
    assert home.cli("logout")[0] == 2


def test_a_new_sign_in_ends_the_one_before(home: Home, offering: Server) -> None:
    assert home.login()[0] == 0
    before = home.key
    assert home.login()[0] == 0
    assert offering.api("GET", "/v1/whoami", key=before).status == 401
    home.file.write_text("{")
    code, _, err = home.cli("whoami")
    assert code == 2 and "damaged" in err


@pytest.mark.guarantee("SCW-2")
def test_SCW_2_a_person_signs_in_with_a_code_typed_elsewhere(home: Home, provider: SignInProvider) -> None:
    process = home.begin("--device")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "WDJB-MJHT" in err and provider.url + "/type" in err and "user:corp:alice" in out
    assert provider.polls >= 2
    provider.approved, provider.polls = False, 0
    process = home.begin("--device")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2 and "access_denied" in err


def test_only_the_answer_to_this_sign_in_is_taken(home: Home, provider: SignInProvider) -> None:
    process = home.begin()
    try:
        address = home.address(process)
        query = dict(urllib.parse.parse_qsl(address.partition("?")[2]))
        for fields in (
            {"code": "stolen"}, {"code": "stolen", "state": "x"}, {"code": "stolen", "state": query["state"][:-1]},
            {"state": query["state"].upper(), "code": "stolen"},
        ):  # fmt: skip
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(query["redirect_uri"] + "?" + urllib.parse.urlencode(fields), timeout=10)
            assert refused.value.code == 400
        twice = urllib.parse.urlencode([("code", "a"), ("code", "b"), ("state", query["state"])])
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(query["redirect_uri"] + "?" + twice, timeout=10)
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(query["redirect_uri"].replace("/callback", "/"), timeout=10)
        # None of that ended it.
        assert process.poll() is None
        urllib.request.urlopen(address, timeout=10)
        assert process.wait(30) == 0
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("redirect", "claimed", "why"),
    [
        ({"iss": "https://evil.example"}, {}, "another provider"),
        ({"error": "access_denied", "error_description": "not \x1b[31mtoday"}, {}, "not \\x1b[31mtoday"),
        ({"code": "made-up"}, {}, "no such code"),
        ({"code": ""}, {}, "no code"),
        ({}, {"nonce": "another"}, "another sign-in"),
        ({}, {"nonce": None}, "another sign-in"),
        ({}, {"aud": "casemate"}, "no fresh ID token"),
        ({}, {"aud": ["casemate-cli", "other"]}, "no fresh ID token"),
        ({}, {"iss": "https://evil.example"}, "no fresh ID token"),
        ({}, {"iat": int(time.time()) - 700}, "no fresh ID token"),
        ({}, {"iat": None}, "no fresh ID token"),
        ({}, {"exp": int(time.time()) - 100}, "no fresh ID token"),
    ],
    ids=["mix-up", "refused", "code", "empty", "nonce", "no-nonce", "api", "two", "iss", "old", "no-iat", "ended"],
)  # fmt: skip
def test_what_is_not_right_signs_nobody_in(
    home: Home, provider: SignInProvider, redirect: dict[str, str], claimed: dict[str, Any], why: str
) -> None:
    provider.redirect, provider.claimed = redirect, claimed
    code, out, err = home.login()
    assert code == 2 and why in err and out == "", err
    assert "\x1b" not in err and not home.file.exists()


def test_an_id_token_signs_in_once_and_other_tokens_never(offering: Server, provider: SignInProvider) -> None:
    token = provider.id_token()
    first = sign_in(offering, token)
    assert first.status == 201 and first.json()["token"].startswith("cmp_")
    again = sign_in(offering, token)
    assert again.status == 409 and "before" in problem(again)["detail"]
    # Of an ECDSA signature (r, s) the other one, (r, -s), is valid too.
    signed, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    other = raw[:32] + (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    assert sign_in(offering, signed + "." + base64.urlsafe_b64encode(other).rstrip(b"=").decode()).status == 409
    key = first.json()["token"]
    mine = offering.api("GET", "/v1/sessions", key=key).json()["sessions"]
    assert (
        offering.api("DELETE", f"/v1/sessions/{next(s['id'] for s in mine if s.get('current'))}", key=key).status == 204
    )
    assert sign_in(offering, token).status == 409, "nor after the session is revoked"
    connect = connect_from(place())
    for wrong in (
        provider.token(), provider.token({"typ": "at+jwt"}, aud=provider.client_id), provider.id_token()[:-4] + "AAAA",
        provider.id_token(azp="another-client"), provider.id_token(scope="openid"), provider.id_token(scp=["x"]),
        "not-a-token", first.json()["token"], offering.key,
    ):  # fmt: skip
        assert sign_in(offering, wrong, connect=connect).status == 401
    assert sign_in(offering, provider.id_token(), "absent", connect=connect).status == 401
    for body in ({"extra": 1}, {"description": "x" * 201}, {"issuer": "NO!"}, {"idToken": 7}):
        assert sign_in(offering, provider.id_token(), body=body).status in (400, 422), body


def test_a_sign_in_for_one_server_is_good_at_no_other(offering: Server, provider: SignInProvider) -> None:
    """A server to which somebody signs in has their ID token: it must not become them elsewhere."""

    def nonce(server: str, seed: str) -> str:
        digest = hashlib.sha256(f"casemate/sign-in/1\n{server}\n{seed}".encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    connect = connect_from(place())
    for server, seed, status in (
        (offering.api_url, "seed", 201), ("http://127.0.0.1:1", "seed", 401), (offering.api_url, "other", 401), (offering.gateway_url, "seed", 401),
    ):  # fmt: skip
        token = provider.id_token(nonce=nonce(server, "seed"), jti=f"{server} {seed}")
        answer = sign_in(offering, token, body={"seed": seed}, connect=connect)
        assert answer.status == status, answer.text
        if status == 401:
            assert offering.api_url in problem(answer)["detail"]
    # One with a nonce is none by a code, which would need none.
    assert sign_in(offering, provider.id_token(nonce=nonce("http://127.0.0.1:1", "s")), connect=connect).status == 401
    assert sign_in(offering, provider.id_token(), body={"seed": ""}, connect=connect).status == 401


def test_a_sign_in_by_a_code_is_taken_where_the_issuer_says_so_alone(offering: Server, tmp_path: Path) -> None:
    with SignInProvider() as other:
        issuer = {"name": "browsers", "url": other.url, "audiences": ["casemate"], "clientId": other.client_id}
        assert offering.api("POST", "/v1/issuers", issuer).status == 201
        assert sign_in(offering, other.id_token(), "browsers", connect=connect_from(place())).status == 401
        assert offering.api("DELETE", "/v1/issuers/browsers").status == 204


def test_what_signs_somebody_in_can_not_be_an_audience_of_the_api(offering: Server) -> None:
    issuer = {
        "name": "both",
        "url": "https://idp.example",
        "audiences": ["a", "casemate-cli"],
        "clientId": "casemate-cli",
    }
    assert offering.api("POST", "/v1/issuers", issuer).status == 400
    assert offering.api("POST", "/v1/issuers", issuer | {"audiences": ["a"], "forPipelines": True}).status == 400
    for more in (
        {"clientId": ""},
        {"clientId": "a b"},
        {"scope": "profile"},
        {"scope": "openid\n"},
        {"allowsDevice": "yes"},
    ):
        assert offering.api("POST", "/v1/issuers", issuer | {"audiences": ["a"]} | more).status == 400, more


def test_a_provider_without_a_client_signs_nobody_in(offering: Server) -> None:
    with SignInProvider() as other:
        made = offering.api(
            "POST", "/v1/issuers", {"name": "silent", "url": other.url, "audiences": ["casemate", other.client_id, "x"]}
        )
        assert made.status == 201
        ways = offering.api("GET", "/v1/sign-in", key=None).json()["issuers"]
        assert [way["name"] for way in ways] == ["corp"]
        assert set(ways[0]) == {"name", "url", "clientId", "scope"}, "and nothing else of it is told"
        assert sign_in(offering, other.id_token(), "silent", connect=connect_from(place())).status == 401
        assert offering.api("DELETE", "/v1/issuers/silent").status == 204


@pytest.mark.case("A19")
def test_A19_a_sign_in_is_revoked_and_its_groups_count_as_they_are_granted_now(
    offering: Server, home: Home, provider: SignInProvider, tmp_path: Path
) -> None:
    provider.person = {"sub": "bob", "groups": ["auditors"]}
    assert home.login()[0] == 0
    assert home.api("GET", "/v1/namespaces/people/functions").status == 404
    grant = {"subject": "group:corp:auditors", "permission": "viewer"}
    made = offering.api("POST", "/v1/namespaces/people/grants", grant)
    assert home.api("GET", "/v1/namespaces/people/functions").status == 200
    assert offering.api("DELETE", f"/v1/namespaces/people/grants/{made.json()['id']}").status == 204
    assert home.api("GET", "/v1/namespaces/people/functions").status == 404

    other = Home(offering, provider, tmp_path / "other")
    assert other.login()[0] == 0
    sessions = other.api("GET", "/v1/sessions").json()["sessions"]
    assert [session["subject"] for session in sessions] == ["user:corp:bob"] * 2
    first = next(session["id"] for session in sessions if not session.get("current"))
    assert account(offering, "people").api("DELETE", f"/v1/sessions/{first}").status == 404, "somebody else's"
    assert other.cli("session", "revoke", first)[0] == 0
    assert (home.api("GET", "/v1/whoami").status, other.api("GET", "/v1/whoami").status) == (401, 200)
    # An administrator of the server sees and ends everybody's.
    everybody = offering.api("GET", "/v1/sessions").json()["sessions"]
    last = next(session["id"] for session in everybody if session["subject"] == "user:corp:bob")
    assert offering.api("DELETE", f"/v1/sessions/{last}").status == 204
    assert other.api("GET", "/v1/whoami").status == 401


def test_where_there_are_several_providers_one_is_named(
    offering: Server, provider: SignInProvider, tmp_path: Path
) -> None:
    with SignInProvider() as other:
        issuer = {"name": "brief", "url": other.url, "audiences": ["casemate"], "clientId": other.client_id}
        assert offering.api("POST", "/v1/issuers", issuer).status == 201
        home = Home(offering, other, tmp_path)
        process = home.begin()
        assert process.wait(20) == 2 and "--issuer" in (process.stderr.read() if process.stderr else "")
        process = home.begin("--issuer", "absent")
        assert process.wait(20) == 2 and "brief, corp" in (process.stderr.read() if process.stderr else "")
        assert home.login("--issuer", "brief")[0] == 0
        assert home.api("GET", "/v1/whoami").json()["subject"] == "user:brief:alice"
        assert offering.api("DELETE", "/v1/issuers/brief").status == 204
        assert home.api("GET", "/v1/whoami").status == 401, "its people's sessions go with it"


def test_a_sign_in_that_has_ended_is_said_to_have_and_no_other_key_takes_its_place(
    offering: Server, home: Home
) -> None:
    assert home.login()[0] == 0
    kept = json.loads(home.file.read_text())
    home.file.write_text(json.dumps(kept | {"expires": "2020-01-01T00:00:00.000Z"}))
    (home.folder / "casemate" / "config.yaml").write_text(f"url: {offering.api_url}\nkey: {offering.key}\n")
    code, out, err = home.cli("whoami")
    assert (code, out) == (2, "") and "casemate login" in err
    assert home.cli("logout")[0] == 0
    assert "key:" in home.cli("whoami")[1], "the configuration's again"


def test_nobody_is_there_to_sign_in_at(tmp_path: Path, provider: SignInProvider) -> None:
    with Server() as empty:
        home = Home(empty, provider, tmp_path)
        process = home.begin()
        assert process.wait(20) == 2 and "--client-id" in (process.stderr.read() if process.stderr else "")
        assert (
            empty.api(
                "POST",
                "/v1/issuers",
                {"name": "gone", "url": "http://127.0.0.1:9", "audiences": ["a"], "clientId": "b"},
            ).status
            == 201
        )
        process = home.begin()
        assert process.wait(20) == 2 and "does not answer" in (process.stderr.read() if process.stderr else "")


def test_ctrl_c_while_the_browser_is_away_leaves_nothing(home: Home) -> None:
    process = home.begin()
    home.address(process)
    process.send_signal(2)
    assert process.wait(10) != 0
    assert not home.file.exists()


def test_a_key_goes_to_its_own_server_alone(offering: Server, home: Home) -> None:
    config = home.folder / "casemate" / "config.yaml"
    config.parent.mkdir()
    seen: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization"))
            self.send_error(401)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as thief:
        threading.Thread(target=thief.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{thief.server_port}"
        config.write_text(f"url: {offering.api_url}\nkey: {offering.key}\n")
        code, _, err = home.cli("whoami", CASEMATE_URL=url)
        assert code == 2 and "another server" in err
        assert home.login()[0] == 0
        assert home.cli("whoami", CASEMATE_URL=url)[0] == 2
        # Signed in elsewhere, a key that is set still goes where the configuration says.
        home.file.write_text(json.dumps(json.loads(home.file.read_text()) | {"url": url}))
        assert "key:" in home.cli("whoami", CASEMATE_KEY=offering.key)[1]
        thief.shutdown()
    assert seen == []


def test_the_key_that_is_set_comes_first(home: Home, offering: Server) -> None:
    (home.folder / "casemate").mkdir()
    (home.folder / "casemate" / "config.yaml").write_text(f"url: {offering.api_url}\n")
    assert home.login()[0] == 0
    assert "key:" in home.cli("whoami", CASEMATE_KEY=offering.key)[1]
    assert "user:corp:alice" in home.cli("whoami")[1]
