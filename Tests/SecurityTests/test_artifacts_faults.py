"""While the bucket fails, belongs to another, or the server is killed: an archive is there whole or not at all."""

from __future__ import annotations

import contextlib
import http.client
import re
import secrets as randomness
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from artifact_store import (
    Store,
    another,
    digest_of,
    in_bucket,
    is_unavailable,
    order_of,
    packed,
)
from broken_vault import kek
from bucket import Bucket, answers, cuts
from casemate_fixture import Server, wait_until
from moto_server import Moto


@pytest.fixture(scope="module")
def restarting(aws: Moto) -> Iterator[Store]:
    """One that tests start again, and kill."""
    with in_bucket(aws, "restarting", "--artifact-cache-size", str(64 << 20)) as store:
        yield store


# ---------------------------------------------------------------- while the bucket fails

FAILURES: dict[str, Callable[[Bucket, str], AbstractContextManager[None]]] = {
    "is away": lambda bucket, method: bucket.away(),
    "fails": lambda bucket, method: bucket.behaving(answers(500, "InternalError"), method),
    "wants to be asked less": lambda bucket, method: bucket.behaving(answers(503, "SlowDown"), method),
    "refuses": lambda bucket, method: bucket.behaving(answers(403, "AccessDenied"), method),
    "leads elsewhere": lambda bucket, method: bucket.behaving(
        answers(307, "TemporaryRedirect", Location="http://127.0.0.1:9/"), method
    ),
    "ends in the middle": lambda bucket, method: bucket.behaving(
        cuts("half" if method == "PUT" else "answering"), method
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_an_upload_while_the_bucket_fails_is_503_and_nothing_is_stored(store: Store, failure: str) -> None:
    content = packed(400 << 10)
    digest = digest_of(content)
    with FAILURES[failure](store.bucket, "PUT"):
        is_unavailable(store.upload(content), *store.bucket.words)
        store.assert_nothing_left(digest)
        assert store.bucket.get(store.bucket.key(digest)) is None
        assert store.planned(digest)["problemType"] == "/problems/invalid-request"
    store.takes_uploads()
    store.uploaded(content)


def test_an_upload_whose_answer_was_lost_can_be_done_again(store: Store) -> None:
    content = packed()
    with store.bucket.behaving(cuts("stored"), "PUT"):
        answer = store.upload(content)
        if answer.status != 201:
            is_unavailable(answer, *store.bucket.words)
            store.assert_nothing_left(digest_of(content))
    store.takes_uploads()
    store.uploaded(content)
    assert store.bucket.get(store.bucket.key(digest_of(content))) == content
    assert store.events(digest_of(content)) == []


@pytest.mark.parametrize("failure", FAILURES)
def test_a_read_while_the_bucket_fails_is_503_and_no_tampering(store: Store, failure: str) -> None:
    stored = store.deployed(packed(400 << 10))
    store.forget(stored.digest)
    with FAILURES[failure](store.bucket, "GET"):
        is_unavailable(stored.source(), *store.bucket.words)
        store.assert_nothing_left(stored.digest)
        assert stored.is_alive()
    assert wait_until(stored.has_source, 60, every=0.5)
    assert store.events(stored.digest) == [] and store.quarantined(stored.digest) == []


def test_while_the_bucket_takes_its_time_all_else_goes_on(store: Store) -> None:
    stored, content = store.deployed(), packed()
    with store.bucket.held("taken", "PUT", digest_of(content)) as hold:
        running = threading.Thread(target=store.upload, args=(content,))
        running.start()
        assert hold.reached.wait(30)
        assert stored.is_alive() and stored.has_source()
        store.forget(stored.digest)
        assert stored.has_source(), "another is read meanwhile"
        assert store.upload(packed()).status == 201
    running.join(60)


def test_without_the_bucket_a_server_starts_and_takes_uploads_when_it_is_back(aws: Moto) -> None:
    with in_bucket(aws, "later", start=False) as store:
        with store.bucket.away():
            store.server.start()
            warned = wait_until(lambda: [line for line in store.server.err if '"level":"warning"' in line], 10)
            assert any("artifact" in line for line in warned), store.server.err
            is_unavailable(store.upload(packed()), *store.bucket.words)
        assert store.bucket.names() == []
        store.takes_uploads()
        assert "owner" in store.bucket.names()
        # What is cached can be used all the while.
        stored = store.deployed()
        with store.bucket.away():
            store.again()
            assert stored.has_source() and stored.is_alive()
            is_unavailable(store.upload(packed()), *store.bucket.words)


# ---------------------------------------------------------------- one server, one prefix


def refused_start(*options: str, environment: dict[str, str]) -> str:
    with pytest.raises(AssertionError, match="did not come up") as told:
        with Server(options=("--pool-size", "1", *options), environment=environment):
            pass
    return str(told.value)


def test_a_second_server_with_the_same_prefix_does_not_start(store: Store, aws: Moto) -> None:
    owner = store.bucket.get(f"{store.bucket.prefix}/owner")
    before = set(store.bucket.names())
    said = refused_start(*store.bucket.options, environment=aws.environment)
    assert re.search("another|other server|owner", said), said
    assert store.bucket.get(f"{store.bucket.prefix}/owner") == owner and set(store.bucket.names()) == before
    store.takes_uploads(1)


def test_a_prefix_that_another_took_meanwhile_gets_no_upload(aws: Moto) -> None:
    with in_bucket(aws, "taken", start=False) as store:
        with store.bucket.away():
            store.server.start()
        store.bucket.put(f"{store.bucket.prefix}/owner", b"another")

        def is_asked() -> bool:
            is_unavailable(store.upload(packed()), *store.bucket.words)
            return bool(store.bucket.of("owner", "GET"))

        assert wait_until(is_asked, 60, every=0.5)
        is_unavailable(store.upload(packed()), *store.bucket.words)
        assert store.bucket.names() == ["owner"] and store.bucket.get(f"{store.bucket.prefix}/owner") == b"another"


def test_an_owner_that_can_not_be_read_is_told_at_the_start(aws: Moto) -> None:
    with Bucket(aws, "archives/unread") as bucket:
        bucket.put(f"{bucket.prefix}/owner", b"another")
        with bucket.behaving(answers(403, "AccessDenied"), "GET"):
            said = refused_start(*bucket.options, environment=aws.environment)
        assert re.search("owner|GetObject|AccessDenied", said), said
        assert order_of(bucket.of("owner")) == ["PUT*", "GET"]


# ---------------------------------------------------------------- starting again


def test_after_a_restart_with_an_empty_cache_sources_come_from_the_bucket(restarting: Store) -> None:
    stored, changed = restarting.deployed(), restarting.deployed()
    restarting.server.stop()
    restarting.forget()
    restarting.bucket.put(restarting.bucket.key(changed.digest), another(changed.content))
    restarting.again()
    assert stored.is_alive() and changed.is_alive()
    assert stored.has_source() and not changed.has_source()
    assert restarting.kept()[stored.digest].read_bytes() == stored.content


@pytest.mark.parametrize("at", ["before", "asked", "half", "taken", "stored", "by chance", "by chance again"])
def test_after_a_kill_during_an_upload_the_archive_is_there_whole_or_not_at_all(restarting: Store, at: str) -> None:
    content = packed(4 << 20)
    key = restarting.bucket.key(digest_of(content))
    killed = threading.Event()

    def parts() -> Iterator[bytes]:
        yield content[: 2 << 20]
        killed.wait(60)
        yield content[2 << 20 :]

    def upload() -> None:
        headers = {"Authorization": f"Bearer {restarting.server.key}"}
        with contextlib.suppress(OSError, http.client.HTTPException):
            body = parts() if at == "before" else content
            Server.http(restarting.server.api_url, "POST", "/v1/archives", body, headers)

    with restarting.bucket.held(at, "PUT", key) as hold:
        running = threading.Thread(target=upload)
        running.start()
        if at == "before":
            assert wait_until(restarting.strays, 10)
        elif at.startswith("by chance"):
            time.sleep(randomness.randbelow(100) / 1000)
        else:
            assert hold.reached.wait(30)
        restarting.server.kill()
        killed.set()
    running.join(60)
    restarting.again()
    restarting.assert_whole()
    assert restarting.strays() == []
    assert wait_until(lambda: restarting.bucket.get(key) in (None, content), 10)
    restarting.uploaded(content)
    assert restarting.planned(digest_of(content))["status"] == "planned"


def test_after_a_kill_during_a_fetch_nothing_is_left_and_the_source_is_whole(restarting: Store) -> None:
    stored = restarting.deployed(packed(400 << 10))
    restarting.forget()
    with restarting.bucket.held("answering", "GET", stored.digest) as hold:

        def read() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                stored.source()

        running = threading.Thread(target=read)
        running.start()
        assert hold.reached.wait(30) and wait_until(restarting.strays, 5)
        restarting.server.kill()
    running.join(60)
    restarting.again()
    assert restarting.strays() == [] and restarting.kept() == {}
    assert stored.has_source() and stored.is_alive()


def test_a_backup_has_no_cached_archive_and_what_is_restored_owns_the_prefix(restarting: Store) -> None:
    server = restarting.server
    stored = restarting.deployed()
    assert server.api("PUT", server.function_path(stored.function) + "/secrets/A", b"a-value-8d2k-f0s1").status == 200
    file, data = server.folder / "backup.tar.gz", server.folder / "restored/data"
    code, out, err = server.cli("backup", "--data", str(server.data), str(file))
    assert code == 0, out + err
    listed = subprocess.run(["tar", "-tf", str(file)], capture_output=True, text=True, check=True).stdout
    assert "casemate.db" in listed and not re.search("server/.*[0-9a-f]{64}", listed), listed
    data.parent.mkdir(mode=0o711)
    code, out, err = server.cli("restore", str(file), "--data", str(data), "--kek-file", str(kek(server)))
    assert code == 0, out + err
    server.stop()
    before, server.data = server.data, data
    try:
        restarting.again()
        assert stored.has_source() and stored.is_alive()
        restarting.takes_uploads(5)
    finally:
        server.stop()
        server.data = before
        restarting.again()
