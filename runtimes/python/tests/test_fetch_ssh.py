"""A source over ssh, from Debian's sshd: one key, one command, and a host that is known."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from fetch_support import Fetched, Repository, SshServer, fault, fingerprint, run, serve


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = Repository(tmp_path_factory.mktemp("ssh") / "it's $(touch ran).git")
    made.commit({"a": b"2"}, made.commit({"a": b"1"}))
    return made


def url(sshd: SshServer, repository: Repository) -> str:
    """Every character that a shell would obey is percent-encoded."""
    escaped = "".join(
        char if char.isalnum() or char in "/._-" else f"%{ord(char):02x}" for char in str(repository.path)
    )
    return sshd.url(escaped)


def secret(sshd: SshServer, kind: str = "ed25519") -> bytes:
    return b"DEPLOY_KEY\0" + sshd.keys[kind]


def fetched(sshd: SshServer, repository: Repository, ref: str = "main", kind: str = "ed25519", **more: Any) -> Fetched:
    return run(url(sshd, repository), ref, secret=secret(sshd, kind), **{"hostKeys": [sshd.host_key], **more})


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_each_type_of_key_opens_it(sshd: SshServer, repository: Repository, kind: str) -> None:
    found = fetched(sshd, repository, kind=kind)
    assert found.read("a") == b"2" and found.report["reference"] == "refs/heads/main"


def test_the_path_reaches_no_shell(sshd: SshServer, repository: Repository) -> None:
    assert fetched(sshd, repository).names == ["a"]
    assert not list(Path.home().glob("ran")) and not list(repository.path.parent.glob("ran"))


def test_a_key_in_pem_form_and_without_its_last_newline_is_read(
    sshd: SshServer, repository: Repository, tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(sshd.keys["rsa"])
    (tmp_path / "key").chmod(0o600)
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-m", "PEM", "-N", "", "-f", str(tmp_path / "key")], check=True, capture_output=True
    )
    key = (tmp_path / "key").read_bytes()
    assert key.startswith(b"-----BEGIN RSA PRIVATE KEY-----")
    for form in (key.rstrip(), key.replace(b"\n", b"\r\n")):
        found = run(url(sshd, repository), secret=b"K\0" + form, hostKeys=[sshd.host_key])
        assert found.names == ["a"]


@pytest.mark.parametrize("is_old", [False, True], ids=["version 2", "version 0"])
def test_a_commit_is_fetched_by_its_id(
    sshd: SshServer, repository: Repository, monkeypatch: pytest.MonkeyPatch, is_old: bool
) -> None:
    if is_old:
        import paramiko

        monkeypatch.setattr(paramiko.Channel, "set_environment_variable", lambda *_: None)
    first = repository.git("rev-parse", "main~1")
    found = fetched(sshd, repository, first)
    assert (found.report["commit"], found.read("a")) == (first, b"1")
    assert (
        "no branch and no tag"
        in fault(url(sshd, repository), "f" * 40, secret=secret(sshd), hostKeys=[sshd.host_key])[1]
    )


def test_a_host_key_that_is_not_listed_is_named_with_its_fingerprint(sshd: SshServer, repository: Repository) -> None:
    before = sshd.log.count("Accepted publickey")
    code, message = fault(url(sshd, repository), secret=secret(sshd), hostKeys=[sshd.other_key])
    assert (
        code == "fetch-failed" and "ssh-ed25519 " + fingerprint(sshd.host_key) in message and sshd.host_key in message
    )
    assert sshd.log.count("Accepted publickey") == before
    assert fetched(sshd, repository, hostKeys=[sshd.other_key, sshd.host_key]).names == ["a"]


def test_without_host_keys_nothing_is_dialled(sshd: SshServer, repository: Repository) -> None:
    assert "hostKeys is empty" in fault(url(sshd, repository), secret=secret(sshd))[1]


def test_without_a_key_nothing_is_tried(sshd: SshServer, repository: Repository) -> None:
    for empty in (None, b"", b"NAME\0", b"NAME\0\n"):
        assert (
            "set a secret with the private key"
            in fault(url(sshd, repository), secret=empty, hostKeys=[sshd.host_key])[1]
        )


def test_another_key_is_not_let_in_and_no_password_is_tried(
    sshd: SshServer, repository: Repository, tmp_path: Path
) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    key = (tmp_path / "key").read_bytes()
    message = fault(url(sshd, repository), secret=b"NAME\0" + key, hostKeys=[sshd.host_key])[1]
    assert "does not let" in message and "public half" in message and key.decode().split()[5] not in message


def test_a_key_with_a_passphrase_is_told_from_none(sshd: SshServer, repository: Repository, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "longer", "-f", str(tmp_path / "key")], check=True)
    given = b"NAME\0" + (tmp_path / "key").read_bytes()
    assert "passphrase" in fault(url(sshd, repository), secret=given, hostKeys=[sshd.host_key])[1]


@pytest.mark.parametrize(
    "value",
    [
        b"user:hidden-value",
        b"\xff\xfe",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nhidden-value\n-----END OPENSSH PRIVATE KEY-----",
    ],
)
def test_what_is_no_key_is_not_repeated(sshd: SshServer, repository: Repository, value: bytes) -> None:
    request = {"url": url(sshd, repository), "ref": "main", "hostKeys": [sshd.host_key]}
    answer = serve(request, (4, b"DEPLOY_KEY\0" + value))
    assert "DEPLOY_KEY holds no private key" in answer.fault[1]
    assert "hidden" not in answer.fault[1] + answer.err and answer.err == ""


def test_what_the_server_says_of_a_missing_repository_is_told(sshd: SshServer) -> None:
    message = fault(sshd.url("/nowhere/a.git"), secret=secret(sshd), hostKeys=[sshd.host_key])[1]
    assert "'/nowhere/a.git' does not appear to be a git repository" in message


def test_what_speaks_no_ssh_is_told(sshd: SshServer, https: Any, repository: Repository) -> None:
    address = url(sshd, repository).replace(f":{sshd.port}", f":{https.port}")
    assert "no common ssh" in fault(address, secret=secret(sshd), hostKeys=[sshd.host_key])[1]


def test_the_entry_fetches_with_a_key(sshd: SshServer, repository: Repository) -> None:
    request = {"url": url(sshd, repository), "ref": "main", "hostKeys": [sshd.host_key]}
    answer = serve(request, (4, secret(sshd)))
    assert answer.fetched.names == ["a"] and (answer.exit_status, answer.err) == (0, "")
