"""What a scan says of the packages of functions with a casemate.yaml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from casemate_gate.checks.native_needs import NativeNeeds
from casemate_gate.findings import Finding, Severity
from casemate_gate.module_names import modules_of
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
        if item.rule == "unused":
            continue
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


def unused(findings: list[Finding]) -> list[tuple[str, str, int | None]]:
    return [(item.subject, item.file, item.line) for item in findings if item.rule == "unused"]


HANDLER = (
    "import json\nimport yaml\nfrom cognite.client import CogniteClient\nfrom .near import x\nimport mine, brought\n"
)
OWN = {"fn/mine/__init__.py": "", "fn/near.py": "", "fn/package/brought/__init__.py": ""}


def test_a_package_that_nothing_imports_is_told(found: Found) -> None:
    requirements = (
        "# one\npyyaml\nSix==1.16\ncognite-sdk>=7\nidna ; python_version < '3'\nidna ; python_version < '2'\n"
    )
    findings = found({**OWN, "fn/handler.py": HANDLER, "fn/requirements.txt": requirements, "other.py": "import six"})
    assert unused(findings) == [("six", "fn/requirements.txt", 3)] and findings == findings[:1]
    assert (findings[0].severity, findings[0].guarantee) == (Severity.LOW, "AZR-14") and "six" in findings[0].what


@pytest.mark.parametrize(
    "code",
    [
        "import six.moves",
        "import importlib\nimportlib.import_module('six')",
        "import odd_name",  # which may be six, for all that is known
        "def (:",
    ],
)
def test_nothing_is_told_where_it_may_be_used(found: Found, code: str) -> None:
    assert unused(found({"fn/handler.py": code, "fn/requirements.txt": "six"})) == []


def test_a_handler_is_used_and_a_notebook_tells_nothing(found: Found) -> None:
    files = {"fn/requirements.txt": "six\nidna"}
    assert [name for name, _, _ in unused(found(files, handler="six.handle"))] == ["idna"]
    assert unused(found({**files, "fn/a.ipynb": "{}"}, handler="six.handle")) == []


def test_of_a_lock_nobody_knows_who_needs_what(found: Found) -> None:
    lock = f"six==1.16.0 --hash=sha256:{'a' * 64}\nidna==3.1 --hash=sha256:{'b' * 64}\n"
    findings = found({"fn/handler.py": "", "fn/requirements.txt": lock}, most=1)
    assert [(item.rule, item.file, item.line, item.severity) for item in findings] == [
        ("excessive", "fn/requirements.txt", None, Severity.MEDIUM)
    ]
    assert "2" in findings[0].what and "1" in findings[0].what


@pytest.mark.parametrize(
    ("package", "module"),
    [
        ("six", "six"), ("pyyaml", "yaml"), ("scikit-learn", "sklearn"), ("python-dateutil", "dateutil"), ("pillow", "pil"),
        ("azure-storage-blob", "azure"), ("mysql-connector-python", "mysql"), ("nats-py", "nats"), ("pymodbus", "pymodbus"),
        ("influxdb-client", "influxdb_client"), ("cloudpickle", "cloudpickle"), ("python-docx", "docx"), ("ruamel-yaml", "ruamel"),
    ],
)  # fmt: skip
def test_modules_are_told_by_names(package: str, module: str) -> None:
    assert module in modules_of(package)


def test_a_package_is_not_taken_for_its_neighbour() -> None:
    assert modules_of("requests-oauthlib").isdisjoint(modules_of("requests"))
