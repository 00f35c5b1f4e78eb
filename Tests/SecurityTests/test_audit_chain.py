"""The audit log as a chain: whatever is done to its files is found, at the latest with a checkpoint that was kept elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import audit_log
import pytest
from accounts import account
from casemate_fixture import Server, wait_until
from secret_calls import put, records, value
from steady import Steady

Lines = list[bytes]
PIPELINE = r"""sed -E 's/^\{"hash":"[0-9a-f]{64}","record":(.*)\}$/\1/' | tr -d '\n' | sha256sum"""


@dataclass
class Log:
    """A server with some records, its log as it was then, and checkpoints that an auditor kept."""

    server: Server
    lines: Lines
    half: Path
    mine: Path
    key: str
    place: Path

    def verify(self, *arguments: str) -> tuple[int, str]:
        code, out, err = self.server.cli("audit", "verify", *arguments)
        return code, out + err

    def folder(self, content: Sequence[bytes], end: bytes = b"\n") -> Path:
        """A copy of the audit folder with these lines in it."""
        copy = Path(tempfile.mkdtemp(dir=self.server.folder)) / "audit"
        shutil.copytree(audit_log.folder(self.server), copy)
        audit_log.write(copy, content, end)
        return copy

    def findings(self, content: Sequence[bytes], *arguments: str, end: bytes = b"\n") -> tuple[int, str]:
        return self.verify("--folder", str(self.folder(content, end)), *arguments)


def checkpoint(server: Server) -> tuple[str, str]:
    """A checkpoint's line, and the fingerprint that was printed with it."""
    code, line, said = server.cli("audit", "checkpoint")
    assert code == 0, said
    return line, said.split()[-1]


@pytest.fixture(scope="module")
def log() -> Iterator[Log]:
    server = Server(options=("--pool-size", "0"))
    server.options = (
        *server.options,
        "--audit-checkpoint-seconds",
        "1",
        "--audit-checkpoints",
        str(server.folder / "second" / "place"),
    )
    second = server.folder / "second"
    second.mkdir(mode=0o777)
    second.chmod(0o777)
    with server:
        server.namespace("chain")
        for number in range(8):
            assert put(server, f"chain/f{number}", value()).status == 200
        half, mine = server.folder / "half.jsonl", server.folder / "mine.jsonl"
        line, key = checkpoint(server)
        half.write_text(line)
        for number in range(8):
            assert put(server, f"chain/f{number}", value()).status == 200
        mine.write_text(line + checkpoint(server)[0])
        assert put(server, "chain/f0", value()).status == 200
        yield Log(server, audit_log.lines(audit_log.folder(server)), half, mine, key, second / "place")


# ---------------------------------------------------------------- what is there


def test_the_chain_is_sha256_over_the_bytes_in_the_line_and_begins_with_the_key_of_checkpoints(log: Log) -> None:
    audit_log.assert_chained(log.lines)
    first = audit_log.record(log.lines[0])
    assert first["kind"] == "audit.begun" and first["details"]["key"] == log.key
    assert json.loads(log.mine.read_text().splitlines()[0])["chain"] == first["details"]["chain"]
    for line in (log.lines[0], log.lines[-1]):
        told = subprocess.run(
            ["sh", "-c", PIPELINE], input=line + b"\n", capture_output=True, check=True
        ).stdout.split()[0]
        assert told.decode() == audit_log.told_hash(line), "by the command in docs/audit.md"


def test_a_log_that_nobody_touched_passes_from_the_server_and_from_a_folder(log: Log) -> None:
    for source in ((), ("--folder", str(audit_log.folder(log.server)))):
        code, said = log.verify(*source)
        assert code == 0 and "chained without a gap" in said and "without --against nothing is known" in said, said
        code, said = log.verify(*source, "--against", str(log.mine), "--key", log.key)
        assert code == 0 and "as 2 checkpoints have them" in said, said
    code, out, _ = log.server.cli("audit", "verify", "--json", "--against", str(log.mine))
    told = json.loads(out)
    assert code == 0 and told["isIntact"] is True and told["findings"] == [] and told["checkpoints"] == 2
    assert told["records"] >= len(log.lines)


def test_what_the_server_hands_out_is_the_log_to_the_byte(log: Log) -> None:
    read = b""
    while part := log.server.api("GET", f"/v1/audit/log?position={len(read)}").body:
        read += part
    assert read.splitlines()[: len(log.lines)] == log.lines
    audit_log.assert_chained(read.splitlines())


def test_a_log_that_grows_while_it_is_verified_passes(log: Log) -> None:
    with Steady({"changes": lambda: put(log.server, "chain/f2", value()).status}, threads=3) as clients:
        codes = [log.verify("--against", str(log.mine)) for _ in range(6)]
    assert set(clients.of("changes")) == {200} and len(clients.of("changes")) > 10
    assert [said for code, said in codes if code != 0] == []


# ---------------------------------------------------------------- what is found without a checkpoint


def edited(line: bytes, **fields: Any) -> bytes:
    return audit_log.changed({**audit_log.record(line), **fields})


def with_old_hash(line: bytes, content: bytes) -> bytes:
    return b'{"hash":"' + audit_log.told_hash(line).encode() + b'","record":' + content + b"}"


def replaced(lines: Lines, index: int, *by: bytes) -> Lines:
    return lines[:index] + list(by) + lines[index + 1 :]


def forged(lines: Lines, actor: str = "key:somebody-else", at: int = 5) -> Lines:
    """All of it anew, with another actor of one record, and right in itself."""
    content = [audit_log.record(line) for line in lines]
    content[at]["actor"] = actor
    return audit_log.chained(content)


CHANGES: dict[str, Callable[[Lines], Lines]] = {
    "an actor changed": lambda was: replaced(was, 5, with_old_hash(was[5], edited(was[5], actor="key:somebody-else"))),
    "a detail changed, with a fitting hash": lambda was: replaced(
        was, 5, audit_log.as_line(edited(was[5], details={"secret": "OTHER"}))
    ),
    "a detail removed, with a fitting hash": lambda was: replaced(
        was, 5, audit_log.as_line(edited(was[5], details={}))
    ),
    "the number alone changed": lambda was: replaced(was, 5, with_old_hash(was[5], edited(was[5], sequence=99))),
    "the hash alone changed": lambda was: replaced(
        was, 5, was[5].replace(audit_log.told_hash(was[5]).encode(), b"0" * 64)
    ),
    "a space put in": lambda was: replaced(was, 5, was[5].replace(b'"actor":', b'"actor": ')),
    "a field put in twice": lambda was: replaced(was, 5, was[5].replace(b'"record":{', b'"record":{"actor":"x",')),
    "another record beside the record": lambda was: replaced(
        was, 5, was[5][:-1] + b',"record":' + audit_log.raw(was[6]) + b"}"
    ),
    "something said beside the record": lambda was: replaced(was, 5, was[5][:-1] + b',"note":"x"}'),
    "a record removed": lambda was: replaced(was, 5),
    "the first record removed": lambda was: was[1:],
    "several removed": lambda was: was[:5] + was[9:],
    "a record added": lambda was: replaced(was, 5, was[5], audit_log.as_line(edited(was[5], actor="key:added"))),
    "a record doubled": lambda was: replaced(was, 5, was[5], was[5]),
    "two swapped": lambda was: was[:5] + [was[6], was[5]] + was[7:],
    "the last put first": lambda was: [was[-1], *was[:-1]],
    "an empty line put in": lambda was: replaced(was, 5, was[5], b""),
    "garbage put in": lambda was: replaced(was, 5, was[5], b"\x00\xff\xfe{"),
    "one more at the end, that fits nothing": lambda was: [
        *was,
        audit_log.as_line(edited(was[-1], sequence=len(was) + 1)),
    ],
    "half of it, and new hashes in that half": lambda was: was[:5] + forged(was, "key:other", 0)[5:],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_found_without_any_checkpoint(log: Log, change: str) -> None:
    content = CHANGES[change](log.lines)
    assert content != log.lines
    code, said = log.findings(content)
    assert code == 1, said
    assert "the audit log is not what was written" in said and ("record" in said or "line" in said), said


def test_the_number_of_the_changed_record_is_told(log: Log) -> None:
    code, said = log.findings(CHANGES["an actor changed"](log.lines))
    assert (
        code == 1 and f"record {audit_log.record(log.lines[5])['sequence']} was changed: its hash does not fit" in said
    ), said


def test_json_says_the_same_as_the_exit_code(log: Log) -> None:
    folder = log.folder(CHANGES["two swapped"](log.lines))
    code, out, _ = log.server.cli("audit", "verify", "--json", "--folder", str(folder))
    told = json.loads(out)
    assert code == 1 and told["isIntact"] is False and told["findings"]


def test_a_log_of_several_files_is_one_chain_and_a_file_that_is_gone_is_found(log: Log) -> None:
    folder = log.folder(log.lines[:8])
    (folder / "audit-0000000009.jsonl").write_bytes(b"\n".join(log.lines[8:]) + b"\n")
    code, said = log.verify("--folder", str(folder), "--against", str(log.mine))
    assert code == 0, said
    audit_log.files(folder)[0].unlink()
    code, said = log.verify("--folder", str(folder))
    assert code == 1, said


# ---------------------------------------------------------------- what is found with a checkpoint alone


def test_a_cut_end_is_found_with_a_checkpoint_alone(log: Log) -> None:
    cut = log.lines[:6]
    assert log.findings(cut)[0] == 0, "nothing can be said about the log's end"
    code, said = log.findings(cut, "--against", str(log.mine))
    assert code == 1 and "cut off" in said, said
    assert (
        log.findings(log.lines[:-1], "--against", str(log.mine))[0] == 0
    ), "what came after the last checkpoint is not covered"


def test_a_log_written_anew_with_fitting_hashes_is_found_with_a_checkpoint_alone(log: Log) -> None:
    anew = forged(log.lines)
    audit_log.assert_chained(anew)
    assert log.findings(anew)[0] == 0
    for against in (log.half, log.mine):
        code, said = log.findings(anew, "--against", str(against))
        assert code == 1, said


def test_what_a_checkpoint_covers_is_safe_and_what_follows_it_is_not_claimed(log: Log) -> None:
    records_now = [audit_log.record(line) for line in log.lines]
    records_now[-2] = {**records_now[-2], "actor": "key:somebody-else"}
    late = audit_log.chained(records_now)
    assert log.findings(late, "--against", str(log.half))[0] == 0
    assert log.findings(late, "--against", str(log.mine))[0] == 1


def test_an_empty_log_is_no_intact_one_where_there_is_a_checkpoint(log: Log) -> None:
    code, said = log.findings([], "--against", str(log.mine), end=b"")
    assert code == 1, said
    empty = log.server.folder / "nothing"
    empty.mkdir()
    code, said = log.verify("--folder", str(empty), "--against", str(log.mine))
    assert code in (1, 2), said


@pytest.mark.parametrize(
    "field,by",
    [
        ("sequence", 3),
        ("hash", "0" * 64),
        ("chain", "00000000-0000-4000-8000-000000000000"),
        ("time", "2020-01-01T00:00:00.000Z"),
        ("signature", "A" * 86),
        ("publicKey", "A" * 43),
    ],
)
def test_a_checkpoint_that_was_changed_vouches_for_nothing(log: Log, field: str, by: Any) -> None:
    lines = log.mine.read_text().splitlines()
    file = log.server.folder / f"changed-{field}.jsonl"
    file.write_text(lines[0] + "\n" + json.dumps({**json.loads(lines[1]), field: by}) + "\n")
    code, said = log.verify("--against", str(file), "--key", log.key)
    assert code in (1, 2), said
    code, said = log.verify("--against", str(file))
    assert code in (1, 2), said


@pytest.fixture(scope="module")
def rewritten(log: Log) -> Iterator[tuple[Path, Path, str]]:
    """The log of somebody who wrote it anew, and had it signed with a key of their own: folder, checkpoints, fingerprint."""
    with Server(options=("--pool-size", "0")) as other:
        other.stop()
        first = audit_log.record(log.lines[0])
        own = audit_log.record(audit_log.lines(audit_log.folder(other))[0])
        # The first record names their key, and the chain stays the one that the auditor knows.
        anew = [{**first, "details": {**first["details"], "key": own["details"]["key"]}}]
        anew += [{**audit_log.record(line), "actor": "key:somebody-else"} for line in log.lines[1:]]
        audit_log.write(audit_log.folder(other), audit_log.chained(anew))
        for file in audit_log.folder(other).glob("checkpoints*"):
            file.unlink()
        other.start()
        line, key = checkpoint(other)
        folder = log.folder(audit_log.lines(audit_log.folder(other)))
        file = log.server.folder / "theirs.jsonl"
        file.write_text(line)
    yield folder, file, key


def test_a_checkpoint_signed_with_another_key_is_refused_by_the_fingerprint_that_was_written_down(
    log: Log, rewritten: tuple[Path, Path, str]
) -> None:
    folder, theirs, key = rewritten
    assert key != log.key
    assert (
        log.verify("--folder", str(folder), "--against", str(theirs))[0] == 0
    ), "right in itself: without --key there is nothing to compare with"
    code, said = log.verify("--folder", str(folder), "--against", str(theirs), "--key", log.key)
    assert code == 1, said
    assert key in said or "key" in said, said
    code, said = log.verify("--folder", str(folder), "--against", str(log.mine))
    assert code == 1, said


def test_a_checkpoint_of_another_key_than_the_first_record_names_is_not_taken(
    log: Log, rewritten: tuple[Path, Path, str]
) -> None:
    both = log.server.folder / "both.jsonl"
    both.write_text(log.mine.read_text() + rewritten[1].read_text())
    code, said = log.verify("--against", str(both))
    assert code == 1, said


# ---------------------------------------------------------------- what could not be checked


def test_what_can_not_be_checked_is_exit_code_2_and_never_0(log: Log) -> None:
    server = log.server
    nobody = account(server, "chain")
    garbage = server.folder / "garbage.jsonl"
    garbage.write_text("what is this\n")
    empty = server.folder / "empty.jsonl"
    empty.write_text("")
    own = str(audit_log.folder(server))
    tries = {
        "no such folder": log.verify("--folder", str(server.folder / "nowhere")),
        "no such file of checkpoints": log.verify("--folder", own, "--against", str(server.folder / "nowhere.jsonl")),
        "a file that holds no checkpoints": log.verify("--folder", own, "--against", str(garbage)),
        "no checkpoint in the file": log.verify("--folder", own, "--against", str(empty)),
        "no server": server.cli(
            "audit", "verify", environment={"CASEMATE_URL": "http://127.0.0.1:9", "CASEMATE_KEY": server.key}
        )[0:3:2],
        "no right": nobody.cli("audit", "verify")[0:3:2],
    }
    assert {what: code for what, (code, _) in tries.items() if code != 2} == {}, tries


def test_a_fingerprint_that_is_none_is_not_reported_as_tampering(log: Log) -> None:
    for key in ("zz", "", log.key[:-1]):
        code, said = log.verify("--against", str(log.mine), "--key", key)
        assert code in (2, 64), f"--key {key!r}: {said}"


# ---------------------------------------------------------------- crashes


def test_a_last_line_cut_by_a_crash_is_told_from_tampering(log: Log) -> None:
    cut = log.lines[:-1] + [log.lines[-1][:100]]
    code, said = log.findings(cut, "--against", str(log.mine), end=b"")
    assert code == 0, said
    code, said = log.findings(log.lines[:5] + [log.lines[5][:100]], "--against", str(log.mine), end=b"")
    assert code == 1, "what was cut there was covered by a checkpoint: " + said


@pytest.fixture(scope="module")
def tampered() -> Iterator[Server]:
    server = Server(options=("--pool-size", "0"))
    with server:
        server.namespace("own")
        for number in range(5):
            assert put(server, "own/f", value()).status == 200, number
        yield server


@pytest.fixture
def own(tampered: Server) -> Server:
    if not tampered.is_running():
        tampered.start()
    return tampered


def test_a_server_that_finds_a_half_line_at_its_end_mends_it_and_loses_no_record(own: Server) -> None:
    own.stop()
    before = audit_log.lines(audit_log.folder(own))
    file = audit_log.files(audit_log.folder(own))[-1]
    with file.open("ab") as log:
        log.write(before[-1][:150])
    own.start()
    now = audit_log.lines(audit_log.folder(own))
    assert now[: len(before)] == before and len(now) > len(before)
    audit_log.assert_chained(now)
    assert own.cli("audit", "verify")[0] == 0
    assert records(own, "audit.broken") == [], "a crash is no tampering"
    assert put(own, "own/f", value()).status == 200


def test_a_log_of_several_megabytes_is_read_in_parts_and_verified_whole(own: Server) -> None:
    own.stop()
    before = audit_log.lines(audit_log.folder(own))
    long = audit_log.extended(before, 12_000)
    audit_log.write(audit_log.folder(own), long)
    assert audit_log.files(audit_log.folder(own))[0].stat().st_size > 2 << 20
    own.start()
    code, out, err = own.cli("audit", "verify")
    assert code == 0 and out.startswith(f"{len(audit_log.lines(audit_log.folder(own)))} records"), out + err
    read, parts = b"", 0
    while part := own.api("GET", f"/v1/audit/log?position={len(read)}").body:
        assert part.endswith(b"\n") and len(part) < 4 << 20
        read, parts = read + part, parts + 1
    assert parts >= 3 and read.splitlines()[: len(long)] == long
    assert records(own, "audit.broken") == []
    own.stop()
    audit_log.write(
        audit_log.folder(own), replaced(long, 9_000, with_old_hash(long[9_000], edited(long[9_000], actor="key:x")))
    )
    code, out, err = own.cli("audit", "verify", "--folder", str(audit_log.folder(own)))
    assert code == 1 and "record 9001 was changed" in err, err
    # Its own checkpoints know of the long one now.
    for file in audit_log.folder(own).glob("checkpoints*"):
        file.unlink()
    audit_log.write(audit_log.folder(own), before)
    own.start()


def test_a_server_that_starts_with_a_changed_log_says_so_and_goes_on(own: Server) -> None:
    own.stop()
    right = audit_log.lines(audit_log.folder(own))
    audit_log.write(audit_log.folder(own), CHANGES["an actor changed"](right))
    own.start()
    try:
        found = wait_until(lambda: records(own, "audit.broken"), 10)
        assert len(found) == 1 and "6" in json.dumps(found[0]["details"]), found
        assert wait_until(lambda: "audit" in "".join(own.err), 5), "its own log has it, too"
        code, _, err = own.cli("audit", "verify")
        assert code == 1 and "record 6 was changed" in err
        assert put(own, "own/f", value()).status == 200, "work goes on, and is recorded"
        assert len(records(own, "secret.set")) == 7
    finally:
        own.stop()
        audit_log.write(audit_log.folder(own), right)
        own.start()
    assert own.cli("audit", "verify")[0] == 0


def test_a_server_that_starts_with_a_cut_log_finds_it_by_its_own_checkpoints(own: Server) -> None:
    own.stop()
    right = audit_log.lines(audit_log.folder(own))
    audit_log.write(audit_log.folder(own), right[:6])
    own.start()
    try:
        assert wait_until(lambda: records(own, "audit.broken"), 10), "it wrote a checkpoint at its stop, beside the log"
    finally:
        own.stop()
        audit_log.write(audit_log.folder(own), right)
        own.start()


# ---------------------------------------------------------------- the second place


def test_a_second_place_gets_checkpoints_as_things_are_recorded_and_is_only_added_to(log: Log) -> None:
    def newest() -> int:
        content = log.place.read_text() if log.place.exists() else ""
        return max((json.loads(line)["sequence"] for line in content.splitlines()), default=0)

    assert wait_until(lambda: newest() >= len(log.lines), 5), "one every second here"
    before, identity = log.place.read_bytes(), log.place.stat().st_ino
    assert put(log.server, "chain/f1", value()).status == 200
    assert wait_until(lambda: newest() > len(log.lines), 5)
    now = log.place.read_bytes()
    assert now.startswith(before) and log.place.stat().st_ino == identity
    code, said = log.verify("--against", str(log.place), "--key", log.key)
    assert code == 0 and "checkpoints have them" in said, said
    code, said = log.findings(log.lines[:6], "--against", str(log.place))
    assert code == 1 and "cut off" in said


def append_only(file: Path, on: bool) -> bool:
    return subprocess.run(["chattr", "+a" if on else "-a", str(file)], capture_output=True).returncode == 0


def test_a_second_place_may_be_append_only_and_one_is_written_at_each_stop() -> None:
    server = Server(options=("--pool-size", "0"))
    place = server.folder / "append-only"
    place.touch()
    place.chmod(0o666)
    if not append_only(place, True):
        server.dispose()
        pytest.skip("the file system has no chattr +a")
    server.options = (*server.options, "--audit-checkpoints", str(place), "--audit-checkpoint-seconds", "3600")
    try:
        with server:
            server.namespace("kept")
            server.stop()
            covered = [json.loads(line)["sequence"] for line in place.read_text().splitlines()]
            count = len(audit_log.lines(audit_log.folder(server)))
            assert covered and covered[-1] == count, f"{covered} of {count}: one is written at each stop"
            with pytest.raises(PermissionError):
                place.write_bytes(b"")
            own = audit_log.folder(server)
            audit_log.write(own, audit_log.lines(own)[:-1])
            code, _, err = server.cli("audit", "verify", "--folder", str(own), "--against", str(place))
            assert code == 1 and "cut off" in err
    finally:
        append_only(place, False)
        server.dispose()


def test_a_second_place_that_can_not_be_written_is_an_event_and_is_tried_again() -> None:
    server = Server(options=("--pool-size", "0"))
    place = server.folder / "away"
    server.options = (*server.options, "--audit-checkpoints", str(place / "file"), "--audit-checkpoint-seconds", "1")
    with server:
        found = wait_until(lambda: records(server, "audit.export-failed"), 8)
        assert found, "nothing tells that the second place has nothing"
        server.namespace("meanwhile")
        place.mkdir()
        place.chmod(0o777)
        assert wait_until((place / "file").exists, 10), "not tried again"
        assert (
            len(records(server, "audit.export-failed")) <= 3
        ), "one that goes on failing does not fill the log by itself"
        assert server.cli("audit", "verify", "--against", str(place / "file"))[0] == 0
        assert os.stat(place / "file").st_mode & 0o022 == 0, "nobody else may write it"
