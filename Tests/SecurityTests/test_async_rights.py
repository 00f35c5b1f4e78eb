"""Rights of a call that runs later: those which its caller has then, and none that it lost or never had."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from accounts import Account, account
from async_calls import QUICK, ask, begin, ended, held, operate, outcome
from casemate_fixture import Server, handler

# Sleeps, or tries what it is told with the session that it has.
ACT = handler("""
    import json
    import time
    import urllib.error
    import urllib.request

    def send(step, session):
        headers = {"Authorization": "Bearer " + session} if session else {}
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
        order = json.loads(event["body"] or "{}")
        time.sleep(order.get("s", 0))
        headers = {name.lower(): value for name, value in event["headers"].items()}
        session = headers.get("casemate-session", "")
        if max(int(headers.get("casemate-attempt", "0")), 1) <= order.get("fails", 0):
            raise ValueError("not yet")
        done = [send(step, session) for step in order.get("steps", [])]
        said = {"done": done, "session": session, "has": bool(session)}
        return {"statusCode": 200, "body": json.dumps(said)}
    """)
FUNCTION = "async-act/act"
INVOKE = {"url": "http://lookup.async-act.internal/", "method": "POST", "body": {}}
LOGS = {"url": "http://casemate.internal/v1/namespaces/async-act/functions/lookup/logs"}
OTHERS = {"url": "http://casemate.internal/v1/namespaces/async-act/functions/third/logs"}
WHOAMI = {"url": "http://casemate.internal/v1/whoami"}
STEPS = [INVOKE, LOGS, OTHERS, WHOAMI]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def acting(running: Server) -> Server:
    for name in ("lookup", "third"):
        running.deploy("async-act", name, ACT, {"signature": "scaleway"})
    keys = {"signature": "scaleway", "limits": {"timeout": "60s"}, "async": QUICK, "scale": {"max": 4}}
    declared = ["async-act/lookup:invoke", "async-act/lookup:logs:read"]
    running.deploy("async-act", "act", ACT, {**keys, "capabilities": declared})
    return running


def caller(server: Server) -> Account:
    return account(server, "async-act", ("function:invoke", "async-act"), ("logs:read", "async-act"))


def statuses(told: dict[str, Any]) -> list[int]:
    return [step["status"] for step in told["done"]]


@pytest.mark.guarantee("COG-21")
def test_COG_21_a_call_has_what_its_function_declares_and_its_caller_may(acting: Server) -> None:
    everything = outcome(acting, begin(acting, FUNCTION, {"steps": STEPS}))
    assert statuses(everything) == [200, 200, 404, 200], "an administrator's call has no more than is declared"
    assert statuses(outcome(acting, begin(acting, FUNCTION, {"steps": STEPS}, key=caller(acting).key))) == [
        200,
        200,
        404,
        200,
    ]
    narrow = account(acting, "async-act", ("function:invoke", FUNCTION))
    told = outcome(acting, begin(acting, FUNCTION, {"steps": STEPS}, key=narrow.key))
    assert statuses(told)[:3] == [404, 404, 404]
    who = json.loads(outcome(acting, begin(acting, FUNCTION, {"steps": [WHOAMI]}))["done"][0]["body"])
    assert who["subject"].endswith(" via fn:async-act/act")
    again = outcome(acting, begin(acting, FUNCTION, {"steps": STEPS, "fails": 2}))
    assert statuses(again) == [200, 200, 404, 200], "each attempt has a session"


def without_account(who: Account, grants: list[str], key: str) -> None:
    assert who.server.api("DELETE", who.path).status == 204


def without_grants(who: Account, grants: list[str], key: str) -> None:
    for grant in grants:
        assert who.server.api("DELETE", grant).status == 204


def without_key(who: Account, grants: list[str], key: str) -> None:
    assert who.server.api("DELETE", f"{who.path}/keys/{key}").status == 204


def late(server: Server, revoke: Callable[[], None], **who: Any) -> dict[str, Any]:
    """What a call can do whose caller lost something while it waited."""
    key = f"key-{next(_numbers)}"
    with held(server, FUNCTION, key):
        call = begin(server, FUNCTION, {"steps": STEPS}, headers={"Casemate-Key": key}, **who)
        revoke()
    told: dict[str, Any] = outcome(server, call)
    return told


@pytest.mark.case("A19")
@pytest.mark.parametrize("revoke", [without_account, without_grants, without_key], ids=lambda way: way.__name__)
def test_A19_a_call_whose_caller_was_revoked_meanwhile_runs_without_rights(
    acting: Server, revoke: Callable[[Account, list[str], str], None]
) -> None:
    who = account(acting, "async-act")
    grants = [who.grant(right, "async-act") for right in ("function:invoke", "logs:read")]
    made = acting.api("POST", f"{who.path}/keys", {}).json()
    assert statuses(late(acting, lambda: None, key=made["key"])) == [200, 200, 404, 200], "it had them"
    told = late(acting, lambda: revoke(who, grants, made["id"]), key=made["key"])
    assert 200 not in statuses(told)[:3], told


@pytest.mark.case("A19")
def test_A19_a_call_by_a_token_that_was_revoked_meanwhile_runs_without_rights(acting: Server) -> None:
    made = acting.token("async-act")
    assert statuses(late(acting, lambda: None, token=made["token"]))[0] == 200, "it had that right"

    def revoke() -> None:
        assert acting.api("DELETE", f"/v1/namespaces/async-act/tokens/{made['id']}").status == 204

    assert 200 not in statuses(late(acting, revoke, token=made["token"]))[:3]


@pytest.mark.case("A19")
def test_A19_a_right_that_a_caller_gets_meanwhile_counts_and_a_redrive_gives_none(acting: Server) -> None:
    who = account(acting, "async-act", ("function:invoke", FUNCTION))
    told = late(acting, lambda: (who.grant("logs:read", "async-act/lookup"), None)[1], key=who.key)
    assert statuses(told)[:3] == [403, 200, 404], "what it may do at that moment"
    weak = account(acting, "async-act", ("function:invoke", FUNCTION))
    call = begin(acting, FUNCTION, {"steps": STEPS, "fails": 3}, key=weak.key)
    assert ended(acting, call)["status"] == "dead"
    # The administrator has it called again, and it is the first caller's call still.
    new = operate(acting, FUNCTION, call, "redrive").json()["calls"][0]["callId"]
    assert ended(acting, new)["status"] == "dead"
    acting.deploy(
        "async-act",
        "act",
        {"handler.py": ACT["handler.py"].replace("<= order", "< -order")},
        {
            "signature": "scaleway",
            "limits": {"timeout": "60s"},
            "async": QUICK,
            "capabilities": ["async-act/lookup:invoke", "async-act/lookup:logs:read"],
        },
    )
    mended = operate(acting, FUNCTION, new, "redrive").json()["calls"][0]["callId"]
    assert statuses(outcome(acting, mended))[:3] == [404, 404, 404]


def test_a_session_s_key_is_not_in_what_is_kept(acting: Server) -> None:
    told = outcome(acting, begin(acting, FUNCTION, {"steps": [WHOAMI]}))
    assert told["has"] and told["done"][0]["status"] == 200
    assert told["session"].startswith("cms_[token]"), "worthless, as in a synchronous answer"


@pytest.mark.guarantee("KYM-3")
def test_a_token_for_one_function_shows_no_call_of_another_whatever_its_holder_may(acting: Server) -> None:
    holder = caller(acting)
    holder.grant("function:invoke", "async-act/third")
    holder.grant("logs:read", "async-act/act")
    call = begin(acting, FUNCTION, {"steps": []}, key=holder.key)
    ended(acting, call)
    other = holder.cli("token", "exchange", "async-act/third")[1].strip()
    for what in ("", "/result"):
        assert ask(acting, f"/calls/{call}{what}", key=holder.key).status == 200
        assert ask(acting, f"/calls/{call}{what}", key=other).status == 404
    own = holder.cli("token", "exchange", FUNCTION)[1].strip()
    assert ask(acting, f"/calls/{call}", key=own).status == 200
