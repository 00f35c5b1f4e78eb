"""Files and variables that hold credentials by their nature or by their looks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from casemate_gate.checks.environment import Environment, looks_like_secret
from casemate_gate.checks.files import Files, kind

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
