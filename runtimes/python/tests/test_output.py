"""Lines of threads never mix inside a line, and a flush leaves nothing behind."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from casemate_runtime.output import TextStream


class Pipe:
    """A text stream on a pipe that is read all the time."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.stream = TextStream(self.writing, "<test>")
        self._parts: list[bytes] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while part := os.read(self.reading, 1 << 16):
            self._parts.append(part)

    def finish(self) -> bytes:
        os.close(self.writing)
        self._reader.join()
        os.close(self.reading)
        return b"".join(self._parts)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    if pipe._reader.is_alive():
        pipe.finish()


def in_pipe(descriptor: int) -> bytes:
    os.set_blocking(descriptor, False)
    try:
        return os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return b""


@pytest.fixture
def quiet() -> Iterator[tuple[int, TextStream]]:
    """A pipe that nobody reads by itself."""
    reading, writing = os.pipe()
    yield reading, TextStream(writing, "<test>")
    os.close(reading)
    os.close(writing)


def test_100_000_lines_of_8_threads_stay_whole_and_are_fast(tmp_path: Path) -> None:
    file = open(tmp_path / "out", "wb")  # no pipe: a reader in this process would share its interpreter's lock
    stream = TextStream(file.fileno(), "<test>")

    def work(letter: str) -> None:
        for number in range(12_500):
            print(letter * 20, number, file=stream)

    threads = [threading.Thread(target=work, args=(letter,)) for letter in "abcdefgh"]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stream.flush_all()
    took = time.perf_counter() - began
    file.close()
    lines = (tmp_path / "out").read_text().splitlines()
    for letter in "abcdefgh":  # each line whole, and in the order in which its thread printed it
        assert [line for line in lines if line[0] == letter] == [f"{letter * 20} {number}" for number in range(12_500)]
    assert len(lines) == 100_000
    assert took < 5, f"{took:.2f} s"  # under 1 s, but on a machine that does nothing else


def test_a_line_made_of_many_pieces_is_one_line(quiet: tuple[int, TextStream]) -> None:
    reading, stream = quiet
    stream.write("a")
    stream.buffer.write(b"b")
    assert in_pipe(reading) == b""
    stream.write("c\nd\ne")
    assert in_pipe(reading) == b"abc\nd\n"
    stream.write("f\n")
    assert in_pipe(reading) == b"ef\n"


def test_flush_writes_this_threads_line_and_flush_all_everybodys(quiet: tuple[int, TextStream]) -> None:
    reading, stream = quiet
    stream.write("mine")
    other = threading.Thread(target=stream.write, args=("other",))
    other.start()
    other.join()
    stream.flush()
    assert in_pipe(reading) == b"mine"
    stream.flush_all()
    assert in_pipe(reading) == b"other"
    stream.flush_all()
    assert in_pipe(reading) == b""


def test_the_unfinished_line_of_a_thread_that_has_ended_is_not_continued_by_another(
    quiet: tuple[int, TextStream],
) -> None:
    reading, stream = quiet
    for text in ("left", "whole\n"):
        thread = threading.Thread(target=stream.write, args=(text,))
        thread.start()
        thread.join()
    assert in_pipe(reading) == b"whole\n"


def test_a_line_without_an_end_is_written_in_pieces(pipe: Pipe) -> None:
    for _ in range(50):
        pipe.stream.write("x" * 4_000)
    pipe.stream.write("y" * 300_000 + "\n")
    assert pipe.finish() == b"x" * 200_000 + b"y" * 300_000 + b"\n"


def test_text_that_utf8_has_no_form_for_is_escaped(quiet: tuple[int, TextStream]) -> None:
    reading, stream = quiet
    print("é\ud800", file=stream)
    assert in_pipe(reading) == "é\\ud800\n".encode()


def test_it_looks_like_standard_output(quiet: tuple[int, TextStream]) -> None:
    _, stream = quiet
    assert (stream.encoding, stream.errors, stream.isatty(), stream.writable()) == (
        "utf-8",
        "backslashreplace",
        False,
        True,
    )
    assert stream.fileno() == stream.buffer.fileno()
    assert stream.write("ab") == 2 and stream.buffer.write(bytearray(b"ab")) == 2
    with pytest.raises(TypeError):
        stream.write(b"bytes")  # type: ignore[arg-type]
    stream.close()
    stream.write("still open\n")


def test_a_reader_that_has_gone_does_not_fail_the_function() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = TextStream(writing, "<test>")
    print("nobody listens", file=stream, flush=True)
    os.close(writing)
    print("closed", file=stream, flush=True)


def test_a_pipe_made_non_blocking_loses_nothing() -> None:
    pipe = Pipe()
    os.set_blocking(pipe.writing, False)
    text = "z" * 2_000_000 + "\n"
    pipe.stream.write(text)
    assert pipe.finish() == text.encode()
