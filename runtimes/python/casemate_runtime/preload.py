"""What a sandbox of the pool has imported before it knows its function: a cold start pays for none of it."""

from __future__ import annotations

import importlib
from typing import Final

MODULES: Final = (
    "ast argparse asyncio base64 binascii bisect calendar collections collections.abc concurrent.futures "
    "concurrent.futures.thread configparser contextlib contextvars copy csv dataclasses datetime decimal difflib "
    "email.encoders email.header email.message email.mime.application email.mime.multipart email.mime.text email.parser "
    "email.policy email.utils encodings.ascii encodings.idna encodings.latin_1 enum fnmatch fractions functools "
    "getpass glob gzip hashlib heapq hmac html html.parser http http.client http.cookiejar http.cookies importlib "
    "importlib.abc importlib.metadata importlib.resources importlib.util inspect io ipaddress itertools json locale "
    "logging logging.config logging.handlers math mimetypes netrc numbers operator os pathlib pickle pkgutil platform "
    "pprint queue random re secrets select selectors shlex shutil signal site socket ssl statistics string stringprep "
    "struct subprocess tempfile textwrap threading time timeit traceback types typing unicodedata urllib.error "
    "urllib.parse urllib.request urllib.response uuid warnings weakref xml.etree.ElementTree zipfile zlib zoneinfo "
    "_strptime"
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
