"""W1: what the network wall adds to a TLS request. W2: how much it carries. W3: what ten names cost a cold start. W4: memory of listeners.

W1 and W2 run the whole server in a network namespace, with the made-up internet of the tests outside it. The peer is the same client, by the
same interpreter, in the server's own namespace: what a program on the host would see.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from casemate_bench import processes
from casemate_bench.goals.cold import called
from casemate_bench.options import ROOT, Bench, Wrong
from casemate_bench.server import Function, Server, trivial
from casemate_bench.stats import differences, median, paired, rotated
from casemate_bench.table import Row

_HOST = "api.example.com"
_ADDRESS = "93.184.216.34"
_SINK_PORT = 7010
_NAMES = [f"host{number}.example.com:443" for number in range(10)]

# Runs in the function and, as it is, in the server's namespace: a connection, a handshake and a request each time.
CLIENT = '''"""Times requests over TLS, each over a connection of its own."""

import socket
import ssl
import time

CONTEXT = ssl.create_default_context(cadata=open(__file__.rsplit("/", 1)[0] + "/authority.txt").read())


def handle(data):
    if "bytes" in data:
        return sends(data["host"], data["port"], data["bytes"])
    return requests(data["host"], data["name"], data["count"])


def requests(host, name, count):
    took = []
    for _ in range(count):
        begin = time.perf_counter()
        with socket.create_connection((host, 443), 10) as raw, CONTEXT.wrap_socket(raw, server_hostname=name) as stream:
            stream.sendall(b"GET / HTTP/1.1\\r\\nHost: " + name.encode() + b"\\r\\nConnection: close\\r\\n\\r\\n")
            answer = b""
            while more := stream.recv(65536):
                answer += more
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(answer[:200])
        took.append((time.perf_counter() - begin) * 1000)
    return took


def sends(host, port, count):
    block = memoryview(bytes(1 << 20))
    begin = time.perf_counter()
    with socket.create_connection((host, port), 10) as stream:
        left = count
        while left > 0:
            left -= stream.send(block[: min(left, len(block))])
        stream.shutdown(socket.SHUT_WR)
        said = stream.recv(64)
    if int(said) != count:
        raise RuntimeError(said)
    return time.perf_counter() - begin
'''

# A process of its own, so that its work is not that of the one who measures.
SINK = """
import socket, sys
listener = socket.socket(fileno=int(sys.argv[1]))
buffer = bytearray(1 << 20)
while True:
    stream, _ = listener.accept()
    count = 0
    while got := stream.recv_into(buffer):
        count += got
    stream.sendall(str(count).encode())
    stream.close()
"""


def run(bench: Bench) -> None:
    if bench.wants("W1", "W2"):
        _wall(bench)
    if bench.wants("W3", "W4"):
        _names(bench)


# ---------------------------------------------------------------- through the wall


def _wall(bench: Bench) -> None:
    sys.path.insert(0, str(ROOT / "Tests/support"))
    os.environ["CASEMATE_BIN"] = str(bench.binary)
    from network_world import World
    from world_dns import A
    from world_services import authority

    with World() as world:
        world.dns[_HOST] = [A(_ADDRESS)]
        listener = world.outside.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("0.0.0.0", _SINK_PORT))  # nosec B104  # in a network namespace of its own
        listener.listen(16)
        sink = subprocess.Popen([sys.executable, "-c", SINK, str(listener.fileno())], pass_fds=[listener.fileno()])
        try:
            with world.server() as server:
                files = {"handler.py": CLIENT, "authority.txt": authority().certificate}
                keys = {"egress": [f"{_HOST}:443", f"{_HOST}:{_SINK_PORT}"], "limits": {"timeout": "120s"}}
                server.deploy("bench", "client", files, keys)
                folder = Path(server.folder) / "peer"
                folder.mkdir()
                for name, text in files.items():
                    (folder / name).write_text(text)

                def inside(body: dict[str, Any]) -> Any:
                    answer = server.call("bench/client", body=body, timeout=120)
                    if answer.status != 200:
                        raise Wrong(f"the client in the function: {answer.status} {answer.text[:300]}")
                    return answer.json()

                def outside(body: dict[str, Any]) -> Any:
                    program = f"import sys, json; sys.path.insert(0, {str(folder)!r}); import handler; print(json.dumps(handler.handle({body!r})))"
                    ran = subprocess.run(
                        [*world.inner.enter, "/usr/bin/python3", "-c", program],
                        capture_output=True,
                        text=True,
                        timeout=120,
                    )
                    if ran.returncode:
                        raise Wrong(f"the client on the host: {ran.stderr[-300:]}")
                    return json.loads(ran.stdout)

                if bench.wants("W1"):
                    _added(bench, inside, outside)
                if bench.wants("W2"):
                    _carried(bench, inside, outside, server.pid)
        finally:
            sink.terminate()
            sink.wait(10)
            listener.close()


def _added(bench: Bench, inside: Any, outside: Any) -> None:
    count = max(20, bench.options.large_calls * 2)
    took: dict[str, list[float]] = {"wall": [], "host": []}
    for turn in range(bench.options.rounds):
        for who in rotated(["wall", "host"], turn):
            body = {"host": _HOST if who == "wall" else _ADDRESS, "name": _HOST, "count": count}
            took[who].append(median((inside if who == "wall" else outside)(body)))
    bench.keep("W1", took)
    bench.add(
        Row(
            "W1",
            "a TLS request to a listed name: the wall adds",
            differences(took["wall"], took["host"]),
            "ms",
            "the same client on the host",
            paired(took["wall"], took["host"]),
            0.5,
            goal_is="value",
            count=count,
            note=f"connection, handshake and request, p50: {median(took['wall']):.2f} ms through the wall, {median(took['host']):.2f} ms without",
        )
    )


def _carried(bench: Bench, inside: Any, outside: Any, pid: int) -> None:
    size = 1 << 30
    rates: dict[str, list[float]] = {"wall": [], "host": []}
    cores = []
    for turn in range(bench.options.rounds):
        for who in rotated(["wall", "host"], turn):
            body = {"host": _HOST if who == "wall" else _ADDRESS, "port": _SINK_PORT, "bytes": size}
            before = _cpu(pid)
            took = (inside if who == "wall" else outside)(body)
            rates[who].append(size / took / 1e9)
            if who == "wall":
                cores.append((_cpu(pid) - before) / took)
    bench.keep("W2", {**rates, "cores": cores})
    bench.add(
        Row(
            "W2",
            "bytes from a function to a listed name",
            rates["wall"],
            "GB/s",
            "the same client on the host",
            paired(rates["wall"], rates["host"]),
            1.0,
            goal_is="value",
            at_least=True,
            note=f"1 GiB over one connection; the server's process used {median(cores):.2f} cores meanwhile; the host alone: "
            f"{median(rates['host']):.2f} GB/s; client, server and sink share the machine's cores",
        )
    )


def _cpu(pid: int) -> float:
    return processes.cpu_of_threads_in_microseconds([pid]) / 1e6


# ---------------------------------------------------------------- names


def _names(bench: Bench) -> None:
    count = bench.options.cold
    keys = {"scale": {"max": 1, "idle": "1h"}}
    with Server(bench) as server:
        cold: dict[str, list[float]] = {"none": [], "ten": []}
        for turn in range(bench.options.rounds):
            found: dict[str, list[float]] = {"none": [], "ten": []}
            names = {
                f"{kind}-{turn}-{number}": (kind, number) for number in range(count // 2) for kind in ("none", "ten")
            }
            server.deploy(
                {
                    name: trivial(number, **keys, **({"egress": _NAMES} if kind == "ten" else {}))
                    for name, (kind, number) in names.items()
                }
            )
            with server.connection() as connection:
                for number in range(count // 2):
                    for kind in rotated(["none", "ten"], number + turn):
                        server.wait_for_pool()
                        time.sleep(0.03)
                        found[kind].append(called(connection.call(server.wire(f"{kind}-{turn}-{number}")), number))
            for kind, each in found.items():
                cold[kind].append(median(each))
        bench.keep("W3", cold)
        if bench.wants("W3"):
            bench.add(
                Row(
                    "W3",
                    "cold start with ten listed names: they add",
                    differences(cold["ten"], cold["none"]),
                    "ms",
                    "with none",
                    paired(cold["ten"], cold["none"]),
                    0.5,
                    goal_is="value",
                    count=count // 2,
                    note=f"p50: {median(cold['ten']):.2f} ms with ten, {median(cold['none']):.2f} ms with none",
                )
            )
    if bench.wants("W4"):
        _memory(bench)


def _memory(bench: Bench) -> None:
    count = bench.options.idle_functions
    grown: dict[str, list[float]] = {"none": [], "ten": []}
    for kind in ("none", "ten"):
        with Server(bench) as server:
            keys = {"scale": {"max": 1, "idle": "1h"}, **({"egress": _NAMES} if kind == "ten" else {})}
            server.deploy({f"f{number}": Function(trivial(number).files, keys) for number in range(count)})
            server.wait_for_pool()
            before = processes.rss_in_kib(server.pid)
            with server.connection() as connection:
                for number in range(count):
                    called(connection.call(server.wire(f"f{number}")), number)
            time.sleep(1)
            grown[kind].append((processes.rss_in_kib(server.pid) - before) / count)
    bench.keep("W4", grown)
    bench.add(
        Row(
            "W4",
            "the server's memory for an instance with ten listeners",
            grown["ten"],
            "KiB",
            "one without",
            paired(grown["ten"], grown["none"]),
            100,
            goal_is="value",
            count=count,
            note=f"growth of RSS per instance; without listeners {median(grown['none']):.0f} KiB",
        )
    )
