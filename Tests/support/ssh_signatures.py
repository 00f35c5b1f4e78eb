"""Signatures of whoever deploys: by ssh-keygen's own keys, and blobs (PROTOCOL.sshsig) with whatever a test wants wrong in them."""

from __future__ import annotations

import base64
import hashlib
import os
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from accounts import Account
from casemate_fixture import Answer, Server, Source, archive, clean_environment, manifest, problem
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, utils

PURPOSE = "casemate"
BEGIN, END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
REFUSED, UNTRUSTED = "/problems/untrusted-signature", "/problems/untrusted-version"
# What ssh-keygen makes, as it is asked for.
KINDS: dict[str, tuple[str, ...]] = {
    "ed25519": ("-t", "ed25519"),
    "ecdsa-256": ("-t", "ecdsa", "-b", "256"),
    "ecdsa-384": ("-t", "ecdsa", "-b", "384"),
    "ecdsa-521": ("-t", "ecdsa", "-b", "521"),
    "rsa-2048": ("-t", "rsa", "-b", "2048"),
    "rsa-3072": ("-t", "rsa", "-b", "3072"),
}


# ---------------------------------------------------------------- the form of it


def packed(*parts: bytes) -> bytes:
    """Strings of RFC 4251 §5."""
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def unpacked(data: bytes) -> list[bytes]:
    parts = []
    while data:
        (length,) = struct.unpack(">I", data[:4])
        assert len(data) >= 4 + length
        parts.append(data[4 : 4 + length])
        data = data[4 + length :]
    return parts


def mpint(number: int) -> bytes:
    """Without its length: the first bit is no sign."""
    return number.to_bytes(number.bit_length() // 8 + 1, "big") if number else b""


def armored(blob: bytes) -> str:
    text = base64.b64encode(blob).decode()
    lines = [text[at : at + 70] for at in range(0, len(text), 70)]
    return "\n".join([BEGIN, *lines, END]) + "\n"


def disarmored(text: str) -> bytes:
    return base64.b64decode("".join(text.split("\n")[1:-2]))


@dataclass(frozen=True)
class Blob:
    """An SSHSIG, field by field."""

    public: bytes
    signature: bytes
    purpose: bytes = PURPOSE.encode()
    hash: bytes = b"sha512"
    reserved: bytes = b""
    magic: bytes = b"SSHSIG"
    version: int = 1
    more: bytes = b""

    @classmethod
    def of(cls, text: str) -> Blob:
        data = disarmored(text)
        assert data[:6] == b"SSHSIG"
        public, purpose, reserved, hash, signature = unpacked(data[10:])
        return cls(public, signature, purpose, hash, reserved, version=struct.unpack(">I", data[6:10])[0])

    def __bytes__(self) -> bytes:
        parts = packed(self.public, self.purpose, self.reserved, self.hash, self.signature)
        return self.magic + struct.pack(">I", self.version) + parts + self.more

    @property
    def text(self) -> str:
        return armored(bytes(self))


def to_sign(text: str | bytes, purpose: bytes = PURPOSE.encode(), hash: str = "sha512") -> bytes:
    """What a key signs for a text."""
    data = text.encode() if isinstance(text, str) else text
    digest = hashlib.new(hash, data).digest() if hash else b""
    return b"SSHSIG" + packed(purpose, b"", hash.encode(), digest)


# ---------------------------------------------------------------- keys


@dataclass(frozen=True)
class Key:
    """A key pair in files, as ssh-keygen makes them."""

    file: Path

    @classmethod
    def make(cls, folder: Path, kind: str = "ed25519", comment: str = "", phrase: str = "") -> Key:
        file = folder / f"{kind}-{os.urandom(4).hex()}"
        asked = ["ssh-keygen", "-q", *KINDS[kind], "-N", phrase, "-C", comment, "-f", str(file)]
        subprocess.run(asked, check=True, stdin=subprocess.DEVNULL)
        return cls(file)

    @property
    def public_file(self) -> Path:
        return self.file.with_name(self.file.name + ".pub")

    @cached_property
    def public(self) -> str:
        """`ssh-ed25519 AAAA…`, without a comment."""
        return " ".join(self.public_file.read_text().split()[:2])

    @property
    def blob(self) -> bytes:
        return base64.b64decode(self.public.split()[1])

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.public)

    def sign(self, text: str | bytes, purpose: str = PURPOSE, hash: str = "sha512") -> str:
        """By ssh-keygen, as a person does it."""
        asked = ["ssh-keygen", "-Y", "sign", "-n", purpose, "-O", f"hashalg={hash}", "-f", str(self.file)]
        data = text.encode() if isinstance(text, str) else text
        done = subprocess.run(asked, input=data, capture_output=True, check=True, env=clean_environment())
        return done.stdout.decode()

    def private(self) -> Any:
        return serialization.load_ssh_private_key(self.file.read_bytes(), password=None)

    def blob_of(self, text: str | bytes, purpose: bytes = PURPOSE.encode(), hash: str = "sha512") -> Blob:
        """As an Ed25519 key signs it, also for what ssh-keygen has no option for."""
        signature = self.private().sign(to_sign(text, purpose, hash))
        return Blob(self.blob, packed(b"ssh-ed25519", signature), purpose, hash.encode())

    def rsa_blob_of(self, text: str | bytes, named: str, with_hash: str, hash: str = "sha512") -> Blob:
        """As an RSA key signs it with a hash function, under an algorithm's name that may be another's."""
        algorithm = {"sha1": hashes.SHA1, "sha256": hashes.SHA256, "sha512": hashes.SHA512}[with_hash]()
        signature = self.private().sign(to_sign(text, hash=hash), padding.PKCS1v15(), algorithm)
        return Blob(self.blob, packed(named.encode(), signature), hash=hash.encode())


def fingerprint(public: str) -> str:
    """`SHA256:…`, as `ssh-keygen -l` shows it."""
    digest = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def small_rsa() -> str:
    """A public key of 1024 bits. Of its numbers nobody asks more than that."""
    number = int.from_bytes(os.urandom(128), "big") | 1 << 1023 | 1
    return "ssh-rsa " + base64.b64encode(packed(b"ssh-rsa", mpint(65537), mpint(number))).decode()


TOUCHED, VERIFIED = 0x01, 0x04


class HardwareKey:
    """What a FIDO token does: it signs its application, whether it was touched and how often it signed (PROTOCOL.u2f)."""

    application = b"ssh:"

    def __init__(self, kind: str = "sk-ssh-ed25519@openssh.com") -> None:
        self.kind = kind
        self.is_ed25519 = "ed25519" in kind
        self.key: Any = (
            ed25519.Ed25519PrivateKey.generate() if self.is_ed25519 else ec.generate_private_key(ec.SECP256R1())
        )

    @property
    def blob(self) -> bytes:
        public = self.key.public_key()
        if self.is_ed25519:
            raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            return packed(self.kind.encode(), raw, self.application)
        point = public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        return packed(self.kind.encode(), b"nistp256", point, self.application)

    @property
    def public(self) -> str:
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.public)

    def blob_of(
        self, text: str | bytes, flags: int = TOUCHED, told_flags: int | None = None, told_count: int = 7
    ) -> Blob:
        """What is told of flags and counter may be other than what was signed."""
        count = 7
        wanted = hashlib.sha256(to_sign(text)).digest()
        signed = hashlib.sha256(self.application).digest() + struct.pack(">BI", flags, count) + wanted
        if self.is_ed25519:
            signature: bytes = self.key.sign(signed)
        else:
            r, s = utils.decode_dss_signature(self.key.sign(signed, ec.ECDSA(hashes.SHA256())))
            signature = packed(mpint(r), mpint(s))
        told = struct.pack(">BI", flags if told_flags is None else told_flags, told_count)
        return Blob(self.blob, packed(self.kind.encode(), signature) + told)

    def sign(self, text: str | bytes) -> str:
        return self.blob_of(text).text


Signing = Key | HardwareKey


class Keys:
    """Key pairs by the names of whose they are, made when they are first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: dict[tuple[str, str], Key] = {}

    def __call__(self, whose: str, kind: str = "ed25519") -> Key:
        if (whose, kind) not in self.made:
            self.made[whose, kind] = Key.make(self.folder, kind)
        return self.made[whose, kind]


def openssh_takes(public: str, signature: str, text: str | bytes, purpose: str = PURPOSE) -> bool:
    """Whether ssh-keygen verifies it: what tests make is held against the original."""
    with tempfile.TemporaryDirectory(prefix="casemate-verify-") as folder:
        allowed, file = Path(folder, "allowed"), Path(folder, "signature")
        allowed.write_text(f"somebody {public}\n")
        file.write_text(signature)
        asked = ["ssh-keygen", "-Y", "verify", "-f", str(allowed), "-I", "somebody", "-n", purpose, "-s", str(file)]
        data = text.encode() if isinstance(text, str) else text
        return subprocess.run(asked, input=data, capture_output=True, check=False).returncode == 0


# ---------------------------------------------------------------- deployments


def sha256(data: str | bytes) -> str:
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def statement(namespace: str, function: str, text: str | bytes, source: str) -> str:
    """What a deployer signs. `text` is the manifest's, `source` is `sha256:…` or `git:…@…`."""
    lines = ["casemate deployment v1", f"namespace {namespace}", f"function {function}"]
    return "\n".join([*lines, f"manifest sha256:{sha256(text)}", f"source {source}"]) + "\n"


@dataclass
class Deployment:
    """What one call of /v1/deployments asks for: the same bytes as often as it is sent."""

    server: Server
    namespace: str
    text: str
    archives: Mapping[str, bytes] = field(repr=False)
    # In place of what was uploaded, for sources that the server fetches: `git:…@…`.
    fetched: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return next(iter([*self.archives, *self.fetched]))

    @property
    def function(self) -> str:
        return f"{self.namespace}/{self.label}"

    def source(self, label: str = "") -> str:
        label = label or self.label
        return self.fetched.get(label) or f"sha256:{sha256(self.archives[label])}"

    def statement(self, label: str = "", **other: str) -> str:
        """Of one function; `other` are parts that are not as they are."""
        label = label or self.label
        parts = {"namespace": self.namespace, "function": label, "text": self.text, "source": self.source(label)}
        return statement(**{**parts, **other})

    def signed(self, key: Signing, label: str = "", **other: str) -> str:
        return key.sign(self.statement(label, **other))

    def send(self, signatures: Any = None, by: Account | None = None, **more: Any) -> Answer:
        """Uploads, for the source of a deployment that failed is gone, and deploys."""
        self.server.namespace(self.namespace)
        key = by.key if by else ""
        sources = {}
        for label, data in self.archives.items():
            uploaded = self.server.api("POST", "/v1/archives", data, key=key, timeout=120)
            assert uploaded.status == 201 and uploaded.json()["digest"] == sha256(data), uploaded.text
            sources[label] = sha256(data)
        order = {"namespace": self.namespace, "manifest": self.text, "sources": sources, **more}
        if signatures is not None:
            order["signatures"] = signatures
        return self.server.api("POST", "/v1/deployments", order, key=key, timeout=180)

    def outcome(self, signature: Any = None, by: Account | None = None, **more: Any) -> dict[str, Any]:
        """Of a manifest with one function, with that function's signature."""
        answer = self.send(None if signature is None else {self.label: signature}, by, **more)
        assert answer.status == 200, answer.text
        (outcome,) = answer.json()["functions"]
        found: dict[str, Any] = outcome
        return found

    def by(self, key: Signing | None, **more: Any) -> dict[str, Any]:
        """Deploys with a good signature of this key, or without any."""
        outcome = self.outcome(self.signed(key) if key else None, **more)
        assert outcome["status"] in ("deployed", "unchanged"), outcome
        return outcome


def deployment(
    server: Server, function: str, source: Source, more: Mapping[str, Any] | str | None = None
) -> Deployment:
    namespace, name = function.split("/")
    text = more if isinstance(more, str) else manifest(namespace, name, more)
    return Deployment(server, namespace, text, {name: archive(source)})


def handler_of(number: int) -> dict[str, str]:
    """A source whose function answers with this number."""
    return {"handler.py": f"def handle(data):\n    return {number}\n"}


def refused(outcome: Mapping[str, Any], *words: str) -> str:
    """A signature was not trusted: nothing was built. Returns what was said."""
    told = (outcome["status"], outcome.get("stage"), outcome.get("problemType"))
    assert told == ("failed", "plan", REFUSED), outcome
    text: str = outcome["problem"]
    assert all(word in text for word in words), text
    return text


# ---------------------------------------------------------------- the policy


def signer(name: str, key: Signing | str, begins: str | None = None, ends: str | None = None) -> dict[str, str]:
    entry = {"name": name, "key": key if isinstance(key, str) else key.public, "from": begins, "until": ends}
    return {name: text for name, text in entry.items() if text is not None}


def supply_chain(
    server: Server, namespace: str, *signers: Mapping[str, str], gate: Mapping[str, Any] | None = None, **rest: Any
) -> None:
    """Sets a namespace's policy, by its administrator."""
    server.namespace(namespace)
    policy: dict[str, Any] = {"supplyChain": {"signers": list(signers), **rest}}
    answer = server.api("PUT", policy_path(namespace), {**policy, **({"gate": gate} if gate else {})})
    assert answer.status == 200, answer.text


def policy_path(namespace: str) -> str:
    return f"/v1/namespaces/{namespace}/policy"


def policy_of(server: Server, namespace: str) -> dict[str, Any]:
    answer = server.api("GET", policy_path(namespace))
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


# ---------------------------------------------------------------- what came of it


def revisions(server: Server, function: str) -> dict[int, dict[str, Any]]:
    answer = server.api("GET", server.function_path(function))
    assert answer.status == 200, answer.text
    return {one["number"]: one for one in answer.json()["revisions"]}


def active(server: Server, function: str) -> dict[str, Any]:
    (found,) = [one for one in revisions(server, function).values() if one["isActive"]]
    return found


def assert_runs(server: Server, function: str, result: Any, **more: Any) -> None:
    answer = server.call(function, body={}, **more)
    assert (answer.status, answer.text.strip()) == (200, str(result)), answer.text


def assert_untrusted(answer: Answer) -> None:
    details = problem(answer)
    assert (details["status"], details["type"]) == (403, UNTRUSTED), details


def damaged(blob: Blob, **fields: Any) -> str:
    return replace(blob, **fields).text


def labelled(entries: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Signers of a policy by their names; what is null is not there."""
    return {one["name"]: {key: value for key, value in one.items() if value is not None} for one in entries}
