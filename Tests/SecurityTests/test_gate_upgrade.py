"""`casemate deps upgrade`: a lock stays until somebody asks for newer packages, and what comes of that passes the same checks."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from accounts import account
from casemate_fixture import Server, handler, problem
from gate_answers import (
    V3_CRITICAL,
    V3_MEDIUM,
    advisory,
    found,
    import_advisories,
    let_pass,
    posture_of,
    recorded,
    set_policy,
)
from package_index import PackageWorld, Release
from source_packages import needing
from supply_chain import approve, live

numbers = itertools.count(1)


class Breaking(Release):
    """Its module can't be imported."""

    def module_text(self) -> str:
        return "raise RuntimeError('this version does not load')\n"


@pytest.fixture(scope="module")
def packages() -> Iterator[PackageWorld]:
    if os.geteuid() != 0:
        pytest.exit("these tests make network namespaces, which needs root", returncode=4)
    with PackageWorld() as world:
        world.index.add(Release("plain"))
        world.open_index()
        yield world


@pytest.fixture(scope="module")
def shop(packages: PackageWorld) -> Iterator[Server]:
    with packages.installing("--pool-size", "2") as server:
        yield server


class Locked:
    """A function with packages of names that no other test has, of which there is a higher version since."""

    def __init__(self, shop: Server, packages: PackageWorld, *names: str, lines: tuple[str, ...] = ()) -> None:
        self.shop, self.packages = shop, packages
        number = next(numbers)
        self.function = f"locked/f{number}"
        self.names = [f"{name}{number}" for name in names]
        self.lines = [line.format(*self.names) for line in lines] or self.names
        packages.index.add(*[Release(name, "1.0") for name in self.names])
        self.deploy()
        assert self.versions() == dict.fromkeys(self.names, "1.0")

    def source(self) -> dict[str, str]:
        """Another handler each time."""
        modules = ", ".join(f"{name!r}: {name}.VERSION" for name in self.names)
        return needing(self.lines, *self.names, returns=f"{{{modules}}}")

    def deploy(self, **keys: Any) -> dict[str, Any]:
        namespace, name = self.function.split("/")
        return let_pass(self.shop.try_deploy(namespace, name, self.source(), keys))

    def release(self, version: str, kind: type[Release] = Release, *only: str) -> None:
        self.packages.index.add(*[kind(name, version) for name in only or self.names])

    def versions(self) -> dict[str, str]:
        answer = self.shop.call(self.function, body={})
        assert answer.status == 200, answer.text
        told: dict[str, str] = answer.json()
        return told

    def upgrade(self, *options: str) -> tuple[int, str]:
        code, out, err = self.shop.cli("deps", "upgrade", self.function, *options)
        return code, out + err

    def upgraded(self, *options: str) -> dict[str, Any]:
        """The server's answer, of an upgrade that may have been refused."""
        code, out, err = self.shop.cli("deps", "upgrade", self.function, "--json", *options)
        told: dict[str, Any] = json.loads(out)
        assert code == (told["status"] == "failed"), out + err
        return told

    def state(self) -> tuple[Any, str]:
        """Revisions, and what is locked."""
        page = self.shop.cli_json("function", "show", self.function)
        revisions = [(one["number"], one["isActive"]) for one in page["revisions"]]
        return revisions, self.shop.cli("deps", "show", self.function)[1]


# ---------------------------------------------------------------- what stays, and what is taken


@pytest.mark.guarantee("COG-18", "AZR-14")
def test_COG_18_a_lock_stays_until_an_upgrade_takes_what_is_newer(shop: Server, packages: PackageWorld) -> None:
    one = Locked(shop, packages, "quokka", "wombat")
    one.release("1.1")
    one.release("2.0", Release, one.names[0])
    one.deploy()
    assert one.versions() == dict.fromkeys(one.names, "1.0"), "another handler changes no package"
    before = one.state()[0]
    code, said = one.upgrade()
    assert code == 0, said
    quokka, wombat = one.names
    assert re.search(rf"{quokka} 1\.0 -> 2\.0", said) and re.search(rf"{wombat} 1\.0 -> 1\.1", said), said
    assert one.function in said and f"revision {len(before) + 1}" in said, said
    assert one.versions() == {quokka: "2.0", wombat: "1.1"}
    lock = one.state()[1]
    assert f"{quokka}==2.0" in lock and f"{wombat}==1.1" in lock and "==1.0" not in lock, lock
    digests = [
        release.digest for release in packages.index.releases if (release.name, release.version) == (quokka, "2.0")
    ]
    assert digests[0] in lock, lock
    # And from now on it is that one that stays.
    one.release("3.0")
    one.deploy()
    assert one.versions() == {quokka: "2.0", wombat: "1.1"}


@pytest.mark.guarantee("COG-18")
def test_COG_18_a_dry_run_shows_and_changes_nothing(shop: Server, packages: PackageWorld) -> None:
    one = Locked(shop, packages, "quokka")
    one.release("2.0")
    before, events = one.state(), len(recorded(shop, "function.deployed"))
    bundles = set(os.listdir(shop.data / "warden/bundles"))
    code, said = one.upgrade("--dry-run")
    assert code == 0 and re.search(rf"{one.names[0]} 1\.0 -> 2\.0", said) and "would" in said, said
    told = one.upgraded("--dry-run")
    assert told["status"] == "planned" and told["packages"] == {
        "added": [f"{one.names[0]} 2.0"],
        "removed": [f"{one.names[0]} 1.0"],
    }, told
    assert one.state() == before and one.versions() == {one.names[0]: "1.0"}
    assert len(recorded(shop, "function.deployed")) == events
    assert set(os.listdir(shop.data / "warden/bundles")) == bundles
    one.deploy()
    assert one.versions() == {one.names[0]: "1.0"}


@pytest.mark.guarantee("COG-18")
def test_COG_18_an_upgrade_without_anything_newer_changes_nothing(shop: Server, packages: PackageWorld) -> None:
    one = Locked(shop, packages, "quokka")
    before = one.state()
    for options in ((), ("--dry-run",)):
        code, said = one.upgrade(*options)
        assert code == 0 and "->" not in said and "newest" in said, said
    assert one.upgraded()["status"] == "unchanged" and one.state() == before


@pytest.mark.guarantee("COG-18")
def test_COG_18_an_upgrade_goes_as_far_as_the_source_allows(shop: Server, packages: PackageWorld) -> None:
    one = Locked(shop, packages, "quokka", "wombat", "numbat", lines=("{0}==1.0", "{1}<2", "{2}"))
    one.release("1.5")
    one.release("2.0")
    # What is yanked is nobody's choice.
    packages.index.add(Release(one.names[2], "3.0", yanked=True))
    assert one.upgrade()[0] == 0
    assert list(one.versions().values()) == ["1.0", "1.5", "2.0"]


@pytest.mark.guarantee("COG-18")
def test_COG_18_only_the_packages_that_are_named_are_upgraded(shop: Server, packages: PackageWorld) -> None:
    one = Locked(shop, packages, "quokka", "wombat", "numbat")
    one.release("2.0")
    code, said = one.upgrade("--package", one.names[0])
    assert code == 0 and one.names[0] in said and one.names[1] not in said, said
    assert list(one.versions().values()) == ["2.0", "1.0", "1.0"]
    assert one.upgrade("--package", one.names[1].upper(), "--package", one.names[2])[0] == 0
    assert list(one.versions().values()) == ["2.0", "2.0", "2.0"]


@pytest.mark.guarantee("COG-18")
def test_COG_18_what_comes_with_a_new_version_and_what_goes_is_told(shop: Server, packages: PackageWorld) -> None:
    name = f"needy{next(numbers)}"
    packages.index.add(Release(name, "1.0", requires=["plain"]), Release("dunnarts"))
    source = needing([name], name, returns=f"{name}.VERSION")
    let_pass(shop.try_deploy("locked", "needy", source))
    packages.index.add(Release(name, "2.0", requires=["dunnarts"]))
    code, out, err = shop.cli("deps", "upgrade", "locked/needy")
    assert code == 0 and re.search(r"\+ dunnarts 1\.0", out) and re.search(r"- plain 1\.0", out), out + err
    lock = shop.cli("deps", "show", "locked/needy")[1]
    assert "dunnarts==1.0" in lock and "plain" not in lock, lock
    names = {component["name"] for component in json.loads(shop.cli("sbom", "locked/needy")[1])["components"]}
    assert names == {name, "dunnarts"}


@pytest.mark.guarantee("COG-18")
def test_COG_18_an_upgrade_keeps_all_else_of_the_function(shop: Server, packages: PackageWorld) -> None:
    one = Locked(shop, packages, "quokka")
    keys = {"env": {"REGION": "north"}, "limits": {"memory": "96MiB", "timeout": "7s"}, "access": "public"}
    keys |= {"secrets": ["API_KEY"], "dependencies": {"policy": "auto"}}
    shop.secret(one.function, "API_KEY", "one-value-of-it")
    one.deploy(**keys)
    before = shop.cli_json("function", "show", one.function)
    one.release("2.0")
    assert one.upgrade()[0] == 0
    after = shop.cli_json("function", "show", one.function)
    (old,), (new,) = ([item for item in page["revisions"] if item["isActive"]] for page in (before, after))
    changing = {"number", "created", "digest", "bundleDigest", "lock", "findings"}
    assert {key: value for key, value in old.items() if key not in changing} == {
        key: value for key, value in new.items() if key not in changing
    }
    # Those of the manifest have no line now: it is not kept.
    names = [{item["finding"]["id"] for item in one["findings"]} for one in (old, new)]
    assert names[0] == names[1] and names[0]
    assert shop.call(one.function, body={}, key=None).json() == {one.names[0]: "2.0"}, "still public"
    code, out, err = shop.cli("function", "rollback", one.function)
    assert code == 0, out + err
    assert one.versions() == {one.names[0]: "1.0"}


@pytest.mark.case("D11")
@pytest.mark.guarantee("COG-18", "COG-19")
def test_D11_COG_19_what_is_upgraded_is_still_its_author_s(shop: Server, packages: PackageWorld) -> None:
    one = Locked(shop, packages, "numbat")
    author, bot, other = (account(shop, "locked", (role, "locked")) for role in ("developer", "developer", "approver"))
    author.grant("deploy:approve", "locked")
    live(author, one.function, one.source())
    one.release("2.0")
    code, out, err = bot.cli("deps", "upgrade", one.function)
    assert code == 0, out + err
    shown = shop.cli_json("function", "show", one.function)["revisions"]
    newest = max(shown, key=lambda revision: int(revision["number"]))
    assert newest["createdBy"] == bot.subject and newest["isActive"], newest
    told = problem(approve(author, one.function, newest["number"], newest["digest"]))
    assert (told["status"], told["type"]) == (403, "/problems/self-approval"), told
    assert approve(other, one.function, newest["number"], newest["digest"]).status == 200


@pytest.mark.guarantee("COG-18")
def test_COG_18_a_strict_source_has_its_own_lock_and_an_upgrade_does_not_pass_over_it(
    shop: Server, packages: PackageWorld
) -> None:
    name = f"strict{next(numbers)}"
    first = Release(name)
    packages.index.add(first)
    source = needing([f"{name}==1.0 --hash=sha256:{first.digest}"], name, returns=f"{name}.VERSION")
    let_pass(shop.try_deploy("locked", "strict", source, {"dependencies": {"policy": "strict"}}))
    packages.index.add(Release(name, "2.0"))
    shop.cli("deps", "upgrade", "locked/strict")
    assert shop.call("locked/strict", body={}).json() == "1.0"
    # Nor where it is the namespace's policy that became strict.
    one = Locked(shop, packages, "quokka")
    one.release("2.0")
    set_policy(shop, "locked", dependencies="strict")
    try:
        code, said = one.upgrade()
        assert code == 1 and "pinned" in said and "still serves" in said, said
    finally:
        set_policy(shop, "locked")
    assert one.versions() == {one.names[0]: "1.0"}


# ---------------------------------------------------------------- advisories


@pytest.fixture
def advised(shop: Server) -> Iterator[Server]:
    """Afterwards nothing is known of any package that is in use."""
    yield shop
    import_advisories(shop, advisory("PYSEC-2024-1", "no-such-package-here"))


@pytest.mark.guarantee("COG-18", "KYM-8")
def test_KYM_8_an_upgrade_says_which_advisories_it_ends(advised: Server, packages: PackageWorld) -> None:
    one = Locked(advised, packages, "quokka", "wombat")
    quokka, wombat = one.names
    fixed = [{"introduced": "0"}, {"fixed": "2.0"}]
    import_advisories(
        advised,
        advisory("PYSEC-2024-50", quokka, fixed, V3_CRITICAL),
        advisory("PYSEC-2024-51", quokka, fixed, V3_MEDIUM),
        advisory("PYSEC-2024-52", wombat, severity=V3_MEDIUM),
    )
    assert posture_of(advised, one.function)["posture"] == "red"
    one.release("2.0")
    for options in (("--dry-run",), ()):
        code, said = one.upgrade(*options)
        assert code == 0, said
        (fixes,) = [[line for line in said.splitlines() if "fixes" in line]]
        assert (
            len(fixes) == 2 and "PYSEC-2024-50" in fixes[0] + fixes[1] and "PYSEC-2024-51" in fixes[0] + fixes[1]
        ), said
        assert "PYSEC-2024-52" in said and not [line for line in fixes if "PYSEC-2024-52" in line], said
    assert posture_of(advised, one.function)["posture"] != "red"
    assert one.versions() == {quokka: "2.0", wombat: "2.0"}


@pytest.mark.guarantee("COG-18", "KYM-8")
def test_KYM_8_an_upgrade_to_a_version_with_a_grave_advisory_is_refused(
    advised: Server, packages: PackageWorld
) -> None:
    one = Locked(advised, packages, "quokka")
    one.release("2.0")
    import_advisories(advised, advisory("PYSEC-2024-60", one.names[0], [{"introduced": "2.0"}], V3_CRITICAL))
    before = one.state()
    told = one.upgraded("--dry-run")
    assert (told["status"], told["problemType"]) == ("failed", "/problems/gate-failed"), told
    assert [item for item in found(told, "PYSEC-2024-60") if item["severity"] == "error"], told
    code, said = one.upgrade()
    assert code == 1 and "PYSEC-2024-60" in said and "still serves" in said, said
    assert one.state() == before and one.versions() == {one.names[0]: "1.0"}


# ---------------------------------------------------------------- what fails leaves the old one


@pytest.mark.guarantee("COG-18")
def test_COG_18_a_new_version_that_does_not_load_leaves_the_old_one_serving(
    shop: Server, packages: PackageWorld
) -> None:
    one = Locked(shop, packages, "quokka")
    one.release("2.0", Breaking)
    before, bundles = one.state(), set(os.listdir(shop.data / "warden/bundles"))
    told = one.upgraded()
    assert (told["status"], told["problemType"]) == ("failed", "/problems/handler-refused"), told
    code, said = one.upgrade()
    assert code == 1 and "this version does not load" in said and "still serves" in said, said
    assert one.state() == before and one.versions() == {one.names[0]: "1.0"}
    assert set(os.listdir(shop.data / "warden/bundles")) == bundles
    # A later one that does is taken.
    one.release("2.1")
    assert one.upgrade()[0] == 0 and one.versions() == {one.names[0]: "2.1"}


@pytest.mark.guarantee("COG-18")
@pytest.mark.parametrize("how", ["down", "another file"])
def test_COG_18_an_index_that_fails_leaves_the_old_one_serving(shop: Server, packages: PackageWorld, how: str) -> None:
    one = Locked(shop, packages, "quokka")
    other = Release(one.names[0], "2.0", licence="License-Expression: Other").wheel()
    newer = Release(one.names[0], "2.0", served=other if how == "another file" else None)
    packages.index.add(newer)
    before = one.state()
    packages.index.is_down = how == "down"
    try:
        told = one.upgraded()
    finally:
        packages.index.is_down = False
    assert (told["status"], told["problemType"]) == ("failed", "/problems/build-failed") and told["problem"], told
    assert one.state() == before and one.versions() == {one.names[0]: "1.0"}
    newer.served = None
    assert one.upgrade()[0] == 0 and one.versions() == {one.names[0]: "2.0"}


@pytest.mark.guarantee("COG-18")
def test_COG_18_a_package_that_the_index_has_no_more_is_still_there_when_another_is_upgraded(
    shop: Server, packages: PackageWorld
) -> None:
    one = Locked(shop, packages, "quokka", "wombat")
    quokka, wombat = one.names
    one.release("2.0", Release, quokka)
    packages.index.releases = [item for item in packages.index.releases if item.name != wombat]
    before = one.state()
    told = one.upgraded()
    assert told["status"] == "failed" and wombat in told["problem"], told
    assert one.state() == before and one.versions() == {quokka: "1.0", wombat: "1.0"}


# ---------------------------------------------------------------- who may, and of what


@pytest.mark.guarantee("COG-18")
def test_COG_18_only_who_may_deploy_may_upgrade(shop: Server, packages: PackageWorld) -> None:
    one = Locked(shop, packages, "quokka")
    one.release("2.0")
    before = one.state()
    path = f"{shop.function_path(one.function)}/upgrade"
    for body in ({}, {"dryRun": True}):
        for role in ("viewer", "operator"):
            refused = account(shop, "locked", (role, "locked")).api("POST", path, body)
            assert refused.status == 403 and "function:deploy" in problem(refused)["detail"], f"{role}: {refused.text}"
        stranger = account(shop, "strangers", ("admin", "strangers"))
        assert stranger.api("POST", path, body).status == 404
        assert shop.api("POST", path, body, key=None).status == 401
    code, out, err = account(shop, "locked", ("viewer", "locked")).cli("deps", "upgrade", one.function)
    assert code in (1, 2) and "function:deploy" in out + err, out + err
    assert one.state() == before
    deployer = account(shop, "locked", ("deployer", "locked"))
    code, out, err = deployer.cli("deps", "upgrade", one.function)
    assert code == 0, out + err
    assert one.versions() == {one.names[0]: "2.0"}
    events = recorded(shop, "function.deployed", function=one.function) or recorded(shop, "function.deployed")
    assert deployer.subject in json.dumps(events[-1]), events[-1]


@pytest.mark.guarantee("COG-18")
def test_COG_18_what_has_nothing_to_upgrade_is_told_so(shop: Server, packages: PackageWorld) -> None:
    let_pass(shop.try_deploy("locked", "bare", handler("def handle(data):\n    return 1\n")))
    shop.secret("locked/never", "API_KEY", "one-value-of-it")
    for function, status, said in (
        ("locked/bare", 400, "no packages"),
        ("locked/never", 404, "not been deployed"),
        ("locked/absent", 404, "absent"),
        ("nowhere/absent", 404, ""),
    ):
        answer = shop.api("POST", f"{shop.function_path(function)}/upgrade", {})
        assert answer.status == status and said in problem(answer)["detail"], answer.text
        code, out, err = shop.cli("deps", "upgrade", function)
        assert code in (1, 2) and said in out + err and "Error" not in out + err, out + err
    code, out, err = shop.cli("deps", "show", "locked/bare")
    assert code == 0 and "no packages" in out, out + err


@pytest.mark.guarantee("COG-18")
def test_COG_18_a_package_that_the_function_does_not_have_is_told(shop: Server, packages: PackageWorld) -> None:
    one = Locked(shop, packages, "quokka")
    one.release("2.0")
    before = one.state()
    code, said = one.upgrade("--package", "no-such-package")
    assert code in (1, 2) and "no-such-package" in said, said
    assert one.state() == before


@pytest.mark.guarantee("COG-18")
@pytest.mark.parametrize(
    "name",
    ["", "quokka==2.0", "quokka @ https://x.example/x.whl", "--index-url", "../x", "a" * 200, "quo*", "a,b", "a\nb"],
)
def test_COG_18_what_is_no_package_s_name_is_refused(shop: Server, packages: PackageWorld, name: str) -> None:
    if not shop.deployed & {"locked/names"}:
        let_pass(shop.try_deploy("locked", "names", needing(["plain"], "plain")))
        shop.deployed.add("locked/names")
    answer = shop.api("POST", "/v1/namespaces/locked/functions/names/upgrade", {"packages": [name]})
    assert answer.status == 400 and "package" in problem(answer)["detail"], answer.text


@pytest.mark.guarantee("COG-18")
@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"packages": "x"}', b'{"packages": []}', b'{"more": 1}', b'{"dryRun": 1}']
)
def test_COG_18_an_order_that_is_none_is_refused(shop: Server, packages: PackageWorld, body: bytes) -> None:
    answer = shop.api("POST", "/v1/namespaces/locked/functions/names/upgrade", body)
    assert answer.status in (400, 422) and problem(answer), answer.text
