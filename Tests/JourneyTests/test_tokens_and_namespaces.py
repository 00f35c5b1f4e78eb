"""Tokens for callers, and namespaces: the boundary between tenants."""

from __future__ import annotations

import datetime
import json
import urllib.parse

import pytest
from casemate_fixture import Server, handler, problem

ONE = handler("def handle(data):\n    return 1\n")


@pytest.fixture(scope="module")
def functions(running: Server) -> Server:
    running.deploy("tokens", "one", ONE)
    running.deploy("tokens", "two", ONE)
    return running


def days_left(token: dict[str, str]) -> float:
    expires = datetime.datetime.fromisoformat(token["expires"].replace("Z", "+00:00"))
    return (expires - datetime.datetime.now(datetime.UTC)).total_seconds() / 86400


@pytest.mark.guarantee("SCW-4")
def test_SCW_4_a_token_expires_after_90_days_by_default_and_always_expires(functions: Server) -> None:
    assert 89.9 < days_left(functions.token("tokens/one")) <= 90
    assert 6.9 < days_left(functions.token("tokens", "--expires-in-days", "7")) <= 7
    for days in ("0", "-1", "100000", "never"):
        assert functions.cli("token", "create", "tokens", "--expires-in-days", days)[0] != 0
    for value in (0, -1, 10**9, "7", 1.5, True):
        answer = functions.api("POST", "/v1/namespaces/tokens/tokens", {"function": "one", "expiresInDays": value})
        assert answer.status == 400, f"{value!r}: {answer.status}"


@pytest.mark.guarantee("SCW-4")
def test_SCW_4_a_token_is_shown_once_and_stored_hashed(functions: Server) -> None:
    made = functions.token("tokens/one", "--description", "for the test")
    token = made["token"]
    listed = functions.cli("token", "list", "tokens", "--json")[1] + functions.cli("token", "list", "tokens")[1]
    listed += functions.api("GET", "/v1/namespaces/tokens/tokens").text
    assert made["id"] in listed and "for the test" in listed
    assert token not in listed
    functions.call("tokens/one", token=token)
    for file in functions.data.rglob("*"):
        if file.is_file():
            assert token.encode() not in file.read_bytes(), f"the token is in {file}"
    assert token not in "".join(functions.out + functions.err)


def test_a_revoked_token_is_refused_by_the_very_next_call(functions: Server) -> None:
    made = functions.token("tokens/one")
    assert functions.call("tokens/one", token=made["token"]).status == 200
    assert functions.cli("token", "revoke", "tokens", made["id"])[0] == 0
    assert problem(functions.call("tokens/one", token=made["token"]))["status"] == 401
    assert made["id"] not in functions.cli("token", "list", "tokens", "--json")[1]
    assert functions.cli("token", "revoke", "tokens", made["id"])[0] != 0


def test_the_api_takes_no_function_token_in_either_header(functions: Server) -> None:
    for scope in ("tokens", "tokens/one"):
        token = functions.token(scope)["token"]
        for headers in ({"X-Auth-Token": token}, {"Authorization": f"Bearer {token}"}):
            for method, path in (
                ("GET", "/v1/server"),
                ("GET", "/v1/status"),
                ("GET", "/v1/namespaces"),
                ("GET", "/v1/namespaces/tokens/functions/one"),
                ("GET", "/v1/namespaces/tokens/functions/one/logs"),
                ("GET", "/v1/namespaces/absent/functions"),
                ("POST", "/v1/namespaces/tokens/tokens"),
                ("POST", "/v1/archives"),
                ("DELETE", "/v1/namespaces/tokens/functions/one"),
            ):
                answer = functions.api(method, path, key=None, headers=headers)
                assert answer.status == 401, f"{method} {path}: {answer.status}"
                problem(answer)


@pytest.mark.case("A17")
def test_A17_a_token_of_another_namespace_cannot_be_revoked_from_here(functions: Server) -> None:
    functions.namespace("strangers")
    made = functions.token("tokens/one")
    there = functions.api("DELETE", f"/v1/namespaces/strangers/tokens/{made['id']}")
    absent = functions.api("DELETE", "/v1/namespaces/strangers/tokens/00000000-0000-4000-8000-000000000000")
    assert there.status == absent.status == 404
    assert problem(there)["detail"] == problem(absent)["detail"]
    assert functions.call("tokens/one", token=made["token"]).status == 200


def test_a_token_for_an_absent_function_or_namespace_is_refused(functions: Server) -> None:
    assert functions.cli("token", "create", "tokens/absent")[0] != 0
    assert functions.cli("token", "create", "absent")[0] != 0


def test_tokens_go_with_their_function(functions: Server) -> None:
    functions.deploy("tokens", "gone", ONE)
    token = functions.token("tokens/gone")["token"]
    assert functions.call("tokens/gone", token=token).status == 200
    assert functions.cli("function", "delete", "tokens/gone")[0] == 0
    assert functions.call("tokens/gone", token=token).status == 401


def test_namespaces_are_made_listed_and_deleted_when_empty(server: Server) -> None:
    made = server.cli_json("namespace", "create", "short-lived")
    assert made["name"] == "short-lived"
    assert server.cli("namespace", "create", "short-lived")[0] != 0
    server.deploy("short-lived", "f", ONE)
    token = server.token("short-lived")["token"]
    code, _out, _err = server.cli("namespace", "delete", "short-lived")
    assert code != 0, "a namespace with a function in it was deleted"
    assert server.call("short-lived/f", body={}).status == 200
    assert server.cli("function", "delete", "short-lived/f")[0] == 0
    assert server.cli("namespace", "delete", "short-lived")[0] == 0
    assert "short-lived" not in server.cli("namespace", "list", "--json")[1]
    assert server.call("short-lived/f", body={}, token=token).status == 401
    assert server.cli("namespace", "delete", "short-lived")[0] != 0
    server.namespaces.discard("short-lived")


@pytest.mark.case("I4")
@pytest.mark.parametrize(
    "name",
    [
        "",
        "A",
        "a_b",
        "a.b",
        "..",
        "a/b",
        "a b",
        "x" * 64,
        "é",
        "a\u202eb",
        "a\u200bb",
        "a\n",
        "a\0b",
        "😀",
        "x" * 1_000_000,
    ],
    ids=lambda name: repr(name[:8]),
)
def test_I4_a_name_that_is_not_1_to_63_of_a_to_z_0_to_9_and_hyphen_is_refused(server: Server, name: str) -> None:
    answer = server.api("POST", "/v1/namespaces", {"name": name})
    assert answer.status in (400, 413, 422), f"{answer.status} {answer.text[:200]}"
    problem(answer)
    path = urllib.parse.quote(name[:2000], safe="")
    answer = server.api("GET", f"/v1/namespaces/{path}/functions")
    assert 400 <= answer.status < 500, answer.text[:200]
    outcome = server.try_deploy("tokens", json.dumps(name[:500]), ONE)
    assert outcome.code != 0


def test_unknown_and_wrongly_typed_fields_are_refused_by_every_json_operation(server: Server) -> None:
    server.namespace("tokens")
    for path, body in (
        ("/v1/namespaces", {"name": "valid", "extra": 1}),
        ("/v1/namespaces", {"name": 5}),
        ("/v1/namespaces", {}),
        ("/v1/namespaces", []),
        ("/v1/namespaces/tokens/tokens", {"function": "one", "expires": "never"}),
        ("/v1/namespaces/tokens/tokens", {"function": ["one"]}),
        ("/v1/namespaces/tokens/functions/one/rollback", {"revision": "1"}),
        ("/v1/namespaces/tokens/functions/one/rollback", {"revision": 1, "force": True}),
        ("/v1/deployments", {"manifest": "", "sources": {}, "force": True}),
        ("/v1/deployments", {"manifest": 1, "sources": {}}),
        ("/v1/deployments", {"manifest": "functions: {}", "sources": {"one": "../../etc/passwd"}}),
    ):
        answer = server.api("POST", path, body)
        assert answer.status == 400, f"{path} {body}: {answer.status} {answer.text[:200]}"
