"""Clients that go on all the time, while something else happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Steady:
    """Runs each of its parts over and over, each in threads of its own, until the block ends.

    A part answers what it saw; an exception counts as seen.
    """

    parts: dict[str, Callable[[], Any]]
    threads: int = 1
    seen: dict[str, list[tuple[float, Any]]] = field(default_factory=dict)

    def __enter__(self) -> Steady:
        self.ended = threading.Event()
        self.running = []
        for name, part in self.parts.items():
            self.seen[name] = []
            for _ in range(self.threads):
                self.running.append(threading.Thread(target=self._run, args=(name, part), daemon=True))
        for thread in self.running:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        for thread in self.running:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs"

    def _run(self, name: str, part: Callable[[], Any]) -> None:
        while not self.ended.is_set():
            begin = time.monotonic()
            try:
                answer = part()
            except Exception as error:
                answer = error
            self.seen[name].append((begin, answer))

    def of(self, name: str) -> list[Any]:
        return [answer for _, answer in self.seen[name]]
