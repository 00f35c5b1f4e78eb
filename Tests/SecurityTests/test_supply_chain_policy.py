"""What a namespace's policy says of its supply chain: what it takes, what it shows, and who may loosen it."""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from accounts import Account, account
from casemate_fixture import Answer, Server, problem
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from gate_answers import after, recorded
from spellings import assert_absent
from ssh_signatures import (
    KINDS,
    HardwareKey,
    Key,
    Keys,
    labelled,
    packed,
    policy_of,
    policy_path,
    signer,
    small_rsa,
    supply_chain,
)

DEFAULTS = {
    "requireSignature": False,
    "signers": [],
    "requireApproval": [],
    "requireReview": False,
    "production": False,
}
BEGIN, END = "2026-01-01T00:00:00Z", "2099-01-01T00:00:00Z"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def house(server: Server) -> str:
    """A namespace of the test's own."""
    name = f"chain-{next(_numbers)}"
    server.namespace(name)
    return name


def put(server: Server | Account, namespace: str, chain: Any) -> Answer:
    return server.api("PUT", policy_path(namespace), {"supplyChain": chain})


def chain_of(server: Server, namespace: str) -> dict[str, Any]:
    found: dict[str, Any] = policy_of(server, namespace)["supplyChain"]
    return found


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


# ---------------------------------------------------------------- what is shown


def test_a_policy_shows_its_supply_chain_also_where_nobody_has_set_any(server: Server, house: str) -> None:
    assert chain_of(server, house) == DEFAULTS
    policies: list[dict[str, Any]] = [{}, {"supplyChain": {}}, {"development": True}]
    for policy in policies:
        answer = server.api("PUT", policy_path(house), policy)
        assert answer.status == 200 and answer.json()["supplyChain"] == DEFAULTS, answer.text
        assert chain_of(server, house) == DEFAULTS


def test_what_is_set_is_shown_with_signers_by_their_names(server: Server, house: str, keys: Keys) -> None:
    signers = [signer("zoe", keys("zoe")), signer("ada", keys("ada"), BEGIN, END), signer("max", keys("max"), ends=END)]
    wanted: dict[str, Any] = {
        "requireSignature": True,
        "requireApproval": ["dependencies", "egress", "access", "capabilities", "all"],
        "requireReview": True,
        "production": True,
    }
    answer = put(server, house, {**wanted, "signers": signers})
    assert answer.status == 200, answer.text
    shown = chain_of(server, house)
    assert answer.json()["supplyChain"] == shown
    assert set(shown) == set(DEFAULTS)
    assert [one["name"] for one in shown["signers"]] == ["ada", "max", "zoe"]
    by_name = labelled(shown["signers"])
    assert {name: one["key"] for name, one in by_name.items()} == {
        name: keys(name).public for name in ("ada", "max", "zoe")
    }
    assert {name: sorted(one) for name, one in by_name.items()} == {
        "ada": ["from", "key", "name", "until"],
        "max": ["key", "name", "until"],
        "zoe": ["key", "name"],
    }
    assert moment(by_name["ada"]["from"]) == moment(BEGIN)
    assert moment(by_name["ada"]["until"]) == moment(by_name["max"]["until"]) == moment(END)
    assert sorted(shown.pop("requireApproval")) == sorted(wanted.pop("requireApproval"))
    assert {name: shown[name] for name in wanted} == wanted


def test_what_is_shown_can_be_set_again_by_whoever_may_not_loosen_it(server: Server, house: str, keys: Keys) -> None:
    supply_chain(
        server, house, signer("ada", keys("ada"), BEGIN, END), requireSignature=True, requireApproval=["egress"]
    )
    before = policy_of(server, house)
    writer = account(server, house, ("policy:write", house), ("function:read", house))
    answer = writer.api("PUT", policy_path(house), before)
    assert answer.status == 200, answer.text
    assert policy_of(server, house) == before


def test_the_command_line_sets_and_shows_it(server: Server, house: str, keys: Keys, tmp_path: Path) -> None:
    wanted: dict[str, Any] = {**DEFAULTS, "requireSignature": True, "signers": [signer("ada", keys("ada"))]}
    (tmp_path / "policy.json").write_text(json.dumps({"supplyChain": wanted}))
    code, out, err = server.cli("policy", "set", house, str(tmp_path / "policy.json"))
    assert code == 0 and json.loads(out)["supplyChain"]["requireSignature"] is True, err
    code, out, err = server.cli("policy", "get", house)
    assert code == 0 and labelled(json.loads(out)["supplyChain"]["signers"]) == labelled(wanted["signers"]), err
    (tmp_path / "policy.json").write_text('{"supplyChain": {"requireSignatures": true}}')
    code, _, err = server.cli("policy", "set", house, str(tmp_path / "policy.json"))
    assert code == 2 and "requireSignatures" in err, err
    assert chain_of(server, house)["requireSignature"] is True


# ---------------------------------------------------------------- what is taken


@pytest.mark.parametrize("kind", [*KINDS, "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"])
def test_a_key_of_each_kind_can_be_a_signers(server: Server, house: str, keys: Keys, kind: str) -> None:
    key = HardwareKey(kind) if kind.startswith("sk-") else keys("ada", kind)
    answer = put(server, house, {"signers": [signer("ada", key)]})
    assert answer.status == 200, answer.text
    assert chain_of(server, house)["signers"][0]["key"] == key.public


def test_a_key_may_stand_there_as_ssh_keygen_wrote_it_with_its_comment(
    server: Server, house: str, tmp_path: Path
) -> None:
    key = Key.make(tmp_path, comment="ada@laptop")
    assert "ada@laptop" in key.public_file.read_text()
    answer = put(server, house, {"signers": [signer("ada", key.public_file.read_text().strip())]})
    assert answer.status == 200, answer.text
    assert " ".join(chain_of(server, house)["signers"][0]["key"].split()[:2]) == key.public


def new_key() -> str:
    """Quicker than ssh-keygen, for where many are wanted."""
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    text: bytes = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return text.decode()


def test_there_are_at_most_100_signers(server: Server, house: str) -> None:
    signers = [signer(f"signer-{number:03}", new_key()) for number in range(101)]
    answer = put(server, house, {"signers": signers})
    assert answer.status == 400 and "100" in problem(answer)["detail"], answer.text
    assert chain_of(server, house) == DEFAULTS
    assert put(server, house, {"signers": signers[:100]}).status == 200
    assert len(chain_of(server, house)["signers"]) == 100


@pytest.mark.parametrize(
    "chain",
    [
        [],
        "strict",
        True,
        {"requireSignatures": True},
        {"requiresignature": True},
        {"requireSignature": "true"},
        {"requireSignature": 1},
        {"requireReview": "no"},
        {"production": 0},
        {"requireApproval": "all"},
        {"requireApproval": True},
        {"requireApproval": ["everything"]},
        {"requireApproval": ["Egress"]},
        {"requireApproval": ["egress", 1]},
        {"signers": {}},
        {"signers": "ada"},
        {"signers": ["ada"]},
        {"signers": [[]]},
        {"signers": [{}]},
        {"signers": [{"name": "ada"}]},
    ],
    ids=lambda chain: json.dumps(chain)[:40],
)
def test_what_is_no_supply_chain_is_refused_and_the_one_before_stays(
    server: Server, house: str, keys: Keys, chain: Any
) -> None:
    supply_chain(server, house, signer("ada", keys("ada")), requireSignature=True)
    before = policy_of(server, house)
    answer = put(server, house, chain)
    assert answer.status == 400, f"{answer.status} {answer.text}"
    problem(answer)
    assert policy_of(server, house) == before


def encoded(*parts: bytes, more: bytes = b"") -> str:
    return base64.b64encode(packed(*parts) + more).decode()


def private_text(keys: Keys) -> str:
    return keys("ada").file.read_text()


# Each from a good entry: what is other in it.
WRONG_SIGNERS: dict[str, Any] = {
    "no key": lambda keys: {"key": None},
    "no name": lambda keys: {"name": None},
    "an empty name": lambda keys: {"name": ""},
    "a name of two lines": lambda keys: {"name": "ada\nsupplyChain"},
    "a number for a name": lambda keys: {"name": 7},
    "a number for a key": lambda keys: {"key": 7},
    "an unknown field": lambda keys: {"namespaces": "casemate"},
    "an empty key": lambda keys: {"key": ""},
    "a type alone": lambda keys: {"key": "ssh-ed25519"},
    "a blob alone": lambda keys: {"key": keys("ada").public.split()[1]},
    "a fingerprint": lambda keys: {"key": keys("ada").fingerprint},
    "no base64": lambda keys: {"key": "ssh-ed25519 !" + keys("ada").public.split()[1][1:]},
    "two keys": lambda keys: {"key": keys("ada").public + "\n" + keys("eve").public},
    "options before it": lambda keys: {"key": 'namespaces="file" ' + keys("ada").public},
    "a line of allowed signers": lambda keys: {"key": "ada@example.com " + keys("ada").public},
    "another type than its blob's": lambda keys: {
        "key": "ecdsa-sha2-nistp256 " + keys("ada").public.split()[1],
    },
    "a blob that is cut": lambda keys: {"key": "ssh-ed25519 " + encoded(b"ssh-ed25519", os.urandom(31))},
    "a blob with more": lambda keys: {"key": "ssh-ed25519 " + encoded(b"ssh-ed25519", os.urandom(32), more=b"\0")},
    "a length that lies": lambda keys: {
        "key": "ssh-ed25519 " + base64.b64encode(packed(b"ssh-ed25519") + b"\xff" * 8).decode(),
    },
    "a point off its curve": lambda keys: {
        "key": "ecdsa-sha2-nistp256 "
        + encoded(b"ecdsa-sha2-nistp256", b"nistp256", b"\x04" + bytes(31) + b"\1" + bytes(31) + b"\1"),
    },
    "another curve than it says": lambda keys: {
        "key": "ecdsa-sha2-nistp256 " + keys("ada", "ecdsa-384").public.split()[1],
    },
    "rsa of 1024 bits": lambda keys: {"key": small_rsa()},
    "dsa": lambda keys: {"key": "ssh-dss " + encoded(b"ssh-dss", *[b"\1" + os.urandom(20) for _ in range(4)])},
    "an unknown type": lambda keys: {"key": "ssh-ed448 " + encoded(b"ssh-ed448", os.urandom(57))},
    "a private key": lambda keys: {"key": private_text(keys)},
    "a beginning that is no time": lambda keys: {"from": "yesterday"},
    "an end that is a date": lambda keys: {"until": "2099-01-01"},
    "an end that is a number": lambda keys: {"until": 4070908800},
    "an end before its beginning": lambda keys: {"from": END, "until": BEGIN},
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG_SIGNERS)
def test_an_entry_that_is_no_signer_is_refused_and_never_quoted_whole(
    server: Server, house: str, keys: Keys, what: str
) -> None:
    entry = {**signer("ada", keys("ada")), **WRONG_SIGNERS[what](keys)}
    answer = put(server, house, {"signers": [{name: value for name, value in entry.items() if value is not None}]})
    assert answer.status == 400, f"{answer.status} {answer.text}"
    assert problem(answer)["detail"], answer.text
    assert chain_of(server, house) == DEFAULTS
    for line in private_text(keys).splitlines()[1:-1]:
        assert_absent(answer.text + "".join(server.err[-50:]), line, "the refusal")


def test_a_certificate_is_no_signers_key(server: Server, house: str, tmp_path: Path) -> None:
    authority, key = Key.make(tmp_path), Key.make(tmp_path)
    asked = ["ssh-keygen", "-q", "-s", str(authority.file), "-I", "ada", "-n", "ada", str(key.public_file)]
    subprocess.run(asked, check=True)
    certificate = key.file.with_name(key.file.name + "-cert.pub").read_text().strip()
    assert certificate.startswith("ssh-ed25519-cert-v01@openssh.com ")
    assert put(server, house, {"signers": [signer("ada", certificate)]}).status == 400
    assert put(server, house, {"signers": [signer("ada", "cert-authority " + authority.public)]}).status == 400


# ---------------------------------------------------------------- who may change it

Entry = str | tuple[str, str | None, str | None]
Chain = Mapping[str, Any]
ADA: Chain = {"signers": {"ada": "ada"}}

# Before and after. Signers by name: whose key, from when, until when.
LOOSER: dict[str, tuple[Chain, Chain | None]] = {
    "no signature": ({**ADA, "requireSignature": True}, {**ADA, "requireSignature": False}),
    "no signature, by saying nothing": ({**ADA, "requireSignature": True}, ADA),
    "nothing at all": ({**ADA, "requireSignature": True}, None),
    "no review": ({"requireReview": True}, {"requireReview": False}),
    "no production": ({"production": True}, {"production": False}),
    "no approval of one thing": ({"requireApproval": ["egress", "access"]}, {"requireApproval": ["access"]}),
    "approval of another thing": ({"requireApproval": ["egress"]}, {"requireApproval": ["access"]}),
    "approval no more of all": ({"requireApproval": ["all"]}, {"requireApproval": ["dependencies", "egress"]}),
    "a first signer": ({}, ADA),
    "a second signer": (ADA, {"signers": {"ada": "ada", "eve": "eve"}}),
    "another signer": (ADA, {"signers": {"eve": "eve"}}),
    "another key": (ADA, {"signers": {"ada": "eve"}}),
    "a later end": ({"signers": {"ada": ("ada", None, "2027-01-01T00:00:00Z")}}, {"signers": {"ada": ("ada", None, END)}}),
    "no end": ({"signers": {"ada": ("ada", None, END)}}, ADA),
    "an earlier beginning": ({"signers": {"ada": ("ada", END, None)}}, {"signers": {"ada": ("ada", BEGIN, None)}}),
    "one that is stricter besides": ({"requireReview": True}, {"requireSignature": False, "production": True}),
}  # fmt: skip
STRICTER: dict[str, tuple[Chain, Chain]] = {
    "signatures": (ADA, {**ADA, "requireSignature": True}),
    "review": ({}, {"requireReview": True}),
    "production": ({}, {"production": True}),
    "approval": ({"requireApproval": ["egress"]}, {"requireApproval": ["egress", "all"]}),
    "a signer less": ({"signers": {"ada": "ada", "eve": "eve"}}, ADA),
    "no signers": (ADA, {}),
    "an end": (ADA, {"signers": {"ada": ("ada", None, END)}}),
    "an earlier end": ({"signers": {"ada": ("ada", None, END)}}, {"signers": {"ada": ("ada", None, "2027-01-01T00:00:00Z")}}),
    "a beginning": (ADA, {"signers": {"ada": ("ada", BEGIN, None)}}),
}  # fmt: skip


def resolved(keys: Keys, chain: Chain) -> dict[str, Any]:
    made = dict(chain)
    if "signers" in made:
        wanted: dict[str, Entry] = made["signers"]
        made["signers"] = [
            signer(name, keys(entry)) if isinstance(entry, str) else signer(name, keys(entry[0]), *entry[1:])
            for name, entry in wanted.items()
        ]
    return made


def begun(server: Server, house: str, keys: Keys, chain: Chain) -> dict[str, Any]:
    answer = put(server, house, resolved(keys, chain))
    assert answer.status == 200, answer.text
    return policy_of(server, house)


@pytest.mark.guarantee("COG-27")
@pytest.mark.parametrize("what", LOOSER)
def test_COG_27_who_may_only_write_a_policy_may_not_loosen_its_supply_chain(
    server: Server, house: str, keys: Keys, what: str
) -> None:
    before, wanted = LOOSER[what]
    shown = begun(server, house, keys, before)
    body: dict[str, Any] = {} if wanted is None else {"supplyChain": resolved(keys, wanted)}
    writer = account(server, house, ("policy:write", house), ("function:read", house))
    refused = writer.api("PUT", policy_path(house), body)
    assert refused.status == 403 and "deploy:approve" in problem(refused)["detail"], f"{refused.status} {refused.text}"
    assert policy_of(server, house) == shown
    writer.grant("deploy:approve", house)
    allowed = writer.api("PUT", policy_path(house), body)
    assert allowed.status == 200, allowed.text
    assert chain_of(server, house) == allowed.json()["supplyChain"] != shown["supplyChain"]


@pytest.mark.guarantee("COG-27")
@pytest.mark.parametrize("what", STRICTER)
def test_COG_27_whoever_may_write_a_policy_may_make_it_stricter(
    server: Server, house: str, keys: Keys, what: str
) -> None:
    before, wanted = STRICTER[what]
    shown = begun(server, house, keys, before)
    writer = account(server, house, ("policy:write", house), ("function:read", house))
    answer = put(writer, house, resolved(keys, wanted))
    assert answer.status == 200, answer.text
    assert chain_of(server, house) == answer.json()["supplyChain"] != shown["supplyChain"]


@pytest.mark.guarantee("COG-27")
@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("viewer", False),
        ("developer", False),
        ("deployer", False),
        ("operator", False),
        ("approver", True),
        ("deploy:approve", True),
    ],
)
def test_COG_27_the_right_to_approve_is_an_approvers_and_loosens_a_policy_together_with_the_right_to_write_it(
    server: Server, house: str, keys: Keys, role: str, may: bool
) -> None:
    who = account(server, house, (role, house))
    assert put(who, house, resolved(keys, ADA)).status == 403, "without the right to write a policy"
    who.grant("policy:write", house)
    assert put(who, house, resolved(keys, ADA)).status == (200 if may else 403)


@pytest.mark.guarantee("COG-27")
def test_COG_27_an_administrator_of_a_namespace_loosens_its_policy_and_no_other_s(
    server: Server, house: str, keys: Keys
) -> None:
    server.namespace("chain-next-door")
    admin = account(server, house, ("admin", house), ("policy:write", "chain-next-door"))
    assert put(admin, house, resolved(keys, ADA)).status == 200
    refused = put(admin, "chain-next-door", resolved(keys, ADA))
    assert refused.status == 403 and "deploy:approve" in problem(refused)["detail"], refused.text


@pytest.mark.guarantee("COG-27")
def test_COG_27_each_change_is_in_the_audit_log(server: Server, house: str, keys: Keys) -> None:
    chain = resolved(keys, {"signers": {"ada": "ada", "max": ("max", None, after(3600))}})
    everything = {
        **chain, "requireSignature": True, "requireApproval": ["egress"], "requireReview": True, "production": True,
    }  # fmt: skip

    def changed() -> str:
        details = recorded(server, "policy.changed", namespace=house)[-1]["details"]
        return " ".join(str(details[name]) for name in sorted(details))

    names = ("requireSignature", "signers", "requireApproval", "requireReview", "production")
    for body in (everything, {}):
        assert put(server, house, body).status == 200
        told = changed()
        missing = [name for name in names if f"supplyChain.{name}" not in told]
        assert missing == [], f"{missing} not in {told!r}"
    assert put(server, house, {"requireReview": True}).status == 200
    told = changed()
    assert "supplyChain.requireReview" in told and "supplyChain.signers" not in told, told
