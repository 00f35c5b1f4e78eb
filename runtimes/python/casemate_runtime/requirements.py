"""Which lines a `requirements.txt` may have: names with versions, from the index that the server has chosen.

What passed is written anew for the installer, so that it never reads a line that we have understood differently.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from casemate_runtime.faults import Fault, advised

FILE: Final = "requirements.txt"
HOW_TO_LOCK: Final = "make a full lock of it: casemate deps lock PATH"
OTHER_HASH: Final = (
    "write the hash anew if it was written down wrongly, else somebody has changed the file: do not use it"
)
_LARGEST: Final = 1024 * 1024
_LONGEST_LINE: Final = 1000  # without hashes

_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_EXTRAS: Final = rf"\[\s*(?:{_NAME}(?:\s*,\s*{_NAME})*)?\s*\]"
_CLAUSE: Final = r"(?:===|==|~=|!=|<=|>=|<|>)\s*[A-Za-z0-9._*+!-]+"
_CLAUSES: Final = rf"{_CLAUSE}(?:\s*,\s*{_CLAUSE})*\s*,?"
# PEP 508 without the form `name @ url`. The marker's words are left to the installer.
_REQUIREMENT: Final = re.compile(
    rf"(?P<name>{_NAME})\s*(?P<extras>{_EXTRAS})?\s*(?P<versions>{_CLAUSES}|\(\s*{_CLAUSES}\s*\))?"
    r"\s*(?:;(?P<marker>(?!.*--)[A-Za-z0-9_.\s'\"<>=!~()+,*-]+))?"
)
# The same, in the parts of which somebody who changes the versions keeps the others.
PARTS: Final = re.compile(
    rf"(?P<head>{_NAME}(?:\s*{_EXTRAS})?)(?P<gap>\s*)(?P<versions>{_CLAUSES}|\(\s*{_CLAUSES}\s*\))?(?P<rest>.*)",
    re.DOTALL,
)
CLAUSE: Final = re.compile(_CLAUSE)
_HASH: Final = re.compile(r"--hash(?:=|\s+)([a-z0-9]+:[0-9A-Fa-f]+)(?=\s|$)")
_PINNED: Final = re.compile(r"\(?\s*===?\s*(?P<version>[A-Za-z0-9._+!-]+)\s*,?\s*\)?")
_INCLUDED: Final = re.compile(r"(?:-r|--requirement(?:\s|=))\s*(?P<file>\S.*)")

_WRITE: Final = "write NAME==VERSION"
_OR_BRING: Final = f"{_WRITE}, or put its code into the source"
# What they are, what is wrong with them, and what to do instead.
_OPTIONS: Final = (
    (re.compile(r"-e\b|--editable\b"), "an editable install can't be locked", _OR_BRING),
    (
        re.compile(r"-i\b|--index-url\b|--extra-index-url\b|--no-index\b"),
        "the index is the server's choice",
        "leave the line out, or name the index in casemate.yaml under dependencies.indexes",
    ),
    (re.compile(r"-f\b|--find-links\b"), "packages come from the server's index only", _OR_BRING),
    (re.compile(r"-r|--requirement\b"), "this names no file to read", "put all requirements into this one file"),
    (
        re.compile(r"-c|--constraint\b"),
        "no constraints are read",
        "write each version beside its package, in this one file",
    ),
)


class Place(NamedTuple):
    """`file` is relative to the bundle's source."""

    file: str
    line: int | None


class Requirement(NamedTuple):
    name: str
    text: str
    hashes: tuple[str, ...]
    place: Place
    version: str = ""  # where it is pinned
    extras: str = ""
    marker: str = ""

    @property
    def versions(self) -> str:
        """The clauses, as they are written."""
        parts = PARTS.match(self.text)
        return (parts["versions"] or "").strip("() ") if parts else ""


Files = Callable[[str], bytes | None]
"""A file of the bundle by its path; `None` where there is none."""

Include = Callable[[str, Place], list[Requirement]]
"""Reads the file that a line `-r FILE` names."""

Tell = Callable[[Fault], None]
"""Takes the fault of one line. A build ends with the first; who returns from it hears of the others too."""


def stop(fault: Fault) -> None:
    raise fault


def read(
    content: bytes,
    strict: bool,
    file: str = FILE,
    include: Include | None = None,
    largest: int = _LARGEST,
    tell: Tell = stop,
) -> list[Requirement]:
    """Raises a `Fault` with file and line. `strict`: each is pinned with `==` and has a hash."""
    found = []
    for line, logical in logical_lines(text_of(content, file, largest)):
        if not logical or logical == "--require-hashes":
            continue
        place = Place(file, line)
        included = _INCLUDED.fullmatch(logical)
        try:
            found += include(included["file"], place) if include and included else [parse(logical, place, strict)]
        except Fault as fault:
            tell(fault)
    return found


def text_of(content: bytes, file: str, largest: int = _LARGEST) -> str:
    if len(content) > largest:
        raise refused(f"the file is larger than {largest} bytes", "leave out what is not needed", Place(file, None))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise refused("the file is not UTF-8", "save it as UTF-8", Place(file, None)) from None


def write(requirements: list[Requirement]) -> str:
    lines = []
    for item in requirements:
        lines.append(" \\\n    ".join([item.text, *(f"--hash={value}" for value in item.hashes)]))
    return "\n".join([*lines, ""])


def normalised(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def logical_lines(text: str) -> list[tuple[int, str]]:
    """With the number of each one's first line; a comment begins at `#` at the start or after white space."""
    lines = []
    joined, first = "", 0
    for number, raw in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        first = first if joined else number
        comment = re.match(r"\s*#", raw)
        if raw.endswith("\\") and not comment:
            joined += f"{raw[:-1]} "
            continue
        lines.append((first, re.sub(r"(^|\s)#.*", "", joined if comment else joined + raw).strip()))
        joined = ""
    if joined:
        lines.append((first, joined.strip()))
    return lines


def parse(logical: str, place: Place, strict: bool = False) -> Requirement:
    """One requirement: PEP 508 without URLs, and with `--hash` behind it."""
    if logical.startswith("-"):
        for pattern, why, fix in _OPTIONS:
            if pattern.match(logical):
                raise refused(f"{shown(logical)}: {why}", fix, place)
        raise refused(f"{shown(logical)}: options have no place here", "leave the line out", place)
    hashes = tuple(_HASH.findall(logical))
    text = re.sub(r"\s+", " ", _HASH.sub("", logical)).strip()
    if re.match(r"(git|hg|svn|bzr)\+", text) or re.search(r"@\s*(git|hg|svn|bzr)\+", text):
        raise refused(
            f"{shown(text)}: packages come from the server's index, not out of a repository", _OR_BRING, place
        )
    if "://" in text or text.startswith("file:") or re.match(rf"{_NAME}\s*(?:{_EXTRAS})?\s*@", text):
        raise refused(f"{shown(text)}: packages come from the server's index, not from a URL", _OR_BRING, place)
    matched = _REQUIREMENT.fullmatch(text) if len(text) <= _LONGEST_LINE else None
    if matched is None or matched["name"].lower().endswith((".whl", ".zip", ".gz", ".bz2", ".xz", ".tgz")):
        raise refused(f"{shown(text)}: this is not a package's name with versions (PEP 508)", _WRITE, place)
    pinned = _PINNED.fullmatch((matched["versions"] or "").strip())
    if strict and not pinned:
        raise refused(f"{matched['name']}: the policy asks for one version, pinned with ==", HOW_TO_LOCK, place)
    if strict and not hashes:
        raise refused(f"{matched['name']}: the policy asks for a --hash", HOW_TO_LOCK, place)
    version = pinned["version"] if pinned else ""
    extras = ",".join(sorted(normalised(name) for name in re.findall(_NAME, matched["extras"] or "")))
    return Requirement(matched["name"], text, hashes, place, version, extras, (matched["marker"] or "").strip())


def refused(what: str, fix: str, place: Place) -> Fault:
    return Fault("requirements-refused", advised(what, fix), place.file, place.line)


def shown(text: str) -> str:
    """Without the credentials that a URL may hold, and without its query."""
    masked = re.sub(r"//[^/@\s]*@", "//***@", text)
    return re.sub(r"\?\S*", "?…", masked)[:120]
