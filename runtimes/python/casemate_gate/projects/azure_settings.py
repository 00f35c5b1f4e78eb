"""The JSON files of Azure Functions: `function.json`, `host.json`, `local.settings.json`."""

from __future__ import annotations

import re
from typing import Final

from casemate_gate.findings import Severity
from casemate_gate.projects import looks
from casemate_gate.projects.azure_app import ANONYMOUS, OPEN_CORS
from casemate_gate.projects.clear_values import check_clear
from casemate_gate.projects.rules import Report, Rule, quoted
from casemate_gate.projects.tree import Node, field_at, fields, is_true, items, text_at, text_of, value_at

SECRET_IN_FILE: Final = Rule(
    "azure/secret-in-settings",
    Severity.HIGH,
    "AZR-19",
    "replace the secret, and list local.settings.json in .gitignore",
    "secrets: [{name}]",
)
CONNECTION_IN_BINDING: Final = Rule(
    "azure/connection-in-binding",
    Severity.HIGH,
    "AZR-9",
    "replace the key, and write the name of an app setting",
    'identity: ["https://sts.example.com"]',
)
NO_LIMITS: Final = Rule(
    "azure/no-limits",
    Severity.LOW,
    "AZR-11",
    "write a functionTimeout, as low as the work allows",
    "limits: {timeout: 30s}",
)


def examine_function(root: Node, report: Report) -> None:
    for binding in items(value_at(root, "bindings")):
        level = field_at(binding, "authLevel")
        if level and (text_of(level.value) or "").lower() == "anonymous":
            report.add(ANONYMOUS, level.line, "authLevel", "this function can be called by anyone")
        connection = field_at(binding, "connection")
        value = text_of(connection.value) if connection else None
        if connection and value and (looks.is_connection_string(value) or looks.has_password_in_url(value)):
            name = text_at(binding, "name") or "?"
            what = f"the connection of the binding {quoted(name)} is the string itself, with its key"
            report.add(CONNECTION_IN_BINDING, connection.line, f"connection.{name}", what)


def examine_host(root: Node, report: Report) -> None:
    for header in fields(value_at(root, "extensions", "http", "customHeaders")):
        if header.name.lower() == "access-control-allow-origin" and text_of(header.value) == "*":
            report.add(OPEN_CORS, header.line, "customHeaders", "the pages of every site may read all answers")
    timeout = field_at(root, "functionTimeout")
    if timeout and re.fullmatch(r"-1|-00:00:01", text_of(timeout.value) or ""):
        report.add(NO_LIMITS, timeout.line, "functionTimeout", "calls may take as long as they like")


def examine_local(root: Node, report: Report) -> None:
    """Values that the tool has encrypted for one machine are of no use elsewhere."""
    if not is_true(value_at(root, "IsEncrypted")):
        check_clear(report, value_at(root, "Values"), "Values", SECRET_IN_FILE)
        connections = value_at(root, "ConnectionStrings")
        check_clear(report, connections, "ConnectionStrings", SECRET_IN_FILE)
        for connection in fields(connections):
            check_clear(report, connection.value, f"ConnectionStrings.{connection.name}", SECRET_IN_FILE)
    cors = field_at(root, "Host", "CORS")
    if cors and text_of(cors.value) == "*":
        report.add(
            OPEN_CORS, cors.line, "Host.CORS", "the pages of every site may read answers, where this runs locally"
        )
