"""What people copy (AZR-1): each recipe, and what `casemate init` makes, deployed under the strictest policy there is."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from casemate_fixture import Outcome, Server, binary, clean_environment
from gate_answers import found, let_pass, set_policy

COOKBOOK = Path(__file__).resolve().parents[2] / "cookbook"
# Its packages are old on purpose: it shows how they are mended.
MENDED = "upgrade-packages"
RECIPES = sorted(path.parent.name for path in COOKBOOK.glob("*/casemate.yaml"))


@pytest.fixture(scope="module")
def advisories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("advisories") / "all.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for file in sorted((COOKBOOK / MENDED / "advisories").iterdir()):
            packed.write(file, file.name)
    return path


@pytest.fixture(scope="module")
def strict(advisories: Path) -> Iterator[Server]:
    with Server() as server:
        assert server.cli("advisories", "import", str(advisories))[0] == 0
        set_policy(server, "examples", dependencies="strict", onAdvisory="disable", newestDays=30)
        yield server


def run(*arguments: str | Path, folder: Path) -> tuple[int, str, str]:
    """On somebody's own machine, where no server is known."""
    done = subprocess.run(
        [str(binary()), *map(str, arguments)],
        env=clean_environment(HOME=str(folder)),
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
    )
    return done.returncode, done.stdout, done.stderr


def deploy(server: Server, folder: Path) -> Outcome:
    return Outcome(*server.cli("deploy", str(folder), "--namespace", "examples", "--json"))


def test_there_are_recipes() -> None:
    assert MENDED in RECIPES and len(RECIPES) >= 4


@pytest.mark.guarantee("AZR-1")
@pytest.mark.parametrize("name", RECIPES)
def test_AZR_1_each_recipe_passes_the_strictest_gate(
    strict: Server, advisories: Path, tmp_path: Path, name: str
) -> None:
    recipe = Path(shutil.copytree(COOKBOOK / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__")))
    if name == MENDED:
        refused = deploy(strict, recipe)
        assert refused.code == 1 and refused.first["status"] == "failed", refused.said
        code, out, err = run("deps", "upgrade", name, "--advisories", advisories, folder=tmp_path)
        assert code == 0, out + err
    outcome = let_pass(deploy(strict, recipe))
    assert not [item for item in found(outcome) if item["severity"] == "error"], outcome
    code, out, err = run("scan", name, folder=tmp_path)
    assert code == 0, out + err


@pytest.mark.guarantee("AZR-1")
@pytest.mark.parametrize("signature", ["cognite", "scaleway"])
def test_AZR_1_what_init_makes_passes_the_strictest_gate_and_answers(
    strict: Server, tmp_path: Path, signature: str
) -> None:
    name = f"first-{signature}"
    code, out, err = run("init", name, "--signature", signature, folder=tmp_path)
    assert code == 0 and "casemate deploy" in out, out + err
    assert run("scan", name, folder=tmp_path)[0] == 0
    tested = subprocess.run(["python3", "-m", "unittest"], cwd=tmp_path / name, capture_output=True, text=True)
    assert tested.returncode == 0 and "Ran 2 tests" in tested.stderr, tested.stderr
    assert found(let_pass(deploy(strict, tmp_path / name))) == []
    answer = strict.call(f"examples/{name}", body={"name": "Ada"})
    assert (answer.status, answer.json()) == (200, {"greeting": "Hello, Ada!"}), answer.text
    wrong = strict.call(f"examples/{name}", body={"name": ""})
    assert wrong.status == {"cognite": 500, "scaleway": 400}[signature], wrong.text


def test_init_leaves_what_is_there(tmp_path: Path) -> None:
    assert run("init", "here", folder=tmp_path)[0] == 0
    (tmp_path / "here/casemate.yaml").unlink()
    (tmp_path / "here/source/handler.py").write_text("# my own\n")
    code, _, err = run("init", "here", folder=tmp_path)
    assert code == 2 and "source/handler.py is there already" in err, err
    assert (tmp_path / "here/source/handler.py").read_text() == "# my own\n"
    assert not (tmp_path / "here/casemate.yaml").exists()


def test_init_wants_a_name_that_a_function_can_have(tmp_path: Path) -> None:
    code, _, err = run("init", "My Function", folder=tmp_path)
    assert code == 2 and "--name" in err and not (tmp_path / "My Function").exists(), err
    code, out, err = run("init", "My Function", "--name", "mine", "--json", folder=tmp_path)
    assert code == 0 and json.loads(out)["function"] == "mine", out + err
