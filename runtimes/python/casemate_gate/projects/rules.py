"""What is looked for, and how a hit becomes a finding."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

from casemate_gate.findings import Finding, Severity, shown

CHECK: Final = "projects"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}")


@dataclass(frozen=True, slots=True)
class Rule:
    """`{name}` in `fix` and `enforced_by` stands for the name of the variable or function at fault."""

    id: str
    severity: Severity
    guarantee: str | None
    fix: str
    enforced_by: str | None = None


UNREADABLE: Final = Rule(
    "project/unreadable",
    Severity.MEDIUM,
    None,
    "correct the file, or scan what it is made into: nothing in it was checked",
)


class Report:
    """The findings of one file."""

    def __init__(self, file: str) -> None:
        self.file: Final = file
        self.findings: Final[list[Finding]] = []
        self._seen: Final[Counter[tuple[str, str]]] = Counter()

    def add(self, rule: Rule, line: int | None, subject: str, what: str, name: str = "") -> None:
        """`subject` has no line in it; a second hit of the same kind is told by its number."""
        self._seen[rule.id, subject] += 1
        count = self._seen[rule.id, subject]
        named = name if _NAME.fullmatch(name) else "NAME"
        self.findings.append(
            Finding(
                check=CHECK,
                rule=rule.id,
                severity=rule.severity,
                file=self.file,
                line=line,
                what=shown(what),
                fix=rule.fix.replace("{name}", named),
                subject=subject if count == 1 else f"{subject}#{count}",
                guarantee=rule.guarantee,
                enforced_by=rule.enforced_by.replace("{name}", named) if rule.enforced_by else None,
            )
        )


def quoted(text: str) -> str:
    """A name out of a project, in a message."""
    return f'"{shown(text, 80)}"'
