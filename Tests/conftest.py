"""Fixtures of the journey and security tests. The shared server is for tests that leave it as they found it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "support"))

from casemate_fixture import Server, binary  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "guarantee(*ids): the rows of docs/guarantees.md that the test checks")
    config.addinivalue_line("markers", "case(*ids): the attack, fault and bad-input cases that the test is")


@pytest.fixture(scope="session")
def running() -> Iterator[Server]:
    if os.geteuid() != 0:
        pytest.exit("these tests start sandboxes, which needs root", returncode=4)
    if not binary().exists():
        pytest.exit(f"{binary()} is missing: build first, or set CASEMATE_BIN", returncode=4)
    with Server() as server:
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    """The shared server; started again when an earlier test broke it, so that one fault fails one test."""
    if not running.is_running():
        running.start()
    return running
