"""Values of the namespace's stored secrets (COG-7) in anything of a bundle, in the spellings that people and tools use.

A hundred values have thousands of spellings, and searching for each in turn would read the bundle thousands of times.
Whoever looks at a few bytes, a gram, in every `stride` of a file sees a part of each occurrence of a spelling that is as
long as both together; so the grams of all spellings go into one set, and the file's are looked up in it, in C.
"""

from __future__ import annotations

import base64
import json
import mmap
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple
from urllib.parse import quote, quote_plus

from casemate_gate.checks.check import Part, incomplete
from casemate_gate.findings import Finding, Severity
from casemate_gate.nested import Budget, is_packed, members
from casemate_gate.subject import File, Subject, Unreadable, source_of
from casemate_gate.text import decode

_FIX: Final = (
    "remove it, read it from the function's secrets, and set a new value: whoever saw the bundle has the old one"
)
_SHORTEST: Final = 8
"""Shorter spellings are in every large file by chance."""
_SHORTEST_VALUE: Final = 6
_LARGEST_STRIDE: Final = 64
_MAPPED_FROM: Final = 1 << 20
# Measured, in nanoseconds for each byte of a content: a search for one spelling, and what a gram of four or eight bytes
# costs at each step. Of four bytes, some are in any large file by chance, and have to be searched for.
_SEARCH: Final = 0.25
_STEP: Final = 50.0
_CHANCE: Final = {4: 1.5, 8: 0.0}
_FORMATS: Final[dict[int, Literal["I", "Q"]]] = {4: "I", 8: "Q"}
_ORDER: Final = "little"

Content = bytes | mmap.mmap


class Needle(NamedTuple):
    secret: str
    spelling: bytes


class _Plan(NamedTuple):
    """How many of the shortest spellings to search for one by one, and how to sample for the others."""

    singles: int
    gram: int
    stride: int


class Search:
    """Which secrets a content holds, and where."""

    def __init__(self, needles: Iterable[Needle]) -> None:
        by_length = sorted(set(needles), key=lambda needle: len(needle.spelling))
        singles, self._gram, self._stride = _planned([len(needle.spelling) for needle in by_length])
        self._singles = by_length[:singles]
        self._grams: dict[int, list[Needle]] = {}
        for needle in by_length[singles:]:
            for offset in range(self._stride):
                gram = int.from_bytes(needle.spelling[offset : offset + self._gram], _ORDER)
                self._grams.setdefault(gram, []).append(needle)
        self._known = frozenset(self._grams)

    def find(self, content: Content) -> dict[str, int]:
        """The first place of each secret."""
        found: dict[str, int] = {}
        for secret, spelling in self._singles:
            _note(found, secret, content.find(spelling))
        if self._known:
            with memoryview(content) as view, view[: len(view) // self._gram * self._gram] as whole:
                with whole.cast(_FORMATS[self._gram]) as words, words[:: self._stride // self._gram] as sampled:
                    grams = self._known.intersection(sampled)
            for needle in {needle for gram in grams for needle in self._grams[gram]}:
                _note(found, needle.secret, content.find(needle.spelling))
        return found


def _note(found: dict[str, int], secret: str, at: int) -> None:
    if at >= 0:
        found[secret] = min(at, found.get(secret, at))


def _planned(lengths: list[int]) -> _Plan:
    """The cheapest for spellings of these lengths, which are in order."""
    best, plan = len(lengths) * _SEARCH, _Plan(len(lengths), 4, 4)
    for singles, length in enumerate(lengths):
        for gram, chance in _CHANCE.items():
            stride = min(_LARGEST_STRIDE, (length - gram + 1) // gram * gram)
            if stride and (cost := singles * _SEARCH + _STEP / stride + chance) < best:
                best, plan = cost, _Plan(singles, gram, stride)
    return plan


def spellings(value: bytes) -> set[bytes]:
    """Of one value."""
    texts = {value}
    if (stripped := value.strip()) != value:
        texts.add(stripped)
    # A key of several lines stands in a notebook, a YAML file or a string with its lines apart.
    lines = [line.strip() for line in value.splitlines() if not line.startswith(b"-----")]
    if len(lines) > 1 and len(longest := max(lines, key=len)) >= 16:
        texts.add(longest)
    found: set[bytes] = set()
    for text in texts:
        if len(text) < _SHORTEST_VALUE:
            continue
        found |= _spelled(text)
        if len(text) < _SHORTEST:
            found |= {b'"%b"' % text, b"'%b'" % text}
    return {spelling for spelling in found if len(spelling) >= _SHORTEST}


def _spelled(value: bytes) -> set[bytes]:
    found = {value, value.hex().encode(), value.hex().upper().encode(), *_base64(value)}
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return found
    found |= {text.encode("utf-16-le"), text.encode("utf-16-be"), *_base64(text.encode("utf-16-le"))}
    for escaped in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1]):
        found |= {escaped.encode(), json.dumps(escaped)[1:-1].encode()}
    for percent in (quote(text, safe=""), quote(text), quote_plus(text)):
        found |= {percent.encode(), _lower_percent(percent)}
    found.add(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;").encode())
    return found


def _lower_percent(text: str) -> bytes:
    parts = text.split("%")
    return "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])]).encode()


def _base64(value: bytes) -> Iterator[bytes]:
    """At each of the three places that a value may begin at in a longer text, without what its neighbours decide."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + value).rstrip(b"=")
        first = (0, 2, 3)[before]
        last = len(encoded) if (before + len(value)) % 3 == 0 else len(encoded) - 1
        part = encoded[first:last]
        yield part
        yield part.translate(bytes.maketrans(b"+/", b"-_"))


class OwnSecrets:
    name = "own-secrets"

    def __init__(self, part: Part = Part()) -> None:
        self._part = part

    def examine(self, subject: Subject) -> Iterable[Finding]:
        search = Search(_needles(subject.secrets))
        budget = Budget()
        said: set[tuple[str, str]] = set()
        files = [file for file in (*subject.files, *subject.installed) if self._part.holds(file.name)]
        files.sort(key=lambda file: file.name.endswith(".pyc"))
        for file in files:
            try:
                yield from self._in(file, search, budget, said)
            except Unreadable as problem:
                yield incomplete(self.name, problem)

    def _in(self, file: File, search: Search, budget: Budget, said: set[tuple[str, str]]) -> Iterator[Finding]:
        if not file.size:
            return
        try:
            content: Content
            if file.size < _MAPPED_FROM:
                content = file.read()
            else:
                with open(file.open(), "rb") as stream:
                    content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            raise Unreadable(file.name, "it can't be read") from None
        hits: list[tuple[str, str, Content, int]] = [
            (file.name, secret, content, at) for secret, at in search.find(content).items()
        ]
        if is_packed(file.name, content[:8]):
            for member in members(file.name, file.read() if isinstance(content, mmap.mmap) else content, budget):
                if isinstance(member, Unreadable):
                    yield incomplete(self.name, member)
                else:
                    found = search.find(member.content).items()
                    hits += [(member.name, secret, member.content, at) for secret, at in found]
        inner = {(name.rpartition("!")[0], secret) for name, secret, _, _ in hits}
        for name, secret, where, at in hits:
            # What is stored unpacked is seen in its archive's bytes too.
            if (name, secret) not in inner and (finding := self._finding(name, secret, where, at, said)):
                yield finding

    def _finding(self, file: str, secret: str, content: Content, at: int, said: set[tuple[str, str]]) -> Finding | None:
        # Byte code says what its source, which came before, has said.
        source = source_of(file)
        if (source, secret) in said:
            return None
        said.add((source, secret))
        is_text = b"\0" not in content[:8192]
        line = content[:at].count(b"\n") + 1 if is_text else _line_of_wide(content, at)
        return Finding(
            check=self.name,
            rule="own-secret",
            severity=Severity.HIGH,
            file=file,
            line=line,
            what=f"the value of secret {secret} stands here",
            fix=_FIX,
            subject=secret,
            guarantee="COG-7",
        )


def _needles(secrets: Iterable[bytes]) -> Iterator[Needle]:
    for entry in secrets:
        name, _, value = entry.partition(b"\0")
        for spelling in spellings(value):
            yield Needle(name.decode("utf-8", "replace"), spelling)


def _line_of_wide(content: Content, at: int) -> int | None:
    """The line in a text of UTF-16; none in a binary."""
    text = decode(content[: at + at % 2])
    return text.count("\n") + 1 if text else None
