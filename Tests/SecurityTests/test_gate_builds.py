"""Packages that are built from their source: never unasked, told, and without any effect but their own wheel.

Every attempt at something forbidden is in a function marked `@step`: it is in a source distribution of the made-up
internet's own index, and runs only inside Casemate's build sandbox, never on this host.
"""

from __future__ import annotations

import itertools
import os
import re
import secrets as randomness
import socket
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from casemate_fixture import Inside, Outcome, Process, Server, memory_in_kib, wait_until
from gate_answers import found, let_pass
from inject_probe import PUBLIC
from network_world import HTTPS, OWN_ADDRESSES, RESOLVER_ADDRESS
from package_index import PORT, PackageWorld, Release
from source_packages import Legacy, Setuptools, Sourced, Step, keys, needing, step, unveiled
from spellings import assert_absent
from steady import Steady

numbers = itertools.count(1)
ENVIRONMENT = {"TESTS_OWN_KEY": randomness.token_hex(16)}
SECRET, ANOTHER = randomness.token_hex(16), randomness.token_hex(16)
SECONDS = 30
"""More than any deployment here may take: a build has two minutes, and none of these steps may use them."""


@pytest.fixture(scope="module")
def packages() -> Iterator[PackageWorld]:
    if os.geteuid() != 0:
        pytest.exit("these tests make network namespaces, which needs root", returncode=4)
    with PackageWorld() as world:
        world.index.add(
            Release("plain"),
            Sourced("wombats"),
            Sourced("numbats"),
            Release("dunnarts", "1.0", requires=["numbats>=1"]),
        )
        world.open_index()
        yield world


@pytest.fixture(scope="module")
def building(packages: PackageWorld) -> Iterator[Server]:
    with packages.installing("--pool-size", "2", environment=ENVIRONMENT) as server:
        server.assert_serving()
        yield server


def traces(server: Server) -> list[str]:
    """What there is of sandboxes that are gone, or that only a build has."""
    (instance,) = server.instances
    warden = server.wardens()[-1].pid
    told = [
        f"process {process.pid} {process.command}"
        for group in server.sandboxes().values()
        for process in group
        if not re.search(r"bootstrap\.py (run|serve)$", process.command)
    ]
    places = {str(path) for path in Path("/sys/fs/cgroup").glob(f"*/casemate/{instance}/s[0-9]*")}
    places |= {str(path) for path in Path(f"/proc/{warden}/root/run/casemate/{instance}/sb").glob("s[0-9]*")}
    mounts = Path(f"/proc/{warden}/mountinfo").read_text().splitlines()
    places |= {place for line in mounts if re.search(rf"{instance}/sb/s\d+", place := line.split()[4])}
    names = {place: match[0] for place in places if (match := re.search(r"\bs\d+\b", place.partition(instance)[2]))}
    live = set(server.sandboxes())
    return told + sorted(place for place, name in names.items() if name not in live)


def bundles(server: Server) -> set[str]:
    return {path.name for path in (server.data / "warden/bundles").glob("sha256-*")}


@pytest.fixture
def shop(packages: PackageWorld, building: Server) -> Iterator[Server]:
    """Whatever a test has built, nothing of it is left, and nobody but the index has seen any of it."""
    packages.forget_packages()
    yield building
    assert building.is_running(), "".join(building.err)[-2000:]
    assert wait_until(lambda: not traces(building), 10) is True, traces(building)
    building.assert_serving()
    packages.assert_untouched(PUBLIC)
    assert {arrival.port for arrival in packages.arrivals} <= {PORT}


def others_are_served(server: Server) -> Steady:
    def asks() -> int:
        time.sleep(0.2)
        return server.call("canary/canary", body={"n": 1}, timeout=20).status

    return Steady({"canary": asks})


def attempt(
    shop: Server,
    packages: PackageWorld,
    does: Step,
    *others: str,
    returns: str = "",
    release: Mapping[str, Any] | None = None,
    manifest: Mapping[str, Any] | None = None,
    number: int | None = None,
    **given: Any,
) -> Outcome:
    """Deploys a function with a package whose build does something, while others are served.

    `others` are requirements besides it; one that is built, too, has the name of such a package.
    """
    name = f"quokka-{does.name.replace('_', '-')}"
    made = Sourced(name, does=does, given=given, **(release or {}))
    packages.index.releases = [one for one in packages.index.releases if one.name != name]
    packages.index.add(made)
    modules = [made.module, *(re.split("[=<>]", other)[0] for other in others)]
    built = [name, *(module for module in modules if module in ("wombats", "numbats"))]
    source = needing([f"{name}==1.0", *others], *modules, returns=returns or f"{made.module}.FOUND")
    before, memory = bundles(shop), memory_in_kib(shop.pid)
    begin = time.monotonic()
    with others_are_served(shop) as steady:
        # A function of its own: one that has its packages already builds none.
        function = f"{does.name.replace('_', '-')}-{next(numbers) if number is None else number}"
        outcome = shop.try_deploy("builds", function, source, {**keys(*built), **(manifest or {})})
    assert time.monotonic() - begin < SECONDS, outcome.said
    assert set(steady.of("canary")) == {200}, steady.of("canary")
    assert memory_in_kib(shop.pid) - memory < 128 << 10
    assert len(outcome.said) < 64 << 10, len(outcome.said)
    # One that fails leaves no bundle, one that does not leaves its own alone.
    assert len(bundles(shop) - before) == (outcome.code == 0), bundles(shop) - before
    return outcome


def answer_of(shop: Server, outcome: Outcome) -> Any:
    answer = shop.call(let_pass(outcome)["function"], body={})
    assert answer.status == 200, answer.text
    return answer.json()


def seen(shop: Server, outcome: Outcome) -> Any:
    """What a step found, by way of the function."""
    return unveiled(answer_of(shop, outcome))


def failed(outcome: Outcome, *said: str) -> str:
    """What is said of a build that failed; it names its package."""
    assert (outcome.code, outcome.first["status"], outcome.first["stage"]) == (1, "failed", "build"), outcome.said
    assert outcome.first["problemType"] == "/problems/build-failed", outcome.said
    problem = str(outcome.first["problem"])
    assert all(part in problem + (outcome.first.get("output") or "") for part in said), outcome.said
    return problem


# ---------------------------------------------------------------- harmless ones


@pytest.mark.guarantee("COG-17")
def test_COG_17_a_package_that_the_manifest_names_is_built_and_that_is_told(
    shop: Server, packages: PackageWorld
) -> None:
    source = needing(["# one", "wombats==1.0"], "wombats", returns="[wombats.NAME, wombats.VERSION]")
    made = let_pass(shop.try_deploy("builds", "harmless", source, keys("wombats")))
    assert shop.call("builds/harmless", body={}).json() == ["wombats", "1.0"]
    (finding,) = found(made)
    assert "wombats" in finding["what"] and "built" in finding["what"] and finding["severity"] == "warning", finding
    assert (finding["file"], finding["line"]) == ("requirements.txt", 2) and finding["fix"], finding
    code, out, err = shop.cli("findings", "builds/harmless")
    assert code == 0 and finding["what"] in out, out + err
    # Locked by its hash like all others.
    lock = shop.cli("deps", "show", "builds/harmless")[1]
    digest = next(release.digest for release in packages.index.releases if release.name == "wombats")
    assert "wombats==1.0" in lock and digest in lock, lock


@pytest.mark.guarantee("COG-17")
def test_COG_17_what_another_package_needs_can_be_built_too(shop: Server) -> None:
    source = needing(["dunnarts", "numbats==1.0"], "dunnarts", "numbats", returns="numbats.VERSION")
    made = let_pass(shop.try_deploy("builds", "needed", source, keys("numbats")))
    assert shop.call("builds/needed", body={}).json() == "1.0"
    assert [item["what"] for item in found(made) if "numbats" in item["what"] and "built" in item["what"]], made


@pytest.mark.guarantee("COG-17")
def test_COG_17_a_source_without_a_pyproject_is_built_with_what_the_index_has_for_that(
    shop: Server, packages: PackageWorld
) -> None:
    packages.index.add(Legacy("bettongs"), Setuptools("setuptools", "70.0"), Release("wheel", "0.45.0"))
    source = needing(["bettongs==1.0"], "bettongs", returns="bettongs.NAME")
    let_pass(shop.try_deploy("builds", "legacy", source, keys("bettongs")))
    assert shop.call("builds/legacy", body={}).json() == "bettongs"
    lock = shop.cli("deps", "show", "builds/legacy")[1]
    assert "setuptools==70.0" in lock and "wheel==0.45.0" in lock, "what it is built with is locked, too"


@pytest.mark.guarantee("COG-17")
@pytest.mark.parametrize(
    "named", [[], ["numbats"], ["wombat"], ["wombats-more"]], ids=lambda names: " ".join(names) or "none"
)
def test_COG_17_a_package_that_is_not_named_is_never_built(shop: Server, named: list[str]) -> None:
    source = needing(["wombats==1.0"], "wombats")
    problem = failed(shop.try_deploy("builds", "unasked", source, keys(*named)))
    assert any(name in problem for name in ["wombats", *named]), problem


@pytest.mark.guarantee("COG-17", "COG-18")
def test_COG_17_what_is_built_must_be_pinned(shop: Server) -> None:
    for line in ("wombats", "wombats>=1", "wombats==1.*"):
        outcome = shop.try_deploy("builds", "unpinned", needing(["plain", line], "plain", "wombats"), keys("wombats"))
        assert "==" in failed(outcome) and outcome.first["diagnostics"][-1]["line"] == 2, outcome.said


@pytest.mark.guarantee("COG-17", "COG-18")
@pytest.mark.case("D4")
def test_D4_COG_17_a_source_distribution_whose_bytes_are_others_is_not_built(
    shop: Server, packages: PackageWorld
) -> None:
    packages.index.add(Sourced("bilbies", served=Sourced("bilbies", given={"changed": 1}).data))
    outcome = shop.try_deploy("builds", "changed", needing(["bilbies==1.0"], "bilbies"), keys("bilbies"))
    assert "bilbies" in failed(outcome, "hash"), outcome.said
    source = needing([f"wombats==1.0 --hash=sha256:{'0' * 64}"], "wombats")
    assert "wombats" in failed(shop.try_deploy("builds", "changed", source, keys("wombats")), "hash")


# ---------------------------------------------------------------- what a build sees


@step
def looks_around(folder: str) -> dict[str, Any]:
    import glob
    import os
    import zlib

    def read(path: str) -> str:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    writable = ("/out", "/tmp", "/dev/shm", "/fn")
    names = [
        path
        for place in writable
        for path in glob.glob(f"{place}/**", recursive=True, include_hidden=True)
        if os.path.isfile(path)
    ]
    shown = ("environ", "cmdline", "maps", "cgroup", "mountinfo")
    names += [path for name in shown for path in glob.glob(f"/proc/[0-9]*/{name}")]
    descriptors = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            descriptors[number] = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            pass
    print(dict(os.environ))
    return {
        "environment": dict(os.environ),
        "status": dict(line.split(":\t", 1) for line in read("/proc/self/status").splitlines() if ":\t" in line),
        "first": dict(line.split(":\t", 1) for line in read("/proc/1/status").splitlines() if ":\t" in line),
        "devices": [line.split(":")[0].strip() for line in read("/proc/net/dev").splitlines() if ":" in line],
        "routes": read("/proc/net/route").splitlines()[1:],
        "unix": read("/proc/net/unix").splitlines()[1:],
        "hidden": [name for name in shown if not read(f"/proc/{os.getppid()}/{name}")],
        "descriptors": descriptors,
        "read": {name: zlib.compress(read(name).encode()).hex() for name in names},
    }


function = Inside("builds/compared")


@function
def own_status() -> dict[str, str]:
    with open("/proc/self/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


@pytest.fixture(scope="module")
def looked(packages: PackageWorld, building: Server) -> dict[str, Any]:
    building.namespace("builds")
    building.secret("builds/looks-around-0", "API_KEY", SECRET)
    building.secret("builds/another", "API_KEY", ANOTHER)
    outcome = attempt(building, packages, looks_around, "plain==1.0", manifest={"secrets": ["API_KEY"]}, number=0)
    assert_absent(outcome.said, SECRET, "the deployment's answer")
    told: dict[str, Any] = seen(building, outcome)
    return told


@pytest.mark.guarantee("COG-17")
def test_COG_17_a_build_has_no_secret_of_the_function_the_server_or_the_host(
    shop: Server, looked: dict[str, Any]
) -> None:
    import zlib

    read = {name: zlib.decompress(bytes.fromhex(text)) for name, text in looked["read"].items()}
    # What is looked for would be found: these are.
    assert any(b"def handle" in text for text in read.values()) and any(
        b"bootstrap.py" in text for text in read.values()
    )
    whole = repr(looked["environment"]).encode() + b"".join(read.values())
    for value in (SECRET, ANOTHER, ENVIRONMENT["TESTS_OWN_KEY"], shop.key):
        assert_absent(whole, value, "what a build sees")
    assert set(looked["environment"]) <= {
        "PATH", "HOME", "TMPDIR", "LANG", "LC_CTYPE", "NO_COLOR", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONNOUSERSITE",
        "SOURCE_DATE_EPOCH", "PWD",
    }, looked["environment"]  # fmt: skip


@pytest.mark.guarantee("KYM-13")
def test_KYM_13_a_build_is_as_restricted_as_a_function(shop: Server, looked: dict[str, Any]) -> None:
    own = own_status(shop)
    for status in (looked["status"], looked["first"]):
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[name], 16) == 0, name
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2") and "0" not in status["Uid"].split(), status
    same = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Uid", "Gid", "Groups")
    assert {name: looked["status"][name] for name in same} == {name: own[name] for name in same}
    assert looked["devices"] == ["lo"] and looked["routes"] == [] and looked["unix"] == []
    assert set(looked["descriptors"]) <= {"0", "1", "2", "3"}, looked["descriptors"]
    assert "environ" in looked["hidden"] and "maps" in looked["hidden"], "the process that waits for a build is closed"


# ---------------------------------------------------------------- the network


@step
def goes_out(folder: str, addresses: list[list[Any]], datagrams: list[list[Any]], sockets: list[str]) -> dict[str, str]:
    import errno
    import socket
    import time

    told = {}

    def tries(name: str, family: int, kind: int, target: Any) -> None:
        begin = time.monotonic()
        try:
            with socket.socket(family, kind) as stream:
                stream.settimeout(1)
                stream.connect(target)
                if kind == socket.SOCK_DGRAM:
                    stream.send(b"out")
                    stream.recv(1)
            told[name] = "connected"
        except TimeoutError:
            told[name] = "ETIMEDOUT"
        except OSError as refused:
            told[name] = errno.errorcode.get(refused.errno or 0, str(refused))
        told[name] += " late" if time.monotonic() - begin > 0.9 else ""

    for host, port in addresses:
        tries(f"{host}:{port}", socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, (host, port))
    for host, port in datagrams:
        tries(f"{host}:{port}/udp", socket.AF_INET, socket.SOCK_DGRAM, (host, port))
    for path in sockets:
        tries(path, socket.AF_UNIX, socket.SOCK_STREAM, path.replace("@", "\0"))
    for name in ("index.test", "localhost.example.com"):
        try:
            told[name] = repr(socket.getaddrinfo(name, 443))
        except OSError as refused:
            told[name] = type(refused).__name__
    for kind in ("AF_PACKET", "AF_NETLINK", "AF_VSOCK", "AF_ALG"):
        try:
            socket.socket(getattr(socket, kind), socket.SOCK_RAW if kind != "AF_ALG" else socket.SOCK_SEQPACKET).close()
            told[kind] = "opened"
        except OSError as refused:
            told[kind] = errno.errorcode.get(refused.errno or 0, str(refused))
    return told


@pytest.mark.guarantee("COG-17")
@pytest.mark.case("N1", "N2")
def test_COG_17_a_build_reaches_nobody(shop: Server, packages: PackageWorld) -> None:
    abstract = f"casemate-tests-{randomness.token_hex(6)}"
    listener = packages.inner.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"\0{abstract}")
    listener.listen()
    (instance,) = shop.instances
    ports = [int(url.rpartition(":")[2]) for url in (shop.api_url, shop.gateway_url)]
    addresses = [
        (PUBLIC, HTTPS), (PUBLIC, PORT), ("169.254.169.254", 80), ("10.0.0.1", 80), (OWN_ADDRESSES[0], HTTPS),
        (OWN_ADDRESSES[1], HTTPS), (RESOLVER_ADDRESS, 53), ("2606:4700::1", HTTPS),
        *[(host, port) for host in ("127.0.0.1", "::1", "0.0.0.0", "198.18.0.1") for port in (*ports, HTTPS, PORT)],
    ]  # fmt: skip
    sockets = [f"@{abstract}", f"/run/casemate/{instance}/warden.sock", "/var/run/docker.sock", "@/casemate"]
    datagrams = [(RESOLVER_ADDRESS, 53), ("127.0.0.53", 53), ("169.254.169.254", 80)]
    try:
        # What the step asks for is there to be had, for whoever is not kept from it.
        with packages.inner.connect("127.0.0.1", ports[0], 5):
            pass
        with packages.inner.connect(PUBLIC, HTTPS, 5):
            pass
        # It is noted by another thread.
        assert wait_until(lambda: packages.arrivals_at(PUBLIC, HTTPS), 5)
        packages.forget_packages()
        outcome = attempt(shop, packages, goes_out, addresses=addresses, datagrams=datagrams, sockets=sockets)
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()
    finally:
        listener.close()
    told = seen(shop, outcome)
    assert len(told) == len(set(addresses)) + len(datagrams) + len(sockets) + 6
    refusals = {"ENETUNREACH", "ECONNREFUSED", "EHOSTUNREACH", "ENOENT", "EPERM", "EACCES", "EADDRNOTAVAIL", "gaierror"}
    refusals |= {"EAFNOSUPPORT", "EPROTONOSUPPORT", "EINVAL"}
    assert {name: how for name, how in told.items() if how not in refusals} == {}


# ---------------------------------------------------------------- without end


@step
def forks_without_end(folder: str) -> None:
    import os
    import time

    if os.fork():
        # The wheel is made while they go on.
        time.sleep(2)
        return
    os.setsid()
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.01)


@step
def forks_to_the_limit(folder: str) -> int:
    import os
    import time

    count = 0
    while True:
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
        count += 1
        if count > 5000:
            return count


@step
def leaves_processes(folder: str) -> list[int]:
    import os
    import signal
    import time

    started = []
    for number in range(12):
        child = os.fork()
        if child == 0:
            for name in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(name, signal.SIG_IGN)
            if number % 2:
                os.setsid()
            if number % 3 and os.fork():
                os._exit(0)
            if number % 4:
                for descriptor in range(3):
                    os.close(descriptor)
            while True:
                time.sleep(0.05)
        started.append(child)
    return started


@pytest.mark.guarantee("COG-17")
@pytest.mark.case("X3")
@pytest.mark.parametrize("does", [forks_without_end, leaves_processes], ids=lambda does: does.name)
def test_X3_COG_17_processes_that_a_build_starts_end_with_it(shop: Server, packages: PackageWorld, does: Step) -> None:
    let_pass(attempt(shop, packages, does))
    assert wait_until(lambda: not traces(shop), 5) is True, traces(shop)


@pytest.mark.guarantee("COG-17")
@pytest.mark.case("X3")
def test_X3_COG_17_a_build_has_a_limit_of_processes_that_is_told(shop: Server, packages: PackageWorld) -> None:
    problem = failed(attempt(shop, packages, forks_to_the_limit), "Resource temporarily unavailable")
    assert "quokka-forks-to-the-limit" in problem


@step
def fills_the_disk(folder: str, place: str) -> int:
    import os

    written, block = 0, bytes(1 << 20)
    # No more than that, whatever the limit is.
    for number in range(40):
        with open(os.path.join(place, f"full-{number}"), "wb") as file:
            for _ in range(100):
                file.write(block)
                written += len(block)
    return written


@step
def fills_it_with_files(folder: str) -> int:
    import os

    place = os.path.join(folder, "many")
    os.mkdir(place)
    for number in range(300_000):
        os.close(os.open(f"{place}/{number}", os.O_CREAT | os.O_WRONLY, 0o600))
    return number


@step
def allocates_without_end(folder: str) -> int:
    kept = []
    # No more than that, whatever the limit is.
    for _ in range(120):
        kept.append(b"x" * (64 << 20))
    return len(kept)


@step
def allocates_in_children(folder: str) -> int:
    import os
    import time

    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            kept = [b"x" * (64 << 20) for _ in range(12)]
            time.sleep(1)
            os._exit(len(kept))
        children.append(child)
    return [os.WEXITSTATUS(os.waitpid(child, 0)[1]) for child in children].count(12)


@pytest.mark.guarantee("COG-17")
@pytest.mark.case("X3")
@pytest.mark.parametrize("place", ["/out", "/tmp", "/dev/shm"])
def test_X3_COG_17_a_build_that_fills_its_disk_is_told_so(shop: Server, packages: PackageWorld, place: str) -> None:
    outcome = attempt(shop, packages, fills_the_disk, place=place)
    assert "quokka-fills-the-disk" in failed(outcome, "No space left on device"), outcome.said


@pytest.mark.guarantee("COG-17")
@pytest.mark.case("X3")
def test_X3_COG_17_a_build_that_makes_files_without_end_is_told_so(shop: Server, packages: PackageWorld) -> None:
    assert "quokka-fills-it" in failed(attempt(shop, packages, fills_it_with_files), "No space left on device")


@pytest.mark.guarantee("COG-17")
@pytest.mark.case("X3")
def test_X3_COG_17_a_build_that_allocates_without_end_is_ended_and_told(shop: Server, packages: PackageWorld) -> None:
    assert "memory" in failed(attempt(shop, packages, allocates_without_end))


@pytest.mark.guarantee("COG-17")
@pytest.mark.case("X3")
def test_X3_COG_17_processes_of_a_build_have_its_memory_together(shop: Server, packages: PackageWorld) -> None:
    outcome = attempt(shop, packages, allocates_in_children)
    if outcome.code == 0:
        assert seen(shop, outcome) < 4, "they have 2 GiB together"
    else:
        failed(outcome)


@step
def never_ends(folder: str) -> None:
    import signal
    import time

    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    while True:
        time.sleep(0.05)


@pytest.fixture
def endless(packages: PackageWorld) -> Iterator[tuple[Server, Future[Outcome]]]:
    """A server of its own, with a build that never ends under way."""
    packages.index.add(Sourced("quokka-never-ends", does=never_ends))
    source = needing(["quokka-never-ends==1.0"], "quokka_never_ends")
    with ThreadPoolExecutor(1) as pool, packages.installing("--pool-size", "2") as server:
        server.assert_serving()
        deploying = pool.submit(server.try_deploy, "builds", "never", source, keys("quokka-never-ends"))

        def steps() -> list[Process]:
            return [one for group in server.sandboxes().values() for one in group if "hooks.py" in one.command]

        assert wait_until(steps, 20), deploying.result(1).said
        try:
            yield server, deploying
        finally:
            if server.is_running():
                server.kill()
        server.assert_clean(10)
        assert deploying.result(20).code != 0


@pytest.mark.guarantee("COG-17")
@pytest.mark.case("X3")
def test_X3_COG_17_a_build_that_never_ends_keeps_nobody_waiting(endless: tuple[Server, Future[Outcome]]) -> None:
    """The two minutes that a build has are tested with the runtime's own tests, where they can be made shorter."""
    server, deploying = endless
    let_pass(server.try_deploy("builds", "beside", needing(["plain"], "plain"), {}))
    assert server.call("builds/beside", body={}).json() == 1
    server.assert_serving()
    assert not deploying.done()


@pytest.mark.guarantee("COG-17")
@pytest.mark.case("X3")
def test_X3_COG_17_a_build_that_never_ends_does_not_keep_the_server_from_stopping(
    endless: tuple[Server, Future[Outcome]],
) -> None:
    server, _ = endless
    assert server.stop() < 10


# ---------------------------------------------------------------- output


@step
def prints_without_end(folder: str, megabytes: int, fails: bool) -> None:
    import os

    line = b"%s\n" % (b"x" * 1023)
    for _ in range(megabytes):
        os.write(1, line * 512)
        os.write(2, line * 512)
    os.write(1, b"the last of it\n")
    if fails:
        raise SystemExit(3)


@pytest.mark.guarantee("COG-17")
@pytest.mark.parametrize("fails", [False, True], ids=["passes", "fails"])
def test_COG_17_of_a_hundred_megabytes_of_output_the_end_is_kept(
    shop: Server, packages: PackageWorld, fails: bool
) -> None:
    outcome = attempt(shop, packages, prints_without_end, megabytes=100, fails=fails)
    assert len(outcome.said) < 20_000 and len("".join(shop.out + shop.err)) < 1 << 20
    if fails:
        assert "quokka-prints" in failed(outcome, "the last of it")
    else:
        let_pass(outcome)


@step
def prints_what_harms(folder: str) -> None:
    import os

    os.write(1, b"\x1b[2J\x1b]0;title\x07\x1b[31mred\r\n\xff\xfe\x00 after zero \x9b31m\xc2\x9b31m last\n")
    raise SystemExit(3)


@pytest.mark.guarantee("COG-17")
def test_COG_17_what_a_build_prints_controls_no_terminal_and_forges_no_record(
    shop: Server, packages: PackageWorld
) -> None:
    failed(attempt(shop, packages, prints_what_harms), "last")
    folder = shop.project(
        "builds", "prints", needing(["quokka-prints-what-harms==1.0"], "x"), keys("quokka-prints-what-harms")
    )
    code, out, err = shop.cli("deploy", str(folder))
    assert code == 1 and "last" in out + err, out + err
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]", out + err), repr(out + err)


# ---------------------------------------------------------------- writing elsewhere


@step
def writes_elsewhere(folder: str, paths: list[str]) -> dict[str, str]:
    import errno
    import os

    told = {}
    for path in paths:
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "a") as file:
                file.write("def handle(data):\n    return 'changed'\n")
            told[path] = "written"
        except OSError as refused:
            told[path] = errno.errorcode[refused.errno or 0]
    # What is no file, or leads elsewhere.
    for name, make in (
        ("/out/link", lambda path: os.symlink("/etc/passwd", path)),
        ("/out/src-link", lambda path: os.symlink("/fn/src", path)),
        ("/out/pipe", os.mkfifo),
        ("/out/device", lambda path: os.mknod(path, 0o20666, os.makedev(1, 3))),
        ("/out/setuid", lambda path: os.chmod(os.open(path, os.O_CREAT | os.O_WRONLY), 0o6700)),
    ):
        try:
            make(name)
            told[name] = "made"
        except OSError as refused:
            told[name] = errno.errorcode[refused.errno or 0]
    here = os.getcwd()
    for _ in range(2000):
        os.mkdir("deep")
        os.chdir("deep")
    os.chdir(here)
    return told


@pytest.mark.guarantee("COG-17")
@pytest.mark.case("X9", "D3")
def test_COG_17_what_a_build_writes_beside_its_wheel_is_nowhere(shop: Server, packages: PackageWorld) -> None:
    closed = [
        "/fn/src/handler.py", "/fn/deps/plain.py", "/fn/.build/x", "/usr/lib/python3.11/os.py", "/etc/passwd", "/etc/ld.so.preload",
        "/opt/casemate/casemate_runtime/second.py", "/opt/tools/uv", "/etc/ssl/certs/ca-certificates.crt", "/root/x", "/x",
        "/proc/1/mem", "/proc/sys/kernel/core_pattern",
    ]  # fmt: skip
    own = [
        "/out/src/handler.py",
        "/out/src/more.py",
        "/out/deps/plain.py",
        "/out/deps/sitecustomize.py",
        "/out/.scratch/x",
    ]
    temporary = ["/tmp/x", "/dev/shm/x"]
    returns = "[quokka_writes_elsewhere.FOUND, plain.VERSION, sorted(os.listdir('/fn')), sorted(os.listdir('/fn/src')), sorted(os.listdir('/fn/deps'))]\nimport os"
    outcome = attempt(
        shop, packages, writes_elsewhere, "plain==1.0", returns=returns, paths=[*closed, *own, *temporary]
    )
    told, version, top, source, installed = answer_of(shop, outcome)
    how = unveiled(told)
    assert {path: how[path] for path in closed if how[path] == "written"} == {}, how
    # Its own folder it may write to, as that does not count.
    assert {how[path] for path in own} == {"written"} and how["/out/link"] == "made", how
    assert version == "1.0" and top == ["deps", "src"]
    assert source == ["__pycache__", "handler.py", "requirements.txt"], source
    about = {"plain-1.0.dist-info", "quokka_writes_elsewhere-1.0.dist-info"}
    assert set(installed) == {"__pycache__", "plain.py", "quokka_writes_elsewhere.py", *about}, installed


@step
def fills_its_wheel(folder: str, entries: dict[str, Any]) -> None:
    MORE.update(entries)  # type: ignore[name-defined]  # noqa: F821  # of the backend


LINK, DEVICE, PIPE, SETUID = 0o120777, 0o20666, 0o10666, 0o106755
HARMFUL: dict[str, dict[str, Any]] = {
    "a link": {"link.py": (LINK, "/etc/passwd")},
    "a link and a file through it": {"place": (LINK, "/fn/src"), "place/handler.py": "raise SystemExit('it ran')"},
    "a device": {"device": (DEVICE, "")},
    "a pipe": {"pipe": (PIPE, "")},
    "a program that gives rights": {"setuid": (SETUID, "x")},
    "a path to the parent": {"../src/handler.py": "def handle(data):\n    return 'changed'\n"},
    "an absolute path": {"/out/src/handler.py": "def handle(data):\n    return 'changed'\n"},
    "data beside": {
        "quokka_fills_its_wheel-1.0.data/data/../src/handler.py": "def handle(data):\n    return 'changed'\n"
    },
    "data of the parent": {"quokka_fills_its_wheel-1.0.data/data/x/../../../src/handler.py": "raise SystemExit(1)"},
    "scripts": {"quokka_fills_its_wheel-1.0.data/scripts/python3": "#!python\nraise SystemExit('it ran')\n"},
    "headers": {"quokka_fills_its_wheel-1.0.data/headers/x.h": "int x;"},
    "start-up files": {
        "evil.pth": "import sys; sys.exit('it ran')\n",
        "sitecustomize.py": "raise SystemExit('it ran')\n",
    },
}


@pytest.mark.guarantee("COG-17")
@pytest.mark.case("D1", "D3")
@pytest.mark.parametrize("what", HARMFUL)
def test_D1_D3_COG_17_a_wheel_that_holds_more_than_files_of_its_own_does_no_harm(
    shop: Server, packages: PackageWorld, what: str
) -> None:
    looking = """(lambda: {
        os.path.join(folder, name): os.lstat(os.path.join(folder, name)).st_mode
        for folder, folders, names in os.walk("/fn") for name in [*folders, *names]
    })()
import os"""
    outcome = attempt(shop, packages, fills_its_wheel, returns=looking, entries=HARMFUL[what])
    if outcome.code:
        assert "quokka-fills-its-wheel" in failed(outcome), outcome.said
        return
    modes = answer_of(shop, outcome)
    kinds = {path: oct(mode) for path, mode in modes.items() if mode & 0o170000 not in (0o100000, 0o40000)}
    assert kinds == {} and not [path for path, mode in modes.items() if mode & 0o6000], modes
    assert not [path for path in modes if path.startswith("/fn/") and path.split("/")[2] not in ("src", "deps")], modes
    assert {path for path in modes if path.startswith("/fn/src/") and "__pycache__" not in path} == {
        "/fn/src/handler.py",
        "/fn/src/requirements.txt",
    }


# ---------------------------------------------------------------- the packages beside


@step
def changes_the_installed(folder: str) -> list[str]:
    import os

    told = []
    for top, folders, names in os.walk("/fn"):
        for name in [*folders, *names]:
            path = os.path.join(top, name)
            for change, more in (
                (os.chmod, (0o700,)),
                (os.rename, (path + "x",)),
                (os.utime, ((0, 0),)),
                (os.open, (os.O_WRONLY,)),
                (os.unlink, ()),
            ):
                try:
                    change(path, *more)
                    told.append(path)
                except OSError:
                    pass
    return told


@pytest.mark.guarantee("COG-17")
def test_COG_17_a_build_changes_no_package_that_is_installed(shop: Server, packages: PackageWorld) -> None:
    returns = "[plain.VERSION, quokka_changes_the_installed.FOUND]"
    version, told = answer_of(shop, attempt(shop, packages, changes_the_installed, "plain==1.0", returns=returns))
    assert version == "1.0" and unveiled(told) == []


@pytest.mark.guarantee("COG-17")
def test_COG_17_a_wheel_that_was_built_takes_no_file_of_another_package_over(
    shop: Server, packages: PackageWorld
) -> None:
    entries = {"plain.py": "VERSION = 'changed'\n"}
    outcome = attempt(shop, packages, fills_its_wheel, "plain==1.0", returns="plain.VERSION", entries=entries)
    if outcome.code == 0:
        assert answer_of(shop, outcome) == "1.0"
    else:
        failed(outcome)


@step
def tampers_with_wheels(folder: str) -> list[str]:
    import os
    import shutil
    import zipfile

    told = []
    for top, _, names in os.walk("/out"):
        for name in names:
            path = os.path.join(top, name)
            if name.endswith(".whl"):
                told.append(name)
                with zipfile.ZipFile(path) as wheel:
                    entries = {entry: wheel.read(entry) for entry in wheel.namelist()}
                changed = "/tmp/changed.whl"
                with zipfile.ZipFile(changed, "w") as wheel:
                    for entry, content in entries.items():
                        wheel.writestr(entry, content.replace(b"VERSION = '1.0'", b"VERSION = 'changed'"))
                # The same file, with other bytes.
                with open(changed, "rb") as new, open(path, "r+b") as old:
                    old.truncate()
                    shutil.copyfileobj(new, old)
    return told


@step
def prepares_for_others(folder: str) -> None:
    import os
    import shutil

    # Where the next package may be built: its folder is there already, and full.
    mine = os.path.dirname(folder)
    for name in ("wombats", "numbats"):
        other = os.path.join(os.path.dirname(mine), name)
        if not os.path.exists(other):
            shutil.copytree(mine, other)
            for name in ("sitecustomize.py", "source/own.py", "home/sitecustomize.py"):
                with open(os.path.join(other, name), "w") as file:
                    file.write("raise SystemExit('it ran')\n")


@pytest.mark.guarantee("COG-17")
@pytest.mark.parametrize("does", [tampers_with_wheels, prepares_for_others], ids=lambda does: does.name)
@pytest.mark.parametrize("other", ["numbats", "wombats"], ids=["built before", "built after"])
def test_COG_17_the_build_of_one_package_changes_no_other_that_is_built(
    shop: Server, packages: PackageWorld, does: Step, other: str
) -> None:
    outcome = attempt(shop, packages, does, f"{other}==1.0", returns=f"{other}.VERSION")
    if outcome.code == 0:
        assert answer_of(shop, outcome) == "1.0"
    else:
        assert does.name.replace("_", "-") in failed(outcome) or other in failed(outcome), outcome.said
        assert "it ran" not in outcome.said


@step
def names_itself_otherwise(folder: str) -> None:
    return None


@pytest.mark.guarantee("COG-17", "COG-18")
@pytest.mark.parametrize(
    "makes",
    [
        "plain-1.0-py3-none-any.whl",
        "quokka_names_itself_otherwise-6.6-py3-none-any.whl",
        "quokka_names_itself_otherwise-1.0.tar.gz",
        "../quokka_names_itself_otherwise-1.0-py3-none-any.whl",
        "x" * 200 + "-1.0-py3-none-any.whl",
    ],
    ids=["another package", "another version", "no wheel", "elsewhere", "a long name"],
)
def test_COG_17_a_build_that_makes_something_else_than_its_wheel_is_refused(
    shop: Server, packages: PackageWorld, makes: str
) -> None:
    outcome = attempt(shop, packages, names_itself_otherwise, "plain==1.0", release={"makes": makes})
    assert "quokka-names-itself-otherwise" in failed(outcome), outcome.said


@step
def lies_about_itself(folder: str, about: str) -> None:
    with open("PKG-INFO", "w") as file:
        file.write(about)


@pytest.mark.guarantee("COG-17", "COG-18")
@pytest.mark.parametrize(
    ("about", "said"),
    [
        ("Name: plain\nVersion: 1.0\n", ""),
        ("Name: quokka-lies-about-itself\nVersion: 6.6\n", ""),
        ("Name: quokka-lies-about-itself\nVersion: 1.0\nRequires-Dist: absent-here\n", "absent-here"),
        ("Name: quokka-lies-about-itself\nVersion: 1.0\nRequires-Dist: evil @ https://index.test:8450/evil.whl\n", ""),
    ],
    ids=["another name", "another version", "a package that was not locked", "an address"],
)
def test_COG_17_a_wheel_that_says_something_else_of_itself_than_was_locked_is_refused(
    shop: Server, packages: PackageWorld, about: str, said: str
) -> None:
    outcome = attempt(shop, packages, lies_about_itself, "plain==1.0", about=f"Metadata-Version: 2.1\n{about}")
    failed(outcome, said)


@step
def makes_two(folder: str) -> None:
    with open(f"{folder}/another-1.0-py3-none-any.whl", "w") as file:
        file.write("x")


@step
def makes_none(folder: str) -> None:
    import os

    os._exit(0)


@step
def makes_a_link(folder: str, to: str) -> None:
    import os

    os.symlink(to, f"{folder}/quokka_makes_a_link-1.0-py3-none-any.whl")
    os._exit(0)


@pytest.mark.guarantee("COG-17")
@pytest.mark.parametrize(
    ("does", "given"),
    [(makes_two, {}), (makes_none, {}), (makes_a_link, {"to": "/etc/passwd"}), (makes_a_link, {"to": "/proc/1/fd/3"})],
    ids=["two files", "none", "a link", "a link to a descriptor"],
)
def test_COG_17_one_wheel_and_nothing_else_may_come_of_a_build(
    shop: Server, packages: PackageWorld, does: Step, given: dict[str, Any]
) -> None:
    assert does.name.replace("_", "-") in failed(attempt(shop, packages, does, **given))
