"""The gate and hard-coded secrets: known formats and the namespace's own values, wherever they hide, and the value told to nobody."""

from __future__ import annotations

import base64
import gzip
import json
import secrets as randomness
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
from casemate_fixture import Server, archive
from gate_answers import (
    AWS_KEY,
    GITHUB_TOKEN,
    PLAIN,
    PRIVATE_KEY,
    PRIVATE_KEY_LINE,
    WEB_TOKEN,
    compiled,
    found,
    let_pass,
    refused_by_the_gate,
    zipped,
)
from spellings import assert_absent

VALUE = f"Stored/Value+{randomness.token_hex(10)}"


@pytest.fixture(scope="module")
def gate() -> Iterator[Server]:
    """A server that logs all it can, with a secret of one function."""
    with Server(options=("--log-level", "trace", "--pool-size", "2")) as server:
        server.namespace("s")
        server.secret("s/owner", "KEY", VALUE)
        yield server


def notebook(line: str, output: str = "") -> str:
    cell = {
        "cell_type": "code",
        "source": ["import json\n", line],
        "outputs": [{"output_type": "stream", "name": "stdout", "text": [output]}],
        "metadata": {},
        "execution_count": 1,
    }
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1)


# ---------------------------------------------------------------- known formats

FORMATS = {
    "aws.py": (f"A = 1\nKEY = '{AWS_KEY}'\n", 2, AWS_KEY),
    "github.py": (f"A = 1\nB = 2\nTOKEN = '{GITHUB_TOKEN}'\n", 3, GITHUB_TOKEN),
    "deep/below/token.yaml": (f"a: 1\ntoken: {WEB_TOKEN}\n", 2, WEB_TOKEN),
    "key.txt": (f"first\n{PRIVATE_KEY}", 2, PRIVATE_KEY_LINE),
    "notes.ipynb": (notebook(f"key = '{AWS_KEY}'\n"), None, AWS_KEY),
    "printed.ipynb": (notebook("print(key)\n", f"{GITHUB_TOKEN}\n"), None, GITHUB_TOKEN),
    "config.json": (json.dumps({"a": {"key": AWS_KEY}}, indent=1), 3, AWS_KEY),
}


@pytest.fixture(scope="module")
def formats(gate: Server) -> dict[str, Any]:
    source = {"handler.py": PLAIN, **{file: text for file, (text, _, _) in FORMATS.items()}}
    outcome = gate.try_deploy("s", "formats", source)
    for _, _, value in FORMATS.values():
        assert_absent(outcome.said, value, "the outcome")
    return refused_by_the_gate(outcome)


@pytest.mark.guarantee("COG-7", "AZR-19")
@pytest.mark.parametrize("file", FORMATS)
def test_COG_7_known_formats_are_refused_with_file_line_and_remedy(formats: dict[str, Any], file: str) -> None:
    findings = found(formats, file=file)
    assert findings, formats
    line = FORMATS[file][1]
    assert all(item["severity"] == "error" and item["finding"]["guarantee"] == "COG-7" for item in findings)
    assert line is None or [item.get("line") for item in findings] == [line], findings
    assert "casemate secret set" in findings[0]["fix"] and "revoke" in findings[0]["fix"], findings


@pytest.mark.guarantee("COG-7")
def test_COG_7_a_credential_in_a_source_is_one_finding(formats: dict[str, Any]) -> None:
    for file in ("aws.py", "github.py", "key.txt"):
        assert len(found(formats, file=file)) == 1, found(formats, file=file)
    assert {item["file"] for item in found(formats)} == set(FORMATS), [item["file"] for item in found(formats)]


@pytest.mark.guarantee("COG-7")
def test_COG_7_a_token_in_a_module_is_told_of_that_module_alone(gate: Server) -> None:
    outcome = refused_by_the_gate(
        gate.try_deploy("s", "module", {"handler.py": PLAIN, "more/token.py": f"T = '{WEB_TOKEN}'\n"})
    )
    assert [item["file"] for item in found(outcome)] == ["more/token.py"], found(outcome)


@pytest.mark.guarantee("COG-7")
def test_COG_7_what_only_looks_like_a_secret_passes(gate: Server) -> None:
    source = {
        "handler.py": PLAIN,
        "harmless.py": "\n".join(
            [
                "import os",
                "API_KEY = os.environ.get('API_KEY', '')",
                "PASSWORD = '<your password>'",
                "TOKEN_URL = 'https://login.example.com/oauth2/token'",
                "REQUEST = '7f1c0c9e-1d6f-4a0c-9c6b-2f0a3e5d7b11'",
                "COMMIT = '440e4fb1c0ffee00112233445566778899aabbcc'",
                "ALPHABET = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'",
                "def check(password: str, secret: str = '') -> bool: return password == secret",
            ]
        ),
        "template.env.example": "API_KEY=changeme\n",
        "data.csv": "id,name\n1,elephant\n",
    }
    assert found(let_pass(gate.try_deploy("s", "harmless", source))) == []


# ---------------------------------------------------------------- the namespace's own values

OWN: dict[str, tuple[str | bytes, int | None]] = {
    "plain.txt": (f"one\ntwo\n{VALUE}\n", 3),
    "module.py": (f"A = 1\nKEY = {VALUE!r}\n", 2),
    "base64.txt": (f"one\n{base64.b64encode(VALUE.encode()).decode()}\n", 2),
    "within-base64.txt": (f"one\n{base64.b64encode(f'robot:{VALUE}:x'.encode()).decode()}\n", 2),
    "urlsafe.txt": (base64.urlsafe_b64encode(VALUE.encode()), 1),
    "hex.txt": (f"one\n{VALUE.encode().hex()}\n", 2),
    "upper-hex.txt": (f"one\n{VALUE.encode().hex().upper()}\n", 2),
    "percent.txt": (f"one\nhttps://example.com/?key={urllib.parse.quote(VALUE, safe='')}\n", 2),
    "utf-16.txt": (f"one\n{VALUE}\n".encode("utf-16"), None),
    "utf-16-be.txt": (f"one\n{VALUE}\n".encode("utf-16-be"), None),
    "note.ipynb": (notebook(f"key = '{VALUE}'\n"), None),
    "alone.pyc": (compiled(f"KEY = {VALUE!r}\n"), None),
    "nested.zip": (zipped("config.txt", f"one\n{VALUE}\n"), 2),
    "deeply.zip": (zipped("config.txt", f"one\n{VALUE}\n", times=3), 2),
    "zip-by-another-name.dat": (zipped("config.txt", f"one\n{VALUE}\n"), 2),
    "packed.gz": (gzip.compress(f"one\n{VALUE}\n".encode()), 2),
    "binary.bin": (bytes(range(256)) * 500 + VALUE.encode() + b"\0\xff", None),
    "split.py": (f"KEY = '{VALUE[:9]}' \\\n    '{VALUE[9:]}'\n", None),
    "escaped.py": ("KEY = '" + "".join(f"\\x{ord(letter):02x}" for letter in VALUE) + "'\n", None),
}
# Of what Python joins only the compiled form has the value.
COMPILED = {"split.py": "__pycache__/split", "escaped.py": "__pycache__/escaped"}


@pytest.fixture(scope="module")
def own(gate: Server) -> dict[str, Any]:
    packed = archive({"handler.py": PLAIN, **{file: content for file, (content, _) in OWN.items()}})
    answer = gate.deploy_archive("s", "own", packed)
    assert_absent(answer.text, VALUE, "the outcome")
    return refused_by_the_gate(answer)


@pytest.mark.guarantee("COG-7", "COG-4")
@pytest.mark.parametrize("file", OWN)
def test_COG_7_an_own_value_is_refused_however_it_is_written(own: dict[str, Any], file: str) -> None:
    beginning = COMPILED.get(file, file)
    findings = [item for item in found(own, "own-secret") if item["file"].startswith(beginning)]
    assert findings, own
    assert all(item["severity"] == "error" and "s/owner" in item["what"] and "KEY" in item["what"] for item in findings)
    line = OWN[file][1]
    assert line is None or [item.get("line") for item in findings] == [line], findings


@pytest.mark.guarantee("COG-7")
def test_COG_7_only_values_of_its_own_namespace_count(gate: Server) -> None:
    let_pass(gate.try_deploy("elsewhere", "other", {"handler.py": PLAIN, "plain.txt": VALUE}))


@pytest.mark.guarantee("COG-7")
@pytest.mark.parametrize("value", ["abc12xz", "elephant"], ids=["short", "a word"])
def test_COG_7_values_that_anything_may_hold_are_not_looked_for(gate: Server, value: str) -> None:
    name = f"weak-{value}"
    gate.secret(f"s/{name}", "WEAK", value)
    let_pass(gate.try_deploy("s", name, {"handler.py": PLAIN, "text.txt": f"about {value}\n"}))


@pytest.mark.guarantee("COG-7")
def test_COG_7_a_value_that_was_replaced_is_still_refused_while_it_can_be_gone_back_to(gate: Server) -> None:
    old = f"Former/Value+{randomness.token_hex(10)}"
    gate.secret("s/rotated", "KEY", old)
    gate.secret("s/rotated", "KEY", f"Later/Value+{randomness.token_hex(10)}")
    outcome = gate.try_deploy("s", "rotated", {"handler.py": PLAIN, "old.txt": f"{old}\n"})
    assert_absent(outcome.said, old, "the outcome")
    assert found(refused_by_the_gate(outcome), "own-secret", "old.txt"), outcome.said


# ---------------------------------------------------------------- what is told of it


@pytest.mark.guarantee("COG-7", "COG-12")
def test_COG_7_no_value_is_in_an_answer_a_log_the_audit_log_or_the_database(
    gate: Server, formats: dict[str, Any], own: dict[str, Any]
) -> None:
    told = {
        "the outcomes": json.dumps([formats, own]),
        "the findings": "".join(
            gate.api("GET", f"/v1/namespaces/s/functions/{name}/findings").text for name in ("formats", "own")
        ),
        "the findings as text": "".join("".join(gate.cli("findings", f"s/{name}")[1:]) for name in ("formats", "own")),
        "the posture": gate.cli("posture", "--json")[1],
        "the server's log": "".join(gate.out + gate.err),
        "the audit log as it is told": gate.cli("audit", "tail", "--json")[1],
    }
    assert "gate-failed" in told["the outcomes"] and "own-secret" in told["the findings"], told
    for value in (VALUE, AWS_KEY, GITHUB_TOKEN, WEB_TOKEN, PRIVATE_KEY_LINE):
        for what, text in told.items():
            assert_absent(text, value, what)
        for file in sorted((gate.data / "server").glob("casemate.db*")) + sorted(
            (gate.data / "server/audit").iterdir()
        ):
            assert_absent(file.read_bytes(), value, file.name)


@pytest.mark.guarantee("COG-7")
def test_COG_7_the_database_has_the_findings_that_are_searched_here(gate: Server, own: dict[str, Any]) -> None:
    kept = b"".join(file.read_bytes() for file in (gate.data / "server").glob("casemate.db*"))
    assert own["diagnostics"][0]["finding"]["id"].encode() in kept


@pytest.mark.guarantee("COG-7")
@pytest.mark.parametrize(
    "password",
    [
        "q7",
        "correct-horse-battery-77",
    ],
)
def test_COG_7_a_password_in_an_address_is_masked_whatever_its_length(gate: Server, password: str) -> None:
    outcome = gate.try_deploy(
        "s", "address", {"handler.py": PLAIN, "more.py": f"URL = 'postgres://robot:{password}@db.example.com/x'\n"}
    )
    first = refused_by_the_gate(outcome)
    assert found(first, file="more.py")[0]["line"] == 1
    assert password not in "".join(item["what"] for item in found(first)), first


@pytest.mark.guarantee("COG-7")
def test_COG_7_a_refused_source_never_serves_and_the_former_one_does(gate: Server) -> None:
    let_pass(gate.try_deploy("s", "stays", {"handler.py": "def handle(data):\n    return 'before'\n"}))
    refused_by_the_gate(gate.try_deploy("s", "stays", {"handler.py": PLAIN, "aws.py": f"KEY = '{AWS_KEY}'\n"}))
    assert gate.call("s/stays", body={}).json() == "before"
