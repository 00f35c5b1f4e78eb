"""`pylock.toml` (PEP 751): names, versions, markers and the hashes of wheels. Its URLs are never used."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, Final

from casemate_runtime.requirements import Place, Requirement, normalised, parse, refused
from casemate_runtime.toml import lines_of, read_toml

FILE: Final = "pylock.toml"
_ANEW: Final = "make the lock anew with the tool that wrote it"
_MOST_PACKAGES: Final = 5_000
_HEADS: Final = re.compile(r"^[ \t]*\[\[[ \t]*packages[ \t]*\]\]", re.MULTILINE)
_ALGORITHMS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}
_ELSEWHERE: Final = {
    "vcs": "it comes out of a repository",
    "directory": "it comes from a folder",
    "archive": "it comes from a URL",
}


def read(content: bytes, from_source: Collection[str] = ()) -> list[Requirement]:
    """`from_source`: normalised names of packages that are built, whose source distribution is meant. Raises a `Fault`."""
    document, text = read_toml(content, FILE)
    version = document.get("lock-version")
    if not isinstance(version, str) or not re.fullmatch(r"1(\.\d+)?", version):
        raise refused("lock-version: Casemate reads version 1 of PEP 751", _ANEW, Place(FILE, None))
    packages = document.get("packages", [])
    if not isinstance(packages, list) or not all(isinstance(item, dict) for item in packages):
        raise refused("packages: this is not an array of tables", _ANEW, Place(FILE, None))
    if len(packages) > _MOST_PACKAGES:
        what = f"the lock has {len(packages)} packages where {_MOST_PACKAGES} are allowed"
        raise refused(what, "leave out what is not needed", Place(FILE, None))
    heads = lines_of(text, (head.end() for head in _HEADS.finditer(text)))
    lines: Sequence[int | None] = heads if len(heads) == len(packages) else [None] * len(packages)
    return [_locked(item, Place(FILE, line), from_source) for item, line in zip(packages, lines, strict=True)]


def _locked(package: dict[str, Any], place: Place, from_source: Collection[str]) -> Requirement:
    name, version, marker = (package.get(key, "") for key in ("name", "version", "marker"))
    if not (isinstance(name, str) and isinstance(version, str) and isinstance(marker, str)) or not name:
        raise refused("a package without a name, or whose name, version or marker is no text", _ANEW, place)
    shown = name[:100]
    for key, why in _ELSEWHERE.items():
        if key in package:
            raise refused(f"{shown}: {why}", "lock a version of it from the server's index", place)
    if not version:
        raise refused(f"{shown}: it has no version", _ANEW, place)
    if re.search(r"\b(extras|dependency_groups)\b", marker):
        raise refused(f"{shown}: its marker asks for an extra or a group", "export the lock without these", place)
    condition = f" ; {marker}" if marker else ""
    item = parse(f"{name}=={version}{condition}", place)
    if not item.version or normalised(item.name) != normalised(name):
        raise refused(f"{shown}: its version is not one version", _ANEW, place)
    return item._replace(hashes=_hashes(package, shown, place, normalised(name) in from_source))


def _hashes(package: dict[str, Any], name: str, place: Place, is_built: bool) -> tuple[str, ...]:
    sdist = package.get("sdist")
    files = [sdist] if is_built and sdist else package.get("wheels", [])
    if not files:
        what = "only a source distribution" if sdist else "no files"
        fix = "lock a version with a wheel, or name it in casemate.yaml under dependencies.fromSource"
        raise refused(f"{name}: it has {what} here", fix, place)
    if not isinstance(files, list) or not all(isinstance(file, dict) for file in files):
        raise refused(f"{name}: its files are not tables", _ANEW, place)
    found: dict[str, None] = {}
    for file in files:
        given = file.get("hashes")
        known = [f"{key}:{given[key]}" for key in _ALGORITHMS if key in given] if isinstance(given, dict) else []
        if not known or not all(_is_hash(value) for value in known):
            raise refused(f"{name}: a file of it has no hash (sha256, sha384 or sha512)", _ANEW, place)
        found.update(dict.fromkeys(known))
    return tuple(found)


def _is_hash(text: str) -> bool:
    algorithm, _, value = text.partition(":")
    return re.fullmatch(rf"[0-9a-f]{{{_ALGORITHMS[algorithm]}}}", value) is not None
