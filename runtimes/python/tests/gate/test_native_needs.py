"""What a scan says of the packages of functions with a casemate.yaml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from casemate_gate.checks.native_needs import NativeNeeds
from casemate_gate.findings import Finding, Severity
from casemate_gate.natives import Native, is_native, natives
from casemate_gate.runner import collect
from casemate_gate.subject import Settings, Subject

Found = Callable[..., list[Finding]]


@pytest.fixture
def found(tmp_path: Path) -> Found:
    def of(files: dict[str, str], path: str = "fn", handler: str = "handler.handle", most: int = 100) -> list[Finding]:
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        subject = Subject(tmp_path, is_project=True, settings=Settings(max_dependencies=most))
        return collect(NativeNeeds(natives([{"path": path, "handler": handler}])), subject)

    return of


def refused(findings: list[Finding]) -> list[tuple[str, int | None]]:
    return [(item.file, item.line) for item in findings if item.rule == "refused-requirement"]


@pytest.mark.parametrize("path", ["fn", "./fn", "fn/", "fn/."])
def test_each_line_that_a_deployment_refuses_is_told(found: Found, path: str) -> None:
    lines = [
        "six==1.16.0",
        "--extra-index-url https://robot:hunter2@x.example/simple",
        "-i https://x.example/simple",
        "git+https://x.example/a",
        "-e .",
        "six @ https://x.example/six.whl",
        "file:///six",
        "-r ../outside.txt",
        "-r more/b.txt",
        "-e .",
    ]
    findings = found(
        {"fn/requirements.txt": "\n".join(lines), "fn/more/b.txt": "\n-c c.txt", "outside.txt": "-e ."}, path
    )
    assert refused(findings) == [
        *(("fn/requirements.txt", line) for line in range(2, 9)),
        ("fn/more/b.txt", 2),
        ("fn/requirements.txt", 10),
    ]
    for item in findings:
        assert item.severity == Severity.HIGH and item.guarantee == "COG-20" and item.fix and "; " not in item.what
        assert "hunter2" not in str(item.as_json())
    assert len({item.identity for item in findings}) == len(findings)


def test_the_files_are_those_that_a_deployment_reads(found: Found) -> None:
    files = {"requirements.txt": "-e .", "fn/dev.txt": "-e .", "fn/pyproject.toml": "[tool.poetry.dependencies]\nx='1'"}
    assert refused(found(files)) == [("fn/pyproject.toml", 1)]
    assert refused(found({"fn/requirements.txt": "six"})) == []
    assert refused(found({"fn/pylock.toml": ""})) == [("fn/pylock.toml", None)]
    assert refused(found({}, path=".")) == [("requirements.txt", 1)]
    assert refused(found({}, path="absent")) == refused(found({}, path="../project")) == []


def test_no_link_is_followed(found: Found, tmp_path: Path) -> None:
    (tmp_path / "fn").mkdir()
    (tmp_path / "fn/requirements.txt").symlink_to("/etc/passwd")
    assert found({}) == []


def test_functions_of_one_source_are_looked_at_once() -> None:
    given = [{"path": "./a", "handler": "x.f"}, {"path": "a/", "handler": "y.g"}, {"path": "."}, {"path": "a/../b"}]
    assert natives(given) == [
        Native("", frozenset([""])),
        Native("a/", frozenset(["x.f", "y.g"])),
        Native("b/", frozenset([""])),
    ]
    assert natives(None) == [] and not is_native("a", [])
    only = natives([{"path": "a"}])
    assert is_native("a/b.py", only) and not is_native("ab.py", only) and is_native("x", natives([{"path": ""}]))
