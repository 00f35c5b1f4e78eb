"""Files and variables that hold credentials by their nature or by their looks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from casemate_gate.checks.environment import Environment, looks_like_secret
from casemate_gate.checks.files import Files, kind
from casemate_gate.checks.secrets import Secrets

from gate.support import Bundle, zipped

Make = Callable[..., Bundle]


@pytest.mark.parametrize(
    "name",
    [
        ".env",
        ".env.local",
        "x/.ENV",
        "deploy.key",
        "a/.git/config",
        ".aws/credentials",
        "id_rsa",
        "x.pfx",
        "local.settings.json",
    ],
)
def test_files_of_credentials_are_named(name: str) -> None:
    assert kind(name)[0]


@pytest.mark.parametrize(
    "name", [".env.example", "env.py", "keys.py", "x.pem.txt", "monkey", ".gitignore", "environment.yml"]
)
def test_other_files_are_not(name: str) -> None:
    assert kind(name) == ("", name)


def test_a_folder_is_named_once_and_archives_are_opened(bundle: Make) -> None:
    files = {
        ".git/config": "",
        ".git/HEAD": "",
        "data.zip": zipped({"a/.env": b"", "b.txt": b"", "c.zip": zipped({"id_rsa": b""})}),
    }
    found = [item.file for item in bundle(files).found(Files())]
    assert found == [".git", "data.zip!a/.env", "data.zip!c.zip!id_rsa"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DB_PASSWORD", "Tr0ub4dor", True),
        ("API_KEY", "abcdef", True),
        ("TOKEN_URL", "x", False),
        ("SORT_KEY", "x", False),
        ("DB_PASSWORD", "/run/x", False),
        ("DB_PASSWORD", "", False),
        ("DB_PASSWORD", "123456", False),
        ("DB_PASSWORD", "1234567", True),
        ("X", "postgres://a:Tr0ub4dor@b", True),
        ("X", "https://example.com/a:b@c", False),
        ("X", "AKIA" + "IOSFODNN7QWERTYU", True),
        ("X", "-----BEGIN PRIVATE KEY-----", True),
        ("X", "dapi" + "0123456789abcdef" * 2, True),
        ("X", "hello", False),
        ("__", "x", False),
    ],
)
def test_variables_are_judged_as_the_server_does(name: str, value: str, expected: bool) -> None:
    assert looks_like_secret(name, value) is expected


def test_a_variable_is_named_without_its_value(bundle: Make) -> None:
    findings = bundle({"a.py": ""}).found(Environment(), environment={"DB_PASSWORD": "Tr0ub4dor", "A": "b"})
    assert [item.subject for item in findings] == ["DB_PASSWORD"] and "Tr0ub" not in str(findings[0].as_json())


def test_code_that_nobody_sees_is_another_fault_when_it_is_changed(tmp_path: Path) -> None:
    def names(*contents: bytes) -> set[str]:
        made = [
            Bundle(tmp_path / f"{kind}{number}", {file: make(content)}).found(Files())
            for kind, file, make in (("code", "m.pyc", bytes), ("zip", "lib.zip", lambda data: zipped({"m.py": data})))
            for number, content in enumerate(contents)
        ]
        return {finding.identity for findings in made for finding in findings if finding.rule == "unseen-code"}

    (same := tmp_path / "same").mkdir()
    first = Bundle(same / "one", {"m.pyc": b"good"}).found(Files())[0]
    assert first.identity == Bundle(same / "two", {"m.pyc": b"good"}).found(Files())[0].identity
    assert len(names(b"good", b"evil")) == 4


def test_an_archive_that_can_not_be_read_is_another_fault_when_it_is_changed(tmp_path: Path) -> None:
    made = [Bundle(tmp_path / text, {"a.zip": b"PK\x03\x04" + text.encode()}).found(Secrets()) for text in ("a", "b")]
    assert [[item.rule for item in findings] for findings in made] == [["gate/incomplete"]] * 2
    assert made[0][0].identity != made[1][0].identity
