"""Kyma's Function (v1alpha1 and v1alpha2) and GitRepository."""

from __future__ import annotations

import re
from typing import Final

from casemate_gate.findings import Severity
from casemate_gate.projects import looks, runtimes
from casemate_gate.projects.rules import Report, Rule, quoted
from casemate_gate.projects.tree import (
    Field,
    Fields,
    Items,
    Node,
    Text,
    Unknown,
    field_at,
    fields,
    is_true,
    items,
    text_at,
    text_of,
    value_at,
)

SECRET_IN_ENV: Final = Rule(
    "kyma/secret-in-env",
    Severity.HIGH,
    "KYM-9",
    "replace the secret, and name its Secret by valueFrom.secretKeyRef",
    "secrets: [{name}]",
)
SECRET_IN_SOURCE: Final = Rule(
    "kyma/secret-in-source",
    Severity.HIGH,
    "COG-7",
    "replace the secret, and read it from a variable with valueFrom.secretKeyRef",
    "secrets: [{name}]",
)
NO_LIMITS: Final = Rule(
    "kyma/no-limits",
    Severity.LOW,
    "AZR-11",
    "write spec.resourceConfiguration.function, a profile or resources.limits",
    "limits: {memory: 256MiB}",
)
MOVING_SOURCE: Final = Rule(
    "kyma/moving-source", Severity.MEDIUM, "COG-28", "name a commit by its 40 digits", "source: ./{name}"
)
CREDENTIALS_IN_URL: Final = Rule(
    "kyma/credentials-in-url",
    Severity.HIGH,
    "COG-20",
    "replace the credentials, and name their Secret by auth.secretName",
)
OWN_IMAGE: Final = Rule(
    "kyma/own-image",
    Severity.MEDIUM,
    "KYM-7",
    "leave runtimeImageOverride out, or name an image that is scanned and signed by its @sha256: digest",
    "runtime: python3.11",
)
OLD_RUNTIME: Final = Rule(
    "kyma/old-runtime", Severity.MEDIUM, "KYM-6", "choose a runtime that still gets fixes", "runtime: python3.11"
)
LOOSENED: Final = Rule(
    "kyma/loosened-sandbox", Severity.MEDIUM, "KYM-12", "leave it out: Kyma's own setting is stricter"
)

_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ASSIGNED: Final = re.compile(
    r"(?<![\w.$])[\"']?(\w{1,64})[\"']?(?:\s*:\s*\w{1,20})?\s*[:=]\s*([\"'`])([^\"'`\n]{1,4096})\2"
)
_PRESET: Final = "serverless.kyma-project.io/function-resources-preset"


def examine(document: Node, report: Report) -> None:
    name = text_at(document, "metadata", "name") or "?"
    spec = field_at(document, "spec")
    if spec is None:
        return
    where = f"Function {quoted(name)}"
    _check_environment(spec.value, name, report)
    _check_code(spec.value, name, report)
    _check_repository(value_at(spec.value, "source", "gitRepository"), name, report)
    if text_at(spec.value, "type") == "git":  # v1alpha1
        _check_reference(field_at(spec.value, "reference"), name, report)
    image = field_at(spec.value, "runtimeImageOverride")
    if image and text_of(image.value):
        pinned = (
            "by its digest"
            if "@sha256:" in (text_of(image.value) or "")
            else "by a tag, which may be another image tomorrow"
        )
        report.add(OWN_IMAGE, image.line, name, f"{where} runs in an image of its own, named {pinned}")
    runtime = field_at(spec.value, "runtime")
    end = runtimes.ended(text_of(runtime.value) or "") if runtime else None
    if runtime and end:
        report.add(OLD_RUNTIME, runtime.line, name, f"{where}: the runtime gets no fixes since {end}")
    if not _has_limits(document, spec.value):
        report.add(NO_LIMITS, spec.line, name, f"{where} leaves its limits to the platform")
    _check_contexts(spec.value, name, report)


def examine_repository(document: Node, report: Report) -> None:
    """v1alpha1's, which a Function names."""
    _check_url(field_at(document, "spec", "url"), text_at(document, "metadata", "name") or "?", report)


def _check_environment(spec: Node, function: str, report: Report) -> None:
    for entry in items(value_at(spec, "env")):
        name, value = text_at(entry, "name") or "", field_at(entry, "value")
        if value and looks.is_exposed(name, text_of(value.value) or ""):
            what = f"Function {quoted(function)}: the value of {quoted(name)} looks like a secret, and is written in the file"
            report.add(SECRET_IN_ENV, value.line, f"{function}.{name}", what, name)


def _check_code(spec: Node, function: str, report: Report) -> None:
    """Variables and keys of the code that have a secret's name and a literal, in Python or JavaScript."""
    code = value_at(spec, "source", "inline", "source") or value_at(spec, "source")
    if not isinstance(code, Text):
        return
    for number, line in enumerate(code.text.split("\n")):
        if len(line) > 10_000:
            continue
        for name, _, value in _ASSIGNED.findall(line):
            if len(value) >= 6 and looks.is_exposed(name, value):
                at = code.lines_from + number if code.lines_from else code.line
                what = f"Function {quoted(function)}: the value of {quoted(name)} looks like a secret, and is written in the code"
                report.add(SECRET_IN_SOURCE, at, f"{function}.{name}", what, name.upper())


def _check_repository(node: Node | None, function: str, report: Report) -> None:
    _check_url(field_at(node, "url"), function, report)
    _check_reference(field_at(node, "reference"), function, report)


def _check_url(url: Field | None, function: str, report: Report) -> None:
    if url and looks.has_password_in_url(text_of(url.value) or ""):
        what = (
            f"{quoted(function)}: credentials are written in the address {looks.masked_url(text_of(url.value) or '')}"
        )
        report.add(CREDENTIALS_IN_URL, url.line, function, what)


def _check_reference(reference: Field | None, function: str, report: Report) -> None:
    value = text_of(reference.value) if reference else None
    if reference and value and not looks.is_reference(value) and not _COMMIT.fullmatch(value):
        what = f"Function {quoted(function)} follows {quoted(value)}: whoever may push there changes what runs"
        report.add(MOVING_SOURCE, reference.line, function, what, function)


def _has_limits(document: Node, spec: Node) -> bool:
    configuration = value_at(spec, "resourceConfiguration", "function") or value_at(spec, "resources")
    if isinstance(configuration, Unknown):
        return True
    labels = (value_at(document, "metadata", "labels"), value_at(spec, "labels"))
    return (
        bool(text_at(configuration, "profile"))
        or bool(fields(value_at(configuration, "resources", "limits") or value_at(configuration, "limits")))
        or any(text_at(label, _PRESET) for label in labels)
    )


def _check_contexts(spec: Node, function: str, report: Report) -> None:
    for context in ("podSecurityContext", "containerSecurityContext"):
        node = value_at(spec, context)
        for item in fields(node):
            if (
                (item.name in ("privileged", "allowPrivilegeEscalation") and is_true(item.value))
                or (item.name in ("runAsUser", "runAsGroup") and text_of(item.value) == "0")
                or (item.name in ("runAsNonRoot", "readOnlyRootFilesystem") and text_of(item.value) == "false")
                or (item.name == "capabilities" and _adds(value_at(item.value, "add")))
                or (item.name == "seccompProfile" and text_at(item.value, "type") == "Unconfined")
            ):
                what = f"Function {quoted(function)} loosens its own sandbox by {context}.{item.name}"
                report.add(LOOSENED, item.line, f"{function}.{context}.{item.name}", what)


def _adds(node: Node | None) -> bool:
    return isinstance(node, (Items, Fields)) and bool(items(node))
