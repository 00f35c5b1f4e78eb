"""What a deployment says of a native function's packages, as far as its source alone shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from casemate_runtime.faults import Fault
from casemate_runtime.sources import find

from casemate_gate.findings import Finding, Severity
from casemate_gate.natives import Native
from casemate_gate.subject import Subject, Unreadable


class NativeNeeds:
    name = "dependencies"

    def __init__(self, natives: Sequence[Native]) -> None:
        self._natives = natives

    def examine(self, subject: Subject) -> Iterable[Finding]:
        for native in self._natives:
            faults: list[Fault] = []
            try:
                find(_Files(subject, native.folder), strict=False, tell=faults.append)
            except Fault as fault:
                faults.append(fault)
            yield from self._refused(native, faults)

    def _refused(self, native: Native, faults: list[Fault]) -> Iterator[Finding]:
        """A build would end with the first of them."""
        seen: Counter[tuple[str, str]] = Counter()
        for fault in faults:
            what, _, fix = fault.message.partition("; ")
            seen[fault.file, what] += 1
            count = seen[fault.file, what]
            yield Finding(
                check=self.name,
                rule="refused-requirement",
                severity=Severity.HIGH,
                file=native.folder + fault.file,
                line=fault.line,
                what=what,
                fix=fix,
                subject=what if count == 1 else f"{what}#{count}",
                guarantee="COG-20",
            )


class _Files:
    """Those that the walk has found, so that no link is followed."""

    def __init__(self, subject: Subject, folder: str) -> None:
        self._subject = subject
        self._folder = folder

    def __call__(self, name: str) -> bytes | None:
        file = self._subject.file(self._folder + name)
        try:
            return file.read() if file else None
        except Unreadable:
            return None  # `secrets`, which reads every file, says so
