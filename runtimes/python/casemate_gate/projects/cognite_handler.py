"""A function for Cognite, `def handle(client, data, secrets)`: what it does with its secrets."""

from __future__ import annotations

import ast
from typing import Final

from casemate_gate.findings import Severity
from casemate_gate.projects import looks
from casemate_gate.projects.rules import Report, Rule, quoted
from casemate_gate.projects.syntax import (
    Carriers,
    Function,
    argument,
    arguments,
    called,
    functions,
    literal,
    own,
    parameters,
)

SECRET_LOGGED: Final = Rule(
    "cognite/secret-logged",
    Severity.HIGH,
    "COG-12",
    "print the secret's name only; and replace the secret where the function ran already",
    "secrets: [{name}]",
)
SECRET_RETURNED: Final = Rule(
    "cognite/secret-returned",
    Severity.HIGH,
    "COG-14",
    "return what was done with the secret, not the secret",
    "secretsInResponse: block",
)
CLIENT_LOGGED: Final = Rule(
    "cognite/client-logged",
    Severity.MEDIUM,
    "COG-16",
    "print client.config.project or what else is needed: the client has the call's token",
    "capabilities: [NAMESPACE/FUNCTION:invoke]",
)
SECRET_IN_CODE: Final = Rule(
    "cognite/secret-in-code",
    Severity.HIGH,
    "COG-7",
    'replace the secret, and write secrets["{name}"]',
    "secrets: [{name}]",
)
DATA_RUN: Final = Rule(
    "cognite/data-run", Severity.HIGH, "AZR-8", "never run what a caller sends: choose from a list of what may be done"
)

_ARGUMENTS: Final = frozenset(("client", "data", "secrets", "function_call_info"))
_LEVELS: Final = frozenset(("debug", "info", "warning", "warn", "error", "exception", "critical", "log", "fatal"))
_TOKENS: Final = frozenset(("authorization_header", "get_access_token"))
_CREDENTIALS: Final = frozenset(
    (
        "OAuthClientCredentials",
        "OAuthClientCertificate",
        "Token",
        "default_oauth_client_credentials",
        "ClientCredentials",
    )
)


def handle_of(module: ast.Module) -> Function | None:
    """Its `handle`, if that takes what Cognite gives and not what others do."""
    for node in module.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == "handle":
            names = set(parameters(node))
            return node if names and names <= _ARGUMENTS else None
    return None


def examine(module: ast.Module, report: Report) -> None:
    handle = handle_of(module)
    if handle is None:
        return
    for function in functions(module):
        _check_secrets(function, function is handle, report)
        if "data" in parameters(function):
            _check_data(function, report)
    _check_credentials(module, report)


def _check_secrets(function: Function, is_handle: bool, report: Report) -> None:
    names = {"secrets"} & set(parameters(function))
    secrets = Carriers(own(function), names, _TOKENS)
    for node in own(function):
        if isinstance(node, ast.Call) and _is_log(node):
            hit = next((one for one in arguments(node) if secrets.carries(one)), None)
            if hit is not None:
                _report_secret(SECRET_LOGGED, "prints", node, secrets.key(hit), function, report)
            elif any(_is_client(one) for one in arguments(node)):
                report.add(CLIENT_LOGGED, node.lineno, function.name, f"{function.name}() prints its client")
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            hit = next((one for one in arguments(node.exc) if secrets.carries(one)), None)
            if hit is not None:
                _report_secret(SECRET_LOGGED, "raises an error with", node, secrets.key(hit), function, report)
        elif is_handle and isinstance(node, ast.Return) and secrets.carries(node.value):
            _report_secret(SECRET_RETURNED, "returns", node, secrets.key(node.value), function, report)


def _report_secret(
    rule: Rule, does: str, node: ast.stmt | ast.expr, name: str, function: Function, report: Report
) -> None:
    what = f"the secret {quoted(name)}" if name else "its secrets" if "secrets" in parameters(function) else "its token"
    report.add(rule, node.lineno, f"{function.name}.{name}", f"{function.name}() {does} {what}", name)


def _check_data(function: Function, report: Report) -> None:
    data = Carriers(own(function), ("data",))
    for node in own(function):
        name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if (
            name in ("eval", "exec", "compile")
            and isinstance(node, ast.Call)
            and node.args
            and data.carries(node.args[0])
        ):
            report.add(DATA_RUN, node.lineno, function.name, f"{function.name}() runs what its caller sends, by {name}")


def _check_credentials(module: ast.Module, report: Report) -> None:
    for node in ast.walk(module):
        if not isinstance(node, ast.Call) or called(node) not in _CREDENTIALS:
            continue
        given = [(name, argument(node, name)) for name in ("client_secret", "token", "password")]
        if called(node) == "Token" and node.args:
            given.append(("token", node.args[0]))
        for name, value in given:
            text = literal(value)
            if value is not None and text and looks.is_written_out(name, text):
                what = f"the {name} of {called(node)} is written in the code"
                report.add(SECRET_IN_CODE, value.lineno, f"{called(node)}.{name}", what, name.upper())


def _is_log(call: ast.Call) -> bool:
    """`print(…)`, `logging.info(…)`, `self.logger.error(…)`, `sys.stdout.write(…)`"""
    function = call.func
    if isinstance(function, ast.Name):
        to = argument(call, "file")
        return function.id in ("print", "pprint", "pp") and (to is None or _last_word(to) in ("stdout", "stderr"))
    if not isinstance(function, ast.Attribute):
        return False
    owner = _last_word(function.value).lower()
    return (function.attr in _LEVELS and "log" in owner) or (function.attr == "write" and owner in ("stdout", "stderr"))


def _is_client(node: ast.expr) -> bool:
    match node:
        case ast.Name(id="client") | ast.Attribute(value=ast.Name(id="client"), attr="config"):
            return True
        case ast.JoinedStr(values=parts):
            return any(isinstance(part, ast.FormattedValue) and _is_client(part.value) for part in parts)
    return False


def _last_word(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Call):
        return called(node)
    return node.id if isinstance(node, ast.Name) else ""
