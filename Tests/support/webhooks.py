"""A receiver of alerts: notes each delivery, checks it as Standard Webhooks says, and answers as a test wants it to."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Behaviour = Callable[["_Handler"], None]


@dataclass
class Delivery:
    """One POST, and when its body had come."""

    path: str
    headers: dict[str, str]
    body: bytes
    method: str = "POST"
    at: float = field(default_factory=time.monotonic)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = self.json()["data"]
        return found


def is_signed(delivery: Delivery, secret: str) -> bool:
    """Whether one of its signatures is that of Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{delivery.id}.{delivery.headers['webhook-timestamp']}.".encode() + delivery.body
    wanted = "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(wanted, given) for given in delivery.headers["webhook-signature"].split(" "))


def status(code: int, **headers: str) -> Behaviour:
    def answer(handler: _Handler) -> None:
        handler.send_response(code)
        for name, text in headers.items():
            handler.send_header(name.replace("_", "-"), text)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def hangs(handler: _Handler) -> None:
    """Takes the request, and says nothing."""
    handler.receiver.closing.wait(120)


def trickles(handler: _Handler) -> None:
    """A head that never ends."""
    with contextlib.suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not handler.receiver.closing.wait(0.2):
            handler.wfile.write(b"X-More: more\r\n")


def endless(handler: _Handler) -> None:
    """A body that never ends, as fast as it is taken."""
    with contextlib.suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while not handler.receiver.closing.is_set():
            handler.wfile.write(b"x" * 65536)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def receiver(self) -> Receiver:
        return self.server.receiver  # type: ignore[attr-defined,no-any-return]

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): text for name, text in self.headers.items()}
        self.close_connection = True
        self.receiver.note(Delivery(self.path, headers, body, self.command))
        self.receiver.behaviour(self.path)(self)

    do_POST = do_GET = do_PUT = do_HEAD = _take

    def log_message(self, *_: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        pass


class Receiver:
    """Listens on a loopback port; `make` makes its sockets, as those of another network namespace."""

    def __init__(self, make: Callable[[int, int], socket.socket] = socket.socket) -> None:
        self._make = make
        self.port = 0
        self.closing = threading.Event()
        self.deliveries: list[Delivery] = []
        self._behaviours: dict[str, list[Behaviour]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Receiver:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Listens, again on the same port when it was closed."""
        self.closing.clear()
        self._server = _Server(("127.0.0.1", self.port), _Handler, bind_and_activate=False)
        self._server.receiver = self  # type: ignore[attr-defined]
        self._server.socket.close()
        self._server.socket = self._make(socket.AF_INET, socket.SOCK_STREAM)
        self._server.server_bind()
        self._server.server_activate()
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """From now on connections are refused."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def answers(self, path: str, *behaviours: Behaviour) -> None:
        """One after the other; the last of them from then on."""
        with self._lock:
            self._behaviours[path] = list(behaviours)

    def behaviour(self, path: str) -> Behaviour:
        with self._lock:
            left = self._behaviours.get(path) or [status(204)]
            return left.pop(0) if len(left) > 1 else left[0]

    def note(self, delivery: Delivery) -> None:
        with self._lock:
            self.deliveries.append(delivery)

    def got(self, path: str) -> list[Delivery]:
        with self._lock:
            return [delivery for delivery in self.deliveries if delivery.path == path]
