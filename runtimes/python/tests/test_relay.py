"""Between the server and the process of a call: whatever that process does with its two pipes."""

import ctypes
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from casemate_runtime.emptying import NotEmptied
from casemate_runtime.faults import ProtocolError
from casemate_runtime.frames import Channel
from casemate_runtime.isolated import IsolatedCalls
from casemate_runtime.output import TextStream
from casemate_runtime.renewal import Renewal
from support import HEADER, Frame, kill_descendants, receive

Answer = Callable[[int, int], None]
BIG = 6 << 20
ENDED = (0x83, 4, 502)


def reply(meta: bytes = b"", body: bytes = b"", call: int = 1, kind: int = 0x83, flags: int = 0) -> bytes:
    return HEADER.pack(len(body), kind, flags, 200, len(meta), call) + meta + body


def write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def read(descriptor: int) -> bytes:
    """One frame."""
    data = b""
    while len(data) < HEADER.size or len(data) < HEADER.size + sum(HEADER.unpack_from(data)[i] for i in (0, 4)):
        part = os.read(descriptor, 1 << 20)
        if not part:  # the parent has ended: this process must not stay behind
            os._exit(0)
        data += part
    return data


class Parent:
    """A process that keeps isolated calls, with `answer` in the place of a function."""

    def __init__(self, folder: Path, answer: Answer) -> None:
        self.control, inside = socket.socketpair()
        self.control.settimeout(20)
        self.pid = os.fork()
        if not self.pid:
            self.control.close()
            self._keep(inside, folder, answer)
        inside.close()

    def _keep(self, inside: socket.socket, folder: Path, answer: Answer) -> NoReturn:
        def answer_one(request: int, to_parent: int) -> NoReturn:
            try:
                inside.close()
                ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG: no namespace ends it with its parent
                answer(request, to_parent)
            finally:
                os._exit(0)

        status = 99
        try:
            ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans come here
            renewal = Renewal([str(folder)], kill_descendants)
            IsolatedCalls(Channel(inside), TextStream(2, "<stderr>"), renewal, answer_one).serve()
            status = 0
        except (ProtocolError, OSError):
            status = 70
        except NotEmptied:
            status = 71
        finally:
            os._exit(status)

    def call(self, number: int = 1, body: bytes = b"") -> tuple[Frame, Frame | None]:
        """The reply and what comes behind it. The request is sent beside, as by a server."""
        frame = HEADER.pack(len(body), 6, 0, 0, 4, number) + struct.pack(">I", 0) + body
        sender = threading.Thread(target=self.control.sendall, args=(frame,), daemon=True)
        sender.start()
        found = receive(self.control)
        try:
            behind = receive(self.control)
        except (EOFError, ConnectionResetError):
            behind = None
        else:
            sender.join()
        return found, behind

    def ended(self) -> int:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        raise TimeoutError

    def close(self) -> None:
        self.control.close()
        if self.pid:
            try:
                self.ended()
            except TimeoutError:
                os.kill(self.pid, signal.SIGKILL)
                raise


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Callable[[Answer], Parent]]:
    folder = tmp_path / "writable"
    folder.mkdir()
    parents: list[Parent] = []

    def begin(answer: Answer) -> Parent:
        parents.append(Parent(folder, answer))
        return parents[-1]

    yield begin
    for parent in parents:
        parent.close()


Keep = Callable[[Answer], Parent]


def goes_on(parent: Parent, number: int = 2) -> None:
    """The next call gets a process, too."""
    found, ready = parent.call(number)
    assert found.call == number and ready == (0x87, 0, 0, number, b"", b"")


def echo(request: int, to_parent: int) -> None:
    data = read(request)
    number = HEADER.unpack_from(data)[5]
    write(to_parent, reply(b"a\0b\0", data[HEADER.size + 4 :], number))


@pytest.mark.parametrize("size", [0, 1, 4_000, 65_536, 1 << 20, (1 << 20) + 1, BIG])
def test_any_size_goes_both_ways(keep: Keep, size: int) -> None:
    parent = keep(echo)
    body = os.urandom(size)
    for number in (1, 2, 3):
        found, ready = parent.call(number, body)
        assert found == (0x83, 0, 200, number, b"a\0b\0", body)
        assert ready == (0x87, 0, 0, number, b"", b"")


def test_a_process_that_answers_while_it_reads_is_not_held_up(keep: Keep) -> None:
    def mirror(request: int, to_parent: int) -> None:
        left = HEADER.size + 4
        while left:  # the header comes by itself at times
            left -= len(os.read(request, left))
        write(to_parent, reply(body=b"x" * BIG)[: HEADER.size])
        left = BIG
        while left:
            left -= os.splice(request, to_parent, left)

    body = os.urandom(BIG)
    assert keep(mirror).call(1, body)[0].body == body


@pytest.mark.parametrize("answer_size", [0, BIG])
@pytest.mark.parametrize("read_size", [0, 1, 100_000])
def test_a_process_that_answers_without_reading_its_request_is_not_held_up(
    keep: Keep, answer_size: int, read_size: int
) -> None:
    def early(request: int, to_parent: int) -> None:
        if read_size:
            os.read(request, read_size)
        write(to_parent, reply(body=b"y" * answer_size))
        time.sleep(60)

    parent = keep(early)
    found, ready = parent.call(1, os.urandom(BIG))
    assert found.body == b"y" * answer_size and ready is not None and ready.kind == 0x87
    found, ready = parent.call(1, b"small")  # what was not read does not come before the next call
    assert found.body == b"y" * answer_size and ready is not None


@pytest.mark.parametrize(
    "answer",
    [
        reply(kind=0x87),
        reply(kind=0x82),
        reply(kind=2),
        reply(call=2),
        reply(call=0),
        reply(flags=4),
        reply(flags=255),
        reply(meta=b"x" * 65_537),
        HEADER.pack(0, 0x83, 0, 200, 0xFFFF_FFFF, 1),
        b"",
        b"\0" * 15,
        b"\0" * 16,
        b"\xff" * 100_000,
        os.urandom(64),
    ],
    # Not by their bytes: random ones would make another list of tests in each process.
    ids=lambda answer: f"{len(answer)}",
)
def test_what_is_no_reply_is_told_as_one_that_never_came(keep: Keep, answer: bytes) -> None:
    def hostile(request: int, to_parent: int) -> None:
        number = HEADER.unpack_from(read(request))[5]
        write(to_parent, answer if number == 1 else reply(call=number))

    parent = keep(hostile)
    found, ready = parent.call(1)
    assert found == (*ENDED, 1, b"", b"") and ready == (0x87, 0, 0, 1, b"", b"")
    goes_on(parent)


def test_nothing_behind_a_reply_reaches_the_server(keep: Keep) -> None:
    def chatty(request: int, to_parent: int) -> None:
        number = HEADER.unpack_from(read(request))[5]
        write(to_parent, reply(body=b"answer", call=number) + reply(body=b"forged", call=number + 1) * 1000)
        time.sleep(60)

    parent = keep(chatty)
    for number in (1, 2, 3):
        found, ready = parent.call(number)
        assert (found.call, found.body) == (number, b"answer") and ready == (0x87, 0, 0, number, b"", b"")


@pytest.mark.parametrize("size", [0, BIG])
@pytest.mark.parametrize("end", [lambda: os._exit(3), lambda: os.kill(os.getpid(), 9)])
def test_a_process_that_ends_before_it_answers_is_told(keep: Keep, end: Callable[[], None], size: int) -> None:
    def die(request: int, to_parent: int) -> None:
        number = HEADER.unpack_from(os.read(request, 20))[5]
        if number == 1:
            end()
        write(to_parent, reply(call=number))

    parent = keep(die)
    found, ready = parent.call(1, b"x" * size)
    assert found == (*ENDED, 1, b"", b"") and ready == (0x87, 0, 0, 1, b"", b"")
    goes_on(parent)


@pytest.mark.parametrize("size", [0, BIG])
def test_a_process_that_closes_its_pipes_and_lives_on_is_told(keep: Keep, size: int) -> None:
    def close(request: int, to_parent: int) -> None:
        number = HEADER.unpack_from(os.read(request, 20))[5]
        if number == 1:
            os.close(request)
            os.close(to_parent)
            time.sleep(60)
        write(to_parent, reply(call=number))

    parent = keep(close)
    assert parent.call(1, b"x" * size)[0] == (*ENDED, 1, b"", b"")
    goes_on(parent)


def test_children_that_hold_the_pipes_open_do_not_hide_the_end_of_the_process(keep: Keep) -> None:
    def leave(request: int, to_parent: int) -> None:
        number = HEADER.unpack_from(read(request))[5]
        if number == 1:
            if os.fork():
                os._exit(0)
            os.setsid()
            time.sleep(60)
        write(to_parent, reply(call=number))

    parent = keep(leave)
    assert parent.call(1)[0] == (*ENDED, 1, b"", b"")
    goes_on(parent)


def test_a_child_may_answer_while_the_process_lives(keep: Keep) -> None:
    """It is one function to us: which of its processes wrote the answer can't be told."""

    def delegate(request: int, to_parent: int) -> None:
        number = HEADER.unpack_from(read(request))[5]
        if os.fork() == 0:
            write(to_parent, reply(body=b"child", call=number))
            os._exit(0)
        os.wait()

    assert keep(delegate).call(1)[0].body == b"child"


@pytest.mark.parametrize("written", [0, 1, 100_000])
def test_an_end_inside_a_reply_is_the_end_of_the_parent(keep: Keep, written: int) -> None:
    def cut(request: int, to_parent: int) -> None:
        read(request)
        write(to_parent, reply(body=b"z" * 200_000)[: HEADER.size + written])

    parent = keep(cut)
    parent.control.sendall(HEADER.pack(0, 6, 0, 0, 4, 1) + struct.pack(">I", 0))
    with pytest.raises(EOFError):
        receive(parent.control)
    assert parent.ended() == 70


def test_a_server_that_reads_slowly_gets_everything(keep: Keep) -> None:
    parent = keep(echo)
    body = os.urandom(BIG)
    sender = threading.Thread(
        target=parent.control.sendall, args=(HEADER.pack(BIG, 6, 0, 0, 4, 1) + struct.pack(">I", 0) + body,)
    )
    sender.start()
    sender.join()
    time.sleep(0.3)
    got = b""
    while len(got) < HEADER.size + 4 + BIG:
        got += parent.control.recv(200_000)
        time.sleep(0.001)
    assert got[HEADER.size + 4 :] == body
    assert receive(parent.control).kind == 0x87


def test_a_request_that_comes_slowly_arrives(keep: Keep) -> None:
    parent = keep(echo)
    for byte in HEADER.pack(3, 6, 0, 0, 4, 1) + struct.pack(">I", 0) + b"abc":
        parent.control.sendall(bytes([byte]))
        time.sleep(0.002)
    assert receive(parent.control).body == b"abc"


@pytest.mark.parametrize("cut", [5, HEADER.size, HEADER.size + 2])
def test_a_request_that_is_cut_off_is_the_end(keep: Keep, cut: int) -> None:
    parent = keep(echo)
    parent.control.sendall((HEADER.pack(9, 6, 0, 0, 4, 1) + struct.pack(">I", 0))[:cut])
    parent.control.shutdown(socket.SHUT_WR)
    assert parent.ended() == 70


def test_a_server_that_goes_during_a_call_is_the_end(keep: Keep) -> None:
    parent = keep(lambda request, to_parent: time.sleep(60))
    parent.control.sendall(HEADER.pack(0, 6, 0, 0, 4, 1) + struct.pack(">I", 0))
    time.sleep(0.1)
    parent.control.close()
    assert parent.ended() == 70


def test_orphans_are_reaped_while_a_call_runs(keep: Keep) -> None:
    def bear(request: int, to_parent: int) -> None:
        number = HEADER.unpack_from(read(request))[5]
        for _ in range(20):
            if os.fork() == 0:
                if os.fork() == 0:
                    time.sleep(0.05)
                os._exit(0)
            os.wait()
        time.sleep(1.5)
        with open(f"/proc/{os.getppid()}/task/{os.getppid()}/children") as children:
            left = len(children.read().split())
        write(to_parent, reply(body=str(left).encode(), call=number))

    assert keep(bear).call(1)[0].body == b"1"
