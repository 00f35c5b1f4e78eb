"""Machines: service accounts, their secrets, access tokens and keys, from the command line and as OAuth clients do it."""

from __future__ import annotations

import base64
import json
import urllib.parse

import pytest
from accounts import Account, account
from casemate_fixture import Answer, Server, handler, problem, wait_until

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ONE = handler("def handle(event, context):\n    return {'seen': dict(event['headers'])}\n")


def token_request(server: Server, form: dict[str, str] | list[tuple[str, str]] | bytes, **headers: str) -> Answer:
    body = form if isinstance(form, bytes) else urllib.parse.urlencode(form).encode()
    return server.http(server.api_url, "POST", "/oauth/token", body, {**FORM, **headers})


def sign_in(server: Server, client: Account) -> str:
    answer = token_request(
        server,
        {"grant_type": "client_credentials", "client_id": client.client_id, "client_secret": client.client_secret},
    )
    assert answer.status == 200, answer.text
    return str(answer.json()["access_token"])


@pytest.fixture(scope="module")
def machines(running: Server) -> Server:
    running.deploy("machines", "one", ONE)
    return running


def test_a_pipeline_from_its_making_to_its_end(machines: Server) -> None:
    code, out, err = machines.cli("service-account", "create", "ci", "--namespace", "machines", "--role", "deployer")
    assert code == 0, err
    secret = dict(line.split() for line in out.splitlines())["client_secret"]
    assert secret.startswith("cmc_")
    code, key, err = machines.cli("service-account", "key", "create", "machines/ci", "--description", "pipeline")
    assert code == 0 and "expires" in err
    key = key.strip()
    as_ci = {"CASEMATE_URL": machines.api_url, "CASEMATE_KEY": key}

    assert "service-account:machines/ci" in machines.cli("whoami", environment=as_ci)[1]
    folder = machines.project("machines", "two", ONE)
    assert machines.cli("deploy", str(folder), environment=as_ci)[0] == 0
    code, _, err = machines.cli("invoke", "machines/two", environment=as_ci)
    assert code == 2 and "function:invoke" in err
    code, _, err = machines.cli("logs", "machines/two", environment=as_ci)
    assert code == 2 and "logs:read" in err

    assert machines.cli("grant", "service-account:machines/ci", "function:invoke", "--on", "machines/two")[0] == 0
    assert machines.cli("invoke", "machines/two", environment=as_ci)[0] == 0
    assert machines.cli("invoke", "machines/one", environment=as_ci)[0] == 2
    assert "service-account:machines/ci" in machines.cli("who-can", "function:invoke", "machines/two")[1]
    assert "service-account:machines/ci" not in machines.cli("who-can", "function:invoke", "machines/one")[1]
    assert "deployer" in machines.cli("grant", "--on", "machines")[1]

    assert machines.cli("revoke", "service-account:machines/ci", "function:invoke", "--on", "machines/two")[0] == 0
    assert machines.cli("invoke", "machines/two", environment=as_ci)[0] == 2
    code, _, err = machines.cli("revoke", "service-account:machines/ci", "function:invoke", "--on", "machines/two")
    assert code == 2 and "casemate grant" in err, "it says where to look"

    listed = machines.cli_json("service-account", "list", "machines")["serviceAccounts"]
    ci = next(item for item in listed if item["name"] == "ci")
    assert ci["keys"][0]["description"] == "pipeline"
    text = json.dumps(listed) + machines.cli("service-account", "list", "machines")[1]
    assert key not in text and secret not in text
    assert machines.cli("service-account", "key", "revoke", "machines/ci", ci["keys"][0]["id"])[0] == 0
    code, _, err = machines.cli("whoami", environment=as_ci)
    assert code == 2 and "Not authenticated" in err
    assert machines.cli("service-account", "delete", "machines/ci")[0] == 0
    assert machines.cli("service-account", "delete", "machines/ci")[0] == 2


def test_a_client_secret_leads_to_an_access_token_in_both_forms(machines: Server) -> None:
    client = account(machines, "machines", ("developer", "machines"))
    basic = base64.b64encode(f"{client.client_id}:{client.client_secret}".encode()).decode()
    for answer in (
        token_request(
            machines,
            {"grant_type": "client_credentials", "client_id": client.client_id, "client_secret": client.client_secret},
        ),
        token_request(machines, {"grant_type": "client_credentials"}, Authorization=f"Basic {basic}"),
    ):
        assert answer.status == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        token = answer.json()
        assert (token["token_type"], token["expires_in"]) == ("Bearer", 3600)
        assert machines.api("GET", "/v1/whoami", key=token["access_token"]).json()["subject"] == client.subject
        inside = machines.call("machines/one", key=token["access_token"])
        assert inside.status == 200
        assert token["access_token"] not in inside.text and "uthorization" not in inside.text


@pytest.mark.guarantee("SCW-4")
def test_neither_secret_nor_access_token_nor_key_is_stored_or_logged(machines: Server) -> None:
    client = account(machines, "machines", ("developer", "machines"))
    token = sign_in(machines, client)
    assert machines.call("machines/one", key=token).status == 200
    values = [client.client_secret, client.key, token]
    for file in machines.data.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not [value for value in values if value.encode() in content], f"{file}"
    said = "".join(machines.out + machines.err)
    assert not [value for value in values if value in said]


def test_a_new_secret_ends_the_old_one_and_its_tokens_but_no_key(machines: Server) -> None:
    client = account(machines, "machines", ("viewer", "machines"))
    token = sign_in(machines, client)
    renewed = machines.cli_json("service-account", "rotate", f"machines/{client.name}")["clientSecret"]
    assert machines.api("GET", "/v1/whoami", key=token).status == 401
    form = {"grant_type": "client_credentials", "client_id": client.client_id, "client_secret": client.client_secret}
    assert token_request(machines, form).status == 401
    assert token_request(machines, {**form, "client_secret": renewed}).status == 200
    assert client.api("GET", "/v1/whoami").status == 200


def test_a_client_secret_is_no_key_and_an_access_token_no_secret(machines: Server) -> None:
    client = account(machines, "machines", ("developer", "machines"))
    token = sign_in(machines, client)
    assert machines.api("GET", "/v1/whoami", key=client.client_secret).status == 401
    assert machines.call("machines/one", key=client.client_secret).status == 401
    for wrong in (token, client.key, machines.key):
        form = {"grant_type": "client_credentials", "client_id": client.client_id, "client_secret": wrong}
        assert token_request(machines, form).json()["error"] == "invalid_client"


def test_another_clients_secret_an_unknown_client_and_a_wrong_secret_are_alike(machines: Server) -> None:
    one, other = account(machines, "machines"), account(machines, "machines")
    answers = set()
    for client_id, secret in (
        (one.client_id, other.client_secret), (one.client_id, "cmc_wrong"), ("00000000-0000-4000-8000-000000000000", one.client_secret),
        ("no uuid", "x"), (one.name, one.client_secret),
    ):  # fmt: skip
        answer = token_request(
            machines, {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        )
        answers.add((answer.status, answer.text))
    assert len(answers) == 1
    assert answers.pop()[0] == 401


@pytest.mark.parametrize(
    ("form", "headers", "status", "error"),
    [
        ({}, {}, 400, "invalid_request"),
        ({"grant_type": "password", "client_id": "CLIENT", "client_secret": "SECRET"}, {}, 400, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, {}, 401, "invalid_client"),
        ({"grant_type": "client_credentials", "client_id": "CLIENT"}, {}, 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, {"Authorization": "Basic !!!"}, 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, {"Authorization": "Basic Zm9v"}, 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, {"Authorization": "Bearer x"}, 401, "invalid_client"),
        ({"grant_type": "client_credentials", "client_id": "CLIENT", "client_secret": "SECRET", "scope": "all"}, {}, 400, "invalid_scope"),
        ([("grant_type", "client_credentials"), ("grant_type", "client_credentials")], {}, 400, "invalid_request"),
        ({"grant_type": "client_credentials", "client_secret": "SECRET"}, {"Authorization": "Basic Zm9vOmJhcg=="}, 400, "invalid_request"),
        (b"grant_type=%zz", {}, 400, "invalid_request"),
        (b"\xff\xfe\x00", {}, 400, "invalid_request"),
        (b"x" * 20_000, {}, 400, "invalid_request"),
        (b'{"grant_type": "client_credentials"}', {"Content-Type": "application/json"}, 400, "invalid_request"),
        (b"a[b][c][d]=1&a[]=2", {}, 400, "invalid_request"),
    ],
    ids=range(15),
)  # fmt: skip
def test_what_is_no_token_request_gets_the_error_that_oauth_clients_know(
    machines: Server, form: object, headers: dict[str, str], status: int, error: str
) -> None:
    client = account(machines, "machines")
    if isinstance(form, dict):
        form = {
            name: value.replace("CLIENT", client.client_id).replace("SECRET", client.client_secret)
            for name, value in form.items()
        }
    answer = token_request(machines, form, **headers)  # type: ignore[arg-type]
    assert (answer.status, answer.json().get("error")) == (status, error), answer.text
    assert set(answer.json()) == {"error", "error_description"}
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Basic")


def test_a_secret_in_the_query_is_refused(machines: Server) -> None:
    client = account(machines, "machines")
    query = urllib.parse.urlencode({"client_id": client.client_id, "client_secret": client.client_secret})
    answer = machines.http(machines.api_url, "POST", f"/oauth/token?{query}", b"grant_type=client_credentials", FORM)
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")


def test_when_a_token_or_key_was_last_used_is_shown(machines: Server) -> None:
    client = account(machines, "machines", ("developer", "machines"))
    token = machines.token("machines/one", "--description", "last-used")

    def used() -> tuple[object, object]:
        tokens = machines.api("GET", "/v1/namespaces/machines/tokens").json()["tokens"]
        accounts = machines.api("GET", "/v1/namespaces/machines/service-accounts").json()["serviceAccounts"]
        mine = next(item for item in accounts if item["name"] == client.name)
        return next(item for item in tokens if item["id"] == token["id"]).get("lastUsed"), mine["keys"][0].get(
            "lastUsed"
        )

    assert used() == (None, None)
    assert machines.call("machines/one", token=token["token"]).status == 200
    assert client.api("GET", "/v1/whoami").status == 200
    assert wait_until(lambda: all(used()), 15)


def test_an_access_token_and_a_key_survive_a_restart_of_the_server() -> None:
    with Server() as server:
        server.deploy("machines", "one", ONE)
        client = account(server, "machines", ("developer", "machines"))
        token = sign_in(server, client)
        server.stop()
        server.start()
        for credential in (token, client.key):
            assert server.call("machines/one", key=credential).status == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "No"},
        {"name": ""},
        {"name": "x", "role": "root"},
        {"name": "x", "role": 1},
        {"name": "x", "more": 1},
        {"name": "a" * 64},
    ],
)
def test_an_account_that_makes_no_sense_is_refused(machines: Server, body: dict[str, object]) -> None:
    answer = machines.api("POST", "/v1/namespaces/machines/service-accounts", body)
    assert answer.status in (400, 422)
    problem(answer)
    names = [
        item["name"]
        for item in machines.api("GET", "/v1/namespaces/machines/service-accounts").json()["serviceAccounts"]
    ]
    assert "x" not in names


def test_a_name_is_taken_once(machines: Server) -> None:
    client = account(machines, "machines")
    again = machines.api("POST", "/v1/namespaces/machines/service-accounts", {"name": client.name})
    assert again.status == 409
    assert client.api("GET", "/v1/whoami").status == 200


@pytest.mark.parametrize("value", [0, -1, 10**9, "7", 1.5, True])
def test_a_key_expires_and_within_bounds(machines: Server, value: object) -> None:
    client = account(machines, "machines")
    assert machines.api("POST", f"{client.path}/keys", {"expiresInDays": value}).status == 400


def test_the_command_line_says_what_to_write(machines: Server) -> None:
    for arguments, word in (
        (("grant", "service-account:machines/x", "root", "--on", "machines"), "developer"),
        (("grant", "service-account:machines/x", "viewer"), "--platform"),
        (("grant", "machines/x", "viewer", "--on", "machines"), "service-account:NAMESPACE/NAME"),
        (
            ("grant", "service-account:machines/absent", "viewer", "--on", "machines"),
            "there is no service-account:machines/absent",
        ),
        (("who-can", "everything", "machines"), "function:invoke"),
        (("service-account", "create", "Bad", "--namespace", "machines"), "name"),
        (("service-account", "key", "revoke", "machines/x", "1"), "service-account list"),
    ):
        code, _out, err = machines.cli(*arguments)
        assert code != 0 and word in err, f"{arguments}: {err}"
    help_text = machines.cli("grant", "--help")[1]
    assert "developer" in help_text and "function:invoke" in help_text
