"""What no rule foresaw: it is answered too, and says nothing of what was received."""

from __future__ import annotations

import errno
import json
import socket

import pytest
from fetch_support import RUNTIME, Fault

import casemate_fetch.serve as served  # isort: skip
from casemate_fetch.deadline import Late, within
from casemate_runtime import frames

HIDDEN = "hidden-value"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MemoryError(), "too-large", "more memory"),
        (OSError(errno.ENOSPC, HIDDEN), "too-large", "does not fit into the space"),
        (OSError(errno.EIO, HIDDEN), "fetch-failed", "(OSError)"),
        (ValueError(HIDDEN), "fetch-failed", "(ValueError)"),
        (Late(), "fetch-failed", "took longer than it may"),
        (Fault("archive-refused", "a fault"), "archive-refused", "a fault"),
    ],
    ids=range(6),
)
def test_every_error_is_answered_as_a_fault(
    error: BaseException, code: str, words: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Failing:
        seconds = 10

        def run(self) -> None:
            raise error

    ours, theirs = socket.socketpair()
    with ours, theirs:
        monkeypatch.setattr(served, "fetch", lambda *_: Failing())
        server = served.Server(theirs, "/nowhere")
        with pytest.raises(Fault) as caught:
            server._fetched(b"{}", b"", b"KEY\0" + HIDDEN.encode(), 1)
    assert caught.value.code == code and words in caught.value.message
    assert HIDDEN not in caught.value.message + capfd.readouterr().err


def test_the_deadline_rings_again_where_its_first_was_dropped() -> None:
    rang = 0
    with pytest.raises(Late), within(0.05):
        while True:
            try:
                while True:
                    pass
            except Late:
                rang += 1
                if rang == 2:
                    raise


def test_the_kinds_of_frames_are_those_of_the_protocol() -> None:
    assert (frames.FETCH, frames.FETCHED) == (0x07, 0x89)


def test_all_that_is_pinned_has_hashes_and_no_address() -> None:
    text = (RUNTIME / "fetch-requirements.txt").read_text()
    pinned = [line for line in text.splitlines() if line and line[0].isalpha()]
    assert {"dulwich", "paramiko"} <= {line.partition("==")[0] for line in pinned}
    assert (
        all("==" in line and line.endswith("\\") for line in pinned)
        and "://" not in text
        and json.dumps(text).isascii()
    )
