"""Manifests, archives and JSON that are wrong, hostile or huge: a clear refusal in bounded time, and all else goes on."""

from __future__ import annotations

import io
import json
import stat
import struct
import time
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from casemate_fixture import Answer, Server, archive, handler, manifest, memory_in_kib, problem

GOOD = handler("def handle(data):\n    return 1\n")
HEAD = "namespace: bad\nfunctions:\n  f:\n    source: ./source\n    runtime: python3.11\n    handler: handler.handle\n"

MANIFESTS = {
    "empty": "",
    "only-space": " \n\t\n",
    "malformed": "functions: [unclosed\n",
    "tab": "functions:\n\tf: {}\n",
    "no-mapping": "- a\n- b\n",
    "scalar": "hello\n",
    "binary": "\x00\x01\x02",
    "duplicate-key": HEAD + "    handler: other.handle\n",
    "unknown-key": HEAD + "    mystery: 1\n",
    "wrong-type-limits": HEAD + "    limits: 7\n",
    "wrong-type-secrets": HEAD + "    secrets: {A: b}\n",
    "number-as-handler": HEAD.replace("handler.handle", "12"),
    "no-functions": "namespace: bad\nfunctions: {}\n",
    "negative-timeout": HEAD + "    limits: {timeout: -1s}\n",
    "huge-timeout": HEAD + "    limits: {timeout: 99999999999999999999s}\n",
    "zero-memory": HEAD + "    limits: {memory: 0MiB}\n",
    "overflowing-memory": HEAD + "    limits: {memory: 18446744073709551617MiB}\n",
    "nan-cpu": HEAD + "    limits: {cpu: .nan}\n",
    "infinite-cpu": HEAD + "    limits: {cpu: .inf}\n",
    "negative-pids": HEAD + "    limits: {pids: -1}\n",
    "absolute-source": HEAD.replace("./source", "/etc"),
    "source-outside": HEAD.replace("./source", "../../etc"),
    "bad-runtime": HEAD.replace("python3.11", "../../../etc"),
    "traversing-handler": HEAD.replace("handler.handle", "../../x.handle"),
    "absolute-handler": HEAD.replace("handler.handle", "/etc/passwd.handle"),
    "many-dots-handler": HEAD.replace("handler.handle", "a.b.c.d"),
    "python-tag": HEAD + "    env: !!python/object/apply:os.system ['id']\n",
    "bad-function-name": HEAD.replace("  f:", "  'F/../x':"),
    "anchor-cycle": "functions: &a\n  f: *a\n",
    "deep": "functions: " + "[" * 50_000 + "\n",
    "deep-mapping": "functions: " + "{a: " * 20_000 + "\n",
    "alias-bomb": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(12))
    + "functions: *m\n",
    "long-key": "functions:\n  f:\n    " + "k" * 100_000 + ": 1\n",
    "wrong-encoding": "functions:\n  f: {env: {A: '\ud800'}}\n",
}


def refused(answer: Answer) -> str:
    """The text of a refusal: problem details with 4xx, or an outcome that failed and says where and why."""
    if answer.status == 200:
        outcome = answer.json()["functions"]
        assert outcome and all(function["status"] == "failed" for function in outcome), answer.text[:500]
        for function in outcome:
            assert function["stage"] and (function.get("problem") or function["diagnostics"]), function
            assert "sandbox ended" not in str(function.get("problem")), f"not a clear error: {function['problem']}"
        return answer.text
    assert 400 <= answer.status < 500, f"{answer.status} {answer.text[:500]}"
    details = problem(answer)
    return json.dumps(details)


@pytest.mark.case("I2")
@pytest.mark.parametrize("name", MANIFESTS)
def test_I2_a_bad_manifest_is_refused_by_the_command_line_and_by_the_api(server: Server, name: str) -> None:
    text = MANIFESTS[name]
    server.namespace("bad")
    begin = time.monotonic()
    folder = server.project("bad", "f", GOOD)
    (folder / "casemate.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    code, out, err = server.cli("deploy", str(folder), timeout=30)
    assert code in (1, 2, 64), f"exit {code}: {out[:300]}{err[:300]}"
    assert err.strip() and "Fatal error" not in err and "Error Domain" not in err, err[:500]
    if text.strip("\x00\x01\x02 \n\t") and name not in ("wrong-encoding", "alias-bomb"):
        assert "casemate.yaml" in err + out, err[:500]
    if name != "wrong-encoding":
        digest = server.api("POST", "/v1/archives", archive(GOOD)).json()["digest"]
        answer = server.api("POST", "/v1/deployments", {"namespace": "bad", "manifest": text, "sources": {"f": digest}})
        refused(answer)
    assert time.monotonic() - begin < 15
    server.assert_serving()


@pytest.mark.case("I2")
def test_I2_a_manifest_of_10_mib_is_refused(server: Server) -> None:
    server.namespace("bad")
    text = HEAD + "    env:\n" + "".join(f"      A{n}: x\n" for n in range(700_000))
    folder = server.project("bad", "f", GOOD, text)
    code, _out, err = server.cli("deploy", str(folder), timeout=60)
    assert code in (1, 2) and err.strip()
    answer = server.api("POST", "/v1/deployments", {"namespace": "bad", "manifest": text, "sources": {}})
    assert answer.status in (400, 413, 422), answer.text[:300]
    server.assert_serving()


def test_every_fault_of_a_manifest_names_its_line(server: Server) -> None:
    server.namespace("bad")
    answer = server.api(
        "POST",
        "/v1/deployments",
        {"namespace": "bad", "manifest": HEAD + "    mystery: 1\n    access: maybe\n", "sources": {}},
    )
    diagnostics = problem(answer)["diagnostics"]
    assert {7, 8} <= {entry["line"] for entry in diagnostics}
    assert all(entry["file"] and entry["what"] for entry in diagnostics)


# ---------------------------------------------------------------- archives


def entry(name: str, mode: int = 0o100644, data: bytes = b"x") -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info, data


def packed(*entries: tuple[zipfile.ZipInfo, bytes], good: bool = True) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        if good:
            file.writestr("handler.py", GOOD["handler.py"])
        for info, data in entries:
            file.writestr(info, data)
    return out.getvalue()


def renamed(data: bytes, old: bytes, new: bytes) -> bytes:
    """Changes a name that zipfile would not write, in both of its places."""
    assert len(old) == len(new) and data.count(old) == 2
    return data.replace(old, new)


MARK = f"casemate-escaped-{uuid.uuid4().hex[:12]}"

ARCHIVES = {
    "parent": packed(entry(f"../{MARK}")),
    "deep-parent": packed(entry(f"a/../../../../../../tmp/{MARK}")),
    "absolute": packed(entry(f"/tmp/{MARK}")),
    "drive": packed(entry(f"C:\\{MARK}")),
    "backslashes": packed(entry(f"..\\..\\{MARK}")),
    "nul-in-name": renamed(packed(entry(f"aNULb{MARK}")), b"aNULb" + MARK.encode(), b"a\x00\x00\x00b" + MARK.encode()),
    "overlong-utf8": renamed(
        packed(entry(f"QQQQQQ{MARK}")), b"QQQQQQ" + MARK.encode(), b"\xc0\xae\xc0\xae\xc0\xaf" + MARK.encode()
    ),
    "long-name": packed(entry("n" * 300)),
    "long-path": packed(entry("/".join(["d" * 200] * 40))),
    "link-out": packed(entry("link", stat.S_IFLNK | 0o777, b"../../../../etc/passwd")),
    "link-absolute": packed(entry("link", stat.S_IFLNK | 0o777, b"/etc/passwd")),
    "link-to-self": packed(entry("link", stat.S_IFLNK | 0o777, b"link")),
    "write-through-link": packed(entry("d", stat.S_IFLNK | 0o777, b"/tmp"), entry(f"d/{MARK}")),
    "link-proc": packed(entry("link", stat.S_IFLNK | 0o777, b"/proc/self/root/etc/shadow")),
    "device": packed(entry("device", stat.S_IFCHR | 0o666, b"")),
    "block-device": packed(entry("device", stat.S_IFBLK | 0o666, b"")),
    "fifo": packed(entry("fifo", stat.S_IFIFO | 0o666, b"")),
    "socket": packed(entry("socket", stat.S_IFSOCK | 0o666, b"")),
    "twice": packed(entry("same.txt", data=b"a"), entry("same.txt", data=b"b")),
    "file-and-folder": packed(entry("same", data=b"a"), entry("same/inner", data=b"b")),
    "env-file": packed(entry(".env", data=b"A=b")),
    "env-file-below": packed(entry("sub/.env", data=b"A=b")),
    "empty-name": renamed(packed(entry("ZZZZ")), b"ZZZZ", b"\x00\x00\x00\x00"),
    "not-a-zip": b"this is no zip file at all, but long enough to be taken for one" * 20,
    "tar": b"handler.py" + b"\0" * 502,
    "truncated": packed(*[entry(f"f{n}", data=b"y" * 500) for n in range(20)])[:6000],
    "no-entries": packed(good=False),
    "no-directory": packed()[:40],
    "one-byte": b"P",
    "only-end": b"PK\x05\x06" + b"\0" * 18,
}


def encrypted() -> bytes:
    data = bytearray(packed(entry("secret.txt", data=b"0123456789abcdef")))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.rindex(signature)
        data[at + offset] |= 1
    return bytes(data)


def wrong_checksum() -> bytes:
    data = bytearray(packed(entry("sum.txt", data=b"the content of it")))
    at = data.index(b"the content of it")
    data[at] ^= 0xFF
    return bytes(data)


def bomb(lie: bool) -> bytes:
    """4 GiB of zeros in 4 MB; with `lie` the directory says that each entry has 10 bytes."""
    size = 256 << 20
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = b"\0" * (1 << 20)
    checksum = 0
    parts = []
    for _ in range(size >> 20):
        parts.append(squeeze.compress(block))
        checksum = zlib.crc32(block, checksum)
    parts.append(squeeze.flush())
    body = b"".join(parts)
    told = 10 if lie else size
    out, directory = bytearray(), bytearray()
    good = GOOD["handler.py"].encode()
    for name, method, crc, data, full in [(b"handler.py", 0, zlib.crc32(good), good, len(good))] + [
        (b"zeros%02d" % n, 8, checksum, body, told) for n in range(16)
    ]:
        common = struct.pack("<HHHHHLLLHH", 20, 0, method, 0, 33, crc, len(data), full, len(name), 0)
        directory += (
            b"PK\x01\x02"
            + struct.pack("<H", 0x314)
            + common
            + struct.pack("<HHHLL", 0, 0, 0, 0o100644 << 16, len(out))
            + name
        )
        out += b"PK\x03\x04" + common + name + data
    end = b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, 17, 17, len(directory), len(out), 0)
    return bytes(out + directory + end)


def million() -> bytes:
    """A million empty files, with the 64-bit directory that so many need."""
    count = 1_000_000
    common = struct.pack("<HHHHHLLLHH", 20, 0, 0, 0, 33, 0, 0, 0, 6, 0)
    out, directory = bytearray(), bytearray()
    local, central, tail = (
        b"PK\x03\x04" + common,
        b"PK\x01\x02" + struct.pack("<H", 0x314) + common,
        struct.pack("<HHHL", 0, 0, 0, 0o100644 << 16),
    )
    for number in range(count):
        name = b"%06x" % number
        directory += central + tail + struct.pack("<L", len(out)) + name
        out += local + name
    start, size = len(out), len(directory)
    end64 = b"PK\x06\x06" + struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, count, count, size, start)
    locator = b"PK\x06\x07" + struct.pack("<LQL", 0, start + size, 1)
    end = b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return bytes(out + directory + end64 + locator + end)


MADE = {
    "encrypted": encrypted,
    "wrong-checksum": wrong_checksum,
    "bomb": lambda: bomb(False),
    "lying-bomb": lambda: bomb(True),
    "million": million,
}


def assert_nothing_escaped(server: Server) -> None:
    for folder in (
        Path("/"),
        Path("/tmp"),
        Path("/etc"),
        Path("/run"),
        Path("/var/tmp"),
        server.folder,
        server.data,
        server.data / "server",
    ):
        assert not (folder / MARK).exists(), folder
    assert not [path for path in server.data.rglob("*") if MARK in path.name]


@pytest.mark.case("D1", "D3")
@pytest.mark.parametrize("name", [*ARCHIVES, *MADE])
def test_D1_a_hostile_archive_is_refused_with_a_clear_reason(server: Server, name: str) -> None:
    data = ARCHIVES[name] if name in ARCHIVES else MADE[name]()
    begin = time.monotonic()
    answer = server.deploy_archive("bad", "zipped", data)
    seconds = time.monotonic() - begin
    refused(answer)
    assert_nothing_escaped(server)
    assert seconds < 60, f"the refusal took {seconds:.0f} s"
    server.assert_serving()


@pytest.mark.case("D3")
def test_D3_setuid_and_group_writable_bits_do_not_survive(server: Server) -> None:
    source = handler("""
        import os
        def handle(data):
            here = os.path.dirname(__file__)
            return {name: os.lstat(os.path.join(here, name)).st_mode & 0o7777 for name in os.listdir(here)}
        """)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("handler.py", source["handler.py"])
        for info, data in (entry("suid", stat.S_IFREG | 0o6777), entry("open", stat.S_IFREG | 0o777)):
            file.writestr(info, data)
    answer = server.deploy_archive("bad", "modes", out.getvalue())
    if answer.status == 200 and answer.json()["functions"][0]["status"] == "deployed":
        modes = server.call("bad/modes", body={}).json()
        assert all(mode & 0o7022 == 0 for mode in modes.values()), {name: oct(mode) for name, mode in modes.items()}
    else:
        refused(answer)


@pytest.mark.case("D1")
def test_D1_a_link_that_stays_inside_works(server: Server) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("real.py", GOOD["handler.py"])
        info, data = entry("handler.py", stat.S_IFLNK | 0o777, b"real.py")
        file.writestr(info, data)
    answer = server.deploy_archive("bad", "linked", out.getvalue())
    if answer.status == 200 and answer.json()["functions"][0]["status"] == "deployed":
        assert server.call("bad/linked", body={}).json() == 1
    else:
        refused(answer)


def test_an_archive_over_100_mib_and_an_empty_one_are_refused(server: Server) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(110):
            yield b"\0" * (1 << 20)

    before = memory_in_kib(server.pid)
    large = server.http(server.api_url, "POST", "/v1/archives", chunks(), {"Authorization": f"Bearer {server.key}"}, 60)
    assert large.status == 413, large.text[:200]
    assert server.api("POST", "/v1/archives", b"").status == 400
    assert memory_in_kib(server.pid) - before < 64 << 10, "the archive was kept in memory"
    server.assert_serving()


def test_an_upload_that_breaks_off_leaves_no_file_behind(server: Server) -> None:
    import socket
    import urllib.parse

    def files() -> set[str]:
        return {
            str(path.relative_to(server.data))
            for path in (server.data / "server").rglob("*")
            if path.is_file() and "log" not in str(path)
        }

    server.assert_serving()
    before = files()
    parts = urllib.parse.urlsplit(server.api_url)
    with socket.create_connection((parts.hostname, parts.port)) as client:
        head = f"POST /v1/archives HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\nContent-Length: 1000000\r\n\r\n"
        client.sendall(head.encode() + b"x" * 300_000)
        time.sleep(0.3)
    time.sleep(1)
    assert files() <= before, files() - before


def test_a_deployment_of_a_digest_that_nobody_uploaded_is_refused(server: Server) -> None:
    server.namespace("bad")
    for digest in ("0" * 64, "", "../../admin.key", "sha256:" + "0" * 64, "A" * 64):
        answer = server.api(
            "POST", "/v1/deployments", {"namespace": "bad", "manifest": manifest("bad", "f"), "sources": {"f": digest}}
        )
        refused(answer)
    answer = server.api(
        "POST", "/v1/deployments", {"namespace": "bad", "manifest": manifest("bad", "f"), "sources": {}}
    )
    refused(answer)


# ---------------------------------------------------------------- JSON and HTTP


@pytest.mark.case("I1", "I5")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"name": "a"} trailing',
        b'{"name": "a", "name": "b"}',
        b'{"name": NaN}',
        b'{"name": "\\ud800"}',
        b"\xef\xbb\xbf{}",
        '{"name": "a"}'.encode("utf-16"),
        b'{"name": "\xff"}',
        b'{"name":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"name":' + b'{"a":' * 50_000,
        b"[" * 1_000_000,
        b"{" + b",".join(b'"k%d":1' % n for n in range(60_000)) + b"}",
        b'{"name": "' + b"x" * 900_000 + b'"}',
        b'{"name": 1e400}',
        b'{"name": true}',
        b'{"name": null}',
    ],
    ids=lambda body: repr(body[:14]),
)
def test_I1_json_that_is_wrong_or_hostile_is_400(server: Server, body: bytes) -> None:
    answer = server.api("POST", "/v1/namespaces", body)
    is_only_a_bad_name = b"xxxx" in body
    assert answer.status == (422 if is_only_a_bad_name else 400), f"{answer.status} {answer.text[:200]}"
    problem(answer)
    assert answer.seconds < 3
    server.assert_serving()


@pytest.mark.case("I5")
def test_I5_a_body_over_the_limit_is_413(server: Server) -> None:
    answer = server.api("POST", "/v1/namespaces", b'{"name": "' + b"x" * (20 << 20) + b'"}')
    assert answer.status == 413, answer.text[:200]
    server.assert_serving()


@pytest.mark.case("I13")
@pytest.mark.parametrize(
    "name", ["a'--", "a' or '1'='1", 'a" or 1=1', "a;drop table functions", "%27", "a\\", "*", "a%00b"]
)
def test_I13_names_with_sql_in_them_are_only_bad_names(server: Server, name: str) -> None:
    import urllib.parse

    path = urllib.parse.quote(name, safe="%")
    for route in (
        f"/v1/namespaces/{path}/functions",
        f"/v1/namespaces/bad/functions/{path}",
        f"/v1/namespaces/bad/tokens/{path}",
    ):
        answer = server.api("DELETE" if "tokens" in route else "GET", route)
        assert answer.status in (400, 404, 422), f"{route}: {answer.status} {answer.text[:200]}"
        assert "sqlite" not in answer.text.lower()


@pytest.mark.case("N10")
def test_N10_slow_and_silent_connections_do_not_keep_others_waiting(server: Server) -> None:
    import socket
    import urllib.parse

    kept = []
    try:
        for url, count in ((server.gateway_url, 150), (server.api_url, 150)):
            parts = urllib.parse.urlsplit(url)
            for _ in range(count):
                client = socket.create_connection((parts.hostname, parts.port), timeout=5)
                client.sendall(b"POST /f/canary/canary HTTP/1.1\r\nHost: x\r\nContent-Le")
                kept.append(client)
        begin = time.monotonic()
        for _ in range(10):
            server.assert_serving()
            assert server.api("GET", "/healthz").status == 200
        assert time.monotonic() - begin < 5
        time.sleep(max(0.0, 14 - (time.monotonic() - begin)))
        closed = 0
        for client in kept:
            client.settimeout(0.2)
            try:
                while True:
                    if not client.recv(4096):
                        closed += 1
                        break
            except TimeoutError:
                pass
            except ConnectionError:
                closed += 1
        assert closed == len(kept), f"{len(kept) - closed} of {len(kept)} half-sent heads are still open after 14 s"
    finally:
        for client in kept:
            client.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /f/a/b HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /f/a/b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /f/a/b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
        b"POST /f/a/b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
        b"POST /f/a/b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"GET /f/a/b HTTP/1.1\r\nHost: x\r\nX-Bad\x00Name: v\r\n\r\n",
        b"GET /f/%ff%00/%2e%2e HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=range(12),
)
def test_bytes_that_are_no_proper_http_are_refused_and_never_answered_with_200(server: Server, raw: bytes) -> None:
    import socket
    import urllib.parse

    for url in (server.gateway_url, server.api_url):
        parts = urllib.parse.urlsplit(url)
        with socket.create_connection((parts.hostname, parts.port), timeout=3) as client:
            client.sendall(raw)
            client.shutdown(socket.SHUT_WR)
            answer = b""
            try:
                while part := client.recv(65536):
                    answer += part
            except (TimeoutError, ConnectionError):
                pass
        assert b" 200 " not in answer and b" 500 " not in answer, answer[:300]
    server.assert_serving()
