"""Locks and installs a bundle's requirements with uv: wheels only, every file's hash in the lock, from one index.

No code of a package runs here: nothing is built, and uv only unpacks.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

from casemate_runtime.faults import Fault
from casemate_runtime.requirements import Requirement, normalised, read, refused, write

_LONGEST_OUTPUT: Final = 16 * 1024
_LONGEST_MESSAGE: Final = 300


class Tool(NamedTuple):
    """Where things are in the sandbox."""

    uv: Path = Path("/opt/tools/uv")
    python: str = "/usr/bin/python3.11"
    certificates: str = "/etc/ssl/certs/ca-certificates.crt"


def install(
    tool: Tool, scratch: Path, requirements: list[Requirement], target: Path, index: str, strict: bool, kept_lock: str
) -> str:
    """Fills `target`; answers the lock's text. `scratch` is removed again."""
    if not index:
        raise Fault("dependencies-failed", "the bundle has requirements, but the server has no package index")
    try:
        scratch.mkdir(parents=True)
        wanted, lock = scratch / "requirements.txt", scratch / "lock.txt"
        wanted.write_text(write(requirements), encoding="utf-8")
        if strict:
            lock = wanted  # it is a lock already; what is missing in it makes the installation fail
        else:
            if kept_lock:
                lock.write_text(kept_lock, encoding="utf-8")  # uv keeps its versions as far as they still fit
            options = ["--generate-hashes", "--no-header", "--no-annotate", "-o", str(lock)]
            _uv(tool, scratch, index, "compile", *options, str(wanted))
            lock.write_text(narrowed(requirements, lock.read_text(encoding="utf-8")), encoding="utf-8")
        _uv(tool, scratch, index, "install", "--require-hashes", "--target", str(target), "-r", str(lock))
        return lock.read_text(encoding="utf-8")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _uv(tool: Tool, scratch: Path, index: str, command: str, *arguments: str) -> None:
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": "/tmp",  # nosec B108  # the sandbox's own
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "SSL_CERT_FILE": tool.certificates,
        "UV_CACHE_DIR": str(scratch / "cache"),
        "UV_DEFAULT_INDEX": index,
        "UV_LINK_MODE": "copy",
        "UV_NO_CONFIG": "1",
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
    }
    line = [str(tool.uv), "pip", command, "--only-binary", ":all:", "--python", tool.python, *arguments]
    try:
        ran = subprocess.run(
            line,
            env=environment,
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        raise Fault("dependencies-failed", f"uv can't be started: {error.strerror}") from None
    if ran.returncode:
        output = masked(ran.stdout.decode("utf-8", "replace"))
        body = output.encode()[-_LONGEST_OUTPUT:].decode("utf-8", "ignore")
        raise Fault("dependencies-failed", summary(output) or f"uv ended with status {ran.returncode}", body=body)


def masked(output: str) -> str:
    """Without what a URL of the author's may hold before its host."""
    return re.sub(r"//[^/@\s]*@", "//***@", output)


def summary(output: str) -> str:
    """uv's error and its causes in one line."""
    lines = [re.sub(r"\s+", " ", line).strip() for line in output.splitlines()]
    starts = [at for at, line in enumerate(lines) if line.startswith("error:")]
    meaning = lines[starts[0] :] if starts else lines[-3:]
    hints = [at for at, line in enumerate(meaning) if line.startswith("hint:")]
    # Without this one it would seem that there were no such package.
    refused = next((line.removeprefix("hint: ") for line in meaning if line.startswith("hint: An index URL")), "")
    text = refused or " ".join(line for line in meaning[: hints[0] if hints else None] if line)
    text = text.removeprefix("error: ").replace(" cause: ", ": ")
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[: _LONGEST_MESSAGE - 1]}…"


def narrowed(requirements: list[Requirement], lock: str) -> str:
    """The lock with only those hashes that an author has given for a package. uv's resolver passes over them."""
    given = {normalised(item.name): item for item in requirements if item.hashes}
    locked = []
    for item in read(lock.encode(), strict=True):
        own = given.get(normalised(item.name))
        if own:
            both = tuple(value for value in item.hashes if value in own.hashes)
            if not both:
                message = f"{own.name}: the index has no file with a --hash that is given here"
                raise refused(message, own.place)
            item = item._replace(hashes=both)
        locked.append(item)
    return write(locked)
