"""What a check has found, in the form that the server stores and the command line shows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

_LONGEST_TEXT: Final = 500
_LONGEST_FILE: Final = 1024


class Severity(IntEnum):
    """From HIGH on a deployment stops."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """`subject` tells it from others of its rule in its file, and stays the same when lines move: a waiver is for it."""

    check: str
    rule: str
    severity: Severity
    file: str
    line: int | None
    what: str
    fix: str
    subject: str
    guarantee: str | None = None
    """The row of docs/guarantees.md that it breaks."""
    enforced_by: str | None = None
    """The line of a casemate.yaml that enforces what was found missing."""
    package: str | None = None
    """A purl."""
    fixed: str | None = None
    """The lowest version in which it is fixed."""

    @property
    def identity(self) -> str:
        """The same at each scan of the same fault."""
        parts = (self.check, self.rule, self.file, self.subject)
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def as_json(self) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "id": self.identity,
            "check": self.check,
            "rule": self.rule,
            "severity": self.severity.name.lower(),
            "file": shown(self.file, _LONGEST_FILE),
            "line": self.line,
            "what": shown(self.what),
            "fix": shown(self.fix),
            "guarantee": self.guarantee,
            "enforcedBy": self.enforced_by,
            "package": self.package,
            "fixed": self.fixed,
        }
        return {name: value for name, value in fields.items() if value is not None}


def shown(text: str, longest: int = _LONGEST_TEXT) -> str:
    """Text of an author's, for a message: in one line, nothing that a terminal would obey, and not endless."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"
