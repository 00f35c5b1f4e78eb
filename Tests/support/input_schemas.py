"""Functions with input schemas, calls of them, and what a refusal has to say."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

from async_calls import ACTOR, QUICK, ended, runs, view
from casemate_fixture import Answer, Headers, Server, Source, handler, problem

JSON = ("Content-Type", "application/json")
SECRET = "s3cr3t-7f3a"
_numbers = itertools.count(1)

TAKER = handler("""
    import json

    def handle(event, context):
        print("ran", flush=True)
        told = {"size": len(event["body"] or ""), "query": event["queryStringParameters"]}
        return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(told)}
    """)

# Calls another function as it is told, with its session or without.
CALLER = handler("""
    import json
    import urllib.error
    import urllib.request

    def handle(event, context):
        order = json.loads(event["body"])
        headers = {name.lower(): value for name, value in event["headers"].items()}
        fields = {"Content-Type": order["content"]}
        if order["session"]:
            fields["Authorization"] = "Bearer " + headers["casemate-session"]
        request = urllib.request.Request("http://" + order["to"], order["body"].encode(), fields)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                told = {"status": answer.status, "body": answer.read().decode()}
        except urllib.error.HTTPError as error:
            told = {"status": error.code, "body": error.read().decode()}
        return {"statusCode": 200, "body": json.dumps(told)}
    """)
KIND = """
import json

def handle(event, context):
    kind = type(json.loads(event["body"])["n"]).__name__
    print("ran" if kind == "{0}" else "broken", flush=True)
    return {{"statusCode": 200, "body": kind}}
"""

ORDER: dict[str, Any] = {
    "type": "object",
    "required": ["n"],
    "properties": {
        "n": {"type": "integer", "maximum": 100},
        "items": {"type": "array", "items": {"properties": {"q": {"minimum": 1}}}},
        "a/b~c": {"type": "string"},
    },
}
QUERY: dict[str, Any] = {
    "required": ["days"],
    "properties": {
        "days": {"type": "string", "pattern": "^[0-9]+$"},
        "tag": {"type": "array", "prefixItems": [{"const": "x"}, {"const": "y"}], "minItems": 2},
        "name": {"const": "a b"},
        "mail": {"const": "é+€"},
        "empty": {"const": ""},
        "sum": {"const": "1=2"},
    },
    "additionalProperties": False,
}
FIELDS: dict[str, Any] = {
    "required": ["x-tenant"],
    "properties": {"x-tenant": {"type": "string", "pattern": "^[a-z]+$"}},
    "patternProperties": {"[A-Z]": False},
}

# Of a body in JSON and in UTF-8, and of one that may be something else.
CONTENT_TYPES = [
    *("application/json", "APPLICATION/JSON", "application/json;charset=utf-8", 'Application/Json; Charset="UTF-8"'),
    *("application/json ; charset=utf-8; version=1", "application/problem+json", "application/vnd.api+json; ext=a"),
    *("text/x+JSON", 'application/json; profile="a;charset=utf-16"', 'application/json; profile="a\\";charset=utf-16"'),
]
OTHER_CONTENT_TYPES = [
    *("", "json", "+json", "/json", "text/plain", "text/json", "application/jsonx", "application/json-seq", "*/*"),
    *("application/json/x", "application/x-www-form-urlencoded", "multipart/form-data; boundary=application/json"),
    *("text/plain; application/json", "text/plain, application/json", "application/json, text/plain", "application/*"),
    *("application/x+json+xml", "application/json x", "application/json\tx", "application/ json", "a/x+json/x"),
    *("application/json; charset=utf-16", "application/json; charset=iso-8859-1", "application/json; charset=utf-7"),
    *('application/json; charset="utf-16"', "application/json; CHARSET=UTF-16LE", "application/problem+json;charset=x"),
    *("application/json; charset=utf-8; charset=utf-16", "application/json; charset=utf-16; charset=utf-8"),
    *('application/json; x="\\""; charset=utf-16', 'application/json; x="a"; charset=utf-16'),
    *("application/json;\tcharset=utf-16", "application/json;;charset=utf-16", "application/json; charset =utf-16"),
]

# Queries that match QUERY; and others, each with the pointer of its refusal where that is clear.
QUERIES = [
    *("days=7", "%64ays=%37", "days=7&", "&&days=7", "days=7&tag=x&tag=y", "tag=x&days=7&t%61g=y", "days=7&name=a+b"),
    *("days=7&name=a%20b", "days=7&mail=%C3%A9%2b%e2%82%ac", "days=7&empty", "days=7&empty=", "days=7&sum=1=2"),
]
OTHER_QUERIES: list[tuple[str, str | None]] = [
    *(("", ""), ("?", ""), ("?days=", "/days"), ("?days=x", "/days"), ("?days=7&days=8", "/days")),
    *(("?days=7&%64ays=7", "/days"), ("?days=7&days=", "/days"), ("?days=%2B7", "/days"), ("?days=7%00", "/days")),
    *(
        ("?days=7%0A", "/days"),
        ("?days=7;tag=x", "/days"),
        ("?days=7&tag=x", "/tag"),
        ("?days=7&tag=y&tag=x", "/tag/0"),
    ),
    *(("?days=7&name=a%2Bb", "/name"), ("?days=7&other=1", "/other"), ("?days=7&DAYS=7", "/DAYS"), ("?days=7&=1", "/")),
    *(("?days=7&a%2Fb=1", "/a~1b"), ("?days=7&day%73%5B%5D=1", "/days[]"), ("?%2564ays=7", None), ("?Days=7", None)),
]


def made(body: bytes = b'{"n": 1}', days: str = "7", tenant: str = "plant", *fields: tuple[str, str]) -> dict[str, Any]:
    """A call of schemas/all."""
    return {"path": f"?days={days}", "body": body, "headers": [*(fields or [JSON]), ("X-Tenant", tenant)]}


# Each breaks one of the schemas, or can't be checked; with the reason that its refusal has.
WRONG: list[tuple[dict[str, Any], str | None]] = [
    (made(b"{}"), "body"),
    (made(b"{"), "body"),
    (made(b'{"n": 1}', "7", "plant", ("Content-Type", "text/plain")), None),
    (made(b'{"n": 1}', "7", "plant", JSON, ("Content-Encoding", "gzip")), None),
    (made(days="x"), "query"),
    (made(days="%"), "query"),
    (made(tenant="1"), "headers"),
]


def deploy(
    server: Server, function: str, schemas: Mapping[str, Any], source: Source = TAKER, **keys: Any
) -> dict[str, Any]:
    """With schemas of its `body`, `query` and `headers`, each in a file of its own."""
    files = {f"{kind}.json": json.dumps(schema) for kind, schema in schemas.items()}
    namespace, name = function.split("/")
    named = {"signature": "scaleway", "inputSchema": {kind: f"{kind}.json" for kind in schemas}}
    return server.deploy(namespace, name, {**source, **files}, {**named, **keys})


def kinds(kind: str) -> Source:
    """Takes a number or a text, and says so when it gets the other."""
    return {"handler.py": KIND.format(kind)}


def post(server: Server, function: str, body: bytes, headers: Headers = (JSON,), **more: Any) -> Answer:
    return server.call(function, "POST", body=body, headers=headers, **more)


def raw(server: Server, text: str) -> bytes:
    """All that comes back to these bytes."""
    parts = urllib.parse.urlsplit(server.gateway_url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as client:
        client.sendall(text.encode())
        return b"".join(iter(lambda: client.recv(65536), b""))


def invalid(answer: Answer, reason: str, pointer: str | None = None) -> dict[str, Any]:
    """The problem details of what breaks a schema, after checking that they say which and where."""
    told = problem(answer)
    assert (told["status"], told["type"], told["reason"]) == (400, "/problems/invalid-input", reason), told
    assert isinstance(told["pointer"], str) and (pointer is None or told["pointer"] == pointer), told
    return told


def unsupported(answer: Answer) -> None:
    told = problem(answer)
    assert (told["status"], told["type"]) == (415, "/problems/unsupported-media-type"), told


@contextlib.contextmanager
def nothing_runs(server: Server, function: str) -> Iterator[None]:
    """Neither a call nor a start is counted in this block, and the function says nothing."""

    def seen() -> tuple[int, int, list[str]]:
        status = server.api("GET", "/v1/status").json()
        return status["calls"], status["coldStarts"], server.messages(function)

    before = seen()
    yield
    assert seen() == before


class Stricter:
    """A function whose schema takes any object at first, and then only what is tagged "good"."""

    def __init__(self, server: Server) -> None:
        self.server, self.function = server, f"schemas/stricter-{next(_numbers)}"
        self._deploy({"type": "object"})

    def _deploy(self, schema: Any) -> None:
        deploy(self.server, self.function, {"body": schema}, ACTOR, **{"async": QUICK, "limits": {"timeout": "60s"}})

    def tighten(self) -> None:
        self._deploy({"required": ["tag"], "properties": {"tag": {"const": "good"}}})

    def has_failed(self, call: str, ran: int) -> None:
        """Refused by the new schema, and not tried again; it has run as often before."""
        shown = ended(self.server, call)
        assert (shown["status"], shown["problem"]["type"]) == ("failed", "/problems/invalid-input"), shown
        assert SECRET not in json.dumps(shown)
        time.sleep(0.5)
        assert view(self.server, call) == shown and len(runs(self.server, self.function, call)) == ran
