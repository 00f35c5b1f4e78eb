"""Secrets: given to the function alone, never given back, never on disk in clear, never out through log or response."""

from __future__ import annotations

import base64
import gzip
import json
import secrets as randomness
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any

import pytest
from casemate_fixture import Server, handler, problem

VALUE = 'S3cret"v\\lue/é+' + "0f9a7c"
PEM = (
    "-----BEGIN TEST KEY-----\n" + "\n".join(randomness.token_hex(24) for _ in range(6)) + "\n-----END TEST KEY-----\n"
)

LEAKY = handler("""
    import base64, gzip, json, logging, os, sys, time, urllib.parse, zlib

    def forms(value):
        raw = value.encode()
        return {
            "raw": raw,
            "base64": base64.b64encode(raw),
            "base64 after 1": base64.b64encode(b"x" + raw + b"yz"),
            "base64 after 2": base64.b64encode(b"xx" + raw + b"yz"),
            "base64url": base64.urlsafe_b64encode(raw),
            "hex": raw.hex().encode(),
            "upper hex": raw.hex().upper().encode(),
            "percent": urllib.parse.quote(value, safe="").encode(),
            "json": json.dumps(value)[1:-1].encode(),
            "json utf8": json.dumps(value, ensure_ascii=False)[1:-1].encode(),
        }

    def handle(event, context):
        value = os.environ["KEY"]
        order = json.loads(event["body"])
        text = forms(value)[order["form"]]
        way = order["way"]
        if way == "stdout":
            print("before " + text.decode() + " after")
        elif way == "stderr":
            print("before " + text.decode() + " after", file=sys.stderr)
        elif way == "logging":
            logging.error("before %s after", text.decode())
        elif way == "split":
            half = len(text) // 2
            os.write(1, b"before " + text[:half])
            time.sleep(0.3)
            os.write(1, text[half:] + b" after\\n")
        elif way == "bytewise":
            for byte in b"before " + text + b" after\\n":
                os.write(1, bytes([byte]))
        elif way == "raise":
            raise ValueError("before " + text.decode() + " after")
        elif way == "body":
            return {"statusCode": 200, "body": "before " + text.decode() + " after", "headers": {"Content-Type": "text/plain"}}
        elif way == "status":
            return {"statusCode": 404, "body": "before " + text.decode() + " after", "headers": {"Content-Type": "text/html"}}
        elif way == "json":
            return {"nested": [{"value": text.decode()}], text.decode(): 1}
        elif way == "header":
            return {"body": "x", "headers": {"X-Value": text.decode("ascii", "ignore")}}
        elif way == "header name":
            return {"body": "x", "headers": {"X-" + text.hex(): "v"}}
        elif way in ("gzip", "deflate"):
            packed = gzip.compress(text) if way == "gzip" else zlib.compress(text)
            body = base64.b64encode(packed).decode()
            return {"body": body, "isBase64Encoded": True, "headers": {"Content-Encoding": way, "Content-Type": "text/plain"}}
        elif way == "gzip undeclared":
            return {"body": base64.b64encode(gzip.compress(text)).decode(), "isBase64Encoded": True}
        elif way == "binary":
            body = base64.b64encode(bytes(range(256)) + text + b"\\xff\\xfe").decode()
            return {"body": body, "isBase64Encoded": True, "headers": {"Content-Type": "application/octet-stream"}}
        elif way == "large":
            line = "x" * 1023 + "\\n"
            return {"body": line * 1500 + "before " + text.decode() + " after\\n" + line * 548, "headers": {"Content-Type": "text/plain"}}
        elif way == "large edge":
            return {"body": "x" * ((1 << 20) - len(text) // 2) + text.decode() + "y" * (1 << 20), "headers": {"Content-Type": "text/plain"}}
        elif way in ("large binary", "large binary that begins as text"):
            first = b"\\x80" if way == "large binary" else b"A"
            raw = first * (3 << 19) + text + b"\\xff" * 1000
            return {"body": base64.b64encode(raw).decode(), "isBase64Encoded": True, "headers": {"Content-Type": "application/octet-stream"}}
        return "ok"
    """)

FORMS = [
    "raw",
    "base64",
    "base64 after 1",
    "base64 after 2",
    "base64url",
    "hex",
    "upper hex",
    "percent",
    "json",
    "json utf8",
]


def appearances(value: str) -> list[bytes]:
    """The encodings in which a leaked value would be found; of base64 the part that all neighbours leave unchanged."""
    raw = value.encode()
    found = [raw, raw.hex().encode(), raw.hex().upper().encode(), urllib.parse.quote(value, safe="").encode()]
    for ascii_only in (True, False):
        escaped = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        found += [escaped.encode(), json.dumps(escaped, ensure_ascii=ascii_only)[1:-1].encode()]
    for before in (b"", b"x", b"xx"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(before + raw).rstrip(b"=")
            found.append(encoded[(len(before) * 8 + 5) // 6 : -1])
    return found


def assert_absent(where: bytes | str, value: str, what: str) -> None:
    data = where.encode("utf-8", "surrogateescape") if isinstance(where, str) else where
    for form in appearances(value):
        assert form not in data, f"{what} has {form!r}: …{data[max(0, data.index(form) - 60):][:200]!r}"


@pytest.fixture(scope="module")
def leaky(running: Server) -> Server:
    running.namespace("leak")
    running.secret("leak/leaky", "KEY", VALUE)
    running.deploy("leak", "leaky", LEAKY, {"secrets": ["KEY"], "limits": {"memory": "256MiB", "timeout": "30s"}})
    return running


def leak(server: Server, way: str, form: str = "raw") -> Any:
    return server.call("leak/leaky", body={"way": way, "form": form})


@pytest.mark.guarantee("COG-12", "COG-15")
@pytest.mark.parametrize("way", ["stdout", "stderr", "logging", "raise", "split", "bytewise"])
@pytest.mark.parametrize("form", FORMS)
def test_S4_a_printed_secret_never_reaches_the_log(leaky: Server, way: str, form: str) -> None:
    answer = leak(leaky, way, form)
    assert answer.status == (500 if way == "raise" else 200), answer.text
    assert_absent(answer.body, VALUE, "the response")
    lines = leaky.messages("leak/leaky", answer.call_id)
    assert_absent("\n".join(lines), VALUE, "the log")
    with_line = [line for line in lines if "before " in line and " after" in line]
    assert with_line, f"the line is not in the log, or torn: {lines}"
    assert "[secret:KEY]" in with_line[-1], with_line
    _code, out, _ = leaky.cli("logs", "leak/leaky", "--call", answer.call_id)
    assert_absent(out, VALUE, "the command line's log")


@pytest.mark.guarantee("COG-14")
@pytest.mark.parametrize(
    ("way", "form"),
    [
        (way, form)
        for way in ("body", "status", "json", "header")
        for form in FORMS
        # Not ASCII: it can't stand in a header unencoded.
        if not (way == "header" and form in ("raw", "json utf8"))
    ],
)
def test_COG_14_a_returned_secret_never_reaches_the_caller(leaky: Server, way: str, form: str) -> None:
    answer = leak(leaky, way, form)
    assert answer.status in (200, 404, 502), answer.text
    assert_absent(answer.body, VALUE, "the body")
    assert_absent(str(answer.fields), VALUE, "the head")
    if answer.status != 502:
        assert "[secret:KEY]" in answer.text + str(answer.fields)
    if way == "json" and answer.status == 200:
        answer.json()


def test_a_secret_in_a_header_s_name_never_reaches_the_caller(leaky: Server) -> None:
    answer = leak(leaky, "header name")
    assert VALUE.encode().hex() not in str(answer.fields).lower()


@pytest.mark.guarantee("COG-14")
@pytest.mark.parametrize("way", ["gzip", "deflate", "gzip undeclared", "binary"])
@pytest.mark.parametrize("form", ["raw", "base64", "hex"])
def test_COG_14_a_body_that_cannot_be_changed_is_blocked_with_502(leaky: Server, way: str, form: str) -> None:
    answer = leak(leaky, way, form)
    assert answer.status == 502, f"{answer.status}: {answer.body[:100]!r}"
    details = problem(answer)
    assert_absent(answer.body, VALUE, "the refusal")
    assert "secret" in json.dumps(details).lower()


@pytest.mark.parametrize("form", ["raw", "base64", "hex", "json"])
@pytest.mark.parametrize("way", ["large", "large edge"])
def test_a_streamed_response_of_2_mib_is_redacted_on_the_fly(leaky: Server, way: str, form: str) -> None:
    answer = leak(leaky, way, form)
    assert_absent(answer.body, VALUE, "the body")
    assert answer.status == 200 and answer.complete
    assert b"[secret:KEY]" in answer.body
    assert len(answer.body) > (2 << 20) - 100 if way == "large edge" else answer.body.count(b"\n") == 2049


@pytest.mark.parametrize("way", ["large binary", "large binary that begins as text"])
def test_a_streamed_response_that_must_be_blocked_never_looks_complete(leaky: Server, way: str) -> None:
    answer = leak(leaky, way)
    assert_absent(answer.body, VALUE, "the body")
    assert answer.status == 502 or not answer.complete, "a binary body was changed, and its end looks proper"


def test_a_short_secret_is_redacted_as_a_whole_word_alone(server: Server) -> None:
    server.namespace("leak")
    assert server.secret("leak/short", "PIN", "tiger7")["warnings"]
    source = handler("def handle(data, secrets):\n    print(data['t'])\n    return {'x': data['t']}\n")
    server.deploy("leak", "short", source, {"secrets": ["PIN"]})
    answer = server.call("leak/short", body={"t": "pin tiger7 and tiger75 and xtiger7"})
    assert answer.json() == {"x": "pin [secret:PIN] and tiger75 and xtiger7"}
    assert server.messages("leak/short", answer.call_id) == ["pin [secret:PIN] and tiger75 and xtiger7"]


def test_a_multi_line_secret_is_redacted_whole_and_line_by_line(server: Server) -> None:
    server.namespace("leak")
    server.secret("leak/pem", "PEM", PEM)
    source = handler("""
        def handle(data, secrets):
            print(secrets["PEM"])
            print("one line:", secrets["PEM"].splitlines()[2])
            return {"whole": secrets["PEM"], "third": secrets["PEM"].splitlines()[3]}
        """)
    server.deploy("leak", "pem", source, {"secrets": ["PEM"]})
    answer = server.call("leak/pem", body={})
    text = answer.text + "\n".join(server.messages("leak/pem", answer.call_id))
    for line in PEM.splitlines()[1:-1]:
        assert line not in text, "a line of the key came out"


@pytest.mark.case("S14")
@pytest.mark.guarantee("SCW-9")
def test_S14_no_call_that_started_after_the_rotation_s_answer_sees_the_old_value_for_long_and_none_fails(
    server: Server,
) -> None:
    server.namespace("leak")
    server.secret("leak/turning", "KEY", "a" * 20)
    source = handler("import time\ndef handle(secrets):\n    time.sleep(0.02)\n    return len(secrets['KEY'])\n")
    server.deploy("leak", "turning", source, {"secrets": ["KEY"]})
    seen: list[tuple[float, int, int]] = []
    stop = threading.Event()

    def calls() -> None:
        while not stop.is_set():
            begin = time.monotonic()
            answer = server.call("leak/turning")
            seen.append((begin, answer.status, answer.json() if answer.status == 200 else -1))

    threads = [threading.Thread(target=calls) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    server.secret("leak/turning", "KEY", "b" * 30)
    done = time.monotonic()
    time.sleep(6.5)
    stop.set()
    for thread in threads:
        thread.join()
    assert {status for _, status, _ in seen} == {200}
    assert not [entry for entry in seen if entry[0] > done + 5 and entry[2] == 20]
    assert [entry for entry in seen if entry[2] == 20] and [entry for entry in seen if entry[2] == 30]


@pytest.mark.case("S8")
@pytest.mark.guarantee("SCW-6", "COG-10")
def test_S8_no_process_of_the_host_has_a_secret_in_environment_or_command_line_and_no_runtime_file_has_it(
    server: Server,
) -> None:
    value = "process-" + randomness.token_hex(12)
    server.namespace("leak")
    for name, code in (
        ("held", "import time\ndef handle(event, context):\n    time.sleep(2)\n    return 'x'\n"),
        ("held-cognite", "import time\ndef handle(data, secrets):\n    time.sleep(2)\n    return 'x'\n"),
    ):
        server.secret(f"leak/{name}", "KEY", value)
        server.deploy("leak", name, handler(code), {"secrets": ["KEY"]})
        thread = threading.Thread(target=server.call, args=(f"leak/{name}",), kwargs={"body": {}})
        thread.start()
        time.sleep(1)
        looked = 0
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                for file in ("environ", "cmdline"):
                    try:
                        content = (folder / file).read_bytes()
                    except OSError:
                        continue
                    looked += 1
                    assert_absent(content, value, f"{folder}/{file}")
        assert looked > 20
        for path in Path("/run/casemate").rglob("*"):
            if path.is_file():
                assert_absent(path.read_bytes(), value, str(path))
        thread.join()


@pytest.mark.case("S1", "S11")
@pytest.mark.guarantee("COG-4", "COG-2", "SCW-8")
def test_S1_after_create_call_rotate_and_delete_nothing_in_the_data_folder_or_any_answer_has_the_value() -> None:
    first, second = "first-" + randomness.token_hex(12), "second-" + randomness.token_hex(12)
    with Server() as server:

        def look(when: str) -> None:
            looked = 0
            for file in server.folder.rglob("*"):
                if file.is_file():
                    looked += 1
                    content = file.read_bytes()
                    for value in (first, second):
                        assert_absent(content, value, f"{when}: {file.relative_to(server.folder)}")
            assert looked > 3

        def answers() -> str:
            text = ""
            paths = [
                "/v1/server",
                "/v1/status",
                "/v1/namespaces",
                "/v1/namespaces/n/functions",
                "/v1/namespaces/n/functions/f",
            ]
            paths += [
                "/v1/namespaces/n/functions/f/secrets",
                "/v1/namespaces/n/functions/f/logs",
                "/v1/namespaces/n/tokens",
            ]
            paths += [
                "/v1/namespaces/n/functions/f/secrets/KEY",
                "/v1/namespaces/n/functions/f/source",
                "/readyz",
                "/healthz",
            ]
            for path in paths:
                answer = server.api("GET", path)
                text += answer.text + str(answer.fields)
            for arguments in (
                ("function", "show", "n/f"),
                ("secret", "list", "n/f"),
                ("logs", "n/f"),
                ("config", "show"),
                ("status",),
            ):
                for form in ((), ("--json",)):
                    _code, out, err = server.cli(*arguments, *form)
                    text += out + err
            return text

        server.namespace("n")
        made = server.cli("secret", "set", "n/f", "KEY", "--json", input=first)
        look("after create")

        def kept() -> set[Path]:
            """Uploads and bundles. The upload is compressed, so that a search for the value would not see into it."""
            return {
                file
                for file in server.folder.rglob("*")
                if {"warden", "artifacts"} & set(file.parts) and file.is_file()
            }

        before = kept()
        assert server.try_deploy("n", "g", handler(f"KEY = '{first}'\ndef handle(data):\n    return 1\n")).code == 1
        look("after a refused deploy")
        assert kept() == before, "a refused source, or what was built of it, is still there"
        source = handler("def handle(data, secrets):\n    print(secrets['KEY'])\n    return {'leak': secrets['KEY']}\n")
        server.deploy("n", "f", source, {"secrets": ["KEY"]})
        answer = server.call("n/f", body={})
        assert answer.json() == {"leak": "[secret:KEY]"}
        look("after call")
        changed = server.cli("secret", "set", "n/f", "KEY", "--json", input=second)
        server.call("n/f", body={})
        look("after rotate")
        said = "".join(map(str, made + changed)) + answers()
        for value in (first, second):
            assert_absent(said, value, "an answer")
        assert server.cli("secret", "delete", "n/f", "KEY")[0] == 0
        assert server.cli("function", "delete", "n/f")[0] == 0
        look("after delete")
        server.stop()
        look("after the end")
        for value in (first, second):
            assert_absent("".join(server.out + server.err), value, "the server's log")


@pytest.mark.guarantee("COG-3")
def test_the_same_value_in_two_functions_is_sealed_differently() -> None:
    import sqlite3

    with Server() as server:
        server.namespace("n")
        for name in ("a", "b"):
            server.secret(f"n/{name}", "KEY", "the-same-value-in-both")
        server.stop()
        connection = sqlite3.connect(server.data / "server" / "casemate.db")
        sealed = []
        for (table,) in connection.execute(
            "select name from sqlite_master where type = 'table' and name like '%secret%'"
        ).fetchall():
            for row in connection.execute(f'select * from "{table}"'):  # nosec B608  # a name that the database told
                sealed += [
                    bytes(column)
                    for column in row
                    if isinstance(column, bytes) and len(column) > len("the-same-value-in-both")
                ]
        connection.close()
        assert len(sealed) >= 2 and len(set(sealed)) == len(sealed)


def test_a_compressed_body_without_a_secret_passes_unchanged(leaky: Server) -> None:
    packed = gzip.compress(b"nothing to hide " * 50)
    source = handler(f"""
        def handle(event, context):
            return {{"body": {base64.b64encode(packed).decode()!r}, "isBase64Encoded": True, "headers": {{"Content-Encoding": "gzip"}}}}
        """)
    leaky.secret("leak/packed", "KEY", "another-value-for-this-one")
    leaky.deploy("leak", "packed", source, {"secrets": ["KEY"]})
    answer = leaky.call("leak/packed")
    assert (answer.status, answer.body) == (200, packed)
