"""What happens when a function takes too long, too much, or dies: a clear answer, and nothing left behind."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from casemate_fixture import Inside, Server, handler, memory_in_kib, problem, wait_until, with_argument

crash = Inside("limits/crash", limits={"timeout": "20s", "memory": "96MiB"})
slow = Inside("limits/slow", limits={"timeout": "1s"})


@crash
def exits_at_once() -> None:
    import os

    os._exit(0)


@crash
def segmentation_fault() -> None:
    import ctypes

    ctypes.string_at(0)


@crash
def signals_itself() -> list[object]:
    import os

    try:
        os.kill(os.getpid(), 9)
    except OSError as refused:
        return [os.getpid(), refused.errno]
    return [os.getpid(), 0]


@crash
def takes_memory() -> int:
    kept = []
    for _ in range(400):
        kept.append(bytearray(b"x" * (1 << 20)))
    return len(kept)


@crash
def child_takes_memory() -> int:
    import os

    child = os.fork()
    if child == 0:
        kept = []
        while True:
            kept.append(bytearray(b"x" * (1 << 20)))
    return os.waitpid(child, 0)[1]


@crash
def exits_by_system_exit() -> None:
    import sys

    sys.exit(7)


@crash
def closes_every_descriptor() -> str:
    import os

    os.closerange(0, 1024)
    return "closed"


@crash
def counts() -> int:
    return 1


@slow
def sleeps(marker: str) -> None:
    import subprocess
    import sys
    import time

    subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)", marker])
    time.sleep(600)


@slow
def refuses_to_end(marker: str) -> None:
    import signal
    import subprocess
    import sys

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    code = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(600)\ntime.sleep(600)"
    subprocess.Popen([sys.executable, "-I", "-S", "-c", code, marker], start_new_session=True)
    while True:
        pass


@pytest.mark.case("X12")
@pytest.mark.parametrize("remote", [sleeps, refuses_to_end], ids=lambda remote: remote.name)
def test_X12_a_timeout_is_504_and_the_sandbox_is_gone_within_a_second(server: Server, remote: object) -> None:
    marker = f"marker-{uuid.uuid4()}"
    answer = remote.answer(server, marker=marker)  # type: ignore[attr-defined]
    assert problem(answer)["status"] == 504
    assert 0.9 < answer.seconds < 4, f"the answer took {answer.seconds:.1f} s with a limit of 1 s"
    assert wait_until(lambda: not with_argument(marker), 1.2), [p.command for p in with_argument(marker)]


def test_the_process_of_a_running_call_can_be_seen_on_the_host(server: Server) -> None:
    """The check of the test above is able to fail: while the call runs, its marked process is there."""
    marker = f"marker-{uuid.uuid4()}"
    sleeps.inside.deploy(server)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(sleeps.answer, server, marker=marker)
        assert wait_until(lambda: with_argument(marker), 5)
        assert running.result().status == 504


@pytest.mark.case("C3")
@pytest.mark.parametrize(
    "remote", [exits_at_once, segmentation_fault, closes_every_descriptor], ids=lambda remote: remote.name
)
def test_C3_a_crash_is_502_at_once_and_the_next_call_works(server: Server, remote: object) -> None:
    answer = remote.answer(server)  # type: ignore[attr-defined]
    assert problem(answer)["status"] == 502
    assert answer.seconds < 5
    assert counts(server) == 1


def test_a_function_cannot_kill_the_first_process_of_its_sandbox(server: Server) -> None:
    answer = signals_itself.answer(server)
    if answer.status == 200:
        assert answer.json()[0] == 1
    else:
        assert answer.status == 502
    assert counts(server) == 1


def test_system_exit_in_a_handler_is_an_error_of_the_function(server: Server) -> None:
    assert exits_by_system_exit.answer(server).status in (500, 502)
    assert counts(server) == 1


@pytest.mark.case("C3", "X3")
def test_C3_too_much_memory_is_502_with_reason_out_of_memory(server: Server) -> None:
    details = problem(takes_memory.answer(server))
    assert details["status"] == 502
    assert details.get("reason") == "out-of-memory", details
    assert counts(server) == 1


def test_a_child_that_takes_too_much_memory_is_ended_and_harms_at_most_its_own_call(server: Server) -> None:
    answer = child_takes_memory.answer(server)
    assert answer.status == 200 or problem(answer).get("reason") == "out-of-memory", answer.text
    assert counts(server) == 1


def test_twenty_parallel_calls_use_at_most_the_two_instances_of_the_scale(server: Server) -> None:
    source = handler("""
        import time, uuid
        ME = str(uuid.uuid4())
        def handle(data):
            time.sleep(0.1)
            return ME
        """)
    server.deploy("limits", "two", source, {"scale": {"max": 2}})
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: server.call("limits/two", body={}), range(20)))
    served = [answer for answer in answers if answer.status == 200]
    for answer in answers:
        if answer.status != 200:
            assert problem(answer)["status"] == 503
            assert int(answer.headers["retry-after"]) >= 1
    assert len(served) >= 2
    assert len({answer.json() for answer in served}) <= 2
    assert server.call("limits/two", body={}).status == 200


def test_one_call_at_a_time_runs_in_an_instance(server: Server) -> None:
    source = handler("""
        import time
        running = 0
        def handle(data):
            global running
            running += 1
            seen = running
            time.sleep(0.05)
            running -= 1
            return seen
        """)
    server.deploy("limits", "single", source, {"scale": {"max": 1}})
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.call("limits/single", body={}), range(8)))
    assert {answer.json() for answer in answers if answer.status == 200} == {1}


def test_no_capacity_is_503_with_retry_after_and_not_a_wait_without_end(server: Server) -> None:
    source = handler("import time\ndef handle(data):\n    time.sleep(data['s'])\n    return 1\n")
    server.deploy("limits", "full", source, {"scale": {"max": 1}, "limits": {"timeout": "20s"}})
    with ThreadPoolExecutor(60) as pool:
        first = pool.submit(server.call, "limits/full", body={"s": 6})
        time.sleep(0.5)
        rest = [pool.submit(server.call, "limits/full", body={"s": 0}) for _ in range(50)]
        answers = [future.result() for future in rest]
        assert first.result().status == 200
    refused = [answer for answer in answers if answer.status != 200]
    assert {answer.status for answer in refused} <= {503}
    for answer in refused:
        assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.guarantee("SCW-19")
def test_a_request_over_6_mib_is_413_with_and_without_a_length(server: Server) -> None:
    server.deploy("limits", "size", handler("def handle(event, context):\n    return {'size': len(event['body'])}\n"))
    limit = 6 << 20
    assert server.call("limits/size", body=b"a" * limit).json() == {"size": limit}
    assert problem(server.call("limits/size", body=b"a" * (limit + 1)))["status"] == 413

    def chunks(total: int):  # type: ignore[no-untyped-def]
        for _ in range(total >> 16):
            yield b"a" * (1 << 16)
        yield b"b"

    assert server.call("limits/size", "POST", body=chunks(1 << 20)).json() == {"size": (1 << 20) + 1}
    assert server.call("limits/size", "POST", body=chunks(limit)).status == 413
    refused = server.call("limits/size", key=None, body=b"a" * (limit + 1))
    assert refused.status in (401, 413)


def test_a_response_of_2_mib_arrives_whole_and_in_order(server: Server) -> None:
    source = handler("def handle(event, context):\n    return ''.join('%015d\\n' % n for n in range(131072))\n")
    server.deploy("limits", "large", source)
    answer = server.call("limits/large")
    assert answer.status == 200 and answer.complete
    assert answer.body == b"".join(b"%015d\n" % n for n in range(131072))


def test_a_result_of_100_mib_is_a_clear_502_and_the_server_goes_on(server: Server) -> None:
    source = handler("def handle(event, context):\n    return 'x' * (100 << 20)\n")
    server.deploy("limits", "huge", source, {"limits": {"memory": "1024MiB", "timeout": "60s"}})
    before = memory_in_kib(server.pid)
    answer = server.call("limits/huge")
    assert answer.status == 502, f"{answer.status}, {len(answer.body)} bytes"
    assert "Traceback" not in answer.text and problem(answer)["detail"]
    server.assert_serving()
    assert memory_in_kib(server.pid) - before < 128 << 10, "the server keeps the refused result in its memory"


@pytest.mark.case("L3")
def test_a_caller_that_goes_away_leaves_no_call_running(server: Server) -> None:
    import socket
    import urllib.parse

    source = handler("import time\ndef handle(data):\n    time.sleep(data['s'])\n    return 1\n")
    server.deploy("limits", "left", source, {"limits": {"timeout": "3s"}, "scale": {"max": 1}})
    parts = urllib.parse.urlsplit(server.gateway_url)
    with socket.create_connection((parts.hostname, parts.port)) as caller:
        head = f"POST /f/limits/left HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\nContent-Length: 9\r\n\r\n"
        caller.sendall(head.encode() + b'{"s":  2}')
        time.sleep(0.3)
    answer = server.call("limits/left", body={"s": 0}, timeout=30)
    assert answer.status == 200, answer.text


def test_a_long_body_is_handed_on_while_it_comes_and_a_sender_who_leaves_harms_nobody(server: Server) -> None:
    import socket
    import urllib.parse

    source = handler(
        "import hashlib\ndef handle(event, context):\n    return hashlib.sha256(event['body'].encode()).hexdigest()\n"
    )
    server.deploy("limits", "long-body", source, {"scale": {"max": 1}, "limits": {"memory": "512MiB"}})
    body = ("0123456789abcde\n" * 64 * 5 * 1024).encode()
    import hashlib

    digest = hashlib.sha256(body).hexdigest()
    assert server.call("limits/long-body", body=body).text == digest
    starts = server.status()["coldStarts"]

    def begin() -> socket.socket:
        parts = urllib.parse.urlsplit(server.gateway_url)
        client = socket.create_connection((parts.hostname, parts.port), timeout=20)
        head = f"POST /f/limits/long-body HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {server.key}\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body[:200_000])
        return client

    def running() -> bool:
        return "\ncasemate_calls_running 1\n" in server.api("GET", "/metrics").text

    client = begin()
    assert wait_until(running, 5), "the call begins before its body is all there"
    client.sendall(body[200_000:])
    answer = b""
    while digest.encode() not in answer:
        part = client.recv(65_536)
        assert part, answer
        answer += part
    client.close()
    assert server.status()["coldStarts"] == starts

    client = begin()
    assert wait_until(running, 5)
    client.close()
    assert wait_until(lambda: not running(), 5)
    assert server.call("limits/long-body", body=body).text == digest
    assert server.status()["coldStarts"] == starts + 1, "the instance with half a body is not used again"


@pytest.mark.case("N10")
def test_N10_a_sender_that_stops_in_the_middle_of_a_long_body_is_let_go(server: Server) -> None:
    import socket
    import urllib.parse

    source = handler("def handle(event, context):\n    return 'served'\n")
    server.deploy("limits", "stalled", source, {"scale": {"max": 1}})
    parts = urllib.parse.urlsplit(server.gateway_url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as client:
        head = f"POST /f/limits/stalled HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {server.key}\r\nContent-Length: 1000000\r\n\r\n"
        client.sendall(head.encode() + b"x" * 200_000)
        begin = time.monotonic()
        answer = b""
        while part := client.recv(65_536):
            answer += part
        assert answer.startswith(b"HTTP/1.1 408 "), answer
        assert 8 < time.monotonic() - begin < 16
    assert server.call("limits/stalled", body=b"x").text == "served"


def test_a_caller_who_reads_its_answer_slowly_does_not_stop_the_next_call_of_the_instance(server: Server) -> None:
    import socket
    import urllib.parse

    source = handler(
        "def handle(event, context):\n    return 'x' * (event['queryStringParameters'].get('n') and 8 << 20 or 1)\n"
    )
    server.deploy("limits", "slow-reader", source, {"scale": {"max": 1}, "limits": {"timeout": "20s"}})
    assert server.call("limits/slow-reader", body={}).body == b"x"
    parts = urllib.parse.urlsplit(server.gateway_url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        client.sendall(
            f"GET /f/limits/slow-reader?n=1 HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {server.key}\r\n\r\n".encode()
        )
        time.sleep(1)
        got = 0
        while got < 8 << 20:
            part = client.recv(1 << 20)
            assert part
            got += len(part)
            if got < 1 << 18:
                time.sleep(0.05)
    begin = time.monotonic()
    assert server.call("limits/slow-reader", body={}).body == b"x"
    assert time.monotonic() - begin < 5
