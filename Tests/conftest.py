"""Fixtures of the journey and security tests. The shared server is for tests that leave it as they found it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "support"))

from artifact_store import Store, in_bucket, in_folder
from casemate_fixture import Server, binary
from moto_server import Moto, moto
from network_world import World


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "guarantee(*ids): the rows of docs/guarantees.md that the test checks")
    config.addinivalue_line("markers", "alone: the test looks at all of the machine, and no other runs beside it")
    config.addinivalue_line("markers", "case(*ids): the attack, fault and bad-input cases that the test is")


@pytest.fixture(scope="session")
def running() -> Iterator[Server]:
    if os.geteuid() != 0:
        pytest.exit("these tests start sandboxes, which needs root", returncode=4)
    if not binary().exists():
        pytest.exit(f"{binary()} is missing: build first, or set CASEMATE_BIN", returncode=4)
    with Server() as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """The shared server. A test that ends it fails, and the next finds it started again."""
    yield running
    if not running.is_running():
        last = "".join(line for line in running.err if "[ra]" not in line)[:3000]
        running.start()
        pytest.fail(f"the server ended during this test; its last words: {last}")


@pytest.fixture(scope="module")
def network() -> Iterator[World]:
    if os.geteuid() != 0:
        pytest.exit("these tests make network namespaces, which needs root", returncode=4)
    with World() as world:
        yield world


@pytest.fixture(scope="module")
def walled_server(network: World) -> Iterator[Server]:
    with network.server() as server:
        yield server


@pytest.fixture
def world(network: World) -> World:
    """The made-up internet as it is at first: nothing in its names, nothing seen."""
    network.forget()
    return network


@pytest.fixture
def walled(walled_server: Server, world: World) -> Iterator[Server]:
    """The server inside the made-up internet. A test that ends it fails, and the next finds it started again."""
    yield walled_server
    if not walled_server.is_running():
        last = "".join(walled_server.err)[-3000:]
        walled_server.start()
        pytest.fail(f"the server ended during this test; its last words: {last}")


@pytest.fixture(scope="module")
def aws() -> Iterator[Moto]:
    with moto() as server:
        yield server


@pytest.fixture(scope="module")
def folder() -> Iterator[Store]:
    """A server whose archives lie in its folder, with a limit that has no meaning there."""
    with in_folder("--artifact-cache-size", str(1 << 20)) as store:
        yield store


@pytest.fixture(scope="module")
def store(aws: Moto) -> Iterator[Store]:
    """A server whose archives lie in a bucket."""
    with in_bucket(aws, "tests") as store:
        yield store
