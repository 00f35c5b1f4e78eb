"""What a bundle depends on: components, names, ages, uses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from casemate_gate.checks.dependencies import Dependencies, imitated
from casemate_gate.components import Inventory
from casemate_gate.popular import POPULAR, SOUND
from casemate_gate.subject import Settings

from gate.support import METADATA, Bundle, installed

Make = Callable[..., Bundle]


@pytest.mark.parametrize(
    ("name", "original"),
    [
        ("reqeusts", "requests"),
        ("request", "requests"),
        ("requestss", "requests"),
        ("numpi", "numpy"),
        ("pand4s", "pandas"),
        ("djang0", "django"),
        ("python-dateutils", "python-dateutil"),
        ("pythondateutil", "python-dateutil"),
        ("scikit-lear", "scikit-learn"),
        ("beautifulsoup-4", "beautifulsoup4"),
        ("cryptograhpy", "cryptography"),
        ("urlib3", "urllib3"),
    ],
)
def test_a_name_one_slip_away_is_a_look_alike(name: str, original: str) -> None:
    assert imitated(name) == original


@pytest.mark.parametrize(
    "name",
    [
        "requests",
        "boto",
        "boto3",
        "attrs",
        "toml",
        "tomli",
        "my-company-tools",
        "six",
        "sax",
        "urllib4x",
        "elasticsearch8",
    ],
)
def test_a_known_or_another_name_is_none(name: str) -> None:
    assert imitated(name) is None


def test_the_table_holds_names_as_the_index_writes_them() -> None:
    assert len(POPULAR) > 300
    assert not [name for name in POPULAR | SOUND if name != name.lower() or "_" in name or "." in name]
    assert not POPULAR & SOUND


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
