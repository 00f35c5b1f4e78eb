"""A function that asks for more than there is: it harms itself, and neither the warden nor its neighbours."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from casemate_fixture import Server, handler, memory_in_kib
from egress_probe import EgressProbe, platform_lines
from network_world import DEAD_ADDRESS, World
from world_dns import A

probe = EgressProbe(
    "floods/probe",
    egress=["*.star.example.net:8443", "*.star.example.net:8444", "*.star.example.net:8445", "silent.example.com:80"],
    limits={"timeout": "60s", "memory": "256MiB"},
)


@probe
def asks_for_what_cannot_be_opened(names: int, count: int) -> dict[str, int]:
    """Takes the ports of a star's names itself, so that no listener of theirs can be had, and asks on."""
    import os
    import socket
    import time

    asked = os.getpid()
    taken = socket.create_server(("0.0.0.0", 8443))
    for _ in range(3):
        if os.fork() == 0:
            break
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.connect(("127.0.0.53", 53))
    asker.setblocking(False)
    tail = b"\4star\7example\3net\0\0\1\0\1"
    codes: dict[str, int] = {}
    for number in range(count):
        label = b"n%d" % (number % names)
        try:
            asker.send(b"\0\1\1\0\0\1\0\0\0\0\0\0" + bytes([len(label)]) + label + tail)
        except BlockingIOError:
            time.sleep(0.001)
        try:
            while True:
                code = asker.recv(512)[3] & 15
                codes[str(code)] = codes.get(str(code), 0) + 1
        except BlockingIOError:
            pass
    if os.getpid() != asked:
        os._exit(0)
    taken.close()
    return codes


@probe
def asks_over_one_stream(count: int) -> dict[str, Any]:
    import socket

    query = b"\0\1\1\0\0\1\0\0\0\0\0\0\7nowhere\3org\0\0\1\0\1"
    received, ended = b"", False
    with socket.create_connection(("127.0.0.53", 53), 2) as stream:
        try:
            stream.sendall((len(query).to_bytes(2, "big") + query) * count)
            while not ended:
                more = stream.recv(65536)
                received, ended = received + more, not more
        except ConnectionResetError:
            ended = True
        except TimeoutError:
            pass
    return {"answers": len(received) // (len(query) + 2), "ended": ended}


@probe
def opens_streams(count: int) -> int:
    import socket
    import time

    streams = [socket.create_connection(("127.0.0.53", 53), 2) for _ in range(count)]
    time.sleep(0.5)
    alive = 0
    for stream in streams:
        stream.setblocking(False)
        try:
            alive += 1 if stream.recv(1) else 0
        except BlockingIOError:
            alive += 1
        except OSError:
            pass
    return alive


@probe
def pipelines_to_a_silent_host(connections: int, seconds: float) -> int:
    import socket
    import time

    request = b"GET / HTTP/1.1\r\nHost: silent.example.com\r\nX-A: " + b"a" * 60_000 + b"\r\n\r\n"
    open_ones = [socket.create_connection(("silent.example.com", 80), 2) for _ in range(connections)]
    sent, end = 0, time.monotonic() + seconds
    for one in open_ones:
        one.setblocking(False)
    while time.monotonic() < end:
        for one in open_ones:
            try:
                sent += one.send(request)
            except OSError:
                time.sleep(0.0005)
    return sent


@probe
def asks_for(message: str) -> int:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(2)
        asker.sendto(bytes.fromhex(message), ("127.0.0.53", 53))
        return asker.recv(512)[3] & 15


def question(*labels: bytes) -> str:
    name = b"".join(bytes([len(label)]) + label for label in labels)
    return (b"\0\1\1\0\0\1\0\0\0\0\0\0" + name + b"\0\0\1\0\1").hex()


@pytest.mark.case("N1")
def test_names_that_cannot_be_opened_do_not_keep_the_warden_from_others(walled: Server, world: World) -> None:
    walled.namespace("others")
    source = handler("def handle(data):\n    return 1\n")
    probe.deploy(walled)
    with ThreadPoolExecutor(1) as pool:
        flood = pool.submit(asks_for_what_cannot_be_opened, walled, names=300, count=60_000)
        slowest = 0.0
        for number in range(6):
            walled.deploy("others", f"f{number}", source)
            begin = time.monotonic()
            answer = walled.call(f"others/f{number}", body={})
            slowest = max(slowest, time.monotonic() - begin)
            assert answer.status == 200, answer.text
        codes = flood.result()
    assert set(codes) <= {"0", "2", "3"} and codes.get("2", 0) > 0, codes
    assert slowest < 3, f"a cold start of another's took {slowest:.1f} s"
    walled.assert_serving()


def test_a_stream_of_questions_and_their_number_are_bounded(walled: Server, world: World) -> None:
    """Else answers that nobody reads, and connections that say nothing, would be kept by the server."""
    probe.deploy(walled)
    found = asks_over_one_stream(walled, count=1000)
    assert found["ended"] and 0 < found["answers"] <= 64, found
    assert 0 < opens_streams(walled, count=100) <= 16
    walled.assert_serving()


def test_requests_to_a_host_that_does_not_answer_are_not_kept_without_end(walled: Server, world: World) -> None:
    world.dns["silent.example.com"] = [A(DEAD_ADDRESS)]
    probe.deploy(walled)
    before = memory_in_kib(walled.pid)
    assert pipelines_to_a_silent_host(walled, connections=64, seconds=4) > 0
    assert memory_in_kib(walled.pid) - before < 128 << 10
    walled.assert_serving()


@pytest.mark.case("N5")
@pytest.mark.parametrize("label", [b"a\\", b"$(id)", b"a b", b"a/../b", b"*", b"-a"], ids=repr)
def test_a_label_that_is_no_host_s_opens_nothing_and_is_in_no_command(
    walled: Server, world: World, label: bytes
) -> None:
    probe.deploy(walled)
    assert asks_for(walled, message=question(label, b"star", b"example", b"net")) != 0
    assert asks_for(walled, message=question(label, b"example", b"org")) != 0
    assert not [
        line for line in platform_lines(walled, "floods/probe", "casemate egress allow") if label.decode() + "." in line
    ]
    assert world.dns.questions == []
