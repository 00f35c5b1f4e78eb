"""Addresses of this machine to call from, so that a test's wrong credentials count against no other test."""

from __future__ import annotations

import itertools
import socket

from casemate_fixture import Connect

_hosts = itertools.count(1)


def place() -> str:
    """An address that no other test calls from."""
    number = next(_hosts)
    return f"127.0.{66 + number // 250}.{1 + number % 250}"


def connect_from(source: str) -> Connect:
    return lambda host, port, timeout: socket.create_connection((host, port), timeout, source_address=(source, 0))
