"""A frame that is wrong ends the sandbox: it is the server's fault. A command that is not allowed is answered."""

from __future__ import annotations

import pytest
from casemate_checks.request import Request
from casemate_runtime.faults import Fault, ProtocolError
from casemate_runtime.frames import VERIFIED, VERIFY, encode_field

KIND, WORD, SECONDS, ENVIRONMENT = 21, 22, 23, 3
USUAL = [(KIND, b"test"), (WORD, b"pytest"), (WORD, b"-q"), (SECONDS, b"30"), (ENVIRONMENT, b"REGION\0north")]


def read(fields: list[tuple[int, bytes]], body: bytes = b"", more: bytes = b"") -> Request:
    meta = b"".join(encode_field(tag, value) for tag, value in fields) + more
    return Request.read(memoryview(meta), memoryview(body))


def test_the_kinds_of_frames_are_those_of_the_protocol() -> None:
    assert (VERIFY, VERIFIED) == (0x08, 0x8A)


def test_a_request_has_a_command_an_environment_and_a_time() -> None:
    request = read(USUAL)
    assert request.command == ("test", "pytest", ("-q",), False)
    assert (request.environment, request.seconds) == ((("REGION", "north"),), 30)


def test_the_time_is_two_minutes_where_none_is_said() -> None:
    assert read(USUAL[:2]).seconds == 120


def test_values_may_be_empty_and_of_any_bytes_but_nul() -> None:
    request = read([*USUAL[:2], (ENVIRONMENT, b"A\0"), (ENVIRONMENT, b"B\0=\xff\n")])
    assert request.environment == (("A", ""), ("B", "=\udcff\n"))


@pytest.mark.parametrize(
    "fields",
    [
        [],
        USUAL[1:],
        [*USUAL, (KIND, b"test")],
        [*USUAL, (SECONDS, b"30")],
        [*USUAL[:3], (SECONDS, b"0")],
        [*USUAL[:3], (SECONDS, b"121")],
        [*USUAL[:3], (SECONDS, b"-1")],
        [*USUAL[:3], (SECONDS, b"")],
        [*USUAL[:3], (SECONDS, b"1.5")],
        [*USUAL[:3], (SECONDS, b"030")],
        [*USUAL[:3], (SECONDS, b" 30")],
        [*USUAL[:3], (SECONDS, "٣".encode())],
        [*USUAL[:3], (SECONDS, b"9" * 5000)],
        [(KIND, b"\xff"), *USUAL[1:]],
        [*USUAL, (WORD, b"\xff\xfe")],
        [*USUAL, (ENVIRONMENT, b"")],
        [*USUAL, (ENVIRONMENT, b"NAME")],
        [*USUAL, (ENVIRONMENT, b"\0value")],
        [*USUAL, (ENVIRONMENT, b"A=B\0value")],
        [*USUAL, (ENVIRONMENT, b"A\0b\0c")],
        [*USUAL, (ENVIRONMENT, b"\xff\0value")],
        [*USUAL, (4, b"KEY\0secret")],
        [*USUAL, (1, b"handler.handle")],
        [*USUAL, (0, b"")],
        [*USUAL, (255, b"")],
    ],
    ids=range(25),
)
def test_a_frame_of_another_form_is_no_check(fields: list[tuple[int, bytes]]) -> None:
    with pytest.raises(ProtocolError):
        read(fields)


def test_a_body_is_not_taken() -> None:
    with pytest.raises(ProtocolError):
        read(USUAL, b"x")


@pytest.mark.parametrize(
    "more", [b"\x16", b"\x16\0\0\0", b"\x16\0\0\0\x05abcd", b"\x16\xff\xff\xff\xffx"], ids=range(4)
)
def test_a_field_that_is_cut_off_is_none(more: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(USUAL, more=more)


@pytest.mark.parametrize(
    "fields",
    [
        [(KIND, b"test")],
        [(KIND, b""), (WORD, b"pytest")],
        [(KIND, b"lint"), (WORD, b"pytest")],
        [(KIND, b"test"), (WORD, b"")],
        [(KIND, b"test"), (WORD, b"pytest"), (WORD, b"")],
        [(KIND, b"test"), (WORD, b"pytest -q")],
        [(KIND, b"test"), (WORD, b"pytest"), (WORD, b"-p"), (WORD, b"os")],
        [(KIND, b"test"), (WORD, b"pytest"), (WORD, b"a\0b")],
        [(KIND, b"test"), *[(WORD, b"pytest")] * 65],
    ],
    ids=range(9),
)
def test_a_command_that_is_not_allowed_is_the_author_s_fault(fields: list[tuple[int, bytes]]) -> None:
    with pytest.raises(Fault) as caught:
        read(fields)
    assert caught.value.code == "check-refused"
