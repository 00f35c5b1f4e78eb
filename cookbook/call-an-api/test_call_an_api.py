"""The handler by itself, against an API on loopback. Run with: python3 -m pytest cookbook/call-an-api"""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HANDLER = Path(__file__).parent / "source/handler.py"
PLACEHOLDER = "casemate-placeholder-API_KEY"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("call_an_api_handler", HANDLER)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class API(HTTPServer):
    status = 200
    body = b"{}"
    seen: list[str | None]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.seen = []


class Answer(BaseHTTPRequestHandler):
    server: API

    def do_GET(self) -> None:
        self.server.seen.append(self.headers["Authorization"])
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[API]:
    with API() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setenv("API_URL", f"http://127.0.0.1:{made.server_port}/v1/status")
        yield made
        made.shutdown()
        thread.join()


def call() -> Any:
    return load().handle(data={}, secrets={"API_KEY": PLACEHOLDER})


def test_the_answer_is_summed_up(api: API) -> None:
    api.body = json.dumps({"services": {"db": "up", "queue": "down", "cache": "slow"}}).encode()
    assert call() == {"services": 3, "down": ["cache", "queue"]}
    assert api.seen == [f"Bearer {PLACEHOLDER}"]


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (401, b"no", {"error": "the API answered 401"}),
        (200, b"no json", {"error": "the API can't be asked now; the log says why"}),
        (200, b"[]", {"services": 0, "down": []}),
    ],
)
def test_what_goes_wrong_is_told_without_details(api: API, status: int, body: bytes, answer: Any) -> None:
    api.status, api.body = status, body
    assert call() == answer


def test_an_api_that_is_away(api: API, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("API_URL", "http://127.0.0.1:1/")
    assert "error" in call() and PLACEHOLDER not in capsys.readouterr().out
