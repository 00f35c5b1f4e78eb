"""Backups: made while the server works, of no use without the key of their time, and restored whole or not at all."""

from __future__ import annotations

import copy
import gzip
import io
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import audit_log
import pytest
from accounts import account
from broken_vault import kek
from casemate_fixture import Server, binary, handler, problem, wait_until
from secret_calls import path, put, records, value
from spellings import assert_absent
from steady import Steady

TELLS = handler("def handle(data, secrets):\n    return secrets['KEY'][:4]\n")
PRINTS = handler("def handle(data):\n    print(data['text'])\n    return 1\n")
KEY = {"secrets": ["KEY"]}


@dataclass
class Backup:
    """A server, a backup that was made while it worked, and what was true then."""

    server: Server
    file: Path
    kek: Path
    values: dict[str, str] = field(default_factory=dict)
    seen: dict[str, list[Any]] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)
    out: str = ""

    def restore(self, file: Path, data: Path, *options: str, kek: Path | None = None) -> tuple[int, str]:
        code, out, err = self.server.cli(
            "restore", str(file), "--data", str(data), *(options or ("--kek-file", str(kek or self.kek)))
        )
        return code, out + err

    def place(self) -> Path:
        """A folder that is not there yet, below one that is empty."""
        folder = self.server.folder / f"restored-{os.urandom(4).hex()}"
        folder.mkdir(mode=0o711)
        return folder / "data"


def make(server: Server, file: Path, *options: str) -> tuple[int, str]:
    code, out, err = server.cli("backup", "--data", str(server.data), *options, str(file))
    return code, out + err


@pytest.fixture(scope="module")
def backup() -> Iterator[Backup]:
    with Server(options=("--pool-size", "3")) as server:
        server.namespace("b")
        made = Backup(server, server.folder / "casemate.tar.gz", server.folder / "kek-of-then")
        made.values["b/kept"] = value()
        assert put(server, "b/kept", made.values["b/kept"]).status == 200
        server.deploy("b", "kept", TELLS, KEY)
        assert put(server, "b/busy", value()).status == 200
        server.deploy("b", "busy", TELLS, KEY)
        server.deploy("b", "prints", PRINTS)
        made.hidden["a printed line"] = "printed-" + value()
        assert server.call("b/prints", body={"text": made.hidden["a printed line"]}).status == 200
        made.hidden["token"] = server.token("b")["token"]
        hook = server.api("POST", "/v1/alerts", {"events": ["vault.sealed"], "url": "http://127.0.0.1:9/"}).json()
        made.hidden["alert's secret"] = hook["secret"].removeprefix("whsec_")
        made.hidden["administrator's key"] = server.key
        tried: list[str] = []

        def change() -> int:
            tried.append(value())
            return put(server, "b/busy", tried[-1]).status

        with Steady(
            {
                "calls": lambda: server.call("b/kept", body={}),
                "busy": lambda: server.call("b/busy", body={}),
                "changes": change,
            }
        ) as clients:
            time.sleep(0.4)
            code, made.out = make(server, made.file)
            assert code == 0, made.out
            time.sleep(0.2)
        made.seen = {name: clients.of(name) for name in clients.parts}
        made.hidden |= {f"value {number} of busy": text for number, text in enumerate(tried)} | {
            "value of kept": made.values["b/kept"]
        }
        made.kek.write_bytes(kek(server).read_bytes())
        yield made


def members(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as archive:
        return {
            entry.name: (archive.extractfile(entry) or io.BytesIO()).read() if entry.isfile() else b""
            for entry in archive
        }


# ---------------------------------------------------------------- making one


def test_while_a_backup_is_made_no_call_and_no_change_fails(backup: Backup) -> None:
    assert len(backup.seen["calls"]) > 20 and len(backup.seen["changes"]) > 5
    for name in ("calls", "busy"):
        failed = [answer for answer in backup.seen[name] if isinstance(answer, Exception) or answer.status != 200]
        assert not failed, f"{name}: {len(failed)} of {len(backup.seen[name])}: {failed[0]}"
    assert set(backup.seen["changes"]) == {200}


def test_the_file_is_its_maker_s_alone_and_is_never_written_over(backup: Backup) -> None:
    assert backup.file.stat().st_mode & 0o7777 == 0o600
    before = backup.file.read_bytes()
    code, said = make(backup.server, backup.file)
    assert code != 0 and str(backup.file) in said, said
    assert backup.file.read_bytes() == before
    old = os.umask(0)
    try:
        other = backup.server.folder / "umask.tar.gz"
        assert make(backup.server, other)[0] == 0
        assert other.stat().st_mode & 0o7777 == 0o600
    finally:
        os.umask(old)


def test_a_backup_has_neither_a_plaintext_nor_the_key_nor_logs_nor_the_administrator_s_key(backup: Backup) -> None:
    found = members(backup.file)
    whole = gzip.decompress(backup.file.read_bytes())
    for name, text in backup.hidden.items():
        assert_absent(whole, text, f"the backup ({name})")
    assert_absent(whole, backup.kek.read_bytes(), "the backup (KEK)")
    for own in ("signing.key", "token.key", "audit.key", "webhook.key"):
        assert_absent(whole, (backup.server.data / "server" / own).read_bytes(), f"the backup ({own})")
    names = "\n".join(found)
    assert (
        "casemate.db" in names
        and "audit/audit-0000000001.jsonl" in names
        and "artifacts/" in names
        and "bundles/" in names
    )
    assert not [
        name for name in found if "/logs/" in name or "admin.key" in name or name.endswith(("/kek", "ca.key", "ca.pem"))
    ]


def test_a_backup_is_recorded_and_leaves_no_copy_behind(backup: Backup) -> None:
    made = records(backup.server, "backup.made")
    assert made and made[0]["outcome"] == "done" and made[0]["actor"].startswith("key:")
    left = [file.name for file in (backup.server.data / "server").iterdir() if "backup" in file.name]
    assert [name for name in left if any((backup.server.data / "server" / name).rglob("*"))] == []
    own = {f"{name}.db{tail}" for name in ("casemate", "queue") for tail in ("", "-wal", "-shm")}
    copies = [
        file for file in backup.server.data.rglob("*.db*") if file.name not in own or file.parent.name != "server"
    ]
    assert copies == []


def test_a_backup_takes_the_platform_s_administrator(backup: Backup) -> None:
    someone = account(backup.server, "b", ("admin", "b"), ("audit:read", None))
    answer = someone.api("POST", "/v1/backups")
    assert answer.status == 403 and "platform:admin" in problem(answer)["detail"]
    assert backup.server.api("POST", "/v1/backups", key=None).status == 401


def test_a_backup_takes_root_on_the_host(backup: Backup) -> None:
    folder = backup.server.folder / "anybody"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    program = folder / "casemate"
    shutil.copy(binary(), program)
    program.chmod(0o755)
    command = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", str(program), "backup"]
    command += ["--data", str(backup.server.data), str(folder / "mine.tar.gz")]
    environment = backup.server.cli_environment(CASEMATE_URL=backup.server.api_url, CASEMATE_KEY=backup.server.key)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd="/")
    assert done.returncode != 0 and "root" in done.stderr, done.stderr
    assert not (folder / "mine.tar.gz").exists()


def test_a_backup_that_can_not_be_written_leaves_nothing_behind(backup: Backup) -> None:
    nowhere = backup.server.folder / "not-there" / "x.tar.gz"
    code, said = make(backup.server, nowhere)
    assert code != 0 and "not-there" in said and not nowhere.parent.exists()
    code, said = backup.server.cli(
        "backup", "--data", str(backup.server.folder / "no-data"), str(backup.server.folder / "none.tar.gz")
    )[0:3:2]
    assert code != 0 and said and not (backup.server.folder / "none.tar.gz").exists()


# ---------------------------------------------------------------- restoring it


@pytest.fixture(scope="module")
def restored(backup: Backup) -> Iterator[Server]:
    data = backup.place()
    code, said = backup.restore(backup.file, data)
    assert code == 0, said
    server = Server(options=("--pool-size", "2"))
    server.data = data
    with server:
        yield server


def test_a_restored_server_has_functions_secrets_tokens_and_keys_as_they_were(backup: Backup, restored: Server) -> None:
    assert restored.call("b/kept", body={}).json() == backup.values["b/kept"][:4]
    assert restored.call("b/busy", body={}).status == 200
    assert restored.call("b/kept", body={}, token=backup.hidden["token"]).status == 200, "tokens go on"
    assert (
        restored.api("POST", path("b/kept", what="/verify"), backup.values["b/kept"].encode()).json()["matches"] is True
    )
    assert (
        restored.api("GET", "/.well-known/jwks.json").json()
        == backup.server.api("GET", "/.well-known/jwks.json").json()
    )
    assert len(restored.api("GET", "/v1/alerts").json()["alerts"]) == 1
    restored.deploy("b", "after", TELLS, {"secrets": []})


def test_a_restored_server_s_database_is_that_of_one_moment(backup: Backup, restored: Server) -> None:
    told = max(int(record["details"]["version"]) for record in records(restored, "secret.set", "b/busy"))
    there = restored.api("GET", path("b/busy")).json()["versions"][0]["version"]
    assert there <= told, "each change is recorded before it counts, and so it is in the backup"
    recorded = [
        record
        for record in records(backup.server, "secret.set", "b/busy")
        if int(record["details"]["version"]) <= there
    ]
    assert len(recorded) == there


def test_a_restored_server_has_a_new_administrator_s_key_and_refuses_the_old_one(
    backup: Backup, restored: Server
) -> None:
    assert restored.key != backup.server.key
    assert restored.api("GET", "/v1/whoami", key=backup.server.key).status == 401
    assert restored.api("GET", "/v1/whoami").status == 200


def test_a_restored_server_s_audit_log_goes_on_where_it_was_and_says_that_it_was_restored(
    backup: Backup, restored: Server
) -> None:
    code, out, err = restored.cli("audit", "verify")
    assert code == 0, out + err
    mine, theirs = audit_log.lines(audit_log.folder(restored)), audit_log.lines(audit_log.folder(backup.server))
    audit_log.assert_chained(mine)
    same = sum(1 for a, b in zip(mine, theirs) if a == b)
    assert same > 10, "it begins as the old one does"
    assert records(restored, "backup.restored"), "that it was restored is a record"
    assert records(restored, "audit.broken") == []


def test_restored_files_have_their_owners_and_modes(restored: Server) -> None:
    server = restored.data / "server"
    owner = server.stat()
    assert owner.st_uid != 0 and owner.st_mode & 0o777 == 0o700
    assert (restored.data.stat().st_uid, restored.data.stat().st_mode & 0o777) == (0, 0o711)
    for name in ("casemate.db", "kek", "signing.key", "token.key", "audit.key", "webhook.key"):
        found = (server / name).stat()
        assert (found.st_uid, found.st_mode & 0o777) == (owner.st_uid, 0o600), name
    assert ((restored.data / "admin.key").stat().st_mode & 0o777, (restored.data / "admin.key").stat().st_uid) == (
        0o600,
        0,
    )


# ---------------------------------------------------------------- what is refused


def packed(entries: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for entry, content in entries:
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def entries(file: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(file) as archive:
        return [
            (entry, (archive.extractfile(entry) or io.BytesIO()).read() if entry.isfile() else b"") for entry in archive
        ]


Entries = list[tuple[tarfile.TarInfo, bytes]]


def extra(
    name: str, kind: bytes = tarfile.REGTYPE, target: str = "", before: bool = False
) -> Callable[[Entries], Entries]:
    def change(all_: Entries) -> Entries:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname, entry.mode = kind, target, 0o600
        new = (entry, b"planted" if kind == tarfile.REGTYPE else b"")
        return [new, *all_] if before else [*all_[:-1], new, all_[-1]]

    return change


def with_content(part: str, change: Callable[[bytes], bytes]) -> Callable[[Entries], Entries]:
    def changed(all_: Entries) -> Entries:
        assert any(part in entry.name for entry, _ in all_), part
        return [
            (entry, change(content) if part in entry.name and entry.isfile() else content) for entry, content in all_
        ]

    return changed


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def renamed(part: str, name: str) -> Callable[[Entries], Entries]:
    def change(all_: Entries) -> Entries:
        found = []
        for entry, content in all_:
            entry = copy.copy(entry)
            if part in entry.name:
                entry.name = name
            found.append((entry, content))
        return found

    return change


def with_mode(part: str, mode: int) -> Callable[[Entries], Entries]:
    def change(all_: Entries) -> Entries:
        found = []
        for entry, content in all_:
            entry = copy.copy(entry)
            if part in entry.name:
                entry.mode = mode
            found.append((entry, content))
        return found

    return change


def with_list(change: Callable[[Any], None]) -> Callable[[Entries], Entries]:
    def changed(content: bytes) -> bytes:
        told = json.loads(content)
        change(told)
        return json.dumps(told).encode()

    return with_content("backup.json", changed)


CHANGES: dict[str, Callable[[Entries], Entries]] = {
    "a bit of the database": with_content("casemate.db", flipped),
    "a bit of the audit log": with_content("audit-0000000001.jsonl", flipped),
    "a bit of a bundle": with_content("src/handler.py", flipped),
    "a bit of the keys": with_content("keys.json", flipped),
    "a bit of the list's code": with_content("backup.code", flipped),
    "a space in the list": with_content("backup.json", lambda content: content + b" "),
    "the list written anew": with_list(lambda told: told.update({"added": 1})),
    "a member removed": lambda all_: [entry for entry in all_ if "audit-0000000001" not in entry[0].name],
    "the list removed": lambda all_: [entry for entry in all_ if entry[0].name != "backup.json"],
    "the list's code removed": lambda all_: all_[:-1],
    "a member twice": lambda all_: [*all_[:2], all_[1], *all_[2:]],
    "the list twice": lambda all_: [all_[0], *all_],
    "a member added": extra("server/extra"),
    "a member added behind the end": lambda all_: [*all_, *extra("server/extra")(all_)[-2:-1]],
    "a bundle added": extra("warden/bundles/sha256-" + "0" * 64 + "/src/handler.py"),
    "a folder added": extra("warden/bundles/added/", tarfile.DIRTYPE),
    "a path that leads out": extra("../planted"),
    "a path that leads out further down": extra("server/../../planted"),
    "a path from the root": extra("/tmp/casemate-test-planted"),
    "a link out": extra("server/link", tarfile.SYMTYPE, "/etc"),
    "a link out, before all": extra("server", tarfile.SYMTYPE, "/tmp", before=True),
    "a hard link": extra("server/hard", tarfile.LNKTYPE, "/etc/passwd"),
    "a device": extra("server/device", tarfile.CHRTYPE),
    "a pipe": extra("server/pipe", tarfile.FIFOTYPE),
    "a member renamed": renamed("audit-0000000001.jsonl", "server/audit/audit-0000000002.jsonl"),
    "nothing in it": lambda all_: [],
}


def assert_nothing_left(data: Path) -> None:
    assert not data.exists() or not any(data.iterdir()), f"left behind: {sorted(data.rglob('*'))}"
    assert sorted(file.name for file in data.parent.iterdir() if file.name != data.name) == []
    assert not Path("/tmp/casemate-test-planted").exists() and not Path("/tmp/planted").exists()


@pytest.mark.parametrize("change", CHANGES)
def test_an_archive_that_was_changed_is_refused_and_nothing_is_left_behind(backup: Backup, change: str) -> None:
    data = backup.place()
    file = data.parent.with_suffix(".tar.gz")
    file.write_bytes(packed(CHANGES[change](entries(backup.file))))
    code, said = backup.restore(file, data)
    assert code in (1, 2), f"{code} {said}"
    assert said.splitlines()[-1].startswith("casemate: "), said
    assert_nothing_left(data)


def test_an_archive_that_was_only_packed_anew_is_taken(backup: Backup) -> None:
    """So that the changes above are refused for what they are."""
    data = backup.place()
    file = data.parent.with_suffix(".tar.gz")
    file.write_bytes(packed(entries(backup.file)))
    code, said = backup.restore(file, data)
    assert code == 0, said


@pytest.mark.parametrize(
    "part,mode", [("src/handler.py", 0o4755), ("src/handler.py", 0o666), ("casemate.db", 0o644), ("keys.json", 0o644)]
)
def test_another_mode_in_the_archive_is_refused_or_of_no_effect(backup: Backup, part: str, mode: int) -> None:
    data = backup.place()
    file = data.parent.with_suffix(".tar.gz")
    file.write_bytes(packed(with_mode(part, mode)(entries(backup.file))))
    code, _said = backup.restore(file, data)
    if code == 0:
        assert [str(found) for found in data.rglob("*") if found.is_file() and found.stat().st_mode & 0o7022] == []
        assert [
            str(found) for found in (data / "server").rglob("*") if found.is_file() and found.stat().st_mode & 0o077
        ] == []
    else:
        assert_nothing_left(data)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.99])
def test_an_archive_that_was_cut_is_refused_and_nothing_is_left_behind(backup: Backup, share: float) -> None:
    whole = backup.file.read_bytes()
    data = backup.place()
    file = data.parent.with_suffix(".tar.gz")
    file.write_bytes(whole[: int(len(whole) * share)])
    code, said = backup.restore(file, data)
    assert code in (1, 2) and said.splitlines()[-1].startswith("casemate: "), said
    assert_nothing_left(data)


@pytest.mark.parametrize(
    "content",
    [b"\0" * 100, b"no archive at all\n" * 50, gzip.compress(b"x" * 5000), gzip.compress(b"\0" * (64 << 20))],
    ids=["zeros", "text", "gzip", "bomb"],
)
def test_what_is_no_backup_is_refused(backup: Backup, content: bytes) -> None:
    data = backup.place()
    file = data.parent.with_suffix(".tar.gz")
    file.write_bytes(content)
    code, said = backup.restore(file, data)
    assert code in (1, 2) and said.splitlines()[-1].startswith("casemate: "), said
    assert_nothing_left(data)


KEYS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "another key": (lambda right: os.urandom(32), "key"),
    "a bit of it": (flipped, "key"),
    "a part of it": (lambda right: right[:31], "does not hold a key"),
    "nothing": (lambda right: b"", "does not hold a key"),
}


@pytest.mark.parametrize("what", KEYS)
def test_with_a_wrong_key_nothing_is_restored(backup: Backup, what: str) -> None:
    change, words = KEYS[what]
    data = backup.place()
    wrong = data.parent.with_suffix(".kek")
    wrong.write_bytes(change(backup.kek.read_bytes()))
    wrong.chmod(0o600)
    code, said = backup.restore(backup.file, data, kek=wrong)
    assert code in (1, 2) and words in said, said
    assert_nothing_left(data)


def test_without_a_key_nothing_is_restored(backup: Backup) -> None:
    data = backup.place()
    code, said = backup.restore(backup.file, data, "--user", "casemate")
    assert code != 0 and "kek" in said, said
    assert_nothing_left(data)
    code, said = backup.restore(backup.file, data, kek=backup.server.folder / "no-such-kek")
    assert code != 0 and "no-such-kek" in said, said
    assert_nothing_left(data)


def test_a_folder_with_something_in_it_is_left_as_it_is(backup: Backup) -> None:
    data = backup.place()
    data.mkdir()
    (data / "mine").write_text("precious")
    code, said = backup.restore(backup.file, data)
    assert code != 0 and str(data) in said, said
    assert [file.name for file in data.iterdir()] == ["mine"] and (data / "mine").read_text() == "precious"
    (data / "mine").unlink()
    code, said = backup.restore(backup.file, data)
    assert code == 0, f"an empty folder is as good as none: {said}"


def test_a_folder_that_is_a_server_s_own_is_not_written_over(backup: Backup) -> None:
    before = (backup.server.data / "admin.key").read_text()
    code, said = backup.restore(backup.file, backup.server.data)
    assert code != 0 and str(backup.server.data) in said
    assert (backup.server.data / "admin.key").read_text() == before and backup.server.call(
        "b/kept", body={}
    ).status == 200


# ---------------------------------------------------------------- what deleting means


def test_after_a_deletion_and_a_rotation_no_older_backup_opens_with_today_s_key(backup: Backup) -> None:
    server = backup.server
    assert put(server, "b/deleted", value()).status == 200
    before = server.folder / "before.tar.gz"
    assert make(server, before)[0] == 0
    assert server.cli("function", "delete", "b/deleted")[0] == 0
    code, out, err = server.cli("vault", "rotate")
    assert code == 0 and "make a new backup now" in out + err
    today = server.folder / "kek-of-today"
    shutil.copy(kek(server), today)
    assert backup.kek.read_bytes() not in today.read_bytes(), "the old key is gone"
    data = backup.place()
    code, said = backup.restore(before, data, kek=today)
    assert code in (1, 2) and said.splitlines()[-1].startswith("casemate: "), said
    assert_nothing_left(data)
    after = server.folder / "after.tar.gz"
    assert make(server, after)[0] == 0
    data = backup.place()
    code, said = backup.restore(after, data, kek=today)
    assert code == 0, said
    code, said = backup.restore(after, backup.place(), kek=backup.kek)
    assert code != 0, "yesterday's key opens nothing of today's"
    again = Server(options=("--pool-size", "1"))
    again.data = data
    with again:
        assert again.call("b/kept", body={}).json() == backup.values["b/kept"][:4]
        assert again.api("GET", path("b/deleted")).status == 404


def test_a_sealed_vault_can_be_backed_up_and_stays_sealed(backup: Backup) -> None:
    server = backup.server
    assert server.cli("vault", "seal")[0] == 0
    try:
        file = server.folder / "sealed.tar.gz"
        code, said = make(server, file)
        # The list is authenticated by a key that only the KEK opens: a sealed vault may refuse that, but says so.
        assert code == 0 or "sealed" in said, said
        assert (code == 0) == file.exists()
    finally:
        assert server.cli("vault", "unseal")[0] == 0
    assert wait_until(lambda: server.call("b/kept", body={}).status == 200, 5)
