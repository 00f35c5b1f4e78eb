"""What tests of signatures begin with: keys, and a namespace where one of them signs."""

from __future__ import annotations

import itertools

import pytest
from casemate_fixture import Server
from ssh_signatures import (
    Keys,
    signer,
    supply_chain,
)

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def house(server: Server, keys: Keys) -> str:
    """A namespace of the test's own, where ada may sign and nobody has to."""
    name = f"signed-{next(_numbers)}"
    supply_chain(server, name, signer("ada", keys("ada")))
    return name


def assert_never_there(server: Server, function: str) -> None:
    assert server.api("GET", server.function_path(function)).status == 404
