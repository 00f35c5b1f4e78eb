"""What a check is, and how it says that it could not look."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from casemate_gate.findings import Finding, Severity
from casemate_gate.subject import Subject, Unreadable, source_of


@dataclass(frozen=True)
class Part:
    """One of `count` processes that share the files of a large subject."""

    index: int = 0
    count: int = 1

    def holds(self, file: str) -> bool:
        """A source and its byte code are in the same part."""
        return self.count == 1 or zlib.crc32(source_of(file).encode()) % self.count == self.index


class Check(Protocol):
    @property
    def name(self) -> str: ...

    def examine(self, subject: Subject) -> Iterable[Finding]: ...


def incomplete(check: str, problem: Unreadable) -> Finding:
    """What was not looked at counts as a fault, never as clean. In other people's packages it is a warning: there is
    nothing that the author could mend, and the bytes themselves were searched."""
    return Finding(
        check=check,
        rule="gate/incomplete",
        severity=Severity.MEDIUM if problem.file.startswith("deps/") else Severity.HIGH,
        file=problem.file,
        line=None,
        what=f"{check} could not look at all of it: {problem.why}",
        fix="leave it out of the bundle, or give it a form that can be read",
        subject=f"{problem.why} {problem.digest}" if problem.digest else problem.why,
    )
