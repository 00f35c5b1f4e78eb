"""Kubernetes' Secret and ConfigMap, as they stand beside functions in a repository."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from casemate_gate.findings import Severity
from casemate_gate.projects import looks
from casemate_gate.projects.clear_values import check_clear
from casemate_gate.projects.rules import Report, Rule, quoted
from casemate_gate.projects.tree import Field, Node, field_at, fields, text_at, text_of, value_at

SECRET_IN_FILE: Final = Rule(
    "kyma/secret-in-file",
    Severity.HIGH,
    "SCW-12",
    "replace the secret, make it with kubectl create secret, and keep the file without values",
    "secrets: [{name}]",
)
SECRET_IN_CONFIG: Final = Rule(
    "kyma/secret-in-config", Severity.HIGH, "KYM-9", "replace the secret, and keep it in a Secret", "secrets: [{name}]"
)

# Not secret by themselves: what a certificate or an account is called.
_NAMES: Final = frozenset(("username", "user", "tls.crt", "ca.crt", "host", "port", "url", "namespace", "region"))


def examine_secret(document: Node, report: Report) -> None:
    """One finding for a Secret: its entries are replaced together."""
    if field_at(document, "sops") or text_at(document, "type") == "kubernetes.io/service-account-token":
        return
    name = text_at(document, "metadata", "name") or "?"
    clear = [item for item in fields(value_at(document, "stringData")) if _is_secret(item, text_of(item.value))]
    encoded = [item for item in fields(value_at(document, "data")) if _is_secret(item, _decoded(text_of(item.value)))]
    found = clear + encoded
    if found:
        keys = ", ".join(quoted(item.name) for item in found[:5]) + (" …" if len(found) > 5 else "")
        what = f"Secret {quoted(name)}: the values of {keys} are written in the file"
        report.add(SECRET_IN_FILE, found[0].line, name, what, found[0].name)


def examine_config(document: Node, report: Report) -> None:
    name = text_at(document, "metadata", "name") or "?"
    check_clear(report, value_at(document, "data"), f"ConfigMap {name}", SECRET_IN_CONFIG)


def _is_secret(item: Field, value: str | None) -> bool:
    if not value or not looks.is_written_out(item.name, value):
        return False
    return item.name.lower() not in _NAMES or looks.is_exposed(item.name, value)


def _decoded(value: str | None) -> str | None:
    """Terraform's `data` is clear text, as a reference may be; then it is the value itself."""
    if value is None or looks.is_reference(value):
        return value
    try:
        return base64.b64decode("".join(value.split()), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return value
