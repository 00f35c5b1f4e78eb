"""Which modules an author's files name."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Final

from casemate_gate.subject import File, Unreadable

_LARGEST: Final = 8 << 20


class Imports:
    """Top-level modules alone. `handlers`: those that the platform imports."""

    def __init__(self, files: Iterable[File], handlers: Iterable[str] = ()) -> None:
        self.stated: set[str] = set()
        """By import statements."""
        self.named = {_top(handler) for handler in handlers if handler}
        """These, and texts that a call is made with, as `import_module` is."""
        self.is_complete = True
        """Whether each file could be read; `sast` says which could not."""
        for file in files:
            if file.name.endswith(".py"):
                try:
                    self._read(file.read(_LARGEST))
                except (Unreadable, SyntaxError, ValueError, RecursionError, MemoryError):
                    self.is_complete = False
            elif file.name.endswith(".ipynb"):
                self.is_complete = False
        self.named |= self.stated

    def _read(self, content: bytes) -> None:
        for node in ast.walk(ast.parse(content)):
            self.stated.update(map(_top, _stated(node)))
            if isinstance(node, ast.Call) and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str) and len(first.value) < 200:
                    self.named.add(_top(first.value))


def _stated(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module


def _top(name: str) -> str:
    return name.partition(".")[0]
