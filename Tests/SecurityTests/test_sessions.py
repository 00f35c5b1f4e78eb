"""A call's session: what its function declares and its caller may, for that call and in that sandbox alone."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from accounts import account
from casemate_fixture import Server, handler, wait_until
from places import connect_from, place

# Tries what it is told with the session that it has, or with one that it is given; what it answers is turned round where it holds a key.
ACT = handler("""
    import json
    import time
    import urllib.error
    import urllib.request

    def send(step, session):
        headers = dict(step.get("headers", {}))
        if step.get("as", "session") == "session":
            headers["Authorization"] = "Bearer " + session
        request = urllib.request.Request(step["url"], method=step.get("method", "GET"), headers=headers)
        if "body" in step:
            request.data = json.dumps(step["body"]).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return {"status": answer.status, "body": answer.read().decode()}
        except urllib.error.HTTPError as error:
            return {"status": error.code, "body": error.read().decode()}
        except OSError as error:
            return {"status": 0, "body": str(error)}

    def handle(event, context):
        data = json.loads(event["body"] or "{}")
        own = event["headers"].get("Casemate-Session", "")
        session = data["session"][::-1] if "session" in data else own
        if data.get("print"):
            print("session", own)
        done = []
        for step in data.get("steps", []):
            time.sleep(step.get("wait", 0))
            done.append(send(step, session))
        said = {"turned": own[::-1], "plain": own, "done": done, "headers": sorted(k.lower() for k in event["headers"])}
        return {"statusCode": 200, "body": json.dumps(said)}
    """)
WHOAMI = {"url": "http://casemate.internal/v1/whoami"}
INVOKE = {"url": "http://lookup.sess.internal/", "method": "POST", "body": {}}
LOGS = {"url": "http://casemate.internal/v1/namespaces/sess/functions/lookup/logs"}


@pytest.fixture(scope="module")
def acting(running: Server) -> Server:
    running.deploy(
        "sess", "lookup", ACT, {"signature": "scaleway", "capabilities": ["sess/third:invoke", "sess/lookup:logs:read"]}
    )
    running.deploy("sess", "third", ACT, {"signature": "scaleway"})
    declared = ["sess/lookup:invoke", "sess/lookup:logs:read"]
    running.deploy(
        "sess",
        "act",
        ACT,
        {"signature": "scaleway", "capabilities": declared, "limits": {"timeout": "30s"}, "scale": {"max": 3}},
    )
    running.deploy("sess", "plain", ACT, {"signature": "scaleway"})
    return running


def act(server: Server, *steps: dict[str, Any], key: str | None = "", function: str = "sess/act", **more: Any) -> Any:
    answer = server.call(function, body={"steps": list(steps), **more}, key=key)
    assert answer.status == 200, answer.text
    return answer.json()


def statuses(server: Server, *steps: dict[str, Any], **more: Any) -> list[int]:
    return [step["status"] for step in act(server, *steps, **more)["done"]]


@pytest.mark.guarantee("COG-21")
def test_COG_21_an_administrators_call_gives_the_function_what_it_declares_and_no_more(acting: Server) -> None:
    api = "http://casemate.internal/v1"
    done = act(
        acting, WHOAMI, INVOKE, LOGS,
        {"url": f"{api}/namespaces/sess/functions/lookup"}, {"url": f"{api}/namespaces/sess/functions/act/logs"},
        {"url": f"{api}/namespaces", "method": "POST", "body": {"name": "mine"}}, {"url": f"{api}/grants"},
        {"url": f"{api}/namespaces/sess/tokens", "method": "POST", "body": {}}, {"url": f"{api}/status"},
        {"url": f"{api}/namespaces/sess/functions/lookup", "method": "DELETE"}, {"url": f"{api}/namespaces/sess/functions/third"},
        {"url": "http://third.sess.internal/", "method": "POST", "body": {}},
    )["done"]  # fmt: skip
    who = json.loads(done[0]["body"])
    assert who["subject"].endswith(" via fn:sess/act")
    assert sorted((held["permission"], held["on"]) for held in who["grants"]) == [
        ("function:invoke", "sess/lookup"), ("logs:read", "sess/lookup")]  # fmt: skip
    assert [step["status"] for step in done[1:3]] == [200, 200]
    assert [step["status"] for step in done[3:]] == [403, 404, 403, 403, 403, 403, 403, 404, 0]
    assert acting.api("GET", "/v1/namespaces/sess/functions/lookup").status == 200, "it is still there"


@pytest.mark.guarantee("COG-21")
def test_COG_21_a_caller_gives_no_more_than_it_has(acting: Server) -> None:
    invoker = account(acting, "sess", ("function:invoke", "sess/act"))
    assert statuses(acting, INVOKE, LOGS, key=invoker.key) == [404, 404]
    reader = account(acting, "sess", ("function:invoke", "sess/act"), ("logs:read", "sess"))
    assert statuses(acting, INVOKE, LOGS, key=reader.key) == [403, 200]
    both = account(acting, "sess", ("function:invoke", "sess"), ("logs:read", "sess/lookup"))
    assert statuses(acting, INVOKE, LOGS, key=both.key) == [200, 200]
    # Tokens of functions: one for the namespace calls what it could call itself.
    wide = acting.token("sess")["token"]
    narrow = acting.token("sess/act")["token"]
    for token, expected in ((wide, [200, 403]), (narrow, [404, 404])):
        answer = acting.call("sess/act", key=None, headers={"X-Auth-Token": token}, body={"steps": [INVOKE, LOGS]})
        assert [step["status"] for step in answer.json()["done"]] == expected


@pytest.mark.guarantee("COG-22")
def test_COG_22_a_session_stands_for_whoever_called(acting: Server) -> None:
    machine = account(acting, "sess", ("function:invoke", "sess"), name="robot")
    who = json.loads(act(acting, WHOAMI, key=machine.key)["done"][0]["body"])
    assert who["subject"] == "service-account:sess/robot via fn:sess/act"
    assert who["grants"] == [{"on": "sess/lookup", "permission": "function:invoke"}]


@pytest.mark.guarantee("COG-23")
def test_COG_23_a_function_that_declares_nothing_is_given_nothing(acting: Server) -> None:
    said = act(acting, WHOAMI, {"url": "http://lookup.sess.internal/"}, function="sess/plain")
    assert said["plain"] == "" and "casemate-session" not in said["headers"]
    # Not even the platform's name.
    assert [step["status"] for step in said["done"]] == [0, 0]
    forged = acting.call("sess/plain", body={}, headers={"Casemate-Session": "cms_forged"}).json()
    assert "casemate-session" not in forged["headers"]


@pytest.mark.guarantee("COG-21")
@pytest.mark.case("A10")
def test_A10_a_session_is_of_no_use_after_its_call_elsewhere_or_outside(acting: Server) -> None:
    over = act(acting)["turned"]
    assert statuses(acting, WHOAMI, INVOKE, session=over) == [401, 401], "its call is over"

    def live(_: int) -> Any:
        return act(acting, {**WHOAMI, "wait": 3})

    with ThreadPoolExecutor(1) as pool:
        # One that runs, seen by way of its log, turned round by nobody: what a thief could have.
        running = pool.submit(live, 0)
        connect = connect_from(place())
        stolen = over[::-1]
        for url, path in ((acting.gateway_url, "/f/sess/lookup"), (acting.api_url, "/v1/whoami")):
            for field in ({"Authorization": f"Bearer {stolen}"}, {"X-Auth-Token": stolen}):
                assert acting.http(url, "GET", path, None, field, connect=connect).status == 401
        assert running.result()["done"][0]["status"] == 200


@pytest.mark.case("A10")
def test_A10_a_running_calls_session_opens_nothing_from_another_sandbox(acting: Server) -> None:
    """The function hands its own key, while it is valid, to a function that has capabilities of its own."""
    relayed = handler("""
        import json
        import urllib.error
        import urllib.request

        def handle(event, context):
            own = event["headers"]["Casemate-Session"]
            body = json.dumps({"session": own[::-1], "steps": [{"url": "http://casemate.internal/v1/whoami"}]}).encode()
            headers = {"Authorization": "Bearer " + own, "Content-Type": "application/json"}
            request = urllib.request.Request("http://lookup.sess.internal/", data=body, headers=headers)
            with urllib.request.urlopen(request, timeout=20) as answer:
                theirs = json.load(answer)
            mine = urllib.request.Request("http://casemate.internal/v1/whoami", headers={"Authorization": "Bearer " + own})
            with urllib.request.urlopen(mine, timeout=20) as answer:
                said = {"mine": answer.status, "theirs": theirs["done"][0]["status"]}
                return {"statusCode": 200, "body": json.dumps(said)}
        """)
    acting.deploy("sess", "relay", relayed, {"signature": "scaleway", "capabilities": ["sess/lookup:invoke"]})
    answer = acting.call("sess/relay", body={})
    assert answer.json() == {"mine": 200, "theirs": 401}, answer.text


@pytest.mark.case("A10")
def test_A10_a_session_is_of_no_use_in_another_instance_of_the_same_function(acting: Server) -> None:
    """It hands its key to a call of its own function, which the other instance runs."""
    relayed = handler("""
        import json
        import urllib.error
        import urllib.request

        def handle(event, context):
            own = event["headers"]["Casemate-Session"]
            data = json.loads(event["body"] or "{}")
            shown = data["key"][::-1] if "key" in data else own
            headers = {"Authorization": "Bearer " + shown, "Content-Type": "application/json"}
            try:
                with urllib.request.urlopen(urllib.request.Request("http://casemate.internal/v1/whoami", headers=headers)) as answer:
                    found = [answer.status]
            except urllib.error.HTTPError as error:
                found = [error.code]
            if "key" not in data:
                body = json.dumps({"key": own[::-1]}).encode()
                request = urllib.request.Request("http://self.sess.internal/", data=body, headers=headers)
                with urllib.request.urlopen(request, timeout=20) as answer:
                    found += json.load(answer)
            return {"statusCode": 200, "body": json.dumps(found)}
        """)
    acting.deploy("sess", "self", relayed, {"signature": "scaleway", "capabilities": ["sess/self:invoke"]})
    answer = acting.call("sess/self", body={})
    assert answer.json() == [200, 401], answer.text


def test_between_functions_nothing_is_open_to_all_and_the_caller_is_told_where_it_is_listed_alone(
    acting: Server,
) -> None:
    acting.deploy("sess", "open", ACT, {"signature": "scaleway", "access": "public"})
    acting.deploy("sess", "lists", ACT, {"signature": "scaleway", "callers": ["sess/both"]})
    declared = ["sess/open:invoke", "sess/lists:invoke"]
    acting.deploy("sess", "both", ACT, {"signature": "scaleway", "access": "public", "capabilities": declared})
    steps = [{"url": f"http://{name}.sess.internal/", "method": "POST", "body": {}} for name in ("open", "lists")]
    anonymous = act(acting, *steps, {**steps[1], "as": "none"}, key=None, function="sess/both")["done"]
    assert [step["status"] for step in anonymous] == [404, 404, 200]
    assert "casemate-caller" in json.loads(anonymous[2]["body"])["headers"], "it is listed, and comes as itself"
    known = act(acting, *steps, function="sess/both")["done"]
    assert [step["status"] for step in known] == [200, 200]
    assert not any(
        "casemate-caller" in json.loads(step["body"])["headers"] for step in known
    ), "it comes for its caller"


def test_a_declared_name_does_not_tell_whether_there_is_such_a_function(acting: Server) -> None:
    acting.deploy(
        "sess", "spy", ACT, {"signature": "scaleway", "capabilities": ["sess/third:invoke", "sess/absent:invoke"]}
    )
    nobody = account(acting, "sess", ("function:invoke", "sess/spy"))
    steps = [{"url": f"http://{name}.sess.internal/", "method": "POST", "body": {}} for name in ("third", "absent")]
    there, absent = act(acting, *steps, key=nobody.key, function="sess/spy")["done"]
    assert (there["status"], absent["status"]) == (404, 404)
    assert json.loads(there["body"])["detail"] == json.loads(absent["body"])["detail"]


def test_a_call_that_was_begun_with_a_session_does_not_run_after_it(acting: Server) -> None:
    late = handler("""
        import json
        import socket
        import threading
        import time

        FOUND = []

        def finish(stream):
            time.sleep(2)
            stream.sendall(b"{}")
            stream.settimeout(20)
            FOUND.append(stream.recv(64).decode("latin-1").split()[1])

        def handle(event, context):
            if event["path"] == "/found":
                while not FOUND:
                    time.sleep(0.1)
                return {"statusCode": 200, "body": json.dumps(FOUND)}
            stream = socket.create_connection(("lookup.sess.internal", 80), 10)
            head = "POST / HTTP/1.1\\r\\nHost: lookup.sess.internal\\r\\nContent-Type: application/json\\r\\nContent-Length: 2\\r\\n"
            stream.sendall((head + "Authorization: Bearer " + event["headers"]["Casemate-Session"] + "\\r\\n\\r\\n").encode())
            threading.Thread(target=finish, args=(stream,), daemon=True).start()
            return {"statusCode": 200, "body": "{}"}
        """)
    keys = {"signature": "scaleway", "capabilities": ["sess/lookup:invoke"], "scale": {"max": 1}}
    acting.deploy("sess", "late", late, keys)
    assert acting.call("sess/late", body={}).status == 200
    before = acting.status()["calls"]
    assert acting.call("sess/late", path="/found").json() == ["401"]
    assert acting.status()["calls"] == before + 1, "nothing ran but the question"


def test_a_function_that_asks_the_platform_for_too_much_is_held_back_and_hurts_nobody(acting: Server) -> None:
    flood = handler("""
        import http.client
        import json

        def handle(event, context):
            own = {"Authorization": "Bearer " + event["headers"]["Casemate-Session"]}
            link = http.client.HTTPConnection("casemate.internal", timeout=20)
            found = {}
            for _ in range(600):
                link.request("GET", "/v1/whoami", headers=own)
                answer = link.getresponse()
                answer.read()
                found[answer.status] = found.get(answer.status, 0) + 1
            link.request("GET", "/v1/namespaces/sess/functions/lookup/logs?wait=30", headers=own)
            answer = link.getresponse()
            answer.read()
            return {"statusCode": 200, "body": json.dumps([found, answer.status])}
        """)
    acting.deploy("sess", "flood", flood, {"signature": "scaleway", "capabilities": ["sess/lookup:logs:read"]})
    found, waiting = acting.call("sess/flood", body={}).json()
    assert set(found) == {"200", "429"} and found["200"] >= 100, found
    assert waiting in (400, 429), "nobody waits in there"
    assert acting.api("GET", "/v1/whoami").status == 200


def test_a_call_that_a_session_made_has_no_more_than_that_session(acting: Server) -> None:
    steps = [{"url": "http://third.sess.internal/", "method": "POST", "body": {}}, LOGS, WHOAMI]
    inner = act(acting, {"url": "http://lookup.sess.internal/", "method": "POST", "body": {"steps": steps}})["done"][0]
    assert inner["status"] == 200, inner
    third, logs, who = json.loads(inner["body"])["done"]
    # `lookup` declares third:invoke, too; the administrator may do it; `act`, between them, does not declare it.
    assert (third["status"], logs["status"]) == (404, 200)
    assert json.loads(who["body"])["subject"].endswith(" via fn:sess/act via fn:sess/lookup")


@pytest.mark.case("A19")
def test_A19_a_right_that_is_taken_during_the_call_is_gone_from_its_session(acting: Server) -> None:
    machine = account(acting, "sess", ("function:invoke", "sess/act"))
    taken = machine.grant("logs:read", "sess/lookup")
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(act, acting, LOGS, {**LOGS, "wait": 3}, key=machine.key)
        time.sleep(1)
        assert acting.api("DELETE", taken).status == 204
        assert [step["status"] for step in call.result()["done"]] == [200, 404]


@pytest.mark.case("A19")
def test_A19_a_key_that_is_deleted_during_the_call_takes_the_session_with_it(acting: Server) -> None:
    machine = account(acting, "sess", ("function:invoke", "sess"))
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(act, acting, WHOAMI, {**INVOKE, "wait": 3}, key=machine.key)
        time.sleep(1)
        assert acting.api("DELETE", machine.path).status == 204
        assert [step["status"] for step in call.result()["done"]] == [200, 404]


def test_a_function_that_shows_its_session_shows_none(acting: Server) -> None:
    answer = acting.call("sess/act", body={"print": True})
    key = answer.json()["turned"][::-1]
    assert key.startswith("cms_") and len(key) == 76
    assert key[4:40] not in answer.text and "[token]" in answer.json()["plain"]
    logged = "\n".join(acting.messages("sess/act", answer.call_id))
    assert "session cms_[token]" in logged and key[4:40] not in logged


def test_each_call_has_a_session_of_its_own_that_is_gone_with_it_however_it_ends(acting: Server) -> None:
    raises = handler("""
        def handle(event, context):
            raise ValueError(event["headers"]["Casemate-Session"][::-1])
        """)
    acting.deploy("sess", "raises", raises, {"signature": "scaleway", "capabilities": ["sess/lookup:invoke"]})
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: act(acting)["turned"], range(16)))
    assert len(set(keys)) == 16
    failed = acting.call("sess/raises", body={})
    assert failed.status == 500
    said = wait_until(lambda: [m for m in acting.messages("sess/raises", failed.call_id) if "ValueError" in m], 5)
    keys.append(said[-1].rpartition(": ")[2].strip())
    for key in keys:
        assert statuses(acting, WHOAMI, session=key) == [401]


def test_only_a_session_counts_on_the_way_out_of_a_sandbox(acting: Server) -> None:
    """Neither an administrator's key nor a function's token, should a function have one."""
    token = acting.token("sess")["token"]
    steps: list[dict[str, Any]] = [
        {**WHOAMI, "as": "none"}, {**WHOAMI, "as": "none", "headers": {"X-Auth-Token": token}},
        {**WHOAMI, "as": "none", "headers": {"Authorization": f"Bearer {acting.key}"}},
        {**WHOAMI, "headers": {"X-Auth-Token": token}},
        {**INVOKE, "as": "none", "headers": {"X-Auth-Token": token}},
        {**INVOKE, "as": "none", "headers": {"Authorization": f"Bearer {acting.key}"}},
        {**INVOKE, "as": "none"}, {"url": "http://casemate.internal/healthz"}, {"url": "http://casemate.internal/oauth/token", "method": "POST"},
    ]  # fmt: skip
    assert statuses(acting, *steps) == [401, 401, 401, 401, 404, 404, 404, 404, 404]
    # Wrong ones from inside count against nobody outside, though all come from this machine's address.
    for _ in range(3):
        statuses(acting, *[{**WHOAMI, "as": "none", "headers": {"Authorization": "Bearer cms_wrong"}}] * 30)
    assert acting.api("GET", "/v1/whoami").status == 200


def test_an_isolated_call_and_calls_side_by_side_have_their_sessions(acting: Server) -> None:
    keys = {"signature": "scaleway", "capabilities": ["sess/lookup:invoke"]}
    acting.deploy("sess", "isolated", ACT, {**keys, "isolate": "call"})
    acting.deploy("sess", "shared", ACT, {**keys, "limits": {"concurrency": 4}})
    for function in ("sess/isolated", "sess/shared"):
        with ThreadPoolExecutor(3) as pool:
            calls = [pool.submit(statuses, acting, WHOAMI, INVOKE, function=function) for _ in range(3)]
            assert [call.result() for call in calls] == [[200, 200]] * 3


def test_a_cognite_function_finds_its_session_among_what_it_is_told_of_the_call(acting: Server) -> None:
    source = handler("""
        import json
        import urllib.request

        def handle(data, function_call_info):
            headers = {"Authorization": "Bearer " + function_call_info["session"]}
            request = urllib.request.Request("http://casemate.internal/v1/whoami", headers=headers)
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.load(answer)["subject"]
        """)
    acting.deploy("sess", "cognite", source, {"capabilities": ["sess/lookup:invoke"]})
    assert acting.call("sess/cognite", body={}).json().endswith(" via fn:sess/cognite")
    assert acting.call("sess/cognite", body={}, headers={"X-Note": "Casemate-Session"}).status == 200
