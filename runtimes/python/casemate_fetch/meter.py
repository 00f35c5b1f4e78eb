"""Counts what is received, stops what is too much, and tells how far a fetch is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from casemate_fetch.faults import too_large

_EVERY: Final = 0.5
_MOST_OBJECTS: Final = 1_000_000

Tell = Callable[[int, int], None]
"""Bytes received, objects read."""


class Meter:
    def __init__(self, maximum: int, tell: Tell | None = None) -> None:
        """`maximum`: bytes, of all that servers send, submodules too."""
        self._maximum = maximum
        self._tell = tell
        self._told = time.monotonic()
        self.received = 0
        self.objects = 0

    def receive(self, count: int) -> None:
        self.received += count
        if self.received > self._maximum:
            raise too_large(
                f"the server sent more than the {self._maximum} bytes that a fetch may have; take large files out of the repository, "
                "or let the source have one of its own"
            )
        self._report()

    def expect_objects(self, count: int) -> None:
        """`count`: of one more pack, as it says itself."""
        if self.objects + count > _MOST_OBJECTS:
            raise too_large(
                f"the repository has more than {_MOST_OBJECTS} objects, which are not fetched; let the source have one of its own"
            )

    def read_objects(self, count: int) -> None:
        self.objects += count
        self._report()

    def _report(self) -> None:
        if self._tell and (now := time.monotonic()) - self._told >= _EVERY:
            self._told = now
            self._tell(self.received, self.objects)
