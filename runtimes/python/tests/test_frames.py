"""Frames survive any splitting of the stream, and lengths are checked before they are believed."""

import os
import socket
import threading
from collections.abc import Iterator

import pytest
from casemate_runtime import frames
from casemate_runtime.faults import Fault, ProtocolError
from support import HEADER, field, receive


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, frames.Channel]]:
    outside, inside = socket.socketpair()
    outside.settimeout(10)
    inside.settimeout(10)
    yield outside, frames.Channel(inside)
    outside.close()
    inside.close()


def frame(meta: bytes, body: bytes, call: int = 7, kind: int = 2) -> bytes:
    return HEADER.pack(len(body), kind, 0, 0, len(meta), call) + meta + body


@pytest.mark.parametrize("size", [0, 1, 1024, 65_536, 131_072 - 19, 131_072 - 18, 131_073, 3_000_000])
def test_a_frame_of_any_size_arrives(pair: tuple[socket.socket, frames.Channel], size: int) -> None:
    outside, channel = pair
    body = os.urandom(size)
    sender = threading.Thread(target=outside.sendall, args=(frame(b"ab", body) + frame(b"", b"next"),))
    sender.start()
    read = channel.read()
    assert read is not None
    kind, call, meta, content = read
    assert (kind, call, bytes(meta), bytes(content)) == (2, 7, b"ab", body)
    following = channel.read()
    assert following is not None and bytes(following[3]) == b"next"
    sender.join()


def test_a_frame_that_comes_byte_by_byte_arrives(pair: tuple[socket.socket, frames.Channel]) -> None:
    outside, channel = pair

    def trickle() -> None:
        for byte in frame(b"meta", b"body"):
            outside.sendall(bytes([byte]))

    sender = threading.Thread(target=trickle)
    sender.start()
    read = channel.read()
    sender.join()
    assert read is not None and (bytes(read[2]), bytes(read[3])) == (b"meta", b"body")


def test_many_frames_in_one_packet_arrive_in_order(pair: tuple[socket.socket, frames.Channel]) -> None:
    outside, channel = pair
    outside.sendall(b"".join(frame(b"", str(number).encode(), number) for number in range(50)))
    for number in range(50):
        read = channel.read()
        assert read is not None and (read[1], bytes(read[3])) == (number, str(number).encode())


def test_the_end_between_frames_is_none_and_inside_one_an_error(pair: tuple[socket.socket, frames.Channel]) -> None:
    outside, channel = pair
    outside.sendall(frame(b"", b"") + frame(b"", b"cut off")[:-1])
    assert channel.read() is not None
    outside.shutdown(socket.SHUT_WR)
    with pytest.raises(ProtocolError):
        channel.read()
    outside, inside = socket.socketpair()
    outside.sendall(b"\0\0\0")
    outside.close()
    with pytest.raises(ProtocolError, match="inside a header"):
        frames.Channel(inside).read()
    inside.close()
    outside, inside = socket.socketpair()
    outside.close()
    assert frames.Channel(inside).read() is None
    inside.close()


@pytest.mark.parametrize("body, meta", [(0xFFFF_FFFF, 0), (0, 0xFFFF_FFFF)])
def test_a_length_beyond_the_limit_is_refused(pair: tuple[socket.socket, frames.Channel], body: int, meta: int) -> None:
    outside, channel = pair
    outside.sendall(HEADER.pack(body, 2, 0, 0, meta, 1))
    with pytest.raises(ProtocolError, match="too long"):
        channel.read()


@pytest.mark.parametrize("size", [0, 1000, 65_535, 65_536, 5_000_000])
def test_what_is_sent_is_one_frame(pair: tuple[socket.socket, frames.Channel], size: int) -> None:
    outside, channel = pair
    body = os.urandom(size)
    sender = threading.Thread(target=channel.send, args=(frames.REPLY, 9, 1, 503, b"a\0b\0", body))
    sender.start()
    assert receive(outside) == (0x83, 1, 503, 9, b"a\0b\0", body)
    sender.join()


def test_fields_keep_their_order_and_cut_off_ones_are_refused() -> None:
    meta = field(3, b"A\0" b"1") + field(1, b"x.y") + field(3, b"B\0")
    assert frames.decode_fields(memoryview(meta)) == {3: [b"A\x001", b"B\0"], 1: [b"x.y"]}
    for end in set(range(1, len(meta))) - {8, 16}:
        with pytest.raises(ProtocolError):
            frames.decode_fields(memoryview(meta[:end]))


def test_a_request_is_decoded_and_its_pairs_must_be_pairs() -> None:
    meta = memoryview(b"GET\0/a\0q=1\0Accept\0*/*\0x\0\xc3\xa9\0")
    assert frames.decode_request(meta) == ("GET", "/a", "q=1", ["Accept", "*/*", "x", "é"])
    assert frames.decode_request(memoryview(b"GET\0/\0\0x\0\xe9\0"))[3] == ["x", "é"]
    for wrong in (b"", b"GET\0/\0", b"GET\0/\0\0name\0", b"GET\0/\0\0name\0value"):
        with pytest.raises(ProtocolError):
            frames.decode_request(memoryview(wrong))


def test_an_errors_fields_can_not_be_forged_by_its_message() -> None:
    meta = Fault("import-error", "a\0b", "f\0g.py", 3).meta()
    assert meta.split(b"\0") == [b"import-error", b"f\\0g.py", b"3", b"a\\0b"]
    long = Fault("import-error", "é" * 100_000, "é" * 100_000, body="é" * 100_000 + "cause")
    assert len(long.meta()) < 65_536 and len(long.content()) == 65_536 and long.content().endswith(b"cause")
