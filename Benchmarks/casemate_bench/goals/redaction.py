"""P14: what looking for a hundred secrets costs a call whose answer is 1 MiB of text: the same function with and without them."""

from __future__ import annotations

import random
import string

from casemate_bench.load import Connection
from casemate_bench.options import Bench, Wrong
from casemate_bench.server import Function, Server
from casemate_bench.stats import differences, median, paired, rotated
from casemate_bench.table import Row

_SIZE = 1 << 20
_NEEDLES = 100
_LENGTHS = (12, 64)
# Lines of a log, no two alike. With ?leak=1 the answer is a secret, to see that redaction is on.
SOURCE = f'''"""Answers 1 MiB of text."""

import os

LINE = (
    "2024-11-21T05:{{:02d}}:{{:02d}}Z node-{{:05d}} level=info path=/v1/items/{{:08x}} "
    "status=200 took={{}}us user=u{{:06d}} cache=miss\\n"
)
TEXT = "".join(
    LINE.format(i // 60 % 60, i % 60, i % 977, i * 2654435761 % 2**32, i * 37 % 9973, i * 7919 % 999983)
    for i in range(12000)
)
TEXT = TEXT[:{_SIZE}]
assert len(TEXT) == {_SIZE}


def handle(event, context):
    body = TEXT
    if (event.get("queryStringParameters") or {{}}).get("leak"):
        body = "it is " + os.environ.get("NEEDLE_7", "not there")
    return {{"statusCode": 200, "headers": {{"Content-Type": "text/plain"}}, "body": body}}
'''


def run(bench: Bench) -> None:
    calls = bench.options.large_calls
    chance = random.Random(14)  # nosec B311  # the same texts in each run
    names = [f"NEEDLE_{number}" for number in range(_NEEDLES)]
    alphabet = string.ascii_letters + string.digits
    values = {
        name: "".join(chance.choices(alphabet, k=_LENGTHS[0] + number * (_LENGTHS[1] - _LENGTHS[0]) // (_NEEDLES - 1)))
        for number, name in enumerate(names)
    }
    with Server(bench) as server:
        for name, value in values.items():
            server.set_secret("searched", name, value)
        keys = {"scale": {"max": 1, "idle": "1h"}}
        server.deploy(
            {
                "plain": Function({"handler.py": SOURCE}, keys),
                "searched": Function({"handler.py": SOURCE}, {**keys, "secrets": names}),
            }
        )
        server.wait_for_pool()
        wires = {name: server.wire(name, body=b"") for name in ("plain", "searched")}
        took: dict[str, list[float]] = {"plain": [], "searched": []}
        with server.connection() as connection:
            _check_redaction(server, connection, values["NEEDLE_7"])
            for name in rotated(list(wires), 0) * 3:
                _call(connection, wires[name], name)
            for turn in range(bench.options.rounds):
                found: dict[str, list[float]] = {"plain": [], "searched": []}
                for number in range(calls):
                    for name in rotated(list(wires), turn + number):
                        found[name].append(_call(connection, wires[name], name))
                for name, each in found.items():
                    took[name].append(median(each))
    bench.keep("P14", took)
    added, ratio = differences(took["searched"], took["plain"]), paired(took["searched"], took["plain"])
    bench.add(
        Row(
            "P14",
            f"1 MiB of text, {_NEEDLES} secrets: redaction adds",
            added,
            "ms",
            "the same call without secrets",
            ratio,
            0.7,
            goal_is="value",
            count=calls,
            note=f"whole calls, p50: {median(took['searched']):.2f} ms with, {median(took['plain']):.2f} ms "
            f"without; secrets of {_LENGTHS[0]} to {_LENGTHS[1]} characters, with all their encodings; through the response alone",
        )
    )


def _call(connection: Connection, wire: bytes, name: str) -> float:
    answer = connection.call(wire)
    if (
        answer.status != 200
        or len(answer.body) != _SIZE
        or not answer.body.startswith(b"2024-11-21T05:00:00Z node-00000")
    ):
        raise Wrong(f"{name}: {answer.status}, {len(answer.body)} bytes, {answer.body[:100]!r}")
    return answer.milliseconds


def _check_redaction(server: Server, connection: Connection, value: str) -> None:
    leaked = connection.call(server.wire("searched", body=b"", query="?leak=1")).body
    if value.encode() in leaked or leaked != b"it is [secret:NEEDLE_7]":
        raise Wrong(
            f"redaction is not on: {len(leaked)} bytes" if value.encode() in leaked else f"redaction: {leaked[:100]!r}"
        )
