"""Where concurrent calls run: threads made when they are needed, and one event loop in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio


class Threads:
    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._count = 0

    def run(self, job: Callable[[], None], needed: int) -> None:
        """`needed`: jobs under way with this one. Called by one thread. A job must not raise."""
        if self._count < needed:
            try:
                threading.Thread(target=self._work, name=f"call-{self._count + 1}", daemon=True).start()
                self._count += 1
            except RuntimeError:  # the sandbox's limit of processes: those that there are take the job in turn
                if not self._count:
                    raise
        self._jobs.put(job)

    def _work(self) -> None:
        while True:
            self._jobs.get()()  # in no variable: nothing of a call is kept while waiting for the next one


class EventLoop:
    def __init__(self) -> None:
        self._making = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself holds them only weakly

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """In a copy of the caller's context."""
        with self._making:
            if self._loop is None or self._loop.is_closed():
                import asyncio

                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_run, args=(self._loop,), name="async-calls", daemon=True).start()
        self._loop.call_soon_threadsafe(self._create_task, self._loop, coroutine)

    def _create_task(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None]) -> None:
        task = loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    import asyncio

    asyncio.set_event_loop(loop)
    while not loop.is_closed():  # a task's SystemExit, or a function that stops the loop, ends no other call
        try:
            loop.run_forever()
        except BaseException:
            continue
