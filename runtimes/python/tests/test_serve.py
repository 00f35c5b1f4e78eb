"""The loop, with functions that do what functions do at their worst."""

import os
import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from casemate_runtime.preload import MODULES
from support import Instance, Starter

# Executes its data; `result` is what it returns.
RUN = {
    "handler.py": (
        "import asyncio, ctypes, gc, io, os, subprocess, sys, threading, time\n"
        "kept = []\n"
        "def handle(data):\n"
        "    space = {**globals(), 'result': None}\n"
        "    exec(data, space)\n"
        "    return space['result']\n"
    )
}


@pytest.fixture
def instance(start: Starter) -> Instance:
    return start(RUN, handler="handler.handle")


@pytest.fixture(scope="module")
def survivor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """One instance that goes through everything."""
    survivor = Instance(tmp_path_factory.mktemp("survivor"), RUN)
    survivor.specialise(handler="handler.handle")
    yield survivor
    survivor.end()


def test_calls_are_answered_until_the_stream_ends(instance: Instance) -> None:
    for number in range(200):
        assert instance.run(f"result = {number}").json() == number
    instance.control.close()
    assert instance.ended() == 0


def test_everything_a_call_printed_is_in_the_pipe_when_it_is_answered(instance: Instance) -> None:
    instance.run("print('no end of line', end=''); sys.stderr.write('error')")
    assert (instance.out(), instance.err()) == ("no end of line", "error")
    instance.run(
        "threads = [threading.Thread(target=print, args=(n,), kwargs={'end': ';'}) for n in range(5)]\n"
        "for t in threads: t.start()\nfor t in threads: t.join()"
    )
    assert sorted(instance.out().split(";")) == ["", "0", "1", "2", "3", "4"]


def test_an_exception_is_a_traceback_that_begins_in_the_function(instance: Instance) -> None:
    reply = instance.run("def inner():\n    raise ValueError('boom')\ninner()")
    assert (reply.flags, reply.status, reply.headers, reply.body) == (1, 500, {}, b"")
    trace = instance.err()
    assert trace.endswith("ValueError: boom\n") and "casemate_runtime" not in trace
    assert re.match(r"Traceback \(most recent call last\):\n  File \".*/src/handler.py\", line 5, in handle\n", trace)


@pytest.mark.parametrize(
    "source, name",
    [
        ("sys.exit(3)", "SystemExit: 3"),
        ("exit()", "SystemExit: None"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("class E(BaseException): pass\nraise E('x')", "handler.E: x"),
        (
            "class E(Exception):\n    def __str__(self): raise RuntimeError\nraise E",
            "handler.E: <exception str() failed>",
        ),
        ("f = lambda f: f(f)\nf(f)", "RecursionError: maximum recursion depth exceeded"),
        ("bytearray(1 << 60)", "MemoryError"),
        ("raise ValueError from KeyError('cause')", "ValueError"),
        ("async def f():\n    raise OSError('in async')\nasyncio.run(f())", "OSError: in async"),
    ],
)
def test_nothing_that_a_function_raises_ends_the_instance(survivor: Instance, source: str, name: str) -> None:
    assert survivor.run(source)[:2] == (1, 500)
    assert survivor.err().rstrip().split("\n")[-1] == name
    assert survivor.run("result = 1").json() == 1


def test_an_exception_of_an_async_handler_begins_in_the_function(start: Starter) -> None:
    instance = start({"h.py": "async def handle(data):\n    raise ValueError('boom')"}, handler="h.handle")
    assert instance.call(b"1")[:2] == (1, 500)
    trace = instance.err()
    assert "asyncio" not in trace and "casemate_runtime" not in trace and trace.endswith("ValueError: boom\n")


def test_a_bad_result_and_a_bad_request_are_told_apart(instance: Instance) -> None:
    assert instance.run("result = object()")[:2] == (2, 500)
    assert instance.err() == (
        "casemate: the handler's result can't be turned into a response: "
        "Object of type object is not JSON serializable\n"
    )
    reply = instance.call(b"{")
    assert reply[:2] == (3, 400) and reply.body.startswith(b"the request's body is not valid JSON")
    assert instance.err() == ""


def test_headers_beyond_the_frames_limit_are_a_bad_result(start: Starter) -> None:
    source = "def handle(event, context): return {'headers': {'X': 'a' * int(event['body'])}}"
    instance = start({"h.py": source}, handler="h.handle")
    assert instance.call(b"65000").headers == {"X": ["a" * 65000]}
    assert instance.call(b"66000")[:2] == (2, 500)


def test_a_huge_result_and_a_huge_request_go_through(instance: Instance) -> None:
    assert len(instance.run("result = 'x' * 20_000_000").body) == 20_000_002
    assert instance.run(f"result = len({'y' * 5_000_000!r})").json() == 5_000_000


def test_os_exit_is_the_end_of_the_stream(instance: Instance) -> None:
    with pytest.raises(EOFError):
        instance.run("os._exit(9)")
    assert instance.ended() == 9


@pytest.mark.parametrize(
    "source",
    [
        "sys.stdout = sys.stderr = None",
        "sys.stdout = io.StringIO()",
        "sys.stdout = io.TextIOWrapper(sys.stdout.buffer, 'utf-8')",
        "sys.stdout.close(); sys.stderr.close()",
        "sys.stdout.buffer.close()",
        "del sys.stdout",
        "class Odd:\n    def flush(self): raise SystemExit\nsys.stdout = Odd()",
    ],
)
def test_the_streams_are_ours_again_after_the_call(survivor: Instance, source: str) -> None:
    assert survivor.run(source)[0] == 0
    survivor.out()
    survivor.run("print('out'); print('err', file=sys.stderr)")
    assert (survivor.out(), survivor.err()) == ("out\n", "err\n")


def test_what_a_wrapper_held_goes_out_with_its_call(instance: Instance) -> None:
    instance.run("sys.stdout = io.TextIOWrapper(sys.stdout.buffer, 'utf-8')\nprint('held')")
    assert instance.out() == "held\n"


def test_threads_outlive_their_call(instance: Instance) -> None:
    instance.run(
        "def work():\n    while not kept: time.sleep(0.001)\n    print('from the thread')\n"
        "threading.Thread(target=work, daemon=True).start()"
    )
    instance.run("kept.append(1); time.sleep(0.2)")
    assert instance.out() == "from the thread\n"


def test_a_thread_that_only_prints_does_not_keep_a_call_from_its_answer(instance: Instance) -> None:
    """Its output is read all the time, as the server does."""
    os.set_blocking(instance._out, True)
    reader = threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(instance._out, 1 << 16), b"")])
    reader.start()
    instance.run(
        "def flood():\n    while not kept: print('x' * 50)\n"
        "for _ in range(3): threading.Thread(target=flood, daemon=True).start()"
    )
    for number in range(3):
        assert instance.run(f"print('line')\nresult = {number}").json() == number
    instance.run("kept.append(1)")
    instance.control.close()
    reader.join(timeout=10)
    assert not reader.is_alive()


def test_neither_a_child_nor_a_script_gets_the_control_socket(instance: Instance) -> None:
    assert (
        instance.run(
            "os.closerange(3, 64)\n"
            "result = subprocess.run([sys.executable, '-c', 'import os; print(sorted(map(int, os.listdir(\"/proc/self/fd\"))))'],"
            " close_fds=False, capture_output=True, text=True).stdout"
        ).json()
        == "[0, 1, 2, 3]\n"
    )  # 3 is the folder that is being read


def test_a_forked_child_that_returns_can_not_answer(instance: Instance) -> None:
    source = (
        "pid = os.fork()\nresult = pid if pid == 0 else os.waitpid(pid, 0)[1]\nprint('child' if pid == 0 else 'parent')"
    )
    assert instance.run(source).json() == 0
    assert sorted(instance.out().split()) == ["child", "parent"]
    assert instance.run("result = 'still one answer per call'").json() == "still one answer per call"
    assert instance.run("print('once', end='')\nif os.fork() == 0: sys.exit(0)\nos.wait()")[0] == 0
    assert instance.out() == "once"


def test_a_childs_status_is_left_to_the_function_over_calls(instance: Instance) -> None:
    instance.run(
        "kept.append(subprocess.Popen([sys.executable, '-c', 'raise SystemExit(7)']))\n"
        "pid = os.fork()\nif pid == 0: os._exit(8)\nkept.append(pid)\ntime.sleep(0.3)"
    )
    for _ in range(3):
        instance.run("pass")
    assert instance.run("result = [kept[0].wait(), os.waitstatus_to_exitcode(os.waitpid(kept[1], 0)[1])]").json() == [
        7,
        8,
    ]


# PR_SET_CHILD_SUBREAPER (36): orphans come to this process, as to process 1 in a sandbox.
ORPHAN = (
    "ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n"
    "for _ in range(5):\n"
    "    pid = os.fork()\n"
    "    if pid == 0:\n"
    "        if os.fork() == 0: time.sleep(0.1)\n"
    "        os._exit(0)\n"
    "    os.waitpid(pid, 0)\n"
    "time.sleep(0.3)"
)
ZOMBIES = (
    "def state(pid):\n"
    "    try: return open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()[:2]\n"
    "    except OSError: return ['', '']\n"
    "result = sum(state(pid) == ['Z', str(os.getpid())] for pid in os.listdir('/proc') if pid.isdecimal())"
)


def test_orphans_are_reaped_even_behind_a_child_that_the_function_does_not_wait_for(instance: Instance) -> None:
    instance.run(ORPHAN)
    assert instance.run(ZOMBIES).json() == 0
    instance.run("kept.append(os.fork() or os._exit(0))\n" + ORPHAN.replace("os.waitpid(pid, 0)", "pass"))
    deadline = time.monotonic() + 5
    while instance.run(ZOMBIES).json() > 6 and time.monotonic() < deadline:
        time.sleep(0.1)
    # The six that the function itself forked are its own; the five orphans are gone.
    assert instance.run(ZOMBIES).json() == 6


def test_a_second_specialisation_and_an_unknown_frame_end_the_instance(start: Starter) -> None:
    for kind in (1, 3, 0x83):
        instance = start(RUN, handler="handler.handle")
        instance.send(kind)
        assert instance.ended() == 70


def test_a_call_whose_meta_is_malformed_ends_the_instance(start: Starter) -> None:
    instance = start({"h.py": "def handle(event, context): pass"}, handler="h.handle")
    instance.send(2, b"GET\0/")
    assert instance.ended() == 70


def test_it_ends_when_the_server_is_gone(start: Starter) -> None:
    unspecialised = start({})
    unspecialised.control.close()
    assert unspecialised.ended() == 0
    cut_off = start(RUN, handler="handler.handle")
    cut_off.control.sendall(b"\0\0")
    cut_off.control.shutdown(socket.SHUT_WR)
    assert cut_off.ended() == 70


def test_sigint_does_not_raise_in_the_loop(instance: Instance) -> None:
    assert instance.run("import signal\nresult = signal.getsignal(signal.SIGINT) == signal.SIG_DFL").json() is True


def test_the_function_has_no_arguments_of_ours_and_no_path_of_ours(instance: Instance) -> None:
    argv, path, mine = instance.run(
        "result = [sys.argv, sys.path, [name for name in sys.modules if 'casemate' in name]]"
    ).json()
    assert argv == [""] and mine == [] and not any("runtimes" in entry for entry in path)


def test_all_that_is_to_be_loaded_in_advance_is_and_the_collector_passes_over_it(start: Starter) -> None:
    instance = start(RUN, preload=True, handler="handler.handle")
    loaded, frozen = instance.run("result = [list(sys.modules), gc.get_freeze_count()]").json()
    assert set(MODULES) <= set(loaded) and frozen > 10_000
