"""What stands in the files that say what a function's calls have to bring. Whether it can be kept is the server's to tell."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from casemate_runtime.faults import Fault, advised

_MOST: Final = 262_144


def schemas(source: Path, paths: Iterable[str]) -> dict[str, str]:
    """By path. Raises a `Fault`."""
    return {path: _read(source, path) for path in paths}


def _read(source: Path, path: str) -> str:
    file = os.path.realpath(source / path)
    if not Path(file).is_relative_to(os.path.realpath(source)):
        raise _refused(path, "leads out of the source", "write a path below its folder")
    try:
        is_file = stat.S_ISREG(os.stat(file).st_mode)
    except OSError:
        raise _refused(path, "is not in the source", "put the file there, or mend inputSchema") from None
    if not is_file:
        raise _refused(path, "is no file", "name the schema's file in inputSchema")
    with open(file, "rb") as opened:
        content = opened.read(_MOST + 1)
    if len(content) > _MOST:
        raise _refused(path, f"is larger than {_MOST} bytes", "say less in it")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise _refused(path, "is not UTF-8", "write it as JSON is written") from None


def _refused(path: str, what: str, fix: str) -> Fault:
    return Fault("schema-unreadable", advised(f"{path} {what}", fix), path)
