"""What a sandbox of the pool has imported before it knows its function: a cold start pays for none of it.

Each idle instance pays for all of it in memory, so three kinds are left out, 7 MB together: what a client of the network
needs (ssl, http, email; a function reaches none unless its manifest lists names), what only heavier imports ask for
(importlib.metadata, logging.config, http.cookiejar), and what few use (asyncio, argparse, difflib, xml, zipfile).
"""

from __future__ import annotations

import importlib
from typing import Final

MODULES: Final = (
    "base64 binascii bisect collections collections.abc concurrent.futures concurrent.futures.thread "
    "contextlib contextvars copy csv dataclasses datetime decimal encodings.ascii encodings.latin_1 enum "
    "fnmatch functools glob gzip hashlib heapq hmac importlib importlib.util inspect io ipaddress itertools "
    "json locale logging math numbers operator os pathlib pickle pkgutil platform queue random re secrets "
    "select selectors shlex shutil signal site socket string struct subprocess tempfile textwrap threading "
    "time traceback types typing unicodedata urllib.parse uuid warnings weakref zlib zoneinfo _strptime"
).split()


def preload() -> list[str]:
    """Imports what there is; answers the names that the root file system lacks."""
    missing = []
    for name in MODULES:
        try:
            importlib.import_module(name)
        except ImportError:
            missing.append(name)
    return missing
