"""Whoever can write the server's database while it is stopped, and what becomes of what was signed when the signing key is another."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from accounts import account
from broken_vault import Copy, Database, kek, refusal
from casemate_fixture import Answer, Server, handler, problem
from gate_answers import recorded
from moto_server import REGION, Moto
from provenance import envelope_of, read
from ssh_signatures import Keys, deployment, signer
from supply_chain import (
    HOST,
    Team,
    active,
    answering,
    answers,
    approved,
    live,
    path,
    revision,
    set_rules,
    states,
    team,
    waiting,
)

# ---------------------------------------------------------------- rows of revisions

Row = dict[str, Any]
Change = Callable[[Row], Row]


def in_json(column: str, **fields: Any) -> Change:
    """Of what stands there as JSON, these fields are others."""

    def change(row: Row) -> Row:
        before = json.loads(row[column])
        assert set(fields) <= set(before), before
        return {column: json.dumps({**before, **fields})}

    return change


ZEROS = "00000000-0000-4000-8000-000000000000"
# Of a function of which kind, and what is another in the row of its live revision.
CHANGED: dict[str, tuple[str, Change]] = {
    "author_identity": ("plain", lambda row: {"author_identity": f"service-account:{ZEROS}"}),
    "created_by": ("plain", lambda row: {"created_by": row["created_by"] + "-2"}),
    "both of its author": ("plain", lambda row: {"author_identity": "key:eve", "created_by": "key:eve"}),
    "created": ("plain", lambda row: {"created": row["created"] + 1}),
    "needs_approval, away": ("approved", lambda row: {"needs_approval": ""}),
    "needs_approval, of another kind": ("approved", lambda row: {"needs_approval": "access"}),
    "needs_approval, where none was": ("plain", lambda row: {"needs_approval": "egress"}),
    "base": ("second", lambda row: {"base": row["id"]}),
    "no base": ("second", lambda row: {"base": None}),
    "base of what was approved": ("approved", lambda row: {"base": None}),
    "author of what was approved": ("approved", lambda row: {"author_identity": "key:eve", "created_by": "key:eve"}),
    "the signer's name": ("signed", in_json("signer", name="eve")),
    "the signer's key": ("signed", in_json("signer", key="SHA256:" + "A" * 43)),
    "no signer": ("signed", lambda row: {"signer": None, "signed_at": None}),
    "a signer": ("plain", lambda row: {"signer": '{"name":"ada","key":"SHA256:x"}', "signed_at": row["created"]}),
    "signed_at": ("signed", lambda row: {"signed_at": row["signed_at"] - 1}),
    "code_author": ("promoted", in_json("code_author", identity=f"service-account:{ZEROS}")),
    "code_author by name": ("promoted", in_json("code_author", subject="key:eve")),
    "no code_author": ("promoted", lambda row: {"code_author": None}),
    "origin's digest": ("promoted", in_json("origin", digest="sha256:" + "0" * 64)),
    "origin's function": ("promoted", in_json("origin", function="trusted/f")),
    "origin's number": ("promoted", in_json("origin", revision=7)),
    "no origin": ("promoted", lambda row: {"origin": None}),
    "an origin": ("plain", lambda row: {"origin": '{"function":"a/b","revision":1,"digest":"sha256:x"}'}),
}


def select(database: Database, function: str, number: int) -> Row:
    query = "SELECT * FROM revisions WHERE function_id = ? AND number = ?"
    cursor = database.connection.execute(query, (database.ids[function], number))
    return dict(zip([column[0] for column in cursor.description], cursor.fetchone()))


def update(database: Database, row: Row, change: Mapping[str, Any]) -> None:
    assert change and any(row[column] != value for column, value in change.items()), f"nothing changes: {change}"
    columns = ", ".join(f"{column} = ?" for column in change)
    order = f"UPDATE revisions SET {columns} WHERE id = ?"  # nosec B608  # names of its own
    database.connection.execute(order, (*change.values(), row["id"]))


@dataclass
class Tampered:
    """A server whose database was changed while it was stopped: what calls got then, and what when it was put back."""

    server: Server
    said: dict[str, Answer] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    shown: dict[str, Row] = field(default_factory=dict)
    again: dict[str, Answer] = field(default_factory=dict)
    waiting: dict[str, dict[str, Any]] = field(default_factory=dict)


def label(what: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in what.replace("'", "")).lower()


def made(server: Server, ours: Team, keys: Keys, kind: str, name: str) -> str:
    """A function of a kind, live; its name there."""
    function = f"{ours.namespace}/{name}"
    if kind == "signed":
        deployment(server, function, answering(name)).by(keys("ada"), by=ours.author)
    elif kind == "second":
        live(ours.author, function, answering("before"))
        live(ours.author, function, answering(name))
    elif kind == "approved":
        set_rules(server, ours.namespace, signers=[signer("ada", keys("ada"))])
        live(ours.author, function, answering("before"))
        set_rules(server, ours.namespace, signers=[signer("ada", keys("ada"))], requireApproval=["egress"])
        approved(ours.approver, function, waiting(ours.author, function, answering(name), {"egress": [HOST]}))
    else:
        live(ours.author, function, answering(name))
        if kind == "promoted":
            ours.review(function, 1)
            answer = server.api("POST", "/v1/namespaces/tampered-prod/promotions", {"from": function}, timeout=180)
            assert answer.status == 200 and answer.json()["status"] == "deployed", answer.text
            return f"tampered-prod/{name}"
    return function


# Of a function with a live revision and one that waits.
FORGED: dict[str, Callable[[Database, str], None]] = {}
EXPECTED: dict[str, tuple[int, str]] = {}
UNTRUSTED, TAMPERED = (403, "/problems/untrusted-version"), (503, "/problems/bundle-changed")


def forging(what: str, expected: tuple[int, str]) -> Callable[[Callable[[Database, str], None]], None]:
    def note(change: Callable[[Database, str], None]) -> None:
        FORGED[what], EXPECTED[what] = change, expected

    return note


def activate(database: Database, function: str, number: int = 2) -> Row:
    row = select(database, function, number)
    update(database, row, {"state": "ready"})
    order = "UPDATE functions SET active_revision = ? WHERE id = ?"
    database.connection.execute(order, (row["id"], database.ids[function]))
    return row


def copy_approval(database: Database, function: str, **change: Any) -> None:
    """That of the function's first revision, once more."""
    query = "SELECT * FROM approvals WHERE revision_id = ?"
    cursor = database.connection.execute(query, (select(database, function, 1)["id"],))
    row = {**dict(zip([column[0] for column in cursor.description], cursor.fetchone())), **change}
    marks = ", ".join("?" * len(row))
    order = f"INSERT INTO approvals ({', '.join(row)}) VALUES ({marks})"  # nosec B608  # as above
    database.connection.execute(order, tuple(row.values()))


@forging("what waits is live", UNTRUSTED)
def _live(database: Database, function: str) -> None:
    activate(database, function)


@forging("what waits is live and needs nobody", TAMPERED)
def _needless(database: Database, function: str) -> None:
    update(database, activate(database, function), {"needs_approval": ""})


@forging("what was rejected is live", UNTRUSTED)
def _rejected(database: Database, function: str) -> None:
    update(database, select(database, function, 2), {"state": "rejected"})
    activate(database, function)


@forging("an approval of the one before", UNTRUSTED)
def _moved(database: Database, function: str) -> None:
    copy_approval(database, function, revision_id=activate(database, function)["id"])


@forging("an approval of the one before, with its digest", UNTRUSTED)
def _renamed(database: Database, function: str) -> None:
    row = activate(database, function)
    copy_approval(database, function, revision_id=row["id"], digest=row["digest"])


@forging("an approval that nobody signed", UNTRUSTED)
def _unsigned(database: Database, function: str) -> None:
    row = activate(database, function)
    copy_approval(database, function, revision_id=row["id"], digest=row["digest"], signature=b"")


@forging("an approval with the revision's own signature", UNTRUSTED)
def _borrowed(database: Database, function: str) -> None:
    row = activate(database, function)
    copy_approval(database, function, revision_id=row["id"], digest=row["digest"], signature=row["signature"])


@forging("it takes the number of the one before", TAMPERED)
def _numbered(database: Database, function: str) -> None:
    first, second = select(database, function, 1), select(database, function, 2)
    update(database, first, {"number": 9})
    update(database, second, {"number": 1, "needs_approval": ""})
    update(database, {**second, "state": ""}, {"state": "ready"})
    order = "UPDATE functions SET active_revision = ? WHERE id = ?"
    database.connection.execute(order, (second["id"], database.ids[function]))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def tampered(keys: Keys) -> Iterator[Tampered]:
    with Server(options=("--pool-size", "2")) as server:
        found = Tampered(server)
        ours = team(server)
        ours.namespace = "tampered"
        set_rules(server, "tampered", signers=[signer("ada", keys("ada"))])
        set_rules(server, "tampered-prod", production=True)
        for who in (ours.author, ours.approver):
            who.grant("developer", "tampered")
            who.grant("deploy:approve", "tampered")
        names = {what: made(server, ours, keys, kind, label(what)) for what, (kind, _) in CHANGED.items()}
        names["untouched"] = made(server, ours, keys, "approved", "untouched")
        names["untouched and promoted"] = made(server, ours, keys, "promoted", "untouched-too")
        set_rules(server, "tampered", requireApproval=["all"])
        for what in (*FORGED, "split"):
            function = names[what] = f"tampered/{label(what)}"
            approved(ours.approver, function, waiting(ours.author, function, answering("approved")))
            found.waiting[what] = waiting(ours.author, function, answering("nobody approved this"))
        server.stop()
        copy = Copy(server)
        with Database(server) as database:
            database.ids = {
                f"{namespace}/{name}": id
                for namespace, name, id in database.connection.execute(
                    "SELECT n.name, f.name, f.id FROM functions f JOIN namespaces n ON n.id = f.namespace_id"
                )
            }
            for what, (kind, change) in CHANGED.items():
                row = select(database, names[what], 2 if kind in ("approved", "second") else 1)
                update(database, row, change(row))
            for what, forge in FORGED.items():
                forge(database, names[what])
            order = (
                "INSERT INTO splits (function_id, revision_id, percent, created, created_by) VALUES (?, ?, 50, 1, '')"
            )
            function = names["split"]
            database.connection.execute(order, (database.ids[function], select(database, function, 2)["id"]))
        server.start()
        found.said = {what: server.call(function, body={}) for what, function in names.items()}
        found.said |= {f"split {number}": server.call(names["split"], body={}) for number in range(20)}
        for what, function in names.items():
            found.events[what] = len(recorded(server, "function.tampered", function=function))
        server.stop()
        copy.put_back()
        server.start()
        found.again = {what: server.call(function, body={}) for what, function in names.items()}
        for what in (*FORGED, "split"):
            assert states(server, names[what]) == {1: "active", 2: "pendingApproval"}, what
            approved(ours.approver, names[what], found.waiting[what])
            found.again[what] = server.call(names[what], body={})
        yield found


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-17")
@pytest.mark.parametrize("what", CHANGED)
def test_D11_COG_17_a_live_revision_whose_row_was_changed_does_not_run(tampered: Tampered, what: str) -> None:
    told = problem(tampered.said[what])
    assert (told["status"], told["type"]) == TAMPERED, told
    assert tampered.events[what] >= 1, "nobody is told of it"
    assert (tampered.again[what].status, tampered.again[what].json()) == (200, label(what))


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-17", "COG-19")
@pytest.mark.parametrize("what", FORGED)
def test_D11_COG_19_what_waits_does_not_run_whatever_the_database_says_of_it(tampered: Tampered, what: str) -> None:
    told = problem(tampered.said[what])
    assert (told["status"], told["type"]) == EXPECTED[what], told
    assert tampered.again[what].json() == "nobody approved this", "it was approved now"


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-17")
def test_D11_COG_17_other_functions_go_on_and_a_split_to_what_waits_is_none(tampered: Tampered) -> None:
    for what in ("untouched", "untouched and promoted"):
        assert tampered.said[what].status == 200 and tampered.events[what] == 0, tampered.said[what].text
    seen = {answer.headers["casemate-revision"] for what, answer in tampered.said.items() if what.startswith("split")}
    assert seen == {"1"}
    assert {answer.json() for what, answer in tampered.said.items() if what.startswith("split")} == {"approved"}


# ---------------------------------------------------------------- keys


def setting(aws: Moto, key: str) -> list[str]:
    return ["--signing-key", f"aws-kms://{REGION}/{key.split('/')[-1]}?endpoint={aws.url}"]


def new_key(aws: Moto) -> str:
    made = aws("kms", "create_key", KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")
    return str(made["KeyMetadata"]["KeyId"])


def key_of(server: Server, id: str = "") -> dict[str, Any]:
    answer = server.api("GET", "/v1/keys/signing" + (f"?keyId={id}" if id else ""))
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-17")
def test_D11_COG_17_what_any_key_of_the_server_signed_stays_valid_when_the_key_is_another(aws: Moto) -> None:
    first, second = aws.facts["signing"], new_key(aws)
    steps = [("file", []), ("first", setting(aws, first)), ("second", setting(aws, second)), ("file again", []), ("first again", setting(aws, first))]  # fmt: skip
    ids: list[str] = []
    with Server(environment=aws.environment, options=("--pool-size", "2")) as server:
        set_rules(server, "moving", requireApproval=["all"])
        approver = account(server, "moving", ("approver", "moving"))
        author = account(server, "moving", ("developer", "moving"))
        for number, (name, options) in enumerate(steps, 1):
            if number > 1:
                server.stop()
                server.options = ["--pool-size", "2", *options]
                server.start()
            ids.append(key_of(server)["keyId"])
            # Also what was approved by an older key's word counts still, and what waited under it can be approved now.
            approved(approver, "moving/f", waiting(author, "moving/f", answering(number)))
            approved(approver, f"moving/f{number}", waiting(author, f"moving/f{number}", answering(number)))
            for older in range(1, number + 1):
                assert answers(server, f"moving/f{older}") == (older, 1), f"{name}: what key {older} signed"
                assert server.api("POST", path("moving/f", "rollback"), {"revision": older}).status == 200
                assert answers(server, "moving/f") == (older, older), f"{name}: revision {older}"
                for function, revision_number in ((f"moving/f{older}", 1), ("moving/f", older)):
                    code, out, err = server.cli("provenance", function, "--revision", str(revision_number), "--verify")
                    assert code == 0 and "verified" in out and ids[older - 1] in out, f"{name}, {older}: {out}{err}"
                key = key_of(server, ids[older - 1])
                assert key["keyId"] == ids[older - 1]
                found = read(envelope_of(server, "moving/f", older), key)
                assert "fault" not in found, f"{name}: revision {older} for others: {found}"
                wrong = next((id for id in ids if id != ids[older - 1]), None)
                if wrong:
                    assert "fault" in read(envelope_of(server, "moving/f", older), key_of(server, wrong))
            assert server.api("POST", path("moving/f", "rollback"), {"revision": number}).status in (200, 409)
        assert len(set(ids)) == 3 and ids[0] == ids[3] and ids[1] == ids[4], ids
        algorithms = [key_of(server, id)["algorithm"] for id in ids[:3]]
        assert algorithms == ["ed25519", "ecdsa-p256-sha256", "ecdsa-p256-sha256"]
        for unknown in ("0" * 64, ids[0][:-1], ids[0].upper() + "0", "x", "..%2Fsigning.key"):
            assert problem(server.api("GET", f"/v1/keys/signing?keyId={unknown}"))["status"] == 404, unknown
        assert server.api("GET", f"/v1/keys/signing?keyId={ids[0]}", key=None).status == 401
        assert problem(server.api("GET", f"/v1/keys/signing?id={ids[0]}"))["status"] == 400


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-17")
def test_D11_COG_17_a_key_that_is_taken_off_the_list_takes_what_it_signed_with_it(aws: Moto) -> None:
    """And a list that is not whole is none: the server does not begin another."""
    with Server(environment=aws.environment, options=("--pool-size", "2")) as server:
        live(server, deployed(server, "listed/old"), answering("old"))
        server.stop()
        server.options = ["--pool-size", "2", *setting(aws, aws.facts["signing"])]
        server.start()
        live(server, deployed(server, "listed/new"), answering("new"))
        file = server.data / "server" / "signing-keys.pem"
        whole = file.read_bytes()
        assert whole.count(b"BEGIN PUBLIC KEY") == 2
        server.stop()
        for broken in (whole.replace(b"MCow", b"MCox", 1), whole[:60], whole[:-50], b"-----BEGIN PUBLIC KEY-----\n"):
            file.write_bytes(broken)
            said = refusal(server)
            assert said and "signing-keys.pem" in said, said or f"it started with {broken!r}"
            assert file.read_bytes() == broken
        file.write_bytes(whole[whole.index(b"-----BEGIN", 10) :])
        server.start()
        told = problem(server.call("listed/old", body={}))
        assert (told["status"], told["type"]) == TAMPERED, told
        assert answers(server, "listed/new") == ("new", 1)
        server.stop()
        file.write_bytes(whole)
        server.start()
        assert answers(server, "listed/old") == ("old", 1) and answers(server, "listed/new") == ("new", 1)


def deployed(server: Server, function: str) -> str:
    server.namespace(function.split("/")[0])
    return function


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-17")
def test_D11_a_server_that_began_with_a_key_of_kms_is_backed_up_and_restored(aws: Moto) -> None:
    options = ["--pool-size", "2", *setting(aws, new_key(aws))]
    with Server(environment=aws.environment, options=options) as server:
        live(server, deployed(server, "kept/one"), handler("def handle(data):\n    return 1\n"))
        assert not (server.data / "server" / "signing.key").exists(), "there is no key in a file"
        before = revision(server, "kept/one", 1)
        file, folder = server.folder / "backup.tar.gz", server.folder / "restored"
        code, out, err = server.cli("backup", "--data", str(server.data), str(file))
        assert code == 0, out + err
        folder.mkdir(mode=0o711)
        code, out, err = server.cli(
            "restore", str(file), "--data", str(folder / "data"), "--kek-file", str(kek(server))
        )
        assert code == 0, out + err
        restored = Server(environment=aws.environment, options=options)
        restored.data = folder / "data"
        with restored:
            assert revision(restored, "kept/one", 1) == before and active(restored, "kept/one") == 1
            assert answers(restored, "kept/one") == (1, 1)
            code, out, err = restored.cli("provenance", "kept/one", "--verify")
            assert code == 0 and "verified" in out, out + err
            assert key_of(restored) == key_of(server)
            assert live(restored, "kept/one", answering(2))["revision"] == 2
            assert answers(restored, "kept/one") == (2, 2)
            restored.stop()
            # Without KMS there is no key, and none is made: what is there was signed by another.
            restored.options = ["--pool-size", "2"]
            said = refusal(restored)
            assert said and "signing" in said, said or "it started, with a new key"
            assert not (restored.data / "server" / "signing.key").exists()
            restored.options = options
            restored.start()
            assert answers(restored, "kept/one") == (2, 2)
        assert_untouched(server)


def assert_untouched(server: Server) -> None:
    assert answers(server, "kept/one") == (1, 1)
