"""What a bundle depends on: components, names, ages, uses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from casemate_gate.checks.dependencies import Dependencies
from casemate_gate.components import Inventory
from casemate_gate.subject import Settings

from gate.support import METADATA, Bundle, installed

Make = Callable[..., Bundle]


def test_components_are_what_is_installed_and_vendored(bundle: Make) -> None:
    files = {
        "requirements.txt": "Flask == 3.0\n# no\nrequests>=2  # why\n",
        "package/six-1.16.0.dist-info/METADATA": METADATA.format(name="six", version="1.16.0", more=""),
        **installed("flask", "3.0.0", "License-Expression: BSD-3-Clause", "Requires-Dist: Werkzeug>=3"),
        **installed("werkzeug", "3.0.1", "License: BSD", 'Requires-Dist: x; extra == "dev"'),
        **installed("y", "1.0", "License: UNKNOWN", "Classifier: License :: OSI Approved :: MIT License"),
    }
    answer = bundle(files).scan(lock="flask==3.0.0 \\\n    --hash=sha256:" + "a" * 64)
    components = {item["name"]: item for item in answer["components"]}
    assert components["flask"] == {
        "name": "flask",
        "version": "3.0.0",
        "purl": "pkg:pypi/flask@3.0.0",
        "licenses": ["BSD-3-Clause"],
        "hashes": ["sha256:" + "a" * 64],
        "requires": ["werkzeug"],
        "direct": True,
        "vendored": False,
    }
    assert components["werkzeug"]["licenses"] == ["BSD"] and components["werkzeug"]["requires"] == []
    assert components["y"]["licenses"] == ["MIT License"]
    assert components["six"]["vendored"] and not components["werkzeug"]["direct"]


def test_uses_needs_ages_and_numbers(bundle: Make) -> None:
    files = {
        "handler.py": "import yaml\nimport importlib\nimportlib.import_module('numpy.linalg')\n",
        "requirements.txt": "pyyaml==6\nnumpy==2\nhttpx==0.27\nreqeusts==1\n",
        **installed("pyyaml", "6.0", modules=("yaml",)),
        **installed("numpy", "2.0", "Requires-Dist: absent>=1", "Requires-Dist: httpx<0.20"),
        **installed("httpx", "0.27"),
    }
    now = datetime(2024, 6, 10, tzinfo=UTC)
    findings = bundle(files).found(
        Dependencies(now=now),
        first_uploads={"PyYAML": "2010-01-01T00:00:00Z", "httpx": "2024-06-01", "numpy": "soon"},
        from_source=frozenset(["numpy"]),
        settings=Settings(max_dependencies=2),
    )
    assert sorted((item.rule, item.subject, item.line, item.severity.name) for item in findings) == [
        ("built-from-source", "numpy", 2, "MEDIUM"),
        ("excessive", "", None, "MEDIUM"),
        ("gate/incomplete", "the date of numpy's first upload is none", None, "HIGH"),
        ("look-alike", "reqeusts", 4, "HIGH"),
        ("unmet", "numpy absent", 2, "MEDIUM"),
        ("unmet", "numpy httpx", 2, "MEDIUM"),
        ("unused", "httpx", 3, "LOW"),
        ("very-new", "httpx", 3, "HIGH"),
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\xff" * 100,
        b"Name: x\n",
        b"Name: ../x\nVersion: 1\n",
        b"Name: x\nVersion: one\n",
        b"Name: x\r\n y\nVersion: 1\n",
    ],
)
def test_metadata_that_makes_no_sense_is_said(bundle: Make, content: bytes) -> None:
    inventory = Inventory(bundle({"deps/x-1.dist-info/METADATA": content}).subject())
    assert inventory.components == [] and len(inventory.problems) == 1


def test_requirements_of_any_kind_are_survived(bundle: Make) -> None:
    lines = [
        "-r other.txt",
        "x @ https://e.com/x.whl",
        "git+https://e.com/y",
        "a" * 5000,
        "\udcff".encode("utf-8", "replace").decode(),
        "z==",
    ]
    more = [f"Requires-Dist: {text}" for text in ("(", "a; " + "(" * 5000, 'a; python_version > "x"', "b" * 9000)]
    files = {"requirements.txt": "\n".join(lines), **installed("q", "1", *more)}
    assert [item["name"] for item in bundle(files).scan()["components"]] == ["q"]
