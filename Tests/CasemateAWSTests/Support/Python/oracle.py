"""Answers only requests whose signature botocore would have made too.

Usage: oracle.py [--tls HOST]... KEY:SECRET[:TOKEN]...

What botocore signs is taken apart first (path and query decoded) so that it spells them its own way. Prints one line of JSON (port, and
with --tls the authority's file) and ends when its standard input does. With --tls it speaks TLS with a certificate for those hosts, also
behind CONNECT, as a proxy of its own.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import http.server
import ipaddress
import json
import os
import re
import socket
import ssl
import sys
import tempfile
import threading
import urllib.parse
from typing import Any

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEYS: dict[str, tuple[str, str | None]] = {}
ARN = "arn:aws:kms:eu-west-1:123456789012:key/12345678-1234-1234-1234-123456789012"
LIST = b"""<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false</IsTruncated>
<Contents><Key>a%2Fb</Key><Size>3</Size></Contents></ListBucketResult>"""


def fault(handler: Oracle, body: bytes) -> str | None:
    """Why the request is refused."""
    authorization = handler.headers.get("Authorization", "")
    match = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/,]+)/(\d{8})/([^/,]+)/([^/,]+)/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})",
        authorization,
    )
    if not match:
        return "NoSignature"
    access_key, day, region, service, listed, signature = match.groups()
    if access_key not in KEYS:
        return "UnrecognizedClientException"
    secret, token = KEYS[access_key]
    signed = listed.split(";")
    names = [name.lower() for name in handler.headers]
    if len(names) != len(set(names)):
        return "HeaderTwice"
    for name in names:
        if name.startswith("x-amz-") or name in ("host", "content-type", "if-none-match"):
            if name not in signed:
                return "Unsigned." + name.replace("-", ".")
    if not set(signed) <= set(names):
        return "SignedButNotSent"
    if handler.headers.get("X-Amz-Security-Token") != token:
        return "WrongToken"
    date = handler.headers["X-Amz-Date"]
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.strptime(date + "+0000", "%Y%m%dT%H%M%SZ%z")
    if abs(age.total_seconds()) > 300 or not date.startswith(day):
        return "RequestExpired"
    digest = hashlib.sha256(body).hexdigest()
    if service == "s3" and handler.headers.get("X-Amz-Content-SHA256") != digest:
        return "XAmzContentSHA256Mismatch"
    if secret.encode() in handler.raw_requestline + str(handler.headers).encode() + body:
        return "SecretSent"

    path, _, query = handler.path.partition("?")
    spelled = urllib.parse.quote(urllib.parse.unquote(path), safe="/-._~")
    request = AWSRequest(
        method=handler.command,
        url=f"http://{handler.headers['Host']}{spelled}",
        params=urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else {},
        data=body,
        headers={name: handler.headers[name] for name in signed},
    )
    request.context["timestamp"] = date
    auth = (S3SigV4Auth if service == "s3" else SigV4Auth)(Credentials(access_key, secret, token), service, region)
    wanted: str = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    return None if wanted == signature else "SignatureDoesNotMatch"


class Oracle(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    context: ssl.SSLContext | None = None
    connections = 0
    connected = ""
    raw_requestline: bytes

    def setup(self) -> None:
        super().setup()
        Oracle.connections += 1
        if self.context and self.connection.recv(8, socket.MSG_PEEK) != b"CONNECT ":
            self.start_tls()

    def start_tls(self) -> None:
        assert self.context
        self.connection = self.context.wrap_socket(self.connection, server_side=True)
        self.request = self.connection
        self.rfile = self.connection.makefile("rb", -1)
        self.wfile = self.connection.makefile("wb", 0)

    def do_CONNECT(self) -> None:
        if "Authorization" in self.headers or "X-Amz-Date" in self.headers:
            self.send_error(400)
            return
        self.connected = self.path
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.start_tls()
        self.close_connection = False

    def answer(self) -> None:
        if self.path.endswith("/hang-up"):
            # The client still writes.
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        refusal = fault(self, body)
        if refusal:
            content = json.dumps({"__type": refusal, "message": "no"}).encode()
        elif "list-type=2" in self.path:
            content = LIST
        else:
            seen = {
                "method": self.command,
                "path": self.path,
                "host": self.headers["Host"],
                "connected": self.connected,
                "key": self.headers["Authorization"].split("=")[1].split("/")[0],
                "length": str(len(body)),
                "connections": str(Oracle.connections),
                "agent": self.headers.get("User-Agent", ""),
                "expect": self.headers.get("Expect", ""),
            }
            content = json.dumps(
                {
                    "CiphertextBlob": base64.b64encode(b"c").decode(),
                    "Plaintext": base64.b64encode(b"p").decode(),
                    "KeyId": ARN,
                    "SecretString": json.dumps(seen),
                    "seen": seen,
                }
            ).encode()
        self.send_response(403 if refusal else 200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("ETag", '"e"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    def log_message(self, *_: object) -> None:
        pass


class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        pass


def certificate(hosts: list[str], folder: str) -> str:
    """Makes an authority and a certificate by it; returns the authority's file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.datetime.now(datetime.UTC)

    def made(name: Any, issuer: Any, issuer_key: Any, extensions: list[tuple[Any, bool]]) -> tuple[Any, Any]:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = x509.CertificateBuilder(
            issuer or name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(days=1)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return key, builder.sign(issuer_key or key, hashes.SHA256())

    def named(text: str) -> Any:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    def alternative(host: str) -> Any:
        try:
            return x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            return x509.DNSName(host)

    ca_key, ca = made(named("oracle authority"), None, None, [(x509.BasicConstraints(True, None), True)])
    key, leaf = made(
        named("oracle"), ca.subject, ca_key, [(x509.SubjectAlternativeName([alternative(h) for h in hosts]), False)]
    )
    authority = os.path.join(folder, "authority.pem")
    with open(authority, "wb") as file:
        file.write(ca.public_bytes(serialization.Encoding.PEM))
    with open(os.path.join(folder, "leaf.pem"), "wb") as file:
        file.write(leaf.public_bytes(serialization.Encoding.PEM))
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    return authority


def main() -> None:
    hosts, rest = [], sys.argv[1:]
    while rest and rest[0] == "--tls":
        hosts.append(rest[1])
        rest = rest[2:]
    for text in rest:
        key, secret, *token = text.split(":")
        KEYS[key] = (secret, token[0] if token else None)
    with tempfile.TemporaryDirectory() as folder:
        server = Quiet(("127.0.0.1", 0), Oracle)
        found: dict[str, Any] = {"port": server.server_address[1]}
        if hosts:
            found["authority"] = certificate(hosts, folder)
            Oracle.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            Oracle.context.load_cert_chain(os.path.join(folder, "leaf.pem"))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(json.dumps(found), flush=True)
        sys.stdin.read()


main()
