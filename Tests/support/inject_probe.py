"""Functions for the tests of secrets that are put in on the way.

What comes into a function is handed out veiled: the server would put its own mark over a value, and so hide that it came in.
"""

from __future__ import annotations

import re
import secrets as randomness
import zlib
from dataclasses import dataclass
from typing import Any

import pytest
from casemate_fixture import Inside, Server
from egress_probe import EgressProbe, timed, trusting
from network_world import CLOSED, ECHO, HTTP, HTTPS, World
from test_secrets_and_redaction import assert_absent

PUBLIC = "93.184.216.34"
OTHER_ADDRESS = "93.184.216.35"
API, MIRROR, OTHER, RAW = (f"{name}.example.com" for name in ("api", "mirror", "other", "raw"))
NEAR, CLOSED_HOST, ONE = "near.example.com", "closed.example.com", "one.wild.example.net"
# Ports of this test's own services: one that tells what it was told, the usual one once more, one with doubtful certificates.
MIRRORED, AGAIN, DOUBTFUL = 8446, 8447, 8448

VARIABLES = [
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
]


def value() -> str:
    """Another one in each run, with what JSON and addresses spell differently."""
    return 'k"ey\\/+' + randomness.token_hex(12)


VALUES = {name: value() for name in ("API_KEY", "SECOND", "MIRROR_KEY", "RAW_KEY", "NEAR_KEY", "CLOSED_KEY")}
KEY, MIRROR_KEY = VALUES["API_KEY"].encode(), VALUES["MIRROR_KEY"].encode()
MARK = b"[secret:MIRROR_KEY]"
PLACEHOLDER = "casemate-placeholder-API_KEY"


def bound(name: str, host: str, header: str = "Authorization", **more: str) -> dict[str, str]:
    return {"name": name, "deliver": "inject", "host": host, "header": header, **more}


# ---------------------------------------------------------------- inside


INSIDE = Inside("inject/tools")
# Inside: the secrets that the function was given.
GIVEN: dict[str, str] = {}


@INSIDE
def veiled(data: bytes) -> str:
    """In a form in which nobody between here and the test knows a value."""
    import zlib

    return bytes(byte ^ 0x5A for byte in zlib.compress(data)).hex() if data else ""


@INSIDE
def believing(whom: str) -> Any:
    """A context that trusts the environment's authorities for "", the made-up internet's own for "world", else a PEM text's."""
    import ssl

    if whom == "world":
        return trusting()
    return ssl.create_default_context(cadata=whom) if whom else ssl.create_default_context()


@INSIDE
def pausing(stream: Any, seconds: float) -> bytes:
    """What comes until `seconds` are over, or a first part of it."""
    stream.settimeout(seconds)
    try:
        part: bytes = stream.recv(65536)
        return part
    except TimeoutError:
        return b""


@INSIDE
def talks(
    host: str,
    port: int = 443,
    pieces: list[str] | tuple[str, ...] = (),
    trusts: str = "",
    sni: str | None = None,
    pause: float = 0.0,
    timeout: float = 8,
) -> dict[str, Any]:
    """Sends each piece (hex) over TLS, and reads until the end. Gives what came, veiled, and whose certificate was shown."""
    import socket

    def talk() -> dict[str, Any]:
        received, ended = b"", ""
        with socket.create_connection((host, port), timeout) as plain:
            with believing(trusts).wrap_socket(plain, server_hostname=sni or host) as stream:
                shown = stream.getpeercert()
                try:
                    for piece in pieces:
                        stream.sendall(bytes.fromhex(piece))
                        if pause:
                            received += pausing(stream, pause)
                            stream.settimeout(timeout)
                    while not ended:
                        part = stream.recv(65536)
                        received, ended = received + part, "" if part else "closed"
                except TimeoutError:
                    ended = "timeout"
                except OSError as refused:
                    ended = "reset " + type(refused).__name__
        issuer = {key: text for entry in shown["issuer"] for key, text in entry}
        names = [text for _, text in shown["subjectAltName"]]
        return {"received": veiled(received), "ended": ended, "issuer": issuer.get("commonName"), "names": names}

    return timed(talk)


@INSIDE
def given() -> dict[str, Any]:
    import os

    return {"secrets": GIVEN, "environment": [name for name in GIVEN if name in os.environ]}


@INSIDE
def knows(text: str) -> dict[str, Any]:
    """Says what it was given, veiled: as a function does that got a value by another way."""
    import zlib

    known = zlib.decompress(bytes(byte ^ 0x5A for byte in bytes.fromhex(text))).decode()
    print("it is", known)
    return {"it is": known}


@INSIDE
def own_authorities(seconds: float = 0) -> dict[str, Any]:
    """The certificates that the bundle has besides the system's, and how many of the system's it lacks."""
    import os
    import re
    import time

    time.sleep(seconds)
    pattern = r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----"
    with open(os.environ["SSL_CERT_FILE"]) as bundle, open("/etc/ssl/certs/ca-certificates.crt") as system:
        ours, known = (re.findall(pattern, file.read(), re.S) for file in (bundle, system))
    own = [text for text in ours if text not in known]
    return {"own": own, "lacks": len(set(known) - set(ours)), "sandbox": os.readlink("/proc/self/ns/pid")}


class InjectProbe(EgressProbe):
    """A probe that is given its secrets: `values` are set before it is deployed."""

    def __init__(self, function: str, values: dict[str, str], **keys: Any) -> None:
        super().__init__(function, **keys)
        self.values = values
        self.parts.update(INSIDE.parts)

    @property
    def source(self) -> dict[str, str]:
        files = super().source
        taking = "GIVEN = {}\n\n\ndef handle(data, secrets):\n    GIVEN.update(secrets)\n"
        return {**files, "handler.py": files["handler.py"].replace("def handle(data):\n", taking)}

    def deploy(self, server: Server) -> None:
        if self.function not in server.deployed:
            server.namespace(self.function.split("/")[0])
            for name, text in self.values.items():
                server.secret(self.function, name, text)
        super().deploy(server)


API_BOUND = bound("API_KEY", API, format="Bearer {}")
MIRROR_BOUND = bound("MIRROR_KEY", f"{MIRROR}:{MIRRORED}", format="Bearer {}")


def some(*names: str) -> dict[str, str]:
    return {name: VALUES[name] for name in names}


probe = InjectProbe(
    "inject/probe",
    VALUES,
    egress=[
        *(f"{API}:{port}" for port in (HTTPS, HTTP, AGAIN)),
        *(f"{OTHER}:{port}" for port in (HTTPS, HTTP)),
        *(f"{MIRROR}:{MIRRORED}", f"{RAW}:{ECHO}", f"{NEAR}:443", f"{CLOSED_HOST}:{CLOSED}", "*.wild.example.net:443"),
    ],
    secrets=[
        *(API_BOUND, bound("SECOND", f"{API}:443", "x-second"), MIRROR_BOUND),
        *(bound("RAW_KEY", f"{RAW}:{ECHO}"), bound("NEAR_KEY", NEAR), bound("CLOSED_KEY", f"{CLOSED_HOST}:{CLOSED}")),
    ],
    scale={"max": 1},
)
neighbour = InjectProbe(
    "inject/neighbour", {"API_KEY": value()}, egress=[f"{API}:443"], secrets=[API_BOUND], scale={"max": 1}
)
stranger = EgressProbe("inject/stranger", egress=[f"{API}:443"])
stranger.parts.update(INSIDE.parts)
apart = InjectProbe(
    "inject/apart", some("API_KEY"), egress=[f"{API}:443"], secrets=[API_BOUND], isolate="call", scale={"max": 1}
)
PROBES = pytest.mark.parametrize("inside", [probe, apart], ids=["an instance", "a process for each call"])


def veil(data: bytes) -> str:
    return bytes(byte ^ 0x5A for byte in zlib.compress(data)).hex()


def unveil(text: str) -> bytes:
    return zlib.decompress(bytes(byte ^ 0x5A for byte in bytes.fromhex(text))) if text else b""


# ---------------------------------------------------------------- HTTP


def request(*lines: str, body: str = "") -> bytes:
    return "\r\n".join([*lines, "", body]).encode("latin-1")


def get(host: str, target: str = "/", *lines: str) -> str:
    """The last request of a connection."""
    return request(f"GET {target} HTTP/1.1", f"Host: {host}", *lines, "Connection: close").hex()


@dataclass
class Told:
    status: int
    fields: list[tuple[str, str]]
    body: bytes

    def named(self, name: str) -> list[str]:
        return [text for known, text in self.fields if known == name]


def answers(raw: bytes, *methods: str) -> list[Told]:
    """What a client reads of `raw`, in which nothing may be missing, odd or left over. `methods` are those of the requests."""
    told, waiting = [], list(methods)
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        assert re.match(r"HTTP/1\.1 \d{3}( |$)", first), head[:200]
        status, body = int(first[9:12]), b""
        fields = [(name.lower(), text.strip()) for name, _, text in (line.partition(":") for line in lines)]
        answer = Told(status, fields, b"")
        coded, lengths = answer.named("transfer-encoding"), answer.named("content-length")
        assert len(coded) + len(lengths) <= 1 or status == 304, fields
        if status >= 200 and (waiting.pop(0) if waiting else "GET") != "HEAD" and status not in (204, 304):
            if coded:
                while True:
                    size, _, raw = raw.partition(b"\r\n")
                    count = int(size.partition(b";")[0], 16)
                    body, end, raw = body + raw[:count], raw[count : count + 2], raw[count + 2 :]
                    assert end == b"\r\n", f"a chunk is cut off, or there are trailers: {end + raw[:100]!r}"
                    if not count:
                        break
            else:
                count = int(lengths[0]) if lengths else len(raw)
                body, raw = raw[:count], raw[count:]
                assert len(body) == count, f"{count} bytes were told, and {len(body)} came"
        answer.body = body
        told.append(answer)
    return told


def is_whole(raw: bytes) -> bool:
    try:
        return bool(answers(raw))
    except (AssertionError, ValueError):
        return False


def named(head: bytes, name: str) -> list[bytes]:
    """The values of a field in a request's head."""
    return re.findall(rb"^" + name.encode() + rb":[ \t]*([^\r\n]*)", head.partition(b"\r\n\r\n")[0], re.I | re.M)


def heads(world: World, address: str | None = None, port: int | None = None) -> list[bytes]:
    return [head for arrival in world.arrivals_at(address, port) for head in arrival.heads]


def assert_untold(told: bytes, what: str) -> None:
    for text in VALUES.values():
        assert_absent(told, text, what)
