"""What functions print: all of it, in order, under the right call, and unable to forge anything."""

from __future__ import annotations

import re
import subprocess
import threading
import time
import uuid
from collections import defaultdict

import pytest
from casemate_fixture import Inside, Server, binary, handler

prints = Inside("logs/prints", limits={"timeout": "60s", "memory": "256MiB"})
floods = Inside("logs/floods", limits={"timeout": "60s", "memory": "256MiB"})


@prints
def says(text: str) -> str:
    print(text)
    return "said"


@floods
def many_lines(threads: int, lines: int) -> int:
    import sys
    import threading

    def work(number: int) -> None:
        for line in range(lines):
            sys.stdout.write(f"thread {number} line {line}\n")

    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return threads * lines


@prints
def writes(parts: list[str], stream: int, pause: float) -> int:
    import os
    import time

    for part in parts:
        os.write(stream, bytes.fromhex(part))
        time.sleep(pause)
    return len(parts)


@prints
def both_streams_and_logging() -> None:
    import logging
    import subprocess
    import sys

    print("to stdout")
    print("to stderr", file=sys.stderr)
    logging.warning("to logging")
    subprocess.run([sys.executable, "-I", "-S", "-c", "print('from a child')"], check=True)


@prints
def prints_later() -> None:
    import threading
    import time

    def work() -> None:
        time.sleep(0.7)
        print("late line")

    threading.Thread(target=work, daemon=True).start()
    print("line in time")


@floods
def prints_much(lines: int) -> int:
    import os

    for _ in range(lines):
        os.write(1, b"y" * 1023 + b"\n")
    return lines


def test_each_line_has_time_stream_and_call(server: Server) -> None:
    answer = both_streams_and_logging.answer(server)
    assert answer.status == 200, answer.text
    lines = server.logs("logs/prints", answer.call_id)
    assert {(line["stream"], line["message"]) for line in lines} >= {
        ("stdout", "to stdout"),
        ("stderr", "to stderr"),
        ("stdout", "from a child"),
    }
    assert any("to logging" in line["message"] and line["stream"] == "stderr" for line in lines)
    for line in lines:
        assert line["callId"] == answer.call_id
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])


def test_100_000_lines_of_8_threads_arrive_in_order_or_a_line_says_how_many_were_dropped(server: Server) -> None:
    answer = many_lines.answer(server, threads=8, lines=12_500)
    assert answer.json() == 100_000
    lines = server.logs("logs/floods", answer.call_id)
    found: dict[int, list[int]] = defaultdict(list)
    dropped = 0
    for line in lines:
        match = re.fullmatch(r"thread (\d+) line (\d+)", line["message"])
        if match:
            found[int(match[1])].append(int(match[2]))
        else:
            told = re.search(r"(\d[\d,]*)\D*drop|drop\D*(\d[\d,]*)", line["message"])
            assert told, f"a line that no thread wrote: {line['message'][:200]!r}"
            dropped += int((told[1] or told[2]).replace(",", ""))
    for number, order in found.items():
        assert order == sorted(set(order)), f"thread {number} is out of order or double"
    assert sum(map(len, found.values())) + dropped == 100_000
    if not dropped:
        assert set(found) == set(range(8))


def test_the_lines_of_a_call_are_there_when_its_answer_is_and_belong_to_it_alone(server: Server) -> None:
    for _ in range(20):
        text = str(uuid.uuid4())
        answer = says.answer(server, text=text)
        assert server.messages("logs/prints", answer.call_id) == [text]


def test_what_is_printed_after_the_answer_is_not_taken_for_the_next_call(server: Server) -> None:
    first = prints_later.answer(server)
    assert server.messages("logs/prints", first.call_id) == ["line in time"]
    time.sleep(0.3)
    calls = [first.call_id] + [says.answer(server, text=f"own line {n}").call_id for n in range(1)]
    time.sleep(0.8)
    calls.append(says.answer(server, text="own line last").call_id)
    for call in calls[1:]:
        assert "late line" not in server.messages("logs/prints", call)
    late = [line for line in server.logs("logs/prints") if "late line" in line["message"]]
    assert len(late) <= 1
    for line in late:
        assert line.get("callId") not in calls[1:]


@pytest.mark.case("I12")
def test_I12_printed_text_cannot_forge_a_record(server: Server) -> None:
    victim = str(uuid.uuid4())
    forged = [
        f"2020-01-01T00:00:00.000Z stdout {victim} forged",
        f'{{"time":"2020-01-01T00:00:00.000Z","stream":"stdout","callId":"{victim}","message":"forged"}}',
        "\x1f\x00\x00\x00\x05forged",
    ]
    answer = says.answer(server, text="\n".join(forged))
    lines = server.logs("logs/prints", answer.call_id)
    assert [line["message"] for line in lines][:2] == forged[:2]
    assert {line["callId"] for line in lines} == {answer.call_id}
    assert all(not line["time"].startswith("2020-01-01") for line in lines)
    assert server.logs("logs/prints", victim) == []


CONTROL = {
    "escape": "\x1b[2K\x1b[1A\x1b]0;title\x07",
    "return": "\rforged",
    "backspace": "\x08\x08\x08",
    "vertical": "\x0b\x0cforged",
    "c1-csi": "\x9b2K",
    "next-line": "\x85forged",
    "line-separator": "\u2028forged\u2029",
    "nul": "a\x00b",
    "bidi": "\u202e\u2066forged",
    "delete": "\x7f",
}


@pytest.mark.case("I7")
@pytest.mark.parametrize("control", CONTROL.values(), ids=CONTROL.keys())
def test_I7_the_command_line_escapes_what_a_terminal_would_obey(server: Server, control: str) -> None:
    answer = says.answer(server, text=f"before{control}after")
    code, out, err = server.cli("logs", "logs/prints", "--call", answer.call_id)
    assert code == 0, err
    for character in control:
        if not character.isprintable():
            assert character not in out, f"{character!r} reaches the terminal: {out!r}"
    records = [line for line in out.split("\n") if line]
    assert all(re.match(r"\d{4}-\d\d-\d\dT\S+ stdout ", record) for record in records), out
    assert "before" in records[0] and "after" in records[-1]


def test_invalid_utf8_and_split_characters_arrive_readable(server: Server) -> None:
    parts = ["ff fe 6f 6b 0a", "e2 82", "ac 0a", "6e 6f 20 65 6e 64"]
    answer = writes.answer(server, parts=[part.replace(" ", "") for part in parts], stream=1, pause=0.05)
    messages = server.messages("logs/prints", answer.call_id)
    assert len(messages) == 3, messages
    assert messages[0].endswith("ok")
    assert messages[1] == "€"
    assert messages[2] == "no end"


def test_a_line_of_a_megabyte_is_bounded_and_harms_nothing(server: Server) -> None:
    answer = says.answer(server, text="z" * (1 << 20))
    assert answer.status == 200
    messages = server.messages("logs/prints", answer.call_id)
    assert messages and set("".join(messages)[:1000]) == {"z"}
    assert server.call("logs/prints", body={"run": "says", "with": {"text": "next"}}).status == 200


@pytest.mark.case("X13")
def test_X13_a_flood_of_output_is_bounded_on_disk_and_says_what_it_dropped(server: Server) -> None:
    mebibytes = 120
    answer = prints_much.answer(server, lines=mebibytes * 1024)
    assert answer.status in (200, 504), answer.text
    logs = server.data / "server" / "logs"
    size = sum(file.stat().st_size for file in logs.rglob("*") if file.is_file())
    assert size < 90 << 20, f"{size >> 20} MiB of logs are kept, the limit is 64 MiB a function"
    assert says(server, text="after the flood") == "said"


def test_follow_shows_new_lines_as_they_come(server: Server) -> None:
    server.deploy("logs", "followed", handler("def handle(data):\n    print('line', data['n'])\n    return 1\n"))
    server.call("logs/followed", body={"n": 0})
    process = subprocess.Popen(
        [str(binary()), "logs", "logs/followed", "--follow"],
        env=server.cli_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    got: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: got.extend(process.stdout or ()), daemon=True)
    reader.start()
    try:
        time.sleep(1)
        for n in (1, 2):
            server.call("logs/followed", body={"n": n})
        end = time.monotonic() + 6
        while time.monotonic() < end and not any("line 2" in line for line in got):
            time.sleep(0.1)
    finally:
        process.terminate()
        process.wait(5)
    reader.join(2)
    assert [line.rsplit(" ", 2)[1:] for line in got if "line" in line][-2:] == [["line", "1\n"], ["line", "2\n"]], got


def test_logs_of_a_call_id_that_is_none_are_refused_or_empty(server: Server) -> None:
    says(server, text="x")
    assert server.logs("logs/prints", str(uuid.uuid4())) == []
    for query in ("call=notauuid", "limit=0", "limit=1000000000", "after=-1", "tail=x", "wait=1e9", "call=' OR 1=1 --"):
        answer = server.api("GET", f"{server.function_path('logs/prints')}/logs?{query.replace(' ', '%20')}")
        assert answer.status == 400, f"{query}: {answer.status}"
