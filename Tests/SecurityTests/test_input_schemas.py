"""Input schemas as an attacker would try them: what breaks one starts nothing, is echoed nowhere, and comes in by no other way."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from accounts import account
from async_calls import (
    QUICK,
    accepted,
    begin,
    ended,
    held,
    listed,
    metric,
    operate,
    outcome,
    redriven,
    refusal,
    send,
    view,
)
from casemate_fixture import Server, handler, problem, wait_until, with_argument
from input_schemas import (
    CALLER,
    CONTENT_TYPES,
    FIELDS,
    JSON,
    ORDER,
    OTHER_CONTENT_TYPES,
    OTHER_QUERIES,
    QUERIES,
    QUERY,
    SECRET,
    TAKER,
    WRONG,
    Stricter,
    deploy,
    invalid,
    kinds,
    made,
    nothing_runs,
    post,
    raw,
    unsupported,
)
from schema_cases import ARRAYS, COMBINATIONS, NO_DOCUMENTS, NUMBERS, OBJECTS, STRINGS, TYPES, VALUES
from supply_chain import back

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def guarded(running: Server) -> Server:
    deploy(running, "schemas/order", {"body": ORDER})
    deploy(running, "schemas/any", {"body": True})
    deploy(running, "schemas/query", {"query": QUERY})
    deploy(running, "schemas/fields", {"headers": FIELDS})
    deploy(running, "schemas/all", {"body": ORDER, "query": QUERY, "headers": FIELDS})
    return running


# ---------------------------------------------------------------- bodies


@pytest.mark.guarantee("AZR-8")
def test_AZR_8_what_breaks_the_schema_is_refused_with_its_place_before_a_function_starts(running: Server) -> None:
    deploy(running, "schemas/cold", {"body": ORDER})
    wrong: list[tuple[Any, str]] = [({}, ""), ([], ""), (None, ""), ({"n": "1"}, "/n"), ({"n": 101}, "/n")]
    wrong += [({"n": 1, "items": [{"q": 1}, {"q": 0}]}, "/items/1/q"), ({"n": 1, "a/b~c": 1}, "/a~1b~0c")]
    counted = metric(running, "casemate_refusals_total", '{problem="invalid-input"}')
    with nothing_runs(running, "schemas/cold"):
        for document, pointer in wrong:
            invalid(post(running, "schemas/cold", json.dumps(document).encode()), "body", pointer)
    assert metric(running, "casemate_refusals_total", '{problem="invalid-input"}') == counted + len(wrong)
    cold = running.status()["coldStarts"]
    assert post(running, "schemas/cold", b'{"n": 1}').status == 200
    assert (running.status()["coldStarts"], running.messages("schemas/cold")) == (cold + 1, ["ran"])


@pytest.mark.guarantee("AZR-8")
def test_AZR_8_what_is_no_document_or_two_is_refused_whatever_the_schema_is(guarded: Server) -> None:
    twins = [b'{"n": 1, "n": 2}', b'{"n": 1} {"n": 2}', b'{"n": 1}\x00', b'{"n": 1}}', b"\xff\xfe{\x00}\x00", b"[-]"]
    with nothing_runs(guarded, "schemas/any"):
        for document in [*NO_DOCUMENTS, *twins, b'{"a": [{"b": 1, "\\u0062": 1}]}']:
            told = invalid(post(guarded, "schemas/any", document), "body")
            assert told["pointer"] == "", document[:60]


def test_a_call_without_a_body_has_an_empty_one_whatever_its_method(guarded: Server) -> None:
    with nothing_runs(guarded, "schemas/any"):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            invalid(guarded.call("schemas/any", method), "body", "")
        head = guarded.call("schemas/any", "HEAD")
        assert (head.status, head.body) == (400, b"")
    assert guarded.call("schemas/any", "PUT", body=b"1", headers=[JSON]).status == 200


@pytest.mark.parametrize("content", CONTENT_TYPES)
def test_json_may_be_said_in_these_words(guarded: Server, content: str) -> None:
    answer = post(guarded, "schemas/order", b'{"n": 1}', [("Content-Type", content)])
    assert answer.status == 200, answer.text


@pytest.mark.guarantee("AZR-8")
def test_AZR_8_what_is_not_said_to_be_json_in_utf_8_is_not_taken_for_it(guarded: Server) -> None:
    counted = metric(guarded, "casemate_refusals_total", '{problem="unsupported-media-type"}')
    with nothing_runs(guarded, "schemas/order"):
        for content in OTHER_CONTENT_TYPES:
            unsupported(post(guarded, "schemas/order", b'{"n": 1}', [("Content-Type", content)]))
        unsupported(post(guarded, "schemas/order", b'{"n": 1}', []))
    after = metric(guarded, "casemate_refusals_total", '{problem="unsupported-media-type"}')
    assert after == counted + len(OTHER_CONTENT_TYPES) + 1


@pytest.mark.parametrize("order", itertools.permutations(["application/json", "text/plain"]), ids="-".join)
def test_two_content_types_are_not_the_one_that_is_liked(guarded: Server, order: Sequence[str]) -> None:
    with nothing_runs(guarded, "schemas/order"):
        answer = post(guarded, "schemas/order", b'{"n": 1}', [("Content-Type", one) for one in order])
    assert answer.status in (400, 415) and problem(answer)


def test_what_is_packed_is_not_looked_into(guarded: Server) -> None:
    packed = gzip.compress(b'{"n": 1}')
    with nothing_runs(guarded, "schemas/order"):
        for encoding, body in itertools.product(["gzip", "x-gzip", "deflate", "br", "GZIP"], [packed, b'{"n": 1}']):
            unsupported(post(guarded, "schemas/order", body, [JSON, ("Content-Encoding", encoding)]))
        unsupported(post(guarded, "schemas/order", packed, [JSON, ("Content-Encoding", "identity, gzip")]))
        for order in itertools.permutations(["identity", "gzip"]):
            unsupported(post(guarded, "schemas/order", packed, [JSON, *(("Content-Encoding", one) for one in order)]))
        invalid(post(guarded, "schemas/order", packed), "body", "")
    assert post(guarded, "schemas/order", b'{"n": 1}', [JSON, ("Content-Encoding", "identity")]).status == 200


def test_depth_and_number_of_values_have_bounds(guarded: Server) -> None:
    assert post(guarded, "schemas/any", b"[" * 64 + b"]" * 64).status == 200
    assert post(guarded, "schemas/any", b'{"a":' * 64 + b"1" + b"}" * 64).status == 200
    assert post(guarded, "schemas/any", b"[" + b"0," * 900_000 + b"0]").status == 200
    with nothing_runs(guarded, "schemas/any"):
        for body in (b'{"a":' * 65 + b"1" + b"}" * 65, b"[" + b"0," * 1_000_000 + b"0]", b"[" * 5_000_000):
            answer = post(guarded, "schemas/any", body)
            assert invalid(answer, "body") and answer.seconds < 20


def test_numbers_are_not_rounded_before_they_are_compared(guarded: Server) -> None:
    with nothing_runs(guarded, "schemas/order"):
        for number in ("100.00000000000000000000001", "1e400", "1e30", "1e401", "-1e999", "1e-1", "0.1", "9" * 999):
            assert invalid(post(guarded, "schemas/order", b'{"n": %s}' % number.encode()), "body"), number
    for number in ("-1e400", "1e2", "100.0", "-" + "9" * 999):
        assert post(guarded, "schemas/order", b'{"n": %s}' % number.encode()).status == 200, number


def test_the_gateway_says_of_documents_what_the_command_says(running: Server, tmp_path: Path) -> None:
    cases = [*TYPES, *VALUES, *NUMBERS, *STRINGS, *ARRAYS, *OBJECTS, *COMBINATIONS]
    schema = '{"properties": {' + ", ".join(f'"{number}": {case[0]}' for number, case in enumerate(cases)) + "}}"
    (tmp_path / "schema.json").write_text(schema)
    documents = [
        f'{{"{number}": {text}}}' for number, (_, good, bad) in enumerate(cases) for text in [*good[:1], *bad[-1:]]
    ]
    paths = []
    for number, document in enumerate(documents):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(document)
    _, out, err = running.cli("schema", "check", str(tmp_path / "schema.json"), *map(str, paths), "--json")
    told = [json.loads(line) for line in out.splitlines()]
    assert len(told) == len(documents) > 200 and {one["valid"] for one in told} == {True, False}, err
    named = {"signature": "scaleway", "inputSchema": "schema.json"}
    running.deploy("schemas", "agrees", {**TAKER, "schema.json": schema}, named)
    for document, verdict in zip(documents, told):
        answer = post(running, "schemas/agrees", document.encode())
        if verdict["valid"]:
            assert answer.status == 200, f"{document}: {answer.text}"
        else:
            assert verdict["problem"] in invalid(answer, "body", verdict["pointer"])["detail"], document


# ---------------------------------------------------------------- much, slow, costly


def test_a_large_body_that_comes_slowly_in_parts_is_checked_as_a_whole(guarded: Server) -> None:
    def parts(start: bytes, end: bytes) -> Iterator[bytes]:
        yield start
        for _ in range(20):
            time.sleep(0.02)
            yield b"x" * 250_000
        yield end

    good = guarded.call("schemas/order", "POST", body=parts(b'{"n": 1, "pad": "', b'"}'), headers=[JSON])
    assert good.status == 200 and good.json()["size"] > 5_000_000, good.text
    with nothing_runs(guarded, "schemas/order"):
        for start, end, pointer in ((b'{"pad": "', b'", "n": "x"}', "/n"), (b'{"n": 1, "pad": "', b'"} 1', "")):
            invalid(guarded.call("schemas/order", "POST", body=parts(start, end), headers=[JSON]), "body", pointer)
        assert problem(post(guarded, "schemas/order", b'{"n": 1, "pad": "' + b"x" * (8 << 20)))["status"] == 413


def test_many_members_take_no_long_time_and_one_twice_among_them_is_found(guarded: Server) -> None:
    members = ",".join(f'"k{number}": 0' for number in range(200_000))
    good = post(guarded, "schemas/any", f"{{{members}}}".encode())
    assert good.status == 200 and good.seconds < 20
    with nothing_runs(guarded, "schemas/any"):
        bad = post(guarded, "schemas/any", f'{{{members}, "k7": 0}}'.encode())
        assert invalid(bad, "body", "") and bad.seconds < 20


def test_a_schema_that_takes_for_ever_is_given_up_and_holds_up_nobody(running: Server) -> None:
    doubling: dict[str, Any] = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(30)}
    texts = {"a": "^(a+)+$", "b": "^(a|a)*$", "c": "^(.*a){25}$", "d": "(x+x+)+y"}
    properties: dict[str, Any] = {name: {"pattern": pattern} for name, pattern in texts.items()}
    properties |= {"not": {"not": {"pattern": "^(a+)+$"}}, "doubling": {"$ref": "#/$defs/d0"}}
    properties["names"] = {"patternProperties": {"^(a+)+$": False}}
    deploy(running, "schemas/costly", {"body": {"$defs": {**doubling, "d30": False}, "properties": properties}})
    running.assert_serving()
    long = "a" * 5000 + "!"
    documents: dict[str, Any] = dict.fromkeys(("a", "b", "c", "not"), long) | {"d": "x" * 5000, "doubling": 1}
    documents["names"] = {"a" * 100 + f"{n}!": 1 for n in range(5000)}
    bodies = [json.dumps({name: value}).encode() for name, value in documents.items()]
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(post, running, "schemas/costly", body) for body in bodies]
        meanwhile = [running.call("canary/canary", body={"n": 7}) for _ in range(10)]
        answers = [one.result() for one in asked]
    for name, answer in zip(documents, answers):
        assert invalid(answer, "body") and answer.seconds < 20, name
    assert {answer.status for answer in meanwhile} == {200} and max(answer.seconds for answer in meanwhile) < 5
    assert running.messages("schemas/costly") == []


# ---------------------------------------------------------------- queries


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_is_read_as_a_form(guarded: Server, query: str) -> None:
    answer = guarded.call("schemas/query", path=f"?{query}")
    assert answer.status == 200, answer.text


@pytest.mark.guarantee("AZR-8")
def test_AZR_8_a_query_that_breaks_its_schema_is_refused_however_its_names_are_written(guarded: Server) -> None:
    with nothing_runs(guarded, "schemas/query"):
        for query, pointer in OTHER_QUERIES:
            invalid(guarded.call("schemas/query", path=query), "query", pointer)


@pytest.mark.parametrize("wrong", ["%", "%2", "%zz", "%u0037", "%ff", "%c0%b7", "%ed%a0%80", "%f4%90%80%80", "a%c3"])
def test_a_query_that_is_not_encoded_text_is_refused(guarded: Server, wrong: str) -> None:
    with nothing_runs(guarded, "schemas/query"):
        for query in (f"days=7{wrong}", f"days=7&{wrong}", f"{wrong}=1&days=7"):
            invalid(guarded.call("schemas/query", path=f"?{query}"), "query")


def test_a_body_of_any_kind_passes_where_the_query_alone_has_a_schema(guarded: Server) -> None:
    body = gzip.compress(b"anything")
    answer = guarded.call("schemas/query", "POST", "?days=7", body, [("Content-Encoding", "gzip")])
    assert answer.status == 200, answer.text


# ---------------------------------------------------------------- header fields


def test_header_fields_are_known_by_their_names_in_lower_case(guarded: Server) -> None:
    for name in ("X-Tenant", "x-tenant", "X-TENANT"):
        answer = guarded.call("schemas/fields", headers=[(name, "plant")])
        assert answer.status == 200, answer.text


@pytest.mark.guarantee("AZR-8")
def test_AZR_8_header_fields_that_break_their_schema_are_refused_in_any_spelling(guarded: Server) -> None:
    missing = [[], [("X_Tenant", "plant")], [("XTenant", "plant")]]
    wrong = [[("X-Tenant", value)] for value in ("Plant", "", "plant,other")]
    wrong += [[("X-Tenant", "plant"), (name, value)] for name in ("X-TENANT", "x-tenant") for value in ("plant", "")]
    with nothing_runs(guarded, "schemas/fields"):
        for fields in [*missing, *wrong]:
            pointer = "/x-tenant" if fields in wrong else ""
            invalid(guarded.call("schemas/fields", headers=fields), "headers", pointer)


def test_a_field_that_the_function_would_not_get_counts_for_none(guarded: Server) -> None:
    with nothing_runs(guarded, "schemas/fields"):
        hop = [("Connection", "X-Tenant"), ("X-Tenant", "plant")]
        invalid(guarded.call("schemas/fields", headers=hop), "headers", "")
        # In the trailer of a body.
        head = f"POST /f/schemas/fields HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {guarded.key}\r\nConnection: close\r\n"
        rest = "Trailer: X-Tenant\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\nX-Tenant: plant\r\n\r\n"
        assert raw(guarded, head + rest).startswith(b"HTTP/1.1 400")


def test_fields_of_the_platform_are_its_own_and_credentials_are_not_among_them(running: Server) -> None:
    names = ["authorization", "x-auth-token", "proxy-authorization", "casemate-session", "x-casemate-role"]
    schema: dict[str, Any] = {
        "properties": {**dict.fromkeys(names, False), "x-forwarded-for": {"const": "127.0.0.1"}},
        "required": ["x-forwarded-for", "x-request-id"],
    }
    deploy(running, "schemas/platform", {"headers": schema}, capabilities=["schemas/order:invoke"])
    forged = [("X-Forwarded-For", "203.0.113.9"), ("Casemate-Session", "cms_x"), ("X-Casemate-Role", "x")]
    forged += [("Proxy-Authorization", "Basic x")]
    token = running.token("schemas/platform")["token"]
    for who in ({"key": running.key}, {"token": token}):
        answer = running.call("schemas/platform", headers=forged, **who)
        assert answer.status == 200, answer.text


@pytest.mark.parametrize("fields", ["Content-Type: application/json", "Content-Type: x/y", "Content-Encoding: gzip"])
def test_a_refused_body_is_not_read_as_the_next_request(guarded: Server, fields: str) -> None:
    head = f"POST /f/schemas/order HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {guarded.key}\r\n"
    good = head + 'Content-Type: application/json\r\nConnection: close\r\nContent-Length: 8\r\n\r\n{"n": 1}'
    before = len(guarded.messages("schemas/order"))
    told = raw(guarded, f"{head}{fields}\r\nContent-Length: {len(good)}\r\n\r\n{good}{good}")
    assert told.startswith(b"HTTP/1.1 4") and told.count(b"HTTP/1.1 ") == 2 and told.count(b"HTTP/1.1 200") == 1, told
    assert len(guarded.messages("schemas/order")) == before + 1


# ---------------------------------------------------------------- who calls, and by which way


@pytest.mark.guarantee("AZR-8", "SCW-15")
def test_AZR_8_who_may_not_call_learns_nothing_of_the_schema(guarded: Server) -> None:
    token = guarded.token("schemas/any")["token"]
    viewer = account(guarded, "schemas", ("viewer", "schemas"))
    stranger = account(guarded, "schemas-else", ("admin", "schemas-else"))
    who: list[tuple[int, dict[str, Any]]] = [(401, {"key": None}), (404, {"token": token})]
    who += [(403, {"key": viewer.key}), (404, {"key": stranger.key})]
    with nothing_runs(guarded, "schemas/all"):
        for status, caller in who:
            calls = [made(), *(call for call, _ in WRONG)]
            told = [refusal(guarded.call("schemas/all", "POST", **call, **caller)) for call in calls]
            assert told[0][0] == status and all(one == told[0] for one in told), (caller, told)


@pytest.mark.guarantee("AZR-8")
def test_AZR_8_what_is_refused_is_refused_as_an_asynchronous_call_too_and_not_queued(guarded: Server) -> None:
    before = len(listed(guarded, "schemas"))
    with nothing_runs(guarded, "schemas/all"):
        for call, reason in WRONG:
            alike, answer = guarded.call("schemas/all", "POST", **call), send(guarded, "schemas/all", **call)
            assert refusal(answer) == refusal(alike) and problem(answer).get("reason") == reason
        time.sleep(0.3)
    assert len(listed(guarded, "schemas")) == before
    assert ended(guarded, accepted(send(guarded, "schemas/all", **made())))["status"] == "succeeded"


def test_an_idempotency_key_of_what_was_refused_is_free(guarded: Server) -> None:
    key = ("Idempotency-Key", f"key-{next(_numbers)}")
    for body in (b"{}", b"{"):
        invalid(send(guarded, "schemas/order", body, headers=[JSON, key]), "body")
    unsupported(send(guarded, "schemas/order", b'{"n": 1}', headers=[key]))
    call = accepted(send(guarded, "schemas/order", b'{"n": 1}', headers=[JSON, key]))
    assert send(guarded, "schemas/order", b'{"n": 1}', headers=[JSON, key]).call_id == call
    assert outcome(guarded, call)["size"] == 8


@pytest.mark.parametrize("session", [False, True], ids=["by its name", "with its session"])
def test_another_function_is_held_to_the_schema(running: Server, session: bool) -> None:
    callers = [] if session else ["schemas/caller"]
    deploy(running, "schemas/called", {"body": ORDER, "query": QUERY}, callers=callers)
    given: dict[str, Any] = {"capabilities": ["schemas/called:invoke"]} if session else {}
    running.deploy("schemas", "caller", CALLER, {"signature": "scaleway", **given})

    def ask(body: str, query: str = "days=7", content: str = "application/json") -> dict[str, Any]:
        order = {"to": f"called.schemas.internal/?{query}", "body": body, "session": session, "content": content}
        told: dict[str, Any] = running.call("schemas/caller", body=order).json()
        return told

    before = len(running.messages("schemas/called"))
    for body, query, content, status, reason in (
        ('{"n": "x"}', "days=7", JSON[1], 400, "body"),
        ("{", "days=7", JSON[1], 400, "body"),
        ('{"n": 1}', "days=%", JSON[1], 400, "query"),
        ('{"n": 1}', "days=7", "text/plain", 415, None),
    ):
        told = ask(body, query, content)
        assert (told["status"], json.loads(told["body"]).get("reason")) == (status, reason), told
    assert len(running.messages("schemas/called")) == before
    assert ask('{"n": 1}')["status"] == 200 and len(running.messages("schemas/called")) == before + 1


def test_a_public_function_is_held_to_its_schema_by_whoever_calls(running: Server) -> None:
    deploy(running, "schemas/public", {"body": ORDER}, access="public")
    with nothing_runs(running, "schemas/public"):
        invalid(post(running, "schemas/public", b'{"n": "x"}', key=None), "body", "/n")
        invalid(
            post(running, "schemas/public", b'{"n": "x"}', [JSON, ("Prefer", "respond-async")], key=None), "body", "/n"
        )
    assert post(running, "schemas/public", b'{"n": 1}', key=None).status == 200


def test_a_function_that_reads_json_itself_is_called_with_nothing_else_either(running: Server) -> None:
    source = handler("def handle(data):\n    print('ran', flush=True)\n    return data\n")
    deploy(running, "schemas/cognite", {"body": ORDER}, source, signature="cognite")
    with nothing_runs(running, "schemas/cognite"):
        invalid(post(running, "schemas/cognite", b"{"), "body", "")
        invalid(running.call("schemas/cognite", path="?n=1"), "body", "")
    assert post(running, "schemas/cognite", b'{"n": 1}').json() == {"n": 1}


def test_no_value_is_echoed_anywhere(guarded: Server) -> None:
    rules: dict[str, Any] = {"type": {"type": "integer"}, "const": {"const": 1}, "enum": {"enum": ["a"]}}
    rules |= {"pattern": {"pattern": "^x$"}, "length": {"maxLength": 2}, "not": {"not": {"type": "string"}}}
    rules |= {"any": {"anyOf": [{"const": "a"}, {"minLength": 99}]}, "one": {"oneOf": [True, True]}, "none": False}
    kept = {name: rule for name, rule in rules.items() if name != "type"} | {"type": {"type": "array"}}
    schemas = {
        kind: {"properties": {f"x-{name}": rule for name, rule in kept.items()}} for kind in ("query", "headers")
    }
    deploy(guarded, "schemas/secretive", {"body": {"properties": rules}, **schemas})
    answers = [post(guarded, "schemas/secretive", json.dumps({name: SECRET}).encode()) for name in rules]
    answers += [post(guarded, "schemas/secretive", f'{{"a": "{SECRET}", {SECRET}}}'.encode())]
    answers += [post(guarded, "schemas/secretive", b"{}", [JSON, (f"X-{name}", SECRET)]) for name in kept]
    answers += [post(guarded, "schemas/secretive", b"{}", path=f"?x-{name}={SECRET}") for name in kept]
    answers += [post(guarded, "schemas/secretive", b"{}", path=f"?x={SECRET}%")]
    assert [answer.status for answer in answers] == [400] * len(answers)
    for answer in answers:
        assert SECRET not in answer.text + str(answer.fields)
    assert SECRET not in "".join([*guarded.out, *guarded.err, *guarded.messages("schemas/secretive")])
    unsupported(told := post(guarded, "schemas/secretive", b"{}", [("Content-Type", f"x/{SECRET}")]))
    assert SECRET not in told.text


# ---------------------------------------------------------------- a schema that has become stricter meanwhile


@pytest.mark.guarantee("AZR-8")
def test_AZR_8_a_call_that_waited_is_checked_again_by_what_runs_it(running: Server) -> None:
    own = Stricter(running)
    key = {"Casemate-Key": "k"}
    with held(running, own.function, "k"):
        bad = begin(running, own.function, {"tag": SECRET}, headers=key)
        good = begin(running, own.function, {"tag": "good"}, headers=key)
        own.tighten()
    own.has_failed(bad, 0)
    assert outcome(running, good)["tag"] == "good", "it holds up nobody behind it"


@pytest.mark.guarantee("AZR-8")
def test_AZR_8_each_revision_gets_what_its_own_schema_takes_while_they_change(running: Server) -> None:
    function = "schemas/turns"
    for kind, name in (("int", "integer"), ("str", "string")):
        schema = {"required": ["n"], "properties": {"n": {"type": name}}}
        deploy(running, function, {"body": schema}, kinds(kind), **{"async": QUICK})
    stopped = threading.Event()
    called: list[str] = []

    def client(asynchronous: bool) -> set[tuple[int, str]]:
        seen = set()
        while not stopped.wait(0.02):
            for body in (b'{"n": 1}', b'{"n": "x"}'):
                answer = (send if asynchronous else post)(running, function, body, headers=[JSON])
                seen.add((answer.status, answer.headers.get("casemate-revision", "")))
                called.extend([answer.call_id] if answer.status == 202 else [])
        return seen

    with ThreadPoolExecutor(2) as pool:
        clients = [pool.submit(client, asynchronous) for asynchronous in (False, True)]
        for number in (1, 2, 1, 2, 1, 2):
            assert back(running, function, number).status == 200
            time.sleep(0.4)
        stopped.set()
        assert [one.result() for one in clients] == [{(200, "1"), (200, "2"), (400, "")}, {(202, ""), (400, "")}]
    for call in called:
        shown = ended(running, call)
        refused = shown["status"] == "failed" and shown["problem"]["type"] == "/problems/invalid-input"
        assert refused or shown["status"] == "succeeded", shown
    said = running.messages(function)
    assert "ran" in said and "broken" not in said


def test_a_second_attempt_is_checked_again(running: Server) -> None:
    own, marker = Stricter(running), f"marker-{uuid.uuid4()}"
    call = begin(running, own.function, {"tag": SECRET, "child": marker, "s": 50})
    assert wait_until(lambda: with_argument(marker), 10)
    cgroup = with_argument(marker)[0].cgroup
    own.tighten()
    for process in running.remains():
        if process.cgroup == cgroup:
            # With the first one of a sandbox the others go.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
    own.has_failed(call, 1)


def test_a_redriven_call_is_checked_again(running: Server) -> None:
    own = Stricter(running)
    call = begin(running, own.function, {"tag": SECRET, "fails": 9})
    assert ended(running, call)["status"] == "dead"
    own.tighten()
    ((_, new),) = redriven(operate(running, own.function, call, "redrive"))
    own.has_failed(new, 0)
    assert view(running, call)["status"] == "dead"
