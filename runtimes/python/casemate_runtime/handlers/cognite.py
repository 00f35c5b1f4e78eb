"""`handle(client, data, secrets, function_call_info)`: arguments by name, any of them; the result is JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from casemate_runtime.coroutines import finished
from casemate_runtime.frames import decode_request
from casemate_runtime.handlers.common import JSON_TYPE, Begin, Handler, Reply, bare, read_json, write_json

ARGUMENTS: Final = frozenset({"client", "data", "secrets", "function_call_info"})


def make_reply(result: Any) -> Reply:
    return 200, JSON_TYPE, write_json(result)


def _reply(result: Any) -> Reply:
    return 200, JSON_TYPE, write_json(finished(result))


def make(function: Callable[..., Any], wanted: frozenset[str], secrets: Mapping[str, str], name: str) -> Handler:
    """`secrets` may be filled later."""
    return make_begin(function, wanted, secrets, name, _reply)


def make_begin(
    function: Callable[..., Any],
    wanted: frozenset[str],
    secrets: Mapping[str, str],
    name: str,
    end: Callable[[Any], Any] = bare,
) -> Begin:
    wants_data = "data" in wanted
    others = wanted - {"data"}

    def answer(meta: memoryview, body: memoryview, call: int) -> Any:
        arguments: dict[str, Any] = {}
        if wants_data:
            arguments["data"] = read_json(body) if body else _query(meta)
        if others:
            if "client" in others:
                arguments["client"] = None
            if "secrets" in others:
                arguments["secrets"] = dict(secrets)  # a copy: a call can't change what the next one gets
            if "function_call_info" in others:
                arguments["function_call_info"] = {"function_id": name, "call_id": str(call)} | _session(meta)
        return end(function(**arguments))

    return answer


def _session(meta: memoryview) -> dict[str, str]:
    """The key of the call's session, for a function that declares capabilities. Nobody outside can set that field."""
    if b"\0Casemate-Session\0" not in bytes(meta):
        return {}
    pairs = decode_request(meta)[3]
    found = [pairs[at + 1] for at in range(0, len(pairs), 2) if pairs[at] == "Casemate-Session"]
    return {"session": found[-1]} if found else {}


def _query(meta: memoryview) -> dict[str, str | list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(decode_request(meta)[2], keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}
