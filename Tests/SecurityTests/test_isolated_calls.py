"""`isolate: call`: a process per call, which alone has the secrets, and of which nothing is left for the next."""

from __future__ import annotations

import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from casemate_fixture import Server, handler, problem, wait_until, with_argument

ONE = {"isolate": "call", "scale": {"max": 1}, "limits": {"timeout": "10s"}}


@pytest.fixture(scope="module")
def apart(running: Server) -> Server:
    running.namespace("apart")
    return running


@pytest.mark.case("X10")
def test_X10_nothing_of_a_call_is_there_for_the_next(apart: Server) -> None:
    source = handler("""
        import glob, os, sys, threading
        KEPT = []
        def handle(data):
            found = {
                "kept": list(KEPT),
                "files": sorted(glob.glob("/tmp/**", recursive=True) + glob.glob("/dev/shm/*")),
                "pids": sorted(int(p) for p in os.listdir("/proc") if p.isdigit()),
                "environment": os.environ.get("MARK"), "module": getattr(sys, "mark", None), "cwd": os.getcwd(),
            }
            KEPT.append(data["mark"])
            sys.mark = os.environ["MARK"] = data["mark"]
            os.makedirs("/tmp/a/b", exist_ok=True)
            os.chmod("/tmp/a", 0o000 if data["n"] % 2 else 0o700)
            for path in ("/tmp/f-" + data["mark"], "/dev/shm/s-" + data["mark"]):
                open(path, "w").write(data["mark"])
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    threading.Event().wait()
                os._exit(0)
            return found
        """)
    apart.deploy("apart", "traces", source, ONE)
    for n in range(6):
        answer = apart.call("apart/traces", body={"mark": f"mark-{n}", "n": n})
        assert answer.status == 200, answer.text
        found = answer.json()
        assert found["kept"] == [] and found["environment"] is None and found["module"] is None
        assert [path for path in found["files"] if path not in ("/tmp", "/tmp/")] == []
        assert len(found["pids"]) == 2, "its own process and the one that made it"


def test_the_process_that_loads_the_handler_never_has_a_secret_or_a_request(apart: Server) -> None:
    value = "isolated-secret-" + uuid.uuid4().hex
    apart.secret("apart/memory", "KEY", value)
    source = handler("""
        import os, time
        def handle(data, secrets):
            time.sleep(data.get("s", 0))
            return [len(secrets["KEY"]), data["marker"], os.readlink("/proc/self/ns/pid")]
        """)
    apart.deploy("apart", "memory", source, {**ONE, "secrets": ["KEY"]})
    marker = "request-" + uuid.uuid4().hex
    for _ in range(3):
        length, same, sandbox = apart.call("apart/memory", body={"marker": marker}).json()
        assert (length, same) == (len(value), marker)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(apart.call, "apart/memory", body={"marker": marker, "s": 5})
        time.sleep(1)
        held = {pid: (holds(pid, value.encode()), holds(pid, marker.encode())) for pid in interpreters(sandbox)}
        assert not running.done(), "the call ran on until its memory had been read"
        assert running.result().json()[2] == sandbox
    parent, child = sorted(held)
    assert held == {parent: (False, False), child: (True, True)}


def interpreters(namespace: str) -> list[int]:
    """The pids, as the host sees them, of the interpreters in a pid namespace."""
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit()
        and namespace_of(entry) == namespace
        and b"bootstrap.py" in (entry / "cmdline").read_bytes()
    ]


def namespace_of(process: Path) -> str | None:
    try:
        return os.readlink(process / "ns/pid")
    except OSError:  # it ended meanwhile
        return None


def holds(pid: int, needle: bytes) -> bool:
    """Whether the writable memory of a process has these bytes. Read as root, from the host."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, mode = line.split()[:2]
            if not mode.startswith("rw"):
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            try:
                memory.seek(start)
                if needle in memory.read(end - start):
                    return True
            except (OSError, ValueError, OverflowError):
                continue
    return False


@pytest.mark.case("X10")
def test_a_scaleway_function_has_its_secrets_in_the_environment_of_the_call_alone(apart: Server) -> None:
    apart.secret("apart/scaleway", "KEY", "scaleway-secret-7d11")
    source = handler(
        "import os\nATIMPORT = os.environ.get('KEY')\ndef handle(event, context):\n    return [ATIMPORT, len(os.environ['KEY'])]\n"
    )
    apart.deploy("apart", "scaleway", source, {**ONE, "secrets": ["KEY"]})
    for _ in range(2):
        assert apart.call("apart/scaleway", body={}).json() == [None, 20]


def test_printed_lines_and_exceptions_belong_to_their_call_and_are_redacted(apart: Server) -> None:
    apart.secret("apart/prints", "KEY", "isolated-printed-3b0e")
    source = handler("""
        def handle(data, secrets):
            print("before", secrets["KEY"], data["n"])
            if data["n"] == 1:
                raise ValueError("wrong " + secrets["KEY"])
            return secrets["KEY"]
        """)
    apart.deploy("apart", "prints", source, {**ONE, "secrets": ["KEY"]})
    good = apart.call("apart/prints", body={"n": 0})
    bad = apart.call("apart/prints", body={"n": 1})
    assert good.json() == "[secret:KEY]" and bad.status == 500
    assert apart.messages("apart/prints", good.call_id) == ["before [secret:KEY] 0"]
    lines = apart.messages("apart/prints", bad.call_id)
    assert lines[0] == "before [secret:KEY] 1" and any("wrong [secret:KEY]" in line for line in lines)


@pytest.mark.parametrize("way", ["os._exit(3)", "ctypes.string_at(0)", "os.kill(os.getpid(), 9)"])
def test_a_crash_of_the_call_is_502_and_the_next_call_is_served_by_the_same_instance(apart: Server, way: str) -> None:
    name = "crash-" + str(abs(hash(way)) % 1000)
    source = handler(
        f"import ctypes, os\ndef handle(data):\n    if data.get('die'):\n        {way}\n    return os.getppid()\n"
    )
    apart.deploy("apart", name, source, ONE)
    assert apart.call(f"apart/{name}", body={}).json() == 1
    starts = apart.status()["coldStarts"]
    assert problem(apart.call(f"apart/{name}", body={"die": True}))["status"] == 502
    assert apart.call(f"apart/{name}", body={}).json() == 1
    assert apart.status()["coldStarts"] == starts


def test_memory_is_the_reason_when_it_is(apart: Server) -> None:
    source = handler("def handle(data):\n    return len(bytearray(b'x') * (data['n'] << 20))\n")
    apart.deploy("apart", "hungry", source, {**ONE, "limits": {"memory": "64MiB", "timeout": "10s"}})
    assert apart.call("apart/hungry", body={"n": 1}).status == 200
    details = problem(apart.call("apart/hungry", body={"n": 900}))
    assert details["status"] == 502 and details["reason"] == "out-of-memory", details
    assert apart.call("apart/hungry", body={"n": 1}).status == 200


@pytest.mark.case("X12")
def test_a_timeout_is_504_and_nothing_of_it_is_left_within_a_second(apart: Server) -> None:
    marker = f"marker-{uuid.uuid4()}"
    source = handler("""
        import subprocess, sys, time
        def handle(data):
            subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)", data["marker"]], start_new_session=True)
            time.sleep(data["s"])
            return 1
        """)
    apart.deploy("apart", "late", source, {**ONE, "limits": {"timeout": "1s"}})
    assert problem(apart.call("apart/late", body={"marker": marker, "s": 60}))["status"] == 504
    assert wait_until(lambda: not with_argument(marker), 1.2)
    assert apart.call("apart/late", body={"marker": marker, "s": 0}).status == 200
    assert wait_until(lambda: not with_argument(marker), 1.2), "what a call started ends with it"


def test_large_bodies_pass_both_ways(apart: Server) -> None:
    source = handler("def handle(event, context):\n    return event['body'] * 2\n")
    apart.deploy("apart", "large", source, {**ONE, "limits": {"memory": "512MiB"}})
    body = b"0123456789abcde\n" * (3 << 16)
    answer = apart.call("apart/large", body=body)
    assert answer.status == 200 and answer.body == body * 2


HOSTILE = """
import os, struct, sys
def handle(data):
    way = data["way"]
    if way == "none":
        return "served"
    def frame(kind, call, body=b"", meta=b""):
        return struct.pack(">IBBHII", len(body), kind, 0, 200, len(meta), call) + meta + body
    pipes = [int(n) for n in os.listdir("/proc/self/fd") if int(n) > 2]
    text = {
        "random": os.urandom(1 << 16), "wrong kind": frame(0x81, data["call"]), "wrong call": frame(0x83, 77777),
        "too long": struct.pack(">IBBHII", 1 << 31, 0x83, 0, 200, 0, data["call"]),
        "two": frame(0x83, data["call"], b"1") + frame(0x83, data["call"], b"2") + frame(0x87, data["call"]),
    }[way]
    for pipe in pipes:
        try:
            os.write(pipe, text)
        except OSError:
            pass
    os._exit(0)
"""


@pytest.mark.parametrize("way", ["random", "wrong kind", "wrong call", "too long", "two"])
def test_what_a_hostile_call_writes_to_every_descriptor_harms_itself_alone(apart: Server, way: str) -> None:
    apart.deploy("apart", "hostile", handler(HOSTILE), ONE)
    answer = apart.call("apart/hostile", body={"way": way, "call": 1})
    assert answer.status in (200, 502, 504), answer.text
    assert apart.call("apart/hostile", body={"way": "none", "call": 1}).json() == "served"
    apart.assert_serving()


def test_siblings_do_not_run_beside_each_other_in_one_sandbox(apart: Server) -> None:
    source = handler(
        "import os, time\ndef handle(data):\n    time.sleep(0.2)\n    return sorted(int(p) for p in os.listdir('/proc') if p.isdigit())\n"
    )
    apart.deploy("apart", "siblings", source, {"isolate": "call", "scale": {"max": 3}})
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: apart.call("apart/siblings", body={}), range(6)))
    assert all(a.status == 200 and len(a.json()) == 2 for a in answers), [a.text[:200] for a in answers]
