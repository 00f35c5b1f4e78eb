"""Function apps, as Azure's provider for Terraform describes them."""

from __future__ import annotations

from typing import Final

from casemate_gate.findings import Severity
from casemate_gate.projects import looks, runtimes
from casemate_gate.projects.clear_values import check_clear
from casemate_gate.projects.hcl_tree import Block, blocks_at
from casemate_gate.projects.rules import Report, Rule, quoted
from casemate_gate.projects.tree import (
    Node,
    Text,
    Unknown,
    field_at,
    fields,
    is_missing,
    is_true,
    items,
    text_of,
    value_at,
)

FUNCTION_APPS: Final = frozenset(
    f"azurerm_{kind}{slot}"
    for kind in ("linux_function_app", "windows_function_app", "function_app", "function_app_flex_consumption")
    for slot in ("", "_slot")
)

PLAIN_HTTP: Final = Rule("terraform/azure-plain-http", Severity.MEDIUM, "AZR-11", "write https_only = true")
OLD_TLS: Final = Rule("terraform/azure-old-tls", Severity.MEDIUM, "AZR-11", 'write minimum_tls_version = "1.2"')
PLAIN_FTP: Final = Rule("terraform/azure-plain-ftp", Severity.MEDIUM, "AZR-11", 'write ftps_state = "Disabled"')
SECRET_IN_SETTINGS: Final = Rule(
    "terraform/azure-secret-in-settings",
    Severity.HIGH,
    "AZR-9",
    "replace the secret, and write @Microsoft.KeyVault(SecretUri=…) or use the app's identity",
    "secrets: [{name}]",
)
CONNECTION_STRING: Final = Rule(
    "terraform/azure-connection-string",
    Severity.LOW,
    "AZR-12",
    "let the app's identity in (storage_uses_managed_identity, NAME__fullyQualifiedNamespace)",
    'identity: ["https://sts.example.com"]',
)
NO_IDENTITY: Final = Rule(
    "terraform/azure-no-identity",
    Severity.MEDIUM,
    "AZR-12",
    'write identity { type = "SystemAssigned" }, and grant it what the app needs',
    'identity: ["https://sts.example.com"]',
)
OPEN_CORS: Final = Rule("terraform/azure-open-cors", Severity.MEDIUM, "AZR-11", "name the origins in allowed_origins")
OLD_RUNTIME: Final = Rule(
    "terraform/azure-old-runtime",
    Severity.MEDIUM,
    "AZR-7",
    "choose a version that still gets fixes",
    "runtime: python3.11",
)

_CONNECTIONS: Final = ("connection_string", "access_key", "primary_key", "secondary_key")


def examine(block: Block, report: Report) -> None:
    where = ".".join(block.labels)
    https = field_at(block.body, "https_only")
    if https is None or text_of(https.value) == "false":
        report.add(PLAIN_HTTP, https.line if https else block.line, where, f"{where} answers without TLS too")
    _check_settings(block, where, report)
    if not blocks_at(block.body, "identity"):
        report.add(
            NO_IDENTITY, block.line, where, f"{where} has no identity, so it can reach nothing but with a secret"
        )
    for site in blocks_at(block.body, "site_config"):
        _check_site(site, where, report)
    version = field_at(block.body, "runtime_version")  # of the flexible plan
    runtime = text_of(value_at(block.body, "runtime_name"))
    if version and runtime:
        _check_runtime(f"{runtime}{text_of(version.value) or ''}", version.line, where, report)


def _check_settings(block: Block, where: str, report: Report) -> None:
    settings = value_at(block.body, "app_settings")
    check_clear(report, settings, f"{where}.app_settings", SECRET_IN_SETTINGS)
    for item in fields(settings):
        if _is_connection(item.value):
            _report_connection(item.name, item.line, f"{where}.app_settings", report)
    for connection in blocks_at(block.body, "connection_string"):
        value = field_at(connection, "value")
        if value and looks.is_written_out("connection", text_of(value.value) or ""):
            what = f"{where}: the value of a connection_string is written in the file"
            report.add(SECRET_IN_SETTINGS, value.line, f"{where}.connection_string", what)
    key = field_at(block.body, "storage_account_access_key") or field_at(block.body, "storage_access_key")
    if key and looks.is_written_out(key.name, text_of(key.value) or ""):
        report.add(SECRET_IN_SETTINGS, key.line, f"{where}.{key.name}", f"{where}: {key.name} is written in the file")
    elif key and not is_missing(key.value):
        _report_connection(key.name, key.line, where, report)


def _report_connection(name: str, line: int, where: str, report: Report) -> None:
    what = f"{where}: {quoted(name)} hands over a key where an identity would do"
    report.add(CONNECTION_STRING, line, f"{where}.{name}", what, name)


def _is_connection(value: Node) -> bool:
    """`azurerm_storage_account.main.primary_connection_string`"""
    source = value.source if isinstance(value, Unknown) else value.text if isinstance(value, Text) else ""
    if not isinstance(value, Unknown) and not looks.is_reference(source):
        return False
    return "azurerm_" in source and source.rstrip('"} )').endswith(_CONNECTIONS)


def _check_site(site: Node, where: str, report: Report) -> None:
    tls = field_at(site, "minimum_tls_version") or field_at(site, "min_tls_version")
    if tls and text_of(tls.value) in ("1.0", "1.1"):
        report.add(OLD_TLS, tls.line, where, f"{where} speaks TLS {text_of(tls.value)}, which is broken")
    ftp = field_at(site, "ftps_state")
    if ftp and text_of(ftp.value) == "AllAllowed":
        report.add(PLAIN_FTP, ftp.line, where, f"{where} takes code by FTP without encryption")
    for cors in blocks_at(site, "cors"):
        origins = field_at(cors, "allowed_origins")
        if origins and any(text_of(origin) == "*" for origin in items(origins.value)):
            also = ", with their cookies" if is_true(value_at(cors, "support_credentials")) else ""
            report.add(OPEN_CORS, origins.line, where, f"{where} lets the pages of every site read its answers{also}")
    for stack in blocks_at(site, "application_stack"):
        for name, prefix in (("python_version", "python"), ("node_version", "node")):
            version = field_at(stack, name)
            if version:
                _check_runtime(f"{prefix}{text_of(version.value) or ''}", version.line, where, report)
    old_form = field_at(site, "linux_fx_version")
    if old_form:
        _check_runtime(text_of(old_form.value) or "", old_form.line, where, report)


def _check_runtime(runtime: str, line: int, where: str, report: Report) -> None:
    end = runtimes.ended(runtime)
    if end:
        report.add(OLD_RUNTIME, line, where, f"{where}: {quoted(runtime)} gets no fixes since {end}")
