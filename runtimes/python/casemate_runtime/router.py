"""An index on loopback that has no packages: it sends uv on to the one index of each name.

uv asks several indexes for a name, or some only for the packages that a project lists itself. This way each name has one
index, whoever needs it, and nothing that another index has under that name is ever seen (dependency confusion).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import Thread
from typing import Any, Final, NamedTuple

from casemate_runtime.indexes import Indexes, plain
from casemate_runtime.landing import Landing, PassedOn

_PATH: Final = re.compile(r"/simple/([A-Za-z0-9._-]+)/")


class Route(NamedTuple):
    """`url`: the index for uv."""

    url: str
    indexes: Indexes
    # Indexes that did not answer as they should; uv knows ours alone.
    failed: list[str]

    def shown(self, output: str) -> str:
        """With the places that uv was sent to instead of ours."""

        def real(found: re.Match[str]) -> str:
            return f"{self.indexes.url(found[1])}/{found[1]}"

        if self.url == self.indexes.default:
            return output
        output = re.sub(rf"{re.escape(self.url)}/([A-Za-z0-9._-]+)", real, output)
        return output.replace(self.url, next(iter(self.failed), "the package's own"))


@contextmanager
def routed(indexes: Indexes, certificates: str) -> Iterator[Route]:
    """Where no package is pinned to an index of its own, uv asks the one index itself."""
    failed: list[str] = []
    if not indexes.pins:
        yield Route(indexes.default, indexes, failed)
        return
    urls = tuple(url.rstrip("/") for url in (indexes.default, *indexes.named.values()) if url)
    server = _Server(("127.0.0.1", 0), partial(_Handler, indexes, Landing(certificates, urls), failed))
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield Route(f"http://127.0.0.1:{server.server_address[1]}/simple", indexes, failed)
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingTCPServer):
    """Not an `HTTPServer`, which asks the resolver for its own name."""

    daemon_threads = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def __init__(self, indexes: Indexes, landing: Landing, failed: list[str], *arguments: Any) -> None:
        self._indexes = indexes
        self._landing = landing
        self._failed = failed
        super().__init__(*arguments)

    def do_GET(self) -> None:
        name = _PATH.fullmatch(self.path)
        index = self._own(name[1]) if name else ""
        self.send_response(307 if name and index else 404)
        if name and index:
            self.send_header("Location", f"{index}/{name[1]}/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def _own(self, name: str) -> str:
        """The name's index; empty where that leads to another one, as if it had no such name."""
        index = self._indexes.url(name)
        if not index:
            return ""
        try:
            status = self._landing.status(index, name)
        except PassedOn:
            status, found = 0, ""
        else:
            found = index
        if status not in (200, 404):
            self._failed.append(plain(index))
        return found

    def log_message(self, *_: Any) -> None:
        """Nothing: standard error is what an author sees."""
