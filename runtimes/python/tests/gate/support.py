"""A bundle made of texts, and a scan of it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from casemate_gate.checks.check import Check
from casemate_gate.findings import Finding
from casemate_gate.runner import collect
from casemate_gate.scan import scan
from casemate_gate.subject import Settings, Subject

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}\n\n"


class Bundle:
    def __init__(self, root: Path, files: Mapping[str, str | bytes]) -> None:
        self.root = root
        (root / "src").mkdir(parents=True)
        for name, content in files.items():
            path = root / name if name.startswith("deps/") else root / "src" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def subject(self, **fields: Any) -> Subject:
        deps = self.root / "deps"
        return Subject(self.root / "src", deps if deps.is_dir() else None, **fields)

    def found(self, check: Check, **fields: Any) -> list[Finding]:
        return collect(check, self.subject(**fields))

    def rules(self, check: Check, **fields: Any) -> list[tuple[str, str, int | None]]:
        return [(finding.rule, finding.file, finding.line) for finding in self.found(check, **fields)]

    def scan(self, secrets: list[bytes] | None = None, **request: Any) -> dict[str, Any]:
        return scan({"operation": "scan", "root": str(self.root), **request}, secrets or [])


def nosec() -> Settings:
    return Settings(nosec=True)


def installed(name: str, version: str, *more: str, modules: tuple[str, ...] = ()) -> dict[str, str]:
    """The files of an installed package."""
    folder = f"deps/{name.replace('-', '_')}-{version}.dist-info"
    tops = modules or (name.replace("-", "_"),)
    return {
        f"{folder}/METADATA": METADATA.format(name=name, version=version, more="\n".join(more)),
        f"{folder}/RECORD": "".join(f"{top}/__init__.py,,\n" for top in tops),
        **{f"deps/{top}/__init__.py": "" for top in tops},
    }


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()
