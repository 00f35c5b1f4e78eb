"""S13 and what is like it: the key-encryption key is gone, wrong or open to others, or what is sealed was changed on disk."""

from __future__ import annotations

import os
import secrets as randomness
from collections.abc import Iterator
from typing import Any

import pytest
from broken_vault import Database, flipped, kek, place, refusal
from casemate_fixture import Server, handler, problem
from secret_calls import path, put, records
from spellings import assert_absent

TELLS = handler("def handle(data, secrets):\n    return {name: text[:2] for name, text in secrets.items()}\n")
PLAIN = handler("def handle(data):\n    return 1\n")
NAMES = ["a", "b", "c", "d", "e", "well"]


def renew(server: Server, function: str, name: str = "KEY") -> int:
    """Another value; the next call is a cold start."""
    return put(server, f"f/{function}", f"{function[0]}{name[3:] or 1}-{randomness.token_hex(10)}", name).status


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """Functions a … e and well, each with KEY and KEY2, whose values say whose and which they are; and one without secrets."""
    with Server(options=("--pool-size", "3", "--pool-max", "3")) as server:
        server.namespace("f")
        server.namespace("other")
        for name in NAMES:
            for secret in ("KEY", "KEY2"):
                assert renew(server, name, secret) == 200
        # One with an earlier version.
        assert renew(server, "e") == 200
        folder = server.folder / "all"
        text = "functions:\n"
        for name in NAMES:
            (folder / name).mkdir(parents=True)
            (folder / name / "handler.py").write_text(TELLS["handler.py"])
            text += f"  {name}: {{source: ./{name}, runtime: python3.11, handler: handler.handle, secrets: [KEY, KEY2], scale: {{max: 3}}}}\n"
        (folder / "casemate.yaml").write_text(text)
        code, out, err = server.cli("deploy", str(folder), "--namespace", "f")
        assert code == 0, out + err
        server.deploy("other", "plain", PLAIN)
        yield server


@pytest.fixture
def up(own: Server) -> Server:
    if not own.is_running():
        own.start()
    return own


def kind(server: Server, function: str) -> str:
    """`ok` with the function's own values, else the problem's type."""
    answer = server.call(f"f/{function}", body={})
    if answer.status == 200:
        assert answer.json() == {
            "KEY": f"{function[0]}1",
            "KEY2": f"{function[0]}2",
        }, f"{function} has other values: {answer.text}"
        return "ok"
    details = problem(answer)
    assert answer.status == 503 and str(server.data) not in answer.text, answer.text
    return str(details["type"]).removeprefix("/problems/")


# ---------------------------------------------------------------- the key is gone


@pytest.mark.case("S13")
def test_S13_a_key_that_is_taken_away_stops_cold_starts_alone_and_all_is_well_when_it_is_back(up: Server) -> None:
    assert kind(up, "a") == "ok"
    away = up.folder / "kek-away"
    os.rename(kek(up), away)
    assert kind(up, "a") == "ok", "what is warm goes on"
    answer = up.call("f/b", body={})
    assert problem(answer)["type"] == "/problems/kek-unavailable" and int(answer.headers["retry-after"]) > 0
    assert put(up, "f/b", "a-new-value-1234").status == 503
    assert up.api("POST", path("f/b", what="/verify"), b"x").status == 503
    assert up.api("POST", "/v1/vault/rotate").status == 503
    assert not kek(up).exists(), "none is made in its place"
    assert up.call("other/plain", body={}).status == 200
    shown = up.cli("vault")[1]
    assert "unavailable" in shown and str(kek(up)) in shown and "put it back" in shown
    os.rename(away, kek(up))
    assert kind(up, "b") == "ok", "without a restart"
    kinds = [record["kind"] for record in records(up, "vault.unavailable,vault.recovered")]
    assert kinds == ["vault.unavailable", "vault.recovered"], "once each, however many calls fail"


@pytest.mark.case("S13")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_S13_a_key_that_others_may_read_or_write_is_not_used_until_it_is_closed(up: Server, mode: int) -> None:
    assert renew(up, "c") == 200
    kek(up).chmod(mode)
    try:
        assert kind(up, "c") == "kek-unavailable"
        assert "can be read by others" in up.cli("vault")[1]
    finally:
        kek(up).chmod(0o600)
    assert kind(up, "c") == "ok"


@pytest.mark.case("S13")
def test_S13_a_link_in_the_key_s_place_is_not_followed(up: Server) -> None:
    assert renew(up, "c") == 200
    away = up.folder / "kek-linked"
    os.rename(kek(up), away)
    kek(up).symlink_to(away)
    assert kind(up, "c") == "kek-unavailable"
    os.rename(away, kek(up))
    assert kind(up, "c") == "ok"


@pytest.mark.case("S13")
def test_S13_a_server_whose_key_is_missing_at_its_start_serves_what_needs_none_and_recovers_by_itself(
    up: Server,
) -> None:
    up.stop()
    away = up.folder / "kek-away"
    os.rename(kek(up), away)
    up.start()
    assert "the vault is not open" in "".join(up.err), "its log says so at once"
    assert up.call("other/plain", body={}).status == 200
    assert [kind(up, name) for name in NAMES] == ["kek-unavailable"] * len(NAMES)
    assert not kek(up).exists(), "it never makes another"
    os.rename(away, kek(up))
    assert [kind(up, name) for name in NAMES] == ["ok"] * len(NAMES)


@pytest.fixture(scope="module")
def wrong(own: Server) -> dict[str, Any]:
    """What the server did with another key than its data keys are wrapped with, and what came of it with the right one."""
    if own.is_running():
        own.stop()
    right = kek(own).read_bytes()
    place(own, kek(own), os.urandom(32))
    own.start()
    seen: dict[str, Any] = {
        "kinds": [kind(own, name) for name in ("a", "well")],
        "plain": own.call("other/plain", body={}).status,
        "set": renew(own, "a"),
        "vault": own.api("GET", "/v1/vault").json(),
        "made": put(own, "f/meanwhile", "made-meanwhile-1").status,
        "rotated": own.api("POST", "/v1/vault/rotate").status,
    }
    own.stop()
    place(own, kek(own), right)
    own.start()
    seen["after"] = [kind(own, name) for name in NAMES]
    seen["compared"] = own.api("POST", path("f/meanwhile", what="/verify"), b"made-meanwhile-1")
    own.cli("function", "delete", "f/meanwhile")
    return seen


@pytest.mark.case("S13")
def test_S13_with_another_key_nothing_opens_and_what_needs_none_runs(wrong: dict[str, Any]) -> None:
    assert wrong["kinds"] == ["kek-unavailable"] * 2
    assert (wrong["plain"], wrong["set"]) == (200, 503)
    assert wrong["after"] == ["ok"] * len(NAMES), "the right one back"


def test_with_another_key_the_vault_does_not_say_that_it_is_open(wrong: dict[str, Any]) -> None:
    assert wrong["vault"]["state"] != "open", wrong["vault"]


def test_with_another_key_no_new_data_key_is_wrapped(wrong: dict[str, Any]) -> None:
    assert wrong["rotated"] == 503, "a rotation puts one more key into the wrong file"
    assert (
        wrong["made"] == 503 or wrong["compared"].status == 200
    ), f"set was answered with 200, and the value is lost: {wrong['compared'].text}"


# ---------------------------------------------------------------- what is sealed was changed


@pytest.fixture(scope="module")
def changed(own: Server) -> Server:
    """a: a flipped byte. b: two names swapped. c: the data key and a value of d's. e: an earlier version in the place of the newest."""
    if not own.is_running():
        own.start()
    own.stop()
    with Database(own) as tables:
        tables.seal("a", flipped(tables.sealed("a"), 15))
        first, second = tables.sealed("b"), tables.sealed("b", "KEY2")
        tables.seal("b", second)
        tables.seal("b", first, "KEY2")
        tables.wrap("c", tables.wrapped("d"))
        tables.seal("c", tables.sealed("d"))
        tables.seal("e", tables.former("e")[1])
    own.start()
    return own


@pytest.mark.guarantee("COG-3")
@pytest.mark.parametrize("function", ["a", "b", "c", "e"])
def test_COG_3_what_was_changed_or_moved_on_disk_opens_nowhere(changed: Server, function: str) -> None:
    assert kind(changed, function) == "secret-unavailable"
    assert any("can't start" in line for line in changed.messages(f"f/{function}"))


@pytest.mark.guarantee("COG-3")
def test_COG_3_the_others_are_unaffected(changed: Server) -> None:
    assert [kind(changed, name) for name in ("d", "well")] == ["ok", "ok"]
    assert changed.call("other/plain", body={}).status == 200


def test_a_comparison_never_answers_for_a_row_that_was_changed(changed: Server) -> None:
    for function in ("a", "b", "c", "e"):
        answer = changed.api("POST", path(f"f/{function}", what="/verify"), b"guess")
        assert answer.status == 503 and problem(answer)["type"] == "/problems/secret-unavailable"


def test_a_damaged_function_keeps_no_other_of_its_namespace_from_being_deployed(changed: Server) -> None:
    outcome = changed.try_deploy("f", "fresh", PLAIN)
    assert outcome.code == 0, outcome.said


def test_a_rotation_says_whose_data_key_does_not_open_and_keeps_the_old_key_for_it(changed: Server) -> None:
    code, _, err = changed.cli("vault", "rotate")
    assert code == 1 and "f/c" in err and "old key is kept" in err
    assert [kind(changed, name) for name in ("d", "well")] == ["ok", "ok"]
    assert {key["functions"] for key in changed.cli_json("vault")["keys"]} == {1, len(changed_functions(changed)) - 1}


def changed_functions(server: Server) -> list[str]:
    found = []
    for namespace in ("f", "other"):
        found += [
            entry["name"] for entry in server.api("GET", f"/v1/namespaces/{namespace}/functions").json()["functions"]
        ]
    return found


@pytest.mark.parametrize("way", ["set", "delete and set"])
def test_a_damaged_value_is_healed_by_a_new_one(changed: Server, way: str) -> None:
    if way == "delete and set":
        assert changed.cli("secret", "delete", "f/a", "KEY")[0] == 0
    assert renew(changed, "a") == 200
    assert kind(changed, "a") == "ok"


def test_what_the_server_said_of_all_this_holds_no_value(changed: Server) -> None:
    said = "".join(changed.out + changed.err) + str(records(changed, "secret.*,vault.*"))
    assert_absent(said, kek(changed).read_bytes()[:32], "log and audit log")


# ---------------------------------------------------------------- what does not start


@pytest.mark.case("S13")
def test_S13_a_server_does_not_start_with_a_key_file_that_others_may_read_or_that_holds_no_key(own: Server) -> None:
    if own.is_running():
        own.stop()
    right = kek(own).read_bytes()
    kek(own).chmod(0o644)
    said = refusal(own)
    assert str(kek(own)) in said and "can be read by others" in said and "0600" in said
    place(own, kek(own), right[:31])
    said = refusal(own)
    assert str(kek(own)) in said and "does not hold a key" in said
    place(own, kek(own), right)
    assert refusal(own) == ""


def test_the_key_s_file_can_move_to_another_place(up: Server) -> None:
    up.stop()
    folder = up.folder / "keys"
    folder.mkdir()
    owner = (up.data / "server").stat()
    os.chown(folder, owner.st_uid, owner.st_gid)
    before = up.options
    os.rename(kek(up), folder / "kek")
    up.options = (*before, "--kek", f"file://{folder}/kek")
    try:
        up.start()
        assert kind(up, "well") == "ok"
    finally:
        if up.is_running():
            up.stop()
        os.rename(folder / "kek", kek(up))
        up.options = before
