"""Runs uv: wheels only, every file by its hash, from the index that it is given. It never runs a package's code."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from casemate_runtime.complaints import complaint
from casemate_runtime.faults import Fault, advised, failed
from casemate_runtime.yanked import Yanked, warned_of

_LONGEST_OUTPUT: Final = 16 * 1024
_UNRESOLVABLE: Final = "No solution found when resolving dependencies"


class UvFault(Fault):
    """`packages`: names of those that it is about, the nearest to the cause first. Where they stand, uv can't know."""

    def __init__(self, message: str, body: str, packages: tuple[str, ...]) -> None:
        super().__init__("dependencies-failed", message, body=body)
        self.packages = packages


class Unresolvable(UvFault):
    """No versions fit together; of any other fault nobody knows whether they do."""


class Tool(NamedTuple):
    """Where things are: in the sandbox, if nothing else is said."""

    uv: Path = Path("/opt/tools/uv")
    python: str = "/usr/bin/python3.11"
    certificates: str = "/etc/ssl/certs/ca-certificates.crt"
    # Further options for each command.
    options: tuple[str, ...] = ()
    # Further variables for uv.
    environment: tuple[tuple[str, str], ...] = ()


class Uv:
    """`index`: the one that uv knows of. `scratch`: an empty folder, for its cache too. `shown`: what uv said, for an
    author. Each method raises a `Fault`."""

    def __init__(self, tool: Tool, scratch: Path, index: str, shown: Callable[[str], str] = str) -> None:
        self.tool = tool
        self.scratch = scratch
        self._index = index
        self._shown = shown

    def compile(self, wanted: str, kept: str = "", excluded: tuple[str, ...] = ()) -> str:
        """The lock of the requirements. `kept`: a lock whose versions stay as far as they fit. `excluded`: names that are
        left out, also where others need them."""
        source, lock = self._write("wanted.txt", wanted), self._write("lock.txt", kept)
        options = ["--generate-hashes", "--no-header", "--no-annotate", "-o", str(lock), *self._excludes(excluded)]
        self._run("compile", "--only-binary", ":all:", *options, str(source))
        return lock.read_text(encoding="utf-8")

    def resolve(self, wanted: str, kept: str, bounds: str) -> str:
        """Names with versions, each with a comment on what needs it, and no hashes. `kept`: as in `compile`. `bounds`: what
        versions have to be, of packages that need not be wanted at all. Raises `Unresolvable` where nothing fits."""
        source, lock = self._write("wanted.txt", wanted), self._write("lock.txt", kept)
        options = ["--no-header", "--annotation-style", "line", "-o", str(lock), *self._bounded(bounds)]
        self._run("compile", "--only-binary", ":all:", *options, str(source))
        return lock.read_text(encoding="utf-8")

    def pylock(self, wanted: str, bounds: str) -> bytes:
        """A lock in the form of PEP 751, with the wheels that fit the target."""
        source, lock = self._write("wanted.txt", wanted), self._write("pylock.toml", "")
        options = ["--no-header", "--format", "pylock.toml", "-o", str(lock), *self._bounded(bounds)]
        self._run("compile", "--only-binary", ":all:", *options, str(source))
        return lock.read_bytes()

    def install(self, lock: str, target: Path, excluded: tuple[str, ...] = ()) -> list[Yanked]:
        """What of it its index has withdrawn. Fails where a package of the lock needs another that is neither in it nor
        excluded."""
        file = self._write("lock.txt", lock)
        options = ["--require-hashes", "--target", str(target), *self._excludes(excluded)]
        printed = self._run("install", "--only-binary", ":all:", *options, "-r", str(file))
        _tidy(target)
        return warned_of(printed)

    def install_built(self, wheels: list[Path], target: Path) -> None:
        """Without a network. Fails where one needs a package that is not in the target, or not in that version."""
        self._run("install", "--offline", "--no-index", "--target", str(target), *map(str, wheels))
        _tidy(target)

    def _excludes(self, names: tuple[str, ...]) -> list[str]:
        return ["--excludes", str(self._write("excluded.txt", "\n".join(names)))] if names else []

    def _bounded(self, bounds: str) -> list[str]:
        return ["--constraints", str(self._write("bounds.txt", bounds))] if bounds else []

    def _write(self, name: str, text: str) -> Path:
        file = self.scratch / name
        file.unlink(missing_ok=True)
        if text:
            file.write_text(text, encoding="utf-8")
        return file

    def _run(self, command: str, *arguments: str) -> str:
        """What it printed."""
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.scratch),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "SSL_CERT_FILE": self.tool.certificates,
            "UV_CACHE_DIR": str(self.scratch / "cache"),
            **({"UV_DEFAULT_INDEX": self._index} if self._index else {}),
            "UV_LINK_MODE": "copy",
            "UV_NO_CONFIG": "1",
            "UV_NO_PROGRESS": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            **dict(self.tool.environment),
        }
        line = [str(self.tool.uv), "pip", command, "--python", self.tool.python, *self.tool.options, *arguments]
        try:
            ran = subprocess.run(
                line,
                env=environment,
                cwd=self.scratch,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
        except OSError as error:
            raise failed(f"uv can't be started: {error.strerror}", "tell whoever runs the server") from None
        printed = ran.stdout.decode("utf-8", "replace")
        if ran.returncode:
            raise self._fault(printed, ran.returncode)
        return printed

    def _fault(self, printed: str, status: int) -> Fault:
        output = masked(self._shown(printed))
        body = output.encode()[-_LONGEST_OUTPUT:].decode("utf-8", "ignore")
        what, fix, packages = complaint(summary(output) or f"uv ended with status {status}")
        kind = Unresolvable if _UNRESOLVABLE in output else UvFault
        return kind(advised(what, fix), body, packages)


def _tidy(target: Path) -> None:
    """Console scripts name the build's interpreter and are not what a function calls; the other is uv's own."""
    shutil.rmtree(target / "bin", ignore_errors=True)
    (target / ".lock").unlink(missing_ok=True)


def masked(output: str) -> str:
    """Without what a URL of the author's may hold before its host."""
    return re.sub(r"//[^/@\s]*@", "//***@", output)


def summary(output: str) -> str:
    """uv's error and its causes in one line, of whatever length."""
    lines = [re.sub(r"\s+", " ", line).strip() for line in output.splitlines()]
    starts = [at for at, line in enumerate(lines) if line.startswith("error:")]
    meaning = lines[starts[0] :] if starts else lines[-3:]
    hints = [at for at, line in enumerate(meaning) if line.startswith("hint:")]
    # Without this one it would seem that there were no such package.
    refused = next((line.removeprefix("hint: ") for line in meaning if line.startswith("hint: An index ")), "")
    text = refused or " ".join(line for line in meaning[: hints[0] if hints else None] if line)
    return text.removeprefix("error: ").replace(" cause: ", ": ")
