"""The audit log as it lies on disk: its lines, its chain as docs/audit.md has it, and what somebody could do to them."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from casemate_fixture import Server

BEGINNING = "0" * 64
_LINE = re.compile(rb'\{"hash":"([0-9a-f]{64})","record":(\{.*\})\}', re.S)


def folder(server: Server) -> Path:
    return server.data / "server" / "audit"


def files(place: Path) -> list[Path]:
    return sorted(place.glob("audit-*.jsonl"))


def lines(place: Path) -> list[bytes]:
    """All whole lines, in order, without their ends."""
    return b"".join(file.read_bytes() for file in files(place)).splitlines()


def raw(line: bytes) -> bytes:
    """A record's bytes as they stand in its line."""
    found = _LINE.fullmatch(line)
    assert found, f"no line of the form that docs/audit.md has: {line!r}"
    return found[2]


def told_hash(line: bytes) -> str:
    found = _LINE.fullmatch(line)
    assert found, line
    return found[1].decode()


def record(line: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(raw(line))
    return found


def as_line(content: bytes) -> bytes:
    """A line whose hash fits."""
    return b'{"hash":"' + hashlib.sha256(content).hexdigest().encode() + b'","record":' + content + b"}"


def changed(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def chained(records: Sequence[dict[str, Any]]) -> list[bytes]:
    """A log of these records that is right in itself: numbers, hashes and all."""
    made: list[bytes] = []
    previous = BEGINNING
    for number, content in enumerate(records, 1):
        made.append(as_line(changed({**content, "sequence": number, "previous": previous})))
        previous = told_hash(made[-1])
    return made


def extended(content: Sequence[bytes], by: int) -> list[bytes]:
    """The log as it is, with so many more records like its last."""
    made = list(content)
    last = record(made[-1])
    for number in range(len(made) + 1, len(made) + 1 + by):
        made.append(as_line(changed({**last, "sequence": number, "previous": told_hash(made[-1])})))
    return made


def write(place: Path, content: Sequence[bytes], end: bytes = b"\n") -> None:
    """Puts these lines in the place of the log's, as its owner's."""
    before = files(place)
    owner = before[0].stat()
    for file in before[1:]:
        file.unlink()
    before[0].write_bytes(b"\n".join(content) + end)
    os.chown(before[0], owner.st_uid, owner.st_gid)


def assert_chained(content: Sequence[bytes]) -> None:
    """The chain, computed by nothing of Casemate's."""
    previous = BEGINNING
    for number, line in enumerate(content, 1):
        assert hashlib.sha256(raw(line)).hexdigest() == told_hash(line), f"line {number}"
        found = record(line)
        assert (found["sequence"], found["previous"]) == (number, previous), found
        previous = told_hash(line)
