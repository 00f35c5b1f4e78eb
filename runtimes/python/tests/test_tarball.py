"""A source distribution's archive: what is read of it, and everything that is refused."""

import gzip
import io
import tarfile
import time
import tracemalloc
from collections.abc import Callable

import pytest
from casemate_runtime.tarball import BadTarball, members
from casemate_runtime.versions import same_version

LIMIT = 10_000_000


def packed(*entries: tuple[str, bytes] | tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=form) as archive:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
                continue
            info = tarfile.TarInfo(entry[0])
            info.size, info.mode = len(entry[1]), 0o755 if entry[0].endswith(".sh") else 0o644
            info.type = tarfile.DIRTYPE if entry[0].endswith("/") else tarfile.REGTYPE
            archive.addfile(info, io.BytesIO(entry[1]))
    return out.getvalue()


def read(data: bytes, limit: int = LIMIT) -> dict[str, tuple[bool, bool, bytes]]:
    listed = members(io.BytesIO(data), limit)
    return {member.path: (member.is_folder, member.is_executable, b"".join(member.content)) for member in listed}


def refusal(data: bytes, limit: int = LIMIT) -> str:
    with pytest.raises(BadTarball) as caught:
        read(data, limit)
    return str(caught.value)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_files_and_folders_beneath_the_top_are_read(form: int) -> None:
    long = "/".join(["x" * 60] * (3 if form == tarfile.USTAR_FORMAT else 9))
    large = bytes(range(256)) * 4000
    data = packed(("a-1/", b""), ("a-1/x.py", b"x"), (f"a-1/{long}", large), ("./a-1/run.sh", b""), form=form)
    assert read(data) == {
        "": (True, False, b""),
        "x.py": (False, False, b"x"),
        long: (False, False, large),
        "run.sh": (False, True, b""),
    }
    assert [member.path for member in members(io.BytesIO(data), LIMIT)] == ["", "x.py", long, "run.sh"]  # unread


def special(kind: bytes, name: str = "a-1/x") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"S", b"7"]
)
def test_links_devices_and_files_with_holes_are_refused(kind: bytes) -> None:
    assert "neither file nor folder" in refusal(packed(special(kind)))


@pytest.mark.parametrize(
    "name", ["/etc/x", "../x", "a-1/../../x", "a-1/..", "a-1\\x", "a-1/x\ny", "a-1/" + "x/" * 600, "a-1/\x1b"]
)
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    assert "name" in refusal(packed((name, b"x")))


def test_everything_is_in_one_folder() -> None:
    assert "one folder" in refusal(packed(("a/x", b""), ("b/x", b"")))
    assert "one folder" in refusal(packed(("x.py", b"")))


def raw(name: bytes, size: bytes = b"0", kind: bytes = b"0", good: bool = True) -> bytes:
    head = bytearray(512)
    head[: len(name)] = name
    head[100:107], head[124 : 124 + len(size)], head[156:157] = b"0000644", size, kind
    head[148:156] = b" " * 8
    head[148:155] = b"%06o\0" % (sum(head) + (0 if good else 1))
    return bytes(head)


END = bytes(1024)


@pytest.mark.parametrize(
    "data, said",
    [
        (raw(b"a/x", b"5") + END[:512], "cut off"),
        (raw(b"a/x", b"77777777777") + END, "cut off"),
        (raw(b"a/x", b"\x80\0\0\0\0\0\0\0\0\0\0\1") + END, "number"),
        (raw(b"a/x", b"-1") + END, "number"),
        (raw(b"a/x", good=False) + END, "damaged"),
        (raw(b"a/\xff") + END, "UTF-8"),
        (raw(b"x", b"1000000", b"x") + END, "too long"),
        (raw(b"x", b"1000000", b"L") + END, "too long"),
        (raw(b"x", b"12", b"x") + b"99 path=a/b\n" + bytes(500) + END, "damaged"),
        (raw(b"x", b"14", b"x") + b"0 path=a/bcd" + bytes(500) + END, "damaged"),
        (raw(b"x", b"13", b"x") + b"11 size=12\n" + bytes(501) + END, "too large"),
        (raw(b"x", b"33", b"x") + b"27 GNU.sparse.name=a/bcdef\n" + bytes(485) + END, "holes"),
        (raw(b"a/x"), "cut off"),
        (b"", "cut off"),
        (b"x" * 512, "number"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-",
)
def test_a_damaged_archive_is_refused(data: bytes, said: str) -> None:
    assert said in refusal(gzip.compress(data))


def test_what_is_not_gzip_is_refused() -> None:
    assert "gzip" in refusal(raw(b"a/x") + END) and "cut off" in refusal(b"")
    whole = packed(("a/x", b"some text" * 100))
    for end in range(0, len(whole) - 20, 7):
        refusal(whole[:end])


@pytest.mark.parametrize(
    "make",
    [
        lambda: gzip.compress(raw(b"a/x", b"77777777777") + bytes(100_000_000)),
        lambda: gzip.compress(raw(b"a/x") * 41_000),
        lambda: gzip.compress(raw(b"x", b"77777777777", b"x") + bytes(100_000_000)),
        lambda: gzip.compress((raw(b"x", b"0", b"g")) * 41_000),
    ],
    ids=["content", "entries", "header", "headers"],
)
def test_a_bomb_is_refused_soon_and_in_little_memory(make: Callable[[], bytes]) -> None:
    data = make()
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(BadTarball):
        for _ in members(io.BytesIO(data), 50_000_000):
            pass
    seconds, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 2 and peak < 8 << 20


@pytest.mark.parametrize(
    "one, other",
    [
        ("1.0", "1"),
        ("1.0", "v1.0.0"),
        ("1.0RC1", "1.0-c.1"),
        ("1.0a", "1.0.alpha0"),
        ("1.0-1", "1.0.post1"),
        ("0!1", "1"),
        ("1.0.dev", "1.0dev0"),
        ("1+Ubuntu-1", "1+ubuntu.1"),
        ("1.0rev2", "1.0.r2"),
        ("odd", "odd"),
    ],
)
def test_versions_that_are_written_differently_are_the_same(one: str, other: str) -> None:
    assert same_version(one, other)


@pytest.mark.parametrize(
    "one, other",
    [("1", "10"), ("1.0", "1.0.1"), ("1.0a1", "1.0b1"), ("1", "1.post0"), ("1", "1!1"), ("1", "1+x"), ("odd", "1")],
)
def test_other_versions_are_not(one: str, other: str) -> None:
    assert not same_version(one, other)
