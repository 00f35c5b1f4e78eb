"""Azure Functions in Python (v2): who may call its routes, what it answers, and what is written in it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
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

ANONYMOUS: Final = Rule(
    "azure/anonymous",
    Severity.MEDIUM,
    "AZR-11",
    "write auth_level=func.AuthLevel.FUNCTION, unless App Service Authentication or the code checks who calls",
    "access: private",
)
ERROR_RETURNED: Final = Rule(
    "azure/error-returned",
    Severity.MEDIUM,
    "AZR-10",
    "log the error by logging.exception, and answer with a text of your own",
)
UNCHECKED_JSON: Final = Rule(
    "azure/unchecked-json",
    Severity.LOW,
    "AZR-8",
    "catch ValueError, answer with 400, and check the fields that are used",
)
DATA_RUN: Final = Rule(
    "azure/data-run", Severity.HIGH, "AZR-8", "never run what a caller sends: choose from a list of what may be done"
)
CONNECTION_IN_CODE: Final = Rule(
    "azure/connection-in-code",
    Severity.HIGH,
    "AZR-9",
    "replace the key, and name an app setting, better one for an identity (NAME__fullyQualifiedNamespace)",
    'identity: ["https://sts.example.com"]',
)
OPEN_CORS: Final = Rule("azure/open-cors", Severity.MEDIUM, "AZR-11", "name the origins that may read the answer")

_APPS: Final = frozenset(("FunctionApp", "AsgiFunctionApp", "WsgiFunctionApp"))
_LEVELS: Final = ("auth_level", "authLevel", "http_auth_level")
_TRACES: Final = frozenset(("format_exc", "format_exception", "exc_info"))
_CORS: Final = "access-control-allow-origin"
_LONGEST: Final = 8192


def examine(module: ast.Module, report: Report) -> None:
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and called(node) in _APPS:
            _check_app(node, report)
        elif isinstance(node, (ast.Dict, ast.Assign)):
            _check_cors(node, report)
        elif (text := literal(node)) and looks.is_connection_string(text[:_LONGEST]):
            line = node.lineno if isinstance(node, ast.Constant) else None
            report.add(
                CONNECTION_IN_CODE, line, "connection", "a connection string with its key is written in the code"
            )
    for function in functions(module):
        for decorator in function.decorator_list:
            if isinstance(decorator, ast.Call) and any(_is_anonymous(argument(decorator, name)) for name in _LEVELS):
                what = f"{function.name}() can be called by anyone"
                report.add(ANONYMOUS, decorator.lineno, function.name, what)
        _check_errors(function, report)
        _check_json(function, report)


def _check_app(app: ast.Call, report: Report) -> None:
    level = argument(app, "http_auth_level") or (app.args[0] if called(app) == "FunctionApp" and app.args else None)
    if level is not None and _is_anonymous(level):
        what = f"the routes of this {called(app)} can be called by anyone, where they don't say otherwise"
        report.add(ANONYMOUS, level.lineno, called(app), what)


def _is_anonymous(node: ast.expr | None) -> bool:
    """`func.AuthLevel.ANONYMOUS`, or its name as a text."""
    if isinstance(node, ast.Attribute):
        return node.attr == "ANONYMOUS"
    return (literal(node) or "").lower() == "anonymous"


def _check_cors(node: ast.Dict | ast.Assign, report: Report) -> None:
    """`{"Access-Control-Allow-Origin": "*"}`, or an assignment to such a header."""
    pairs: list[tuple[ast.expr | None, ast.expr]]
    if isinstance(node, ast.Dict):
        pairs = list(zip(node.keys, node.values))
    else:
        pairs = [(target.slice, node.value) for target in node.targets if isinstance(target, ast.Subscript)]
    for key, value in pairs:
        if (literal(key) or "").lower() == _CORS and literal(value) == "*":
            report.add(OPEN_CORS, value.lineno, "cors", "the pages of every site may read the answer")


def _check_errors(function: Function, report: Report) -> None:
    is_route = any(
        isinstance(one, ast.Call) and called(one) in ("route", "http_type") for one in function.decorator_list
    )
    for handler in own(function):
        if not isinstance(handler, ast.ExceptHandler) or not _is_broad(handler.type):
            continue
        body = [part for statement in handler.body for part in ast.walk(statement)]
        error = Carriers(body, (handler.name,) if handler.name else (), _TRACES)
        for node in body:
            if isinstance(node, ast.Call) and called(node) == "HttpResponse":
                leaks = any(error.carries(one) for one in arguments(node))
            else:
                leaks = is_route and isinstance(node, ast.Return) and error.carries(node.value)
            if leaks and isinstance(node, (ast.Call, ast.Return)):
                what = f"{function.name}() answers with the text of any error, which tells of its inside"
                report.add(ERROR_RETURNED, node.lineno, function.name, what)


def _is_broad(kind: ast.expr | None) -> bool:
    """An error of the function's own kind may be meant for its caller."""
    if isinstance(kind, ast.Tuple):
        return any(_is_broad(one) for one in kind.elts)
    return kind is None or (isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException"))


def _check_json(function: Function, report: Report) -> None:
    requests = set(parameters(function))
    data = Carriers(own(function), (), frozenset(("get_json", "get_body")))
    caught = set(_caught(function))
    for node in own(function):
        if not isinstance(node, ast.Call):
            continue
        if (
            isinstance(node.func, ast.Name)
            and node.func.id in ("eval", "exec")
            and any(data.carries(one) for one in node.args[:1])
        ):
            report.add(
                DATA_RUN, node.lineno, function.name, f"{function.name}() runs what its caller sends, by {node.func.id}"
            )
        owner = node.func.value if isinstance(node.func, ast.Attribute) and node.func.attr == "get_json" else None
        if isinstance(owner, ast.Name) and owner.id in requests and id(node) not in caught:
            what = f"{function.name}() takes {quoted(owner.id + '.get_json()')} as it comes: a body that is no JSON is a 500"
            report.add(UNCHECKED_JSON, node.lineno, function.name, what)


def _caught(function: Function) -> Iterator[int]:
    """Which nodes stand where a ValueError is caught."""
    for node in own(function):
        if isinstance(node, ast.Try) and any(_catches(handler.type) for handler in node.handlers):
            for statement in node.body:
                yield from (id(part) for part in ast.walk(statement))


def _catches(kind: ast.expr | None) -> bool:
    if isinstance(kind, ast.Tuple):
        return any(_catches(one) for one in kind.elts)
    return _is_broad(kind) or (isinstance(kind, ast.Name) and kind.id == "ValueError")
