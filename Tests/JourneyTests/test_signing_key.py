"""Revisions signed by a key of KMS, through the real server against moto."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator

import pytest
from casemate_fixture import Server, binary, clean_environment, handler
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from moto_server import REGION, Moto

ONE = handler("def handle(data):\n    return 1\n")


@pytest.fixture(scope="module")
def server(aws: Moto) -> Iterator[Server]:
    """One that signed with its file's key first."""
    with Server(environment=aws.environment) as server:
        server.namespace("keys")
        server.deploy("keys", "before", ONE)
        server.options = [
            "--signing-key",
            f"aws-kms://{REGION}/{aws.facts['signing'].split('/')[1]}?endpoint={aws.url}",
        ]
        server.stop()
        server.start()
        yield server


@pytest.mark.guarantee("COG-17")
def test_COG_17_what_a_key_of_kms_signs_is_verified_with_its_public_half(server: Server) -> None:
    server.deploy("keys", "signed", ONE)
    assert server.call("keys/signed", body={}).json() == 1
    key = server.api("GET", "/v1/keys/signing").json()
    assert key["algorithm"] == "ecdsa-p256-sha256"
    public = serialization.load_pem_public_key(key["publicKey"].encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    envelope = server.api("GET", "/v1/namespaces/keys/functions/signed/provenance").json()
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"].encode()
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    public.verify(base64.b64decode(envelope["signatures"][0]["sig"]), signed, ec.ECDSA(hashes.SHA256()))
    code, out, err = server.cli("provenance", "keys/signed", "--verify")
    assert code == 0 and "verified" in out, err


def test_what_the_files_key_signed_before_runs_on(server: Server) -> None:
    assert server.call("keys/before", body={}).json() == 1
    assert server.api("POST", "/v1/namespaces/keys/functions/before/rollback", {"revision": 1}).status == 200


def test_while_kms_is_away_nothing_is_deployed_and_what_is_deployed_starts_also_after_a_restart(
    server: Server, aws: Moto
) -> None:
    server.deploy("keys", "cold", ONE)
    aws.pause()
    try:
        tried = server.try_deploy("keys", "late", ONE)
        assert tried.code != 0 and tried.first["stage"] == "sign", tried.said
        assert aws.url not in tried.said
        server.stop()
        server.start()
        assert server.call("keys/cold", body={}, timeout=30).json() == 1
        assert server.call("keys/before", body={}, timeout=30).json() == 1
    finally:
        aws.go_on()
    server.deploy("keys", "late", ONE)


@pytest.mark.parametrize("setting", ["nothing", "aws-kms://", "pkcs11:token=x", f"aws-kms://{REGION}/"])
def test_a_setting_that_is_no_key_is_refused_with_its_name(setting: str) -> None:
    done = subprocess.run(
        [binary(), "config", "show", "--signing-key", setting],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0 and "signing-key" in done.stderr, done.stdout + done.stderr
