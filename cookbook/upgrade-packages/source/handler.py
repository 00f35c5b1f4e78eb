"""A page about slow database queries: each one laid out, the slowest first, with a link to it on a dashboard."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import requests
import sqlparse
from jinja2 import Environment, FileSystemLoader

SLOW_IN_MILLISECONDS = 1000
PAGES = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)


class BadInput(Exception):
    """The message is for the caller."""


class Query(NamedTuple):
    sql: str
    seconds: float
    link: str


def handle(data: Any) -> dict[str, Any]:
    """`{"title": …, "dashboard": URL, "queries": [{"sql": …, "milliseconds": …}]}` → `{"page": HTML, "slow": n}`."""
    try:
        title, dashboard, given = read(data)
        slow = [query(entry, dashboard) for entry in given if entry["milliseconds"] >= SLOW_IN_MILLISECONDS]
    except BadInput as problem:
        return {"error": str(problem)}
    slow.sort(key=lambda item: -item.seconds)
    print(f"{len(slow)} of {len(given)} queries were slow")
    return {"page": PAGES.get_template("page.html").render(title=title, queries=slow), "slow": len(slow)}


def read(data: Any) -> tuple[str, str, list[dict[str, Any]]]:
    if not isinstance(data, dict) or not isinstance(data.get("queries"), list):
        raise BadInput("send a JSON object with the queries under queries")
    for number, entry in enumerate(data["queries"], start=1):
        taken = entry.get("milliseconds") if isinstance(entry, dict) else None
        if not isinstance(taken, (int, float)) or not isinstance(entry.get("sql"), str):
            raise BadInput(f"query {number}: sql has to be a text and milliseconds a number")
    return str(data.get("title", "Slow queries")), str(data.get("dashboard", "")), data["queries"]


def query(entry: dict[str, Any], dashboard: str) -> Query:
    sql = sqlparse.format(entry["sql"], reindent=True, keyword_case="upper", strip_comments=True).strip()
    return Query(sql, entry["milliseconds"] / 1000, link(dashboard, sql))


def link(dashboard: str, sql: str) -> str:
    """As a browser would send it: a host in any script, and its parameters escaped. Nothing is sent."""
    digest = hashlib.sha256(sql.encode()).hexdigest()[:12]
    try:
        return str(requests.Request("GET", dashboard, params={"query": digest}).prepare().url)
    except requests.RequestException:
        raise BadInput("dashboard is no address of a web page") from None
