"""How handlers are called and what their results become: cognite's arguments by name, scaleway's event and returns."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from casemate_fixture import Server, handler

SUBSETS = [
    ("client", "None"),
    ("data", "data"),
    ("secrets", "sorted(secrets)"),
    ("client, data", "[client, data]"),
    ("secrets, data", "[data, sorted(secrets)]"),
    ("secrets, client, data", "[client, data, sorted(secrets)]"),
    ("*, data", "data"),
]


@pytest.mark.guarantee("COG-6")
@pytest.mark.parametrize(("arguments", "result"), SUBSETS, ids=[a.replace(", ", "-") for a, _ in SUBSETS])
def test_COG_6_a_cognite_handler_gets_any_subset_of_its_arguments_by_name(
    server: Server, arguments: str, result: str
) -> None:
    server.namespace("signed")
    name = "args-" + "".join(c for c in arguments if c.isalpha())
    server.secret(f"signed/{name}", "KEY", "value-for-the-argument")
    source = handler(f"def handle({arguments}):\n    return {result}\n")
    server.deploy("signed", name, source, {"signature": "cognite", "secrets": ["KEY"]})
    answer = server.call(f"signed/{name}", body={"x": [1, None, "é"]})
    known = {"client": None, "data": {"x": [1, None, "é"]}, "secrets": {"KEY": ""}}
    expected = eval(result, known)  # nosec B307  # this file's own texts
    assert (answer.status, answer.json()) == (200, expected)


def test_query_parameters_are_the_data_when_there_is_no_body(server: Server) -> None:
    server.deploy("signed", "query", handler("def handle(data):\n    return data\n"))
    assert server.call("signed/query", path="?a=1&b=two%20words&c=%C3%A9").json() == {
        "a": "1",
        "b": "two words",
        "c": "é",
    }
    assert server.call("signed/query", body={"a": 2}, path="?a=1").json() == {"a": 2}
    assert server.call("signed/query", method="GET").status == 200


@pytest.mark.parametrize(
    "body",
    [b"{", b"not json", b'{"a": 1} trailing', b"\xff\xfe{}", b"[" * 100_000],
    ids=["open", "text", "trailing", "utf16", "deep"],
)
@pytest.mark.case("I1")
def test_I1_a_body_that_is_no_json_is_refused_as_bad_input(server: Server, body: bytes) -> None:
    server.deploy("signed", "query", handler("def handle(data):\n    return data\n"))
    answer = server.call("signed/query", body=body, headers={"Content-Type": "application/json"})
    assert answer.status == 400, answer.text[:300]
    assert "Traceback" not in answer.text
    assert server.call("signed/query", body={"a": 2}).json() == {"a": 2}


@pytest.mark.parametrize(
    "expression",
    ["{1, 2}", "object()", "b'bytes'", "float('nan')", "{(1, 2): 3}", "lambda: 1"],
    ids=["set", "object", "bytes", "nan", "key", "lambda"],
)
def test_a_result_that_is_no_json_gets_a_clear_error(server: Server, expression: str) -> None:
    source = handler("def handle(data):\n    return eval(data['e'])\n")
    server.deploy("signed", "evaluated", source)
    answer = server.call("signed/evaluated", body={"e": expression})
    assert answer.status in (500, 502), f"{answer.status} {answer.text[:300]}"
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert server.call("signed/evaluated", body={"e": "[1]"}).json() == [1]


EVENT = handler("""
    import json

    FORMS = {
        "text": lambda: "plain text",
        "object": lambda: {"message": "verbatim", "env_vars": [1]},
        "record": lambda: {"statusCode": 201, "body": "made", "headers": {"X-Kind": "record"}},
        "record-text-status": lambda: {"statusCode": "202", "body": "accepted"},
        "record-object-body": lambda: {"statusCode": 200, "body": {"a": [1]}},
        "record-number-body": lambda: {"body": 5},
        "record-no-body": lambda: {"statusCode": 200},
        "record-none-body": lambda: {"statusCode": 200, "body": None},
        "record-headers": lambda: {
            "body": "x",
            "headers": {"X-List": ["one"], "X-Bool": True, "X-Number": 7, "X-Null": None, "Content-Type": ["text/plain"]},
        },
        "record-base64": lambda: {"body": "AAECAwQ=", "isBase64Encoded": True, "headers": {"Content-Type": "application/octet-stream"}},
        "record-bad-base64": lambda: {"body": "*** no base64 ***", "isBase64Encoded": True},
        "text-record": lambda: json.dumps({"statusCode": 203, "body": "from text"}),
        "none": lambda: None,
        "number": lambda: 42,
        "raise": lambda: 1 / 0,
    }

    def handle(event, context):
        if event["path"].endswith("/event"):
            headers = event["headers"]
            event = dict(event, headers=dict(headers))
            return {"event": event, "context": context, "lookup": [headers.get("user-agent"), headers.get("User-Agent")]}
        return FORMS[event["queryStringParameters"]["form"]]()
    """)


@pytest.fixture(scope="module")
def events(running: Server) -> Server:
    running.deploy("signed", "events", EVENT, {"limits": {"memory": "128MiB"}})
    return running


@pytest.mark.parametrize(
    ("form", "status", "body"),
    [
        ("text", 200, b"plain text"),
        ("record", 201, b"made"),
        ("record-text-status", 202, b"accepted"),
        ("record-no-body", 200, b""),
        ("record-none-body", 200, b""),
        ("record-base64", 200, b"\x00\x01\x02\x03\x04"),
        ("text-record", 203, b"from text"),
        ("none", 200, b"null"),
        ("number", 200, b"42"),
        ("record-number-body", 200, b"5"),
    ],
)
def test_a_scaleway_result_becomes_this_response(events: Server, form: str, status: int, body: bytes) -> None:
    answer = events.call("signed/events", path=f"?form={form}")
    assert (answer.status, answer.body) == (status, body)


@pytest.mark.parametrize(
    ("form", "body"), [("object", {"message": "verbatim", "env_vars": [1]}), ("record-object-body", {"a": [1]})]
)
def test_a_scaleway_object_becomes_json(events: Server, form: str, body: Any) -> None:
    answer = events.call("signed/events", path=f"?form={form}")
    assert (answer.status, answer.json()) == (200, body)


def test_scaleway_response_headers_may_be_lists_numbers_booleans_and_null(events: Server) -> None:
    answer = events.call("signed/events", path="?form=record-headers")
    assert answer.status == 200, answer.text
    assert answer.headers["x-list"] == "one"
    assert answer.headers["x-bool"].lower() == "true"
    assert answer.headers["x-number"] == "7"
    assert "x-null" not in answer.headers
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("form", ["record-bad-base64", "raise"])
def test_a_scaleway_fault_is_500(events: Server, form: str) -> None:
    answer = events.call("signed/events", path=f"?form={form}")
    assert answer.status == 500, answer.text
    assert "ZeroDivision" not in answer.text


def test_the_scaleway_event_has_every_field_of_the_contract(events: Server) -> None:
    headers = {"User-Agent": "tester/1", "X-Own": "v", "Content-Type": "text/plain"}
    answer = events.call("signed/events", "PUT", "/a/b%20c/event?q=1&q=2&r=x", b"text body", headers)
    assert answer.status == 200, answer.text
    seen = answer.json()
    event = seen["event"]
    assert event["httpMethod"] == "PUT"
    assert event["path"] in ("/a/b c/event", "/a/b%20c/event")
    assert event["queryStringParameters"]["q"] in ("1", "2") and event["queryStringParameters"]["r"] == "x"
    assert event["body"] == "text body"
    assert event["headers"]["X-Own"] == "v"
    assert event["resource"] == "" and event["stageVariables"] == {} and event["stageVariable"] == {}
    for name in ("multiValueHeaders", "multiValueQueryStringParameters", "pathParameters"):
        assert event[name] is None
    wanted = {"accountId", "resourceId", "stage", "requestId", "resourcePath", "authorizer", "httpMethod", "apiId"}
    assert wanted <= set(event["requestContext"])
    assert event["requestContext"]["httpMethod"] == "PUT"
    assert seen["lookup"] == ["tester/1", "tester/1"], "headers are not looked up without case"
    assert seen["context"]["memoryLimitInMb"] == 128
    assert seen["context"]["functionName"].endswith("events")
    assert "functionVersion" in seen["context"]


def test_a_binary_request_body_comes_as_base64(events: Server) -> None:
    raw = bytes(range(256))
    seen = events.call("signed/events", "POST", "/event", raw, {"Content-Type": "application/octet-stream"}).json()
    assert seen["event"]["isBase64Encoded"] is True
    assert base64.b64decode(seen["event"]["body"]) == raw


@pytest.mark.guarantee("SCW-6")
def test_SCW_6_scaleway_secrets_are_environment_set_after_start(server: Server) -> None:
    server.namespace("signed")
    server.secret("signed/env", "API_KEY", "secret-in-the-environment")
    source = handler("""
        import os
        def handle(event, context):
            try:
                environ = open("/proc/self/environ").read()
            except PermissionError:
                environ = ""
            return {"length": len(os.environ["API_KEY"]), "in proc": "API_KEY" in environ}
        """)
    server.deploy("signed", "env", source, {"secrets": ["API_KEY"]})
    assert server.call("signed/env").json() == {"length": len("secret-in-the-environment"), "in proc": False}


def test_any_method_reaches_the_handler(events: Server) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"):
        answer = events.call("signed/events", method, "/event")
        assert answer.status == 200 and answer.json()["event"]["httpMethod"] == method, f"{method}: {answer.text}"
    assert json.loads(events.call("signed/events", "GET", "/event").body)["event"]["body"] == ""
