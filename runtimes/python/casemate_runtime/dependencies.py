"""From a bundle's needs to a lock, and from the lock to a folder.

No code of a package runs here: nothing is built, and uv only unpacks.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from casemate_runtime.faults import Fault
from casemate_runtime.lock import Lock, digest, read_lock
from casemate_runtime.orders import EVERYTHING, Order
from casemate_runtime.requirements import Requirement, normalised, refused, write
from casemate_runtime.sources import Needs
from casemate_runtime.uv import Uv


class Locked(NamedTuple):
    lock: Lock
    is_resolved: bool  # the index was asked


def locked(uv: Uv, needs: Needs, order: Order) -> Locked:
    """The author's lock, else the kept one if it was made for the same, else a new one."""
    inputs = digest(
        needs.requirements,
        order.python,
        policy="strict" if order.is_strict else "auto",
        indexes=order.indexes.described(),
        from_source=order.from_source,
    )
    if needs.is_lock:
        return Locked(Lock(needs.requirements, inputs, order.python, order.from_source), False)
    kept = read_lock(order.kept) if order.kept and EVERYTHING not in order.upgrade else None
    if kept and kept.inputs == inputs and not order.upgrade:
        return Locked(kept, False)
    staying = [item for item in kept.requirements if normalised(item.name) not in order.upgrade] if kept else []
    text = uv.compile(write(needs.requirements), write(staying) if staying else "")
    made = read_lock(text)
    if made is None:
        raise Fault("dependencies-failed", "uv's lock is none")
    found = narrowed(needs.requirements, made.requirements)
    return Locked(Lock(found, inputs, order.python, order.from_source), True)


def install(uv: Uv, lock: Lock, target: Path) -> None:
    uv.install(write(lock.requirements), target)


def narrowed(requirements: list[Requirement], lock: list[Requirement]) -> list[Requirement]:
    """The lock with only those hashes that an author has given for a package. uv's resolver passes over them."""
    given = {normalised(item.name): item for item in requirements if item.hashes}
    found = []
    for item in lock:
        own = given.get(normalised(item.name))
        if own:
            both = tuple(value for value in item.hashes if value in own.hashes)
            if not both:
                raise refused(f"{own.name}: the index has no file with a --hash that is given here", own.place)
            item = item._replace(hashes=both)
        found.append(item)
    return found
