"""Wheels, source distributions and indexes of our own, on loopback, for the real uv."""

import hashlib
import html
import io
import json
import os
import re
import ssl
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pytest
from casemate_runtime.uv import Tool

_UV = [file for file in ("/var/lib/casemate/tools/uv", "/tmp/pp/v/bin/uv") if os.access(file, os.X_OK)]
needs_uv = pytest.mark.skipif(not _UV, reason="uv is not installed: casemate runtime install python3.11")
JSON = "application/vnd.pypi.simple.v1+json"


def tool() -> Tool:
    return Tool(uv=Path(_UV[0]), python="/usr/bin/python3", certificates="/etc/ssl/certs/ca-certificates.crt")


def wheel(name: str, version: str, *requires: str, files: dict[str, str] | None = None) -> tuple[str, bytes]:
    """File name and content. It has one module, named like it, with its version."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    entries = {
        f"{module}.py": f"version = {version!r}",
        **(files or {}),
        f"{info}/METADATA": "\n".join(
            [
                "Metadata-Version: 2.1",
                f"Name: {name}",
                f"Version: {version}",
                *(f"Requires-Dist: {r}" for r in requires),
                "",
            ]
        ),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: us\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    entries[f"{info}/RECORD"] = "".join(f"{entry},,\n" for entry in [*entries, f"{info}/RECORD"])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for entry, text in entries.items():
            archive.writestr(zipfile.ZipInfo(entry), text)
    return f"{module}-{version}-py3-none-any.whl", out.getvalue()


def sdist(name: str, version: str, files: dict[str, str], requires: tuple[str, ...] = ()) -> tuple[str, bytes]:
    """File name and content, with a PKG-INFO."""
    folder = f"{name.replace('-', '_')}-{version}"
    info = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Requires-Dist: {r}" for r in requires),
        "",
    ]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for file, text in {"PKG-INFO": "\n".join(info), **files}.items():
            member = tarfile.TarInfo(f"{folder}/{file}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return f"{folder}.tar.gz", out.getvalue()


# Makes a wheel of all modules beside PKG-INFO. `hook` runs before, in the build.
BACKEND = """
import os, re, zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    head = dict(line.split(": ", 1) for line in reversed(open("PKG-INFO").read().splitlines()) if ": " in line)
    name, version = head["Name"].replace("-", "_"), head["Version"]
    if os.path.exists("hook.py"):
        space = {"folder": folder}
        exec(compile(open("hook.py").read(), "hook.py", "exec"), space)
        name = space.get("name", name)
    info, file = f"{name}-{version}.dist-info", f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, file), "w") as wheel:
        names = [n for n in os.listdir(".") if n.endswith(".py") and n not in ("hook.py", "setup.py")]
        for module in names:
            wheel.write(module)
        wheel.writestr(f"{info}/METADATA", open("PKG-INFO").read())
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nGenerator: us\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "".join(f"{n},,\\n" for n in [*names, f"{info}/METADATA", f"{info}/RECORD"]))
    return file
"""
IN_TREE = '[build-system]\nrequires = []\nbuild-backend = "ours"\nbackend-path = ["backend"]\n'


def source(name: str, version: str, hook: str = "", *requires: str) -> tuple[str, bytes]:
    """A source distribution with a backend of its own."""
    files = {
        f"{name.replace('-', '_')}.py": f"version = {version!r}",
        "backend/ours.py": BACKEND,
        "pyproject.toml": IN_TREE,
    }
    return sdist(name, version, files | ({"hook.py": hook} if hook else {}), requires)


class _File(NamedTuple):
    project: str
    name: str
    content: bytes
    uploaded: str | None
    yanked: str | bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class Index:
    """`speaks_json`: PEP 691 with upload times, else the HTML of PEP 503. `asked`: the paths, in their order."""

    def __init__(self, speaks_json: bool = True, tls: ssl.SSLContext | None = None) -> None:
        self.speaks_json = speaks_json
        self.files: list[_File] = []
        self.asked: list[str] = []
        self.answer: Callable[[BaseHTTPRequestHandler], bool] = lambda _: False  # a test's own
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"index": self}))
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.base = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.base}/simple"
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def add(
        self,
        file: tuple[str, bytes],
        project: str = "",
        uploaded: str | None = "2020-01-02T03:04:05Z",
        yanked: str | bool = False,
    ) -> str:
        """Answers its hash."""
        name = project or re.sub(r"[-_.]+", "-", re.split(r"-\d", file[0])[0]).lower()
        self.files.append(_File(name, *file, uploaded, yanked))
        return f"sha256:{self.files[-1].sha256}"

    def projects(self) -> list[str]:
        """Names that were asked for."""
        return sorted({path.split("/")[2] for path in self.asked if path.startswith("/simple/")})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def page(self, project: str) -> tuple[str, bytes] | None:
        files = [file for file in self.files if file.project == project]
        if not files:
            return None
        if self.speaks_json:
            listed: list[dict[str, Any]] = []
            for file in files:
                entry = {
                    "filename": file.name,
                    "url": f"/files/{file.name}",
                    "hashes": {"sha256": file.sha256},
                    "yanked": file.yanked,
                }
                listed.append(entry | ({"upload-time": file.uploaded} if file.uploaded else {}))
            return JSON, json.dumps({"meta": {"api-version": "1.1"}, "name": project, "files": listed}).encode()
        links = (
            f'<a href="../../files/{html.escape(f.name)}#sha256={f.sha256}"{_data(f.yanked)}>{html.escape(f.name)}</a>'
            for f in files
        )
        return "text/html", f"<!DOCTYPE html><html><body>{'<br>'.join(links)}</body></html>".encode()


def _data(yanked: str | bool) -> str:
    return "" if yanked is False else f' data-yanked="{"" if yanked is True else html.escape(yanked)}"'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    index: Index

    def do_GET(self) -> None:
        self.index.asked.append(self.path)
        if self.index.answer(self):
            return
        found = None
        if self.path.startswith("/simple/"):
            found = self.index.page(self.path.split("/")[2])
        elif self.path.startswith("/files/"):
            contents = [file.content for file in self.index.files if f"/files/{file.name}" == self.path]
            found = ("application/octet-stream", contents[0]) if contents else None
        kind, body = found or ("text/plain", b"")
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def index(speaks_json: bool = True, tls: ssl.SSLContext | None = None) -> Iterator[Index]:
    made = Index(speaks_json, tls)
    try:
        yield made
    finally:
        made.close()
