"""Sources that the server fetches from a repository itself (SCW-12, KYM-13): which, from where, by whose word, and what of it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from accounts import account
from casemate_fixture import Outcome, Server, manifest
from gate_answers import AWS_KEY, PLAIN, PRIVATE_KEY, found, let_pass, recorded, refused_by_the_gate, set_policy
from git_world import GIT, HTTPS_PORT, PASSWORD, SSH_PORT, USER, GitWorld, Repository
from inject_hosts import head
from inject_probe import PUBLIC
from world_dns import A

HOST = f"https://{GIT}:{HTTPS_PORT}/"
# Names of their own, for what a server has looked up stays known for a while.
MOVING = [f"{name}.{GIT}" for name in ("gone", "one", "two", "three")]


@pytest.fixture(scope="module")
def world() -> Iterator[GitWorld]:
    if os.geteuid() != 0:
        pytest.exit("these tests make network namespaces, which needs root", returncode=4)
    with GitWorld() as world:
        yield world


@pytest.fixture(scope="module")
def server(world: GitWorld) -> Iterator[Server]:
    with world.installing() as server:
        set_policy(
            server,
            "plant",
            repositories=[HOST, f"ssh://root@{GIT}:{SSH_PORT}/", *[HOST.replace(GIT, name) for name in MOVING]],
        )
        yield server


@pytest.fixture
def code(world: GitWorld, request: pytest.FixtureRequest) -> Repository:
    """A repository of the test's own, with a function that gives 1."""
    name = hashlib.sha256(request.node.name.encode()).hexdigest()[:10]
    world.answers.clear()
    world.dns[GIT] = [A(PUBLIC)]
    made = world.repository(f"{name}.git")
    made.commit({"handler.py": PLAIN})
    return made


def url(code: Repository) -> str:
    return GitWorld.url(code.path.name if code.path.parent.name == "repositories" else f"private/{code.path.name}")


def deploy(server: Server, name: str, git: dict[str, Any], namespace: str = "plant", *options: str) -> Outcome:
    return server.try_deploy(namespace, name, {}, {"source": {"git": git}}, *options)


def refused(outcome: Outcome, *words: str) -> str:
    """A refusal of the fetch that has these words, and names the manifest's line."""
    assert outcome.code == 1 and outcome.first["status"] == "failed", outcome.said
    assert outcome.first["problemType"] in ("/problems/fetch-failed", "/problems/archive-refused"), outcome.said
    told = [item for item in outcome.first["diagnostics"] if item["severity"] == "error"]
    assert told and told[0]["file"] == "casemate.yaml" and told[0]["line"] == 4, outcome.said
    text: str = told[0]["what"] + "; " + told[0]["fix"]
    assert all(word in text for word in words), text
    return text


# ---------------------------------------------------------------- which commit


@pytest.mark.guarantee("SCW-12")
def test_SCW_12_a_branch_is_deployed_at_its_commit_and_that_is_recorded(server: Server, code: Repository) -> None:
    first = code.git("rev-parse", "main")
    outcome = let_pass(deploy(server, "branch", {"url": url(code), "ref": "main"}))
    assert outcome["git"]["commit"] == first, outcome
    assert server.call("plant/branch", body={}).json() == 1
    assert server.cli_json("function", "show", "plant/branch", "--json")["git"] == {
        "url": url(code), "ref": "main", "commit": first,
    }  # fmt: skip
    [event] = recorded(server, "source.fetched", function="plant/branch")
    assert event["details"]["commit"] == first and event["details"]["url"] == url(code), event
    assert let_pass(deploy(server, "branch", {"url": url(code), "ref": "main"}))["status"] == "unchanged"
    second = code.commit({"handler.py": "def handle(data):\n    return 2\n"})
    moved = let_pass(deploy(server, "branch", {"url": url(code), "ref": "main"}))
    assert (moved["git"]["commit"], moved["revision"]) == (second, 2), moved
    assert server.call("plant/branch", body={}).json() == 2
    back = let_pass(deploy(server, "branch", {"url": url(code), "ref": first}))
    assert back["git"]["commit"] == first and server.call("plant/branch", body={}).json() == 1


@pytest.mark.guarantee("SCW-12")
def test_SCW_12_the_commit_that_is_live_is_not_fetched_again(server: Server, world: GitWorld, code: Repository) -> None:
    commit = code.git("rev-parse", "main")
    world.dns[MOVING[0]] = [A(PUBLIC)]
    git = {"url": url(code).replace(GIT, MOVING[0]), "ref": commit}
    let_pass(deploy(server, "pinned", git))
    world.arrivals.clear()
    assert let_pass(deploy(server, "pinned", git))["status"] == "unchanged"
    changed = server.try_deploy("plant", "pinned", {}, {"source": {"git": git}, "env": {"REGION": "north"}})
    assert let_pass(changed)["revision"] == 2
    assert world.arrivals == []


@pytest.mark.guarantee("SCW-12")
@pytest.mark.parametrize("ref", ["nowhere", "v1.0", "0" * 40, "main~1", "HEAD:handler.py"])
def test_SCW_12_what_is_not_there_is_told_with_its_line(server: Server, code: Repository, ref: str) -> None:
    outcome = deploy(server, "missing", {"url": url(code), "ref": ref})
    assert outcome.code != 0 and ref.split("~")[0].split(":")[0] in outcome.said, outcome.said
    assert "casemate.yaml:4" in outcome.said or outcome.first["diagnostics"][0]["line"] == 4, outcome.said


@pytest.mark.guarantee("SCW-12")
def test_SCW_12_a_folder_of_it_alone_is_taken(server: Server, code: Repository) -> None:
    code.commit({"one/handler.py": PLAIN, "two/handler.py": "def handle(data):\n    return 2\n", "notes.txt": AWS_KEY})
    let_pass(deploy(server, "folder", {"url": url(code), "ref": "main", "folder": "two"}))
    assert server.call("plant/folder", body={}).json() == 2
    refused(deploy(server, "folder", {"url": url(code), "ref": "main", "folder": "three"}), "three")


def test_a_dry_run_and_a_refusal_leave_no_archive(server: Server, code: Repository) -> None:
    def archives() -> set[str]:
        return {path.name for path in server.folder.rglob("*") if path.is_file() and len(path.name) == 64}

    before = archives()
    planned = deploy(server, "dry", {"url": url(code), "ref": "main"}, "plant", "--dry-run")
    assert planned.code == 0 and planned.first["git"]["commit"] == code.git("rev-parse", "main"), planned.said
    code.commit({"handler.py": f'KEY = "{AWS_KEY}"\n' + PLAIN})
    refused_by_the_gate(deploy(server, "dry", {"url": url(code), "ref": "main"}))
    assert archives() == before


# ---------------------------------------------------------------- from where


@pytest.mark.guarantee("KYM-13")
def test_KYM_13_a_repository_that_the_policy_does_not_list_is_not_asked(
    server: Server, world: GitWorld, code: Repository
) -> None:
    world.arrivals.clear()
    for namespace, allowed in (("bare", []), ("narrow", [HOST + "other/"])):
        set_policy(server, namespace, repositories=allowed)
        outcome = deploy(server, "unlisted", {"url": url(code), "ref": "main"}, namespace)
        assert outcome.code == 1 and outcome.first["problemType"] == "/problems/forbidden", outcome.said
        assert "gate.repositories" in outcome.said, outcome.said
    assert world.arrivals == []


@pytest.mark.guarantee("KYM-13")
def test_KYM_13_who_may_not_deploy_has_nothing_fetched(server: Server, world: GitWorld, code: Repository) -> None:
    reader = account(server, "reader", ("function:read", "plant"))
    order = {
        "namespace": "plant",
        "manifest": manifest("plant", "unasked", {"source": {"git": {"url": url(code), "ref": "main"}}}),
        "sources": {},
    }
    world.arrivals.clear()
    assert reader.api("POST", "/v1/deployments", order).status == 403
    assert world.arrivals == []


@pytest.mark.guarantee("KYM-13")
@pytest.mark.parametrize(
    ("name", "address"), list(zip(MOVING[1:], ["10.1.2.3", "127.0.0.1", "169.254.169.254"], strict=True))
)
def test_KYM_13_a_name_of_a_private_address_is_not_connected(
    server: Server, world: GitWorld, code: Repository, name: str, address: str
) -> None:
    world.dns[name] = [A(address)]
    world.arrivals.clear()
    refused(deploy(server, "private", {"url": url(code).replace(GIT, name), "ref": "main"}), name)
    assert world.arrivals == [] and world.at_home == []


@pytest.mark.guarantee("KYM-13")
def test_KYM_13_a_redirect_to_another_host_is_not_followed(server: Server, world: GitWorld, code: Repository) -> None:
    world.dns["elsewhere.test"] = [A("93.184.216.35")]
    place = f"https://elsewhere.test:{HTTPS_PORT}/{code.path.name}/info/refs"
    world.answers[f"/{code.path.name}/info/refs"] = head(
        b"Location: " + place.encode(), b"Content-Length: 0", status=b"302 Found"
    )
    world.arrivals.clear()
    refused(deploy(server, "redirected", {"url": url(code), "ref": "main"}), "elsewhere.test")
    assert {arrival.address for arrival in world.arrivals} == {PUBLIC}


@pytest.mark.guarantee("KYM-13")
@pytest.mark.parametrize("way", ["submodule", "redirect"])
def test_KYM_13_what_the_policy_does_not_list_of_a_host_is_not_reached_by_way_of_what_it_lists(
    server: Server, world: GitWorld, code: Repository, way: str
) -> None:
    """The function's credentials may open all of the host."""
    other = world.repository(f"private/other-{code.path.name}")
    at = other.commit({"handler.py": PLAIN})
    git: dict[str, Any] = {"url": url(code), "ref": "main", "credentials": "GIT_CREDENTIALS"}
    if way == "submodule":
        settings = f'[submodule "part"]\n\tpath = part\n\turl = ../private/{other.path.name}\n'
        code.commit({"handler.py": PLAIN, ".gitmodules": settings, "part": at}, modes={"part": "160000"})
        git["submodules"] = True
    else:
        place = f"/private/{other.path.name}/info/refs?service=git-upload-pack".encode()
        world.answers[f"/{code.path.name}/info/refs"] = head(
            b"Location: " + place, b"Content-Length: 0", status=b"302 Found"
        )
    set_policy(server, "narrower", repositories=[url(code)])
    server.secret("narrower/bounded", "GIT_CREDENTIALS", f"{USER}:{PASSWORD}")
    world.arrivals.clear()
    refused(deploy(server, "bounded", git, "narrower"), other.path.name, "gate.repositories")
    assert not any(other.path.name.encode() in sent for arrival in world.arrivals for sent in arrival.heads)
    set_policy(server, "narrower", repositories=[url(code), GitWorld.url(f"private/{other.path.name}")])
    let_pass(deploy(server, "bounded", git, "narrower"))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\xff" * 4096,
        head(b"Content-Length: 5") + b"00zz\n",
        head(b"Content-Length: 99999999"),
    ],
    ids=["nothing", "no body", "noise", "no packet", "less than told"],
)
def test_a_host_that_answers_nonsense_is_told_as_that(
    server: Server, world: GitWorld, code: Repository, answer: bytes
) -> None:
    world.answers[f"/{code.path.name}/info/refs"] = answer
    refused(deploy(server, "nonsense", {"url": url(code), "ref": "main"}))
    server.assert_serving()


# ---------------------------------------------------------------- with what


@pytest.mark.guarantee("KYM-13")
def test_KYM_13_credentials_are_put_in_on_the_way_and_told_to_nobody(
    server: Server, world: GitWorld, code: Repository
) -> None:
    private = world.repository(f"private/{code.path.name}")
    private.commit({"handler.py": PLAIN})
    git = {"url": GitWorld.url(f"private/{code.path.name}"), "ref": "main"}
    refused(deploy(server, "guarded", git), "credentials")
    git["credentials"] = "GIT_CREDENTIALS"
    unset = deploy(server, "guarded", git)
    assert unset.code == 1 and "casemate secret set plant/guarded GIT_CREDENTIALS" in unset.said, unset.said
    wrong = f"{USER}:not-{PASSWORD}"
    server.secret("plant/guarded", "GIT_CREDENTIALS", wrong)
    told = deploy(server, "guarded", git)
    refused(told, "credentials")
    server.secret("plant/guarded", "GIT_CREDENTIALS", f"{USER}:{PASSWORD}")
    done = deploy(server, "guarded", git)
    let_pass(done)
    assert server.call("plant/guarded", body={}).json() == 1
    show = server.cli("function", "show", "plant/guarded", "--json")
    audit = server.cli("audit", "tail", "--json")
    said = "".join([told.said, done.said, *show[1:], *audit[1:], *server.err])
    for value in (PASSWORD, base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()):
        assert value not in said
        for path in server.folder.rglob("*"):
            assert not path.is_file() or value.encode() not in path.read_bytes(), path
    event = recorded(server, "secret.used", secrets="GIT_CREDENTIALS@2")[0]
    assert "repository" in event["details"]["for"], event


@pytest.mark.guarantee("KYM-13")
def test_KYM_13_ssh_wants_the_key_of_the_host_that_the_manifest_has(
    server: Server, world: GitWorld, code: Repository
) -> None:
    git: dict[str, Any] = {"url": world.ssh_url(code.path.name), "ref": "main", "credentials": "DEPLOY_KEY"}
    server.namespace("plant")
    server.secret("plant/secure", "DEPLOY_KEY", world.key("client"))
    strange = deploy(server, "secure", {**git, "hostKeys": [world.public_key("other")]})
    fingerprint = hashlib.sha256(base64.b64decode(world.public_key("host").split()[1])).digest()
    refused(strange, base64.b64encode(fingerprint).decode().rstrip("="))
    let_pass(deploy(server, "secure", {**git, "hostKeys": [world.public_key("other"), world.public_key("host")]}))
    assert server.call("plant/secure", body={}).json() == 1
    server.secret("plant/secure", "DEPLOY_KEY", world.key("stranger"))
    code.commit({"handler.py": PLAIN + "# changed\n"})
    unknown = deploy(server, "secure", {**git, "hostKeys": [world.public_key("host")]})
    refused(unknown, "key")
    for name in ("client", "stranger"):
        for line in world.key(name).splitlines()[1:-1]:
            assert line not in unknown.said + "".join(server.err)


# ---------------------------------------------------------------- what of it


@pytest.mark.guarantee("SCW-12", "SCW-11")
def test_SCW_12_what_a_repository_should_not_have_is_found_with_its_line(server: Server, code: Repository) -> None:
    code.commit({"handler.py": f'KEY = "{AWS_KEY}"\n' + PLAIN})
    outcome = refused_by_the_gate(deploy(server, "leaky", {"url": url(code), "ref": "main"}))
    assert [item["line"] for item in found(outcome, file="handler.py") if item["severity"] == "error"] == [1], outcome
    for name, content in {".env": "A=b\n", "server.key": PRIVATE_KEY}.items():
        code.commit({"handler.py": PLAIN, name: content})
        told = deploy(server, "leaky", {"url": url(code), "ref": "main"})
        assert told.code == 1 and name in told.first["problem"], told.said


@pytest.mark.guarantee("SCW-12")
def test_SCW_12_a_key_that_was_removed_is_found_in_the_history_where_that_is_asked(
    server: Server, code: Repository
) -> None:
    leaked = code.commit({"handler.py": f'KEY = "{AWS_KEY}"\n' + PLAIN})
    code.commit({"handler.py": PLAIN + "# it is gone\n"})
    git = {"url": url(code), "ref": "main"}
    let_pass(deploy(server, "history", git))
    outcome = refused_by_the_gate(deploy(server, "history", {**git, "history": True}))
    [told] = [item for item in found(outcome) if item["severity"] == "error"]
    assert told["file"] == "handler.py" and leaked[:12] in told["what"], told
    assert AWS_KEY not in json.dumps(outcome)
    server.waive("plant/history", outcome)
    let_pass(deploy(server, "history", {**git, "history": True}))


def test_symbolic_links_and_pointers_are_refused(server: Server, code: Repository) -> None:
    code.commit({"handler.py": PLAIN, "link": "/etc/passwd"}, modes={"link": "120000"})
    refused(deploy(server, "linked", {"url": url(code), "ref": "main"}), "link")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
    code.commit({"handler.py": PLAIN, "model.bin": pointer})
    refused(deploy(server, "linked", {"url": url(code), "ref": "main"}), "model.bin", "LFS")


def test_submodules_come_where_they_are_asked_for(server: Server, world: GitWorld, code: Repository) -> None:
    part = world.repository(f"part-{code.path.name}")
    at = part.commit({"part.py": "NUMBER = 7\n"})
    settings = f'[submodule "part"]\n\tpath = part\n\turl = ../part-{code.path.name}\n'
    reading = "try:\n    from part import part\nexcept ImportError:\n    part = None\n"
    handler = reading + "def handle(data):\n    return part and part.NUMBER\n"
    code.commit({"handler.py": handler, ".gitmodules": settings, "part": at}, modes={"part": "160000"})
    git = {"url": url(code), "ref": "main"}
    let_pass(deploy(server, "parts", git))
    assert server.call("plant/parts", body={}).json() is None
    let_pass(deploy(server, "parts", {**git, "submodules": True}))
    assert server.call("plant/parts", body={}).json() == 7
    foreign = settings.replace(f"../part-{code.path.name}", "https://elsewhere.test/part.git")
    code.commit({"handler.py": handler, ".gitmodules": foreign, "part": at}, modes={"part": "160000"})
    refused(deploy(server, "parts", {**git, "submodules": True}), "elsewhere.test")


# ---------------------------------------------------------------- beside the command line


@pytest.mark.guarantee("KYM-13")
def test_KYM_13_what_was_fetched_is_nobodys_upload(server: Server, code: Repository) -> None:
    let_pass(deploy(server, "fetched", {"url": url(code), "ref": "main"}))
    digest = server.cli_json("function", "show", "plant/fetched", "--json")["revisions"][0]["sourceDigest"]
    order = {
        "namespace": "plant",
        "manifest": manifest("plant", "taken"),
        "sources": {"taken": digest.removeprefix("sha256:")},
    }
    answer = server.api("POST", "/v1/deployments", order).json()["functions"][0]
    assert answer["status"] == "failed" and "upload it first" in answer["problem"], answer


def test_a_source_that_is_uploaded_for_a_repository_is_refused(server: Server, code: Repository) -> None:
    digest = server.api("POST", "/v1/archives", b"PK\x05\x06" + bytes(18)).json()["digest"]
    text = manifest("plant", "both", {"source": {"git": {"url": url(code), "ref": "main"}}})
    answer = server.api(
        "POST", "/v1/deployments", {"namespace": "plant", "manifest": text, "sources": {"both": digest}}
    )
    assert answer.json()["functions"][0]["problemType"] == "/problems/invalid-request", answer.text


def test_a_policy_takes_urls_alone(server: Server) -> None:
    server.namespace("wrong")
    for entry in (
        "git.example.com",
        "http://git.example.com/",
        "https://u:p@git.example.com/",
        "https://",
        "ssh://host/",
    ):
        answer = server.api("PUT", "/v1/namespaces/wrong/policy", {"gate": {"repositories": [entry]}})
        assert answer.status == 400 and "repositories" in answer.text and "u:p" not in answer.text, entry


def test_who_may_not_waive_may_not_list_repositories(server: Server) -> None:
    server.namespace("guarded")
    keeper = account(server, "keeper", ("policy:write", "guarded"))
    answer = keeper.api("PUT", "/v1/namespaces/guarded/policy", {"gate": {"repositories": [HOST]}})
    assert answer.status == 403 and "gate:waive" in answer.text, answer.text
