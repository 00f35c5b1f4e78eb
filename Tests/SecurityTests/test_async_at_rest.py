"""What lies on the disk of calls that wait, run or have ended: nothing of what they were given or answered."""

from __future__ import annotations

import gzip
import json
import secrets as randomness
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from accounts import account
from async_calls import (
    ECHO,
    ask,
    begin,
    calls_path,
    deploy_actor,
    ended,
    held,
    listed,
    operate,
    outcome,
    result,
    runs,
    view,
)
from casemate_fixture import Server, handler, wait_until
from secret_calls import put, records, value
from spellings import assert_absent, found_in

TWICE = {"maxAttempts": 2, "backoff": "100ms", "maxBackoff": "100ms"}
FUNCTION = "rest/actor"

# Prints nothing: logs are kept as they are, but for secrets.
QUIET = handler("""
    import json, time

    def handle(event, context):
        order = json.loads(event["body"] or "{}")
        time.sleep(order.get("s", 0))
        if order.get("fails"):
            return {"statusCode": order["fails"], "body": order["text"][::-1]}
        headers = {"X-Turned": order.get("text", "")[:100][::-1]}
        return {"statusCode": 200, "headers": headers, "body": "-".join([order.get("text", "")[::-1], "é"])}
    """)
LEAKS = handler("""
    import json

    def handle(data, secrets):
        way, text = data["way"], secrets["KEY"]
        if way == "raise":
            raise ValueError("the value is " + text)
        if way == "key":
            return {text: 1}
        print("printed", text)
        return {"text": "it is " + text, "turned": text[::-1]}
    """)


@dataclass
class Scenario:
    """A server whose calls hold markers, each by what it stands in."""

    server: Server
    markers: dict[str, str] = field(default_factory=dict)
    control: str = ""

    def new(self, what: str) -> str:
        self.markers[what] = f"marker-{randomness.token_hex(12)}"
        return self.markers[what]

    def order(self, what: str, **more: object) -> dict[str, object]:
        """A body with a marker, the answer to which has another."""
        text = self.new(f"the payload of {what}")
        self.markers[f"the result of {what}"] = text[::-1]
        return {"text": text, **more}

    def begin(self, what: str, key: str | None = None, function: str = FUNCTION, **more: object) -> str:
        fields = {"Idempotency-Key": self.new(f"the idempotency key of {what}"), "X-Mine": self.new(f"{what}'s field")}
        if key:
            fields["Casemate-Key"] = key
        path = f"/{self.new(f'the path of {what}')}?q={self.new(f'the query of {what}')}"
        return begin(self.server, function, self.order(what, **more), headers=fields, path=path)

    def search(self, what: str) -> int:
        files = everything(self.server)
        assert any(name.startswith("server/queue.db") for name in files), sorted(files)
        # The search finds what is there: this text was stored as it is.
        assert any(found_in(content, self.control) for content in files.values())
        for marked, text in self.markers.items():
            for name, content in files.items():
                assert_absent(content, text, f"{name}, {what} ({marked})", hashed=True)
        return len(files)


def everything(server: Server) -> dict[str, bytes]:
    found = {}
    for file in server.data.rglob("*"):
        try:
            if file.is_file() and not file.is_symlink():
                found[str(file.relative_to(server.data))] = file.read_bytes()
        except FileNotFoundError:
            continue
    return found


@pytest.fixture(scope="module")
def scenario() -> Iterator[Scenario]:
    with Server(options=("--pool-size", "2", "--log-level", "debug")) as server:
        keys = {"signature": "scaleway", "limits": {"timeout": "60s"}, "async": TWICE}
        server.deploy("rest", "actor", QUIET, keys)
        server.deploy("rest", "office", QUIET, {**keys, "callers": ["rest/dies"]})
        server.deploy("rest", "dies", QUIET, {**keys, "async": {**TWICE, "deadLetter": "rest/office"}})
        made = Scenario(server)
        made.control = "control-" + value(20)
        assert server.api("POST", "/v1/namespaces/rest/tokens", {"description": made.control}).status == 201
        yield made


@pytest.mark.guarantee("COG-9")
def test_COG_9_no_file_has_a_payload_a_result_or_a_key_while_calls_wait_run_and_have_ended(scenario: Scenario) -> None:
    server, key = scenario.server, scenario.new("the key that keeps an order")
    with held(server, FUNCTION, key, 3) as holder:
        running = scenario.begin("a running call", s=3)
        waits = [scenario.begin(f"waiting call {number}", key) for number in range(3)]
        large = scenario.new("the middle of a large payload")
        text = "x" * 700_000 + large + "y" * 700_000
        waits.append(begin(server, FUNCTION, {"text": text}, headers={"Casemate-Key": key}))
        scenario.markers["the middle of a large result"] = large[::-1]
        assert wait_until(lambda: view(server, running)["status"] == "running", 10)
        assert {view(server, call)["status"] for call in waits} == {"queued"}
        scenario.search("while they wait and run")
        cancelled = scenario.begin("a cancelled call", key)
        assert operate(server, FUNCTION, cancelled, "cancel").status == 200
        ended(server, holder)
    for call in (running, *waits):
        assert ended(server, call)["status"] == "succeeded"
        answer = result(server, call)
        assert answer.status == 200 and "rekram" in answer.text, "it is there for whoever may have it"
        assert server.api("GET", calls_path(FUNCTION, call, "result")).status == 200
    dead = scenario.begin("a dead call", function="rest/dies", fails=500)
    refused = scenario.begin("a call that is refused", fails=404)
    assert (ended(server, dead)["status"], ended(server, refused)["status"]) == ("dead", "failed")
    assert wait_until(lambda: listed(server, "rest/office", state="succeeded"), 10), "the dead letter has its request"
    redriven = operate(server, "rest/dies", dead, "redrive").json()["calls"][0]["callId"]
    ended(server, redriven)
    scenario.search("after they have ended")
    assert_absent("".join(server.out + server.err), large, "the server's log")
    for marked, text in scenario.markers.items():
        assert_absent("".join(server.out + server.err), text, f"the server's log ({marked})")
        assert_absent(str(records(server, "")), text, f"the audit log ({marked})", hashed=True)


@pytest.mark.guarantee("COG-9")
def test_COG_9_no_file_and_no_backup_has_one_after_a_kill_a_restart_and_a_stop(scenario: Scenario) -> None:
    server, key = scenario.server, scenario.new("another key that keeps an order")
    scenario.begin("a call that the kill interrupts", key, s=2)
    waits = [scenario.begin(f"a call over the kill {number}", key) for number in range(2)]
    assert wait_until(lambda: listed(server, FUNCTION, state="running"), 10)
    server.kill()
    scenario.search("after a kill")
    server.start()
    for call in waits:
        assert ended(server, call, 40)["status"] == "succeeded"
        assert "rekram" in result(server, call).text
    file = server.folder / "queue.tar.gz"
    assert server.cli("backup", "--data", str(server.data), str(file))[0] == 0
    content = gzip.decompress(file.read_bytes())
    assert b"queue.db" in content and found_in(content, scenario.control)
    for marked, text in scenario.markers.items():
        assert_absent(content, text, f"the backup ({marked})", hashed=True)
    server.stop()
    try:
        scenario.search("after a stop")
        queue = [path for path in (server.data / "server").iterdir() if path.name.startswith("queue.db")]
        owner = (server.data / "server").stat()
        for path in queue:
            found = path.stat()
            assert (found.st_uid, found.st_mode & 0o777) == (owner.st_uid, 0o600), path.name
    finally:
        server.start()


def test_nothing_of_a_call_lies_in_a_temporary_folder_while_it_waits(scenario: Scenario) -> None:
    server = scenario.server
    with held(server, FUNCTION, "k", 30):
        text = scenario.new("a payload")
        body = {"text": "x" * 2_000_000 + text}
        call = begin(server, FUNCTION, body, headers={"Casemate-Key": "k"})
        assert view(server, call)["status"] == "queued"
        own = {process.pid for process in server.remains()} | {server.pid}
        looked = 0
        for pid in own:
            for link in Path(f"/proc/{pid}/fd").glob("*"):
                try:
                    target = link.resolve(strict=True)
                    if target.is_file() and target.stat().st_size < 64 << 20 and str(target).startswith("/"):
                        looked += 1
                        assert_absent(target.read_bytes(), text, f"{target}, which {pid} holds open")
                except OSError:
                    continue
        assert looked > 3
        command = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in own if Path(f"/proc/{pid}").exists())
        assert_absent(command, text, "a command line")


# ---------------------------------------------------------------- secrets of the function


@pytest.fixture(scope="module")
def leaking(scenario: Scenario) -> tuple[Server, str]:
    server, secret = scenario.server, f"secret-{randomness.token_hex(14)}"
    server.namespace("rest")
    assert put(server, "rest/leaks", secret).status == 200
    keys = {"secrets": ["KEY"], "async": {**TWICE, "deadLetter": "rest/letters"}}
    server.deploy("rest", "letters", ECHO, {"signature": "scaleway", "callers": ["rest/leaks"]})
    server.deploy("rest", "leaks", LEAKS, keys)
    scenario.markers["a secret"] = secret
    return server, secret


@pytest.mark.case("S7")
@pytest.mark.guarantee("SCW-8")
def test_S7_a_secret_is_masked_in_the_result_that_is_kept(leaking: tuple[Server, str], scenario: Scenario) -> None:
    server, secret = leaking
    call = begin(server, "rest/leaks", {"way": "answer"})
    told = outcome(server, call)
    assert told["text"] == "it is [secret:KEY]"
    kept = server.api("GET", calls_path("rest/leaks", call, "result")).text
    assert "[secret:KEY]" in kept
    assert_absent(kept, secret, "the operator's result")
    assert_absent(result(server, call).text, secret, "the caller's result")
    assert server.api("DELETE", "/v1/namespaces/rest/functions/leaks/secrets/KEY").status == 204
    assert_absent(result(server, call).text, secret, "the result, when the secret is gone")
    assert put(server, "rest/leaks", secret).status == 200
    key = begin(server, "rest/leaks", {"way": "key"})
    ended(server, key)
    assert_absent(result(server, key).text, secret, "a result with the secret as a name")
    scenario.search("with secrets in answers")


@pytest.mark.case("S7")
@pytest.mark.guarantee("SCW-8")
def test_S7_a_secret_in_an_exception_is_in_no_view_problem_letter_or_log(
    leaking: tuple[Server, str], scenario: Scenario
) -> None:
    server, secret = leaking
    call = begin(server, "rest/leaks", {"way": "raise"})
    shown = ended(server, call)
    assert shown["status"] == "dead" and shown["problem"]["type"] == "/problems/function-error"
    assert_absent(json.dumps(shown), secret, "the view")
    assert_absent(json.dumps(listed(server, "rest")), secret, "the list")
    for answer in (result(server, call), server.api("GET", calls_path("rest/leaks", call, "result"))):
        assert_absent(answer.text, secret, "the result")
    assert wait_until(lambda: listed(server, "rest/letters", state="succeeded"), 10), "the dead letter"
    letter = result(server, listed(server, "rest/letters", state="succeeded")[0]["callId"]).json()["body"]
    assert json.loads(letter)["callId"] == call
    assert_absent(letter, secret, "the dead letter")
    assert_absent(str(records(server, "")), secret, "the audit log", hashed=True)
    for function in ("rest/leaks", "rest/letters"):
        assert_absent("\n".join(server.messages(function)), secret, f"the log of {function}")
    assert "[secret:KEY]" in "\n".join(server.messages("rest/leaks")), "it was printed, and replaced"
    code, out, err = server.cli("call", "show", "rest/leaks", call, "--json")
    assert code == 1 and call in out
    assert_absent(out + err, secret, "the command line")
    scenario.search("with secrets in exceptions")


def test_an_operator_who_reads_a_result_is_recorded_and_its_caller_is_not(scenario: Scenario) -> None:
    server = scenario.server
    deploy_actor(server, "rest/read")
    caller = account(server, "rest", ("function:invoke", "rest/read"))
    reader = account(server, "rest", ("logs:read", "rest/read"))
    call = begin(server, "rest/read", {}, key=caller.key)
    ended(server, call)

    def seen() -> list[str]:
        found = [one for one in records(server, "call.result-read", "rest/read") if call in str(one)]
        return [one["actor"] for one in found]

    assert ask(server, f"/calls/{call}/result", key=caller.key).status == 200
    assert seen() == [], "its own"
    assert reader.api("GET", calls_path("rest/read", call, "result")).status == 200
    assert wait_until(seen, 3) == [reader.subject]
    assert ask(server, f"/calls/{call}/result", key=reader.key).status == 200
    assert wait_until(lambda: len(seen()) == 2, 3), "by way of the gateway, too"
    assert len(runs(server, "rest/read", call)) == 1
