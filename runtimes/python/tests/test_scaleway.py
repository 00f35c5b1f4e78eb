"""`handle(event, context)`: the event, the context and the forms of a result."""

import base64
import json
from typing import Any

import pytest
from casemate_runtime.handlers import scaleway
from casemate_runtime.handlers.common import BadResult

JSON = b"content-type\0application/json\0"
TEXT = b"content-type\0text/plain; charset=utf-8\0"


def event(body: bytes = b"", query: str = "", headers: str = "") -> dict[str, Any]:
    return scaleway.make_event(memoryview(f"PUT\0/a/b\0{query}\0{headers}".encode()), memoryview(body))


def test_an_event_has_all_keys_of_the_platform() -> None:
    made = event(b"hello, you", "a=1&b=2&b=3&c=", "content-type\0text/plain\0x-a\0first\0X-A\0last\0")
    assert json.loads(json.dumps(made)) == {
        "resource": "",
        "path": "/a/b",
        "httpMethod": "PUT",
        "headers": {"Content-Type": "text/plain", "X-A": "last"},
        "multiValueHeaders": None,
        "queryStringParameters": {"a": "1", "b": "3", "c": ""},
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": {},
        "stageVariable": {},
        "requestContext": {
            "accountId": "",
            "resourceId": "",
            "stage": "",
            "requestId": "",
            "resourcePath": "",
            "authorizer": None,
            "httpMethod": "PUT",
            "apiId": "",
        },
        "body": "hello, you",
    }


def test_headers_are_found_in_any_case() -> None:
    headers = event(headers="user-agent\0curl\0bad name\0x\0")["headers"]
    assert list(headers) == ["User-Agent", "bad name"]
    assert headers["user-agent"] == headers["USER-AGENT"] == headers.get("User-agent") == "curl"
    assert "uSER-aGENT" in headers and "accept" not in headers and 1 not in headers
    assert headers.get("accept") is None and headers.get("accept", "x") == "x"
    with pytest.raises(KeyError):
        headers["accept"]
    with pytest.raises(KeyError):
        headers["Accept"]


@pytest.mark.parametrize(
    "body, encoded",
    [
        (b"", True),
        (b"test", True),
        (b"dGVz\r\ndA==", True),
        (b"test!", False),
        (b"dGVzdA", False),
        (b'{"a":1}', False),
        (b"====", False),
        ("é".encode(), False),
    ],
)
def test_is_base64_encoded_says_only_that_the_body_would_be_valid_base64(body: bytes, encoded: bool) -> None:
    made = event(body)
    assert made["body"] == body.decode() and made.get("isBase64Encoded", "absent") == (True if encoded else "absent")


def test_a_binary_body_comes_as_base64() -> None:
    made = event(b"\xff\x00\xfe")
    assert made["isBase64Encoded"] is True and base64.b64decode(made["body"]) == b"\xff\x00\xfe"


def test_the_context_has_the_name_without_the_namespace() -> None:
    seen: list[Any] = []
    handler = scaleway.make(lambda event, context: seen.append(context), None, "f", 128)
    assert handler(memoryview(b"GET\0/\0\0"), memoryview(b""), 1) == (200, JSON, b"null")
    assert seen == [{"memoryLimitInMb": 128, "functionName": "f", "functionVersion": ""}]


def test_an_async_handler_is_run_to_its_end() -> None:
    async def handle(event: Any) -> str:
        return str(event["httpMethod"])

    handler = scaleway.make(handle, frozenset({"event"}), "f", 128)
    assert handler(memoryview(b"GET\0/\0\0"), memoryview(b""), 1) == (200, TEXT, b"GET")


@pytest.mark.parametrize(
    "result, status, meta, body",
    [
        # 1: text
        ("plain é", 200, TEXT, "plain é".encode()),
        ("", 200, TEXT, b""),
        ('{"message":"no record"}', 200, TEXT, b'{"message":"no record"}'),
        ('{"statusCode":', 200, TEXT, b'{"statusCode":'),
        (' {"statusCode":201,"body":"x"}', 201, TEXT, b"x"),
        # 2: an object without the record's keys
        ({"message": "hi"}, 200, JSON, b'{"message":"hi"}'),
        ({}, 200, JSON, b"{}"),
        # 3: a record
        ({"statusCode": 404}, 404, b"", b""),
        ({"statusCode": "404", "body": None}, 404, b"", b""),
        ({"statusCode": None, "body": "x"}, 200, TEXT, b"x"),
        ({"body": {"a": [1]}}, 200, JSON, b'{"a":[1]}'),
        ({"body": 5}, 200, JSON, b"5"),
        ({"body": "dGVzdA=="}, 200, TEXT, b"dGVzdA=="),
        ({"body": "dGVzdA==", "isBase64Encoded": False}, 200, TEXT, b"dGVzdA=="),
        (
            {"body": "/wD\n+", "isBase64Encoded": True},
            200,
            b"content-type\0application/octet-stream\0",
            b"\xff\x00\xfe",
        ),
        ({"body": None, "isBase64Encoded": True}, 200, b"", b""),
        ({"body": "x", "headers": {"Content-TYPE": ["text/html"]}}, 200, b"Content-TYPE\0text/html\0", b"x"),
        (
            {"headers": {"Set-Cookie": ["a=1", "b=2"], "X-N": 5, "X-B": True, "X-None": None, "X-F": 1.5}},
            200,
            b"Set-Cookie\0a=1\0Set-Cookie\0b=2\0X-N\x005\0X-B\0true\0X-F\x001.5\0",
            b"",
        ),
        ({"headers": None, "statusCode": 204}, 204, b"", b""),
        ({"headers": {"X-U": "é\t"}}, 200, "X-U\0é\t\0".encode(), b""),
        # 4: anything else
        (None, 200, JSON, b"null"),
        (5, 200, JSON, b"5"),
        (True, 200, JSON, b"true"),
        ([1, "a"], 200, JSON, b'[1,"a"]'),
        (("text", 404), 200, JSON, b'["text",404]'),
    ],
)
def test_every_form_of_a_result(result: Any, status: int, meta: bytes, body: bytes) -> None:
    assert scaleway.make_reply(result) == (status, meta, body)


@pytest.mark.parametrize(
    "result",
    [
        {"headers": {"X": "a\r\nSet-Cookie: b"}},
        {"headers": {"X": "a\nb"}},
        {"headers": {"X": "a\0b"}},
        {"headers": {"X": ["ok", "a\rb"]}},
        {"headers": {"X\r\nY": "a"}},
        {"headers": {"X\n": "a"}},
        {"headers": {"X: Y": "a"}},
        {"headers": {"": "a"}},
        {"headers": {"é": "a"}},
        {"headers": {5: "a"}},
        {"headers": {"X": {"a": 1}}},
        {"headers": {"X": "\ud800"}},
        {"headers": ["X"]},
        {"statusCode": 99},
        {"statusCode": 101},
        {"statusCode": 600},
        {"statusCode": "abc"},
        {"statusCode": "200\n"},
        {"statusCode": True},
        {"statusCode": 200.5},
        {"statusCode": []},
        {"body": {"a": 1}, "isBase64Encoded": True},
        {"body": object()},
        {"body": b"bytes"},
        {"body": "\ud800"},
        b"bytes",
        {"a": {1}},
        float("nan"),
    ],
)
def test_what_is_no_response_is_refused(result: Any) -> None:
    with pytest.raises(BadResult):
        scaleway.make_reply(result)


@pytest.mark.parametrize("body", ["no base64!", "dGVzdA"])
def test_base64_that_is_none_is_the_functions_error(body: str) -> None:
    """The contract says 500 here, as for an exception."""
    with pytest.raises(ValueError):
        scaleway.make_reply({"body": body, "isBase64Encoded": True})
