"""A process per call: what it had, no other one finds."""

import json
import os
import re
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest
from support import Instance, Starter, encode_fields, encode_request, receive

# Executes its data; `result` is what it returns.
RUN = {
    "handler.py": (
        "import asyncio, ctypes, fcntl, os, random, resource, signal, subprocess, sys, threading, time\n"
        "kept = []\n"
        "def handle(data, secrets):\n"
        "    space = {**globals(), 'secrets': secrets, 'result': None}\n"
        "    exec(data, space)\n"
        "    return space['result']\n"
    )
}
ENVIRONMENT = {
    "handler.py": (
        "import json, os, sys\n" "def handle(event, context):\n" "    return {'result': eval(event['body'])}\n"
    )
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "writable"
    folder.mkdir()
    return folder


@pytest.fixture
def instance(start: Starter, folder: Path) -> Instance:
    return start(RUN, folder=folder, handler="handler.handle", isolation="call", environment={"FOLDER": str(folder)})


def run(instance: Instance, source: str, **secrets: str) -> object:
    reply = instance.call_isolated(json.dumps(source).encode(), **secrets)
    assert reply.flags == 0, instance.err()
    return reply.json()


def send(instance: Instance, source: str) -> None:
    instance.calls += 1
    instance.send(6, struct.pack(">I", 0) + encode_request(), json.dumps(source).encode(), instance.calls)


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(text) for text in file.read().split()]


def test_every_call_has_a_process_of_its_own_and_finds_what_the_import_left(instance: Instance) -> None:
    source = "kept.append(1)\nos.environ['LEFT'] = '1'\nos.chdir('/')\nos.umask(0)\nsys.path.append('x')\n"
    ask = "result = [os.getpid(), len(kept), os.environ.get('LEFT'), os.getcwd(), sys.path[-1] == 'x']\n"
    found = [run(instance, ask + source) for _ in range(5)]
    assert len({answer[0] for answer in found}) == 5  # type: ignore[index]
    assert {tuple(answer[1:]) for answer in found} == {(0, None, os.getcwd(), False)}  # type: ignore[index]


def test_files_of_a_call_are_not_there_for_the_next(instance: Instance, folder: Path) -> None:
    make = "os.makedirs(os.environ['FOLDER'] + '/a/b')\nopen(os.environ['FOLDER'] + '/a/b/c', 'w').write('left')\n"
    for _ in range(3):
        assert run(instance, f"result = os.listdir(os.environ['FOLDER'])\n{make}") == []
        assert list(folder.iterdir()) == []


def test_what_the_import_left_in_a_folder_is_gone_for_the_first_call_too(start: Starter, folder: Path) -> None:
    source = f"import os\nopen({str(folder / 'left')!r}, 'w').close()\ndef handle(): return os.listdir({str(folder)!r})"
    instance = start({"h.py": source}, folder=folder, handler="h.handle", isolation="call")
    assert [instance.call_isolated().json() for _ in range(2)] == [[], []]


def test_secrets_are_an_argument_or_in_the_environment_of_their_call_alone(
    start: Starter, instance: Instance, folder: Path
) -> None:
    ask = "result = [secrets, os.environ.get('KEY')]"
    assert run(instance, ask, KEY="one", OTHER="two") == [{"KEY": "one", "OTHER": "two"}, None]
    assert run(instance, ask) == [{}, None]
    other = start(ENVIRONMENT, folder=folder, handler="handler.handle", isolation="call")
    ask_environment = b"[os.environ.get('KEY'), os.popen('echo $KEY').read()]"
    assert other.call_isolated(ask_environment, KEY="one").json() == {"result": ["one", "one\n"]}
    assert other.call_isolated(ask_environment).json() == {"result": [None, "\n"]}


def test_the_process_that_stays_never_has_a_secret_or_a_byte_of_a_request(instance: Instance, folder: Path) -> None:
    secret, body, query = (os.urandom(20).hex() for _ in range(3))
    big = f"result = len('{body * 20_000}')"
    for source in (f"result = len('{body}')", big):
        send_with = encode_fields({"secret": {"KEY": secret}})
        instance.calls += 1
        meta = struct.pack(">I", len(send_with)) + send_with + encode_request(query)
        instance.send(6, meta, json.dumps(source).encode(), instance.calls)
        assert receive(instance.control).kind == 0x83 and receive(instance.control).kind == 0x87
    # A call that answers early leaves a part of its request unread.
    send(instance, f"os.write(1, b'{body}')\nresult = '{body * 1000}'")
    receive(instance.control)
    receive(instance.control)
    for pid in (instance.process.pid, *children(instance.process.pid)):
        assert holds(pid, str(folder).encode())  # what the import was given is found
        for needle in (secret, body, query):
            assert not holds(pid, needle.encode())


def holds(pid: int, needle: bytes) -> bool:
    try:
        memory = open(f"/proc/{pid}/mem", "rb", buffering=0)
    except PermissionError:
        pytest.skip("needs root, to read another process's memory")
    with memory, open(f"/proc/{pid}/maps") as maps:
        for line in maps:
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if found is None or line.rstrip().endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            at, end = (int(text, 16) for text in found.groups())
            memory.seek(at)
            if needle in (memory.read(end - at) or b""):
                return True
    return False


def test_no_process_of_a_call_outlives_it(instance: Instance, folder: Path) -> None:
    left = (
        "for _ in range(3):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        if os.fork(): os._exit(0)\n"
        "        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "        while True: open(f'{os.environ[\"FOLDER\"]}/{time.time()}', 'w').close()\n"
        "subprocess.Popen(['sleep', '60'])\n"
        "time.sleep(0.1)\nresult = 1"
    )
    for _ in range(3):
        assert run(instance, left) == 1
        assert list(folder.iterdir()) == [] and len(children(instance.process.pid)) == 1


def test_a_fork_bomb_ends_with_its_call(start: Starter, folder: Path) -> None:
    """With the real `kill(-1)`, as process 1 of a pid namespace."""
    if os.getuid() != 0 or subprocess.run(["unshare", "--pid", "--fork", "true"], check=False).returncode:
        pytest.skip("needs root, to make a pid namespace")
    bomb = {
        "h.py": (
            "import os, threading, time\n"
            "def handle(data):\n"
            "    end = time.monotonic() + 0.3\n"
            "    if data and os.fork() == 0:\n"
            "        while time.monotonic() < end + 60:\n"
            "            if os.fork() and len(os.listdir('/proc')) > 400: time.sleep(0.01)\n"
            "    time.sleep(0.05)\n"
            "    return os.getppid()\n"
        )
    }
    instance = start(bomb, folder=folder, kill="all", handler="h.handle", isolation="call")
    (shim,) = children(instance.process.pid)
    for data in (b"true", b"true", b"false"):
        assert instance.call_isolated(data).json() == 1
        assert len(children(shim)) == 1


def test_what_a_call_prints_is_in_the_pipes_when_it_is_answered(instance: Instance) -> None:
    assert run(instance, "print('out', end='')\nsys.stderr.write('err')\nos.system('echo program')") is None
    assert (instance.out(), instance.err()) == ("program\nout", "err")


def test_an_exception_is_a_traceback_that_begins_in_the_function(instance: Instance) -> None:
    reply = instance.call_isolated(b"\"raise ValueError('boom')\"")
    assert reply[:2] == (1, 500)
    trace = instance.err()
    assert trace.startswith("Traceback (most recent call last):\n") and trace.endswith("ValueError: boom\n")
    assert "casemate_runtime" not in trace
    assert instance.call_isolated(b"{")[:2] == (3, 400)
    assert instance.call_isolated(b'"result = object()"')[:2] == (2, 500)


def test_an_async_handler_answers(start: Starter, folder: Path) -> None:
    source = "import asyncio\nasync def handle(data):\n    await asyncio.sleep(0)\n    return data"
    instance = start({"h.py": source}, folder=folder, handler="h.handle", isolation="call")
    assert [instance.call_isolated(b"%d" % number).json() for number in range(3)] == [0, 1, 2]


@pytest.mark.parametrize(
    "source, told",
    [
        ("os._exit(9)", "ended with status 9 before it answered"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "was ended by SIGKILL before it answered, as it is when"),
        ("ctypes.string_at(0)", "was ended by SIGSEGV before it answered"),
    ],
)
def test_a_call_whose_process_ends_is_told_apart_and_the_next_one_runs(
    instance: Instance, source: str, told: str
) -> None:
    assert instance.call_isolated(json.dumps(f"print('before')\n{source}").encode()) == (4, 502, {}, b"")
    assert told in instance.err()
    assert run(instance, "result = 1") == 1


def test_big_bodies_go_both_ways(instance: Instance) -> None:
    size = 6 << 20
    assert run(instance, f"result = len({'x' * size!r})") == size
    assert instance.call_isolated(json.dumps(f"result = 'y' * {size}").encode()).body == b'"%s"' % (b"y" * size)
    secrets = {f"KEY{number}": "z" * 65_536 for number in range(20)}
    assert run(instance, "result = sum(map(len, secrets.values()))", **secrets) == 20 * 65_536


def test_processes_draw_different_numbers(instance: Instance) -> None:
    drawn = [run(instance, "result = [random.random(), os.urandom(8).hex()]") for _ in range(3)]
    assert len({tuple(pair) for pair in drawn}) == 3  # type: ignore[arg-type]


def test_a_numpy_that_was_imported_is_seeded_anew(start: Starter, folder: Path) -> None:
    fake = "import random as _r\n_state = [0]\ndef seed(): _state[0] = _r.random()\ndef rand(): return _state[0]\n"
    source = "import numpy.random\ndef handle(): return numpy.random.rand()"
    files = {"h.py": source, "numpy/__init__.py": "", "numpy/random.py": fake}
    instance = start(files, folder=folder, handler="h.handle", isolation="call")
    drawn = {instance.call_isolated().json() for _ in range(3)}
    assert len(drawn) == 3 and 0 not in drawn


def test_neither_the_function_nor_its_children_get_the_control_socket(instance: Instance) -> None:
    link = "f'/proc/self/fd/{fd}'"
    look = f"[os.readlink({link}).split(':')[0] for fd in os.listdir('/proc/self/fd') if os.path.exists({link})]"
    found = run(instance, f"result = {look}")
    # Its standard streams and its two pipes; never a socket.
    assert isinstance(found, list) and "socket" not in found and found.count("pipe") == 4
    forked = (
        "r, w = os.pipe()\n"
        "if os.fork() == 0:\n"
        f"    os.write(w, repr({look}).encode())\n"
        "    os._exit(0)\n"
        "os.wait()\nresult = os.read(r, 9999).decode()"
    )
    assert str(run(instance, forked)).count("pipe") == 4  # the streams, and the two of this test


def test_a_forked_child_that_returns_can_not_answer(instance: Instance) -> None:
    source = (
        "pid = os.fork()\nresult = pid if pid == 0 else os.waitpid(pid, 0)[1]\nprint('child' if pid == 0 else 'parent')"
    )
    for _ in range(2):
        assert run(instance, source) == 0
        assert sorted(instance.out().split()) == ["child", "parent"]


def test_another_process_can_not_look_into_one(instance: Instance) -> None:
    """PR_GET_DUMPABLE (3): what was set before the fork holds behind it."""
    assert run(instance, "result = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)") == 0


def test_it_has_a_session_of_its_own_and_leaves_the_collector_little_to_look_at(instance: Instance) -> None:
    assert run(instance, "import gc\nresult = [os.getsid(0) == os.getpid(), gc.get_freeze_count() > 1000]") == [
        True,
        True,
    ]


def test_a_pipe_made_non_blocking_is_blocking_again(instance: Instance) -> None:
    ask = "result = [os.get_blocking(1), os.get_blocking(2)]\n"
    for _ in range(2):
        assert run(instance, ask + "os.set_blocking(1, False); os.set_blocking(2, False)") == [True, True]


@pytest.mark.parametrize(
    "source",
    [
        "resource.prlimit(os.getppid(), resource.RLIMIT_FSIZE, (10, 10))",
        "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
        "os.rmdir(os.environ['FOLDER'])",
    ],
)
def test_what_can_not_be_undone_ends_the_instance(instance: Instance, source: str) -> None:
    send(instance, source + "\nresult = 'answered'")
    assert receive(instance.control).body == b'"answered"'
    with pytest.raises(EOFError):
        receive(instance.control)
    assert instance.ended() == 71
    assert "casemate: something of a call would be left to the next one" in instance.err()


def test_a_process_that_ends_before_its_call_is_replaced(instance: Instance) -> None:
    for _ in range(3):
        (waiting,) = children(instance.process.pid)
        os.kill(waiting, 9)
        while children(instance.process.pid) in ([], [waiting]):
            time.sleep(0.001)
        assert run(instance, "result = os.getpid()") != waiting


def test_processes_that_never_live_long_enough_for_a_call_end_the_instance(start: Starter, folder: Path) -> None:
    source = "import os\nos.register_at_fork(after_in_child=lambda: os._exit(3))\ndef handle(): pass"
    instance = start({"h.py": source}, folder=folder, handler="h.handle", isolation="call")
    assert instance.ended() == 70


def test_the_server_is_gone(instance: Instance, start: Starter, folder: Path) -> None:
    run(instance, "result = 1")
    instance.control.close()
    assert instance.ended() == 0
    for cut in (b"\0\0", None):
        other = start(RUN, folder=folder, handler="handler.handle", isolation="call")
        if cut:
            other.control.sendall(cut)
            other.control.shutdown(socket.SHUT_WR)
        else:
            send(other, "ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)\ntime.sleep(60)")  # PR_SET_PDEATHSIG
            time.sleep(0.2)
            other.control.close()
        assert other.ended() == 70


@pytest.mark.parametrize(
    "kind, meta",
    [
        (2, b"POST\0/\0\0"),
        (1, b""),
        (0x83, b""),
        (6, b""),
        (6, b"\0\0"),
        (6, struct.pack(">I", 9) + b"POST\0/\0\0"),
        (6, struct.pack(">I", 2) + b"\4\0" + b"POST\0/\0\0"),
        (6, struct.pack(">I", 6) + b"\4\0\0\0\1x" + b"POST\0/\0\0"),
        (6, struct.pack(">I", 0) + b"POST"),
    ],
)
def test_a_frame_that_is_no_isolated_call_ends_the_instance(
    start: Starter, folder: Path, kind: int, meta: bytes
) -> None:
    source = {"h.py": "def handle(event, context): pass"}
    instance = start(source, folder=folder, handler="h.handle", isolation="call")
    instance.send(kind, meta, call=1)
    assert instance.ended() == 70 and "casemate: " in instance.err()


def test_a_frame_that_is_too_long_ends_the_instance(instance: Instance) -> None:
    instance.control.sendall(struct.pack(">IBBHII", 0, 6, 0, 0, (16 << 20) + 1, 1))
    assert instance.ended() == 70


def test_secrets_for_the_process_that_stays_are_refused(start: Starter, folder: Path) -> None:
    for fields in ({"secret": {"KEY": "value"}, "isolation": "call"}, {"isolation": "process"}):
        instance = start(RUN, folder=folder)
        with pytest.raises(EOFError):
            instance.specialise(handler="handler.handle", **fields)
        assert instance.ended() == 70


def test_a_check_of_an_isolated_function_makes_no_process(start: Starter, folder: Path) -> None:
    instance = start(RUN, folder=folder)
    assert instance.load(4, handler="handler.handle", isolation="call").status == 0
    assert children(instance.process.pid) == []


def test_an_import_that_fails_is_told_as_ever(start: Starter, folder: Path) -> None:
    instance = start({"h.py": "import nothing_of_this_name"}, folder=folder)
    assert instance.specialise(handler="h.handle", isolation="call").error[0] == "import-error"


def test_the_real_folders_and_the_real_kill_are_for_process_1_alone() -> None:
    from casemate_runtime.renewal import Renewal, kill_all_others

    for arguments in ((), (["/nowhere"],), (None, lambda: None)):
        with pytest.raises(RuntimeError):
            Renewal(*arguments)
    with pytest.raises(RuntimeError):
        kill_all_others()
