"""Kill -9 of any of our processes, at rest and in the middle of a deploy: an old or a new revision serves, no orphan stays."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from casemate_fixture import Server, handler, wait_until


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    with Server() as server:
        yield server


def code(version: int) -> dict[str, str]:
    return handler(f"import part\ndef handle(data):\n    return [{version}, part.N]\n") | {
        "part.py": f"N = {version}\n"
    }


def victims(server: Server, who: str) -> list[int]:
    wardens = server.wardens()
    assert len(wardens) >= 2, "the warden is not the two processes that this test expects"
    return {
        "server": [server.pid],
        "outer warden": [wardens[0].pid],
        "inner warden": [wardens[-1].pid],
        "both wardens": [process.pid for process in wardens],
        "everything": [server.pid, *(process.pid for process in wardens)],
    }[who]


def end(server: Server, pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if server.process is not None and server.pid in pids:
        server.process.wait(10)


def assert_recovers(server: Server, before: set[int]) -> None:
    """Old sandboxes are gone within 10 s, and the server serves: by itself or after a new start."""
    gone = wait_until(lambda: not before & {process.pid for process in server.remains()}, 10)
    assert gone, f"orphans: {[p.command for p in server.remains() if p.pid in before]}"
    server.recover()


WHO = ["server", "outer warden", "inner warden", "both wardens", "everything"]


@pytest.mark.case("C2")
@pytest.mark.parametrize("who", WHO)
def test_C2_after_a_kill_at_rest_no_sandbox_is_orphaned_and_the_function_serves(own: Server, who: str) -> None:
    if not own.is_running():
        own.start()
    own.deploy("crash", "rest", code(1))
    assert own.call("crash/rest", body={}).json() == [1, 1]
    before = {process.pid for members in own.sandboxes().values() for process in members}
    assert before
    end(own, victims(own, who))
    assert_recovers(own, before)
    assert wait_until(lambda: own.call("crash/rest", body={}).status == 200, 10)
    assert own.call("crash/rest", body={}).json() == [1, 1]


@pytest.mark.case("C2")
@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("after", [0.15, 0.6, 1.1])
def test_C2_after_a_kill_during_a_deploy_the_old_or_the_new_revision_serves(
    own: Server, who: str, after: float
) -> None:
    if not own.is_running():
        own.start()
    version = int(time.time() * 1000) % 1_000_000_000
    own.deploy("crash", "deployed", code(version))
    assert own.call("crash/deployed", body={}).json() == [version, version]
    before = {process.pid for members in own.sandboxes().values() for process in members}
    outcome: list[int] = []

    def deploy() -> None:
        with contextlib.suppress(Exception):
            outcome.append(own.try_deploy("crash", "deployed", code(version + 1)).code)

    running = threading.Thread(target=deploy)
    running.start()
    time.sleep(after)
    end(own, victims(own, who))
    running.join(60)
    assert not running.is_alive(), "the deploy hangs after the kill"
    assert_recovers(own, before)
    assert wait_until(lambda: own.call("crash/deployed", body={}).status == 200, 10)
    result = own.call("crash/deployed", body={}).json()
    assert result in ([version, version], [version + 1, version + 1])
    if outcome == [0]:
        assert result == [version + 1, version + 1], "a deploy that said it was done is lost"
    shown = own.cli_json("function", "show", "crash/deployed")
    assert len([revision for revision in shown["revisions"] if revision["isActive"]]) == 1
    own.deploy("crash", "deployed", code(version + 2))
    assert own.call("crash/deployed", body={}).json() == [version + 2, version + 2]


@pytest.mark.case("C2")
def test_C2_a_call_in_flight_when_the_warden_dies_gets_an_answer_and_those_after_it_503_until_it_is_back(
    own: Server,
) -> None:
    if not own.is_running():
        own.start()
    own.deploy("crash", "slow", handler("import time\ndef handle(data):\n    time.sleep(data['s'])\n    return 1\n"))
    assert own.call("crash/slow", body={"s": 0}).status == 200
    got: list[int] = []

    def call() -> None:
        with contextlib.suppress(OSError, Exception):
            got.append(own.call("crash/slow", body={"s": 3}, timeout=20).status)

    running = threading.Thread(target=call)
    running.start()
    time.sleep(0.5)
    end(own, victims(own, "both wardens"))
    for _ in range(5):
        with contextlib.suppress(OSError, Exception):
            answer = own.call("crash/slow", body={"s": 0}, timeout=20)
            assert answer.status in (200, 502, 503), answer.text
            if answer.status == 503:
                assert "retry-after" in answer.headers
        time.sleep(0.1)
    running.join(25)
    assert not running.is_alive(), "the call hangs"
    assert got in ([], [200], [502], [503])
    own.recover()
    assert wait_until(lambda: own.call("crash/slow", body={"s": 0}).status == 200, 10)


@pytest.mark.case("D12")
def test_D12_a_changed_byte_in_a_stored_bundle_is_found_at_the_next_cold_start() -> None:
    with Server() as server:
        server.deploy("tamper", "f", handler("def handle(data):\n    return 'untouched'\n"))
        server.deploy("tamper", "g", handler("def handle(data):\n    return 'other'\n"))
        assert server.call("tamper/f", body={}).json() == "untouched"
        server.stop()
        files = [
            file
            for file in (server.data / "warden" / "bundles").rglob("handler.py")
            if b"untouched" in file.read_bytes()
        ]
        assert files
        for file in files:
            times = file.stat()
            file.write_bytes(file.read_bytes().replace(b"untouched", b"t0uchedit"))
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        server.start()
        answer = server.call("tamper/f", body={})
        assert answer.status in (500, 502, 503), f"code that was changed on disk ran: {answer.text}"
        assert server.call("tamper/g", body={}).json() == "other"


def test_a_signature_made_by_another_key_is_not_accepted() -> None:
    with Server() as server:
        server.deploy("tamper", "f", handler("def handle(data):\n    return 1\n"))
        server.stop()
        key = server.data / "server" / "signing.key"
        owner = key.stat()
        content = key.read_bytes()
        key.write_bytes(
            bytes(byte ^ 1 if index == 3 else byte for index, byte in enumerate(content))
            if len(content) == 32
            else os.urandom(32)
        )
        os.chown(key, owner.st_uid, owner.st_gid)
        # What a key of this server's signed before stays valid: as if that had never been one of them.
        (server.data / "server" / "signing-keys.pem").unlink()
        try:
            server.start(20)
        except AssertionError:
            return
        assert server.call("tamper/f", body={}).status in (500, 502, 503)
