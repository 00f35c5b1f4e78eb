"""What the one root process keeps of its power, and what it hears of a sandbox that tries what no function has a use for.

The attempts are made by programs inside sandboxes: a deployed function, or the bootstrap of a warden of the test's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import statistics
import struct
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from casemate_fixture import REPOSITORY, Inside, Server, handler, memory_in_kib, processes, wait_until
from warden_client import BUILD, RUN, Sandbox, Warden, warden_binary

EPERM, ENOSYS = 1, 38
ATTEMPTED, ENDED = 7, 6
MORE = 0xFFFFFFFF

# CAP_DAC_READ_SEARCH, CAP_SETGID, CAP_SETUID, CAP_SYS_ADMIN.
CAPABILITIES = 1 << 2 | 1 << 6 | 1 << 7 | 1 << 21

# Makes the system calls that the test names, with arguments that none would accept.
BOOTSTRAP = """
    import ctypes, json, os, socket, sys, time

    if sys.argv[1] == "build":
        with open("/out/handler.py", "w") as file:
            file.write("# a bundle")
        os.chmod("/out/handler.py", 0o644)
    libc = ctypes.CDLL(None, use_errno=True)
    minus = ctypes.c_long(-1)
    control = socket.socket(fileno=3)
    lines = control.makefile("r")
    control.sendall(b"warm\\n")
    for line in lines:
        order = json.loads(line)
        if order.get("child") and os.fork():
            os.wait()
            continue
        found, begin = [], time.monotonic()
        for number in order["calls"]:
            ctypes.set_errno(0)
            result = libc.syscall(ctypes.c_long(number), *[minus] * 6)
            found.append(0 if result >= 0 else ctypes.get_errno())
        seconds = time.monotonic() - begin
        control.sendall((json.dumps({"found": found, "seconds": seconds}) + "\\n").encode())
        if order.get("child"):
            os._exit(0)
    """

probe = Inside("hardening/probe", limits={"timeout": "30s", "memory": "128MiB", "pids": 32})


def hostile_calls() -> dict[int, str]:
    """Numbers and names, from the table that the server takes its labels from."""
    text = (REPOSITORY / "Sources/CasemateWire/Warden/HostileCall.swift").read_text()
    return {int(number): name for number, name in re.findall(r'(\d+): "(\w+)"', text)}


HOSTILE = hostile_calls()


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def tries(sandbox: Sandbox, calls: list[int], child: bool = False) -> dict[str, Any]:
    sandbox.control.sendall((json.dumps({"calls": calls, "child": child}) + "\n").encode())
    sandbox.control.settimeout(30)
    answer = b""
    while not answer.endswith(b"\n"):
        part = sandbox.control.recv(65536)
        assert part, "the sandbox ended"
        answer += part
    found: dict[str, Any] = json.loads(answer)
    return found


def warm(sandbox: Sandbox) -> Sandbox:
    sandbox.control.settimeout(20)
    assert sandbox.control.recv(5) == b"warm\n"
    return sandbox


# ---------------------------------------------------------------- what the warden keeps


def test_the_warden_gives_up_what_it_and_crun_do_not_need() -> None:
    done = subprocess.run([str(warden_binary()), "posture"], capture_output=True, text=True, timeout=10, check=True)
    posture = json.loads(done.stdout)
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert int(posture[name], 16) == CAPABILITIES, name
    for name in ("CapInh", "CapAmb"):
        assert int(posture[name], 16) == 0, name
    assert posture["NoNewPrivs"] == "1"
    assert posture["Seccomp"] == "2"
    assert len(posture["calls"]) > 35
    assert {name: code for name, code in posture["calls"].items() if code != ENOSYS} == {}
    for name in ("ptrace", "kexec_load", "finit_module", "open_by_handle_at", "perf_event_open", "clock_settime"):
        assert name in posture["calls"]


def test_monitor_and_worker_run_with_that_posture(server: Server) -> None:
    server.assert_serving()
    wardens = server.wardens()
    assert len(wardens) == 2
    for process in wardens:
        status = status_of(process.pid)
        for name in ("CapPrm", "CapEff", "CapBnd"):
            assert int(status[name], 16) == CAPABILITIES, f"{process.command}: {name}"
        assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2" and status["Seccomp_filters"] == "1"


def test_a_sandbox_has_the_warden_s_filter_and_its_own() -> None:
    with Warden(BOOTSTRAP) as warden, warden.sandbox() as sandbox:
        warm(sandbox)
        inner = (Path(f"/proc/{warden.worker}/root/run/casemate/{warden.instance}/sb/s{sandbox.id}/pid")).read_text()
        pid = next(pid for pid in children(warden.worker) if status_of(pid)["NSpid"].split()[1] == inner.strip())
        status = status_of(pid)
        assert status["Seccomp_filters"] == "2"
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# ---------------------------------------------------------------- what it hears


def test_every_hostile_call_fails_and_is_reported_by_its_number() -> None:
    numbers = sorted(HOSTILE)
    assert len(numbers) == 72
    with Warden(BOOTSTRAP) as warden:
        for part in (numbers[:40], numbers[40:]):
            warden.reports.clear()
            with warden.sandbox() as sandbox:
                warm(sandbox)
                found = tries(sandbox, part)["found"]
                assert dict(zip(part, found)) == dict.fromkeys(part, EPERM)
                reports = warden.collect_reports(5, until=len(part))
                assert [report.kind for report in reports] == [ATTEMPTED] * len(part)
                assert [struct.unpack(">II", report.fields) for report in reports] == [(sandbox.id, n) for n in part]


def test_ordinary_calls_and_calls_that_are_merely_not_allowed_are_not_reported() -> None:
    getpid, getuid, uname, acct_like_unknown, clone3 = 39, 102, 63, 9999, 435
    with Warden(BOOTSTRAP) as warden, warden.sandbox() as sandbox:
        warm(sandbox)
        found = tries(sandbox, [getpid, getuid, uname, acct_like_unknown, clone3])["found"]
        assert found == [0, 0, 14, EPERM, ENOSYS]
        assert warden.collect_reports(0.3) == []


def test_after_64_reports_a_last_one_says_that_there_is_more_and_calls_fail_all_the_same() -> None:
    mount, ptrace = 165, 101
    with Warden(BOOTSTRAP) as warden:
        with warden.sandbox() as sandbox:
            warm(sandbox)
            found = tries(sandbox, [mount] * 1000)["found"]
            assert found[:64] == [EPERM] * 64
            # The kernel may let go of the listener a moment after it answered.
            assert set(found[64:]) <= {EPERM, ENOSYS} and found[-1] == ENOSYS
            reports = [struct.unpack(">II", report.fields) for report in warden.collect_reports(1)]
            assert reports == [(sandbox.id, mount)] * 64 + [(sandbox.id, MORE)]
            assert tries(sandbox, [ptrace, 39])["found"] == [ENOSYS, 0]
        # Another sandbox has reports of its own.
        warden.reports.clear()
        with warden.sandbox() as sandbox:
            warm(sandbox)
            assert tries(sandbox, [ptrace])["found"] == [EPERM]
            assert [report.kind for report in warden.collect_reports(2, until=1)] == [ATTEMPTED]


def test_children_of_a_sandbox_are_heard_too() -> None:
    with Warden(BOOTSTRAP) as warden, warden.sandbox() as sandbox:
        warm(sandbox)
        assert tries(sandbox, [165], child=True)["found"] == [EPERM]
        assert len(warden.collect_reports(2, until=1)) == 1


def test_a_server_that_does_not_read_loses_reports_but_no_connection() -> None:
    mount = 165
    with Warden(BOOTSTRAP) as warden:
        made = [warm(warden.create()) for _ in range(24)]
        for sandbox in made:
            tries(sandbox, [mount] * 100)
        # 24 times 65 reports were more than the socket may hold; orders are answered all the same.
        for sandbox in made:
            warden.destroy(sandbox)
        assert len(warden.reports) < 24 * 65
        with warden.sandbox() as sandbox:
            warm(sandbox)


def test_the_listener_is_closed_with_its_sandbox() -> None:
    with Warden(BOOTSTRAP) as warden:
        with warden.sandbox() as sandbox:
            warm(sandbox)
        folder = Path(f"/proc/{warden.worker}/fd")
        before = len(list(folder.iterdir()))
        for _ in range(10):
            with warden.sandbox() as sandbox:
                warm(sandbox)
                tries(sandbox, [165])
        # The warden answers a moment before it lets go of the range of uids.
        assert wait_until(lambda: len(list(folder.iterdir())) == before, 2)


def test_a_busy_attacker_slows_no_other_sandbox() -> None:
    with Warden(BOOTSTRAP) as warden, warden.sandbox() as attacker, warden.sandbox() as other:
        warm(attacker), warm(other)
        ordinary = [39] * 200

        def p50() -> float:
            return float(statistics.median(tries(other, ordinary)["seconds"] for _ in range(200)))

        alone = p50()
        with ThreadPoolExecutor(1) as pool:
            attack = pool.submit(lambda: tries(attacker, [165] * 400_000))
            beside = p50()
            attack.result()
        # Two processes on two processors: what is left is the machine's own noise.
        assert beside < 3 * alone, f"{alone * 1e6:.0f} µs alone, {beside * 1e6:.0f} µs beside the attacker"


# ---------------------------------------------------------------- what is left of many


@pytest.mark.alone
@pytest.mark.case("X15")
def test_X15_a_thousand_sandboxes_come_and_go_without_a_trace() -> None:
    """Made, given a bundle and destroyed, four at a time. CASEMATE_CYCLES sets another number."""
    cycles = int(os.environ.get("CASEMATE_CYCLES", "1000"))
    with Warden(BOOTSTRAP) as warden:
        digest = warden.collect(warm(warden.create(BUILD)))
        worker = Path(f"/proc/{warden.worker}")

        def several() -> None:
            made = [warden.create() for _ in range(4)]
            for sandbox in made:
                warden.specialise(warm(sandbox), digest)
            for sandbox in made:
                warden.destroy(sandbox)

        def left() -> dict[str, Any]:
            # Not by `**`: another server's groups may go while they are looked through.
            parents = [path for path in Path("/sys/fs/cgroup").glob("*/") if path.is_dir()] + [Path("/sys/fs/cgroup")]
            groups = [group for path in parents for group in path.glob(f"casemate/{warden.instance}/s*")]
            leases = [fd for fd in (worker / "fd").iterdir() if "/run/casemate/uids/" in os.readlink(fd)]
            sandboxes = worker / "root/run/casemate" / warden.instance / "sb"
            return {
                "processes": children(warden.worker),
                "descriptors": len(list((worker / "fd").iterdir())),
                "leases": len(leases),
                "mounts": len((worker / "mountinfo").read_text().splitlines()),
                "groups": len(groups),
                "folders": sorted(entry.name for entry in sandboxes.iterdir()),
                "crun": sorted(entry.name for entry in (sandboxes / ".crun").iterdir()),
                "namespaces": len({os.readlink(ns) for ns in Path("/proc").glob("[0-9]*/ns/*") if may_read(ns)}),
            }

        several()
        time.sleep(0.2)
        before = left()
        assert before["processes"] == [] and before["leases"] == before["groups"] == 0
        memory = memory_in_kib(warden.worker)
        for _ in range(cycles // 4):
            several()
        assert wait_until(lambda: {**left(), "namespaces": 0} == {**before, "namespaces": 0}, 5), (before, left())
        # Other tests' sandboxes may come and go on this host; a thousand of ours would show.
        assert left()["namespaces"] < before["namespaces"] + 100
        assert memory_in_kib(warden.worker) < memory + 8192
        # Some end by themselves, their socket being closed, before the order to end them comes.
        assert [report for report in warden.reports if report.kind != ENDED] == []


def may_read(link: Path) -> bool:
    try:
        os.readlink(link)
        return True
    except OSError:
        return False


# ---------------------------------------------------------------- the same through the whole server


@probe
def tries_hostile_calls(numbers: list[int]) -> list[int]:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    found = []
    for number in numbers:
        ctypes.set_errno(0)
        result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6)
        found.append(0 if result >= 0 else ctypes.get_errno())
    return found


@pytest.mark.case("X1")
def test_a_function_that_tries_everything_goes_on_serving_and_harms_nobody(server: Server) -> None:
    server.namespace("hardening")
    source = handler("def handle(data):\n    return data['n']\n")
    server.deploy("hardening", "bystander", source)

    def p50() -> float:
        times = []
        for n in range(60):
            answer = server.call("hardening/bystander", body={"n": n})
            assert answer.json() == n
            times.append(answer.seconds)
        return statistics.median(times)

    wardens = [process.pid for process in server.wardens()]
    numbers = sorted(HOSTILE)
    tries_hostile_calls(server, numbers=[])
    p50()
    alone = p50()
    found = tries_hostile_calls(server, numbers=numbers)
    assert set(found[:64]) == {EPERM} and set(found[64:]) <= {EPERM, ENOSYS}
    with ThreadPoolExecutor(1) as pool:
        attack = pool.submit(lambda: [tries_hostile_calls(server, numbers=numbers * 20) for _ in range(10)])
        beside = p50()
        for found in attack.result():
            assert set(found) <= {EPERM, ENOSYS}
    assert beside < 4 * alone, f"{alone * 1e3:.1f} ms alone, {beside * 1e3:.1f} ms beside the attacker"
    assert tries_hostile_calls(server, numbers=[39]) == [0]
    assert [process.pid for process in server.wardens()] == wardens
    server.assert_serving()


@pytest.mark.case("X1")
def test_what_a_function_tried_stands_in_its_log_under_the_call_and_in_the_metrics(server: Server) -> None:
    server.namespace("hardening")
    source = handler(
        "import ctypes\ndef handle(data):\n    return ctypes.CDLL(None).syscall(data['n'], -1, -1, -1, -1, -1)\n"
    )
    server.deploy("hardening", "curious", source, {"scale": {"max": 1}})

    def mounts() -> int:
        found = re.search(
            r'^casemate_blocked_system_calls_total\{call="mount"\} (\d+)', server.api("GET", "/metrics").text, re.M
        )
        return int(found[1]) if found else 0

    before = mounts()
    answer = server.call("hardening/curious", body={"n": 165})
    assert answer.json() == -1
    assert wait_until(lambda: mounts() == before + 1, 5)
    said = "the function tried mount, which the sandbox does not allow"
    assert wait_until(lambda: said in server.messages("hardening/curious"), 5)


@pytest.mark.guarantee("KYM-14")
def test_KYM_14_only_the_warden_is_root_and_it_listens_on_a_unix_socket_alone(server: Server) -> None:
    server.assert_serving()
    wardens = {process.pid for process in server.wardens()}
    roots = [p for p in server.remains() + server.wardens() if 0 in p.uids and p.pid not in wardens]
    assert roots == [], "a process of this server that is not the warden has root's uid"
    assert 0 not in next(p for p in processes().values() if p.pid == server.pid).uids
    reachable = set()
    for table in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            reachable.add(line.split()[9])
    for pid in wardens:
        links = []
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                links.append(os.readlink(fd))
        sockets = {link[8:-1] for link in links if link.startswith("socket:[")}
        assert sockets and not sockets & reachable, f"the warden {pid} has a network socket"
    assert not Path("/var/run/docker.sock").exists()


@pytest.mark.parametrize("purpose", [RUN, BUILD])
def test_an_interpreter_that_gets_warm_attempts_nothing(purpose: int) -> None:
    """What every sandbox does before a function runs must not use up its reports."""
    with Warden() as warden, warden.sandbox(purpose) as sandbox:
        sandbox.control.settimeout(20)
        assert len(sandbox.control.recv(16)) == 16
        assert warden.collect_reports(0.3) == []


def test_doctor_says_what_sandboxes_stand_on(server: Server) -> None:
    checks = {check["what"]: check for check in server.cli_json("doctor")}
    for name in ("seccomp notifications", "mount calls", "control group freezer", "user namespaces", "crun"):
        assert checks[name]["verdict"] == "good", checks[name]
    assert checks["crun"]["found"].startswith("crun version ")
    if checks["crun"]["found"].startswith("crun version 1.8.1"):
        assert "symlinked /dev, harmless here" in checks["crun"]["found"]
        assert "krun" not in checks["crun"]["found"]
