"""The handler by itself: no server, no sandbox. Run with: python3 -m pytest cookbook/hello-secret"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

KEY = "a-key-for-tests-only"


@pytest.fixture(scope="module")
def handler() -> ModuleType:
    """Loaded by its path, since every recipe has a handler.py."""
    file = Path(__file__).parent / "source" / "handler.py"
    spec = importlib.util.spec_from_file_location("hello_secret_handler", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def expected(message: bytes, key: str = KEY) -> str:
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()


def test_it_signs_the_compact_json_with_sorted_keys(handler: ModuleType) -> None:
    answer = handler.handle(data={"b": 1, "a": [True, None]}, secrets={"API_KEY": KEY})
    assert answer == {"signature": expected(b'{"a":[true,null],"b":1}')}


def test_the_order_of_keys_does_not_change_the_signature(handler: ModuleType) -> None:
    one = handler.handle(data={"a": 1, "b": 2}, secrets={"API_KEY": KEY})
    two = handler.handle(data={"b": 2, "a": 1}, secrets={"API_KEY": KEY})
    assert one == two


def test_another_key_gives_another_signature(handler: ModuleType) -> None:
    one = handler.handle(data={"a": 1}, secrets={"API_KEY": KEY})
    two = handler.handle(data={"a": 1}, secrets={"API_KEY": KEY + "2"})
    assert one != two


@pytest.mark.parametrize("data", [{}, [], "text", 7, None])
def test_any_json_value_can_be_signed(handler: ModuleType, data: Any) -> None:
    assert len(handler.handle(data=data, secrets={"API_KEY": KEY})["signature"]) == 64


def test_the_key_is_printed_only_when_the_mistake_is_asked_for(
    handler: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    handler.handle(data={"n": 1}, secrets={"API_KEY": KEY})
    assert KEY not in capsys.readouterr().out
    handler.handle(data={"mistake": True}, secrets={"API_KEY": KEY})
    assert KEY in capsys.readouterr().out  # by itself nothing redacts; on Casemate the log shows [secret:API_KEY]


def test_without_the_secret_it_fails(handler: ModuleType) -> None:
    with pytest.raises(KeyError):
        handler.handle(data={}, secrets={})
