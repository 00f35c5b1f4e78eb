"""What an index tells of the age of a name, and that an index which does not tell costs nothing but a little time."""

import gzip
import json
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from casemate_runtime.indexes import Indexes
from casemate_runtime.simple import ANY, JSON, Client, IndexFailure
from casemate_runtime.uploads import FirstUploads
from packages import Index, index, wheel

SYSTEM = "/etc/ssl/certs/ca-certificates.crt"


def found(made: Index, *names: str, certificates: str = SYSTEM, seconds: float = 10.0) -> dict[str, str]:
    return FirstUploads(names, Indexes(made.url), certificates, seconds).found()


def answering(body: bytes, kind: str = JSON, status: int = 200, **headers: str) -> Callable[[Any], bool]:
    def answer(handler: Any) -> bool:
        handler.send_response(status)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **given}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True
        return True

    return answer


def test_the_oldest_file_of_a_name_counts() -> None:
    with index() as made, index() as corp:
        for version, uploaded in (("3", "2024-05-06T07:08:09Z"), ("1", "2021-01-01T00:00:00.123456Z"), ("2", None)):
            made.add(wheel("six", version), uploaded=uploaded)
        made.add(wheel("old", "1"), uploaded=None)
        corp.add(wheel("corp-x", "1"), uploaded="2026-11-20T00:00:00Z")
        indexes = Indexes(made.url, {"corp": corp.url}, {"corp-*": "corp"})
        times = FirstUploads(["Six", "six", "old", "missing", "Corp_X"], indexes, SYSTEM).found()
        assert times == {"corp-x": "2026-11-20T00:00:00Z", "six": "2021-01-01T00:00:00.123456Z"}
        assert made.projects() == ["missing", "old", "six"] and corp.projects() == ["corp-x"]


def test_an_index_that_speaks_html_tells_nothing() -> None:
    with index(speaks_json=False) as made:
        made.add(wheel("six", "1"))
        assert found(made, "six") == {}


def test_no_index_no_answer() -> None:
    with index() as made:
        pass
    assert found(made, "six") == {} and FirstUploads(["six"], Indexes(), SYSTEM).found() == {}
    assert found(made, "six", certificates="/missing") == {}


@pytest.mark.parametrize("kind", ["silent", "trickling"])
def test_a_slow_index_ends_the_wait_and_the_others_are_told(kind: str) -> None:
    def slow(handler: Any) -> bool:
        if "slow" not in handler.path:
            return False
        if kind == "trickling":
            handler.send_response(200)
            handler.send_header("Content-Type", JSON)
            handler.end_headers()
            for _ in range(30):
                handler.wfile.write(b'{"upload-time": "2020-01-01T00:00:00Z"}')
                time.sleep(0.1)
        else:
            time.sleep(3)
        return True

    with index() as made:
        made.add(wheel("six", "1"), uploaded="2020-01-01T00:00:00Z")
        made.answer = slow
        began = time.monotonic()
        assert found(made, *(f"slow{number}" for number in range(3)), "six", seconds=0.5) == {
            "six": "2020-01-01T00:00:00Z"
        }
        assert time.monotonic() - began < 1


def test_a_text_that_only_quotes_a_time_is_none() -> None:
    with index() as made:
        page = {"files": [{"yanked": '"upload-time": "1999-01-01T00:00:00Z"', "upload-time": "2020-01-01T00:00:00Z"}]}
        for padding in (0, 65_500, 65_510, 65_520):
            body = b" " * padding + json.dumps(page).encode()
            made.answer = answering(body)
            assert found(made, "six") == {"six": "2020-01-01T00:00:00Z"}, padding
            made.answer = answering(gzip.compress(body), Content_Encoding="gzip")
            assert found(made, "six") == {"six": "2020-01-01T00:00:00Z"}, padding
        made.answer = answering(b'{"upload-time": "yesterday"}')
        assert found(made, "six") == {}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    line = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=x -addext subjectAltName=IP:127.0.0.1 -out c -keyout k"
    subprocess.run(line.split(), cwd=folder, check=True, capture_output=True)
    return folder / "c", folder / "k"


def test_the_certificates_of_the_tool_are_trusted_and_no_others(certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with index(tls=context) as made, index() as plain:
        made.add(wheel("six", "1"), uploaded="2020-01-01T00:00:00Z")
        assert found(made, "six", certificates=str(certificate[0])) == {"six": "2020-01-01T00:00:00Z"}
        assert found(made, "six") == {}
        made.answer = answering(b"", status=302, Location=f"{plain.url}/six/")
        assert found(made, "six", certificates=str(certificate[0])) == {} and plain.asked == []


def content(made: Index, largest: int = 1000, path: str = "/x") -> bytes:
    return b"".join(Client(SYSTEM).get(made.base + path, ANY, largest, 5).content)


def test_the_client_reads_what_is_there_and_no_more_than_allowed() -> None:
    with index() as made:
        made.answer = answering(b"x" * 1000)
        assert len(content(made)) == 1000
        for answer in (
            answering(b"x" * 1001),
            answering(b"x" * 10, Content_Length="20"),
            answering(gzip.compress(bytes(10_000_000)), Content_Encoding="gzip"),
            answering(gzip.compress(b"x" * 100)[:-12], Content_Encoding="gzip"),
            answering(b"no gzip", Content_Encoding="gzip"),
            answering(b"", status=404),
            answering(b"", status=302, Location="file:///etc/passwd"),
            answering(b"", status=302, Location="/again"),
        ):
            made.answer = answer
            with pytest.raises(IndexFailure):
                content(made)
        for url in ("file:///etc/passwd", "ftp://x/y", "data:,x", "", "http://[", "https://127.0.0.1:1/"):
            with pytest.raises((IndexFailure, ValueError)):
                Client(SYSTEM).get(url, ANY, 10)
