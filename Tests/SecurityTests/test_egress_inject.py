"""Secrets that are put in on the way: the function has a placeholder, one host gets the value, and nobody else ever does.

What comes into a function is handed out veiled: the server would put its own mark over a value, and so hide that it came in.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import re
import secrets as randomness
import socket
import ssl
import subprocess
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
from casemate_fixture import Inside, Server, archive, handler, manifest, problem, wait_until
from egress_probe import EgressProbe, assert_told, evidence, refused, was_refused
from network_world import CLOSED, ECHO, HTTP, HTTPS, World
from test_isolated_calls import holds, interpreters
from test_secrets_and_redaction import assert_absent
from world_dns import A
from world_services import Arrival, Authority, authority, http, https

PUBLIC = "93.184.216.34"
OTHER_ADDRESS = "93.184.216.35"
API, MIRROR, OTHER, RAW = (f"{name}.example.com" for name in ("api", "mirror", "other", "raw"))
NEAR, CLOSED_HOST, ONE = "near.example.com", "closed.example.com", "one.wild.example.net"
# Ports of this test's own services: one that tells what it was told, the usual one once more, one with doubtful certificates.
MIRRORED, AGAIN, DOUBTFUL = 8446, 8447, 8448

VARIABLES = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO"]


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
        return trusting()  # noqa: F821
    return ssl.create_default_context(cadata=whom) if whom else ssl.create_default_context()


@INSIDE
def pausing(stream: Any, seconds: float) -> bytes:
    """What comes until `seconds` are over, or a first part of it."""
    stream.settimeout(seconds)
    try:
        return stream.recv(65536)
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

    return timed(talk)  # noqa: F821


@INSIDE
def given() -> dict[str, Any]:
    import os

    return {"secrets": GIVEN, "environment": [name for name in GIVEN if name in os.environ]}  # noqa: F821


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


# ---------------------------------------------------------------- a host that tells what it was told


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
    "gzip in chunks": lambda told: [chunked(gzip.compress(told)).replace(b"\r\n", b"\r\nContent-Encoding: gzip\r\n", 1)],
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
AWAY: dict[str, Way] = {"a way out": lambda told: [sized(b"", b"Location: http://other.example.com/away", status=b"302 Found")]}
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


def certificate(folder: Path, what: str, signer: str = "", names: str | None = None, usage: str = "", **dates: str) -> Path:
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


# ---------------------------------------------------------------- what the function has, and what the host gets


@pytest.mark.guarantee("COG-16")
@PROBES
def test_the_function_has_a_placeholder_and_its_host_gets_the_value(walled: Server, hosts: World, inside: InjectProbe) -> None:
    held = inside.given(walled)
    assert held == {"secrets": {name: f"casemate-placeholder-{name}" for name in inside.values}, "environment": []}
    found = inside.talks(walled, host=API, pieces=[get(API, "/first", f"Authorization: Bearer {PLACEHOLDER}")])
    [told] = answers(unveil(found["received"]))
    assert (told.status, json.loads(told.body)["target"]) == (200, "/first")
    [asked] = heads(hosts, PUBLIC, HTTPS)
    assert named(asked, "authorization") == [b"Bearer " + KEY]
    assert named(asked, "host") == [API.encode()]
    assert [arrival.sni for arrival in hosts.arrivals_at(PUBLIC, HTTPS)] == [API]
    hosts.assert_untouched(PUBLIC)


EARLY = handler(f"""
    import os, ssl, urllib.request

    KEY, BUNDLE = os.environ.get("API_KEY"), os.environ.get("SSL_CERT_FILE")
    VARIABLES = {{name: os.environ.get(name) for name in {VARIABLES}}}
    TEXT = open(BUNDLE).read() if BUNDLE else ""
    CONTEXT = ssl.create_default_context()

    def handle(event, context):
        asked = urllib.request.Request("https://{API}/", headers={{"Authorization": "Bearer " + os.environ["API_KEY"]}})
        with urllib.request.urlopen(asked, context=CONTEXT, timeout=8) as answer:
            status = answer.status
        return {{
            "at import": KEY, "now": os.environ["API_KEY"], "variables": VARIABLES, "status": status,
            "same": TEXT == open(BUNDLE).read() and VARIABLES == {{name: os.environ[name] for name in VARIABLES}},
        }}
    """)


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize("isolate", ["instance", "call"])
def test_the_environment_has_placeholder_and_authorities_before_the_module_is_loaded(
    walled: Server, hosts: World, isolate: str
) -> None:
    name = f"early-{isolate}"
    walled.namespace("inject")
    walled.secret(f"inject/{name}", "API_KEY", VALUES["API_KEY"])
    walled.deploy("inject", name, EARLY, {"egress": [f"{API}:443"], "secrets": [API_BOUND], "isolate": isolate})
    for count in (1, 2):
        answer = walled.call(f"inject/{name}")
        assert answer.status == 200, answer.text
        found = answer.json()
        assert (found["now"], found["status"], found["same"]) == (PLACEHOLDER, 200, True), found
        # Secrets come to an isolated call alone, and so may what stands for them.
        assert found["at import"] == PLACEHOLDER or isolate == "call", found
        [bundle] = set(found["variables"].values())
        assert bundle.startswith("/tmp/")
        assert [named(asked, "authorization") for asked in heads(hosts, PUBLIC)] == [[b"Bearer " + KEY]] * count


def test_a_function_without_such_a_secret_has_no_bundle_and_an_ordinary_one_besides_keeps_its_value(
    walled: Server, hosts: World
) -> None:
    source = handler(f"""
        import os
        def handle(secrets):
            return [sorted(secrets.items()), [name for name in {VARIABLES} if name in os.environ]]
        """)
    ordinary = "an-ordinary-value-" + randomness.token_hex(8)
    walled.namespace("inject")
    for name, wanted in {"ordinary": ["PLAIN"], "both": ["PLAIN", API_BOUND]}.items():
        walled.secret(f"inject/{name}", "PLAIN", ordinary)
        walled.secret(f"inject/{name}", "API_KEY", VALUES["API_KEY"])
        walled.deploy("inject", name, source, {"secrets": wanted, "egress": [f"{API}:443"]})
    # The server marks the ordinary value in the answer, and so shows that it was there.
    assert walled.call("inject/ordinary").json() == [[["PLAIN", "[secret:PLAIN]"]], []]
    assert walled.call("inject/both").json() == [[["API_KEY", PLACEHOLDER], ["PLAIN", "[secret:PLAIN]"]], VARIABLES]


SENT = {
    "nothing": [],
    "the placeholder": [f"Authorization: Bearer {PLACEHOLDER}", "X-Second: casemate-placeholder-SECOND"],
    "something of its own": ["Authorization: Basic eDp5", "x-second: mine"],
    "several in any case": ["AUTHORIZATION: a", "authorization: b", "aUtHoRiZaTiOn: c", "X-SECOND: d", "x-Second: e"],
    "empty ones": ["Authorization:", "X-Second:  "],
    "a long one": ["Authorization: " + "a" * 8000],
}


@pytest.mark.parametrize("what", SENT)
def test_the_header_has_the_value_alone_whatever_the_function_sent(walled: Server, hosts: World, what: str) -> None:
    found = probe.talks(walled, host=API, pieces=[get(API, "/", *SENT[what])])
    assert answers(unveil(found["received"]))[0].status == 200
    [asked] = heads(hosts, PUBLIC, HTTPS)
    assert named(asked, "authorization") == [b"Bearer " + KEY]
    assert named(asked, "x-second") == [VALUES["SECOND"].encode()]


@pytest.mark.guarantee("COG-16")
def test_a_placeholder_anywhere_else_stays_one(walled: Server, hosts: World) -> None:
    text = "casemate-placeholder-MIRROR_KEY"
    lines = [f"X-Other: {text}", f"Cookie: k={text}", f"X-Authorization: {text}", f"Content-Length: {len(text)}"]
    asked = request(f"POST {path('a body')}?k={text} HTTP/1.1", f"Host: {MIRROR}", *lines, "Connection: close", body=text)
    found = probe.talks(walled, host=MIRROR, port=MIRRORED, pieces=[asked.hex()])
    assert answers(unveil(found["received"]))[0].body == around(MARK)
    [came] = heads(hosts, PUBLIC, MIRRORED)
    assert came.count(MIRROR_KEY) == 1 and named(came, "authorization") == [b"Bearer " + MIRROR_KEY]
    assert came.count(text.encode()) == 5


def test_no_part_of_an_answer_and_no_packed_one_is_asked_for(walled: Server, hosts: World) -> None:
    lines = ["Accept-Encoding: gzip, br", "accept-encoding: zstd", "Range: bytes=5-", "If-Range: x", "X-Kept: yes", "Accept: text/plain"]
    found = probe.talks(walled, host=API, pieces=[get(API, "/", *lines)])
    assert answers(unveil(found["received"]))[0].status == 200
    [asked] = heads(hosts, PUBLIC, HTTPS)
    assert [named(asked, name) for name in ("accept-encoding", "range", "if-range")] == [[b"identity"], [], []]
    assert (named(asked, "x-kept"), named(asked, "accept")) == ([b"yes"], [b"text/plain"])


@pytest.mark.parametrize("host", [API, f"{API}:443", API.upper()])
def test_the_host_may_be_given_with_its_port_and_in_any_case(walled: Server, hosts: World, host: str) -> None:
    found = probe.talks(walled, host=API, pieces=[get(host)])
    assert answers(unveil(found["received"]))[0].status == 200
    [asked] = heads(hosts, PUBLIC, HTTPS)
    assert named(asked, "authorization") == [b"Bearer " + KEY]


def test_bodies_come_whole_by_length_in_chunks_and_byte_by_byte(walled: Server, hosts: World) -> None:
    text = "the whole body, " * 20
    start = [f"POST {path('a body')} HTTP/1.1", f"Host: {MIRROR}:{MIRRORED}", "Connection: close"]
    by_length = request(*start, f"Content-Length: {len(text)}", body=text)
    chunks = "".join(f"{len(part):x}\r\n{part.decode()}\r\n" for part in in_parts(text.encode(), 33)) + "0\r\n\r\n"
    by_chunks = request(*start, "Transfer-Encoding: chunked", body=chunks)
    for raw in (by_length, by_chunks):
        for pieces in ([raw.hex()], [byte.hex() for byte in bytewise(raw)]):
            found = probe.talks(walled, host=MIRROR, port=MIRRORED, pieces=pieces)
            assert answers(unveil(found["received"]))[0].body == around(MARK), found
    came = heads(hosts, PUBLIC, MIRRORED)
    assert [asked.partition(b"\r\n\r\n")[2] for asked in came] == [text.encode()] * 4
    assert all(named(asked, "authorization") == [b"Bearer " + MIRROR_KEY] for asked in came)


@probe
def waits_to_go_on(host: str, port: int, target: str, body: str) -> dict[str, Any]:
    import socket

    head = f"POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    with socket.create_connection((host, port), 8) as plain:
        with believing("").wrap_socket(plain, server_hostname=host) as stream:  # noqa: F821
            stream.sendall(head.encode())
            first = b""
            while b"\r\n\r\n" not in first:
                first += stream.recv(4096) or b"\r\n\r\n"
            stream.sendall(body.encode())
            rest = b""
            while part := stream.recv(65536):
                rest += part
    return {"first": veiled(first), "rest": veiled(rest)}  # noqa: F821


def test_a_client_that_waits_to_be_told_to_go_on_is_told(walled: Server, hosts: World) -> None:
    found = waits_to_go_on(walled, host=MIRROR, port=MIRRORED, target=path("a body"), body="at last")
    first, rest = unveil(found["first"]), unveil(found["rest"])
    assert first.startswith(b"HTTP/1.1 100"), first
    assert answers(rest)[-1].body == around(MARK)
    assert_untold(first + rest, "the answer")
    [came] = heads(hosts, PUBLIC, MIRRORED)
    assert came.endswith(b"\r\n\r\nat last") and named(came, "authorization") == [b"Bearer " + MIRROR_KEY]


@probe
def asks_one_after_the_other(host: str, targets: list[str]) -> dict[str, Any]:
    """All on one connection, by the standard library's client as it is."""
    import http.client
    import json

    connection = http.client.HTTPSConnection(host, timeout=8)
    found, sockets = [], []
    for number, target in enumerate(targets):
        connection.request("POST" if number % 2 else "GET", target, body=b"b" * number)
        sockets.append(connection.sock)
        found.append(json.loads(connection.getresponse().read())["target"])
    return {"found": found, "connections": len(set(sockets))}


def test_requests_one_after_the_other_and_at_once_share_a_connection(walled: Server, hosts: World) -> None:
    targets = [f"/{number}" for number in range(6)]
    assert asks_one_after_the_other(walled, host=API, targets=targets) == {"found": targets, "connections": 1}
    raw = b"".join(request(f"GET {target} HTTP/1.1", f"Host: {API}") for target in targets).hex() + get(API, "/last")
    found = probe.talks(walled, host=API, pieces=[raw])
    told = answers(unveil(found["received"]))
    assert [json.loads(answer.body)["target"] for answer in told] == [*targets, "/last"]
    came = heads(hosts, PUBLIC, HTTPS)
    assert len(came) == 13 and all(named(asked, "authorization") == [b"Bearer " + KEY] for asked in came)


def test_answers_without_a_body_do_not_confuse_those_that_follow(walled: Server, hosts: World) -> None:
    asked = [("HEAD", "a header"), ("GET", "no content"), ("HEAD", "a body"), ("GET", "not modified"), ("GET", "a chunk")]
    raw = b"".join(request(f"{method} {path(way)} HTTP/1.1", f"Host: {MIRROR}") for method, way in asked)
    found = probe.talks(walled, host=MIRROR, port=MIRRORED, pieces=[raw.hex() + get(MIRROR, path("a body"))])
    told = answers(unveil(found["received"]), *(method for method, _ in asked), "GET")
    assert [answer.status for answer in told] == [200, 204, 200, 304, 200, 200]
    assert [answer.named("x-told") for answer in told] == [[MARK.decode()], [MARK.decode()], [], [MARK.decode()], [], []]
    assert [answer.body for answer in told[-2:]] == [around(MARK)] * 2
    assert_untold(unveil(found["received"]), "an answer")


@probe
def agrees(host: str, newest: str, oldest: str) -> dict[str, Any]:
    import socket
    import ssl

    context = ssl.create_default_context()
    context.minimum_version, context.maximum_version = ssl.TLSVersion[oldest], ssl.TLSVersion[newest]
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection((host, 443), 8) as plain, context.wrap_socket(plain, server_hostname=host) as stream:
        stream.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        first = stream.recv(65536)
        return {"version": stream.version(), "protocol": stream.selected_alpn_protocol(), "first": first[:12].decode()}


def test_a_client_of_either_TLS_that_would_speak_HTTP_2_speaks_HTTP_1(walled: Server, hosts: World) -> None:
    for version, name in (("TLSv1_2", "TLSv1.2"), ("TLSv1_3", "TLSv1.3")):
        found = agrees(walled, host=API, newest=version, oldest=version)
        assert found["protocol"] in ("http/1.1", None), found
        assert (found["version"], found["first"]) == (name, "HTTP/1.1 200"), found


cutting = InjectProbe("inject/cutting", some("API_KEY"), egress=[f"{API}:443"], secrets=[API_BOUND])


@cutting
def trusting() -> Any:
    """In place of the tools' own, which believes in the world's authority alone."""
    import ssl

    return ssl.create_default_context()


@pytest.mark.parametrize("how", [{"segment": 1}, {"record": 5}, {"record": 100, "segment": 7}], ids=str)
def test_a_hello_in_pieces_is_read_as_a_whole(walled: Server, hosts: World, how: dict[str, int]) -> None:
    found = cutting.fetches_in_pieces(walled, host=API, name=API, **how)
    assert found.get("answer", "").startswith("HTTP/1.1 200"), found
    assert [named(asked, "authorization") for asked in heads(hosts, PUBLIC, HTTPS)] == [[b"Bearer " + KEY]]


# ---------------------------------------------------------------- for that host alone


@pytest.mark.guarantee("COG-16")
def test_other_hosts_and_ports_get_what_the_function_sends_and_show_their_own_certificates(walled: Server, hosts: World) -> None:
    line = f"Authorization: Bearer {PLACEHOLDER}"
    for host, port in ((OTHER, HTTPS), (ONE, HTTPS), (API, AGAIN)):
        found = probe.talks(walled, host=host, port=port, pieces=[get(host, "/", line)], trusts="world")
        assert (found.get("issuer"), found.get("names")) == ("Casemate test authority", [host]), found
        [asked] = [asked for asked in heads(hosts) if named(asked, "host") == [host.encode()]]
        assert named(asked, "authorization") == [f"Bearer {PLACEHOLDER}".encode()], asked
        hosts.arrivals.clear()
        # What the environment names does not vouch for them: only the system's authorities could.
        assert "certificate verify failed" in probe.talks(walled, host=host, port=port).get("error", "")
    hosts.arrivals.clear()
    for host in (API, OTHER):
        raw = request("GET /plain HTTP/1.1", f"Host: {host}", line).hex()
        found = probe.exchanges(walled, host=host, port=HTTP, pieces=[raw], finish=True)
        assert found.get("received", "").startswith("HTTP/1.1 200"), found
    assert [named(asked, "authorization") for asked in heads(hosts, port=HTTP)] == [[f"Bearer {PLACEHOLDER}".encode()]] * 2
    # What all of it is worth: the host it is for does get it, and the certificate there is not the world's.
    found = probe.talks(walled, host=API, pieces=[get(API, "/", line)])
    assert found["names"] == [API] and found["issuer"] != "Casemate test authority", found
    assert named(heads(hosts, PUBLIC, HTTPS)[-1], "authorization") == [b"Bearer " + KEY]
    hosts.assert_untouched(PUBLIC, OTHER_ADDRESS)


@pytest.mark.guarantee("COG-16")
def test_another_function_that_may_reach_the_host_reaches_it_without_the_value(walled: Server, hosts: World) -> None:
    line = f"Authorization: Bearer {PLACEHOLDER}"
    found = stranger.talks(walled, host=API, pieces=[get(API, "/", line)], trusts="world")
    assert found.get("issuer") == "Casemate test authority", found
    found = neighbour.talks(walled, host=API, pieces=[get(API, "/", line)])
    assert answers(unveil(found["received"]))[0].status == 200
    assert [named(asked, "authorization") for asked in heads(hosts, PUBLIC, HTTPS)] == [
        [f"Bearer {PLACEHOLDER}".encode()],
        [b"Bearer " + neighbour.values["API_KEY"].encode()],
    ]
    assert_untold(b"".join(heads(hosts)), "a request of another function")


@probe
def follows(url: str) -> dict[str, Any]:
    """A client that takes its headers along wherever it is sent."""
    import urllib.request

    asked = urllib.request.Request(url, headers={"Authorization": "Bearer " + GIVEN["MIRROR_KEY"]})  # noqa: F821
    with urllib.request.urlopen(asked, timeout=8) as answer:
        return {"url": answer.url, "status": answer.status}


@pytest.mark.guarantee("COG-16")
def test_a_host_that_sends_its_clients_elsewhere_sends_no_value_there(walled: Server, hosts: World) -> None:
    found = follows(walled, url=f"https://{MIRROR}:{MIRRORED}{path('a way out')}")
    assert found == {"url": f"http://{OTHER}/away", "status": 200}
    assert named(heads(hosts, PUBLIC, MIRRORED)[0], "authorization") == [b"Bearer " + MIRROR_KEY]
    [asked] = heads(hosts, OTHER_ADDRESS)
    assert named(asked, "authorization") == [b"Bearer casemate-placeholder-MIRROR_KEY"]
    assert_untold(asked, "the other host's request")


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize(("host", "sni"), [(API, OTHER), (API, MIRROR), (API, PUBLIC), (OTHER, API), (ONE, API)])
def test_another_name_in_the_hello_opens_nothing(walled: Server, hosts: World, host: str, sni: str) -> None:
    before = refused(walled, "wrong-name") + refused(walled, "not-tls")
    for trusts in ("", "world"):
        assert was_refused(probe.talks(walled, host=host, sni=sni, pieces=[get(sni)], trusts=trusts))
    assert wait_until(lambda: refused(walled, "wrong-name") + refused(walled, "not-tls") >= before + 2, 3)
    assert hosts.arrivals == []


@pytest.mark.guarantee("COG-16")
def test_without_TLS_nothing_is_put_in(walled: Server, hosts: World) -> None:
    plain = request("GET / HTTP/1.1", f"Host: {API}", f"Authorization: Bearer {PLACEHOLDER}")
    before = refused(walled, "not-tls")
    assert was_refused(probe.exchanges(walled, host=API, port=443, pieces=[plain.hex()]))
    assert wait_until(lambda: refused(walled, "not-tls") > before, 3)
    assert hosts.arrivals == []
    # At a port of no known protocol plain bytes may pass, but as they are.
    found = probe.exchanges(walled, host=RAW, port=ECHO, pieces=[plain.hex()], finish=True)
    assert was_refused(found) or found["received"] == plain.decode() + f"<{len(plain)}>", found
    assert_untold(json.dumps(found).encode(), "what came back")


def test_the_wall_stands_where_a_secret_is_put_in_too(walled: Server, hosts: World) -> None:
    for target, reason in ((f"{NEAR}:443", "private-address"), (f"{CLOSED_HOST}:{CLOSED}", "unreachable")):
        host, _, port = target.partition(":")
        before = refused(walled, reason)
        found = probe.talks(walled, host=host, port=int(port), pieces=[get(host)])
        assert was_refused(found, within=2), found
        assert_told(walled, "inject/probe", target, reason, before)
    hosts.assert_untouched(PUBLIC)
    assert hosts.arrivals == []


# ---------------------------------------------------------------- what a request may not be


HOST = f"Host: {API}"
GOOD = request("GET /first HTTP/1.1", HOST)
# With the reason; none where either will do.
WRONG: dict[str, tuple[bytes, str]] = {
    "another host": (request("GET / HTTP/1.1", f"Host: {OTHER}"), "wrong-name"),
    "another host with a secret": (request("GET / HTTP/1.1", f"Host: {MIRROR}"), "wrong-name"),
    "another port": (request("GET / HTTP/1.1", f"Host: {API}:{AGAIN}"), "wrong-name"),
    "a longer one": (request("GET / HTTP/1.1", f"Host: {API}.evil.com"), "wrong-name"),
    "a shorter one": (request("GET / HTTP/1.1", "Host: example.com"), "wrong-name"),
    "an address": (request("GET / HTTP/1.1", f"Host: {PUBLIC}"), "wrong-name"),
    "no host": (request("GET / HTTP/1.1", "Accept: */*"), ""),
    "an empty host": (request("GET / HTTP/1.1", "Host:"), ""),
    "two, the right one first": (request("GET / HTTP/1.1", HOST, f"Host: {OTHER}"), ""),
    "two, the right one last": (request("GET / HTTP/1.1", f"Host: {OTHER}", HOST), ""),
    "two in one": (request("GET / HTTP/1.1", f"Host: {API}, {OTHER}"), ""),
    "a user": (request("GET / HTTP/1.1", f"Host: {API}@{OTHER}"), ""),
    "a folded one": (request("GET / HTTP/1.1", HOST, f" {OTHER}"), ""),
    "an absolute URI of another": (request(f"GET https://{OTHER}/ HTTP/1.1", HOST), ""),
    "an absolute URI with a user": (request(f"GET https://{API}@{OTHER}/ HTTP/1.1", HOST), ""),
    "CONNECT": (request(f"CONNECT {OTHER}:443 HTTP/1.1", HOST), "bad-request"),
    "CONNECT to itself": (request(f"CONNECT {API}:443 HTTP/1.1", HOST), "bad-request"),
    "TRACE": (request("TRACE / HTTP/1.1", HOST), "bad-request"),
    "a WebSocket": (request("GET / HTTP/1.1", HOST, "Connection: Upgrade", "Upgrade: websocket"), "bad-request"),
    "HTTP/2 by an upgrade": (
        request("GET / HTTP/1.1", HOST, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
        "bad-request",
    ),
    "HTTP/2 from the start": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), ""),
    "HTTP/1.0": (request("GET / HTTP/1.0", HOST), "bad-request"),
    "length and chunks": (
        request("POST / HTTP/1.1", HOST, "Content-Length: 5", "Transfer-Encoding: chunked", body="0\r\n\r\n"),
        "bad-request",
    ),
    "two lengths": (request("POST / HTTP/1.1", HOST, "Content-Length: 0", "Content-Length: 4", body="body"), "bad-request"),
    "a length with a sign": (request("POST / HTTP/1.1", HOST, "Content-Length: +0"), "bad-request"),
    "a strange coding": (request("POST / HTTP/1.1", HOST, "Transfer-Encoding: xchunked", body="0\r\n\r\n"), "bad-request"),
    "chunks named twice": (request("POST / HTTP/1.1", HOST, "Transfer-Encoding: chunked, chunked", body="0\r\n\r\n"), "bad-request"),
    "a packed body": (request("POST / HTTP/1.1", HOST, "Transfer-Encoding: gzip, chunked", body="0\r\n\r\n"), "bad-request"),
    "a space before the colon": (request("GET / HTTP/1.1", HOST, "Authorization : mine"), "bad-request"),
    "a NUL": (request("GET / HTTP/1.1", HOST, "X-A: a\0b"), "bad-request"),
    "a bare CR": (request("GET / HTTP/1.1", HOST, "X-A: a\rAuthorization: mine"), "bad-request"),
    "no HTTP": (b"\xff" * 300, "bad-request"),
    "a head without end": (request("GET / HTTP/1.1", HOST, "X-A: " + "a" * (1 << 20)), ""),
}


def all_refused(server: Server) -> float:
    return refused(server, "wrong-name") + refused(server, "bad-request")


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize("what", WRONG)
def test_a_request_that_is_not_for_the_host_is_reset_and_never_sent(walled: Server, hosts: World, what: str) -> None:
    raw, reason = WRONG[what]
    before, either = refused(walled, reason) if reason else 0, all_refused(walled)
    found = probe.talks(walled, host=API, pieces=[raw.hex()])
    # The handshake was fine: it is the request that was refused.
    assert "received" in found and was_refused(found, within=2), f"{what}: {found}"
    assert heads(hosts) == [] and all(arrival.received == 0 for arrival in hosts.arrivals)
    assert wait_until(lambda: refused(walled, reason) > before if reason else all_refused(walled) > either, 3), what


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize("what", WRONG)
def test_a_later_request_of_a_connection_is_looked_at_as_the_first_is(walled: Server, hosts: World, what: str) -> None:
    before = all_refused(walled)
    found = probe.talks(walled, host=API, pieces=[GOOD.hex(), WRONG[what][0].hex()], pause=0.3)
    assert unveil(found["received"]).count(b"HTTP/1.1 200") == 1 and found["ended"] != "timeout", found
    [asked] = heads(hosts)
    assert asked.startswith(b"GET /first ") and named(asked, "authorization") == [b"Bearer " + KEY]
    assert wait_until(lambda: all_refused(walled) > before, 3), what


@pytest.mark.guarantee("COG-16")
def test_a_request_in_another_s_body_is_sent_as_a_body(walled: Server, hosts: World) -> None:
    hidden = request("GET /hidden HTTP/1.1", HOST).decode()
    for lines, body in (
        ([f"Content-Length: {len(hidden)}"], hidden),
        (["Transfer-Encoding: Chunked"], f"{len(hidden):x}\r\n{hidden}\r\n0\r\n\r\n"),
    ):
        raw = request("POST /outer HTTP/1.1", HOST, *lines, body=body).hex() + get(API, "/last")
        found = probe.talks(walled, host=API, pieces=[raw])
        assert unveil(found["received"]).count(b"HTTP/1.1 200") == 2, found
    assert [asked.split(b" ")[1] for asked in heads(hosts)] == [b"/outer", b"/last"] * 2
    # A body whose end can't be told is not followed by another request.
    raw = request("POST /outer HTTP/1.1", HOST, "Transfer-Encoding: chunked", body="zz\r\n" + hidden)
    found = probe.talks(walled, host=API, pieces=[raw.hex() + get(API, "/last")])
    assert found["ended"] != "timeout" and b"200" not in unveil(found["received"])[:20], found
    assert not any(b"/hidden" in asked.partition(b"\r\n")[0] for asked in heads(hosts))


def test_a_refused_request_and_a_good_one_are_told(walled: Server, hosts: World) -> None:
    before = refused(walled, "wrong-name")
    probe.talks(walled, host=API, pieces=[WRONG["another host"][0].hex()])
    assert_told(walled, "inject/probe", f"{API}:443", "wrong-name", before)
    before = refused(walled, "bad-request")
    probe.talks(walled, host=API, pieces=[WRONG["TRACE"][0].hex()])
    assert_told(walled, "inject/probe", f"{API}:443", "bad-request", before)
    probe.talks(walled, host=API, pieces=[get(API)])

    def used() -> bool:
        [entry] = [entry for entry in evidence(walled, "inject/probe")["used"] if entry["target"] == f"{API}:443"] or [{}]
        return bool(entry.get("connections") and entry["bytesOut"] and entry["bytesIn"])

    assert wait_until(used, 3), evidence(walled, "inject/probe")["used"]


# ---------------------------------------------------------------- whom the value is given to


def test_a_host_with_a_certificate_that_is_right_gets_it(walled: Server, hosts: World) -> None:
    """What the refusals below are worth."""
    for what in ("good", "star"):
        host = f"{what}.doubts.example.com"
        found = doubting.talks(walled, host=host, port=DOUBTFUL, pieces=[get(host)])
        assert answers(unveil(found.get("received", "")))[0].status == 200, found
        assert named(heads(hosts, PUBLIC, DOUBTFUL)[-1], "authorization") == [doubting.values[f"KEY_{what}"].encode()]


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize("what", [what for what in DOUBTS if what not in ("good", "star")])
def test_a_host_whose_certificate_does_not_verify_gets_nothing(walled: Server, hosts: World, what: str) -> None:
    doubting.deploy(walled)
    host, before = f"{what}.doubts.example.com", refused(walled, "bad-certificate")
    found = doubting.talks(walled, host=host, port=DOUBTFUL, pieces=[get(host)])
    assert was_refused(found, within=2), found
    assert hosts.arrivals_at(PUBLIC, DOUBTFUL), "the host was not even asked for its certificate"
    assert heads(hosts) == [] and all(arrival.received == 0 for arrival in hosts.arrivals)
    assert_told(walled, "inject/doubting", f"{host}:{DOUBTFUL}", "bad-certificate", before)


@pytest.mark.guarantee("COG-16")
def test_without_the_setting_the_system_s_authorities_alone_are_believed(walled: Server, network: World, hosts: World) -> None:
    found = neighbour.talks(walled, host=API, pieces=[get(API)])
    assert answers(unveil(found["received"]))[0].status == 200
    hosts.arrivals.clear()
    with network.server() as server:
        found = neighbour.talks(server, host=API, pieces=[get(API)])
        assert was_refused(found, within=2), found
        assert heads(hosts) == [] and hosts.arrivals_at(PUBLIC, HTTPS)
        assert_told(server, "inject/neighbour", f"{API}:443", "bad-certificate", 0)


@pytest.mark.parametrize("what", ["a file that is not there", "a file without a certificate"])
def test_a_server_does_not_start_with_authorities_that_are_none(network: World, tmp_path: Path, what: str) -> None:
    file = tmp_path / "authorities.crt"
    if what == "a file without a certificate":
        file.write_text("no certificate at all\n")
    with pytest.raises(AssertionError, match="did not come up"), network.server("--egress-authorities", str(file)):
        pass


# ---------------------------------------------------------------- what the host tells of it


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("way", WAYS)
def test_a_value_that_the_host_tells_comes_in_as_a_mark(walled: Server, hosts: World, way: str, spelling: str) -> None:
    found = mirrored(walled, hosts, way, spelling)
    assert "received" in found, found
    raw = unveil(found["received"])
    [told] = answers(raw)
    assert_untold(raw + told.body, "the answer")
    assert told.named("content-length") or told.named("transfer-encoding") == ["chunked"], told.fields
    assert MARK in raw or MARK in told.body, raw[:500]
    if not spelling.startswith("base64"):
        # In base64 a neighbour's bits share a letter with the value's.
        spelt = SPELLINGS[spelling](MIRROR_KEY)
        [meant] = answers(b"".join(WAYS[way](spelt)))
        assert (told.status, told.body) == (meant.status, meant.body.replace(spelt, MARK))
        for name in ("x-told", "location", "set-cookie", "www-authenticate"):
            assert told.named(name) == [text.replace(spelt.decode(), MARK.decode()) for text in meant.named(name)], told.fields


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize(
    ("way", "spelling"),
    # As it is, it has characters that names and extensions can't have.
    [(way, "hex") for way in LOST] + [(way, "as it is") for way in ("a trailer", "a reason", "an early hint")],
)
def test_a_value_in_a_place_that_nobody_reads_does_not_come_in(walled: Server, hosts: World, way: str, spelling: str) -> None:
    found = mirrored(walled, hosts, way, spelling)
    raw = unveil(found.get("received", ""))
    assert_untold(raw, "the answer")
    # There is nothing to be put in the place of a name; such an answer may be refused as a whole.
    if not (way == "a header's name" and was_refused(found)):
        last = answers(raw)[-1]
        assert (last.status, last.body) == (200, b"whole")
        assert last.named("x-told") == []


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize("way", CODED)
def test_an_answer_that_cannot_be_searched_is_refused(walled: Server, hosts: World, way: str) -> None:
    probe.deploy(walled)
    before = refused(walled, "bad-response")
    found = mirrored(walled, hosts, way)
    assert "received" in found and was_refused(found, within=2), found
    assert_told(walled, "inject/probe", f"{MIRROR}:{MIRRORED}", "bad-response", before)


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize("way", BROKEN)
def test_an_answer_that_is_none_is_refused_and_harms_nobody(walled: Server, hosts: World, way: str) -> None:
    found = mirrored(walled, hosts, way)
    assert "received" in found and was_refused(found, within=3), found
    walled.assert_serving()


@pytest.mark.parametrize("way", CUT)
def test_an_answer_that_is_cut_off_does_not_look_whole(walled: Server, hosts: World, way: str) -> None:
    raw = unveil(mirrored(walled, hosts, way).get("received", ""))
    assert not is_whole(raw), raw[-200:]
    assert_untold(raw, "the answer")


@pytest.mark.parametrize("way", HALF)
def test_what_is_no_value_comes_in_unchanged(walled: Server, hosts: World, way: str) -> None:
    [told] = answers(unveil(mirrored(walled, hosts, way)["received"]))
    [meant] = answers(b"".join(HALF[way](MIRROR_KEY)))
    assert (told.status, told.body) == (200, meant.body)


def test_the_values_of_two_secrets_of_one_host_each_become_their_mark(walled: Server, hosts: World) -> None:
    two = InjectProbe(
        "inject/two",
        {"MIRROR_KEY": VALUES["MIRROR_KEY"], "PART": VALUES["MIRROR_KEY"][4:]},
        egress=[f"{MIRROR}:{MIRRORED}"],
        secrets=[MIRROR_BOUND, bound("PART", f"{MIRROR}:{MIRRORED}", "X-Part", format="<{}>, x")],
    )
    found = two.talks(walled, host=MIRROR, port=MIRRORED, pieces=[get(MIRROR, path("a body"))])
    [told] = answers(unveil(found["received"]))
    # One value lies within the other.
    assert_absent(told.body, VALUES["MIRROR_KEY"][4:], "the answer")
    assert re.fullmatch(rb"before .*\[secret:\w+\] after", told.body), told.body
    [asked] = heads(hosts, PUBLIC, MIRRORED)
    assert named(asked, "x-part") == [b"<" + MIRROR_KEY[4:] + b">, x"]


# ---------------------------------------------------------------- the sandbox's own authority


def described(pem: str) -> str:
    done = subprocess.run(["openssl", "x509", "-noout", "-text"], input=pem, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_bundle_has_the_system_s_authorities_and_one_for_the_hosts_alone(walled: Server, hosts: World) -> None:
    found = probe.own_authorities(walled)
    assert found["lacks"] == 0 and len(found["own"]) == 1, found
    text = described(found["own"][0])
    assert "CA:TRUE" in text and re.search(r"X509v3 Name Constraints: critical\s+Permitted:", text), text
    permitted = text.partition("Permitted:")[2].partition("X509v3")[0]
    assert set(re.findall(r"DNS:(\S+)", permitted)) == {API, MIRROR, RAW, NEAR, CLOSED_HOST}, text
    assert authority().certificate.strip() not in found["own"]


@pytest.mark.guarantee("COG-16")
def test_each_sandbox_has_an_authority_of_its_own_that_no_other_believes(walled: Server, hosts: World) -> None:
    ours, theirs = probe.own_authorities(walled)["own"], neighbour.own_authorities(walled)["own"]
    assert ours != theirs
    for inside, trusts, works in ((probe, ours, True), (probe, theirs, False), (neighbour, theirs, True), (neighbour, ours, False)):
        found = inside.talks(walled, host=API, pieces=[get(API)], trusts=trusts[0])
        assert ("received" in found) == works, found
        assert works or "certificate verify failed" in found["error"], found
    # The authority of the hosts outside is not believed either: the certificate inside is not theirs.
    assert "certificate verify failed" in probe.talks(walled, host=API, trusts="world").get("error", "")


@pytest.mark.guarantee("COG-16")
def test_two_instances_of_a_function_have_two_authorities(walled: Server, hosts: World) -> None:
    twice = InjectProbe("inject/twice", some("API_KEY"), egress=[f"{API}:443"], secrets=[API_BOUND], scale={"max": 2})
    twice.deploy(walled)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: twice.own_authorities(walled, seconds=2), range(2))
    assert first["sandbox"] != second["sandbox"], "one instance served both"
    assert first["own"] != second["own"]


@apart
def spoils_the_bundle() -> list[str]:
    """Puts something else in place of the bundle, by whatever way there is."""
    import os

    path, done = os.environ["SSL_CERT_FILE"], []
    for what, act in {
        "written": lambda: open(path, "w").write("spoilt"),
        "removed": lambda: os.unlink(path),
        "linked": lambda: os.symlink("/dev/null", path),
        "blocked": lambda: os.makedirs(path + ".new", exist_ok=True),
    }.items():
        try:
            act()
            done.append(what)
        except OSError:
            pass
    os.environ["SSL_CERT_FILE"] = "/dev/null"
    return done


def test_what_an_isolated_call_does_to_the_bundle_is_not_there_for_the_next(walled: Server, hosts: World) -> None:
    own = apart.own_authorities(walled)
    for _ in range(2):
        spoils_the_bundle(walled)
        found = apart.talks(walled, host=API, pieces=[get(API)])
        assert answers(unveil(found.get("received", "")))[0].status == 200, found
    again = apart.own_authorities(walled)
    assert again["lacks"] == 0 and (again["own"] == own["own"] or again["sandbox"] != own["sandbox"])


# ---------------------------------------------------------------- where the value is not


@probe
def looks_around() -> dict[str, Any]:
    """All files that it could keep, and what its processes were started with."""
    import glob
    import os

    found = [path for root in ("/tmp", "/dev/shm") for path in glob.glob(f"{root}/**", recursive=True, include_hidden=True)]
    found += [path for name in ("environ", "cmdline", "mounts") for path in glob.glob(f"/proc/[0-9]*/{name}")]
    texts, names = [repr(dict(os.environ)).encode()], []
    for path in found:
        try:
            with open(path, "rb") as file:
                texts.append(file.read())
                names.append(path)
        except OSError:
            pass
    return {"names": names, "bundle": os.environ["SSL_CERT_FILE"], "text": veiled(b"\n".join(texts))}  # noqa: F821


@pytest.mark.guarantee("COG-16")
def test_no_file_and_no_environment_inside_has_a_value_or_a_private_key(walled: Server, hosts: World) -> None:
    mirrored(walled, hosts, "a large body")
    found = looks_around(walled)
    assert found["bundle"] in found["names"], found["names"]
    text = unveil(found["text"])
    assert b"BEGIN CERTIFICATE" in text and b"SSL_CERT_FILE" in text
    assert_untold(text, "a file or an environment")
    assert b"PRIVATE KEY" not in text


held = InjectProbe(
    "inject/held", some("MIRROR_KEY"), egress=[f"{MIRROR}:{MIRRORED}"], secrets=[MIRROR_BOUND], scale={"max": 1}
)


@held
def talks_and_stays(host: str, port: int, pieces: list[str], marker: str, seconds: float) -> dict[str, Any]:
    import time

    kept = bytearray(marker[::-1].encode())
    lengths = [len(talks(host, port, [piece]).get("received", "")) for piece in pieces]
    time.sleep(seconds)
    return {"lengths": lengths, "kept": len(kept)}


@pytest.mark.guarantee("COG-16")
def test_the_memory_of_the_function_s_process_never_has_the_value(walled: Server, hosts: World) -> None:
    """Read from the host, after the host outside has told all it knows in every way."""
    sandbox = held.own_authorities(walled)["sandbox"]
    marker = "marker-" + randomness.token_hex(12)
    ways = ["a header", "a body", "chunks that cut it", "a body until the end", "a large body", "a trailer", "gzip"]
    pieces = [get(MIRROR, path(way)) for way in ways]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(talks_and_stays, walled, host=MIRROR, port=MIRRORED, pieces=pieces, marker=marker, seconds=5)
        assert wait_until(lambda: len(heads(hosts, PUBLIC, MIRRORED)) == len(ways), 20)
        time.sleep(1)
        pids = interpreters(sandbox)
        found = {pid: (holds(pid, MIRROR_KEY), holds(pid, marker[::-1].encode())) for pid in pids}
        told = [(Path("/proc") / str(pid) / name).read_bytes() for pid in pids for name in ("environ", "cmdline")]
        assert not running.done(), "the call ran on until its memory had been read"
        lengths = running.result()["lengths"]
    assert all(named(asked, "authorization") == [b"Bearer " + MIRROR_KEY] for asked in heads(hosts, PUBLIC, MIRRORED))
    assert all(lengths[:-1]) and not lengths[-1], lengths
    assert found and set(found.values()) <= {(False, True), (False, False)} and any(mine for _, mine in found.values()), found
    assert_untold(b"".join(told), "a process")


@pytest.mark.guarantee("COG-16")
def test_nothing_that_the_server_tells_or_keeps_has_a_value(walled: Server, hosts: World) -> None:
    for way in ("a header", "a body", "gzip", "no HTTP"):
        hosts.arrivals.clear()
        mirrored(walled, hosts, way)
    for what in ("another host", "TRACE", "no HTTP"):
        probe.talks(walled, host=API, pieces=[WRONG[what][0].hex()])
    probe.talks(walled, host=API, pieces=[get(API)])
    assert named(heads(hosts, PUBLIC, HTTPS)[-1], "authorization") == [b"Bearer " + KEY]
    base, told = walled.function_path("inject/probe"), "".join(walled.out + walled.err)
    places = (base, *(f"{base}/{part}" for part in ("egress", "logs?limit=10000", "secrets", "secrets/API_KEY")), "/metrics", "/v1/status")
    for place in places:
        answer = walled.api("GET", place)
        told += answer.text + str(answer.fields)
    for arguments in (("function", "show", "inject/probe"), ("egress", "inject/probe"), ("secret", "list", "inject/probe")):
        told += "".join(map(str, walled.cli(*arguments)))
    assert "bad-response" in told and "wrong-name" in told and f"{MIRROR}:{MIRRORED}" in told
    assert_untold(told.encode(), "an answer, a log or a list")
    looked = 0
    for file in walled.folder.rglob("*"):
        if file.is_file():
            looked += 1
            assert_untold(file.read_bytes(), str(file))
    assert looked > 3


def test_a_value_that_the_function_has_by_another_way_is_marked_in_its_log_and_answer(walled: Server, hosts: World) -> None:
    answer = probe.knows.answer(walled, text=veil(KEY))
    assert answer.json() == {"it is": "[secret:API_KEY]"}
    assert walled.messages("inject/probe", answer.call_id) == ["it is [secret:API_KEY]"]
    # What is no value passes, and so does the placeholder.
    for text in ("something else", PLACEHOLDER):
        assert probe.knows(walled, text=veil(text.encode())) == {"it is": text}


# ---------------------------------------------------------------- values


BREAKS = {"lf": "\n", "crlf": "\r\nX-Smuggled: ", "cr": "\r", "bell": "\x07", "escape": "\x1b[2J", "delete": "\x7f", "one": "\x01"}
PARTS = {what: (f"first-{randomness.token_hex(8)}", f"second-{randomness.token_hex(8)}") for what in BREAKS}
FINE = {"spaces": "with spaces in it " + randomness.token_hex(6), "letters": "clé-ключ-" + randomness.token_hex(6)}
odd = InjectProbe(
    "inject/odd",
    {f"KEY_{what}": first + BREAKS[what] + second for what, (first, second) in PARTS.items()}
    | {f"KEY_{what}": text for what, text in FINE.items()},
    egress=[f"{what}.odd.example.com:443" for what in (*BREAKS, *FINE)],
    secrets=[bound(f"KEY_{what}", f"{what}.odd.example.com", format="Bearer {}") for what in (*BREAKS, *FINE)],
)


@pytest.mark.parametrize("what", FINE)
def test_a_value_with_spaces_or_other_letters_is_sent_as_it_is(walled: Server, hosts: World, what: str) -> None:
    host = f"{what}.odd.example.com"
    hosts.dns[host] = [A(PUBLIC)]
    found = odd.talks(walled, host=host, pieces=[get(host)])
    assert answers(unveil(found.get("received", "")))[0].status == 200, found
    [asked] = heads(hosts, PUBLIC, HTTPS)
    assert named(asked, "authorization") == [b"Bearer " + FINE[what].encode()]


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize("what", BREAKS)
def test_a_value_that_no_header_can_have_is_not_put_in_and_is_told_to_nobody(walled: Server, hosts: World, what: str) -> None:
    odd.deploy(walled)
    host, before = f"{what}.odd.example.com", refused(walled, "bad-request")
    hosts.dns[host] = [A(PUBLIC)]
    answer = odd.talks.answer(walled, host=host, pieces=[get(host)])
    assert was_refused(answer.json(), within=2), answer.text
    assert heads(hosts) == []
    assert_told(walled, "inject/odd", f"{host}:443", "bad-request", before)
    told = answer.text + str(walled.logs("inject/odd")) + str(evidence(walled, "inject/odd")) + "".join(walled.out + walled.err)
    for part in PARTS[what]:
        assert part not in told, f"a part of the value is told: {part}"


def test_a_secret_without_a_value_is_missing_as_any_other_is(walled: Server, hosts: World) -> None:
    later = InjectProbe("inject/later", {}, egress=[f"{API}:443"], secrets=[API_BOUND])
    outcome = walled.try_deploy("inject", "later", later.source, later.keys)
    assert outcome.code == 0 and "casemate secret set inject/later API_KEY" in outcome.said, outcome.said
    walled.deployed.add("inject/later")
    details = problem(later.talks.answer(walled, host=API, pieces=[get(API)]))
    assert "secret-missing" in details["type"] or details.get("reason") == "secret-missing", details
    assert hosts.arrivals == []
    walled.secret("inject/later", "API_KEY", VALUES["API_KEY"])
    found = later.talks(walled, host=API, pieces=[get(API)])
    assert answers(unveil(found["received"]))[0].status == 200
    assert named(heads(hosts, PUBLIC, HTTPS)[-1], "authorization") == [b"Bearer " + KEY]
    assert walled.cli("secret", "delete", "inject/later", "API_KEY")[0] == 0
    assert "secret-missing" in later.talks.answer(walled, host=API, pieces=[get(API)]).text


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize("isolate", ["instance", "call"])
def test_a_new_value_is_sent_from_the_next_calls_on_and_does_not_come_back_either(
    walled: Server, hosts: World, isolate: str
) -> None:
    turning = InjectProbe(
        f"inject/turning-{isolate}", some("MIRROR_KEY"), egress=[f"{MIRROR}:{MIRRORED}"], secrets=[MIRROR_BOUND], isolate=isolate
    )

    def sent() -> bytes:
        found = turning.talks(walled, host=MIRROR, port=MIRRORED, pieces=[get(MIRROR, path("a body"))])
        raw = unveil(found["received"])
        assert answers(raw)[0].body == around(MARK), raw
        return named(heads(hosts, PUBLIC, MIRRORED)[-1], "authorization")[0]

    assert sent() == b"Bearer " + MIRROR_KEY
    for _ in range(2):
        newer = value()
        walled.secret(turning.function, "MIRROR_KEY", newer)
        assert wait_until(lambda: sent() == b"Bearer " + newer.encode(), 5, every=0.2), "the old value is still sent"
        assert turning.given(walled)["secrets"] == {"MIRROR_KEY": "casemate-placeholder-MIRROR_KEY"}


def test_a_new_revision_without_the_binding_talks_to_the_host_itself(walled: Server, hosts: World) -> None:
    first = InjectProbe("inject/changing", some("API_KEY"), egress=[f"{API}:443"], secrets=[API_BOUND])
    found = first.talks(walled, host=API, pieces=[get(API)])
    assert answers(unveil(found["received"]))[0].status == 200
    assert named(heads(hosts, PUBLIC)[-1], "authorization") == [b"Bearer " + KEY]
    walled.deployed.discard("inject/changing")
    second = InjectProbe("inject/changing", {}, egress=[f"{API}:443"])

    def talked() -> bool:
        found = second.talks(walled, host=API, pieces=[get(API)], trusts="world")
        return found.get("issuer") == "Casemate test authority"

    assert wait_until(talked, 5, every=0.5)
    assert named(heads(hosts, PUBLIC)[-1], "authorization") == []


# ---------------------------------------------------------------- what a manifest may say


NOTHING = handler("def handle(data):\n    return 1\n")
LISTED = f"{API}:443"


def binding(host: str = API, header: str = "Authorization", **more: Any) -> dict[str, Any]:
    return {"secrets": [bound("API_KEY", host, header, **more)], "egress": [LISTED]}


def both(first: dict[str, str], second: dict[str, str], *more: str) -> dict[str, Any]:
    return {"secrets": [first, second], "egress": [LISTED, *more]}


RIGHT: dict[str, dict[str, Any]] = {
    "no format": binding(),
    "a format with more around": binding(format='Token token="{}", v=1'),
    "a port": binding(LISTED),
    "another port": {"secrets": [bound("API_KEY", f"{API}:8443")], "egress": [f"{API}:8443"]},
    "capitals in the host": binding("API.Example.com"),
    "a header of its own": binding(header="X-Api-Key"),
    "two headers of a host": both(bound("A_KEY", API), bound("B_KEY", API, "X-Api-Key")),
    "one header of two hosts": both(bound("A_KEY", API), bound("B_KEY", OTHER), f"{OTHER}:443"),
    "beside a wild name": {**binding(), "egress": [LISTED, "*.example.com:443"]},
    "other variables": {**binding(), "env": {"REGION": "north"}},
    # What is refused below, without such a secret.
    "the variables alone": {"env": {name: "/tmp/own.pem" for name in VARIABLES}},
}

FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no egress at all": ({"secrets": [bound("API_KEY", API)]}, LISTED),
    "another host in egress": ({**binding(), "egress": [f"{OTHER}:443"]}, LISTED),
    "another port in egress": ({**binding(), "egress": [f"{API}:8443"]}, LISTED),
    "another port than in egress": (binding(f"{API}:8443"), f"{API}:8443"),
    "port 80, in egress as 443": (binding(f"{API}:80"), f"{API}:80"),
    "only a wild name in egress": ({**binding(), "egress": ["*.example.com:443"]}, LISTED),
    "one of two hosts in egress": (both(bound("A_KEY", API), bound("B_KEY", OTHER)), f"{OTHER}:443"),
    "a format without a place": (binding(format="Bearer"), "format"),
    "a format with two places": (binding(format="{} {}"), "format"),
    "an empty format": (binding(format=""), "format"),
    "a format with a line break": (binding(format="Bearer {}\r\nX-A: b"), ""),
    "a format with a NUL": (binding(format="Bearer {}\0"), ""),
    "no header": ({"secrets": [{"name": "API_KEY", "deliver": "inject", "host": API}], "egress": [LISTED]}, "header"),
    "no host": ({"secrets": [{"name": "API_KEY", "deliver": "inject", "header": "X-A"}], "egress": [LISTED]}, "host"),
    "no way of delivery": ({"secrets": [{"name": "API_KEY", "host": API, "header": "X-A"}], "egress": [LISTED]}, "deliver"),
    "another way of delivery": (
        {"secrets": [{"name": "API_KEY", "deliver": "injekt", "host": API, "header": "X-A"}], "egress": [LISTED]},
        "inject",
    ),
    "two for one header": (both(bound("A_KEY", API), bound("B_KEY", API)), "header"),
    "two for one header, with the port": (both(bound("A_KEY", API), bound("B_KEY", LISTED)), "header"),
    "two for one header, in capitals": (both(bound("A_KEY", API), bound("B_KEY", API, "AUTHORIZATION")), "header"),
    **{
        f"the header {name}": (binding(header=name), "header")
        for name in (
            *("Host", "host", "Content-Length", "CONTENT-LENGTH", "Transfer-Encoding", "Connection"),
            *("Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade", "Expect"),
        )
    },
    **{
        f"the header {name!r}": (binding(header=name), "header")
        for name in ("", "X A", "X:A", "X-A:", "X\r\nY", "X\0", "Schlüssel", ":authority", "X-" + "a" * 1000)
    },
    **{
        f"the host {host!r}": (binding(host), "host")
        for host in (
            *("", "*", "*.example.com", f"https://{API}", f"{API}/path", f"user@{API}", f"{API}:", f"{API}:0", f"{API}:65536"),
            *(f"{API}:https", PUBLIC, f"{PUBLIC}:443", "[2600:1f18::34]", f"{API} ", f"{API},{OTHER}", f"{API}:443:443"),
        )
    },
    **{f"the variable {name}": ({**binding(), "env": {name: "/tmp/own.pem"}}, name) for name in VARIABLES},
}


@pytest.mark.parametrize("what", RIGHT)
def test_a_manifest_that_binds_a_secret_as_it_should_is_taken(walled: Server, what: str) -> None:
    outcome = walled.try_deploy("inject", "right", NOTHING, RIGHT[what])
    assert outcome.code == 0, outcome.said


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize("what", FAULTS)
def test_a_manifest_that_binds_a_secret_wrongly_is_refused_with_its_line_and_the_remedy(walled: Server, what: str) -> None:
    keys, word = FAULTS[what]
    outcome = walled.try_deploy("inject", "wrong", NOTHING, keys)
    assert outcome.code != 0, f"{what} was taken"
    assert "casemate.yaml" in outcome.said and word in outcome.said, outcome.said
    assert walled.api("GET", walled.function_path("inject/wrong")).status == 404


@pytest.mark.parametrize("what", ["only a wild name in egress", "the header Host", "two for one header", "the variable SSL_CERT_FILE"])
def test_the_server_refuses_it_itself_whoever_sends_it(walled: Server, what: str) -> None:
    good = walled.deploy_archive("inject", "direct", archive(NOTHING), manifest("inject", "direct", binding()))
    assert good.status == 200 and good.json()["functions"][0]["status"] in ("deployed", "unchanged"), good.text
    answer = walled.deploy_archive("inject", "sent", archive(NOTHING), manifest("inject", "sent", FAULTS[what][0]))
    if answer.status == 200:
        assert answer.json()["functions"][0]["status"] == "failed", answer.text
    else:
        assert 400 <= answer.status < 500, answer.text
    assert FAULTS[what][1] in answer.text
    assert walled.api("GET", walled.function_path("inject/sent")).status == 404
