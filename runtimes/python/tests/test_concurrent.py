"""Several calls at once: in threads or on one event loop, each with its own reply and its own output."""

import json
import os
import time
from collections import defaultdict
from typing import Any, NamedTuple

import pytest
from support import Frame, Instance, Reply, Starter, decode_reply, encode_request, receive

# Executes its data; `kept` is what calls share.
RUN = {
    "handler.py": (
        "import asyncio, contextvars, decimal, io, logging, os, subprocess, sys, threading, time\n"
        "decimal.getcontext().prec = 5\n"
        "logging.basicConfig(level='INFO', format='%(message)s')\n"
        "kept, barrier, event = {}, threading.Barrier(8), threading.Event()\n"
        "def handle(data):\n"
        "    space = {**globals(), 'result': None}\n"
        "    exec(data, space)\n"
        "    return space['result']\n"
    )
}
ASYNC = {
    "handler.py": (
        "import asyncio, logging, os, sys, threading\n"
        "kept = {'inside': 0, 'most': 0}\n"
        "async def handle(data):\n"
        "    space = {**globals(), 'result': None}\n"
        "    exec('async def run():\\n global result\\n ' + data.replace('\\n', '\\n ') + '\\n pass', space)\n"
        "    kept['inside'] += 1\n"
        "    kept['most'] = max(kept.values())\n"
        "    try:\n"
        "        await space['run']()\n"
        "    finally:\n"
        "        kept['inside'] -= 1\n"
        "    return space['result']\n"
    )
}


class Answers(NamedTuple):
    replies: dict[int, Reply]
    out: dict[int, str]
    err: dict[int, str]
    frames: list[Frame]


def begin(instance: Instance, source: str) -> int:
    instance.calls += 1
    instance.send(2, encode_request(), json.dumps(source).encode(), instance.calls)
    return instance.calls


def collect(instance: Instance, count: int) -> Answers:
    """Until that many replies have come. Nothing of a call may come behind its reply."""
    replies: dict[int, Reply] = {}
    texts: list[dict[int, bytes]] = [defaultdict(bytes), defaultdict(bytes)]
    frames = []
    while len(replies) < count:
        frame = receive(instance.control)
        frames.append(frame)
        assert frame.call not in replies
        if frame.kind == 0x83:
            replies[frame.call] = decode_reply(frame)
        else:
            assert (frame.kind, frame.status, frame.meta) == (0x86, 0, b"") and 0 < len(frame.body) <= 65_536
            texts[frame.flags][frame.call] += frame.body
    out, err = ({call: text.decode() for call, text in one.items()} for one in texts)
    return Answers(replies, out, err, frames)


def run(instance: Instance, source: str) -> tuple[Any, str, str]:
    """One call's result, output and error."""
    number = begin(instance, source)
    answers = collect(instance, 1)
    reply = answers.replies[number]
    return reply.json() if reply.body else None, answers.out.get(number, ""), answers.err.get(number, "")


@pytest.fixture
def instance(start: Starter) -> Instance:
    return start(RUN, handler="handler.handle", concurrency="8")


@pytest.fixture
def loop(start: Starter) -> Instance:
    return start(ASYNC, handler="handler.handle", concurrency="100")


def test_replies_come_in_any_order(instance: Instance) -> None:
    first = begin(instance, "event.wait(10)\nresult = 'first'")
    second = begin(instance, "result = 'second'")
    assert list(collect(instance, 1).replies) == [second]
    third = begin(instance, "event.set()\nresult = 'third'")
    replies = collect(instance, 2).replies
    assert replies[first].json() == "first" and replies[third].json() == "third"


def test_as_many_threads_as_calls_run_at_once_and_no_more_are_made(instance: Instance) -> None:
    assert run(instance, "result = threading.active_count()")[0] == 2
    for _ in range(3):
        for _ in range(8):
            begin(instance, "result = barrier.wait(10)")
        assert sorted(reply.json() for reply in collect(instance, 8).replies.values()) == list(range(8))
    assert run(instance, "result = threading.active_count()")[0] == 9


def test_async_handlers_share_one_loop_in_one_thread(loop: Instance) -> None:
    wait = "while kept['most'] < 100: await asyncio.sleep(0.001)\n"
    for _ in range(100):
        begin(loop, f"{wait}result = [threading.get_ident(), id(asyncio.get_running_loop()), threading.active_count()]")
    results = [reply.json() for reply in collect(loop, 100).replies.values()]
    assert len({tuple(result) for result in results}) == 1
    assert results[0][2] == 2  # the one that reads and the loop's


def test_a_plain_function_that_answers_a_coroutine_goes_on_on_the_loop(start: Starter) -> None:
    source = (
        "import asyncio, functools\ninside = 0\n"
        "def decorated(function):\n    return lambda data: function(data)\n"
        "@decorated\nasync def handle(data):\n"
        "    global inside\n    inside += 1\n"
        "    while inside < 4: await asyncio.sleep(0.001)\n    print(data)\n    return id(asyncio.get_running_loop())\n"
    )
    instance = start({"h.py": source}, handler="h.handle", concurrency="4")
    for number in range(1, 5):
        instance.send(2, encode_request(), str(number).encode(), number)
    answers = collect(instance, 4)
    assert len({reply.body for reply in answers.replies.values()}) == 1
    assert answers.out == {number: f"{number}\n" for number in range(1, 5)}


@pytest.mark.parametrize(
    "way", ["print", "sys.stdout.write", "io", "logging", "stderr", "to_thread", "context", "asyncio"]
)
def test_what_a_call_prints_is_its_own(instance: Instance, way: str) -> None:
    source = {
        "print": "print(me)",
        "sys.stdout.write": "sys.stdout.write(me); sys.stdout.write('\\n')",
        "io": "sys.stdout.buffer.write(me.encode() + b'\\n')",
        "logging": "logging.info(me)",
        "stderr": "sys.stderr.write(me + '\\n')",
        "to_thread": "asyncio.run(asyncio.to_thread(print, me))",
        "context": "threading.Thread(target=contextvars.copy_context().run, args=(print, me)).start()",
        "asyncio": "async def f():\n    await asyncio.sleep(0)\n    print(me)\nasyncio.run(f())",
    }[way]
    numbers = [begin(instance, f"me = 'call {n}'\nbarrier.wait(10)\n{source}\nbarrier.wait(10)") for n in range(1, 9)]
    answers = collect(instance, 8)
    expected = {number: f"call {number}\n" for number in numbers}
    assert (answers.err if way in ("logging", "stderr") else answers.out) == expected
    assert (instance.out(), instance.err()) == ("", "")


def test_tasks_print_for_their_call(loop: Instance) -> None:
    source = (
        "async def part(text):\n    await asyncio.sleep(0.001)\n    print(text)\n"
        "    await asyncio.to_thread(print, text)\n"
        "    logging.warning(text)\n"
        "await asyncio.gather(*(asyncio.create_task(part('%s')) for _ in range(3)))\n"
        "asyncio.get_running_loop().call_soon(print, '%s')\nawait asyncio.sleep(0.002)"
    )
    numbers = [begin(loop, source % (number, number)) for number in range(1, 31)]
    answers = collect(loop, 30)
    assert answers.out == {number: f"{number}\n" * 7 for number in numbers}
    assert answers.err == {number: f"WARNING:root:{number}\n" * 3 for number in numbers}


def test_100_000_lines_of_8_calls_stay_whole_in_order_and_with_their_call(instance: Instance) -> None:
    began = time.perf_counter()
    for _ in range(8):
        begin(instance, "for n in range(12_500): print('x' * 20, n)")
    answers = collect(instance, 8)
    took = time.perf_counter() - began
    expected = "".join(f"{'x' * 20} {number}\n" for number in range(12_500))
    assert answers.out == dict.fromkeys(range(1, 9), expected)
    assert all(frame.body.endswith(b"\n") for frame in answers.frames if frame.kind == 0x86)
    assert took < 10, f"{took:.2f} s"


def test_prints_wait_for_a_server_that_does_not_read_and_none_is_lost(instance: Instance) -> None:
    for _ in range(4):
        begin(instance, "for n in range(30_000): print('y' * 99)")
    time.sleep(1)
    # Two MiB for what waits and for what is being sent, and what Python itself needs.
    with open(f"/proc/{instance.process.pid}/status") as status:
        size = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    assert size < 64 * 1024
    answers = collect(instance, 4)
    assert {call: len(text) for call, text in answers.out.items()} == dict.fromkeys(range(1, 5), 3_000_000)


def test_an_unfinished_line_is_sent_with_its_call(instance: Instance) -> None:
    assert run(instance, "print('one\\ntwo', end='', flush=True)\nsys.stderr.write('e')")[1:] == ("one\ntwo", "e")


def test_an_exception_is_told_to_its_call(instance: Instance, loop: Instance) -> None:
    for each in (instance, loop):
        numbers = [begin(each, f"raise ValueError('boom {number}')") for number in range(1, 5)]
        answers = collect(each, 4)
        for number in numbers:
            assert answers.replies[number][:2] == (1, 500)
            trace = answers.err[number]
            assert trace.startswith("Traceback (most recent call last):\n") and "casemate_runtime" not in trace
            assert trace.endswith(f"ValueError: boom {number}\n") and "asyncio" not in trace


def test_a_bad_result_and_a_bad_request_are_told_apart(instance: Instance, loop: Instance) -> None:
    for each in (instance, loop):
        number = begin(each, "result = object()")
        answers = collect(each, 1)
        assert answers.replies[number][:2] == (2, 500) and "not JSON serializable" in answers.err[number]
        each.send(2, encode_request(), b"{", 99)
        assert collect(each, 1).replies[99][:2] == (3, 400)


@pytest.mark.parametrize(
    "source",
    ["sys.exit(3)", "raise KeyboardInterrupt", "asyncio.current_task().cancel(); await asyncio.sleep(1)"],
)
def test_nothing_that_an_async_handler_raises_ends_the_loop(loop: Instance, source: str) -> None:
    number = begin(loop, source)
    assert collect(loop, 1).replies[number][:2] == (1, 500)
    assert run(loop, "result = 1")[0] == 1


@pytest.mark.parametrize(
    "source", ["asyncio.get_running_loop().stop()", "async def f(): sys.exit(1)\nasyncio.create_task(f())"]
)
def test_nothing_that_a_task_does_ends_the_other_calls(loop: Instance, source: str) -> None:
    other = begin(loop, "await asyncio.sleep(0.2)\nresult = 'there'")
    number = begin(loop, f"{source}\nawait asyncio.sleep(0.05)")
    replies = collect(loop, 2).replies
    assert replies[number].flags == 0 and replies[other].json() == "there"


def test_what_outlives_its_call_prints_for_nobody(instance: Instance) -> None:
    work = "def work():\n    event.wait(10)\n    print('late')\n    kept['done'] = True\n"
    copied = "threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True).start()"
    run(instance, work + copied)
    begin(instance, "event.set()\nwhile not kept.get('done'): time.sleep(0.001)\nprint('mine')")
    assert collect(instance, 1).out == {0: "late\n", 2: "mine\n"}


def test_a_thread_without_a_context_prints_for_nobody(instance: Instance) -> None:
    begin(instance, "t = threading.Thread(target=print, args=('bare',))\nt.start()\nt.join()\nprint('mine')")
    assert collect(instance, 1).out == {0: "bare\n", 1: "mine\n"}


def test_what_programs_write_comes_by_the_pipes(instance: Instance) -> None:
    assert run(instance, "subprocess.run(['echo', 'program'])\nos.write(2, b'raw')")[1:] == ("", "")
    assert (instance.out(), instance.err()) == ("program\n", "raw")


def test_what_loading_prints_comes_by_the_pipes(start: Starter) -> None:
    instance = start({"h.py": "print('loading')\ndef handle(data): print('call')"}, handler="h.handle", concurrency="2")
    assert instance.out() == "loading\n"
    instance.send(2, encode_request(), b"1", 1)
    assert collect(instance, 1).out == {1: "call\n"}


def test_the_streams_are_ours_again_when_no_call_runs(instance: Instance) -> None:
    for source in ("sys.stdout = io.StringIO()", "sys.stdout = None", "del sys.stdout"):
        run(instance, source)
        assert run(instance, "print('out')")[1] == "out\n"
    held = "sys.stdout = io.TextIOWrapper(sys.stdout.buffer, 'utf-8')\nprint('held')"
    assert run(instance, held)[1] == "held\n"


def test_what_the_module_set_while_it_was_loaded_holds_and_what_a_call_sets_does_not(instance: Instance) -> None:
    ask = "result = [decimal.getcontext().prec, kept.setdefault('v', contextvars.ContextVar('v', default=0)).get()]\n"
    assert run(instance, ask + "kept['v'].set(1)")[0] == [5, 0]
    assert run(instance, ask)[0] == [5, 0]


def test_big_bodies_go_both_ways_at_once(instance: Instance) -> None:
    for letter in "abcdefgh":
        begin(instance, f"text = {letter * 2_000_000!r}\nresult = text + text[:1_000_000]")
    replies = collect(instance, 8).replies
    assert {number: reply.body for number, reply in replies.items()} == {
        number: b'"%s"' % (letter.encode() * 3_000_000) for number, letter in enumerate("abcdefgh", start=1)
    }


def test_a_call_too_many_ends_the_instance(start: Starter) -> None:
    for numbers in ([1, 2, 3], [1, 1], [0]):
        instance = start(RUN, handler="handler.handle", concurrency="2")
        for number in numbers:
            instance.send(2, encode_request(), b'"event.wait(10)"', number)
        assert instance.ended() == 70


@pytest.mark.parametrize(
    "fields", [{"concurrency": "0"}, {"concurrency": "x"}, {"concurrency": "2", "isolation": "call"}]
)
def test_a_concurrency_that_makes_no_sense_ends_the_instance(start: Starter, fields: dict[str, str]) -> None:
    instance = start(RUN)
    with pytest.raises(EOFError):
        instance.specialise(handler="handler.handle", **fields)
    assert instance.ended() == 70


def test_a_frame_that_is_no_call_and_a_malformed_call_end_the_instance(start: Starter) -> None:
    scaleway = {"h.py": "def handle(event, context): pass"}
    for kind, meta in ((1, b""), (6, b""), (2, b"GET\0/")):
        instance = start(scaleway, handler="h.handle", concurrency="2")
        instance.send(kind, meta, call=1)
        assert instance.ended() == 70
        assert "casemate: " in instance.err()


def test_the_end_of_the_stream_ends_calls_that_run(instance: Instance, loop: Instance) -> None:
    for each, source in ((instance, "time.sleep(60)"), (loop, "await asyncio.sleep(60)")):
        begin(each, source)
        each.control.close()
        assert each.ended() == 0


def test_a_forked_child_that_returns_can_not_answer(instance: Instance, loop: Instance) -> None:
    source = "pid = os.fork()\nresult = 'child' if pid == 0 else os.waitpid(pid, 0)[1]\nprint(result, flush=True)"
    for each in (instance, loop):
        assert run(each, source)[:2] == (0, "0\n")
        assert each.out() == "child\n"
        assert run(each, "result = 1")[0] == 1


def test_every_child_keeps_its_status_for_its_call(instance: Instance) -> None:
    source = (
        "statuses = []\n"
        "for n in range(10):\n"
        "    pid = os.fork()\n"
        "    if pid == 0: os._exit(7)\n"
        "    statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
        "    statuses.append(subprocess.run(['sh', '-c', 'exit 7']).returncode)\n"
        "result = statuses"
    )
    replies: list[Reply] = []
    running = 0
    for _ in range(24):  # new calls are what lets the shim look for orphans
        if running == 8:
            replies += collect(instance, 1).replies.values()
            running -= 1
        begin(instance, source)
        running += 1
    replies += collect(instance, running).replies.values()
    assert [reply.json() for reply in replies] == [[7] * 20] * 24


def test_a_concurrency_of_one_is_the_ordinary_way(start: Starter) -> None:
    instance = start(RUN, handler="handler.handle", concurrency="1")
    assert instance.run("print('by the pipe')\nresult = threading.active_count()").json() == 1
    assert instance.out() == "by the pipe\n" and os.path.exists(f"/proc/{instance.process.pid}")
