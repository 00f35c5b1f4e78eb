"""Sums up a weather table year by year, and signs the summary."""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import math
from collections import Counter
from datetime import date
from typing import Any, NamedTuple

import rfc8785

COLUMNS = {"date", "precipitation", "temp_max", "weather"}


class Day(NamedTuple):
    year: int
    precipitation: float
    temp_max: float
    weather: str


class BadTable(Exception):
    """The table can't be read; the message says where and why."""


def handle(data: Any, secrets: dict[str, str]) -> dict[str, Any]:
    """`{"csv": "date,precipitation,temp_max,…"}` → `{"summary": …, "signature": …}`, or `{"error": …}` for a table that can't be read."""
    text = data.get("csv") if isinstance(data, dict) else None
    if not isinstance(text, str):
        return {"error": "send a JSON object with the table's text under csv"}
    try:
        days = read(text)
    except BadTable as problem:
        return {"error": str(problem)}
    summary = summarise(days)
    print(f"{summary['days']} days in {len(summary['years'])} years")
    return {"summary": summary, "signature": sign(summary, secrets["SIGNING_KEY"])}


def read(text: str) -> list[Day]:
    table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    days: list[Day] = []
    try:
        missing = COLUMNS - set(table.fieldnames or ())
        if missing:
            raise BadTable(f"the table has no column {', '.join(sorted(missing))}")
        for row in table:
            days.append(_day(row, table.line_num))
    except csv.Error as error:
        raise BadTable(f"line {table.line_num}: {error}") from None
    if not days:
        raise BadTable("the table has no rows")
    return days


def _day(row: dict[str, str], line: int) -> Day:
    try:
        # The year first, with slashes or dashes.
        year = date.fromisoformat(row["date"].replace("/", "-")).year
        precipitation, temp_max = float(row["precipitation"]), float(row["temp_max"])
    except (TypeError, ValueError, AttributeError):
        raise BadTable(f"line {line}: date, precipitation or temp_max is not what its name says") from None
    if not (math.isfinite(precipitation) and math.isfinite(temp_max)):
        raise BadTable(f"line {line}: a number is not finite")
    if not row["weather"]:
        raise BadTable(f"line {line}: weather is empty")
    return Day(year, precipitation, temp_max, row["weather"])


def summarise(days: list[Day]) -> dict[str, Any]:
    years: dict[int, list[Day]] = {}
    for day in days:
        years.setdefault(day.year, []).append(day)
    return {"days": len(days), "years": {str(year): _year(years[year]) for year in sorted(years)}}


def _year(days: list[Day]) -> dict[str, Any]:
    return {
        "days": len(days),
        "meanMaxTemperature": _rounded(math.fsum(day.temp_max for day in days) / len(days), 2),
        "totalPrecipitation": _rounded(math.fsum(day.precipitation for day in days), 1),
        "weather": dict(sorted(Counter(day.weather for day in days).items())),
    }


def _rounded(value: float, places: int) -> float | int:
    """1226 rather than 1226.0: RFC 8785 spells it so, and then the answer reads as what was signed."""
    rounded = round(value, places)
    return int(rounded) if rounded.is_integer() else rounded


def sign(summary: dict[str, Any], key: str) -> str:
    """HMAC-SHA-256 over the one spelling that RFC 8785 gives a JSON value, so that any language can check it."""
    return hmac.new(key.encode(), rfc8785.dumps(summary), hashlib.sha256).hexdigest()
