"""An OpenID Connect provider for tests: discovery, keys that can be changed, and tokens of any kind, right ones and forged ones."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import threading
import time
import urllib.parse
import uuid
from typing import Any, Self

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
                if self.path.startswith("/authorize?"):
                    self.send_response(302)
                    self.send_header(
                        "Location", provider.authorize(dict(urllib.parse.parse_qsl(self.path.partition("?")[2])))
                    )
                    self.end_headers()
                    return
                documents = {
                    "/.well-known/openid-configuration": {"issuer": provider.url, "jwks_uri": provider.url + "/jwks"}
                    | provider.discovery,
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

            def do_POST(self) -> None:
                provider.requests.append(self.path)
                form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                status, document = provider.answer(self.path, form)
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.rotate()

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def authorize(self, query: dict[str, str]) -> str:
        """Where the browser is sent back to."""
        raise NotImplementedError

    def answer(self, path: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """To a form."""
        return 404, {}

    def rotate(self, kind: str = "EC", **more: Any) -> jwk.JWK:
        """A new key, which tokens are signed with from now on. The one before stays in the set."""
        kinds: dict[str, dict[str, Any]] = {
            "EC": {"kty": "EC", "crv": "P-256"},
            "RSA": {"kty": "RSA", "size": 2048},
            "OKP": {"kty": "OKP", "crv": "Ed25519"},
        }
        key = jwk.JWK.generate(kid=f"key-{uuid.uuid4()}", use="sig", **(kinds[kind] | more))
        self.keys = [key, *self.keys[:1]]
        return key

    def claims(self, **more: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.url, "sub": "alice", "aud": "casemate", "iat": now, "exp": now + 300}
        return {name: value for name, value in (claims | more).items() if value is not None}

    def token(self, header: dict[str, Any] | None = None, key: jwk.JWK | None = None, /, **claims: Any) -> str:
        """A claim or header of None is left out."""
        key = key or self.keys[0]
        algorithm = {"EC": "ES256", "RSA": "RS256", "OKP": "EdDSA", "oct": "HS256"}[key["kty"]]
        fields = {"alg": algorithm, "kid": key.get("kid"), "typ": "JWT"} | (header or {})
        return self.sign(
            json.dumps(self.claims(**claims)), {name: value for name, value in fields.items() if value is not None}, key
        )

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


class SignInProvider(Provider):
    """One that people sign in at, by browser or by a code that they type elsewhere: whoever is `person` does so at once."""

    client_id = "casemate-cli"

    def __init__(self) -> None:
        super().__init__()
        self.person: dict[str, Any] = {"sub": "alice", "groups": ["engineers"]}
        self.asked: list[dict[str, str]] = []
        self.codes: dict[str, dict[str, str]] = {}
        # What is said in place of the right thing.
        self.redirect: dict[str, str] = {}
        self.claimed: dict[str, Any] = {}
        self.approved = True
        self.polls = 0
        self.discovery = {
            "authorization_endpoint": self.url + "/authorize",
            "token_endpoint": self.url + "/token",
            "device_authorization_endpoint": self.url + "/device",
        }

    def authorize(self, query: dict[str, str]) -> str:
        self.asked.append(query)
        code = str(uuid.uuid4())
        self.codes[code] = query
        return (
            query["redirect_uri"]
            + "?"
            + urllib.parse.urlencode({"code": code, "state": query["state"], "iss": self.url} | self.redirect)
        )

    def id_token(self, **more: Any) -> str:
        return self.token(**({"aud": self.client_id} | self.person | more | self.claimed))

    def answer(self, path: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if form.get("client_id") != self.client_id:
            return 401, {"error": "invalid_client"}
        if path == "/device":
            return 200, {
                "device_code": "device", "user_code": "WDJB-MJHT", "verification_uri": self.url + "/type", "expires_in": 60, "interval": 1,
            }  # fmt: skip
        if path != "/token":
            return 404, {}
        if form["grant_type"] == "urn:ietf:params:oauth:grant-type:device_code":
            self.polls += 1
            if self.polls == 1 or not self.approved:
                return 400, {"error": "authorization_pending" if self.polls < 3 else "access_denied"}
            return 200, {"access_token": "opaque", "token_type": "Bearer", "id_token": self.id_token()}
        query = self.codes.pop(form.get("code", ""), None)
        if query is None or form["grant_type"] != "authorization_code" or form["redirect_uri"] != query["redirect_uri"]:
            return 400, {"error": "invalid_grant", "error_description": "no such code"}
        challenge = unpadded(hashlib.sha256(form["code_verifier"].encode()).digest())
        if query["code_challenge_method"] != "S256" or challenge != query["code_challenge"]:
            return 400, {"error": "invalid_grant", "error_description": "the verifier is another"}
        return 200, {"access_token": "opaque", "token_type": "Bearer", "id_token": self.id_token(nonce=query["nonce"])}
