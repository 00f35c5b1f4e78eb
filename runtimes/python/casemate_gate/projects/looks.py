"""Which values look like secrets: by the name they have, or by the forms that credentials have.

The rules are those by which the server refuses a value under `env` (Sources/CasemateDeploy/Parse/SecretLooks.swift).
"""

from __future__ import annotations

import re
from typing import Final

_LAST_WORDS: Final = frozenset(
    ("SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "PWD", "TOKEN", "CREDENTIAL", "CREDENTIALS", "APIKEY")
)
_KEYS: Final = frozenset(
    ("API", "PRIVATE", "ACCESS", "SECRET", "SIGNING", "ENCRYPTION", "AUTH", "MASTER", "ACCOUNT", "WEBHOOK")
)
_SWITCHES: Final = frozenset(("true", "false", "none", "null", "yes", "no", "on", "off"))
# Each with the number of characters that follow at least.
_PREFIXES: Final = (
    *(("AKIA", 16), ("ASIA", 16), ("sk_live_", 10), ("sk_test_", 10), ("rk_live_", 10), ("ghp_", 30), ("gho_", 30)),
    *(("ghs_", 30), ("github_pat_", 30), ("glpat-", 16), ("xoxb-", 16), ("xoxp-", 16), ("xoxa-", 16), ("AIza", 30)),
    *(("hvs.", 20), ("npm_", 30), ("pypi-", 30), ("whsec_", 16), ("cms_", 20), ("cmt_", 20), ("eyJ", 60)),
)
_PASSWORD_IN_URL: Final = re.compile(r"://[^/?#:@\s]*:[^/?#\s]+@")  # RFC 3986 §3.2.1
# `${VAR}`, `$(VAR)`, `{{ variable }}`, `%VAR%`, `#{Token}#`
_REFERENCE: Final = re.compile(r"\$\$?\{[^{}]*\}|\$\([^()]*\)|\{\{[^{}]*\}\}|%\w+%|#\{[^{}]*\}#?")
_DEFAULT: Final = re.compile(r"\$\{\s*(?:env|opt|self):[^,{}]*,\s*['\"]?([^'\"{}]*)['\"]?\s*\}")
_ELSEWHERE: Final = (
    "$",
    "@Microsoft.KeyVault(",
    "@Microsoft.AppConfiguration(",
    "vault://",
    "arn:",
    "ENC[",
    "op://",
    "ref+",
)
_LONGEST: Final = 8192
_PLACEHOLDER_WORDS: Final = frozenset(
    ("your", "changeme", "change", "replace", "replaceme", "placeholder", "example", "dummy", "redacted")
    + ("insert", "todo", "fixme", "fill", "xxx", "xxxx", "xxxxx")
)
_CONNECTION: Final = re.compile(
    r"(?:AccountKey|SharedAccessKey)\s*=\s*(?P<key>[^;\s]{16,})"
    r"|(?:Server|Data Source|Host|Endpoint|Addr|Address)\s*=[^;]+;.*?\b(?:Password|Pwd)\s*=\s*(?P<password>[^;\s]+)",
    re.IGNORECASE | re.DOTALL,
)


def looks_like_secret(name: str, value: str) -> bool:
    return _is_form(value) or (has_secret_name(name) and not _is_plain(value))


def has_secret_name(name: str) -> bool:
    """`DB_PASSWORD`, `api-key`, `clientSecret`; not `TOKEN_URL` and not `SORT_KEY`."""
    words = [word for word in re.split(r"[^A-Z0-9]+", _snake(name)) if word]
    if not words:
        return False
    return words[-1] in _LAST_WORDS or (words[-1] == "KEY" and len(words) > 1 and words[-2] in _KEYS)


def is_exposed(name: str, value: str) -> bool:
    """Whether `value` itself, where it is written, is a secret: no reference to one, and nothing to be filled in."""
    value = value[:_LONGEST]
    return _literal_default(name, value) or _is_exposed_literal(name, _without_references(value))


def is_written_out(name: str, value: str) -> bool:
    """Whether what stands where only secrets stand is one, and no reference, no placeholder, and no port or address either."""
    value = value[:_LONGEST]
    default = _DEFAULT.fullmatch(value.strip())
    if default:
        return bool(default[1]) and not is_placeholder(default[1])
    if not has_secret_name(name) and not _is_form(value) and _is_plain(value):
        return False
    return bool(_without_references(value).strip()) and not is_placeholder(value) and not is_reference(value)


def is_reference(value: str) -> bool:
    """`${VAR}`, `@Microsoft.KeyVault(…)`, `vault://…`: it says where the value is."""
    return value.strip().startswith(_ELSEWHERE) or _REFERENCE.search(value) is not None


def is_connection_string(value: str) -> bool:
    found = _CONNECTION.search(_without_references(value[:_LONGEST]))
    if found is None or "devstoreaccount1" in value:  # the storage emulator's, which everybody knows
        return False
    return not is_placeholder(found["key"] or found["password"])


def is_placeholder(value: str) -> bool:
    """`<your key>`, `changeme`, `****`."""
    text = value.strip()
    words = {word for word in re.split(r"[^a-z]+", text.lower()) if word}
    return (
        not text.strip("*.xX-_ ")
        or (text.startswith("<") and text.endswith(">"))
        or bool(words & _PLACEHOLDER_WORDS)
        or "changeme" in text.lower()
    )


def masked_url(value: str) -> str:
    return re.sub(r"://[^/@\s]*@", "://***@", value)


def has_password_in_url(value: str) -> bool:
    found = _PASSWORD_IN_URL.search(_without_references(value))
    return found is not None and not is_placeholder(found.group().rsplit(":", 1)[1][:-1])


def _literal_default(name: str, value: str) -> bool:
    """`${env:PASSWORD, "hunter2"}`"""
    return any(_is_exposed_literal(name, default) for default in _DEFAULT.findall(value))


def _is_exposed_literal(name: str, value: str) -> bool:
    if is_connection_string(value) or has_password_in_url(value):
        return True
    if _PASSWORD_IN_URL.search(value):
        return False  # it has one, which is a placeholder
    if _is_form(value):
        return True
    is_elsewhere = value.strip().startswith(_ELSEWHERE)
    return looks_like_secret(_snake(name), value) and not is_elsewhere and not is_placeholder(value)


def _without_references(value: str) -> str:
    """Nothing at all where a reference is the value's larger part: `Bearer ${TOKEN}`."""
    rest = _REFERENCE.sub("", value)
    if rest == value:
        return value
    return rest if _is_form(rest) or _CONNECTION.search(rest) else ""


def _snake(name: str) -> str:
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"[-.\s]", "_", split).upper()


def _is_plain(value: str) -> bool:
    return (
        not value
        or value.lower() in _SWITCHES
        or (len(value) <= 6 and value.isascii() and value.isdigit())
        or value.startswith(("/", "$", "http://", "https://", "arn:"))
    )


def _is_form(value: str) -> bool:
    if "PRIVATE KEY-----" in value:
        return True
    is_word = value.isascii() and value.isprintable() and " " not in value
    if is_word and any(value.startswith(prefix) and len(value) >= len(prefix) + more for prefix, more in _PREFIXES):
        return True
    return _PASSWORD_IN_URL.search(value) is not None
