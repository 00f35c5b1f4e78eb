"""Asynchronous calls: made, waited for, looked at as their callers and as an operator does, and a function that does as it is told."""

from __future__ import annotations

import contextlib
import json
import re
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from casemate_fixture import Answer, Headers, Server, handler, problem

ABSENT = "00000000-0000-4000-8000-000000000000"
FINAL = {"succeeded", "failed", "timedOut", "cancelled", "dead"}
# Three attempts, almost at once.
QUICK = {"maxAttempts": 3, "backoff": "100ms", "maxBackoff": "200ms"}

# Does what the body says. `way` counts for the first `fails` attempts, before the time `until`, and not with MENDED in the environment.
ACTOR = handler("""
    import ctypes, json, os, subprocess, sys, time, uuid

    def handle(event, context):
        begin = time.time()
        headers = {name.lower(): value for name, value in event["headers"].items()}
        attempt = int(headers.get("casemate-attempt", "0"))
        order = json.loads(event["body"] or "{}")
        told = {"attempt": attempt, "begin": begin, "tag": order.get("tag"), "request": headers.get("x-request-id")}
        print("ran", json.dumps(told), flush=True)
        if "child" in order:
            subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)", order["child"]])
        time.sleep(order.get("s", 0))
        if max(attempt, 1) <= order.get("fails", 0) and "MENDED" not in os.environ and time.time() < order.get("until", 9e9):
            way = order.get("way", "status")
            if way == "raise":
                raise ValueError("this attempt fails: " + order.get("text", ""))
            if way == "exit":
                os._exit(3)
            if way == "fault":
                ctypes.string_at(0)
            if way == "broken":
                return {"statusCode": "not a number", "body": object()}
            if way == "hang":
                time.sleep(600)
            return {"statusCode": order.get("status", 500), "body": "attempt " + str(attempt)}
        if "answer" in order:
            return order["answer"]
        if "size" in order:
            return {"statusCode": 200, "headers": {"Content-Type": "text/plain"}, "body": "x" * order["size"]}
        told |= {"end": time.time(), "run": str(uuid.uuid4()), "turned": order.get("text", "")[::-1]}
        return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(told)}
    """)

# Says what it was given.
ECHO = handler("""
    import json

    def handle(event, context):
        names = ("httpMethod", "path", "queryStringParameters", "body", "isBase64Encoded")
        told = {name: event.get(name) for name in names}
        told["headers"] = {name.lower(): value for name, value in event["headers"].items()}
        return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(told)}
    """)


def deploy_actor(server: Server, function: str, asynchronous: Mapping[str, Any] = QUICK, **more: Any) -> dict[str, Any]:
    keys = {"signature": "scaleway", "async": dict(asynchronous), "limits": {"timeout": "60s"}, "scale": {"max": 4}}
    namespace, name = function.split("/")
    return server.deploy(namespace, name, ACTOR, {**keys, **more})


# ---------------------------------------------------------------- as a caller


def send(
    server: Server,
    function: str,
    body: Any = None,
    method: str = "POST",
    headers: Headers = (),
    **more: Any,
) -> Answer:
    """Calls asynchronously; `more` as `Server.call` takes it."""
    pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
    return server.call(function, method, body=body, headers=[*pairs, ("Prefer", "respond-async")], **more)


def accepted(answer: Answer) -> str:
    """The id of a call, after checking that its acceptance is whole."""
    assert answer.status == 202, f"{answer.status} {answer.text[:500]}"
    told = answer.json()
    assert told == {"callId": told["callId"], "status": "queued", "statusUrl": f"/calls/{told['callId']}"}
    assert answer.headers["location"] == told["statusUrl"] and answer.call_id == told["callId"]
    assert answer.headers["preference-applied"] == "respond-async"
    found: str = told["callId"]
    return found


def begin(server: Server, function: str, body: Any = None, **more: Any) -> str:
    return accepted(send(server, function, body, **more))


def ask(
    server: Server,
    path: str,
    key: str | None = "",
    token: str | None = None,
    method: str = "GET",
    timeout: float = 90,
    body: bytes | None = None,
) -> Answer:
    """Something of the gateway's that is no function."""
    headers = [("X-Auth-Token", token)] if token else [("Authorization", f"Bearer {key or server.key}")]
    given = headers if token or key is not None else []
    return server.http(server.gateway_url, method, path, body, given, timeout, server.connect)


def waiting(wait: float | None) -> str:
    return "" if wait is None else f"?wait={wait:g}"


def view(server: Server, call: str, wait: int | None = None, **who: Any) -> dict[str, Any]:
    answer = ask(server, f"/calls/{call}{waiting(wait)}", **who)
    assert answer.status == 200, f"{answer.status} {answer.text[:500]}"
    shown: dict[str, Any] = answer.json()
    assert shown["callId"] == call
    return shown


def ended(server: Server, call: str, seconds: float = 30, **who: Any) -> dict[str, Any]:
    """How a call ended."""
    end = time.monotonic() + seconds
    while True:
        left = end - time.monotonic()
        shown = view(server, call, max(0, min(10, int(left) + 1)), **who)
        if shown["status"] in FINAL:
            return shown
        assert left > 0, f"it has not ended within {seconds} s: {shown}"


def result(server: Server, call: str, wait: int | None = None, **who: Any) -> Answer:
    return ask(server, f"/calls/{call}/result{waiting(wait)}", **who)


def outcome(server: Server, call: str, seconds: float = 30, **who: Any) -> Any:
    """What a call that succeeded answered, as JSON."""
    shown = ended(server, call, seconds, **who)
    assert shown["status"] == "succeeded", shown
    answer = result(server, call, **who)
    assert answer.status == shown["responseStatus"], answer.text
    return answer.json()


def moment(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def becomes(server: Server, call: str, status: str, seconds: float = 15, **who: Any) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while (shown := view(server, call, **who))["status"] != status:
        assert time.monotonic() < end and shown["status"] not in FINAL, f"it does not become {status}: {shown}"
        time.sleep(0.02)
    return shown


@contextlib.contextmanager
def held(server: Server, function: str, order: str, seconds: float = 50, **who: Any) -> Iterator[str]:
    """A call of an actor that runs for as long as the block, so that others with its `Casemate-Key` wait."""
    call = begin(server, function, {"s": seconds, "tag": "held"}, headers={"Casemate-Key": order}, **who)
    becomes(server, call, "running")
    try:
        yield call
    finally:
        assert operate(server, function, call, "cancel").status in (200, 404, 409)


# ---------------------------------------------------------------- as an operator


def calls_path(function: str, call: str = "", what: str = "") -> str:
    namespace, name = function.split("/")
    parts = [part for part in (call, what) if part]
    return "/".join([f"/v1/namespaces/{namespace}/functions/{name}/calls", *parts])


def operate(server: Server, function: str, call: str, what: str, key: str | None = "") -> Answer:
    """`cancel` or `redrive`; the latter of all dead ones where `call` is empty."""
    return server.api("POST", calls_path(function, call, what), key=key)


def page(server: Server, scope: str, key: str | None = "", **query: str | int) -> Answer:
    """One page of a function's calls, or of a namespace's."""
    path = calls_path(scope) if "/" in scope else f"/v1/namespaces/{scope}/calls"
    return server.api("GET", path + ("?" + urllib.parse.urlencode(query) if query else ""), key=key)


def listed(server: Server, scope: str, key: str | None = "", **query: str | int) -> list[dict[str, Any]]:
    """All of them, newest first."""
    found: list[dict[str, Any]] = []
    query.setdefault("limit", 1000)
    while True:
        answer = page(server, scope, key, **query)
        assert answer.status == 200, answer.text
        told = answer.json()
        found += told["calls"]
        if not told.get("nextCursor"):
            return found
        assert told["calls"], "an empty page that is not the last"
        query["cursor"] = told["nextCursor"]


def ids(calls: list[dict[str, Any]]) -> list[str]:
    return [call["callId"] for call in calls]


def redriven(answer: Answer) -> list[tuple[str, str]]:
    """The calls that a redrive was of, each with its new one."""
    assert answer.status == 202, answer.text
    return [(call["redriveOf"], call["callId"]) for call in answer.json()["calls"]]


def runs(server: Server, function: str, call: str | None = None) -> list[dict[str, Any]]:
    """What an actor said of its runs, the earliest first."""
    return [
        json.loads(message.removeprefix("ran "))
        for message in server.messages(function, call)
        if message.startswith("ran ")
    ]


def metric(server: Server, name: str, labels: str = "") -> float:
    answer = server.api("GET", "/metrics")
    assert answer.status == 200, answer.text
    found = re.search(rf"^{re.escape(name + labels)} (\S+)$", answer.text, re.M)
    return float(found[1]) if found else 0.0


def limit_queue(server: Server, namespace: str, **queue: int) -> None:
    server.namespace(namespace)
    answer = server.api("PUT", f"/v1/namespaces/{namespace}/policy", {"queue": queue})
    assert answer.status == 200, answer.text


def refusal(answer: Answer) -> tuple[int, list[str], list[str], str, str]:
    """What tells two refusals apart, without what differs between any two."""
    details = problem(answer)
    names = sorted(name.lower() for name, _ in answer.fields if name.lower() != "date")
    return answer.status, names, sorted(details), details["detail"], details["type"]
