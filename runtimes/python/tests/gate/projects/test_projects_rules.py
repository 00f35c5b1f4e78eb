"""All rules together: each is tested, documented, and names a guarantee and a line that a manifest may have."""

import importlib
import pkgutil
import re
from pathlib import Path

import yaml
from casemate_gate import projects
from casemate_gate.projects.rules import Rule

DOCS = Path(__file__).parents[5] / "docs"
CASES = {
    "test_projects_azure": ("APPS", "TERRAFORM"),
    "test_projects_cognite": ("TOOLKIT", "HANDLERS"),
    "test_projects_kyma": ("CASES",),
    "test_projects_scaleway": ("SERVERLESS", "TERRAFORM"),
}
# What a case can't show: a finding without a line.
ELSEWHERE = {"project/unreadable", "terraform/state-in-project"}


def rules() -> dict[str, Rule]:
    found: dict[str, Rule] = {}
    for module in pkgutil.iter_modules(projects.__path__):
        for value in vars(importlib.import_module(f"casemate_gate.projects.{module.name}")).values():
            if isinstance(value, Rule):
                assert found.setdefault(value.id, value) is value, f"two rules are called {value.id}"
    return found


def test_each_rule_has_a_case() -> None:
    tested = {
        case.rule
        for module, names in CASES.items()
        for name in names
        for case in getattr(importlib.import_module(module), name)
    }
    assert tested | ELSEWHERE == set(rules())


def test_each_rule_stands_in_the_documentation_as_it_is() -> None:
    table = {}
    for line in (DOCS / "scan-projects.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and cells[0].startswith("`"):
            table[cells[0].strip("`")] = cells
    assert table.keys() == rules().keys()
    for name, rule in rules().items():
        _, what, guarantee, severity, fix, line = table[name]
        assert what and fix
        assert (guarantee, severity) == (rule.guarantee or "", rule.severity.name), name
        assert line.strip("`") == (rule.enforced_by or "").replace("{name}", "NAME"), name


def test_each_line_is_one_that_a_manifest_may_have() -> None:
    keys = set(re.findall(r"^\| `(\w+)` ", (DOCS / "manifest.md").read_text(), re.MULTILINE)) | {
        "limits",
        "scale",
        "dependencies",
    }
    for rule in rules().values():
        if rule.enforced_by:
            assert yaml.safe_load(rule.enforced_by.replace("{name}", "NAME")).keys() <= keys, rule.id


def test_each_guarantee_has_the_form_of_one() -> None:
    for rule in rules().values():
        assert rule.guarantee is None or re.fullmatch(r"(COG|KYM|SCW|AZR)-\d{1,2}", rule.guarantee)
        assert rule.fix[0].islower() and not rule.fix.endswith(".")
