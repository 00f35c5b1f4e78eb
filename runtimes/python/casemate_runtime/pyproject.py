"""`pyproject.toml`: `[project].dependencies` (PEP 621), and what to write instead where a tool's own table has them."""

from __future__ import annotations

import re
from typing import Any, Final

from casemate_runtime.requirements import Place, Requirement, normalised, parse, refused
from casemate_runtime.toml import line_of, lines_of, read_toml

FILE: Final = "pyproject.toml"
_WRITE: Final = 'write them as [project] dependencies = ["name==version"]'
_MOST: Final = 1_000
_PROJECT: Final = r"^[ \t]*\[\s*project\s*\]"
# Where other tools keep a project's dependencies.
_OTHER: Final = (("tool", "poetry", "dependencies"), ("tool", "flit", "metadata", "requires"))


def read(content: bytes) -> list[Requirement]:
    """Raises a `Fault` with file and line."""
    document, text = read_toml(content, FILE)
    project = document.get("project", {})
    if not isinstance(project, dict):
        raise refused("project: this is not a table", _WRITE, Place(FILE, None))
    listed = project.get("dependencies")
    if "dependencies" in _list(project.get("dynamic")):
        line = _line(text, rf"{_PROJECT}(?s:.*?)^[ \t]*dynamic\s*=") or _line(text, _PROJECT)
        what = "project.dynamic: dependencies that a tool works out can't be read here"
        raise refused(what, _WRITE, Place(FILE, line))
    if listed is None:
        _check_others(document, text)
        return []
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        what = "project.dependencies: this is not a list of texts"
        raise refused(what, _WRITE, Place(FILE, _line(text, _PROJECT)))
    if len(listed) > _MOST:
        what = f"project.dependencies: {len(listed)} entries where {_MOST} are allowed"
        raise refused(what, "leave out what is not needed", Place(FILE, _line(text, _PROJECT)))
    found = [_dependency(item, line) for item, line in zip(listed, _lines(text, listed), strict=True)]
    _check_sources(document, found)
    return found


def _dependency(text: str, line: int | None) -> Requirement:
    place = Place(FILE, line)
    item = parse(text.strip(), place)
    if item.hashes:
        what = f"{item.name}: a --hash has no place here, only in requirements.txt"
        raise refused(what, "leave it out, or list the packages there", place)
    return item


def _check_others(document: dict[str, Any], text: str) -> None:
    for path in _OTHER:
        table: Any = document
        for key in path:
            table = table.get(key) if isinstance(table, dict) else None
        names = set(table or ()) - {"python"} if isinstance(table, (dict, list)) else set()
        if names:
            place = Place(FILE, _line(text, rf"^[ \t]*\[\s*tool\.{path[1]}\b"))
            raise refused(f"{'.'.join(path)}: Casemate does not read this table", _WRITE, place)


def _check_sources(document: dict[str, Any], found: list[Requirement]) -> None:
    """uv would take these from elsewhere, so that the name alone is not what the author means."""
    table: Any = document
    for key in ("tool", "uv", "sources"):
        table = table.get(key) if isinstance(table, dict) else None
    names = {normalised(name) for name in table} if isinstance(table, dict) else set()
    for item in found:
        if normalised(item.name) in names:
            what = f"{item.name}: tool.uv.sources says where it comes from, and here that is the server's index"
            raise refused(what, "leave it out there, or put its code into the source", item.place)


def _lines(text: str, listed: list[str]) -> list[int | None]:
    """Where each entry stands. tomllib does not tell; an entry with escapes gets the line of the one before."""
    head = re.search(_PROJECT, text, re.MULTILINE)
    key = re.compile(r"(?<![\w-])dependencies\s*=").search(text, head.end() if head else 0)
    if key is None:
        return [None] * len(listed)
    places = [key.end()]
    for item in listed:
        found = [at for quote in "\"'" if (at := text.find(f"{quote}{item}{quote}", places[-1] + 1)) >= 0]
        places.append(min(found, default=places[-1]))
    return [*lines_of(text, places)[1:]]


def _line(text: str, pattern: str) -> int | None:
    """Where the first match ends."""
    found = re.search(pattern, text, re.MULTILINE)
    return line_of(text, found.end()) if found else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
