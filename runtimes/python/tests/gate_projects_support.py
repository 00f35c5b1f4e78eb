"""Small projects with faults, and what must be found in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from casemate_gate.findings import Finding
from casemate_gate.projects import examine


@dataclass(frozen=True)
class Case:
    """A file in which `rule` is broken on each line that says HERE, and a form of it in which nothing is broken."""

    rule: str
    severity: str
    guarantee: str
    file: str
    faulty: str
    sound: str

    def __str__(self) -> str:
        return f"{self.rule} in {self.file}"


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def found(folder: Path, files: dict[str, str | bytes]) -> list[Finding]:
    return list(examine(write(folder, files)))


def check(case: Case, folder: Path) -> None:
    hits = [hit for hit in found(folder / "faulty", {case.file: case.faulty}) if hit.rule == case.rule]
    assert [hit.line for hit in hits] == [
        number for number, line in enumerate(case.faulty.splitlines(), start=1) if "HERE" in line
    ]
    for hit in hits:
        assert (hit.severity.name, hit.guarantee, hit.file) == (case.severity, case.guarantee, case.file)
        assert hit.what and hit.fix and hit.subject
    moved = found(folder / "moved", {case.file: f"\n\n{case.faulty}"})
    assert {hit.identity for hit in hits} <= {hit.identity for hit in moved}
    sound = found(folder / "sound", {case.file: case.sound})
    assert [(hit.rule, hit.line) for hit in sound if hit.rule == case.rule or hit.severity.name == "HIGH"] == []
