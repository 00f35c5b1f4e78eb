"""Functions and hosts that wear the wall out: slow ones, silent ones, floods. It stays bounded, and gives everything back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from casemate_fixture import Server, memory_in_kib, wait_until
from egress_probe import EgressProbe, assert_told, refused, trusting, was_refused
from network_world import DRAIN, ECHO, FAREWELL, SINK, TRICKLE, World
from world_dns import A

PUBLIC = "93.184.216.34"
HOST = "peer.example.com"
QUOTA = 256

probe = EgressProbe(
    "worn/probe",
    egress=[f"{HOST}:{port}" for port in (443, ECHO, FAREWELL, TRICKLE, SINK, DRAIN)],
    limits={"timeout": "120s", "memory": "512MiB", "pids": 256},
)
neighbour = EgressProbe("worn/neighbour", egress=["good.example.com:443"])


@pytest.fixture
def peers(walled: Server, world: World) -> World:
    world.dns[HOST] = world.dns["good.example.com"] = [A(PUBLIC)]
    return world


def held_descriptors(server: Server) -> int:
    """Open descriptors of the server and its wardens."""
    folders = [Path(f"/proc/{pid}/fd") for pid in (server.pid, *(process.pid for process in server.wardens()))]
    return sum(len(list(folder.iterdir())) for folder in folders)


def held_memory(server: Server) -> int:
    return sum(memory_in_kib(pid) for pid in (server.pid, *(process.pid for process in server.wardens())))


@pytest.fixture
def gives_back(walled: Server, peers: World) -> Iterator[None]:
    """What the server held before the test is what it holds after it, but for some memory of the allocator's."""
    assert probe.fetches(walled, host=HOST).get("status") == 200
    assert neighbour.fetches(walled, host="good.example.com").get("status") == 200
    time.sleep(1)
    descriptors, memory = held_descriptors(walled), held_memory(walled)
    yield
    assert wait_until(
        lambda: held_descriptors(walled) <= descriptors + 8, 15, every=0.5
    ), f"{descriptors} descriptors before, {held_descriptors(walled)} after"
    assert held_memory(walled) - memory < 64 << 10, f"{held_memory(walled) - memory} KiB more than before"
    walled.assert_serving()


class Highest:
    """The most memory that the server had while a block ran, in KiB above what it had before."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._begin = memory_in_kib(server.pid)
        self.above = 0
        self._pool = ThreadPoolExecutor(1)
        self._over = False

    def __enter__(self) -> Highest:
        self._watching = self._pool.submit(self._watch)
        return self

    def _watch(self) -> None:
        while not self._over:
            self.above = max(self.above, memory_in_kib(self._server.pid) - self._begin)
            time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._watching.result()
        self._pool.shutdown()


# ---------------------------------------------------------------- both directions


def test_the_function_finishes_first_and_still_hears_the_answer(walled: Server, peers: World) -> None:
    found = probe.exchanges(walled, host=HOST, port=ECHO, pieces=[b"x".hex() * 100_000], finish=True, limit=1 << 20)
    assert found["received"] == "x" * 100_000 + "<100000>", found["received"][-20:]
    assert found["ended"] == "closed"


@probe
def hears_then_says(host: str, port: int, count: int, times: int) -> list[str]:
    import socket

    found = []
    for _ in range(times):
        with socket.create_connection((host, port), 5) as stream:
            heard = b""
            while part := stream.recv(100):
                heard += part
            for _ in range(count):
                stream.sendall(b"y" * 1000)
            stream.shutdown(socket.SHUT_WR)
        found.append(heard.decode())
    return found


def test_the_host_finishes_first_and_still_hears_the_function(walled: Server, peers: World) -> None:
    """Many times: whoever drops what is not yet passed on when both sides have finished does so only now and then."""
    times = 80
    assert hears_then_says(walled, host=HOST, port=FAREWELL, count=500, times=times) == ["farewell"] * times
    arrivals = peers.arrivals_at(PUBLIC, FAREWELL)
    assert wait_until(lambda: all(arrival.closed for arrival in arrivals), 5)
    assert [arrival.received for arrival in arrivals] == [500_000] * times


def test_a_slow_host_is_waited_for_as_long_as_it_says_something(walled: Server, peers: World) -> None:
    found = probe.exchanges(walled, host=HOST, port=TRICKLE, limit=30, timeout=5)
    assert len(found.get("received", "")) == 30, found
    slow = probe.fetches(walled, host=HOST, path="/slow/40", timeout=20)
    assert slow.get("saw") == 40, slow


# ---------------------------------------------------------------- back-pressure


@probe
def pours(host: str, port: int, count: int, timeout: float) -> dict[str, Any]:
    """Sends up to `count` bytes, and gives up when none has gone for `timeout`."""
    import socket

    sent, block = 0, b"z" * (1 << 16)
    with socket.create_connection((host, port), 5) as stream:
        stream.settimeout(timeout)
        try:
            while sent < count:
                sent += stream.send(block)
        except TimeoutError:
            pass
    return {"sent": sent}


def test_a_host_that_never_reads_fills_no_memory(walled: Server, peers: World, gives_back: None) -> None:
    with Highest(walled) as highest:
        found = pours(walled, host=HOST, port=SINK, count=256 << 20, timeout=3)
    assert found["sent"] < 128 << 20, "the wall took what the host did not"
    assert highest.above < 64 << 10, f"{highest.above} KiB more"


def test_a_host_that_reads_gets_all_of_it_and_fills_no_memory(walled: Server, peers: World, gives_back: None) -> None:
    with Highest(walled) as highest:
        assert pours(walled, host=HOST, port=DRAIN, count=256 << 20, timeout=20)["sent"] == 256 << 20
    [arrival] = peers.arrivals_at(PUBLIC, DRAIN)
    assert wait_until(lambda: arrival.received == 256 << 20, 20), arrival
    assert highest.above < 64 << 10, f"{highest.above} KiB more"


@probe
def asks_and_does_not_read(host: str, path: str, seconds: float) -> str:
    import socket
    import time

    with socket.create_connection((host, 443), 5) as plain:
        with trusting().wrap_socket(plain, server_hostname=host) as stream:
            stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            time.sleep(seconds)
    return "done"


def test_a_function_that_never_reads_fills_no_memory(walled: Server, peers: World, gives_back: None) -> None:
    with Highest(walled) as highest:
        asks_and_does_not_read(walled, host=HOST, path="/bytes/268435456", seconds=3)
    assert highest.above < 64 << 10, f"{highest.above} KiB more"


# ---------------------------------------------------------------- many


@probe
def visits(host: str, port: int, count: int, threads: int) -> dict[str, Any]:
    """Short connections, each with a word that must come back."""
    import socket
    from concurrent.futures import ThreadPoolExecutor

    def visit(number: int) -> str:
        word = b"%d" % number
        try:
            with socket.create_connection((host, port), 10) as stream:
                stream.sendall(word)
                stream.shutdown(socket.SHUT_WR)
                back = b""
                while part := stream.recv(100):
                    back += part
            return "right" if back == word + b"<%d>" % len(word) else "wrong"
        except OSError as refused:
            return type(refused).__name__

    found: dict[str, int] = {}
    with ThreadPoolExecutor(threads) as pool:
        for outcome in pool.map(visit, range(count)):
            found[outcome] = found.get(outcome, 0) + 1
    return found


@pytest.mark.parametrize(("count", "threads"), [(3_000, 1), (7_000, 32)])
def test_thousands_of_short_connections_all_work(
    walled: Server, peers: World, gives_back: None, count: int, threads: int
) -> None:
    assert visits(walled, host=HOST, port=ECHO, count=count, threads=threads) == {"right": count}
    assert len(peers.arrivals_at(PUBLIC, ECHO)) == count


@probe
def holds(host: str, port: int, count: int, word: str, seconds: float) -> dict[str, Any]:
    """Opens `count` connections and keeps them; says how many still stood after a second, and what the first does then."""
    import select
    import socket
    import time

    held, refusals = [], 0
    for _ in range(count):
        try:
            stream = socket.create_connection((host, port), 2)
            held.append(stream)
            stream.sendall(bytes.fromhex(word))
        except OSError:
            refusals += 1
    time.sleep(1)
    over = 0
    for stream in held:
        readable = select.select([stream], [], [], 0)[0]
        if readable:
            try:
                over += not stream.recv(1, socket.MSG_PEEK)
            except OSError:
                over += 1
    time.sleep(seconds)
    return {"opened": len(held), "refused": refusals, "over": over, "standing": len(held) - over}


def test_more_connections_than_the_quota_are_refused_at_once_and_told(walled: Server, peers: World) -> None:
    # A function of its own: what another test left to a host that never reads may still count there.
    fresh = EgressProbe("worn/counted", egress=[f"{HOST}:{ECHO}", f"{HOST}:443"])
    hold = fresh(holds)
    before = refused(walled, "quota")
    for _ in range(2):
        found = hold(walled, host=HOST, port=ECHO, count=QUOTA + 44, word="77", seconds=0)
        # The fetch before it may not be over yet.
        assert found["standing"] in (QUOTA - 1, QUOTA), found
        assert_told(walled, "worn/counted", f"{HOST}:{ECHO}", "quota", before)
        assert wait_until(
            lambda: fresh.fetches(walled, host=HOST).get("status") == 200, 5
        ), "the quota does not come back"
        before = refused(walled, "quota")
        time.sleep(1)


def test_the_quota_of_one_function_is_not_another_s(walled: Server, peers: World, gives_back: None) -> None:
    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(holds, walled, host=HOST, port=ECHO, count=QUOTA + 44, word="77", seconds=2)
        time.sleep(1.2)
        found = neighbour.fetches(walled, host="good.example.com")
        assert found.get("status") == 200 and found["seconds"] < 1, found
        holding.result()


def test_hundreds_that_say_nothing_are_let_go(walled: Server, peers: World, gives_back: None) -> None:
    """Half-open to the wall: connected, without a hello. They count, they end, and nothing of them comes outside."""
    peers.forget()
    peers.dns[HOST] = peers.dns["good.example.com"] = [A(PUBLIC)]
    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(holds, walled, host=HOST, port=443, count=900, word="", seconds=14)
        time.sleep(3)
        found = neighbour.fetches(walled, host="good.example.com")
        assert found.get("status") == 200 and found["seconds"] < 1, found
        assert holding.result()["standing"] <= QUOTA
    assert [arrival for arrival in peers.arrivals if arrival.sni != "good.example.com"] == []


@probe
def knocks_and_runs(host: str, port: int, count: int, reset: bool) -> dict[str, Any]:
    import socket
    import struct

    done = 0
    for _ in range(count):
        try:
            stream = socket.create_connection((host, port), 2)
            if reset:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stream.close()
            done += 1
        except OSError:
            pass
    return {"done": done}


@pytest.mark.parametrize("port", [443, ECHO])
@pytest.mark.parametrize("reset", [False, True])
def test_thousands_that_run_away_leave_nothing(
    walled: Server, peers: World, gives_back: None, port: int, reset: bool
) -> None:
    assert knocks_and_runs(walled, host=HOST, port=port, count=3000, reset=reset)["done"] > 1000
    assert wait_until(lambda: probe.fetches(walled, host=HOST).get("status") == 200, 5)


def test_a_function_that_is_ended_takes_its_connections_with_it(walled: Server, peers: World) -> None:
    ended = EgressProbe("worn/ended", egress=[f"{HOST}:{ECHO}"], limits={"timeout": "2s"})(holds)
    answer = ended.answer(walled, host=HOST, port=ECHO, count=50, word="77", seconds=30)
    assert answer.status == 504, answer.text
    assert wait_until(lambda: all(arrival.closed for arrival in peers.arrivals_at(PUBLIC, ECHO)), 5)
    assert len(peers.arrivals_at(PUBLIC, ECHO)) == 50
    walled.assert_serving()


def test_a_host_that_vanishes_ends_the_connection_in_the_function(walled: Server, peers: World) -> None:
    service = peers.serve(7005, lambda stream, arrival: stream.sendall(b"now you see me"))
    vanishing = EgressProbe("worn/vanishing", egress=[f"{HOST}:7005"])
    found = vanishing.exchanges(walled, host=HOST, port=7005, timeout=5)
    assert found.get("received") == "now you see me" and found["ended"] == "closed", found
    service.close()
    assert was_refused(vanishing.exchanges(walled, host=HOST, port=7005, pieces=["00"]))


def test_after_all_of_it_the_server_stops_within_its_time_and_leaves_nothing(network: World) -> None:
    with network.server() as server:
        network.forget()
        network.dns[HOST] = [A(PUBLIC)]
        with ThreadPoolExecutor(1) as pool:
            holding = pool.submit(probe.holds.answer, server, host=HOST, port=ECHO, count=100, word="77", seconds=20)
            assert wait_until(lambda: len(network.arrivals_at(PUBLIC, ECHO)) == 100, 30)
            server.stop()
            server.assert_clean()
            try:
                holding.result()
            except Exception:  # the server went away under the call: that is the point
                pass
    assert wait_until(lambda: all(arrival.closed for arrival in network.arrivals_at(PUBLIC, ECHO)), 5)
