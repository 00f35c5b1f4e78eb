"""The gate's tests need its tools: the folder that CASEMATE_GATE_TOOLS names, or the one of an installation."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

RUNTIME = Path(__file__).parent.parent.parent
TOOLS = Path(os.environ.get("CASEMATE_GATE_TOOLS", "/var/lib/casemate/tools/gate"))
if not (TOOLS / "bandit").is_dir():
    raise pytest.UsageError(
        f"the gate's tools are not in {TOOLS}: python3 -m pip install --target {TOOLS} --require-hashes "
        "-r runtimes/python/gate-requirements.txt, and set CASEMATE_GATE_TOOLS"
    )
sys.path[:0] = [str(RUNTIME), str(TOOLS)]

from casemate_gate.tools import load  # noqa: E402

load()

from gate_support import Bundle  # noqa: E402


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[..., Bundle]:
    """Makes a bundle of files of a source (`handler.py`) and of dependencies (`deps/…`)."""
    return lambda files: Bundle(tmp_path / "fn", files)
