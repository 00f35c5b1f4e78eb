"""Requests that can't be done, and how their parts are read: nothing of them is taken on trust."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class Problem(Exception):
    """`message` is for whoever made the request."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def parse(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        raise Problem("the request is no JSON") from None
    if not isinstance(request, dict):
        raise Problem("the request is no object")
    return request


def text(request: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = request.get(name, default)
    if not isinstance(value, str) or "\0" in value:
        raise Problem(f"{name} is no text")
    return value


def table(request: Mapping[str, Any], name: str) -> dict[str, str]:
    """Of texts."""
    value = request.get(name)
    value = {} if value is None else value
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise Problem(f"{name} is no object of texts")
    return value


def strings(request: Mapping[str, Any], name: str) -> list[str]:
    value = request.get(name)
    value = [] if value is None else value
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Problem(f"{name} is no list of texts")
    return value


def encoded(value: object) -> bytes:
    """Names on disk may hold surrogates, which no JSON may carry."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
