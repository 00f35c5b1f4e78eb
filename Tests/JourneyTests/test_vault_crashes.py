"""Kill -9 in the middle of a rotation, rotations that fail, and a database that is damaged, missing, or of yesterday."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from broken_vault import Copy, Database, database, flipped, kek, place, refusal
from casemate_fixture import Server, handler, problem, wait_until
from secret_calls import path, put

LENGTH = handler("def handle(data, secrets):\n    return len(secrets['KEY'])\n")
PLAIN = handler("def handle(data):\n    return 1\n")
KEY = {"secrets": ["KEY"]}
MANY = 80


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """Two functions that are deployed, and many that have a secret alone."""
    with Server(options=("--pool-size", "2", "--pool-max", "2")) as server:
        server.namespace("c")
        for name, length in (("f", 20), ("g", 30), ("gone", 40)):
            assert put(server, f"c/{name}", "x" * length).status == 200
            server.deploy("c", name, LENGTH, KEY)
        with ThreadPoolExecutor(4) as pool:
            answers = list(
                pool.map(lambda number: put(server, f"c/many-{number}", value_of(number)).status, range(MANY))
            )
        assert answers == [200] * MANY
        yield server


def value_of(number: int) -> str:
    return f"value-of-number-{number:04d}"


@pytest.fixture
def up(own: Server) -> Server:
    if not own.is_running():
        own.start()
    return own


def rotate(server: Server) -> dict[str, object]:
    """Rotates, and returns how it ended."""
    assert server.api("POST", "/v1/vault/rotate").status == 202
    wait_until(lambda: server.api("GET", "/v1/vault").json()["rotation"]["phase"] != "running", 30, 0.02)
    shown: dict[str, object] = server.api("GET", "/v1/vault").json()["rotation"]
    return shown


def all_open(server: Server) -> None:
    assert [server.call(f"c/{name}", body={}).json() for name in ("f", "g")] == [20, 30], "cold starts"
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(
                lambda number: server.api("POST", path(f"c/many-{number}", what="/verify"), value_of(number).encode()),
                range(0, MANY, 3),
            )
        )
    assert all(answer.status == 200 and answer.json()["matches"] for answer in answers), [
        a.text for a in answers if a.status != 200
    ][:2]


# ---------------------------------------------------------------- the database


@pytest.mark.parametrize("way", ["removed", "emptied"])
def test_a_server_whose_database_is_gone_while_its_keys_are_there_does_not_start_with_a_new_one(
    own: Server, way: str
) -> None:
    if own.is_running():
        own.stop()
    copy = Copy(own)
    copy.remove()
    if way == "emptied":
        place(own, database(own), b"")
    said = refusal(own)
    copy.put_back()
    assert said, "it started, empty"
    assert "casemate.db" in said


@pytest.mark.parametrize("way", ["half of it", "one page"])
def test_a_server_with_a_damaged_database_does_not_start_and_leaves_it_as_it_is(own: Server, way: str) -> None:
    if own.is_running():
        own.stop()
    copy = Copy(own)
    changes = {
        "half of it": lambda content: content[: len(content) // 2],
        "one page": lambda content: content[:8192] + os.urandom(4096) + content[12_288:],
    }
    copy.put_back(changes[way])
    before = database(own).read_bytes()
    said = refusal(own)
    after = database(own).read_bytes()
    copy.put_back()
    assert "could not start" in said and after == before
    assert "database" in said and "Fatal" not in said and ".swift" not in said, said


def test_it_starts_again_with_what_was_put_back(up: Server) -> None:
    all_open(up)


# ---------------------------------------------------------------- a rotation that is cut off


@pytest.mark.case("S13")
@pytest.mark.parametrize("after", [0.02, 0.07])
def test_S13_a_kill_in_the_middle_of_a_rotation_loses_nothing_and_the_next_one_ends_it(
    up: Server, after: float
) -> None:
    assert up.api("POST", "/v1/vault/rotate").status == 202
    time.sleep(after)
    up.kill()
    assert wait_until(lambda: not up.remains(), 10)
    up.start()
    shown = up.api("GET", "/v1/vault").json()
    assert shown["state"] == "open" and sum(key["functions"] for key in shown["keys"]) >= MANY + 2
    all_open(up)
    ended = rotate(up)
    assert ended["phase"] == "done", ended
    shown = up.api("GET", "/v1/vault").json()
    assert [key["id"] for key in shown["keys"]] == [shown["activeKey"]]
    assert len(kek(up).read_bytes()) == 32, "the keys of the rotation that was cut off are gone, too"
    assert put(up, "c/f", "x" * 20).status == 200 and put(up, "c/g", "x" * 30).status == 200
    assert [up.call(f"c/{name}", body={}).json() for name in ("f", "g")] == [20, 30]


# ---------------------------------------------------------------- rotations that fail, again and again


def test_rotations_that_fail_never_destroy_a_key_that_something_is_wrapped_by(up: Server) -> None:
    up.stop()
    with Database(up) as tables:
        wrapped = tables.wrapped("g")
        tables.wrap("g", flipped(wrapped, 20))
    up.start()
    for _ in range(17):
        ended = rotate(up)
        assert ended["phase"] == "failed"
    up.stop()
    with Database(up) as tables:
        tables.wrap("g", wrapped)
    up.start()
    answer = up.call("c/g", body={})
    assert (
        answer.status == 200
    ), f"its row is as it was, and the key that was promised to be kept is gone: {answer.text}"


def test_one_data_key_whose_key_is_gone_does_not_keep_the_others_from_being_wrapped_anew(up: Server) -> None:
    up.stop()
    with Database(up) as tables:
        order = "UPDATE functions SET key_id = 'file:0123456789abcdef' WHERE id = ?"
        tables.connection.execute(order, (tables.ids["gone"],))
    up.start()
    for _ in range(17):
        ended = rotate(up)
        assert ended["phase"] == "failed"
    assert put(up, "c/f", "x" * 20).status == 200, "a function that nothing was wrong with"
    assert up.call("c/f", body={}).status == 200
    assert "c/gone" in str(ended["problem"]), f"which function it is about: {ended}"


@pytest.mark.case("S11")
@pytest.mark.guarantee("COG-11")
def test_S11_a_database_of_before_a_deletion_and_a_rotation_opens_nothing_of_what_was_deleted() -> None:
    with Server(options=("--pool-size", "1", "--pool-max", "1")) as up:
        up.namespace("c")
        for name in ("f", "gone"):
            assert put(up, f"c/{name}", "x" * 20).status == 200
            up.deploy("c", name, LENGTH, KEY)
        up.stop()
        yesterday = Copy(up)
        up.start()
        assert up.cli("function", "delete", "c/gone")[0] == 0
        assert rotate(up)["phase"] == "done"
        up.stop()
        yesterday.put_back()
        up.start()
        for name in ("gone", "f"):
            answer = up.call(f"c/{name}", body={})
            assert answer.status == 503 and problem(answer)["type"] == "/problems/kek-unavailable", answer.text
