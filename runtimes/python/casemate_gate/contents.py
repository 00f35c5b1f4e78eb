"""Credentials in the contents of a repository's history, whoever reads them out of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from casemate_gate.checks.check import incomplete
from casemate_gate.checks.secrets import Secrets
from casemate_gate.findings import Finding
from casemate_gate.nested import Member
from casemate_gate.subject import File, Unreadable

LARGEST: Final = 4 << 20
"""Bytes of one content that is searched."""
MOST_CONTENTS: Final = 500_000
_MOST_BYTES: Final = 2 << 30


class Content(NamedTuple):
    """`commit` and `name`: the first that it had."""

    commit: str
    name: str
    content: bytes | None
    """`None` where it is too large."""


def search(check: str, contents: Iterable[Content], vendored: tuple[str, ...]) -> Iterator[Finding]:
    """`vendored`: where other people's code lies."""
    secrets = Secrets()
    read = 0
    for commit, name, content in contents:
        if content is None:
            yield incomplete(check, Unreadable(name, f"in commit {commit[:12]} it has more than {LARGEST} bytes"))
            continue
        read += len(content)
        if read > _MOST_BYTES:
            yield incomplete(check, Unreadable(".", "the history has too many bytes to be searched"))
            return
        file = File(name, name, len(content), name.startswith(vendored))
        for finding, _ in secrets.within(Member(name, content), file):
            yield replace(
                finding,
                check=check,
                what=f"{finding.what}, since commit {commit[:12]}",
                fix="revoke it: removing it from the files leaves it in the history",
                subject=f"{commit} {finding.subject}",
            )
