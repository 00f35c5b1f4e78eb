"""What lies on the disk: no value that a secret ever had, in any spelling; and a damaged database, which is never taken for a new one."""

from __future__ import annotations

import gzip
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from broken_vault import Copy, database, kek, place, refusal
from casemate_fixture import Server, handler, wait_until
from secret_calls import path, put, records, value
from spellings import assert_absent, found_in

BUSY = handler("""
    import os, sys
    def handle(data, secrets):
        if data.get("raise"):
            raise ValueError("no good: " + secrets["KEY"] + " " + secrets["OTHER"])
        if data.get("exit"):
            sys.stderr.write(secrets["KEY"])
            sys.stderr.flush()
            os._exit(1)
        with open("/tmp/kept", "w") as file:
            file.write(secrets["KEY"] + secrets["OTHER"])
        print(secrets["KEY"], secrets["OTHER"].encode().hex(), data.get("text"))
        return {"key": secrets["KEY"], "other": secrets["OTHER"], "text": data.get("text")}
    """)


@dataclass
class Scenario:
    """A server that had many secrets, and every value that one of them ever had."""

    server: Server
    values: dict[str, str] = field(default_factory=dict)
    control: str = ""
    before: set[str] = field(default_factory=set)
    backups: list[Path] = field(default_factory=list)

    def new(self, what: str, text: str) -> str:
        self.values[what] = text
        return text


def temporary(own: Path) -> set[str]:
    """All files of the places for temporary ones, but the test's own."""
    found = set()
    for folder in ("/tmp", "/var/tmp", "/dev/shm", "/run/casemate"):
        for where, names, files in os.walk(folder):
            # Of another test's server beside this one nothing is looked at.
            names[:] = [name for name in names if not name.startswith(("casemate-test-", "pytest-", "bash_jobs"))]
            found |= {os.path.join(where, file) for file in files}
    return {file for file in found if not file.startswith(str(own))}


@pytest.fixture(scope="module")
def scenario() -> Iterator[Scenario]:
    server = Server(options=("--pool-size", "2"))
    lived = Scenario(server, before=temporary(server.folder))
    with server:
        server.namespace("rest")

        def set_(what: str, text: str, name: str = "KEY", function: str = "rest/f") -> None:
            assert put(server, function, lived.new(what, text), name).status == 200, what

        set_("first", value(24))
        set_("with a line's end", "line-one-" + value(12) + "\nline-two-" + value(12))
        set_("with quotes", f'say "{value(16)}" and \\{value(8)}')
        set_("not ASCII", "schlüssel-ключ-" + value(12))
        set_("like base64", value(40) + "==")
        set_("of 64 KiB", value(60_000))
        set_("other", value(32), "OTHER")
        set_("before the deployment", value(24))
        server.deploy("rest", "f", BUSY, {"secrets": ["KEY", "OTHER"]})
        lived.control = "control-" + value(20)
        assert server.api("POST", "/v1/namespaces/rest/tokens", {"description": lived.control}).status == 201
        for body in ({}, {"raise": 1}, {"exit": 1}, {"text": lived.values["first"]}):
            server.call("rest/f", body=body)
        set_("after a call", value(24))
        assert wait_until(
            lambda: server.call("rest/f", body={"text": lived.values["before the deployment"]}).status == 200, 5
        )
        guess = lived.new("a guess", value(24))
        assert server.api("POST", path("rest/f", what="/verify"), guess.encode()).json()["matches"] is False
        assert server.api("POST", path("rest/f", what="/rollback"), {}).status == 200
        assert server.cli("secret", "set", "rest/f", "TYPED", input=lived.new("by the command line", value(28)))[0] == 0
        assert server.api("DELETE", path("rest/f", "TYPED")).status == 204
        assert put(server, "rest/f", lived.new("refused for a NUL", value(24)) + "\0").status == 400
        assert put(server, "nowhere/f", lived.new("for no namespace", value(24))).status == 404
        assert (
            server.api(
                "PUT",
                path("rest/f"),
                lived.new("with a wrong key", value(24)).encode(),
                key="00000000-0000-4000-8000-000000000000",
            ).status
            == 401
        )
        lived.backups.append(server.folder / "before.tar.gz")
        assert server.cli("backup", "--data", str(server.data), str(lived.backups[-1]))[0] == 0
        assert server.cli("vault", "rotate")[0] == 0
        set_("of a function that goes", value(24), function="rest/gone")
        assert server.cli("function", "delete", "rest/gone")[0] == 0
        assert server.cli("vault", "seal")[0] == 0
        assert put(server, "rest/f", lived.new("refused by a sealed vault", value(24))).status == 503
        assert server.cli("vault", "unseal")[0] == 0
        server.call("rest/f", body={"raise": 1})
        lived.backups.append(server.folder / "after.tar.gz")
        assert server.cli("backup", "--data", str(server.data), str(lived.backups[-1]))[0] == 0
        yield lived


def everything(server: Server) -> dict[str, bytes]:
    found = {}
    for file in server.data.rglob("*"):
        if file.is_file() and not file.is_symlink():
            found[str(file.relative_to(server.data))] = file.read_bytes()
    return found


@pytest.mark.guarantee("SCW-8")
@pytest.mark.parametrize("state", ["running", "killed", "started again and stopped"])
def test_no_file_of_the_data_folder_has_a_value_in_any_spelling(scenario: Scenario, state: str) -> None:
    server = scenario.server
    if state == "killed":
        server.kill()
    elif state == "started again and stopped":
        if not server.is_running():
            server.start()
        server.call("rest/f", body={})
        server.stop()
    try:
        files = everything(server)
        assert any("casemate.db" in name for name in files) and any("audit" in name for name in files)
        # The search finds what is there: this text was stored as it is.
        assert any(found_in(content, scenario.control) for content in files.values())
        for what, text in scenario.values.items():
            for name, content in files.items():
                assert_absent(content, text, f"{name} ({what})", hashed=True)
    finally:
        if not server.is_running():
            server.start()


def test_no_log_line_of_a_function_has_a_value_and_each_was_replaced(scenario: Scenario) -> None:
    text = "\n".join(scenario.server.messages("rest/f"))
    assert text.count("[secret:KEY]") >= 4 and "[secret:OTHER]" in text
    for what, secret in scenario.values.items():
        assert_absent(text, secret, f"the log ({what})")


def test_no_backup_has_a_value_in_any_spelling(scenario: Scenario) -> None:
    for file in scenario.backups:
        content = gzip.decompress(file.read_bytes())
        assert found_in(content, scenario.control)
        for what, text in scenario.values.items():
            assert_absent(content, text, f"{file.name} ({what})", hashed=True)
            assert_absent(file.read_bytes(), text, f"{file.name} ({what})")


def test_no_temporary_file_has_a_value(scenario: Scenario) -> None:
    new = temporary(scenario.server.folder) - scenario.before
    for name in new:
        try:
            content = Path(name).read_bytes()
        except OSError:
            continue
        for what, text in scenario.values.items():
            assert_absent(content, text, f"{name} ({what})")


def test_neither_the_server_s_own_log_nor_a_process_s_command_line_or_environment_has_a_value(
    scenario: Scenario,
) -> None:
    server = scenario.server
    assert server.call("rest/f", body={}).status == 200
    said = "".join(server.out + server.err)
    pids = [server.pid, *(process.pid for process in server.remains())]
    assert len(pids) > 2
    for what, text in scenario.values.items():
        assert_absent(said, text, f"the server's log ({what})")
    for pid in pids:
        for part in ("cmdline", "environ"):
            try:
                content = Path(f"/proc/{pid}/{part}").read_bytes()
            except OSError:
                continue
            for what, text in scenario.values.items():
                assert_absent(content, text, f"{part} of {pid} ({what})")


def test_the_audit_log_has_no_value(scenario: Scenario) -> None:
    text = str(records(scenario.server, "")).encode()
    assert b"secret.set" in text
    for what, secret in scenario.values.items():
        assert_absent(text, secret, f"the audit log ({what})", hashed=True)


def test_files_with_keys_and_ciphertexts_are_for_the_server_s_user_alone(scenario: Scenario) -> None:
    server = scenario.server.data / "server"
    assert server.stat().st_mode & 0o077 == 0
    for file in server.rglob("*"):
        assert (
            file.is_symlink() or file.stat().st_mode & 0o077 == 0
        ), f"{file.relative_to(server)} is {oct(file.stat().st_mode)}"
    assert (scenario.server.data / "admin.key").stat().st_mode & 0o077 == 0


# ---------------------------------------------------------------- a damaged database


@pytest.fixture(scope="module")
def stopped() -> Iterator[tuple[Server, Copy]]:
    with Server(options=("--pool-size", "1")) as server:
        server.namespace("d")
        for number in range(24):
            assert put(server, f"d/f{number}", value()).status == 200
        server.deploy(
            "d", "f1", handler("def handle(data, secrets):\n    return len(secrets['KEY'])\n"), {"secrets": ["KEY"]}
        )
        server.stop()
        yield server, Copy(server)


def overwritten(content: bytes, begin: int, by: bytes) -> bytes:
    return content[:begin] + by + content[begin + len(by) :]


def other_database(_: bytes) -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE something (else_ TEXT)")
    return connection.serialize()


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "its head changed": lambda content: overwritten(content, 0, b"SQLite format 2\0"),
    "its first page zeros": lambda content: overwritten(content, 0, b"\0" * 4096),
    "all of it zeros": lambda content: b"\0" * len(content),
    "another page zeros": lambda content: overwritten(content, 4096, b"\0" * 4096),
    "pages of noise": lambda content: overwritten(content, 8192, os.urandom(16384)),
    "a half of it": lambda content: content[: len(content) // 2],
    "its last page missing": lambda content: content[:-4096],
    "a part of a page": lambda content: content[:1000],
    "nothing in it": lambda _: b"",
    "a text": lambda _: b"this was a database\n" * 300,
    "another database": other_database,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_server_does_not_start_with_a_damaged_database_and_makes_no_other(
    stopped: tuple[Server, Copy], damage: str
) -> None:
    server, copy = stopped
    keys = {
        name: (server.data / "server" / name).read_bytes()
        for name in ("kek", "signing.key", "token.key", "audit.key", "webhook.key")
    }
    copy.remove()
    copy.put_back(DAMAGES[damage])
    damaged = database(server).read_bytes()
    try:
        said = refusal(server)
        assert said, "it started"
        assert "casemate: " in said and ("database" in said or "casemate.db" in said), said
        assert "Fatal error" not in said, said
        assert database(server).read_bytes() == damaged, "what is there is left for whoever repairs it"
        assert {name: (server.data / "server" / name).read_bytes() for name in keys} == keys
    finally:
        if server.is_running():
            server.kill()
        copy.put_back()


def test_a_server_whose_database_is_gone_does_not_begin_a_new_one_beside_its_keys(stopped: tuple[Server, Copy]) -> None:
    server, copy = stopped
    right = kek(server).read_bytes()
    copy.remove()
    try:
        said = refusal(server)
        assert said and ("database" in said or "casemate.db" in said), said or "it started, with nothing in it"
        assert not database(server).exists() or database(server).stat().st_size == 0
        assert kek(server).read_bytes() == right
    finally:
        if server.is_running():
            server.kill()
        place(server, kek(server), right)
        copy.put_back()


def test_with_the_right_database_back_all_is_as_it_was(stopped: tuple[Server, Copy]) -> None:
    server, copy = stopped
    copy.put_back()
    server.start()
    try:
        assert server.call("d/f1", body={}).json() == 20
        assert server.cli("audit", "verify")[0] == 0
    finally:
        server.stop()
