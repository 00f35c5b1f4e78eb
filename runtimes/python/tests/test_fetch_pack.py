"""Packs as a hostile server makes them: an object is what its id says, or it is not there."""

from __future__ import annotations

import hashlib
import tempfile

import pytest
from fetch_support import Fault, pack_of
from test_fetch_hostile import packed

from casemate_fetch.meter import Meter  # isort: skip
from casemate_fetch.pack import BLOB, TREE, Pack
from casemate_fetch.recent import Recent
from dulwich.object_format import SHA1


def opened(content: bytes, largest: int = 1 << 20) -> Pack:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        return Pack(file, SHA1, Meter(1 << 30), Recent(), largest)


def refusal(content: bytes) -> str:
    with pytest.raises(Fault) as caught:
        opened(content)
    assert "damaged" in caught.value.message or caught.value.code == "too-large"
    return caught.value.message


def oid(content: bytes, kind: bytes = b"blob") -> bytes:
    content = b"%s %d\0" % (kind, len(content)) + content
    return hashlib.sha1(content, usedforsecurity=False).hexdigest().encode()


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def by_offset(distance: int, delta: bytes) -> bytes:
    """For distances below 128, and deltas below 16 bytes."""
    entry = packed(6, delta)
    return entry[:1] + bytes([distance]) + entry[1:]


def by_id(base: bytes, delta: bytes) -> bytes:
    entry = packed(7, delta)
    return entry[:1] + bytes.fromhex(base.decode()) + entry[1:]


def adding(size: int, text: bytes) -> bytes:
    """A delta that puts `text` behind all of a base of `size` bytes."""
    return varint(size) + varint(size + len(text)) + bytes([0x90, size, len(text)]) + text


FIRST = packed(3, b"hello")


def test_objects_are_found_by_what_they_hold() -> None:
    pack = opened(pack_of(FIRST, by_offset(len(FIRST), adding(5, b" you")), by_id(oid(b"hello you"), adding(9, b"!"))))
    for content in (b"hello", b"hello you", b"hello you!"):
        assert pack.read(oid(content), BLOB) == content and pack.size(oid(content)) == len(content)
    with pytest.raises(Fault, match="is no tree"):
        pack.read(oid(b"hello"), TREE)
    with pytest.raises(Fault, match="is missing"):
        pack.read(oid(b"other"), BLOB)


def test_a_delta_may_come_before_its_base() -> None:
    pack = opened(pack_of(by_id(oid(b"hello"), adding(5, b"!")), FIRST))
    assert pack.read(oid(b"hello!"), BLOB) == b"hello!"


def test_a_kind_is_part_of_an_id() -> None:
    pack = opened(pack_of(packed(2, b"hello")))
    assert oid(b"hello") not in pack and oid(b"hello", b"tree") in pack


def test_a_delta_of_nothing_is_not_there() -> None:
    pack = opened(pack_of(by_id(b"1" * 40, adding(5, b"!")), FIRST))
    assert oid(b"hello") in pack and oid(b"hello!") not in pack


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"PACK", "no pack"),
        (b"KCAP" + pack_of(FIRST)[4:], "no pack"),
        (pack_of(FIRST)[:-1] + b"\0", "another checksum"),
        (pack_of(FIRST, count=2), "can't be unpacked"),
        (pack_of(FIRST, FIRST, count=1), "more behind"),
        (pack_of(count=1_000_001), "more than 1000000 objects"),
        (pack_of(packed(5, b"x")), "an unknown kind"),
        (pack_of(packed(0, b"x")), "an unknown kind"),
        (pack_of(packed(3, b"hello", size=4)), "can't be unpacked"),
        (pack_of(packed(3, b"hello", size=6)), "can't be unpacked"),
        (pack_of(packed(3, bytes(1 << 20), size=3)), "can't be unpacked"),
        (pack_of(b"\x35" + b"nonsense" * 4), "can't be unpacked"),
        (pack_of(b"\xff" * 20), "no size"),
        (pack_of(FIRST[:-3]), "can't be unpacked"),
        (pack_of(by_offset(12, adding(5, b"!"))), "a delta of nothing"),
        (pack_of(FIRST, by_offset(3, adding(5, b"!"))), "a delta of nothing"),
        (pack_of(FIRST, by_offset(0, adding(5, b"!"))), "a delta of nothing"),
        (pack_of(FIRST, by_offset(len(FIRST), b"")), "can't be unpacked"),
        (pack_of(FIRST, by_offset(len(FIRST), adding(4, b"!"))), "a delta of something else"),
        (pack_of(FIRST, by_offset(len(FIRST), varint(5) + varint(9) + bytes([0x90, 5]))), "a delta that makes"),
        (pack_of(FIRST, by_offset(len(FIRST), varint(5) + varint(9) + bytes([0x90, 9]))), "a delta that makes"),
        (pack_of(FIRST, by_offset(len(FIRST), varint(5) + varint(9) + bytes([9, 1]))), "a delta that makes"),
        (pack_of(FIRST, by_offset(len(FIRST), varint(5) + varint(9) + bytes([0]))), "a delta that makes"),
    ],
    ids=range(24),
)  # fmt: skip
def test_a_damaged_pack_is_refused(content: bytes, words: str) -> None:
    assert words in refusal(content)


def test_a_chain_of_deltas_has_an_end() -> None:
    entries = [FIRST]
    same = varint(5) + varint(5) + bytes([0x90, 5])
    for _ in range(10_001):
        entries.append(by_offset(len(entries[-1]), same))
    assert "a chain of deltas without end" in refusal(pack_of(*entries))
    assert oid(b"hello") in opened(pack_of(*entries[:-1]))


def test_an_object_that_is_too_large_is_passed_over_with_what_rests_on_it() -> None:
    large = packed(3, bytes(2000))
    growing = varint(5) + varint(5000) + bytes([0x90, 5])
    pack = opened(
        pack_of(
            large, by_offset(len(large), varint(2000) + varint(1) + b"\x90\x01"), FIRST, by_offset(len(FIRST), growing)
        ),
        1000,
    )
    assert pack.has_larger and oid(bytes(2000)) not in pack and oid(b"\0") not in pack and oid(b"hello") in pack


def test_what_is_remembered_has_a_limit() -> None:
    recent = Recent()
    for number in range(100):
        recent.put((recent, number), bytes(1 << 20))
    assert (recent, 99) in recent and (recent, 36) in recent and (recent, 35) not in recent
    recent.put((recent, 100), bytes(17 << 20))
    assert (recent, 100) not in recent


def test_a_stream_is_read_in_pieces_of_any_size() -> None:
    """An object whose packed form is longer than what it unpacks to, and one that is much shorter."""
    noise = hashlib.shake_128(b"x").digest(300_000)
    pack = opened(pack_of(packed(3, noise), packed(3, bytes(900_000)), packed(3, b"")))
    assert pack.read(oid(noise), BLOB) == noise and pack.read(oid(bytes(900_000)), BLOB) == bytes(900_000)
    assert pack.read(oid(b""), BLOB) == b""
