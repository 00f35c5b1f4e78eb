"""What a lock was made for, which two locks install the same, and which index a package comes from."""

import pytest
from casemate_runtime.faults import Fault, ProtocolError
from casemate_runtime.indexes import Indexes, indexes, plain
from casemate_runtime.lock import Lock, digest, read_lock
from casemate_runtime.orders import Order, order_of
from casemate_runtime.requirements import read

HASH = "--hash=sha256:" + "a" * 64


def of(text: str, **decided: object) -> str:
    return digest(read(text.encode(), strict=False), "3.11", **decided)


@pytest.mark.parametrize(
    "text",
    ["b\na[x,Y]>=1,<2", "# why\na [y, X] (<2, >=1) \n\nB # why", "A[x,y]<2,>=1,\nb"],
)
def test_what_says_the_same_has_the_same_digest(text: str) -> None:
    assert of(text) == of("a[x,y]>=1,<2\nb")


@pytest.mark.parametrize("text", ["a", "a\nb\nc", "a[x]\nb", "a>1\nb", "a\nb; sys_platform == 'linux'", f"a\nb {HASH}"])
def test_what_says_something_else_has_another(text: str) -> None:
    assert of(text) != of("a\nb") and of("a\nb", policy="auto") != of("a\nb", policy="strict")


def test_a_lock_is_read_as_it_was_written() -> None:
    requirements = read(f"a==1 {HASH}\nb==2; sys_platform == 'linux' {HASH}".encode(), strict=True)
    lock = Lock(requirements, "sha256:1", "3.11", ("a", "b"))
    text = lock.text()
    assert text.startswith("# casemate lock 1\n# inputs sha256:1\n# python 3.11\n# from source: a, b\na==1 \\\n")
    again = read_lock(text)
    assert again and again.text() == text and again.installs_like(lock)


def test_locks_that_differ_in_their_inputs_only_install_the_same() -> None:
    lock = Lock(read(f"a==1 {HASH}".encode(), strict=True), "sha256:1", "3.11", ())
    assert lock.installs_like(lock._replace(inputs="sha256:2"))
    assert not lock.installs_like(lock._replace(python="3.12"))
    assert not lock.installs_like(lock._replace(from_source=("a",)))
    assert not lock.installs_like(lock._replace(requirements=[]))


def test_a_text_that_is_no_lock_is_none() -> None:
    assert read_lock("six") is None and read_lock("# casemate lock 1\n-e .") is None
    other = read_lock(f"# casemate lock 2\n# inputs sha256:1\na==1 {HASH}")
    assert other and other.inputs == other.python == ""


def test_the_fields_of_an_order_are_read() -> None:
    fields = {
        8: [b"https://d.test/simple"],
        9: [b"strict"],
        10: [b"kept"],
        15: [b"A.b, c,"],
        16: [b"attached"],
        17: [b"corp\0https://c.test/simple/"],
        18: [b"Corp_*\0corp", b"x\0corp"],
        19: [b"B", b"a.A"],
    }
    order = order_of(fields)
    assert (order.is_strict, order.kept, order.attached, order.python) == (True, "kept", "attached", "3.11")
    assert (order.upgrade, order.from_source) == (frozenset({"a-b", "c"}), ("a-a", "b"))
    assert order.indexes.pins == {"corp-*": "corp", "x": "corp"}
    assert order_of({}) == Order()
    for value in (b"x", b"x\0", b"\0x", b"a\0b\0c"):
        with pytest.raises(ProtocolError):
            order_of({17: [value]})


def test_a_name_alone_decides_about_the_index() -> None:
    named = [("corp", "https://c.test/"), ("team", "https://t.test/s")]
    found = indexes(
        "https://d.test/simple/", named, [("corp-*", "corp"), ("Corp_Team-*", "team"), ("corp-team-x", "corp")]
    )
    places = {"six": "d.test/simple", "corp": "d.test/simple", "Corp.x": "c.test", "corp-team-y": "t.test/s"}
    for name, place in {**places, "corp_team.X": "c.test", "my-corp-x": "d.test/simple"}.items():
        assert found.url(name) == f"https://{place}", name
    assert Indexes().url("six") == ""


@pytest.mark.parametrize("pin", [("x", "other"), ("a b", "corp"), ("*-x", "corp"), ("a/b", "corp")])
def test_a_pin_that_means_nothing_is_refused(pin: tuple[str, str]) -> None:
    with pytest.raises(Fault):
        indexes("https://d.test", [("corp", "https://c.test")], [pin])


def test_credentials_of_an_index_are_in_no_digest() -> None:
    assert plain("https://robot:hunter2@d.test:8443/simple/?token=hunter2#x") == "https://d.test:8443/simple"
    assert plain("https://[") == ""
    described = indexes("https://hunter2@d.test", [("c", "https://x:hunter2@c.test")], [("a", "c")]).described()
    assert "hunter2" not in str(described) and "c.test" in str(described)


def test_the_indexes_that_it_was_resolved_with_are_part_of_its_text() -> None:
    lock = Lock(read(f"a==1 {HASH}".encode(), strict=True), "sha256:1", "3.11", (), indexes="sha256:2")
    again = read_lock(lock.text())
    assert again is not None and again.indexes == "sha256:2"
    other = lock._replace(indexes="sha256:3")
    assert lock.installs_like(other)
