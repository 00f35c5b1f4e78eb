"""A function's standard output and error as a pair: what is done to one is done to the other."""

from __future__ import annotations

import sys
from typing import Any

from casemate_runtime.output import TextStream


class Streams:
    def __init__(self, out: TextStream, err: TextStream) -> None:
        self.out = out
        self.err = err

    def flush(self) -> None:
        if getattr(sys, "stdout", None) is not self.out or getattr(sys, "stderr", None) is not self.err:
            self.restore()
        self.out.flush_all()
        self.err.flush_all()

    def restore(self) -> None:
        """Puts ours back, also after a function that has put its own in place. What that one held goes out first."""
        for name in ("stdout", "stderr"):
            stream: Any = getattr(sys, name, None)
            if stream is not self.out and stream is not self.err:
                try:
                    stream.flush()
                except BaseException:  # a function's object, or none: anything may happen
                    continue
        sys.stdout = sys.__stdout__ = self.out  # type: ignore[misc, assignment]
        sys.stderr = sys.__stderr__ = self.err  # type: ignore[misc, assignment]

    def reset(self) -> None:
        """For the child of a fork: the lines that the parent has not written yet are not its own."""
        self.out.reset()
        self.err.reset()
