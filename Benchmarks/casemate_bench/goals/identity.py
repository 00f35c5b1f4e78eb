"""I1 to I3: what it costs a warm call to say who calls. The same function is public and private; between two calls without a credential
stand one with a function token seen before, one with a token never seen, and one with a JWT of an issuer whose key is here (ES256).
"""

from __future__ import annotations

import base64
import http.server
import json
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from casemate_bench.load import Connection, request
from casemate_bench.options import Bench, NotMeasured, Wrong
from casemate_bench.server import Function, Server
from casemate_bench.stats import differences, median, paired, rotated
from casemate_bench.table import Row

SOURCE = "def handle(data):\n    return 1\n"


def run(bench: Bench) -> None:
    if shutil.which("openssl") is None:
        raise NotMeasured("openssl, which signs the tokens, is not there")
    calls = bench.options.direct_calls // 10
    rounds = bench.options.rounds
    with Server(bench) as server, Issuer() as issuer:
        trusted = {"name": "bench", "url": issuer.url, "audiences": ["casemate"]}
        server.api("POST", "/v1/issuers", json.dumps(trusted).encode())
        keys = {"scale": {"min": 1, "max": 1, "idle": "1h"}}
        server.deploy(
            {
                "open": Function({"handler.py": SOURCE}, {**keys, "access": "public"}),
                "closed": Function({"handler.py": SOURCE}, keys),
            }
        )
        server.wait_for_pool()
        path = f"/v1/namespaces/{server.NAMESPACE}/tokens"
        tokens = [
            json.loads(server.api("POST", path, b'{"function":"closed"}'))["token"] for _ in range(calls * rounds + 1)
        ]
        scope = f"fn:{server.NAMESPACE}/closed"
        signed = [issuer.token({"scope": scope, "n": number}) for number in range(calls * rounds + 1)]
        took: dict[str, list[float]] = {"none": [], "seen": [], "first": [], "jwt": [], "jwtSeen": []}
        with server.connection() as connection:
            seen, fresh, jwts = tokens[0], iter(tokens[1:]), iter(signed[1:])
            wires = {"none": _wire(server, "open", {}), "seen": _wire(server, "closed", {"X-Auth-Token": seen})}
            _call(connection, _wire(server, "closed", {"Authorization": f"Bearer {signed[0]}"}))
            for _ in range(200):
                for wire in wires.values():
                    _call(connection, wire)
            for turn in range(rounds):
                found: dict[str, list[float]] = {name: [] for name in took}
                for number in range(calls):
                    jwt = _wire(server, "closed", {"Authorization": f"Bearer {next(jwts)}"})
                    each = wires | {
                        "first": _wire(server, "closed", {"X-Auth-Token": next(fresh)}),
                        "jwt": jwt,
                        "jwtSeen": jwt,
                    }
                    for name in rotated(["none", "seen", "first"], turn + number) + ["jwt", "jwtSeen"]:
                        found[name].append(_call(connection, each[name]))
                for name, times in found.items():
                    took[name].append(median(times))
    bench.keep("I", took)
    for id, name, what, goal in (
        ("I1", "seen", "a function token seen before adds", 15.0), ("I2", "first", "a function token never seen adds", 60.0),
        ("I3", "jwt", "an ES256 JWT never seen adds", 250.0),
    ):  # fmt: skip
        added = differences(took[name], took["none"])
        note = f"whole calls, p50: {median(took[name]):.0f} us, {median(took['none']):.0f} us without a credential"
        if id == "I3":
            note += f"; one seen before adds {median(differences(took['jwtSeen'], took['none'])):.0f} us"
        bench.add(
            Row(
                id,
                what,
                added,
                "us",
                "the same call without a credential",
                paired(took[name], took["none"]),
                goal,
                goal_is="value",
                count=calls * rounds,
                note=note + "; an answer longer than the token is searched for it besides",
            )
        )


def _wire(server: Server, function: str, headers: dict[str, str]) -> bytes:
    return request(f"/f/{server.NAMESPACE}/{function}", b"{}", {"Content-Type": "application/json", **headers})


def _call(connection: Connection, wire: bytes) -> float:
    answer = connection.call(wire)
    if answer.status != 200 or answer.body != b"1":
        raise Wrong(f"{answer.status}, {answer.body[:200]!r}")
    return answer.milliseconds * 1000


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Discovery, one key, and tokens that it signs with openssl."""

    def __enter__(self) -> Issuer:
        self.folder = Path(tempfile.mkdtemp(prefix="casemate-issuer-"))
        self.key = self.folder / "key.pem"
        subprocess.run(
            ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.key],
            check=True,
            capture_output=True,
        )
        public = subprocess.run(
            ["openssl", "ec", "-in", self.key, "-pubout", "-outform", "DER"], check=True, capture_output=True
        ).stdout[-64:]
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                key = {
                    "kty": "EC",
                    "crv": "P-256",
                    "alg": "ES256",
                    "use": "sig",
                    "kid": "1",
                    "x": _unpadded(public[:32]),
                    "y": _unpadded(public[32:]),
                }
                documents: dict[str, Any] = {
                    "/.well-known/openid-configuration": {"issuer": issuer.url, "jwks_uri": issuer.url + "/jwks"}, "/jwks": {"keys": [key]},
                }  # fmt: skip
                body = json.dumps(documents.get(self.path, {})).encode()
                self.send_response(200 if self.path in documents else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        shutil.rmtree(self.folder)

    def token(self, claims: dict[str, Any]) -> str:
        now = int(time.time())
        whole = {"iss": self.url, "sub": "bench", "aud": "casemate", "iat": now, "exp": now + 3000} | claims
        signed = ".".join(
            _unpadded(json.dumps(part).encode()) for part in ({"alg": "ES256", "kid": "1", "typ": "JWT"}, whole)
        )
        der = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", self.key], input=signed.encode(), check=True, capture_output=True
        ).stdout
        return signed + "." + _unpadded(_raw(der))


def _raw(der: bytes) -> bytes:
    """Both integers of an ECDSA signature, 32 bytes each."""
    first = der[4 : 4 + der[3]]
    second = der[6 + der[3] :]
    return first.lstrip(b"\0").rjust(32, b"\0") + second.lstrip(b"\0").rjust(32, b"\0")
