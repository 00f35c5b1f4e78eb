"""Credentials in what a repository once held: whoever may read it has them. The gate's check looks, and needs its tools."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from casemate_gate.checks.check import incomplete
from casemate_gate.contents import LARGEST, MOST_CONTENTS, Content, search
from casemate_gate.findings import Finding
from casemate_gate.runner import run
from casemate_gate.subject import VENDORED, Settings, Subject, Unreadable, display

from casemate_fetch.objects import FILES, FOLDER, read_commit, read_tree
from casemate_fetch.pack import BLOB, Pack
from casemate_fetch.source import Source

_MOST_FINDINGS: Final = 200
_SPARE: Final = 2.0
"""Seconds that are left for the answer."""


class Past:
    name = "history"

    def __init__(self, source: Source, known: frozenset[bytes]) -> None:
        """`known`: contents that are looked at elsewhere."""
        self._pack = source.pack
        self._tip = source.commit
        self._known = known
        self._is_whole = True

    def examine(self, subject: Subject) -> Iterable[Finding]:
        yield from search(self.name, self._contents(), subject.vendored)
        if not self._is_whole:
            yield incomplete(self.name, Unreadable(".", "the server did not send all of the history"))

    def _contents(self) -> Iterator[Content]:
        found = set(self._known)
        trees: set[bytes] = set()
        for commit in _oldest_first(self._pack, self._tip):
            made = read_commit(self._pack, commit)
            self._is_whole &= all(parent in self._pack for parent in made.parents)
            for name, oid in self._files(made.tree, trees):
                if oid in found:
                    continue
                found.add(oid)
                if len(found) > MOST_CONTENTS:
                    raise Unreadable(".", f"the history has more than {MOST_CONTENTS} contents")
                yield Content(commit.decode(), name, self._content(oid))

    def _content(self, oid: bytes) -> bytes | None:
        if oid not in self._pack:
            self._is_whole &= self._pack.has_larger
            return None
        return self._pack.read(oid, BLOB) if self._pack.size(oid) <= LARGEST else None

    def _files(self, tree: bytes, seen: set[bytes]) -> Iterator[tuple[str, bytes]]:
        """Of the trees that no earlier commit had."""
        waiting = [("", tree)]
        while waiting:
            folder, oid = waiting.pop()
            if oid in seen:
                continue
            seen.add(oid)
            if oid not in self._pack:
                self._is_whole = False
                continue
            for entry in read_tree(self._pack, oid):
                name = folder + display(entry.name.decode("utf-8", "surrogateescape"))
                if entry.mode == FOLDER:
                    waiting.append((f"{name}/", entry.oid))
                elif entry.mode in FILES:
                    yield name, entry.oid


def findings(source: Source, known: frozenset[bytes], folder: str, seconds: float) -> list[dict[str, Any]]:
    """Worst first. `folder`: of the function, below which other people's code may lie."""
    vendored = (VENDORED, f"{folder}/{VENDORED}") if folder else (VENDORED,)
    subject = Subject(Path("/"), settings=Settings(seconds=max(1.0, seconds - _SPARE)), vendored=vendored)
    subject.files = []  # of this machine nothing is looked at
    found = run(subject, [Past(source, known)])
    kept = found[:_MOST_FINDINGS]
    if len(found) > len(kept):
        more = len(found) - _MOST_FINDINGS + 1
        worst = found[_MOST_FINDINGS - 1].severity
        what = f"history found {more} more, the worst of them {worst.name.lower()}"
        kept[-1] = Finding("history", "gate/more", worst, ".", None, what, "mend the first, and look again", "more")
    return [finding.as_json() for finding in kept]


def _oldest_first(pack: Pack, tip: bytes) -> list[bytes]:
    """All commits that came, none before its parents."""
    order: list[bytes] = []
    seen: set[bytes] = set()
    waiting = [(tip, False)]
    while waiting:
        oid, is_done = waiting.pop()
        if is_done:
            order.append(oid)
        elif oid not in seen and oid in pack:
            seen.add(oid)
            waiting.append((oid, True))
            waiting += [(parent, False) for parent in read_commit(pack, oid).parents]
    return order
