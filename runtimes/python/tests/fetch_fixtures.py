"""Servers that the tests of one module share: to start one takes longer than to ask it. Other modules count threads and children."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fetch_support import Certificate, GitServer, Repository, SshServer


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    from fetch_support import certificate

    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def https(tmp_path_factory: pytest.TempPathFactory, tls: Certificate) -> Iterator[GitServer]:
    from fetch_support import GitServer

    server = GitServer(tmp_path_factory.mktemp("https"), tls)
    yield server
    server.close()


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    from fetch_support import SshServer

    server = SshServer(tmp_path_factory.mktemp("sshd"))
    yield server
    server.close()


class Place:
    """One test's repositories at the https server."""

    def __init__(self, server: GitServer, name: str) -> None:
        self.server = server
        self.name = name

    def repository(self, name: str = "a.git", object_format: str = "sha1") -> Repository:
        from fetch_support import Repository

        return Repository(self.server.root / self.name / name, object_format)

    def url(self, name: str = "a.git", how: str = "") -> str:
        return self.server.url(f"{how}/{self.name}/{name}" if how else f"{self.name}/{name}")


@pytest.fixture
def place(https: GitServer, tmp_path: Path) -> Place:
    https.requests.clear()
    return Place(https, tmp_path.name)
