"""What was unpacked lately, of all packs together: its size has a limit."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_MOST_BYTES: Final = 64 << 20
_LARGEST: Final = 16 << 20

Key = tuple[object, int]
"""The pack, and the place of the object in it."""


class Recent:
    def __init__(self) -> None:
        self._items: OrderedDict[Key, bytes] = OrderedDict()
        self._size = 0

    def __contains__(self, key: Key) -> bool:
        return key in self._items

    def get(self, key: Key) -> bytes | None:
        data = self._items.get(key)
        if data is not None:
            self._items.move_to_end(key)
        return data

    def put(self, key: Key, data: bytes) -> None:
        if len(data) > _LARGEST or key in self._items:
            return
        self._items[key] = data
        self._size += len(data)
        while self._size > _MOST_BYTES:
            self._size -= len(self._items.popitem(last=False)[1])
