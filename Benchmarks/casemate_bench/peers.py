"""The peers: what they are, how they are installed, started and stopped. All are pinned, and run the same work.

Stand-ins are named as such. They do what the named platform's runtime does for a call, with parts from PyPI.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from casemate_bench import processes
from casemate_bench.load import Connection, Target, free_port, request, tail, wait_for_port
from casemate_bench.options import PEER_APPS, WORK, Bench, NotMeasured
from casemate_bench.payload import BODY, check

# With uvloop and httptools uvicorn is twice as quick as without: the ceiling is the quick one.
PINNED = (
    "uvicorn==0.54.0",
    "uvloop==0.23.0",
    "httptools==0.9.0",
    "granian==2.8.7",
    "gunicorn==27.0.1",
    "flask==3.1.3",
    "functions-framework==3.10.2",
)
BJOERN = "bjoern==3.2.2"

UVICORN = "uvicorn (uvloop, httptools), bare ASGI"
GRANIAN = "granian, bare ASGI"
FLASK = "gunicorn + flask"
FRAMEWORK = "functions-framework"
FISSION = "bjoern specialise (stand-in for Fission)"
OPENWHISK = "actionloop (stand-in for OpenWhisk)"
WATCHDOG = "exec-per-request (stand-in for classic-watchdog)"
LAMBDA = "AWS Lambda RIE (published 58 ms, not run here)"
LAMBDA_PUBLISHED_MS = 58.0


def interpreter() -> str:
    """Debian's, which is the one in the sandboxes too. A peer on a faster build would be another race."""
    return "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable


def need(*packages: str) -> bool:
    """Installs missing Debian packages; whether they are there."""

    def is_missing(package: str) -> bool:
        ran = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status}", package], capture_output=True, text=True)
        return ran.stdout != "installed"

    missing = [package for package in packages if is_missing(package)]
    if missing:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
        if subprocess.run(command, env=environment, capture_output=True).returncode:
            subprocess.run(["apt-get", "update", "-qq"], env=environment, capture_output=True)
            return subprocess.run(command, env=environment, capture_output=True).returncode == 0
    return True


@dataclass
class Peers:
    """The virtual environment with all peers. Made when the first one is asked for, and kept."""

    bench: Bench
    _ready: bool = False
    _has_bjoern: bool = False

    @property
    def venv(self) -> Path:
        stamp = hashlib.sha256("\n".join((*PINNED, BJOERN, interpreter())).encode()).hexdigest()[:12]
        return WORK / f"peers-{stamp}"

    def prepare(self) -> None:
        if self._ready:
            return
        WORK.mkdir(exist_ok=True)
        python = self.venv / "bin/python"
        if not (self.venv / "complete").exists():
            self.bench.say(f"installing peers into {self.venv}")
            shutil.rmtree(self.venv, ignore_errors=True)
            need("python3-venv")
            self._run([interpreter(), "-m", "venv", str(self.venv)])
            self._run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PINNED])
            (self.venv / "complete").touch()
        self._has_bjoern = subprocess.run([str(python), "-c", "import bjoern"], capture_output=True).returncode == 0
        if not self._has_bjoern and need("libev-dev", "python3-dev", "gcc"):
            command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", BJOERN]
            ran = subprocess.run(command, capture_output=True, text=True)
            (WORK / "bjoern.log").write_text(ran.stdout + ran.stderr)
            self._has_bjoern = ran.returncode == 0
        self._ready = True

    def _run(self, command: list[str]) -> None:
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode:
            raise NotMeasured(f"the peers can't be installed: {' '.join(command[:4])}…: {ran.stderr[-300:].strip()}")

    def needs_bjoern(self) -> None:
        self.prepare()
        if not self._has_bjoern:
            raise NotMeasured(f"bjoern can't be built: see {WORK / 'bjoern.log'}")

    # -- the catalogue

    def uvicorn(self) -> Peer:
        return self._tool(
            UVICORN,
            "uvicorn",
            "--loop",
            "uvloop",
            "--http",
            "httptools",
            "--no-access-log",
            "--log-level",
            "error",
            "--port",
            "{port}",
            "asgi_app:app",
        )

    def granian(self) -> Peer:
        return self._tool(
            GRANIAN,
            "granian",
            "--interface",
            "asgi",
            "--host",
            "127.0.0.1",
            "--port",
            "{port}",
            "--no-access-log",
            "--log-level",
            "error",
            "asgi_app:app",
        )

    def flask(self) -> Peer:
        return self._tool(
            FLASK,
            "gunicorn",
            "--log-level=error",
            "-w",
            "1",
            "-k",
            "gthread",
            "--threads",
            "8",
            "-b",
            "127.0.0.1:{port}",
            "flask_app:app",
        )

    def functions_framework(self) -> Peer:
        return self._tool(
            FRAMEWORK,
            "functions-framework",
            "--target",
            "handle",
            "--source",
            str(PEER_APPS / "framework_app.py"),
            "--host",
            "127.0.0.1",
            "--port",
            "{port}",
        )

    def fission(self, specialised: bool = True) -> Peer:
        """With a module that echoes, or still generic, as it waits in Fission's pool."""
        self.needs_bjoern()
        peer = self._tool(FISSION, "python", str(PEER_APPS / "bjoern_specialise.py"), "{port}")
        peer.specialise = PEER_APPS / "fission_function.py" if specialised else None
        return peer

    def openwhisk(self) -> Peer:
        self.needs_bjoern()
        peer = self._tool(OPENWHISK, "python", str(PEER_APPS / "actionloop_front.py"), "{port}")
        peer.path, peer.body = "/run", b'{"value":' + BODY + b"}"
        return peer

    def watchdog(self) -> Peer:
        return self._tool(WATCHDOG, "python", str(PEER_APPS / "exec_server.py"), "{port}", interpreter())

    def _tool(self, name: str, tool: str, *arguments: str) -> Peer:
        self.prepare()
        return Peer(name, [str(self.venv / "bin" / tool), *arguments])


@dataclass
class Peer:
    name: str
    command: Sequence[str]
    path: str = "/"
    body: bytes = BODY
    specialise: Path | None = None
    port: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _log: Path = field(default_factory=lambda: WORK / "peer.log")

    def __enter__(self) -> Peer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def listen(self) -> None:
        """Starts it; returns when it listens. Nothing has been asked of it then."""
        self.port = free_port()
        self._log = WORK / ("".join(char if char.isalnum() else "-" for char in self.name) + ".log")
        command = [part.replace("{port}", str(self.port)) for part in self.command]
        environment = {"PATH": f"{Path(command[0]).parent}:/usr/bin:/bin", "HOME": str(WORK), "LANG": "C.UTF-8"}
        with self._log.open("wb") as log:
            # A session of its own: what it starts is stopped with it.
            self._process = subprocess.Popen(
                command,
                cwd=PEER_APPS,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            if not wait_for_port(self.port, self._process):
                raise NotMeasured(f"{self.name} did not start: {tail(self._log, 300).strip()}")
        except BaseException:
            self.stop()
            raise

    def start(self) -> float:
        """Milliseconds from the process's start to the first right answer."""
        begin = time.perf_counter()
        self.listen()
        try:
            if self.specialise:
                self.call_specialise(self.specialise)
            target = self.target()
            while True:  # some listen before they are ready
                with Connection(self.port) as connection:
                    answer = connection.call(target.wire())
                if answer.status == 200:
                    check(answer.body, who=self.name)
                    return (time.perf_counter() - begin) * 1e3
                if time.perf_counter() - begin > 30:
                    raise NotMeasured(f"{self.name} answers {answer.status}: {answer.body[:200]!r}")
                time.sleep(0.001)
        except BaseException:
            self.stop()
            raise

    def call_specialise(self, module: Path) -> None:
        with Connection(self.port) as connection:
            answer = connection.call(specialise_request(module))
        if answer.status != 200:
            raise NotMeasured(f"{self.name} does not specialise: {answer.status} {answer.body[:200]!r}")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for number, seconds in ((signal.SIGTERM, 3), (signal.SIGKILL, 5)):
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                pass
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
            if not _group_lives(process.pid):
                return

    def pids(self) -> list[int]:
        assert self._process
        return processes.tree(self._process.pid)

    def target(self) -> Target:
        return Target(self.name, self.port, self.path, body=self.body, pids=self.pids())


def specialise_request(module: Path) -> bytes:
    """To the stand-in for Fission."""
    return request("/v2/specialize", json.dumps({"filepath": str(module), "functionName": "main"}).encode())


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
