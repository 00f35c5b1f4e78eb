"""`handle(event, context)`: an event in the form of API Gateway version 1, and four forms of result."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

from casemate_runtime.coroutines import finished
from casemate_runtime.frames import decode_request, encode_pairs
from casemate_runtime.handlers.common import (
    JSON_TYPE,
    TEXT_TYPE,
    BadResult,
    Begin,
    Handler,
    Reply,
    bare,
    write_json,
)

ARGUMENTS: Final = frozenset({"event", "context"})

_RECORD_KEYS: Final = frozenset({"statusCode", "body", "headers", "isBase64Encoded"})
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110 section 5.5: CR, LF and NUL are dangerous in a field value, other controls but the tab invalid.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_NO_LINE_ENDS: Final = {ord("\r"): None, ord("\n"): None}


class Headers(dict[str, str]):
    """Keys in Go's canonical form, found in any: examples read both `Content-Type` and `content-type`."""

    def __missing__(self, name: str) -> str:
        key = canonical(name) if isinstance(name, str) else name
        if key == name:
            raise KeyError(name)
        return self[key]

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and super().__contains__(canonical(name)))

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default


@lru_cache(1024)
def canonical(name: str) -> str:
    """`content-type` → `Content-Type`; a name that is no token stays as it is (Go's textproto)."""
    if not _TOKEN.fullmatch(name):
        return name
    return "-".join(part.capitalize() for part in name.split("-"))


def _reply(result: Any) -> Reply:
    return make_reply(finished(result))


def make(function: Callable[..., Any], keywords: frozenset[str] | None, name: str, memory_in_mib: int) -> Handler:
    """`keywords`: the arguments to pass by name; `None` passes both by position."""
    return make_begin(function, keywords, name, memory_in_mib, _reply)


def make_begin(
    function: Callable[..., Any],
    keywords: frozenset[str] | None,
    name: str,
    memory_in_mib: int,
    end: Callable[[Any], Any] = bare,
) -> Begin:
    def answer(meta: memoryview, body: memoryview, call: int) -> Any:
        event = make_event(meta, body)
        context = {"memoryLimitInMb": memory_in_mib, "functionName": name, "functionVersion": ""}
        if keywords is None:
            result = function(event, context)
        else:
            both = {"event": event, "context": context}
            result = function(**{key: both[key] for key in keywords})
        return end(result)

    return answer


def make_event(meta: memoryview, body: memoryview) -> dict[str, Any]:
    method, path, query, pairs = decode_request(meta)
    try:
        text = str(body, "utf-8")
        encoded = _BASE64.fullmatch(text.translate(_NO_LINE_ENDS) if "\n" in text or "\r" in text else text) is not None
    except UnicodeDecodeError:  # the original has no form for binary bodies
        text = base64.b64encode(body).decode()
        encoded = True
    event: dict[str, Any] = {
        "resource": "",
        "path": path,
        "httpMethod": method,
        "headers": Headers((canonical(pairs[at]), pairs[at + 1]) for at in range(0, len(pairs), 2)),
        "multiValueHeaders": None,
        "queryStringParameters": dict(parse_qsl(query, keep_blank_values=True)) if query else {},
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": {},
        "stageVariable": {},  # how one of the emulators spells it
        "requestContext": {
            "accountId": "",
            "resourceId": "",
            "stage": "",
            "requestId": "",
            "resourcePath": "",
            "authorizer": None,
            "httpMethod": method,
            "apiId": "",
        },
        "body": text,
    }
    if encoded:  # absent otherwise: the original leaves out what is false
        event["isBase64Encoded"] = True
    return event


def make_reply(result: Any) -> Reply:
    if isinstance(result, str):
        record = _record_in(result)
        return (200, TEXT_TYPE, _utf8(result)) if record is None else _from_record(record)
    if isinstance(result, dict) and not _RECORD_KEYS.isdisjoint(result):
        return _from_record(result)
    return 200, JSON_TYPE, write_json(result)


def _record_in(text: str) -> dict[str, Any] | None:
    if not text.lstrip(" \t\r\n").startswith("{"):
        return None
    try:
        value = json.loads(text)
    except Exception:  # see read_json
        return None
    return value if isinstance(value, dict) and not _RECORD_KEYS.isdisjoint(value) else None


def _from_record(record: dict[str, Any]) -> Reply:
    status = _status(record.get("statusCode"))
    body = record.get("body")
    content_type = TEXT_TYPE
    if record.get("isBase64Encoded") is True:
        data, content_type = _from_base64(body), b"content-type\0application/octet-stream\0"
    elif isinstance(body, str):
        data = _utf8(body)
    elif body is None:
        data = b""
    else:
        data, content_type = write_json(body), JSON_TYPE
    pairs = _pairs(record.get("headers"))
    if not data or any(name.lower() == "content-type" for name, _ in pairs):
        content_type = b""
    try:
        return status, encode_pairs(pairs) + content_type, data
    except UnicodeEncodeError:
        raise BadResult("a header's value is not valid text") from None


def _status(value: Any) -> int:
    if value is None:
        return 200
    if isinstance(value, str) and re.fullmatch(r"[0-9]{3}", value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 200 <= value <= 599:
        raise BadResult("statusCode is not a number from 200 to 599")
    return int(value)


def _from_base64(body: Any) -> bytes:
    if body is None:
        return b""
    if not isinstance(body, str):
        raise BadResult(f"isBase64Encoded is true, but the body is a {type(body).__name__} and no string")
    try:
        return base64.b64decode(body.translate(_NO_LINE_ENDS).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("isBase64Encoded is true, but the body is not valid base64") from None


def _pairs(headers: Any) -> list[tuple[str, str]]:
    if headers is None:
        return []
    if not isinstance(headers, dict):
        raise BadResult(f"headers is a {type(headers).__name__} and no object")
    pairs: list[tuple[str, str]] = []
    for name, value in headers.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise BadResult(f"{name!r} is not the name of a header")
        for one in value if isinstance(value, (list, tuple)) else (value,):
            if one is not None:
                pairs.append((name, _header_value(name, one)))
    return pairs


def _header_value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if not isinstance(value, str):
        raise BadResult(f"the header {name} is a {type(value).__name__} and no string")
    if _CONTROL.search(value):
        raise BadResult(f"the header {name} holds a line end or another control character")
    return value


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise BadResult("its text holds a lone surrogate, which UTF-8 has no form for") from None
