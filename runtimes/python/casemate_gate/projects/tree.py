"""What YAML, JSON and HCL have in common: texts, lists and fields, each with the line on which it stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

DEEPEST: Final = 64
MOST_NODES: Final = 100_000


class Unreadable(Exception):
    """A document that is broken, or larger than anybody writes one."""

    def __init__(self, why: str, line: int | None = None) -> None:
        super().__init__(why)
        self.why: Final = why
        self.line: Final = line


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """A text, a number, `true` or nothing, as it is written; `quoted` tells `"true"` from `true`."""

    line: int
    text: str
    quoted: bool = True
    lines_from: int | None = None
    """The line of the text's own first line, where it keeps its line breaks."""


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    line: int
    nodes: list[Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Fields:
    line: int
    pairs: list[tuple[Node, Node]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Unknown:
    """What is only known when the project is deployed, as it is written."""

    line: int
    source: str


Node: TypeAlias = Text | Items | Fields | Unknown


class Field(NamedTuple):
    name: str
    line: int
    value: Node


def fields(node: Node | None) -> list[Field]:
    """Those of `node`, with YAML's merge keys resolved; of a name that stands twice, the last. None of what has no fields."""
    found: dict[str, Field] = {}
    _collect(node, found, set())
    return list(found.values())


def field_at(node: Node | None, *path: str) -> Field | None:
    found: Field | None = None
    for name in path:
        found = next((item for item in fields(node) if item.name == name), None)
        if found is None:
            return None
        node = found.value
    return found


def value_at(node: Node | None, *path: str) -> Node | None:
    found = field_at(node, *path)
    return found.value if found else None


def items(node: Node | None) -> list[Node]:
    return node.nodes if isinstance(node, Items) else []


def text_of(node: Node | None) -> str | None:
    """None also for YAML's and HCL's `null`."""
    if not isinstance(node, Text) or (not node.quoted and node.text in ("", "~", "null")):
        return None
    return node.text


def text_at(node: Node | None, *path: str) -> str | None:
    return text_of(value_at(node, *path))


def is_true(node: Node | None) -> bool:
    return isinstance(node, Text) and node.text.lower() == "true"


def is_missing(node: Node | None) -> bool:
    return node is None or (isinstance(node, Text) and text_of(node) is None)


def _collect(node: Node | None, found: dict[str, Field], seen: set[int]) -> None:
    # Each mapping once: merges of merges could otherwise be more than there is memory.
    if not isinstance(node, Fields) or id(node) in seen or len(seen) > DEEPEST:
        return
    seen.add(id(node))
    for key, value in node.pairs:
        if isinstance(key, Text) and key.text == "<<" and not key.quoted:
            for merged in value.nodes if isinstance(value, Items) else [value]:
                inherited: dict[str, Field] = {}
                _collect(merged, inherited, seen)
                found.update({name: item for name, item in inherited.items() if name not in found})
    for key, value in node.pairs:
        if isinstance(key, Text) and not (key.text == "<<" and not key.quoted):
            found[key.text] = Field(key.text, key.line, value)
