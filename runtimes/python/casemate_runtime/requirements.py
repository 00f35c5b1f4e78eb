"""Which lines a `requirements.txt` may have: names with versions, from the index that the server has chosen.

What passed is written anew for the installer, so that it never reads a line that we have understood differently.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from casemate_runtime.faults import Fault

FILE: Final = "requirements.txt"
_LARGEST: Final = 1024 * 1024
_LONGEST_LINE: Final = 1000  # without hashes

_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_EXTRAS: Final = rf"\[\s*(?:{_NAME}(?:\s*,\s*{_NAME})*)?\s*\]"
_CLAUSE: Final = r"(?:===|==|~=|!=|<=|>=|<|>)\s*[A-Za-z0-9._*+!-]+"
_CLAUSES: Final = rf"{_CLAUSE}(?:\s*,\s*{_CLAUSE})*\s*,?"
# PEP 508 without the form `name @ url`. The marker's words are left to the installer.
_REQUIREMENT: Final = re.compile(
    rf"(?P<name>{_NAME})\s*(?P<extras>{_EXTRAS})?\s*(?P<versions>{_CLAUSES}|\(\s*{_CLAUSES}\s*\))?"
    r"\s*(?:;(?P<marker>[A-Za-z0-9_.\s'\"<>=!~()+,*-]+))?"
)
_HASH: Final = re.compile(r"--hash(?:=|\s+)([a-z0-9]+:[0-9A-Fa-f]+)(?=\s|$)")
_PINNED: Final = re.compile(r"\(?\s*===?\s*[A-Za-z0-9._+!-]+\s*,?\s*\)?")

_OPTIONS: Final = (
    (re.compile(r"-e\b|--editable\b"), "an editable install can't be locked"),
    (re.compile(r"-i\b|--index-url\b|--extra-index-url\b|--no-index\b"), "the index is the server's choice"),
    (re.compile(r"-f\b|--find-links\b"), "packages come from the server's index only"),
    (re.compile(r"-[rc]\b|--requirement\b|--constraint\b"), "put all requirements into this one file"),
)


class Requirement(NamedTuple):
    name: str
    text: str
    hashes: tuple[str, ...]
    line: int


def read(content: bytes, strict: bool) -> list[Requirement]:
    """Raises a `Fault` with file and line. `strict`: each is pinned with `==` and has a hash."""
    if len(content) > _LARGEST:
        raise Fault("requirements-refused", "the file is too large", FILE)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Fault("requirements-refused", "the file is not UTF-8", FILE) from None
    found = []
    for line, logical in _logical_lines(text):
        if logical and not re.fullmatch(r"--require-hashes", logical):
            found.append(_requirement(line, logical, strict))
    return found


def write(requirements: list[Requirement]) -> str:
    lines = []
    for item in requirements:
        lines.append(" \\\n    ".join([item.text, *(f"--hash={value}" for value in item.hashes)]))
    return "\n".join([*lines, ""])


def normalised(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _logical_lines(text: str) -> list[tuple[int, str]]:
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


def _requirement(line: int, logical: str, strict: bool) -> Requirement:
    if logical.startswith("-"):
        for pattern, why in _OPTIONS:
            if pattern.match(logical):
                raise _refused(line, f"{_shown(logical)}: {why}")
        raise _refused(line, f"{_shown(logical)}: options have no place here")
    hashes = tuple(_HASH.findall(logical))
    text = _HASH.sub("", logical).strip()
    if re.match(r"(git|hg|svn|bzr)\+", text) or re.search(r"@\s*(git|hg|svn|bzr)\+", text):
        raise _refused(line, f"{_shown(text)}: packages come from the server's index, not out of a repository")
    if "://" in text or text.startswith("file:") or re.match(rf"{_NAME}\s*(?:{_EXTRAS})?\s*@", text):
        raise _refused(line, f"{_shown(text)}: packages come from the server's index, not from a URL")
    matched = _REQUIREMENT.fullmatch(text) if len(text) <= _LONGEST_LINE else None
    if matched is None or matched["name"].lower().endswith((".whl", ".zip", ".gz", ".bz2", ".xz", ".tgz")):
        raise _refused(line, f"{_shown(text)}: this is not a package's name with versions (PEP 508)")
    if strict and not _PINNED.fullmatch(matched["versions"] or ""):
        raise _refused(line, f"{matched['name']}: the policy asks for one version, pinned with ==")
    if strict and not hashes:
        raise _refused(line, f"{matched['name']}: the policy asks for a --hash")
    return Requirement(matched["name"], re.sub(r"\s+", " ", text), hashes, line)


def _refused(line: int, message: str) -> Fault:
    return Fault("requirements-refused", message, FILE, line)


def _shown(text: str) -> str:
    """Without the credentials that a URL may hold, and without its query."""
    masked = re.sub(r"//[^/@\s]*@", "//***@", text)
    return re.sub(r"\?\S*", "?…", masked)[:120]
