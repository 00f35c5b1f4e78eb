"""A fetch from its request to its archive: the commit, the folder's files, its submodules, and what its history shows."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Final

from casemate_fetch import submodules
from casemate_fetch.address import Address
from casemate_fetch.archive import write
from casemate_fetch.faults import failed, shown
from casemate_fetch.meter import Meter
from casemate_fetch.objects import read_commit
from casemate_fetch.refs import Wanted
from casemate_fetch.request import Request
from casemate_fetch.source import SCRATCH, Source, Sources
from casemate_fetch.tree import Plan, folder_in

_MOST_LEFT: Final = 50

Search = Callable[[Source, frozenset[bytes], str, float], list[dict[str, Any]]]
"""For secrets in the history of a source: without the contents of these ids; the folder; seconds."""


@dataclass(frozen=True, slots=True)
class _Repository:
    """One that files are taken from, and where they go."""

    address: Address
    source: Source
    folder: str
    """In the repository."""
    prefix: str
    """In the archive."""
    level: int
    """0 for the source itself, 1 for its submodules."""


class Fetch:
    def __init__(self, request: Request, sources: Sources, search: Search) -> None:
        self._request = request
        self._sources = sources
        self._search = search
        self._plan = Plan()
        self._submodules: list[dict[str, str]] = []
        self._deadline = time.monotonic() + request.seconds
        self.seconds = request.seconds
        """What it may take."""

    def run(self) -> tuple[dict[str, Any], IO[bytes]]:
        """The report and the archive."""
        request = self._request
        source = self._sources.fetch(request.address, request.wanted, request.history)
        waiting = [_Repository(request.address, source, request.folder, "", 0)]
        while waiting:
            waiting += self._take(waiting.pop())
        files = self._plan.files
        if not files:
            raise failed("the folder holds no files; name the one that the function is in")
        archive: IO[bytes] = tempfile.TemporaryFile(dir=SCRATCH)  # for whoever called
        write(files, archive, request.maximum_archive)
        reference = source.reference
        report = {
            "commit": source.commit.decode(),
            "reference": None if reference is None else shown(reference, 1024),
            "files": len(files),
            "bytes": self._plan.size,
            "submodules": sorted(self._submodules, key=lambda item: item["path"]),
            "left": sorted(self._plan.left)[:_MOST_LEFT],
            "history": self._history(source) if request.history else [],
        }
        return report, archive

    def _take(self, repository: _Repository) -> list[_Repository]:
        """Plans the repository's files. Answers its submodules."""
        source, folder, prefix = repository.source, repository.folder, repository.prefix
        root = read_commit(source.pack, source.commit).tree
        tree = folder_in(source.pack, root, folder)
        links = self._plan.add(source.pack, tree, prefix, self._request.maximum_bytes)
        if not self._request.submodules:
            self._plan.left += [path for path, _ in links]
            return []
        if links and repository.level == submodules.DEEPEST:
            path = shown(links[0][0])
            raise failed(
                f"the submodule {path} is nested deeper than {submodules.DEEPEST}; copy it into the repository"
            )
        urls = submodules.urls(source.pack, root) if links else {}
        found = []
        for path, commit in links:
            if len(self._submodules) == submodules.MOST:
                raise failed(f"there are more than {submodules.MOST} submodules; copy some of them into the repository")
            inside = path.removeprefix(f"{prefix}/") if prefix else path
            url = submodules.url_of(f"{folder}/{inside}" if folder else inside, urls)
            address = repository.address.submodule(url, path)
            self._sources.check(address, f"the submodule {shown(path)}")
            self._submodules.append({"path": path, "url": str(address), "commit": commit.decode()})
            fetched = self._sources.fetch(address, Wanted(commit.decode(), commit))
            found.append(_Repository(address, fetched, "", path, repository.level + 1))
        return found

    def _history(self, source: Source) -> list[dict[str, Any]]:
        exported = frozenset(file.oid for file in self._plan.files)
        return self._search(source, exported, self._request.folder, self._deadline - time.monotonic())


def fetch(
    body: bytes, authority: bytes, secret: bytes | None, tell: Callable[[int, int], None], search: Search
) -> Fetch:
    """`secret`: `NAME` NUL `value`. Nothing is reached before `run`."""
    request = Request.parse(body)
    meter = Meter(request.maximum_bytes, tell)
    sources = Sources(request.address, authority, request.host_keys, secret, meter, request.repositories)
    return Fetch(request, sources, search)
