"""One more authority for the clients of a process."""

import os
import ssl
from pathlib import Path

import pytest
from casemate_runtime.trust import trust

VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "before")


def test_both_are_in_one_file_that_all_variables_name(tmp_path: Path) -> None:
    (tmp_path / "system").write_text("SYSTEM")
    bundle = tmp_path / "bundle"
    trust(b"OURS\n", str(tmp_path / "system"), str(bundle))
    assert bundle.read_text() == "SYSTEM\nOURS\n" and bundle.stat().st_mode & 0o777 == 0o600
    assert {os.environ[name] for name in VARIABLES} == {str(bundle)}
    assert ssl.get_default_verify_paths().openssl_cafile_env == "SSL_CERT_FILE"


def test_it_is_written_anew(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    for text in (b"A" * 100, b"B"):
        trust(text, str(tmp_path / "absent"), str(bundle))
    assert bundle.read_bytes() == b"\nB"


def test_it_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "bundle").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        trust(b"A", str(tmp_path / "absent"), str(tmp_path / "bundle"))
    assert not (tmp_path / "elsewhere").exists()
