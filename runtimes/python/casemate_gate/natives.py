"""Which folders of a project are sources of functions with a casemate.yaml: there a deployment's rules hold, and no others."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from casemate_gate.problems import Problem


class Native(NamedTuple):
    """`folder` is relative to the project and ends in `/`; it is empty where it is the project's own."""

    folder: str
    handlers: frozenset[str]


def natives(sources: object) -> list[Native]:
    """`sources`: what a request says of its functions, of which several may have one source."""
    if sources is None:
        return []
    if not isinstance(sources, list):
        raise Problem("sources is no list")
    found: dict[str, set[str]] = {}
    for source in sources:
        path = source.get("path") if isinstance(source, Mapping) else None
        handler = source.get("handler", "") if isinstance(source, Mapping) else None
        if not isinstance(path, str) or not isinstance(handler, str):
            raise Problem("sources holds something without a path")
        folder = posixpath.normpath(path.lstrip("/") or ".")
        found.setdefault("" if folder == "." else f"{folder}/", set()).add(handler)
    return [Native(folder, frozenset(handlers)) for folder, handlers in sorted(found.items())]


def is_native(file: str, folders: Iterable[Native]) -> bool:
    return any(file.startswith(native.folder) for native in folders)
