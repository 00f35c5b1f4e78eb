"""From a bundle's needs to a lock: the author's, else the kept one if it was made for the same, else a new one."""

from __future__ import annotations

from typing import NamedTuple

from casemate_runtime.faults import Fault
from casemate_runtime.lock import Lock, digest, read_lock
from casemate_runtime.orders import EVERYTHING, Order
from casemate_runtime.requirements import Requirement, normalised, refused, write
from casemate_runtime.sources import Needs
from casemate_runtime.uv import Uv


class Locked(NamedTuple):
    lock: Lock
    is_resolved: bool  # the indexes were asked


def locked(uv: Uv, needs: Needs, order: Order) -> Locked:
    """Raises a `Fault`."""
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
    made = read_lock(uv.compile(write(needs.requirements), write(staying) if staying else ""))
    if made is None:
        raise Fault("dependencies-failed", "uv's lock is none")
    return Locked(Lock(_narrowed(needs.requirements, made), inputs, order.python, order.from_source), True)


def _narrowed(requirements: list[Requirement], lock: Lock) -> list[Requirement]:
    """The lock with only those hashes that an author has given for a package. uv's resolver passes over them."""
    given = {normalised(item.name): item for item in requirements if item.hashes}
    found = []
    for item in lock.requirements:
        own = given.get(normalised(item.name))
        if own:
            both = tuple(value for value in item.hashes if value in own.hashes)
            if not both:
                raise refused(f"{own.name}: the index has no file with a --hash that is given here", own.place)
            item = item._replace(hashes=both)
        found.append(item)
    return found
