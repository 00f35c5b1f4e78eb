"""Drives a casemate-warden of its own over its socket, as Sources/CasemateWire/PROTOCOL.md describes it.

The sandboxes run a bootstrap that the test brings along instead of the shim, so that what runs inside needs no deployment.
Needs root. Ends only what it started.
"""

from __future__ import annotations

import array
import contextlib
import os
import secrets
import shutil
import socket
import struct
import subprocess
import tempfile
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from casemate_fixture import REPOSITORY, binary, processes, wait_until

RUNTIMES = Path("/var/lib/casemate/runtimes")
RUN, BUILD = 1, 2
LIMITS = struct.pack(">QIIQ", 256 << 20, 1000, 64, 64 << 20)


def warden_binary() -> Path:
    return binary().parent / "casemate-warden"


@dataclass
class Reply:
    request: int
    kind: int
    fields: bytes
    descriptors: list[int] = field(default_factory=list)

    @property
    def sandbox(self) -> int:
        return int(struct.unpack(">I", self.fields[:4])[0])


@dataclass
class Sandbox:
    id: int
    host_uid: int
    control: socket.socket
    output: int
    error: int

    def close(self) -> None:
        self.control.close()
        os.close(self.output)
        os.close(self.error)


class Warden:
    """One warden with a store, a socket and an instance of its own.

    `bootstrap` is the program of its sandboxes; without one they run the shim.
    """

    def __init__(self, bootstrap: str | None = None, executable: Path | None = None) -> None:
        self.executable = executable or warden_binary()
        self.instance = "t" + secrets.token_hex(6)
        self.folder = Path(tempfile.mkdtemp(prefix="casemate-warden-"))
        parts = self.folder / "parts"
        if bootstrap is None:
            shutil.copytree(REPOSITORY / "runtimes", parts)
        else:
            shutil.copytree(REPOSITORY / "runtimes/profiles", parts / "profiles")
            (parts / "python/casemate_runtime").mkdir(parents=True)
            (parts / "python/casemate_runtime/bootstrap.py").write_text(textwrap.dedent(bootstrap))
        self.next_request = 1
        self.reports: list[Reply] = []

    def __enter__(self) -> Warden:
        read, self.lifeline = os.pipe()
        command = [str(self.executable), "--instance", self.instance, "--store", str(self.folder / "store")]
        command += ["--runtimes", str(RUNTIMES), "--parts", str(self.folder / "parts"), "--tools", str(self.folder)]
        command += ["--peer-uid", "0", "--lifeline", str(read)]
        self.errors = open(self.folder / "errors", "w+b")
        self.process = subprocess.Popen(command, pass_fds=[read], stdin=subprocess.DEVNULL, stderr=self.errors)
        os.close(read)
        path = f"/run/casemate/{self.instance}/warden.sock"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            assert wait_until(lambda: self._connects(path), 10), self.said
        except BaseException:
            self.__exit__()
            raise
        return self

    def _connects(self, path: str) -> bool:
        with contextlib.suppress(OSError):
            self.socket.connect(path)
            return True
        return False

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        os.close(self.lifeline)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self.errors.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def said(self) -> str:
        return (self.folder / "errors").read_text()

    @property
    def worker(self) -> int:
        """The inner process, of which all sandboxes descend."""
        found = [p.pid for p in processes().values() if p.parent == self.process.pid]
        assert len(found) == 1, found
        return found[0]

    # -- packets

    def send(self, kind: int, fields: bytes = b"") -> int:
        request = self.next_request
        self.next_request += 1
        self.socket.send(struct.pack(">BBI", 1, kind, request) + fields)
        return request

    def receive(self, seconds: float) -> Reply | None:
        """The next packet, or None when none came in time."""
        self.socket.settimeout(seconds)
        try:
            data, descriptors, _, _ = socket.recv_fds(self.socket, 1025, 64)
        except TimeoutError:
            return None
        assert data, f"the warden closed the connection: {self.said}"
        version, kind, request = struct.unpack(">BBI", data[:6])
        assert version == 1
        return Reply(request, kind, data[6:], list(array.array("i", descriptors)))

    def answer(self, request: int, seconds: float = 10) -> Reply:
        """The answer to one order; reports that come before it are kept."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            reply = self.receive(left)
            if reply is None:
                break
            if reply.request == request:
                return reply
            self.reports.append(reply)
        raise AssertionError(f"no answer to order {request}: {self.said}")

    # -- orders

    def create(self, purpose: int = RUN) -> Sandbox:
        name = b"python3.11"
        reply = self.answer(self.send(1, bytes([len(name)]) + name + bytes([purpose]) + LIMITS), 20)
        assert reply.kind == 1, f"not created: {reply.fields!r} {self.said}"
        control, output, error = reply.descriptors
        sandbox, uid = struct.unpack(">II", reply.fields)
        return Sandbox(sandbox, uid, socket.socket(fileno=control), output, error)

    def collect(self, sandbox: Sandbox) -> bytes:
        """Ends a build sandbox; the digest of the bundle that it left."""
        reply = self.answer(self.send(4, struct.pack(">IQI", sandbox.id, 1 << 20, 100)))
        assert reply.kind == 3, f"not collected: {reply.fields!r} {self.said}"
        sandbox.close()
        return reply.fields[:32]

    def specialise(self, sandbox: Sandbox, digest: bytes) -> None:
        reply = self.answer(self.send(2, struct.pack(">I", sandbox.id) + digest + LIMITS))
        assert reply.kind == 2, f"not specialised: {reply.fields!r} {self.said}"

    def destroy(self, sandbox: Sandbox) -> None:
        sandbox.close()
        assert self.answer(self.send(3, struct.pack(">I", sandbox.id))).kind == 2

    @contextlib.contextmanager
    def sandbox(self, purpose: int = RUN) -> Iterator[Sandbox]:
        made = self.create(purpose)
        try:
            yield made
        finally:
            self.destroy(made)

    def collect_reports(self, seconds: float, until: int | None = None) -> list[Reply]:
        """All reports that came until now, waiting for `until` of them at most `seconds`."""
        end = time.monotonic() + seconds
        while (until is None or len(self.reports) < until) and (left := end - time.monotonic()) > 0:
            reply = self.receive(left)
            if reply is not None:
                assert reply.request == 0, reply
                self.reports.append(reply)
        return self.reports
