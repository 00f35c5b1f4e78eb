"""Asks uv which versions fit together, and then for the lock of just these."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from casemate_runtime.faults import Fault
from casemate_runtime.requirements import Requirement, normalised, write
from casemate_runtime.uv import Uv
from packaging.version import Version

_LINE: Final = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>\S+)(?:\s+# via (?P<users>.*))?")


class Package(NamedTuple):
    name: str
    version: str
    users: tuple[str, ...]  # the packages that need it


class Resolution(dict[str, Package]):
    """By normalised name."""

    def needing(self, name: str) -> set[str]:
        """Those that need a package, and those that need these."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            package = self.get(waiting.pop())
            new = set(package.users) - found if package else set()
            found |= new
            waiting += new
        return found

    def needed(self, name: str) -> list[str]:
        return sorted(package.name for package in self.values() if name in package.users)


class Resolver:
    """Each method raises a `Fault`, and `Unresolvable` where nothing fits."""

    def __init__(self, uv: Uv) -> None:
        self._uv = uv

    def resolve(
        self,
        lines: Iterable[Requirement],
        kept: Mapping[str, str] | None = None,
        floors: Mapping[str, Version] | None = None,
    ) -> Resolution:
        """`kept`: versions that stay as far as they fit."""
        staying = "".join(f"{name}=={version}\n" for name, version in sorted((kept or {}).items()))
        bounds = "".join(f"{name}>={floor.public}\n" for name, floor in sorted((floors or {}).items()))
        return _read(self._uv.resolve(_wanted(lines), staying, bounds))

    def lock(self, lines: Iterable[Requirement], resolution: Resolution) -> list[dict[str, Any]]:
        """The packages of uv's `pylock.toml` (PEP 751)."""
        bounds = "".join(f"{package.name}=={package.version}\n" for package in resolution.values())
        packages: list[dict[str, Any]] = tomllib.loads(self._uv.pylock(_wanted(lines), bounds).decode())["packages"]
        found = {normalised(package["name"]): package["version"] for package in packages}
        if found != {package.name: package.version for package in resolution.values()}:
            raise Fault("dependencies-failed", "the index changed its answers while it was asked; try again")
        return packages


def _wanted(lines: Iterable[Requirement]) -> str:
    """Without hashes: to uv they say nothing here."""
    return write([item._replace(hashes=()) for item in lines])


def _read(text: str) -> Resolution:
    found = Resolution()
    for line in text.splitlines():
        if matched := _LINE.fullmatch(line.strip()):
            name = normalised(matched["name"])
            users = (user.strip().partition("[")[0] for user in (matched["users"] or "").split(","))
            found[name] = Package(
                name, matched["version"], tuple(normalised(user) for user in users if user and not user.startswith("-"))
            )
    return found
