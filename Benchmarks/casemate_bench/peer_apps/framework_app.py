"""For functions-framework."""

import os
import sys
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from work import work


def handle(request: Any) -> Any:
    return work(request.get_json())
