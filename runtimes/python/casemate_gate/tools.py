"""Loads the libraries that the checks use, set so that they write nothing, ask nobody and say nothing on their own."""

from __future__ import annotations

import logging
import sys


def load() -> None:
    """All at once and before any content is seen, so that a forked check finds them ready."""
    # Its cache of entry points would be read from the home folder of whoever runs the scan, and written there.
    import stevedore._cache as cache

    cache._c._dir = "/dev/null/none"
    cache._c._disable_caching = True
    for name in ("bandit", "stevedore", "detect_secrets", "cyclonedx"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)

    import casemate_gate.checks.dependencies
    import casemate_gate.checks.environment
    import casemate_gate.checks.files
    import casemate_gate.checks.own_secrets
    import casemate_gate.checks.sast
    import casemate_gate.checks.secrets
    import casemate_gate.components
    import casemate_gate.database
    import casemate_gate.match
    import casemate_gate.sbom

    sys.setrecursionlimit(2_000)
    casemate_gate.checks.sast.prepare()
