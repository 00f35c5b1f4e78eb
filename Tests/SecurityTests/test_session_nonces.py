"""Sessions that are made before a call: each for one call of its maker's, by a nonce that counts once, for a minute."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from accounts import Account, account
from casemate_fixture import Answer, Server, handler, problem
from places import connect_from, place

WHO = handler("""
    import json
    import urllib.request

    def handle(event, context):
        headers = {"Authorization": "Bearer " + event["headers"]["Casemate-Session"]}
        request = urllib.request.Request("http://casemate.internal/v1/whoami", headers=headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            seen = {"who": json.load(answer), "headers": [name.lower() for name in event["headers"]]}
            return {"statusCode": 200, "body": json.dumps(seen)}
    """)


@pytest.fixture(scope="module")
def nonces(running: Server) -> Server:
    running.deploy(
        "nonce", "who", WHO, {"signature": "scaleway", "capabilities": ["nonce/who:logs:read", "nonce/who:read"]}
    )
    return running


@pytest.fixture
def maker(nonces: Server) -> Account:
    return account(nonces, "nonce", ("function:invoke", "nonce/who"), ("logs:read", "nonce"))


def make(maker: Account, body: dict[str, Any] | None = None) -> dict[str, Any]:
    made = maker.api("POST", "/v1/sessions", body or {})
    assert made.status == 201, made.text
    session: dict[str, Any] = made.json()
    return session


def call(maker: Account, nonce: str) -> Answer:
    return maker.call("nonce/who", body={}, headers={"Casemate-Nonce": nonce})


@pytest.mark.guarantee("COG-22")
def test_COG_22_a_nonce_counts_once_and_for_its_maker_alone(nonces: Server, maker: Account) -> None:
    session = make(maker)
    assert session["subject"] == maker.subject and session["nonce"].startswith("cmn_")
    other = account(nonces, "nonce", ("function:invoke", "nonce/who"))
    stolen = call(other, session["nonce"])
    assert (stolen.status, problem(stolen)["type"]) == (403, "/problems/forbidden")
    ran = call(maker, session["nonce"])
    assert ran.status == 200 and ran.json()["who"]["subject"] == f"{maker.subject} via fn:nonce/who"
    assert "casemate-nonce" not in ran.json()["headers"]
    assert call(maker, session["nonce"]).status == 401
    assert session["nonce"] not in json.dumps(maker.api("GET", "/v1/sessions").json())


@pytest.mark.guarantee("COG-22")
def test_COG_22_of_fifty_calls_with_one_nonce_exactly_one_runs(nonces: Server, maker: Account) -> None:
    nonce = make(maker)["nonce"]
    before = nonces.status()["calls"]
    with ThreadPoolExecutor(50) as pool:
        statuses = sorted(pool.map(lambda _: call(maker, nonce).status, range(50)))
    assert statuses == [200] + [401] * 49
    assert nonces.status()["calls"] == before + 1


@pytest.mark.guarantee("COG-22")
def test_COG_22_a_session_can_stand_for_a_service_account_whose_secret_its_maker_has(
    nonces: Server, maker: Account
) -> None:
    reader = account(nonces, "nonce", ("function:read", "nonce/who"))
    session = make(maker, {"clientId": reader.client_id, "clientSecret": reader.client_secret})
    assert session["subject"] == reader.subject
    who = call(maker, session["nonce"]).json()["who"]
    assert who["subject"] == f"{reader.subject} via fn:nonce/who"
    assert who["grants"] == [{"on": "nonce/who", "permission": "function:read"}]
    # The account can do nothing with a session that somebody else made for it; and may not call the function at all.
    assert (
        call(reader, make(maker, {"clientId": reader.client_id, "clientSecret": reader.client_secret})["nonce"]).status
        == 403
    )

    connect = connect_from(place())
    headers = {"Authorization": f"Bearer {maker.key}", "Content-Type": "application/json"}
    for body in (
        {"clientId": reader.client_id, "clientSecret": "cmc_wrong"}, {"clientId": maker.client_id, "clientSecret": reader.client_secret},
        {"clientId": "nobody", "clientSecret": "x"},
    ):  # fmt: skip
        refused = nonces.http(
            nonces.api_url, "POST", "/v1/sessions", json.dumps(body).encode(), headers, connect=connect
        )
        assert refused.status == 403, body
        assert reader.client_secret not in refused.text
    unclear: tuple[Any, ...] = (
        {"clientId": reader.client_id},
        {"clientSecret": "x"},
        {"client": "x"},
        {"clientId": 1, "clientSecret": "x"},
        [],
    )
    for wrong in unclear:
        assert maker.api("POST", "/v1/sessions", wrong).status == 400, wrong


def test_a_session_that_was_taken_back_or_made_up_runs_nothing(nonces: Server, maker: Account) -> None:
    kept, taken = make(maker), make(maker)
    listed = maker.api("GET", "/v1/sessions").json()["sessions"]
    assert [session["id"] for session in listed] == [kept["id"], taken["id"]]
    other = account(nonces, "nonce")
    assert other.api("GET", "/v1/sessions").json() == {"sessions": []}
    assert other.api("DELETE", f"/v1/sessions/{taken['id']}").status == 404
    assert maker.api("DELETE", f"/v1/sessions/{taken['id']}").status == 204
    before = nonces.status()["calls"]
    for nonce in (taken["nonce"], "cmn_made-up", "", "x" * 600, kept["id"]):
        assert call(maker, nonce).status == 401, nonce
    twice = nonces.http(
        nonces.gateway_url, "POST", "/f/nonce/who", b"{}",
        [("Authorization", f"Bearer {maker.key}"), ("Casemate-Nonce", kept["nonce"]), ("Casemate-Nonce", kept["nonce"])],
    )  # fmt: skip
    assert twice.status == 401
    assert nonces.status()["calls"] == before
    assert call(maker, kept["nonce"]).status == 200


def test_no_credential_no_session(nonces: Server) -> None:
    token = nonces.token("nonce/who")["token"]
    for headers in ({}, {"X-Auth-Token": token}):
        assert nonces.api("POST", "/v1/sessions", {}, key=None, headers=headers).status == 401
