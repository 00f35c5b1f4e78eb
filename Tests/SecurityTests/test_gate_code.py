"""The gate and risky code: what bandit finds is refused with its place and remedy, and no comment or file of the bundle can turn it off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from accounts import account
from casemate_fixture import Server, archive, handler, manifest
from gate_answers import AWS_KEY, PLAIN, RISKY, compiled, found, known, let_pass, refused_by_the_gate, set_policy

CODE = """
    import os
    import pickle
    import subprocess
    import urllib.request
    import ssl

    import requests
    import yaml

    def handle(data):
        a = eval(data["x"])
        exec(data["y"])
        b = pickle.loads(data["z"])
        c = yaml.load(data["z"])
        subprocess.run(data["command"], shell=True)
        os.system(data["command"])
        requests.get("https://example.com", verify=False, timeout=5)
        context = ssl._create_unverified_context()
        return [a, b, c, context]
    """
LINES = {
    "eval": 11,
    "exec": 12,
    "pickle": 13,
    "yaml.load": 14,
    "shell=True": 15,
    "os.system": 16,
    "verify=False": 17,
    "an unverified context": 18,
}
REMEDIES = {
    "eval": "literal_eval",
    "pickle": "json",
    "yaml.load": "yaml.safe_load",
    "shell=True": "list of arguments",
    "os.system": "subprocess.run",
    "verify=False": "verify",
}


@pytest.fixture(scope="module")
def refused(running: Server) -> dict[str, Any]:
    source = {**handler(CODE), "more/inside.py": "import pickle\n\n\ndef load(data):\n    return pickle.loads(data)\n"}
    return refused_by_the_gate(running.try_deploy("code", "risky", source))


@pytest.mark.guarantee("AZR-15", "AZR-17")
@pytest.mark.case("D10")
@pytest.mark.parametrize("what", LINES)
def test_D10_AZR_15_risky_code_is_refused_with_file_line_and_remedy(refused: dict[str, Any], what: str) -> None:
    findings = [item for item in found(refused, file="handler.py") if item["line"] == LINES[what]]
    assert len(findings) == 1, refused
    finding = findings[0]
    assert finding["severity"] == "error" and finding["finding"]["level"] in ("high", "critical"), finding
    assert finding["finding"]["guarantee"] == "AZR-15" and finding["finding"]["rule"].startswith("B"), finding
    assert REMEDIES.get(what, "") in finding["fix"], finding


@pytest.mark.guarantee("AZR-15")
@pytest.mark.case("D10")
def test_D10_AZR_15_code_that_the_handler_does_not_import_is_looked_at_too(refused: dict[str, Any]) -> None:
    assert [item["line"] for item in found(refused, file="more/inside.py") if item["severity"] == "error"] == [5]


@pytest.mark.guarantee("AZR-15")
def test_AZR_15_what_is_less_grave_is_a_warning_and_deploys(server: Server) -> None:
    source = "import random\nimport subprocess\n\n\ndef handle(data):\n    assert data\n    return random.random()\n"
    made = let_pass(server.try_deploy("code", "minor", {"handler.py": source}))
    assert all(item["severity"] == "warning" for item in found(made)), made
    assert all(item["finding"]["level"] in ("low", "medium") for item in found(made)), made


@pytest.mark.guarantee("AZR-15")
def test_AZR_15_a_safe_form_of_each_passes(server: Server) -> None:
    source = handler("""
        import ast
        import json
        import subprocess

        def handle(data):
            done = subprocess.run(["true"], check=False)
            return [ast.literal_eval("1"), json.loads("2"), done.returncode]
        """)
    made = let_pass(server.try_deploy("code", "safe", source))
    assert not [item for item in found(made) if item["severity"] == "error"], made


@pytest.mark.guarantee("AZR-15")
@pytest.mark.case("D10")
@pytest.mark.parametrize(
    "comment", ["# nosec", "# nosec B307", "#nosec", "# nosec: B307", "# noqa: S307", "# type: ignore"]
)
def test_D10_AZR_15_a_comment_of_the_author_s_turns_nothing_off(server: Server, comment: str) -> None:
    source = RISKY.rstrip() + f"  {comment}\n"
    outcome = refused_by_the_gate(server.try_deploy("code", "commented", {"handler.py": source}))
    assert [(item["finding"]["rule"], item["line"]) for item in found(outcome)] == [("B307", 2)], outcome


SETTINGS = {
    ".bandit": "[bandit]\nskips: B307\nexclude: handler.py\n",
    "bandit.yaml": "skips: [B307]\nexclude_dirs: [.]\n",
    "bandit.yml": "skips: [B307]\n",
    "setup.cfg": "[bandit]\nskips = B307\n",
    "tox.ini": "[bandit]\nskips = B307\n",
    ".pre-commit-config.yaml": "repos: []\n",
    "bandit.py": "raise SystemExit(0)\n",
    "sitecustomize.py": "raise SystemExit(0)\n",
    "yaml.py": "raise SystemExit(0)\n",
    "ast.py": "raise SystemExit(0)\n",
}


@pytest.mark.guarantee("AZR-15")
@pytest.mark.case("D10")
def test_D10_AZR_15_nothing_in_the_bundle_sets_the_scanner_or_takes_its_place(server: Server) -> None:
    project = "[project]\nname = 'x'\nversion = '1'\n[tool.bandit]\nskips = ['B307']\nexclude_dirs = ['.']\n"
    source = {"handler.py": RISKY, "pyproject.toml": project, **SETTINGS}
    outcome = refused_by_the_gate(server.try_deploy("code", "settings", source))
    assert [item["line"] for item in found(outcome, "B307", "handler.py")] == [2], outcome


@pytest.mark.guarantee("AZR-15")
@pytest.mark.case("D10")
@pytest.mark.parametrize(
    "name",
    ["tests/test_it.py", "node_modules/x/a.py", ".hidden/a.py", "with space.py", "ünïcode.py", "a.pyw"],
)
def test_D10_AZR_15_no_folder_or_name_keeps_code_from_being_looked_at(server: Server, name: str) -> None:
    answer = server.deploy_archive("code", "hidden", archive({"handler.py": PLAIN, name: RISKY}))
    assert found(refused_by_the_gate(answer), "B307", name), answer.text


HIDDEN: dict[str, tuple[dict[str, str | bytes], str]] = {
    "brought packages": ({"package/mine.py": RISKY}, "package/mine.handle"),
    "a module in brought packages": (
        {"handler.py": "from mine import handle\n", "package/mine.py": RISKY},
        "handler.handle",
    ),
    "compiled code": ({"handler.py": "from gone import handle\n", "gone.pyc": compiled(RISKY)}, "handler.handle"),
    "a zip that is imported from": (
        {
            "handler.py": "import os, sys\nsys.path.insert(0, os.path.dirname(__file__) + '/more.zip')\nfrom mine import handle\n",
            "more.zip": archive({"mine.py": RISKY}),
        },
        "handler.handle",
    ),
}


@pytest.mark.guarantee("AZR-15")
@pytest.mark.case("D10")
@pytest.mark.parametrize("way", HIDDEN)
def test_D10_AZR_15_code_that_runs_is_looked_at_wherever_it_lies(server: Server, way: str) -> None:
    source, name = HIDDEN[way]
    function = f"hidden-{sum(way.encode())}"
    answer = server.deploy_archive("code", function, archive(source), manifest("code", function, {"handler": name}))
    assert found(answer.json()["functions"][0]), answer.text


@pytest.mark.guarantee("AZR-15")
def test_AZR_15_a_file_that_can_not_be_read_as_python_is_told_and_hides_no_other(server: Server) -> None:
    source = {
        "handler.py": PLAIN,
        "broken.py": "def (\n",
        "nul.py": "a = 1\0\n",
        "deep.py": "(" * 5000,
        "risky.py": RISKY,
    }
    outcome = server.try_deploy("code", "broken", source).first
    assert outcome["status"] == "failed", outcome
    text = str(outcome["diagnostics"])
    assert "broken.py" in text or found(outcome, "B307", "risky.py"), outcome


# ---------------------------------------------------------------- a policy that lets comments count


@pytest.fixture
def lenient(server: Server) -> Iterator[str]:
    set_policy(server, "lenient", honoursPragmas=True)
    yield "lenient"
    set_policy(server, "lenient")


@pytest.mark.guarantee("AZR-15", "AZR-17")
@pytest.mark.case("D10")
def test_D10_a_nosec_counts_only_where_a_policy_says_so(server: Server, lenient: str) -> None:
    let_pass(server.try_deploy(lenient, "all", {"handler.py": RISKY.rstrip() + "  # nosec\n"}))
    let_pass(server.try_deploy(lenient, "this", {"handler.py": RISKY.rstrip() + "  # nosec B307\n"}))
    refused_by_the_gate(server.try_deploy(lenient, "another", {"handler.py": RISKY.rstrip() + "  # nosec B301\n"}))
    refused_by_the_gate(server.try_deploy(lenient, "none", {"handler.py": RISKY}))


@pytest.mark.guarantee("COG-7", "AZR-17")
@pytest.mark.case("D10")
@pytest.mark.parametrize("comment", ["# nosec", "# pragma: allowlist secret", "# noqa"])
def test_D10_COG_7_a_comment_lets_no_secret_pass(server: Server, comment: str) -> None:
    source = {"handler.py": PLAIN, "aws.py": f"KEY = '{AWS_KEY}'  {comment}\n"}
    assert found(refused_by_the_gate(server.try_deploy("code", "secret", source)), "aws-key", "aws.py"), comment


@pytest.mark.guarantee("AZR-17")
def test_AZR_17_to_let_comments_count_takes_gate_waive_and_policy_write(server: Server) -> None:
    server.namespace("loosening")
    path = "/v1/namespaces/loosening/policy"
    writer = account(server, "loosening", ("policy:write", "loosening"))
    waiver = account(server, "loosening", ("gate:waive", "loosening"))
    both = account(server, "loosening", ("policy:write", "loosening"), ("gate:waive", "loosening"))
    loosened: list[dict[str, Any]] = [
        {"honoursPragmas": True},
        {"unscored": "warn"},
        {"newestDays": 0},
        {"maxDependencies": 10000},
    ]
    for gate in loosened:
        assert writer.api("PUT", path, {"gate": gate}).status == 403, gate
        assert waiver.api("PUT", path, {"gate": gate}).status == 403, gate
    refused_by_the_gate(server.try_deploy("loosening", "f", {"handler.py": RISKY.rstrip() + "  # nosec\n"}))
    assert both.api("PUT", path, {"gate": loosened[0]}).status == 200
    # To ask for more, or to take it back, takes no right to waive.
    assert writer.api("PUT", path, {"gate": {"dependencies": "strict", "onAdvisory": "disable"}}).status == 200
    assert writer.api("PUT", path, {"gate": {}}).status == 403
    assert both.api("PUT", path, {"gate": {}}).status == 200


@pytest.mark.guarantee("AZR-17")
@pytest.mark.parametrize(
    "gate",
    [
        {"honoursPragmas": "yes"},
        {"unscored": "low"},
        {"dependencies": "none"},
        {"onAdvisory": "delete"},
        {"newestDays": -1},
        {"newestDays": 366},
        {"maxDependencies": 0},
        {"maxDependencies": 10001},
        {"threshold": "critical"},
        [],
    ],
    ids=str,
)
def test_AZR_17_a_policy_of_other_words_is_refused_and_changes_nothing(server: Server, gate: Any) -> None:
    server.namespace("loosening")
    path = "/v1/namespaces/loosening/policy"
    before = server.api("GET", path).json()
    assert server.api("PUT", path, {"gate": gate}).status == 400
    assert server.api("GET", path).json() == before


@pytest.mark.guarantee("AZR-15")
def test_AZR_15_what_was_refused_can_be_read_afterwards(server: Server, refused: dict[str, Any]) -> None:
    told = known(server, "code/risky")
    ids = {item["finding"]["id"] for item in found(refused)}
    assert ids <= {item["finding"]["id"] for item in told["refused"]} and "revision" not in told, told
    assert told["refusedAt"]
    code, out, _ = server.cli("findings", "code/risky")
    assert code == 0 and all(f"code/risky#{name}" in out for name in ids), out
