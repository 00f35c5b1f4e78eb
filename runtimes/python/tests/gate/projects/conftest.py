"""Puts the gate's tool environment on the path, as the sandbox does."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))
sys.path.append(os.environ.get("CASEMATE_GATE_TOOLS", "/var/lib/casemate/tools/gate"))
