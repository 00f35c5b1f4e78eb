"""Repositories made by git, and what serves them on the loopback: git's own http-backend behind TLS, and OpenSSH."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest import mock

import pytest

RUNTIME: Final = Path(__file__).parent.parent
TOOLS: Final = Path(os.environ.get("CASEMATE_FETCH_TOOLS", "/var/lib/casemate/tools/fetch"))
GATE_TOOLS: Final = Path(os.environ.get("CASEMATE_GATE_TOOLS", "/var/lib/casemate/tools/gate"))

if not (TOOLS / "dulwich").is_dir():
    raise pytest.UsageError(
        f"what a fetch uses is not in {TOOLS}: python3 -m pip install --target {TOOLS} --no-deps --require-hashes "
        "-r runtimes/python/fetch-requirements.txt, and set CASEMATE_FETCH_TOOLS"
    )
sys.path.append(str(TOOLS))

import casemate_fetch.https  # noqa: E402
from casemate_fetch.fetch import fetch  # noqa: E402
from casemate_runtime.faults import Fault as Fault  # noqa: E402
from casemate_runtime.frames import FETCH, FETCHED, PROGRESS, WARM, encode_field  # noqa: E402
from support import HEADER, receive  # noqa: E402

ENVIRONMENT: Final = {
    "PATH": os.environ["PATH"],
    "HOME": "/dev/null/none",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_AUTHOR_DATE": "1700000000 +0000",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.com",
    "GIT_COMMITTER_DATE": "1700000000 +0000",
}
FILE: Final = 0o100644
Content = bytes | tuple[int, str]
"""Of a file, or a mode with an id."""


class Repository:
    """A bare one: what is in it is written as objects, so that it may be anything."""

    def __init__(self, path: Path, object_format: str = "sha1") -> None:
        self.path = path
        self._object_format = object_format
        path.mkdir(parents=True)
        self.git("init", "-q", "--bare", "-b", "main", f"--object-format={object_format}")

    def git(self, *arguments: str, given: bytes = b"") -> str:
        made = subprocess.run(
            ["git", *arguments], cwd=self.path, env=ENVIRONMENT, input=given, capture_output=True, timeout=30
        )
        assert made.returncode == 0, made.stderr
        return made.stdout.decode().strip()

    def add(self, kind: str, content: bytes) -> str:
        """A loose object; by a git for each, the tests would take twice as long, and git looks at what it writes."""
        content = b"%s %d\0" % (kind.encode(), len(content)) + content
        oid = hashlib.new(self._object_format, content).hexdigest()
        path = self.path / "objects" / oid[:2] / oid[2:]
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(zlib.compress(content, 1))
        return oid

    def blob(self, content: bytes) -> str:
        return self.add("blob", content)

    def tree(self, entries: list[tuple[int, bytes, str]]) -> str:
        return self.add("tree", b"".join(b"%o %s\0" % (mode, name) + bytes.fromhex(oid) for mode, name, oid in entries))

    def files(self, files: Mapping[str, Content]) -> str:
        """The tree of contents, or of modes with ids."""
        entries: dict[bytes, tuple[int, bytes, str]] = {}
        below: dict[str, dict[str, Content]] = {}
        for name, content in files.items():
            folder, slash, rest = name.partition("/")
            if slash:
                below.setdefault(folder, {})[rest] = content
            elif isinstance(content, tuple):
                entries[name.encode()] = (content[0], name.encode(), content[1])
            else:
                entries[name.encode()] = (FILE, name.encode(), self.blob(content))
        for folder, inside in below.items():
            entries[folder.encode() + b"/"] = (0o040000, folder.encode(), self.files(inside))
        return self.tree([entries[key] for key in sorted(entries)])

    def commit(self, tree: Mapping[str, Content] | str, *parents: str, ref: str = "refs/heads/main") -> str:
        tree = tree if isinstance(tree, str) else self.files(tree)
        who = "a <a@example.com> 1700000000 +0000"
        lines = [
            f"tree {tree}",
            *(f"parent {parent}" for parent in parents),
            f"author {who}",
            f"committer {who}",
            "",
            "one\n",
        ]
        commit = self.add("commit", "\n".join(lines).encode())
        if ref:
            self.set(ref, commit)
        return commit

    def set(self, ref: str, oid: str) -> None:
        (self.path / ref).parent.mkdir(parents=True, exist_ok=True)
        (self.path / ref).write_text(f"{oid}\n")


class Certificate(NamedTuple):
    path: Path
    pem: bytes

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path)
        return context


def certificate(folder: Path) -> Certificate:
    path = folder / "both.pem"
    names = "subjectAltName=DNS:localhost"
    line = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    line += [
        "-subj",
        "/CN=localhost",
        "-addext",
        names,
        "-keyout",
        str(folder / "key.pem"),
        "-out",
        str(folder / "cert.pem"),
    ]
    subprocess.run(line, check=True, capture_output=True)
    pem = (folder / "cert.pem").read_bytes()
    path.write_bytes((folder / "key.pem").read_bytes() + pem)
    return Certificate(path, pem)


class GitServer:
    """https in front of `git http-backend`. A first component of the path may ask for another behaviour."""

    def __init__(self, root: Path, tls: Certificate) -> None:
        self.root = root
        self.requests: list[tuple[str, dict[str, str]]] = []
        """Lines and headers."""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body at once: else one waits for the other side's delayed acknowledgement.
            disable_nagle_algorithm = True
            wbufsize = 1 << 20

            def do_GET(self) -> None:
                outer._answer(self)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        class Listener(http.server.ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                pass

        self._server = Listener(("127.0.0.1", 0), Handler)
        self._server.socket = tls.context().wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port = int(self._server.server_address[1])
        self.authority = tls.pem
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path: str) -> str:
        return f"https://localhost:{self.port}/{path}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        self.requests.append((request.requestline, dict(request.headers)))
        path, _, query = request.path.partition("?")
        how, _, rest = path[1:].partition("/")
        content = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        if how.isdecimal():
            self._send(request, int(how), {}, b"")
        elif how in ("here", "round", "credential"):
            # To the same host, to itself, and to a page where one logs in.
            place = {"here": f"/{rest}?{query}", "round": request.path, "credential": "/login?next=1"}[how]
            self._send(request, 302, {"Location": place}, b"")
        elif how in ("away", "logged", "port", "clear", "odd"):
            places = {"away": "https://elsewhere.example", "logged": "https://user:hidden@elsewhere.example"}
            places |= {"port": "https://localhost:1", "clear": "http://localhost", "odd": "//[x"}
            self._send(request, 301, {"Location": f"{places[how]}/{rest}?{query}"}, b"")
        elif how == "html":
            self._send(request, 200, {"Content-Type": "text/html"}, b"<html>")
        elif how == "packed":
            kind = "application/x-git-upload-pack-advertisement"
            self._send(request, 200, {"Content-Type": kind, "Content-Encoding": "gzip"}, b"")
        else:
            is_old = how == "old"
            self._backend(request, "/" + rest if is_old else path, query, content, is_old)

    def _backend(
        self, request: http.server.BaseHTTPRequestHandler, path: str, query: str, content: bytes, is_old: bool
    ) -> None:
        environment = {
            **ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": request.command,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "GIT_PROTOCOL": "" if is_old else request.headers.get("Git-Protocol", ""),
        }
        made = subprocess.run(["git", "http-backend"], input=content, env=environment, capture_output=True)
        head, _, body = made.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        self._send(request, int(fields.pop("Status", "200").split()[0]), fields, body)

    def _send(
        self, request: http.server.BaseHTTPRequestHandler, status: int, fields: Mapping[str, str], body: bytes
    ) -> None:
        request.send_response(status)
        for name, value in fields.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


@contextmanager
def raw_server(tls: Certificate, answer: Callable[[ssl.SSLSocket, bytes], None]) -> Iterator[str]:
    """A server that does what it likes: `answer` has the connection and the head of the request. Yields its URL."""
    context = tls.context()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    plain, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=talk, args=(plain,), daemon=True).start()

        def talk(plain: socket.socket) -> None:
            try:
                with context.wrap_socket(plain, server_side=True) as connection:
                    head = b""
                    while b"\r\n\r\n" not in head:
                        part = connection.recv(65536)
                        if not part:
                            return
                        head += part
                    answer(connection, head)
            except OSError:
                pass

        threading.Thread(target=serve, daemon=True).start()
        yield f"https://localhost:{listener.getsockname()[1]}/a.git"
        listener.shutdown(socket.SHUT_RDWR)


class SshServer:
    """Debian's sshd with a configuration, a host key and a port of its own."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("sshd", path="/usr/sbin:/usr/bin:/sbin")
        if program is None:
            pytest.fail("sshd is not installed: apt-get install openssh-server")
        self.keys: dict[str, bytes] = {}
        """Private keys that it lets in, by type."""
        authorised = b""
        for kind in ("ed25519", "ecdsa", "rsa"):
            authorised += self._make(folder / kind, kind)
            self.keys[kind] = (folder / kind).read_bytes()
        (folder / "authorised").write_bytes(authorised)
        self.host_key = " ".join(self._make(folder / "host", "ed25519").decode().split()[:2])
        self.other_key = " ".join(self._make(folder / "other", "ed25519").decode().split()[:2])
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self._log = folder / "log"
        (folder / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorised\n"
            "UsePAM no\nStrictModes no\nPidFile none\nPermitRootLogin yes\nPasswordAuthentication no\n"
            f"KbdInteractiveAuthentication no\nUseDNS no\nAcceptEnv GIT_PROTOCOL\nMaxStartups 100\n"
        )
        if os.getuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([program, "-D", "-e", "-f", str(folder / "config")], stderr=log)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                assert self._process.poll() is None, self._log.read_text()
                time.sleep(0.02)
        raise TimeoutError

    def url(self, path: Path | str) -> str:
        import getpass

        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{path}"

    @property
    def log(self) -> str:
        return self._log.read_text()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    def _make(self, path: Path, kind: str) -> bytes:
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)], check=True)
        return path.with_suffix(".pub").read_bytes()


class Fetched(NamedTuple):
    report: dict[str, Any]
    archive: bytes

    @property
    def names(self) -> list[str]:
        return zipfile.ZipFile(io.BytesIO(self.archive)).namelist()

    def read(self, name: str) -> bytes:
        return zipfile.ZipFile(io.BytesIO(self.archive)).read(name)


def run(url: str, ref: str = "main", authority: bytes = b"", secret: bytes | None = None, **request: Any) -> Fetched:
    """In this process, without a deadline and without the system's authorities. A `Fault` is raised."""
    body = json.dumps({"url": url, "ref": ref, **request}).encode()
    with mock.patch.object(casemate_fetch.https, "SYSTEM", "/dev/null/none"):  # to read them takes longer than a fetch
        task = fetch(body, authority, secret, lambda received, objects: None, lambda *_: [])
    report, archive = task.run()
    with archive:
        archive.seek(0)
        return Fetched(report, archive.read())


def fault(url: str, ref: str = "main", authority: bytes = b"", **more: Any) -> tuple[str, str]:
    """The code and the message of a fetch that must not be done."""
    with pytest.raises(Fault) as caught:
        run(url, ref, authority, **more)
    return caught.value.code, caught.value.message


_ENTRY: Final = f"""
import sys
sys.path.insert(0, {str(RUNTIME)!r})
from casemate_fetch import bootstrap
sys.path.pop(0)
bootstrap.TOOLS, bootstrap.GATE_TOOLS = {str(TOOLS)!r}, {str(GATE_TOOLS)!r}
bootstrap.main(["serve"])
"""


class Answer(NamedTuple):
    status: int
    meta: bytes
    body: bytes
    progress: list[dict[str, Any]]
    exit_status: int
    err: str
    memory: int
    """The most that it had, in bytes."""

    @property
    def fault(self) -> tuple[str, str]:
        assert self.status == 1
        code, _, _, message = self.meta.decode().split("\0", 3)
        return code, message

    @property
    def fetched(self) -> Fetched:
        assert self.status == 0, self.meta
        line, _, archive = self.body.partition(b"\n")
        return Fetched(json.loads(line), archive)


def serve(request: dict[str, Any] | bytes, *fields: tuple[int, bytes], kind: int = FETCH) -> Answer:
    """Through the real entry, as the sandbox does it. `fields`: tag and value."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", f"import os\nos.dup2({theirs.fileno()}, 3)\n{_ENTRY}"],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    meta = b"".join(encode_field(tag, value) for tag, value in fields)
    progress: list[dict[str, Any]] = []
    status, answer_meta, answer_body = -1, b"", b""
    with ours:
        ours.settimeout(30)
        assert receive(ours).kind == WARM
        ours.sendall(HEADER.pack(len(body), kind, 0, 0, len(meta), 7) + meta + body)
        try:
            while (frame := receive(ours)).kind == PROGRESS:
                assert frame.call == 7 and len(frame.body) < 4096
                progress.append(json.loads(frame.body))
            assert (frame.kind, frame.call) == (FETCHED, 7)
            status, answer_meta, answer_body = frame.status, frame.meta, frame.body
        except (EOFError, ConnectionResetError):
            pass
    assert process.stderr is not None
    with process.stderr:
        err = process.stderr.read().decode()
    _, how, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(how)
    return Answer(status, answer_meta, answer_body, progress, process.returncode, err, usage.ru_maxrss << 10)


def pack_of(*objects: bytes, count: int | None = None) -> bytes:
    """A pack of entries that are packed already, with a right checksum."""
    content = b"PACK" + (2).to_bytes(4, "big") + (len(objects) if count is None else count).to_bytes(4, "big")
    content += b"".join(objects)
    return content + hashlib.sha1(content, usedforsecurity=False).digest()


def fingerprint(key: str) -> str:
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
