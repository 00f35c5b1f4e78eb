"""What a refused connection's error says, and what the platform is told of it."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest
from casemate_runtime.refusals import Explainer


class Heard(Explainer):
    def __init__(self) -> None:
        super().__init__()
        self.function = "plant/score"
        self.told: list[str] = []

    def tell(self, port: int, host: str) -> None:
        self.told.append(f"p{port}.{host}")


@pytest.fixture
def explainer() -> Heard:
    return Heard()


@pytest.mark.parametrize("port, number", [(443, "443"), ("https", "443"), ("http", "80"), (5432, "5432")])
def test_a_name_that_is_not_found_is_explained_with_the_command(explainer: Heard, port: Any, number: str) -> None:
    error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    explainer.name(error, "API.example.com.", port)
    assert str(error) == (
        "[Errno -2] Name or service not known: api.example.com is not in this function's egress list; "
        f"allow it with: casemate egress allow plant/score api.example.com:{number}"
    )
    assert error.errno == socket.EAI_NONAME
    assert explainer.told == [f"p{number}.api.example.com"]


def test_without_a_port_the_command_says_so(explainer: Heard) -> None:
    error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    explainer.name(error, b"api.example.com", None)
    assert str(error).endswith("api.example.com:PORT") and explainer.told == []


@pytest.mark.parametrize(
    "code, host", [(socket.EAI_FAMILY, "a.org"), (socket.EAI_NONAME, "1.2.3.4"), (socket.EAI_NONAME, None)]
)
def test_other_faults_of_names_stay_as_they_are(explainer: Heard, code: int, host: Any) -> None:
    error = socket.gaierror(code, "as it was")
    explainer.name(error, host, 443)
    assert str(error) == f"[Errno {code}] as it was" and explainer.told == []


@pytest.mark.parametrize(
    "address, told",
    [
        (("169.254.169.254", 80), "p80.xa9fea9fe"),
        (("2606:4700::1111", 443, 0, 0), "p443.x26064700000000000000000000001111"),
        (("fe80::1%lo", 80, 0, 1), "p80.xfe800000000000000000000000000001"),
    ],
)
def test_an_address_without_a_route_is_told_and_explained(explainer: Heard, address: Any, told: str) -> None:
    error = OSError(errno.ENETUNREACH, "Network is unreachable")
    explainer.address(error, address)
    assert "a function reaches only the names on its egress list" in str(error)
    assert explainer.told == [told]


def test_a_port_that_is_not_listed_is_named_with_its_name(explainer: Heard) -> None:
    explainer.remember("db.example.com", [(2, 1, 6, "", ("127.66.0.3", 5432))])
    error = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    explainer.address(error, ("127.66.0.3", 5433))
    assert str(error).endswith("casemate egress allow plant/score db.example.com:5433")
    assert explainer.told == ["p5433.x7f420003"]


@pytest.mark.parametrize(
    "code, address",
    [
        (errno.ECONNREFUSED, ("127.0.0.1", 8080)),
        (errno.ETIMEDOUT, ("127.66.0.1", 443)),
        (errno.ENETUNREACH, "/run/socket"),
        (errno.ENETUNREACH, ("1.1.1.1", 0)),
        (errno.ENETUNREACH, ("1.1.1.1",)),
        (errno.ENETUNREACH, ("host", 443)),
        (errno.ENETUNREACH, (None, 443)),
    ],
)
def test_the_functions_own_affairs_are_not_told(explainer: Heard, code: int, address: Any) -> None:
    error = OSError(code, "as it was")
    explainer.address(error, address)
    assert str(error) == f"[Errno {code}] as it was" and explainer.told == []


def test_installed_it_changes_nothing_but_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", socket.getaddrinfo)
    monkeypatch.setattr(socket.socket, "connect", socket.socket.connect)
    monkeypatch.setattr(socket.socket, "connect_ex", socket.socket.connect_ex)
    Heard().install()
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname(), 2) as client:
            assert client.getpeername() == server.getsockname()
        with socket.socket() as client:
            assert client.connect_ex(server.getsockname()) == 0
        port = server.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 2)
    assert socket.getaddrinfo.__name__ == "getaddrinfo"


@pytest.mark.parametrize("host", ["a" * 64, "a..b", ".".join(["a" * 60] * 5)])
def test_a_name_that_fits_no_question_is_not_told(host: str) -> None:
    Explainer().tell(443, host)
