"""A server's store of uploaded archives, in its folder or in a bucket: what tests of it do, and look at."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import secrets as randomness
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bucket import Asked, Bucket
from casemate_fixture import Answer, Server, archive, manifest, problem, wait_until
from moto_server import Moto

NAMESPACE = "archives"
# In bytes; deployments.
LARGEST = 100 << 20
_numbers = itertools.count(1)


def packed(size: int = 0) -> bytes:
    """A function's source that no other test has, with so many bytes of data that do not compress."""
    source: dict[str, str | bytes] = {
        "handler.py": f"# {randomness.token_hex(8)}\ndef handle(data):\n    return 'alive'\n"
    }
    if size:
        source["data.bin"] = randomness.token_bytes(size)
    return archive(source)


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def another(content: bytes) -> bytes:
    """Of the same length, with one byte in the middle changed."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def change(file: Path) -> bytes:
    """Changes a byte in place, as who has the disk does: inode, size and time stay. Returns what it holds then."""
    before = file.stat()
    content = another(file.read_bytes())
    with file.open("r+b") as opened:
        opened.write(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    return content


def is_unavailable(answer: Answer, *words: str) -> None:
    """A 503 that says none of these words."""
    told = problem(answer)
    assert (told["status"], told["type"]) == (503, "/problems/unavailable"), told
    del told["instance"]
    assert [word for word in words if word in json.dumps(told)] == [], told


@dataclass
class Stored:
    """A live function, and the archive that it was made from."""

    store: Store
    function: str
    content: bytes

    @property
    def digest(self) -> str:
        return digest_of(self.content)

    def source(self, who: Any = None) -> Answer:
        answer: Answer = (who or self.store.server).api(
            "GET", self.store.server.function_path(self.function) + "/source"
        )
        return answer

    def has_source(self) -> bool:
        answer = self.source()
        assert answer.status != 200 or answer.body == self.content, "somebody was given what is not the source"
        return answer.status == 200

    def is_alive(self) -> bool:
        answer = self.store.server.call(self.function, body={})
        return answer.status == 200 and answer.json() == "alive"

    def again(self, **more: Any) -> dict[str, Any]:
        """What comes of deploying the archive once more, by its digest, as something that differs."""
        return self.store.deploy(self.function, self.digest, {"env": {"N": randomness.token_hex(4)}}, **more)


@dataclass
class Store:
    server: Server
    # None where the archives lie in the server's folder.
    place: Bucket | None = None

    @property
    def bucket(self) -> Bucket:
        assert self.place, "this store has no bucket"
        return self.place

    # -- what people do

    def upload(self, content: bytes) -> Answer:
        return self.server.api("POST", "/v1/archives", content, timeout=120)

    def uploaded(self, content: bytes) -> str:
        answer = self.upload(content)
        assert answer.status == 201, answer.text
        assert answer.json()["digest"] == digest_of(content)
        return digest_of(content)

    def deploy(self, function: str, digest: str, keys: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        namespace, name = function.split("/")
        order = {"namespace": namespace, "manifest": manifest(namespace, name, keys), "sources": {name: digest}, **more}
        answer = self.server.api("POST", "/v1/deployments", order, timeout=180)
        assert answer.status == 200, answer.text
        outcome: dict[str, Any] = answer.json()["functions"][0]
        return outcome

    def deployed(self, content: bytes | None = None) -> Stored:
        self.server.namespace(NAMESPACE)
        stored = Stored(self, f"{NAMESPACE}/f{next(_numbers)}", content or packed())
        outcome = self.deploy(stored.function, self.uploaded(stored.content))
        assert outcome["status"] == "deployed", outcome
        return stored

    def planned(self, digest: str) -> dict[str, Any]:
        """A deployment that is only planned reads the archive; after it one that no function has is removed."""
        self.server.namespace(NAMESPACE)
        return self.deploy(f"{NAMESPACE}/planned", digest, dryRun=True)

    def takes_uploads(self, seconds: float = 60) -> None:
        """After a fault of the bucket: it may not be asked for a while."""
        assert wait_until(lambda: self.upload(packed()).status == 201, seconds, every=0.5), "it does not recover"

    def again(self) -> None:
        """A new start on the same data."""
        if self.server.is_running():
            self.server.stop()
        assert wait_until(lambda: not self.server.remains(), 10), "processes of the server before"
        self.server.start()

    # -- what is on its disk

    @property
    def folder(self) -> Path:
        return self.server.data / "server"

    def kept(self) -> dict[str, Path]:
        """The archives on this machine's disk: the store itself, or the cache of a bucket."""
        return {
            file.name: file
            for file in self.folder.rglob("*")
            if re.fullmatch("[0-9a-f]{64}", file.name) and file.parent.name == "artifacts"
        }

    def forget(self, *digests: str) -> None:
        """Takes them, or all, out of the cache."""
        for name, file in self.kept().items():
            if not digests or name in digests:
                file.unlink()

    def quarantined(self, digest: str = "") -> list[Path]:
        return sorted((self.folder / "quarantine").glob(f"{digest}*"))

    def strays(self) -> list[str]:
        """What an upload or a fetch has left."""
        return [str(file) for file in self.server.data.rglob(".*") if file.name.startswith((".upload-", ".fetch-"))]

    def assert_nothing_left(self, digest: str) -> None:
        wait_until(lambda: not self.strays(), 5)
        assert self.strays() == []
        assert digest not in self.kept()

    def assert_whole(self) -> None:
        """Nothing on the disk has a digest for its name that is not its own."""
        for name, file in self.kept().items():
            assert digest_of(file.read_bytes()) == name

    # -- what it tells

    def events(self, digest: str) -> list[dict[str, Any]]:
        answer = self.server.api("GET", "/v1/audit?tail=1000&kind=artifact.quarantined")
        assert answer.status == 200, answer.text
        return [one for one in answer.json()["records"] if one["details"]["digest"] == digest]

    def assert_reported(self, digest: str, place: str, times: int = 1) -> None:
        wait_until(lambda: len(self.events(digest)) >= times, 5)
        events = self.events(digest)
        assert [one["details"] for one in events] == [{"digest": digest, "place": place}] * times, events
        assert {one["actor"] for one in events} == {"server"}, events


def at_once(count: int, what: Any) -> list[Any]:
    """What so many threads get that do the same at one moment."""
    barrier = threading.Barrier(count)
    got: list[Any] = []

    def run() -> None:
        barrier.wait()
        got.append(what())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return got


def order_of(asked: Sequence[Asked]) -> list[str]:
    """What was asked, in order: `PUT*` is a put only where there is nothing."""
    return [one.method + ("*" if one.is_conditional else "") for one in asked]


@contextlib.contextmanager
def in_folder(*options: str) -> Iterator[Store]:
    with Server(options=("--pool-size", "1", *options)) as server:
        yield Store(server)


@contextlib.contextmanager
def in_bucket(moto: Moto, name: str, *options: str, start: bool = True) -> Iterator[Store]:
    """A server whose archives lie below `archives/NAME`, of which nothing takes more than the rights to get, put and delete there."""
    with Bucket(moto, f"archives/{name}") as bucket:
        server = Server(options=("--pool-size", "1", *bucket.options, *options), environment=moto.environment)
        try:
            if start:
                server.start()
            yield Store(server, bucket)
        finally:
            if server.is_running():
                server.stop()
            server.dispose()
        assert [f"{one.method} {one.path}" for one in bucket.refused] == []
