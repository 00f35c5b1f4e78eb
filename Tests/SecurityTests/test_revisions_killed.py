"""A kill at any moment of a deployment, an approval or a rollback leaves one whole revision."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import random
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from casemate_fixture import Answer, Server, handler, wait_until
from supply_chain import (
    active,
    answers,
    approve,
    approved,
    back,
    is_there,
    live,
    page,
    revision,
    send,
    sharing,
    states,
    waiting,
)

FUNCTION = "crashed/f"
# Publish and Activate are a few milliseconds of a deployment, which a moment by chance seldom meets.
MOMENTS = ["any", "sign"] * 4 + ["publish", "activate"] * 20


class Killed:
    """A server that is killed again and again, and started on the same data."""

    def __init__(self, server: Server) -> None:
        self.server = server
        server.namespace("crashed")
        begin = time.monotonic()
        live(server, FUNCTION, *self.version(0))
        self.seconds = time.monotonic() - begin

    @staticmethod
    def version(number: int) -> tuple[dict[str, str], dict[str, Any]]:
        """A revision whose answer shows two files of its bundle, and its configuration."""
        code = f"import os, part\ndef handle(data):\n    return [{number}, part.N, int(os.environ['N'])]\n"
        return {**handler(code), "part.py": f"N = {number}\n"}, {"env": {"N": str(number)}}

    def up(self) -> Server:
        if not self.server.is_running():
            self.again()
        return self.server

    def again(self) -> None:
        assert wait_until(lambda: not self.server.remains(), 10), "processes of the server that was killed"
        self.server.start()

    def kill(self) -> None:
        self.server.kill()
        self.again()

    def is_whole(self, function: str) -> tuple[int, int]:
        """The version and the revision that answer, after checking that they are one, and that nothing lies about."""
        assert wait_until(lambda: self.server.call(function, body={}).status == 200, 15)
        told, number = answers(self.server, function)
        assert len(set(told)) == 1, f"a mixture: {told}"
        assert active(self.server, function) == number
        shown = self.server.cli_json("function", "show", function)["revisions"]
        numbers = [one["number"] for one in shown]
        assert len(set(numbers)) == len(numbers), numbers
        for one in shown:
            is_there(self.server, function, one["number"])
        left = [
            name
            for _, folders, files in os.walk(self.server.data)
            for name in itertools.chain(folders, files)
            if name.startswith((".staging-", ".upload-"))
        ]
        assert left == []
        return told[0], number


@pytest.fixture(scope="module")
def killed() -> Iterator[Killed]:
    with Server(options=("--pool-size", "1", "--pool-max", "2")) as server:
        yield Killed(server)


def stage_begins(server: Server, order: str, stage: str, until: threading.Thread) -> None:
    while until.is_alive():
        answer = server.api("GET", f"/v1/deployments/{order}/progress")
        if answer.status == 200 and stage in [line.get("stage") for line in answer.json()["lines"]]:
            return


@pytest.mark.case("D15")
@pytest.mark.parametrize("number", range(1, len(MOMENTS) + 1))
def test_D15_after_a_kill_during_a_deployment_the_old_or_the_new_revision_answers_whole(
    killed: Killed, number: int
) -> None:
    server, moment = killed.up(), MOMENTS[number - 1]
    before = killed.is_whole(FUNCTION)
    order = str(uuid.uuid4())
    sent: list[Answer] = []

    def attempt() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            sent.append(send(server, FUNCTION, *killed.version(number), id=order))

    running = threading.Thread(target=attempt)
    running.start()
    if moment == "any":
        time.sleep(random.uniform(0, killed.seconds))
    else:
        stage_begins(server, order, moment, running)
        time.sleep(random.uniform(0, 0.01))
    killed.kill()
    running.join(60)
    assert not running.is_alive(), "the deployment hangs after the kill"
    after = killed.is_whole(FUNCTION)
    assert after == before or (after[0] == number and after[1] > before[1]), (before, after)
    if sent and sent[0].status == 200 and sent[0].json()["functions"][0]["status"] == "deployed":
        assert after[0] == number, "a deployment that said it was done is lost"


@pytest.mark.case("D15")
@pytest.mark.parametrize("number", range(4))
def test_D15_after_a_kill_during_an_approval_the_revision_waits_or_is_live(killed: Killed, number: int) -> None:
    server = killed.up()
    ours = sharing(server, "all")
    function = ours.function()
    approved(ours.approver, function, waiting(ours.author, function, *killed.version(1)))
    outcome = waiting(ours.author, function, *killed.version(2))
    sent: list[int] = []

    def agree() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            sent.append(approve(ours.approver, function, 2, outcome["digest"]).status)

    running = threading.Thread(target=agree)
    running.start()
    time.sleep(random.uniform(0, 0.015))
    killed.kill()
    running.join(60)
    told = states(server, function)
    assert told in ({1: "active", 2: "pendingApproval"}, {1: "superseded", 2: "active"}), told
    is_live = told[2] == "active"
    assert is_live or sent != [200], "an approval that was answered is lost"
    assert killed.is_whole(function) == ((2, 2) if is_live else (1, 1))
    shown = revision(server, function, 2)
    assert [one["by"] for one in shown["approvals"]] == ([ours.approver.subject] if is_live else [])
    assert shown["digest"] == outcome["digest"]
    assert approve(ours.approver, function, 2, outcome["digest"]).status == 200
    assert killed.is_whole(function) == (2, 2)


@pytest.mark.case("D15")
def test_D15_after_a_kill_during_a_rollback_one_of_the_two_answers_whole(killed: Killed) -> None:
    server = killed.up()
    ours = sharing(server)
    function = ours.function()
    for number in (1, 2):
        live(ours.author, function, *killed.version(number))
    for target in (1, 2, 1):
        sent: list[int] = []

        def go_back(target: int, sent: list[int]) -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                sent.append(back(ours.author, function, target).status)

        running = threading.Thread(target=go_back, args=(target, sent))
        running.start()
        time.sleep(random.uniform(0, 0.01))
        killed.kill()
        running.join(60)
        after = killed.is_whole(function)
        assert after in ((1, 1), (2, 2)) and (sent != [200] or after == (target, target)), (sent, after)


@pytest.mark.case("D15")
def test_D15_after_all_kills_no_bundle_is_left_that_no_revision_has(killed: Killed) -> None:
    server = killed.up()
    live(server, FUNCTION, *killed.version(1000))

    def strays() -> set[str]:
        used = set()
        for namespace in server.api("GET", "/v1/namespaces").json()["namespaces"]:
            for one in server.api("GET", f"/v1/namespaces/{namespace['name']}/functions").json()["functions"]:
                shown = page(server, f"{one['namespace']}/{one['name']}")["revisions"]
                used |= {each["bundleDigest"].replace(":", "-") for each in shown}
        return {name for name in os.listdir(server.data / "warden/bundles") if name.startswith("sha256-")} - used

    wait_until(lambda: not strays(), 15, every=0.5)
    assert strays() == set()
