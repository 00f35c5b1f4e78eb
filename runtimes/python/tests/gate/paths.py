"""Where our code and the gate's tools are: the folder that CASEMATE_GATE_TOOLS names, or the one of an installation."""

import os
import sys
from pathlib import Path
from typing import Final

import pytest

RUNTIME: Final = Path(__file__).parent.parent.parent
TOOLS: Final = Path(os.environ.get("CASEMATE_GATE_TOOLS", "/var/lib/casemate/tools/gate"))

if not (TOOLS / "bandit").is_dir():
    raise pytest.UsageError(
        f"the gate's tools are not in {TOOLS}: python3 -m pip install --target {TOOLS} --require-hashes "
        "-r runtimes/python/gate-requirements.txt, and set CASEMATE_GATE_TOOLS"
    )
sys.path[:0] = [str(RUNTIME), str(TOOLS)]
