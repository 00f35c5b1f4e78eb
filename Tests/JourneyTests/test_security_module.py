"""The key-encryption key in a PKCS#11 token (SoftHSM 2), through the real server."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from casemate_fixture import Server, binary, clean_environment, handler, problem, wait_until

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
ANSWERS = handler("def handle(data, secrets):\n    return secrets['VALUE'][::-1]\n")
VALUE = "in-the-token-5q8d"


@dataclass
class Token:
    folder: Path
    pin: str

    @property
    def options(self) -> list[str]:
        return ["--kek", self.address, "--kek-environment", f"SOFTHSM2_CONF={self.folder / 'softhsm2.conf'}"]

    @property
    def address(self) -> str:
        return f"pkcs11:token=casemate;object=kek?module-path={MODULE}&pin-source={self.folder / 'pin'}"

    def keys(self) -> int:
        done = subprocess.run(
            [
                "pkcs11-tool",
                "--module",
                MODULE,
                "--token-label",
                "casemate",
                "--login",
                "--pin",
                self.pin,
                "--list-objects",
                "--type",
                "secrkey",
            ],
            env={**os.environ, "SOFTHSM2_CONF": str(self.folder / "softhsm2.conf")},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return done.stdout.count("label:")

    def own(self) -> None:
        account = pwd.getpwnam("casemate")
        for path in [self.folder, *self.folder.rglob("*")]:
            os.chown(path, account.pw_uid, account.pw_gid)


@pytest.fixture(scope="module")
def token() -> Iterator[Token]:
    folder = Path(tempfile.mkdtemp(prefix="casemate-token-"))
    folder.chmod(0o700)
    made = Token(folder, secrets.token_hex(8))
    (folder / "tokens").mkdir(mode=0o700)
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n")
    subprocess.run(
        [
            "softhsm2-util",
            "--init-token",
            "--free",
            "--label",
            "casemate",
            "--so-pin",
            secrets.token_hex(8),
            "--pin",
            made.pin,
        ],
        env={**os.environ, "SOFTHSM2_CONF": str(folder / "softhsm2.conf")},
        capture_output=True,
        timeout=30,
        check=True,
    )
    (folder / "pin").write_text(made.pin + "\n")
    (folder / "pin").chmod(0o600)
    yield made
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server(token: Token) -> Iterator[Server]:
    # The server's user is made at the first start of any server on this host.
    with Server():
        pass
    token.own()
    with Server(options=token.options) as server:
        server.namespace("hsm")
        server.secret("hsm/keeps", "VALUE", VALUE)
        server.deploy("hsm", "keeps", ANSWERS, {"secrets": ["VALUE"]})
        yield server


def test_a_data_key_is_wrapped_in_the_token_which_made_the_first_key_itself(server: Server, token: Token) -> None:
    assert server.call("hsm/keeps", body={}).json() == VALUE[::-1]
    assert server.api("GET", "/v1/vault").json()["activeKey"].startswith("pkcs11:")
    assert not (server.data / "server/kek").exists()
    assert token.keys() == 1


def test_a_rotation_makes_a_key_in_the_token_and_destroys_the_old_one(server: Server, token: Token) -> None:
    before = server.api("GET", "/v1/vault").json()["activeKey"]
    code, _, err = server.cli("vault", "rotate")
    assert code == 0, err
    after = server.api("GET", "/v1/vault").json()
    assert after["activeKey"] != before
    assert token.keys() == 1
    server.secret("hsm/keeps", "VALUE", VALUE + "-2")
    assert server.call("hsm/keeps", body={}).json() == (VALUE + "-2")[::-1]


def test_S13_while_the_token_is_away_warm_functions_go_on_and_cold_ones_are_refused(
    server: Server, token: Token
) -> None:
    server.secret("hsm/cold", "VALUE", VALUE)
    server.deploy("hsm", "cold", ANSWERS, {"secrets": ["VALUE"]})
    assert server.call("hsm/keeps", body={}).status == 200
    (token.folder / "tokens").rename(token.folder / "away")
    try:
        refused = problem(server.call("hsm/cold", body={}))
        assert refused["type"] == "/problems/kek-unavailable"
        assert str(token.folder) not in str(refused)
        assert server.call("hsm/keeps", body={}).status == 200
    finally:
        (token.folder / "away").rename(token.folder / "tokens")
    assert wait_until(lambda: server.call("hsm/cold", body={}).status == 200, 10, every=0.5)


def test_a_server_moves_from_a_file_to_the_token_by_a_rotation(token: Token) -> None:
    with Server() as server:
        server.namespace("moves")
        server.secret("moves/f", "VALUE", VALUE)
        server.deploy("moves", "f", ANSWERS, {"secrets": ["VALUE"]})
        server.stop()
        server.options = ["--kek", f"{token.address},file", *token.options[2:]]
        server.start()
        assert server.call("moves/f", body={}).json() == VALUE[::-1], "what the file wrapped does not open"
        assert server.cli("vault", "rotate")[0] == 0
        assert not (server.data / "server/kek").exists(), "the file's key was not destroyed"
        server.stop()
        server.options = token.options
        server.start()
        assert server.call("moves/f", body={}).json() == VALUE[::-1]


def test_the_pin_is_in_no_command_line_environment_or_file_of_the_server(server: Server, token: Token) -> None:
    for name in ("environ", "cmdline"):
        assert token.pin.encode() not in open(f"/proc/{server.pid}/{name}", "rb").read()
    for path in server.data.rglob("*"):
        if path.is_file():
            assert token.pin.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("pkcs11:token=casemate;object=kek", "module-path"),
        (f"pkcs11:token=casemate;object=kek?module-path={MODULE}&pin-value=1234", "pin-value"),
        ("pkcs11:object=kek?module-path=lib.so&pin-source=/pin", "module-path"),
        ("vault:x", "must be file"),
        ("aws-kms://eu-west-1/", "aws-kms"),
        ("file,file:///other", "two providers of one kind"),
    ],
    ids=["no-module", "pin-value", "relative-module", "unknown", "no-key", "twice"],
)
def test_a_wrong_address_is_told_before_anything_starts(address: str, says: str) -> None:

    done = subprocess.run(
        [binary(), "config", "show", "--kek", address],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2
    assert says in done.stderr
    assert "1234" not in done.stderr + done.stdout
