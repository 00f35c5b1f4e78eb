"""The second phase of a build, in a sandbox without a network: what has no wheel is built from its source.

Whatever a build does to the folders that it can write to, nothing of that is used but one wheel: when all of its processes
are gone, the folder of the result is emptied, before the next package is built and before the first phase's result is copied
into it. The wheel stays open meanwhile, and has no name by which the next build could change it.
"""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from casemate_runtime.backends import Wanted, wanted_in
from casemate_runtime.contained import run
from casemate_runtime.copying import Copied, copy_folder
from casemate_runtime.emptying import NotEmptied, empty
from casemate_runtime.faults import Fault, ProtocolError, failed
from casemate_runtime.requirements import normalised
from casemate_runtime.sdists import LARGEST_UNPACKED
from casemate_runtime.tarball import BadTarball, Member, members
from casemate_runtime.uv import Tool, Uv
from casemate_runtime.versions import same_version

_SECONDS: Final = 120.0
_TAKE_WHEEL: Final = "choose a version that has a wheel"
_LARGEST_WHEEL: Final = 256 * 1024 * 1024
_HOOKS: Final = Path(__file__).with_name("hooks.py")
_WHEEL: Final = re.compile(r"(?P<name>[A-Za-z0-9._]+)-(?P<version>[^-]+)(-\d[^-]*)?-[^-]+-[^-]+-[^-]+\.whl")


class Built(NamedTuple):
    names: list[str]
    printed: dict[str, str]
    source: Copied


class _Wheel(NamedTuple):
    name: str
    descriptor: int


class SecondPhase:
    """`first`: the result of the first phase. `out`: the folder of the build. `kill` as for `contained.run`."""

    def __init__(
        self, tool: Tool, first: Path, out: Path, seconds: float = _SECONDS, kill: Callable[[], None] | None = None
    ) -> None:
        self._tool = tool
        self._first = first
        self._out = out
        self._seconds = seconds
        self._kill = kill

    def run(self) -> Built:
        """Raises a `Fault` for the author."""
        if not (self._first / "src").is_dir():
            raise ProtocolError("a second phase without the first phase's result")
        folders = sorted(self._first.joinpath(".build").iterdir()) if (self._first / ".build").is_dir() else []
        wanted = [wanted_in(folder) for folder in folders]
        wheels: list[_Wheel] = []
        printed = {}
        try:
            for item in wanted:
                wheel, printed[item.name] = self._build(item)
                wheels.append(wheel)
                try:
                    empty(str(self._out))
                except NotEmptied:
                    raise failed(f"{item.name}: what its build left can't be removed", _TAKE_WHEEL) from None
            source = copy_folder(self._first / "src", self._out / "src")
            if (self._first / "deps").is_dir():
                copy_folder(self._first / "deps", self._out / "deps")
            self._install(wheels)
        finally:
            for wheel in wheels:
                os.close(wheel.descriptor)
        return Built([item.name for item in wanted], printed, source)

    def _build(self, item: Wanted) -> tuple[_Wheel, str]:
        given = self._first / ".build" / item.name
        work = self._out / ".work" / item.name
        source, dist, home = work / "source", work / "dist", work / "home"
        for folder in (source, dist, home):
            folder.mkdir(parents=True)
        try:
            with open(given / item.archive, "rb") as archive:
                for member in members(archive, LARGEST_UNPACKED):
                    _write(member, source / member.path)
        except (BadTarball, OSError) as error:
            reason = error if isinstance(error, BadTarball) else error.strerror
            raise _fault(item, f"its source can't be unpacked: {reason}") from None
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            "TMPDIR": str(home),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "PYTHONPATH": str(given / "backend"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONNOUSERSITE": "1",
            "SOURCE_DATE_EPOCH": "315532800",  # the first that a zip can hold: the same source gives the same wheel
        }
        line = [self._tool.python, "-P", "-S", "-s", "-B", str(_HOOKS), str(source), str(dist)]
        ran = run(line, environment, source, self._seconds, self._kill)
        if ran.status is None:
            raise _fault(item, f"its build took longer than {self._seconds:g} s", ran.output)
        if ran.status:
            # The kernel ends so whoever goes over the sandbox's memory.
            memory = "; it may have gone over its memory limit" if ran.status == -signal.SIGKILL else ""
            raise _fault(item, f"its build ended with status {ran.status}{memory}", ran.output)
        return _wheel_in(dist, item, ran.output), ran.output

    def _install(self, wheels: list[_Wheel]) -> None:
        if not wheels:
            return
        scratch = self._out / ".scratch"
        try:
            scratch.mkdir()
            files = []
            for wheel in wheels:
                with open(wheel.descriptor, "rb", closefd=False) as built, open(scratch / wheel.name, "xb") as file:
                    shutil.copyfileobj(built, file, 1 << 20)
                files.append(scratch / wheel.name)
            Uv(self._tool, scratch, "").install_built(files, self._out / "deps")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if changed := _changed(self._first / "deps", self._out / "deps"):
            names = ", ".join(wheel.name.partition("-")[0] for wheel in wheels)
            what = f"{changed[:200]!r} of another package is in what was built here: {names}"
            raise failed(what, f"leave one of them out, or {_TAKE_WHEEL}")


def _changed(before: Path, after: Path) -> str | None:
    """A file of a locked wheel that is another one now; what two packages have alike, as some do, is none."""
    for folder, _, names in os.walk(before):
        for name in names:
            old = Path(folder, name)
            new = after / old.relative_to(before)
            if old.is_symlink() or new.is_symlink() or not new.is_file() or not filecmp.cmp(old, new, shallow=False):
                return str(old.relative_to(before))
    return None


def _write(member: Member, target: Path) -> None:
    if member.is_folder:
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(
        target, "xb", opener=lambda path, flags: os.open(path, flags, 0o755 if member.is_executable else 0o644)
    ) as file:
        file.writelines(member.content)


def _wheel_in(dist: Path, item: Wanted, printed: str) -> _Wheel:
    """The one wheel, opened: it stays what it is when its folder is emptied."""
    try:
        names = os.listdir(dist)
        if len(names) != 1:
            raise _fault(item, f"its build made {len(names)} files instead of one wheel", printed)
        named = _WHEEL.fullmatch(names[0])
        if not named or normalised(named["name"]) != item.name or not same_version(named["version"], item.version):
            raise _fault(item, f"its build made {names[0][:200]!r} instead of its own wheel", printed)
        descriptor = os.open(dist / names[0], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _fault(item, f"its wheel can't be read: {error.strerror}", printed) from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_WHEEL:
        os.close(descriptor)
        raise _fault(item, "its wheel is no file, or too large", printed)
    return _Wheel(names[0], descriptor)


def _fault(item: Wanted, message: str, printed: str = "") -> Fault:
    return failed(f"{item.name}: {message}", f"see its output, or {_TAKE_WHEEL}" if printed else _TAKE_WHEEL, printed)


def report_of(built: Built) -> dict[str, Any]:
    return {
        "files": built.source.files,
        "bytes": built.source.size,
        "fromSource": built.names,
        "printed": built.printed,
    }
