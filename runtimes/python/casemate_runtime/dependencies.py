"""What a bundle needs, locked and put into a folder: out of the active revision's bundle, or by uv from the indexes.

No code of a package runs here: nothing is built, and uv only unpacks.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

from casemate_runtime.backends import with_backends
from casemate_runtime.copying import copy_folder
from casemate_runtime.faults import failed
from casemate_runtime.lock import Lock, read_lock
from casemate_runtime.locking import locked
from casemate_runtime.orders import Order
from casemate_runtime.requirements import normalised, write
from casemate_runtime.router import routed
from casemate_runtime.sdists import Sdists
from casemate_runtime.sources import Needs, files_in, find
from casemate_runtime.uploads import FirstUploads
from casemate_runtime.uv import Tool, Uv, UvFault
from casemate_runtime.yanked import Yanked, refusal


class Dependencies(NamedTuple):
    needs: Needs
    lock: Lock
    is_resolved: bool  # the indexes were asked
    is_cached: bool  # they come from the attached bundle
    first_uploads: dict[str, str] | None  # `None` where the lock is the one before

    def report(self) -> dict[str, Any]:
        asked = self.needs.asked or self.needs.requirements
        direct = [{"name": item.name, **item.place._asdict()} for item in asked]
        built = list(self.lock.from_source)
        report = {
            "lock": self.lock.text(),
            "lockedFrom": self.needs.file,
            "direct": direct,
            "resolved": self.is_resolved,
            "cached": self.is_cached,
        }
        if built:
            report["fromSource" if self.is_cached else "toBuild"] = built
        return report | ({} if self.first_uploads is None else {"firstUploads": self.first_uploads})


def provide(tool: Tool, order: Order, source: Path, target: Path, attached: Path) -> Dependencies | None:
    """Fills `target`. `attached`: where the bundle of `order.attached` is, if there is one. Raises a `Fault`."""
    needs = find(files_in(source), order.is_strict, order.from_source)
    if needs is None or not needs.requirements:
        return None
    if not order.indexes.default and not order.indexes.pins:
        what = "the bundle has requirements, but the server has no package index"
        raise failed(what, "leave them out, or have whoever runs the server set index-url")
    scratch = target.with_name(".scratch")
    try:
        scratch.mkdir()
        with routed(order.indexes, tool.certificates) as route:
            uv = Uv(tool, scratch, route.url, route.shown)
            sdists = Sdists(tool.certificates, order.indexes, target.with_name(".build"))
            lock, is_resolved = locked(uv, needs, order, sdists)
            # Where the author has them, and not where a lock's text has.
            lock = lock._replace(
                requirements=[item._replace(place=needs.place(item.name)) for item in lock.requirements]
            )
            uploads = _first_uploads(tool, order, lock, is_resolved)
            before = _copied(lock, order, attached / "deps", target)
            if before:
                shutil.rmtree(sdists.folder, ignore_errors=True)
                lock = lock._replace(backends=before.backends)
            else:
                yanked = _install(uv, lock, target)
                lock = with_backends(uv, lock, sdists)
                # A lock that a revision has already stays as it is.
                if uploads and (yanked := [*yanked, *sdists.yanked()]):
                    raise refusal(yanked[0], needs)
        first_uploads = uploads.found() if uploads else None
    except UvFault as fault:
        if fault.packages:
            fault.file, fault.line = needs.place(*fault.packages)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Dependencies(needs, lock, is_resolved, before is not None, first_uploads)


def _first_uploads(tool: Tool, order: Order, lock: Lock, is_resolved: bool) -> FirstUploads | None:
    """`None` where the lock is the one before: then they are known."""
    before = read_lock(order.kept) if order.kept and not is_resolved else None
    if before and before.installs_like(lock):
        return None
    return FirstUploads((item.name for item in lock.requirements), order.indexes, tool.certificates)


def _copied(lock: Lock, order: Order, attached: Path, target: Path) -> Lock | None:
    """The lock of the attached bundle, where its dependencies are these."""
    before = read_lock(order.attached) if order.attached and attached.is_dir() else None
    if before is None or not lock.installs_like(before):
        return None
    copy_folder(attached, target)
    return before


def _install(uv: Uv, lock: Lock, target: Path) -> list[Yanked]:
    """All but what is built: that comes later, in a sandbox without a network."""
    wheels = [item for item in lock.requirements if normalised(item.name) not in lock.from_source]
    target.mkdir(exist_ok=True)
    return uv.install(write(wheels), target, lock.from_source) if wheels else []
