"""P12, for information: from the command to a function that can be called."""

from __future__ import annotations

from casemate_bench.goals.cold import called
from casemate_bench.options import Bench
from casemate_bench.payload import HANDLER
from casemate_bench.server import Function, NotDeployed, Server, trivial
from casemate_bench.table import Row, not_measured

PACKAGES = ("idna==3.10", "six==1.17.0", "attrs==25.3.0", "click==8.1.8", "packaging==24.2")
_TIMES = 3


def run(bench: Bench) -> None:
    times = max(_TIMES, bench.options.rounds)
    with Server(bench) as server:
        server.wait_for_pool()
        bare = []
        for number in range(times):
            bare.append(server.deploy({f"f{number}": trivial(number)}) * 1e3)
            _call(server, f"f{number}", number)
            server.wait_for_pool()
        bench.add(
            Row(
                "P12",
                "deploy, no dependencies",
                bare,
                "ms",
                goal=300,
                goal_is="value",
                count=times,
                note="the command's whole time, with packing, upload, build and signing; callable when it ends",
            )
        )
        requirements = "".join(f"{package}\n" for package in PACKAGES)
        locked = []
        try:
            for number in range(times + 1):  # the first one downloads and locks
                source = f"import attrs, click, idna, packaging, six\n{HANDLER.format(number=number)}"
                files = {"handler.py": source, "requirements.txt": requirements}
                locked.append(server.deploy({"locked": Function(files)}) * 1e3)
                _call(server, "locked", number)
                server.wait_for_pool()
        except NotDeployed as why:
            bench.add(not_measured("P12b", f"deploy, {len(PACKAGES)} cached locked packages", str(why)))
            return
    bench.add(
        Row(
            "P12b",
            f"deploy, {len(PACKAGES)} cached locked packages",
            locked[1:],
            "ms",
            goal=2000,
            goal_is="value",
            count=times,
            note=f"new source, same requirements; the first one, with download and locking, took {locked[0]:.0f} ms",
        )
    )


def _call(server: Server, function: str, number: int) -> None:
    with server.connection() as connection:
        called(connection.call(server.wire(function)), number)
