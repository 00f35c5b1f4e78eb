"""Lets the tests import the runtime as the sandbox does: from its folder, not installed."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from fetch_fixtures import https, place, sshd, tls  # noqa: F401
from support import Instance, Starter


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Starts runtimes on bundles of the given files, and ends them after the test."""
    started: list[Instance] = []

    def begin(
        files: dict[str, str],
        *,
        preload: bool = False,
        folder: Path | None = None,
        kill: str = "descendants",
        **fields: str | dict[str, str],
    ) -> Instance:
        instance = Instance(tmp_path / f"fn{len(started)}", files, preload=preload, folder=folder, kill=kill)
        started.append(instance)
        if fields:
            instance.specialise(**fields)
        return instance

    yield begin
    for instance in started:
        instance.end()
