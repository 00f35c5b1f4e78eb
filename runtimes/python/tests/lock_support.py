"""A source folder beside an index of our own, and the operation `lock` on it. With the real uv."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gate import paths  # noqa: F401  # puts the gate's tools on the path
from packages import Index, index, needs_uv, tool, wheel

from casemate_gate.locks.operation import lock  # isort: skip
from casemate_gate.problems import Problem  # isort: skip

__all__ = ["Folder", "Index", "Problem", "advisory", "changed", "folder", "needs_uv", "rules", "wheel"]


def advisory(package: str, fixed: str | None, name: str = "", introduced: str = "0") -> dict[str, Any]:
    """A record as `import` writes it."""
    events = [{"introduced": introduced}, *([{"fixed": fixed}] if fixed else [])]
    return {"id": name or f"X-{package}-{fixed}", "package": package, "ranges": [events], "score": 7.5}


class Folder:
    """`told`: the progress of the last operation."""

    def __init__(self, path: Path, packages: Index) -> None:
        self.path = path
        self.index = packages
        self.told: list[tuple[str, int]] = []
        path.mkdir()

    def add(self, *packages: str) -> Folder:
        """`name version`, and what each needs behind a colon."""
        for text in packages:
            own, _, needed = text.partition(":")
            self.index.add(wheel(*own.split(), *filter(None, needed.strip().split(" "))))
        return self

    def write(self, **files: str) -> Folder:
        for name, text in files.items():
            (self.path / name.replace("_", ".", 1)).write_bytes(text.encode())
        return self

    def text(self, name: str = "requirements.txt") -> str:
        return (self.path / name).read_bytes().decode()

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.path.iterdir()}

    def request(self, *upgrade: str, known: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
        advisories = self.path.with_name("known.ndjson")
        advisories.write_text("".join(json.dumps(record) + "\n" for record in known or []))
        return {
            "operation": "lock",
            "source": str(self.path),
            "uv": str(tool().uv),
            "index": self.index.url,
            "python": "3.11",
            "upgrade": list(upgrade),
            "advisories": str(advisories) if known is not None else None,
            "write": True,
            **more,
        }

    def lock(self, *upgrade: str, known: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
        self.told = []
        return lock(self.request(*upgrade, known=known, **more), lambda name, count, _: self.told.append((name, count)))

    def problem(self, *upgrade: str, **more: Any) -> str:
        """Of an operation after which everything is as it was."""
        before = self.files()
        with pytest.raises(Problem) as caught:
            self.lock(*upgrade, **more)
        assert self.files() == before
        return caught.value.message


def changed(result: dict[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    return {item["name"]: (item["before"], item["after"]) for item in result["packages"]}


def rules(findings: list[dict[str, Any]]) -> list[str]:
    return [item["rule"] for item in findings]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    with index() as made:
        yield Folder(tmp_path / "source", made)
