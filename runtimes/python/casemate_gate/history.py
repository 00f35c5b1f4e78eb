"""The operation `history`: credentials that were once in a repository, and still are in what anybody clones.

Only git's own objects are read. Nothing that a repository can configure is run: no filter, hook, pager or difference
program.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final

from casemate_gate.checks.check import incomplete
from casemate_gate.contents import LARGEST, MOST_CONTENTS, Content, search
from casemate_gate.findings import Finding
from casemate_gate.problems import Problem, text
from casemate_gate.runner import Progress, run
from casemate_gate.subject import Settings, Subject, Unreadable, display

_SECONDS: Final = 600.0
_CUT_OFF: Final = "the clone is a shallow one, without its older commits; fetch them: git fetch --unshallow"
_GIT: Final = (
    "git", "--no-pager", "--no-replace-objects", "-c", "core.fsmonitor=false", "-c", "protocol.allow=never",
    "-c", "log.showSignature=false", "-c", "log.diffMerges=separate", "-c", "diff.relative=false",
    "-c", "core.packedGitLimit=512m", "-c", "core.packedGitWindowSize=32m",
)  # fmt: skip


class History:
    name = "history"

    def __init__(self, root: Path) -> None:
        self._root = root

    def examine(self, subject: Subject) -> Iterable[Finding]:
        yield from search(self.name, self._contents(self._blobs()), subject.vendored)
        if not self._is_whole():
            yield incomplete(self.name, Unreadable(".", _CUT_OFF))

    def _is_whole(self) -> bool:
        with self._started("rev-parse", "--is-shallow-repository") as process:
            assert process.stdout is not None  # nosec B101  # a pipe was asked for
            return process.stdout.read().strip() == b"false"

    def _blobs(self) -> dict[str, tuple[str, str]]:
        """Each content that ever was, with the first commit and name that it had."""
        found: dict[str, tuple[str, str]] = {}
        commit = ""
        arguments = [
            "log",
            "--all",
            "--reverse",
            "--raw",
            "-z",
            "--no-abbrev",
            "--no-renames",
            "-m",
            "--root",
            "--format=%x01%H",
            "--no-ext-diff",
        ]
        with self._started(*arguments, "--") as process:
            assert process.stdout is not None  # nosec B101  # a pipe was asked for
            kind = ""
            for part in _parts(process.stdout):
                if kind:
                    _, mode, _, blob, status = [*kind.split(), "", "", "", "", ""][:5]
                    if mode.startswith("100") and not status.startswith("D"):
                        found.setdefault(blob, (commit, part))
                    kind = ""
                    continue
                part = part.lstrip("\n")
                if part.startswith("\x01"):
                    commit = part[1:65].strip()
                elif part.startswith(":"):
                    kind = part
                if len(found) > MOST_CONTENTS:
                    raise Unreadable(".", f"the history has more than {MOST_CONTENTS} contents")
        if process.returncode:
            raise Unreadable(".", "git can't read the history")
        return found

    def _contents(self, blobs: Mapping[str, tuple[str, str]]) -> Iterator[Content]:
        with self._started("cat-file", "--batch-command", "--buffer") as process:
            assert process.stdin is not None and process.stdout is not None  # nosec B101  # pipes were asked for
            for blob, (commit, name) in blobs.items():
                process.stdin.write(f"info {blob}\nflush\n".encode())
                process.stdin.flush()
                size = process.stdout.readline().split()[-1]
                if not size.isdigit() or int(size) > LARGEST:
                    yield Content(commit, name, None)
                    continue
                process.stdin.write(f"contents {blob}\nflush\n".encode())
                process.stdin.flush()
                process.stdout.readline()
                content = process.stdout.read(int(size))
                process.stdout.read(1)
                yield Content(commit, name, content)
            process.stdin.close()

    def _started(self, *arguments: str) -> subprocess.Popen[bytes]:
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_TERMINAL_PROMPT": "0",
            # What is missing stays so. The first is of git 2.45; the other is above all that a repository says of its protocols.
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_ALLOW_PROTOCOL": "none",
            "GIT_GRAFT_FILE": "/dev/null",
            "GIT_OPTIONAL_LOCKS": "0",
        }
        return subprocess.Popen(
            [*_GIT, "-C", os.fspath(self._root), *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )


def history(request: Mapping[str, Any], progress: Progress | None = None) -> dict[str, Any]:
    started = time.monotonic()
    root = Path(text(request, "path"))
    if not root.is_absolute() or not (root / ".git").exists():
        raise Problem("path is no repository; it has to be absolute")
    try:
        settings = replace(Settings.parse(request.get("settings")), seconds=_SECONDS)
    except ValueError as error:
        raise Problem(str(error)) from None
    subject = Subject(root, settings=settings, is_project=True)
    subject.files = []  # of the working folder nothing is looked at
    findings = run(subject, [History(root)], progress)
    return {
        "findings": [finding.as_json() for finding in findings],
        "milliseconds": round((time.monotonic() - started) * 1000),
    }


def _parts(stream: IO[bytes]) -> Iterator[str]:
    """What NULs part. Names may hold anything else."""
    rest = b""
    while data := stream.read(1 << 16):
        *whole, rest = (rest + data).split(b"\0")
        for part in whole:
            yield _name(part)
    if rest:
        yield _name(rest)


def _name(part: bytes) -> str:
    return display(part.decode("utf-8", "surrogateescape"))
