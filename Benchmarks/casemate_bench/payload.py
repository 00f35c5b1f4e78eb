"""The one request that everybody gets, and what the answer must be."""

from __future__ import annotations

import json
from typing import Any

from casemate_bench.options import Wrong


def _payload() -> dict[str, Any]:
    data: dict[str, Any] = {"items": [{"id": i, "name": f"sensor-{i:04d}", "v": i * 1.5} for i in range(22)], "pad": ""}
    data["pad"] = "x" * max(0, 1024 - len(json.dumps(data)))
    return data


DATA = _payload()
BODY = json.dumps(DATA).encode()
assert len(BODY) == 1024
# In every right answer and in no problem's text; wrk looks for it in each one.
MARK = "sensor-0021"

# A function of Casemate, or a module of a peer: {number} makes each source another one. Everybody does the same work.
HANDLER = '''"""Function {number}: answers what it is sent."""

NUMBER = {number}


def handle(data):
    return {{"ok": True, "function": NUMBER, "n": len(data.get("items", ())), "echo": data}}
'''


def check(body: bytes, number: int | None = None, who: str = "") -> None:
    """The whole answer. `number`: which function it has to come from."""
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    right = (
        isinstance(answer, dict) and answer.get("ok") is True and answer.get("n") == 22 and answer.get("echo") == DATA
    )
    if not right or (number is not None and answer.get("function") != number):
        raise Wrong(f"{who}: a wrong body: {body[:200]!r}")
