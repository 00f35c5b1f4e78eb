"""Kyma's APIRule (all versions) and Subscription: who may call a function, and which events it gets."""

from __future__ import annotations

from typing import Final

from casemate_gate.findings import Severity
from casemate_gate.projects.rules import Report, Rule, quoted
from casemate_gate.projects.tree import Node, field_at, fields, is_true, items, text_at, text_of, value_at

PUBLIC: Final = Rule(
    "kyma/public",
    Severity.HIGH,
    "KYM-5",
    "demand a token by jwt:, with an issuer and authorizations",
    "access: private",
)
UNBOUND_TOKEN: Final = Rule(
    "kyma/unbound-token",
    Severity.MEDIUM,
    "KYM-2",
    "write authorizations with requiredScopes or audiences that this function alone has",
    "tokens: {issuers: [corp]}",
)
OPEN_CORS: Final = Rule("kyma/open-cors", Severity.MEDIUM, "AZR-11", "name the origins that may call it")
ALL_EVENTS: Final = Rule(
    "kyma/all-events", Severity.MEDIUM, "KYM-11", "name the types of events that the function is for"
)

_OPEN_HANDLERS: Final = frozenset(("allow", "no_auth", "noop"))
_EVERYBODY: Final = frozenset(("*", ".*", "^.*$", ".+", "http://*", "https://*"))


def examine_rule(document: Node, report: Report) -> None:
    name = text_at(document, "metadata", "name") or "?"
    for rule in items(value_at(document, "spec", "rules")):
        path = text_at(rule, "path") or "?"
        where, subject = f"APIRule {quoted(name)}: {quoted(path)}", f"{name}.{path}"
        open_ = field_at(rule, "noAuth")
        if open_ and is_true(open_.value):
            report.add(PUBLIC, open_.line, subject, f"{where} can be called by anyone")
        token = field_at(rule, "jwt")
        if token and not _binds(value_at(token.value, "authorizations")):
            _unbound(report, token.line, subject, where)
        for strategy in items(value_at(rule, "accessStrategies")):
            _check_strategy(strategy, subject, where, report)
    _check_origins(value_at(document, "spec", "corsPolicy"), name, report)


def examine_subscription(document: Node, report: Report) -> None:
    name = text_at(document, "metadata", "name") or "?"
    types = items(value_at(document, "spec", "types"))
    filters = items(value_at(document, "spec", "filter", "filters"))  # v1alpha1
    types += [kind for one in filters if (kind := value_at(one, "eventType", "value")) is not None]
    for kind in types:
        text = text_of(kind)
        if text is not None and ("*" in text or ">" in text):
            what = f"Subscription {quoted(name)} takes every event of {quoted(text)}"
            report.add(ALL_EVENTS, kind.line, f"{name}.{text}", what)


def _check_strategy(strategy: Node, subject: str, where: str, report: Report) -> None:
    """v1beta1's, by the name of its handler."""
    handler = field_at(strategy, "handler")
    name = text_of(handler.value) if handler else None
    if handler and name in _OPEN_HANDLERS:
        report.add(PUBLIC, handler.line, subject, f"{where} can be called by anyone, by its handler {name}")
    elif handler and name in ("jwt", "oauth2_introspection"):
        config = value_at(strategy, "config")
        bound = _binds(value_at(config, "authorizations"))
        if not bound and not any(items(value_at(config, key)) for key in ("required_scope", "target_audience")):
            _unbound(report, handler.line, subject, where)


def _binds(authorizations: Node | None) -> bool:
    """One entry is enough to let a token in, so each must ask for something."""
    entries = items(authorizations)
    return bool(entries) and all(
        items(value_at(entry, "requiredScopes")) or items(value_at(entry, "audiences")) for entry in entries
    )


def _unbound(report: Report, line: int, subject: str, where: str) -> None:
    report.add(
        UNBOUND_TOKEN,
        line,
        subject,
        f"{where} takes any token of its issuer, also one that was made out for another function",
    )


def _check_origins(policy: Node | None, name: str, report: Report) -> None:
    for origin in items(value_at(policy, "allowOrigins")):
        for entry in fields(origin):
            if text_of(entry.value) in _EVERYBODY or (
                entry.name == "prefix" and text_of(entry.value) in ("http", "https://")
            ):
                what = f"APIRule {quoted(name)} lets the pages of every site read its answers"
                report.add(OPEN_CORS, entry.line, f"{name}.cors", what)
