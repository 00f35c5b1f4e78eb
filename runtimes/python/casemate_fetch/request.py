"""What is asked for. Nothing of it is taken on trust, and a field that is not known is a fault."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from casemate_fetch.address import Address
from casemate_fetch.faults import failed, shown
from casemate_fetch.hostkeys import HostKey
from casemate_fetch.names import check_folder
from casemate_fetch.refs import Wanted

_FIELDS: Final = frozenset("""
    url ref folder hostKeys submodules history repositories maximumBytes maximumArchive seconds
    """.split())
# What JSON can spell, and no name can hold.
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_MOST_HOST_KEYS: Final = 32
_MOST_REPOSITORIES: Final = 100
_MOST_BYTES: Final = 500 << 20
_MOST_ARCHIVE: Final = 100 << 20
_MOST_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class Request:
    address: Address
    wanted: Wanted
    folder: str
    """`""` for the whole tree."""
    host_keys: tuple[HostKey, ...]
    submodules: bool
    history: bool
    repositories: tuple[str, ...] | None
    """What the policy lists, and nothing else is asked for, neither a submodule nor where a host redirects to. `None`: all of
    the host."""
    maximum_bytes: int
    """Of what is received, and of what is unpacked."""
    maximum_archive: int
    """In bytes."""
    seconds: int

    @classmethod
    def parse(cls, body: bytes) -> Request:
        try:
            given = json.loads(body)
        except (ValueError, RecursionError):
            raise failed("the request is no JSON; this is a fault of the server") from None
        if not isinstance(given, dict):
            raise failed("the request is no object; this is a fault of the server")
        if unknown := given.keys() - _FIELDS:
            raise failed(f"the request has a field {shown(min(unknown), 40)}, which is not known; leave it out")
        keys = given.get("hostKeys", [])
        if not isinstance(keys, list) or len(keys) > _MOST_HOST_KEYS or not all(isinstance(key, str) for key in keys):
            raise failed(f"hostKeys is no list of at most {_MOST_HOST_KEYS} texts; write it as one")
        folder = _text(given, "folder", "")
        check_folder(folder)
        address = Address.parse(_text(given, "url"))
        repositories = _texts(given, "repositories")
        if repositories is not None and not address.is_among(repositories):
            raise failed("the URL is none of those that the policy lists; this is a fault of the server")
        return cls(
            address,
            Wanted.parse(_text(given, "ref")),
            folder,
            tuple(HostKey.parse(key) for key in keys),
            _flag(given, "submodules"),
            _flag(given, "history"),
            repositories,
            _number(given, "maximumBytes", _MOST_BYTES),
            _number(given, "maximumArchive", _MOST_ARCHIVE),
            _number(given, "seconds", _MOST_SECONDS, 120),
        )


def _text(given: dict[str, Any], name: str, default: str | None = None) -> str:
    value = given.get(name, default)
    if not isinstance(value, str) or (not value.isascii() and _SURROGATE.search(value)) or "\0" in value:
        raise failed(f"{name} is no text; write one")
    return value


def _texts(given: dict[str, Any], name: str) -> tuple[str, ...] | None:
    values = given.get(name)
    if values is None:
        return None
    if not isinstance(values, list) or len(values) > _MOST_REPOSITORIES or not all(isinstance(v, str) for v in values):
        raise failed(f"{name} is no list of at most {_MOST_REPOSITORIES} texts; write it as one")
    return tuple(values)


def _flag(given: dict[str, Any], name: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise failed(f"{name} is neither true nor false; write one of them")
    return value


def _number(given: dict[str, Any], name: str, most: int, default: int | None = None) -> int:
    value = given.get(name, most if default is None else default)
    if type(value) is not int or not 1 <= value <= most:
        raise failed(f"{name} is no number from 1 to {most}; write one")
    return value
