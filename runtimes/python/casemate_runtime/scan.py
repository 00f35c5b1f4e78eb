"""Searches a bundle for stored secrets. Runs in a sandbox in which nothing of a user's is ever imported."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MOST_HITS: Final = 100
_LARGEST_FILE: Final = 64 << 20


def scan(root: Path, secrets: list[bytes]) -> bytes:
    """A JSON list of where the values of `secrets` (name NUL value) stand below `root`; never the values themselves."""
    needles = list(_needles(secrets))
    hits: list[dict[str, str | int | None]] = []
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST_FILE:
            continue
        content = path.read_bytes()
        found = {name: at for name, value in needles if (at := content.find(value)) >= 0}
        for name, at in found.items():
            is_text = b"\0" not in content[:8192]
            line = content.count(b"\n", 0, at) + 1 if is_text else None
            hits.append({"secret": name, "file": _shown(path.relative_to(root)), "line": line})
        if len(hits) >= MOST_HITS:
            break
    return json.dumps(hits[:MOST_HITS]).encode()


def _shown(path: Path) -> str:
    """As its author knows it: relative to the source."""
    parts = path.parts
    return "/".join(parts[1:] if parts and parts[0] == "src" else parts)


def _needles(secrets: list[bytes]) -> Iterator[tuple[str, bytes]]:
    for entry in secrets:
        name, _, value = entry.partition(b"\0")
        spellings = {value, value.hex().encode(), base64.b64encode(value), base64.urlsafe_b64encode(value)}
        for spelling in (*spellings, *(s.rstrip(b"=") for s in spellings)):
            if len(spelling) >= 8:
                yield name.decode(), spelling
