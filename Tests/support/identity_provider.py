"""An OpenID Connect provider for tests: discovery, keys that can be changed, and tokens of any kind, right ones and forged ones."""

from __future__ import annotations

import base64
import http.server
import json
import threading
import time
import uuid
from typing import Any

from jwcrypto import jwk, jws


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Provider:
    """Listens on loopback while it is entered. `requests` are the paths that were asked for."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.is_down = False
        self.discovery: dict[str, Any] = {}
        self.keys: list[Any] = []
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.requests.append(self.path)
                documents = {
                    "/.well-known/openid-configuration": {"issuer": provider.url, "jwks_uri": provider.url + "/jwks"} | provider.discovery,
                    "/jwks": {"keys": [json.loads(key.export_public()) for key in provider.keys]},
                }
                document = documents.get(self.path)
                if provider.is_down or document is None:
                    self.send_error(503 if provider.is_down else 404)
                    return
                body = json.dumps(document).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.rotate()

    def __enter__(self) -> Provider:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def rotate(self, kind: str = "EC", **more: Any) -> jwk.JWK:
        """A new key, which tokens are signed with from now on. The one before stays in the set."""
        parameters: dict[str, Any] = {"EC": {"kty": "EC", "crv": "P-256"}, "RSA": {"kty": "RSA", "size": 2048}, "OKP": {"kty": "OKP", "crv": "Ed25519"}}[kind]
        key = jwk.JWK.generate(kid=f"key-{uuid.uuid4()}", use="sig", **(parameters | more))
        self.keys = [key, *self.keys[:1]]
        return key

    def claims(self, **more: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.url, "sub": "alice", "aud": "casemate", "iat": now, "exp": now + 300}
        return {name: value for name, value in (claims | more).items() if value is not None}

    def token(self, header: dict[str, Any] | None = None, key: jwk.JWK | None = None, **claims: Any) -> str:
        """A claim or header of None is left out."""
        key = key or self.keys[0]
        algorithm = {"EC": "ES256", "RSA": "RS256", "OKP": "EdDSA", "oct": "HS256"}[key["kty"]]
        fields = {"alg": algorithm, "kid": key.get("kid"), "typ": "JWT"} | (header or {})
        return self.sign(json.dumps(self.claims(**claims)), {name: value for name, value in fields.items() if value is not None}, key)

    @staticmethod
    def sign(payload: str, header: dict[str, Any], key: jwk.JWK) -> str:
        token = jws.JWS(payload.encode())
        token.allowed_algs = [header["alg"]]
        token.add_signature(key, None, json.dumps(header), None)
        return str(token.serialize(compact=True))

    @staticmethod
    def forge(header: Any, payload: Any, signature: bytes = b"") -> str:
        """Three parts of whatever is given; texts as they are."""
        parts = [part if isinstance(part, str) else json.dumps(part) for part in (header, payload)]
        return ".".join([*(unpadded(part.encode()) for part in parts), unpadded(signature)])
