"""How long a call takes, seen from the server's side of the socket. No test: `python3 tests/measure.py`."""

import os
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from support import HEADER, Instance, encode_request, receive

ECHO = {"h.py": "def handle(data):\n    return data"}


def ordinary(root: Path) -> None:
    for concurrency in ("1", "8"):
        instance = Instance(root / concurrency, ECHO, preload=True)
        instance.specialise(handler="h.handle", concurrency=concurrency)
        instance.control.settimeout(None)
        meta, body = encode_request(), b'{"a": 1}'
        frame = HEADER.pack(len(body), 2, 0, 0, len(meta), 1) + meta + body
        took = []
        for _ in range(20_000):
            began = time.perf_counter()
            instance.control.sendall(frame)
            instance.control.recv(4096)
            took.append(time.perf_counter() - began)
        print(f"concurrency {concurrency}: {_shown(took)}")
        instance.end()


def isolated(root: Path) -> None:
    folder = root / "writable"
    folder.mkdir()
    instance = Instance(
        root / "isolated", ECHO, preload=True, folder=folder, kill="all" if os.getuid() == 0 else "descendants"
    )
    instance.specialise(handler="h.handle", isolation="call")
    for pause in (0.01, 0.0):
        rounds = list(_rounds(instance, 1000, pause))
        print(f"isolated, {pause * 1000:.0f} ms apart: reply {_shown([round[0] for round in rounds])}")
        print(f"                      until ready {_shown([round[1] for round in rounds])}")
    instance.end()


def _rounds(instance: Instance, count: int, pause: float) -> Iterator[tuple[float, float]]:
    meta, body = struct.pack(">I", 0) + encode_request(), b'{"a": 1}'
    for _ in range(count):
        time.sleep(pause)
        began = time.perf_counter()
        instance.send(6, meta, body, 1)
        receive(instance.control)
        replied = time.perf_counter()
        receive(instance.control)
        yield replied - began, time.perf_counter() - began


def _shown(took: list[float]) -> str:
    took.sort()
    half, most = (took[int(len(took) * part)] * 1e6 for part in (0.5, 0.99))
    return f"p50 {half:.0f} µs, p99 {most:.0f} µs"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as root:
        ordinary(Path(root))
        isolated(Path(root))
