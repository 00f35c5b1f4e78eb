"""The handler by itself, with its packages as they are and upgraded. Run with: python3 -m pytest cookbook/upgrade-packages"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parent / "source"
CALL = "import json, sys, handler; json.dump(handler.handle(json.load(sys.stdin)), sys.__stderr__)"
QUERY = "select a, b from t -- all of them\nwhere x < 1"


def unbounded(text: str) -> str:
    """What requirements ask for, in any version."""
    return re.sub(r"(?m)^([a-z0-9]+)[^#\n]*", r"\1 ", text)


@pytest.fixture(scope="module", params=["as they are", "upgraded"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages in a folder of their own."""
    folder = tmp_path_factory.mktemp("library")
    text = (SOURCE / "requirements.txt").read_text()
    wanted = folder / "requirements.txt"
    wanted.write_text(text if request.param == "as they are" else unbounded(text))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
    subprocess.run([*pip, "--target", str(folder), "--requirement", str(wanted)], check=True)
    return folder


def call(library: Path, data: Any) -> dict[str, Any]:
    """In a process of its own, so that no other version is loaded already."""
    done = subprocess.run(
        [sys.executable, "-c", CALL],
        input=json.dumps(data).encode(),
        env={**os.environ, "PYTHONPATH": f"{library}:{SOURCE}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    answer: dict[str, Any] = json.loads(done.stderr.decode().splitlines()[-1])
    return answer


def test_slow_queries_are_laid_out_with_the_slowest_first(library: Path) -> None:
    queries = [{"sql": "select 1", "milliseconds": 3000}, {"sql": QUERY, "milliseconds": 4210}]
    fast = {"sql": "select 2", "milliseconds": 999}
    answer = call(library, {"title": "<Monday>", "dashboard": "http://münchen.example/q", "queries": [*queries, fast]})
    page = answer["page"]
    assert answer["slow"] == 2 and "<h1>&lt;Monday&gt;</h1>" in page
    assert page.index("4.2 s") < page.index("3.0 s") and "SELECT 2" not in page
    assert re.search(r"SELECT a,\n +b\nFROM t\s+WHERE x &lt; 1", page) and "all of them" not in page
    assert page.count('href="http://xn--mnchen-3ya.example/q?query=') == 2


def test_without_slow_queries_the_page_says_so(library: Path) -> None:
    answer = call(library, {"dashboard": "https://q.example", "queries": []})
    assert answer["slow"] == 0 and "No query was slow." in answer["page"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (None, "under queries"),
        ({"queries": "select 1"}, "under queries"),
        ({"queries": [{"sql": "select 1"}]}, "query 1"),
        ({"queries": [{"sql": 1, "milliseconds": 1}]}, "query 1"),
        ({"dashboard": "nowhere", "queries": [{"sql": "select 1", "milliseconds": 2000}]}, "no address"),
    ],
)
def test_what_cannot_be_read_is_answered_with_the_reason(library: Path, data: Any, why: str) -> None:
    assert why in call(library, data)["error"]
