"""Several calls at once in one instance: really at once, each with its own answer, lines and end."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from casemate_fixture import Server, handler, problem

EIGHT = {"scale": {"max": 1}, "limits": {"concurrency": 8, "timeout": "20s"}}


@pytest.fixture(scope="module")
def shared(running: Server) -> Server:
    running.namespace("shared")
    return running


@pytest.mark.parametrize(
    "source",
    [
        "import threading, uuid\nME = str(uuid.uuid4())\nALL = threading.Barrier(8)\ndef handle(data):\n"
        "    ALL.wait(10)\n    return [ME, data['n']]\n",
        "import asyncio, uuid\nME = str(uuid.uuid4())\nSEEN = 0\nasync def handle(data):\n    global SEEN\n    SEEN += 1\n"
        "    while SEEN < 8:\n        await asyncio.sleep(0.01)\n    return [ME, data['n']]\n",
    ],
    ids=["threads", "event loop"],
)
def test_eight_calls_run_at_once_in_one_instance(shared: Server, source: str, request: pytest.FixtureRequest) -> None:
    name = "barrier-" + request.node.callspec.id.replace(" ", "-")
    shared.deploy("shared", name, handler(source), EIGHT)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: shared.call(f"shared/{name}", body={"n": n}), range(8)))
    assert [a.status for a in answers] == [200] * 8, [a.text[:200] for a in answers]
    assert [a.json()[1] for a in answers] == list(range(8)), "each has its own answer"
    assert len({a.json()[0] for a in answers}) == 1, "one process served all"


def test_one_more_call_than_the_slots_waits_and_is_served(shared: Server) -> None:
    source = handler("import time\ndef handle(data):\n    time.sleep(0.2)\n    return data['n']\n")
    shared.deploy("shared", "slots", source, {"scale": {"max": 1}, "limits": {"concurrency": 2}})
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda n: shared.call("shared/slots", body={"n": n}), range(5)))
    assert [a.json() for a in answers] == list(range(5))


@pytest.mark.guarantee("COG-12")
def test_each_call_has_its_own_lines_whole_and_in_order(shared: Server) -> None:
    shared.secret("shared/lines", "KEY", "printed-secret-51c9")
    source = handler("""
        import logging, sys, time
        def handle(data, secrets):
            n = data["n"]
            for i in range(200):
                print(f"call {n} line {i}")
                if i % 50 == 0:
                    print(f"call {n} key {secrets['KEY']}", file=sys.stderr)
                    time.sleep(0.01)
            return n
        """)
    shared.deploy("shared", "lines", source, {**EIGHT, "secrets": ["KEY"]})
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: shared.call("shared/lines", body={"n": n}), range(8)))
    for n, answer in enumerate(answers):
        assert answer.status == 200
        lines = shared.logs("shared/lines", answer.call_id)
        printed = [line["message"] for line in lines if line["stream"] == "stdout"]
        assert printed == [f"call {n} line {i}" for i in range(200)]
        errors = [line["message"] for line in lines if line["stream"] == "stderr"]
        assert errors == [f"call {n} key [secret:KEY]"] * 4


def test_an_exception_in_one_call_leaves_the_others_alone_and_its_traceback_is_its_own(shared: Server) -> None:
    source = handler("""
        import time
        def handle(data):
            time.sleep(0.1)
            if data["n"] == 3:
                raise ValueError("three is wrong")
            return data["n"]
        """)
    shared.deploy("shared", "raises", source, EIGHT)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: shared.call("shared/raises", body={"n": n}), range(8)))
    assert [a.status for a in answers] == [200, 200, 200, 500, 200, 200, 200, 200]
    assert any("three is wrong" in line for line in shared.messages("shared/raises", answers[3].call_id))
    assert shared.messages("shared/raises", answers[4].call_id) == []


def test_a_call_that_runs_into_its_time_limit_is_504_and_those_beside_it_end_well(shared: Server) -> None:
    source = handler("""
        import time, uuid
        ME = str(uuid.uuid4())
        def handle(data):
            time.sleep(data["s"])
            return ME
        """)
    shared.deploy("shared", "late", source, {"scale": {"max": 1}, "limits": {"concurrency": 4, "timeout": "1s"}})
    first = shared.call("shared/late", body={"s": 0}).json()
    with ThreadPoolExecutor(2) as pool:
        late = pool.submit(shared.call, "shared/late", body={"s": 30})
        time.sleep(0.7)
        beside = pool.submit(shared.call, "shared/late", body={"s": 0.6})
        assert problem(late.result())["status"] == 504
        assert beside.result().json() == first
    answer = shared.call("shared/late", body={"s": 0})
    assert answer.status == 200 and answer.json() != first, "no new call enters an instance with a stuck thread"


def test_a_crash_answers_every_call_of_the_instance_with_502(shared: Server) -> None:
    source = handler("""
        import os, time
        def handle(data):
            if data["n"] == 0:
                time.sleep(0.3)
                os._exit(1)
            time.sleep(5)
        """)
    shared.deploy("shared", "dies", source, EIGHT)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: shared.call("shared/dies", body={"n": n}), range(4)))
    assert [problem(a)["status"] for a in answers] == [502] * 4


def test_the_late_reply_of_a_call_that_ran_out_of_time_harms_no_other(shared: Server) -> None:
    source = handler("import time\ndef handle(data):\n    time.sleep(data['s'])\n    return data['s']\n")
    shared.deploy("shared", "overdue", source, {"scale": {"max": 1}, "limits": {"concurrency": 4, "timeout": "1s"}})
    assert shared.call("shared/overdue", body={"s": 0}).status == 200
    with ThreadPoolExecutor(2) as pool:
        late = pool.submit(shared.call, "shared/overdue", body={"s": 1.3})
        time.sleep(0.8)
        beside = pool.submit(shared.call, "shared/overdue", body={"s": 0.9})
        assert late.result().status == 504
        assert beside.result().json() == 0.9, "the other's late reply came while this one ran"
