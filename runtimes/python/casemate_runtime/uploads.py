"""When each package's name first had a file on its index: one that is days old may be somebody's trap (PEP 700)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from queue import Empty, SimpleQueue
from threading import Semaphore, Thread
from typing import Final

from casemate_runtime.indexes import Indexes
from casemate_runtime.requirements import normalised
from casemate_runtime.simple import JSON, Client, IndexFailure

_SECONDS: Final = 10.0
_THREADS: Final = 8
_LARGEST: Final = 64 * 1024 * 1024
# In a JSON text a quote inside of a string is always escaped: only a real key looks like this.
_TIME: Final = re.compile(
    rb'"upload-time"\s*:\s*"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z)"',
)
_LONGEST_MATCH: Final = 128


class FirstUploads:
    """Asks from when it is made, while other work goes on."""

    def __init__(self, names: Iterable[str], indexes: Indexes, certificates: str, seconds: float = _SECONDS) -> None:
        self._deadline = time.monotonic() + seconds
        self._found: dict[str, str] = {}
        self._waiting: SimpleQueue[str] = SimpleQueue()
        self._done = Semaphore(0)
        self._indexes = indexes
        self._count = 0
        for name in sorted({normalised(name) for name in names}):
            self._waiting.put(name)
            self._count += 1
        try:
            self._client = Client(certificates)
        except IndexFailure:
            self._count = 0
        for _ in range(min(self._count, _THREADS)):
            Thread(target=self._work, daemon=True).start()

    def found(self) -> dict[str, str]:
        """By normalised name, in ISO 8601. Names of which nothing is known in time are left out."""
        for _ in range(self._count):
            if not self._done.acquire(timeout=max(0.0, self._deadline - time.monotonic())):
                break
        return dict(sorted(self._found.copy().items()))

    def _work(self) -> None:
        while True:
            try:
                name = self._waiting.get_nowait()
            except Empty:
                return
            try:
                if first := self._oldest(name):
                    self._found[name] = first
            except IndexFailure:
                pass  # it doesn't tell
            finally:
                self._done.release()

    def _oldest(self, name: str) -> str | None:
        index, left = self._indexes.url(name), self._deadline - time.monotonic()
        if not index or left <= 0:
            return None
        answer = self._client.get(f"{index}/{name}/", JSON, _LARGEST, left)
        if answer.kind != JSON:
            return None
        oldest, tail = b"", b""
        for data in answer.content:
            if time.monotonic() > self._deadline:
                return None  # what was read so far may lack the oldest
            tail += data
            for found in _TIME.findall(tail):
                oldest = min(oldest or found, found)
            tail = tail[-_LONGEST_MATCH:]
        return oldest.decode() or None
