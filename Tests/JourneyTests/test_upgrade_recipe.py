"""cookbook/upgrade-packages: refused for the packages that it names, mended by one command on its author's machine, and then served."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from casemate_fixture import Outcome, Server, binary, clean_environment
from gate_answers import found, let_pass, refused_by_the_gate, set_policy

RECIPE = Path(__file__).resolve().parents[2] / "cookbook/upgrade-packages"
LINES = {"requests": (3, "2.31.0"), "sqlparse": (4, "0.4.4")}
DATA = {
    "dashboard": "http://münchen.example/q",
    "queries": [{"sql": "select a, b from t where x < 1", "milliseconds": 4210}],
}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A copy, for its files change."""
    return Path(shutil.copytree(RECIPE, tmp_path / "recipe", ignore=shutil.ignore_patterns("__pycache__", "test_*")))


@pytest.fixture
def advisories(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "advisories.zip", "w") as packed:
        for file in sorted((RECIPE / "advisories").iterdir()):
            packed.write(file, file.name)
    return tmp_path / "advisories.zip"


@pytest.fixture
def gate(advisories: Path) -> Iterator[Server]:
    """A server whose advisories are the recipe's."""
    with Server() as server:
        assert server.cli_json("advisories", "import", str(advisories))["records"] == 5
        server.namespace("plant")
        yield server


def deploy(server: Server, recipe: Path) -> Outcome:
    return Outcome(*server.cli("deploy", str(recipe), "--namespace", "plant", "--json"))


def deps(*arguments: str | Path) -> tuple[int, str, str]:
    """Where no server is known: these commands need none."""
    folder = Path(str(arguments[1])).parent
    done = subprocess.run(
        [str(binary()), "deps", *map(str, arguments)],
        env=clean_environment(HOME=str(folder)),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


def result(*arguments: str | Path) -> dict[str, Any]:
    code, out, err = deps(*arguments, "--json")
    assert code == 0, out + err
    told: dict[str, Any] = json.loads(out)
    return told


def contents(recipe: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (recipe / "source").iterdir()}


@pytest.mark.guarantee("KYM-8", "COG-18")
def test_KYM_8_what_the_gate_refuses_one_command_mends(gate: Server, recipe: Path, advisories: Path) -> None:
    outcome = refused_by_the_gate(deploy(gate, recipe))
    named = {item["file"]: item for item in found(outcome)}
    assert "requirements.txt" in named, outcome
    for package, (line, fixed) in LINES.items():
        hits = [item for item in found(outcome) if f"pkg:pypi/{package}@" in item["finding"]["package"]]
        assert {(item["file"], item["line"]) for item in hits} == {("requirements.txt", line)}, hits
        assert any(f"upgrade to {fixed} or later: casemate deps upgrade" in item["fix"] for item in hits), hits
    needed = [item for item in found(outcome) if "which requests needs" in item["what"]]
    assert {item["finding"]["package"].split("@")[0] for item in needed} == {
        "pkg:pypi/idna",
        "pkg:pypi/urllib3",
    }, needed

    source, before = recipe / "source", contents(recipe)
    only_told = result("upgrade", source, "--advisories", advisories, "--dry-run")
    assert contents(recipe) == before
    told = result("upgrade", source, "--advisories", advisories)
    assert {**told, "milliseconds": 0} == {**only_told, "milliseconds": 0}
    assert told["left"] == [] and {item["finding"]["rule"] for item in told["fixed"]} == {
        item["finding"]["rule"] for item in found(outcome)
    }
    assert {item["line"]: item["after"] for item in told["lines"]} == {
        3: "requests>=2.31.0",
        4: "sqlparse >=0.4.4",
    }
    after = contents(recipe)
    assert after.pop("requirements.txt").splitlines() == [
        "# What the report is made with.",
        "jinja2>=3.1,<4          # the page",
        "requests>=2.31.0           # addresses, whatever script their host is in",
        "sqlparse >=0.4.4  # queries, a clause in a line",
    ]
    lock = after.pop("pylock.toml")
    assert {**before, **after} == before and all(f'name = "{name}"' in lock for name in ("jinja2", "idna", "urllib3"))

    set_policy(gate, "plant", dependencies="strict")
    let_pass(deploy(gate, recipe))
    answer = gate.call("plant/upgrade-packages", body=DATA).json()
    assert (
        answer["slow"] == 1 and "SELECT a," in answer["page"] and "//xn--mnchen-3ya.example/q?query=" in answer["page"]
    )
    assert result("upgrade", source, "--advisories", advisories)["packages"] == []


@pytest.mark.guarantee("COG-18")
def test_COG_18_a_lock_that_no_longer_has_what_is_asked_for_is_refused_with_the_line(
    server: Server, recipe: Path
) -> None:
    source = recipe / "source"
    (source / "requirements.txt").write_text("jinja2\n")
    (source / "handler.py").write_text("import jinja2\n\n\ndef handle(data):\n    return jinja2.__name__\n")
    server.namespace("locked")

    def deployed() -> Outcome:
        return Outcome(*server.cli("deploy", str(recipe), "--namespace", "locked", "--json"))

    assert {item["name"] for item in result("lock", source)["packages"]} == {"jinja2", "markupsafe"}
    let_pass(deployed())
    (source / "requirements.txt").write_text("# with more\njinja2\nsqlparse\n")
    outcome = deployed()
    assert outcome.code == 1 and outcome.first["status"] == "failed", outcome.said
    (told,) = outcome.first["diagnostics"]
    assert (told["file"], told["line"]) == ("requirements.txt", 3) and "casemate deps lock PATH" in told["fix"], told
    assert [item["name"] for item in result("lock", source)["packages"]] == ["sqlparse"]
    let_pass(deployed())


@pytest.mark.guarantee("KYM-8")
def test_KYM_8_what_cannot_be_upgraded_changes_nothing_and_says_what_to_do(recipe: Path, advisories: Path) -> None:
    source = recipe / "source"
    for text, said in (
        ("requests<2.20\nrequests>2.20\n", "no versions fit together"),
        ("requests\n-e .\n", "requirements.txt:2"),
        ("# none\n", "nothing to lock"),
    ):
        (source / "requirements.txt").write_text(text)
        before = contents(recipe)
        for arguments in (("lock", source), ("upgrade", source, "--advisories", advisories)):
            code, out, err = deps(*arguments)
            assert code not in (0, 64) and said in out + err, out + err
        assert contents(recipe) == before
