"""Secrets over their life: versions, comparing, going back, and a new value that reaches every call."""

from __future__ import annotations

import secrets as randomness
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from casemate_fixture import Answer, Server, handler, problem, wait_until
from secret_calls import path, put, records, value, versions
from spellings import assert_absent
from steady import Steady

ECHO = handler("""
    def handle(data, secrets):
        data = data or {}
        if "print" in data:
            print(data["print"])
        return {"length": len(secrets["KEY"]), "echo": data.get("echo")}
    """)
LENGTH = handler("def handle(data, secrets):\n    return len(secrets['KEY'])\n")
KEY = {"secrets": ["KEY"]}


@pytest.fixture(scope="module")
def vault() -> Iterator[Server]:
    with Server(options=("--pool-size", "6")) as server:
        server.namespace("v")
        yield server


# ---------------------------------------------------------------- versions and fingerprints


@pytest.mark.guarantee("SCW-8")
def test_the_list_has_fingerprints_that_are_alike_for_the_same_value_of_one_secret_alone(vault: Server) -> None:
    same, other = value(), value()
    first = vault.secret("v/prints", "KEY", same)["fingerprint"]
    second = vault.secret("v/prints", "KEY", other)["fingerprint"]
    third = vault.secret("v/prints", "KEY", same)["fingerprint"]
    elsewhere = vault.secret("v/prints-too", "KEY", same)["fingerprint"]
    another = vault.secret("v/prints", "KEY2", same)["fingerprint"]
    assert first == third and len({first, second, elsewhere, another}) == 4
    shown = vault.cli_json("secret", "list", "v/prints")["secrets"]
    assert {(entry["name"], entry["version"], entry["fingerprint"]) for entry in shown} == {
        ("KEY", 3, first),
        ("KEY2", 1, another),
    }
    _, table, _ = vault.cli("secret", "list", "v/prints")
    assert first in table and "FINGERPRINT" in table
    assert_absent(table + str(shown), same, "the list", hashed=True)


def test_a_secret_made_again_under_the_same_name_of_another_function_has_other_fingerprints(vault: Server) -> None:
    same = value()
    first = vault.secret("v/again", "KEY", same)["fingerprint"]
    assert vault.cli("function", "delete", "v/again")[0] == 0
    assert (
        vault.secret("v/again", "KEY", same)["fingerprint"] != first
    ), "a key of its own for each function that is made"
    assert [entry["version"] for entry in versions(vault, "v/again")] == [1]


def test_versions_are_numbered_and_say_when_the_replaced_ones_are_destroyed(vault: Server) -> None:
    for _ in range(3):
        vault.secret("v/numbered", "KEY", value())
    found = versions(vault, "v/numbered")
    assert [entry["version"] for entry in found] == [3, 2, 1]
    assert "keptUntil" not in found[0] and all(entry["replaced"] < entry["keptUntil"] for entry in found[1:])
    code, table, _ = vault.cli("secret", "versions", "v/numbered", "KEY")
    assert code == 0 and table.splitlines()[1].startswith("→  3") and "KEPT UNTIL" in table


# ---------------------------------------------------------------- comparing


def test_verify_tells_by_its_exit_code_whether_the_value_is_this_one(vault: Server) -> None:
    mine = value()
    vault.secret("v/verified", "KEY", mine)
    code, out, err = vault.cli("secret", "verify", "v/verified", "KEY", input=mine)
    assert (code, err) == (0, "") and "version 1" in out
    assert (
        vault.cli("secret", "verify", "v/verified", "KEY", input=mine + "\n")[0] == 0
    ), "what an editor adds is cut, as set does"
    code, out, err = vault.cli("secret", "verify", "v/verified", "KEY", input=mine[:-1])
    assert (code, out) == (1, "") and "another value" in err
    code, out, _ = vault.cli("secret", "verify", "v/verified", "KEY", "--json", input=mine + "x")
    assert code == 1 and '"matches":false' in out
    code, _, err = vault.cli("secret", "verify", "v/verified", "NONE", input=mine)
    assert code == 2 and "no secret NONE" in err, "not there is not the same as different"
    assert vault.cli("secret", "verify", "v/verified", "KEY", input="")[0] == 2
    found = records(vault, "secret.verified", "v/verified")
    assert [entry["details"]["matches"] for entry in found] == ["true", "true", "false", "false"]
    assert_absent(str(found), mine, "the audit log", hashed=True)


def test_verify_answers_ten_questions_in_ten_minutes_also_to_whoever_sets_the_secret_meanwhile(vault: Server) -> None:
    mine = value()
    vault.secret("v/guessed", "KEY", mine)
    vault.secret("v/guessed", "OTHER", mine)

    def ask(guess: str, name: str = "KEY") -> Answer:
        return vault.api("POST", path("v/guessed", name, "/verify"), guess.encode())

    assert [ask(f"guess-{n}").json()["matches"] for n in range(9)] == [False] * 9
    assert ask(mine).json() == {"name": "KEY", "version": 1, "matches": True}
    refused = ask(mine)
    assert refused.status == 429 and problem(refused)["type"] == "/problems/rate-limited"
    assert 500 < int(refused.headers["retry-after"]) <= 600
    assert len(records(vault, "secret.verified", "v/guessed")) == 10
    vault.secret("v/guessed", "KEY", value())
    assert vault.api("DELETE", path("v/guessed")).status == 204
    vault.secret("v/guessed", "KEY", mine)
    assert ask(mine).status == 429, "a new version is no new allowance"
    assert ask(mine, "OTHER").json()["matches"] is True, "each secret counts alone"
    code, _, err = vault.cli("secret", "verify", "v/guessed", "KEY", input=mine)
    assert code not in (0, 1) and "ten minutes" in err, "no answer is neither the one nor the other"


# ---------------------------------------------------------------- going back


def test_rollback_gives_the_one_before_or_a_numbered_one_as_a_new_version_and_no_new_revision(vault: Server) -> None:
    for length in (20, 30, 40):
        vault.secret("v/back", "KEY", value(length))
    vault.deploy("v", "back", ECHO, KEY)
    assert vault.call("v/back", body={}).json()["length"] == 40
    prints = {entry["version"]: entry["fingerprint"] for entry in versions(vault, "v/back")}
    shown = vault.cli_json("secret", "rollback", "v/back", "KEY")
    assert (shown["version"], shown["fingerprint"]) == (4, prints[2])
    assert wait_until(lambda: vault.call("v/back", body={}).json()["length"] == 30, 5)
    shown = vault.cli_json("secret", "rollback", "v/back", "KEY", "--version", "1")
    assert (shown["version"], shown["fingerprint"]) == (5, prints[1])
    assert wait_until(lambda: vault.call("v/back", body={}).json()["length"] == 20, 5)
    assert vault.cli_json("function", "show", "v/back")["activeRevision"] == 1
    assert [entry["details"]["from"] for entry in records(vault, "secret.rolled-back", "v/back")] == ["2", "1"]
    code, _, err = vault.cli("secret", "rollback", "v/back", "KEY", "--version", "9")
    assert code == 2 and "no earlier version 9" in err and "24 hours" in err


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"version":"1"}',
        b'{"version":1.5}',
        b'{"version":1e400}',
        b'{"to":1}',
        b'{"version":1,"version":2}',
    ],
)
def test_rollback_refuses_what_is_no_version_with_400(vault: Server, body: bytes) -> None:
    vault.secret("v/odd", "KEY", value())
    vault.secret("v/odd", "KEY", value())
    before = versions(vault, "v/odd")[0]["version"]
    answer = vault.api("POST", path("v/odd", what="/rollback"), body)
    assert answer.status == 400, answer.text
    assert problem(answer)["type"] == "/problems/invalid-request"
    assert versions(vault, "v/odd")[0]["version"] == before


@pytest.mark.parametrize("number", [0, -1, 2**63 - 1, 99])
def test_rollback_to_a_version_that_is_not_there_is_404(vault: Server, number: int) -> None:
    vault.secret("v/odd", "KEY", value())
    assert vault.api("POST", path("v/odd", what="/rollback"), {"version": number}).status == 404


@pytest.mark.case("S5")
def test_a_policy_that_refuses_weak_values_refuses_to_go_back_to_one(vault: Server) -> None:
    vault.namespace("strict")
    assert put(vault, "strict/f", "tiger7").status == 200
    assert put(vault, "strict/f", value()).status == 200
    assert vault.api("PUT", "/v1/namespaces/strict/policy", {"refusesWeakSecrets": True}).status == 200
    refused = put(vault, "strict/f", "tiger8")
    assert (
        refused.status == 422 and problem(refused)["type"] == "/problems/weak-secret" and "tiger8" not in refused.text
    )
    assert vault.api("POST", path("strict/f", what="/rollback"), {"version": 1}).status == 422


@pytest.mark.guarantee("COG-11")
def test_a_deleted_secret_is_missing_stays_redacted_for_a_day_and_comes_back_by_rollback(vault: Server) -> None:
    first, second = value(24), value(26)
    vault.secret("v/gone", "KEY", first)
    vault.secret("v/gone", "KEY", second)
    vault.deploy("v", "gone", ECHO, KEY)
    vault.deploy("v", "gone-echo", handler("def handle(data):\n    return data\n"))
    assert vault.call("v/gone", body={}).json()["length"] == 26
    assert vault.cli("secret", "delete", "v/gone", "KEY")[0] == 0
    missing = vault.call("v/gone", body={})
    assert missing.status == 503 and problem(missing)["type"] == "/problems/secret-missing"
    assert vault.cli_json("secret", "list", "v/gone") == {"secrets": [], "references": []}
    assert [entry["version"] for entry in versions(vault, "v/gone")] == [2, 1], "kept, for going back"
    assert vault.api("DELETE", path("v/gone")).status == 404, "deleted once"
    vault.secret("v/gone", "KEY", value(30))
    assert versions(vault, "v/gone")[0]["version"] == 3, "no number is given twice"
    answer = vault.call("v/gone", body={"echo": f"{first} {second}", "print": f"{first} {second}"})
    assert answer.json() == {"length": 30, "echo": "[secret:KEY] [secret:KEY]"}
    assert vault.messages("v/gone", answer.call_id) == ["[secret:KEY] [secret:KEY]"]
    assert vault.cli("secret", "delete", "v/gone", "KEY")[0] == 0
    assert vault.cli("secret", "rollback", "v/gone", "KEY", "--version", "1")[0] == 0
    assert vault.call("v/gone", body={}).json()["length"] == 24


@pytest.mark.guarantee("COG-11")
def test_a_function_made_again_has_no_version_of_the_former_one_to_go_back_to(vault: Server) -> None:
    vault.secret("v/reborn", "KEY", value())
    vault.secret("v/reborn", "KEY", value())
    assert vault.cli("function", "delete", "v/reborn")[0] == 0
    vault.secret("v/reborn", "OTHER", value())
    assert vault.api("GET", path("v/reborn")).status == 404
    assert vault.api("POST", path("v/reborn", what="/rollback"), {"version": 1}).status == 404
    assert vault.cli_json("secret", "list", "v/reborn")["secrets"][0]["name"] == "OTHER"


def test_what_is_no_value_is_refused_and_changes_nothing(vault: Server) -> None:
    vault.secret("v/kept", "KEY", value())
    for bad in (b"", b"a\0b-and-more", b"caf\xe9-latin-1", b"x" * 65_537):
        answer = put(vault, "v/kept", bad)
        assert answer.status in (400, 413), answer.text
        assert problem(answer)
    assert [entry["version"] for entry in versions(vault, "v/kept")] == [1]


# ---------------------------------------------------------------- S14: a changed secret


WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "isolated": {"isolate": "call"},
    "concurrent": {"limits": {"concurrency": 8}, "scale": {"max": 2}},
}


@pytest.fixture(scope="module")
def turned(vault: Server) -> dict[str, Any]:
    """What clients saw that called functions of three kinds all the time, while each one's secret changed once."""
    old, new = value(20), value(30)
    code = handler("""
        import time
        def handle(data, secrets):
            time.sleep(0.02)
            if data:
                print(data["text"])
            return [len(secrets["KEY"]), (data or {}).get("text")]
        """)
    for way, keys in WAYS.items():
        vault.secret(f"v/turn-{way}", "KEY", old)
        vault.deploy("v", f"turn-{way}", code, {**KEY, **keys})
        vault.call(f"v/turn-{way}")
    answered = {}
    with Steady({way: partial(vault.call, f"v/turn-{way}") for way in WAYS}, threads=3) as clients:
        time.sleep(0.7)
        for way in WAYS:
            assert put(vault, f"v/turn-{way}", new).status == 200
            answered[way] = time.monotonic()
        time.sleep(5.7)
    return {"old": old, "new": new, "answered": answered, "seen": clients.seen}


@pytest.mark.case("S14")
@pytest.mark.guarantee("SCW-9")
@pytest.mark.parametrize("way", WAYS)
def test_S14_a_new_value_reaches_every_call_5_s_after_the_answer_and_no_call_fails_meanwhile(
    turned: dict[str, Any], way: str
) -> None:
    seen = turned["seen"][way]
    failed = [answer for _, answer in seen if isinstance(answer, Exception) or answer.status != 200]
    assert not failed, f"{len(failed)} of {len(seen)}: {failed[0]}"
    lengths = [(begin, answer.json()[0]) for begin, answer in seen]
    assert not [1 for begin, length in lengths if begin > turned["answered"][way] + 5 and length != 30]
    assert {length for _, length in lengths} == {20, 30}, "calls before and after are among those looked at"


@pytest.mark.case("S14")
@pytest.mark.guarantee("SCW-9")
@pytest.mark.parametrize("way", WAYS)
def test_S14_both_values_are_taken_out_of_answers_and_logs_afterwards_and_nothing_was_deployed(
    vault: Server, turned: dict[str, Any], way: str
) -> None:
    text = f"old {turned['old']} new {turned['new']}"
    answer = vault.call(f"v/turn-{way}", body={"text": text})
    assert answer.json() == [30, "old [secret:KEY] new [secret:KEY]"]
    assert vault.messages(f"v/turn-{way}", answer.call_id) == ["old [secret:KEY] new [secret:KEY]"]
    assert vault.cli_json("function", "show", f"v/turn-{way}")["activeRevision"] == 1


@pytest.mark.case("S14")
def test_S14_a_call_that_runs_on_through_the_change_says_neither_value(vault: Server) -> None:
    old, new = value(22), value(33)
    code = handler("""
        import time
        def handle(data, secrets):
            time.sleep(1.5)
            print(secrets["KEY"], data["new"])
            return secrets["KEY"] + " " + data["new"]
        """)
    vault.secret("v/through", "KEY", old)
    vault.deploy("v", "through", code, {**KEY, "scale": {"max": 1}})
    got: list[Answer] = []
    thread = threading.Thread(target=lambda: got.append(vault.call("v/through", body={"new": "nothing"})))
    thread.start()
    time.sleep(0.7)
    assert put(vault, "v/through", new).status == 200
    thread.join()
    assert got[0].json() == "[secret:KEY] nothing"
    assert_absent("\n".join(vault.messages("v/through")), old, "the log")


def test_a_function_whose_secret_was_often_changed_keeps_no_other_function_waiting(vault: Server) -> None:
    vault.deploy("v", "other", handler("def handle(data):\n    return 1\n"))
    vault.secret("v/large", "KEY", value())
    vault.deploy("v", "large", LENGTH, KEY)
    for _ in range(8):
        assert put(vault, "v/large", randomness.token_hex(32_768)).status == 200
    assert vault.call("v/other", body={}).status == 200
    thread = threading.Thread(target=vault.call, args=("v/large",), kwargs={"body": {}})
    thread.start()
    time.sleep(0.2)
    answer = vault.call("v/other", body={})
    thread.join()
    assert answer.status == 200 and answer.seconds < 1, f"a warm function of somebody else took {answer.seconds:.1f} s"
