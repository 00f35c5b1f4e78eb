"""A person's own folder: without a sandbox, by one request on standard input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from casemate_gate.checks.requirement_lines import RequirementLines
from casemate_gate.findings import Finding, Severity
from casemate_gate.history import history
from casemate_gate.problems import Problem
from casemate_gate.project import project

from gate.paths import RUNTIME, TOOLS
from gate.support import zipped
from gate.test_import import JSON
from gate.test_secrets import GITHUB

Files = Callable[[dict[str, str]], Path]


@pytest.fixture
def folder(tmp_path: Path) -> Files:
    def make(files: dict[str, str]) -> Path:
        for name, content in files.items():
            path = tmp_path / "project" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return tmp_path / "project"

    return make


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In place of the readers of other platforms' files, which have tests of their own."""

    def examine(root: Path) -> Iterator[Finding]:
        yield Finding("project", "made-up", Severity.LOW, "serverless.yml", 1, str(root.name), "fix", "s")

    module = types.ModuleType("casemate_gate.projects")
    module.examine = examine  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "casemate_gate.projects", module)
    yield


def run(request: object) -> tuple[int, list[dict[str, Any]]]:
    """Through the real entry."""
    made = subprocess.run(
        [sys.executable, "-I", "-S", str(RUNTIME / "casemate_gate" / "bootstrap.py"), "local", str(TOOLS)],
        input=request if isinstance(request, bytes) else json.dumps(request).encode(),
        stdout=subprocess.PIPE,
        timeout=60,
    )
    return made.returncode, [json.loads(line) for line in made.stdout.splitlines()]


def test_a_scan_of_a_folder(folder: Files) -> None:
    root = folder(
        {"handler.py": "eval(1)\n", ".git/config": "", "__pycache__/x.py": "eval(1)", ".venv/y.py": "eval(1)"}
    )
    status, lines = run({"operation": "scan", "source": str(root)})
    assert status == 0
    assert {line["progress"]["check"] for line in lines[:-1]} == {"secrets", "sast", "files", "dependencies"}
    assert [(item["rule"], item["file"]) for item in lines[-1]["result"]["findings"]] == [("B307", "handler.py")]


def test_an_import_and_a_match_with_its_file(folder: Files, tmp_path: Path) -> None:
    archive, output = tmp_path / "all.zip", tmp_path / "records.ndjson"
    archive.write_bytes(zipped({"a.json": json.dumps(JSON).encode()}))
    status, lines = run({"operation": "import", "path": str(archive), "output": str(output)})
    assert (status, lines) == (
        0,
        [{"result": {"records": 2, "withdrawn": 0, "skipped": 0, "newest": "2024-05-01T10:00:00Z"}}],
    )
    assert [json.loads(line)["package"] for line in output.read_text().splitlines()] == ["one", "three"]
    request = {"operation": "match", "components": [{"name": "one", "version": "7"}], "advisories": str(output)}
    assert [item["rule"] for item in run(request)[1][-1]["result"]["findings"]] == ["GHSA-aaaa-bbbb-cccc"]
    archive.write_bytes(archive.read_bytes()[:-20])
    before = output.read_bytes()
    status, lines = run({"operation": "import", "path": str(archive), "output": str(output)})
    assert status == 1 and lines == [{"problem": "the archive is damaged"}]
    assert output.read_bytes() == before and sorted(os.listdir(tmp_path)) == ["all.zip", "records.ndjson"]


@pytest.mark.parametrize(
    "request_",
    [b"", b"\xff", b"[]", {"operation": "scan"}, {"operation": "scan", "source": "/nowhere"}, {"operation": "import", "path": "/nowhere"},
     {"operation": "project", "path": "relative"}, {"operation": "history", "path": "/tmp"}, {"operation": "match", "advisories": "/nowhere"}],
    ids=range(9),
)  # fmt: skip
def test_what_cannot_be_done_is_a_problem(request_: Any) -> None:
    status, lines = run(request_)
    assert status == 1 and len(lines) == 1 and lines[0]["problem"]


def test_a_project_is_looked_at_as_a_whole(folder: Files, tmp_path: Path, readers: None) -> None:
    root = folder(
        {
            "serverless.yml": "provider: scaleway\n",
            "fn/handler.py": "eval(1)\nimport flask, one, reqeusts\n",
            "fn/package/lib.py": "eval(1)\n",
            "fn/requirements.txt": "flask\nreqeusts==2.0\n--hash=x\none==1.0 ; python_version > '3'\n",
            ".env": f"TOKEN={GITHUB}\n",
            "node_modules/x/requirements.txt": "numpy\n",
        }
    )
    known = tmp_path / "known.ndjson"
    known.write_text(
        json.dumps({"id": "X-1", "package": "one", "ranges": [[{"introduced": "0"}]], "score": 5}) + "\nnonsense\n"
    )
    request = {
        "operation": "project",
        "path": str(root),
        "sources": [{"path": "fn", "function": "plant/x"}],
        "advisories": str(known),
    }
    findings = project(request)["findings"]
    assert [(item["check"], item["rule"], item["file"], item.get("line")) for item in findings] == [
        ("files", "credentials-file", ".env", None),
        ("secrets", "github-token", ".env", 1),
        ("sast", "B307", "fn/handler.py", 1),
        ("dependencies", "look-alike", "fn/requirements.txt", 2),
        ("dependencies", "refused-requirement", "fn/requirements.txt", 3),
        ("sast", "B307", "fn/package/lib.py", 1),
        ("dependencies", "unpinned", "fn/requirements.txt", 1),
        ("advisories", "X-1", "fn/requirements.txt", 4),
        ("project", "made-up", "serverless.yml", 1),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"sources": {}},
        {"sources": [{}]},
        {"sources": [{"path": "a", "handler": 1}]},
        {"settings": 1},
        {"advisories": 1},
        {"path": "/nowhere"},
    ],
)
def test_a_project_of_wrong_types_is_a_problem(folder: Files, readers: None, change: dict[str, Any]) -> None:
    with pytest.raises(Problem):
        project({"path": str(folder({"a.py": ""})), **change})


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (
            "fn",
            [("B307", "fn/handler.py"), ("azure/data-run", "near/function_app.py"), ("B307", "near/function_app.py")],
        ),
        (".", [("B307", "fn/handler.py"), ("B307", "near/function_app.py")]),
        ("f", None),
    ],
)
def test_a_native_function_is_told_by_the_rules_of_a_deployment(
    folder: Files, path: str, told: list[tuple[str, str]] | None
) -> None:
    cognite = "def handle(client, data, secrets):\n    return eval(data)\n"
    azure = """import azure.functions as func
app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
@app.route(route="x")
def main(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(eval(req.get_body()))
"""
    root = folder({"fn/handler.py": cognite, "near/function_app.py": azure})
    findings = project({"path": str(root), "sources": [{"path": path, "handler": "handler.handle"}]})["findings"]
    grave = [(item["rule"], item["file"]) for item in findings if item["severity"] == "high"]
    if told is None:
        assert ("cognite/data-run", "fn/handler.py") in grave
    else:
        assert sorted(grave) == sorted(told)


def test_the_history_remembers_what_was_removed(folder: Files) -> None:
    root = folder({"a.py": f'x = "{GITHUB}"\n', "odd\nname.txt": "a\n"})
    environment = {"PATH": os.environ["PATH"], "HOME": str(root), "GIT_CONFIG_NOSYSTEM": "1"}

    def git(*arguments: str) -> None:
        line = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments]
        subprocess.run(
            line, cwd=root, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "one")
    (root / "a.py").unlink()
    git("commit", "-qam", "two")
    (root / ".git" / "config").write_text(
        "[core]\nfsmonitor = touch ran\npager = touch ran\n[diff]\nexternal = touch ran\n"
    )
    findings = history({"path": str(root)})["findings"]
    assert [(item["check"], item["rule"], item["file"], item["line"]) for item in findings] == [
        ("history", "github-token", "a.py", 1)
    ]
    assert "since commit " in findings[0]["what"] and not (root / "ran").exists()
    (root / ".git" / "HEAD").write_bytes(b"\0nonsense")
    assert [item["rule"] for item in history({"path": str(root)})["findings"]] == ["gate/incomplete"]


def test_unpinned_lines_are_named_each(tmp_path: Path) -> None:
    from casemate_gate.subject import Subject

    (tmp_path / "requirements.txt").write_text(
        "a==1\nb>=1,<2\nc==1.*\nd\ne ==2 # x\n-r x.txt\nf @ https://e.com/f.whl\n"
    )
    findings = list(RequirementLines().examine(Subject(tmp_path, is_project=True)))
    assert [(item.rule, item.line) for item in findings] == [
        ("unpinned", 2),
        ("unpinned", 3),
        ("unpinned", 4),
        ("unpinned", 7),
    ]


def test_what_a_lock_beside_it_pins_is_not_unpinned(tmp_path: Path) -> None:
    from casemate_gate.subject import Subject

    for name in ("requirements.txt", "pylock.toml", "fn/requirements.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("d\n" if name.endswith(".txt") else "")
    findings = list(RequirementLines().examine(Subject(tmp_path, is_project=True)))
    assert [(item.rule, item.file) for item in findings] == [("unpinned", "fn/requirements.txt")]


def _git(root: Path, *arguments: str) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(root), "GIT_CONFIG_NOSYSTEM": "1"}
    line = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments]
    return subprocess.run(line, cwd=root, env=environment, check=True, capture_output=True, text=True).stdout.strip()


def test_a_history_that_is_not_all_there_is_told(folder: Files, tmp_path: Path) -> None:
    root = folder({"a.py": f'x = "{GITHUB}"\n'})
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
        _git(root, *arguments)
    (root / "a.py").write_text("x = 1\n")
    _git(root, "commit", "-qam", "two")
    _git(root, "clone", "-q", "--depth", "1", f"file://{root}", str(tmp_path / "shallow"))
    [finding] = history({"path": str(tmp_path / "shallow")})["findings"]
    assert finding["rule"] == "gate/incomplete" and "git fetch --unshallow" in finding["what"]


def test_nothing_that_a_repository_says_hides_a_part_of_its_history(folder: Files) -> None:
    root = folder({"a.py": "x = 1\n"})
    for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "one"], ["branch", "side"]):
        _git(root, *arguments)
    _git(root, "commit", "-q", "--allow-empty", "-m", "two")
    _git(root, "checkout", "-q", "side")
    _git(root, "commit", "-q", "--allow-empty", "-m", "three")
    # What only the merge itself has.
    _git(root, "merge", "-q", "--no-ff", "--no-commit", "main")
    (root / "b.py").write_text(f'x = "{GITHUB}"\n')
    _git(root, "add", "-A")
    _git(root, "commit", "-qm", "four")
    _git(root, "rm", "-q", "b.py")
    _git(root, "commit", "-qm", "five")
    tip = _git(root, "rev-parse", "HEAD")
    with (root / ".git" / "config").open("a") as config:
        config.write("[log]\n\tdiffMerges = off\n[diff]\n\trelative = true\n")
    (root / ".git" / "info" / "grafts").write_text(f"{tip}\n")
    assert [item["file"] for item in history({"path": str(root)})["findings"]] == ["b.py"]


def test_a_problem_says_nothing_that_a_terminal_would_obey() -> None:
    status, lines = run({"operation": "\x1b]0;x\x07\x1b[2J\n"})
    assert status == 1 and lines[0]["problem"].isprintable()
