"""What people copy passes the gate that all else must pass: each recipe of the cookbook, under the strict policy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from casemate_fixture import REPOSITORY, Server
from gate_answers import found, set_policy

RECIPES = sorted(path.parent for path in (REPOSITORY / "cookbook").glob("*/casemate.yaml"))
NOT_YET = {
    "strict": {"weather-report": "its requirements are pinned, and have no hashes"},
    "scan": {"hello-secret": "it prints its secret, to show that a log does not have it"},
}


def recipes(check: str) -> pytest.MarkDecorator:
    def marks(name: str) -> list[pytest.MarkDecorator]:
        reason = NOT_YET[check].get(name)
        return [pytest.mark.xfail(strict=True, reason=reason)] if reason else []

    return pytest.mark.parametrize(
        "recipe", [pytest.param(path, id=path.name, marks=marks(path.name)) for path in RECIPES]
    )


def test_AZR_1_every_folder_of_the_cookbook_is_a_recipe() -> None:
    folders = {
        path for path in (REPOSITORY / "cookbook").iterdir() if path.is_dir() and not path.name.startswith(("_", "."))
    }
    assert RECIPES and set(RECIPES) == folders


@pytest.mark.guarantee("AZR-1")
@recipes("strict")
def test_AZR_1_a_recipe_is_deployed_under_the_strict_policy(server: Server, recipe: Path) -> None:
    set_policy(server, "recipes", dependencies="strict")
    code, out, err = server.cli("deploy", str(recipe), "--namespace", "recipes", "--json")
    assert code == 0, out + err
    for outcome in json.loads(out)["functions"]:
        assert outcome["status"] in ("deployed", "unchanged"), outcome
        assert not [item for item in found(outcome) if item["severity"] == "error"], outcome


@pytest.mark.guarantee("AZR-1")
@recipes("scan")
def test_AZR_1_a_scan_of_a_recipe_finds_nothing_that_would_stop_it(server: Server, recipe: Path) -> None:
    code, out, err = server.cli("scan", str(recipe))
    assert code == 0, out + err
