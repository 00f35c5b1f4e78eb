"""Tools for tests of the network wall. All of them run inside a deployed function, never here.

`probe = EgressProbe("wall/probe", egress=["api.example.com:443"])` is such a function; `probe.fetches(server, ...)` runs
a tool in it. A tool gives back `{"error": …}` where it was refused; `seconds` is how long the answer or refusal took.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from casemate_fixture import Inside, P, R, Remote, Server, wait_until
from world_services import authority

TOOLS = Inside("tools/tools")


@TOOLS
def timed(action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `action` gives, or its error, with the time it took."""
    import time

    begin = time.monotonic()
    try:
        found = action()
    except (OSError, EOFError) as refused:
        found = {"error": f"{type(refused).__name__} {getattr(refused, 'errno', '')} {refused}"}
    found["seconds"] = time.monotonic() - begin
    return found


@TOOLS
def resolves(names: list[str], family: int = 0) -> dict[str, Any]:
    """The addresses of each name, by getaddrinfo."""
    import functools
    import socket

    def addresses(name: str) -> dict[str, Any]:
        return {"addresses": sorted({entry[4][0] for entry in socket.getaddrinfo(name, None, family)})}

    return {name: timed(functools.partial(addresses, name)) for name in names}


@TOOLS
def asks(questions: list[str], over: str = "udp", at: str = "127.0.0.53", timeout: float = 2) -> list[dict[str, Any]]:
    """Sends each raw message (hex) to the resolver, and gives the raw answers; over TCP all on one connection."""
    import functools
    import socket

    def by_datagram(raw: bytes) -> dict[str, Any]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(timeout)
            asker.connect((at, 53))
            asker.send(raw)
            return {"answer": asker.recv(65535).hex()}

    if over == "udp":
        return [timed(functools.partial(by_datagram, bytes.fromhex(raw))) for raw in questions]
    found = []
    stream = socket.create_connection((at, 53), timeout)
    with stream, stream.makefile("rb") as reader:

        def by_stream(raw: bytes) -> dict[str, Any]:
            stream.sendall(len(raw).to_bytes(2, "big") + raw)
            head = reader.read(2)
            if len(head) < 2:
                raise EOFError("closed")
            return {"answer": reader.read(int.from_bytes(head, "big")).hex()}

        for raw in questions:
            found.append(timed(functools.partial(by_stream, bytes.fromhex(raw))))
    return found


@TOOLS
def exchanges(
    host: str,
    port: int,
    pieces: list[str] | tuple[str, ...] = (),
    pause: float = 0.0,
    finish: bool = False,
    limit: int = 65536,
    timeout: float = 5,
) -> dict[str, Any]:
    """Connects, sends each piece (hex) as a segment of its own, and reads until the end, `limit` bytes or `timeout`."""
    import socket
    import time

    def exchange() -> dict[str, Any]:
        received, ended = b"", "limit"
        with socket.create_connection((host, port), timeout) as stream:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                for piece in pieces:
                    stream.sendall(bytes.fromhex(piece))
                    time.sleep(pause)
                if finish:
                    stream.shutdown(socket.SHUT_WR)
                while len(received) < limit:
                    part = stream.recv(65536)
                    if not part:
                        ended = "closed"
                        break
                    received += part
            except TimeoutError:
                ended = "timeout"
            except OSError as refused:
                ended = "reset " + type(refused).__name__
        return {"received": received.decode("latin-1"), "ended": ended}

    return timed(exchange)


@TOOLS
def trusting() -> Any:
    import os
    import ssl

    return ssl.create_default_context(cafile=os.path.join(os.path.dirname(__file__), "authority.crt"))


@TOOLS
def fetches(host: str, port: int = 443, path: str = "/", sni: str | None = None, timeout: float = 12) -> dict[str, Any]:
    """One GET over TLS, its certificate checked against the world's authority; the answer's JSON or its length."""
    import json
    import socket

    def fetch() -> dict[str, Any]:
        with socket.create_connection((host, port), timeout) as plain:
            with trusting().wrap_socket(plain, server_hostname=sni or host) as stream:
                stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {sni or host}\r\nConnection: close\r\n\r\n".encode())
                data = b""
                while part := stream.recv(65536):
                    data += part
        head, _, body = data.partition(b"\r\n\r\n")
        if not head:
            raise EOFError("no answer")
        plain_answer = path.startswith(("/bytes", "/slow"))
        return {"status": int(head.split()[1]), "saw": len(body) if plain_answer else json.loads(body)}

    return timed(fetch)


@TOOLS
def fetches_each(hosts: list[str], port: int = 443) -> dict[str, Any]:
    return {host: fetches(host, port) for host in hosts}


@TOOLS
def hello(name: str | None) -> Any:
    """The bytes of a TLS client's hello for `name`, and what is needed to go on from there."""
    import ssl

    context = trusting()
    context.check_hostname = bool(name)
    if not name:
        context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read(), incoming, outgoing, session


@TOOLS
def cut(flight: bytes, record: int, segment: int) -> list[bytes]:
    """A hello as records of `record` bytes, in segments of `segment` bytes; 0 leaves it as it is."""
    if record:
        inner = flight[5:]
        parts = [inner[place : place + record] for place in range(0, len(inner), record)]
        flight = b"".join(flight[:3] + len(part).to_bytes(2, "big") + part for part in parts)
    step = segment or len(flight)
    return [flight[place : place + step] for place in range(0, len(flight), step)]


@TOOLS
def fetches_in_pieces(
    host: str,
    name: str | None,
    port: int = 443,
    record: int = 0,
    segment: int = 0,
    pause: float = 0.0,
    timeout: float = 8,
) -> dict[str, Any]:
    """As `fetches`, with the hello cut up."""
    import socket
    import ssl
    import time

    def fetch() -> dict[str, Any]:
        first, incoming, outgoing, session = hello(name)
        with socket.create_connection((host, port), timeout) as stream:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for part in cut(first, record, segment):
                stream.sendall(part)
                time.sleep(pause)

            def until_done(step: Any) -> Any:
                while True:
                    try:
                        found = step()
                        stream.sendall(outgoing.read())
                        return found
                    except ssl.SSLWantReadError:
                        stream.sendall(outgoing.read())
                        data = stream.recv(65536)
                        if not data:
                            raise EOFError("closed") from None
                        incoming.write(data)

            until_done(session.do_handshake)
            session.write(f"GET / HTTP/1.1\r\nHost: {name or host}\r\nConnection: close\r\n\r\n".encode())
            stream.sendall(outgoing.read())
            return {"answer": until_done(lambda: session.read(65536)).decode("latin-1")}

    return timed(fetch)


class EgressProbe(Inside):
    """A function with the tools above, and the authority of the made-up internet in its source."""

    def __init__(self, function: str, **keys: Any) -> None:
        super().__init__(function, **{"limits": {"timeout": "60s"}, **keys})
        self.parts.update(TOOLS.parts)

    def __call__(self, body: Callable[P, R] | Remote[P, R]) -> Remote[P, R]:
        """As of any `Inside`; a function that another probe has already can be given to this one too."""
        if isinstance(body, Remote):
            self.parts[body.name] = body.inside.parts[body.name]
            return Remote(self, body.name)
        return super().__call__(body)

    def __getattr__(self, name: str) -> Remote[..., Any]:
        if name.startswith("_") or name not in self.parts:
            raise AttributeError(name)
        return Remote(self, name)

    @property
    def source(self) -> dict[str, str]:
        return {**super().source, "authority.crt": authority().certificate}


class ClientProbe(EgressProbe):
    """A probe with what pip installed in its folder `package/`, which is on the import path."""

    packages: Path | None = None

    @property
    def source(self) -> dict[str, Any]:
        assert self.packages
        files = [file for file in self.packages.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
        brought = {f"package/{file.relative_to(self.packages)}": file.read_bytes() for file in files}
        return {**super().source, **brought}


# ---------------------------------------------------------------- what the server tells


def metrics(server: Server) -> dict[str, float]:
    answer = server.api("GET", "/metrics")
    assert answer.status == 200, answer.text
    lines = [line for line in answer.text.splitlines() if line and not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def refused(server: Server, reason: str) -> float:
    """How many refusals for `reason` the metric counts, of whatever function."""
    found = metrics(server)
    label = f'reason="{reason}"'
    return sum(
        value for name, value in found.items() if name.startswith("casemate_egress_refused_total") and label in name
    )


def evidence(server: Server, function: str) -> dict[str, Any]:
    """`GET …/egress`."""
    answer = server.api("GET", f"{server.function_path(function)}/egress")
    assert answer.status == 200, answer.text
    told: dict[str, Any] = answer.json()
    assert {"allowed", "used", "refused"} <= set(told)
    return told


def platform_lines(server: Server, function: str, *words: str) -> list[str]:
    lines = [line["message"] for line in server.logs(function) if line["stream"] == "casemate"]
    return [line for line in lines if all(word in line for word in words)]


def assert_told(server: Server, function: str, target: str, reason: str, before: float) -> None:
    """Log, metric and the function's own list tell of a refusal; `before` is the metric's value ahead of it."""
    assert wait_until(lambda: refused(server, reason) > before, 3), f"{reason} is not counted: {metrics(server)}"
    told = wait_until(lambda: platform_lines(server, function, target), 3)
    assert told, (server.logs(function)[-5:], evidence(server, function)["refused"])
    entries = [entry for entry in evidence(server, function)["refused"] if entry["target"] == target]
    assert any(entry["reason"] == reason and entry["count"] >= 1 and entry["last"] for entry in entries), entries


def set_policy(server: Server, namespace: str, *cidrs: str) -> None:
    answer = server.api("PUT", f"/v1/namespaces/{namespace}/policy", {"egress": {"cidrs": list(cidrs)}})
    assert answer.status in (200, 204), answer.text


def was_refused(found: Mapping[str, Any], within: float = 1.0) -> bool:
    """No byte of an answer came, and that was clear at once."""
    nothing = "error" in found or (
        not found.get("received") and str(found.get("ended", "")).startswith(("closed", "reset"))
    )
    return nothing and found["seconds"] < within
