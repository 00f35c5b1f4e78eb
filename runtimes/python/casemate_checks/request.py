"""What is asked for: one check of the bundle that is attached. A frame that is wrong ends the sandbox; a command that is not
allowed is the author's fault."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from casemate_runtime.faults import ProtocolError
from casemate_runtime.frames import decode_fields

from casemate_checks.command import Command, parse

_ENVIRONMENT, _KIND, _WORD, _SECONDS = 3, 21, 22, 23
MOST_SECONDS: Final = 120
_NUMBER: Final = re.compile(rb"[1-9][0-9]{0,3}")


@dataclass(frozen=True, slots=True)
class Request:
    command: Command
    environment: tuple[tuple[str, str], ...]
    """The plain values of the function's manifest."""
    seconds: int

    @classmethod
    def read(cls, meta: memoryview, body: memoryview) -> Request:
        fields = decode_fields(meta)
        if unknown := fields.keys() - {_ENVIRONMENT, _KIND, _WORD, _SECONDS}:
            raise ProtocolError(f"a check has no field {min(unknown)}")
        if len(body):
            raise ProtocolError("a check has no body")
        seconds = _one(fields, _SECONDS, b"%d" % MOST_SECONDS)
        if not _NUMBER.fullmatch(seconds) or int(seconds) > MOST_SECONDS:
            raise ProtocolError(f"the time of a check is no number from 1 to {MOST_SECONDS}")
        environment = tuple(_pair(value) for value in fields.get(_ENVIRONMENT, []))
        kind, words = _text(_one(fields, _KIND)), [_text(word) for word in fields.get(_WORD, [])]
        return cls(parse(kind, words), environment, int(seconds))


def _one(fields: dict[int, list[bytes]], tag: int, default: bytes | None = None) -> bytes:
    values: Sequence[bytes] = fields.get(tag, [] if default is None else [default])
    if len(values) != 1:
        raise ProtocolError(f"a check has the field {tag} once")
    return values[0]


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ProtocolError("a word of a check is no UTF-8") from None


def _pair(value: bytes) -> tuple[str, str]:
    name, nul, text = value.partition(b"\0")
    if not name or not nul or b"=" in name or b"\0" in text:
        raise ProtocolError("an environment field is not NAME NUL value")
    return _text(name), text.decode("utf-8", "surrogateescape")
