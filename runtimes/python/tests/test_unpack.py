"""Every archive that is refused, and that nothing is left of it."""

import errno
import io
import os
import struct
import tarfile
import threading
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from casemate_runtime import unpack as unpack_module
from casemate_runtime.archive import read_directory
from casemate_runtime.faults import Fault
from casemate_runtime.unpack import Unpacked, unpack

LIMIT = 50 * 1024 * 1024


def zipped(*entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED, mode: int = 0o100644) -> bytes:
    """Names as they are given: ZipInfo would repair some."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in entries:
            info = zipfile.ZipInfo("placeholder")
            info.filename = name
            info.external_attr = (0o40755 if name.endswith("/") else mode) << 16
            info.compress_type = method
            archive.writestr(info, content)
    return out.getvalue()


def unpacked(tmp_path: Path, data: bytes, limit: int = LIMIT) -> Unpacked:
    file = tmp_path / "archive.zip"
    file.write_bytes(data)
    descriptor = os.open(file, os.O_RDONLY)
    try:
        return unpack(descriptor, tmp_path / "out" / "src", limit)
    finally:
        os.close(descriptor)


def refusal(tmp_path: Path, data: bytes, limit: int = LIMIT) -> Fault:
    with pytest.raises(Fault) as caught:
        unpacked(tmp_path, data, limit)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    return caught.value


def tree(folder: Path) -> dict[str, tuple[str, bytes]]:
    return {
        str(path.relative_to(folder)): (oct(path.stat().st_mode), b"" if path.is_dir() else path.read_bytes())
        for path in folder.rglob("*")
    }


def test_an_archive_is_unpacked_with_plain_modes(tmp_path: Path) -> None:
    content = os.urandom(700_000) + b"\0" * 700_000
    data = zipped(("./", b""), ("./a.py", b"x"), ("lib/", b""), ("lib/b.bin", content), ("ünï/日.py", b""))
    assert unpacked(tmp_path, data) == Unpacked(3, 1_400_001)
    assert tree(tmp_path / "out" / "src") == {
        "a.py": ("0o100644", b"x"),
        "lib": ("0o40755", b""),
        "lib/b.bin": ("0o100644", content),
        "ünï": ("0o40755", b""),
        "ünï/日.py": ("0o100644", b""),
    }


@pytest.mark.parametrize(
    "mode, wanted", [(0o106755, "0o100755"), (0o101644, "0o100644"), (0, "0o100644"), (0o100001, "0o100755")]
)
def test_set_id_bits_go_and_any_execute_bit_means_all(tmp_path: Path, mode: int, wanted: str) -> None:
    unpacked(tmp_path, zipped(("run.sh", b"x"), method=zipfile.ZIP_STORED, mode=mode))
    assert tree(tmp_path / "out" / "src")["run.sh"][0] == wanted


def test_byte_code_that_came_along_is_left_out(tmp_path: Path) -> None:
    assert unpacked(tmp_path, zipped(("a.py", b""), ("__pycache__/", b""), ("x/__pycache__/a.pyc", b"evil"))).files == 1
    assert list(tree(tmp_path / "out" / "src")) == ["a.py"]


def test_an_archive_made_as_a_stream_with_a_comment_is_fine(tmp_path: Path) -> None:
    class Unseekable(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.data += bytes(data)  # type: ignore[call-overload]
            return len(data)  # type: ignore[arg-type]

    out = Unseekable()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = b"0123456789abcdef"
        archive.writestr("a.txt", b"a" * 1000)
        with archive.open("b.txt", "w", force_zip64=True) as file:
            file.write(b"b" * 1000)
    assert unpacked(tmp_path, out.data) == Unpacked(2, 2000)


@pytest.mark.parametrize(
    "name, said",
    [
        ("../x", "leads out"),
        ("a/../x", "leads out"),
        ("a/..", "leads out"),
        ("/etc/passwd", "absolute"),
        ("C:/x", "absolute"),
        ("c:x", "absolute"),
        ("a\\b", "backslash"),
        ("..\\x", "backslash"),
        ("a\nb", "control"),
        ("a\x1b[2Jb", "control"),
        ("a\x7f", "control"),
        ("a\u0085", "control"),
        ("a\u2028b", "control"),
        ("e\u0301.py", "NFC"),
        ("a//b", "empty"),
        ("a" * 256, "too long"),
        ("é" * 128, "too long"),
        ("/".join(["abcdefg"] * 129), "too long"),
        (".", "empty"),
        (".env", "credentials"),
        ("app/.env", "credentials"),
        ("server.key", "credentials"),
        ("certs/SERVER.KEY", "credentials"),
        ("server.pem", "credentials"),
        ("id_rsa", "credentials"),
        ("keys/id_ed25519", "credentials"),
        (".git/config", "credentials"),
        ("sub/.git/", "credentials"),
        (".aws/credentials", "credentials"),
        (".ssh/known_hosts", "credentials"),
        (".npmrc", "credentials"),
        (".netrc", "credentials"),
        (".pypirc", "credentials"),
    ],
)
def test_a_name_is_refused_and_shown(tmp_path: Path, name: str, said: str) -> None:
    fault = refusal(tmp_path, zipped(("fine.py", b"x"), (name, b"" if name.endswith("/") else b"content")))
    assert fault.code == "archive-refused" and said in fault.message
    assert fault.file and fault.message.startswith(fault.file) and fault.file.isprintable()


@pytest.mark.parametrize(
    "name", [".environment", "monkey.py", "key", ".github/x.yml", "id_rsa.py", "..a", "a..b", "C/x:y"]
)
def test_a_name_that_only_looks_like_it_is_fine(tmp_path: Path, name: str) -> None:
    assert unpacked(tmp_path, zipped((name, b"content"))).files == 1


def test_a_list_of_public_certificates_is_no_credential(tmp_path: Path) -> None:
    certificates = b"# Issuer\n-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n"
    assert unpacked(tmp_path, zipped(("package/certifi/cacert.pem", certificates))).files == 1
    key = certificates + b"-----BEGIN EC PRIVATE KEY-----\n"
    (tmp_path / "second").mkdir()
    assert "credentials" in refusal(tmp_path / "second", zipped(("a.pem", key))).message


@pytest.mark.parametrize(
    "mode, said",
    [
        (0o120777, "symbolic link"),
        (0o020644, "neither"),
        (0o010644, "neither"),
        (0o140644, "neither"),
        (0o060644, "neither"),
        (0o040755, "neither"),
    ],
)
def test_only_files_and_folders_are_unpacked(tmp_path: Path, mode: int, said: str) -> None:
    fault = refusal(tmp_path, zipped(("thing", b"/etc/passwd"), mode=mode))
    assert (fault.code, fault.file) == ("archive-refused", "thing") and said in fault.message


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "names",
    [
        ("a", "a"),
        ("a", "./a"),
        ("a", "a/b"),
        ("a/b", "a"),
        ("a/b/c", "a"),
        ("a/", "a"),
        ("x/", "./x/"),
        ("a", "b", "a/b/c/d"),
    ],
)
def test_two_entries_can_not_want_one_place(tmp_path: Path, names: tuple[str, ...]) -> None:
    fault = refusal(tmp_path, zipped(*((name, b"") for name in names)))
    assert fault.code == "archive-refused" and fault.file in names


def patched(data: bytes, signature: bytes, offset: int, new: bytes) -> bytes:
    at = data.rindex(signature) + offset
    return data[:at] + new + data[at + len(new) :]


LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
PLAIN = zipped(("data.txt", b"some text " * 1000))
STORED = zipped(("data.txt", b"some text " * 1000), method=zipfile.ZIP_STORED)


def both(data: bytes, local: int, central: int, new: bytes) -> bytes:
    return patched(patched(data, LOCAL, local, new), CENTRAL, central, new)


def moved(prefix: bytes, data: bytes) -> bytes:
    """With something before it, and the offsets of one entry made to fit."""
    out = data
    for signature, offset in ((CENTRAL, 42), (END, 16)):
        at = out.rindex(signature) + offset
        out = patched(out, signature, offset, struct.pack("<I", struct.unpack_from("<I", out, at)[0] + len(prefix)))
    return prefix + out


@pytest.mark.parametrize(
    "data, said",
    [
        (both(PLAIN, 6, 8, b"\x01\x00"), "encrypted"),
        (patched(PLAIN, CENTRAL, 8, b"\x01\x00"), "encrypted"),
        (patched(PLAIN, LOCAL, 6, b"\x01\x00"), "differ"),
        (both(PLAIN, 6, 8, b"\x40\x00"), "encrypted"),
        (both(PLAIN, 8, 10, b"\x0c\x00"), "method"),  # bzip2
        (both(PLAIN, 8, 10, b"\x0e\x00"), "method"),  # LZMA
        (both(PLAIN, 8, 10, b"\x09\x00"), "method"),  # deflate64
        (patched(PLAIN, LOCAL, 8, b"\x00\x00"), "differ"),
        (patched(PLAIN, LOCAL, 30, b"DATA.txt"), "differ"),
        (patched(PLAIN, CENTRAL, 46, b"DATA.txt"), "differ"),
        (both(PLAIN, 30, 46, b"da\xff\xfe.txt"), "not UTF-8"),
        (both(PLAIN, 30, 46, "dé.txt_".encode()), "not marked"),
        (both(PLAIN, 30, 46, b"dat\0.txt"), "control"),
        (patched(PLAIN, CENTRAL, 16, b"\0\0\0\0"), "checksum"),
        (patched(PLAIN, CENTRAL, 24, struct.pack("<I", 9_999)), "more than its header"),
        (patched(PLAIN, CENTRAL, 24, struct.pack("<I", 10_001)), "less than its header"),
        (patched(STORED, CENTRAL, 24, struct.pack("<I", 9_999)), "more than its header"),
        (patched(STORED, CENTRAL, 20, struct.pack("<I", 9_999)), "less than its header"),
        (patched(PLAIN, CENTRAL, 20, struct.pack("<I", 20)), "cut off"),
        (patched(PLAIN, CENTRAL, 20, struct.pack("<I", 1 << 30)), "cut off"),
        (patched(PLAIN, LOCAL, 40, b"\xff" * 8), "damaged"),
        (patched(PLAIN, CENTRAL, 42, struct.pack("<I", 1)), "damaged"),
        (patched(PLAIN, CENTRAL, 42, struct.pack("<I", 1 << 30)), "place"),
        (patched(PLAIN, CENTRAL, 34, b"\x01\x00"), "split"),
        (patched(PLAIN, CENTRAL, 0, b"PK\x01\x03"), "damaged"),
        (patched(PLAIN, CENTRAL, 28, b"\xff\xff"), "cut off"),
        (patched(PLAIN, END, 8, b"\x02\x00\x02\x00"), "cut off"),
        (patched(PLAIN, END, 8, b"\x00\x00\x00\x00"), "more entries"),
        (patched(PLAIN, END, 4, b"\x01\x00"), "split"),
        (patched(PLAIN, END, 16, b"\x00\x00\x00\x00"), "not where"),
        (b"prefix" + PLAIN, "not where"),
        (moved(b"prefix", PLAIN), "begins with something"),
        (moved(b"\x7fELF" + b"x" * 2000, PLAIN), "begins with something"),
        (PLAIN + b"suffix", "not a zip"),
        (PLAIN[:-1], "not a zip"),
        (PLAIN[: len(PLAIN) // 2], "not a zip"),
        (b"", "not a zip"),
        (b"PK\x05\x06", "not a zip"),
        (b"\x1f\x8b" + b"x" * 100, "not a zip"),
    ],
)
def test_a_damaged_or_lying_archive_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    fault = refusal(tmp_path, data)
    assert fault.code == "archive-refused" and said in fault.message


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_archive_is_refused_and_named(tmp_path: Path, mode: str) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        archive.add(__file__, "handler.py")
    message = refusal(tmp_path, out.getvalue()).message
    assert message.startswith("this is a tar archive") and "only zip is accepted" in message


def test_modes_of_folders_and_their_set_id_bits_are_not_taken(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, mode in (("d/", 0o42777), ("e/", 0o41000), ("e/f", 0o107777)):
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, b"")
    unpacked(tmp_path, out.getvalue())
    modes = {name: mode for name, (mode, _) in tree(tmp_path / "out" / "src").items()}
    assert modes == {"d": "0o40755", "e": "0o40755", "e/f": "0o100755"}


def test_an_archive_within_an_archive_stays_one(tmp_path: Path) -> None:
    inner = zipped(("bomb", bytes(20 << 20)))
    assert unpacked(tmp_path, zipped(("inner.zip", inner))) == Unpacked(1, len(inner))


def test_more_folders_than_entries_are_refused(tmp_path: Path) -> None:
    data = zipped(*((f"{number:03}" + "/a" * 200 + "/x", b"") for number in range(100)), method=zipfile.ZIP_STORED)
    assert "more than 20000 folders" in refusal(tmp_path, data).message


def test_a_large_file_arrives_whole_and_a_full_disk_ends_its_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(1 << 20) * 12
    data = zipped(("large", content))
    assert unpacked(tmp_path, data).size == len(content)
    assert tree(tmp_path / "out" / "src")["large"][1] == content
    (tmp_path / "second").mkdir()
    assert "checksum" in refusal(tmp_path / "second", patched(data, CENTRAL, 16, b"\0\0\0\0")).message

    class Full(io.FileIO):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, "made up")

    monkeypatch.setattr(unpack_module, "open", lambda descriptor, *_, **__: Full(descriptor, "wb"), raising=False)
    assert refusal(tmp_path / "second", data).code == "too-large"
    assert threading.active_count() == 1


def test_bytes_behind_the_end_of_the_content_are_refused(tmp_path: Path) -> None:
    packer = zlib.compressobj(wbits=-15)
    content = packer.compress(b"text") + packer.flush()
    for junk in (b"x", b"x" * 600_000):  # in the last chunk, and in further ones
        packed = content + junk
        sizes = (zlib.crc32(b"text"), len(packed), 4, 1, 0)
        local = struct.pack("<4s5H3I2H", LOCAL, 20, 0, 8, 0, 0, *sizes) + b"a" + packed
        central = struct.pack("<4s6H3I5H2I", CENTRAL, 20, 20, 0, 8, 0, 0, *sizes, 0, 0, 0, 0, 0) + b"a"
        end = struct.pack("<4s4H2IH", END, 0, 0, 1, 1, len(central), len(local), 0)
        assert "behind the end" in refusal(tmp_path, local + central + end).message


def test_a_folder_with_content_is_refused(tmp_path: Path) -> None:
    fault = refusal(tmp_path, zipped(("folder/", b"content")))
    assert (fault.code, fault.file) == ("archive-refused", "folder/") and "with content" in fault.message


@pytest.mark.parametrize("at, new", [(0, b"PK\x06\x05"), (4, b"\x2d"), (56 + 8, b"\xff\xff")])
def test_a_damaged_large_end_record_is_refused(tmp_path: Path, at: int, new: bytes) -> None:
    empty = with_end64(0, 0, 0)
    assert unpacked(tmp_path, empty).files == 0
    (tmp_path / "out" / "src").rmdir()
    assert "end record is damaged" in refusal(tmp_path, empty[:at] + new + empty[at + len(new) :]).message


@pytest.mark.parametrize(
    "number, error", [(errno.ENOSPC, Fault), (errno.EDQUOT, Fault), (errno.EFBIG, Fault), (errno.EIO, OSError)]
)
def test_a_full_disk_is_too_large_and_other_troubles_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, "made up")

    monkeypatch.setattr(unpack_module, "_extract", fail)
    with pytest.raises(error) as caught:
        unpacked(tmp_path, PLAIN)
    assert getattr(caught.value, "code", "too-large") == "too-large"
    assert not list((tmp_path / "out").iterdir())


def test_an_archive_cut_at_any_byte_is_refused(tmp_path: Path) -> None:
    data = zipped(("a.txt", b"a" * 50), ("b.txt", b"b"))
    for end in range(len(data)):
        assert refusal(tmp_path, data[:end]).code == "archive-refused"


def test_more_than_the_limit_is_too_large_before_anything_is_written(tmp_path: Path) -> None:
    data = zipped(("a", b"x" * 600), ("b", b"y" * 600))
    fault = refusal(tmp_path, data, limit=1199)
    assert (fault.code, fault.message) == ("too-large", "the unpacked source has 1200 bytes; 1199 are allowed")
    assert unpacked(tmp_path, data, limit=1200).size == 1200


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    fault = refusal(tmp_path, zipped(("fine.py", b"x"), ("bomb", b"\0" * (20 << 20))))
    assert (fault.code, fault.file) == ("archive-refused", "bomb") and "200 times" in fault.message
    assert unpacked(tmp_path, zipped(("small", b"\0" * (9 << 20)))).files == 1


def test_a_bomb_that_lies_about_its_size_is_stopped_at_what_it_said(tmp_path: Path) -> None:
    bomb = zipped(("bomb", b"\0" * (40 << 20)))
    began = time.process_time()
    fault = refusal(tmp_path, patched(bomb, CENTRAL, 24, struct.pack("<I", 100)))
    assert "more than its header says" in fault.message
    assert time.process_time() - began < 0.2


def test_entries_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """The construction of a bomb without nesting: many entries, one content."""
    one = zipped(("a", b"x" * 100), method=zipfile.ZIP_STORED)
    at = one.index(CENTRAL)
    central = one[at : one.index(END)]
    end = struct.pack("<4s4H2IH", END, 0, 0, 2, 2, len(central) * 2, at, 0)
    assert "not its own" in refusal(tmp_path, one[:at] + central * 2 + end).message


def with_end64(count: int, size: int, start: int) -> bytes:
    record = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, start + size, 1)
    return record + locator + struct.pack("<4s4H2IH", END, 0, 0, 0xFFFF, 0xFFFF, 0xFFFF_FFFF, 0xFFFF_FFFF, 0)


def quick_and_small(work: Callable[[], None]) -> None:
    tracemalloc.start()
    began = time.process_time()
    try:
        work()
        assert time.process_time() - began < 0.5 and tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "count, size, said", [(1_000_000, 50_000_000, "1000000 entries"), (5, 50_000_000, "50000000 bytes")]
)
def test_a_huge_directory_is_refused_unread(tmp_path: Path, count: int, size: int, said: str) -> None:
    file = tmp_path / "archive.zip"
    with open(file, "wb") as out:  # the directory itself is a hole: nobody looks at it
        out.seek(size)
        out.write(with_end64(count, size, 0))
    descriptor = os.open(file, os.O_RDONLY)

    def work() -> None:
        with pytest.raises(Fault, match=said):
            unpack(descriptor, tmp_path / "out", LIMIT)

    quick_and_small(work)
    os.close(descriptor)


def test_20_000_entries_are_allowed_and_one_more_is_not(tmp_path: Path) -> None:
    def made(count: int) -> bytes:
        local, central = [], []
        at = 0
        for number in range(count):
            name = f"{number:05}".encode()
            local.append(struct.pack("<4s5H3I2H", LOCAL, 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0) + name)
            attributes = 0o100644 << 16
            sizes = (zlib.crc32(b""), 0, 0, len(name), 0, 0, 0, 0)
            central.append(struct.pack("<4s6H3I5H2I", CENTRAL, 20, 20, 0, 0, 0, 0, *sizes, attributes, at) + name)
            at += len(local[-1])
        directory = b"".join(central)
        end = struct.pack("<4s4H2IH", END, 0, 0, count, count, len(directory), at, 0)
        return b"".join(local) + directory + end

    assert "20001 entries" in refusal(tmp_path, made(20_001)).message
    file = tmp_path / "archive.zip"
    file.write_bytes(made(20_000))
    with open(file, "rb") as archive:
        assert len(read_directory(archive.fileno())) == 20_000
