"""Alerts: each event of the kinds that somebody asked for is POSTed to them, signed, in order, and again until it is taken."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import re
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from accounts import Account, account
from async_calls import QUICK, begin, deploy_actor, ended
from casemate_fixture import Answer, Server, memory_in_kib, problem, wait_until
from network_world import World
from secret_calls import put, records, value
from spellings import assert_absent
from webhooks import Delivery, Receiver, endless, hangs, is_signed, status, trickles
from world_dns import A

PUBLIC = "93.184.216.34"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def receiver(network: World) -> Iterator[Receiver]:
    with Receiver(network.inner.socket) as receiver:
        yield receiver


@pytest.fixture(scope="module", autouse=True)
def hanging(walled_server: Server, receiver: Receiver) -> Iterator[Future[Any]]:
    """A test of an alert whose receiver hangs, and how long it took; it goes on beside the first tests here."""
    alert = Alert(walled_server, receiver, "vault.sealed")
    receiver.answers(alert.path, hangs)

    def run() -> Any:
        begin = time.monotonic()
        return walled_server.cli("alert", "test", alert.id, timeout=40), time.monotonic() - begin

    with ThreadPoolExecutor(1) as runner:
        yield runner.submit(run)


class Alert:
    """An alert to a path of its own."""

    def __init__(self, server: Server, receiver: Receiver, *events: str, namespace: str | None = None) -> None:
        self.server, self.receiver = server, receiver
        self.path = f"/hook-{next(_numbers)}"
        self.where = f"/v1/namespaces/{namespace}/alerts" if namespace else "/v1/alerts"
        answer = server.api("POST", self.where, {"events": list(events), "url": receiver.url(self.path)})
        assert answer.status == 201, answer.text
        self.made: dict[str, Any] = answer.json()
        self.id, self.secret = self.made["id"], self.made["secret"]

    @property
    def got(self) -> list[Delivery]:
        return self.receiver.got(self.path)

    def received(self, count: int) -> bool:
        return len(self.got) == count

    @property
    def ids(self) -> list[str]:
        """The requests that the events tell of, each once, in the order of their first arrival."""
        return list(dict.fromkeys(delivery.record.get("request", "") for delivery in self.got))

    def listed(self) -> dict[str, Any]:
        return next(entry for entry in self.server.api("GET", self.where).json()["alerts"] if entry["id"] == self.id)

    def remove(self) -> Answer:
        return self.server.api("DELETE", f"{self.where}/{self.id}")


@pytest.fixture
def alerts(walled: Server, receiver: Receiver) -> Iterator[Any]:
    """Makes alerts, which are gone after the test."""
    made: list[Alert] = []
    walled.namespace("hooks")

    def make(*events: str, namespace: str | None = None) -> Alert:
        made.append(Alert(walled, receiver, *events, namespace=namespace))
        return made[-1]

    yield make
    for alert in made:
        alert.remove()


def event(server: Server, function: str = "hooks/f") -> str:
    """Makes a secret.set; returns the id of the request."""
    answer = put(server, function, value())
    assert answer.status == 200, answer.text
    return answer.headers["casemate-request-id"]


# ---------------------------------------------------------------- what arrives


def test_an_alert_from_its_making_to_its_end_on_the_command_line(walled: Server, receiver: Receiver) -> None:
    walled.namespace("hooks")
    url = receiver.url("/line?token=in-the-address")
    code, out, err = walled.cli("alert", "add", "--event", "egress.denied", "--event", "secret.*", "--url", url)
    assert code == 0, err
    found = re.search(
        r"alert ([0-9a-f-]{36}) sends (\d+) kinds of events to 127\.0\.0\.1:\d+\n +secret +(whsec_\S+)  \(shown once",
        out,
    )
    assert found and found[2] == "10", out
    id_, secret = found[1], found[3]
    assert walled.cli("alert", "test", id_)[0] == 0
    assert [delivery.path for delivery in receiver.got("/line?token=in-the-address")] == ["/line?token=in-the-address"]
    delivery = receiver.got("/line?token=in-the-address")[0]
    assert is_signed(delivery, secret)
    listed = walled.cli("alert", "list")[1] + walled.cli("alert", "list", "--json")[1]
    assert id_ in listed and "egress.denied" in listed
    assert_absent(listed, secret.removeprefix("whsec_"), "the list")
    assert_absent(listed, "in-the-address", "the list")
    code, _, err = walled.cli("alert", "remove", id_)
    assert code == 0, err
    assert id_ not in walled.cli("alert", "list")[1]
    before = len(receiver.got("/line?token=in-the-address"))
    event(walled)
    time.sleep(0.7)
    assert len(receiver.got("/line?token=in-the-address")) == before, "removed, and still sent"
    assert walled.cli("alert", "remove", id_)[0] == 2 and walled.cli("alert", "test", id_)[0] == 2


def test_an_event_is_a_cloud_event_with_the_record_in_it(walled: Server, alerts: Any) -> None:
    alert = alerts("secret.set")
    request = event(walled, "hooks/told")
    assert wait_until(lambda: alert.got, 5)
    delivery = alert.got[0]
    assert delivery.method == "POST" and delivery.headers["content-type"].startswith("application/cloudevents+json")
    told = delivery.json()
    assert told["specversion"] == "1.0" and told["type"] == "casemate.secret.set" and told["subject"] == "hooks/told"
    assert told["source"] and told["id"] and told.get("datacontenttype", "application/json") == "application/json"
    assert all(
        re.fullmatch(r"[a-z0-9]+", name) for name in told
    ), "names of attributes are lower-case letters and digits (CloudEvents 1.0, 3.1)"
    record = records(walled, "secret.set", "hooks/told")[-1]
    assert told["data"] == record and record["request"] == request
    assert told["time"] == record["time"]


def test_an_event_is_signed_as_standard_webhooks_has_it_and_no_changed_one_passes(walled: Server, alerts: Any) -> None:
    alert, other = alerts("secret.set"), alerts("secret.set")
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{32,}={0,2}", alert.secret) and alert.secret != other.secret
    event(walled)
    assert wait_until(lambda: alert.got and other.got, 5)
    delivery = alert.got[0]
    assert is_signed(delivery, alert.secret) and is_signed(other.got[0], other.secret)
    assert not is_signed(delivery, other.secret)
    delivery.body += b" "
    assert not is_signed(delivery, alert.secret)
    sent = datetime.fromtimestamp(int(delivery.headers["webhook-timestamp"]), UTC)
    assert abs((datetime.now(UTC) - sent).total_seconds()) < 10


def test_only_the_kinds_that_were_asked_for_are_sent(walled: Server, alerts: Any) -> None:
    sets, whole = alerts("secret.deleted"), alerts("secret.*", "token.created")
    event(walled, "hooks/kinds")
    assert walled.api("DELETE", "/v1/namespaces/hooks/functions/kinds/secrets/KEY").status == 204
    assert walled.api("POST", "/v1/namespaces/hooks/tokens", {}).status == 201
    assert walled.api("GET", "/v1/namespaces/hooks/functions/kinds/logs").status in (200, 404)
    assert wait_until(lambda: len(whole.got) == 3 and len(sets.got) == 1, 5)
    assert [delivery.json()["type"] for delivery in whole.got] == [
        "casemate.secret.set",
        "casemate.secret.deleted",
        "casemate.token.created",
    ]
    assert [delivery.json()["type"] for delivery in sets.got] == ["casemate.secret.deleted"]


def test_no_more_than_five_a_second_are_sent_in_the_order_in_which_they_happened(walled: Server, alerts: Any) -> None:
    alert = alerts("secret.set")
    expected = [event(walled, "hooks/many") for _ in range(16)]
    assert wait_until(lambda: len(alert.got) >= 16, 10), f"{len(alert.got)} of 16"
    assert [delivery.record["request"] for delivery in alert.got] == expected
    times = [delivery.at for delivery in alert.got]
    assert all(later - first > 0.9 for first, later in zip(times, times[10:])), " ".join(
        f"{time - times[0]:.2f}" for time in times
    )
    assert len({delivery.id for delivery in alert.got}) == 16


# ---------------------------------------------------------------- what is not taken


def test_what_is_answered_with_500_is_tried_again_with_the_same_id_and_holds_back_what_follows(
    walled: Server, receiver: Receiver, alerts: Any
) -> None:
    alert = alerts("secret.set")
    receiver.answers(alert.path, status(500), status(503), status(200))
    expected = [event(walled), event(walled)]
    assert wait_until(lambda: alert.got, 3)
    assert wait_until(lambda: alert.listed().get("problem"), 2) and "500" in alert.listed()["problem"]
    assert wait_until(lambda: len(alert.got) >= 4, 10), len(alert.got)
    tries = alert.got
    assert [delivery.record["request"] for delivery in tries] == [expected[0]] * 3 + [expected[1]]
    assert len({delivery.id for delivery in tries[:3]}) == 1 and tries[3].id != tries[0].id
    assert all(is_signed(delivery, alert.secret) for delivery in tries)
    assert 0.8 < tries[1].at - tries[0].at < 4 and 4 < tries[2].at - tries[1].at < 9, "after 1 and 5 seconds"
    assert wait_until(lambda: not alert.listed().get("problem") and alert.listed()["sent"] == 2, 3)


def test_what_finds_nobody_is_sent_when_somebody_is_there_again(walled: Server, network: World) -> None:
    with Receiver(network.inner.socket) as own:
        alert = Alert(walled, own, "secret.set")
        own.close()
        request = event(walled)
        assert wait_until(lambda: alert.listed().get("problem"), 5), "the list says what is wrong"
        own.open()
        assert wait_until(lambda: alert.ids == [request], 8), alert.listed()
        alert.remove()


def test_a_redirect_is_not_followed_and_counts_as_not_taken(walled: Server, receiver: Receiver, alerts: Any) -> None:
    codes = {code: alerts("secret.set") for code in (301, 302, 303, 307, 308)}
    for code, alert in codes.items():
        receiver.answers(alert.path, status(code, Location=receiver.url("/elsewhere")), status(200))
    event(walled)
    for code, alert in codes.items():
        assert wait_until(partial(alert.received, 2), 5), f"{code}: tried again at the same address"
        assert alert.got[0].id == alert.got[1].id, code
    assert receiver.got("/elsewhere") == []


def test_receivers_that_hang_trickle_or_never_stop_keep_nobody_else_waiting(
    walled: Server, receiver: Receiver, alerts: Any
) -> None:
    bad = {behaviour.__name__: alerts("secret.set") for behaviour in (hangs, trickles, endless)}
    for behaviour in (hangs, trickles, endless):
        receiver.answers(bad[behaviour.__name__].path, behaviour)
    good = alerts("secret.set")
    before = memory_in_kib(walled.pid)
    expected = [event(walled) for _ in range(3)]
    begin = time.monotonic()
    assert wait_until(lambda: good.ids == expected, 4), "the others wait for them"
    assert wait_until(lambda: all(alert.got for alert in bad.values()), 3), "they were not tried"
    assert walled.api("GET", "/v1/whoami").status == 200 and walled.api("GET", "/v1/whoami").seconds < 1
    later = event(walled)
    assert wait_until(lambda: later in good.ids, 3)
    time.sleep(max(0.0, 2 - (time.monotonic() - begin)))
    assert memory_in_kib(walled.pid) - before < 64 * 1024, "an endless answer is kept in memory"


def test_a_test_of_a_receiver_that_refuses_or_hangs_ends_and_says_so(
    walled: Server, receiver: Receiver, alerts: Any, hanging: Future[Any]
) -> None:
    refusing = alerts("vault.sealed")
    receiver.answers(refusing.path, status(410))
    code, _, err = walled.cli("alert", "test", refusing.id)
    assert code in (1, 2) and "410" in err, err
    assert len(refusing.got) == 1, "made up, and sent once"
    (code, _, err), took = hanging.result(40)
    assert code in (1, 2) and err and took < 35


# ---------------------------------------------------------------- restarts


def test_a_kill_and_a_restart_lose_no_event(walled: Server, receiver: Receiver, alerts: Any) -> None:
    alert = alerts("secret.set")
    receiver.answers(alert.path, status(500))
    expected = [event(walled) for _ in range(4)]
    assert wait_until(lambda: alert.got, 3)
    first = alert.got[0]
    walled.kill()
    receiver.answers(alert.path, status(204))
    before = len(alert.got)
    walled.start()
    assert wait_until(lambda: alert.ids == expected, 10), f"{len(alert.ids)} of 4"
    again = next(delivery for delivery in alert.got[before:] if delivery.record["request"] == expected[0])
    assert again.id == first.id and again.json()["id"] == first.json()["id"]
    assert [
        delivery.record["request"] for delivery in alert.got[before:]
    ] == expected, "what was taken is not sent again"
    walled.stop()
    walled.start()
    time.sleep(0.5)
    assert len(alert.got) == before + 4


def test_events_of_a_stop_and_a_start_arrive(walled: Server, alerts: Any) -> None:
    alert = alerts("server.stopped", "server.started")
    walled.stop()
    walled.start()
    assert wait_until(lambda: len(alert.got) >= 2, 8), [delivery.json()["type"] for delivery in alert.got]
    kinds = list(dict.fromkeys(delivery.json()["type"] for delivery in alert.got))
    assert kinds == ["casemate.server.stopped", "casemate.server.started"]


# ---------------------------------------------------------------- who may


def test_a_dead_letter_is_told_to_a_webhook_without_what_it_was_asked(walled: Server, alerts: Any) -> None:
    alert = alerts("call.dead", namespace="hooks")
    deploy_actor(walled, "hooks/dies", {**QUICK, "maxAttempts": 2})
    call = begin(walled, "hooks/dies", {"fails": 9, "text": "unmistakable"})
    assert ended(walled, call)["status"] == "dead"
    assert wait_until(lambda: alert.received(1), 5)
    delivery = alert.got[0]
    assert is_signed(delivery, alert.secret) and delivery.json()["type"] == "casemate.call.dead"
    assert delivery.record["request"] == call and b"unmistakable" not in delivery.body


@pytest.fixture(scope="module")
def subscriber(walled_server: Server) -> Account:
    walled_server.namespace("other")
    return account(walled_server, "hooks", ("event:subscribe", "hooks"))


def test_an_alert_of_a_namespace_gets_its_events_alone(walled: Server, alerts: Any) -> None:
    walled.namespace("other")
    ours, whole = alerts("secret.set", "vault.sealed", "vault.unsealed", namespace="hooks"), alerts("secret.set")
    theirs = event(walled, "other/f")
    mine = event(walled, "hooks/mine")
    assert walled.api("POST", "/v1/vault/unseal").status == 200
    assert wait_until(lambda: whole.ids == [theirs, mine] and ours.ids, 5)
    time.sleep(0.4)
    assert ours.ids == [mine] and len(ours.got) == 1


def test_alerts_take_event_subscribe_and_are_seen_where_they_belong(
    walled: Server, subscriber: Account, alerts: Any
) -> None:
    walled.namespace("other")
    whole, theirs, ours = (
        alerts("secret.set"),
        alerts("secret.set", namespace="other"),
        alerts("secret.set", namespace="hooks"),
    )
    order = {"events": ["secret.set"], "url": "https://hooks.example.com/x"}
    assert subscriber.api("POST", "/v1/alerts", order).status == 403
    assert subscriber.api("GET", "/v1/alerts").status == 403
    assert subscriber.api("POST", "/v1/namespaces/other/alerts", order).status == 404
    assert subscriber.api("DELETE", f"/v1/namespaces/other/alerts/{theirs.id}").status == 404
    for alert in (whole, theirs):
        for method, more in (("DELETE", ""), ("POST", "/test")):
            assert (
                subscriber.api(method, f"/v1/namespaces/hooks/alerts/{alert.id}{more}").status == 404
            ), "not through one's own namespace"
    shown = subscriber.api("GET", "/v1/namespaces/hooks/alerts").json()["alerts"]
    assert [entry["id"] for entry in shown] == [ours.id]
    nobody = account(walled, "hooks", ("developer", "hooks"), ("operator", "hooks"))
    assert nobody.api("GET", "/v1/namespaces/hooks/alerts").status == 403
    refused = nobody.api("POST", "/v1/namespaces/hooks/alerts", order)
    assert refused.status == 403 and "event:subscribe" in problem(refused)["detail"]
    assert walled.api("GET", "/v1/alerts", key=None).status == 401
    assert whole.got == theirs.got == [], "nothing was tested"


def test_an_alert_ends_with_its_namespace(walled: Server, receiver: Receiver) -> None:
    walled.namespace("brief")
    alert = Alert(walled, receiver, "secret.set", namespace="brief")
    assert walled.api("DELETE", "/v1/namespaces/brief").status == 204
    walled.namespaces.discard("brief")
    walled.namespace("brief")
    event(walled, "brief/f")
    time.sleep(0.7)
    assert alert.got == [], "whoever makes a namespace of that name is not listened to by the former one's people"
    assert walled.api("GET", "/v1/namespaces/brief/alerts").json() == {"alerts": []}


PRIVATE = [
    "https://127.0.0.1/x", "https://localhost/x", "https://[::1]/x", "https://10.0.0.1/x", "https://192.168.1.1/x", "https://172.16.0.1/x",
    "https://169.254.169.254/latest", "https://100.64.0.1/x", "https://0.0.0.0/x", "https://[fd00::1]/x", "https://[fe80::1]/x",
    "https://[::ffff:10.0.0.1]/x", "https://[::ffff:7f00:1]/x", "https://2130706433/x", "https://0x7f.1/x", "https://127.1/x",
    "https://0177.0.0.1/x", "https://localhost./x", "https://224.0.0.1/x", "https://255.255.255.255/x", "https://[64:ff9b::7f00:1]/x",
]  # fmt: skip
ODD = ["http://hooks.example.com/x", "ftp://hooks.example.com/x", "file:///etc/passwd", "gopher://hooks.example.com/", "https:///x", "https://",
    "hooks.example.com", "", "https://user:password@hooks.example.com/x", "https://hooks.example.com/\r\nX-Bad: 1", "https://hooks.example.com:0/x",
    "https://hooks.example.com:99999/x", "https://hooks example.com/x", "https://hooks.example.com/" + "x" * 10_000]  # fmt: skip


@pytest.mark.parametrize("url", PRIVATE)
def test_an_address_that_is_not_public_is_never_reached_for_whoever_is_no_administrator_of_the_platform(
    walled: Server, subscriber: Account, world: World, url: str
) -> None:
    answer = subscriber.api("POST", "/v1/namespaces/hooks/alerts", {"events": ["secret.set"], "url": url})
    if answer.status == 201:
        # As good: it is taken, and nothing goes there.
        id_ = answer.json()["id"]
        event(walled)
        assert subscriber.api("POST", f"/v1/namespaces/hooks/alerts/{id_}/test").status >= 400
        assert subscriber.api("DELETE", f"/v1/namespaces/hooks/alerts/{id_}").status == 204
        assert not url[8:].startswith(
            ("127.0.0.1", "10.", "192.", "169.", "localhost/")
        ), "a plain private address should be refused at once"
    else:
        assert answer.status in (400, 403, 422), answer.text
        assert problem(answer)
    # "0177.0.0.1" is a public address to whoever does not read it as octal.
    world.assert_untouched("177.0.0.1")


@pytest.mark.parametrize("url", ODD, ids=lambda url: repr(url)[:40])
def test_what_is_no_https_address_is_refused(walled: Server, subscriber: Account, url: str) -> None:
    answer = subscriber.api("POST", "/v1/namespaces/hooks/alerts", {"events": ["secret.set"], "url": url})
    if answer.status == 201:
        # Its first event ends the server, see the last test here.
        assert subscriber.api("DELETE", f"/v1/namespaces/hooks/alerts/{answer.json()['id']}").status == 204
    assert answer.status in (400, 422), f"{answer.status} {answer.text}"
    assert "user:password" not in answer.text


def test_a_public_name_that_leads_to_a_private_address_is_not_reached(
    walled: Server, subscriber: Account, world: World
) -> None:
    for number, address in enumerate(["127.0.0.1", "10.50.0.9", "169.254.169.254", "192.168.0.7"]):
        name = f"rebound{number}.example.com"
        world.dns[name] = [A(address)]
        answer = subscriber.api(
            "POST", "/v1/namespaces/hooks/alerts", {"events": ["secret.deleted"], "url": f"https://{name}/x"}
        )
        assert answer.status == 201, f"a name is looked up when something is sent: {answer.text}"
        where = f"/v1/namespaces/hooks/alerts/{answer.json()['id']}"
        tested = subscriber.api("POST", f"{where}/test")
        assert (
            tested.status >= 400 and address not in tested.text
        ), f"{tested.status} {tested.text}: whoever asks is not told what a name leads to"
        assert subscriber.api("DELETE", where).status == 204
    world.assert_untouched()


def test_a_public_address_is_reached_by_the_one_who_may(walled: Server, subscriber: Account, world: World) -> None:
    world.dns["hooks.example.com"] = [A(PUBLIC)]
    answer = subscriber.api(
        "POST", "/v1/namespaces/hooks/alerts", {"events": ["secret.deleted"], "url": "https://hooks.example.com/x"}
    )
    assert answer.status == 201, answer.text
    where = f"/v1/namespaces/hooks/alerts/{answer.json()['id']}"
    tested = subscriber.api("POST", f"{where}/test")
    # The made-up internet's certificate is nobody's who is trusted: so nothing is told to it.
    assert tested.status == 409, f"{tested.status} {tested.text}"
    assert world.arrivals_at(PUBLIC, 443)
    assert subscriber.api("DELETE", where).status == 204


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "events", [["secret.st"], ["secret"], ["*"], [""], ["secret.set", "nothing.at-all"], ["secret.*.x"], ["SECRET.SET"]]
)
def test_a_kind_that_is_none_is_refused_and_named(walled: Server, receiver: Receiver, events: list[str]) -> None:
    answer = walled.api("POST", "/v1/alerts", {"events": events, "url": receiver.url("/x")})
    assert answer.status == 400, answer.text
    assert "docs/audit.md" in problem(answer)["detail"] and f'"{events[-1]}"' in problem(answer)["detail"]


@pytest.mark.parametrize("body", [{}, {"events": ["secret.set"]}, {"events": [], "url": "http://127.0.0.1:9/"}, {"events": "secret.set", "url": "http://127.0.0.1:9/"},
    {"events": ["secret.set"], "url": "http://127.0.0.1:9/", "secret": "mine"}, {"events": [1], "url": "http://127.0.0.1:9/"}, []])  # fmt: skip
def test_what_is_no_order_for_an_alert_is_400(walled: Server, body: Any) -> None:
    before = walled.api("GET", "/v1/alerts").json()
    assert walled.api("POST", "/v1/alerts", body).status == 400
    assert walled.api("GET", "/v1/alerts").json() == before


def test_an_alert_s_secret_is_shown_once_and_stored_nowhere_in_plain(walled: Server, alerts: Any) -> None:
    alert = alerts("secret.set")
    shown = walled.api("GET", "/v1/alerts")
    assert "secret" not in alert.listed() and "whsec_" not in shown.text
    text = alert.secret.removeprefix("whsec_")
    for file in (walled.data / "server").rglob("*"):
        if file.is_file():
            assert_absent(file.read_bytes(), text, str(file.relative_to(walled.data)))


def test_two_alerts_do_not_wait_for_each_other(walled: Server, receiver: Receiver, alerts: Any) -> None:
    slow, fast = alerts("secret.set"), alerts("secret.set")
    receiver.answers(slow.path, status(500))
    request = event(walled)
    assert wait_until(lambda: fast.ids == [request], 3)
    assert wait_until(lambda: len(slow.got) >= 2, 4)
    assert fast.ids == [request] and len(fast.got) == 1


@pytest.mark.parametrize("port", [65536, 99999])
def test_no_alert_of_a_namespace_ends_the_server_or_keeps_it_from_starting(network: World, port: int) -> None:
    network.forget()
    network.dns["hooks.example.com"] = [A(PUBLIC)]
    server = network.server("--pool-size", "0")
    try:
        server.start()
        attacker = account(server, "attack", ("event:subscribe", "attack"), ("secret:write", "attack"))
        made = attacker.api(
            "POST",
            "/v1/namespaces/attack/alerts",
            {"events": ["secret.set"], "url": f"https://hooks.example.com:{port}/x"},
        )
        if made.status == 201:
            with contextlib.suppress(OSError, http.client.HTTPException):
                put(server, "attack/f", value())
            assert not wait_until(lambda: not server.is_running(), 2), "".join(server.err)[:300]
        assert server.api("GET", "/v1/whoami").status == 200
    finally:
        server.dispose()
