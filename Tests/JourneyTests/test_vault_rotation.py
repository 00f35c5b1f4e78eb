"""The key-encryption key while the server works: a new one, and the seal."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from accounts import account
from casemate_fixture import Answer, Server, handler, problem, wait_until
from secret_calls import path, put, records, value
from steady import Steady

LENGTH = handler("def handle(data, secrets):\n    return len(secrets['KEY'])\n")
KEY = {"secrets": ["KEY"]}


@pytest.fixture(scope="module")
def vault() -> Iterator[Server]:
    with Server(options=("--pool-size", "6")) as server:
        server.namespace("v")
        yield server


# ---------------------------------------------------------------- a new key-encryption key


@pytest.fixture(scope="module")
def rotated(vault: Server) -> dict[str, Any]:
    """What went on during many rotations: warm calls, cold starts, changed and new secrets, deployments."""
    for name in ("warm", "cold", "set"):
        vault.secret(f"v/rot-{name}", "KEY", value())
        vault.deploy("v", f"rot-{name}", LENGTH, {**KEY, "scale": {"max": 4}})
    for number in range(40):
        assert put(vault, f"v/rot-many-{number}", value()).status == 200
    kek = vault.data / "server" / "kek"
    first = kek.read_bytes()
    begun = vault.api("GET", "/v1/vault").json()["activeKey"]
    numbers = {"new": 0, "deploy": 0}

    def cold() -> Answer:
        # Another secret of its own changes: the next call starts an instance.
        answer = put(vault, "v/rot-cold", value(), "OTHER")
        return answer if answer.status != 200 else vault.call("v/rot-cold", body={})

    def new() -> Answer:
        numbers["new"] += 1
        return put(vault, f"v/rot-new-{numbers['new']}", "made-while-it-rotates")

    def deploy() -> str | None:
        numbers["deploy"] += 1
        outcome = vault.try_deploy("v", "rot-deploy", handler(f"def handle(data):\n    return {numbers['deploy']}\n"))
        return None if outcome.code == 0 else outcome.said

    parts = {
        "warm": lambda: vault.call("v/rot-warm", body={}),
        "cold": cold,
        "set": lambda: put(vault, "v/rot-set", value()),
        "called": lambda: vault.call("v/rot-set", body={}),
        "new": new,
        "deploy": deploy,
    }
    rotations = []
    with Steady(parts) as clients:
        end = time.monotonic() + 6
        while time.monotonic() < end:
            assert vault.api("POST", "/v1/vault/rotate").status == 202
            wait_until(lambda: vault.api("GET", "/v1/vault").json()["rotation"]["phase"] != "running", 30, 0.02)
            rotations.append(vault.api("GET", "/v1/vault").json()["rotation"])
    return {"first": first, "begun": begun, "rotations": rotations, "clients": clients, "numbers": numbers}


@pytest.mark.case("S13")
@pytest.mark.parametrize("part", ["warm", "cold", "set", "called", "new"])
def test_S13_while_the_key_is_rotated_again_and_again_nothing_fails(rotated: dict[str, Any], part: str) -> None:
    assert len(rotated["rotations"]) >= 3
    assert {rotation["phase"] for rotation in rotated["rotations"]} == {"done"}, rotated["rotations"]
    answers = rotated["clients"].of(part)
    failed = [answer for answer in answers if isinstance(answer, Exception) or answer.status != 200]
    assert answers and not failed, f"{len(failed)} of {len(answers)}: {failed[0]}"


@pytest.mark.case("S13")
def test_S13_deployments_go_on_while_the_key_is_rotated(rotated: dict[str, Any]) -> None:
    answers = rotated["clients"].of("deploy")
    failed = [answer for answer in answers if answer is not None]
    assert answers and not failed, f"{len(failed)} of {len(answers)}: {failed[0]}"


@pytest.mark.case("S13")
def test_S13_a_rotation_raises_no_false_alarm_of_a_key_that_is_gone(vault: Server, rotated: dict[str, Any]) -> None:
    assert records(vault, "vault.unavailable") == []


@pytest.mark.case("S13")
def test_S13_after_rotations_the_old_key_is_nowhere_and_all_that_there_is_opens(
    vault: Server, rotated: dict[str, Any]
) -> None:
    kek = vault.data / "server" / "kek"
    assert len(kek.read_bytes()) == 32 and kek.read_bytes() != rotated["first"]
    assert kek.stat().st_mode & 0o777 == 0o600 and not (vault.data / "server" / "kek.new").exists()
    shown = vault.cli_json("vault", "status")
    assert shown["state"] == "open" and shown["activeKey"] != rotated["begun"]
    assert [key["id"] for key in shown["keys"]] == [shown["activeKey"]], "nothing is wrapped by another"
    for file in vault.data.rglob("*"):
        if file.is_file():
            assert rotated["first"] not in file.read_bytes(), f"the old key is in {file}"
    for number in range(1, rotated["numbers"]["new"] + 1):
        answer = vault.api("POST", path(f"v/rot-new-{number}", what="/verify"), b"made-while-it-rotates")
        assert answer.status == 200 and answer.json()["matches"], answer.text
    for name in ("warm", "cold", "set"):
        assert put(vault, f"v/rot-{name}", value(), "AGAIN").status == 200
        assert vault.call(f"v/rot-{name}", body={}).status == 200, "a cold start"


def test_rotate_on_the_command_line_says_what_became_of_it_and_what_to_do_next(vault: Server) -> None:
    code, out, _ = vault.cli("vault", "rotate")
    assert code == 0 and "data keys are wrapped by file:" in out and "1 old keys destroyed" in out and "backup" in out
    begun, done = records(vault, "vault.rotation-started")[-1], records(vault, "vault.rotated")[-1]
    assert begun["outcome"] == done["outcome"] == "done" and begun["details"]["from"] != done["details"]["to"]
    assert done["actor"] == begun["actor"] and done["actor"].startswith("key:")


def test_only_one_rotation_runs_at_a_time(vault: Server) -> None:
    got: list[int] = []
    threads = [
        threading.Thread(target=lambda: got.append(vault.api("POST", "/v1/vault/rotate").status)) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(got) == {202, 409} and got.count(202) <= 3
    assert wait_until(lambda: vault.api("GET", "/v1/vault").json()["rotation"]["phase"] == "done", 10)
    assert len((vault.data / "server" / "kek").read_bytes()) == 32


def test_rotation_and_seal_are_for_the_administrator_of_the_server_alone(vault: Server) -> None:
    owner = account(vault, "v", ("admin", "v"))
    for method, what in (("GET", ""), ("POST", "/rotate"), ("POST", "/seal"), ("POST", "/unseal")):
        assert owner.api(method, f"/v1/vault{what}").status == 403
        assert vault.api(method, f"/v1/vault{what}", key=None).status == 401
    assert vault.api("GET", "/v1/vault").json()["state"] == "open"


# ---------------------------------------------------------------- the seal


@pytest.fixture(scope="module")
def sealed() -> Iterator[Server]:
    """Two functions with a secret, one warm and one that never ran, one without, behind a seal."""
    with Server(options=("--pool-size", "3")) as server:
        server.namespace("s")
        server.namespace("without")
        for name in ("warm", "cold"):
            server.secret(f"s/{name}", "KEY", value())
            slow = LENGTH["handler.py"].replace(
                "    return", "    import time; time.sleep((data or {}).get('s', 0))\n    return"
            )
            server.deploy("s", name, handler(slow), {**KEY, "scale": {"max": 3}})
        for namespace in ("s", "without"):
            server.deploy(namespace, "plain", handler("def handle(data):\n    return 1\n"))
        assert server.call("s/warm", body={}).status == 200
        code, out, _ = server.cli("vault", "seal")
        assert code == 0 and "unseal" in out
        yield server


def test_verify_against_a_sealed_vault_is_neither_yes_nor_no(sealed: Server) -> None:
    code, _, err = sealed.cli("secret", "verify", "s/warm", "KEY", input="x")
    assert "sealed" in err and code not in (0, 1), f"exit code {code}"


def test_a_rotation_that_is_refused_is_not_on_record_as_begun(sealed: Server) -> None:
    assert sealed.api("POST", "/v1/vault/rotate").status == 503
    assert not [
        record
        for record in records(sealed, "vault.*")
        if record["kind"] == "vault.rotation-started" and record["outcome"] == "done"
    ]


def test_a_sealed_vault_opens_nothing_until_it_is_unsealed_also_after_a_restart(sealed: Server) -> None:
    assert sealed.call("s/warm", body={}).status == 200, "what runs goes on"
    refused = sealed.call("s/cold", body={})
    assert (
        refused.status == 503
        and problem(refused)["type"] == "/problems/vault-sealed"
        and "retry-after" in refused.headers
    )
    # A second instance of what is warm would be a start as well.
    slow = threading.Thread(target=sealed.call, args=("s/warm",), kwargs={"body": {"s": 1}})
    slow.start()
    time.sleep(0.3)
    assert problem(sealed.call("s/warm", body={}))["type"] == "/problems/vault-sealed"
    slow.join()
    for answer in (
        put(sealed, "s/warm", value()),
        put(sealed, "s/unheard-of", value()),
        sealed.api("POST", path("s/warm", what="/verify"), b"x"),
        sealed.api("POST", "/v1/vault/rotate"),
    ):
        assert answer.status == 503 and problem(answer)["type"] == "/problems/vault-sealed"
    assert sealed.call("s/plain", body={}).status == 200
    outcome = sealed.try_deploy("without", "plain", handler("def handle(data):\n    return 2\n"))
    assert outcome.code == 0, f"a function without secrets: {outcome.said}"
    sealed.stop()
    sealed.start()
    assert sealed.cli_json("vault")["state"] == "sealed"
    assert sealed.call("without/plain", body={}).json() == 2
    for name in ("warm", "cold"):
        assert problem(sealed.call(f"s/{name}", body={}))["type"] == "/problems/vault-sealed"
    assert sealed.cli("vault", "seal")[0] == 0, "again is no fault"
    assert sealed.cli("vault", "unseal")[0] == 0
    for name in ("warm", "cold"):
        assert sealed.call(f"s/{name}", body={}).status == 200
    kinds = [record["kind"] for record in records(sealed, "vault.sealed,vault.unsealed")]
    assert kinds == ["vault.sealed", "vault.sealed", "vault.unsealed"]
