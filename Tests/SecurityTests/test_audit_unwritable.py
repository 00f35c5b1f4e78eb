"""While the audit log can't be written nothing happens that must be in it, what runs goes on, and nothing is lost, doubled or half there after."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import audit_log
import pytest
from accounts import account
from broken_vault import refusal
from casemate_fixture import Answer, Server, archive, handler, manifest, problem, wait_until
from egress_probe import metrics
from secret_calls import path, put, records, value, versions

LENGTH = handler("def handle(data, secrets):\n    return len(secrets['KEY'])\n")
PLAIN = handler("def handle(data):\n    return 1\n")
NEVER_UPLOADED = archive(handler("def handle(data):\n    return 'never uploaded'\n"))
KEY = {"secrets": ["KEY"]}


class SmallDisk:
    """A tmpfs of half a megabyte below a server's audit folder, which can be filled up."""

    def __init__(self, server: Server) -> None:
        self.folder = server.folder / "disk"
        self.filler = self.folder / "filler"
        self.audit = audit_log.folder(server)
        self.mounted: list[Path] = []

    def attach(self) -> None:
        """Puts the log of a server that is stopped on it."""
        self.folder.mkdir()
        self._mount("-t", "tmpfs", "-o", "size=512k,mode=0755", "casemate-test", at=self.folder)
        owner = self.audit.stat()
        on_disk = self.folder / "audit"
        shutil.copytree(self.audit, on_disk)
        for place in (on_disk, *on_disk.iterdir()):
            os.chown(place, owner.st_uid, owner.st_gid)
        on_disk.chmod(0o700)
        self._mount("--bind", str(on_disk), at=self.audit)

    def _mount(self, *arguments: str, at: Path) -> None:
        subprocess.run(["mount", *arguments, str(at)], check=True, capture_output=True)
        self.mounted.append(at)

    def detach(self) -> None:
        for place in reversed(self.mounted):
            subprocess.run(["umount", "--lazy", str(place)], check=True, capture_output=True)
        self.mounted.clear()

    def fill(self) -> None:
        with self.filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)

    def fill_to_the_brim(self) -> None:
        self.fill()
        with self.filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x")

    def free(self) -> None:
        self.filler.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def small() -> Iterator[tuple[Server, SmallDisk]]:
    server = Server(options=("--pool-size", "3"))
    disk = SmallDisk(server)
    try:
        with server:
            server.stop()
            disk.attach()
            server.start()
            for name in ("warm", "cold", "kept", "gone"):
                server.namespace("full")
                assert put(server, f"full/{name}", value()).status == 200
                assert put(server, f"full/{name}", value()).status == 200
            for name in ("warm", "cold", "gone"):
                server.deploy("full", name, LENGTH, KEY)
            server.deploy("full", "plain", PLAIN)
            for name, calls in (("recorded", "recorded"), ("required", "required")):
                server.deploy(name, "f", PLAIN)
                assert server.api("PUT", f"/v1/namespaces/{name}/policy", {"calls": calls}).status == 200
                assert server.call(f"{name}/f", body={}).status == 200
            assert server.call("full/warm", body={}).status == 200
            yield server, disk
            disk.free()
            assert wait_until(lambda: server.api("POST", "/v1/vault/unseal").status == 200, 10)
    finally:
        if server.is_running():
            server.kill()
        disk.detach()
        server.dispose()


REFUSED = "/problems/audit-unavailable"


def is_refused(answer: Answer) -> bool:
    if answer.status == 200 and answer.body.startswith(b'{"functions"'):
        # A deployment answers for each function.
        return bool(answer.json()["functions"][0].get("problemType") == REFUSED)
    return answer.status == 503 and problem(answer)["type"] == REFUSED


def make_unwritable(server: Server, disk: SmallDisk) -> None:
    """Until the last page is full, too, a few more records fit."""
    disk.fill()
    assert wait_until(
        lambda: is_refused(server.api("POST", "/v1/vault/unseal")), 5, every=0
    ), "it is still written somewhere"


@pytest.fixture
def full(small: tuple[Server, SmallDisk]) -> Iterator[Server]:
    server, disk = small
    make_unwritable(server, disk)
    yield server
    disk.free()
    assert wait_until(lambda: server.api("POST", "/v1/vault/unseal").status == 200, 10), "it does not go on by itself"


# ---------------------------------------------------------------- changes


def deployment(server: Server) -> Answer:
    order = {"namespace": "full", "manifest": manifest("full", "plain"), "sources": {"plain": server.uploaded}}  # type: ignore[attr-defined]
    return server.api("POST", "/v1/deployments", order)


CHANGES: dict[str, Callable[[Server], Answer]] = {
    "a namespace made": lambda s: s.api("POST", "/v1/namespaces", {"name": "new"}),
    "a namespace deleted": lambda s: s.api("DELETE", "/v1/namespaces/empty"),
    "a secret set": lambda s: put(s, "full/kept", value()),
    "a secret set for the first time": lambda s: put(s, "full/new", value()),
    "a secret deleted": lambda s: s.api("DELETE", path("full/kept")),
    "a secret rolled back": lambda s: s.api("POST", path("full/kept", what="/rollback"), {}),
    "a secret compared": lambda s: s.api("POST", path("full/kept", what="/verify"), b"guess"),
    "a token made": lambda s: s.api("POST", "/v1/namespaces/full/tokens", {}),
    "a token revoked": lambda s: s.api("DELETE", f"/v1/namespaces/full/tokens/{s.token_id}"),  # type: ignore[attr-defined]
    "a grant made": lambda s: s.api(
        "POST", "/v1/namespaces/full/grants", {"subject": "service-account:full/robot", "permission": "admin"}
    ),
    "a grant withdrawn": lambda s: s.api("DELETE", s.grant),  # type: ignore[attr-defined]
    "an account made": lambda s: s.api("POST", "/v1/namespaces/full/service-accounts", {"name": "other"}),
    "an account deleted": lambda s: s.api("DELETE", "/v1/namespaces/full/service-accounts/robot"),
    "a key made": lambda s: s.api("POST", "/v1/namespaces/full/service-accounts/robot/keys", {}),
    "a policy changed": lambda s: s.api("PUT", "/v1/namespaces/full/policy", {"calls": "recorded"}),
    "egress allowed": lambda s: s.api("PUT", "/v1/namespaces/full/functions/plain/egress/api.example.com:443"),
    "an archive uploaded": lambda s: s.api("POST", "/v1/archives", NEVER_UPLOADED),
    "a deployment": deployment,
    "a rollback": lambda s: s.api("POST", "/v1/namespaces/full/functions/plain/rollback", {}),
    "a function deleted": lambda s: s.api("DELETE", "/v1/namespaces/full/functions/gone"),
    "an alert made": lambda s: s.api("POST", "/v1/alerts", {"events": ["vault.sealed"], "url": "http://127.0.0.1:9/"}),
    "the vault rotated": lambda s: s.api("POST", "/v1/vault/rotate"),
    "an issuer added": lambda s: s.api(
        "POST", "/v1/issuers", {"name": "corp", "url": "https://idp.example.com", "audiences": ["casemate"]}
    ),
    "a backup begun": lambda s: s.api("POST", "/v1/backups"),
    "source read": lambda s: s.api("GET", "/v1/namespaces/full/functions/plain/source"),
    # Last: see the fault below.
    "the vault sealed": lambda s: s.api("POST", "/v1/vault/seal"),
}


STATE = [
    "/v1/namespaces", "/v1/namespaces/full/functions", "/v1/namespaces/full/functions/plain", "/v1/namespaces/full/functions/plain/egress",
    "/v1/namespaces/full/functions/kept/secrets", "/v1/namespaces/full/functions/new/secrets", path("full/kept"), "/v1/namespaces/full/tokens",
    "/v1/namespaces/full/grants", "/v1/namespaces/full/service-accounts", "/v1/namespaces/full/service-accounts/robot/keys",
    "/v1/namespaces/full/policy", "/v1/alerts", "/v1/vault", "/v1/issuers", "key-encryption key", "files",
]  # fmt: skip


def state(server: Server) -> dict[str, Any]:
    """All that the changes above would change."""
    found: dict[str, Any] = {}
    folder = server.data / "server"
    for where in STATE[:-2]:
        answer = server.api("GET", where)
        told = answer.json()
        # How the last rotation went is told, also of one that was refused.
        told.pop("rotation", None)
        found[where] = (answer.status, told if answer.status == 200 else told["type"])
    found["key-encryption key"] = (folder / "kek").read_bytes()
    found["files"] = sorted(
        str(file.relative_to(folder)) for place in ("", "artifacts") for file in (folder / place).iterdir()
    )
    return found


@pytest.fixture(scope="module")
def changes(small: tuple[Server, SmallDisk]) -> dict[str, Any]:
    """Each change, tried while the log could not be written; the state before and after; and each tried when it could be again."""
    server, disk = small
    server.namespace("empty")
    account(server, "full", name="robot")
    other = account(server, "full", name="granted")
    server.grant = other.grant("viewer", "full")  # type: ignore[attr-defined]
    server.token_id = server.api("POST", "/v1/namespaces/full/tokens", {}).json()["id"]  # type: ignore[attr-defined]
    server.deploy("full", "plain", handler("def handle(data):\n    return 2\n"))
    packed = archive(handler("def handle(data):\n    return 4\n"))
    server.uploaded = server.api("POST", "/v1/archives", packed).json()["digest"]  # type: ignore[attr-defined]
    before = state(server)
    count = len(records(server, ""))
    make_unwritable(server, disk)
    unsealed = len(records(server, "")) - count
    tried = {name: change(server) for name, change in CHANGES.items()}
    after = state(server)
    readable = server.api("GET", "/v1/audit?tail=10000")
    gauge = metrics(server)["casemate_audit_writable"]
    disk.free()
    assert wait_until(lambda: server.api("POST", "/v1/vault/unseal").status == 200, 10)
    recorded = [record for record in records(server, "")[count + unsealed :] if record["outcome"] == "done"]
    return {
        "tried": tried,
        "before": before,
        "after": after,
        "readable": readable,
        "gauge": gauge,
        "recorded": recorded,
    }


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_refused_with_503_while_the_log_can_not_be_written(changes: dict[str, Any], change: str) -> None:
    answer = changes["tried"][change]
    assert is_refused(answer), f"{answer.status} {answer.text[:300]}"


@pytest.mark.parametrize("where", STATE[:-1])
def test_what_was_refused_changed_nothing(changes: dict[str, Any], where: str) -> None:
    assert changes["after"][where] == changes["before"][where]


def test_what_was_refused_left_no_file_behind(changes: dict[str, Any]) -> None:
    assert set(changes["after"]["files"]) - set(changes["before"]["files"]) == set()


def test_an_archive_whose_upload_was_refused_can_not_be_deployed_afterwards(
    changes: dict[str, Any], small: tuple[Server, SmallDisk]
) -> None:
    assert is_refused(changes["tried"]["an archive uploaded"])
    digest = hashlib.sha256(NEVER_UPLOADED).hexdigest()
    order = {"namespace": "full", "manifest": manifest("full", "smuggled"), "sources": {"smuggled": digest}}
    answer = small[0].api("POST", "/v1/deployments", order)
    assert '"deployed"' not in answer.text, "a source is served whose upload nobody recorded"


def test_what_was_refused_is_not_in_the_log_as_done(changes: dict[str, Any]) -> None:
    assert {record["kind"] for record in changes["recorded"]} <= {
        "vault.unsealed",
        "vault.unavailable",
        "vault.recovered",
        "audit.suppressed",
    }


def test_the_log_can_be_read_meanwhile_and_a_metric_tells(
    changes: dict[str, Any], small: tuple[Server, SmallDisk]
) -> None:
    assert changes["readable"].status == 200 and changes["readable"].json()["records"]
    assert changes["gauge"] == 0
    assert metrics(small[0])["casemate_audit_writable"] == 1


# ---------------------------------------------------------------- calls


def test_warm_calls_and_functions_without_secrets_go_on(full: Server) -> None:
    assert full.call("full/warm", body={}).status == 200
    assert full.call("full/plain", body={}).status == 200
    assert full.call("recorded/f", body={}).status == 200, "recorded where it can be, and required by nobody"


def test_a_cold_start_with_a_secret_is_refused_and_one_without_is_not(full: Server) -> None:
    answer = full.call("full/cold", body={})
    assert is_refused(answer), answer.text


def test_a_call_that_must_be_recorded_does_not_run(full: Server) -> None:
    answer = full.call("required/f", body={})
    assert is_refused(answer), answer.text


def test_calls_that_were_refused_run_when_there_is_room_again(small: tuple[Server, SmallDisk]) -> None:
    server, disk = small
    make_unwritable(server, disk)
    assert is_refused(server.call("required/f", body={})) and is_refused(server.call("full/cold", body={}))
    disk.free()
    assert wait_until(lambda: server.call("required/f", body={}).status == 200, 10)
    assert server.call("full/cold", body={}).status == 200


def test_after_all_of_this_the_chain_is_whole(small: tuple[Server, SmallDisk]) -> None:
    server, _ = small
    code, out, err = server.cli("audit", "verify")
    assert code == 0, out + err
    audit_log.assert_chained(audit_log.lines(audit_log.folder(server)))


# ---------------------------------------------------------------- half-written records


def test_each_answer_with_200_is_in_the_log_once_and_no_other_is_while_the_disk_fills_and_empties(
    small: tuple[Server, SmallDisk],
) -> None:
    server, disk = small
    done: list[int] = []
    refused = 0
    for _ in range(4):
        disk.fill()
        for _ in range(14):
            answer = put(server, "full/kept", value())
            if answer.status == 200:
                done.append(answer.json()["version"])
            else:
                assert is_refused(answer), answer.text
                refused += 1
        disk.free()
        assert wait_until(lambda: server.api("POST", "/v1/vault/unseal").status == 200, 10)
    assert refused and done, "the disk was full, and was not"
    assert len(set(done)) == len(done)
    told = Counter(int(record["details"]["version"]) for record in records(server, "secret.set", "full/kept"))
    assert {version: told[version] for version in done} == dict.fromkeys(done, 1)
    assert max(told.values()) == 1
    assert set(told) == {
        entry["version"] for entry in versions(server, "full/kept")
    }, "each version has its record, and each record its version"
    audit_log.assert_chained(audit_log.lines(audit_log.folder(server)))
    assert server.cli("audit", "verify")[0] == 0


def test_a_server_that_can_not_write_the_log_at_its_start_says_so_and_starts_when_there_is_room(
    small: tuple[Server, SmallDisk],
) -> None:
    server, disk = small
    make_unwritable(server, disk)
    server.stop()
    # What the stop left of the last page.
    disk.fill_to_the_brim()
    before = audit_log.lines(audit_log.folder(server))
    said = refusal(server)
    assert "the audit log can't be written" in said and "No space left" in said, said
    disk.free()
    server.start()
    assert put(server, "full/kept", value()).status == 200
    assert server.call("full/warm", body={}).status == 200
    assert audit_log.lines(audit_log.folder(server))[: len(before)] == before
    assert server.cli("audit", "verify")[0] == 0


# ---------------------------------------------------------------- kill -9


@pytest.fixture(scope="module")
def killed() -> Iterator[Server]:
    with Server(options=("--pool-size", "0")) as server:
        server.namespace("killed")
        yield server


@pytest.mark.parametrize("after", [40, 120])
def test_after_a_kill_amid_changes_each_that_was_acknowledged_is_in_the_log_once(killed: Server, after: int) -> None:
    acknowledged: list[tuple[str, str]] = []
    ended = threading.Event()

    def changes(number: int) -> None:
        round_ = 0
        while not ended.is_set():
            round_ += 1
            with contextlib.suppress(OSError, http.client.HTTPException):
                answer = put(killed, f"killed/f{number}", value())
                if answer.status == 200:
                    acknowledged.append((f"killed/f{number}", answer.headers["casemate-request-id"]))
                answer = killed.api("POST", "/v1/namespaces/killed/tokens", {"description": f"{number}-{round_}"})
                if answer.status == 201:
                    acknowledged.append(("token", answer.headers["casemate-request-id"]))

    threads = [threading.Thread(target=changes, args=(number,), daemon=True) for number in range(8)]
    for thread in threads:
        thread.start()
    assert wait_until(lambda: len(acknowledged) >= after, 20, every=0.005)
    killed.kill()
    ended.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    killed.start()
    code, out, err = killed.cli("audit", "verify")
    assert code == 0, out + err
    audit_log.assert_chained(audit_log.lines(audit_log.folder(killed)))
    times = Counter(record.get("request") for record in records(killed, "secret.set,token.created"))
    assert [request for _, request in acknowledged if times[request] != 1] == []
    assert records(killed, "audit.broken") == []
    for number in range(8):
        told = {int(record["details"]["version"]) for record in records(killed, "secret.set", f"killed/f{number}")}
        there = {entry["version"] for entry in versions(killed, f"killed/f{number}")}
        assert there <= told, f"f{number} has a version that nobody set"
    tokens = killed.api("GET", "/v1/namespaces/killed/tokens").json()["tokens"]
    assert len(tokens) <= len(records(killed, "token.created")), "a token that nobody made"
