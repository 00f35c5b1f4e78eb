"""The handler by itself. Run with: python3 -m pytest cookbook/take-orders"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HANDLER = Path(__file__).parent / "source/handler.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("take_orders_handler", HANDLER)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(asked: Any) -> tuple[int, Any]:
    told = load().handle({"body": json.dumps(asked), "headers": {"X-Request-Id": "a-call"}}, None)
    return told["statusCode"], json.loads(told["body"])


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"order": {"item": "BLT-7", "amount": 3}}, (200, {"number": "a-call", "price": 12})),
        ({"order": {"item": "CAR-1", "amount": 1}}, (404, {"error": "there is no such item"})),
        ({"close": "day"}, (200, {"closed": True})),
    ],
)
def test_what_is_asked_is_done(asked: Any, answer: Any) -> None:
    assert call(asked) == answer


def test_an_order_of_a_call_that_comes_again_has_the_same_number() -> None:
    order = {"order": {"item": "NUT-1", "amount": 1}}
    assert call(order) == call(order)
