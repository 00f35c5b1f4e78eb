"""Functions that call functions: by name, with their own identity, where the callee lists them."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from casemate_fixture import Server, handler, wait_until

CALLER = handler("""
    import http.client
    import json
    import socket
    import urllib.error
    import urllib.request

    def handle(data):
        if "raw" in data:
            with socket.create_connection((data["host"], 80), 5) as stream:
                stream.sendall(data["raw"].encode())
                stream.settimeout(5)
                return {"raw": stream.recv(65536).decode("latin-1")}
        request = urllib.request.Request(f"http://{data['host']}{data.get('path', '/')}", headers=data.get("headers", {}))
        request.data = json.dumps(data["body"]).encode() if "body" in data else None
        if request.data:
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return {"status": answer.status, "body": answer.read().decode()}
        except urllib.error.HTTPError as error:
            return {"status": error.code, "body": error.read().decode()}
        except OSError as error:
            return {"error": str(error)}
    """)
CALLEE = handler("""
    import json

    def handle(event, context):
        seen = {key: event.get(key) for key in ("httpMethod", "path", "queryStringParameters", "body")}
        seen["headers"] = {name.lower(): value for name, value in event["headers"].items()}
        return {"statusCode": 201, "headers": {"Content-Type": "application/json"}, "body": json.dumps(seen)}
    """)
LOOP = handler("""
    import urllib.error
    import urllib.request

    def handle(data):
        try:
            with urllib.request.urlopen(urllib.request.Request("http://loop.calls.internal/", data=b"{}"), timeout=30) as answer:
                return int(answer.read()) + 1
        except urllib.error.HTTPError as error:
            return 0 if error.code == 508 else -1000
    """)
ON = handler("""
    import json
    import threading
    import time
    import urllib.request

    def call(step):
        time.sleep(0.1)
        request = urllib.request.Request("http://on.calls.internal/", data=json.dumps({"step": step}).encode())
        urllib.request.urlopen(request, timeout=30).read()

    def handle(data):
        print("step", data["step"], flush=True)
        threading.Thread(target=call, args=(data["step"] + 1,)).start()
        return data["step"]
    """)
CALLS = {"host": "callee.calls.internal"}


def deploy_callee(server: Server, *callers: str, **more: Any) -> None:
    server.deploy("calls", "callee", CALLEE, {"callers": list(callers), "signature": "scaleway", **more})


@pytest.fixture
def pair(server: Server) -> Server:
    deploy_callee(server, "calls/caller")
    server.deploy("calls", "caller", CALLER)
    return server


def asks(server: Server, function: str = "calls/caller", **data: Any) -> dict[str, Any]:
    answer = server.call(function, body={**CALLS, **data}, timeout=60)
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.guarantee("KYM-10")
def test_a_function_that_is_listed_calls_another_by_its_name(pair: Server) -> None:
    found = asks(pair, path="/items/7?a=b&c=d", body={"x": 1}, headers={"X-Mine": "kept"})
    assert found["status"] == 201, found
    seen = json.loads(found["body"])
    assert (seen["httpMethod"], seen["path"], seen["body"]) == ("POST", "/items/7", '{"x": 1}')
    assert seen["queryStringParameters"] == {"a": "b", "c": "d"}
    assert seen["headers"]["casemate-caller"] == "calls/caller" and seen["headers"]["x-mine"] == "kept"


def test_who_calls_cannot_be_forged_and_no_credential_is_handed_on(pair: Server) -> None:
    forged = {
        "Casemate-Caller": "plant/other",
        "X-Forwarded-For": "1.2.3.4",
        "X-Auth-Token": "t" * 40,
        "Authorization": "Bearer x",
    }
    seen = json.loads(asks(pair, headers=forged)["body"])["headers"]
    assert seen["casemate-caller"] == "calls/caller" and seen["x-forwarded-for"] == "unknown"
    assert "x-auth-token" not in seen and "authorization" not in seen


def test_nobody_outside_passes_for_a_function(server: Server) -> None:
    deploy_callee(server, "calls/caller", access="public")
    forged = {"Casemate-Caller": "calls/caller", "casemate_caller": "calls/caller"}
    answer = server.call("calls/callee", body={}, headers=forged)
    assert answer.status == 201, answer.text
    assert not [name for name in answer.json()["headers"] if "caller" in name], answer.text


@pytest.mark.case("N8")
@pytest.mark.guarantee("KYM-10")
def test_a_function_that_is_not_listed_reaches_no_other(pair: Server) -> None:
    pair.deploy("calls", "stranger", CALLER)
    pair.deploy("strangers", "caller", CALLER)
    for function in ("calls/stranger", "strangers/caller"):
        for host in (
            "callee.calls.internal",
            "absent.calls.internal",
            "callee.calls.internal.",
            "CALLEE.CALLS.INTERNAL",
        ):
            found = asks(pair, function, host=host)
            assert "Name or service not known" in found.get("error", ""), f"{function} to {host}: {found}"
    deploy_callee(pair, "calls/caller", access="public")
    assert "error" in asks(pair, "calls/stranger"), "public is for callers from outside"


@pytest.mark.case("N8")
def test_a_caller_that_is_taken_off_the_list_is_refused_within_a_second(pair: Server) -> None:
    assert asks(pair)["status"] == 201
    deploy_callee(pair)
    begin = time.monotonic()
    assert wait_until(lambda: asks(pair).get("status") != 201, 2, every=0.1)
    assert time.monotonic() - begin < 1


def test_a_connection_is_checked_with_each_request(pair: Server) -> None:
    one = "GET /{} HTTP/1.1\r\nHost: {}\r\n\r\n"
    right, wrong = one.format("a", "callee.calls.internal"), one.format("b", "caller.calls.internal")
    assert asks(pair, raw=right)["raw"].startswith("HTTP/1.1 201")
    other = "GET {} HTTP/1.1\r\nHost: callee.calls.internal\r\n\r\n"
    for raw in (
        wrong,
        one.format("", "evil.example.org"),
        other.format("*"),
        other.format("http://caller.calls.internal/"),
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: callee.calls.internal\r\n\r\n",
    ):
        assert asks(pair, raw=raw)["raw"].startswith("HTTP/1.1 400"), raw
    assert asks(pair, raw=one.format("f/calls/caller", "callee.calls.internal"))["raw"].startswith(
        "HTTP/1.1 201"
    ), "its path is the callee's"


def test_what_the_callee_answers_is_what_the_caller_gets(pair: Server) -> None:
    source = handler("def handle(data):\n    raise RuntimeError('inside')\n")
    pair.deploy("calls", "failing", source, {"callers": ["calls/caller"]})
    found = asks(pair, host="failing.calls.internal", body={})
    assert found["status"] == 500 and "inside" not in found["body"]


@pytest.mark.case("N8")
def test_a_loop_ends(server: Server) -> None:
    server.deploy(
        "calls", "loop", LOOP, {"callers": ["calls/loop"], "scale": {"max": 30}, "limits": {"timeout": "60s"}}
    )
    answer = server.call("calls/loop", body={}, timeout=90)
    assert answer.status == 200 and answer.json() == 16, answer.text
    server.assert_serving()


@pytest.mark.case("N8")
def test_a_loop_ends_that_goes_on_behind_the_answers(server: Server) -> None:
    """Each call is answered before it makes the next one, so that none waits for another."""
    server.deploy("calls", "on", ON, {"callers": ["calls/on"], "signature": "cognite"})
    assert server.call("calls/on", body={"step": 0}).json() == 0

    def steps() -> list[int]:
        return sorted(
            int(line["message"].split()[1]) for line in server.logs("calls/on") if line["message"].startswith("step")
        )

    assert wait_until(lambda: steps() == list(range(17)), 20), steps()
    time.sleep(1)
    assert steps() == list(range(17))


@pytest.mark.case("N8")
def test_a_function_that_was_deleted_calls_no_more(server: Server) -> None:
    """Its last call goes on to its end."""
    server.deploy(
        "calls",
        "counted",
        handler("def handle(data):\n    print('called', flush=True)\n"),
        {"callers": ["calls/leaving"]},
    )
    source = handler("""
        import time
        import urllib.error
        import urllib.request

        def handle(data):
            for _ in range(40):
                try:
                    urllib.request.urlopen("http://counted.calls.internal/", data=b"{}", timeout=5).read()
                except OSError:
                    pass
                time.sleep(0.1)
        """)
    server.deploy("calls", "leaving", source)

    def times() -> int:
        return sum(line["message"] == "called" for line in server.logs("calls/counted"))

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(server.call, "calls/leaving", body={}, timeout=30)
        assert wait_until(lambda: times() > 3, 10)
        assert server.api("DELETE", "/v1/namespaces/calls/functions/leaving").status in (200, 204)
        server.deployed.discard("calls/leaving")
        time.sleep(0.5)
        then = times()
        running.result()
    assert then < 30 and times() == then


def test_a_deployment_shows_who_may_call_from_now_on(server: Server) -> None:
    def change(*callers: str, **more: Any) -> Any:
        return server.deploy("calls", "shown", CALLEE, {"callers": list(callers), "signature": "scaleway", **more}).get(
            "callers"
        )

    assert change("calls/one", "calls/two") == {"added": ["calls/one", "calls/two"], "removed": []}
    assert change("calls/two", "other/three") == {"added": ["other/three"], "removed": ["calls/one"]}
    assert change("calls/two", "other/three", env={"A": "b"}) is None


def test_many_calls_at_once(pair: Server) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: asks(pair, path=f"/{number}"), range(40)))
    assert [entry["status"] for entry in found] == [201] * 40


def test_only_the_port_of_HTTP_is_open(pair: Server) -> None:
    found = asks(pair, host="callee.calls.internal:8080")
    assert "refused" in found.get("error", ""), found


@pytest.mark.parametrize("entry", ["ingest", "plant/ingest/x", "*", "plant/*", "PLANT/ingest", ""])
def test_what_is_no_function_is_no_caller(server: Server, entry: str) -> None:
    outcome = server.try_deploy("calls", "wrong", CALLEE, {"callers": [entry]})
    assert outcome.code != 0 and "callers" in outcome.said
