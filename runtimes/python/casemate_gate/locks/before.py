"""The lock that was there before: which versions it has, and what of them needs what."""

from __future__ import annotations

import tomllib
from typing import Any

from casemate_runtime.faults import Fault
from casemate_runtime.pylock import read
from casemate_runtime.requirements import normalised

from casemate_gate.locks.resolver import Package, Resolution


def resolution_of(content: bytes | None) -> Resolution:
    """Nothing of a lock that the builder would refuse, such as one with the marks of a merge: it is made anew."""
    found = Resolution()
    if content is None:
        return found
    try:
        versions = {normalised(item.name): item.version for item in read(content)}
    except Fault:
        return found
    users = _users(tomllib.loads(content.decode("utf-8-sig")))
    for name, version in versions.items():
        found[name] = Package(name, version, tuple(users.get(name, ())))
    return found


def _users(document: dict[str, Any]) -> dict[str, list[str]]:
    """By what packages say that they depend on, which not every tool writes."""
    users: dict[str, list[str]] = {}
    for package in document["packages"]:
        needed = package.get("dependencies")
        for entry in needed if isinstance(needed, list) else []:
            name = entry.get("name") if isinstance(entry, dict) else None
            if isinstance(name, str):
                users.setdefault(normalised(name), []).append(normalised(package["name"]))
    return users
