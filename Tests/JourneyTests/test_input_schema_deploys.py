"""Input schemas from their developer's side: deployed, changed, gone back to and promoted, and heeded by what triggers send."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from accounts import account
from async_calls import begin, ended, listed, view
from casemate_fixture import Answer, Server, Source, archive, manifest, problem, wait_until
from input_schemas import FIELDS, JSON, QUERY, SECRET, TAKER, deploy, invalid, post
from schema_cases import REFUSED
from supply_chain import back, live, path, set_rules, team

WHOLE = '{"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}'
TEXT = WHOLE.replace("integer", "string")
SCALEWAY = {"signature": "scaleway"}
KEYS = {**SCALEWAY, "inputSchema": "schema.json"}
LIMIT = 256 << 10


def source(schema: str = WHOLE, file: str = "schema.json") -> dict[str, str]:
    return {**TAKER, file: schema}


def takes_numbers(server: Server, function: str) -> bool:
    """Whether it takes numbers alone, or else texts alone."""
    statuses = [post(server, function, json.dumps({"n": value}).encode()).status for value in (1, "x")]
    assert sorted(statuses) == [200, 400], statuses
    return statuses == [200, 400]


def paths(server: Server, function: str, before: int, after: int) -> list[str]:
    diff = server.api("GET", path(function, f"diff?from={before}&to={after}"))
    assert diff.status == 200, diff.text
    return [change["path"] for change in diff.json()["changes"]]


# ---------------------------------------------------------------- what is deployed


@pytest.mark.guarantee("AZR-8")
@pytest.mark.parametrize("value", ["schema.json", {"body": "schema.json"}], ids=["text", "mapping"])
def test_AZR_8_a_body_s_schema_is_named_by_a_path_alone_or_among_others(server: Server, value: Any) -> None:
    server.deploy("schemed", "named", source(), {**SCALEWAY, "inputSchema": value})
    assert takes_numbers(server, "schemed/named")


def test_a_schema_may_lie_in_a_folder_and_be_as_large_as_it_may(server: Server) -> None:
    schema = WHOLE + " " * (LIMIT - len(WHOLE))
    keys = {**SCALEWAY, "inputSchema": {"body": "schemas/of/the-body.json"}}
    server.deploy("schemed", "placed", source(schema, "schemas/of/the-body.json"), keys)
    assert takes_numbers(server, "schemed/placed")


def test_each_of_the_three_holds_by_itself_and_all_together(server: Server) -> None:
    schemas: dict[str, Any] = {"body": json.loads(WHOLE), "query": QUERY, "headers": FIELDS}
    right: dict[str, Any] = {"body": b'{"n": 1}', "path": "?days=7", "headers": [JSON, ("X-Tenant", "plant")]}
    wrong: dict[str, dict[str, Any]] = {
        "body": {"body": b"{}"},
        "query": {"path": "?days=x"},
        "headers": {"headers": [JSON, ("X-Tenant", "1")]},
    }
    for given in (["body"], ["query"], ["headers"], [*schemas]):
        deploy(server, "schemed/three", {kind: schemas[kind] for kind in given})
        assert server.call("schemed/three", "POST", **right).status == 200
        for kind, change in wrong.items():
            answer = server.call("schemed/three", "POST", **{**right, **change})
            if kind in given:
                invalid(answer, kind)
            else:
                assert answer.status == 200, answer.text


def test_the_command_that_calls_says_what_is_wrong(server: Server) -> None:
    server.deploy("schemed", "typed", source(), KEYS)
    assert server.cli("invoke", "schemed/typed", "--data", '{"n": 1}')[0] == 0
    for data in ('{"n": "x"}', "{"):
        code, out, err = server.cli("invoke", "schemed/typed", "--data", data)
        assert code == 2 and err.strip() and "ran" not in out, out + err
    code, _, err = server.cli("invoke", "schemed/typed", "--data", f'{{"n": "{SECRET}"}}')
    assert code == 2 and "/n" in err and SECRET not in err
    assert server.cli("invoke", "schemed/typed")[0] == 2


# ---------------------------------------------------------------- what is not

# What inputSchema is, what the source has, and a word that the answer has to have.
FAULTS: dict[str, tuple[Any, dict[str, str | bytes], str]] = {
    "no such file": ("schema.json", {}, "schema.json"),
    "no such file of the query": ({"body": "schema.json", "query": "query.json"}, {"schema.json": WHOLE}, "query.json"),
    "a path out of it": ("../schema.json", {"schema.json": WHOLE}, "../schema.json"),
    "a path out of it by a folder of its own": ("a/../../schema.json", {"a/b": "", "schema.json": WHOLE}, "schema.json"),
    "a path to the manifest": ("../casemate.yaml", {"schema.json": WHOLE}, "casemate.yaml"),
    "an absolute path": ("/schema.json", {"schema.json": WHOLE}, "/schema.json"),
    "a file of the host": ({"headers": "/etc/hostname"}, {"schema.json": WHOLE}, "/etc/hostname"),
    "an address": ("https://example.com/schema.json", {"schema.json": WHOLE}, "inputSchema"),
    "a folder": ("schema.json", {"schema.json/body.json": WHOLE}, "schema.json"),
    "too large": ("schema.json", {"schema.json": WHOLE + " " * (LIMIT + 1 - len(WHOLE))}, "schema.json"),
    "empty": ("schema.json", {"schema.json": ""}, "schema.json"),
    "no JSON": ("schema.json", {"schema.json": "type: object\n"}, "schema.json"),
    "no text": ("schema.json", {"schema.json": b'{"title": "\xff"}'}, "schema.json"),
    "no schema": ("schema.json", {"schema.json": '["object"]'}, "schema.json"),
    "a keyword that is misspelt": ("schema.json", {"schema.json": '{"properties": {"a": {"typo": 1}}}'}, "typo"),
    "a keyword that is not taken": ("schema.json", {"schema.json": '{"unevaluatedProperties": false}'}, "unevaluated"),
    "another draft": ("schema.json", {"schema.json": f'{{"$schema": "{"http://json-schema.org/draft-07/schema#"}"}}'}, "$schema"),
    "a schema elsewhere": ("schema.json", {"schema.json": '{"$ref": "https://example.com/a.json"}'}, "$ref"),
    "a file beside it": ("schema.json", {"schema.json": '{"$ref": "other.json"}', "other.json": WHOLE}, "$ref"),
    "a pattern that is none": ("schema.json", {"schema.json": '{"pattern": "("}'}, "pattern"),
    "a fault in the third": ({"body": "schema.json", "headers": "h.json"}, {"schema.json": WHOLE, "h.json": "{"}, "h.json"),
    "a number": (7, {"schema.json": WHOLE}, "inputSchema"),
    "a boolean": (True, {"schema.json": WHOLE}, "inputSchema"),
    "a list": (["schema.json"], {"schema.json": WHOLE}, "inputSchema"),
    "a number in the mapping": ({"body": 7}, {"schema.json": WHOLE}, "body"),
    "a schema itself": ({"body": {"type": "object"}}, {"schema.json": WHOLE}, "body"),
    "a schema itself in the place of its path": ({"type": "object"}, {"schema.json": WHOLE}, "type"),
    "a key that is unknown": ({"bodi": "schema.json"}, {"schema.json": WHOLE}, '"body"'),
}  # fmt: skip


def refused(answer: Answer) -> list[dict[str, Any]]:
    """The faults that are told of an order that could not be read, or of the function that it could not deploy."""
    told = problem(answer) if answer.status != 200 else answer.json()["functions"][0]
    if answer.status == 200:
        assert (told["status"], told["problemType"]) == ("failed", "/problems/invalid-manifest"), told
    else:
        assert (told["status"], told["type"]) == (422, "/problems/invalid-manifest"), told
    faults: list[dict[str, Any]] = told["diagnostics"]
    assert faults and all(fault["file"] and fault["what"] and fault["fix"] for fault in faults), faults
    return faults


def order(server: Server, name: str, files: Source, keys: Mapping[str, Any]) -> Answer:
    return server.deploy_archive("schemed", name, archive({**TAKER, **files}), manifest("schemed", name, keys))


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_schema_stops_the_deployment_and_is_told_with_what_to_write(server: Server, fault: str) -> None:
    value, files, word = FAULTS[fault]
    faults = refused(order(server, "faulty", files, {**SCALEWAY, "inputSchema": value}))
    assert word.strip('"') in json.dumps(faults), faults
    done = server.try_deploy("schemed", "faulty", {**TAKER, **files}, {**SCALEWAY, "inputSchema": value})
    assert done.code not in (0, 64) and word.strip('"') in done.said, done.said
    assert server.api("GET", path("schemed/faulty")).status == 404


@pytest.mark.parametrize("case", [REFUSED[number] for number in range(0, len(REFUSED), 9)], ids=lambda case: case[0])
def test_a_schema_that_would_not_be_checked_in_full_is_refused_with_its_place(
    server: Server, case: tuple[str, str]
) -> None:
    faults = refused(order(server, "faulty", {"schema.json": case[0]}, KEYS))
    assert case[1] in json.dumps(faults, ensure_ascii=False).replace('\\"', '"'), faults
    assert server.api("GET", path("schemed/faulty")).status == 404


def test_what_is_live_serves_on_when_a_later_schema_is_none(server: Server) -> None:
    server.deploy("schemed", "standing", source(), KEYS)
    for schema in ("{", TEXT.replace("properties", "property")):
        assert server.try_deploy("schemed", "standing", source(schema), KEYS).code == 1
    assert server.cli_json("function", "show", "schemed/standing")["activeRevision"] == 1
    assert takes_numbers(server, "schemed/standing")


def test_the_command_says_file_and_line_of_what_is_wrong(server: Server) -> None:
    server.namespace("schemed")
    for schema, keys, said in (
        ('{"properties": {"a": {"typo": 1}}}', KEYS, "schema.json: /properties/a/typo"),
        (WHOLE, {**SCALEWAY, "inputSchema": "../schema.json"}, "casemate.yaml:8:"),
        (WHOLE, {**KEYS, "triggers": [{"cron": "@daily", "input": {"n": "x"}}]}, "casemate.yaml:9:"),
    ):
        code, out, err = server.cli("deploy", str(server.project("schemed", "texted", source(schema), keys)))
        assert code in (1, 2) and said in out + err, out + err


# ---------------------------------------------------------------- revisions


@pytest.mark.guarantee("AZR-8")
def test_AZR_8_a_schema_is_part_of_its_revision(server: Server) -> None:
    function = "schemed/changed"
    first = server.deploy("schemed", "changed", source(), KEYS)
    same = server.deploy("schemed", "changed", source(), KEYS)
    assert (same["status"], same["revision"]) == ("unchanged", first["revision"])
    other = server.deploy("schemed", "changed", source(TEXT), KEYS)
    assert (other["status"], other["revision"]) == ("deployed", first["revision"] + 1)
    assert other["digest"] != first["digest"] and not takes_numbers(server, function)
    code, out, err = server.cli("function", "rollback", function)
    assert code == 0, out + err
    assert takes_numbers(server, function)
    assert back(server, function, 2).status == 200
    assert not takes_numbers(server, function)


def test_a_schema_that_is_added_or_taken_away_makes_a_revision(server: Server) -> None:
    function = "schemed/added"
    server.deploy("schemed", "added", source(), SCALEWAY)
    assert server.call(function, body={"n": "x"}).status == 200
    assert server.deploy("schemed", "added", source(), KEYS)["revision"] == 2
    assert takes_numbers(server, function)
    assert server.deploy("schemed", "added", source(), SCALEWAY)["revision"] == 3
    assert server.call(function, body={"n": "x"}).status == 200
    assert paths(server, function, 1, 2) == paths(server, function, 2, 3) == ["inputSchema.body"]


def test_a_diff_names_the_schemas_that_are_others(server: Server) -> None:
    function = "schemed/differs"
    schemas: dict[str, Any] = {"body": json.loads(WHOLE), "query": QUERY, "headers": FIELDS}
    deploy(server, function, schemas)
    for kind in schemas:
        schemas[kind] = {**schemas[kind], "maxProperties": 99}
        deploy(server, function, schemas)
    assert [paths(server, function, number, number + 1) for number in (1, 2, 3)] == [
        ["inputSchema.body"],
        ["inputSchema.query"],
        ["inputSchema.headers"],
    ]
    assert sorted(paths(server, function, 1, 4)) == ["inputSchema.body", "inputSchema.headers", "inputSchema.query"]
    code, out, err = server.cli("function", "diff", function, "1", "2")
    assert code == 0 and "inputSchema.body" in out and "inputSchema.query" not in out, out + err


def test_a_canary_is_held_to_its_own_schema_and_refuses_no_more_than_its_share(server: Server) -> None:
    function = "schemed/split"
    for schema in (WHOLE, TEXT):
        server.deploy("schemed", "split", source(schema), KEYS)
    assert server.api("PUT", path(function, "split"), {"revision": 1, "percent": 20}).status in (200, 204)
    texts, numbers = ([post(server, function, body) for _ in range(50)] for body in (b'{"n": "x"}', b'{"n": 1}'))
    for answers, revision in ((texts, "2"), (numbers, "1")):
        assert {answer.headers["casemate-revision"] for answer in answers if answer.status == 200} == {revision}
    refused = [sum(answer.status == 400 for answer in answers) for answers in (texts, numbers)]
    assert refused == [10, 40], "of any hundred calls in a row the canary gets as many as it is to get"


def test_promotion_carries_the_schema(server: Server) -> None:
    ours = team(server)
    prod = f"{ours.namespace}-prod"
    set_rules(server, prod, production=True)
    promoter = account(server, prod, ("deployer", prod), ("source:read", ours.namespace))
    live(ours.author, ours.function(), source(), KEYS)
    ours.review(ours.function(), 1)
    done = promoter.api("POST", f"/v1/namespaces/{prod}/promotions", {"from": ours.function()}, timeout=180)
    assert done.status in (200, 201) and done.json().get("status") != "failed", done.text
    assert takes_numbers(server, f"{prod}/{ours.label()}")


# ---------------------------------------------------------------- what triggers send


@pytest.mark.guarantee("AZR-8")
@pytest.mark.parametrize(
    ("trigger", "pointer"),
    [({"input": {"n": SECRET}}, "/n"), ({"input": {}}, ""), ({"input": [1]}, ""), ({}, "")],
    ids=["a value", "a member missing", "another type", "no input"],
)
def test_AZR_8_a_manifest_s_trigger_that_breaks_the_schema_stops_the_deployment(
    server: Server, trigger: dict[str, Any], pointer: str
) -> None:
    keys = {**KEYS, "triggers": [{"name": "good", "cron": "@daily", "input": {"n": 1}}, {"cron": "@daily", **trigger}]}
    line = next(n for n, text in enumerate(manifest("schemed", "timed", keys).splitlines(), 1) if "triggers:" in text)
    faults = refused(order(server, "timed", source(), keys))
    assert [fault["line"] for fault in faults] == [line] and pointer in faults[0]["what"] + faults[0]["fix"], faults
    done = server.try_deploy("schemed", "timed", source(), keys)
    assert done.code == 1 and SECRET not in json.dumps(faults) + done.said, done.said
    assert server.api("GET", path("schemed/timed")).status == 404


def test_a_manifest_s_trigger_that_matches_runs(server: Server) -> None:
    keys = {**KEYS, "triggers": [{"name": "good", "cron": "@yearly", "input": {"n": 1}}]}
    server.deploy("schemed", "runs", source(), keys)
    call = server.api("POST", path("schemed/runs", "schedules", "good", "run")).json()["callId"]
    assert ended(server, call)["status"] == "succeeded"
    # A schema that it would break comes no more than such a trigger does.
    faults = refused(order(server, "runs", source(TEXT), keys))
    assert "/n" in json.dumps(faults) and takes_numbers(server, "schemed/runs")


def create(server: Server, function: str, name: str, **more: Any) -> Answer:
    return server.api("POST", path(function, "schedules"), {"name": name, "cron": "@yearly", **more})


@pytest.mark.guarantee("AZR-8")
def test_AZR_8_a_schedule_that_would_break_the_schema_is_not_made(server: Server) -> None:
    function = "schemed/scheduled"
    server.deploy("schemed", "scheduled", source(), KEYS)
    wrong: list[tuple[dict[str, Any], str]] = [({"input": {"n": SECRET}}, "/n"), ({"input": {}}, ""), ({}, "")]
    for more, pointer in [*wrong, ({"input": None}, "")]:
        told = problem(create(server, function, "wrong", **more))
        assert (told["status"], told["type"]) == (422, "/problems/invalid-schedule"), told
        assert pointer in told["detail"] and SECRET not in json.dumps(told), told
    for data in ((), ("--input", f'{{"n": "{SECRET}"}}'), ("--input", "{}")):
        code, _, err = server.cli("schedule", "create", function, "wrong", "--cron", "@yearly", *data)
        assert code == 2 and SECRET not in err and ("/n" in err or SECRET not in str(data)), err
    assert server.api("GET", path(function, "schedules")).json()["schedules"] == []
    assert create(server, function, "right", input={"n": 1}).status == 201
    code, out, err = server.cli("schedule", "create", function, "typed", "--cron", "@yearly", "--input", '{"n": 2}')
    assert code == 0, out + err
    call = server.api("POST", path(function, "schedules", "typed", "run")).json()["callId"]
    assert ended(server, call)["status"] == "succeeded"


def test_a_dead_letter_is_held_to_the_schema_of_the_function_that_gets_it(server: Server) -> None:
    server.deploy(
        "schemed", "mends", source('{"required": ["callId", "absent"]}'), {**KEYS, "callers": ["schemed/dies"]}
    )
    keys = {**SCALEWAY, "async": {"maxAttempts": 2, "backoff": "100ms", "deadLetter": "schemed/mends"}}
    server.deploy("schemed", "dies", {"handler.py": "def handle(event, context):\n    raise ValueError\n"}, keys)
    assert ended(server, begin(server, "schemed/dies", {}))["status"] == "dead"
    assert wait_until(lambda: [one for one in listed(server, "schemed/mends") if one["status"] == "failed"], 15)
    (call,) = listed(server, "schemed/mends")
    assert call["problem"]["type"] == "/problems/invalid-input", call
    assert "ran" not in server.messages("schemed/mends")


def test_a_schedule_s_call_fails_when_a_later_schema_does_not_take_it() -> None:
    function = "schemed/stale"
    with Server(options=("--pool-size", "2")) as own:
        own.deploy("schemed", "stale", source(), KEYS)
        body = {"name": "stale", "cron": "*/5 * * * *", "missed": "once", "input": {"n": 1}}
        made = own.api("POST", path(function, "schedules"), body).json()
        own.deploy("schemed", "stale", source(TEXT), KEYS)
        own.stop()
        # As if no time had been heeded for an hour.
        with sqlite3.connect(Path(own.data) / "server/queue.db") as database:
            moment = int((time.time() - 3600) * 1000)
            database.execute("UPDATE schedule_cursors SET cursor = ? WHERE schedule_id = ?", (moment, made["id"]))
        own.start()

        def fires() -> list[dict[str, Any]]:
            told = own.api("GET", path(function, "schedules", "stale", "history")).json()["fires"]
            return [fire for fire in told if fire.get("status") in ("failed", "dead")]

        assert wait_until(fires, 20), own.api("GET", path(function, "schedules", "stale", "history")).text
        call, *_ = [one for one in listed(own, function) if one.get("schedule") == made["id"]]
        shown = view(own, call["callId"])
        assert shown["status"] in ("failed", "dead") and shown["problem"]["type"] == "/problems/invalid-input", shown
        assert own.messages(function).count("ran") == 0
