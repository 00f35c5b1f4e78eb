"""What a server and a function are like when nobody has said anything."""

from __future__ import annotations

from typing import Any

import pytest
from accounts import account
from casemate_fixture import Inside, Server, handler

inside = Inside("defaults/probe")


@inside
def found() -> dict[str, Any]:
    import os
    import socket

    def outcome(attempt: Any) -> str:
        try:
            attempt()
        except OSError as error:
            return type(error).__name__
        return "it worked"

    return {
        "root": outcome(lambda: open("/written", "w")),
        "code": outcome(lambda: open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "written"), "w")),
        "name": outcome(lambda: socket.getaddrinfo("example.com", 443)),
        "address": outcome(lambda: socket.create_connection(("192.0.2.1", 443), 1)),
        "user": os.getuid(),
        "privileges": [
            line.split()[1]
            for line in open("/proc/self/status")
            if line.startswith(("CapEff", "NoNewPrivs", "Seccomp:"))
        ],
        "environment": sorted(os.environ),
    }


@pytest.mark.guarantee("AZR-11")
def test_AZR_11_a_function_that_asks_for_nothing_has_nothing(server: Server) -> None:
    seen = found(server)
    assert "it worked" not in [seen[name] for name in ("root", "code", "name", "address")], seen
    assert seen["user"] != 0
    assert seen["privileges"] == ["0000000000000000", "1", "2"]
    assert not [name for name in seen["environment"] if "SECRET" in name or "KEY" in name or "TOKEN" in name]
    shown = server.api("GET", server.function_path("defaults/probe")).json()
    assert shown["access"] == "private"
    assert server.call("defaults/probe", key=None).status == 401


@pytest.mark.guarantee("AZR-11")
def test_AZR_11_a_new_identity_may_do_nothing_and_a_new_namespace_allows_nothing(server: Server) -> None:
    server.deploy("defaults", "other", handler("def handle(data):\n    return 1\n"))
    nobody = account(server, "defaults")
    assert nobody.api("GET", "/v1/whoami").json()["grants"] == []
    assert nobody.api("GET", "/v1/namespaces").json() == {"namespaces": []}
    for method, path in (
        ("GET", "/v1/status"),
        ("GET", "/metrics"),
        ("POST", "/v1/archives"),
        ("POST", "/v1/namespaces"),
    ):
        assert nobody.api(method, path).status == 403, path
    assert nobody.call("defaults/other").status == 404
    policy = server.api("GET", "/v1/namespaces/defaults/policy").json()
    assert policy == {
        "development": False, "egress": {"allow": [], "cidrs": []}, "rate": {}, "machines": {},
        "calls": "unrecorded", "refusesWeakSecrets": False, "secretSources": [],
        "gate": {
            "dependencies": "auto", "honoursPragmas": False, "unscored": "high", "newestDays": 14, "maxDependencies": 100,
            "onAdvisory": "report", "indexes": [], "repositories": [], "packages": {"deny": []},
        },
        "supplyChain": {
            "requireSignature": False, "signers": [], "requireApproval": [], "requireReview": False, "production": False,
        },
        "keepRevisions": 20,
        "queue": {"perFunction": 20000, "perNamespace": 100000, "bytes": 1 << 30, "storedBytes": 10 << 30, "retentionInHours": 168},
    }  # fmt: skip
    assert server.api("GET", server.function_path("defaults/other") + "/egress").json()["allowed"] == []


@pytest.mark.guarantee("AZR-11")
def test_AZR_11_the_server_listens_on_loopback_alone_and_its_files_are_its_own() -> None:
    with Server() as plain:
        settings = plain.cli_json("config", "show")
        for name in ("listen", "gateway"):
            assert settings[name]["source"] == "default" and settings[name]["value"].startswith("127.0.0.1:"), name
        for name, mode in (("server", 0o700), ("warden", 0o700), ("admin.key", 0o600)):
            assert (plain.data / name).stat().st_mode & 0o777 == mode, name
        for name in ("kek", "signing.key", "casemate.db"):
            assert (plain.data / "server" / name).stat().st_mode & 0o077 == 0, name
