"""Python as a tree, and what is asked of it more than once."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from casemate_gate.projects.tree import Unreadable

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

_KEEPING: Final = frozenset(
    ("get", "values", "items", "copy", "pop", "encode", "decode", "strip", "format", "join", "hex")
)
_RENDERING: Final = frozenset(
    ("str", "repr", "dict", "bytes", "format", "dumps", "pformat", "b64encode", "urlsafe_b64encode")
)


def parse(text: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what an author's escapes are worth is not ours to say
            return ast.parse(text)
    except SyntaxError as error:
        raise Unreadable("this is no valid Python 3.11", error.lineno) from None
    except (ValueError, RecursionError, MemoryError):
        raise Unreadable("this is no valid Python 3.11") from None


def functions(module: ast.AST) -> Iterator[Function]:
    for node in ast.walk(module):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def own(function: Function) -> Iterator[ast.AST]:
    """What is in a function, but not in the functions and classes that it defines."""
    open_: list[ast.AST] = list(reversed(function.body))
    while open_:
        node = open_.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            open_ += reversed(list(ast.iter_child_nodes(node)))


def parameters(function: Function) -> list[str]:
    given = function.args
    return [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]


def called(call: ast.Call) -> str:
    """The last word of what is called: `dumps` of `json.dumps`."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def arguments(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def argument(call: ast.Call, name: str) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def literal(node: ast.AST | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


class Carriers:
    """Which expressions of a function carry the value of one of some variables on.

    What is made of a value so that it can't be had back (its length, a hash, a comparison) carries nothing.
    """

    def __init__(self, body: Iterable[ast.AST], names: Iterable[str], sources: frozenset[str] = frozenset()) -> None:
        """`body`: all that is in the function, in order. `sources`: names of what gives such a value when it is called."""
        self._names = dict.fromkeys(names, "")  # with the key by which each was taken out
        self._given = frozenset(self._names)
        self._sources = sources
        body = list(body)
        for _ in range(3):  # an assignment may stand before the one that it follows from, in a loop
            before = len(self._names)
            for node in body:
                self._follow(node)
            if len(self._names) == before:
                break

    def carries(self, node: ast.AST | None) -> bool:
        match node:
            case ast.Name(id=name):
                return name in self._names
            case ast.Subscript(value=value, slice=part):
                return self.carries(value) and not isinstance(part, ast.Slice)
            case ast.Call():
                return self._call_carries(node)
            case ast.JoinedStr(values=parts) | ast.BoolOp(values=parts):
                return any(self.carries(part) for part in parts)
            case (
                ast.FormattedValue(value=value)
                | ast.Starred(value=value)
                | ast.Await(value=value)
                | ast.NamedExpr(value=value)
            ):
                return self.carries(value)
            case ast.BinOp(left=left, right=right):
                return self.carries(left) or self.carries(right)
            case ast.IfExp(body=body, orelse=other):
                return self.carries(body) or self.carries(other)
            case ast.Dict(values=values):
                return any(self.carries(value) for value in values)
            case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
                return any(self.carries(part) for part in parts)
        return False

    def key(self, node: ast.AST | None) -> str:
        """Under which name the value was taken out, `API_KEY` of `secrets["API_KEY"]`; nothing where that isn't told."""
        for part in ast.walk(node) if node else ():
            if isinstance(part, ast.Name) and self._names.get(part.id):
                return self._names[part.id]
            if isinstance(part, ast.Subscript) and self.carries(part.value) and (key := literal(part.slice)):
                return key
            takes = isinstance(part, ast.Call) and called(part) in ("get", "pop") and part.args and self.carries(part)
            if takes and isinstance(part, ast.Call) and (key := literal(part.args[0])):
                return key
        return ""

    def _call_carries(self, call: ast.Call) -> bool:
        name = called(call)
        if name in self._sources:
            return True
        if isinstance(call.func, ast.Attribute) and name in _KEEPING and self.carries(call.func.value):
            return True
        if (
            name == "join"
            and len(call.args) == 1
            and isinstance(call.args[0], ast.Name)
            and call.args[0].id in self._given
        ):
            return False  # the keys of a dictionary
        if name in _RENDERING or name == "join":
            return any(self.carries(one) for one in arguments(call))
        return False

    def _follow(self, node: ast.AST) -> None:
        match node:
            case ast.Assign(targets=targets, value=value) if self.carries(value):
                self._add(targets, value)
            case (
                ast.AnnAssign(target=target, value=value)
                | ast.AugAssign(target=target, value=value)
                | ast.NamedExpr(target=target, value=value)
            ) if self.carries(value):
                self._add([target], value)
            case ast.For(target=target, iter=ast.Call() as iterated) if self.carries(iterated):
                last = target.elts[-1] if isinstance(target, ast.Tuple) and target.elts else target
                self._add([last], None)

    def _add(self, targets: list[ast.expr], value: ast.expr | None) -> None:
        for target in targets:
            if isinstance(target, ast.Name):
                self._names.setdefault(target.id, self.key(value))
