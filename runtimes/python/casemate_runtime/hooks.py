"""Builds one source distribution: `python3 -P -S -s -B hooks.py SOURCE DIST`, in a process of its own (PEP 517).

This runs other people's code, and therefore imports nothing of ours. Its answer is a file in DIST.
"""

import importlib
import os
import resource
import sys
import tomllib
from typing import Any

_LARGEST_FILE = 512 << 20


def main(source: str, dist: str) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.chdir(source)
    sys.argv[:] = [""]
    table = system(source)
    sys.path[:0] = [inside(source, entry) for entry in table.get("backend-path", [])]
    name, _, attribute = table.get("build-backend", "setuptools.build_meta:__legacy__").partition(":")
    backend: Any = importlib.import_module(name)
    for part in filter(None, attribute.split(".")):
        backend = getattr(backend, part)
    backend.build_wheel(dist)


def system(source: str) -> dict[str, Any]:
    try:
        with open(os.path.join(source, "pyproject.toml"), "rb") as file:
            table = tomllib.load(file).get("build-system", {})
    except FileNotFoundError:
        return {}
    return table if isinstance(table, dict) else {}


def inside(source: str, entry: str) -> str:
    path = os.path.realpath(os.path.join(source, entry))
    if os.path.commonpath([path, os.path.realpath(source)]) != os.path.realpath(source):
        raise SystemExit(f"build-system.backend-path: {entry} is outside the source")
    return path


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
