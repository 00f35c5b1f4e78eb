"""Writes `pylock.toml` (PEP 751), the same bytes for the same packages.

uv writes one too, but with addresses as an index gives them, which may hold credentials, and without what needs what.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from casemate_runtime.faults import Fault
from casemate_runtime.indexes import plain
from casemate_runtime.requirements import OTHER_HASH, Requirement, normalised, refused

from casemate_gate.locks.resolver import Resolution

_HEAD: Final = "# Made by `casemate deps lock`; change what it was made of instead, and make it anew.\n"
_ALGORITHMS: Final = ("sha256", "sha384", "sha512")


def written(
    python: str, packages: Iterable[Mapping[str, Any]], resolution: Resolution, lines: Iterable[Requirement]
) -> str:
    """`packages`: those of uv's lock. `lines`: what the author asks for; a `--hash` there leaves only files that have it.
    Raises a `Fault`."""
    given = {normalised(item.name): item for item in lines if item.hashes}
    parts = [f'{_HEAD}lock-version = "1.0"\nrequires-python = ">={python}"\ncreated-by = "casemate"\n']
    for package in sorted(packages, key=lambda package: normalised(package["name"])):
        name = normalised(package["name"])
        wheels = list(_wheels(package, name, given.get(name)))
        own = [f"\n[[packages]]\nname = {_text(name)}\nversion = {_text(package['version'])}\n"]
        if needed := resolution.needed(name):
            own.append(f"dependencies = [{', '.join(f'{{ name = {_text(other)} }}' for other in needed)}]\n")
        parts += [*own, "wheels = [\n", *(f"    {wheel},\n" for wheel in wheels), "]\n"]
    return "".join(parts)


def _wheels(package: Mapping[str, Any], name: str, given: Requirement | None) -> Iterator[str]:
    wheels = [
        wheel for wheel in package.get("wheels", []) if any(key in wheel.get("hashes", {}) for key in _ALGORITHMS)
    ]
    if not wheels:
        raise Fault("dependencies-failed", f"{name}: the index has no wheel of {package['version']} with a hash")
    if given:
        wheels = [wheel for wheel in wheels if not _hashes(wheel).isdisjoint(given.hashes)]
        if not wheels:
            raise refused(
                f"{given.name}: the index has no file with a --hash that is given here", OTHER_HASH, given.place
            )
    return map(_wheel, wheels)


def _wheel(wheel: Mapping[str, Any]) -> str:
    url = plain(wheel["url"])
    fields = [f"name = {_text(wheel.get('name') or url.rpartition('/')[2])}", f"url = {_text(url)}"]
    if isinstance(time := wheel.get("upload-time"), datetime):
        fields.append(f"upload-time = {time.isoformat().replace('+00:00', 'Z')}")
    if isinstance(size := wheel.get("size"), int):
        fields.append(f"size = {size}")
    hashes = ", ".join(f"{key} = {_text(wheel['hashes'][key])}" for key in _ALGORITHMS if key in wheel["hashes"])
    return f"{{ {', '.join(fields)}, hashes = {{ {hashes} }} }}"


def _hashes(wheel: Mapping[str, Any]) -> set[str]:
    return {f"{key}:{value}" for key, value in wheel["hashes"].items()}


def _text(value: str) -> str:
    """A basic string of TOML: JSON's escapes are its own."""
    return json.dumps(value)
