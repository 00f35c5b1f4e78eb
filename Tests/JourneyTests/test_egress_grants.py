"""What a function may reach besides its manifest: grants, policies, and what the command line says of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from casemate_fixture import Outcome, Server, handler, wait_until

KNOWS = handler("""
    import socket

    def handle(data):
        known = {}
        for name in data["names"]:
            try:
                known[name] = socket.getaddrinfo(name, 443)[0][4][0]
            except OSError as error:
                known[name] = str(error)
        return known
    """)
LISTED, GRANTED, WIDE = "listed.example.com", "granted.example.com", "wide.example.com"


@pytest.fixture
def fresh(server: Server) -> Iterator[Server]:
    """The namespace without a policy, the function not there and without grants."""
    server.namespace("grants")
    yield server
    server.api("PUT", "/v1/namespaces/grants/policy", {})
    for entry in server.api("GET", "/v1/namespaces/grants/functions/score/egress").json().get("allowed", []):
        if entry["source"] == "grant":
            server.api("DELETE", f"/v1/namespaces/grants/functions/score/egress/{entry['target']}")
    if server.api("GET", "/v1/namespaces/grants/functions/score").status == 200:
        server.api("DELETE", "/v1/namespaces/grants/functions/score")
        server.deployed.discard("grants/score")


def cli(server: Server, *arguments: str) -> Outcome:
    return Outcome(*server.cli(*arguments))


def knows(server: Server) -> set[str]:
    """Which of the names have an address inside the function."""
    answer = server.call("grants/score", body={"names": [LISTED, GRANTED, WIDE]})
    assert answer.status == 200, answer.text
    return {name for name, found in answer.json().items() if found.startswith("127.66.")}


def deploy(server: Server, *entries: str) -> dict[str, Any]:
    return server.deploy("grants", "score", KNOWS, {"egress": list(entries)} if entries else None)


def active(server: Server) -> int:
    number: int = server.api("GET", "/v1/namespaces/grants/functions/score").json()["activeRevision"]
    return number


@pytest.mark.guarantee("COG-25")
def test_a_grant_counts_at_the_next_call_and_is_a_revision_of_its_own(fresh: Server) -> None:
    deploy(fresh, f"{LISTED}:443")
    assert knows(fresh) == {LISTED} and active(fresh) == 1
    said = cli(fresh, "egress", "allow", "grants/score", f"{GRANTED}:443")
    assert said.code == 0 and "revision 2" in said.out, said.said
    assert knows(fresh) == {LISTED, GRANTED}
    said = cli(fresh, "egress", "revoke", "grants/score", f"{GRANTED}:443")
    assert said.code == 0 and "revision 3" in said.out, said.said
    assert knows(fresh) == {LISTED}


@pytest.mark.guarantee("COG-25")
def test_a_rollback_brings_no_grant_back_that_was_taken(fresh: Server) -> None:
    deploy(fresh)
    fresh.api("PUT", f"/v1/namespaces/grants/functions/score/egress/{GRANTED}:443")
    assert knows(fresh) == {GRANTED} and active(fresh) == 2
    fresh.api("DELETE", f"/v1/namespaces/grants/functions/score/egress/{GRANTED}:443")
    assert cli(fresh, "function", "rollback", "grants/score", "--revision", "2").code == 0
    assert active(fresh) == 2 and knows(fresh) == set()


def test_a_grant_may_come_before_the_first_deployment_and_outlives_the_function(fresh: Server) -> None:
    assert cli(fresh, "egress", "allow", "grants/score", f"{GRANTED}:443").code == 0
    deploy(fresh)
    assert knows(fresh) == {GRANTED}
    assert fresh.api("DELETE", "/v1/namespaces/grants/functions/score").status == 204
    deploy(fresh)
    assert knows(fresh) == {GRANTED}


def test_a_policy_names_what_every_function_may_reach(fresh: Server) -> None:
    deploy(fresh)
    assert fresh.api("PUT", "/v1/namespaces/grants/policy", {"egress": {"allow": [f"{WIDE}:443"]}}).status == 200
    assert knows(fresh) == {WIDE}
    assert json.loads(cli(fresh, "policy", "get", "grants").out)["egress"]["allow"] == [f"{WIDE}:443"]
    assert fresh.api("PUT", "/v1/namespaces/grants/policy", {}).status == 200
    assert knows(fresh) == set()


def test_a_deployment_shows_what_changes(fresh: Server) -> None:
    deploy(fresh, f"{LISTED}:443", f"{GRANTED}:443")
    changed = fresh.deploy("grants", "score", KNOWS, {"egress": [f"{LISTED}:443", f"{WIDE}:8443"]})
    assert changed["egress"] == {"added": [f"{WIDE}:8443"], "removed": [f"{GRANTED}:443"]}
    same = fresh.deploy("grants", "score", KNOWS, {"egress": [f"{LISTED}:443", f"{WIDE}:8443"]})
    assert same["status"] == "unchanged" and "egress" not in same


def test_the_error_in_the_function_has_the_command_and_the_command_is_right(fresh: Server) -> None:
    deploy(fresh)
    error = fresh.call("grants/score", body={"names": [GRANTED]}).json()[GRANTED]
    command = error.split("allow it with: casemate ")[1].split()
    assert command == ["egress", "allow", "grants/score", f"{GRANTED}:443"]
    assert cli(fresh, *command).code == 0
    assert knows(fresh) == {GRANTED}


def test_what_was_refused_is_suggested_in_a_namespace_for_development_alone(fresh: Server) -> None:
    deploy(fresh, f"{LISTED}:443")
    fresh.call("grants/score", body={"names": [GRANTED]})
    refused = lambda: fresh.api("GET", "/v1/namespaces/grants/functions/score/egress").json()["refused"]  # noqa: E731
    assert wait_until(refused, 3)
    said = cli(fresh, "egress", "grants/score", "--suggest")
    assert said.code != 0 and "development" in said.said
    fresh.api("PUT", "/v1/namespaces/grants/policy", {"development": True})
    said = cli(fresh, "egress", "grants/score", "--suggest")
    assert said.code == 0 and said.out.splitlines() == [
        "egress:",
        f'  - "{GRANTED}:443"',
        f'  - "{LISTED}:443"',
    ], said.said


@pytest.mark.parametrize(
    "target",
    [
        "10.0.0.1",
        "[::1]:443",
        "example.com",
        "*:443",
        "*.com:443",
        "api.casemate.internal:443",
        "a..b:1",
        "example.com:0",
        "example.com:443%00",
    ],
)
def test_what_is_no_entry_is_granted_to_nobody(fresh: Server, target: str) -> None:
    deploy(fresh)
    answer = fresh.api("PUT", f"/v1/namespaces/grants/functions/score/egress/{target}")
    assert answer.status in (400, 404), answer.text
    assert cli(fresh, "egress", "allow", "grants/score", target.replace("%00", "x")).code in (2, 64)
    assert fresh.api("GET", "/v1/namespaces/grants/functions/score/egress").json()["allowed"] == []


@pytest.mark.parametrize(
    "policy",
    [
        {"egress": {"cidr": []}}, {"egres": {}}, {"egress": []}, {"egress": {"cidrs": ["10.0.0.1/8"]}}, {"egress": {"allow": ["*.com:443"]}},
        {"egress": {"cidrs": ["10.0.0.0/8"] * 257}}, {"development": "yes"}, [],
    ],
)  # fmt: skip
def test_a_policy_with_a_fault_changes_nothing(fresh: Server, policy: Any) -> None:
    before = fresh.api("GET", "/v1/namespaces/grants/policy").json()
    assert fresh.api("PUT", "/v1/namespaces/grants/policy", policy).status == 400
    assert fresh.api("GET", "/v1/namespaces/grants/policy").json() == before


def test_nobody_without_the_key_changes_what_may_be_reached(fresh: Server) -> None:
    deploy(fresh)
    for method, path, body in (
        ("PUT", f"/v1/namespaces/grants/functions/score/egress/{GRANTED}:443", None),
        ("DELETE", f"/v1/namespaces/grants/functions/score/egress/{GRANTED}:443", None),
        ("PUT", "/v1/namespaces/grants/policy", {"egress": {"cidrs": ["10.0.0.0/8"]}}),
        ("GET", "/v1/namespaces/grants/functions/score/egress", None),
        ("GET", "/v1/namespaces/grants/policy", None),
    ):
        assert fresh.api(method, path, body, key=None).status == 401, path
    assert knows(fresh) == set()
