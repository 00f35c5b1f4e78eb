"""Secrets among the variables of an environment (SCW-5). The rules are those of the server's SecretLooks.swift, and the forms
that the search of files knows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from casemate_gate.checks.secrets import has_form_of_secret
from casemate_gate.findings import Finding, Severity
from casemate_gate.subject import Subject

_LAST_WORDS: Final = frozenset(
    "SECRET PASSWORD PASSWD PASSPHRASE PWD TOKEN CREDENTIAL CREDENTIALS APIKEY".split(),
)
_KEYS: Final = frozenset("API PRIVATE ACCESS SECRET SIGNING ENCRYPTION AUTH MASTER ACCOUNT WEBHOOK".split())
_SWITCHES: Final = frozenset(["true", "false", "none", "null", "yes", "no", "on", "off"])
_PREFIXES: Final = (
    ("AKIA", 16), ("ASIA", 16), ("sk_live_", 10), ("sk_test_", 10), ("rk_live_", 10), ("ghp_", 30), ("gho_", 30), ("ghs_", 30),
    ("github_pat_", 30), ("glpat-", 16), ("xoxb-", 16), ("xoxp-", 16), ("xoxa-", 16), ("AIza", 30), ("hvs.", 20), ("npm_", 30),
    ("pypi-", 30), ("whsec_", 16), ("cms_", 20), ("cmt_", 20), ("eyJ", 60),
)  # fmt: skip


class Environment:
    name = "environment"

    def examine(self, subject: Subject) -> Iterable[Finding]:
        for name, value in subject.environment.items():
            if looks_like_secret(name, value):
                yield Finding(
                    check=self.name,
                    rule="secret-in-environment",
                    severity=Severity.HIGH,
                    file="casemate.yaml",
                    line=None,
                    what=f"env {name} looks like a secret, which anybody who may read the function would see",
                    fix=f"name it under secrets, and set it: casemate secret set {subject.function or 'FUNCTION'} {name}",
                    subject=name,
                    guarantee="SCW-5",
                )


def looks_like_secret(name: str, value: str) -> bool:
    return _has_form(value) or (_has_name(name) and not _is_plain(value)) or has_form_of_secret(value)


def _has_name(name: str) -> bool:
    """`DB_PASSWORD`, `API_KEY`; not `TOKEN_URL` and not `SORT_KEY`."""
    words = [word for word in name.upper().split("_") if word]
    if not words:
        return False
    return words[-1] in _LAST_WORDS or (words[-1] == "KEY" and len(words) > 1 and words[-2] in _KEYS)


def _is_plain(value: str) -> bool:
    """What names a secret, or switches something: `prod/db`, `https://…`, `true`, `30`, `${VAULT}`."""
    if not value or value.lower() in _SWITCHES:
        return True
    if len(value) <= 6 and value.isascii() and value.isdigit():
        return True
    return value.startswith(("/", "$", "http://", "https://", "arn:"))


def _has_form(value: str) -> bool:
    if "PRIVATE KEY-----" in value:
        return True
    is_word = all("!" <= char <= "~" for char in value)
    if is_word and any(value.startswith(text) and len(value) >= len(text) + length for text, length in _PREFIXES):
        return True
    return _has_password_in_url(value)


def _has_password_in_url(value: str) -> bool:
    """`postgres://app:password@db` (RFC 3986 section 3.2.1)."""
    _, found, rest = value.partition("://")
    for end in "/?#":
        rest = rest.partition(end)[0]
    user, at, _ = rest.rpartition("@")
    _, colon, password = user.partition(":")
    return bool(found and at and colon and password)
