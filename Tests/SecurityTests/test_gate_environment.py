"""The gate and the manifest: values under env that look like secrets are refused, and relaxed defaults are told for as long as they hold."""

from __future__ import annotations

import base64
import json
import secrets as randomness
from typing import Any

import pytest
from casemate_fixture import Server
from gate_answers import (
    AWS_KEY,
    GITHUB_TOKEN,
    PASSPHRASE,
    PLAIN,
    PRIVATE_KEY,
    UNKNOWN_KEY,
    found,
    known,
    let_pass,
    posture_of,
    refused_by_the_gate,
)
from spellings import assert_absent

SECRET_LIKE = {
    "DB_PASSWORD": PASSPHRASE,
    "REGION_CODE": AWS_KEY,
    "UPSTREAM": GITHUB_TOKEN,
    "CERTIFICATE": PRIVATE_KEY,
    "DATABASE_URL": f"postgres://robot:{PASSPHRASE}@db.example.com/x",
    "apiKey": UNKNOWN_KEY,
}
STORAGE_KEY = base64.b64encode(randomness.token_bytes(64)).decode()
NOT_SEEN = {
    "api-key": UNKNOWN_KEY,
    "STORAGE": f"DefaultEndpointsProtocol=https;AccountName=plant;AccountKey={STORAGE_KEY};EndpointSuffix=core.windows.net",
    "BUS": f"Endpoint=sb://plant.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey={STORAGE_KEY[:43]}=",
    "DATABASE": f"Server=tcp:db.example.com;Database=x;User ID=robot;Password={PASSPHRASE};",
}


@pytest.fixture(scope="module")
def refused(running: Server) -> dict[str, Any]:
    outcome = running.try_deploy("env", "refused", {"handler.py": PLAIN}, {"env": {**SECRET_LIKE, "REGION": "north"}})
    for name, value in SECRET_LIKE.items():
        assert_absent(outcome.said, value, f"the outcome, of {name},")
    return refused_by_the_gate(outcome)


@pytest.mark.guarantee("SCW-5", "COG-4")
@pytest.mark.case("S17")
@pytest.mark.parametrize("name", SECRET_LIKE)
def test_SCW_5_S17_a_value_under_env_that_looks_like_a_secret_is_refused_and_belongs_to_secrets(
    refused: dict[str, Any], name: str
) -> None:
    findings = [item for item in found(refused, "manifest/environment-secret") if item["what"].startswith(f"{name} ")]
    assert len(findings) == 1, refused
    finding = findings[0]
    assert finding["file"] == "casemate.yaml" and finding["line"] > 1, finding
    assert finding["finding"]["guarantee"] == "SCW-5", finding
    assert finding["finding"]["enforcedBy"] == f"secrets: [{name}]", finding
    assert "casemate secret set" in finding["fix"] and finding["fix"].endswith(name), finding


@pytest.mark.guarantee("SCW-5", "AZR-9")
@pytest.mark.case("S17")
@pytest.mark.parametrize("name", NOT_SEEN)
def test_SCW_5_S17_names_with_a_dash_and_connection_strings_are_refused_too(unseen: dict[str, Any], name: str) -> None:
    assert [item for item in found(unseen) if item["what"].startswith(f"{name} ")], unseen


@pytest.fixture(scope="module")
def unseen(running: Server) -> dict[str, Any]:
    env = {"DB_PASSWORD": SECRET_LIKE["DB_PASSWORD"], **NOT_SEEN}
    return running.try_deploy("env", "unseen", {"handler.py": PLAIN}, {"env": env}).first


@pytest.mark.guarantee("SCW-5")
def test_SCW_5_what_else_stands_under_env_is_not_told(refused: dict[str, Any]) -> None:
    assert not any("REGION " in item["what"] for item in refused["diagnostics"]), refused


@pytest.mark.guarantee("SCW-5")
def test_SCW_5_the_line_is_that_of_the_value(server: Server) -> None:
    text = "namespace: env\nfunctions:\n  lined:\n    source: ./source\n    runtime: python3.11\n    handler: handler.handle\n"
    text += "    env:\n      REGION: north\n      DB_PASSWORD: " + PASSPHRASE + "\n"
    refused = refused_by_the_gate(server.try_deploy("env", "lined", {"handler.py": PLAIN}, text))
    assert [(item["file"], item["line"]) for item in found(refused)] == [("casemate.yaml", 9)], refused


@pytest.mark.guarantee("SCW-5", "COG-7")
def test_SCW_5_an_own_stored_value_under_env_is_refused_by_any_name(server: Server) -> None:
    value = f"own stored {randomness.token_hex(8)}"
    server.namespace("env")
    server.secret("env/owner", "KEY", value)
    outcome = server.try_deploy("env", "own", {"handler.py": PLAIN}, {"env": {"GREETING": value}})
    assert_absent(outcome.said, value, "the outcome")
    assert found(refused_by_the_gate(outcome), file="casemate.yaml"), outcome.said


@pytest.mark.guarantee("SCW-5")
def test_SCW_5_ordinary_values_pass(server: Server) -> None:
    plain = {
        "REGION": "north",
        "TOKEN_URL": "https://login.example.com/oauth2/v2.0/token",
        "LOG_LEVEL": "debug",
        "TENANT": "7f1c0c9e-1d6f-4a0c-9c6b-2f0a3e5d7b11",
        "KEY_ID": "main",
        "PASSWORD_POLICY": "strict",
        "DATABASE": "postgres://db.example.com/x",
    }
    assert found(let_pass(server.try_deploy("env", "plain", {"handler.py": PLAIN}, {"env": plain}))) == []


@pytest.mark.guarantee("AZR-9")
def test_AZR_9_a_connection_string_in_the_code_is_refused(server: Server) -> None:
    source = {"handler.py": PLAIN, "store.py": f"FROM = '{NOT_SEEN['STORAGE']}'\n"}
    outcome = server.try_deploy("env", "connection", source)
    assert_absent(outcome.said, STORAGE_KEY, "the outcome")
    assert found(refused_by_the_gate(outcome), file="store.py")[0]["line"] == 1, outcome.said


# ---------------------------------------------------------------- relaxed defaults

RELAXED: dict[str, tuple[str, Any]] = {
    "manifest/public": ("access", "public"),
    "manifest/wide-egress": ("egress", ["*.example.com:443"]),
    "manifest/secrets-in-response": ("secretsInResponse", "allow"),
}


@pytest.fixture(scope="module")
def relaxed(running: Server) -> dict[str, Any]:
    return let_pass(running.try_deploy("env", "relaxed", {"handler.py": PLAIN}, dict(RELAXED.values())))


@pytest.mark.guarantee("AZR-23")
@pytest.mark.parametrize("rule", RELAXED)
def test_AZR_23_a_relaxed_default_is_a_warning_at_the_deployment_on_the_function_and_in_the_posture(
    server: Server, relaxed: dict[str, Any], rule: str
) -> None:
    page = server.cli_json("function", "show", "env/relaxed")
    live = next(revision for revision in page["revisions"] if revision["isActive"])
    places = {
        "the deployment": relaxed["diagnostics"],
        "the function": live["findings"],
        "its findings": known(server, "env/relaxed")["active"],
        "the posture": posture_of(server, "env/relaxed")["findings"],
    }
    for place, diagnostics in places.items():
        findings = found({"diagnostics": diagnostics}, rule)
        assert len(findings) == 1, f"{place}: {diagnostics}"
        assert findings[0]["severity"] == "warning" and findings[0]["line"] > 1 and findings[0]["fix"], findings
        assert findings[0]["finding"]["guarantee"] == "AZR-23" and findings[0]["finding"]["enforcedBy"], findings
    assert posture_of(server, "env/relaxed")["posture"] == "amber"


@pytest.mark.guarantee("AZR-23")
def test_AZR_23_the_text_of_the_function_page_has_the_warnings_too(server: Server, relaxed: dict[str, Any]) -> None:
    assert "public" in server.cli("posture", "env")[1]
    code, out, _ = server.cli("findings", "env/relaxed")
    assert code == 0 and all(rule in out for rule in RELAXED), out


@pytest.mark.guarantee("AZR-23")
def test_AZR_23_casemate_function_show_prints_the_warnings(server: Server, relaxed: dict[str, Any]) -> None:
    code, out, _ = server.cli("function", "show", "env/relaxed")
    assert code == 0 and "egress" in out and "example.com" in out, out


@pytest.mark.guarantee("AZR-23")
def test_AZR_23_what_is_mended_is_told_no_more(server: Server) -> None:
    let_pass(server.try_deploy("env", "mended", {"handler.py": PLAIN}, {"access": "public"}))
    assert posture_of(server, "env/mended")["posture"] == "amber"
    let_pass(server.try_deploy("env", "mended", {"handler.py": PLAIN}))
    assert posture_of(server, "env/mended").get("posture", "green") == "green"
    assert known(server, "env/mended")["active"] == []


@pytest.mark.guarantee("AZR-23")
def test_AZR_23_a_function_without_relaxed_defaults_has_no_warnings(server: Server) -> None:
    made = let_pass(server.try_deploy("env", "careful", {"handler.py": PLAIN}, {"egress": ["api.example.com:443"]}))
    assert found(made) == []
    assert json.dumps(posture_of(server, "env/careful")).count("finding") <= 1
    assert posture_of(server, "env/careful").get("posture", "green") == "green"


# ---------------------------------------------------------------- at rest


@pytest.mark.guarantee("SCW-5")
def test_SCW_5_a_plain_value_is_not_on_the_disk_in_plain_text(server: Server) -> None:
    value = "-".join(["north", "of", "the", "river", randomness.token_hex(6)])
    source = {"handler.py": "import os\n\n\ndef handle(data):\n    return os.environ['PLACE']\n"}
    keys = {"env": {"PLACE": value}}
    assert let_pass(server.try_deploy("rest", "plain", source, keys))["status"] == "deployed"
    assert server.call("rest/plain", body={}).json() == value
    for path in server.folder.rglob("*"):
        assert not path.is_file() or value.encode() not in path.read_bytes(), path
    assert let_pass(server.try_deploy("rest", "plain", source, keys))["status"] == "unchanged"
    changed = let_pass(server.try_deploy("rest", "plain", source, {"env": {"PLACE": "south"}}))
    assert (changed["status"], server.call("rest/plain", body={}).json()) == ("deployed", "south")
    assert server.cli("function", "rollback", "rest/plain")[0] == 0
    assert server.call("rest/plain", body={}).json() == value
    assert server.cli("vault", "rotate")[0] == 0
    assert let_pass(server.try_deploy("rest", "plain", source, keys))["status"] == "unchanged"
    assert server.cli("egress", "allow", "rest/plain", "api.example.com:443")[0] == 0
    assert server.call("rest/plain", body={}).json() == value
