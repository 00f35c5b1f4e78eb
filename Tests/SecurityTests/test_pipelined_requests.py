"""Several requests on one connection before the first is answered, and what is not HTTP among them."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path

import pytest
from casemate_fixture import Server, handler, wait_until

ECHO = handler("""
    import time
    def handle(data):
        time.sleep(data.get("s", 0))
        return {"n": data["n"], "size": len(data.get("pad", "")), "back": "b" * data.get("back", 0)}
    """)


class _Kept(io.BufferedReader):
    """Outlives the responses that are read from it."""

    def close(self) -> None: ...


class Connection:
    def __init__(self, client: socket.socket, token: str) -> None:
        self._client, self._token = client, token
        self._reader = _Kept(socket.SocketIO(client, "r"))

    def makefile(self, _: str) -> _Kept:
        return self._reader

    def request(self, n: int, path: str = "pipelined/echo", token: str | None = None, **data: object) -> bytes:
        body = json.dumps({"n": n, **data}).encode()
        head = f"POST /f/{path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token or self._token}\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    def send(self, *parts: bytes) -> None:
        self._client.sendall(b"".join(parts))

    def response(self, method: str = "POST") -> tuple[int, bytes]:
        found = HTTPResponse(self, method=method)  # type: ignore[arg-type]
        found.begin()
        return found.status, found.read()

    def number(self) -> int:
        status, body = self.response()
        assert status == 200, body
        return int(json.loads(body)["n"])

    def is_closed(self) -> bool:
        try:
            return self._reader.read(1) == b""
        except ConnectionError:
            return True


@pytest.fixture(scope="module")
def pipelined(running: Server) -> Server:
    running.deploy("pipelined", "echo", ECHO, {"scale": {"max": 1}, "limits": {"memory": "256MiB", "timeout": "20s"}})
    return running


@contextmanager
def connection(server: Server, function: str = "pipelined/echo") -> Iterator[Connection]:
    parts = urllib.parse.urlsplit(server.gateway_url)
    token = server.token(function)["token"]
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as client:
        yield Connection(client, token)


def test_responses_come_in_the_order_of_their_requests_also_behind_a_slow_and_a_refused_one(pipelined: Server) -> None:
    with connection(pipelined) as one:
        one.send(
            one.request(0, s=0.5),
            one.request(1),
            one.request(2, token="w" * 40),
            one.request(3, path="pipelined/none"),
            one.request(4),
        )
        assert [one.number(), one.number()] == [0, 1]
        assert [one.response()[0], one.response()[0]] == [401, 404]
        assert one.number() == 4
        one.send(one.request(5))
        assert one.number() == 5


def test_thousands_of_requests_at_once_are_answered_in_order_and_do_not_fill_the_server(pipelined: Server) -> None:
    pads = ["", "x" * 1000, "y" * 70_000]
    with connection(pipelined) as one:

        def send() -> None:
            for n in range(2_000):
                one.send(one.request(n, pad=pads[n % 31 % 3]))

        sender = threading.Thread(target=send)
        sender.start()
        assert [one.number() for _ in range(2_000)] == list(range(2_000))
        sender.join()


def test_large_bodies_and_long_responses_are_followed_by_the_next_request(pipelined: Server) -> None:
    with connection(pipelined) as one:
        requests = [one.request(n, pad="z" * 300_000, back=(n % 2) * (3 << 19)) for n in range(6)]
        sender = threading.Thread(target=lambda: one.send(*requests))
        sender.start()
        assert [one.number() for _ in range(6)] == list(range(6))
        sender.join()


def test_a_caller_that_takes_no_answers_is_not_served_on_and_fills_no_memory(pipelined: Server) -> None:
    def resident() -> int:
        return int(Path(f"/proc/{pipelined.pid}/statm").read_text().split()[1]) * 4096

    with connection(pipelined) as one:
        one.send(one.request(0, back=1 << 19))
        assert one.number() == 0
        calls, before = pipelined.status()["calls"], resident()
        requests = [one.request(n, back=1 << 19) for n in range(400)]
        sender = threading.Thread(target=lambda: one.send(*requests))
        sender.start()
        assert wait_until(lambda: pipelined.status()["calls"] > calls, 5)
        time.sleep(3)
        assert pipelined.status()["calls"] < calls + 50, "answers that nobody takes are not made"
        assert resident() < before + (64 << 20)
        assert [one.number() for _ in range(400)] == list(range(400))
        sender.join()


def test_a_byte_at_a_time_is_no_other_request(pipelined: Server) -> None:
    with connection(pipelined) as one:
        for byte in one.request(1) + one.request(2):
            one.send(bytes([byte]))
        assert [one.number(), one.number()] == [1, 2]


@pytest.mark.parametrize(
    "broken",
    [
        b"NOT HTTP AT ALL\r\n\r\n",
        b"POST /f/pipelined/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /f/pipelined/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        b"GET /f/pipelined/echo HTTP/1.1\r\nHost : x\r\n\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
    ],
    ids=["words", "two lengths", "chunked with length", "space before colon", "binary"],
)
def test_what_is_no_http_behind_a_request_is_refused_after_its_answer(pipelined: Server, broken: bytes) -> None:
    with connection(pipelined) as one:
        one.send(one.request(1, s=0.3), one.request(2), broken, one.request(3))
        assert [one.number(), one.number()] == [1, 2]
        status, body = one.response()
        assert status == 400 and json.loads(body)["status"] == 400, body
        assert one.is_closed(), "what follows the broken request is never read as one"
    pipelined.assert_serving()


def test_an_answer_that_is_not_taken_yet_is_not_cut_by_what_follows_its_request(pipelined: Server) -> None:
    for last in (b"NOT HTTP\r\n\r\n", b"\0" * 100_000):
        with connection(pipelined) as one:
            one.send(one.request(1, back=1 << 19, s=0.2), last)
            time.sleep(1)
            one.send(b"more")
            time.sleep(1)
            assert one.number() == 1
            assert one.response()[0] == 400 and one.is_closed()


def test_after_what_could_be_an_upgrade_the_connection_ends_and_nothing_is_kept_of_what_follows(
    pipelined: Server,
) -> None:
    upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nX-Auth-Token"
    with connection(pipelined) as one:
        one.send(one.request(1).replace(b"X-Auth-Token", upgrade.encode(), 1), one.request(2))
        assert one.number() == 1
        assert one.is_closed()
    for head in (
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /f/pipelined/echo HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ):
        with connection(pipelined) as one:
            one.send(head)
            with pytest.raises(ConnectionError):
                for _ in range(200):
                    one.send(b"x" * (1 << 20))


@pytest.mark.parametrize("size", [65_536, 131_072, 140_000, 196_608])
def test_a_connection_is_read_on_after_a_body_of_any_length_that_came_before_its_instance(
    pipelined: Server, size: int
) -> None:
    pipelined.deploy("pipelined", f"cold-{size}", ECHO, {"scale": {"max": 1}})
    with connection(pipelined, f"pipelined/cold-{size}") as one:
        pad = size - len(json.dumps({"n": 1, "pad": ""}))
        one.send(one.request(1, path=f"pipelined/cold-{size}", pad="p" * pad))
        assert one.number() == 1
        one.send(one.request(2, path=f"pipelined/cold-{size}"))
        assert one.number() == 2


def test_a_long_body_waits_for_an_instance_as_long_as_the_call_may(pipelined: Server) -> None:
    with connection(pipelined) as one, connection(pipelined) as other:
        one.send(one.request(1, s=14))
        time.sleep(0.3)
        other.send(other.request(2, pad="w" * 300_000))
        assert [one.number(), other.number()] == [1, 2]


def test_a_broken_chunk_in_the_middle_of_a_body_is_refused_as_a_problem(pipelined: Server) -> None:
    with connection(pipelined) as one:
        head = one.request(0).split(b"Content-Length")[0]
        one.send(head, b'Transfer-Encoding: chunked\r\n\r\n3\r\n{"n\r\nnot a size\r\n')
        status, body = one.response()
        assert status == 400 and json.loads(body)["type"].endswith("invalid-request"), body
        assert one.is_closed()


def test_a_caller_that_goes_away_between_its_requests_harms_no_other(pipelined: Server) -> None:
    for _ in range(20):
        with connection(pipelined) as one:
            one.send(*(one.request(n, s=0.01) for n in range(50)), one.request(50)[:40])
            assert one.number() == 0
    with connection(pipelined) as one:
        one.send(one.request(7))
        assert one.number() == 7


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_brings_none_that_could_be_taken_for_the_next_response(
    pipelined: Server, status: int
) -> None:
    source = handler(f"""
        def handle(event, context):
            size = int(event["body"])
            return {{"statusCode": {status} if size else 200, "headers": {{}}, "body": "HTTP/1.1 200 OK\\r\\n\\r\\n" * size}}
        """)
    pipelined.deploy("pipelined", f"bare-{status}", source)
    path = f"pipelined/bare-{status}"
    with connection(pipelined, path) as one:
        head = one.request(0, path=path).split(b"Content-Length")[0]
        requests = [head + f"Content-Length: {len(size)}\r\n\r\n{size}".encode() for size in ("10", "200000", "0")]
        one.send(*requests)
        assert one.response() == (status, b"")
        assert one.response()[0] == 502
        assert one.response() == (200, b"")


def test_callers_of_http_1_0_are_told_that_the_connection_stays_and_see_a_broken_answer_break(
    pipelined: Server,
) -> None:
    with connection(pipelined) as one:
        for n in (1, 2):
            one.send(one.request(n).replace(b"HTTP/1.1\r\n", b"HTTP/1.0\r\nConnection: keep-alive\r\n", 1))
            assert one.number() == n
    secret = "broken-answer-secret-19c4"
    pipelined.secret("pipelined/breaks", "KEY", secret)
    source = handler("""
        import base64
        def handle(event, context, secrets=None):
            import os
            body = b"\\0" * (3 << 20) + os.environ["KEY"].encode()
            return {"statusCode": 200, "headers": {}, "body": base64.b64encode(body).decode(), "isBase64Encoded": True}
        """.replace(", secrets=None", ""))
    pipelined.deploy("pipelined", "breaks", source, {"secrets": ["KEY"], "limits": {"memory": "256MiB"}})
    with connection(pipelined, "pipelined/breaks") as one:
        one.send(one.request(1, path="pipelined/breaks").replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        with pytest.raises(ConnectionError):
            assert secret.encode() not in one.makefile("rb").read()


def test_a_caller_that_leaves_in_the_middle_of_an_answer_does_not_hold_the_instance(pipelined: Server) -> None:
    with connection(pipelined) as one:
        one.send(one.request(1, back=24 << 20))
        assert one.makefile("rb").read(10_000)
        time.sleep(0.5)
    began = time.monotonic()
    with connection(pipelined) as one:
        one.send(one.request(2))
        assert one.number() == 2
    assert time.monotonic() - began < 10, "the time limit is 20 s"


def test_head_requests_have_no_body_that_could_be_taken_for_the_next_response(pipelined: Server) -> None:
    with connection(pipelined) as one:
        head = one.request(0, back=2 << 20).replace(b"POST", b"HEAD", 1)
        one.send(head, one.request(1), one.request(0).replace(b"POST", b"HEAD", 1), one.request(2))
        assert one.response("HEAD") == (200, b"")
        assert one.number() == 1
        assert one.response("HEAD") == (200, b"")
        assert one.number() == 2
