"""The limits behind exceptions."""

from __future__ import annotations

import errno
import os
import subprocess
import threading

import pytest
from casemate_runtime.breaches import breach


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as found:
        return found


@pytest.mark.parametrize(
    ("number", "limit"),
    [
        (errno.EMFILE, b"open-files"),
        (errno.ENOSPC, b"tmp"),
        (errno.EFBIG, b"tmp"),
        (errno.ENOENT, b""),
        (errno.EAGAIN, b""),
    ],
)
def test_an_error_of_the_kernel_names_its_limit(number: int, limit: bytes) -> None:
    assert breach(raised(OSError(number, os.strerror(number)))) == limit


def test_threads_and_processes_that_can_not_be_made_are_one_limit() -> None:
    assert breach(RuntimeError("can't start new thread")) == b"pids"
    code = compile("raise BlockingIOError(11, 'Resource temporarily unavailable')", subprocess.__file__, "exec")
    with pytest.raises(BlockingIOError) as found:
        exec(code, {})  # nosec B102
    assert breach(found.value) == b"pids"


def test_a_cause_counts_and_a_circle_ends() -> None:
    assert breach(raised(ValueError("x"), raised(OSError(errno.ENOSPC, "full")))) == b"tmp"
    first, second = ValueError("a"), ValueError("b")
    first.__context__, second.__context__ = second, first
    assert breach(first) == b""


def test_memory_and_nothing() -> None:
    assert breach(MemoryError()) == b"memory"
    assert breach(None) == b""
    assert breach(threading.BrokenBarrierError()) == b""


def test_an_exception_that_lies_does_no_harm() -> None:
    class Liar(OSError):
        @property
        def errno(self) -> int:  # type: ignore[override]
            raise RuntimeError("no")

    assert breach(Liar()) == b""
