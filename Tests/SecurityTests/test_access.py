"""Who may do what: the matrix of roles and operations, tenants, and what a change of rights comes to."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from accounts import account
from casemate_fixture import Server, archive, handler, manifest, problem

GOLDEN = Path(__file__).resolve().parents[1] / "CasemateServerTests/Golden/rights.txt"
ONE = handler("def handle(data):\n    print('a line of the log')\n    return 1\n")
ABSENT = "00000000-0000-4000-8000-000000000000"
HERE = "access"


@pytest.fixture(scope="module")
def tenants(running: Server) -> Iterator[Server]:
    for namespace in (HERE, "next-door"):
        running.deploy(namespace, "score", ONE)
    running.deploy(HERE, "other", ONE)
    running.secret(f"{HERE}/score", "API_KEY", "a-value-of-some-length")
    yield running


def matrix() -> tuple[list[str], list[tuple[str, str, dict[str, str]]]]:
    header, *rows = [line.split() for line in GOLDEN.read_text().splitlines()]
    return header[3:], [(row[0], row[1], dict(zip(header[3:], row[3:]))) for row in rows]


def holders(server: Server) -> dict[str, str | None]:
    """The credential of each column of the matrix."""
    singles = {
        "logs-reader": "logs:read",
        "source-reader": "source:read",
        "secret-writer": "secret:write",
        "ns-admin": "admin",
    }
    keys: dict[str, str | None] = {
        "anonymous": None,
        "token": server.token(HERE)["token"],
        "bootstrap-key": server.key,
        "platform-admin": account(server, HERE, ("admin", None)).key,
        "other-tenant": account(server, "next-door", ("admin", "next-door")).key,
    }
    for column in matrix()[0]:
        if column not in keys:
            keys[column] = account(server, HERE, (singles.get(column, column), HERE)).key
    return keys


@pytest.mark.case("A14")
@pytest.mark.guarantee("COG-8", "COG-13", "KYM-16", "SCW-2")
def test_A14_every_operation_answers_every_role_as_the_matrix_says(tenants: Server) -> None:
    columns, rows = matrix()
    keys = holders(tenants)
    victim = account(tenants, HERE)
    assert len(rows) > 30
    numbers = itertools.count(1)
    wrong = []
    for (method, path, cells), column in itertools.product(rows, columns):
        function = "score"
        if cells[column] == "yes" and method == "DELETE":
            # One of its own, of which only a secret exists: what may be deleted is.
            function = f"doomed-{next(numbers)}"
            made = tenants.api(
                "PUT", f"/v1/namespaces/{HERE}/functions/{function}/secrets/API_KEY", b"a-value-of-some-length"
            )
            assert made.status == 200
        values = {
            "namespace": HERE, "function": function, "secret": "API_KEY", "target": "api.example.com:443", "token": ABSENT,
            "grant": ABSENT, "account": victim.name, "key": ABSENT,
        }  # fmt: skip
        filled = path
        for name, value in values.items():
            filled = filled.replace("{" + name + "}", value)
        if cells[column] == "yes" and (method, path.endswith("{account}")) == ("DELETE", True):
            filled = filled.replace(victim.name, account(tenants, HERE).name)
        body = None if method in ("GET", "DELETE") else b""
        answer = tenants.api(method, filled, body, key=keys[column])
        expected = cells[column]
        fits = (
            answer.status not in (401, 403) and answer.status < 500
            if expected == "yes"
            else str(answer.status) == expected
        )
        if not fits and expected == "yes" and path.endswith("/consent"):
            # The right is there; but nobody of these can be asked.
            fits = "casemate login" in answer.text
        if not fits:
            wrong.append(f"{column} {method} {filled}: {answer.status} instead of {expected}: {answer.text[:200]}")
    assert wrong == []
    assert tenants.call(f"{HERE}/score").status == 200


@pytest.mark.guarantee("COG-8", "COG-13", "KYM-16")
def test_COG_8_13_reading_a_function_shows_neither_source_nor_logs_nor_secrets(tenants: Server) -> None:
    viewer = account(tenants, HERE, ("viewer", HERE))
    path = f"/v1/namespaces/{HERE}/functions/score"
    tenants.call(f"{HERE}/score")
    shown = viewer.api("GET", path)
    assert shown.status == 200
    assert "secrets" not in shown.json() and "API_KEY" not in shown.text
    for what, right in (("source", "source:read"), ("logs", "logs:read"), ("secrets", "secret:write")):
        refused = problem(viewer.api("GET", f"{path}/{what}"))
        assert (refused["status"], refused["type"]) == (403, "/problems/forbidden")
        assert right in refused["detail"]
    viewer.grant("source:read", f"{HERE}/score")
    source = viewer.api("GET", f"{path}/source")
    assert source.status == 200 and source.body[:2] == b"PK"
    assert (
        viewer.api("GET", f"/v1/namespaces/{HERE}/functions/other/source").status == 403
    ), "it was for the one function"
    assert viewer.api("GET", f"{path}/logs").status == 403, "one right implies no other"


@pytest.mark.guarantee("KYM-17")
def test_KYM_17_a_source_is_not_had_by_deploying_its_digest(tenants: Server) -> None:
    """A digest is no secret: whoever may see a function sees it."""
    thief = account(tenants, "next-door", ("admin", "next-door"), ("viewer", HERE))
    shown = thief.api("GET", f"/v1/namespaces/{HERE}/functions/score").json()
    digest = shown["revisions"][0]["sourceDigest"].removeprefix("sha256:")
    order = {"namespace": "next-door", "manifest": manifest("next-door", "stolen"), "sources": {"stolen": digest}}
    outcome = thief.api("POST", "/v1/deployments", order).json()["functions"][0]
    assert outcome["status"] == "failed" and "upload it first" in outcome["problem"]
    order["sources"] = {"stolen": "0" * 64}
    unknown = thief.api("POST", "/v1/deployments", order).json()["functions"][0]
    assert outcome["problem"].replace(digest[:12], "") == unknown["problem"].replace("0" * 12, "")
    assert thief.api("GET", "/v1/namespaces/next-door/functions/stolen").status == 404


@pytest.mark.case("A17")
def test_A17_another_tenants_things_are_as_if_they_were_not_there(tenants: Server) -> None:
    stranger = account(tenants, "next-door", ("admin", "next-door"))
    token = tenants.token(f"{HERE}/score")["id"]
    call = tenants.call(f"{HERE}/score").call_id
    victim = account(tenants, HERE, ("viewer", HERE))
    grant = victim.grant("logs:read", HERE).rsplit("/", 1)[1]
    pairs = [
        ("GET", f"/v1/namespaces/{HERE}/functions", "/v1/namespaces/absent/functions"),
        ("GET", f"/v1/namespaces/{HERE}/functions/score", "/v1/namespaces/absent/functions/score"),
        (
            "GET",
            f"/v1/namespaces/{HERE}/functions/score/logs?call={call}",
            f"/v1/namespaces/absent/functions/score/logs?call={call}",
        ),
        ("GET", f"/v1/namespaces/{HERE}/functions/score/source", "/v1/namespaces/absent/functions/score/source"),
        ("DELETE", f"/v1/namespaces/{HERE}/tokens/{token}", f"/v1/namespaces/absent/tokens/{token}"),
        ("DELETE", f"/v1/namespaces/next-door/tokens/{token}", f"/v1/namespaces/next-door/tokens/{ABSENT}"),
        ("DELETE", f"/v1/namespaces/next-door/grants/{grant}", f"/v1/namespaces/next-door/grants/{ABSENT}"),
        ("DELETE", f"/v1/namespaces/{HERE}/grants/{grant}", f"/v1/namespaces/absent/grants/{grant}"),
        ("POST", f"{victim.path}/keys", "/v1/namespaces/absent/service-accounts/x/keys"),
    ]
    for method, there, absent in pairs:
        one, other = (stranger.api(method, path, {} if method == "POST" else None) for path in (there, absent))
        assert one.status == other.status == 404, f"{method} {there}: {one.status} {other.status}"
        assert problem(one)["detail"].replace(HERE, "absent") == problem(other)["detail"], there
    listed = stranger.api("GET", "/v1/namespaces").json()["namespaces"]
    assert [namespace["name"] for namespace in listed] == ["next-door"]
    for function in (f"{HERE}/score", f"{HERE}/absent", "absent/absent"):
        refused = problem(stranger.call(function))
        assert (refused["status"], refused["detail"]) == (404, "there is no such function")
    assert victim.api("GET", f"/v1/namespaces/{HERE}/functions/score").status == 200


@pytest.mark.case("A19")
def test_A19_a_right_that_is_taken_back_ends_at_once_also_for_who_follows_a_log(tenants: Server) -> None:
    reader = account(tenants, HERE, ("viewer", HERE))
    grant = reader.grant("logs:read", HERE)
    path = f"/v1/namespaces/{HERE}/functions/score/logs"
    cursor = reader.api("GET", f"{path}?tail=0").json()["cursor"]
    ended: list[tuple[int, float]] = []

    def follow() -> None:
        answer = reader.api("GET", f"{path}?after={cursor}&wait=30")
        ended.append((answer.status, time.monotonic()))

    thread = threading.Thread(target=follow)
    thread.start()
    time.sleep(1)
    assert not ended, "it should still wait"
    begin = time.monotonic()
    assert tenants.api("DELETE", grant).status == 204
    assert reader.api("GET", f"{path}?tail=1").status == 403
    thread.join(20)
    assert ended and ended[0][0] == 403
    assert ended[0][1] - begin < 5


@pytest.mark.case("A19")
def test_A19_who_loses_everything_somewhere_does_not_know_it_any_more(tenants: Server) -> None:
    gone = account(tenants, HERE)
    grant = gone.grant("function:invoke", f"{HERE}/score")
    assert gone.call(f"{HERE}/score").status == 200
    assert gone.call(f"{HERE}/other").status == 404
    assert gone.api("GET", f"/v1/namespaces/{HERE}/functions/score").status == 403, "it may call it, not look at it"
    assert tenants.api("DELETE", grant).status == 204
    assert gone.call(f"{HERE}/score").status == 404
    assert gone.api("GET", f"/v1/namespaces/{HERE}/functions/score").status == 404
    assert gone.api("GET", "/v1/whoami").json() == {"subject": gone.subject, "grants": [], "calls": "standing"}


def test_who_may_know_a_function_but_not_call_it_is_told_so_and_no_sandbox_starts(tenants: Server) -> None:
    viewer = account(tenants, HERE, ("viewer", HERE))
    before = tenants.status()
    refused = problem(viewer.call(f"{HERE}/score"))
    assert (refused["status"], refused["type"]) == (403, "/problems/forbidden")
    assert "function:invoke" in refused["detail"]
    after = tenants.status()
    assert (after["calls"], after["coldStarts"]) == (before["calls"], before["coldStarts"])


@pytest.mark.guarantee("KYM-5")
def test_KYM_5_making_a_function_public_takes_a_right_of_its_own(tenants: Server) -> None:
    developer = account(tenants, HERE, ("developer", HERE))

    def deploy(**more: str) -> dict[str, str]:
        digest = developer.api("POST", "/v1/archives", archive({"handler.py": ONE["handler.py"]})).json()["digest"]
        order = {"namespace": HERE, "manifest": manifest(HERE, "exposed", more), "sources": {"exposed": digest}}
        answer = developer.api("POST", "/v1/deployments", order, timeout=180)
        assert answer.status == 200, answer.text
        outcome: dict[str, str] = answer.json()["functions"][0]
        return outcome

    refused = deploy(access="public")
    assert refused["status"] == "failed" and "function:publish" in refused["problem"]
    assert developer.api("GET", f"/v1/namespaces/{HERE}/functions/exposed").status == 404
    assert deploy()["status"] == "deployed"
    tenants.deploy(HERE, "exposed", {"handler.py": ONE["handler.py"]}, {"access": "public"})
    tenants.deploy(HERE, "exposed", {"handler.py": ONE["handler.py"]})
    back = developer.api("POST", f"/v1/namespaces/{HERE}/functions/exposed/rollback", {"revision": 2})
    assert back.status == 403 and "function:publish" in back.text, "a rollback is no way round"
    assert tenants.call(f"{HERE}/exposed", key=None).status == 401


def test_a_right_on_one_function_deploys_that_one_alone(tenants: Server) -> None:
    deployer = account(tenants, HERE, ("deployer", f"{HERE}/other"))
    digest = deployer.api("POST", "/v1/archives", archive({"handler.py": ONE["handler.py"]})).json()["digest"]
    for name, status in (("other", "deployed"), ("score", "failed"), ("brand-new", "failed")):
        order = {"namespace": HERE, "manifest": manifest(HERE, name, {"env": {"X": name}}), "sources": {name: digest}}
        outcome = deployer.api("POST", "/v1/deployments", order, timeout=180).json()["functions"][0]
        assert outcome["status"] == status, outcome
    order = {"namespace": "next-door", "manifest": manifest("next-door", "score"), "sources": {"score": digest}}
    there = deployer.api("POST", "/v1/deployments", order).json()["functions"][0]["problem"]
    order = {"namespace": "absent", "manifest": manifest("absent", "score"), "sources": {"score": digest}}
    absent = deployer.api("POST", "/v1/deployments", order).json()["functions"][0]["problem"]
    assert there.replace("next-door", "absent") == absent
    listed = deployer.api("GET", f"/v1/namespaces/{HERE}/functions").json()["functions"]
    assert [function["name"] for function in listed] == ["other"]


def test_nobody_grants_or_takes_on_what_they_do_not_have(tenants: Server) -> None:
    admin = account(tenants, HERE, ("admin", HERE))
    other = account(tenants, HERE)
    path = f"/v1/namespaces/{HERE}/grants"
    for permission in ("egress:ip", "platform:admin", "metrics:read"):
        assert admin.api("POST", path, {"subject": other.subject, "permission": permission}).status in (
            400,
            403,
        ), permission
    assert admin.api("POST", "/v1/grants", {"subject": admin.subject, "permission": "admin"}).status == 403
    assert admin.api("POST", path, {"subject": other.subject, "permission": "developer"}).status == 201
    strong = account(tenants, HERE, ("admin", None))
    for what in ("keys", "secret"):
        refused = problem(admin.api("POST", f"{strong.path}/{what}", {}))
        assert refused["status"] == 403, f"a credential of a stronger account was handed out by {what}"
    assert admin.api("POST", f"{other.path}/keys", {}).status == 201
    keeper = account(tenants, HERE, ("namespace:admin", HERE))
    assert keeper.api("POST", path, {"subject": keeper.subject, "permission": "admin"}).status == 403
    assert keeper.api("POST", path, {"subject": keeper.subject, "permission": "logs:read"}).status == 403


@pytest.mark.parametrize(
    "body",
    [
        {}, {"subject": "service-account:access/x"}, {"permission": "viewer"}, {"subject": "x", "permission": "viewer"},
        {"subject": "service-account:access", "permission": "viewer"}, {"subject": "service-account:access/x/y", "permission": "viewer"},
        {"subject": "service-account:access/absent", "permission": "root"}, {"subject": "service-account:access/absent", "permission": "*"},
        {"subject": "service-account:../x", "permission": "viewer"}, {"subject": 1, "permission": "viewer"},
        {"subject": "service-account:access/absent", "permission": "viewer", "extra": 1},
        {"subject": "service-account:access/absent", "permission": "viewer", "function": "Sc ore"},
        {"subject": "a" * 100_000, "permission": "viewer"},
    ],
)  # fmt: skip
def test_a_grant_that_makes_no_sense_is_refused_and_nothing_is_stored(tenants: Server, body: dict[str, object]) -> None:
    before = tenants.api("GET", f"/v1/namespaces/{HERE}/grants").json()
    answer = tenants.api("POST", f"/v1/namespaces/{HERE}/grants", body)
    assert answer.status in (400, 404, 422), answer.text
    assert len(problem(answer)["detail"]) < 500
    assert tenants.api("GET", f"/v1/namespaces/{HERE}/grants").json() == before


def test_grants_go_with_what_they_are_on_and_whom_they_are_for(tenants: Server) -> None:
    tenants.deploy("access-gone", "short", ONE)
    holder = account(tenants, HERE, ("viewer", "access-gone"), ("developer", "access-gone/short"))
    assert len(holder.api("GET", "/v1/whoami").json()["grants"]) == 2
    assert tenants.api("DELETE", "/v1/namespaces/access-gone/functions/short").status == 204
    assert len(holder.api("GET", "/v1/whoami").json()["grants"]) == 1
    tenants.deploy("access-gone", "short", ONE)
    assert holder.call("access-gone/short").status == 403, "a new function of the same name is another function"
    assert tenants.api("DELETE", holder.path).status == 204
    assert holder.api("GET", "/v1/whoami").status == 401
    grants = json.dumps(tenants.api("GET", "/v1/namespaces/access-gone/grants").json())
    assert holder.subject not in grants


# ---------------------------------------------------------------- what a review found


def slow_post(server: Server, path: str, body: bytes, key: str, before_the_end: Callable[[], object]) -> int:
    """Sends all but the last byte, does something, and sends that."""
    parts = urllib.parse.urlsplit(server.api_url)
    with socket.create_connection((parts.hostname or "", parts.port), 20) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + body[:-1])
        time.sleep(0.5)
        before_the_end()
        connection.sendall(body[-1:])
        return int(connection.makefile("rb").readline().split()[1])


@pytest.mark.case("A19")
def test_A19_a_request_that_is_still_being_sent_when_the_right_goes_is_refused(tenants: Server) -> None:
    admin = account(tenants, HERE)
    for path, body in (
        (f"/v1/namespaces/{HERE}/service-accounts", {"name": "backdoor", "role": "admin"}),
        (f"/v1/namespaces/{HERE}/grants", {"subject": admin.subject, "permission": "admin", "function": "score"}),
        (f"{admin.path}/keys", {}),
        (f"/v1/namespaces/{HERE}/tokens", {"function": "score"}),
    ):
        grant = admin.grant("admin", HERE)
        status = slow_post(
            tenants, path, json.dumps(body).encode() + b" ", admin.key, partial(tenants.api, "DELETE", grant)
        )
        assert status == 404, f"{path}: {status}"
    names = [
        item["name"] for item in tenants.api("GET", f"/v1/namespaces/{HERE}/service-accounts").json()["serviceAccounts"]
    ]
    assert "backdoor" not in names
    assert admin.api("GET", "/v1/whoami").json()["grants"] == []


def test_a_range_in_a_policy_takes_the_right_to_addresses(tenants: Server) -> None:
    admin = account(tenants, "access-policy", ("admin", "access-policy"))
    path = "/v1/namespaces/access-policy/policy"
    refused = admin.api("PUT", path, {"egress": {"cidrs": ["169.254.169.254/32"]}})
    assert refused.status == 403 and "egress:ip" in refused.text
    assert admin.api("PUT", path, {"development": True}).status == 200
    assert tenants.api("PUT", path, {"egress": {"cidrs": ["10.50.0.0/16"]}}).status == 200
    assert (
        admin.api("PUT", path, {"development": True, "egress": {"cidrs": ["10.50.0.0/16"]}}).status == 200
    ), "what is there may stay"
    assert admin.api("PUT", path, {"egress": {"cidrs": ["10.51.0.0/16"]}}).status == 403


def test_a_rollback_brings_no_address_back_without_the_right(tenants: Server) -> None:
    tenants.deploy("access-back", "caller", ONE, {"egress": ["192.0.2.1:443"]})
    tenants.deploy("access-back", "caller", ONE)
    deployer = account(tenants, "access-back", ("deployer", "access-back"))
    refused = deployer.api("POST", "/v1/namespaces/access-back/functions/caller/rollback", {"revision": 1})
    assert refused.status == 403 and "egress:ip" in refused.text
    assert tenants.api("GET", "/v1/namespaces/access-back/functions/caller").json()["activeRevision"] == 2


def test_a_stranger_puts_no_grant_on_an_account_and_cannot_find_out_which_there_are(tenants: Server) -> None:
    victim = account(tenants, HERE, ("viewer", HERE))
    stranger = account(tenants, "next-door", ("admin", "next-door"))
    path = "/v1/namespaces/next-door/grants"
    there = problem(stranger.api("POST", path, {"subject": victim.subject, "permission": "viewer"}))
    absent = problem(stranger.api("POST", path, {"subject": f"service-account:{HERE}/absent", "permission": "viewer"}))
    assert there["status"] == absent["status"] == 404
    assert there["detail"].replace(victim.name, "absent") == absent["detail"]
    # The server's administrator may; then the account's own can see it and take it back.
    away = victim.grant("viewer", "next-door")
    home = account(tenants, HERE, ("admin", HERE))
    assert home.api("POST", f"{victim.path}/secret").status == 403
    identifier = away.rsplit("/", 1)[1]
    assert identifier in home.api("GET", f"/v1/namespaces/{HERE}/grants").text
    assert home.api("DELETE", f"/v1/namespaces/{HERE}/grants/{identifier}").status == 204
    assert home.api("POST", f"{victim.path}/secret").status == 200


def test_who_may_make_tokens_but_not_call_makes_none(tenants: Server) -> None:
    maker = account(tenants, HERE, ("token:write", HERE))
    refused = maker.api("POST", f"/v1/namespaces/{HERE}/tokens", {"function": "score"})
    assert refused.status == 403 and "function:invoke" in refused.text
    maker.grant("function:invoke", f"{HERE}/score")
    made = maker.api("POST", f"/v1/namespaces/{HERE}/tokens", {"function": "score"})
    assert made.status == 201 and made.json()["createdBy"] == maker.subject
    assert maker.api("POST", f"/v1/namespaces/{HERE}/tokens", {"function": "other"}).status == 403


def test_a_refused_deployment_takes_nobodys_archive_away(tenants: Server) -> None:
    developer = account(tenants, HERE, ("developer", HERE))
    digest = developer.api("POST", "/v1/archives", archive({"handler.py": ONE["handler.py"] + "# kept\n"})).json()[
        "digest"
    ]
    stranger = account(tenants, "next-door", ("admin", "next-door"))
    order = {"namespace": "next-door", "manifest": manifest("next-door", "x"), "sources": {"x": digest}}
    for dry_run in (True, False):
        outcome = stranger.api("POST", "/v1/deployments", {**order, "dryRun": dry_run}).json()["functions"][0]
        assert outcome["status"] == "failed"
    mine = {"namespace": HERE, "manifest": manifest(HERE, "kept"), "sources": {"kept": digest}}
    assert developer.api("POST", "/v1/deployments", mine, timeout=180).json()["functions"][0]["status"] == "deployed"
    assert tenants.api("GET", f"/v1/namespaces/{HERE}/functions/kept/source").status == 200


def test_a_deployment_whose_maker_loses_the_right_while_it_builds_does_not_come_into_force(tenants: Server) -> None:
    developer = account(tenants, HERE)
    grant = developer.grant("developer", HERE)
    source = handler("import time\ntime.sleep(4)\ndef handle(data):\n    return 1\n")
    digest = developer.api("POST", "/v1/archives", archive(source)).json()["digest"]
    outcome: list[dict[str, str]] = []

    def deploy() -> None:
        order = {"namespace": HERE, "manifest": manifest(HERE, "late"), "sources": {"late": digest}}
        outcome.append(developer.api("POST", "/v1/deployments", order, timeout=180).json()["functions"][0])

    thread = threading.Thread(target=deploy)
    thread.start()
    time.sleep(2)
    assert not outcome, "it should still be built"
    assert tenants.api("DELETE", grant).status == 204
    thread.join(60)
    assert outcome[0]["status"] == "failed" and outcome[0]["stage"] == "publish", outcome
    assert tenants.api("GET", f"/v1/namespaces/{HERE}/functions/late").status == 404
