"""What is kept of revisions, shown of them and tried of them, to those who want more of it than they should have."""

from __future__ import annotations

import itertools
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from accounts import Account, account
from casemate_fixture import Answer, Server, problem, wait_until
from gate_answers import recorded
from identity_provider import SignInProvider
from secret_calls import put, value
from sign_in import Home
from ssh_signatures import Keys, deployment, signer
from supply_chain import (
    HOST,
    Team,
    answering,
    answers,
    approve,
    deploy,
    live,
    path,
    pending,
    revision,
    set_rules,
    sharing,
    states,
    team,
    waiting,
)

FAILING = {"handler.py": "def handle(data):\n    raise ValueError('as ever')\n"}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


def refused_for_right(answer: Answer, right: str) -> None:
    told = problem(answer)
    assert (told["status"], told["type"]) == (403, "/problems/forbidden") and right in told["detail"], told


# ---------------------------------------------------------------- which are kept


@pytest.mark.case("D11")
def test_D11_of_one_function_at_most_20_revisions_are_pinned_however_many_ask_at_once(server: Server) -> None:
    ours = sharing(server)
    function = ours.function()

    def pin(number: int, method: str = "PUT") -> Answer:
        return ours.author.api(method, path(function, "revisions", number, "pin"))

    for number in range(1, 24):
        live(ours.author, function, answering(1), {"env": {"NUMBER": str(number)}})
        if number <= 18:
            assert pin(number).status == 200
    with ThreadPoolExecutor(5) as pool:
        told = sorted(answer.status for answer in pool.map(pin, range(19, 24)))
    assert told == [200, 200, 409, 409, 409], told

    def pinned() -> list[int]:
        return [number for number in states(server, function) if revision(server, function, number)["isPinned"]]

    assert len(pinned()) == 20
    free, *_ = sorted(set(range(19, 24)) - set(pinned()))
    for who in (ours.author, server):
        refused = problem(who.api("PUT", path(function, "revisions", free, "pin")))
        assert (refused["status"], refused["type"]) == (409, "/problems/conflict") and "20" in refused[
            "detail"
        ], refused
    assert pin(1).status == 200, "it is one of them"
    assert pin(1, "DELETE").status == 204
    assert pin(free).status == 200 and len(pinned()) == 20
    # Another function's are its own.
    live(ours.author, ours.function("g"), answering(1))
    assert ours.author.api("PUT", path(ours.function("g"), "revisions", 1, "pin")).status == 200


@pytest.mark.case("D11")
def test_D11_to_keep_fewer_revisions_takes_the_right_to_approve(server: Server) -> None:
    ours = team(server)
    function = ours.function()
    for number in range(1, 7):
        live(ours.author, function, answering(1), {"env": {"NUMBER": str(number)}})
    where = f"/v1/namespaces/{ours.namespace}/policy"
    writer = account(server, ours.namespace, ("policy:write", ours.namespace), ("function:read", ours.namespace))
    assert writer.api("PUT", where, {"keepRevisions": 30}).status == 200
    for fewer in ({"keepRevisions": 29}, {"keepRevisions": 2}, {}, {"supplyChain": {"requireReview": True}}):
        refused_for_right(writer.api("PUT", where, fewer), "deploy:approve")
        assert server.api("GET", where).json()["keepRevisions"] == 30
    live(ours.author, function, answering(2))
    assert set(states(server, function)) == set(range(1, 8))
    writer.grant("deploy:approve", ours.namespace)
    assert writer.api("PUT", where, {"keepRevisions": 2}).status == 200
    live(ours.author, function, answering(3))
    assert wait_until(lambda: set(states(server, function)) == {7, 8}, 10), states(server, function)
    assert answers(server, function) == (3, 8)


# ---------------------------------------------------------------- what is shown


def verified(statement: Path, signature: Path, allowed: Path, who: str) -> bool:
    """By OpenSSH's own tool, as docs/supply-chain.md has it."""
    asked = ["ssh-keygen", "-Y", "verify", "-f", str(allowed), "-I", who, "-n", "casemate", "-s", str(signature)]
    done = subprocess.run(asked, input=statement.read_bytes(), capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-27")
def test_D11_COG_27_openssh_itself_verifies_what_a_revision_was_signed_with_and_nothing_else(
    server: Server, keys: Keys, tmp_path: Path
) -> None:
    ours = team(server, signers=[signer("ada", keys("ada")), signer("eve", keys("eve"))])
    function = ours.function()
    orders = [deployment(server, function, answering(number)) for number in (1, 2, 3)]
    for order, whose in zip(orders, ("ada", "eve", None)):
        order.by(keys(whose) if whose else None, by=ours.author)
    reader = account(server, ours.namespace, ("viewer", ours.namespace))
    allowed = tmp_path / "allowed_signers"
    allowed.write_text(f"ada {keys('ada').public}\neve {keys('eve').public}\n")

    def printed(number: int, *options: str) -> Path:
        code, out, err = reader.cli("function", "statement", function, "--revision", str(number), *options)
        assert code == 0, out + err
        file = tmp_path / f"{number}{''.join(options)}"
        file.write_text(out)
        return file

    for number, whose, other in ((1, "ada", "eve"), (2, "eve", "ada")):
        statement, signature = printed(number), printed(number, "--signature")
        assert statement.read_text() == orders[number - 1].statement()
        assert verified(statement, signature, allowed, whose) and not verified(statement, signature, allowed, other)
        (tmp_path / "changed").write_text(statement.read_text().replace("\nfunction ", "\nfunction x"))
        assert not verified(tmp_path / "changed", signature, allowed, whose)
        told = reader.api("GET", path(function, f"statement?revision={number}")).json()
        assert told["statement"] == statement.read_text() and told["signature"] == signature.read_text()
        assert told["signedBy"] == {"name": whose, "key": keys(whose).fingerprint}
    assert not verified(printed(1), printed(2, "--signature"), allowed, "eve")
    # The active one is meant, which nobody has signed.
    for what in ("statement", "statement?revision=3"):
        unsigned = problem(reader.api("GET", path(function, what)))
        assert unsigned["status"] == 404 and "without a signature" in unsigned["detail"], unsigned
    for options in ([], ["--signature"], ["--revision", "3"], ["--revision", "9"]):
        code, out, err = reader.cli("function", "statement", function, *options)
        assert code == 2 and not out and err, f"{options}: {code} {out}{err}"
    assert server.api("POST", path(function, "rollback"), {"revision": 1}).status == 200
    assert reader.cli("function", "statement", function)[1] == orders[0].statement()


@pytest.mark.case("D11")
@pytest.mark.guarantee("KYM-17")
def test_D11_a_statement_is_for_those_who_may_read_the_function(server: Server, keys: Keys) -> None:
    ours, theirs = team(server, signers=[signer("ada", keys("ada"))]), sharing(server)
    deployment(server, ours.function(), answering(1)).by(keys("ada"), by=ours.author)
    where = path(ours.function(), "statement")
    caller = account(server, ours.namespace, ("function:invoke", ours.namespace), ("source:read", ours.namespace))
    refused_for_right(caller.api("GET", where), "function:read")
    assert server.api("GET", where, key=None).status == 401
    stranger = account(server, theirs.namespace, ("admin", theirs.namespace))
    there, absent = (
        problem(stranger.api("GET", path(f"{namespace}/{ours.label()}", "statement")))
        for namespace in (ours.namespace, "absent")
    )
    assert there["status"] == absent["status"] == 404
    assert there["detail"].replace(ours.namespace, "absent") == absent["detail"]
    for query in ("?revision=x", "?revision=9", "?revision=-1", "?revision=", "?from=1"):
        assert problem(server.api("GET", where + query))["status"] in (400, 404), query
    assert account(server, ours.namespace, ("function:read", ours.namespace)).api("GET", where).status == 200


SECRETS = ["DATABASE_LOGIN", "UPSTREAM_LOGIN", "CORP_INDEX_LOGIN"]
INDEX = "https://packages.corp.example/simple"


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-25")
def test_D11_COG_25_a_diff_names_no_secret_to_those_who_may_neither_set_nor_approve_any(server: Server) -> None:
    ours = team(server, gate={"indexes": [INDEX]})
    function = ours.function()
    for name in SECRETS:
        server.secret(function, name, value(24))
    live(ours.author, function, answering(1))
    set_rules(server, ours.namespace, gate={"indexes": [INDEX]}, requireApproval=["egress"])
    injected = {"name": "UPSTREAM_LOGIN", "deliver": "inject", "host": HOST.split(":")[0], "header": "X-Key"}
    more = {
        "secrets": ["DATABASE_LOGIN", injected],
        "egress": [HOST],
        "dependencies": {"indexes": {"corp": {"url": INDEX, "credentials": "CORP_INDEX_LOGIN"}}, "packages": {"corp-*": "corp"}},
        "limits": {"timeout": "7s"},
    }  # fmt: skip
    outcome = waiting(ours.author, function, answering(2), more)
    listed = f"/v1/namespaces/{ours.namespace}/approvals"
    asked = [path(function, "diff?from=1&to=2"), path(function, "diff?from=2&to=1"), listed]
    roles = [
        *[("viewer",), ("deployer",), ("function:read",)],
        ("function:read", "policy:write", "source:read", "function:deploy"),
    ]
    for rights in roles:
        who = account(server, ours.namespace, *[(right, ours.namespace) for right in rights])
        for where in asked:
            answer = who.api("GET", where)
            assert answer.status == 200, answer.text
            assert [name for name in SECRETS if name in answer.text] == [], f"{rights} {where}: {answer.text}"
            assert HOST in answer.text and "timeout" in answer.text, answer.text
    code, out, err = account(server, ours.namespace, ("viewer", ours.namespace)).cli(
        "function", "diff", function, "1", "2"
    )
    assert code == 0 and HOST in out and not [name for name in SECRETS if name in out + err], out + err
    for right in ("secret:write", "deploy:approve"):
        who = account(server, ours.namespace, ("function:read", ours.namespace), (right, ours.namespace))
        for where in asked:
            answer = who.api("GET", where)
            assert [name for name in SECRETS if name not in answer.text] == [], f"{right} {where}: {answer.text}"
    assert outcome["needsApproval"] == ["egress"]


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-19")
def test_D11_COG_19_that_another_took_the_place_of_what_waited_is_in_the_audit_log(server: Server) -> None:
    ours = sharing(server, "egress")
    function = ours.function()
    live(ours.author, function, answering(1))
    second = account(server, ours.namespace, ("developer", ours.namespace))
    first = waiting(ours.author, function, answering(2), {"egress": [HOST]})
    assert recorded(server, "approval.superseded", function=function) == []
    waiting(second, function, answering(3), {"egress": [HOST]})
    assert problem(approve(ours.approver, function, 2, first["digest"]))["status"] == 409
    # One that needs nobody does so, too, and so does one after a rejection not.
    live(second, function, answering(4))
    rejected = waiting(ours.author, function, answering(5), {"egress": [HOST]})
    body = {"digest": rejected["digest"]}
    assert ours.approver.api("POST", path(function, "revisions", 5, "rejection"), body).status == 204
    live(ours.author, function, answering(6))
    records = recorded(server, "approval.superseded", function=function)
    told = [(one["actor"], one["outcome"], one["details"]["revision"], one["details"]["by"]) for one in records]
    assert told == [(second.subject, "done", "2", "3"), (second.subject, "done", "3", "4")], records
    assert {one["namespace"] for one in records} == {ours.namespace} and pending(server, function) == []
    assert deploy(ours.author, function, answering(6))["status"] == "unchanged"
    assert len(recorded(server, "approval.superseded", function=function)) == 2


# ---------------------------------------------------------------- which are tried


def split(ours: Team, number: int, percent: int = 50, **more: Any) -> None:
    body = {"revision": number, "percent": percent, **more}
    answer = ours.author.api("PUT", path(ours.function(), "split"), body)
    assert answer.status == 200, answer.text


def trial(server: Server, *sources: dict[str, str], ours: Team | None = None, keys: Any = None) -> Team:
    """A function of two revisions, the first of which is tried with half of the calls of the second."""
    ours = ours or sharing(server)
    for source in sources or (answering(1), answering(2)):
        live(ours.author, ours.function(), source, keys)
    return ours


REFUSED: dict[str, tuple[int, Callable[[Team], Callable[[], Answer]]]] = {}


def refused(status: int, what: str) -> Callable[[Callable[[Team], Callable[[], Answer]]], None]:
    def note(made: Callable[[Team], Callable[[], Answer]]) -> None:
        REFUSED[what] = (status, made)

    return note


@refused(401, "no credential")
def _nobody(ours: Team) -> Callable[[], Answer]:
    return lambda: ours.server.call(ours.function(), body={}, key=None)


@refused(403, "no right to call")
def _reader(ours: Team) -> Callable[[], Answer]:
    reader = account(ours.server, ours.namespace, ("function:read", ours.namespace))
    return lambda: reader.call(ours.function(), body={})


@refused(404, "a stranger")
def _stranger(ours: Team) -> Callable[[], Answer]:
    other = account(ours.server, "elsewhere", ("admin", "elsewhere"))
    return lambda: other.call(ours.function(), body={})


@refused(404, "another function's token")
def _token(ours: Team) -> Callable[[], Answer]:
    live(ours.author, ours.function("g"), answering(1))
    token = ours.server.token(ours.function("g"))["token"]
    return lambda: ours.server.call(ours.function(), body={}, key=None, token=token)


@refused(401, "a nonce that counts no more")
def _nonce(ours: Team) -> Callable[[], Answer]:
    caller = account(ours.server, ours.namespace, ("function:invoke", ours.namespace))
    nonce = caller.api("POST", "/v1/sessions", {}).json()["nonce"]
    assert caller.call(ours.function(), body={}, headers={"Casemate-Nonce": nonce}).status == 200
    return lambda: caller.call(ours.function(), body={}, headers={"Casemate-Nonce": nonce})


@refused(429, "more often than they may")
def _greedy(ours: Team) -> Callable[[], Answer]:
    caller = account(ours.server, ours.namespace, ("function:invoke", ours.namespace))
    assert caller.call(ours.function(), body={}).status == 200
    return lambda: caller.call(ours.function(), body={})


@refused(413, "a body that is too large")
def _large(ours: Team) -> Callable[[], Answer]:
    return lambda: ours.server.call(
        ours.function(), body=b"", headers={"Content-Length": str(1 << 40), "Content-Type": "application/json"}
    )


@pytest.mark.case("D11")
@pytest.mark.parametrize("what", REFUSED)
def test_D11_who_is_refused_takes_no_turn_of_a_trial(server: Server, what: str) -> None:
    """Else whoever may not even call could send all calls of others to the one, or to the other."""
    status, made = REFUSED[what]
    ours = trial(server, keys={"rate": {"caller": "1/h"}} if status == 429 else None)
    again = made(ours)
    split(ours, 1)
    callers: Iterator[Account | Server]
    if status == 429:
        callers = iter([account(server, ours.namespace, ("function:invoke", ours.namespace)) for _ in range(20)])
    else:
        callers = itertools.repeat(server)
    seen: Counter[str] = Counter()
    for _ in range(20):
        assert again().status == status
        answer = next(callers).call(ours.function(), body={})
        assert answer.status == 200, answer.text
        seen[answer.headers["casemate-revision"]] += 1
        assert again().status == status and again().status == status
    assert seen == {"1": 10, "2": 10}, seen


@pytest.mark.case("D11")
def test_D11_failures_of_a_trial_count_on_when_the_function_is_loaded_anew(server: Server) -> None:
    ours = trial(server, FAILING, answering(2), ours=team(server))
    function = ours.function()
    split(ours, 1, returnAbove=5)
    seen: list[str] = []
    for number in range(80):
        # Fewer of them in between than say something.
        if number % 10 == 5:
            assert put(server, function, value(24)).status == 200
        if number % 20 == 15:
            set_rules(server, ours.namespace, keep=20 + number)
        seen.append(server.call(function, body={}).headers["casemate-revision"])
    assert 20 <= seen.count("1") <= 30, seen
    assert set(seen[-10:]) == {"2"}
    (record,) = recorded(server, "split.returned", function=function)
    assert record["details"]["revision"] == "1" and record["details"]["calls"] == record["details"]["failed"], record
    assert server.api("DELETE", path(function, "split")).status == 404, "it is over"
    # One that is set anew begins anew.
    split(ours, 1, returnAbove=5)
    late = [server.call(function, body={}).headers["casemate-revision"] for _ in range(20)]
    assert late.count("1") == 10, late


@pytest.fixture(scope="module")
def firm(running: Server) -> Iterator[SignInProvider]:
    with SignInProvider() as provider:
        issuer = {"name": "firm-of-trials", "url": provider.url, "audiences": ["casemate"]}
        made = running.api("POST", "/v1/issuers", {**issuer, "clientId": provider.client_id})
        assert made.status == 201, made.text
        yield provider
        assert running.api("DELETE", "/v1/issuers/firm-of-trials").status == 204


@dataclass
class Tried:
    """A trial, with one person who agreed to what is tried and another who did not."""

    server: Server
    function: str
    carol: Home
    alice: Home
    # Of alice's, from her identity provider: a machine's.
    token: str

    def call(self, who: Home | Server, key: str = "", **headers: str) -> int:
        answer = self.server.call(self.function, body={}, key=key or who.key, headers=headers)
        assert answer.status == 200, answer.text
        assert answer.json() == int(answer.headers["casemate-revision"])
        return int(answer.json())

    def call_with_nonce(self, who: Home, key: str = "") -> int:
        made = who.api("POST", "/v1/sessions", {})
        assert made.status == 201, made.text
        return self.call(who, key, **{"Casemate-Nonce": made.json()["nonce"]})


@pytest.fixture
def tried(server: Server, firm: SignInProvider, tmp_path: Path) -> Tried:
    ours = sharing(server)
    function = ours.function()

    def person(name: str) -> Home:
        grant = {"subject": f"user:firm-of-trials:{name}", "permission": "function:invoke"}
        assert server.api("POST", f"/v1/namespaces/{ours.namespace}/grants", grant).status == 201
        firm.person = {"sub": name}
        home = Home(server, firm, tmp_path / name)
        assert home.login("--issuer", "firm-of-trials")[0] == 0
        return home

    def agree(*people: Home) -> None:
        for home in people:
            code, out, err = home.cli("consent", function, "--yes")
            assert code == 0, out + err

    carol, alice = person(f"carol-{ours.number}"), person(f"alice-{ours.number}")
    live(ours.author, function, answering(1))
    agree(carol)
    live(ours.author, function, answering(2))
    agree(carol, alice)
    split(ours, 1)
    token = firm.token(sub=f"alice-{ours.number}", scope=f"fn:{function}")
    return Tried(server, function, carol, alice, token)


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-26", "COG-22")
def test_D11_COG_26_a_session_of_whoever_did_not_agree_to_a_trial_stays_on_what_they_agreed_to(tried: Tried) -> None:
    assert {tried.call(tried.carol) for _ in range(10)} == {1, 2}, "who agreed to both is sent to both"
    assert {tried.call(tried.alice) for _ in range(10)} == {2}
    # By the session's own maker, and by a token of theirs that is a machine's but for the session.
    for what, key in (("a sign-in", ""), ("a token", tried.token)):
        seen = []
        for number in range(12):
            seen.append(tried.call_with_nonce(tried.alice, key))
            if number % 2:
                tried.call(tried.server)
        assert set(seen) == {2}, f"{what}: {seen}"


@pytest.mark.case("D11")
@pytest.mark.parametrize("how", ["by their sign-in", "by a nonce"])
def test_D11_who_is_not_sent_to_a_trial_takes_no_turn_of_it(tried: Tried, how: str) -> None:
    """Else whoever calls beside all others keeps a trial from ever being made."""
    seen: Counter[int] = Counter()
    for _ in range(20):
        seen[tried.call(tried.server)] += 1
        stays = tried.call(tried.alice) if how == "by their sign-in" else tried.call_with_nonce(tried.alice)
        assert stays == 2
    assert seen == {1: 10, 2: 10}, seen
