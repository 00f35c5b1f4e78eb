"""Makes the next pieces of something in a thread, while the ones before are used."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Queue
from threading import Event, Thread
from typing import Final

_PIECES: Final = 8


def ahead(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces. What making them raises is raised here; when this ends early, so does the thread."""
    made: Queue[bytes | BaseException | None] = Queue(_PIECES)
    unwanted = Event()

    def work() -> None:
        try:
            for piece in pieces:
                made.put(piece)
                if unwanted.is_set():
                    return
            made.put(None)
        except BaseException as error:
            made.put(error)

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        while (piece := made.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        unwanted.set()
        while thread.is_alive():
            while not made.empty():
                made.get()
            thread.join(0.01)
