"""Dangerous constructs: found by bandit's rules, with our severities, and by no setting of a bundle's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from casemate_gate.checks.sast import Sast

from gate.support import Bundle, nosec

Make = Callable[..., Bundle]


@pytest.mark.parametrize(
    ("line", "rule", "severity"),
    [
        ("eval(x)", "B307", "HIGH"),
        ("exec(x)", "B102", "HIGH"),
        ("import pickle; pickle.loads(x)", "B301", "HIGH"),
        ("import marshal; marshal.loads(x)", "B302", "HIGH"),
        ("import shelve; shelve.open(x)", "B301", "HIGH"),
        ("import yaml; yaml.load(x)", "B506", "HIGH"),
        ("import subprocess; subprocess.run('ls', shell=True)", "B602", "HIGH"),
        ("import requests; requests.get(x, verify=False, timeout=1)", "B501", "HIGH"),
        ("import ssl; ssl._create_unverified_context()", "B323", "HIGH"),
        ("import hashlib; hashlib.md5(x)", "B324", "HIGH"),
        ("q = 'SELECT a FROM b WHERE c = ' + x", "B608", "MEDIUM"),
        ("assert x", "B101", "LOW"),
    ],
)
def test_a_rule_has_its_severity(bundle: Make, line: str, rule: str, severity: str) -> None:
    findings = bundle({"handler.py": f"x = 1\n{line}\n"}).found(Sast())
    assert (rule, severity, 2) in [(item.rule, item.severity.name, item.line) for item in findings]
    assert all(item.fix and item.rule.startswith("B") for item in findings)


def test_imports_and_safe_uses_are_none(bundle: Make) -> None:
    text = "import subprocess\nimport pickle\nimport yaml\nyaml.safe_load('a')\npassword = 'Tr0ub4dor'\n"
    assert bundle({"handler.py": text}).rules(Sast()) == []


def test_other_peoples_code_is_told_of_and_left_to_them(bundle: Make) -> None:
    made = bundle({"package/x.py": "eval(1)", "deps/y.py": "eval(1)", "lib/z.py": "eval(1)"})
    assert made.rules(Sast()) == [("B307", "lib/z.py", 1), ("B307", "package/x.py", 1)]
    assert [item.severity.name for item in made.found(Sast())] == ["HIGH", "MEDIUM"]


def test_a_comment_or_a_file_of_the_bundle_switches_nothing_off(bundle: Make) -> None:
    files = {
        "a.py": "eval(x)  # nosec\nexec(x)  # nosec B307\n",
        ".bandit": "[bandit]\nskips = B307,B102\n",
        "pyproject.toml": "[tool.bandit]\nskips = ['B307', 'B102']\n",
    }
    made = bundle(files)
    assert made.rules(Sast()) == [("B307", "a.py", 1), ("B102", "a.py", 2)]
    assert made.rules(Sast(), settings=nosec()) == [("B102", "a.py", 2)]


def test_a_notebook_and_a_script_without_suffix_are_read(bundle: Make) -> None:
    cells = [
        {"cell_type": "markdown", "source": "eval(x)"},
        {"cell_type": "code", "source": ["%pip install x\n", "eval(x)\n"]},
        {"cell_type": "code", "source": "%%bash\nrm -rf /"},
    ]
    files = {"n.ipynb": json.dumps({"cells": cells}, indent=1), "tool": "#!/usr/bin/env python3\neval(1)\n"}
    assert bundle(files).rules(Sast()) == [("B307", "n.ipynb", 11), ("B307", "tool", 2)]


@pytest.mark.parametrize(
    "content",
    [
        b"def f(:\n",
        b"print 'two'\n",
        b"a\0b",
        "x = 1".encode("utf-16"),
        b"(" * 5000,
        b"-" * 200_000 + b"1",
        b"a" + b".b" * 200_000,
        b"x = " + b"[" * 150 + b"]" * 150 + b"\ny = " + b"1+" * 60_000 + b"1",
        b"# coding: no-such-codec\nx = 1",
        b"# coding: utf-8\nx = '\xff'\n",
        b"if 1:\n" + b"".join(b" " * depth + b"if 1:\n" for depth in range(1, 120)),
    ],
    ids=range(11),
)
def test_a_file_that_does_not_parse_is_no_clean_one(bundle: Make, content: bytes) -> None:
    findings = bundle({"bad.py": content, "good.py": "eval(1)"}).found(Sast())
    assert [(item.rule, item.file, item.severity.name) for item in findings] == [
        ("gate/incomplete", "bad.py", "HIGH"),
        ("B307", "good.py", "HIGH"),
    ]


def test_a_rule_that_fails_is_said(bundle: Make) -> None:
    rules = bundle({"a.py": "import importlib\nimportlib.import_module()\n"}).rules(Sast())
    assert rules == [("gate/incomplete", "a.py", 2)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = eval(\n    '2 + 2'\n)\n", "def f(data):\n    x = eval(\n        data['x']\n    )\n"),
        ("a\0b", "c\0d"),
        ("x = " + "(" * 5000, "eval(y); x = " + "(" * 5000),
    ],
    ids=["over several lines", "no Python", "too deep"],
)
def test_a_fault_in_other_code_is_another_one(bundle: Make, tmp_path: Path, before: str, after: str) -> None:
    """A waiver is for a finding's name, and would let both pass."""
    [one] = bundle({"handler.py": before}).found(Sast())
    [again] = Bundle(tmp_path / "again", {"handler.py": before}).found(Sast())
    [other] = Bundle(tmp_path / "other", {"handler.py": after}).found(Sast())
    assert one.identity == again.identity and one.rule == other.rule and one.identity != other.identity


def test_a_call_over_several_lines_keeps_its_name_when_it_moves(bundle: Make, tmp_path: Path) -> None:
    call = "x = eval(\n    '2 + 2'\n)\n"
    [one] = bundle({"handler.py": call}).found(Sast())
    moved = "# moved\nif True:\n" + "".join(f"    {line}\n" for line in call.splitlines())
    [other] = Bundle(tmp_path / "moved", {"handler.py": moved}).found(Sast())
    assert one.identity == other.identity
