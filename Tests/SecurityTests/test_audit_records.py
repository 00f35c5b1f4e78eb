"""What the audit log has: each act once, with who did it, on what, and the id that the answer told. Never a value. And who may read it."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import audit_log
import pytest
from accounts import Account, account
from casemate_fixture import REPOSITORY, Answer, Server, archive, binary, handler, manifest, problem, wait_until
from egress_probe import EgressProbe
from network_world import World
from secret_calls import path, put, records, value
from spellings import assert_absent

SAYS = handler("""
    import os, time
    def handle(data, secrets):
        if data.get("exit"):
            os._exit(1)
        if data.get("sleep"):
            time.sleep(data["sleep"])
        if data.get("unshare"):
            import ctypes
            ctypes.CDLL(None, use_errno=True).unshare(0x20000000)
            # The warden tells of it a moment later; by then the call should still be there to be named.
            time.sleep(0.7)
        print(secrets["KEY"])
        return secrets["KEY"]
    """)
PLAIN = handler("def handle(data):\n    return 1\n")


@dataclass
class Seen:
    """What was done once, with the answers to it, and the words that must be nowhere in the log."""

    server: Server
    answers: dict[str, Answer] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)
    all: list[dict[str, Any]] = field(default_factory=list)

    def request(self, act: str) -> str:
        headers = self.answers[act].headers
        return headers.get("casemate-request-id") or headers["casemate-call-id"]

    def of(self, act: str) -> list[dict[str, Any]]:
        """The records with the id that the answer to `act` told."""
        return [record for record in self.all if record.get("request") == self.request(act)]


def do_everything(seen: Seen) -> None:
    server, hidden = seen.server, seen.hidden

    def api(act: str, expected: int, method: str, where: str, body: Any = None, key: str = "") -> Any:
        answer = server.api(method, where, body, key=key)
        assert answer.status == expected, f"{act}: {answer.status} {answer.text}"
        seen.answers[act] = answer
        return answer.json() if answer.body.startswith(b"{") else None

    def secret(name: str) -> bytes:
        hidden[name] = value(24)
        return hidden[name].encode()

    api("namespace made", 201, "POST", "/v1/namespaces", {"name": "acts"})
    api("secret set", 200, "PUT", path("acts/f"), secret("first value"))
    api("secret replaced", 200, "PUT", path("acts/f"), secret("second value"))
    api("secret verified", 200, "POST", path("acts/f", what="/verify"), hidden["second value"].encode())
    api("secret guessed", 200, "POST", path("acts/f", what="/verify"), secret("a guess"))
    api("secret rolled back", 200, "POST", path("acts/f", what="/rollback"), {"version": 1})
    api("another secret set", 200, "PUT", path("acts/f", "OTHER"), secret("third value"))
    api("secret deleted", 204, "DELETE", path("acts/f", "OTHER"))

    packed = archive(SAYS)
    uploaded = api("source uploaded", 201, "POST", "/v1/archives", packed)
    order = {
        "namespace": "acts",
        "manifest": manifest("acts", "f", {"secrets": ["KEY"], "limits": {"timeout": "2s"}}),
        "sources": {"f": uploaded["digest"]},
    }
    api("deployed", 200, "POST", "/v1/deployments", order)
    broken = server.api("POST", "/v1/archives", archive(handler("def other(data):\n    return 1\n"))).json()
    refused = server.api("POST", "/v1/deployments", {**order, "sources": {"f": broken["digest"]}})
    assert '"failed"' in refused.text or refused.status == 422, refused.text
    seen.answers["deployment refused"] = refused
    api("source read", 200, "GET", "/v1/namespaces/acts/functions/f/source")
    api("logs read", 200, "GET", "/v1/namespaces/acts/functions/f/logs")
    api("egress allowed", 200, "PUT", "/v1/namespaces/acts/functions/f/egress/api.example.com:443")
    api("egress revoked", 200, "DELETE", "/v1/namespaces/acts/functions/f/egress/api.example.com:443")
    api("rolled back", 200, "POST", "/v1/namespaces/acts/functions/f/rollback", {"revision": 1})
    api("policy changed", 200, "PUT", "/v1/namespaces/acts/policy", {"calls": "recorded"})

    made = api("token made", 201, "POST", "/v1/namespaces/acts/tokens", {"description": "pump"})
    hidden["function token"] = made["token"]
    seen.answers["call made"] = server.call("acts/f", body={}, token=made["token"])
    assert seen.answers["call made"].status == 200, seen.answers["call made"].text
    api("token revoked", 204, "DELETE", f"/v1/namespaces/acts/tokens/{made['id']}")
    seen.answers["revoked token shown"] = server.call("acts/f", body={}, token=made["token"])
    assert seen.answers["revoked token shown"].status == 401
    for act, body in {
        "killed by time": {"sleep": 5},
        "killed by itself": {"exit": 1},
        "system call attempted": {"unshare": 1},
    }.items():
        seen.answers[act] = server.call("acts/f", body=body)

    made = api("account made", 201, "POST", "/v1/namespaces/acts/service-accounts", {"name": "robot"})
    hidden["client secret"] = made["clientSecret"]
    made = api("credential made", 201, "POST", "/v1/namespaces/acts/service-accounts/robot/keys", {})
    hidden["account's key"] = made["key"]
    subject = "service-account:acts/robot"
    granted = api("grant made", 201, "POST", "/v1/namespaces/acts/grants", {"subject": subject, "permission": "viewer"})
    api("request refused", 403, "PUT", path("acts/f"), secret("a refused value"), key=made["key"])
    seen.answers["call refused"] = server.call("acts/f", body={}, key=made["key"])
    assert seen.answers["call refused"].status == 403
    api("grant withdrawn", 204, "DELETE", f"/v1/namespaces/acts/grants/{granted['id']}")
    api("credential revoked", 204, "DELETE", f"/v1/namespaces/acts/service-accounts/robot/keys/{made['id']}")
    api("account deleted", 204, "DELETE", "/v1/namespaces/acts/service-accounts/robot")
    hidden["a wrong key"] = "00000000-1111-4222-8333-" + value(12)
    seen.answers["wrong credential"] = server.api("GET", "/v1/whoami", key=hidden["a wrong key"])
    assert seen.answers["wrong credential"].status == 401

    api(
        "issuer added",
        201,
        "POST",
        "/v1/issuers",
        {"name": "corp", "url": "https://idp.example.com", "audiences": ["casemate"]},
    )
    api("issuer removed", 204, "DELETE", "/v1/issuers/corp")

    alert = api(
        "alert made",
        201,
        "POST",
        "/v1/alerts",
        {"events": ["vault.sealed"], "url": "http://127.0.0.1:9/hidden-path?hidden=query"},
    )
    hidden["alert's secret"], hidden["alert's path"] = (
        alert["secret"].removeprefix("whsec_"),
        "hidden-path?hidden=query",
    )
    api("alert deleted", 204, "DELETE", f"/v1/alerts/{alert['id']}")

    api("vault sealed", 200, "POST", "/v1/vault/seal")
    api("vault unsealed", 200, "POST", "/v1/vault/unseal")
    api("vault rotated", 202, "POST", "/v1/vault/rotate")
    assert wait_until(lambda: records(server, "vault.rotated"), 10)
    code, out, err = server.cli("backup", "--data", str(server.data), str(server.folder / "backup.tar.gz"))
    assert code == 0, out + err

    api("function deleted", 204, "DELETE", "/v1/namespaces/acts/functions/f")
    api("namespace deleted", 204, "DELETE", "/v1/namespaces/acts")
    hidden["administrator's key"] = server.key


@pytest.fixture(scope="module")
def seen(walled_server: Server) -> Seen:
    seen = Seen(walled_server)
    do_everything(seen)
    # What is observed is written without anybody waiting.
    wanted = {
        "sandbox.killed",
        "sandbox.attempted",
        "call.refused",
        "auth.failed",
        "request.refused",
        "secret.redacted",
    }
    wait_until(lambda: wanted <= {record["kind"] for record in records(walled_server, "")}, 5)
    seen.all = records(walled_server, "")
    return seen


# ---------------------------------------------------------------- what is recorded

ADMIN, ROBOT, TOKEN, NOBODY = "key:", "service-account:acts/robot", "token:", None
F, NS, SERVER = ("acts", "acts/f"), ("acts", None), (None, None)

ACTS: dict[str, tuple[str, str, str | None, tuple[str | None, str | None]]] = {
    "namespace made": ("namespace.created", "done", ADMIN, NS),
    "secret set": ("secret.set", "done", ADMIN, F),
    "secret replaced": ("secret.set", "done", ADMIN, F),
    "secret verified": ("secret.verified", "done", ADMIN, F),
    "secret guessed": ("secret.verified", "done", ADMIN, F),
    "secret rolled back": ("secret.rolled-back", "done", ADMIN, F),
    "secret deleted": ("secret.deleted", "done", ADMIN, F),
    "source uploaded": ("source.uploaded", "done", ADMIN, SERVER),
    "deployed": ("function.deployed", "done", ADMIN, F),
    "deployment refused": ("function.deploy-refused", "refused", ADMIN, F),
    "source read": ("source.read", "done", ADMIN, F),
    "logs read": ("logs.read", "done", ADMIN, F),
    "egress allowed": ("egress.allowed", "done", ADMIN, F),
    "egress revoked": ("egress.revoked", "done", ADMIN, F),
    "rolled back": ("function.rolled-back", "done", ADMIN, F),
    "policy changed": ("policy.changed", "done", ADMIN, NS),
    "token made": ("token.created", "done", ADMIN, NS),
    "token revoked": ("token.revoked", "done", ADMIN, NS),
    "call made": ("call.made", "done", TOKEN, F),
    "revoked token shown": ("auth.failed", "refused", NOBODY, SERVER),
    "account made": ("service-account.created", "done", ADMIN, NS),
    "account deleted": ("service-account.deleted", "done", ADMIN, NS),
    "credential made": ("credential.created", "done", ADMIN, NS),
    "credential revoked": ("credential.revoked", "done", ADMIN, NS),
    "grant made": ("grant.created", "done", ADMIN, NS),
    "grant withdrawn": ("grant.deleted", "done", ADMIN, NS),
    "request refused": ("request.refused", "refused", ROBOT, F),
    "call refused": ("call.refused", "refused", ROBOT, F),
    "wrong credential": ("auth.failed", "refused", NOBODY, SERVER),
    "issuer added": ("issuer.created", "done", ADMIN, SERVER),
    "issuer removed": ("issuer.deleted", "done", ADMIN, SERVER),
    "alert made": ("alert.created", "done", ADMIN, SERVER),
    "alert deleted": ("alert.deleted", "done", ADMIN, SERVER),
    "vault sealed": ("vault.sealed", "done", ADMIN, SERVER),
    "vault unsealed": ("vault.unsealed", "done", ADMIN, SERVER),
    "vault rotated": ("vault.rotation-started", "done", ADMIN, SERVER),
    "function deleted": ("function.deleted", "done", ADMIN, F),
    "namespace deleted": ("namespace.deleted", "done", ADMIN, NS),
}


@pytest.mark.parametrize("act", ACTS)
def test_an_act_is_recorded_once_with_who_did_it_on_what_and_the_id_that_the_answer_told(seen: Seen, act: str) -> None:
    kind, outcome, actor, (namespace, function) = ACTS[act]
    assert act in seen.answers, "it was not done"
    found = [record for record in seen.of(act) if record["kind"] == kind]
    assert len(found) == 1, f"{[(record['kind'], record['outcome']) for record in seen.of(act)]}"
    record = found[0]
    assert record["outcome"] == outcome
    assert record["source"] == "127.0.0.1"
    if actor is not None:
        assert record["actor"].startswith(actor), record
    if act != "revoked token shown":
        assert (record.get("namespace"), record.get("function")) == (namespace, function), record
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"])


DETAILS: dict[str, dict[str, str]] = {
    "secret set": {"secret": "KEY", "version": "1"},
    "secret replaced": {"secret": "KEY", "version": "2"},
    "secret verified": {"secret": "KEY", "matches": "true"},
    "secret guessed": {"secret": "KEY", "matches": "false"},
    "secret rolled back": {"secret": "KEY", "version": "3", "from": "1"},
    "secret deleted": {"secret": "OTHER"},
    "deployed": {"revision": "1"},
}


@pytest.mark.parametrize("act", DETAILS)
def test_the_details_name_secret_and_version(seen: Seen, act: str) -> None:
    record = next(record for record in seen.of(act) if record["kind"] == ACTS[act][0])
    assert {name: record["details"].get(name) for name in DETAILS[act]} == DETAILS[act], record


@pytest.mark.parametrize("act,permission", [("grant made", "viewer"), ("grant withdrawn", "viewer")])
def test_a_grant_s_record_says_what_and_to_whom(seen: Seen, act: str, permission: str) -> None:
    record = seen.of(act)[-1]
    assert permission in json.dumps(record["details"]) and ROBOT in json.dumps(record["details"]), record


def test_a_use_of_a_secret_is_recorded_for_each_start_by_name_and_version(seen: Seen) -> None:
    uses = [record for record in seen.all if record["kind"] == "secret.used" and record.get("function") == "acts/f"]
    assert uses and all("KEY@" in record["details"]["secrets"] for record in uses)
    # Three sandboxes ended, so that there were several starts besides those of the deployment.
    sandboxes = {record["details"].get("sandbox") for record in uses} - {None}
    assert len(sandboxes) >= 2


@pytest.mark.parametrize(
    "act,kind",
    [
        ("call made", "secret.redacted"),
        ("killed by time", "sandbox.killed"),
        ("killed by itself", "sandbox.killed"),
        ("system call attempted", "sandbox.attempted"),
    ],
)
def test_what_is_observed_in_a_call_has_the_call_s_id(seen: Seen, act: str, kind: str) -> None:
    of_kind = [record for record in seen.all if record["kind"] == kind]
    assert of_kind, f"no {kind}"
    assert [record for record in seen.of(act) if record["kind"] == kind], of_kind
    assert {record["function"] for record in of_kind} == {"acts/f"}


def test_a_value_in_the_log_of_a_function_and_in_its_answer_is_two_records(seen: Seen) -> None:
    found = [record["details"] for record in seen.of("call made") if record["kind"] == "secret.redacted"]
    assert sorted(details["in"] for details in found) == ["log", "response"]


def test_a_rotation_has_a_beginning_and_an_end_and_a_backup_a_record(seen: Seen) -> None:
    kinds = [record["kind"] for record in seen.all]
    assert kinds.index("vault.rotation-started") < kinds.index("vault.rotated")
    made = [record for record in seen.all if record["kind"] == "backup.made"]
    assert len(made) == 1 and made[0]["outcome"] == "done" and made[0]["actor"].startswith(ADMIN)


def test_a_refused_way_out_is_recorded_with_its_target(walled: Server, world: World) -> None:
    probe = EgressProbe("ways/out")
    probe.resolves(walled, names=["not-listed.example.com"])
    probe.exchanges(walled, host="93.184.216.34", port=443, timeout=2)
    found = wait_until(lambda: records(walled, "egress.denied", "ways/out"), 5)
    assert found, "no egress.denied"
    assert {record["outcome"] for record in found} == {"refused"}
    assert wait_until(lambda: "93.184.216.34" in json.dumps(records(walled, "egress.denied", "ways/out")), 3)
    world.assert_untouched()


def test_a_blocked_and_an_allowed_answer_are_recorded_as_such(walled: Server) -> None:
    for way, kind, status in (("block", "secret.blocked", 502), ("allow", "secret.allowed", 200)):
        assert put(walled, f"ways/{way}", value()).status == 200
        walled.deploy(
            "ways",
            way,
            handler("def handle(data, secrets):\n    return secrets['KEY']\n"),
            {"secrets": ["KEY"], "secretsInResponse": way},
        )
        answer = walled.call(f"ways/{way}", body={})
        assert answer.status == status, answer.text
        found = wait_until(partial(records, walled, kind, f"ways/{way}"), 3)
        assert found and found[0]["request"] == answer.call_id, kind


def test_calls_are_recorded_as_the_policy_says_and_not_otherwise(walled: Server) -> None:
    walled.deploy("counted", "f", PLAIN)
    unrecorded = walled.call("counted/f", body={})
    assert walled.api("PUT", "/v1/namespaces/counted/policy", {"calls": "recorded"}).status == 200
    recorded = [walled.call("counted/f", body={}).call_id for _ in range(3)]
    assert walled.api("PUT", "/v1/namespaces/counted/policy", {"calls": "required"}).status == 200
    recorded += [walled.call("counted/f", body={}).call_id for _ in range(3)]
    assert wait_until(lambda: len(records(walled, "call.made", "counted/f")) == 6, 3)
    assert [record["request"] for record in records(walled, "call.made", "counted/f")] == recorded
    assert unrecorded.call_id not in json.dumps(records(walled, "", "counted/f"))


def test_every_answer_of_the_api_has_a_request_id_of_its_own(walled: Server) -> None:
    answers = [
        walled.api("GET", "/healthz", key=None),
        walled.api("GET", "/v1/audit?limit=x"),
        walled.api("GET", "/v1/nowhere"),
    ]
    answers += [
        walled.api("GET", "/v1/audit", key=None),
        walled.api("GET", "/v1/whoami"),
        walled.api("GET", "/v1/whoami"),
    ]
    ids = [answer.headers.get("casemate-request-id") for answer in answers]
    assert None not in ids and len(set(ids)) == len(ids), ids


# ---------------------------------------------------------------- what is not in it


def test_no_secret_token_key_or_address_with_a_token_in_it_is_anywhere_in_the_log(seen: Seen) -> None:
    content = b"".join(file.read_bytes() for file in audit_log.folder(seen.server).iterdir())
    for name, text in seen.hidden.items():
        assert_absent(content, text, f"the audit log ({name})", hashed=True)


def test_every_record_is_of_a_kind_that_the_documentation_lists_and_each_of_those_can_be_asked_for(seen: Seen) -> None:
    text = (REPOSITORY / "docs/audit.md").read_text().split("| kinds | |")[1].split("##")[0]
    listed = set(re.findall(r"`([a-z-]+\.[a-z-]+)`", text))
    assert len(listed) > 60
    assert {record["kind"] for record in records(seen.server, "")} <= listed
    unknown = {kind for kind in listed if seen.server.api("GET", f"/v1/audit?tail=1&kind={kind}").status != 200}
    assert unknown == set()
    for group in {kind.split(".")[0] for kind in listed}:
        found = {record["kind"] for record in records(seen.server, f"{group}.*")}
        assert found == {
            record["kind"] for record in records(seen.server, "") if record["kind"].startswith(group + ".")
        }, group


def test_of_many_alike_some_are_kept_and_the_number_of_the_others(walled: Server) -> None:
    caller = account(walled, "many", ("function:read", "many"))
    walled.deploy("many", "f", PLAIN)
    tries = 150
    begin = time.monotonic()
    for _ in range(tries):
        assert caller.call("many/f", body={}).status == 403
    took = time.monotonic() - begin

    def counted() -> tuple[int, int]:
        kept = len(records(walled, "call.refused", "many/f"))
        left_out = sum(
            int(number)
            for record in records(walled, "audit.suppressed")
            for number in record.get("details", {}).values()
            if str(number).isdigit()
        )
        return kept, left_out

    assert wait_until(lambda: sum(counted()) >= tries, 4), f"{counted()} of {tries}"
    kept, left_out = counted()
    assert kept + left_out == tries and 50 <= kept <= 50 + 10 * (took + 1) + 1, f"{kept} and {left_out} in {took:.1f} s"


def test_a_policy_s_record_tells_what_changed_however_long_its_lists_are(walled: Server) -> None:
    walled.namespace("lists")
    hosts = [f"{'a' * 50}{number}.example.com:443" for number in range(100)]
    policy = {
        "egress": {"allow": hosts},
        "secretSources": ["aws-sm://lists/*"],
        "calls": "recorded",
        "machines": {"signers": []},
    }
    assert walled.api("PUT", "/v1/namespaces/lists/policy", policy).status == 200
    details = [record for record in records(walled, "policy.changed") if record["namespace"] == "lists"][-1]["details"]
    told = " ".join(details[name] for name in sorted(details))
    assert all(
        text in told.split()
        for text in ("calls=recorded", "machines", "+secretSources:aws-sm://lists/*", f"+egress.allow:{hosts[0]}")
    )
    assert told.count("+egress.allow") + int(details["changedLeftOut"]) == len(hosts)


# ---------------------------------------------------------------- who reads it


@pytest.fixture(scope="module")
def readers(walled_server: Server) -> dict[str, Account]:
    server = walled_server
    for namespace in ("mine", "theirs"):
        server.namespace(namespace)
        assert put(server, f"{namespace}/f", value()).status == 200
    return {
        "reader": account(server, "mine", ("audit:read", "mine")),
        "developer": account(server, "mine", ("developer", "mine"), ("operator", "mine"), ("approver", "mine")),
        "admin": account(server, "mine", ("admin", "mine")),
        "auditor": account(server, "mine", ("audit:read", None)),
    }


def test_who_may_read_a_namespace_s_log_sees_its_records_alone(readers: dict[str, Account]) -> None:
    for who in ("reader", "admin", "auditor"):
        answer = readers[who].api("GET", "/v1/namespaces/mine/audit?limit=10000")
        assert answer.status == 200, f"{who}: {answer.text}"
        found = answer.json()["records"]
        assert found and {record.get("namespace") for record in found} == {"mine"}
        assert "theirs" not in answer.text
    for query in (
        "namespace=theirs",
        "function=theirs/f",
        "tail=10000",
        "after=0&limit=10000",
        "kind=server.started",
        "actor=server",
    ):
        answer = readers["reader"].api("GET", f"/v1/namespaces/mine/audit?{query}")
        assert answer.status in (200, 400, 404) and "theirs" not in answer.text.replace(query, ""), answer.text
        if answer.status == 200:
            assert {record.get("namespace") for record in answer.json()["records"]} <= {"mine"}


@pytest.mark.parametrize("where", ["/v1/audit", "/v1/audit/log", "/v1/audit/checkpoint"])
def test_the_whole_log_takes_the_right_on_the_whole_server(readers: dict[str, Account], where: str) -> None:
    for who in ("reader", "developer", "admin"):
        answer = readers[who].api("GET", where)
        assert answer.status == 403 and "audit:read" in problem(answer)["detail"], f"{who}: {answer.text}"
    assert readers["auditor"].api("GET", where).status == 200
    assert readers["auditor"].server.api("GET", where, key=None).status == 401


def test_without_the_right_a_namespace_s_log_is_refused_and_another_s_does_not_exist(
    readers: dict[str, Account],
) -> None:
    assert readers["developer"].api("GET", "/v1/namespaces/mine/audit").status == 403
    for who in ("reader", "developer", "admin"):
        answer = readers[who].api("GET", "/v1/namespaces/theirs/audit")
        unknown = readers[who].api("GET", "/v1/namespaces/nowhere/audit")
        assert (answer.status, unknown.status) == (404, 404), who
        assert problem(answer)["detail"].replace("theirs", "nowhere") == problem(unknown)["detail"]


def test_whoever_makes_a_namespace_of_a_former_name_is_not_shown_the_former_one_s_records(walled: Server) -> None:
    walled.namespace("reborn")
    assert put(walled, "reborn/old-function", value()).status == 200
    assert walled.api("DELETE", "/v1/namespaces/reborn/functions/old-function").status == 204
    assert walled.api("DELETE", "/v1/namespaces/reborn").status == 204
    walled.namespaces.discard("reborn")
    reader = account(walled, "reborn", ("audit:read", "reborn"))
    answer = reader.api("GET", "/v1/namespaces/reborn/audit?limit=10000")
    assert answer.status == 200 and "old-function" not in answer.text


# ---------------------------------------------------------------- audit tail


def test_tail_prints_one_record_a_line_and_takes_kind_namespace_function_actor_and_number(
    readers: dict[str, Account],
) -> None:
    server = readers["reader"].server
    code, out, _ = server.cli("audit", "tail", "--kind", "secret.*,vault.*", "--namespace", "mine", "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and found and {record["namespace"] for record in found} == {"mine"}
    assert {record["kind"].split(".")[0] for record in found} <= {"secret", "vault"}
    for record in found:
        assert {"sequence", "time", "kind", "outcome", "actor", "source", "request"} <= set(record)
    code, out, _ = server.cli("audit", "tail", "--function", "theirs/f")
    assert code == 0 and out and all("theirs/f" in line for line in out.splitlines())
    assert len(server.cli("audit", "tail", "-n", "3")[1].splitlines()) == 3
    assert server.cli("audit", "tail", "--actor", "nobody") == (0, "", "")
    code, out, _ = readers["reader"].cli("audit", "tail", "--namespace", "mine")
    assert code == 0 and "mine/f" in out and "theirs" not in out
    code, _, err = readers["reader"].cli("audit", "tail")
    assert code == 2 and "audit:read" in err
    code, _, err = server.cli("audit", "tail", "--kind", "secret.sett")
    assert code == 2 and "secret.sett" in err


@contextlib.contextmanager
def following(server: Server, *options: str, key: str = "") -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    environment = server.cli_environment(CASEMATE_URL=server.api_url, CASEMATE_KEY=key or server.key)
    command = [*server.prefix, str(binary()), "audit", "tail", "-f", "--json", *options]
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=server.folder,
    )
    lines: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)  # type: ignore[arg-type]
    reader.start()
    try:
        yield process, lines
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(5)
        reader.join(5)


def test_tail_follows_what_happens_until_ctrl_c(readers: dict[str, Account]) -> None:
    server = readers["reader"].server
    with following(server, "--namespace", "mine", "--kind", "secret.set", "-n", "0") as (process, lines):
        time.sleep(0.7)
        expected = []
        for _ in range(3):
            expected.append(put(server, "mine/f", value()).headers["casemate-request-id"])
        put(server, "theirs/f", value())
        assert wait_until(lambda: len(lines) >= 3, 5), lines
        assert [json.loads(line)["request"] for line in lines] == expected, "each once, in order"
        process.send_signal(signal.SIGINT)
        process.wait(5)


def test_whoever_follows_the_log_when_the_right_goes_loses_sight_of_it(readers: dict[str, Account]) -> None:
    server = readers["reader"].server
    watcher = account(server, "mine")
    grant = watcher.grant("audit:read", "mine")
    with following(server, "--namespace", "mine", "--kind", "secret.set", "-n", "0", key=watcher.key) as (
        process,
        lines,
    ):
        time.sleep(0.5)
        put(server, "mine/f", value())
        assert wait_until(lambda: len(lines) == 1, 5)
        assert server.api("DELETE", grant).status == 204
        # "Within seconds", docs/access.md says.
        wait_until(lambda: process.poll() is not None, 5)
        put(server, "mine/f", value())
        assert wait_until(lambda: process.poll() is not None, 8), "still following"
        assert process.returncode == 2 and len(lines) == 1, lines


# ---------------------------------------------------------------- parameters


BAD = {
    "/v1/audit": ["tail=-1", "tail=10001", "tail=x", "tail=1.5", "tail=", "limit=0", "limit=-1", "limit=10001", "limit=99999999999999999999", "after=-1", "after=x",
        "after=99999999999999999999", "wait=31", "wait=-1", "wait=x", "kind=a.b", "kind=*", "kind=secret.*,nonsense", "unknown=1", "limit=1&limit=2"],
    "/v1/audit/log": ["position=-1", "position=x", "position=99999999999999999999", "position=1e3", "unknown=1"],
    "/v1/audit/checkpoint": ["unknown=1"],
}  # fmt: skip


@pytest.mark.parametrize("where,query", [(where, query) for where, queries in BAD.items() for query in queries])
def test_a_parameter_out_of_its_range_is_400(walled: Server, where: str, query: str) -> None:
    answer = walled.api("GET", f"{where}?{query}")
    assert answer.status == 400, f"{answer.status} {answer.text[:300]}"
    assert problem(answer)["type"] == "/problems/invalid-request"


def test_pages_follow_each_other_without_a_gap_and_end(walled: Server) -> None:
    whole = [record["sequence"] for record in walled.api("GET", "/v1/audit?after=0&limit=10000").json()["records"]]
    assert whole == list(range(1, len(whole) + 1))
    got: list[int] = []
    cursor = 0
    while len(got) < len(whole):
        page = walled.api("GET", f"/v1/audit?after={cursor}&limit=7").json()
        assert 0 < len(page["records"]) <= 7 and page["cursor"] > cursor
        got += [record["sequence"] for record in page["records"]]
        cursor = page["cursor"]
    assert got[: len(whole)] == whole


def test_a_filter_finds_what_is_far_behind_in_small_pages(walled: Server) -> None:
    cursor, got, rounds = 0, [], 0
    while rounds < 2000:
        page = walled.api("GET", f"/v1/audit?after={cursor}&limit=1&kind=server.started,audit.begun").json()
        if page["cursor"] == cursor:
            break
        got += [record["kind"] for record in page["records"]]
        cursor, rounds = page["cursor"], rounds + 1
    assert got[:2] == ["audit.begun", "server.started"]


def test_wait_returns_with_the_first_record_and_otherwise_when_the_time_is_over(walled: Server) -> None:
    walled.namespace("waited")
    cursor = walled.api("GET", "/v1/audit?tail=0").json()["cursor"]
    quiet = walled.api("GET", f"/v1/audit?after={cursor}&wait=1&kind=secret.set&namespace=waited")
    assert quiet.status == 200 and quiet.json()["records"] == [] and 0.8 < quiet.seconds < 3
    got: list[Answer] = []
    waiting = threading.Thread(
        target=lambda: got.append(
            walled.api("GET", f"/v1/audit?after={cursor}&wait=20&kind=secret.set&namespace=waited")
        )
    )
    waiting.start()
    time.sleep(0.3)
    put(walled, "waited/f", value())
    waiting.join(25)
    assert [record["kind"] for record in got[0].json()["records"]] == ["secret.set"] and got[0].seconds < 3
