"""Secrets over the API: where one is, setting it, its versions, and what the audit log has of it."""

from __future__ import annotations

import secrets as randomness
from typing import Any

from casemate_fixture import Answer, Server


def value(length: int = 20) -> str:
    return randomness.token_hex(length)[:length]


def path(function: str, name: str = "KEY", what: str = "") -> str:
    namespace, label = function.split("/")
    return f"/v1/namespaces/{namespace}/functions/{label}/secrets/{name}{what}"


def put(server: Server, function: str, text: str | bytes, name: str = "KEY") -> Answer:
    return server.api("PUT", path(function, name), text.encode() if isinstance(text, str) else text)


def versions(server: Server, function: str, name: str = "KEY") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.api("GET", path(function, name)).json()["versions"]
    return found


def records(server: Server, kind: str, function: str | None = None) -> list[dict[str, Any]]:
    query = f"tail=10000&kind={kind}" + (f"&function={function}" if function else "")
    found: list[dict[str, Any]] = server.api("GET", f"/v1/audit?{query}").json()["records"]
    return found
