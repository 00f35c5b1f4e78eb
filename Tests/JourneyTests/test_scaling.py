"""Instances: kept up without a call, frozen when nobody calls, started by turns in a storm."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from casemate_fixture import Server, handler, wait_until

# Stands for a large import: what it costs is time, and a marker that only one load can make.
HEAVY = """
import time, uuid
time.sleep(0.4)
ME = str(uuid.uuid4())
def handle(data):
    return ME
"""


@pytest.fixture(scope="module")
def frozen() -> Iterator[Server]:
    with Server(options=("--frozen-bytes", str(1 << 30))) as server:
        server.namespace("scale")
        yield server


def metric(server: Server, name: str, labels: str = "") -> float:
    answer = server.api("GET", "/metrics")
    assert answer.status == 200, answer.text
    found = re.search(rf"^{re.escape(name + labels)} (\S+)$", answer.text, re.M)
    return float(found[1]) if found else 0.0


def stopped(server: Server) -> set[str]:
    """The names of this server's sandboxes that are frozen, as the kernel says."""
    found = set()
    for instance in server.instances:
        for pattern in (f"freezer/casemate/{instance}/*/freezer.state", f"casemate/{instance}/*/cgroup.freeze"):
            for path in Path("/sys/fs/cgroup").glob(pattern):
                if path.read_text().strip() in ("FROZEN", "1"):
                    found.add(path.parent.name)
    return found


def test_scale_min_is_kept_up_before_the_first_call_and_after_a_crash(server: Server) -> None:
    source = handler("import os\ndef handle(data):\n    return os._exit(3) if data.get('die') else 1\n")
    before = set(server.sandboxes())
    cold = server.status()["coldStarts"]
    server.deploy("scaling", "kept", source, {"scale": {"min": 2, "max": 3, "idle": "1s"}})
    assert wait_until(lambda: server.status()["coldStarts"] == cold + 2, 10), "two instances are started without a call"
    time.sleep(2.5)
    assert server.status()["coldStarts"] == cold + 2, "idle ones below the minimum are not ended"
    assert server.call("scaling/kept", body={}).json() == 1
    assert server.status()["coldStarts"] == cold + 2, "the call found one"
    assert server.call("scaling/kept", body={"die": True}).status == 502
    assert wait_until(lambda: server.status()["coldStarts"] == cold + 3, 10), "the lost one is replaced"
    assert server.cli("function", "delete", "scaling/kept")[0] == 0
    assert wait_until(lambda: len(set(server.sandboxes()) - before) <= 8, 10)


def test_what_is_disabled_is_not_kept_up_either(server: Server) -> None:
    server.namespace("scaling")
    source = handler("def handle(data):\n    return 1\n")
    server.deploy("scaling", "off", source, {"scale": {"min": 1}, "secrets": ["KEY"]})
    server.secret("scaling/off", "KEY", "a-value-of-some-length")
    assert wait_until(lambda: server.call("scaling/off", body={}).status == 200, 10)
    assert server.cli("function", "disable", "scaling/off")[0] == 0
    started = server.status()["coldStarts"]
    # Each change of a function brings up what is to be kept.
    server.secret("scaling/off", "KEY", "another-value-of-it")
    time.sleep(1.5)
    assert server.call("scaling/off", body={}).status >= 400 and server.status()["coldStarts"] == started
    assert server.cli("function", "enable", "scaling/off")[0] == 0
    assert wait_until(lambda: server.status()["coldStarts"] > started, 10), "without a call"


def test_instances_above_the_minimum_end_when_nobody_calls_and_the_next_call_starts_one(server: Server) -> None:
    source = handler("import uuid\nME = str(uuid.uuid4())\ndef handle(data):\n    return ME\n")
    server.deploy("scaling", "idle", source, {"scale": {"max": 1, "idle": "1s"}})
    first = server.call("scaling/idle", body={}).json()
    assert server.call("scaling/idle", body={}).json() == first
    time.sleep(2)
    assert server.call("scaling/idle", body={}).json() != first


def test_a_heavy_handler_is_loaded_at_the_deployment_frozen_and_thawed_by_the_call(frozen: Server) -> None:
    before = stopped(frozen)
    frozen.deploy("scale", "heavy", handler(HEAVY), {"scale": {"max": 1, "idle": "1s"}})
    assert wait_until(lambda: metric(frozen, "casemate_instances_frozen") == 1, 10), "loaded and frozen without a call"
    asleep = stopped(frozen) - before
    assert len(asleep) == 1
    starts = frozen.status()["coldStarts"]
    answer = frozen.call("scale/heavy", body={})
    assert answer.status == 200 and answer.seconds < 0.3, f"{answer.seconds} s: it was loaded again"
    assert not asleep & stopped(frozen)
    first = answer.json()
    assert wait_until(lambda: metric(frozen, "casemate_instances_frozen") == 1, 10), "frozen again after a while"
    assert frozen.call("scale/heavy", body={}).json() == first, "the same process goes on"
    assert frozen.status()["coldStarts"] == starts
    assert metric(frozen, "casemate_thaw_seconds_count") == 2
    assert frozen.cli("function", "delete", "scale/heavy")[0] == 0


def test_a_heavy_handler_is_loaded_once_more_while_it_works_so_that_a_second_call_need_not_wait(frozen: Server) -> None:
    source = HEAVY.replace("return ME", "time.sleep(data.get('s', 0))\n    return ME")
    frozen.deploy("scale", "spare", handler(source), {"scale": {"max": 2, "idle": "1s"}})
    assert wait_until(lambda: metric(frozen, "casemate_instances_frozen") == 1, 10)
    starts = frozen.status()["coldStarts"]
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(frozen.call, "scale/spare", body={"s": 4})
        assert wait_until(
            lambda: frozen.status()["coldStarts"] == starts + 1 and metric(frozen, "casemate_instances_starting") == 0,
            3,
        )
        quick = frozen.call("scale/spare", body={}, headers={"Casemate-Timing": "1"})
        assert quick.status == 200 and "import" not in quick.headers["server-timing"]
        assert frozen.status()["coldStarts"] == starts + 1
        assert slow.result().json() != quick.json(), "each has an instance of its own"
    assert frozen.status()["coldStarts"] == starts + 1, "never more than scale.max"
    assert frozen.cli("function", "delete", "scale/spare")[0] == 0
    assert wait_until(lambda: not stopped(frozen), 5)


def test_a_frozen_instance_goes_with_its_function_within_a_second(frozen: Server) -> None:
    assert wait_until(lambda: not stopped(frozen), 5)
    frozen.deploy("scale", "gone", handler(HEAVY), {"scale": {"max": 1, "idle": "1s"}})
    assert wait_until(lambda: stopped(frozen), 10)
    asleep = stopped(frozen)
    assert frozen.cli("function", "delete", "scale/gone")[0] == 0
    assert wait_until(lambda: not asleep & set(frozen.sandboxes()), 1.5), "a frozen process must be thawed to die"


def test_a_new_secret_value_reaches_a_function_that_was_frozen(frozen: Server) -> None:
    source = handler("import time\ntime.sleep(0.4)\ndef handle(data, secrets):\n    return len(secrets['KEY'])\n")
    frozen.secret("scale/rotated", "KEY", "x" * 20)
    frozen.deploy("scale", "rotated", source, {"secrets": ["KEY"], "scale": {"max": 1, "idle": "1s"}})
    assert wait_until(lambda: metric(frozen, "casemate_instances_frozen") >= 1, 10)
    assert frozen.call("scale/rotated", body={}).json() == 20
    frozen.secret("scale/rotated", "KEY", "x" * 33)
    assert frozen.call("scale/rotated", body={}).json() == 33


def test_frozen_instances_beyond_the_memory_budget_end_the_least_recent_first() -> None:
    with Server(options=("--frozen-bytes", str(48 << 20))) as server:
        server.namespace("budget")
        source = handler(
            "import time\ntime.sleep(0.4)\nKEPT = bytearray(b'x' * (20 << 20))\ndef handle(data):\n    return 1\n"
        )
        for name in ("a", "b", "c"):
            server.deploy("budget", name, source, {"scale": {"max": 1, "idle": "1s"}})
            assert wait_until(lambda: metric(server, "casemate_instances_frozen") >= 1, 10)
        assert wait_until(
            lambda: metric(server, "casemate_instances") == metric(server, "casemate_instances_frozen") > 0, 10
        )
        assert metric(server, "casemate_instances_frozen_bytes") <= 48 << 20
        starts = server.status()["coldStarts"]
        assert server.call("budget/c", body={}).json() == 1
        assert server.status()["coldStarts"] == starts, "the latest is still there"
        assert server.call("budget/a", body={}).json() == 1
        assert server.status()["coldStarts"] == starts + 1, "the oldest had to go"


@pytest.mark.case("L6")
def test_L6_a_storm_of_200_distinct_functions_on_a_pool_of_8_serves_all() -> None:
    with Server(options=("--pool-size", "8", "--pool-max", "8", "--frozen-bytes", "0")) as server:
        server.namespace("storm")
        for first in range(0, 200, 100):
            folder = server.folder / f"storm-{first}"
            text = "functions:\n"
            for number in range(first, first + 100):
                source = folder / f"f{number}"
                source.mkdir(parents=True)
                (source / "handler.py").write_text(f"def handle(data):\n    return {number}\n")
                text += f"  f{number}:\n    source: ./f{number}\n    runtime: python3.11\n    handler: handler.handle\n"
            (folder / "casemate.yaml").write_text(text)
            code, out, err = server.cli("deploy", str(folder), "--namespace", "storm", timeout=300)
            assert code == 0, out[-2000:] + err[-2000:]
        wait_until(lambda: server.status()["warmSandboxes"] == 8, 20)
        with ThreadPoolExecutor(200) as pool:
            answers = list(pool.map(lambda n: server.call(f"storm/f{n}", body={}), range(200)))
        failed = [(n, a.status, a.text[:200]) for n, a in enumerate(answers) if a.status != 200 or a.json() != n]
        assert not failed, f"{len(failed)} of 200: {failed[:3]}"
        assert wait_until(lambda: server.status()["warmSandboxes"] == 8, 30), "the pool is full again"


def test_a_pool_that_is_taken_quickly_grows_and_shrinks_again() -> None:
    with Server(options=("--pool-size", "1", "--pool-max", "6", "--frozen-bytes", "0")) as server:
        server.namespace("grow")
        for number in range(6):
            server.deploy("grow", f"f{number}", handler(f"def handle(data):\n    return {number}\n"))
        wait_until(lambda: server.status()["warmSandboxes"] >= 1, 10)
        with ThreadPoolExecutor(6) as pool:
            assert {a.status for a in pool.map(lambda n: server.call(f"grow/f{n}", body={}), range(6))} == {200}
        label = '{runtime="python3.11"}'
        assert wait_until(lambda: metric(server, "casemate_pool_target", label) >= 3, 10)
        assert wait_until(lambda: metric(server, "casemate_pool_ready", label) >= 3, 10)
        assert wait_until(lambda: metric(server, "casemate_pool_target", label) == 1, 60)
        assert wait_until(lambda: metric(server, "casemate_pool_ready", label) == 1, 40)


@pytest.mark.case("C2")
@pytest.mark.parametrize("who", ["worker", "monitor"])
def test_C2_a_killed_warden_leaves_no_frozen_process_behind(who: str) -> None:
    with Server(options=("--frozen-bytes", str(1 << 30))) as server:
        server.namespace("killed")
        server.deploy("killed", "heavy", handler(HEAVY), {"scale": {"max": 1, "idle": "1s"}})
        assert wait_until(lambda: stopped(server), 10)
        asleep = [process.pid for name in stopped(server) for process in server.sandboxes()[name]]
        monitor, worker = server.wardens()
        os.kill((worker if who == "worker" else monitor).pid, signal.SIGKILL)
        if who == "monitor":
            # Nobody is left who could thaw: the next start does it.
            assert wait_until(lambda: not server.is_running(), 10)
            server.start()
        assert wait_until(
            lambda: not any(Path(f"/proc/{pid}/status").exists() for pid in asleep), 5
        ), "it died with its warden"
        assert wait_until(lambda: server.call("killed/heavy", body={}).status == 200, 15)


def test_a_server_with_frozen_instances_ends_at_once_and_leaves_nothing() -> None:
    with Server(options=("--frozen-bytes", str(1 << 30))) as server:
        server.namespace("ends")
        for name in ("a", "b"):
            server.deploy("ends", name, handler(HEAVY), {"scale": {"max": 1, "idle": "1s"}})
        assert wait_until(lambda: len(stopped(server)) == 2, 10)
        assert server.stop() < 5
        server.assert_clean()
