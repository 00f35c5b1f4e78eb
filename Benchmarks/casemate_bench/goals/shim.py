"""P6: what a warm call costs above the runtime itself: the same call sent to the same shim on its own control socket.

That shim runs outside any sandbox, in a mount namespace of its own with the runtime's root file system, so that interpreter, files and
paths are the sandbox's.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

from casemate_bench.goals.cold import called
from casemate_bench.load import tail
from casemate_bench.options import Bench, NotMeasured, Wrong
from casemate_bench.payload import BODY, HANDLER, check
from casemate_bench.server import Server, trivial
from casemate_bench.stats import differences, median, paired, rotated
from casemate_bench.table import Row

# Sources/CasemateWire/PROTOCOL.md
_HEADER = struct.Struct(">IBBHII")
_SPECIALISE, _INVOKE, _WARM, _SPECIALISED, _REPLY = 0x01, 0x02, 0x81, 0x82, 0x83
# As in a sandbox.
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "TZ": "UTC"}  # nosec B108
_RUNTIMES = Path("/var/lib/casemate/runtimes/python3.11")
_BLOCK = 200
# bash, because descriptors of two digits can be told to it.
_ENTER = (
    'mount --bind "$1" "$2/fn" && mount --bind "$3" "$2/opt/casemate" && mount -t proc proc "$2/proc" && mount --bind /dev "$2/dev" && '
    'exec chroot "$2" /usr/bin/python3.11 -I -S /opt/casemate/casemate_runtime/bootstrap.py run 3<&"$4"'
)


class Shim:
    """One specialised runtime, and our end of its control socket."""

    def __init__(self, bench: Bench, folder: Path, number: int) -> None:
        if not (_RUNTIMES / "fn").is_dir():
            raise NotMeasured(f"{_RUNTIMES} has no runtime: casemate runtime install python3.11")
        source = folder / "bundle/src"
        source.mkdir(parents=True)
        (source / "handler.py").write_text(HANDLER.format(number=number))
        (folder / "bundle/deps").mkdir()
        shutil.copytree(
            bench.libexec() / "runtimes/python",
            folder / "runtime",
            ignore=shutil.ignore_patterns("tests", "__pycache__"),
        )
        self._log = folder / "shim.log"
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(30)
        places = [str(folder / "bundle"), str(_RUNTIMES.resolve()), str(folder / "runtime"), str(theirs.fileno())]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "bash", "-c", _ENTER, "bash", *places],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env=_ENVIRONMENT,
            )
        theirs.close()
        self._calls = 0
        try:
            self._expect(_WARM)
            fields = [(1, b"handler.handle"), (2, b"cognite"), (5, b"bench/one"), (6, b"1"), (7, b"256")]
            meta = b"".join(struct.pack(">BI", tag, len(value)) + value for tag, value in fields)
            self._socket.sendall(_HEADER.pack(0, _SPECIALISE, 0, 0, len(meta), 0) + meta)
            self._expect(_SPECIALISED)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Shim:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()  # the end of the stream ends it
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(5)

    def call(self) -> tuple[float, bytes]:
        """Milliseconds, and the reply's body."""
        self._calls += 1
        meta = b"POST\0/\0\0host\0127.0.0.1\0content-type\0application/json\0content-length\0%d\0" % len(BODY)
        frame = _HEADER.pack(len(BODY), _INVOKE, 0, 0, len(meta), self._calls) + meta + BODY
        begin = time.perf_counter()
        self._socket.sendall(frame)
        kind, status, _, body = self._read()
        took = (time.perf_counter() - begin) * 1e3
        if kind != _REPLY or status != 200:
            raise Wrong(f"the shim answered {kind:#04x} {status} {body[:200]!r}")
        return took, body

    def _expect(self, kind: int) -> None:
        found, status, meta, body = self._read()
        if found != kind or status:
            raise NotMeasured(
                f"the shim by itself sent {found:#04x}, status {status}, for {kind:#04x}: {(meta + body)[:200]!r}"
            )

    def _read(self) -> tuple[int, int, bytes, bytes]:
        data = self._more(b"")
        while len(data) < _HEADER.size:
            data = self._more(data)
        body_length, kind, _, status, meta_length, _ = _HEADER.unpack_from(data)
        while len(data) < _HEADER.size + meta_length + body_length:
            data = self._more(data)
        at = _HEADER.size + meta_length
        return kind, status, data[_HEADER.size : at], data[at:]

    def _more(self, data: bytes) -> bytes:
        try:
            part = self._socket.recv(1 << 18)
        except OSError as error:
            raise NotMeasured(f"the shim by itself does not answer: {error}") from None
        if not part:
            raise NotMeasured(f"the shim by itself ended: {tail(self._log, 300).strip()}")
        return data + part


def run(bench: Bench) -> None:
    calls = bench.options.direct_calls
    whole: list[float] = []
    alone: list[float] = []
    with Server(bench) as server:
        server.deploy({"one": trivial(1, scale={"max": 1})})
        server.wait_for_pool()
        folder = server.folder / "shim"
        folder.mkdir()
        with server.connection() as connection, Shim(bench, folder, 1) as shim:
            wire = server.wire("one")

            def through() -> float:
                return called(connection.call(wire), 1)

            def direct() -> float:
                took, body = shim.call()
                check(body, 1, "the shim")
                return took

            for _ in range(_BLOCK):  # both warm
                through(), direct()
            for turn in range(bench.options.rounds):
                found: dict[str, list[float]] = {"through": [], "direct": []}
                for block in range(max(1, calls // _BLOCK)):
                    for measure in rotated((through, direct), turn + block):
                        found[measure.__name__] += [measure() for _ in range(min(_BLOCK, calls))]
                whole.append(median(found["through"]) * 1e3)
                alone.append(median(found["direct"]) * 1e3)
    bench.keep("P6", {"through casemate": whole, "the shim alone": alone})
    bench.add(
        Row(
            "P6",
            "warm p50, added to the shim's own",
            differences(whole, alone),
            "µs",
            "the shim on its own socket",
            paired(whole, alone),
            60,
            goal_is="value",
            count=calls,
            note=f"the same Python client for both: {median(whole):.0f} µs through casemate, {median(alone):.0f} µs directly",
        )
    )
