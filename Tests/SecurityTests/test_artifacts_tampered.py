"""Stored sources that somebody changed, in the folder, the cache or the bucket: nobody gets them, and it is told."""

from __future__ import annotations

import re

import pytest
from accounts import account
from artifact_store import (
    LARGEST,
    NAMESPACE,
    Store,
    another,
    change,
    is_unavailable,
    packed,
)
from bucket import streams
from casemate_fixture import wait_until
from egress_probe import metrics
from gate_answers import recorded


def test_a_changed_archive_in_the_folder_goes_to_nobody(folder: Store) -> None:
    stored, other = folder.deployed(), folder.deployed()
    reader = account(folder.server, NAMESPACE, ("source:read", NAMESPACE))
    assert stored.source(reader).body == stored.content
    tampered = change(folder.kept()[stored.digest])
    is_unavailable(stored.source(reader), str(folder.server.data))
    folder.assert_reported(stored.digest, "folder")
    (file,) = folder.quarantined(stored.digest)
    assert re.fullmatch(rf"{stored.digest}-\d+", file.name)
    assert file.stat().st_mode & 0o7777 == 0o600 and file.read_bytes() == tampered
    assert stored.digest not in folder.kept()
    assert not stored.has_source()
    assert stored.is_alive() and other.is_alive() and other.has_source()


def test_a_deployment_of_a_changed_archive_says_to_deploy_from_source(folder: Store) -> None:
    stored = folder.deployed()
    change(folder.kept()[stored.digest])
    outcome = stored.again()
    assert (outcome["status"], outcome.get("problemType")) == ("failed", "/problems/unavailable"), outcome
    assert "digest" in outcome["problem"] and "again" in outcome["problem"], outcome
    folder.assert_reported(stored.digest, "folder")
    assert stored.is_alive()


def test_a_changed_archive_is_healed_by_uploading_it_again(folder: Store) -> None:
    stored = folder.deployed()
    for times in (1, 2):
        change(folder.kept()[stored.digest])
        is_unavailable(stored.source())
        folder.uploaded(stored.content)
        assert stored.has_source()
        assert len(folder.quarantined(stored.digest)) == times
    folder.assert_reported(stored.digest, "folder", times=2)


def test_a_change_while_the_server_was_stopped_is_found(folder: Store) -> None:
    stored = folder.deployed()
    assert stored.has_source()
    folder.server.stop()
    change(folder.kept()[stored.digest])
    folder.again()
    is_unavailable(stored.source())
    assert stored.is_alive()


def test_twenty_are_kept_in_quarantine(folder: Store) -> None:
    digests = []
    for _ in range(22):
        digests.append(folder.uploaded(packed()))
        change(folder.kept()[digests[-1]])
        assert folder.planned(digests[-1])["status"] == "failed"
    assert [len(folder.quarantined(digest)) for digest in digests] == [0] * 2 + [1] * 20
    assert len(folder.quarantined()) == 20


def test_what_is_quarantined_is_on_record_counted_and_logged(folder: Store) -> None:
    def counted() -> float:
        return sum(number for name, number in metrics(folder.server).items() if "quarantine" in name)

    before, said = counted(), len(folder.server.err)
    digest = folder.uploaded(packed())
    change(folder.kept()[digest])
    assert folder.planned(digest)["status"] == "failed"
    assert wait_until(lambda: recorded(folder.server, "artifact.quarantined", digest=digest), 5, every=0.5)
    assert counted() == before + 1
    assert wait_until(lambda: any("quarantine" in line for line in folder.server.err[said:]), 5)


def test_a_changed_copy_in_the_cache_is_quarantined_and_the_bucket_s_taken(store: Store) -> None:
    stored = store.deployed()
    assert stored.has_source()
    tampered = change(store.kept()[stored.digest])
    assert stored.has_source()
    store.assert_reported(stored.digest, "cache")
    assert [file.read_bytes() for file in store.quarantined(stored.digest)] == [tampered]
    assert store.kept()[stored.digest].read_bytes() == stored.content


@pytest.mark.guarantee("KYM-15")
def test_a_changed_object_in_the_bucket_goes_to_nobody_and_what_is_live_goes_on(store: Store) -> None:
    stored, other = store.deployed(), store.deployed()
    reader = account(store.server, NAMESPACE, ("source:read", NAMESPACE))
    store.bucket.put(store.bucket.key(stored.digest), another(stored.content))
    assert stored.has_source(), "what is cached is right"
    store.forget()
    is_unavailable(stored.source(reader), *store.bucket.words)
    store.assert_reported(stored.digest, "bucket")
    (file,) = store.quarantined(stored.digest)
    assert file.stat().st_mode & 0o7777 == 0o600 and file.read_bytes() == another(stored.content)
    store.assert_nothing_left(stored.digest)
    assert stored.is_alive() and other.is_alive() and other.has_source()


def test_what_was_changed_in_the_bucket_is_not_asked_for_again_soon(store: Store) -> None:
    stored = store.deployed()
    store.bucket.put(store.bucket.key(stored.digest), another(stored.content))
    store.forget()
    is_unavailable(stored.source())
    asked = len(store.bucket.of(stored.digest))
    is_unavailable(stored.source(), *store.bucket.words)
    assert stored.again()["problemType"] == "/problems/unavailable"
    assert len(store.bucket.of(stored.digest)) == asked
    store.assert_reported(stored.digest, "bucket")


def test_deploying_from_source_again_heals_the_bucket(store: Store) -> None:
    stored = store.deployed()
    store.bucket.put(store.bucket.key(stored.digest), another(stored.content))
    store.forget()
    outcome = stored.again()
    assert (outcome["status"], outcome.get("problemType")) == ("failed", "/problems/unavailable"), outcome
    assert "digest" in outcome["problem"] and "again" in outcome["problem"], outcome
    assert [word for word in store.bucket.words if word in outcome["problem"]] == []
    store.uploaded(stored.content)
    assert store.bucket.get(store.bucket.key(stored.digest)) == stored.content
    assert stored.has_source()
    store.forget()
    assert stored.has_source(), "what is right again is not refused for what it was"


@pytest.mark.parametrize("told", [None, LARGEST + 1, 1 << 40], ids=["without a length", "a byte more", "a terabyte"])
def test_an_object_that_does_not_end_is_let_go_at_the_limit_of_uploads(store: Store, told: int | None) -> None:
    stored = store.deployed()
    store.forget(stored.digest)
    with store.bucket.behaving(streams(told), "GET", stored.digest):
        is_unavailable(stored.source(), *store.bucket.words)
        (asked,) = store.bucket.of(stored.digest, "GET")
        # What is on its way in between comes on top.
        assert wait_until(lambda: asked.sent <= LARGEST + (64 << 20), 5)
    assert store.quarantined(stored.digest) == []
    store.assert_reported(stored.digest, "bucket")
    store.assert_nothing_left(stored.digest)
