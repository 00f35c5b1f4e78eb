"""YAML with lines. Built from the parser's events, so that neither aliases nor nesting can cost more than the text itself."""

from __future__ import annotations

from typing import Any

import yaml

from casemate_gate.projects.tree import DEEPEST, MOST_NODES, Fields, Items, Node, Text, Unreadable

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(text: str, first_line: int = 1) -> list[Node]:
    """The documents of a file. `first_line`: where the text begins in the file that holds it."""
    builder = _Builder(first_line)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable("this is no valid YAML", mark.line + first_line if mark else None) from None
    except (yaml.YAMLError, ValueError) as error:
        at = getattr(error, "position", None)
        line = text.count("\n", 0, at) + first_line if isinstance(at, int) else None
        raise Unreadable("this is no valid YAML", line) from None
    return builder.documents


class _Builder:
    def __init__(self, first_line: int) -> None:
        self.documents: list[Node] = []
        self._first_line = first_line
        self._open: list[tuple[Items | Fields, list[Node]]] = []
        self._anchors: dict[str, Node] = {}
        self._nodes = 0

    def take(self, event: Any) -> None:
        line = event.start_mark.line + self._first_line
        if isinstance(event, yaml.ScalarEvent):
            self._place(self._scalar(event, line), event.anchor)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise Unreadable("an alias has no anchor", line)
            self._place(self._anchors[event.anchor], None)
        elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            if len(self._open) >= DEEPEST:
                raise Unreadable(f"it is nested more than {DEEPEST} levels deep", line)
            node = Items(line) if isinstance(event, yaml.SequenceStartEvent) else Fields(line)
            self._place(node, event.anchor)
            self._open.append((node, []))
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            self._close()
        elif isinstance(event, yaml.DocumentStartEvent):
            self._anchors.clear()

    def _scalar(self, event: Any, line: int) -> Text:
        quoted = event.style not in (None, "")
        return Text(line, event.value, quoted, line + 1 if event.style == "|" else None)

    def _place(self, node: Node, anchor: str | None) -> None:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise Unreadable(f"it has more than {MOST_NODES} values", node.line)
        if anchor is not None:
            self._anchors[anchor] = node
        if self._open:
            self._open[-1][1].append(node)
        else:
            self.documents.append(node)

    def _close(self) -> None:
        node, children = self._open.pop()
        if isinstance(node, Items):
            node.nodes.extend(children)
        else:
            node.pairs.extend(zip(children[::2], children[1::2]))
