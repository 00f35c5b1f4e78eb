"""Frames of what calls print: whole lines, of one call each, none behind the call's reply."""

import socket
import threading
from collections.abc import Iterator

import pytest
from casemate_runtime.frames import Channel
from casemate_runtime.output import TextStream
from casemate_runtime.printed import CURRENT, Call, Outbox, Switch
from support import Frame, receive


class Printer:
    """A text stream that leads to frames."""

    def __init__(self) -> None:
        self.outside, inside = socket.socketpair()
        self.outside.settimeout(10)
        self._inside = inside
        self.outbox = Outbox(Channel(inside))
        self.stream = TextStream(1, "<test>")
        self.stream.lead_to(Switch(0, 1, self.outbox))

    def end(self, call: Call) -> None:
        call.finish_lines()
        self.outbox.send_reply(call, (0, 200, b"", b""))

    def frames(self) -> list[Frame]:
        """All that were sent."""
        self._inside.shutdown(socket.SHUT_WR)
        found = []
        try:
            while True:
                found.append(receive(self.outside))
        except EOFError:
            return found

    def close(self) -> None:
        self.outside.close()
        self._inside.close()


@pytest.fixture
def printer() -> Iterator[Printer]:
    printer = Printer()
    yield printer
    printer.close()


@pytest.fixture
def call() -> Iterator[Call]:
    call = Call(7)
    token = CURRENT.set(call)
    yield call
    CURRENT.reset(token)


def shown(frames: list[Frame]) -> list[tuple[int, bytes]]:
    return [(frame.call, frame.body) if frame.kind == 0x86 else (frame.call, b"reply") for frame in frames]


def test_a_line_is_sent_when_it_ends_and_the_rest_with_the_call(printer: Printer, call: Call) -> None:
    print("a", "b", file=printer.stream)
    printer.stream.buffer.write(b"c")
    print("d", end="", file=printer.stream, flush=True)
    printer.stream.write("e\nrest")
    printer.end(call)
    assert shown(printer.frames()) == [(7, b"a b\n"), (7, b"cde\n"), (7, b"rest"), (7, b"reply")]


def test_what_comes_after_the_reply_is_nobodys(printer: Printer, call: Call) -> None:
    print("in time", file=printer.stream)
    lines = call.lines[0]
    printer.end(call)
    lines.write_text("late, from a thread that had looked it up before\n")
    print("late", file=printer.stream)
    assert shown(printer.frames()) == [
        (7, b"in time\n"),
        (7, b"reply"),
        (0, b"late, from a thread that had looked it up before\n"),
        (0, b"late\n"),
    ]


def test_neighbouring_lines_share_a_frame_of_at_most_64_kib(printer: Printer, call: Call) -> None:
    with printer.outbox._sending:  # somebody else is sending
        for number in range(10_000):
            print(f"line {number:06}", file=printer.stream)
    printer.outbox.drain()
    frames = printer.frames()
    assert len(frames) == 2
    assert all(len(frame.body) <= 65_536 and frame.body.endswith(b"\n") for frame in frames)
    assert b"".join(frame.body for frame in frames) == b"".join(b"line %06d\n" % number for number in range(10_000))


@pytest.mark.parametrize("text", ["x" * 200_000, "é" * 100_000, "x" + "\U0001f600" * 60_000, ("y" * 999 + "\n") * 300])
def test_what_is_longer_than_a_frame_is_cut_where_it_hurts_least(printer: Printer, call: Call, text: str) -> None:
    reader: list[list[Frame]] = []
    thread = threading.Thread(target=lambda: reader.append(printer.frames()))
    printer.outside.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    printer._inside.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    printer.stream.write(text)
    call.finish_lines()
    printer.outbox.drain()
    thread.start()
    thread.join()
    bodies = [frame.body for frame in reader[0]]
    assert all(len(body) <= 65_536 for body in bodies)
    assert "".join(body.decode() for body in bodies) == text  # each by itself is UTF-8
    if "\n" in text:
        assert all(body.endswith(b"\n") for body in bodies)


def test_bytes_that_are_no_utf8_are_cut_somewhere(printer: Printer, call: Call) -> None:
    printer.stream.buffer.write(b"\x80" * 70_000)
    printer.end(call)
    assert [len(frame.body) for frame in printer.frames()] == [65_536, 4_464, 0]


def test_a_finalizer_that_prints_while_a_frame_is_sent_waits_for_its_end(printer: Printer, call: Call) -> None:
    channel = printer.outbox._channel
    send_all = channel.send_all
    nested = iter([True])

    def send(frames: list[Frame]) -> None:
        if next(nested, False):
            print("from a finalizer", file=printer.stream)
            printer.stream.flush()
        send_all(frames)

    channel.send_all = send  # type: ignore[method-assign, assignment]
    print("line", file=printer.stream)
    printer.end(call)
    assert shown(printer.frames()) == [(7, b"line\n"), (7, b"from a finalizer\n"), (7, b"reply")]


def test_a_server_that_has_gone_is_no_error_of_the_function(printer: Printer, call: Call) -> None:
    printer.outside.close()
    print("nobody listens", file=printer.stream)
    printer.end(call)
