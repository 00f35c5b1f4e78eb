"""Which index a package comes from: exactly one, decided by its name alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from casemate_runtime.faults import failed
from casemate_runtime.requirements import normalised


class Indexes(NamedTuple):
    """`named`: further indexes by name. `pins`: the name of an index by a package's normalised name, or by the beginning
    of one and `*`. All other packages come from `default`; with an empty URL from nowhere."""

    default: str = ""
    named: Mapping[str, str] = MappingProxyType({})
    pins: Mapping[str, str] = MappingProxyType({})

    def url(self, package: str) -> str:
        """Of PEP 503's simple API, ending in no `/`. The whole name wins, then the longest beginning."""
        name = normalised(package)
        fitting = [pin for pin in self.pins if pin == name or (pin.endswith("*") and name.startswith(pin[:-1]))]
        if not fitting:
            return self.default.rstrip("/")
        return self.named[self.pins[max(fitting, key=lambda pin: (pin == name, len(pin)))]].rstrip("/")

    def described(self) -> dict[str, object]:
        """What decides about a lock."""
        named = {name: plain(url) for name, url in self.named.items()}
        return {"default": plain(self.default), "named": named, "pins": dict(self.pins)}


def indexes(default: str, named: list[tuple[str, str]], pins: list[tuple[str, str]]) -> Indexes:
    """Raises a `Fault` for a pin that names no index."""
    found = Indexes(default, dict(named), {_pattern(pattern): name for pattern, name in pins})
    for pattern, name in pins:
        if name not in found.named:
            what = f"{pattern} shall come from the index {name}, but there is no index of that name"
            raise failed(what, "name it in casemate.yaml under dependencies.indexes")
    return found


def plain(url: str) -> str:
    """Without credentials, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


def _pattern(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]*\*?", text) or not text:
        what = f"{text[:100]}: this is no package's name, nor the beginning of one and *"
        raise failed(what, "correct it in casemate.yaml under dependencies.packages")
    return normalised(text)
