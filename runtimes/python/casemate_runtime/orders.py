"""What the server says about a build's dependencies: the fields of the build frame, read once."""

from __future__ import annotations

import sys
from typing import Final, NamedTuple

from casemate_runtime.faults import ProtocolError
from casemate_runtime.indexes import Indexes, indexes
from casemate_runtime.requirements import normalised

_INDEX, _POLICY, _LOCK, _UPGRADE, _ATTACHED_LOCK, _NAMED_INDEX, _PIN, _FROM_SOURCE = 8, 9, 10, 15, 16, 17, 18, 19

EVERYTHING: Final = "*"


class Order(NamedTuple):
    is_strict: bool = False
    kept: str = ""  # the text of a lock
    upgrade: frozenset[str] = frozenset()  # normalised names, or `EVERYTHING`
    attached: str = ""  # the text of the lock of the bundle that is attached
    indexes: Indexes = Indexes()
    from_source: tuple[str, ...] = ()  # normalised names, sorted
    python: str = f"{sys.version_info[0]}.{sys.version_info[1]}"


def order_of(fields: dict[int, list[bytes]]) -> Order:
    def text(tag: int) -> str:
        return fields.get(tag, [b""])[-1].decode("utf-8", "replace")

    upgrade = (name.strip() for name in text(_UPGRADE).split(","))
    return Order(
        is_strict=text(_POLICY) == "strict",
        kept=text(_LOCK),
        upgrade=frozenset(normalised(name) for name in upgrade if name),
        attached=text(_ATTACHED_LOCK),
        indexes=indexes(text(_INDEX), _pairs(fields, _NAMED_INDEX), _pairs(fields, _PIN)),
        from_source=tuple(sorted({normalised(name.decode()) for name in fields.get(_FROM_SOURCE, []) if name})),
    )


def _pairs(fields: dict[int, list[bytes]], tag: int) -> list[tuple[str, str]]:
    """Of `key` NUL `value`."""
    found = []
    for value in fields.get(tag, []):
        parts = value.decode("utf-8", "replace").split("\0")
        if len(parts) != 2 or not all(parts):
            raise ProtocolError(f"the field {tag} is not two texts")
        found.append((parts[0], parts[1]))
    return found
