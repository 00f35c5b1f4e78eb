"""JSON with lines, with the comments and trailing commas that Azure's tools accept."""

from __future__ import annotations

import json
import re
from typing import Final

from casemate_gate.projects.tree import DEEPEST, MOST_NODES, Fields, Items, Node, Text, Unreadable

_TOKEN: Final = re.compile(
    r"(?P<space>[ \t\r\n]+|//[^\n]*|/\*(?:[^*]|\*(?!/))*+\*/)"
    r'|(?P<text>"(?:[^"\\\n]|\\.)*+")'
    r"|(?P<word>true|false|null|-?[0-9][0-9eE.+-]*)"
    r"|(?P<mark>[\[\]{}:,])"
)


def read(text: str) -> Node:
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._line = 1
        self._nodes = 0

    def read(self) -> Node:
        roots: list[Node] = []
        open_: list[tuple[Items | Fields, list[Node]]] = []
        at = 0
        while at < len(self._text):
            found = _TOKEN.match(self._text, at)
            if found is None:
                raise self._broken()
            token, at = found.group(), found.end()
            if found.lastgroup == "mark" and token in "]}":  # nosec B105  # a bracket
                self._close(open_, token)
            elif found.lastgroup in ("text", "word") or token in ("[", "{"):
                node = self._node(found.lastgroup or "", token)
                (open_[-1][1] if open_ else roots).append(node)
                if not isinstance(node, Text):
                    if len(open_) >= DEEPEST:
                        raise Unreadable(f"it is nested more than {DEEPEST} levels deep", self._line)
                    assert isinstance(node, (Items, Fields))  # nosec B101  # for the type checker
                    open_.append((node, []))
            self._line += token.count("\n")
        if open_ or len(roots) != 1:
            raise self._broken()
        return roots[0]

    def _node(self, kind: str, token: str) -> Node:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise Unreadable(f"it has more than {MOST_NODES} values", self._line)
        if kind == "mark":
            return Items(self._line) if token == "[" else Fields(self._line)  # nosec B105  # a bracket
        if kind == "word":
            return Text(self._line, token, quoted=False)
        try:
            return Text(self._line, json.loads(token, strict=False))
        except ValueError:
            raise self._broken() from None

    def _close(self, open_: list[tuple[Items | Fields, list[Node]]], token: str) -> None:
        if not open_ or isinstance(open_[-1][0], Items) != (token == "]"):  # nosec B105  # a bracket
            raise self._broken()
        node, children = open_.pop()
        if isinstance(node, Items):
            node.nodes.extend(children)
        elif len(children) % 2:
            raise self._broken()
        else:
            node.pairs.extend(zip(children[::2], children[1::2]))

    def _broken(self) -> Unreadable:
        return Unreadable("this is no valid JSON", self._line)
