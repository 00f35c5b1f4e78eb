"""A bucket of moto's behind a proxy that lets pass what a key of one prefix may, notes what was asked, and fails where a test wants it to."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import http.server
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self

from moto_server import REGION, Gate, Moto

NAME = "casemate-test"
# What moto wants to see where it checks nothing.
_ANYBODY = {
    "Authorization": f"AWS4-HMAC-SHA256 Credential=testing/20240101/{REGION}/s3/aws4_request, SignedHeaders=host, Signature=0"
}
# The path is its key's, so that s3:GetObject is asked for a HEAD too.
_RIGHTS = ("GET", "HEAD", "PUT", "DELETE")


@dataclass
class Asked:
    """One request, as it came. `status` is None while nothing, or not all, was answered."""

    method: str
    path: str
    headers: dict[str, str]
    size: int = 0
    sha256: str = ""
    status: int | None = None
    sent: int = 0

    @property
    def is_conditional(self) -> bool:
        return self.headers.get("if-none-match") == "*"


class Cut(Exception):
    """The connection ends here."""


class Instead(Exception):
    """This is answered, and the bucket not asked."""

    def __init__(self, status: int, code: str, **headers: str) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        self.headers = {name.replace("_", "-"): text for name, text in headers.items()}


# Is told of each point of a request: asked, half (of its body has come), taken, stored (by the bucket), answering (half is sent).
Behaviour = Callable[[str, "_Exchange"], None]


def answers(status: int, code: str, **headers: str) -> Behaviour:
    def behave(point: str, _: _Exchange) -> None:
        if point == "taken":
            raise Instead(status, code, **headers)

    return behave


def cuts(at: str) -> Behaviour:
    def behave(point: str, _: _Exchange) -> None:
        if point == at:
            raise Cut

    return behave


def streams(told: int | None, most: int = 512 << 20) -> Behaviour:
    """An object without an end, of which the head tells a length or none; as fast as it is taken."""

    def behave(point: str, exchange: _Exchange) -> None:
        if point != "taken":
            return
        length = f"Content-Length: {told}\r\n" if told is not None else "Connection: close\r\n"
        exchange.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n{length}\r\n".encode())
        part = bytes(65536)
        while exchange.asked.sent < most:
            exchange.wfile.write(part)
            exchange.asked.sent += len(part)
        raise Cut

    return behave


class Hold:
    """Stops at a point until it is let go on."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.reached = threading.Event()
        self.may_go_on = threading.Event()

    def __call__(self, point: str, _: _Exchange) -> None:
        if point == self.at:
            self.reached.set()
            self.may_go_on.wait(60)


class _Exchange(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: Asked

    @property
    def bucket(self) -> Bucket:
        return self.server.bucket  # type: ignore[attr-defined,no-any-return]

    def _take(self) -> None:
        headers = {name.lower(): text for name, text in self.headers.items()}
        self.asked = Asked(self.command, self.path, headers)
        self.bucket.asked.append(self.asked)
        behave = self.bucket.behaviour_for(self.asked)
        try:
            behave("asked", self)
            body = self._body(behave)
            behave("taken", self)
            status, fields, content = self.bucket.forward(self.asked, body)
            behave("stored", self)
            self._send(status, fields, content, behave)
        except Instead as other:
            self._send(other.status, other.headers, other.body)
        except (Cut, OSError):
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_OPTIONS = _take

    def _body(self, behave: Behaviour) -> bytes:
        self.asked.size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(self.asked.size // 2)
        behave("half", self)
        body += self.rfile.read(self.asked.size - len(body))
        if len(body) < self.asked.size:
            raise Cut
        self.asked.sha256 = hashlib.sha256(body).hexdigest()
        return body

    def _send(
        self, status: int, fields: dict[str, str], content: bytes, behave: Behaviour = lambda point, exchange: None
    ) -> None:
        self.send_response(status)
        for name, text in fields.items():
            self.send_header(name, text)
        if status != 204 and "Content-Length" not in fields:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        behave("answering", self)
        self.wfile.write(content[len(content) // 2 :])
        self.asked.status, self.asked.sent = status, len(content)

    def log_message(self, *_: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        pass


@dataclass
class Bucket:
    """The part of a bucket below `prefix`. Whoever has its address may get, put and delete there, and nothing else."""

    moto: Moto
    prefix: str
    # As at AWS, who may not list is not told that an object is missing.
    tells_missing: bool = False
    # Whether moto checks credentials itself: then nobody else's way leads in.
    is_strict: bool = False
    asked: list[Asked] = field(default_factory=list)
    refused: list[Asked] = field(default_factory=list)
    _behaviours: list[tuple[str, str, Behaviour]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _Exchange)
        self._server.bucket = self  # type: ignore[attr-defined]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.gate = Gate(self._server.server_address[1])
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.shut()
        self._server.shutdown()
        self._server.server_close()

    # -- for the server

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.gate.port}"

    @property
    def address(self) -> str:
        return f"s3://{NAME}/{self.prefix}?region={REGION}&endpoint={self.endpoint}"

    @property
    def options(self) -> list[str]:
        return ["--artifacts", self.address]

    @property
    def words(self) -> list[str]:
        """What nobody is told who only uploads and reads."""
        return [NAME, self.prefix, "sha256/", "127.0.0.1", str(self.gate.port), "amazonaws"]

    # -- what it does wrong

    @contextlib.contextmanager
    def behaving(self, behaviour: Behaviour, method: str = "", key: str = "") -> Iterator[None]:
        """For requests of this method, on keys with this end."""
        entry = (method, key, behaviour)
        self._behaviours.append(entry)
        try:
            yield
        finally:
            self._behaviours.remove(entry)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Connections to it are refused."""
        self.gate.shut()
        try:
            yield
        finally:
            self.gate.open()

    @contextlib.contextmanager
    def held(self, at: str, method: str, key: str = "") -> Iterator[Hold]:
        hold = Hold(at)
        with self.behaving(hold, method, key):
            try:
                yield hold
            finally:
                hold.may_go_on.set()

    # -- what is in it, past the proxy

    def key(self, digest: str) -> str:
        return f"{self.prefix}/sha256/{digest}"

    def put(self, key: str, content: bytes) -> None:
        assert self._direct("PUT", f"/{NAME}/{key}", content)[0] == 200

    def get(self, key: str) -> bytes | None:
        status, _, content = self._direct("GET", f"/{NAME}/{key}")
        return content if status == 200 else None

    def remove(self, key: str) -> None:
        assert self._direct("DELETE", f"/{NAME}/{key}")[0] == 204

    def names(self) -> list[str]:
        """Of all that is below its prefix, without that."""
        status, _, listed = self._direct("GET", f"/{NAME}?list-type=2&prefix={self.prefix}/&max-keys=1000")
        assert status == 200, listed
        return [key.removeprefix(self.prefix + "/") for key in re.findall(r"<Key>(.*?)</Key>", listed.decode())]

    # -- what was asked

    def of(self, digest: str, method: str = "") -> list[Asked]:
        """The requests for one archive, or of one name below the prefix."""
        return [one for one in self.asked if one.path.endswith("/" + digest) and method in ("", one.method)]

    def behaviour_for(self, asked: Asked) -> Behaviour:
        found = [
            behaviour
            for method, key, behaviour in self._behaviours
            if method in ("", asked.method) and asked.path.endswith(key)
        ]
        return found[-1] if found else lambda point, exchange: None

    def forward(self, asked: Asked, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if asked.method not in _RIGHTS or not asked.path.startswith(f"/{NAME}/{self.prefix}/") or "?" in asked.path:
            self.refused.append(asked)
            raise Instead(403, "AccessDenied")
        status, fields, content = self._direct(asked.method, asked.path, body, asked.headers)
        if status == 404 and not self.tells_missing:
            raise Instead(403, "AccessDenied")
        return status, fields, content

    def _direct(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        assert headers or not self.is_strict, "only moto itself lets somebody in"
        connection = http.client.HTTPConnection("127.0.0.1", self.moto.facts["port"], timeout=60)
        kept = {
            name: text
            for name, text in (headers or _ANYBODY).items()
            if name not in ("expect", "connection", "content-length")
        }
        try:
            connection.request(method, path, body or None, {**kept, "Content-Length": str(len(body))})
            answer = connection.getresponse()
            dropped = (
                "connection",
                "transfer-encoding",
                "server",
                "date",
                *([] if method == "HEAD" else ["content-length"]),
            )
            fields = {name: text for name, text in answer.getheaders() if name.lower() not in dropped}
            return answer.status, fields, answer.read()
        finally:
            connection.close()
