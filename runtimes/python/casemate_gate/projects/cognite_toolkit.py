"""Functions, schedules and configurations of Cognite's Toolkit."""

from __future__ import annotations

import re
from typing import Final

from casemate_gate.findings import Severity
from casemate_gate.projects import looks, runtimes
from casemate_gate.projects.clear_values import check_clear, check_secret
from casemate_gate.projects.rules import Report, Rule, quoted
from casemate_gate.projects.tree import (
    DEEPEST,
    Fields,
    Node,
    Text,
    field_at,
    fields,
    is_missing,
    items,
    text_at,
    text_of,
    value_at,
)

SECRET_IN_FILE: Final = Rule(
    "cognite/secret-in-file", Severity.HIGH, "COG-7", "replace the secret, and write ${{name}}", "secrets: [{name}]"
)
SECRET_IN_ENV: Final = Rule(
    "cognite/secret-in-env",
    Severity.HIGH,
    "COG-2",
    "replace the secret, and put it under secrets: as ${{name}}",
    "secrets: [{name}]",
)
SECRET_THROUGH_ENV: Final = Rule(
    "cognite/secret-through-env", Severity.MEDIUM, "COG-2", "move {name} to secrets:", "secrets: [{name}]"
)
SECRET_IN_CONFIG: Final = Rule(
    "cognite/secret-in-config",
    Severity.HIGH,
    "COG-7",
    "replace the secret, and write ${{name}} where the variable is used",
    "secrets: [{name}]",
)
CREDENTIALS_IN_URL: Final = Rule(
    "cognite/credentials-in-url",
    Severity.HIGH,
    "COG-20",
    "replace the credentials, and write ${VARIABLE} in their place",
)
PLAIN_INDEX: Final = Rule(
    "cognite/plain-index", Severity.MEDIUM, "COG-20", "use https://", "dependencies: {policy: strict}"
)
SECOND_INDEX: Final = Rule(
    "cognite/second-index",
    Severity.MEDIUM,
    "COG-20",
    "leave extraIndexUrls out, and let one index serve everything: of one name the public index's may be taken",
    "dependencies: {policy: strict}",
)
BORROWED_RIGHTS: Final = Rule(
    "cognite/borrowed-rights",
    Severity.MEDIUM,
    "COG-23",
    "write authentication: with a service account that has no more than the function needs",
    "capabilities: [NAMESPACE/FUNCTION:invoke]",
)
OLD_RUNTIME: Final = Rule(
    "cognite/old-runtime", Severity.MEDIUM, "AZR-7", "choose a runtime that still gets fixes", "runtime: python3.11"
)

_VARIABLE: Final = re.compile(r"\{\{\s*([\w.-]+)\s*\}\}")


def with_variables(text: str) -> str:
    """The Toolkit fills in `{{ variable }}` before it reads YAML, where that alone would often be none."""
    return _VARIABLE.sub(r"$(\1)", text)


def examine(root: Node, report: Report) -> None:
    for one in items(root) or [root]:
        if field_at(one, "cronExpression") or field_at(one, "functionExternalId"):
            _examine_schedule(one, report)
        else:
            _examine_function(one, report)


def examine_config(root: Node, report: Report) -> None:
    """`config.dev.yaml`: the variables of an environment, in folders."""
    variables = value_at(root, "variables")
    open_: list[tuple[str, Node | None, int]] = [("variables", variables, 0)]
    seen: set[int] = set()
    while open_:
        where, node, depth = open_.pop()
        if id(node) in seen or depth > DEEPEST:
            continue
        seen.add(id(node))
        check_clear(report, node, where, SECRET_IN_CONFIG)
        open_ += [
            (f"{where}.{item.name}", item.value, depth + 1) for item in fields(node) if isinstance(item.value, Fields)
        ]


def _examine_function(node: Node, report: Report) -> None:
    name = text_at(node, "externalId") or text_at(node, "name") or "?"
    check_secret(report, value_at(node, "secrets"), f"{name}.secrets", SECRET_IN_FILE)
    check_clear(report, value_at(node, "envVars"), f"{name}.envVars", SECRET_IN_ENV, SECRET_THROUGH_ENV)
    check_clear(report, value_at(node, "metadata"), f"{name}.metadata", SECRET_IN_ENV, SECRET_THROUGH_ENV)
    index, extra = field_at(node, "indexUrl"), field_at(node, "extraIndexUrls")
    for url in [*([index.value] if index else []), *(items(extra.value) if extra else [])]:
        _check_url(url, name, report)
    if extra and items(extra.value):
        report.add(SECOND_INDEX, extra.line, name, f"{quoted(name)} takes packages from more than one index")
    runtime = field_at(node, "runtime")
    end = runtimes.ended(text_of(runtime.value) or "") if runtime else None
    if runtime and end:
        report.add(OLD_RUNTIME, runtime.line, name, f"{quoted(name)}: the runtime gets no fixes since {end}")


def _examine_schedule(node: Node, report: Report) -> None:
    name = text_at(node, "name") or text_at(node, "functionExternalId") or "?"
    authentication = field_at(node, "authentication")
    if authentication is None or is_missing(authentication.value):
        what = f"the schedule {quoted(name)} has no authentication:, and runs with the rights of whoever deploys it"
        report.add(BORROWED_RIGHTS, authentication.line if authentication else node.line, name, what)
    else:
        secret = field_at(authentication.value, "clientSecret")
        if secret and looks.is_written_out(secret.name, text_of(secret.value) or ""):
            what = f"the schedule {quoted(name)}: its clientSecret is written in the file"
            report.add(SECRET_IN_FILE, secret.line, f"{name}.clientSecret", what, "CLIENT_SECRET")
    check_clear(report, value_at(node, "data"), f"{name}.data", SECRET_IN_ENV, SECRET_THROUGH_ENV)


def _check_url(node: Node, name: str, report: Report) -> None:
    if not isinstance(node, Text):
        return
    shown = looks.masked_url(node.text)
    if looks.has_password_in_url(node.text):
        report.add(CREDENTIALS_IN_URL, node.line, name, f"{quoted(name)}: credentials are written in {quoted(shown)}")
    if node.text.lower().startswith("http://"):
        report.add(
            PLAIN_INDEX, node.line, name, f"{quoted(name)}: what comes from {quoted(shown)} can be changed on the way"
        )
