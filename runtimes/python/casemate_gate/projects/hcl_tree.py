"""Terraform's files, HCL or JSON, as blocks with lines."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any, Final

from casemate_gate.projects import json_tree
from casemate_gate.projects.tree import DEEPEST, MOST_NODES, Fields, Items, Node, Text, Unknown, Unreadable, fields

_LARGEST: Final = 256 << 10  # which the parser takes three seconds for
_LONGEST_SOURCE: Final = 2000
# What the parser makes of one value, from the value itself down to the next one.
_WRAPPERS: Final = frozenset(("expr_term", "string_part", "interpolation"))
# These give back what they are given, in another form.
_TRANSPARENT: Final = frozenset(
    ("tomap", "tolist", "toset", "tostring", "sensitive", "nonsensitive", "yamlencode", "jsonencode", "trimspace")
)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}
_LABELS: Final = {"resource": 2, "data": 2, "ephemeral": 2, "provider": 1, "variable": 1, "output": 1, "module": 1}


@dataclass(frozen=True, slots=True)
class Block:
    """One at the top of a file: `resource "scaleway_function" "main" { … }`. Blocks in it are fields of its body."""

    kind: str
    labels: tuple[str, ...]
    line: int
    body: Fields


@dataclass(frozen=True, slots=True)
class Document:
    blocks: list[Block]
    attributes: Fields
    """What stands at the top without a block: all there is in a file of variables."""


def read(text: str) -> Document:
    if len(text) > _LARGEST:
        raise Unreadable("this file is larger than 256 KiB")
    blocks: list[Block] = []
    body = _Converter(text).body(_parsed(text), blocks)
    return Document(blocks, body)


def read_json(text: str) -> Document:
    root = json_tree.read(text)
    blocks = [block for item in fields(root) for block in _json_blocks(item.name, item.value, ())]
    return Document(blocks, root if isinstance(root, Fields) else Fields(1))


def blocks_at(node: Node | None, *path: str) -> list[Fields]:
    """The nested blocks of this name, of which there may be several."""
    found = [node] if isinstance(node, Fields) else []
    for name in path:
        values = [value for item in found for key, value in item.pairs if isinstance(key, Text) and key.text == name]
        found = []
        for value in values:
            found += [one for one in (value.nodes if isinstance(value, Items) else [value]) if isinstance(one, Fields)]
    return found


def _json_blocks(kind: str, value: Node, labels: tuple[str, ...]) -> list[Block]:
    if isinstance(value, Items):
        return [block for node in value.nodes[:MOST_NODES] for block in _json_blocks(kind, node, labels)]
    if not isinstance(value, Fields):
        return []
    if len(labels) == _LABELS.get(kind, 0):
        return [Block(kind, labels, value.line, value)]
    return [block for item in fields(value) for block in _json_blocks(kind, item.value, (*labels, item.name))]


@functools.cache
def _parser() -> Any:
    # Its grammar takes two seconds to load, which only whoever has such files waits for.
    from hcl2.parser import parser

    return parser()


def _parsed(text: str) -> Any:
    from lark.exceptions import LarkError

    try:
        return _parser().parse(f"{text}\n").children[0]
    except (LarkError, RecursionError) as error:
        line = getattr(error, "line", None)
        raise Unreadable("this is no valid HCL", line if isinstance(line, int) and line > 0 else None) from None


class _Converter:
    """From the parser's tree, in which each comment and bracket is a node, to ours."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._nodes = 0

    def body(self, tree: Any, blocks: list[Block] | None = None, depth: int = 0) -> Fields:
        """`blocks`: where blocks go instead of being fields."""
        self._count(tree, depth)
        found = Fields(_line(tree))
        for child in tree.children:
            kind = getattr(child, "data", "")
            if kind == "attribute":
                name, _, value = child.children
                found.pairs.append((Text(_line(name), self._word(name)), self.value(value, depth + 1)))
            elif kind == "block":
                block = self._block(child, depth)
                if blocks is not None:
                    blocks.append(block)
                else:
                    found.pairs.append((Text(block.line, *self._named(block)), self._content(block)))
        return found

    def value(self, tree: Any, depth: int) -> Node:
        self._count(tree, depth)
        kind, children = tree.data, tree.children
        if kind in _WRAPPERS and len(children) == 1 and hasattr(children[0], "data"):
            return self.value(children[0], depth)
        if kind == "literal_value" or kind in ("int_lit", "float_lit"):
            return Text(_line(tree), str(children[0]), quoted=False)
        if kind == "string":
            return Text(_line(tree), "".join(self._part(part) for part in children[1:-1]))
        if kind in ("heredoc_template", "heredoc_template_trim"):
            return _heredoc(str(children[0]), _line(tree))
        if kind == "tuple":
            return Items(_line(tree), [self.value(child, depth + 1) for child in children if _is_value(child)])
        if kind == "object":
            return self._object(tree, depth)
        if kind == "function_call":
            return self._call(tree, depth)
        return self._unknown(tree)

    def _object(self, tree: Any, depth: int) -> Node:
        found = Fields(_line(tree))
        for element in tree.children:
            if getattr(element, "data", "") == "object_elem":
                key, _, value = element.children
                found.pairs.append((self._key(key.children[0], depth + 1), self.value(value, depth + 1)))
        return found

    def _key(self, tree: Any, depth: int) -> Node:
        inner = tree.children[0] if tree.data == "expr_term" else tree
        if getattr(inner, "data", "") in ("identifier", "keyword"):
            return Text(_line(tree), str(inner.children[0]))
        return self.value(tree, depth)

    def _call(self, tree: Any, depth: int) -> Node:
        name = str(tree.children[0].children[0])
        lists = [child for child in tree.children if getattr(child, "data", "") == "arguments"]
        values = [child for child in (lists[0].children if lists else []) if _is_value(child)]
        if name in _TRANSPARENT and values:
            return self.value(values[0], depth + 1)
        if name == "merge":
            merged = Fields(_line(tree))
            for value in (self.value(child, depth + 1) for child in values):
                merged.pairs.extend(value.pairs if isinstance(value, Fields) else [])
            return merged
        return self._unknown(tree)

    def _block(self, tree: Any, depth: int) -> Block:
        words = [
            child for child in tree.children if getattr(child, "data", "") not in ("", "body", "new_line_or_comment")
        ]
        body = next(child for child in tree.children if getattr(child, "data", "") == "body")
        kind, *labels = (self._word(word) for word in words)
        return Block(kind, tuple(labels), _line(words[0]), self.body(body, depth=depth + 1))

    @staticmethod
    def _named(block: Block) -> tuple[str]:
        return (block.labels[0] if block.kind == "dynamic" and block.labels else block.kind,)

    @staticmethod
    def _content(block: Block) -> Fields:
        contents = blocks_at(block.body, "content") if block.kind == "dynamic" else []
        return contents[0] if contents else block.body

    def _word(self, tree: Any) -> str:
        if tree.data == "string":
            return "".join(self._part(part) for part in tree.children[1:-1])
        return str(tree.children[0])

    def _part(self, part: Any) -> str:
        inner = part.children[0]
        if hasattr(inner, "data"):
            return self._source(inner)
        return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), str(inner))

    def _unknown(self, tree: Any) -> Unknown:
        return Unknown(_line(tree), self._source(tree))

    def _source(self, tree: Any) -> str:
        start, end = getattr(tree.meta, "start_pos", 0), getattr(tree.meta, "end_pos", 0)
        return self._text[start : min(end, start + _LONGEST_SOURCE)]

    def _count(self, tree: Any, depth: int) -> None:
        self._nodes += 1
        if depth > DEEPEST or self._nodes > MOST_NODES:
            raise Unreadable("it is larger or nested deeper than anybody writes it", _line(tree))


def _heredoc(token: str, line: int) -> Text:
    """`<<EOT` or `<<-EOT`, which takes away the spaces that all lines begin with."""
    lines = token.rstrip("\r\n").replace("\r\n", "\n").split("\n")[1:-1]
    if token.startswith("<<-"):
        spaces = min((len(one) - len(one.lstrip(" ")) for one in lines if one.strip()), default=0)
        lines = [one[spaces:] for one in lines]
    return Text(line, "\n".join(lines), lines_from=line + 1)


def _is_value(child: Any) -> bool:
    return hasattr(child, "data") and child.data != "new_line_or_comment"


def _line(tree: Any) -> int:
    return int(getattr(tree.meta, "line", 1))
