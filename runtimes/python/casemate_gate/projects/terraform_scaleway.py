"""Functions, their namespaces and tokens, as Scaleway's provider for Terraform describes them."""

from __future__ import annotations

from typing import Final

from casemate_gate.findings import Severity
from casemate_gate.projects import runtimes
from casemate_gate.projects.clear_values import check_clear, check_secret
from casemate_gate.projects.hcl_tree import Block
from casemate_gate.projects.rules import Report, Rule, quoted
from casemate_gate.projects.tree import field_at, is_missing, text_of, value_at

PUBLIC: Final = Rule(
    "terraform/public",
    Severity.HIGH,
    "SCW-21",
    'write privacy = "private", and give callers a scaleway_function_token',
    "access: private",
)
SECRET_IN_ENV: Final = Rule(
    "terraform/secret-in-env",
    Severity.HIGH,
    "SCW-5",
    "replace the secret, and hand it over by secret_environment_variables, from a variable that is ephemeral or sensitive",
    "secrets: [{name}]",
)
SECRET_THROUGH_ENV: Final = Rule(
    "terraform/secret-through-env",
    Severity.MEDIUM,
    "SCW-5",
    "move {name} to secret_environment_variables",
    "secrets: [{name}]",
)
SECRET_LITERAL: Final = Rule(
    "terraform/secret-literal",
    Severity.HIGH,
    "SCW-13",
    "replace the secret, and take it from a variable that is ephemeral or sensitive",
    "secrets: [{name}]",
)
PLAIN_HTTP: Final = Rule("terraform/plain-http", Severity.LOW, "AZR-11", 'write http_option = "redirected"')
NO_LIMITS: Final = Rule(
    "terraform/no-limits",
    Severity.LOW,
    "AZR-11",
    "write timeout and max_scale, as low as the function's work allows",
    "limits: {timeout: 30s}",
)
OLD_RUNTIME: Final = Rule(
    "terraform/old-runtime", Severity.MEDIUM, "AZR-7", "choose a runtime that still gets fixes", "runtime: python3.11"
)
ENDLESS_TOKEN: Final = Rule("terraform/endless-token", Severity.MEDIUM, "SCW-4", "write expires_at")

_SETTINGS: Final = frozenset(
    ("scaleway_function", "scaleway_function_namespace", "scaleway_container", "scaleway_container_namespace")
)


def examine(block: Block, report: Report) -> None:
    kind, where = block.labels[0], ".".join(block.labels)
    if kind in _SETTINGS:
        plain, secret = "environment_variables", "secret_environment_variables"
        check_clear(report, value_at(block.body, plain), f"{where}.{plain}", SECRET_IN_ENV, SECRET_THROUGH_ENV)
        check_secret(report, value_at(block.body, secret), f"{where}.{secret}", SECRET_LITERAL)
    if kind in ("scaleway_function", "scaleway_container"):
        _examine_function(block, where, report)
    if kind == "scaleway_function_token" and is_missing(value_at(block.body, "expires_at")):
        report.add(ENDLESS_TOKEN, block.line, where, f"{where} never expires")


def _examine_function(block: Block, where: str, report: Report) -> None:
    privacy = field_at(block.body, "privacy")
    if privacy and text_of(privacy.value) == "public":
        report.add(PUBLIC, privacy.line, where, f"{where} is public: anyone may call it")
    elif privacy is None and block.labels[0] == "scaleway_container":
        report.add(PUBLIC, block.line, where, f"{where} has no privacy, and is public then: anyone may call it")
    option = field_at(block.body, "http_option")
    if option is None or text_of(option.value) == "enabled":
        line = option.line if option else block.line
        report.add(
            PLAIN_HTTP, line, where, f"{where} answers without TLS too, so that callers' tokens can be read on the way"
        )
    missing = [key for key in ("timeout", "max_scale") if is_missing(value_at(block.body, key))]
    if missing:
        report.add(NO_LIMITS, block.line, where, f"{where} leaves {' and '.join(missing)} to the platform")
    runtime = field_at(block.body, "runtime")
    name = text_of(runtime.value) if runtime else None
    end = runtimes.ended(name) if name else None
    if runtime and name and end:
        report.add(OLD_RUNTIME, runtime.line, where, f"{where}: {quoted(name)} gets no fixes since {end}")
