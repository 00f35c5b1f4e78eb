"""Deployments that somebody signed: what a signature has to be, by whose key, and over what."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from accounts import account
from casemate_fixture import Server, manifest, problem
from gate_answers import after, recorded
from signed import assert_never_there, house, keys  # noqa: F401
from spellings import assert_absent
from ssh_signatures import (
    BEGIN,
    END,
    KINDS,
    PURPOSE,
    REFUSED,
    TOUCHED,
    VERIFIED,
    Blob,
    Deployment,
    HardwareKey,
    Key,
    Keys,
    active,
    armored,
    assert_runs,
    assert_untrusted,
    damaged,
    deployment,
    disarmored,
    handler_of,
    mpint,
    openssh_takes,
    packed,
    refused,
    revisions,
    sha256,
    signer,
    supply_chain,
)

SK_ED25519, SK_ECDSA = "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"


# ---------------------------------------------------------------- what these tests make themselves


@pytest.mark.parametrize("hash", ["sha256", "sha512"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_of_a_signature_here_is_what_openssh_wrote(keys: Keys, kind: str, hash: str) -> None:
    text = keys("ada", kind).sign("a text\n", hash=hash)
    assert Blob.of(text).text == armored(disarmored(text)) == text
    assert openssh_takes(keys("ada", kind).public, text, "a text\n")
    assert not openssh_takes(keys("ada", kind).public, text, "another text\n")


def test_what_is_signed_here_without_openssh_is_taken_by_it(keys: Keys) -> None:
    made = {keys("ada").public: keys("ada").blob_of("a text\n", hash="sha256").text}
    rsa = keys("ada", "rsa-3072")
    made[rsa.public] = rsa.rsa_blob_of("a text\n", "rsa-sha2-256", "sha256").text
    for kind in (SK_ED25519, SK_ECDSA):
        token = HardwareKey(kind)
        made[token.public] = token.sign("a text\n")
        assert not openssh_takes(token.public, token.blob_of("a text\n", flags=0, told_flags=TOUCHED).text, "a text\n")
    for public, text in made.items():
        assert openssh_takes(public, text, "a text\n"), public


# ---------------------------------------------------------------- a good signature


@pytest.mark.guarantee("COG-27")
@pytest.mark.parametrize(
    ("kind", "hash"),
    [
        ("ed25519", "sha256"),
        ("ed25519", "sha512"),
        ("ecdsa-256", "sha512"),
        ("ecdsa-384", "sha256"),
        ("ecdsa-521", "sha512"),
        ("rsa-2048", "sha512"),
        ("rsa-3072", "sha256"),
    ],
)
def test_COG_27_a_signature_by_each_kind_of_key_is_taken_and_recorded(
    server: Server, house: str, keys: Keys, kind: str, hash: str
) -> None:
    key = keys("max", kind)
    supply_chain(server, house, signer("max", key), requireSignature=True)
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    outcome = wanted.outcome(key.sign(wanted.statement(), hash=hash))
    assert outcome["status"] == "deployed", outcome
    assert active(server, wanted.function)["signedBy"] == {"name": "max", "key": key.fingerprint}
    assert_runs(server, wanted.function, 1)


@pytest.mark.guarantee("COG-27")
def test_COG_27_an_rsa_key_may_sign_with_sha256(server: Server, house: str, keys: Keys) -> None:
    key = keys("max", "rsa-3072")
    supply_chain(server, house, signer("max", key), requireSignature=True)
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    outcome = wanted.outcome(key.rsa_blob_of(wanted.statement(), "rsa-sha2-256", "sha256").text)
    assert outcome["status"] == "deployed", outcome
    assert_runs(server, wanted.function, 1)


@pytest.mark.guarantee("COG-27")
@pytest.mark.parametrize("flags", [TOUCHED, TOUCHED | VERIFIED], ids=["touched", "with a PIN"])
@pytest.mark.parametrize("kind", [SK_ED25519, SK_ECDSA])
def test_COG_27_a_signature_by_a_hardware_key_that_was_touched_is_taken(
    server: Server, house: str, kind: str, flags: int
) -> None:
    token = HardwareKey(kind)
    supply_chain(server, house, signer("max", token), requireSignature=True)
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    outcome = wanted.outcome(token.blob_of(wanted.statement(), flags).text)
    assert outcome["status"] == "deployed", outcome
    assert active(server, wanted.function)["signedBy"] == {"name": "max", "key": token.fingerprint}
    assert_runs(server, wanted.function, 1)


@pytest.mark.guarantee("COG-27")
@pytest.mark.parametrize("change", ["crlf", "no last line end"])
def test_COG_27_how_the_lines_of_the_armor_end_does_not_matter(
    server: Server, house: str, keys: Keys, change: str
) -> None:
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    text = wanted.signed(keys("ada"))
    outcome = wanted.outcome(text.replace("\n", "\r\n") if change == "crlf" else text.rstrip("\n"))
    assert outcome["status"] == "deployed", outcome
    assert active(server, wanted.function)["signedBy"]["name"] == "ada"


@pytest.mark.guarantee("COG-27")
def test_COG_27_who_signed_is_told_wherever_the_revision_is(server: Server, house: str, keys: Keys) -> None:
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    robot = account(server, house, ("deployer", house), ("function:invoke", house))
    wanted.by(keys("ada"), by=robot)
    who = {"name": "ada", "key": keys("ada").fingerprint}
    revision = active(server, wanted.function)
    assert (revision["signedBy"], revision["createdBy"]) == (who, robot.subject), "who signs need not be who deploys"
    assert server.cli_json("function", "show", wanted.function)["revisions"][0]["signedBy"] == who
    sheet = robot.api("GET", f"{server.function_path(wanted.function)}/trust").json()
    assert sheet["signedBy"] == who, sheet
    (record,) = recorded(server, "function.deployed", function=wanted.function)
    assert "ada" in record["details"]["signer"] and record["actor"] == robot.subject, record


def test_of_a_revision_that_nobody_signed_no_signer_is_told(server: Server, house: str) -> None:
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    wanted.by(None)
    assert active(server, wanted.function).get("signedBy") is None
    sheet = server.api("GET", f"{server.function_path(wanted.function)}/trust").json()
    assert sheet.get("signedBy") is None and sheet["signer"], "by the server it is signed as ever"
    (record,) = recorded(server, "function.deployed", function=wanted.function)
    assert not record["details"].get("signer"), record


@pytest.mark.guarantee("COG-27")
def test_COG_27_each_function_of_a_manifest_has_a_signature_of_its_own(server: Server, house: str, keys: Keys) -> None:
    supply_chain(server, house, signer("ada", keys("ada")), signer("eve", keys("eve")), requireSignature=True)
    text = manifest(house, "one", {}) + manifest(None, "two", {}).removeprefix("functions:\n")
    wanted = deployment(server, f"{house}/one", handler_of(1), text)
    wanted.archives = {**wanted.archives, "two": deployment(server, f"{house}/two", handler_of(2)).archives["two"]}

    def outcomes(**signatures: str) -> dict[str, Any]:
        answer = wanted.send(signatures)
        assert answer.status == 200, answer.text
        return {one["function"]: one for one in answer.json()["functions"]}

    ones, twos = wanted.signed(keys("ada"), "one"), wanted.signed(keys("eve"), "two")
    for told in outcomes(one=twos, two=ones).values():
        refused(told)
    half = outcomes(one=ones, two=ones)
    assert half[f"{house}/one"]["status"] == "deployed", half
    refused(half[f"{house}/two"])
    both = outcomes(one=ones, two=twos)
    assert {one["status"] for one in both.values()} <= {"deployed", "unchanged"}, both
    assert active(server, f"{house}/one")["signedBy"]["name"] == "ada"
    assert active(server, f"{house}/two")["signedBy"]["name"] == "eve"
    assert_runs(server, f"{house}/two", 2)


# ---------------------------------------------------------------- what is no signature


@dataclass
class Case:
    """What a bad signature is made from: a good one of ada's is `good`."""

    wanted: Deployment
    keys: Keys

    @property
    def text(self) -> str:
        return self.wanted.statement()

    @property
    def good(self) -> Blob:
        return self.keys("ada").blob_of(self.text)

    @property
    def ada(self) -> Key:
        return self.keys("ada")

    def lines(self) -> list[str]:
        return self.good.text.splitlines()


def truncated(case: Case, keep: int) -> str:
    return armored(bytes(case.good)[:keep])


def lying(case: Case) -> str:
    """The last string says that it is longer than all there is."""
    blob = bytes(replace(case.good, signature=b""))
    return armored(blob[:-4] + struct.pack(">I", 0xFFFFFFF0) + b"\0" * 16)


def flipped(case: Case) -> str:
    signature = bytearray(case.good.signature)
    signature[-1] ^= 1
    return damaged(case.good, signature=bytes(signature))


def cut(case: Case) -> str:
    return damaged(case.good, signature=packed(b"ssh-ed25519", case.good.signature[-64:-1]))


BROKEN: dict[str, Callable[[Case], str]] = {
    "nothing": lambda case: "",
    "a line end": lambda case: "\n",
    "a word": lambda case: "signed",
    "its first and last line alone": lambda case: f"{BEGIN}\n{END}\n",
    "no first line": lambda case: "\n".join(case.lines()[1:]),
    "no last line": lambda case: "\n".join(case.lines()[:-1]),
    "text before it": lambda case: "Signed by ada\n" + case.good.text,
    "another armor": lambda case: case.good.text.replace("SSH SIGNATURE", "PGP SIGNATURE"),
    "no armor": lambda case: "".join(case.lines()[1:-1]),
    "no base64": lambda case: f"{BEGIN}\n{'!?' * 40}\n{END}\n",
    "a letter that is no base64": lambda case: case.good.text.replace("U1NIU0lH", "U1NI*0lH"),
    "a NUL": lambda case: case.good.text.replace("\n", "\0\n", 2),
    "no padding": lambda case: f"{BEGIN}\nU1NIU0lHA\n{END}\n",
    "a blob of one byte": lambda case: truncated(case, 1),
    "the magic alone": lambda case: truncated(case, 6),
    "half a blob": lambda case: truncated(case, len(bytes(case.good)) // 2),
    "a blob without its last byte": lambda case: truncated(case, -1),
    "a length beyond the end": lying,
    "1 MiB of letters": lambda case: f"{BEGIN}\n{'A' * (1 << 20)}\n{END}\n",
    "1 MiB in lines": lambda case: armored(bytes(case.good) + os.urandom(3 << 18)),
    "1 MiB of spaces": lambda case: f"{BEGIN}\n{' ' * (1 << 20)}\n{END}\n",
    "another magic": lambda case: damaged(case.good, magic=b"SSHSIF"),
    "version 0": lambda case: damaged(case.good, version=0),
    "version 2": lambda case: damaged(case.good, version=2),
    "a byte after it": lambda case: damaged(case.good, more=b"\0"),
    "another one after it": lambda case: damaged(case.good, more=bytes(case.good)),
    "a byte after its signature": lambda case: damaged(case.good, signature=case.good.signature + b"\0"),
    "a byte after its public key": lambda case: damaged(case.good, public=case.good.public + b"\0"),
    "a flipped bit": flipped,
    "63 bytes of 64": cut,
    "no signature in it": lambda case: damaged(case.good, signature=b""),
    "no key in it": lambda case: damaged(case.good, public=b""),
    "hash sha1": lambda case: case.ada.blob_of(case.text, hash="sha1").text,
    "hash md5": lambda case: case.ada.blob_of(case.text, hash="md5").text,
    "hash sha384": lambda case: case.ada.blob_of(case.text, hash="sha384").text,
    "hash SHA512": lambda case: case.ada.blob_of(case.text, hash="SHA512").text,
    "no hash": lambda case: case.ada.blob_of(case.text, hash="").text,
    "sha256 in sha512's name": lambda case: damaged(case.ada.blob_of(case.text, hash="sha256"), hash=b"sha512"),
    "a key of an unknown type": lambda case: damaged(
        case.good, public=packed(b"ssh-ed448", os.urandom(57)), signature=packed(b"ssh-ed448", os.urandom(114))
    ),
    "an unknown type for a signer's key": lambda case: damaged(
        case.good, public=packed(b"ssh-ed448", case.good.public[-32:])
    ),
    "a certificate's type": lambda case: damaged(
        case.good, public=packed(b"ssh-ed25519-cert-v01@openssh.com", case.good.public[-32:])
    ),
    "a signature of another type than its key's": lambda case: damaged(
        case.good, signature=packed(b"ecdsa-sha2-nistp256", case.good.signature[-64:])
    ),
    "a signature of no type": lambda case: damaged(case.good, signature=case.good.signature[-64:]),
}


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-27")
@pytest.mark.parametrize("what", BROKEN)
def test_D11_what_is_no_signature_is_refused_before_anything_is_built(
    server: Server, house: str, keys: Keys, what: str
) -> None:
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    begin = time.monotonic()
    refused(wanted.outcome(BROKEN[what](Case(wanted, keys))))
    assert time.monotonic() - begin < 10
    assert_never_there(server, wanted.function)
    assert server.is_running()


@pytest.mark.case("D11")
@pytest.mark.parametrize(
    ("named", "with_hash"),
    [("ssh-rsa", "sha1"), ("rsa-sha2-512", "sha1"), ("rsa-sha2-512", "sha256"), ("ssh-rsa", "sha512")],
)
def test_D11_an_rsa_key_signs_with_sha2_alone(
    server: Server, house: str, keys: Keys, named: str, with_hash: str
) -> None:
    key = keys("max", "rsa-3072")
    supply_chain(server, house, signer("max", key))
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    refused(wanted.outcome(key.rsa_blob_of(wanted.statement(), named, with_hash).text))
    assert_never_there(server, wanted.function)


@pytest.mark.case("D11")
def test_D11_an_rsa_key_of_1024_bits_signs_nothing(server: Server, house: str, tmp_path: Path) -> None:
    file = tmp_path / "small"
    made = subprocess.run(
        ["ssh-keygen", "-q", "-t", "rsa", "-b", "1024", "-N", "", "-C", "", "-f", str(file)], capture_output=True
    )
    if made.returncode:
        pytest.skip("this OpenSSH makes no such key any more")
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    refused(wanted.outcome(Key(file).rsa_blob_of(wanted.statement(), "rsa-sha2-512", "sha512").text))
    assert_never_there(server, wanted.function)


@pytest.mark.case("D11")
@pytest.mark.parametrize(("r", "s"), [(0, 0), (0, 1), (1, 0), (1, 1), (1 << 256, 1 << 256), (1 << 4096, 1)])
def test_D11_numbers_that_fit_any_text_are_no_signature_of_an_elliptic_curve(
    server: Server, house: str, keys: Keys, r: int, s: int
) -> None:
    key = keys("max", "ecdsa-256")
    supply_chain(server, house, signer("max", key))
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    good = Blob.of(wanted.signed(key))
    numbers = packed(b"ecdsa-sha2-nistp256", packed(mpint(r), mpint(s)))
    refused(wanted.outcome(damaged(good, signature=numbers)))
    assert_never_there(server, wanted.function)


@pytest.mark.case("D11")
@pytest.mark.parametrize("kind", [SK_ED25519, SK_ECDSA])
@pytest.mark.parametrize(
    "made",
    [
        {"flags": 0},
        {"flags": VERIFIED},
        {"flags": 0, "told_flags": TOUCHED},
        {"told_flags": TOUCHED | VERIFIED},
        {"told_count": 8},
    ],
    ids=["not touched", "a PIN and no touch", "a touch that was not signed", "a PIN that was not signed", "another counter"],
)  # fmt: skip
def test_D11_a_hardware_key_has_to_be_touched_and_to_have_signed_that(
    server: Server, house: str, kind: str, made: dict[str, int]
) -> None:
    token = HardwareKey(kind)
    supply_chain(server, house, signer("max", token))
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    refused(wanted.outcome(token.blob_of(wanted.statement(), **made).text))
    assert_never_there(server, wanted.function)


@pytest.mark.case("D11")
def test_D11_a_hardware_key_signs_for_its_own_application_alone(server: Server, house: str) -> None:
    token = HardwareKey()
    supply_chain(server, house, signer("max", token))
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    public = token.blob
    token.application = b"ssh:elsewhere"
    refused(wanted.outcome(damaged(token.blob_of(wanted.statement()), public=public)))


@pytest.mark.case("D11")
@pytest.mark.parametrize(
    "purpose", ["git", "file", "email", "", "Casemate", "casemate ", "casemate\0", "casemate.deployment", "c" * 5000]
)
def test_D11_a_signature_for_another_purpose_is_refused(server: Server, house: str, keys: Keys, purpose: str) -> None:
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    key = keys("ada")
    if purpose in ("git", "file", "email"):
        refused(wanted.outcome(key.sign(wanted.statement(), purpose)))
    refused(wanted.outcome(key.blob_of(wanted.statement(), purpose.encode()).text))
    # Also where only the name was put right afterwards.
    refused(wanted.outcome(damaged(key.blob_of(wanted.statement(), purpose.encode()), purpose=PURPOSE.encode())))
    assert_never_there(server, wanted.function)


@pytest.mark.parametrize(
    "signatures",
    [[], "text", 7, {"hello": 7}, {"hello": None}, {"hello": ["text"]}, {"hello": {"signature": "text"}}, {"other": "GOOD"},
     {"hello": "GOOD", "other": "GOOD"}, {"": "GOOD"}, {"UPPER!": "GOOD"}],
    ids=lambda signatures: json.dumps(signatures),
)  # fmt: skip
def test_what_is_no_list_of_signatures_by_functions_of_the_manifest_is_refused_as_a_request(
    server: Server, house: str, keys: Keys, signatures: Any
) -> None:
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    if isinstance(signatures, dict):
        good = wanted.signed(keys("ada"))
        signatures = {name: good if value == "GOOD" else value for name, value in signatures.items()}
    answer = wanted.send(signatures)
    assert answer.status in (400, 422), f"{answer.status} {answer.text}"
    problem(answer)
    assert_never_there(server, wanted.function)


@pytest.mark.case("D11")
def test_D11_a_private_key_that_was_sent_for_a_signature_is_refused_and_told_to_nobody(
    server: Server, house: str, keys: Keys
) -> None:
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    text = keys("ada").file.read_text()
    outcome = wanted.outcome(text)
    refused(outcome)
    audit = server.cli("audit", "tail", "--json")[1]
    for line in text.splitlines()[1:-1]:
        assert_absent(json.dumps(outcome), line, "the outcome")
        assert_absent("".join(server.err), line, "the server's log")
        assert_absent(audit, line, "the audit log")


# ---------------------------------------------------------------- of what


def changed(**other: str) -> Callable[[Deployment], str]:
    return lambda wanted: wanted.statement(**other)


def edited(before: str, afterwards: str) -> Callable[[Deployment], str]:
    def edit(wanted: Deployment) -> str:
        text = wanted.statement()
        assert before in text
        return text.replace(before, afterwards)

    return edit


OTHER_STATEMENTS: dict[str, Callable[[Deployment], str]] = {
    "another digest": changed(source="sha256:" + "0" * 64),
    "another function": changed(function="hello-2"),
    "another namespace": changed(namespace="plant"),
    "another manifest": lambda wanted: wanted.statement(text=wanted.text + "\n"),
    "the digest without its kind": lambda wanted: wanted.statement(source=wanted.source().removeprefix("sha256:")),
    "the digest in capitals": lambda wanted: wanted.statement(source="sha256:" + wanted.source()[7:].upper()),
    "the digest of a repository's": lambda wanted: wanted.statement(source=f"git:{wanted.source()}"),
    "the manifest's digest as the source's": lambda wanted: wanted.statement(source=f"sha256:{sha256(wanted.text)}"),
    "no statement but the archive": lambda wanted: wanted.source().removeprefix("sha256:"),
    "another version": edited("deployment v1", "deployment v2"),
    "another title": edited("casemate deployment", "casemate approval"),
    "line ends of another system": edited("\n", "\r\n"),
    "spaces at the ends of lines": edited("\n", " \n"),
    "no last line end": lambda wanted: wanted.statement().rstrip("\n"),
    "one line end more": lambda wanted: wanted.statement() + "\n",
    "one line more": lambda wanted: wanted.statement() + "approved yes\n",
    "lines in another order": lambda wanted: "".join(
        sorted(wanted.statement().splitlines(True), key=lambda line: "cfnms".index(line[0]))
    ),
    "tabs": edited(" ", "\t"),
    "nothing": lambda wanted: "",
}


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-27")
@pytest.mark.parametrize("what", OTHER_STATEMENTS)
def test_D11_a_signature_of_another_statement_is_refused(server: Server, house: str, keys: Keys, what: str) -> None:
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    text = OTHER_STATEMENTS[what](wanted)
    assert text != wanted.statement()
    refused(wanted.outcome(keys("ada").sign(text)))
    assert_never_there(server, wanted.function)


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-27")
@pytest.mark.parametrize("what", ["source", "manifest", "function", "namespace"])
def test_D11_a_signature_serves_nothing_but_what_it_was_made_for(
    server: Server, house: str, keys: Keys, what: str
) -> None:
    signed = deployment(server, f"{house}/hello", handler_of(1))
    signature = signed.signed(keys("ada"))
    signed.outcome(signature)
    live = active(server, signed.function)
    other = {
        "source": deployment(server, f"{house}/hello", handler_of(2)),
        "manifest": replace(signed, text=manifest(house, "hello", {"access": "public"})),
        "function": deployment(server, f"{house}/hello-2", handler_of(1)),
        "namespace": deployment(server, f"{house}-next/hello", handler_of(1)),
    }[what]
    if what in ("function", "namespace"):
        other.archives = {other.label: signed.archives["hello"]}
    if what == "namespace":
        supply_chain(server, f"{house}-next", signer("ada", keys("ada")))
    refused(other.outcome(signature))
    assert active(server, signed.function) == live
    assert_runs(server, signed.function, 1)


@pytest.mark.case("D11")
def test_D11_a_namespace_that_the_request_names_is_the_one_that_counts(server: Server, house: str, keys: Keys) -> None:
    supply_chain(server, f"{house}-next", signer("ada", keys("ada")))
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    refused(wanted.outcome(wanted.signed(keys("ada")), namespace=f"{house}-next"))
    outcome = wanted.outcome(wanted.signed(keys("ada"), namespace=f"{house}-next"), namespace=f"{house}-next")
    assert (outcome["status"], outcome["function"]) == ("deployed", f"{house}-next/hello"), outcome
    assert_never_there(server, f"{house}/hello")


# ---------------------------------------------------------------- by whom


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-27")
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa-256", "rsa-3072"])
def test_D11_a_key_of_nobody_in_the_list_signs_nothing(server: Server, house: str, keys: Keys, kind: str) -> None:
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    refused(wanted.outcome(wanted.signed(keys("eve", kind))))
    assert_never_there(server, wanted.function)


@pytest.mark.case("D11")
def test_D11_to_name_a_signers_key_is_not_to_have_it(server: Server, house: str, keys: Keys) -> None:
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    refused(wanted.outcome(damaged(Blob.of(wanted.signed(keys("eve"))), public=keys("ada").blob)))
    assert_never_there(server, wanted.function)


@pytest.mark.case("D11")
def test_D11_a_signer_of_another_namespace_is_none_of_this_one(server: Server, house: str, keys: Keys) -> None:
    supply_chain(server, f"{house}-next", signer("eve", keys("eve")))
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    refused(wanted.outcome(wanted.signed(keys("eve"))))
    assert_never_there(server, wanted.function)


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-27")
@pytest.mark.parametrize(
    ("begins", "ends", "is_taken"),
    [
        (None, -60, False),
        (-7200, -3600, False),
        (3600, None, False),
        (3600, 7200, False),
        (-60, None, True),
        (-60, 3600, True),
        (None, 3600, True),
    ],
    ids=["has ended", "had its time", "not yet", "later for a while", "since then", "for a while", "until later"],
)
def test_D11_a_signer_signs_from_their_beginning_to_their_end(
    server: Server, house: str, keys: Keys, begins: float | None, ends: float | None, is_taken: bool
) -> None:
    times = [None if seconds is None else after(seconds) for seconds in (begins, ends)]
    supply_chain(server, house, signer("ada", keys("ada"), *times))
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    outcome = wanted.outcome(wanted.signed(keys("ada")))
    if is_taken:
        assert outcome["status"] == "deployed", outcome
    else:
        refused(outcome)
        assert_never_there(server, wanted.function)


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-27")
@pytest.mark.parametrize("required", [False, True])
def test_D11_where_no_signers_are_listed_any_signature_is_refused(
    server: Server, house: str, keys: Keys, required: bool
) -> None:
    supply_chain(server, house, requireSignature=required)
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    refused(wanted.outcome(wanted.signed(keys("ada"))), "the namespace has no signers")
    assert_never_there(server, wanted.function)


# ---------------------------------------------------------------- with and without a signature


@pytest.mark.guarantee("COG-27")
def test_COG_27_without_a_signature_nothing_is_deployed_where_one_is_required(
    server: Server, house: str, keys: Keys
) -> None:
    supply_chain(server, house, signer("ada", keys("ada")), requireSignature=True)
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    refused(wanted.outcome())
    answer = wanted.send({})
    refused(answer.json()["functions"][0])
    assert_never_there(server, wanted.function)
    assert wanted.by(keys("ada"))["status"] == "deployed"


def test_a_refused_signature_leaves_what_is_live_and_is_in_the_audit_log(
    server: Server, house: str, keys: Keys
) -> None:
    deployment(server, f"{house}/hello", handler_of(1)).by(None)
    before = revisions(server, f"{house}/hello")
    wanted = deployment(server, f"{house}/hello", handler_of(2))
    outcome = wanted.outcome(wanted.signed(keys("eve")))
    refused(outcome)
    assert outcome["revision"] == 1, outcome
    assert revisions(server, f"{house}/hello") == before
    assert_runs(server, f"{house}/hello", 1)
    (record,) = recorded(server, "function.deploy-refused", function=f"{house}/hello")
    assert (record["details"]["stage"], record["details"]["problem"]) == ("plan", REFUSED), record


@pytest.mark.case("D11")
def test_D11_a_bad_signature_is_refused_also_where_there_is_nothing_to_do(
    server: Server, house: str, keys: Keys
) -> None:
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    wanted.by(keys("ada"))
    refused(wanted.outcome(wanted.signed(keys("eve"))))
    assert wanted.by(keys("ada"))["status"] == "unchanged"
    refused(wanted.outcome(wanted.signed(keys("eve")), dryRun=True))
    assert list(revisions(server, wanted.function)) == [1]


@pytest.mark.guarantee("COG-27")
def test_COG_27_what_is_live_unsigned_is_signed_by_deploying_it_once_more(
    server: Server, house: str, keys: Keys
) -> None:
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    wanted.by(None)
    supply_chain(server, house, signer("ada", keys("ada")), requireSignature=True)
    assert_untrusted(server.call(wanted.function, body={}))
    refused(wanted.outcome())
    wanted.by(keys("ada"))
    assert active(server, wanted.function)["signedBy"]["name"] == "ada"
    assert_runs(server, wanted.function, 1)


@pytest.mark.guarantee("COG-27")
def test_COG_27_who_may_not_deploy_may_not_with_a_signature_either(server: Server, house: str, keys: Keys) -> None:
    reader = account(server, house, ("viewer", house))
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    uploaded = server.api("POST", "/v1/archives", wanted.archives["hello"])
    order = {"namespace": house, "manifest": wanted.text, "sources": {"hello": uploaded.json()["digest"]}}
    answer = reader.api("POST", "/v1/deployments", {**order, "signatures": {"hello": wanted.signed(keys("ada"))}})
    assert answer.status == 403, answer.text
    assert_never_there(server, wanted.function)
