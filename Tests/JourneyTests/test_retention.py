"""How long what calls leave behind is kept, for each namespace; and whose calls get how many turns."""

from __future__ import annotations

import os
import time
from itertools import pairwise

import pytest
from async_calls import becomes, begin, deploy_actor, ended, held, moment, operate, view
from casemate_fixture import Server, handler

SAYS = handler("""
    def handle(event, context):
        print("said")
        return "done"
    """)


def policy(server: Server, namespace: str, **rules: object) -> int:
    server.namespace(namespace)
    return server.api("PUT", f"/v1/namespaces/{namespace}/policy", rules).status


def test_a_namespace_keeps_its_logs_for_as_long_as_it_says_and_the_others_as_the_server_does() -> None:
    with Server() as server:
        assert policy(server, "brief", logRetentionInDays=1) == 200
        assert policy(server, "longer", logRetentionInDays=30) == 200
        functions = [f"{namespace}/says" for namespace in ("brief", "longer", "usual")]
        for function in functions:
            namespace, name = function.split("/")
            server.deploy(namespace, name, SAYS, {"signature": "scaleway"})
            assert server.call(function, body={}).status == 200

        def says(function: str) -> bool:
            return "said" in server.cli("logs", function)[1]

        assert all(says(function) for function in functions)
        for days, kept in ((2, ["longer/says", "usual/says"]), (8, [])):
            server.stop()
            old = time.time() - days * 86_400
            for segment in (server.data / "server/logs").glob("*/*"):
                os.utime(segment, (old, old))
            server.start()
            assert [function for function in functions if says(function)] == kept


@pytest.mark.parametrize("days", [0, -1, 3651, 10**30, "7", 1.5, True, [7]])
def test_a_number_of_days_that_is_none_is_refused(running: Server, days: object) -> None:
    assert policy(running, "brief", logRetentionInDays=7) == 200
    assert policy(running, "brief", logRetentionInDays=days) == 400
    assert running.api("GET", "/v1/namespaces/brief/policy").json()["logRetentionInDays"] == 7


def test_of_two_floods_each_has_its_turns_by_its_weight() -> None:
    with Server(options=("--queue-workers", "1")) as server:
        for name, weight in (("light", 1), ("heavy", 4)):
            deploy_actor(server, f"turns/{name}", {"weight": weight}, scale={"max": 1})
        with held(server, "turns/light", "{}"):
            calls = {begin(server, f"turns/{name}", {}): name for _ in range(30) for name in ("light", "heavy")}
        views = {call: ended(server, call) for call in calls}
        order = sorted(calls, key=lambda call: moment(views[call]["started"]))
        assert all(
            moment(views[one]["finished"]) <= moment(views[other]["started"]) + 0.002 for one, other in pairwise(order)
        )
        first = [calls[call] for call in order[:25]]
        assert 18 <= first.count("heavy") <= 22, first


def test_calls_that_take_long_leave_a_quarter_of_the_turns_to_others() -> None:
    with Server(options=("--queue-workers", "4")) as server:
        for name in ("long", "short"):
            deploy_actor(server, f"turns/{name}")
        long = [begin(server, "turns/long", {"s": 30}) for _ in range(4)]
        for call in long[:3]:
            becomes(server, call, "running")
        assert ended(server, begin(server, "turns/short", {}), 10)["status"] == "succeeded"
        assert [view(server, call)["status"] for call in long].count("running") == 3
        for call in long:
            assert operate(server, "turns/long", call, "cancel").status == 200
