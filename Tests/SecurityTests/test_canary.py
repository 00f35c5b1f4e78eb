"""Canaries: a part of the calls for another revision, by weight, for as long as it answers as well as was asked of it."""

from __future__ import annotations

import http.client
import random
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from accounts import account
from casemate_fixture import Answer, Server, handler, problem, wait_until
from gate_answers import recorded
from supply_chain import (
    Caller,
    Team,
    active,
    answering,
    answers,
    approved,
    live,
    path,
    reject,
    set_rules,
    sharing,
    states,
    team,
    waiting,
)
from webhooks import Receiver, is_signed

CLIENTS = 4
FAILING = {"handler.py": "def handle(data):\n    raise ValueError('the canary is ill')\n"}
MOODY = {
    "handler.py": "def handle(data):\n    if data.get('fail'):\n        raise ValueError('as asked')\n    return 2\n"
}


def split(who: Caller, function: str, revision: int, percent: int, **more: Any) -> Answer:
    return who.api("PUT", path(function, "split"), {"revision": revision, "percent": percent, **more})


def off(who: Caller, function: str) -> Answer:
    return who.api("DELETE", path(function, "split"))


def is_set(answer: Answer) -> None:
    assert answer.status in (200, 204), answer.text


def called(server: Server, function: str, times: int) -> Counter[int]:
    """Calls by several clients at once, each over one connection, by the revision that the answers name."""
    parts = urllib.parse.urlsplit(server.gateway_url)
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}

    def client(_: int) -> Counter[int]:
        seen: Counter[int] = Counter()
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        for _ in range(times // CLIENTS):
            connection.request("POST", f"/f/{function}", b"{}", headers)
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, body
            seen[int(answer.headers["casemate-revision"])] += 1
        connection.close()
        return seen

    with ThreadPoolExecutor(CLIENTS) as pool:
        return sum(pool.map(client, range(CLIENTS)), Counter())


@dataclass
class Pair:
    """A function of two revisions, the second of which is active."""

    ours: Team
    function: str

    @property
    def server(self) -> Server:
        return self.ours.server

    def seen(self, times: int = 20) -> set[int]:
        return set(called(self.server, self.function, times))


def pair(
    server: Server,
    first: dict[str, str] | None = None,
    second: dict[str, str] | None = None,
    *,
    ours: Team | None = None,
) -> Pair:
    ours = ours or sharing(server)
    live(ours.author, ours.function(), first or answering(1))
    live(ours.author, ours.function(), second or answering(2))
    return Pair(ours, ours.function())


@pytest.fixture(scope="module")
def warmed(running: Server) -> Pair:
    """Both of whose revisions have run."""
    made = pair(running)
    is_set(split(made.ours.author, made.function, 1, 50))
    called(running, made.function, 40)
    is_set(off(made.ours.author, made.function))
    return made


@pytest.fixture
def warm(warmed: Pair) -> Iterator[Pair]:
    """The same for each test, and without a canary after it."""
    yield warmed
    off(warmed.ours.author, warmed.function)


# ---------------------------------------------------------------- weights


@pytest.mark.parametrize("percent", [10, 37])
def test_a_canary_has_its_part_of_the_calls_to_one_percent(server: Server, warm: Pair, percent: int) -> None:
    is_set(split(warm.ours.author, warm.function, 1, percent))
    seen = called(server, warm.function, 2000)
    assert sum(seen.values()) == 2000 and set(seen) == {1, 2}, seen
    assert abs(seen[1] / 20 - percent) <= 1, seen


def test_an_answer_says_which_revision_it_is_of_and_a_function_does_not_say_it(server: Server) -> None:
    liar = handler("""
        def handle(event, context):
            return {"statusCode": 200, "headers": {"X-Casemate-Revision": "99"}, "body": "{}"}
        """)
    ours = sharing(server)
    live(ours.author, ours.function(), liar, {"signature": "scaleway"})
    answer = server.call(ours.function(), body={})
    assert answer.status == 200, answer.text
    assert [text for name, text in answer.fields if name.lower() == "casemate-revision"] == ["1"]


def test_each_answer_comes_whole_from_the_revision_that_it_names(server: Server, warm: Pair) -> None:
    is_set(split(warm.ours.author, warm.function, 1, 50))
    seen = [answers(server, warm.function) for _ in range(40)]
    assert set(seen) == {(1, 1), (2, 2)}
    assert active(server, warm.function) == 2, "a canary is not what is active"


def test_a_second_split_takes_the_place_of_the_first(server: Server) -> None:
    two = pair(server)
    live(two.ours.author, two.function, answering(3))
    is_set(split(two.ours.author, two.function, 1, 50))
    assert two.seen(40) == {1, 3}
    is_set(split(two.ours.author, two.function, 2, 50))
    assert two.seen(40) == {2, 3}


def test_a_split_is_off_at_once_when_it_is_turned_off(server: Server, warm: Pair) -> None:
    is_set(split(warm.ours.author, warm.function, 1, 50))
    assert warm.seen(40) == {1, 2}
    is_set(off(warm.ours.author, warm.function))
    assert warm.seen(100) == {2}


def test_a_split_outlasts_the_server(running: Server, warm: Pair) -> None:
    is_set(split(warm.ours.author, warm.function, 1, 50))
    running.stop()
    running.start()
    assert wait_until(lambda: running.call(warm.function, body={}).status == 200, 15)
    assert warm.seen(40) == {1, 2}


def test_the_story_of_a_canary_on_the_command_line(server: Server, warm: Pair) -> None:
    author, function = warm.ours.author, warm.function
    code, out, err = author.cli("function", "split", function, "v1=50", "--return-above", "5%")
    assert code == 0, out + err
    assert warm.seen(40) == {1, 2}
    code, out, err = author.cli("function", "split", function, "off")
    assert code == 0, out + err
    assert warm.seen(40) == {2}
    for wrong in (
        ["v1"], ["1=10"], ["v1=x"], ["vx=10"], ["v1=101"], ["v1=-1"], ["v1=10=10"], ["v9=10"], [""], [], ["on"],
        ["v1=10", "--return-above", "x"], ["v1=10", "--return-above", "101%"],
    ):  # fmt: skip
        code, _, err = author.cli("function", "split", function, *wrong)
        assert code not in (0, 1) and err, f"{wrong}: {code} {err}"
    assert warm.seen(40) == {2}


# ---------------------------------------------------------------- what ends it


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.mark.parametrize("how", ["raises", "answers 503"])
def test_a_canary_that_fails_more_than_it_may_goes_back_by_itself(server: Server, receiver: Receiver, how: str) -> None:
    unwell = handler("def handle(event, context):\n    return {'statusCode': 503, 'body': 'no'}\n")
    well = handler("def handle(event, context):\n    return {'statusCode': 200, 'body': '2'}\n")
    two = pair(server, FAILING) if how == "raises" else pair(server, unwell, well)
    hook = f"/returned-{two.ours.number}"
    alert = server.api("POST", "/v1/alerts", {"events": ["split.returned"], "url": receiver.url(hook)})
    assert alert.status == 201, alert.text
    is_set(split(two.ours.author, two.function, 1, 50, returnAbove=5))

    seen: list[tuple[int, int]] = []
    for _ in range(120):
        answer = server.call(two.function, body={})
        seen.append((answer.status, int(answer.headers["casemate-revision"])))
    assert set(seen) == {(200, 2), (500 if how == "raises" else 503, 1)}, set(seen)
    of_canary = [index for index, (_, number) in enumerate(seen) if number == 1]
    # Not before so many calls say something, and soon after.
    assert 20 <= len(of_canary) <= 30, len(of_canary)
    assert two.seen(40) == {2} and active(server, two.function) == 2

    (record,) = recorded(server, "split.returned", function=two.function)
    assert record["actor"] == "server" and record["details"]["revision"] == "1", record
    assert wait_until(lambda: receiver.got(hook), 10), "nobody was told"
    delivery = receiver.got(hook)[0]
    assert is_signed(delivery, alert.json()["secret"]) and delivery.record == record
    assert server.api("DELETE", f"/v1/alerts/{alert.json()['id']}").status == 204


def test_a_canary_that_fails_less_than_it_may_stays(server: Server) -> None:
    two = pair(server, MOODY, answering(2))
    is_set(split(two.ours.author, two.function, 1, 50, returnAbove=60))
    for _ in range(200):
        # By chance, not by turns: turns could meet the canary each time.
        answer = server.call(two.function, body={"fail": random.random() < 0.1})
        assert answer.status in (200, 500)
    assert two.seen(40) == {1, 2}
    assert recorded(server, "split.returned", function=two.function) == []


def test_what_its_callers_did_wrong_does_not_count_against_a_canary(server: Server) -> None:
    picky = handler("def handle(event, context):\n    return {'statusCode': 404, 'body': 'there is none'}\n")
    well = handler("def handle(event, context):\n    return {'statusCode': 200, 'body': '2'}\n")
    two = pair(server, picky, well)
    is_set(split(two.ours.author, two.function, 1, 50, returnAbove=5))
    seen = Counter(server.call(two.function, body={}).status for _ in range(60))
    seen += Counter(server.call(two.function, body={}, key=None).status for _ in range(30))
    assert set(seen) == {200, 401, 404}
    late = {server.call(two.function, body={}).headers["casemate-revision"] for _ in range(20)}
    assert late == {"1", "2"}
    assert recorded(server, "split.returned", function=two.function) == []


def test_what_the_active_revision_does_wrong_does_not_count_either(server: Server) -> None:
    two = pair(server, answering(1), FAILING)
    is_set(split(two.ours.author, two.function, 1, 50, returnAbove=5))
    for _ in range(80):
        server.call(two.function, body={})
    late = {server.call(two.function, body={}).headers["casemate-revision"] for _ in range(20)}
    assert late == {"1", "2"}
    assert recorded(server, "split.returned", function=two.function) == []


def test_without_a_limit_a_failing_canary_stays_until_somebody_ends_it(server: Server) -> None:
    two = pair(server, FAILING)
    is_set(split(two.ours.author, two.function, 1, 50))
    seen = Counter(server.call(two.function, body={}).status for _ in range(80))
    assert set(seen) == {200, 500} and seen[500] > 20, seen
    is_set(off(two.ours.author, two.function))
    assert two.seen(40) == {2}


@pytest.mark.parametrize("how", ["a deployment", "a rollback", "a rollback to the canary", "an approval"])
def test_a_split_ends_when_something_else_becomes_active(server: Server, how: str) -> None:
    two = pair(server, ours=team(server) if how == "an approval" else None)
    author, function = two.ours.author, two.function
    live(author, function, answering(3))
    is_set(split(author, function, 1, 50))
    assert two.seen(40) == {1, 3}
    expected = {"a deployment": 4, "a rollback": 2, "a rollback to the canary": 1, "an approval": 4}[how]
    if how == "a deployment":
        live(author, function, answering(4))
    elif how == "an approval":
        set_rules(server, two.ours.namespace, requireApproval=["all"])
        outcome = waiting(author, function, answering(4))
        assert two.seen(40) == {1, 3}, "what waits changes nothing"
        approved(two.ours.approver, function, outcome)
    else:
        assert author.api("POST", path(function, "rollback"), {"revision": expected}).status == 200
    assert two.seen(60) == {expected} and active(server, function) == expected


# ---------------------------------------------------------------- what is none


BODIES: list[Any] = [
    {}, [], b"", b"{", {"percent": 10}, {"revision": 1}, {"revision": "1", "percent": 10}, {"revision": 1.5, "percent": 10},
    {"revision": True, "percent": 10}, {"revision": None, "percent": 10}, {"revision": 1, "percent": -1}, {"revision": 1, "percent": 101},
    {"revision": 1, "percent": "10"}, {"revision": 1, "percent": True}, {"revision": 1, "percent": None}, {"revision": 1, "percent": [10]},
    {"revision": 1, "percent": 10**30}, {"revision": 1, "percent": 10, "returnAbove": -1}, {"revision": 1, "percent": 10, "returnAbove": 101},
    {"revision": 1, "percent": 10, "returnAbove": "5%"}, {"revision": 1, "percent": 10, "returnAbove": True},
    {"revision": 1, "percent": 10, "force": True}, {"revision": 1, "percent": 10, "digest": ""},
]  # fmt: skip


def test_a_split_that_makes_no_sense_is_refused_and_the_one_before_stays(server: Server, warm: Pair) -> None:
    is_set(split(warm.ours.author, warm.function, 1, 50))
    for body in BODIES:
        answer = warm.ours.author.api("PUT", path(warm.function, "split"), body)
        assert answer.status == 400, f"{body!r}: {answer.status} {answer.text}"
        problem(answer)
    assert warm.seen(40) == {1, 2}


def test_a_split_to_a_revision_that_is_not_there_or_active_already_is_refused(server: Server, warm: Pair) -> None:
    for number in (3, 99, 10**15):
        assert problem(split(warm.ours.author, warm.function, number, 50))["status"] == 404, number
    assert problem(split(warm.ours.author, warm.function, 2, 50))["status"] in (400, 409, 422), "it is the active one"
    assert problem(split(server, warm.ours.function("absent"), 1, 50))["status"] == 404
    assert warm.seen(40) == {2}


@pytest.mark.guarantee("COG-19")
@pytest.mark.case("D11")
def test_D11_a_split_is_no_way_round_an_approval(server: Server) -> None:
    two = pair(server, ours=team(server))
    author, function = two.ours.author, two.function
    set_rules(server, two.ours.namespace, requireApproval=["all"])
    rejected = waiting(author, function, answering(3))
    assert reject(two.ours.approver, function, 3, rejected["digest"]).status == 204
    waiting(author, function, answering(4))
    waiting(author, function, answering(5))
    assert [states(server, function)[number] for number in (3, 4, 5)] == ["rejected", "superseded", "pendingApproval"]
    for number in (3, 4, 5):
        for who in (author, server):
            told = problem(split(who, function, number, 50))
            assert (told["status"], told["type"]) == (403, "/problems/approval-required"), f"{number}: {told}"
    assert two.seen(40) == {2}
    # What was live was agreed to, or lived before anybody had to.
    is_set(split(author, function, 1, 50))
    assert two.seen(40) == {1, 2}


@pytest.mark.guarantee("KYM-5")
def test_KYM_5_a_split_is_no_way_round_the_right_to_make_a_function_public(server: Server) -> None:
    ours = sharing(server)
    function = ours.function()
    live(ours.author, function, answering(1), {"access": "public"})
    live(ours.author, function, answering(2))
    deployer = account(server, ours.namespace, ("deployer", ours.namespace))
    told = problem(split(deployer, function, 1, 50))
    assert told["status"] == 403 and "function:publish" in told["detail"], told
    assert {server.call(function, body={}, key=None).status for _ in range(40)} == {401}


def test_to_split_takes_the_right_to_deploy(server: Server, warm: Pair) -> None:
    for role in ("viewer", "approver", "operator"):
        who = account(server, warm.ours.namespace, (role, warm.ours.namespace))
        for answer in (split(who, warm.function, 1, 50), off(who, warm.function)):
            told = problem(answer)
            assert told["status"] == 403 and "function:deploy" in told["detail"], f"{role}: {told}"
    for method, body in (("PUT", {"revision": 1, "percent": 50}), ("DELETE", None)):
        assert server.api(method, path(warm.function, "split"), body, key=None).status == 401
    assert warm.seen(40) == {2}
