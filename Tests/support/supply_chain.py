"""What tests of approvals, promotion, revisions and canaries share: deployments by anybody, and what became of each revision."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from accounts import Account, account
from casemate_fixture import Answer, Server, Source, archive, manifest, problem

HOST = "api.example.com:443"
OTHER_HOST = "files.example.com:443"
_numbers = itertools.count(1)


class Caller(Protocol):
    """Whoever has a credential of the API: an account, a person, the administrator."""

    def api(self, method: str, path: str, body: Any = None, *, timeout: float = 60) -> Answer: ...


@dataclass
class Holder:
    """Somebody by a credential alone."""

    server: Server
    key: str

    def api(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        return self.server.api(method, path, body, key=self.key, **more)


def path(function: str, *rest: object) -> str:
    namespace, name = function.split("/")
    return "/".join([f"/v1/namespaces/{namespace}/functions/{name}", *map(str, rest)])


def answering(value: object) -> dict[str, str]:
    return {"handler.py": f"def handle(data):\n    return {value!r}\n"}


def set_rules(
    server: Server, namespace: str, *, gate: Any = None, keep: int | None = None, **supply_chain: Any
) -> None:
    """The whole policy of a namespace; what is left out is at its default."""
    server.namespace(namespace)
    body: dict[str, Any] = {"supplyChain": supply_chain}
    if gate is not None:
        body["gate"] = gate
    if keep is not None:
        body["keepRevisions"] = keep
    answer = server.api("PUT", f"/v1/namespaces/{namespace}/policy", body)
    assert answer.status == 200, answer.text


# ---------------------------------------------------------------- deployments


def send(who: Caller, function: str, source: Source, keys: Mapping[str, Any] | None = None, **more: Any) -> Answer:
    """Deploys past the command line, as anybody."""
    namespace, name = function.split("/")
    uploaded = who.api("POST", "/v1/archives", archive(source), timeout=120)
    assert uploaded.status == 201, uploaded.text
    order = {
        "namespace": namespace,
        "manifest": manifest(namespace, name, keys),
        "sources": {name: uploaded.json()["digest"]},
        **more,
    }
    return who.api("POST", "/v1/deployments", order, timeout=180)


def deploy(
    who: Caller, function: str, source: Source, keys: Mapping[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """What came of a deployment, whatever that is."""
    answer = send(who, function, source, keys, **more)
    assert answer.status == 200, answer.text
    outcome: dict[str, Any] = answer.json()["functions"][0]
    return outcome


def live(who: Caller, function: str, source: Source, keys: Mapping[str, Any] | None = None) -> dict[str, Any]:
    outcome = deploy(who, function, source, keys)
    assert outcome["status"] == "deployed", outcome
    return outcome


def waiting(who: Caller, function: str, source: Source, keys: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return is_waiting(deploy(who, function, source, keys))


def is_waiting(outcome: dict[str, Any]) -> dict[str, Any]:
    assert outcome["status"] == "pendingApproval" and outcome["needsApproval"], outcome
    assert isinstance(outcome["revision"], int) and re.fullmatch(r"sha256:[0-9a-f]{64}", outcome["digest"]), outcome
    return outcome


def refusal(answer: Answer) -> str:
    """The type of the problem, also where it is told as the outcome of an order that could be read."""
    if answer.status >= 400:
        return str(problem(answer)["type"])
    body = answer.json()
    outcome = body["functions"][0] if "functions" in body else body
    assert outcome["status"] == "failed", outcome
    return str(outcome["problemType"])


# ---------------------------------------------------------------- what became of them


def page(server: Server, function: str) -> dict[str, Any]:
    answer = server.api("GET", path(function))
    assert answer.status == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def revision(server: Server, function: str, number: int) -> dict[str, Any]:
    found: list[dict[str, Any]] = [one for one in page(server, function)["revisions"] if one["number"] == number]
    assert len(found) == 1, f"revision {number} of {function}: {found}"
    return found[0]


def states(server: Server, function: str) -> dict[int, str]:
    return {one["number"]: one["state"] for one in page(server, function)["revisions"]}


def active(server: Server, function: str) -> int | None:
    """The number of what is live, which three places agree on."""
    told = page(server, function)
    number: int | None = told.get("activeRevision")
    marked = [one["number"] for one in told["revisions"] if one["isActive"]]
    stated = [one["number"] for one in told["revisions"] if one["state"] == "active"]
    assert marked == stated == ([] if number is None else [number]), told
    return number


def pending(server: Server, function: str) -> list[dict[str, Any]]:
    """What of a function waits, as its namespace's list has it."""
    answer = server.api("GET", f"/v1/namespaces/{function.split('/')[0]}/approvals")
    assert answer.status == 200, answer.text
    return [one for one in answer.json()["pending"] if one["function"] == function]


def answers(server: Server, function: str) -> tuple[Any, int]:
    """What a call answers, and the revision that the answer says it is of."""
    answer = server.call(function, body={})
    assert answer.status == 200, answer.text
    return answer.json(), int(answer.headers["casemate-revision"])


# ---------------------------------------------------------------- agreeing


def approve(who: Caller, function: str, number: int, digest: str, **more: Any) -> Answer:
    return who.api("POST", path(function, "revisions", number, "approval"), {"digest": digest, **more})


def reject(who: Caller, function: str, number: int, digest: str, **more: Any) -> Answer:
    return who.api("POST", path(function, "revisions", number, "rejection"), {"digest": digest, **more})


def approved(who: Caller, function: str, outcome: Mapping[str, Any]) -> dict[str, Any]:
    """Approves what a deployment has made, which is a revision's view afterwards."""
    answer = approve(who, function, outcome["revision"], outcome["digest"])
    assert answer.status == 200, answer.text
    view: dict[str, Any] = answer.json()
    return view


@dataclass
class Team:
    """A namespace with two people in it, neither of whom has made the other, and functions that no other team has."""

    server: Server
    namespace: str
    author: Account
    approver: Account
    number: int

    def label(self, name: str = "f") -> str:
        return f"{name}-{self.number}"

    def function(self, name: str = "f") -> str:
        return f"{self.namespace}/{self.label(name)}"

    def review(self, function: str, number: int) -> None:
        answer = approve(self.approver, function, number, revision(self.server, function, number)["digest"])
        assert answer.status == 200, answer.text


def team(server: Server, *kinds: str, **rules: Any) -> Team:
    """A namespace of its own, where `kinds` need a second person. Its rules may be changed."""
    number = next(_numbers)
    namespace = f"agreed-{number}"
    set_rules(server, namespace, requireApproval=list(kinds), **rules)
    return Team(
        server,
        namespace,
        account(server, namespace, ("developer", namespace), ("function:publish", namespace)),
        account(server, namespace, ("approver", namespace)),
        number,
    )


_teams: dict[tuple[Path, tuple[str, ...]], Team] = {}


def sharing(server: Server, *kinds: str) -> Team:
    """Likewise in one namespace with other tests, whose rules and people stay as they are: a new one costs the gate a start."""
    key = (server.folder, kinds)
    if key not in _teams:
        _teams[key] = team(server, *kinds)
    return replace(_teams[key], number=next(_numbers))


def refused_as_own(who: Caller, server: Server, function: str, outcome: dict[str, Any]) -> None:
    """It is theirs: they are told so, and nothing of the revision changes."""
    number = outcome["revision"]
    before = revision(server, function, number)
    answer = approve(who, function, number, outcome["digest"])
    told = problem(answer)
    assert (answer.status, told["type"]) == (403, "/problems/self-approval"), told
    assert revision(server, function, number) == before
    assert before["state"] == "pendingApproval" and before["approvals"] == [], before


def back(who: Caller, function: str, number: int | None = None) -> Answer:
    """Goes back to a revision; to the one before without a number."""
    answer: Answer = who.api("POST", path(function, "rollback"), {} if number is None else {"revision": number})
    return answer


def on_disk(server: Server, digest: str) -> bool:
    """Whether a file or folder of the server's data has this digest in its name."""
    hexadecimal = digest.removeprefix("sha256:")
    return any(
        hexadecimal in name for _, folders, files in os.walk(server.data) for name in itertools.chain(folders, files)
    )


def is_there(server: Server, function: str, number: int) -> None:
    """Both what it runs and what that was made of."""
    shown = revision(server, function, number)
    assert on_disk(server, shown["bundleDigest"]) and on_disk(server, shown["sourceDigest"]), shown
    assert server.api("GET", path(function, f"source?revision={number}")).status == 200
