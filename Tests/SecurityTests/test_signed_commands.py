"""Signatures by the command line, and for sources that the server fetches itself."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from casemate_fixture import Outcome, Server, binary, manifest, wait_until
from gate_answers import PLAIN, let_pass
from git_world import GIT, HTTPS_PORT, GitWorld, Repository
from package_index import Release
from signed import assert_never_there, house, keys  # noqa: F401
from source_packages import needing
from ssh_signatures import (
    Deployment,
    Key,
    Keys,
    active,
    assert_runs,
    deployment,
    handler_of,
    refused,
    revisions,
    sha256,
    signer,
    statement,
    supply_chain,
)

# ---------------------------------------------------------------- the command line

_numbers = itertools.count(1)


def cli_deploy(server: Server, folder: Path, *options: str | Path, **environment: str) -> Outcome:
    arguments = [str(option) for option in options]
    return Outcome(*server.cli("deploy", str(folder), "--json", *arguments, environment=environment))


@pytest.fixture
def project(server: Server, house: str, keys: Keys) -> Path:
    supply_chain(server, house, signer("ada", keys("ada")), requireSignature=True)
    return server.project(house, "hello", handler_of(1))


@pytest.mark.guarantee("COG-27")
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa-256", "rsa-3072"])
def test_COG_27_the_command_signs_with_a_private_key(
    server: Server, house: str, keys: Keys, project: Path, kind: str
) -> None:
    supply_chain(server, house, signer("ada", keys("ada", kind)), requireSignature=True)
    refusal = cli_deploy(server, project)
    assert refusal.code == 1, refusal.said
    refused(refusal.first)
    outcome = let_pass(cli_deploy(server, project, "--sign-key", keys("ada", kind).file))
    assert outcome["status"] == "deployed", outcome
    assert active(server, f"{house}/hello")["signedBy"] == {"name": "ada", "key": keys("ada", kind).fingerprint}
    assert_runs(server, f"{house}/hello", 1)
    assert let_pass(cli_deploy(server, project, "--sign-key", keys("ada", kind).file))["status"] == "unchanged"


@contextlib.contextmanager
def agent(key: Key) -> Iterator[dict[str, str]]:
    """An agent that has this key; yields what it is found by."""
    # Not in pytest's folder: the path of a socket has at most 108 bytes.
    with tempfile.TemporaryDirectory(prefix="casemate-agent-") as folder:
        environment = {"SSH_AUTH_SOCK": f"{folder}/agent"}
        process = subprocess.Popen(
            ["ssh-agent", "-D", "-a", environment["SSH_AUTH_SOCK"]], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )
        try:
            assert wait_until(lambda: os.path.exists(environment["SSH_AUTH_SOCK"]), 10)
            subprocess.run(
                ["ssh-add", "-q", str(key.file)], env={**os.environ, **environment}, check=True, capture_output=True
            )
            yield environment
        finally:
            process.terminate()
            process.wait(10)


@pytest.mark.guarantee("COG-27")
def test_COG_27_the_command_signs_with_a_key_that_only_the_agent_has(
    server: Server, house: str, project: Path, tmp_path: Path
) -> None:
    key = Key.make(tmp_path)
    supply_chain(server, house, signer("ada", key), requireSignature=True)
    with agent(key) as environment:
        public = key.public
        key.file.unlink()
        let_pass(cli_deploy(server, project, "--sign-key", key.public_file, **environment))
    assert active(server, f"{house}/hello")["signedBy"]["name"] == "ada"
    (project / "source" / "handler.py").write_text(handler_of(2)["handler.py"])
    without = cli_deploy(server, project, "--sign-key", key.public_file)
    assert without.code != 0 and public.split()[1] not in without.out, "the agent is gone"
    assert_runs(server, f"{house}/hello", 1)


@pytest.mark.guarantee("COG-27")
def test_COG_27_the_command_prints_what_is_to_be_signed_and_takes_what_was_signed_elsewhere(
    server: Server, house: str, keys: Keys, project: Path, tmp_path: Path
) -> None:
    code, printed, err = server.cli("deploy", str(project), "--print-statement")
    assert code == 0, err
    text = (project / "casemate.yaml").read_bytes()
    found = re.search(r"^source (sha256:[0-9a-f]{64})$", printed, re.M)
    assert found and printed == statement(house, "hello", text, found[1]), printed
    assert server.cli("deploy", str(project), "--print-statement", "hello")[1] == printed
    assert_never_there(server, f"{house}/hello")
    (tmp_path / "signature").write_text(keys("ada").sign(printed))
    let_pass(cli_deploy(server, project, "--signature", f"hello={tmp_path / 'signature'}"))
    revision = active(server, f"{house}/hello")
    assert (revision["sourceDigest"], revision["signedBy"]["name"]) == (found[1], "ada")
    assert_runs(server, f"{house}/hello", 1)


@pytest.mark.guarantee("COG-27")
def test_COG_27_what_is_to_be_signed_is_printed_where_no_server_is(server: Server, house: str, project: Path) -> None:
    here = server.cli("deploy", str(project), "--print-statement")
    away = server.cli(
        "deploy", str(project), "--print-statement", environment={"CASEMATE_URL": "http://127.0.0.1:1", "CASEMATE_KEY": "none"}
    )  # fmt: skip
    assert away[:2] == here[:2] and here[0] == 0, away


@pytest.mark.case("D11")
@pytest.mark.parametrize("what", ["source", "manifest"])
def test_D11_what_was_changed_after_it_was_signed_is_not_deployed(
    server: Server, house: str, keys: Keys, project: Path, tmp_path: Path, what: str
) -> None:
    printed = server.cli("deploy", str(project), "--print-statement")[1]
    (tmp_path / "signature").write_text(keys("ada").sign(printed))
    if what == "source":
        (project / "source" / "handler.py").write_text(handler_of(2)["handler.py"])
    else:
        (project / "casemate.yaml").write_text(manifest(house, "hello", {"egress": ["api.example.com:443"]}))
    outcome = cli_deploy(server, project, "--signature", f"hello={tmp_path / 'signature'}")
    assert outcome.code == 1, outcome.said
    refused(outcome.first)
    assert_never_there(server, f"{house}/hello")


@pytest.mark.guarantee("COG-27")
def test_COG_27_the_command_signs_each_function_of_a_manifest(
    server: Server, house: str, keys: Keys, tmp_path: Path
) -> None:
    supply_chain(server, house, signer("ada", keys("ada")), signer("eve", keys("eve")), requireSignature=True)
    text = manifest(house, "one", {}) + manifest(None, "two", {}).removeprefix("functions:\n")
    folder = server.project(house, "one", handler_of(1), text)
    statements = {name: server.cli("deploy", str(folder), "--print-statement", name)[1] for name in ("one", "two")}
    for name, printed in statements.items():
        assert printed.splitlines()[:3] == ["casemate deployment v1", f"namespace {house}", f"function {name}"]
    code, both, _ = server.cli("deploy", str(folder), "--print-statement")
    assert code == 0 and all(printed in both for printed in statements.values()), both
    outcome = cli_deploy(server, folder, "--sign-key", keys("ada").file)
    assert outcome.code == 0 and [one["status"] for one in outcome.functions] == ["deployed", "deployed"], outcome.said
    options = []
    (folder / "source" / "handler.py").write_text(handler_of(2)["handler.py"])
    for name, key in (("one", keys("ada")), ("two", keys("eve"))):
        printed = server.cli("deploy", str(folder), "--print-statement", name)[1]
        (tmp_path / name).write_text(key.sign(printed))
        options += ["--signature", f"{name}={tmp_path / name}"]
    outcome = cli_deploy(server, folder, *options)
    assert outcome.code == 0, outcome.said
    assert [active(server, f"{house}/{name}")["signedBy"]["name"] for name in ("one", "two")] == ["ada", "eve"]


@pytest.mark.guarantee("COG-27")
def test_COG_27_the_manifest_s_own_bytes_are_signed_whatever_its_line_ends(
    server: Server, house: str, keys: Keys, project: Path
) -> None:
    file = project / "casemate.yaml"
    text = "# für die Anlage\r\n" + file.read_text().replace("\n", "\r\n")
    file.write_bytes(text.encode())
    printed = server.cli("deploy", str(project), "--print-statement")[1]
    assert f"manifest sha256:{sha256(text)}\n" in printed and "\r" not in printed
    let_pass(cli_deploy(server, project, "--sign-key", keys("ada").file))
    assert_runs(server, f"{house}/hello", 1)


@pytest.mark.guarantee("COG-27")
def test_COG_27_the_command_signs_for_the_namespace_that_it_deploys_to(
    server: Server, house: str, keys: Keys, project: Path
) -> None:
    there = f"{house}-next"
    supply_chain(server, there, signer("ada", keys("ada")), requireSignature=True)
    printed = server.cli("deploy", str(project), "--namespace", there, "--print-statement")[1]
    assert f"\nnamespace {there}\n" in printed, printed
    let_pass(cli_deploy(server, project, "--namespace", there, "--sign-key", keys("ada").file))
    assert_runs(server, f"{there}/hello", 1)
    assert_never_there(server, f"{house}/hello")


WRONG_OPTIONS: dict[str, Callable[[Path, Keys], list[str]]] = {
    "a key that is not there": lambda folder, keys: ["--sign-key", str(folder / "absent")],
    "a folder for a key": lambda folder, keys: ["--sign-key", str(folder)],
    "a text for a key": lambda folder, keys: ["--sign-key", str(folder / "text")],
    "a public key without an agent": lambda folder, keys: ["--sign-key", str(folder / "lonely.pub")],
    "a signature that is not there": lambda folder, keys: ["--signature", f"hello={folder / 'absent'}"],
    "a signature of no function": lambda folder, keys: ["--signature", str(folder / "text")],
    "a signature of another function": lambda folder, keys: ["--signature", f"other={folder / 'text'}"],
    "a text for a signature": lambda folder, keys: ["--signature", f"hello={folder / 'text'}"],
    "no last signature": lambda folder, keys: ["--signature"],
    "a statement of another function": lambda folder, keys: ["--print-statement", "other"],
}


@pytest.mark.parametrize("what", WRONG_OPTIONS)
def test_what_the_command_can_not_sign_with_is_told_and_nothing_is_deployed(
    server: Server, house: str, keys: Keys, project: Path, tmp_path: Path, what: str
) -> None:
    (tmp_path / "text").write_text("nothing of the kind\n")
    shutil.copy(keys("lonely").public_file, tmp_path / "lonely.pub")
    code, _, err = server.cli("deploy", str(project), *WRONG_OPTIONS[what](tmp_path, keys))
    assert code in (1, 2, 64), f"{code} {err}"
    assert err.strip(), "it says why"
    assert_never_there(server, f"{house}/hello")


def test_the_command_says_so_where_there_is_no_ssh_keygen(
    server: Server, house: str, keys: Keys, project: Path, tmp_path: Path
) -> None:
    outcome = cli_deploy(server, project, "--sign-key", keys("ada").file, PATH=str(tmp_path))
    assert outcome.code != 0 and "ssh-keygen" in outcome.err, outcome.said
    assert_never_there(server, f"{house}/hello")


def test_the_command_does_not_wait_for_a_passphrase_where_nobody_can_type_it(
    server: Server, house: str, keys: Keys, project: Path, tmp_path: Path
) -> None:
    key = Key.make(tmp_path, phrase=os.urandom(8).hex())
    # In a session of its own, for /dev/tty is whoever's who runs the tests.
    done = subprocess.run(
        [str(binary()), "deploy", str(project), "--sign-key", str(key.file)],
        env={name: value for name, value in server.cli_environment().items() if not name.startswith(("SSH_", "DISPLAY"))},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
        cwd="/",
    )  # fmt: skip
    assert done.returncode != 0 and done.stderr.strip(), done.stdout + done.stderr
    assert_never_there(server, f"{house}/hello")


# ---------------------------------------------------------------- sources that the server fetches itself

HOST = f"https://{GIT}:{HTTPS_PORT}/"


@pytest.fixture(scope="module")
def far() -> Iterator[GitWorld]:
    if os.geteuid() != 0:
        pytest.exit("these tests make network namespaces, which needs root", returncode=4)
    with GitWorld() as world:
        world.index.add(Release("plain", "1.0"))
        world.open_index()
        yield world


@pytest.fixture(scope="module")
def fetching(far: GitWorld, keys: Keys) -> Iterator[Server]:
    with far.installing("--pool-size", "2") as server:
        supply_chain(server, "plant", signer("ada", keys("ada")), gate={"repositories": [HOST]}, requireSignature=True)
        yield server


@pytest.fixture
def code(far: GitWorld) -> Repository:
    made = far.repository(f"signed{next(_numbers)}.git")
    made.commit({"handler.py": PLAIN})
    return made


def from_repository(server: Server, code: Repository, ref: str, **other: str) -> Deployment:
    """What is deployed, and what would be signed for it; `other` is a part of that which is another."""
    name = code.path.stem
    url = GitWorld.url(code.path.name)
    text = manifest("plant", name, {"source": {"git": {"url": url, "ref": ref}}})
    named = {"url": url, "commit": ref, **other}
    return Deployment(server, "plant", text, {}, {name: f"git:{named['url']}@{named['commit']}"})


def git_project(server: Server, code: Repository, ref: str) -> Path:
    source = {"git": {"url": GitWorld.url(code.path.name), "ref": ref}}
    return server.project("plant", code.path.stem, {}, {"source": source})


@pytest.mark.guarantee("COG-27")
def test_COG_27_a_commit_is_signed_by_its_repository_and_id(fetching: Server, code: Repository, keys: Keys) -> None:
    commit = code.git("rev-parse", "main")
    wanted = from_repository(fetching, code, commit)
    refused(wanted.outcome())
    assert wanted.by(keys("ada"))["git"]["commit"] == commit
    assert active(fetching, wanted.function)["signedBy"]["name"] == "ada"
    assert_runs(fetching, wanted.function, 1)


@pytest.mark.case("D11")
@pytest.mark.parametrize("what", ["another commit", "another repository", "no commit", "a digest"])
def test_D11_a_signature_of_another_commit_is_refused(
    fetching: Server, code: Repository, keys: Keys, what: str
) -> None:
    first = code.git("rev-parse", "main")
    second = code.commit({"handler.py": handler_of(2)["handler.py"]})
    other = {
        "another commit": from_repository(fetching, code, second, commit=first),
        "another repository": from_repository(fetching, code, second, url=HOST + "other.git"),
        "no commit": from_repository(fetching, code, second, commit="main"),
        "a digest": replace(
            from_repository(fetching, code, second), fetched={code.path.stem: f"sha256:{sha256(second)}"}
        ),
    }[what]
    refused(other.outcome(other.signed(keys("ada"))))
    assert_never_there(fetching, other.function)


@pytest.mark.guarantee("COG-27")
def test_COG_27_the_command_signs_a_whole_commit_and_no_branch(
    fetching: Server, code: Repository, keys: Keys, tmp_path: Path
) -> None:
    commit, function = code.git("rev-parse", "main"), f"plant/{code.path.stem}"
    code.git("tag", "v1", commit)
    for ref in ("main", "v1"):
        branch = git_project(fetching, code, ref)
        for options in (["--sign-key", str(keys("ada").file)], ["--print-statement"]):
            told = fetching.cli("deploy", str(branch), *options)
            assert told[0] == 2 and "commit" in told[2] and not told[1], told
    assert_never_there(fetching, function)
    pinned = git_project(fetching, code, commit)
    text, source = (pinned / "casemate.yaml").read_bytes(), f"git:{GitWorld.url(code.path.name)}@{commit}"
    printed = fetching.cli("deploy", str(pinned), "--print-statement")[1]
    assert printed == statement("plant", code.path.stem, text, source)
    let_pass(cli_deploy(fetching, pinned, "--sign-key", keys("ada").file))
    assert_runs(fetching, function, 1)
    (tmp_path / "signature").write_text(keys("ada").sign(printed))
    again = cli_deploy(fetching, pinned, "--signature", f"{code.path.stem}={tmp_path / 'signature'}")
    assert let_pass(again)["status"] == "unchanged"


@pytest.mark.guarantee("COG-27")
def test_COG_27_newer_packages_are_not_deployed_unsigned_where_signatures_are_required(
    fetching: Server, far: GitWorld, keys: Keys
) -> None:
    wanted = deployment(fetching, "plant/packaged", needing(["plain"], "plain", returns="plain.VERSION"))
    wanted.by(keys("ada"))
    far.index.add(Release("plain", "2.0"))
    answer = fetching.api("POST", f"{fetching.function_path(wanted.function)}/upgrade", {}, timeout=180)
    assert answer.status == 200, answer.text
    refused(answer.json())
    assert list(revisions(fetching, wanted.function)) == [1]
    assert fetching.call(wanted.function, body={}).json() == "1.0"
