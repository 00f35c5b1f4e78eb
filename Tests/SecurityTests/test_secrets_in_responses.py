"""`secretsInResponse`: what becomes of an answer that holds a secret of its function, and who may decide that."""

from __future__ import annotations

import base64
import gzip
import secrets as randomness
import zlib
from collections.abc import Iterator

import pytest
from accounts import Account, account
from casemate_fixture import Answer, Server, handler, problem, wait_until
from spellings import assert_absent, found_in

VALUE = "answered-" + randomness.token_hex(12)
MODES = ["redact", "block", "allow"]

ANSWERS = handler("""
    import base64, gzip, json, os, zlib

    TEXT = {"Content-Type": "text/plain"}

    def handle(event, context):
        order = json.loads(event["body"])
        text, way = order.get("text") or os.environ["KEY"], order["way"]
        coded = lambda raw, **headers: {"body": base64.b64encode(raw).decode(), "isBase64Encoded": True, "headers": headers}
        line = "x" * 1023 + "\\n"
        if way == "text":
            return {"body": "before " + text + " after", "headers": TEXT}
        if way == "status":
            return {"statusCode": 418, "body": "before " + text + " after", "headers": TEXT}
        if way == "base64":
            return {"body": base64.b64encode(text.encode()).decode(), "headers": TEXT}
        if way == "hex":
            return {"body": text.encode().hex(), "headers": TEXT}
        if way == "json":
            return {"deep": [{"er": text}]}
        if way == "json key":
            return {text: 1}
        if way == "header":
            return {"body": "x", "headers": {"X-Value": text, **TEXT}}
        if way == "cookie":
            return {"body": "x", "headers": {"Set-Cookie": "id=" + text}}
        if way == "location":
            return {"statusCode": 302, "body": "", "headers": {"Location": "https://example.com/?t=" + text}}
        if way == "header name":
            return {"body": "x", "headers": {"X-" + text: "v"}}
        if way == "gzip":
            return coded(gzip.compress(text.encode()), **{"Content-Encoding": "gzip"})
        if way == "gzip in two parts":
            return coded(gzip.compress(b"nothing") + gzip.compress(text.encode()), **{"Content-Encoding": "gzip"})
        if way == "deflate":
            return coded(zlib.compress(text.encode()), **{"Content-Encoding": "deflate"})
        if way == "gzip undeclared":
            return coded(gzip.compress(text.encode()))
        if way == "unknown encoding":
            return coded(text.encode()[::-1], **{"Content-Encoding": "br"})
        if way == "binary":
            return coded(b"\\xff\\x00" + text.encode() + b"\\x00\\xfe", **{"Content-Type": "application/octet-stream"})
        if way == "image":
            return coded(b"\\x89PNG\\r\\n\\x1a\\n\\x00" + text.encode(), **{"Content-Type": "image/png"})
        if way == "late":
            return {"body": line * 1400 + text + "\\n" + line * 300, "headers": TEXT}
        if way == "last":
            return {"body": line * 1400 + text, "headers": TEXT}
        if way == "across":
            return {"body": "y" * ((1 << 20) - len(text) // 2) + text + line * 300, "headers": TEXT}
        if way == "early":
            return {"body": text + "\\n" + line * 1400, "headers": TEXT}
        if way == "large head":
            return {"body": line * 1400, "headers": {"X-Value": text, **TEXT}}
        if way == "large gzip":
            return coded(gzip.compress(os.urandom(3 << 19) + text.encode()), **{"Content-Encoding": "gzip"})
        if way == "large binary":
            return coded(b"\\xff" * (3 << 19) + text.encode(), **{"Content-Type": "application/octet-stream"})
        if way == "raise":
            raise ValueError("before " + text + " after")
        if way == "raise in a chain":
            try:
                raise KeyError(text)
            except KeyError as first:
                raise type(text.replace("-", "_"), (Exception,), {})("after it") from first
        if way == "bad result":
            return {"statusCode": text}
        if way == "bad header":
            return {"body": "x", "headers": {"X-Bad": text + "\\r\\nX-More: " + text}}
        if way == "nothing":
            return {"body": "nothing to see", "headers": TEXT}
        return {"body": line * 1400, "headers": TEXT}
    """)

WHOLE = ["text", "status", "base64", "hex", "json", "json key", "header", "cookie", "location"]
UNCHANGEABLE = [
    "header name",
    "gzip",
    "gzip in two parts",
    "deflate",
    "gzip undeclared",
    "unknown encoding",
    "binary",
    "image",
    "large gzip",
]
STREAMED = ["late", "last", "across", "early", "large head"]
ERRORS = ["raise", "raise in a chain", "bad result", "bad header"]
CLEAN = ["nothing", "large and nothing"]


@pytest.fixture(scope="module")
def answering() -> Iterator[Server]:
    with Server(options=("--pool-size", "3")) as server:
        server.namespace("q")
        for mode in MODES:
            server.secret(f"q/{mode}", "KEY", VALUE)
            keys = {"secrets": ["KEY"], "secretsInResponse": mode, "limits": {"memory": "256MiB"}}
            server.deploy("q", mode, ANSWERS, keys)
        yield server


@pytest.fixture(scope="module")
def token(answering: Server) -> str:
    made: str = answering.token("q")["token"]
    return made


@pytest.fixture(scope="module")
def made(answering: Server) -> dict[tuple[str, str], Answer]:
    """Every function's answer in every way, made once."""
    return {
        (mode, way): answering.call(f"q/{mode}", body={"way": way}, timeout=30)
        for mode in MODES
        for way in [*WHOLE, *UNCHANGEABLE, *STREAMED, "large binary", *ERRORS, *CLEAN]
    }


def everything(answer: Answer) -> bytes:
    """Head and body, and the body as whoever has it reads it."""
    found = str(answer.fields).encode() + b"\n" + answer.body
    for inflate in (gzip.decompress, zlib.decompress):
        try:
            found += b"\n" + inflate(answer.body)
        except (OSError, EOFError, zlib.error):
            continue
    return found


def refused(answer: Answer) -> None:
    assert answer.status == 502, f"{answer.status} {answer.body[:100]!r}"
    assert problem(answer)["type"] == "/problems/secret-in-response"


# ---------------------------------------------------------------- redact


@pytest.mark.guarantee("COG-14", "COG-15")
@pytest.mark.parametrize("way", [*WHOLE, *STREAMED])
def test_COG_14_redact_puts_a_mark_in_the_value_s_place(made: dict[tuple[str, str], Answer], way: str) -> None:
    answer = made["redact", way]
    assert answer.status in (200, 302, 418) and answer.complete
    assert_absent(everything(answer), VALUE, way)
    assert b"[secret:KEY]" in everything(answer)
    if way.startswith("json"):
        answer.json()


@pytest.mark.guarantee("COG-14")
@pytest.mark.parametrize("way", UNCHANGEABLE)
def test_COG_14_redact_refuses_what_can_t_be_changed(made: dict[tuple[str, str], Answer], way: str) -> None:
    refused(made["redact", way])
    assert_absent(everything(made["redact", way]), VALUE, way)


# ---------------------------------------------------------------- block


@pytest.mark.guarantee("COG-14")
@pytest.mark.parametrize("way", [*WHOLE, *UNCHANGEABLE, "early", "large head"])
def test_COG_14_block_answers_502_secret_in_response_and_names_neither_the_value_nor_the_secret(
    made: dict[tuple[str, str], Answer], way: str
) -> None:
    refused(made["block", way])
    assert_absent(everything(made["block", way]), VALUE, way)
    assert "KEY" not in made["block", way].text


@pytest.mark.parametrize("way", ["late", "last", "across", "large binary"])
def test_block_never_lets_a_streamed_answer_with_a_value_look_complete(
    made: dict[tuple[str, str], Answer], way: str
) -> None:
    answer = made["block", way]
    assert answer.status == 502 or not answer.complete
    assert_absent(everything(answer), VALUE, way)
    assert b"[secret:KEY]" not in answer.body


# ---------------------------------------------------------------- allow


@pytest.mark.parametrize(
    "way",
    [*WHOLE, *STREAMED, "gzip", "gzip in two parts", "deflate", "gzip undeclared", "binary", "image", "large binary"],
)
def test_allow_lets_the_answer_out_as_it_is(made: dict[tuple[str, str], Answer], way: str) -> None:
    answer = made["allow", way]
    assert answer.status in (200, 302, 418) and answer.complete, answer.text[:300]
    assert found_in(everything(answer), VALUE) and b"[secret:" not in everything(answer)


@pytest.mark.parametrize("way", ["unknown encoding", "large gzip"])
def test_allow_lets_out_what_can_t_be_looked_into_where_nothing_is_looked_for(answering: Server, way: str) -> None:
    anyone = {"secrets": ["KEY"], "secretsInResponse": "allow", "access": "public", "limits": {"memory": "256MiB"}}
    if "public" not in answering.deployed:
        answering.secret("q/public", "KEY", VALUE)
        answering.deploy("q", "public", ANSWERS, anyone)
        answering.deployed.add("public")
    answer = answering.call("q/public", body={"way": way}, key=None)
    assert answer.status == 200, answer.text[:300]


@pytest.mark.parametrize("way", ["text", "base64", "json", "header", "cookie", "late", "across", "hex"])
@pytest.mark.parametrize("mode", ["redact", "allow"])
def test_the_caller_s_own_token_is_taken_out_also_where_secrets_are_allowed(
    answering: Server, token: str, mode: str, way: str
) -> None:
    answer = answering.call(f"q/{mode}", body={"way": way, "text": token}, token=token)
    assert answer.status == 200 and answer.complete
    assert_absent(everything(answer), token, way)
    assert b"[token]" in everything(answer)


@pytest.mark.parametrize("way", ["gzip", "binary", "header name", "large gzip", "large binary"])
def test_a_caller_s_token_in_what_can_t_be_changed_is_refused_also_where_secrets_are_allowed(
    answering: Server, token: str, way: str
) -> None:
    answer = answering.call("q/allow", body={"way": way, "text": token}, token=token)
    assert answer.status == 502 or not answer.complete, answer.text[:200]
    assert_absent(everything(answer), token, way)


@pytest.mark.parametrize("mode", MODES)
def test_allow_is_of_answers_alone_and_the_log_has_marks(answering: Server, mode: str) -> None:
    answer = answering.call(f"q/{mode}", body={"way": "raise"})
    lines = "\n".join(answering.messages(f"q/{mode}", answer.call_id))
    assert "before [secret:KEY] after" in lines
    assert_absent(lines, VALUE, "the log")


# ---------------------------------------------------------------- what is none of all this


@pytest.mark.case("S7")
@pytest.mark.guarantee("AZR-10")
@pytest.mark.parametrize("way", ERRORS)
@pytest.mark.parametrize("mode", MODES)
def test_S7_an_error_s_answer_holds_no_value_class_path_or_traceback_in_any_mode(
    made: dict[tuple[str, str], Answer], mode: str, way: str
) -> None:
    answer = made[mode, way]
    assert answer.status in (500, 502)
    assert_absent(everything(answer), VALUE, way)
    for inside in ("Traceback", "ValueError", "KeyError", "handler.py", "/fn/", VALUE.replace("-", "_"), "line "):
        assert inside not in answer.text, f"{inside!r} in {answer.text}"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", CLEAN)
def test_an_answer_without_a_value_passes_in_every_mode(
    made: dict[tuple[str, str], Answer], mode: str, way: str
) -> None:
    answer = made[mode, way]
    assert answer.status == 200 and answer.complete
    assert answer.body == b"nothing to see" or len(answer.body) == 1400 * 1024


# ---------------------------------------------------------------- on record


def record_of(answering: Server, mode: str, way: str) -> list[tuple[str, str, str]]:
    call = answering.call(f"q/{mode}", body={"way": way}, timeout=30)
    call_id = call.headers["casemate-call-id"]

    def found() -> list[tuple[str, str, str]]:
        tail = answering.api("GET", "/v1/audit?tail=20&kind=secret.redacted,secret.blocked,secret.allowed").json()[
            "records"
        ]
        return [
            (r["kind"], r["outcome"], r["function"])
            for r in tail
            if r.get("request") == call_id and r["details"]["in"] == "response"
        ]

    wait_until(found, 1.5)
    return found()


@pytest.mark.guarantee("COG-14", "SCW-25")
@pytest.mark.parametrize("way", ["text", "header", "late", "gzip", "binary", "large gzip"])
@pytest.mark.parametrize("mode", MODES)
def test_COG_14_every_hit_is_on_record_with_its_call(answering: Server, mode: str, way: str) -> None:
    expected = {
        "redact": ("secret.redacted", "done"),
        "block": ("secret.blocked", "refused"),
        "allow": ("secret.allowed", "done"),
    }[mode]
    if mode == "redact" and way in ("gzip", "binary", "large gzip"):
        expected = ("secret.blocked", "refused")
    assert record_of(answering, mode, way) == [(*expected, f"q/{mode}")]


def test_an_answer_without_a_value_is_not_on_record(answering: Server) -> None:
    for mode in MODES:
        assert record_of(answering, mode, "nothing") == []


# ---------------------------------------------------------------- who may


@pytest.fixture(scope="module")
def developer(answering: Server) -> Account:
    return account(answering, "q", ("developer", "q"))


@pytest.fixture(scope="module")
def waiver(answering: Server) -> Account:
    return account(answering, "q", ("developer", "q"), ("gate:waive", "q"))


def deploy(who: Account, name: str, mode: str) -> tuple[int, str]:
    who.server.secret(f"q/{name}", "KEY", VALUE)
    folder = who.server.project("q", name, ANSWERS, {"secrets": ["KEY"], "secretsInResponse": mode})
    code, out, err = who.cli("deploy", str(folder))
    return code, out + err


def test_allow_takes_the_right_gate_waive_and_nothing_else_does(developer: Account, waiver: Account) -> None:
    code, said = deploy(developer, "waived", "allow")
    assert code == 1 and "gate:waive" in said and "secretsInResponse" in said, said
    for mode in ("redact", "block"):
        assert deploy(developer, "waived", mode)[0] == 0
    assert deploy(waiver, "waived", "allow")[0] == 0
    code, said = deploy(developer, "waived", "allow")
    assert code == 1, "also where nothing would change"


def test_going_back_to_a_revision_that_may_takes_the_right_as_well(
    answering: Server, developer: Account, waiver: Account
) -> None:
    assert deploy(waiver, "turned-back", "allow")[0] == 0
    assert deploy(developer, "turned-back", "redact")[0] == 0
    code, _, err = developer.cli("function", "rollback", "q/turned-back")
    assert code == 2 and "gate:waive" in err, err
    assert answering.call("q/turned-back", body={"way": "text"}).text == "before [secret:KEY] after"
    assert waiver.cli("function", "rollback", "q/turned-back")[0] == 0
    assert answering.call("q/turned-back", body={"way": "text"}).text == f"before {VALUE} after"
    assert (
        developer.cli("function", "rollback", "q/turned-back", "--revision", "2")[0] == 0
    ), "away from it takes no more"


@pytest.mark.parametrize("word", ["Allow", "ALLOW", "none", "off", "false", "redact,allow", ""])
def test_another_word_is_refused_with_the_right_one(answering: Server, word: str) -> None:
    outcome = answering.try_deploy("q", "word", ANSWERS, {"secretsInResponse": word})
    assert outcome.code == 2 and "secretsInResponse" in outcome.err
    assert "did you mean" in outcome.err or all(mode in outcome.err for mode in MODES), outcome.err


def test_whoever_looks_at_a_function_sees_that_it_may_answer_with_its_secrets(answering: Server) -> None:
    shown = (
        answering.cli("function", "show", "q/allow")[1]
        + answering.api("GET", "/v1/namespaces/q/functions/allow/trust").text
    )
    assert "secretsInResponse" in shown or "answer with its secrets" in shown


def test_no_answer_to_whoever_may_not_call_says_anything_of_it(answering: Server) -> None:
    for mode in MODES:
        answer = answering.call(f"q/{mode}", body={"way": "text"}, key=None)
        assert answer.status == 401 and "secret" not in answer.text
    assert base64.b64encode(VALUE.encode()).decode() not in "".join(answering.err)
