"""The main job from front door to exit: deploy, call, logs, rotate a secret, call, roll back, delete."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from casemate_fixture import Server, handler, problem, wait_until

SIGNING = handler("""
    import hashlib, hmac

    VERSION = "one"

    def handle(data, secrets):
        if data.get("mistake"):
            print("the key is", secrets["API_KEY"])
        made = hmac.new(secrets["API_KEY"].encode(), data["text"].encode(), hashlib.sha256).hexdigest()
        return {"signature": made, "version": VERSION}
    """)


def signature(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


@pytest.mark.guarantee("COG-2", "COG-6", "KYM-5")
def test_deploy_call_logs_rotate_call_rollback_delete(server: Server) -> None:
    name = "journey/sign"
    deployed = server.deploy("journey", "sign", SIGNING, {"secrets": ["API_KEY"]})
    assert (deployed["status"], deployed["revision"]) == ("deployed", 1)
    server.secret(name, "API_KEY", "first-value-0001")

    answer = server.call(name, body={"text": "abc", "mistake": True})
    assert answer.json() == {"signature": signature("first-value-0001", "abc"), "version": "one"}
    assert server.messages(name, answer.call_id) == ["the key is [secret:API_KEY]"]

    assert server.secret(name, "API_KEY", "second-value-0002")["version"] == 2
    rotated = wait_until(
        lambda: server.call(name, body={"text": "abc"}).json()["signature"] == signature("second-value-0002", "abc"), 5
    )
    assert rotated, "calls still see the old value 5 s after the rotation"

    second = {"handler.py": SIGNING["handler.py"].replace('"one"', '"two"')}
    assert server.deploy("journey", "sign", second, {"secrets": ["API_KEY"]})["revision"] == 2
    assert server.call(name, body={"text": "abc"}).json()["version"] == "two"

    code, out, err = server.cli("function", "rollback", name)
    assert code == 0, out + err
    assert server.call(name, body={"text": "abc"}).json() == {
        "signature": signature("second-value-0002", "abc"),
        "version": "one",
    }

    code, out, err = server.cli("function", "delete", name)
    assert code == 0, out + err
    assert problem(server.call(name, body={"text": "abc"}))["status"] == 404
    assert server.cli("logs", name)[0] != 0


@pytest.mark.guarantee("COG-11")
def test_a_function_made_again_has_a_new_id_no_secrets_no_logs_and_no_tokens(server: Server) -> None:
    name = "journey/again"
    source = handler("def handle(data, secrets):\n    print('hello')\n    return sorted(secrets)\n")
    server.deploy("journey", "again", source, {"secrets": ["KEY"]})
    server.secret(name, "KEY", "value-of-the-first-life")
    token = server.token(name)["token"]
    assert server.call(name, body={}, token=token).json() == ["KEY"]
    before = server.cli_json("function", "show", name)
    assert server.cli("function", "delete", name)[0] == 0

    server.deploy("journey", "again", source, {"secrets": ["KEY"]})
    after = server.cli_json("function", "show", name)
    assert after["id"] != before["id"]
    assert not after["secrets"]
    assert server.logs(name) == []
    assert server.call(name, body={}, token=token).status == 401
    assert "secret-missing" in server.call(name, body={}).text


def test_rollback_to_a_given_revision_and_refusals_of_what_is_not_there(server: Server) -> None:
    name = "journey/roll"
    for version in (1, 2, 3):
        server.deploy("journey", "roll", handler(f"def handle(data):\n    return {version}\n"))
    assert server.cli("function", "rollback", name, "--revision", "1")[0] == 0
    assert server.call(name, body={}).json() == 1
    assert server.cli("function", "rollback", name)[0] != 0
    code, out, err = server.cli("function", "rollback", name, "--revision", "99")
    assert code != 0 and "99" in out + err
    assert server.call(name, body={}).json() == 1
    assert server.cli("function", "rollback", name, "--revision", "3")[0] == 0
    assert server.call(name, body={}).json() == 3
