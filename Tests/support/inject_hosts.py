"""Hosts outside for the tests of secrets that are put in on the way: one tells what it was told, others have doubtful certificates."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import socket
import ssl
import subprocess
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from casemate_fixture import Server
from inject_probe import (
    AGAIN,
    API,
    CLOSED_HOST,
    DOUBTFUL,
    MIRROR,
    MIRROR_KEY,
    MIRRORED,
    NEAR,
    ONE,
    OTHER,
    OTHER_ADDRESS,
    PUBLIC,
    RAW,
    InjectProbe,
    bound,
    get,
    heads,
    named,
    probe,
    value,
)
from network_world import World
from world_dns import A
from world_services import Arrival, Authority, authority, http, https


def head(*fields: bytes, status: bytes = b"200 OK") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + status, *fields, b"", b""])


def sized(body: bytes, *fields: bytes, status: bytes = b"200 OK") -> bytes:
    return head(b"Content-Length: %d" % len(body), *fields, status=status) + body


def chunked(*parts: bytes, last: bytes = b"0\r\n\r\n", extension: bytes = b"", coding: bytes = b"chunked") -> bytes:
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)
    return head(b"Transfer-Encoding: " + coding) + chunks + last


def bytewise(data: bytes) -> list[bytes]:
    return [data[place : place + 1] for place in range(len(data))]


def around(told: bytes) -> bytes:
    return b"before " + told + b" after"


def scattered(told: bytes) -> bytes:
    """A megabyte, with a value across whatever boundary a reader may have."""
    return b"".join(b"x" * (16384 - number) + b"\n" + told + b"\n" for number in range(64))


def in_parts(data: bytes, length: int) -> list[bytes]:
    return [data[place : place + length] for place in range(0, len(data), length)]


Way = Callable[[bytes], list[bytes]]

# What is sent, in pieces, by a host that was told something. A value in it becomes a mark.
WAYS: dict[str, Way] = {
    "a header": lambda told: [sized(b"x", b"X-Told: " + told)],
    "a header byte by byte": lambda told: bytewise(sized(b"x", b"X-Told: " + told)),
    "a cookie": lambda told: [sized(b"x", b"Set-Cookie: k=" + told + b"; Path=/")],
    "a redirect": lambda told: [sized(b"", b"Location: https://other.example.com/?k=" + told, status=b"302 Found")],
    "a challenge": lambda told: [sized(b"no", b"WWW-Authenticate: Bearer realm=" + told, status=b"401 Unauthorized")],
    "a body": lambda told: [sized(around(told))],
    "a body of it alone": lambda told: [sized(told)],
    "a body with a coding that is none": lambda told: [sized(around(told), b"Content-Encoding: identity")],
    "a body of an error": lambda told: [sized(around(told), status=b"500 Internal Server Error")],
    "a body byte by byte": lambda told: bytewise(sized(around(told))),
    "a chunk": lambda told: [chunked(around(told))],
    "chunks that cut it": lambda told: [chunked(*in_parts(around(told), 7 + len(told) // 2))],
    "chunks of a byte": lambda told: [chunked(*bytewise(around(told)))],
    "a chunk byte by byte": lambda told: bytewise(chunked(around(told))),
    "a body until the end": lambda told: [head() + around(told)],
    "a body until the end, byte by byte": lambda told: bytewise(head() + around(told)),
    "a large body": lambda told: [sized(scattered(told))],
    "a large body in chunks": lambda told: [chunked(*in_parts(scattered(told), 10007))],
    "a large body until the end": lambda told: in_parts(head() + scattered(told), 50021),
}
# In these nothing of it is handed on.
LOST: dict[str, Way] = {
    "a trailer": lambda told: [chunked(b"whole", last=b"0\r\nX-Told: " + told + b"\r\n\r\n")],
    "a chunk's extension": lambda told: [chunked(b"whole", extension=b";k=" + told)],
    "a reason": lambda told: [sized(b"whole", status=b"200 " + told)],
    "a header's name": lambda told: [sized(b"whole", b"X-" + told + b": x")],
    "an early hint": lambda told: [head(b"Link: </?k=" + told + b">", status=b"103 Early Hints") + sized(b"whole")],
}
BODILESS: dict[str, Way] = {
    "no content": lambda told: [head(b"X-Told: " + told, status=b"204 No Content")],
    "not modified": lambda told: [head(b"X-Told: " + told, b"Content-Length: 40", status=b"304 Not Modified")],
}
# Bodies that can't be searched.
CODED: dict[str, Way] = {
    "gzip": lambda told: [sized(gzip.compress(told), b"Content-Encoding: gzip")],
    "gzip in capitals": lambda told: [sized(gzip.compress(told), b"content-encoding: GZIP")],
    "gzip in chunks": lambda told: [
        chunked(gzip.compress(told)).replace(b"\r\n", b"\r\nContent-Encoding: gzip\r\n", 1)
    ],
    "deflate": lambda told: [sized(zlib.compress(told), b"Content-Encoding: deflate")],
    "brotli": lambda told: [sized(b"\x0b\x02\x80abc\x03", b"Content-Encoding: br")],
    "a coding that nobody knows": lambda told: [sized(told[::-1], b"Content-Encoding: reversed")],
    "none and gzip": lambda told: [sized(gzip.compress(told), b"Content-Encoding: identity, gzip")],
    "none, and gzip in a second field": lambda told: [
        sized(gzip.compress(told), b"Content-Encoding: identity", b"Content-Encoding: gzip")
    ],
}
BROKEN: dict[str, Way] = {
    "gzip on the way": lambda told: [chunked(gzip.compress(told), coding=b"gzip, chunked")],
    "another protocol": lambda told: [
        head(b"Connection: Upgrade", b"Upgrade: mirror", status=b"101 Switching Protocols") + around(told)
    ],
    "two lengths": lambda told: [head(b"Content-Length: 3", b"Content-Length: 30") + around(told)],
    "a length that is none": lambda told: [head(b"Content-Length: 0x20") + around(told)],
    "no HTTP": lambda told: [around(told) * 10 + b"\r\n\r\n"],
    "a head without end": lambda told: [b"HTTP/1.1 200 OK\r\n" + (b"X-A: " + told + b"\r\n") * 40000],
}
CUT: dict[str, Way] = {
    "a body that is cut off": lambda told: [head(b"Content-Length: 1000") + around(told)],
    "a large body that is cut off": lambda told: [head(b"Content-Length: 2000000") + scattered(told)],
    "chunks that are cut off": lambda told: [chunked(scattered(told), last=b"")],
}
# Half a value is none, and is not kept back.
HALF: dict[str, Way] = {
    "half of it": lambda told: [sized(around(told[:-1]))],
    "half of it at the end": lambda told: [sized(b"before " + told[:-1])],
    "half of it in chunks": lambda told: [chunked(b"before ", told[:-1])],
    "a long answer to somebody else": lambda told: [sized(b"x" * 3_000_000)],
}
AWAY: dict[str, Way] = {
    "a way out": lambda told: [sized(b"", b"Location: http://other.example.com/away", status=b"302 Found")]
}
EVERY = {**WAYS, **LOST, **BODILESS, **CODED, **BROKEN, **CUT, **HALF, **AWAY}

SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda told: told,
    "base64": base64.b64encode,
    "base64 after 1": lambda told: base64.b64encode(b"x" + told + b"yz"),
    "base64 after 2": lambda told: base64.b64encode(b"xx" + told + b"yz"),
    "base64url": base64.urlsafe_b64encode,
    "hex": lambda told: told.hex().encode(),
    "upper hex": lambda told: told.hex().upper().encode(),
    "JSON": lambda told: json.dumps(told.decode())[1:-1].encode(),
    "percent": lambda told: urllib.parse.quote(told, safe="").encode(),
}


def mirror(stream: socket.socket, arrival: Arrival) -> None:
    """Answers with the bearer of each request's `Authorization`, in the way and spelling of its path. Notes bodies with heads."""
    with authority().context(MIRROR).wrap_socket(stream, server_side=True) as secure, secure.makefile("rb") as reader:
        while asked := head_of(reader):
            told = (named(asked, "authorization") or [b""])[0].removeprefix(b"Bearer ")
            if named(asked, "expect"):
                secure.sendall(head(b"X-Told: " + told, status=b"100 Continue"))
            arrival.heads.append(asked + body_of(reader, asked))
            method, target, _ = asked.split(b" ", 2)
            _, way, spelling = urllib.parse.unquote(target.partition(b"?")[0].decode()).split("/")
            pieces = EVERY[way](SPELLINGS[spelling](told))
            if method == b"HEAD":
                pieces = [b"".join(pieces).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"]
            for piece in pieces:
                secure.sendall(piece)
                time.sleep(0.002 if len(pieces) > 1 else 0)
            if named(asked, "connection") == [b"close"] or way in CUT or "until the end" in way:
                with contextlib.suppress(OSError):
                    secure.settimeout(2)
                    secure.unwrap()
                return


def head_of(reader: IO[bytes]) -> bytes:
    asked = b""
    while not asked.endswith(b"\r\n\r\n"):
        line = reader.readline(65536)
        if not line:
            return b""
        asked += line
    return asked


def body_of(reader: IO[bytes], asked: bytes) -> bytes:
    body = b""
    if named(asked, "transfer-encoding"):
        while count := int(reader.readline(), 16):
            body += reader.read(count)
            reader.readline()
        while reader.readline().strip():
            pass
    elif lengths := named(asked, "content-length"):
        body = reader.read(int(lengths[0]))
    return body


def path(way: str, spelling: str = "as it is") -> str:
    return f"/{urllib.parse.quote(way)}/{urllib.parse.quote(spelling)}"


def mirrored(server: Server, world: World, way: str, spelling: str = "as it is") -> dict[str, Any]:
    """What came of one request to the mirror. The mirror did get the value."""
    found: dict[str, Any] = probe.talks(server, host=MIRROR, port=MIRRORED, pieces=[get(MIRROR, path(way, spelling))])
    [asked] = heads(world, PUBLIC, MIRRORED)
    assert named(asked, "authorization") == [b"Bearer " + MIRROR_KEY], asked
    return found


# ---------------------------------------------------------------- hosts with doubtful certificates


# By the first label of their names. All but the first two must be refused.
DOUBTS: dict[str, dict[str, str]] = {
    "good": {},
    "star": {"names": "DNS:*.doubts.example.com"},
    "unknown": {"signer": "stranger"},
    "own": {"signer": "itself"},
    "leaf": {"signer": "leaf"},
    "another": {"names": "DNS:other.example.com"},
    "longer": {"names": "DNS:longer.doubts.example.com.evil.com"},
    "address": {"names": f"IP:{PUBLIC}"},
    "nameless": {"names": ""},
    "farstar": {"names": "DNS:*.example.com"},
    "expired": {"end": "20200201000000Z"},
    "early": {"begin": "20450101000000Z"},
    "client": {"usage": "clientAuth"},
}
doubting = InjectProbe(
    "inject/doubting",
    {f"KEY_{what}": value() for what in DOUBTS},
    egress=[f"{what}.doubts.example.com:{DOUBTFUL}" for what in DOUBTS],
    secrets=[bound(f"KEY_{what}", f"{what}.doubts.example.com:{DOUBTFUL}") for what in DOUBTS],
)

# `openssl req` makes no certificate that has expired; `openssl ca` does.
SIGNING = """
[ca]
default_ca = own
[own]
database = index
rand_serial = yes
new_certs_dir = .
unique_subject = no
default_md = sha256
copy_extensions = copyall
policy = any
[any]
commonName = supplied
"""


def certificate(
    folder: Path, what: str, signer: str = "", names: str | None = None, usage: str = "", **dates: str
) -> Path:
    """A chain in one file, for the key of the world's own leaves."""
    key = authority().folder / "leaf.key"
    names = f"DNS:{what}.doubts.example.com" if names is None else names
    extensions = [f"subjectAltName={names}"] * bool(names) + [f"extendedKeyUsage={usage}"] * bool(usage)
    extensions.append("basicConstraints=critical,CA:FALSE")
    made, asked = folder / f"{what}.crt", folder / f"{what}.csr"
    above = b""
    if signer == "itself":
        by = ["-selfsign", "-keyfile", str(key)]
    elif signer == "leaf":
        other = certificate(folder, "middle")
        by, above = ["-cert", str(other), "-keyfile", str(key)], other.read_bytes()
    else:
        root = (Authority() if signer == "stranger" else authority()).folder
        by = ["-cert", str(root / "authority.crt"), "-keyfile", str(root / "authority.key")]
    added = [part for extension in extensions for part in ("-addext", extension)]
    (folder / "index").touch()
    (folder / "signing.cnf").write_text(SIGNING)
    for command in (
        ["req", "-new", "-key", str(key), "-subj", f"/CN={what}", *added, "-out", str(asked)],
        ["ca", "-batch", "-notext", "-config", "signing.cnf", *by, "-in", str(asked), "-out", str(made)]
        + ["-startdate", dates.get("begin", "20240101000000Z"), "-enddate", dates.get("end", "20490101000000Z")],
    ):
        done = subprocess.run(["openssl", *command], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, f"openssl {command[0]} for {what}: {done.stderr}"
    made.write_bytes(made.read_bytes() + above)
    return made


@pytest.fixture(scope="module")
def doubtful(tmp_path_factory: pytest.TempPathFactory) -> Callable[[socket.socket, Arrival], None]:
    folder = tmp_path_factory.mktemp("doubts")
    contexts = {}
    for what, how in DOUBTS.items():
        contexts[what] = context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate(folder, what, **how), authority().folder / "leaf.key")

    def choose(stream: ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        stream.context = contexts[(name or "good").partition(".")[0]]

    def does(stream: socket.socket, arrival: Arrival) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority().files("unnamed.invalid"))
        context.sni_callback = choose  # type: ignore[assignment]
        with context.wrap_socket(stream, server_side=True) as secure:
            http(secure, arrival)

    return does


# ---------------------------------------------------------------- the world and its server


@pytest.fixture(scope="module")
def walled_server(network: World, doubtful: Callable[[socket.socket, Arrival], None]) -> Iterator[Server]:
    """As of the other tests of the wall, and it believes the world's own authority about the hosts outside."""
    network.serve(MIRRORED, mirror)
    network.serve(AGAIN, https)
    network.serve(DOUBTFUL, doubtful)
    with network.server("--egress-authorities", str(authority().folder / "authority.crt")) as server:
        yield server


@pytest.fixture
def hosts(walled: Server, world: World) -> World:
    for name in (API, MIRROR, RAW, CLOSED_HOST, ONE, *(f"{what}.doubts.example.com" for what in DOUBTS)):
        world.dns[name] = [A(PUBLIC)]
    world.dns[OTHER] = [A(OTHER_ADDRESS)]
    world.dns[NEAR] = [A("10.50.0.9")]
    return world
