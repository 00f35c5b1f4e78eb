"""The front door for callers: who is let in, what is refused and how, which headers pass."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest
from casemate_fixture import Answer, Server, handler, problem

ECHO = handler("""
    import json

    def handle(event, context):
        given = dict(event["headers"])
        return {
            "statusCode": 200,
            "headers": {"Content-Type": "application/json", "X-From-Function": "yes"},
            "body": json.dumps({"headers": given, "path": event["path"], "body": event["body"]}),
        }
    """)


@pytest.fixture(scope="module")
def echo(running: Server) -> Server:
    running.deploy("gate", "echo", ECHO)
    running.deploy("gate", "sibling", ECHO)
    running.deploy("elsewhere", "echo", ECHO)
    return running


def seen(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.text
    return {name.lower(): value for name, value in answer.json()["headers"].items()}


def shape(answer: Answer) -> tuple[int, list[str], list[str], str, str]:
    """What tells two refusals apart, without what differs between any two calls."""
    details = problem(answer)
    names = sorted(name.lower() for name, _ in answer.fields if name.lower() != "date")
    return answer.status, names, sorted(details), details["detail"], details["type"]


@pytest.mark.guarantee("KYM-5", "SCW-15", "SCW-4")
def test_anonymous_callers_of_private_and_unknown_functions_get_the_same_401_and_start_nothing(echo: Server) -> None:
    before = echo.status()
    names = [
        "gate/echo",
        "gate/unknown",
        "nowhere/echo",
        "gate/echo/path",
        "Bad_Name/x",
        "gate",
        "",
        "gate/" + "x" * 80,
    ]
    bad: list[dict[str, str]] = [
        {},
        {"X-Auth-Token": "cmt_thisisnotatoken"},
        {"X-Auth-Token": str(uuid.uuid4())},
        {"Authorization": f"Bearer {uuid.uuid4()}"},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"X-Auth-Token": ""},
        {"X-Auth-Token": "x" * 4000},
    ]
    for headers in bad:
        shapes = {json.dumps(shape(echo.call(name, key=None, headers=headers))) for name in names}
        assert len(shapes) == 1, f"{headers}: {shapes}"
        assert json.loads(shapes.pop())[0] == 401
    after = echo.status()
    assert after["coldStarts"] == before["coldStarts"]
    assert after["calls"] == before["calls"]


@pytest.mark.guarantee("SCW-15")
def test_SCW_15_a_hundred_anonymous_calls_are_refused_at_once_and_trigger_nothing(echo: Server) -> None:
    before = echo.status()
    answers = [echo.call("gate/echo", key=None) for _ in range(100)]
    assert {answer.status for answer in answers} == {401}
    assert sorted(answer.seconds for answer in answers)[50] < 0.02
    after = echo.status()
    assert (after["calls"], after["coldStarts"]) == (before["calls"], before["coldStarts"])


def test_an_unknown_function_is_404_for_an_administrator(echo: Server) -> None:
    details = problem(echo.call("gate/absent"))
    assert details["status"] == 404
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", details["instance"])


@pytest.mark.guarantee("KYM-3", "SCW-4")
def test_a_function_token_opens_its_function_alone(echo: Server) -> None:
    token = echo.token("gate/echo")["token"]
    assert echo.call("gate/echo", token=token).status == 200
    unknown = echo.call("gate/absent", token=token)
    assert unknown.status == 404
    sibling = echo.call("gate/sibling", token=token)
    assert sibling.status in (403, 404)
    if sibling.status == 404:
        assert [p.replace("sibling", "absent") for p in map(str, shape(sibling))] == [str(p) for p in shape(unknown)]
    other = echo.call("elsewhere/echo", token=token)
    absent = echo.call("elsewhere/absent", token=token)
    assert other.status == absent.status == 404
    assert str(shape(other)).replace("elsewhere/echo", "N") == str(shape(absent)).replace("elsewhere/absent", "N")


@pytest.mark.guarantee("SCW-4")
def test_a_namespace_token_opens_all_functions_of_its_namespace_alone(echo: Server) -> None:
    token = echo.token("gate")["token"]
    assert echo.call("gate/echo", token=token).status == 200
    assert echo.call("gate/sibling", token=token).status == 200
    assert echo.call("elsewhere/echo", token=token).status == 404


@pytest.mark.guarantee("SCW-19")
def test_SCW_19_the_token_header_counts_in_any_case_and_an_api_key_works_in_both(echo: Server) -> None:
    token = echo.token("gate/echo")["token"]
    for name in ("X-Auth-Token", "x-auth-token", "X-AUTH-TOKEN"):
        assert echo.call("gate/echo", key=None, headers={name: token}).status == 200
    assert echo.call("gate/echo", key=None, headers={"X-Auth-Token": echo.key}).status == 200
    assert echo.call("gate/echo", key=None, headers={"Authorization": f"bearer {echo.key}"}).status == 200
    assert echo.call("gate/echo", key=None, headers={"Authorization": f"Bearer {token}"}).status == 401
    assert echo.call("gate/echo", key=None, path=f"?X-Auth-Token={token}").status == 401


def test_two_credentials_that_disagree_are_refused(echo: Server) -> None:
    token = echo.token("gate/echo")["token"]
    assert echo.call(
        "gate/echo", key=None, headers=[("X-Auth-Token", token), ("X-Auth-Token", "cmt_other")]
    ).status in (400, 401)
    both = [("X-Auth-Token", token), ("Authorization", f"Bearer {uuid.uuid4()}")]
    assert echo.call("gate/echo", key=None, headers=both).status in (400, 401)


@pytest.mark.guarantee("KYM-4", "SCW-19")
def test_KYM_4_the_credentials_of_a_call_never_reach_the_function(echo: Server) -> None:
    token = echo.token("gate/echo")["token"]
    for headers in ({"X-Auth-Token": token}, {"Authorization": f"Bearer {echo.key}"}, {"x-AUTH-token": echo.key}):
        answer = echo.call("gate/echo", key=None, headers=headers)
        given = seen(answer)
        assert "x-auth-token" not in given and "authorization" not in given
        assert token not in answer.text and echo.key not in answer.text


def test_a_token_that_the_function_gives_back_is_replaced(echo: Server) -> None:
    token = echo.token("gate/echo")["token"]
    answer = echo.call("gate/echo", token=token, body={"mine": token})
    assert answer.status == 200
    assert token not in answer.text
    assert "[token]" in answer.json()["body"]


@pytest.mark.case("A18", "N7")
@pytest.mark.guarantee("SCW-17")
def test_A18_forged_forwarding_and_platform_headers_never_reach_the_function(echo: Server) -> None:
    forged = [
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-User", "root"),
        ("Forwarded", "for=203.0.113.9"),
        ("X-Real-IP", "203.0.113.9"),
        ("Casemate-Call-Id", str(uuid.UUID(int=0))),
        ("Casemate-Anything", "forged"),
        ("casemate-lower", "forged"),
        ("X-Casemate-Internal", "forged"),
    ]
    answer = echo.call("gate/echo", headers=forged)
    given = seen(answer)
    assert given.get("x-forwarded-for") == "127.0.0.1"
    assert given.get("x-forwarded-proto") == "http"
    assert "203.0.113.9" not in answer.text and "evil.example" not in answer.text
    assert "x-forwarded-user" not in given
    assert not [name for name in given if name.startswith("casemate-") and given[name] != answer.call_id]
    assert not [name for name in given if name.startswith("x-casemate")]
    assert answer.call_id != str(uuid.UUID(int=0))


def test_hop_by_hop_headers_are_not_passed_on(echo: Server) -> None:
    given = seen(
        echo.call(
            "gate/echo",
            headers=[("Connection", "X-Private-Hop"), ("X-Private-Hop", "v"), ("TE", "trailers"), ("Keep-Alive", "1")],
        )
    )
    assert not {"connection", "x-private-hop", "te", "keep-alive", "transfer-encoding", "upgrade"} & set(given)


@pytest.mark.case("N7")
def test_N7_the_host_header_and_absolute_form_do_not_change_the_route(echo: Server) -> None:
    answer = echo.http(
        echo.gateway_url,
        "GET",
        "/f/gate/echo",
        None,
        [("Host", "echo.elsewhere.localhost"), ("Authorization", f"Bearer {echo.key}")],
    )
    assert answer.status in (200, 400, 404), answer.text
    answer = echo.http(
        echo.gateway_url, "GET", "http://evil.example/f/gate/echo", None, [("Authorization", f"Bearer {echo.key}")]
    )
    assert answer.status in (200, 400, 404), answer.text
    assert "evil.example" not in answer.text


def test_urls_in_answers_come_from_the_configuration_not_from_the_host_header(echo: Server) -> None:
    answer = echo.http(
        echo.api_url, "GET", "/v1/server", None, [("Host", "evil.example"), ("Authorization", f"Bearer {echo.key}")]
    )
    assert answer.status == 200
    assert answer.json()["gatewayUrl"] == echo.gateway_url and answer.json()["apiUrl"] == echo.api_url


def test_a_head_call_has_the_head_of_a_get_and_no_body(echo: Server) -> None:
    got = echo.call("gate/echo")
    head = echo.call("gate/echo", "HEAD")
    assert head.status == got.status and head.body == b""
    assert head.headers["x-from-function"] == "yes"
    assert head.headers["content-type"] == got.headers["content-type"]
    refused = echo.call("gate/echo", "HEAD", key=None)
    assert refused.status == 401 and refused.body == b""


def test_the_rest_of_the_path_reaches_the_function_and_dots_do_not_leave_it(echo: Server) -> None:
    assert echo.call("gate/echo", path="/a/b?x=1").json()["path"] == "/a/b"
    assert echo.call("gate/echo").json()["path"] in ("/", "")
    token = echo.token("gate/echo")["token"]
    for path in ("/../sibling", "/%2e%2e/sibling", "/..%2fsibling", "/../../elsewhere/echo", "//../sibling"):
        answer = echo.call("gate/echo", path=path, token=token)
        if answer.status == 200:
            assert answer.json()["path"].startswith("/"), answer.text
        else:
            assert answer.status in (400, 403, 404), answer.text


@pytest.mark.case("A18")
@pytest.mark.parametrize(
    "path",
    ["/", "/v1/server", "/v1/status", "/metrics", "/internal/x", "/debug/pprof", "/healthz", "/f", "/f/", "/f/gate"],
)
def test_A18_the_gateway_has_nothing_but_functions(echo: Server, path: str) -> None:
    answer = echo.http(echo.gateway_url, "GET", path, None, {"Authorization": f"Bearer {echo.key}"})
    assert answer.status in (400, 404), f"{path}: {answer.status} {answer.text[:200]}"
    assert echo.http(echo.gateway_url, "GET", path).status in (401, 404)


@pytest.mark.guarantee("AZR-10")
def test_AZR_10_an_exception_is_500_without_traceback_class_or_path_and_the_log_has_the_traceback(
    server: Server,
) -> None:
    source = handler("""
        class PeculiarFailure(Exception):
            pass

        def handle(data):
            raise PeculiarFailure("detail-of-the-inner-works at /srv/hidden/place")
        """)
    server.deploy("gate", "raises", source)
    answer = server.call("gate/raises", body={})
    details = problem(answer)
    assert answer.status == 500
    for word in ("PeculiarFailure", "inner-works", "/srv/hidden", "Traceback", "handler.py", ".py", "/fn"):
        assert word not in answer.text + str(answer.fields), word
    assert answer.call_id in details["instance"] or details.get("callId") == answer.call_id
    log = "\n".join(server.messages("gate/raises", answer.call_id))
    assert "Traceback" in log and "PeculiarFailure" in log and "handler.py" in log and "inner-works" in log


def test_the_api_answers_problem_details_for_every_kind_of_refusal(server: Server) -> None:
    server.namespace("gate")
    cases = [
        (server.api("GET", "/v1/namespaces", key=None), 401),
        (server.api("GET", "/v1/namespaces", key=str(uuid.uuid4())), 401),
        (server.api("GET", "/v1/absent"), 404),
        (server.api("GET", "/v1/namespaces/gate/functions/absent"), 404),
        (server.api("POST", "/v1/namespaces", b"{"), 400),
        (server.api("POST", "/v1/namespaces", {"name": "gate"}), 409),
        (server.api("GET", "/v1/namespaces/gate/tokens?unknown=1"), 400),
    ]
    for answer, status in cases:
        assert problem(answer)["status"] == status, answer.text


def test_a_wrong_method_on_the_api_is_405_or_404(server: Server) -> None:
    assert problem(server.api("PATCH", "/v1/namespaces", {}))["status"] in (404, 405)


def test_an_api_key_works_in_either_header_of_the_api(server: Server) -> None:
    assert server.api("GET", "/v1/server", key=None, headers={"X-Auth-Token": server.key}).status == 200
    assert server.api("GET", "/v1/server", key=server.key).status == 200


@pytest.mark.case("N12", "I10")
@pytest.mark.parametrize(
    "record",
    [
        {"statusCode": 200, "body": "x", "headers": {"X-A": "v\r\nX-Injected: yes"}},
        {"statusCode": 200, "body": "x", "headers": {"X-A": "v\nX-Injected: yes"}},
        {"statusCode": 200, "body": "x", "headers": {"X-A\r\nX-Injected": "v"}},
        {"statusCode": 200, "body": "x", "headers": {"X-A": "v\u0000w"}},
        {"statusCode": 200, "body": "x", "headers": {"X A": "v"}},
        {"statusCode": 0, "body": "x"},
        {"statusCode": 99, "body": "x"},
        {"statusCode": 1000, "body": "x"},
        {"statusCode": "abc", "body": "x"},
    ],
    ids=["crlf", "lf", "name-crlf", "nul", "space", "status-0", "status-99", "status-1000", "status-text"],
)
def test_N12_a_response_that_would_break_http_is_502(server: Server, record: dict[str, Any]) -> None:
    if "gate/record" not in server.deployed:
        server.deploy(
            "gate",
            "record",
            handler("import json\ndef handle(event, context):\n    return json.loads(event['body'])\n"),
        )
        server.deployed.add("gate/record")
    answer = server.call("gate/record", body=json.dumps(record).encode())
    assert "x-injected" not in answer.headers
    assert answer.status == 502 if "headers" in record else answer.status in (500, 502), answer.text


@pytest.mark.case("N12")
def test_N12_a_function_cannot_set_framing_or_platform_headers(server: Server) -> None:
    if "gate/record" not in server.deployed:
        server.deploy(
            "gate",
            "record",
            handler("import json\ndef handle(event, context):\n    return json.loads(event['body'])\n"),
        )
        server.deployed.add("gate/record")
    for name, value in (
        ("Content-Length", "3"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close, x"),
        ("Casemate-Call-Id", "forged"),
    ):
        answer = server.call(
            "gate/record", body=json.dumps({"body": "twelve bytes", "headers": {name: value}}).encode()
        )
        assert answer.status in (200, 502), answer.text
        if answer.status == 200:
            assert answer.body == b"twelve bytes" and answer.complete
        assert "forged" not in str(answer.fields)


@pytest.mark.case("N11")
def test_N11_oversized_heads_are_refused_and_the_server_goes_on(server: Server) -> None:
    many = [(f"X-H{n}", "v") for n in range(1500)]
    for url in (server.gateway_url, server.api_url):
        key = ("Authorization", f"Bearer {server.key}")
        assert server.http(url, "GET", "/f/gate/absent", None, [key, ("X-Big", "x" * 200_000)]).status in (400, 431)
        assert server.http(url, "GET", "/f/gate/" + "x" * 100_000, None, [key]).status in (400, 404, 414, 431)
        assert server.http(url, "GET", "/f/gate/absent", None, [key, *many]).status in (400, 404, 431)
    server.assert_serving()
