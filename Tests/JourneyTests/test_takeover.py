"""Sockets that a service manager keeps: one server follows another, and nobody is refused. The tests are the service manager."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from async_calls import ECHO, begin, outcome
from casemate_fixture import Answer, Server

NAMES = ("api", "gateway")

# Becomes `casemate up` with the sockets as its descriptors from 3 on; for other commands it hands nothing over.
HAND_OVER = """
import os, socket, sys
path, command = sys.argv[1], sys.argv[2:]
if command[1] == "up":
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        names, given, _, _ = socket.recv_fds(connection, 1024, 8)
    given = [os.dup2(fd, 60 + index) for index, fd in enumerate(given)]
    for index, fd in enumerate(given):
        os.dup2(fd, 3 + index)
    os.closerange(3 + len(given), 80)
    pid = os.environ.get("TEST_LISTEN_PID", str(os.getpid()))
    os.environ |= {"LISTEN_PID": pid, "LISTEN_FDS": str(len(given)), "LISTEN_FDNAMES": names.decode()}
os.execv(command[0], command)
"""


class Manager:
    """Keeps sockets, and hands them to each `casemate up` that its server makes."""

    def __init__(self, sockets: Mapping[str, socket.socket], environment: Mapping[str, str] | None = None) -> None:
        self.sockets = sockets
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "hand-over"
        self.door = socket.socket(socket.AF_UNIX)
        self.door.bind(str(path))
        self.door.listen()
        threading.Thread(target=self._hand_over, daemon=True).start()
        prefix = (sys.executable, "-I", "-c", HAND_OVER, str(path))
        self.server = Server(prefix=prefix, environment=environment or {})

    def _hand_over(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.door.accept()
                names = ":".join(self.sockets).encode()
                socket.send_fds(connection, [names], [one.fileno() for one in self.sockets.values()])
                connection.close()

    def close(self) -> None:
        self.door.close()
        for one in self.sockets.values():
            one.close()
        self.folder.cleanup()


@contextlib.contextmanager
def managed(sockets: Mapping[str, socket.socket], **environment: str) -> Iterator[Server]:
    manager = Manager(sockets, environment)
    try:
        yield manager.server
    finally:
        manager.close()


def listening(host: str = "127.0.0.1") -> socket.socket:
    return socket.create_server((host, 0), backlog=1024)


def port(one: socket.socket) -> int:
    found: int = one.getsockname()[1]
    return found


class Callers:
    """Threads that go on asking, each time over a new connection, and keep all answers."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.ends = threading.Event()
        self.answers: list[tuple[str, int]] = []
        self.refused: list[str] = []
        self.calls: list[str] = []
        self.faults: list[str] = []
        self.threads = [threading.Thread(target=self._go_on, args=(name,)) for name in ("call", "begin", "api")]
        for thread in self.threads:
            thread.start()

    def _ask(self, what: str) -> Answer:
        if what == "api":
            return self.server.api("GET", "/v1/namespaces")
        headers = {"Prefer": "respond-async"} if what == "begin" else {}
        return self.server.call("take/over", body={"n": 1}, headers=headers)

    def _go_on(self, what: str) -> None:
        while not self.ends.is_set():
            try:
                answer = self._ask(what)
            except Exception as error:
                self.faults.append(f"{what}: {error!r}")
                continue
            self.answers.append((what, answer.status))
            if answer.status >= 300:
                self.refused.append(f"{what}: {answer.text}")
            if answer.status == 202:
                self.calls.append(answer.json()["callId"])
            time.sleep(0.01)

    def end(self) -> None:
        self.ends.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()


def test_while_one_server_follows_another_nobody_is_refused_and_nothing_is_lost() -> None:
    sockets = {name: listening() for name in NAMES}
    # What runs is let end, also on a busy machine.
    with managed(sockets, CASEMATE_DRAIN_SECONDS="20") as server, server:
        assert (server.api_url, server.gateway_url) == tuple(
            f"http://127.0.0.1:{port(one)}" for one in sockets.values()
        )
        server.deploy("take", "over", ECHO, {"signature": "scaleway"})
        begin(server, "take/over", {})
        callers = Callers(server)
        for _ in range(3):
            time.sleep(0.5)
            seen = len(callers.answers)
            server.stop(40)
            server.start()
            assert len(callers.answers) >= seen
        time.sleep(0.5)
        callers.end()
        assert callers.faults == []
        assert callers.refused == []
        assert len({what for what, _ in callers.answers}) == 3 and len(callers.calls) >= 10
        for call in callers.calls:
            assert outcome(server, call)["body"] == json.dumps({"n": 1})


def test_a_request_that_came_while_no_server_ran_is_answered_by_the_next() -> None:
    with managed({name: listening() for name in NAMES}) as server, server:
        server.deploy("take", "over", ECHO, {"signature": "scaleway"})
        server.stop()
        found: list[int] = []
        thread = threading.Thread(target=lambda: found.append(server.call("take/over", body={}).status))
        thread.start()
        time.sleep(0.3)
        assert found == []
        server.start()
        thread.join(30)
        assert found == [200]


def test_one_socket_alone_may_be_handed_over() -> None:
    gateway = listening()
    with managed({"gateway": gateway}) as server, server:
        assert server.gateway_url == f"http://127.0.0.1:{port(gateway)}"
        assert server.api_url != server.gateway_url


def test_a_connection_that_is_kept_is_told_to_end() -> None:
    with managed({name: listening() for name in NAMES}) as server, server:
        slow = {"handler.py": "import time\ndef handle(event, context):\n    time.sleep(0.8)\n    return 'done'\n"}
        server.deploy("take", "slow", slow, {"signature": "scaleway"})
        found: list[Answer] = []
        thread = threading.Thread(target=lambda: found.append(server.call("take/slow", body={})))
        thread.start()
        time.sleep(0.4)
        server.stop()
        thread.join(10)
        assert found[0].status == 200 and found[0].headers["connection"] == "close"


def test_sockets_for_another_process_are_not_touched() -> None:
    sockets = {name: listening() for name in NAMES}
    with managed(sockets, TEST_LISTEN_PID=str(os.getpid())) as server, server:
        assert str(port(sockets["gateway"])) not in server.gateway_url


def fault(sockets: Mapping[str, socket.socket]) -> str:
    """What `up` says when it does not come up."""
    with managed(sockets) as server, pytest.raises(AssertionError, match="did not come up") as caught, server:
        pass
    return str(caught.value)


def test_what_can_t_be_used_is_told_with_what_to_write_instead() -> None:
    assert "FileDescriptorName= is each of api, gateway once" in fault({"web": listening()})
    assert "FileDescriptorName= is each of api, gateway once" in fault({"": listening(), "gateway": listening()})
    assert "there is use for 2" in fault({"api": listening(), "gateway": listening(), "more": listening()})
    unbound = socket.socket()
    datagrams = socket.socket(type=socket.SOCK_DGRAM)
    local = socket.socket(socket.AF_UNIX)
    for one in (unbound, datagrams, local):
        assert "no listening TCP socket" in fault({"api": one})


def test_without_tls_a_socket_listens_on_loopback_alone() -> None:
    told = fault({"gateway": listening("0.0.0.0")})  # it is refused
    assert "tls" in told.lower() and "loopback" in told.lower()


def test_the_units_fit_the_server() -> None:
    folder = Path(__file__).resolve().parents[2] / "deploy/systemd"
    for name in NAMES:
        text = (folder / f"casemate-{name}.socket").read_text()
        assert f"FileDescriptorName={name}\n" in text and "Service=casemate.service\n" in text
