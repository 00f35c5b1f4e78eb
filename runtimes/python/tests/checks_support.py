"""Bundles with checks, and checks of them: by a plain process, or through the entry that a sandbox starts."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from casemate_checks.command import parse
from casemate_checks.examine import Passed, Places, examine
from casemate_checks.request import Request
from casemate_runtime.faults import Fault
from casemate_runtime.frames import VERIFIED, VERIFY, WARM, encode_field
from support import HEADER, receive

RUNTIME: Final = Path(__file__).parent.parent
TOOLS: Final = Path(os.environ.get("CASEMATE_CHECKS_TOOLS", "/var/lib/casemate/tools/checks"))
KINDS: Final = {"pytest": "test", "unittest": "test", "mypy": "type", "ruff": "lint"}

if not (TOOLS / "mypy").is_dir():
    raise pytest.UsageError(
        f"the tools of checks are not in {TOOLS}: python3 -m pip install --target {TOOLS} --no-deps --require-hashes "
        "-r runtimes/python/checks-requirements.txt, and set CASEMATE_CHECKS_TOOLS"
    )

PASSES: Final = "def test_passes() -> None:\n    assert True\n"
FAILS: Final = "def test_fails() -> None:\n    assert False\n"


def places(root: Path, files: Mapping[str, str]) -> Places:
    """`files`: of the source, or `deps/…`."""
    for name in ("fn/src", "tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        file = root / "fn" / name if name.startswith("deps/") else root / "fn" / "src" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return Places(root / "fn", TOOLS, root / "tmp")


def check(
    root: Path,
    files: Mapping[str, str],
    command: str = "pytest -q",
    environment: Iterable[tuple[str, str]] = (),
    seconds: int = 60,
) -> Passed:
    """Raises a `Fault`."""
    words = shlex.split(command)
    return examine(Request(parse(KINDS[words[0]], words), tuple(environment), seconds), places(root, files))


def fault(
    root: Path, files: Mapping[str, str], command: str = "pytest -q", code: str = "check-failed", seconds: int = 60
) -> Fault:
    """Of a check that must not pass."""
    with pytest.raises(Fault) as caught:
        check(root, files, command, seconds=seconds)
    assert caught.value.code == code, (caught.value.message, caught.value.body)
    return caught.value


# The real entry, but for where things are, and for what it may end and empty.
_ENTRY: Final = f"""
import ctypes, functools, os, sys
descriptor, bundle, tools, scratch = sys.argv[1:]
os.dup2(int(descriptor), 3)
os.close(int(descriptor))
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # a subreaper: orphans come to it, as to process 1
sys.path[:0] = [{str(RUNTIME)!r}, {str(RUNTIME / "tests")!r}]
from pathlib import Path
from support import kill_descendants
from casemate_checks import bootstrap, serve
from casemate_checks.examine import Places
from casemate_runtime.renewal import Renewal
del sys.path[:2]
serve.Server = functools.partial(
    serve.Server, places=Places(Path(bundle), Path(tools), Path(scratch)),
    renewal=Renewal([scratch], kill_descendants), kill=kill_descendants)
bootstrap.main(["serve"])
"""


class Answer(NamedTuple):
    status: int
    meta: bytes
    output: str

    @property
    def fault(self) -> tuple[str, str, str, str]:
        assert self.status == 1
        code, file, line, message = self.meta.decode().split("\0", 3)
        return code, file, line, message


class Client:
    def __init__(self, root: Path, files: Mapping[str, str]) -> None:
        self.places = places(root, files)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        where = [str(self.places.bundle), str(self.places.tools), str(self.places.scratch)]
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _ENTRY, str(theirs.fileno()), *where],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        self.control = ours
        ours.settimeout(60)
        assert receive(ours).kind == WARM

    def send(self, meta: bytes, body: bytes = b"", kind: int = VERIFY, call: int = 7) -> None:
        self.control.sendall(HEADER.pack(len(body), kind, 0, 0, len(meta), call) + meta + body)

    def answer(self, call: int = 7) -> Answer:
        """EOFError where it ends without one."""
        frame = receive(self.control)
        assert (frame.kind, frame.flags, frame.call) == (VERIFIED, 0, call)
        return Answer(frame.status, frame.meta, frame.body.decode())

    def ask(self, command: str, *environment: tuple[str, str], seconds: int = 60) -> Answer:
        self.send(fields(command, *environment, seconds=seconds))
        return self.answer()

    def end(self) -> tuple[int, str]:
        """The exit status, and what was said for the operator."""
        self.control.close()
        _, err = self.process.communicate(timeout=20)
        return self.process.returncode, err.decode()


def fields(command: str, *environment: tuple[str, str], seconds: int = 60) -> bytes:
    words = shlex.split(command)
    parts = [encode_field(21, KINDS.get(words[0], "test").encode()), encode_field(23, str(seconds).encode())]
    parts += [encode_field(22, word.encode()) for word in words]
    parts += [encode_field(3, f"{name}\0{value}".encode()) for name, value in environment]
    return b"".join(parts)
