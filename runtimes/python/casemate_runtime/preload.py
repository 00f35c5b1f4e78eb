"""What a sandbox of the pool has imported before it knows its function: a cold start pays for none of it.

Each idle instance pays for all of it, in memory: so what few functions need, or only in company of imports far heavier, is left out
(asyncio, argparse, difflib, http.cookiejar, importlib.metadata, logging.config, xml, zipfile: 3.5 MB together)."""

from __future__ import annotations

import importlib
from typing import Final

MODULES: Final = (
    "base64 binascii bisect collections collections.abc concurrent.futures concurrent.futures.thread "
    "contextlib contextvars copy csv dataclasses datetime decimal email.encoders email.header email.message "
    "email.parser email.policy email.utils encodings.ascii encodings.idna encodings.latin_1 enum fnmatch "
    "functools glob gzip hashlib heapq hmac http http.client http.cookies importlib importlib.util inspect io "
    "ipaddress itertools json locale logging math mimetypes numbers operator os pathlib pickle pkgutil "
    "platform queue random re secrets select selectors shlex shutil signal site socket ssl string stringprep "
    "struct subprocess tempfile textwrap threading time traceback types typing unicodedata urllib.error "
    "urllib.parse urllib.request urllib.response uuid warnings weakref zlib zoneinfo _strptime"
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
