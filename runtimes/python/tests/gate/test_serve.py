"""The process that a sandbox runs: warm before it is asked, one answer to each request, until the stream ends."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from casemate_runtime.frames import PROGRESS, SCAN, SCANNED, WARM, Channel, encode_field

from gate.paths import RUNTIME, TOOLS
from gate.support import Bundle, installed

Make = Callable[..., Bundle]

# The real entry, but for where the tools are.
_ENTRY = f"""
import sys
sys.path.insert(0, {str(RUNTIME)!r})
from casemate_gate import bootstrap
sys.path.pop(0)
bootstrap.TOOLS = {str(TOOLS)!r}
bootstrap.main(["serve"])
"""


class Client:
    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", f"import os\nos.dup2({theirs.fileno()}, 3)\n{_ENTRY}"],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._socket = ours
        self._channel = Channel(ours)
        frame = self._channel.read()
        assert frame is not None and frame[0] == WARM

    def ask(
        self, request: dict[str, Any] | bytes, *secrets: bytes, descriptor: int | None = None
    ) -> tuple[int, bytes, list[dict[str, Any]]]:
        """Status, body and what was reported on the way."""
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        meta = b"".join(encode_field(4, secret) for secret in secrets)
        header = (
            len(body).to_bytes(4, "big")
            + bytes([SCAN, 0])
            + bytes(2)
            + len(meta).to_bytes(4, "big")
            + bytes([0, 0, 0, 7])
        )
        descriptors = [] if descriptor is None else [descriptor]
        socket.send_fds(self._socket, [header[:1]], descriptors)
        self._socket.sendall(header[1:] + meta + body)
        progress: list[dict[str, Any]] = []
        while True:
            head = self._exactly(16)
            length, kind, status = int.from_bytes(head[:4], "big"), head[4], int.from_bytes(head[6:8], "big")
            assert int.from_bytes(head[12:], "big") == 7
            content = self._exactly(int.from_bytes(head[8:12], "big") + length)
            if kind == SCANNED:
                return status, content, progress
            assert kind == PROGRESS
            progress.append(json.loads(content))

    def _exactly(self, count: int) -> bytes:
        parts = b""
        while len(parts) < count:
            part = self._socket.recv(count - len(parts))
            assert part
            parts += part
        return parts

    def close(self) -> int:
        self._socket.close()
        return self.process.wait(10)


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client()
    yield client
    assert client.close() == 0


def test_a_scan_reports_each_check_and_answers(client: Client, bundle: Make) -> None:
    made = bundle({"handler.py": "eval('Tr0ub4dor&3')\n", **installed("flask", "3.0.0")})
    request = {"operation": "scan", "root": str(made.root), "function": "plant/x", "environment": {"A": "b"}}
    status, body, progress = client.ask(request, b"plant/x/KEY\0Tr0ub4dor&3")
    answer = json.loads(body)
    assert status == 0
    assert {(item["check"], item["rule"]) for item in answer["findings"]} == {
        ("own-secrets", "own-secret"),
        ("sast", "B307"),
    }
    assert [item["name"] for item in answer["components"]] == ["flask"]
    assert {item["check"] for item in progress} == {
        "secrets",
        "own-secrets",
        "sast",
        "files",
        "dependencies",
        "environment",
    }


def test_a_small_source_takes_well_below_half_a_second(client: Client, bundle: Make) -> None:
    made = bundle({"handler.py": "def handle(data):\n    return data\n" * 50})
    client.ask({"operation": "scan", "root": str(made.root)})
    started = time.monotonic()
    status, _, _ = client.ask({"operation": "scan", "root": str(made.root)})
    assert status == 0 and time.monotonic() - started < 0.5


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 200_000,
        b'{"operation": 1}',
        b'{"operation": "other"}',
        b'{"operation": "scan"}',
    ],
    ids=range(8),
)
def test_what_cannot_be_done_is_a_problem_and_no_end(client: Client, request_: bytes) -> None:
    status, body, _ = client.ask(request_)
    assert status == 1 and json.loads(body)["problem"]
    status, body, _ = client.ask({"operation": "nothing"})
    assert (status, json.loads(body)) == (1, {"problem": "there is no operation nothing"})
