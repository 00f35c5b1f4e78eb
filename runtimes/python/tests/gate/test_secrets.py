"""Credentials in files: what is found, once and without its value, and what is none."""

from __future__ import annotations

import gzip
import json
import py_compile
from collections.abc import Callable
from pathlib import Path

import pytest
from casemate_gate.checks.secrets import Secrets
from casemate_gate.findings import Severity

from gate.support import Bundle, nosec, zipped

Make = Callable[..., Bundle]
# Put together here, so that no scanner takes this file for a leak.
GITHUB = "ghp" + "_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
AWS = "AKIA" + "IOSFODNN7QWERTYU"
RANDOM = "Zk3vQ9xT1mB7yL5nR8cW2jH6pD4sG0fA+uE/iOqKb="


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (f'x = "{GITHUB}"', "github-token"),
        (f"export AWS_ACCESS_KEY_ID={AWS}", "aws-key"),
        ('x = "xox' + 'b-123456789012-abcdefghijklmnop"', "slack-token"),
        ('x = "sk_' + 'live_abcdefghijklmnopqrstuvwx12"', "stripe-key"),
        ('x = "cmt' + '_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdE"', "casemate-credential"),
        ('x = "glpat' + '-AbCdEfGhIjKlMnOpQrSt1"', "gitlab-token"),
        ('x = "npm' + '_abcdefghijklmnopqrstuvwxyz0123456789"', "npm-token"),
        ("postgres://app:Tr0ub4dor@db.internal/x", "connection-string"),
        ("https://me:Tr0ub4dor@example.com/x", "basic-auth"),
        ("Server=tcp:x.example.com;User ID=me;Password=Tr0ub4dor;", "connection-string"),
        ("DefaultEndpointsProtocol=https;AccountName=a;AccountKey=" + "Ab1/" * 21 + "Ab==", "connection-string"),
        ('password = "Tr0ub4dor&3"', "password"),
        ('{"client_secret": "5e884898-da28-4047-9c2d-1a2b3c4d5e6f"}', "password"),
        (f'blob = "{RANDOM}"', "random-base64"),
        ('refresh_token = "a8f5f167f44f4964e6c998dee827110c-x"', "password"),
    ],
)
def test_a_credential_is_found_once_and_not_shown(bundle: Make, line: str, rule: str) -> None:
    findings = bundle({"handler.py": f"# a comment\n{line}\n"}).found(Secrets())
    assert [(item.rule, item.file, item.line) for item in findings] == [(rule, "handler.py", 2)]
    assert findings[0].severity is Severity.HIGH
    shown = json.dumps(findings[0].as_json())
    for value in (GITHUB, AWS, RANDOM, "Tr0ub4dor"):
        assert value not in shown and value[:6] not in shown


@pytest.mark.parametrize(
    "line",
    [
        'password = "changeme"',
        'password = "<your password>"',
        'password = os.environ["DB_PASSWORD"]',
        'password = "${DB_PASSWORD}"',
        "password: {{ vault }}",
        'secret_name = "prod/database-login-1"',
        'token = "Bearer"',
        'password_env = "DB_PASSWORD"',
        "postgres://user:password@localhost/db",
        "https://{user}:{password}@example.com",
        'path = "/very/long/path/to/some/module/with_many_words/and/more"',
        'name = "ThisIsAVeryLongClassNameThatSomebodyWrote"',
        'if "-----BEGIN PRIVATE KEY-----" in text:',
        "jinja2==3.1.4 --hash=sha256:4a3aee7acbbe7303aede8e9648d13b8bf88a429282aa6122a993f0ac800cb369",
        'digest = "4a3aee7acbbe7303aede8e9648d13b8bf88a429282aa6122a993f0ac800cb369"',
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        'alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"',
    ],
)
def test_what_stands_for_a_secret_is_none(bundle: Make, line: str) -> None:
    assert bundle({"handler.py": f"{line}\n", "notes.md": f"{line}\n"}).rules(Secrets()) == []


def test_random_hex_and_a_sentence_are_warnings(bundle: Make) -> None:
    text = 'a = "9f86d081884c7d659a2feaa0c55ad015"\npassword = "Please enter your password"\npwd = "zu7"\n'
    findings = bundle({"a.py": text}).found(Secrets())
    assert [(item.rule, item.line, item.severity) for item in findings] == [
        ("random-hex", 1, Severity.MEDIUM),
        ("password", 2, Severity.MEDIUM),
        ("password", 3, Severity.MEDIUM),
    ]


def test_a_private_key_is_found_where_it_has_a_body(bundle: Make) -> None:
    key = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEpAIBAAKCAQEAx0Y1Yk\n"
    assert bundle({"conf/x.txt": key}).rules(Secrets()) == [("private-key", "conf/x.txt", 1)]


def test_a_bundle_cannot_switch_the_search_off(bundle: Make) -> None:
    files = {
        "a.py": f'x = "{GITHUB}"  # pragma: allowlist secret\n',
        ".secrets.baseline": '{"results": {}, "filters_used": []}',
        "pyproject.toml": "[tool.detect-secrets]\nexclude = '.*'\n",
    }
    made = bundle(files)
    assert made.rules(Secrets()) == [("github-token", "a.py", 1)]
    assert made.rules(Secrets(), settings=nosec()) == made.rules(Secrets()) != []  # no comment lets a secret pass


def test_other_encodings_notebooks_and_archives_are_read(bundle: Make, tmp_path: Path) -> None:
    line = f'key = "{GITHUB}"\n'
    book = {"cells": [{"cell_type": "code", "source": ["import os\n", 'password = "Tr0ub4dor"\n']}]}
    source = tmp_path / "module.py"
    source.write_text(line)
    compiled = py_compile.compile(str(source), str(tmp_path / "module.pyc"))
    files = {
        "utf16.txt": line.encode("utf-16"),
        "bare16.txt": ("text " * 10 + line).encode("utf-16-le"),
        "book.ipynb": json.dumps(book, indent=1),
        "flat.ipynb": json.dumps(book),
        "a.zip": zipped({"deep/b.zip": zipped({"x.txt": line.encode()})}),
        "c.gz": gzip.compress(line.encode()),
        "old.pyc": Path(str(compiled)).read_bytes(),
    }
    found = bundle(files).rules(Secrets())
    assert sorted(found, key=lambda item: item[1]) == [
        ("github-token", "a.zip!deep/b.zip!x.txt", 1),
        ("github-token", "bare16.txt", 1),
        ("password", "book.ipynb", 7),
        ("github-token", "c.gz!", 1),
        ("password", "flat.ipynb", 1),
        ("github-token", "old.pyc", None),
        ("github-token", "utf16.txt", 1),
    ]


def test_byte_code_says_nothing_that_its_source_says(bundle: Make, tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text(f'key = "{GITHUB}"\n')
    compiled = Path(str(py_compile.compile(str(source), str(tmp_path / "a.pyc")))).read_bytes()
    files = {"a.py": source.read_bytes(), "__pycache__/a.cpython-311.pyc": compiled}
    assert bundle(files).rules(Secrets()) == [("github-token", "a.py", 1)]


def test_what_cannot_be_unpacked_is_said(bundle: Make) -> None:
    whole = zipped({"x.txt": b"text " * 500})
    deep = whole
    for _ in range(5):
        deep = zipped({"x.zip": deep})
    encrypted = bytearray(zipped({"x.txt": b"text"}))
    encrypted[6] |= 1
    encrypted[encrypted.rfind(b"PK\x01\x02") + 8] |= 1
    files = {"cut.zip": whole[:-40], "deep.zip": deep, "locked.zip": bytes(encrypted), "bad.gz": b"\x1f\x8b\x08junk"}
    findings = bundle(files).found(Secrets())
    assert {item.rule for item in findings} == {"gate/incomplete"}
    assert sorted(item.file.partition("!")[0] for item in findings) == ["bad.gz", "cut.zip", "deep.zip", "locked.zip"]


def test_a_bomb_ends_the_search_and_not_the_gate(bundle: Make) -> None:
    bomb = zipped({f"{number}": bytes(60 << 20) for number in range(10)})
    findings = bundle({"bomb.zip": bomb}).found(Secrets())
    assert [item.rule for item in findings] == ["gate/incomplete"]
    assert "too many bytes" in findings[0].what


def test_weird_texts_raise_nothing(bundle: Make) -> None:
    files = {
        "nul.py": b"password = 'a\0b'\n" * 50,
        "surrogate.json": b'{"password": "\\ud800\\udfff\\ud800 Tr0ub4"}',
        "bytes.txt": bytes(range(256)) * 40,
        "long.js": b'x="' + b"a" * 300_000 + b'";password="' + b"b" * 300_000 + b'"',
        "lines.txt": b"\r\r\n\x0b\x0c\x85\xe2\x80\xa8" * 1000,
        "empty": b"",
        "book.ipynb": b'{"cells": ' + b"[" * 100_000,
    }
    bundle(files).found(Secrets())


def test_identity_stays_when_lines_move_and_tells_two_apart(bundle: Make, tmp_path: Path) -> None:
    one = Bundle(tmp_path / "one", {"a.py": 'password = "Tr0ub4dor1"\n'}).found(Secrets())
    two = Bundle(tmp_path / "two", {"a.py": '\n\npassword = "Tr0ub4dor1"\npassword = "Tr0ub4dor2"\n'}).found(Secrets())
    assert one[0].identity == two[0].identity != two[1].identity
