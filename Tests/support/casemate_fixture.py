"""Drives the real binaries from outside: a server with a data folder of its own, its CLI, its API and its gateway.

The binary is the one in CASEMATE_BIN, else the checkout's debug build. Needs root. Ends only what it started.
"""

from __future__ import annotations

import contextlib
import http.client
import inspect
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import textwrap
import threading
import time
import urllib.parse
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Generic, ParamSpec, Self, TypeVar, overload

REPOSITORY = Path(__file__).resolve().parents[2]

Source = Mapping[str, str | bytes]
Headers = Mapping[str, str] | Sequence[tuple[str, str]]
Connect = Callable[[str, int, float], socket.socket]
P = ParamSpec("P")
R = TypeVar("R")


def binary() -> Path:
    """The `casemate` under test."""
    return Path(os.environ.get("CASEMATE_BIN") or REPOSITORY / ".build/debug/casemate")


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without the operator's own CASEMATE_* settings."""
    kept = {"CASEMATE_LIBEXEC"}
    base = {k: v for k, v in os.environ.items() if not k.startswith("CASEMATE_") or k in kept}
    return {**base, **more}


# ---------------------------------------------------------------- answers


@dataclass
class Answer:
    """What came back over HTTP. `complete` is False when the connection ended before the body did."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes
    complete: bool = True
    seconds: float = 0.0

    @property
    def headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.fields}

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def call_id(self) -> str:
        return self.headers["casemate-call-id"]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.status, self.headers, self.body))


def problem(answer: Answer) -> dict[str, Any]:
    """The problem details of a refusal, after checking that they are whole (RFC 9457)."""
    assert answer.status >= 400, f"{answer.status} {answer.text[:300]}"
    assert answer.headers.get("content-type", "").startswith("application/problem+json"), answer.fields
    details: dict[str, Any] = answer.json()
    for name in ("type", "title", "status", "detail", "instance"):
        assert details.get(name), f"{name} is missing in {details}"
    assert details["status"] == answer.status
    return details


@dataclass
class Outcome:
    """What `casemate deploy --json` said."""

    code: int
    out: str
    err: str

    @property
    def functions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.out)["functions"]
        return found

    @property
    def first(self) -> dict[str, Any]:
        return self.functions[0]

    @property
    def said(self) -> str:
        return self.out + self.err


# ---------------------------------------------------------------- processes of the host


@dataclass
class Process:
    pid: int
    parent: int
    command: str
    uids: list[int]
    cgroup: str


def processes() -> dict[int, Process]:
    """Every process of the host that can still be read."""
    found: dict[int, Process] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            folder = Path("/proc") / entry
            status = (folder / "status").read_text()
            if re.search(r"^State:\s+[ZX]", status, re.M):
                continue
            parent = re.search(r"^PPid:\s+(\d+)", status, re.M)
            uids = re.search(r"^Uid:\s+(.*)$", status, re.M)
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
            cgroup = (folder / "cgroup").read_text()
            assert parent and uids
            found[int(entry)] = Process(
                int(entry), int(parent[1]), command, [int(uid) for uid in uids[1].split()], cgroup
            )
    return found


def wait_until(condition: Callable[[], Any], seconds: float, every: float = 0.05) -> Any:
    """The condition's first true value, or its last false one when the time is over."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() >= end:
            return value
        time.sleep(every)


def with_argument(marker: str) -> list[Process]:
    """The host's processes in whose command line `marker` stands."""
    return [process for process in processes().values() if marker in process.command]


def memory_in_kib(pid: int) -> int:
    found = re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)
    return int(found[1]) if found else 0


# ---------------------------------------------------------------- manifests and archives


def manifest(namespace: str | None, name: str, more: Mapping[str, Any] | None = None) -> str:
    """A native manifest with one function; values are written as JSON, which YAML contains."""
    keys: dict[str, Any] = {"source": "./source", "runtime": "python3.11", "handler": "handler.handle", **(more or {})}
    lines = [f"namespace: {namespace}"] if namespace else []
    lines += ["functions:", f"  {name}:"]
    lines += [f"    {key}: {json.dumps(value)}" for key, value in keys.items() if value is not None]
    return "\n".join(lines) + "\n"


def archive(source: Source) -> bytes:
    """A well-behaved zip of `source`, the same bytes whenever it is made."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for path, text in source.items():
            entry = zipfile.ZipInfo(path, (2024, 1, 1, 0, 0, 0))
            entry.external_attr = 0o600 << 16
            packed.writestr(entry, text, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def handler(code: str) -> dict[str, str]:
    """A source folder with one handler.py."""
    return {"handler.py": textwrap.dedent(code).lstrip("\n")}


# ---------------------------------------------------------------- the server


@dataclass
class Server:
    """`casemate up` in a temporary folder, on two free ports of 127.0.0.1.

    `prefix` comes before each of its commands, and `connect` makes the connections to it (host, port, seconds): so it can
    run, and be called, in another network namespace.
    """

    options: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    listen: str = "127.0.0.1:0"
    gateway_listen: str = "127.0.0.1:0"
    prefix: Sequence[str] = ()
    connect: Connect | None = None

    def __post_init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="casemate-test-"))
        self.folder.chmod(0o711)
        self.data = self.folder / "data"
        self.config = self.folder / "cli.yaml"
        self.instances: set[str] = set()
        self.deployed: set[str] = set()
        self.namespaces: set[str] = set()
        self.process: subprocess.Popen[str] | None = None
        self.api_url = ""
        self.gateway_url = ""
        self.key = ""
        self.out: list[str] = []
        self.err: list[str] = []

    # -- life

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.dispose()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if self.process is not None and self.process.poll() is None:
                self.stop()
                if kind is None:
                    self.assert_clean()
        finally:
            self.dispose()

    def start(self, seconds: float = 60) -> Server:
        """Starts the server and returns when both of its URLs are known."""
        self.out, self.err = [], []
        # The first start writes the CLI's file; a later one has other ports and must write it anew.
        self.config.unlink(missing_ok=True)
        command = [*self.prefix, str(binary()), "up", "--data", str(self.data), "--listen", self.listen]
        command += ["--gateway", self.gateway_listen, *self.options]
        # What a test leaves running is nothing to wait for.
        if "--drain-seconds" not in self.options and "CASEMATE_DRAIN_SECONDS" not in self.environment:
            command += ["--drain-seconds", "1"]
        self.process = subprocess.Popen(
            command,
            env=self.cli_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        readers = []
        for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err)):
            assert stream is not None
            readers.append(threading.Thread(target=lambda s=stream, into=lines: into.extend(s), daemon=True))
            readers[-1].start()

        def urls() -> bool:
            text = "".join(self.out)
            api = re.search(r"^ {2}API +(https?://\S+)\s*$", text, re.M)
            gateway = re.search(r"^ {2}gateway +(https?://\S+)\s*$", text, re.M)
            if api and gateway:
                self.api_url, self.gateway_url = api[1], gateway[1]
            return bool(api and gateway)

        wait_until(lambda: urls() or self.process is None or self.process.poll() is not None, seconds)
        if not urls():
            # What it said last may not be read yet.
            for reader in readers:
                reader.join(5 if self.process.poll() is not None else 0)
            raise AssertionError(f"the server did not come up: {''.join(self.out)}{''.join(self.err)}")
        self.key = (self.data / "admin.key").read_text().strip()
        for process in self.wardens():
            found = re.search(r"--instance (\S+)", process.command)
            if found:
                self.instances.add(found[1])
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self, seconds: float = 10) -> float:
        """Ctrl-C; returns how long it took to end."""
        assert self.process is not None and self.process.poll() is None, f"the server had ended: {''.join(self.err)}"
        begin = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the server did not end within {seconds} s of SIGINT") from None
        return time.monotonic() - begin

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def recover(self, seconds: float = 15) -> None:
        """After a kill: serving again, by itself or by a new start on the same data."""

        def answers() -> bool:
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self.api("GET", "/readyz", key=None).status == 200
            return False

        ended = wait_until(lambda: not self.is_running() or answers(), seconds)
        assert ended, "the server neither ended nor got ready again"
        if not self.is_running():
            self.start()
            assert wait_until(answers, seconds), "the new server does not get ready"

    def dispose(self) -> None:
        """Kills what of this server is left, and removes its folder."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        for process in self.remains():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- what belongs to it on the host

    def wardens(self) -> list[Process]:
        """The warden's processes: the outer first, then the inner."""
        everything = processes()
        outer = [p for p in everything.values() if p.parent == self.pid and "casemate-warden" in p.command]
        ids = {p.pid for p in outer}
        inner = [p for p in everything.values() if p.parent in ids and "casemate-warden" in p.command]
        return outer + inner

    def remains(self) -> list[Process]:
        """Processes of this server's wardens and sandboxes, whoever their parent is now."""
        found = []
        for process in processes().values():
            for instance in self.instances:
                if f"--instance {instance}" in process.command or f"/casemate/{instance}" in process.cgroup:
                    found.append(process)
        return found

    def sandboxes(self) -> dict[str, list[Process]]:
        """The processes of each of this server's sandboxes, by the sandbox's cgroup."""
        found: dict[str, list[Process]] = {}
        for process in self.remains():
            match = re.search(r"/casemate/[^/\s]+/([^/\s]+)", process.cgroup)
            if match and "casemate-warden" not in process.command:
                found.setdefault(match[1], []).append(process)
        return found

    def leftovers(self) -> list[str]:
        """Processes, runtime folders, cgroups and mounts of this server that are still there."""
        found = [f"process {process.pid} {process.command}" for process in self.remains()]
        for instance in self.instances:
            found += [str(path) for path in [Path("/run/casemate") / instance] if path.exists()]
            found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/casemate/{instance}")]
            found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"casemate/{instance}")]
            mounts = Path("/proc/self/mountinfo").read_text().splitlines()
            found += [f"mount {line}" for line in mounts if instance in line]
        return found

    def assert_clean(self, seconds: float = 2) -> None:
        wait_until(lambda: not self.leftovers(), seconds)
        assert self.leftovers() == []

    # -- the command line

    def cli_environment(self, **more: str) -> dict[str, str]:
        return clean_environment(CASEMATE_CONFIG=str(self.config), HOME=str(self.folder), **self.environment, **more)

    def cli(
        self,
        *arguments: str,
        input: str | bytes | None = None,
        timeout: float = 120,
        environment: Mapping[str, str] | None = None,
    ) -> tuple[int, str, str]:
        done = subprocess.run(
            [*self.prefix, str(binary()), *arguments],
            env=self.cli_environment(**(environment or {})),
            input=input.encode() if isinstance(input, str) else input or b"",
            capture_output=True,
            timeout=timeout,
            cwd=self.folder,
        )
        return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")

    def cli_json(self, *arguments: str, input: str | bytes | None = None) -> Any:
        code, out, err = self.cli(*arguments, "--json", input=input)
        assert code == 0, f"{arguments}: {code} {out}{err}"
        return json.loads(out)

    # -- HTTP

    @staticmethod
    def http(
        url: str,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: Headers = (),
        timeout: float = 60,
        connect: Connect | None = None,
    ) -> Answer:
        """One request, its path and headers just as given."""
        parts = urllib.parse.urlsplit(url)
        begin = time.monotonic()
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
        if connect:
            connection.sock = connect(connection.host, connection.port, timeout)
        pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
        names = {name.lower() for name, _ in pairs}
        try:
            connection.putrequest(method, path, skip_host="host" in names, skip_accept_encoding=True)
            for name, value in pairs:
                connection.putheader(name, value)
            chunked = body is not None and not isinstance(body, bytes)
            if chunked:
                connection.putheader("Transfer-Encoding", "chunked")
            elif "content-length" not in names and (body is not None or method in ("POST", "PUT", "PATCH")):
                assert body is None or isinstance(body, bytes)
                connection.putheader("Content-Length", str(len(body or b"")))
            # A server that refuses early may close before it has read everything; its answer still counts.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.endheaders(message_body=body, encode_chunked=chunked)
            response = connection.getresponse()
            try:
                content, complete = response.read(), True
            except http.client.IncompleteRead as ended:
                content, complete = ended.partial, False
            except ConnectionResetError:
                content, complete = b"", False
            return Answer(response.status, response.getheaders(), content, complete, time.monotonic() - begin)
        finally:
            connection.close()

    def api(
        self,
        method: str,
        path: str,
        body: Any = None,
        key: str | None = "",
        headers: Headers = (),
        timeout: float = 60,
    ) -> Answer:
        """The management API. `key` None sends no credential, "" the administrator's."""
        pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
        if key is not None:
            pairs.append(("Authorization", f"Bearer {key or self.key}"))
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        return self.http(self.api_url, method, path, raw, pairs, timeout, self.connect)

    def call(
        self,
        function: str,
        method: str | None = None,
        path: str = "",
        body: Any = None,
        headers: Headers = (),
        key: str | None = "",
        token: str | None = None,
        timeout: float = 60,
    ) -> Answer:
        """Calls `namespace/function` over the gateway; a body that is not bytes is sent as JSON."""
        pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
        if token is not None:
            pairs.append(("X-Auth-Token", token))
        elif key is not None:
            pairs.append(("Authorization", f"Bearer {key or self.key}"))
        raw = body
        if body is not None and not isinstance(body, bytes) and not inspect.isgenerator(body):
            raw = json.dumps(body).encode()
            if not any(name.lower() == "content-type" for name, _ in pairs):
                pairs.append(("Content-Type", "application/json"))
        verb = method or ("GET" if body is None else "POST")
        return self.http(self.gateway_url, verb, f"/f/{function}{path}", raw, pairs, timeout, self.connect)

    # -- the usual steps

    def namespace(self, name: str) -> None:
        if name not in self.namespaces:
            answer = self.api("POST", "/v1/namespaces", {"name": name})
            assert answer.status in (201, 409), answer.text
            self.namespaces.add(name)

    def project(self, namespace: str, name: str, source: Source, more: Mapping[str, Any] | str | None = None) -> Path:
        """Writes a folder with a casemate.yaml and a source, and returns it. `more` as text is the whole manifest."""
        folder = Path(tempfile.mkdtemp(prefix="project-", dir=self.folder))
        text = more if isinstance(more, str) else manifest(namespace, name, more)
        (folder / "casemate.yaml").write_text(text)
        for path, content in source.items():
            file = folder / "source" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        return folder

    def try_deploy(
        self, namespace: str, name: str, source: Source, more: Mapping[str, Any] | str | None = None, *options: str
    ) -> Outcome:
        self.namespace(namespace)
        folder = self.project(namespace, name, source, more)
        try:
            return Outcome(*self.cli("deploy", str(folder), "--json", *options))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def deploy(
        self, namespace: str, name: str, source: Source, more: Mapping[str, Any] | str | None = None
    ) -> dict[str, Any]:
        """Deploys, and returns what was said about the function; fails the test when it was not deployed.

        What the gate finds is waived: handlers of tests do on purpose what nobody should. Tests of the gate use `try_deploy`.
        """
        outcome = self.try_deploy(namespace, name, source, more)
        if outcome.code and outcome.first.get("problemType") == "/problems/gate-failed":
            self.waive(f"{namespace}/{name}", outcome.first)
            outcome = self.try_deploy(namespace, name, source, more)
        assert outcome.code == 0, f"not deployed: {outcome.said}"
        assert outcome.first["status"] in ("deployed", "unchanged"), outcome.said
        return outcome.first

    def waive(self, function: str, outcome: Mapping[str, Any], seconds: float = 3600, **body: str) -> list[Answer]:
        """Lets all pass that stopped a deployment."""
        end = datetime.now(UTC) + timedelta(seconds=seconds)
        stopping = [item for item in outcome["diagnostics"] if item["severity"] == "error" and "finding" in item]
        assert stopping, f"there is nothing to waive: {outcome}"
        answers = []
        for item in stopping:
            waiver = {"finding": item["finding"]["id"], "reason": "a test", "expires": end.isoformat(), **body}
            answers.append(self.api("POST", f"{self.function_path(function)}/waivers", waiver))
            assert answers[-1].status == 201, answers[-1].text
        return answers

    def deploy_archive(self, namespace: str, name: str, packed: bytes, text: str | None = None) -> Answer:
        """Deploys past the CLI: the raw archive, then a deployment of it. The first refusal is the answer."""
        self.namespace(namespace)
        uploaded = self.api("POST", "/v1/archives", packed, timeout=120)
        if uploaded.status != 201:
            return uploaded
        order = {
            "namespace": namespace,
            "manifest": text or manifest(namespace, name),
            "sources": {name: uploaded.json()["digest"]},
        }
        return self.api("POST", "/v1/deployments", order, timeout=180)

    def secret(self, function: str, name: str, value: str | bytes) -> dict[str, Any]:
        answer: dict[str, Any] = self.cli_json("secret", "set", function, name, input=value)
        return answer

    def token(self, scope: str, *options: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.cli_json("token", "create", scope, *options)
        return answer

    def function_path(self, function: str) -> str:
        namespace, name = function.split("/")
        return f"/v1/namespaces/{namespace}/functions/{name}"

    def logs(self, function: str, call: str | None = None) -> list[dict[str, Any]]:
        """All lines that are kept, oldest first."""
        lines: list[dict[str, Any]] = []
        cursor = 0
        while True:
            query = f"after={cursor}&limit=10000" + (f"&call={call}" if call else "")
            answer = self.api("GET", f"{self.function_path(function)}/logs?{query}")
            assert answer.status == 200, answer.text
            page = answer.json()
            if not page["lines"]:
                return lines
            lines += page["lines"]
            cursor = page["cursor"]

    def messages(self, function: str, call: str | None = None) -> list[str]:
        return [line["message"] for line in self.logs(function, call)]

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.cli_json("status")
        return answer

    def assert_serving(self) -> None:
        """A function that has nothing to do with the test answers."""
        if "canary" not in self.deployed:
            self.deploy("canary", "canary", handler("def handle(data):\n    return {'alive': data['n']}\n"))
            self.deployed.add("canary")
        assert self.is_running(), f"the server ended: {''.join(self.err)[-2000:]}"
        answer = self.call("canary/canary", body={"n": 7}, timeout=20)
        assert (answer.status, answer.body) == (200, b'{"alive":7}') or answer.json() == {"alive": 7}, answer.text


# ---------------------------------------------------------------- code that runs inside a sandbox, written beside its test


@dataclass
class Remote(Generic[P, R]):
    """A function that runs only inside a sandbox. Calling it here calls it there, and gives its result.

    The second form is what the functions beside it see: inside they call each other, without a server.
    """

    inside: Inside
    name: str

    @overload
    def __call__(self, server: Server, /, **arguments: Any) -> R: ...

    @overload
    def __call__(self, /, *arguments: P.args, **named: P.kwargs) -> R: ...

    def __call__(self, /, *given: Any, **arguments: Any) -> Any:
        (server,) = given
        answer = self.answer(server, **arguments)
        assert answer.status == 200, f"{self.name}: {answer.status} {answer.text[:500]}"
        return answer.json()

    def answer(self, server: Server, **arguments: Any) -> Answer:
        self.inside.deploy(server)
        return server.call(self.inside.function, body={"run": self.name, "with": arguments})


class Inside:
    """Gathers a module's functions into one deployed function; `@inside` keeps them from ever running on the host."""

    def __init__(self, function: str, **keys: Any) -> None:
        self.function = function
        self.keys = keys
        self.parts: dict[str, str] = {}

    def __call__(self, body: Callable[P, R]) -> Remote[P, R]:
        lines = textwrap.dedent(inspect.getsource(body)).splitlines()
        first = next(index for index, line in enumerate(lines) if line.startswith("def "))
        self.parts[body.__name__] = "\n".join(lines[first:])
        return Remote(self, body.__name__)

    @property
    def source(self) -> dict[str, str]:
        text = ["from __future__ import annotations", *self.parts.values()]
        table = ", ".join(f"{name!r}: {name}" for name in self.parts)
        text.append(f"PARTS = {{{table}}}")
        text.append("def handle(data):\n    return PARTS[data['run']](**data['with'])")
        return {"handler.py": "\n\n\n".join(text) + "\n"}

    def deploy(self, server: Server) -> None:
        if self.function not in server.deployed:
            namespace, name = self.function.split("/")
            server.deploy(namespace, name, self.source, self.keys)
            server.deployed.add(self.function)
