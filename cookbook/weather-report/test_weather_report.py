"""The handler by itself, on the real table. Run with: python3 -m pytest cookbook/weather-report (pip fetches table and library)."""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent
KEY = "a-key-for-tests-only"
HEAD = "date,precipitation,temp_max,temp_min,wind,weather\n"


def load(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def handler(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """With the very library of requirements.txt, in a folder of its own."""
    library = tmp_path_factory.mktemp("library")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    wanted = str(HERE / "source/requirements.txt")
    subprocess.run([*pip, "--only-binary", ":all:", "--target", str(library), "--requirement", wanted], check=True)
    sys.path.insert(0, str(library))
    try:
        return load("weather_report_handler", HERE / "source/handler.py")
    finally:
        sys.path.remove(str(library))


@pytest.fixture(scope="module")
def table() -> str:
    text: str = load("weather_report_sample", HERE / "sample.py").table()
    return text


def call(handler: ModuleType, data: Any) -> dict[str, Any]:
    answer: dict[str, Any] = handler.handle(data=data, secrets={"SIGNING_KEY": KEY})
    return answer


def test_the_real_table_year_by_year(handler: ModuleType, table: str) -> None:
    assert table.count("\n") == 1462
    summary = call(handler, {"csv": table})["summary"]
    assert summary["days"] == 1461
    assert {year: part["days"] for year, part in summary["years"].items()} == {
        "2012": 366,
        "2013": 365,
        "2014": 365,
        "2015": 365,
    }
    assert summary["years"]["2012"] == {
        "days": 366,
        "meanMaxTemperature": 15.28,
        "totalPrecipitation": 1226,
        "weather": {"drizzle": 31, "fog": 5, "rain": 191, "snow": 21, "sun": 118},
    }
    assert type(summary["years"]["2012"]["totalPrecipitation"]) is int
    assert sum(count for part in summary["years"].values() for count in part["weather"].values()) == 1461


def test_the_signature_covers_the_canonical_summary(handler: ModuleType, table: str) -> None:
    answer = call(handler, {"csv": table})
    # For a summary, whose keys are ASCII and whose whole numbers have no fraction, RFC 8785 is what json.dumps writes so:
    message = json.dumps(answer["summary"], sort_keys=True, separators=(",", ":")).encode()
    assert answer["signature"] == hmac.new(KEY.encode(), message, hashlib.sha256).hexdigest()


def test_one_changed_digit_changes_the_signature(handler: ModuleType, table: str) -> None:
    changed = table.replace("2012/01/01,0.0,12.8", "2012/01/01,0.1,12.8", 1)
    assert changed != table
    assert call(handler, {"csv": table})["signature"] != call(handler, {"csv": changed})["signature"]


def test_the_key_is_neither_printed_nor_returned(
    handler: ModuleType, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = call(handler, {"csv": table})
    assert KEY not in json.dumps(answer) + capsys.readouterr().out


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (None, "under csv"),
        ([], "under csv"),
        ({"csv": 7}, "under csv"),
        ({"csv": ""}, "no column"),
        ({"csv": "date,weather\n"}, "no column precipitation, temp_max"),
        ({"csv": HEAD}, "no rows"),
        ({"csv": HEAD + "2012/01/01,0.0,12.8,5.0,4.7,sun\n2012/13/01,0.0,12.8,5.0,4.7,sun\n"}, "line 3"),
        ({"csv": HEAD + "2012/01/01,wet,12.8,5.0,4.7,sun\n"}, "line 2"),
        ({"csv": HEAD + "2012/01/01,nan,12.8,5.0,4.7,sun\n"}, "not finite"),
        ({"csv": HEAD + "2012/01/01,0.0\n"}, "line 2"),
        ({"csv": HEAD + "2012/01/01,0.0,12.8,5.0,4.7,\n"}, "weather is empty"),
        ({"csv": HEAD + '"2012/01/01,0.0'}, "unexpected end"),
    ],
)
def test_a_table_that_cannot_be_read_is_answered_with_the_reason(handler: ModuleType, data: Any, why: str) -> None:
    answer = call(handler, data)
    assert set(answer) == {"error"}
    assert why in answer["error"]
