"""Fetches source distributions by their hashes and reads what they say of themselves. Nothing of them is executed."""

from __future__ import annotations

import hashlib
import os
import tomllib
from pathlib import Path
from typing import Any, Final, NamedTuple

from casemate_runtime.faults import failed
from casemate_runtime.indexes import Indexes
from casemate_runtime.listing import File, files_of
from casemate_runtime.requirements import OTHER_HASH, Requirement, normalised, parse, refused
from casemate_runtime.simple import Client, IndexFailure
from casemate_runtime.tarball import BadTarball, members
from casemate_runtime.versions import same_version
from casemate_runtime.yanked import Yanked

_SUFFIX: Final = ".tar.gz"
_LARGEST: Final = 128 * 1024 * 1024
LARGEST_UNPACKED: Final = 512 * 1024 * 1024
_LARGEST_TEXT: Final = 1024 * 1024
_OTHER: Final = "choose another version"
# PEP 518: what an sdist needs that does not say.
_DEFAULT_REQUIRES: Final = ("setuptools>=40.8.0", "wheel")


class Sdist(NamedTuple):
    """`needs` is what the package needs when it runs, as far as its PKG-INFO knows; `requires` what its build needs.
    `yanked` as for a `File`."""

    requirement: Requirement
    file: Path
    hash: str
    needs: list[Requirement]
    requires: list[Requirement]
    yanked: str | None


class Sdists:
    """Each is fetched once. `folder`: where they are put, each into a folder of its own."""

    def __init__(self, certificates: str, indexes: Indexes, folder: Path) -> None:
        self.folder = folder
        self._certificates = certificates
        self._indexes = indexes
        self._found: dict[str, Sdist] = {}

    def get(self, item: Requirement) -> Sdist:
        """Raises a `Fault`."""
        name = normalised(item.name)
        if name not in self._found:
            self._found[name] = fetch(self._certificates, self._indexes, item, self.folder / name)
        return self._found[name]

    def yanked(self) -> list[Yanked]:
        """Of those that were fetched."""
        named = [(sdist.requirement, sdist.yanked) for sdist in self._found.values()]
        return [Yanked(item.name, item.version, reason) for item, reason in named if reason is not None]


def check(item: Requirement) -> None:
    """Whether a requirement can be built from source: one version, always. Raises a `Fault`."""
    name = item.name
    if not item.version:
        what = f"{name}: it is built from source, so that it must be pinned with =="
        raise refused(what, f"write {name}==VERSION", item.place)
    if item.marker or item.extras:
        what = f"{name}: it is built from source, so that it can't have extras or a condition"
        raise refused(what, f"write {name}=={item.version}, and what its extras need beside it", item.place)


def fetch(certificates: str, indexes: Indexes, item: Requirement, folder: Path) -> Sdist:
    """Puts the archive into `folder`, which is made. Raises a `Fault`."""
    name = normalised(item.name)
    try:
        client = Client(certificates)
        found = [file for file in files_of(client, f"{indexes.url(name)}/{name}/") if _fits(file, item)]
        if not found:
            what = f"{item.name}: the index has no {item.version}{_SUFFIX} of it"
            raise refused(what, "choose a version that has one, or take its wheel", item.place)
        file = max(found, key=lambda file: not set(file.hashes).isdisjoint(item.hashes))
        folder.mkdir(parents=True)
        archive = folder / file.name
        known = _download(client, file, archive, item)
    except IndexFailure as failure:
        raise failed(f"{item.name}: {failure}", "try again, or ask whoever runs the index") from None
    texts = _texts(archive, item)
    needs = [parse(text, item.place) for text in _needs(texts.get("PKG-INFO", ""))]
    requires = [parse(text, item.place) for text in _requires(texts.get("pyproject.toml"), item)]
    return Sdist(item, archive, known, needs, requires, file.yanked)


def _fits(file: File, item: Requirement) -> bool:
    name, _, version = file.name.removesuffix(_SUFFIX).rpartition("-")
    is_sdist = file.name.endswith(_SUFFIX) and "/" not in file.name and file.name.isprintable()
    return is_sdist and normalised(name) == normalised(item.name) and same_version(version, item.version)


def _download(client: Client, file: File, target: Path, item: Requirement) -> str:
    """The hash that it goes by: one of the requirement's, else the index's, else its SHA-256."""
    wanted = item.hashes or file.hashes[:1]
    algorithms = {value.partition(":")[0] for value in wanted} & hashlib.algorithms_guaranteed or {"sha256"}
    digests = {algorithm: hashlib.new(algorithm) for algorithm in sorted(algorithms)}
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(target, flags, 0o644), "wb") as out:
        for data in client.get(file.url, "*/*", _LARGEST).content:
            out.write(data)
            for digest in digests.values():
                digest.update(data)
    known = [f"{algorithm}:{digest.hexdigest()}" for algorithm, digest in digests.items()]
    if not wanted:
        return known[0]
    for value in known:
        if value in wanted:
            return value
    whose = "given here" if item.hashes else "of the index"
    raise refused(f"{item.name}: {file.name} has another hash than the one {whose}", OTHER_HASH, item.place)


def _texts(archive: Path, item: Requirement) -> dict[str, str]:
    """PKG-INFO and pyproject.toml of the top folder."""
    found = {}
    try:
        with open(archive, "rb") as file:
            for member in members(file, LARGEST_UNPACKED):
                if member.path in ("PKG-INFO", "pyproject.toml") and member.path not in found:
                    data = b""
                    for part in member.content:
                        data += part
                        if len(data) > _LARGEST_TEXT:
                            raise BadTarball(f"its {member.path} is too large")
                    found[member.path] = data.decode("utf-8", "replace")
    except BadTarball as bad:
        raise refused(f"{item.name}: its source distribution is refused: {bad}", _OTHER, item.place) from None
    return found


def _needs(info: str) -> list[str]:
    """`Requires-Dist` without what only extras need (core metadata; the body begins after an empty line)."""
    lines = info.replace("\r\n", "\n").partition("\n\n")[0].split("\n")
    found = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("requires-dist:")]
    return [text for text in found if "extra" not in text.partition(";")[2]]


def _requires(text: str | None, item: Requirement) -> list[str]:
    if text is None:
        return list(_DEFAULT_REQUIRES)
    try:
        table: Any = tomllib.loads(text).get("build-system", {})
        requires = table.get("requires", list(_DEFAULT_REQUIRES))
    except (tomllib.TOMLDecodeError, AttributeError, RecursionError):
        raise refused(f"{item.name}: its pyproject.toml can't be read", _OTHER, item.place) from None
    if not isinstance(requires, list) or not all(isinstance(entry, str) for entry in requires):
        raise refused(f"{item.name}: its build-system.requires is not a list of texts", _OTHER, item.place)
    return requires
