"""What commits, tags and trees say. Only what a fetch needs of them is read: the rest may be anything."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from dulwich.errors import ObjectFormatException
from dulwich.objects import parse_tree

from casemate_fetch.faults import damaged, failed
from casemate_fetch.pack import COMMIT, TAG, TREE, Pack

_HEX: Final = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_MOST_TAGS: Final = 10
_MOST_PARENTS: Final = 1_000

FOLDER: Final = 0o040000
LINK: Final = 0o120000
SUBMODULE: Final = 0o160000
# The last but one is of git's first years.
FILES: Final = frozenset({0o100644, 0o100664, 0o100755})


class Commit(NamedTuple):
    tree: bytes
    parents: tuple[bytes, ...]


class Entry(NamedTuple):
    name: bytes
    mode: int
    oid: bytes


def read_commit(pack: Pack, oid: bytes) -> Commit:
    lines = pack.read(oid, COMMIT).partition(b"\n\n")[0].split(b"\n")
    tree = _value(lines[0], b"tree")
    parents: list[bytes] = []
    for line in lines[1:]:
        if not line.startswith(b"parent ") or len(parents) > _MOST_PARENTS:
            break
        parents.append(_value(line, b"parent"))
    return Commit(tree, tuple(parents))


def peeled(pack: Pack, oid: bytes) -> bytes:
    """The commit that a ref stands for, through annotated tags."""
    for _ in range(_MOST_TAGS):
        kind = pack.kind(oid)
        if kind == COMMIT:
            return oid
        if kind != TAG:
            break
        oid = _value(pack.read(oid, TAG).partition(b"\n")[0], b"object")
    raise failed("ref stands for no commit; write a branch, or a tag of one")


def read_tree(pack: Pack, oid: bytes) -> list[Entry]:
    try:
        entries = [
            Entry(bytes(name), mode, bytes(id)) for name, mode, id in parse_tree(pack.read(oid, TREE), pack.oid_length)
        ]
    except (ObjectFormatException, ValueError):
        raise damaged("a tree that can't be read") from None
    if len({entry.name for entry in entries}) != len(entries):
        raise damaged("a tree with a name twice")
    return entries


def _value(line: bytes, name: bytes) -> bytes:
    key, _, value = line.partition(b" ")
    if key != name or not _HEX.fullmatch(value):
        raise damaged(f"an object without its {name.decode()}")
    return value
