"""Reads an attestation with what others wrote: securesystemslib's envelope, in-toto's statement, and SLSA's provenance.

Runs in the environment that scripts/test-tools makes. Standard input has `envelope`, and `key` as GET /v1/keys/signing gives it;
standard output has the statement as its bytes say and as it was understood, or the fault.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

SCHEMES = {"ed25519": ("ed25519", "ed25519"), "ecdsa-p256-sha256": ("ecdsa", "ecdsa-sha2-nistp256")}


def public_key(told: dict[str, Any]) -> Any:
    read = load_pem_public_key(told["publicKey"].encode())
    key = SSlibKey.from_crypto(read, told["keyId"])
    assert (key.keytype, key.scheme) == SCHEMES[told["algorithm"]], f"{key.keytype} {key.scheme}, {told['algorithm']}"
    assert isinstance(read, (ed25519.Ed25519PublicKey, ec.EllipticCurvePublicKey))
    return key


def read(told: dict[str, Any]) -> dict[str, Any]:
    envelope = Envelope.from_dict(told["envelope"])
    envelope.verify([public_key(told["key"])], 1)
    payload = envelope.payload.decode()
    # Both know their fields, and take no other.
    message = json_format.Parse(payload, statement_pb2.Statement())
    Statement.copy_from_pb(message).validate()
    predicate = json_format.ParseDict(json_format.MessageToDict(message.predicate), provenance_pb2.Provenance())
    build, run = predicate.build_definition, predicate.run_details
    assert build.build_type and run.builder.id and run.metadata.invocation_id
    for resource in [*build.resolved_dependencies, *run.byproducts]:
        ResourceDescriptor.copy_from_pb(resource).validate()
    return {
        "payloadType": envelope.payload_type,
        "statement": json.loads(payload),
        "understood": json_format.MessageToDict(predicate),
        "began": run.metadata.started_on.ToMilliseconds(),
        "ended": run.metadata.finished_on.ToMilliseconds(),
    }


if __name__ == "__main__":
    try:
        found = read(json.load(sys.stdin))
    except Exception as error:
        found = {"fault": f"{type(error).__name__}: {error}"}
    print(json.dumps(found))
