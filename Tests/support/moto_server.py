"""AWS's protocols on loopback: a moto server with a key, secrets and a bucket, in the environment that scripts/test-tools makes."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from casemate_fixture import REPOSITORY

PYTHON = Path(os.environ.get("CASEMATE_TEST_PYTHON") or REPOSITORY / ".build/test-venv/bin/python3")
REGION = "eu-west-1"
_RUNNER = REPOSITORY / "Tests/CasemateAWSTests/Support/Python/moto_runner.py"
_CALL = """
import boto3, json, sys
service, operation, arguments, url, region, (user, key) = json.loads(sys.stdin.read())
client = boto3.client(service, region_name=region, endpoint_url=url, aws_access_key_id=user, aws_secret_access_key=key)
answer = getattr(client, operation)(**arguments)
body = answer.pop("Body", None)
if body is not None:
    answer["Body"] = body.read().decode()
print(json.dumps(answer, default=str))
"""


class Gate:
    """A port of loopback that leads to another one, or to nowhere."""

    def __init__(self, behind: int) -> None:
        self.behind = behind
        self.port = 0
        self._listener: socket.socket | None = None
        self._connections: list[socket.socket] = []
        self.open()

    def open(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def shut(self) -> None:
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._connections = []

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self.behind))
                self._connections += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)


@dataclass
class Moto:
    """A server that can be out of reach for a while."""

    facts: dict[str, Any]
    gate: Gate
    environment: dict[str, str] = field(
        default_factory=lambda: {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "testing/Secret+of=tests"}
    )

    @property
    def url(self) -> str:
        """By way of the gate."""
        return f"http://127.0.0.1:{self.gate.port}"

    def __call__(
        self, service: str, operation: str, by: Sequence[str] = ("testing", "testing"), **arguments: Any
    ) -> dict[str, Any]:
        """One operation, as an operator does it with boto3; `by` is the access key's id and its secret."""
        given = json.dumps([service, operation, arguments, f"http://127.0.0.1:{self.facts['port']}", REGION, list(by)])
        done = subprocess.run(
            [PYTHON, "-c", _CALL], input=given, text=True, capture_output=True, timeout=60, check=True
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def pause(self) -> None:
        """Nobody reaches it any more: connections are refused."""
        self.gate.shut()

    def go_on(self) -> None:
        self.gate.open()


@contextlib.contextmanager
def moto(*options: str) -> Iterator[Moto]:
    process = subprocess.Popen(
        [PYTHON, _RUNNER, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout and process.stdin
    gate = None
    try:
        facts = json.loads(process.stdout.readline())
        gate = Gate(facts["port"])
        yield Moto(facts, gate)
    finally:
        if gate:
            gate.shut()
        process.stdin.close()
        process.kill()
        process.wait()
