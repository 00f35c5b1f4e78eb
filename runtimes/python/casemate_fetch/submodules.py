"""Where a repository says that its submodules are. Of .gitmodules a path and a URL are read, and nothing that it configures."""

from __future__ import annotations

import io
from typing import Final

from dulwich.config import ConfigFile, parse_submodules

from casemate_fetch.faults import failed, shown
from casemate_fetch.objects import FILES, read_tree
from casemate_fetch.pack import BLOB, Pack

DEEPEST: Final = 3
MOST: Final = 20
_LARGEST: Final = 256 << 10


def urls(pack: Pack, tree: bytes) -> dict[str, str]:
    """By the path in the repository, of whose root `tree` is."""
    found = next(
        (entry for entry in read_tree(pack, tree) if entry.name == b".gitmodules" and entry.mode in FILES), None
    )
    if found is None:
        return {}
    if pack.size(found.oid) > _LARGEST:
        raise failed(f".gitmodules has more than {_LARGEST} bytes; leave only submodules in it")
    try:
        # Includes name files of this machine.
        config = ConfigFile.from_file(io.BytesIO(pack.read(found.oid, BLOB)), expand_includes=False)
        return {path.decode(): url.decode() for path, url, _ in parse_submodules(config)}
    except (ValueError, AssertionError, IndexError):
        raise failed(".gitmodules can't be read; write it as git submodule does") from None


def url_of(path: str, known: dict[str, str]) -> str:
    if path not in known:
        raise failed(f"{shown(path)} is a submodule, and .gitmodules does not say of what; add it there, or remove it")
    return known[path]
