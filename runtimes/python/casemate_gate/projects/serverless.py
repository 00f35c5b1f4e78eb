"""`serverless.yml` of the Serverless Framework, for Scaleway."""

from __future__ import annotations

from typing import Final

from casemate_gate.findings import Severity
from casemate_gate.projects import looks, runtimes
from casemate_gate.projects.clear_values import check_clear, check_secret
from casemate_gate.projects.rules import Report, Rule, quoted
from casemate_gate.projects.tree import Field, Node, field_at, fields, items, text_at, text_of, value_at

PUBLIC: Final = Rule(
    "scaleway/public", Severity.HIGH, "SCW-20", "write privacy: private, and give callers tokens", "access: private"
)
SECRET_IN_ENV: Final = Rule(
    "scaleway/secret-in-env",
    Severity.HIGH,
    "SCW-5",
    "replace the secret, and write {name}: ${env:{name}} under secret:",
    "secrets: [{name}]",
)
SECRET_THROUGH_ENV: Final = Rule(
    "scaleway/secret-through-env", Severity.MEDIUM, "SCW-5", "move {name} from env: to secret:", "secrets: [{name}]"
)
SECRET_IN_FILE: Final = Rule(
    "scaleway/secret-in-file",
    Severity.HIGH,
    "SCW-10",
    "replace the secret, and write ${env:{name}}",
    "secrets: [{name}]",
)
PLAIN_HTTP: Final = Rule("scaleway/plain-http", Severity.LOW, "AZR-11", "write httpOption: redirected")
NO_LIMITS: Final = Rule(
    "scaleway/no-limits",
    Severity.LOW,
    "AZR-11",
    "write timeout: and maxScale:, as low as the function's work allows",
    "limits: {timeout: 30s}",
)
OLD_RUNTIME: Final = Rule(
    "scaleway/old-runtime", Severity.MEDIUM, "AZR-7", "choose a runtime that still gets fixes", "runtime: python3.11"
)

_CREDENTIALS: Final = ("scwToken",)


def examine(root: Node, report: Report) -> None:
    if not _is_scaleway(root):
        return
    provider = value_at(root, "provider")
    _check_settings(provider, "provider", report)
    for name in _CREDENTIALS:
        found = field_at(provider, name)
        if found and looks.is_written_out(name, text_of(found.value) or ""):
            what = f"provider: the value of {quoted(name)} is written in the file"
            report.add(SECRET_IN_FILE, found.line, f"provider.{name}", what, "SCW_SECRET_KEY")
    default = field_at(provider, "runtime")
    if default:
        _check_runtime(default, "provider", report)
    for function in _functions(value_at(root, "functions")):
        _check_function(function, f"functions.{function.name}", report)
        own = field_at(function.value, "runtime")
        if own:
            _check_runtime(own, f"functions.{function.name}", report)
    for container in fields(value_at(root, "custom", "containers")):
        _check_function(container, f"custom.containers.{container.name}", report)


def _is_scaleway(root: Node) -> bool:
    provider = value_at(root, "provider")
    names = [
        text_of(provider),
        text_at(provider, "name"),
        *(text_of(plugin) for plugin in items(value_at(root, "plugins"))),
    ]
    return "scaleway" in names or "serverless-scaleway-functions" in names


def _functions(node: Node | None) -> list[Field]:
    """The framework takes a mapping, or a list of mappings."""
    return [function for one in items(node) for function in fields(one)] or fields(node)


def _check_settings(node: Node | None, where: str, report: Report) -> None:
    check_clear(report, value_at(node, "env"), f"{where}.env", SECRET_IN_ENV, SECRET_THROUGH_ENV)
    check_secret(report, value_at(node, "secret"), f"{where}.secret", SECRET_IN_FILE)


def _check_function(function: Field, where: str, report: Report) -> None:
    if not fields(function.value):
        return
    _check_settings(function.value, where, report)
    name = quoted(function.name)
    privacy = field_at(function.value, "privacy")
    if privacy is None:
        report.add(PUBLIC, function.line, where, f"{name} has no privacy:, and is public then: anyone may call it")
    elif text_of(privacy.value) == "public":
        report.add(PUBLIC, privacy.line, where, f"{name} is public: anyone may call it")
    option = field_at(function.value, "httpOption")
    if option is None or text_of(option.value) == "enabled":
        line = option.line if option else function.line
        report.add(
            PLAIN_HTTP, line, where, f"{name} answers without TLS too, so that callers' tokens can be read on the way"
        )
    missing = [key for key in ("timeout", "maxScale") if field_at(function.value, key) is None]
    if missing:
        report.add(NO_LIMITS, function.line, where, f"{name} leaves {' and '.join(missing)} to the platform")


def _check_runtime(runtime: Field, where: str, report: Report) -> None:
    name = text_of(runtime.value) or ""
    end = runtimes.ended(name)
    if end:
        report.add(OLD_RUNTIME, runtime.line, where, f"{where}: {quoted(name)} gets no fixes since {end}")
