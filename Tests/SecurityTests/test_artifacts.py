"""Uploaded sources by their digest, in a folder or a bucket: what is read is what was put, or nobody gets it."""

from __future__ import annotations

import http.client
import os
import re
import secrets as randomness
import socket
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from artifact_store import (
    NAMESPACE,
    Store,
    another,
    at_once,
    digest_of,
    in_bucket,
    is_unavailable,
    order_of,
    packed,
)
from bucket import NAME, Bucket
from casemate_fixture import Server, binary, clean_environment, memory_in_kib, wait_until
from gate_answers import advisory, import_advisories
from moto_server import REGION, Moto, moto

SMALL = 400 << 10
LIMIT = 1 << 20


@pytest.fixture(scope="module")
def small(aws: Moto) -> Iterator[Store]:
    """One whose cache holds two archives of `SMALL`."""
    with in_bucket(aws, "small", "--artifact-cache-size", str(LIMIT)) as store:
        yield store


# ---------------------------------------------------------------- a key of one prefix


@pytest.mark.guarantee("KYM-15")
def test_KYM_15_artifacts_lie_in_a_bucket_with_a_key_of_its_prefix_alone() -> None:
    """The key has the three rights of docs/operating.md, and moto checks signatures and rights as AWS does."""
    with moto("--auth") as strict, Bucket(strict, "archives/plant", is_strict=True) as bucket:
        user, secret = strict.facts["archives"]
        environment = {"AWS_ACCESS_KEY_ID": user, "AWS_SECRET_ACCESS_KEY": secret}

        def names() -> list[str]:
            listed = strict("s3", "list_objects_v2", by=strict.facts["owner"], Bucket=NAME)
            return [entry["Key"] for entry in listed.get("Contents", [])]

        with Server(options=("--pool-size", "1", *bucket.options), environment=environment) as server:
            store = Store(server, bucket)
            stored = store.deployed()
            assert sorted(names()) == ["archives/plant/owner", f"archives/plant/sha256/{stored.digest}"]
            store.forget()
            assert stored.source().body == stored.content
            store.forget()
            assert stored.again()["status"] in ("deployed", "unchanged")
            assert stored.is_alive()
            assert server.api("DELETE", server.function_path(stored.function)).status == 204
            assert wait_until(lambda: names() == ["archives/plant/owner"], 10, every=0.5), names()
        assert bucket.refused == [] and {one.status for one in bucket.asked} <= {200, 204, 412}
        for operation in ("list_objects_v2", "get_bucket_location"):
            with pytest.raises(subprocess.CalledProcessError):
                strict("s3", operation, by=(user, secret), Bucket=NAME)
        with pytest.raises(subprocess.CalledProcessError):
            strict("s3", "put_object", by=(user, secret), Bucket=NAME, Key="archives/elsewhere", Body="x")


@pytest.mark.guarantee("KYM-15")
def test_an_object_has_its_digest_for_a_name_and_the_archive_s_bytes(store: Store) -> None:
    content = packed(SMALL)
    digest = store.uploaded(content)
    assert {"owner", f"sha256/{digest}"} <= set(store.bucket.names())
    assert store.bucket.get(store.bucket.key(digest)) == content


def test_an_upload_is_one_signed_put_of_what_has_this_hash_where_nothing_is_yet(store: Store) -> None:
    content = packed(SMALL)
    digest = store.uploaded(content)
    (put,) = store.bucket.of(digest, "PUT")
    assert put.is_conditional and (put.size, put.sha256) == (len(content), digest)
    assert put.headers["x-amz-content-sha256"] == digest and "transfer-encoding" not in put.headers
    signed = re.fullmatch(
        rf"AWS4-HMAC-SHA256 Credential=AKIDTEST/\d{{8}}/{REGION}/s3/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=[0-9a-f]{{64}}",
        put.headers["authorization"],
    )
    assert signed, put.headers["authorization"]
    assert {"host", "if-none-match", "x-amz-content-sha256", "x-amz-date"} <= set(signed[1].split(";"))


def test_what_is_in_the_bucket_already_is_read_and_not_put_over(store: Store) -> None:
    content = packed()
    digest = store.uploaded(content)
    store.forget(digest)
    before = len(store.bucket.of(digest))
    store.uploaded(content)
    assert order_of(store.bucket.of(digest)[before:]) == ["PUT*", "GET"]
    assert store.events(digest) == []


def test_something_else_under_the_digest_is_quarantined_and_put_over(store: Store) -> None:
    content = packed()
    digest = digest_of(content)
    store.bucket.put(store.bucket.key(digest), another(content))
    store.uploaded(content)
    assert order_of(store.bucket.of(digest)) == ["PUT*", "GET", "PUT"]
    assert store.bucket.get(store.bucket.key(digest)) == content
    store.assert_reported(digest, "bucket")
    assert [file.read_bytes() for file in store.quarantined(digest)] == [another(content)]


def test_two_who_upload_the_same_at_once_both_have_it(store: Store) -> None:
    content = packed(SMALL)
    assert {answer.status for answer in at_once(4, lambda: store.upload(content))} == {201}
    assert store.bucket.get(store.bucket.key(digest_of(content))) == content
    store.assert_whole()
    assert store.strays() == []


def test_no_archive_is_in_memory_as_a_whole(store: Store) -> None:
    content = randomness.token_bytes(64 << 20)
    peaks = []
    for step in (lambda: store.uploaded(content), lambda: store.planned(digest_of(content))):
        Path(f"/proc/{store.server.pid}/clear_refs").write_text("5")
        before = memory_in_kib(store.server.pid)
        step()
        found = re.search(r"^VmHWM:\s+(\d+)", Path(f"/proc/{store.server.pid}/status").read_text(), re.M)
        assert found
        peaks.append(int(found[1]) - before)
        store.forget(digest_of(content))
    assert max(peaks) < 24 << 10, f"KiB more while it is uploaded, and while it is fetched: {peaks}"


def test_a_deployment_reads_from_the_bucket_what_is_not_here(store: Store) -> None:
    content = packed()
    digest = store.uploaded(content)
    store.forget()
    store.server.namespace(NAMESPACE)
    assert store.deploy(f"{NAMESPACE}/read", digest)["status"] == "deployed"
    assert order_of(store.bucket.of(digest)) == ["PUT*", "GET"]


def test_imported_advisories_leave_no_object(store: Store) -> None:
    before = set(store.bucket.names())
    import_advisories(store.server, advisory("OSV-2024-77", of="nobody-uses-this"))
    assert wait_until(lambda: set(store.bucket.names()) == before, 5)


def test_an_archive_is_removed_everywhere_with_the_last_function_that_has_it(store: Store) -> None:
    first = store.deployed()
    second = store.deployed(first.content)
    for stored in (first, second):
        assert store.bucket.get(store.bucket.key(first.digest)) == first.content
        assert first.digest in store.kept()
        assert store.server.api("DELETE", store.server.function_path(stored.function)).status == 204
    assert wait_until(lambda: store.bucket.get(store.bucket.key(first.digest)) is None, 10)
    assert wait_until(lambda: first.digest not in store.kept(), 10)


def test_a_function_can_be_deleted_while_the_bucket_is_away(store: Store) -> None:
    stored, other = store.deployed(), store.deployed()
    with store.bucket.away():
        assert store.server.api("DELETE", store.server.function_path(stored.function), timeout=60).status == 204
        assert wait_until(lambda: stored.digest not in store.kept(), 10)
        assert other.is_alive() and other.has_source()
    store.takes_uploads()


# ---------------------------------------------------------------- reading


def test_who_asks_for_one_archive_at_once_shares_one_fetch(store: Store) -> None:
    stored = store.deployed()
    store.forget()
    before = len(store.bucket.of(stored.digest))
    with store.bucket.held("answering", "GET", stored.digest) as hold:
        threading.Timer(1, hold.may_go_on.set).start()
        assert at_once(4, stored.has_source) == [True] * 4
    assert order_of(store.bucket.of(stored.digest)[before:]) == ["GET"]


def test_while_it_is_fetched_an_archive_has_no_name_and_one_reader(store: Store) -> None:
    stored = store.deployed(packed(SMALL))
    store.forget()
    with store.bucket.held("answering", "GET", stored.digest) as hold:
        reader = threading.Thread(target=stored.source)
        reader.start()
        assert hold.reached.wait(30)
        (name,) = wait_until(store.strays, 5) or [""]
        assert Path(name).name.startswith(".fetch-") and Path(name).stat().st_mode & 0o7777 == 0o600
        assert stored.digest not in store.kept()
    reader.join(60)
    assert wait_until(lambda: stored.digest in store.kept(), 10) and store.strays() == []
    assert store.kept()[stored.digest].stat().st_mode & 0o7777 == 0o600


@pytest.mark.parametrize("where", ["folder", "store"])
def test_an_unchanged_archive_is_hashed_once(where: str, request: pytest.FixtureRequest) -> None:
    store: Store = request.getfixturevalue(where)
    stored = store.deployed(packed(2 << 20))

    def bytes_read() -> int:
        found = re.search(r"^rchar: (\d+)", Path(f"/proc/{store.server.pid}/io").read_text(), re.M)
        assert found
        return int(found[1])

    assert stored.again(dryRun=True)["status"] in ("planned", "unchanged")
    before = bytes_read()
    for _ in range(3):
        assert stored.again(dryRun=True)["status"] in ("planned", "unchanged")
    assert bytes_read() - before < 1 << 20


@pytest.mark.parametrize("tells", [False, True], ids=["as at AWS", "where it is told"])
def test_what_is_gone_from_the_bucket_is_not_given_and_can_be_uploaded_again(store: Store, tells: bool) -> None:
    stored = store.deployed()
    store.forget(stored.digest)
    store.bucket.remove(store.bucket.key(stored.digest))
    store.bucket.tells_missing = tells
    try:
        if tells:
            assert stored.source().status == 404
        else:
            # Who may not list is told that it is forbidden, which says nothing of the archive.
            is_unavailable(stored.source(), *store.bucket.words)
    finally:
        store.bucket.tells_missing = False
    assert store.events(stored.digest) == []
    store.uploaded(stored.content)
    assert stored.has_source()


# ---------------------------------------------------------------- the cache's limit


def test_the_least_recently_used_goes_first(small: Store) -> None:
    first, second = small.deployed(packed(SMALL)), small.deployed(packed(SMALL))
    assert set(small.kept()) == {first.digest, second.digest}
    assert first.has_source()
    third = small.uploaded(packed(SMALL))
    assert wait_until(lambda: set(small.kept()) == {first.digest, third}, 5), small.kept()
    assert second.has_source(), "it is in the bucket"
    assert wait_until(lambda: set(small.kept()) == {second.digest, third}, 5), small.kept()


def test_after_a_restart_what_was_written_first_goes_first(small: Store) -> None:
    small.forget()
    first, second = small.deployed(packed(SMALL)), small.deployed(packed(SMALL))
    small.server.stop()
    for stored, age in ((first, 300), (second, 600)):
        os.utime(small.kept()[stored.digest], (time.time() - age,) * 2)
    small.again()
    third = small.uploaded(packed(SMALL))
    assert wait_until(lambda: set(small.kept()) == {first.digest, third}, 5), small.kept()


def test_what_was_just_added_stays_however_large(small: Store) -> None:
    digest = small.uploaded(randomness.token_bytes(2 * LIMIT))
    assert wait_until(lambda: set(small.kept()) == {digest}, 5), small.kept()
    time.sleep(0.5)
    assert set(small.kept()) == {digest}


def test_who_reads_an_archive_reads_all_of_it_though_it_is_evicted(small: Store) -> None:
    stored = small.deployed(packed(8 << 20))
    assert stored.has_source()
    host = urllib.parse.urlsplit(small.server.api_url)
    with socket.socket() as near:
        # So little is on its way that most is not read from the disk yet.
        near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        near.settimeout(60)
        near.connect((host.hostname or "", host.port or 0))
        path = small.server.function_path(stored.function) + "/source"
        near.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {small.server.key}\r\n\r\n".encode())
        answer = http.client.HTTPResponse(near)
        answer.begin()
        read = answer.read(1000)
        small.uploaded(packed(SMALL))
        assert wait_until(lambda: stored.digest not in small.kept(), 5)
        assert read + answer.read() == stored.content


def test_in_a_folder_nothing_is_evicted(folder: Store) -> None:
    digests = {folder.uploaded(randomness.token_bytes(SMALL)) for _ in range(4)}
    assert digests <= set(folder.kept())


# ---------------------------------------------------------------- settings

PLACES = [
    "folder",
    "/srv/artifacts",
    "https://s3.example.com/casemate-test/archives",
    "aws-sm://archives",
    f"s3://casemate-test?region={REGION}",
    f"s3://casemate-test/?region={REGION}",
    "s3://casemate-test/archives",
    f"s3://Casemate/archives?region={REGION}",
    f"s3://casemate-test/archives/../other?region={REGION}",
    f"s3://casemate-test/archives?region={REGION}&acl=public",
    f"s3://casemate-test/archives?region={REGION}&endpoint=http://s3.example.com",
    f"s3://casemate-test/a?region={REGION},s3://casemate-test/b?region={REGION}",
]
SIZES = ["-1", "many", "1.5", "2 bushels", "99999999999999999999"]


@pytest.mark.parametrize(
    "flag,value",
    [("--artifacts", place) for place in PLACES] + [("--artifact-cache-size", size) for size in SIZES],
)
def test_a_setting_that_is_no_place_or_no_size_is_refused_with_its_name(flag: str, value: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [binary(), "up", "--data", tmp_path / "data", "--listen", "127.0.0.1:0", f"{flag}={value}"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2 and flag.removeprefix("--") in done.stderr, done.stdout + done.stderr
    assert not (tmp_path / "data").exists()


def test_both_settings_are_taken_from_flag_variable_and_file(tmp_path: Path) -> None:
    place = f"s3://casemate-test/archives?region={REGION}"
    file = tmp_path / "config.yaml"
    file.write_text(f"artifacts: {place}\nartifact-cache-size: 1073741824\n")
    for arguments, environment in (
        (["--artifacts", place, "--artifact-cache-size", "1073741824"], {}),
        ([], {"CASEMATE_ARTIFACTS": place, "CASEMATE_ARTIFACT_CACHE_SIZE": "1073741824"}),
        (["--config", str(file)], {}),
    ):
        command = [str(binary()), "config", "show", *arguments]
        done = subprocess.run(
            command, env=clean_environment(**environment), capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stderr
        shown = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
        assert shown["artifacts"][0] == place and shown["artifact-cache-size"][0] == "1073741824", done.stdout


def test_without_a_setting_archives_lie_in_the_servers_folder(server: Server) -> None:
    content = packed()
    assert server.api("POST", "/v1/archives", content).status == 201
    assert (server.data / "server/artifacts" / digest_of(content)).read_bytes() == content
