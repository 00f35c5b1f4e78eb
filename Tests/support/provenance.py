"""Provenance as a client gets it: envelopes, the key, what independent readers make of both, and somebody in between who changes them."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from casemate_fixture import Answer, Server
from cryptography.hazmat.primitives.asymmetric import ed25519
from moto_server import PYTHON

KEY, PAYLOAD_TYPE = "/v1/keys/signing", "application/vnd.in-toto+json"
_READER = Path(__file__).with_name("attestation_reader.py")

Envelope = dict[str, Any]


def ask(server: Server, function: str, revision: int | str | None = None, **more: Any) -> Answer:
    query = "" if revision is None else f"?revision={revision}"
    return server.api("GET", f"{server.function_path(function)}/provenance{query}", **more)


def envelope_of(server: Server, function: str, revision: int | None = None) -> Envelope:
    answer = ask(server, function, revision)
    assert answer.status == 200, answer.text
    assert answer.headers["content-type"].startswith("application/vnd.dsse+json"), answer.fields
    found: Envelope = answer.json()
    return found


def signing_key(server: Server) -> dict[str, str]:
    answer = server.api("GET", KEY)
    assert answer.status == 200, answer.text
    found: dict[str, str] = answer.json()
    return found


def read(envelope: Envelope, key: dict[str, str]) -> dict[str, Any]:
    """What the libraries of others read in it; `fault` where they don't take it."""
    given = json.dumps({"envelope": envelope, "key": key})
    done = subprocess.run([PYTHON, _READER], input=given, text=True, capture_output=True, timeout=60, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def statement_of(server: Server, function: str, revision: int | None = None) -> dict[str, Any]:
    """Its statement, after others have verified and understood it."""
    found = read(envelope_of(server, function, revision), signing_key(server))
    assert "fault" not in found, found
    statement: dict[str, Any] = found["statement"]
    return statement


def payload_of(envelope: Envelope) -> bytes:
    return base64.b64decode(envelope["payload"], validate=True)


# ---------------------------------------------------------------- envelopes that are not as they were


def pae(payload_type: str, payload: bytes) -> bytes:
    """What is signed (DSSE v1)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def with_payload(envelope: Envelope, change: Callable[[bytes], bytes]) -> Envelope:
    before = payload_of(envelope)
    payload = change(before)
    assert payload != before
    return {**envelope, "payload": base64.b64encode(payload).decode()}


def with_signature(envelope: Envelope, change: Callable[[bytes], bytes]) -> Envelope:
    (one,) = envelope["signatures"]
    changed = change(base64.b64decode(one["sig"]))
    return {**envelope, "signatures": [{**one, "sig": base64.b64encode(changed).decode()}]}


def flipped(data: bytes, at: int) -> bytes:
    return bytes(byte ^ 1 if index == at % len(data) else byte for index, byte in enumerate(data))


def another_digest(payload: bytes) -> bytes:
    """The subject is another bundle; all the rest is as it was."""
    statement = json.loads(payload)
    digest: str = statement["subject"][0]["digest"]["sha256"]
    return payload.replace(digest.encode(), hashlib.sha256(digest.encode()).hexdigest().encode())


def by_somebody_else(envelope: Envelope) -> Envelope:
    """A good signature, and the server's name on it, by a key that is not the server's."""
    signature = ed25519.Ed25519PrivateKey.generate().sign(pae(envelope["payloadType"], payload_of(envelope)))
    return with_signature(envelope, lambda _: signature)


CHANGED: dict[str, Callable[[Envelope], Envelope]] = {
    "a bit of the statement": lambda one: with_payload(one, lambda payload: flipped(payload, len(payload) // 2)),
    "its last byte": lambda one: with_payload(one, lambda payload: flipped(payload, -1)),
    "a byte more": lambda one: with_payload(one, lambda payload: payload + b"\n"),
    "the subject's digest": lambda one: with_payload(one, another_digest),
    "the subject's name": lambda one: with_payload(one, lambda payload: payload.replace(b"hello", b"hallo")),
    "the order of its bytes": lambda one: with_payload(
        one, lambda payload: json.dumps(json.loads(payload), indent=1).encode()
    ),
    "the type of the payload": lambda one: {**one, "payloadType": "application/json"},
    "a bit of the signature": lambda one: with_signature(one, lambda signature: flipped(signature, 3)),
    "a signature of zeros": lambda one: with_signature(one, lambda signature: bytes(len(signature))),
    "half a signature": lambda one: with_signature(one, lambda signature: signature[: len(signature) // 2]),
    "another's signature": by_somebody_else,
    "random signature": lambda one: with_signature(one, lambda signature: os.urandom(len(signature))),
    "no signature": lambda one: {**one, "signatures": []},
}


class Meddler:
    """Stands between the command line and the server while it is entered, and gives other envelopes than the server did."""

    def __init__(self, server: Server, change: Callable[[Envelope], Envelope]) -> None:
        self.asked: list[str] = []
        meddler = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                meddler.asked.append(self.path)
                fields = {"Authorization": self.headers.get("Authorization", "")}
                answer = server.api("GET", self.path, key=None, headers=fields)
                body = answer.body
                if "/provenance" in self.path and answer.status == 200:
                    body = json.dumps(change(answer.json())).encode()
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers.get("content-type", "application/json"))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self.listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.environment = {
            "CASEMATE_URL": f"http://127.0.0.1:{self.listener.server_address[1]}",
            "CASEMATE_KEY": server.key,
        }

    def __enter__(self) -> Self:
        threading.Thread(target=self.listener.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown()
        self.listener.server_close()
