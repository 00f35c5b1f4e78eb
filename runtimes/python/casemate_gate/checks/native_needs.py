"""What a deployment says of a native function's packages, as far as its source alone shows it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from casemate_runtime.faults import Fault
from casemate_runtime.requirements import Requirement, normalised
from casemate_runtime.sources import Needs, find
from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Marked

from casemate_gate.findings import Finding, Severity
from casemate_gate.imports import Imports
from casemate_gate.module_names import modules_of
from casemate_gate.natives import Native
from casemate_gate.requirements import holds
from casemate_gate.subject import VENDORED, Subject, Unreadable


class NativeNeeds:
    name = "dependencies"

    def __init__(self, natives: Sequence[Native]) -> None:
        self._natives = natives

    def examine(self, subject: Subject) -> Iterable[Finding]:
        for native in self._natives:
            faults: list[Fault] = []
            needs = None
            try:
                needs = find(_Files(subject, native.folder), strict=False, tell=faults.append)
            except Fault as fault:
                faults.append(fault)
            yield from self._refused(native, faults)
            if needs:
                asked = {normalised(item.name): item for item in reversed(needs.requirements) if _is_wanted(item)}
                yield from self._excessive(native, needs, len(asked), subject.settings.max_dependencies)
                # A lock has also what others need, and who needs what is in none.
                if not any(item.hashes for item in needs.requirements):
                    yield from self._unused(subject, native, asked)

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

    def _excessive(self, native: Native, needs: Needs, count: int, most: int) -> Iterator[Finding]:
        if count > most:
            what = f"{count} packages are asked for; {most} are held to be enough"
            fix = "leave out what is not needed, or choose smaller packages"
            file = native.folder + needs.file
            yield Finding(self.name, "excessive", Severity.MEDIUM, file, None, what, fix, "", "AZR-14")

    def _unused(self, subject: Subject, native: Native, asked: dict[str, Requirement]) -> Iterator[Finding]:
        files = [file for file in subject.files if file.name.startswith(native.folder)]
        imports = Imports(files, native.handlers)
        if not imports.is_complete:
            return
        named = {name.lower() for name in imports.named}
        known = {module for name in asked for module in modules_of(name)}
        # What nobody accounts for may come from any of the packages, by a name that is not theirs.
        own = set(_own(file.name.removeprefix(native.folder) for file in files))
        if {name for name in imports.stated if name.lower() not in known} - sys.stdlib_module_names - own:
            return
        for name, item in asked.items():
            if modules_of(name).isdisjoint(named):
                what = f"no file of the source imports {name}"
                fix = "leave it out, unless another package loads it by name"
                file = native.folder + item.place.file
                yield Finding(self.name, "unused", Severity.LOW, file, item.place.line, what, fix, name, "AZR-14")


def _is_wanted(item: Requirement) -> bool:
    """Whether its marker holds."""
    try:
        return holds(Marked(item.text))
    except InvalidRequirement:
        return True


def _own(names: Iterable[str]) -> Iterator[str]:
    """The modules that a source has itself, also in the folder for vendored packages."""
    for name in names:
        top, _, rest = name.partition("/")
        yield top.partition(".")[0]
        if rest and f"{top}/" == VENDORED:
            yield rest.partition("/")[0].partition(".")[0]


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
