"""Casemate itself: `casemate up` in a temporary folder, on free ports, and what is done with it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from casemate_bench import processes
from casemate_bench.load import JSON, Connection, Target, request, tail
from casemate_bench.options import WORK, Bench, NotMeasured, Wrong
from casemate_bench.payload import BODY, HANDLER

_MOST_PER_MANIFEST = 100
# The first start of a release makes the runtime's root file system, which takes minutes.
_START_SECONDS = 600
# Thousands of sandboxes take a while to end.
_STOP_SECONDS = 240


@dataclass
class Function:
    """Files of a source folder, and keys of the manifest beside source, runtime and handler."""

    files: Mapping[str, str]
    keys: Mapping[str, Any] = field(default_factory=dict)


def trivial(number: int, **keys: Any) -> Function:
    """One of the distinct functions that echo."""
    return Function({"handler.py": HANDLER.format(number=number)}, keys)


class NotDeployed(Wrong):
    """The message is what was said about the first function that was refused."""


class Server:
    NAMESPACE = "bench"

    def __init__(self, bench: Bench, pool: int = 4, options: Sequence[str] = ()) -> None:
        self._bench = bench
        self._options = ["--pool-size", str(pool), *options]
        self.pool = pool
        self.folder = Path()
        self.token = ""  # nosec B105  # none yet
        self._process: subprocess.Popen[str] | None = None
        self._said: list[str] = []
        self._key = ""
        self._api = self._gateway = 0

    # -- life

    def __enter__(self) -> Server:
        if os.geteuid() != 0:
            raise NotMeasured("sandboxes need root")
        self.folder = Path(tempfile.mkdtemp(prefix="casemate-bench-"))
        self.folder.chmod(0o711)
        try:
            self.start()
            self.cli("namespace", "create", self.NAMESPACE)
            self.token = self.cli("token", "create", self.NAMESPACE).strip()
        except BaseException:
            self.dispose()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.dispose()

    def start(self) -> None:
        (self.folder / "cli.yaml").unlink(missing_ok=True)  # names the ports of the start before
        command = [
            str(self._bench.binary),
            "up",
            "--data",
            str(self.data),
            "--listen",
            "127.0.0.1:0",
            "--gateway",
            "127.0.0.1:0",
        ]
        self._said = []
        with (self.folder / "log").open("a") as log:
            # A session of its own: Ctrl-C reaches us alone, and we stop it in order.
            self._process = subprocess.Popen(
                [*command, *self._options],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd="/",
                start_new_session=True,
            )
        assert self._process.stdout
        threading.Thread(target=self._said.extend, args=(self._process.stdout,), daemon=True).start()
        end = time.monotonic() + _START_SECONDS
        while not self._ports():
            if self._process.poll() is not None or time.monotonic() > end:
                raise NotMeasured(f"the server did not start: {''.join(self._said)}{tail(self.folder / 'log')}".strip())
            time.sleep(0.02)
        self._key = (self.data / "admin.key").read_text().strip()

    def _ports(self) -> bool:
        text = "".join(self._said)
        api = re.search(r"^ {2}API +http://127\.0\.0\.1:(\d+)\s*$", text, re.M)
        gateway = re.search(r"^ {2}gateway +http://127\.0\.0\.1:(\d+)\s*$", text, re.M)
        if api and gateway:
            self._api, self._gateway = int(api[1]), int(gateway[1])
        return bool(api and gateway)

    def stop(self) -> None:
        """As Ctrl-C does: the server ends its warden, and that one its sandboxes."""
        process, self._process = self._process, None
        if process is None:
            return
        pids = [pid for pid in processes.tree(process.pid) if pid != process.pid] if process.poll() is None else []
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        # The inner warden and its sandboxes outlive the server for a moment.
        end = time.monotonic() + 20
        while any(map(_is_ours, pids)) and time.monotonic() < end:
            time.sleep(0.05)
        if left := [pid for pid in pids if _is_ours(pid)]:
            self._bench.say(f"  processes that the server left behind: {left}")

    def dispose(self) -> None:
        try:
            self.stop()
        finally:
            with contextlib.suppress(OSError):
                shutil.copy(
                    self.folder / "log", WORK / "server.log"
                )  # of the last server, for whoever looks for a reason
            shutil.rmtree(self.folder, ignore_errors=True)

    def restart(self) -> None:
        self.stop()
        self.start()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    # -- its processes

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def pids(self) -> list[int]:
        """Server, warden and every sandbox."""
        return processes.tree(self.pid)

    def wardens(self) -> list[int]:
        return [pid for pid in self.pids() if "casemate-warden" in processes.command(pid)]

    def sandboxes(self) -> dict[str, list[int]]:
        """Processes below the warden by their PID namespace: one per sandbox."""
        above = {self.pid, *self.wardens()}
        own = {processes.pid_namespace(pid) for pid in above}
        found: dict[str, list[int]] = {}
        for pid in self.pids():
            if pid not in above and (namespace := processes.pid_namespace(pid)) not in own | {""}:
                found.setdefault(namespace, []).append(pid)
        return found

    def functions_sandboxes(self) -> list[list[int]]:
        """Those that have a bundle attached; the others wait in the pool."""
        return [
            pids for pids in self.sandboxes().values() if any(Path(f"/proc/{pid}/root/fn/src").is_dir() for pid in pids)
        ]

    # -- the command line and the API

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("CASEMATE_") or name == "CASEMATE_LIBEXEC"
        }
        return {**kept, "CASEMATE_CONFIG": str(self.folder / "cli.yaml")}

    def try_cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self._bench.binary), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            timeout=900,
        )

    def cli(self, *arguments: str) -> str:
        ran = self.try_cli(*arguments)
        if ran.returncode:
            raise Wrong(
                f"casemate {' '.join(arguments)}: exit {ran.returncode}: {ran.stdout[-1500:]}{ran.stderr[-1500:]}"
            )
        return ran.stdout

    def api(self, method: str, path: str, body: bytes | None = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._api, timeout=60)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {self._key}"})
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.status >= 300:
            raise Wrong(f"{method} {path}: {response.status} {content[:500]!r}")
        return content

    def api_connection(self) -> Connection:
        return Connection(self._api)

    def question(self, path: str) -> bytes:
        """For a connection to the API."""
        return request(path, b"", {"Authorization": f"Bearer {self._key}"}, "GET")

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.api("GET", "/v1/status"))
        return found

    def cold_starts(self) -> int:
        return int(self.status()["coldStarts"])

    def metric(self, name: str) -> float | None:
        """None where this binary has no such metric, or no metrics at all."""
        try:
            text = self.api("GET", "/metrics").decode()
        except Wrong:
            return None
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
        return float(found[1]) if found else None

    def set_secret(self, function: str, name: str, value: str) -> None:
        self.api("PUT", f"/v1/namespaces/{self.NAMESPACE}/functions/{function}/secrets/{name}", value.encode())

    def wait_for_pool(self, count: int | None = None, seconds: float = 60) -> None:
        """Until so many interpreters wait, by default all: then a slot is free, and nothing is being filled."""
        least = self.pool if count is None else count
        end = time.monotonic() + seconds
        while self.status()["warmSandboxes"] < least:
            if time.monotonic() > end:
                raise NotMeasured(f"the pool does not fill up to {least} within {seconds:.0f} s")
            time.sleep(0.01)

    # -- deploying and calling

    def write(self, functions: Mapping[str, Function]) -> Path:
        """A folder that can be deployed."""
        folder = Path(tempfile.mkdtemp(prefix="project-", dir=self.folder))
        lines = ["functions:"]
        for name, function in functions.items():
            for path, text in function.files.items():
                file = folder / name / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            keys = {"source": f"./{name}", "runtime": "python3.11", "handler": "handler.handle", **function.keys}
            lines.append(f"  {name}:")
            lines += [f"    {key}: {json.dumps(value)}" for key, value in keys.items()]
        (folder / "casemate.yaml").write_text("\n".join(lines) + "\n")
        return folder

    def deploy(self, functions: Mapping[str, Function]) -> float:
        """Seconds, from the command's start to its end. Raises `NotDeployed` with what was said when one was refused."""
        names = list(functions)
        took = 0.0
        for at in range(0, len(names), _MOST_PER_MANIFEST):
            folder = self.write({name: functions[name] for name in names[at : at + _MOST_PER_MANIFEST]})
            begin = time.perf_counter()
            ran = self.try_cli("deploy", str(folder), "--namespace", self.NAMESPACE, "--json")
            took += time.perf_counter() - begin
            shutil.rmtree(folder)
            if ran.returncode:
                raise NotDeployed(_refusal(ran))
            if len(names) > _MOST_PER_MANIFEST:
                self._bench.say(f"  {min(at + _MOST_PER_MANIFEST, len(names))} of {len(names)} deployed, {took:.0f} s")
        return took

    def connection(self) -> Connection:
        return Connection(self._gateway)

    def wire(
        self, function: str, body: bytes = BODY, headers: Mapping[str, str] | None = None, query: str = ""
    ) -> bytes:
        return request(
            f"/f/{self.NAMESPACE}/{function}{query}", body, {**JSON, "X-Auth-Token": self.token, **(headers or {})}
        )

    def target(self, function: str) -> Target:
        headers = {**JSON, "X-Auth-Token": self.token}
        return Target("casemate", self._gateway, f"/f/{self.NAMESPACE}/{function}", headers, pids=self.pids())


def _refusal(ran: subprocess.CompletedProcess[str]) -> str:
    try:
        found = json.loads(ran.stdout)["functions"]
        refused = next(each for each in found if each["status"] not in ("deployed", "unchanged"))
        return f"{refused['function']}, {refused.get('stage')}: {refused.get('problem')} {refused.get('diagnostics') or ''}".strip()[
            :600
        ]
    except (ValueError, LookupError, StopIteration):
        return " ".join((ran.stdout + ran.stderr).split())[-600:]


def _is_ours(pid: int) -> bool:
    text = processes.command(pid)
    return "casemate-warden" in text or "casemate_runtime" in text
