"""The gate and archives: what is uploaded past the command line is refused in little time and memory, and leaves nothing behind."""

from __future__ import annotations

import io
import stat
import struct
import tarfile
import time
import uuid
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from casemate_fixture import Answer, Server, archive, memory_in_kib, problem, wait_until
from gate_answers import PLAIN, PRIVATE_KEY, found, let_pass, refused_by_the_gate, zipped

MARK = f"casemate-gate-{uuid.uuid4().hex[:12]}"
SECONDS = 8
"""The issue says 2; the machine that runs the tests has others to serve at the same time."""


def made(name: str, mode: int, data: bytes = b"x", extra: bytes = b"") -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr, info.extra = 3, mode << 16, extra
    return info, data


def packed(*entries: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("handler.py", PLAIN)
        for info, data in entries:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                file.writestr(info, data)
    return out.getvalue()


def raw_zip(
    entries: list[tuple[bytes, bytes, int, int, int]],
    count: int | None = None,
    central_name: Callable[[bytes], bytes] = lambda name: name,
    prefix: bytes = b"",
) -> bytes:
    """Of (name, packed data, method, checksum, told size). `count` is the number of entries that the end tells."""
    out, directory = bytearray(prefix), bytearray()
    for name, data, method, checksum, size in entries:
        told = central_name(name)
        common = struct.pack("<HHHHHLLLHH", 20, 0, method, 0, 33, checksum, len(data), size, len(name), 0)
        central = struct.pack("<HHHHHLLLHH", 20, 0, method, 0, 33, checksum, len(data), size, len(told), 0)
        tail = struct.pack("<HHHLL", 0, 0, 0, 0o100644 << 16, len(out))
        directory += b"PK\x01\x02" + struct.pack("<H", 0x314) + central + tail + told
        out += b"PK\x03\x04" + common + name + data
    number = len(entries) if count is None else count
    end = struct.pack("<HHHHLLH", 0, 0, number & 0xFFFF, number & 0xFFFF, len(directory), len(out), 0)
    return bytes(out + directory + b"PK\x05\x06" + end)


def stored(name: bytes, data: bytes) -> tuple[bytes, bytes, int, int, int]:
    return name, data, 0, zlib.crc32(data), len(data)


HANDLER = stored(b"handler.py", PLAIN.encode())


def deflated(size: int) -> tuple[bytes, int]:
    """So many zeros, and their checksum."""
    squeeze, checksum, parts, block = zlib.compressobj(9, zlib.DEFLATED, -15), 0, [], b"\0" * (1 << 20)
    for _ in range(size >> 20):
        parts.append(squeeze.compress(block))
        checksum = zlib.crc32(block, checksum)
    return b"".join([*parts, squeeze.flush()]), checksum


def bomb(told: int | None, size: int = 1 << 30) -> bytes:
    data, checksum = deflated(size)
    return raw_zip([HANDLER, (b"zeros", data, 8, checksum, size if told is None else told)])


def overlapping() -> bytes:
    """Many entries whose data is one and the same: each is small, together they are a bomb."""
    data, checksum = deflated(64 << 20)
    first = raw_zip([HANDLER, (b"zeros0000", data, 8, checksum, 64 << 20)])
    begin = first.index(b"PK\x03\x04", 4)
    out = bytearray(first[: first.index(b"PK\x01\x02")])
    directory = bytearray(first[first.index(b"PK\x01\x02") : first.index(b"PK\x05\x06")])
    for number in range(1, 500):
        name = b"zeros%04d" % number
        common = struct.pack("<HHHHHLLLHH", 20, 0, 8, 0, 33, checksum, len(data), 64 << 20, len(name), 0)
        tail = struct.pack("<HHHLL", 0, 0, 0, 0o100644 << 16, begin)
        directory += b"PK\x01\x02" + struct.pack("<H", 0x314) + common + tail + name
    end = struct.pack("<HHHHLLH", 0, 0, 501, 501, len(directory), len(out), 0)
    return bytes(out + directory + b"PK\x05\x06" + end)


def million() -> bytes:
    count = 1_000_000
    common = struct.pack("<HHHHHLLLHH", 20, 0, 0, 0, 33, 0, 0, 0, 6, 0)
    out, directory = bytearray(), bytearray()
    head, middle = b"PK\x03\x04" + common, b"PK\x01\x02" + struct.pack("<H", 0x314) + common
    tail = struct.pack("<HHHL", 0, 0, 0, 0o100644 << 16)
    for number in range(count):
        name = b"%06x" % number
        directory += middle + tail + struct.pack("<L", len(out)) + name
        out += head + name
    end64 = b"PK\x06\x06" + struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, count, count, len(directory), len(out))
    locator = b"PK\x06\x07" + struct.pack("<LQL", 0, len(out) + len(directory), 1)
    end = b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return bytes(out + directory + end64 + locator + end)


def sparse_tar() -> bytes:
    """A tar whose one file is a terabyte of nothing."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as file:
        info = tarfile.TarInfo("holes")
        info.type, info.size = tarfile.GNUTYPE_SPARSE, 0
        file.addfile(info)
    return out.getvalue()


LINK, PIPE, CHARACTER, BLOCK, SOCKET = (
    stat.S_IFLNK | 0o777,
    stat.S_IFIFO | 0o666,
    stat.S_IFCHR | 0o666,
    stat.S_IFBLK | 0o660,
    stat.S_IFSOCK | 0o666,
)
PARENT = f"../../../../{MARK}"
HOSTILE: dict[str, bytes | Callable[[], bytes]] = {
    "a path to the parent": packed(made(f"../{MARK}", 0o100644)),
    "a path through a folder": packed(made(f"a/b/../../../{MARK}", 0o100644)),
    "an absolute path": packed(made(f"/tmp/{MARK}", 0o100644)),
    "a drive": packed(made(f"C:\\{MARK}", 0o100644)),
    "backslashes": packed(made(f"..\\..\\{MARK}", 0o100644)),
    "a name that differs in the directory": raw_zip(
        [HANDLER, stored(f"aa/{MARK}".encode(), b"x")], central_name=lambda name: name.replace(b"aa/", b"../")
    ),
    "an empty part": packed(made(f"a//..//{MARK}", 0o100644)),
    "a link out": packed(made("link", LINK, PARENT.encode())),
    "a link to a file of the host": packed(made("link.py", LINK, b"/etc/shadow")),
    "a link and a file through it": packed(made("d", LINK, b"/tmp"), made(f"d/{MARK}", 0o100644)),
    "a link to /proc": packed(made("link", LINK, b"/proc/self/environ")),
    "a character device": packed(made("device", CHARACTER)),
    "a block device": packed(made("device", BLOCK)),
    "a fifo": packed(made("pipe", PIPE)),
    "a socket": packed(made("socket", SOCKET)),
    "a tar with holes": sparse_tar,
    "a checksum that lies": lambda: raw_zip([HANDLER, (b"a", b"xy", 0, 1, 2)]),
    "a size that lies, too small": lambda: bomb(10),
    "a size that lies, too large": lambda: raw_zip([HANDLER, (b"a", b"xy", 0, zlib.crc32(b"xy"), 1 << 31)]),
    "a number of entries that lies": lambda: raw_zip([HANDLER, stored(b"a", b"x")], count=60_000),
    "a bomb": lambda: bomb(None),
    "a bomb of entries that share their data": overlapping,
    "a million entries": million,
    "an unknown way of packing": lambda: raw_zip([HANDLER, (b"a", b"xy", 99, zlib.crc32(b"xy"), 2)]),
    "two files of one name": packed(made("same", 0o100644, b"a"), made("same", 0o100644, b"b")),
    "half of it": packed(*[made(f"f{number}", 0o100644, b"y" * 900) for number in range(40)])[:2500],
    "nothing": archive({}),
}


@pytest.fixture(scope="module")
def gate() -> Iterator[Server]:
    with Server(options=("--pool-size", "2")) as server:
        let_pass(server.try_deploy("files", "zipped", {"handler.py": PLAIN}))
        yield server


def refused(answer: Answer) -> str:
    """What a refusal says, whether it came at the upload or as the outcome of a deployment."""
    if answer.status != 200:
        assert answer.status in (400, 413, 422), answer.text
        return str(problem(answer)["detail"])
    outcome = answer.json()["functions"][0]
    kinds = ("archive-refused", "too-large", "handler-refused")
    assert outcome["status"] == "failed" and outcome["problemType"].removeprefix("/problems/") in kinds, outcome
    assert outcome["stage"] in ("build", "scan") and outcome["diagnostics"], outcome
    return str(outcome["problem"])


def stored_files(server: Server) -> set[str]:
    """What lies below the data folder, but for the archives that were sent, the database and logs."""
    left = ("server/artifacts/", "server/audit/", "server/logs/", "server/casemate.db")
    paths = {str(path.relative_to(server.data)) for path in server.data.rglob("*")}
    return {path for path in paths if not path.startswith(left)}


@pytest.mark.guarantee("COG-17")
@pytest.mark.case("D1", "D3")
@pytest.mark.parametrize("what", HOSTILE)
def test_D1_D3_a_hostile_archive_is_refused_soon_and_leaves_nothing(gate: Server, what: str) -> None:
    content = HOSTILE[what]
    data = content if isinstance(content, bytes) else content()
    before, memory = stored_files(gate), memory_in_kib(gate.pid)
    begin = time.monotonic()
    answer = gate.deploy_archive("files", "zipped", data)
    seconds = time.monotonic() - begin
    assert len(refused(answer)) > 10
    assert seconds < SECONDS, f"the refusal took {seconds:.1f} s"
    assert memory_in_kib(gate.pid) - memory < 64 << 10
    assert stored_files(gate) - before == set()
    for folder in (Path("/"), Path("/tmp"), Path("/run"), Path("/var/tmp"), gate.folder, gate.data):
        assert not (folder / MARK).exists(), folder
    assert gate.call("files/zipped", body={}).json() == 1


@pytest.mark.case("D1")
def test_D1_COG_7_the_archive_of_a_refused_deployment_is_kept_nowhere(gate: Server) -> None:
    def kept() -> int:
        return sum(1 for path in (gate.data / "server/artifacts").rglob("*") if path.is_file())

    before = kept()
    refused(gate.deploy_archive("files", "zipped", packed(made("pipe-of-another", PIPE))))
    refused_by_the_gate(gate.deploy_archive("files", "zipped", archive({"handler.py": PLAIN, "k.txt": PRIVATE_KEY})))
    assert wait_until(lambda: kept() == before, 5), "one of the two archives is still there"


@pytest.mark.case("D3")
def test_D3_bits_that_give_rights_do_not_survive(gate: Server) -> None:
    code = "import os\n\n\ndef handle(data):\n    here = os.path.dirname(__file__)\n"
    code += "    return {name: oct(os.lstat(os.path.join(here, name)).st_mode) for name in os.listdir(here)}\n"
    out = io.BytesIO()
    capability = struct.pack("<HH", 0x7855, 4) + b"caps"
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("handler.py", code)
        for info, data in (
            made("setuid", stat.S_IFREG | 0o4755),
            made("setgid", stat.S_IFREG | 0o2755),
            made("open", stat.S_IFREG | 0o1777),
            made("capable", stat.S_IFREG | 0o755, extra=capability),
        ):
            file.writestr(info, data)
    answer = gate.deploy_archive("files", "modes", out.getvalue())
    if answer.status == 200 and answer.json()["functions"][0]["status"] == "deployed":
        modes = {name: int(mode, 8) for name, mode in gate.call("files/modes", body={}).json().items()}
        assert {"setuid", "setgid", "open", "capable"} <= set(modes)
        assert all(mode & 0o7022 == 0 for mode in modes.values()), {name: oct(mode) for name, mode in modes.items()}
    else:
        refused(answer)


# ---------------------------------------------------------------- files that hold credentials

CREDENTIALS = [
    ".env",
    "below/.env",
    ".env.local",
    ".env.production",
    ".npmrc",
    ".netrc",
    ".pypirc",
    ".htpasswd",
    ".git-credentials",
    "id_rsa",
    "keys/id_ed25519",
    "server.pem",
    "server.key",
    "server.p12",
    "server.pfx",
    "store.jks",
    "private.ppk",
    ".aws/credentials",
    ".ssh/config",
    ".git/config",
    ".docker/config.json",
    ".kube/config",
    "kubeconfig",
    "credentials.json",
    "service-account.json",
    "local.settings.json",
    "terraform.tfstate",
    ".ENV",
    "Server.PEM",
    "package/.env",
]


@pytest.fixture(scope="module")
def credentials(gate: Server) -> dict[str, Answer]:
    """Each alone, as some are refused before the others are looked at."""
    return {
        name: gate.deploy_archive("files", "credentials", archive({"handler.py": PLAIN, name: "A=b\n"}))
        for name in CREDENTIALS
    }


@pytest.mark.guarantee("SCW-11", "AZR-19")
@pytest.mark.parametrize("name", CREDENTIALS)
def test_SCW_11_a_file_that_may_hold_credentials_is_refused_by_its_name(
    credentials: dict[str, Answer], name: str
) -> None:
    answer = credentials[name]
    assert answer.status == 200, answer.text
    outcome = answer.json()["functions"][0]
    assert outcome["status"] == "failed", outcome
    assert outcome["problemType"] in ("/problems/archive-refused", "/problems/gate-failed"), outcome
    files = [item["file"] for item in outcome["diagnostics"]]
    assert any(file and name.startswith(file) for file in files), outcome


@pytest.mark.guarantee("SCW-11")
def test_SCW_11_the_command_leaves_such_files_out_and_says_so(gate: Server) -> None:
    outcome = gate.try_deploy("files", "left-out", {"handler.py": PLAIN, ".env": "A=b\n", "id_rsa": "x", "a.pem": "x"})
    assert outcome.code == 0, outcome.said
    assert all(name in outcome.said for name in (".env", "id_rsa", "a.pem")), outcome.said
    source = gate.cli("function", "source", "files/left-out", "--output", str(gate.folder / "source.zip"))
    if source[0] == 0:
        names = zipfile.ZipFile(gate.folder / "source.zip").namelist()
        assert names == ["handler.py"], names


@pytest.mark.guarantee("SCW-11")
def test_SCW_11_certificates_and_examples_pass(gate: Server) -> None:
    certificate = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ\n-----END CERTIFICATE-----\n"
    source = {"handler.py": PLAIN, "authority.pem": certificate, "env.example": "API_KEY=\n", "keyboard.txt": "x"}
    assert found(let_pass(gate.try_deploy("files", "harmless", source))) == []


@pytest.mark.guarantee("SCW-11")
def test_SCW_11_the_remedy_that_is_told_works(gate: Server) -> None:
    gate.namespace("files")
    folder = gate.project("files", "remedied", {"handler.py": PLAIN, "keys/credentials.json": "{}"})
    code, out, err = gate.cli("deploy", str(folder))
    assert code == 1 and ".casemateignore" in out + err, out + err
    for place in (folder, folder / "source"):
        (place / ".casemateignore").write_text("keys/\n")
    code, out, err = gate.cli("deploy", str(folder))
    assert code == 0, out + err


@pytest.mark.guarantee("SCW-11")
def test_SCW_11_patterns_keep_files_and_folders_out_at_any_depth(gate: Server) -> None:
    gate.namespace("files")
    source = {
        "handler.py": PLAIN,
        "a.log": "x",
        "deep/b.log": "x",
        "data/x.txt": "x",
        "deep/data/y.txt": "x",
        "kept.txt": "x",
    }
    folder = gate.project("files", "patterns", source)
    (folder / "source/.casemateignore").write_text("# what is not for the server\n\n*.log\ndata/\n")
    code, out, err = gate.cli("deploy", str(folder))
    assert code == 0, out + err
    code, out, err = gate.cli("function", "source", "files/patterns", "--output", str(folder / "back.zip"))
    assert code == 0, err
    with zipfile.ZipFile(folder / "back.zip") as packed:
        assert sorted(packed.namelist()) == ["handler.py", "kept.txt"]
    for line in ("!kept.txt", "/"):
        (folder / "source/.casemateignore").write_text(f"# one\n{line}\n")
        code, out, err = gate.cli("deploy", str(folder))
        assert code == 2 and ".casemateignore:2" in err, out + err


@pytest.mark.guarantee("SCW-11", "COG-7")
def test_SCW_11_a_key_file_in_a_zip_of_the_bundle_is_found_by_its_content(gate: Server) -> None:
    answer = gate.deploy_archive(
        "files", "inner", archive({"handler.py": PLAIN, "data.zip": zipped("server.key", PRIVATE_KEY)})
    )
    assert [item["file"] for item in found(refused_by_the_gate(answer), "private-key")] == ["data.zip!server.key"]
