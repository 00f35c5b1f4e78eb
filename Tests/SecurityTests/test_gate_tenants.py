"""The gate's sandboxes: used again by the same namespace, and by no other, which sees nothing of what was searched there."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets as randomness
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from casemate_fixture import Process, Server, processes, wait_until
from gate_answers import PLAIN, RISKY, let_pass, refused_by_the_gate

numbers = itertools.count(1)
GATE = "casemate_gate/bootstrap.py serve"
WAITING = 2


@pytest.fixture(scope="module")
def gate() -> Iterator[Server]:
    with Server(options=("--pool-size", "2")) as server:
        yield server


def below(pid: int) -> list[Process]:
    """All that came of a process, by /proc."""
    everything = processes()
    found, look = [], [pid]
    while look:
        parent = look.pop()
        children = [one for one in everything.values() if one.parent == parent]
        found += children
        look += [one.pid for one in children]
    return found


def searching(server: Server) -> dict[int, str]:
    """The first process of each of this server's gate sandboxes, and its cgroup. A check's own process is its child."""
    found = [one for one in below(server.pid) if one.command.endswith(GATE)]
    known = {one.pid for one in found}
    return {one.pid: one.cgroup for one in found if one.parent not in known}


def settled(server: Server) -> set[int]:
    """Those that wait, when nothing is under way."""
    assert wait_until(lambda: len(searching(server)) <= WAITING, 10), searching(server)
    return set(searching(server))


def deploy(server: Server, namespace: str, more: str = "", files: dict[str, str] | None = None) -> str:
    name = f"f{next(numbers)}"
    let_pass(
        server.try_deploy(
            namespace, name, {"handler.py": PLAIN + f"# {randomness.token_hex(8)}\n" + more, **(files or {})}
        )
    )
    return f"{namespace}/{name}"


def used(server: Server, namespace: str) -> set[int]:
    """The sandboxes that took part in a deployment: those that came with it, and those whose first process had a search for a child."""
    before = settled(server)
    found: set[int] = set()
    with ThreadPoolExecutor(1) as pool:
        # Enough to search through that it can be seen.
        more = {f"part{number}.py": "def part(data):\n    return str(data)\n" * 400 for number in range(12)}
        deploying = pool.submit(deploy, server, namespace, "", more)
        while not deploying.done():
            for pid in before:
                with contextlib.suppress(OSError):
                    found |= {pid} if Path(f"/proc/{pid}/task/{pid}/children").read_text() else set()
            time.sleep(0.01)
        deploying.result()
    return found | (settled(server) - before)


# ---------------------------------------------------------------- which process


@pytest.mark.guarantee("COG-7")
def test_COG_7_a_namespace_finds_its_own_sandbox_again(gate: Server) -> None:
    before = settled(gate)
    first = used(gate, "north")
    assert len(first) == 1 and not first & before, "a namespace that was never here has a sandbox of its own"
    for _ in range(2):
        assert used(gate, "north") == first <= settled(gate)
    # A refused deployment is no other.
    refused_by_the_gate(gate.try_deploy("north", "refused", {"handler.py": RISKY}))
    assert used(gate, "north") == first


@pytest.mark.guarantee("COG-7")
def test_COG_7_two_namespaces_have_no_sandbox_in_common(gate: Server) -> None:
    searched: dict[str, set[int]] = {"east": set(), "west": set(), "far-east": set()}
    for namespace in ("east", "west", "east", "far-east", "west", "east"):
        now = used(gate, namespace)
        assert len(now) == 1, now
        searched[namespace] |= now
    for one, other in itertools.combinations(searched, 2):
        assert not searched[one] & searched[other], searched


@pytest.mark.guarantee("COG-7")
def test_COG_7_no_more_than_two_wait(gate: Server) -> None:
    for number in range(4):
        deploy(gate, f"tenant-{number}")
        assert len(settled(gate)) <= WAITING
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(deploy, gate, f"tenant-{number % 2}") for number in range(6)]:
            done.result()
    assert len(settled(gate)) <= WAITING
    # Each has a cgroup, a user and a pid namespace of its own.
    groups = set(searching(gate).values())
    assert len(groups) == len(searching(gate))


# ---------------------------------------------------------------- what is left


def content(pid: int) -> bytes:
    """Names and contents of all files that a sandbox has of its own, and the memory of a process in it, seen from the host."""
    parts = []
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        fields = line.split()
        place, kind = fields[4], fields[fields.index("-") + 1]
        if kind in ("proc", "ext4", "devtmpfs") or place.startswith("/proc/"):
            continue
        for folder, folders, names in os.walk(f"/proc/{pid}/root{place}"):
            parts += [name.encode() for name in [*folders, *names]]
            paths = [Path(folder, name) for name in names]
            parts += [path.read_bytes() for path in paths if path.is_file() and not path.is_symlink()]
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, mode = line.split()[:2]
            begin, end = (int(part, 16) for part in span.split("-"))
            if mode.startswith("rw"):
                with contextlib.suppress(OSError, ValueError, OverflowError):
                    memory.seek(begin)
                    parts.append(memory.read(end - begin))
    return b"\0".join(parts)


@pytest.mark.guarantee("COG-7")
def test_COG_7_of_what_was_searched_for_one_namespace_nothing_is_seen_for_another(gate: Server) -> None:
    mark, value = f"mark-{randomness.token_hex(12)}", randomness.token_hex(16)
    gate.namespace("hidden")
    gate.secret("hidden/holder", "API_KEY", value)
    deploy(gate, "hidden", files={f"{mark}.txt": mark, "data.bin": mark * 1000})
    own = settled(gate)
    # What is looked for would be found: its own sandbox still has its source.
    (mine,) = [pid for pid in own if mark.encode() in content(pid)]
    assert value.encode() not in content(mine), "the values that were looked for are gone with their search"
    (pid,) = used(gate, "looking")
    assert pid not in own
    seen = content(pid)
    assert b"casemate_gate" in seen, "its memory was read"
    assert mark.encode() not in seen and value.encode() not in seen


@pytest.mark.guarantee("COG-7")
def test_COG_7_the_secrets_of_one_namespace_are_not_looked_for_in_another(gate: Server) -> None:
    """Else whoever deploys could ask whether a value is somebody's."""
    value = f"{randomness.token_hex(16)}"
    gate.namespace("keeper")
    gate.secret("keeper/f", "API_KEY", value)
    source = {"handler.py": PLAIN, "notes.txt": f"see {value}\n"}
    refused_by_the_gate(gate.try_deploy("keeper", "tells", source))
    outcome = gate.try_deploy("guesser", "tells", source)
    assert "own-secret" not in outcome.said, outcome.said
    refused_by_the_gate(gate.try_deploy("keeper", "tells-again", source))
