"""When two versions are the same (PEP 440): `1.0` and `v1.0.0`, `1.0rc1` and `1.0-c.1`."""

from __future__ import annotations

import re
from typing import Final

_VERSION: Final = re.compile(
    r"v?(?:(?P<epoch>\d+)!)?(?P<release>\d+(?:\.\d+)*)"
    r"(?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<pre_number>\d*))?"
    r"(?P<post>-(?P<post_bare>\d+)|[-_.]?(?:post|rev|r)[-_.]?(?P<post_number>\d*))?"
    r"(?P<dev>[-_.]?dev[-_.]?(?P<dev_number>\d*))?"
    r"(?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?"
)
_PRE: Final = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}


def same_version(one: str, other: str) -> bool:
    return _key(one) == _key(other)


def _key(text: str) -> object:
    found = _VERSION.fullmatch(text.strip().lower())
    if found is None:
        return text.strip()
    release = [int(part) for part in found["release"].split(".")]
    while len(release) > 1 and release[-1] == 0:
        release.pop()
    pre = _PRE.get(found["pre"], found["pre"])
    post = int(found["post_bare"] or found["post_number"] or 0) if found["post"] else None
    dev = int(found["dev_number"] or 0) if found["dev"] else None
    local = re.split(r"[-_.]", found["local"]) if found["local"] else None
    return int(found["epoch"] or 0), release, pre, int(found["pre_number"] or 0), post, dev, local
