"""From a bundle's needs to a lock: the author's, else the kept one if it was made for the same, else a new one."""

from __future__ import annotations

from typing import NamedTuple

from casemate_runtime.faults import failed
from casemate_runtime.lock import Lock, digest, digest_of, read_lock
from casemate_runtime.orders import EVERYTHING, Order
from casemate_runtime.requirements import OTHER_HASH, Place, Requirement, normalised, refused, write
from casemate_runtime.sdists import Sdist, Sdists, check
from casemate_runtime.sources import Needs
from casemate_runtime.uv import Uv


class Locked(NamedTuple):
    lock: Lock
    is_resolved: bool  # the indexes were asked


def locked(uv: Uv, needs: Needs, order: Order, sdists: Sdists) -> Locked:
    """Raises a `Fault`."""
    built = _built(needs, order)
    inputs = digest(
        needs.requirements,
        order.python,
        policy="strict" if order.is_strict else "auto",
        indexes=order.indexes.described(),
        from_source=order.from_source,
    )
    indexes = digest_of(order.indexes.described())
    kept = read_lock(order.kept) if order.kept and EVERYTHING not in order.upgrade else None
    is_same = kept is not None and kept.inputs == inputs
    if needs.is_lock:
        backends = kept.backends if kept and is_same else {}
        return Locked(Lock(needs.requirements, inputs, order.python, order.from_source, backends, indexes), False)
    if kept and is_same and not order.upgrade:
        return Locked(kept, False)
    forgotten = order.upgrade.union(built)
    staying = [item for item in kept.requirements if normalised(item.name) not in forgotten] if kept else []
    if kept and kept.indexes != indexes:
        # The same name and version of another index is another package: its version may stay, its hashes not.
        staying = [item._replace(hashes=()) for item in staying]
    found = _resolved(uv, needs, staying, {name: sdists.get(item) for name, item in built.items()})
    return Locked(Lock(found, inputs, order.python, order.from_source, indexes=indexes), True)


def _resolved(uv: Uv, needs: Needs, staying: list[Requirement], built: dict[str, Sdist]) -> list[Requirement]:
    """Wheels for all but what is built, also for what that needs; sorted by name."""
    wanted = [item for item in needs.requirements if normalised(item.name) not in built]
    wanted += [item for sdist in built.values() for item in sdist.needs if normalised(item.name) not in built]
    found = []
    if wanted:
        made = read_lock(uv.compile(write(wanted), write(staying) if staying else "", tuple(built)))
        if made is None:
            raise failed("what uv wrote is no lock", "tell whoever runs the server")
        found = _narrowed(needs.requirements, made)
    for sdist in built.values():
        item = sdist.requirement
        found.append(item if item.hashes else item._replace(hashes=(sdist.hash,)))
    return sorted(found, key=lambda item: normalised(item.name))


def _built(needs: Needs, order: Order) -> dict[str, Requirement]:
    """The requirements that are built from source, by normalised name."""
    found: dict[str, Requirement] = {}
    for item in needs.requirements:
        name = normalised(item.name)
        if name in order.from_source:
            check(item)
            if name in found:
                what = f"{item.name}: it is built from source, so that it can stand here once only"
                raise refused(what, "leave out one of its lines", item.place)
            found[name] = item
    for name in order.from_source:
        if name not in found:
            what = f"{name} shall be built from source, but is not pinned here"
            raise refused(what, f"write {name}==VERSION", Place(needs.file, None))
    return found


def _narrowed(requirements: list[Requirement], lock: Lock) -> list[Requirement]:
    """The lock with only those hashes that an author has given for a package. uv's resolver passes over them."""
    given = {normalised(item.name): item for item in requirements if item.hashes}
    found = []
    for item in lock.requirements:
        own = given.get(normalised(item.name))
        if own:
            both = tuple(value for value in item.hashes if value in own.hashes)
            if not both:
                what = f"{own.name}: the index has no file with a --hash that is given here"
                raise refused(what, OTHER_HASH, own.place)
            item = item._replace(hashes=both)
        found.append(item)
    return found
