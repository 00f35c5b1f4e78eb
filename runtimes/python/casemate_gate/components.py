"""What is installed in a bundle, by the `*.dist-info` folders of its packages."""

from __future__ import annotations

import email.parser
import email.policy
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, Final
from urllib.parse import quote

from casemate_runtime.requirements import normalised
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidName, canonicalize_name
from packaging.version import InvalidVersion, Version

from casemate_gate.findings import shown
from casemate_gate.requirements import read
from casemate_gate.subject import Direct, File, Subject, Unreadable

_LARGEST_METADATA: Final = 4 << 20
_LARGEST_RECORD: Final = 16 << 20
_LONGEST_LICENCE: Final = 100
_MOST_REQUIREMENTS: Final = 2_000
_FOLDER: Final = re.compile(r"(.*/)?([^/]+)\.dist-info/METADATA")


@dataclass(frozen=True)
class Component:
    name: str
    """As PEP 503 normalises it."""
    version: str
    folder: str
    """Its dist-info, as findings name it."""
    licenses: tuple[str, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    is_vendored: bool = False
    is_direct: bool = False
    hashes: tuple[str, ...] = ()
    parsed: Version | None = field(default=None, compare=False)

    @property
    def purl(self) -> str:
        return f"pkg:pypi/{quote(self.name, safe='-._~')}@{quote(self.version, safe='-._~')}"

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "purl": self.purl,
            "licenses": list(self.licenses),
            "hashes": list(self.hashes),
            "requires": sorted({normalised(requirement.name) for requirement in self.requirements}),
            "direct": self.is_direct,
            "vendored": self.is_vendored,
        }


class Inventory:
    """The components of one subject, what could not be read of them, and what its author asked for."""

    def __init__(self, subject: Subject, lock: str | None = None) -> None:
        self.problems: list[Unreadable] = []
        self.direct = subject.direct if subject.direct is not None else tuple(self._written(subject))
        names = {item.name for item in self.direct}
        locked = {line.name: line.hashes for line in read(lock.encode("utf-8", "replace"))} if lock else {}
        found: dict[tuple[str, bool], Component] = {}
        for file in (*subject.installed, *subject.files):
            if not file.name.endswith(".dist-info/METADATA") or not _FOLDER.fullmatch(file.name):
                continue
            component = self._component(file, names, locked)
            if component:
                found.setdefault((f"{component.name} {component.version}", component.is_vendored), component)
        self.components = sorted(found.values(), key=lambda item: (item.name, item.version))

    def _component(self, file: File, direct: set[str], locked: dict[str, tuple[str, ...]]) -> Component | None:
        try:
            message = _metadata(file)
        except Unreadable as problem:
            self.problems.append(problem)
            return None
        written, version = str(message.get("Name", "")).strip(), str(message.get("Version", "")).strip()
        try:
            name = canonicalize_name(written, validate=True)
            parsed = Version(version)
        except (InvalidName, InvalidVersion):
            self.problems.append(Unreadable(file.name, "it names no package and version (PEP 503, PEP 440)"))
            return None
        return Component(
            name=name,
            version=str(parsed),
            folder=file.name.removesuffix("/METADATA"),
            licenses=tuple(_licences(message)),
            requirements=tuple(_requirements(message)),
            is_vendored=not file.is_dependency,
            is_direct=name in direct,
            hashes=locked.get(name, ()),
            parsed=parsed,
        )

    @staticmethod
    def _written(subject: Subject) -> Iterator[Direct]:
        if file := subject.file("requirements.txt"):
            try:
                for line in read(file.read(1 << 20)):
                    if line.applies:
                        yield Direct(line.name, file.name, line.line)
            except Unreadable:
                pass  # `secrets`, which reads every file, says so


def modules(component: Component, subject: Subject) -> set[str] | None:
    """The top-level modules that it installs; `None`: nobody knows."""
    names: set[str] = set()
    for listing in ("top_level.txt", "RECORD"):
        file = subject.file(f"{component.folder}/{listing}")
        if file is None:
            continue
        try:
            lines = file.read(_LARGEST_RECORD).decode("utf-8", "replace").splitlines()
        except Unreadable:
            continue
        for line in lines:
            path = line.split(",")[0].strip('"') if listing == "RECORD" else f"{line.strip()}/"
            top, slash, _ = path.partition("/")
            if top.endswith((".dist-info", ".data")) or top in ("", "..", "__pycache__", "bin"):
                continue
            if slash or top.endswith((".py", ".so", ".pyd")):
                names.add(top.split(".")[0])
    return names or None


def _metadata(file: File) -> Message:
    content = file.read(_LARGEST_METADATA)
    head = re.split(rb"\r?\n\r?\n", content, maxsplit=1)[0]
    try:
        return email.parser.BytesHeaderParser(policy=email.policy.compat32).parsebytes(head)
    except Exception:
        raise Unreadable(file.name, "it is no metadata of a package") from None


def _licences(message: Message) -> Iterator[str]:
    expression = str(message.get("License-Expression", "")).strip()
    if expression:
        yield shown(expression, _LONGEST_LICENCE)
        return
    classified = [
        str(line).rpartition("::")[2].strip()
        for line in message.get_all("Classifier", [])
        if str(line).startswith("License ::") and str(line).count("::") > 1
    ]
    written = str(message.get("License", "")).strip()
    # Some packages put the whole text there.
    if written and "\n" not in written and len(written) <= _LONGEST_LICENCE and written.upper() != "UNKNOWN":
        yield shown(written, _LONGEST_LICENCE)
    else:
        for name in classified[:5]:
            yield shown(name, _LONGEST_LICENCE)


def _requirements(message: Message) -> Iterator[Requirement]:
    """Those that hold here and without extras."""
    for line in message.get_all("Requires-Dist", [])[:_MOST_REQUIREMENTS]:
        try:
            requirement = Requirement(str(line))
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                yield requirement
        except (InvalidRequirement, RecursionError):
            continue
        except Exception:  # nosec B112  # a marker may compare what can't be compared
            continue
