"""Credentials in the author's files (COG-7, AZR-19): known forms, assignments to names of secrets, random strings.

The library's patterns are used, and its ways to switch them off are not: no baseline, no comment and no setting of a
bundle's is read.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from detect_secrets.filters.heuristic import is_potential_uuid, is_sequential_string
from detect_secrets.plugins.high_entropy_strings import Base64HighEntropyString, HexHighEntropyString
from detect_secrets.plugins.keyword import (
    CONFIG_DENYLIST_REGEX_TO_GROUP,
    QUOTES_REQUIRED_DENYLIST_REGEX_TO_GROUP,
    REGEX_BY_FILETYPE,
    KeywordDetector,
)
from detect_secrets.util.filetype import determine_file_type

from casemate_gate.checks.check import Part, incomplete
from casemate_gate.findings import Finding, Severity
from casemate_gate.formats import hits
from casemate_gate.nested import Budget, Member, members
from casemate_gate.placeholders import is_name, is_placeholder, is_sentence
from casemate_gate.subject import File, Subject, Unreadable, source_of
from casemate_gate.text import Page, decode, notebook, pieces

_FIX: Final = (
    "take it out, give it to the function as a secret (casemate secret set), and revoke it: it has been in a file"
)
_FIX_CONNECTION: Final = (
    "take it out and change the password or key; give the function a secret, or an identity where the service knows one"
)
_LOCKS: Final = frozenset("""
    uv.lock poetry.lock pdm.lock pipfile.lock package-lock.json yarn.lock pnpm-lock.yaml cargo.lock composer.lock
    gemfile.lock go.sum npm-shrinkwrap.json record
    """.split())
_SHORTEST_PASSWORD: Final = 6
_LONGEST_RANDOM: Final = 4096
# What the library's keyword detector looks for, to pass over lines that it needn't see.
_KEYWORDS: Final = re.compile(r"key|pass|pwd|secret|contrase|token|credential")
_TOKEN: Final = re.compile(
    r"(?i)(?:token|credential|passphrase)s?[\"'\]]{0,2}\s*[:=]\s*([\"'])([^\"'\s]{16,512})\1",
)
_QUOTED: Final = re.compile(r"[\"'][A-Za-z0-9+/\\_=-]{20,}[\"']")
# The last word of what a value is assigned to, where that says that the value is no secret itself.
_ABOUT: Final = re.compile(
    r"(?i)(?:name|names|id|ids|path|paths|file|files|folder|dir|url|uri|endpoint|arn|field|fields|column|header|param"
    r"|parameter|label|prefix|suffix|type|kind|length|size|hint|help|prompt|message|error|text|title|env|var|variable|ref"
    r"|version|policy|rotation|regex|pattern|format|algorithm|store|manager|provider|placeholder|description|rules?)$"
)
_HASHED: Final = re.compile(
    r"(?i)sha(?:1|224|256|384|512)|md5|checksum|digest|integrity|etag|commit|revision|uuid|guid"
)
_PICTURES: Final = ("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR", "PHN2Zy", "d09GM", "d09GR", "AAABAA", "JVBERi")

_KEYWORD: Final = KeywordDetector()
_BASE64: Final = Base64HighEntropyString(4.5)
_HEX: Final = HexHighEntropyString(3.0)


class _Found(NamedTuple):
    rule: str
    title: str
    severity: Severity
    start: int
    end: int
    value: str


class Secrets:
    name = "secrets"

    def __init__(self, part: Part = Part()) -> None:
        self._part = part

    def examine(self, subject: Subject) -> Iterable[Finding]:
        budget = Budget()
        beside: dict[str, set[str]] = {}
        # Byte code last: what its source shows already is not said again.
        files = [file for file in subject.files if self._part.holds(file.name) and "__pycache__/" not in file.name]
        for file in sorted(files, key=lambda file: file.name.endswith(".pyc")):
            try:
                content = file.read()
            except Unreadable as problem:
                yield incomplete(self.name, problem)
                continue
            known = beside.get(source_of(file.name), set()) if file.name.endswith(".pyc") else set()
            seen = beside.setdefault(file.name, set())
            for finding, value in self.within(Member(file.name, content), file):
                if value not in known:
                    seen.add(value)
                    yield finding
            for member in members(file.name, content, budget):
                if isinstance(member, Unreadable):
                    yield incomplete(self.name, member)
                else:
                    for finding, _ in self.within(member, file):
                        yield finding

    def within(self, member: Member, file: File) -> Iterator[tuple[Finding, str]]:
        text = decode(member.content)
        is_binary = text is None
        if text is None:
            # The strings of a binary stand in it as they are.
            page = Page(member.content.decode("latin-1"), None)
        else:
            page = notebook(text) if member.name.endswith(".ipynb") else Page(text)
        found = list(_forms(page))
        if not is_binary and not file.is_vendored and os.path.basename(member.name).lower() not in _LOCKS:
            found += _assigned(page, member.name)
            found += _random(page)
        occurrences: Counter[str] = Counter()
        for item in _distinct(found):
            # Of a short one its beginning would be most of it.
            shape = f"{item.value[:4] if len(item.value) >= 12 else ''}… ({len(item.value)} characters)"
            if item.rule == "private-key":
                shape = "its first line stands here"
            subject = f"{_left_of(page, item.start)}{item.rule}"
            occurrences[subject] += 1
            yield Finding(
                check=self.name,
                rule=item.rule,
                severity=item.severity,
                file=member.name,
                line=None if is_binary else page.line(item.start),
                what=f"{item.title}: {shape}",
                fix=_FIX_CONNECTION if item.rule == "connection-string" else _FIX,
                subject=f"{subject}#{occurrences[subject]}",
                guarantee="AZR-19" if item.rule == "connection-string" else "COG-7",
            ), item.value


def has_form_of_secret(value: str) -> bool:
    return any(True for _ in hits(value))


def _forms(page: Page) -> Iterator[_Found]:
    for hit in hits(page.text):
        yield _Found(hit.rule, hit.title, Severity.HIGH, hit.start, hit.end, hit.value)


def _assigned(page: Page, name: str) -> Iterator[_Found]:
    """`password = "…"`: by the name of what it is given to."""
    base = os.path.basename(name).lower()
    patterns = REGEX_BY_FILETYPE.get(determine_file_type(name), QUOTES_REQUIRED_DENYLIST_REGEX_TO_GROUP)
    if base.startswith(".env") or base in ("dockerfile", "credentials") or base.endswith((".env", ".netrc", ".npmrc")):
        patterns = CONFIG_DENYLIST_REGEX_TO_GROUP
    text = page.text
    lowered = text.lower()
    if len(lowered) != len(text):  # some letters become two
        lowered = text
    end = -1
    for match in _KEYWORDS.finditer(lowered):
        if match.start() <= end:
            continue
        start = text.rfind("\n", 0, match.start()) + 1
        end = text.find("\n", match.end())
        end = len(text) if end < 0 else end
        for offset, piece in pieces(text[start:end]):
            for value in set(_KEYWORD.analyze_string(piece, denylist_regex_to_group=patterns)):
                place = text.find(value, start + offset) if value else -1
                if place >= 0 and (found := _judged(text, value, place)):
                    yield found
            for token in _TOKEN.finditer(piece):
                value = token[2]
                has_both = re.search(r"\d", value) and re.search(r"[A-Za-z]", value)
                if has_both and len(set(value)) > 7 and not is_name(value):
                    if found := _judged(text, value, start + offset + token.start(2)):
                        yield found


def _judged(text: str, value: str, place: int) -> _Found | None:
    quoted = place > 0 and text[place - 1] in "\"'`"
    stripped = value if quoted else re.split(r"\s+#", value)[0].strip().rstrip(",")
    target = re.search(r"([\w.-]+)[\"'\])]*\s*(?:=>|:=|[:=!]{1,3})\s*[@\"'`(]*$", text[max(0, place - 120) : place])
    if is_placeholder(stripped, quoted) or (target and _ABOUT.search(target[1])):
        return None
    if target and stripped.lower() == target[1].lower():
        return None
    severity = Severity.HIGH
    if is_sentence(stripped) or len(stripped) < _SHORTEST_PASSWORD:
        severity = Severity.MEDIUM
    return _Found("password", "a secret's value in plain text", severity, place, place + len(value), stripped)


def _random(page: Page) -> Iterator[_Found]:
    for match in _QUOTED.finditer(page.text):
        value = match[0][1:-1]
        if len(value) > _LONGEST_RANDOM or is_potential_uuid(value) or is_sequential_string(value):
            continue
        before = page.text[max(page.text.rfind("\n", 0, match.start()) + 1, match.start() - 80) : match.start()]
        if value.startswith(_PICTURES) or _HASHED.search(before):
            continue
        place = match.start() + 1, match.end() - 1
        if _HEX.regex.fullmatch(match[0]):
            if _HEX.calculate_shannon_entropy(value) > _HEX.entropy_limit:
                yield _Found("random-hex", "a string that looks random", Severity.MEDIUM, *place, value)
        elif _BASE64.calculate_shannon_entropy(value) > _BASE64.entropy_limit and not is_name(value):
            if re.search(r"\d", value) or (not value.islower() and not value.isupper()):
                yield _Found("random-base64", "a string that looks random", Severity.HIGH, *place, value)


def _distinct(found: list[_Found]) -> list[_Found]:
    """One for one secret: the first that named it, in the order from a known form to a mere look."""
    kept: list[_Found] = []
    by_start: dict[int, list[tuple[int, int]]] = {}
    for item in found:
        buckets = range(item.start >> 12, (item.end >> 12) + 1)
        if any(item.start < end and start < item.end for key in buckets for start, end in by_start.get(key, ())):
            continue
        kept.append(item)
        for key in buckets:
            by_start.setdefault(key, []).append((item.start, item.end))
    return sorted(kept, key=lambda item: item.start)


def _left_of(page: Page, at: int) -> str:
    """What stays where it is when lines move, and is no part of the secret."""
    start = max(page.text.rfind("\n", 0, at) + 1, at - 80)
    return page.text[start:at].strip()
