"""V1: wrapping the data keys of many functions anew while calls go on. V2: calls each of which waits for its record in the audit log.

10,000 functions are made by giving each a secret. While `vault rotate` runs, one function is called without a pause; a call that fails ends
the measurement. For V2 the same function is called with 64 connections, by turns with and without a policy that has every call recorded on
disk before it runs: records are written in groups."""

from __future__ import annotations

import http.client
import json
import threading
import time

from casemate_bench.goals.cold import called
from casemate_bench.load import wrk
from casemate_bench.options import Bench, Wrong
from casemate_bench.server import Server, trivial
from casemate_bench.stats import paired, rotated
from casemate_bench.table import Row

_CONNECTIONS = 64


def run(bench: Bench) -> None:
    with Server(bench) as server:
        server.deploy({"called": trivial(0, scale={"min": 1, "max": 2})})
        server.wait_for_pool()
        if bench.wants("V1"):
            _rotation(bench, server)
        if bench.wants("V2"):
            _records(bench, server)


def _rotation(bench: Bench, server: Server) -> None:
    count = bench.options.sealed
    bench.say(f"  giving {count} functions a secret")
    _fill(server, count)
    # What it takes without a caller beside it, and with one.
    took: dict[str, list[float]] = {"alone": [], "under load": []}
    calls: list[float] = []
    for _ in range(bench.options.rounds):
        took["alone"].append(_rotate(server, count))
        stop = threading.Event()
        failure: list[BaseException] = []
        thread = threading.Thread(target=_call, args=(server, stop, calls, failure))
        thread.start()
        took["under load"].append(_rotate(server, count))
        stop.set()
        thread.join()
        if failure:
            raise Wrong(f"a call failed during a rotation: {failure[0]}")
    bench.keep("V1", took | {"calls in ms": calls})
    each = [seconds / count * 1e6 for seconds in took["under load"]]
    bench.add(
        Row(
            "V1",
            f"one data key wrapped anew, of {count}, with calls going on",
            each,
            "µs",
            "without calls",
            paired(took["under load"], took["alone"]),
            None,
            count=count * bench.options.rounds,
            note=f"unwrapping, wrapping, and a durable write for each 200; 0 of {len(calls)} calls failed, slowest {max(calls):.0f} ms",
        )
    )


def _fill(server: Server, count: int) -> None:
    def some(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server._api, timeout=60)
        for number in range(first, count, 4):
            path = f"/v1/namespaces/{server.NAMESPACE}/functions/s{number}/secrets/KEY"
            connection.request("PUT", path, f"value-of-function-{number}", {"Authorization": f"Bearer {server._key}"})
            response = connection.getresponse()
            if response.status != 200:
                raise Wrong(f"{response.status}: {response.read()!r}")
            response.read()
        connection.close()

    threads = [threading.Thread(target=some, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _rotate(server: Server, count: int) -> float:
    begin = time.perf_counter()
    server.api("POST", "/v1/vault/rotate", b"")
    while (state := json.loads(server.api("GET", "/v1/vault"))["rotation"])["phase"] == "running":
        time.sleep(0.02)
    if state["phase"] != "done" or state["wrapped"] < count:
        raise Wrong(f"the rotation ended with {state}")
    return time.perf_counter() - begin


def _call(server: Server, stop: threading.Event, calls: list[float], failure: list[BaseException]) -> None:
    try:
        with server.connection() as connection:
            wire = server.wire("called")
            while not stop.is_set():
                answer = connection.call(wire)
                called(answer, 0)
                calls.append(answer.milliseconds)
    except BaseException as error:
        failure.append(error)


def _records(bench: Bench, server: Server) -> None:
    rate: dict[str, list[float]] = {"unrecorded": [], "required": []}
    for turn in range(bench.options.rounds):
        for policy in rotated(list(rate), turn):
            server.api("PUT", f"/v1/namespaces/{server.NAMESPACE}/policy", json.dumps({"calls": policy}).encode())
            server.wait_for_pool()
            wrk(server.target("called"), 4, 1)
            before = _head(server)
            load = wrk(server.target("called"), _CONNECTIONS, bench.options.seconds)
            rate[policy].append(load.rate)
            if policy == "required" and _head(server) - before < load.rate * bench.options.seconds * 0.9:
                raise Wrong("there are fewer records than calls")
    bench.keep("V2", rate)
    bench.add(
        Row(
            "V2",
            f"calls that wait for their audit record, fsync included, c={_CONNECTIONS}",
            rate["required"],
            "/s",
            "calls that are not recorded",
            paired(rate["required"], rate["unrecorded"]),
            2000,
            goal_is="value",
            at_least=True,
            count=bench.options.rounds,
            note=f"{rate['unrecorded'][-1]:.0f}/s unrecorded; two instances of one function",
        )
    )


def _head(server: Server) -> int:
    return int(json.loads(server.api("GET", "/v1/audit?tail=1"))["cursor"])
