"""Loads what a fetch uses before it is asked for one, set so that it says nothing on its own."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any


def load() -> None:
    for name in ("dulwich", "paramiko"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)

    import casemate_fetch.fetch  # noqa: F401


def gate(tools: str) -> Callable[..., list[dict[str, Any]]]:
    """The search in a history. Only such a fetch loads the gate's tools (the folder `tools`), behind our own."""
    sys.path.append(tools)
    logging.getLogger("detect_secrets").setLevel(logging.CRITICAL + 1)

    from casemate_fetch.past import findings

    return findings
