"""Two clients: wrk for load, and one connection of our own for single calls, whose cost is the same for everybody."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from casemate_bench.options import Wrong
from casemate_bench.payload import BODY, MARK
from casemate_bench.processes import cpu_in_microseconds

JSON = {"Content-Type": "application/json"}


class Answer(NamedTuple):
    status: int
    head: str
    body: bytes
    milliseconds: float

    def header(self, name: str) -> str | None:
        found = re.search(rf"^{re.escape(name)}:[ \t]*(.*?)\r?$", self.head, re.M | re.I)
        return found[1] if found else None


def request(path: str, body: bytes = BODY, headers: Mapping[str, str] = JSON, method: str = "POST") -> bytes:
    """Made before the clock starts."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


class Connection:
    """One keep-alive connection with TCP_NODELAY. The clock runs from the first byte sent to the last one received."""

    def __init__(self, port: int, timeout: float = 60) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, wire: bytes) -> float:
        begin = time.perf_counter()
        self._socket.sendall(wire)
        return begin

    def receive(self, begin: float) -> Answer:
        data = self._more(b"")
        while (end := data.find(b"\r\n\r\n")) < 0:
            data = self._more(data)
        head = data[:end].decode("latin-1")
        status = int(head[9:12])
        parts = [data[end + 4 :]]
        length = re.search(r"^content-length:\s*(\d+)", head, re.M | re.I)
        if length:
            missing = int(length[1]) - len(parts[0])
            while missing > 0:
                part = self._socket.recv(min(missing, 1 << 20))
                if not part:
                    raise Wrong("a connection ended inside a body")
                parts.append(part)
                missing -= len(part)
            body = b"".join(parts) if len(parts) > 1 else parts[0]
        elif re.search(r"^transfer-encoding:\s*chunked", head, re.M | re.I):
            body = self._chunks(parts[0])
        else:
            body = b""
        took = (time.perf_counter() - begin) * 1e3
        return Answer(status, head, body, took)

    def call(self, wire: bytes) -> Answer:
        return self.receive(self.send(wire))

    def _more(self, data: bytes) -> bytes:
        part = self._socket.recv(1 << 18)
        if not part:
            raise Wrong(f"a connection ended inside an answer: {data[:200]!r}")
        return data + part

    def _chunks(self, data: bytes) -> bytes:
        body = bytearray()
        while True:
            while (line := data.find(b"\r\n")) < 0:
                data = self._more(data)
            size = int(data[:line].split(b";")[0], 16)
            while len(data) < line + 4 + size:
                data = self._more(data)
            body += data[line + 2 : line + 2 + size]
            data = data[line + 4 + size :]
            if not size:
                return bytes(body)


# wrk's own clock stops before `response` is called, so looking at each body costs no latency.
LUA = """
local f = io.open(os.getenv("BENCH_BODY"), "rb"); local body = f:read("*a"); f:close()
wrk.method = "POST"; wrk.body = body
for line in os.getenv("BENCH_HEADERS"):gmatch("[^\\n]+") do
  local name, value = line:match("^([^:]+): (.*)$"); if name then wrk.headers[name] = value end
end
local mark, expected = os.getenv("BENCH_MARK"), tonumber(os.getenv("BENCH_STATUS"))
local threads = {}
wrong = 0
function setup(thread) table.insert(threads, thread) end
function response(status, headers, body)
  if status ~= expected or not body:find(mark, 1, true) then wrong = wrong + 1 end
end
function done(summary, latency)
  local bad = 0
  for _, thread in ipairs(threads) do bad = bad + thread:get("wrong") end
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d\\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), bad, e.connect + e.read + e.write + e.timeout))
end
"""


@dataclass
class Target:
    """What a load goes to. `pids` are the processes that do the work, when it begins."""

    name: str
    port: int
    path: str = "/"
    headers: dict[str, str] = field(default_factory=lambda: dict(JSON))
    body: bytes = BODY
    pids: Sequence[int] = ()
    # What every right answer has.
    status: int = 200
    mark: str = MARK

    def wire(self) -> bytes:
        return request(self.path, self.body, self.headers)


class Load(NamedTuple):
    """Latencies in microseconds, `rate` in requests a second, `cpu` in microseconds of the server's CPU per request."""

    p50: float
    p99: float
    rate: float
    cpu: float


def wrk(target: Target, connections: int, seconds: int) -> Load:
    """Raises `Wrong` when one body was wrong or one request failed."""
    headers = "\n".join(f"{name}: {value}" for name, value in target.headers.items())
    with tempfile.TemporaryDirectory(prefix="casemate-bench-wrk-") as name:
        script, body = Path(name) / "wrk.lua", Path(name) / "body"
        script.write_text(LUA)
        body.write_bytes(target.body)
        environment = {
            **os.environ,
            "BENCH_BODY": str(body),
            "BENCH_HEADERS": headers,
            "BENCH_MARK": target.mark,
            "BENCH_STATUS": str(target.status),
        }
        url = f"http://127.0.0.1:{target.port}{target.path}"
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script), url]
        before = cpu_in_microseconds(target.pids)
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds + 60)
        used = cpu_in_microseconds(target.pids) - before
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)", ran.stdout)
    if not found:
        raise Wrong(f"{target.name}: wrk said {ran.stdout[-500:]}{ran.stderr[-500:]}")
    requests, duration, middle, high, wrong, errors = map(int, found.groups())
    if wrong or errors or not requests:
        raise Wrong(f"{target.name}, c={connections}: {requests} answers, {wrong} wrong, {errors} errors")
    return Load(middle, high, requests / (duration / 1e6), used / requests)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, alive: subprocess.Popen[bytes], seconds: float = 30) -> bool:
    """Whether somebody listens there, before the process ends or the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and alive.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            time.sleep(0.002)
    return False


def tail(path: Path, size: int = 1500) -> str:
    try:
        return path.read_text(errors="replace")[-size:]
    except OSError:
        return ""
