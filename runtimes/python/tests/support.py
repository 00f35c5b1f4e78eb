"""A runtime in a process of its own, seen from the server's side of the socket."""

import inspect
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

RUNTIME = Path(__file__).parent.parent / "casemate_runtime"
HEADER = struct.Struct(">IBBHII")
TAGS = {
    "handler": 1,
    "signature": 2,
    "environment": 3,
    "secret": 4,
    "function": 5,
    "revision": 6,
    "memory": 7,
    "index": 8,
    "policy": 9,
    "lock": 10,
    "limit": 11,
    "concurrency": 12,
    "isolation": 13,
    "authority": 14,
    "upgrade": 15,
    "attached": 16,
    "indexes": 17,
    "pins": 18,
    "from_source": 19,
    "mode": 20,
}


def kill_descendants() -> None:
    """What `kill(-1)` of process 1 comes to, for a subreaper outside a pid namespace."""
    while True:
        parents = {}
        for name in filter(str.isdecimal, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/stat") as stat:
                    state, parent = stat.read().rsplit(")", 1)[1].split()[:2]
            except OSError:
                continue
            if state not in "ZX":
                parents[int(name)] = int(parent)
        ours, count = {os.getpid()}, 0
        while count != len(ours):
            count = len(ours)
            ours |= {pid for pid, parent in parents.items() if parent in ours}
        if ours == {os.getpid()}:
            return
        for pid in ours - {os.getpid()}:
            os.kill(pid, 9)


# As the sandbox starts it, but with another place for the bundle, and mostly without the imports in advance.
_ENTRY = f"""
import os, sys
{inspect.getsource(kill_descendants)}
path, mode, root, preload, kill, folder = sys.argv[1:]
space = {{"__name__": "bootstrap", "__file__": path}}
exec(compile(open(path).read(), path, "exec"), space)
if preload == "no":
    stub = sys.modules["casemate_runtime.preload"] = type(sys)("casemate_runtime.preload")
    stub.preload = list
if folder:
    import ctypes, functools
    sys.path.insert(0, os.path.dirname(os.path.dirname(path)))
    from casemate_runtime import renewal, serve
    del sys.path[0]
    if kill == "descendants":
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # a subreaper: orphans come to it, as to process 1
    renew = functools.partial(renewal.Renewal, (folder,), kill_descendants if kill == "descendants" else None)
    serve.Server = functools.partial(serve.Server, renewal=renew)
space["main"](mode, root)
"""


class Reply(NamedTuple):
    flags: int
    status: int
    headers: dict[str, list[str]]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Frame(NamedTuple):
    kind: int
    flags: int
    status: int
    call: int
    meta: bytes
    body: bytes


class Answer(NamedTuple):
    """Of a specialisation or a build."""

    status: int
    meta: bytes
    body: bytes

    @property
    def error(self) -> tuple[str, str, str, str]:
        code, file, line, message = self.meta.decode().split("\0", 3)
        return code, file, line, message


def field(tag: int, value: bytes) -> bytes:
    return struct.pack(">BI", tag, len(value)) + value


def encode_fields(fields: dict[str, str | dict[str, str]]) -> bytes:
    out = b""
    for key, value in fields.items():
        if isinstance(value, dict):
            for name, text in value.items():
                out += field(TAGS[key], f"{name}\0{text}".encode())
        else:
            out += field(TAGS[key], value.encode())
    return out


def receive(control: socket.socket) -> Frame:
    """EOFError at the end of the stream."""
    body_length, kind, flags, status, meta_length, call = HEADER.unpack(_exactly(control, HEADER.size))
    return Frame(kind, flags, status, call, _exactly(control, meta_length), _exactly(control, body_length))


def encode_request(
    query: str = "", headers: list[tuple[str, str]] | None = None, method: str = "POST", path: str = "/"
) -> bytes:
    parts = [method, path, query]
    for name, value in headers or []:
        parts += [name, value]
    return "".join(f"{part}\0" for part in parts).encode()


def decode_reply(frame: Frame) -> Reply:
    found: dict[str, list[str]] = {}
    texts = frame.meta.decode().split("\0")[:-1]
    for name, value in zip(texts[::2], texts[1::2], strict=True):
        found.setdefault(name, []).append(value)
    return Reply(frame.flags, frame.status, found, frame.body)


def _exactly(control: socket.socket, length: int) -> bytes:
    parts = []
    while length:
        part = control.recv(min(length, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


class Instance:
    """`folder`: what is emptied between isolated calls. `kill`: `descendants`, or `all` of a new pid namespace."""

    def __init__(
        self,
        root: Path,
        files: dict[str, str],
        mode: str = "run",
        preload: bool = False,
        folder: Path | None = None,
        kill: str = "descendants",
    ) -> None:
        self.root = root
        for name, text in files.items():
            file = root / name if name.startswith("deps/") else root / "src" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        self.control, inside = socket.socketpair()
        self.control.settimeout(20)
        self._out, out = os.pipe()
        self._err, err = os.pipe()
        python = [sys.executable, "-I", "-S", "-c"]
        if kill == "all":
            python = ["unshare", "--pid", "--fork", "--kill-child", *python]
        arguments = [mode, str(root), "yes" if preload else "no", kill, str(folder or "")]
        self.process = subprocess.Popen(
            [*python, _ENTRY, str(RUNTIME / "bootstrap.py"), *arguments],
            preexec_fn=lambda: os.dup2(inside.fileno(), 3, inheritable=True),
            pass_fds=(3,),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
        inside.close()
        for descriptor in (out, err):
            os.close(descriptor)
        for descriptor in (self._out, self._err):
            os.set_blocking(descriptor, False)
        self.calls = 0
        assert receive(self.control)[0] == 0x81

    def send(self, kind: int, meta: bytes = b"", body: bytes = b"", call: int = 0) -> None:
        self.control.sendall(HEADER.pack(len(body), kind, 0, 0, len(meta), call) + meta + body)

    def specialise(self, **fields: str | dict[str, str]) -> Answer:
        return self.load(1, **fields)

    def load(self, kind: int, /, **fields: str | dict[str, str]) -> Answer:
        self.send(kind, encode_fields(fields))
        kind, _, status, _, meta, body = receive(self.control)
        assert kind == 0x82
        return Answer(status, meta, body)

    def call(
        self,
        body: bytes = b"",
        query: str = "",
        headers: list[tuple[str, str]] | None = None,
        method: str = "POST",
        path: str = "/",
    ) -> Reply:
        self.calls += 1
        self.send(2, encode_request(query, headers, method, path), body, self.calls)
        frame = receive(self.control)
        assert (frame.kind, frame.call) == (0x83, self.calls)
        return decode_reply(frame)

    def call_isolated(self, body: bytes = b"", *, query: str = "", **secrets: str) -> Reply:
        """With the wait for the next process."""
        self.calls += 1
        fields = encode_fields({"secret": secrets})
        self.send(6, struct.pack(">I", len(fields)) + fields + encode_request(query), body, self.calls)
        reply, ready = receive(self.control), receive(self.control)
        assert (reply.kind, reply.call) == (0x83, self.calls)
        assert ready == (0x87, 0, 0, self.calls, b"", b"")
        return decode_reply(reply)

    def run(self, source: str) -> Reply:
        """For a function that executes its data."""
        return self.call(json.dumps(source).encode())

    def out(self) -> str:
        """What is in the pipe of standard output now: the runtime promises that it is all, so nothing waits here."""
        return _now(self._out)

    def err(self) -> str:
        return _now(self._err)

    def ended(self) -> int:
        """The exit status, which must come by itself."""
        return self.process.wait(timeout=10)

    def end(self) -> None:
        self.control.close()
        try:
            self.process.wait(timeout=10)
        finally:
            self.process.kill()
            os.close(self._out)
            os.close(self._err)


def _now(descriptor: int) -> str:
    parts = []
    while True:
        try:
            part = os.read(descriptor, 1 << 20)
        except BlockingIOError:
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts).decode()


Starter = Callable[..., Instance]
