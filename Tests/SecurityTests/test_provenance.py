"""Provenance (COG-17, COG-28): what a revision was made from, in a form that others' tools verify and understand, and without a secret."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import re
import secrets as randomness
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from accounts import account
from broken_vault import Database
from casemate_fixture import Server, manifest, problem
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from gate_answers import PLAIN
from git_world import GIT, HTTPS_PORT, PASSWORD, USER, GitWorld
from inject_probe import OTHER_ADDRESS
from package_index import PRIVATE_INDEX, PackageIndex, Release
from provenance import (
    CHANGED,
    KEY,
    PAYLOAD_TYPE,
    Envelope,
    Meddler,
    ask,
    envelope_of,
    pae,
    payload_of,
    read,
    signing_key,
    statement_of,
)
from source_packages import needing
from spellings import assert_absent
from ssh_signatures import Keys, active, deployment, handler_of, revisions, sha256, signer, supply_chain
from world_dns import A

ABSENT = "a-function-that-is-not-there"
INDEX_PORT = 8453
INDEX_URL = f"https://{PRIVATE_INDEX}:{INDEX_PORT}/simple"
HOST = f"https://{GIT}:{HTTPS_PORT}/"
# Other ones in each run.
INDEX_TOKEN, API_KEY, REGION = (randomness.token_hex(16) for _ in range(3))
PLAIN_1, NEEDY_1 = Release("plain", "1.0"), Release("needy", "1.0", requires=["plain"])
QUOKKA_1 = Release("quokka-core", "1.0")
HEX = re.compile("[0-9a-f]{64}")
_numbers = itertools.count(1)


@pytest.fixture
def house(server: Server) -> str:
    name = f"origin-{next(_numbers)}"
    server.namespace(name)
    return name


@pytest.fixture(scope="module")
def hello(running: Server) -> str:
    """A function with one revision, for tests that only look at it."""
    deployment(running, "origin/hello", handler_of(1)).by(None)
    return "origin/hello"


# ---------------------------------------------------------------- the readers themselves


def made_up(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey, **other: Any) -> Envelope:
    """An envelope of nothing of Casemate's."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "plant/hello", "digest": {"sha256": "0" * 64}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {"buildType": "https://example.com/a", "externalParameters": {"a": "b"}},
            "runDetails": {"builder": {"id": "https://example.com/b"}, "metadata": {"invocationId": "7"}},
        },
    }
    payload = json.dumps({**statement, **other}).encode()
    text = pae(PAYLOAD_TYPE, payload)
    how = [] if isinstance(key, ed25519.Ed25519PrivateKey) else [ec.ECDSA(SHA256())]
    return {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": "k", "sig": base64.b64encode(key.sign(text, *how)).decode()}],
    }


def told_key(key: Any, algorithm: str) -> dict[str, str]:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return {"keyId": "k", "algorithm": algorithm, "publicKey": pem.decode()}


@pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa-p256-sha256"])
def test_the_readers_of_others_take_what_is_right_and_nothing_else(algorithm: str) -> None:
    key: Any = (
        ed25519.Ed25519PrivateKey.generate() if algorithm == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    )
    told = told_key(key, algorithm)
    good = made_up(key)
    found = read(good, told)
    assert found.get("statement", {}).get("predicateType") == "https://slsa.dev/provenance/v1", found
    for what, change in CHANGED.items():
        assert "fault" in read(change(good), told), what
    wrong: list[dict[str, Any]] = [
        {"predicate": {}},
        {"subject": []},
        {"_type": "https://example.com/a"},
        {"signer": "me"},
    ]
    for other in wrong:
        assert "fault" in read(made_up(key, **other), told), other


# ---------------------------------------------------------------- what it says


@dataclass
class Made:
    """A function with packages of two indexes, an environment and a secret, and when it was deployed."""

    function: str
    text: str
    revision: dict[str, Any]
    began: float
    ended: float


@pytest.fixture(scope="module")
def far() -> Iterator[GitWorld]:
    if os.geteuid() != 0:
        pytest.exit("these tests make network namespaces, which needs root", returncode=4)
    with GitWorld() as world:
        world.private = PackageIndex(PRIVATE_INDEX, INDEX_PORT, f"robot:{INDEX_TOKEN}")
        world.private.add(QUOKKA_1)
        world.serve(INDEX_PORT, world.private)
        world.dns[PRIVATE_INDEX] = [A(OTHER_ADDRESS)]
        world.index.add(PLAIN_1, NEEDY_1)
        world.open_index()
        yield world


@pytest.fixture(scope="module")
def fetching(far: GitWorld) -> Iterator[Server]:
    with far.installing("--pool-size", "2") as server:
        supply_chain(server, "plant", gate={"repositories": [HOST], "indexes": [INDEX_URL]})
        yield server


@pytest.fixture(scope="module")
def made(fetching: Server) -> Made:
    keys = {
        "env": {"REGION": f"north {REGION}"},
        "secrets": ["API_KEY"],
        "dependencies": {
            "indexes": {"corp": {"url": INDEX_URL, "credentials": "CORP_INDEX"}},
            "packages": {"quokka-*": "corp"},
        },
    }
    fetching.secret("plant/hello", "API_KEY", API_KEY)
    fetching.secret("plant/hello", "CORP_INDEX", f"robot:{INDEX_TOKEN}")
    source = needing(["needy", "quokka-core"], "needy", "quokka_core", returns="quokka_core.VERSION")
    began = time.time()
    fetching.deploy("plant", "hello", source, keys)
    ended = time.time()
    revision = active(fetching, "plant/hello")
    return Made("plant/hello", manifest("plant", "hello", keys), revision, began, ended)


def digest(named: str) -> str:
    """The digits of `sha256:…`."""
    assert named.startswith("sha256:") and HEX.fullmatch(named[7:]), named
    return named[7:]


@pytest.mark.guarantee("COG-17")
def test_COG_17_the_statement_is_in_toto_s_of_the_bundle_that_runs(fetching: Server, made: Made) -> None:
    envelope = envelope_of(fetching, made.function)
    assert set(envelope) == {"payloadType", "payload", "signatures"} and envelope["payloadType"] == PAYLOAD_TYPE
    (signature,) = envelope["signatures"]
    assert set(signature) == {"keyid", "sig"} and signature["keyid"] == signing_key(fetching)["keyId"]
    statement = statement_of(fetching, made.function)
    assert set(statement) == {"_type", "subject", "predicateType", "predicate"}
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [
        {"name": made.function, "digest": {"sha256": digest(made.revision["bundleDigest"])}},
    ]
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert set(statement["predicate"]) == {"buildDefinition", "runDetails"}


@pytest.mark.guarantee("COG-17", "COG-28")
def test_COG_17_it_says_what_was_asked_for_and_what_was_decided(fetching: Server, made: Made) -> None:
    build = statement_of(fetching, made.function)["predicate"]["buildDefinition"]
    assert set(build) == {"buildType", "externalParameters", "internalParameters", "resolvedDependencies"}
    assert urlsplit(build["buildType"]).scheme, "SLSA has a URI there"
    asked, decided = build["externalParameters"], build["internalParameters"]
    assert set(asked) == {"function", "namespace", "manifest", "source"}, asked
    assert asked["function"] in ("hello", made.function) and asked["namespace"] == "plant"
    assert sha256(made.text) in json.dumps(asked["manifest"]), asked
    assert digest(made.revision["sourceDigest"]) in json.dumps(asked["source"]), asked
    assert set(decided) == {"revision", "runtime", "dependencyPolicy"}, decided
    assert int(decided["revision"]) == made.revision["number"]
    assert (decided["runtime"], decided["dependencyPolicy"]) == ("python3.11", "auto")


@pytest.mark.guarantee("COG-17", "COG-28")
def test_COG_17_it_names_the_source_and_each_package_with_its_digest(fetching: Server, made: Made) -> None:
    resolved = statement_of(fetching, made.function)["predicate"]["buildDefinition"]["resolvedDependencies"]
    (source,) = [one for one in resolved if one.get("name") == "source"]
    assert source["digest"] == {"sha256": digest(made.revision["sourceDigest"])}
    packages = {one["uri"].partition("?")[0]: one["digest"] for one in resolved if one is not source}
    assert packages == {
        f"pkg:pypi/{release.name}@{release.version}": {"sha256": release.digest}
        for release in (PLAIN_1, NEEDY_1, QUOKKA_1)
    }
    assert len(resolved) == 4


@pytest.mark.guarantee("COG-17")
def test_COG_17_it_names_who_built_it_when_and_what_else_came_of_that(fetching: Server, made: Made) -> None:
    envelope = envelope_of(fetching, made.function)
    run = statement_of(fetching, made.function)["predicate"]["runDetails"]
    assert set(run) == {"builder", "metadata", "byproducts"}
    assert urlsplit(run["builder"]["id"]).scheme, "SLSA has a URI there"
    assert set(run["metadata"]) == {"invocationId", "startedOn", "finishedOn"} and run["metadata"]["invocationId"]
    times = [datetime.fromisoformat(run["metadata"][name]).timestamp() for name in ("startedOn", "finishedOn")]
    assert made.began - 1 <= times[0] <= times[1] <= made.ended + 1
    understood = read(envelope, signing_key(fetching))
    assert [understood["began"], understood["ended"]] == [round(at * 1000) for at in times]
    by_name = {one["name"]: one["digest"]["sha256"] for one in run["byproducts"]}
    assert len(by_name) == len(run["byproducts"]) == 3 and all(HEX.fullmatch(one) for one in by_name.values())

    def of(what: str) -> str:
        (found,) = [name for name in by_name if what in name]
        return str(by_name[found])

    sbom = fetching.api("GET", f"{fetching.function_path(made.function)}/sbom")
    assert of("sbom") == hashlib.sha256(sbom.body).hexdigest()
    assert of("lock") == sha256(made.revision["lock"])
    assert of("findings")


@pytest.mark.guarantee("COG-17")
def test_COG_17_no_value_and_no_credential_is_in_it(fetching: Server, made: Made) -> None:
    envelope = envelope_of(fetching, made.function)
    assert fetching.call(made.function, body={}).json() == "1.0"
    assert REGION in made.text
    for what, value in (("the environment", REGION), ("a secret", API_KEY), ("an index", INDEX_TOKEN)):
        assert_absent(payload_of(envelope), value, f"the statement has what is of {what}:", hashed=True)
        assert_absent(json.dumps(envelope), value, f"the envelope has what is of {what}:")
    assert "robot" not in payload_of(envelope).decode()


@pytest.mark.guarantee("COG-17", "COG-28")
@pytest.mark.parametrize("ref", ["a branch", "a commit"])
def test_COG_28_a_source_from_a_repository_is_named_with_its_commit(fetching: Server, far: GitWorld, ref: str) -> None:
    code = far.repository(f"origin{next(_numbers)}.git")
    first = code.commit({"handler.py": PLAIN})
    url, function = GitWorld.url(code.path.name), f"plant/{code.path.stem}"
    git = {"url": url, "ref": "main" if ref == "a branch" else first}
    fetching.deploy("plant", code.path.stem, {}, {"source": {"git": git}})
    build = statement_of(fetching, function)["predicate"]["buildDefinition"]
    (source,) = build["resolvedDependencies"]
    assert (source["uri"], source["digest"]) == (f"git+{url}@{first}", {"gitCommit": first})
    assert url in json.dumps(build["externalParameters"]["source"])
    if ref == "a branch":
        second = code.commit({"handler.py": handler_of(2)["handler.py"]})
        fetching.deploy("plant", code.path.stem, {}, {"source": {"git": git}})
        commits = [
            statement_of(fetching, function, number)["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"]
            for number in (1, 2)
        ]  # fmt: skip
        assert commits == [{"gitCommit": first}, {"gitCommit": second}]


@pytest.mark.guarantee("COG-28")
def test_COG_28_a_repository_s_credentials_are_not_in_it(fetching: Server, far: GitWorld) -> None:
    name = f"hidden{next(_numbers)}"
    code = far.repository(f"private/{name}.git")
    commit = code.commit({"handler.py": PLAIN})
    url = GitWorld.url(f"private/{name}.git")
    fetching.secret(f"plant/{name}", "GIT_CREDENTIALS", f"{USER}:{PASSWORD}")
    git = {"url": url, "ref": "main", "credentials": "GIT_CREDENTIALS"}
    fetching.deploy("plant", name, {}, {"source": {"git": git}})
    payload = payload_of(envelope_of(fetching, f"plant/{name}"))
    assert f"git+{url}@{commit}".encode() in payload.replace(rb"\/", b"/")
    for value in (PASSWORD, base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(), f"{USER}:"):
        assert_absent(payload, value, "the statement")


@pytest.mark.guarantee("COG-17", "COG-27")
def test_COG_17_who_signed_the_deployment_is_in_it(
    server: Server, house: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    key = Keys(tmp_path_factory.mktemp("keys"))("ada")
    supply_chain(server, house, signer("ada", key))
    deployment(server, f"{house}/hello", handler_of(1)).by(key)
    deployment(server, f"{house}/unsigned", handler_of(1)).by(None)
    told = json.dumps(statement_of(server, f"{house}/hello")["predicate"]).replace(r"\/", "/")
    assert key.fingerprint in told and '"ada"' in told, told
    assert "SHA256:" not in json.dumps(statement_of(server, f"{house}/unsigned"))


@pytest.mark.guarantee("COG-17")
def test_COG_17_each_revision_has_its_own(server: Server, house: str) -> None:
    hello = f"{house}/hello"
    for number in (1, 2):
        deployment(server, hello, handler_of(number)).by(None)
    made = revisions(server, hello)
    statements = {number: statement_of(server, hello, number) for number in (1, 2)}
    for number, statement in statements.items():
        assert statement["subject"][0]["digest"]["sha256"] == digest(made[number]["bundleDigest"])
        assert int(statement["predicate"]["buildDefinition"]["internalParameters"]["revision"]) == number
    runs = [statement["predicate"]["runDetails"]["metadata"]["invocationId"] for statement in statements.values()]
    assert len(set(runs)) == 2
    assert envelope_of(server, hello) == envelope_of(server, hello, 2)
    rolled = server.api("POST", f"{server.function_path(hello)}/rollback", {"revision": 1})
    assert rolled.status == 200, rolled.text
    assert envelope_of(server, hello) == envelope_of(server, hello, 1)
    assert statement_of(server, hello, 2) == statements[2], "it stays"


# ---------------------------------------------------------------- whether it is true


@pytest.mark.guarantee("COG-17")
@pytest.mark.parametrize("what", CHANGED)
def test_COG_17_an_envelope_that_was_changed_is_not_verified(server: Server, hello: str, what: str) -> None:
    good, key = envelope_of(server, hello), signing_key(server)
    assert read(good, key)["statement"]["subject"][0]["name"] == hello
    assert "fault" in read(CHANGED[what](good), key)
    code, out, err = server.cli("provenance", hello, "--verify")
    assert code == 0 and "verified" in out, out + err
    with Meddler(server, CHANGED[what]) as meddler:
        code, out, err = server.cli("provenance", hello, "--verify", environment=meddler.environment)
    assert code != 0 and "verified" not in out.split() and err, out + err
    assert what == "no signature" or any(KEY in path for path in meddler.asked), "it asks for the key that is named"


def always(envelope: Envelope) -> Callable[[Envelope], Envelope]:
    return lambda _: envelope


@pytest.mark.guarantee("COG-17")
def test_COG_17_an_envelope_of_something_else_verifies_nothing(server: Server, house: str) -> None:
    hello, other = f"{house}/hello", f"{house}/other"
    deployment(server, other, handler_of(7)).by(None)
    for number in (1, 2):
        deployment(server, hello, handler_of(number)).by(None)
    for wrong in (envelope_of(server, other), envelope_of(server, hello, 1)):
        with Meddler(server, always(wrong)) as meddler:
            code, out, err = server.cli(
                "provenance", hello, "--revision", "2", "--verify", environment=meddler.environment
            )
        assert code != 0 and "verified" not in out.split() and err, out + err
    with Meddler(server, lambda same: same) as meddler:
        assert server.cli("provenance", hello, "--verify", environment=meddler.environment)[0] == 0


@pytest.mark.guarantee("COG-17")
def test_COG_17_the_command_prints_the_envelope_as_it_is(server: Server, house: str) -> None:
    hello = f"{house}/hello"
    for number in (1, 2):
        deployment(server, hello, handler_of(number)).by(None)
    for options, number in (([], 2), (["--revision", "1"], 1), (["--revision", "2"], 2)):
        code, out, err = server.cli("provenance", hello, *options)
        assert code == 0, err
        assert json.loads(out) == envelope_of(server, hello, number)
        code, out, _ = server.cli("provenance", hello, *options, "--verify")
        assert code == 0 and "verified" in out.split(), out
    for wrong in (["--revision", "9"], ["--revision", "9", "--verify"]):
        code, out, err = server.cli("provenance", hello, *wrong)
        assert code == 2 and not out.strip() and err, out + err


@pytest.mark.guarantee("COG-17")
def test_COG_17_it_is_the_same_after_a_restart_and_once_it_was_changed_on_disk_it_is_not_taken_for_true() -> None:
    with Server() as server:
        deployment(server, "house/hello", handler_of(1)).by(None)
        envelope, key = envelope_of(server, "house/hello"), signing_key(server)
        server.stop()
        server.start()
        assert (envelope_of(server, "house/hello"), signing_key(server)) == (envelope, key)
        server.stop()
        assert changed_on_disk(server, envelope), "it lies in no table as it is: this test has to learn where it is"
        server.start()
        answer = ask(server, "house/hello")
        assert answer.status >= 400 or "fault" in read(answer.json(), key), answer.text
        code, out, _ = server.cli("provenance", "house/hello", "--verify")
        assert code != 0 and "verified" not in out.split(), out


def changed_on_disk(server: Server, envelope: Envelope) -> int:
    """Changes the name in the statement wherever a table has it; returns how often it did."""
    payload = payload_of(envelope)
    other = payload.replace(b"house/hello", b"house/hallo").replace(rb"house\/hello", rb"house\/hallo")
    assert other != payload
    encoded = base64.b64encode(payload), base64.b64encode(other)
    # Some writers of JSON put a backslash before each slash.
    escaped = encoded[0].replace(b"/", rb"\/"), encoded[1].replace(b"/", rb"\/")
    places = [(payload, other), encoded, escaped]
    count = 0
    with Database(server) as database:
        tables = [row[0] for row in database.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = [row[1] for row in database.connection.execute(f'PRAGMA table_info("{table}")')]
            for column in columns:
                query = f'SELECT DISTINCT "{column}" FROM "{table}"'  # nosec B608  # names of its own
                for (value,) in database.connection.execute(query).fetchall():
                    if not isinstance(value, (str, bytes)):
                        continue
                    data = value.encode() if isinstance(value, str) else value
                    for before, afterwards in places:
                        data = data.replace(before, afterwards)
                    new = data.decode() if isinstance(value, str) else data
                    if new != value:
                        order = f'UPDATE "{table}" SET "{column}" = ? WHERE "{column}" = ?'  # nosec B608  # as above
                        count += database.connection.execute(order, (new, value)).rowcount
    return count


# ---------------------------------------------------------------- the key


def test_the_key_is_told_in_a_form_that_others_read(server: Server, hello: str) -> None:
    key = signing_key(server)
    assert set(key) == {"keyId", "algorithm", "publicKey"} and key["algorithm"] == "ed25519", key
    assert isinstance(load_pem_public_key(key["publicKey"].encode()), ed25519.Ed25519PublicKey)
    sheet = server.api("GET", f"{server.function_path(hello)}/trust").json()
    assert sheet["signer"] == key["keyId"], "as trust sheets have it"
    code, out, err = server.cli("signing-key")
    assert code == 0 and key["publicKey"].strip() in out, out + err
    assert server.cli_json("signing-key") == key


def test_whoever_is_known_may_have_the_key_and_nobody_else(server: Server, house: str) -> None:
    nobody = account(server, house)
    answer = nobody.api("GET", KEY)
    assert answer.status == 200 and answer.json() == signing_key(server)
    assert problem(server.api("GET", KEY, key=None))["status"] == 401
    assert server.api("GET", KEY, key=randomness.token_hex(16)).status == 401
    assert server.api("GET", f"{KEY}?private=true").status == 400
    for method in ("PUT", "POST", "DELETE"):
        assert server.api(method, KEY, {}).status in (404, 405), method


# ---------------------------------------------------------------- who may see it


@pytest.mark.guarantee("COG-17")
def test_COG_17_it_is_shown_to_whoever_may_see_the_function(server: Server, hello: str) -> None:
    namespace = hello.split("/")[0]
    viewer = account(server, namespace, ("viewer", hello))
    assert ask(server, hello, key=viewer.key).json() == envelope_of(server, hello)
    code, out, err = viewer.cli("provenance", hello, "--verify")
    assert code == 0 and "verified" in out.split(), out + err
    caller = account(server, namespace, ("function:invoke", hello))
    refused = ask(server, hello, key=caller.key)
    assert refused.status == 403 and "function:read" in problem(refused)["detail"], refused.text


@pytest.mark.case("A17")
def test_A17_another_tenant_s_provenance_is_as_if_it_was_not_there(server: Server, hello: str) -> None:
    namespace = hello.split("/")[0]
    stranger = account(server, f"{namespace}-next", ("admin", f"{namespace}-next"))
    absent = ask(server, f"{namespace}/{ABSENT}", key=stranger.key)
    for revision in (None, 1, 9):
        answer = ask(server, hello, revision, key=stranger.key)
        assert answer.status == absent.status == 404
        assert problem(answer)["detail"].replace("hello", ABSENT) == problem(absent)["detail"]
    code, out, err = stranger.cli("provenance", hello)
    assert code == 2 and not out.strip() and err, out + err


def test_without_a_credential_there_is_none(server: Server, hello: str) -> None:
    token = server.token(hello)["token"]
    for function in (hello, f"{hello.split('/')[0]}/{ABSENT}"):
        assert problem(ask(server, function, key=None))["status"] == 401
        assert ask(server, function, key=token).status == 401, "a function's token is none of the API's"


def test_of_what_is_not_there_there_is_none(server: Server, hello: str) -> None:
    namespace = hello.split("/")[0]
    assert ask(server, f"{namespace}/{ABSENT}").status == 404
    server.secret(f"{namespace}/set-first", "API_KEY", randomness.token_hex(8))
    assert ask(server, f"{namespace}/set-first").status == 404, "it was never deployed"
    assert ask(server, hello, 2).status == 404
    for wrong in ("0", "-1", "x", "", "1.0", "99999999999999999999"):
        assert ask(server, hello, wrong).status in (400, 404), wrong
    assert server.api("GET", f"{server.function_path(hello)}/provenance?verify=true").status == 400
