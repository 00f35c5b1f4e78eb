"""Loads the gate as its processes do: our code and the tools first on the path, and the tools set to be silent."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gate import paths  # noqa: F401

from casemate_gate.tools import load  # isort: skip

load()

from gate.support import Bundle  # noqa: E402


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[..., Bundle]:
    """Makes a bundle of files of a source (`handler.py`) and of dependencies (`deps/…`)."""
    return lambda files: Bundle(tmp_path / "fn", files)
