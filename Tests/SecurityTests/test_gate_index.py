"""Packages that no real index has: look-alikes, brand-new, yanked, tampered ones, and more of a higher version than was locked."""

from __future__ import annotations

import json
import os
import secrets as randomness
from collections.abc import Iterator
from typing import Any

import pytest
from casemate_fixture import Outcome, Server
from gate_answers import PLAIN, found, let_pass, set_policy
from inject_probe import PUBLIC
from package_index import PackageWorld, Release

STRICT = {"dependencies": {"policy": "strict"}}
OTHER = Release("other")
RELEASES = [
    Release("plain"),
    Release("needy", requires=["plain", "leaf>=1"]),
    Release("leaf", "1.0"),
    OTHER,
    Release("fresh", days_old=2),
    Release("reqeusts"),
    Release("python-requests2"),
    Release("kept", "1.0"),
    Release("yanked", "1.0"),
    Release("yanked", "2.0", yanked=True),
    Release("changed", served=Release("changed", licence="License-Expression: Other").wheel()),
    Release("sourced", is_source_only=True),
    Release("expression", licence="License-Expression: Apache-2.0 OR MIT"),
    Release("classified", licence="Classifier: License :: OSI Approved :: BSD License"),
    Release("unlicensed", licence=""),
    Release("free", licence="License: do what you like"),
    *[Release(name) for name in ("quokkas", "wombats", "numbats", "dunnarts")],
]
BY_NAME = {release.name: release for release in reversed(RELEASES)}


@pytest.fixture(scope="module")
def packages() -> Iterator[PackageWorld]:
    if os.geteuid() != 0:
        pytest.exit("these tests make network namespaces, which needs root", returncode=4)
    with PackageWorld() as world:
        world.index.add(*RELEASES)
        world.open_index()
        yield world


@pytest.fixture(scope="module")
def shop(packages: PackageWorld) -> Iterator[Server]:
    with packages.installing() as server:
        yield server


def source(requirements: str, *modules: str, returns: str = "1") -> dict[str, str]:
    imports = "".join(f"import {module}\n" for module in modules)
    code = f"{imports}# {randomness.token_hex(4)}\ndef handle(data):\n    return {returns}\n"
    return {"handler.py": code, "requirements.txt": requirements}


def refused(outcome: Outcome, name: str, *, line: int | None = None) -> dict[str, Any]:
    """A refusal that names the package."""
    assert outcome.code == 1 and outcome.first["status"] == "failed", outcome.said
    naming = [item for item in outcome.first["diagnostics"] if name in item["what"]]
    assert naming, outcome.said
    if line is not None:
        assert (naming[0]["file"], naming[0].get("line")) == ("requirements.txt", line), naming
    first: dict[str, Any] = naming[0]
    return first


def locked(*names: str) -> str:
    return "".join(f"{name}=={BY_NAME[name].version} --hash=sha256:{BY_NAME[name].digest}\n" for name in names)


# ---------------------------------------------------------------- hashes


@pytest.mark.guarantee("COG-18")
@pytest.mark.case("D4")
def test_D4_COG_18_a_whole_lock_passes_under_strict(shop: Server) -> None:
    made = shop.try_deploy("shop", "strict", source(locked("needy", "plain", "leaf"), "needy"), STRICT)
    assert not [item for item in found(let_pass(made)) if item["severity"] == "error"]
    assert shop.call("shop/strict", body={}).json() == 1


@pytest.mark.guarantee("COG-18")
@pytest.mark.case("D4")
@pytest.mark.parametrize("policy", ["auto", "strict"])
def test_D4_COG_18_a_package_whose_bytes_are_not_what_was_locked_is_refused(shop: Server, policy: str) -> None:
    keys = {"dependencies": {"policy": policy}}
    requirements = locked("changed") if policy == "strict" else "changed\n"
    refused(shop.try_deploy("shop", "changed", source(requirements, "changed"), keys), "changed")


@pytest.mark.guarantee("COG-18")
@pytest.mark.case("D4")
@pytest.mark.parametrize("digest", ["0" * 64, OTHER.digest], ids=["none's", "another wheel's"])
def test_D4_COG_18_a_wrong_hash_is_refused_with_the_name(shop: Server, digest: str) -> None:
    requirements = f"# one\nplain==1.0 --hash=sha256:{digest}\n"
    refused(shop.try_deploy("shop", "hash", source(requirements, "plain"), STRICT), "plain")


@pytest.mark.guarantee("COG-18")
@pytest.mark.case("D4")
def test_D4_COG_18_a_wrong_hash_is_told_with_its_line(shop: Server) -> None:
    requirements = f"# one\nplain==1.0 --hash=sha256:{'0' * 64}\n"
    refused(shop.try_deploy("shop", "hash", source(requirements, "plain"), STRICT), "plain", line=2)


@pytest.mark.guarantee("COG-18")
@pytest.mark.case("D4")
def test_D4_COG_18_under_strict_what_a_package_needs_must_be_there_too(shop: Server) -> None:
    item = refused(shop.try_deploy("shop", "missing", source(locked("needy", "plain"), "needy"), STRICT), "leaf")
    assert "lock" in item["what"] + item["fix"], item


@pytest.mark.guarantee("COG-18")
@pytest.mark.case("D4")
@pytest.mark.parametrize("policy", ["auto", "strict"])
def test_D4_COG_18_a_yanked_version_is_refused_with_its_name(shop: Server, policy: str) -> None:
    requirements = f"yanked==2.0 --hash=sha256:{RELEASES[9].digest}\n" if policy == "strict" else "yanked==2.0\n"
    keys = {"dependencies": {"policy": policy}}
    refused(shop.try_deploy("shop", "yanked", source(requirements, "yanked"), keys), "yanked")


@pytest.mark.guarantee("COG-18")
@pytest.mark.case("D4")
def test_D4_COG_18_a_yanked_version_is_not_chosen(shop: Server) -> None:
    let_pass(shop.try_deploy("shop", "chosen", source("yanked\n", "yanked", returns="yanked.VERSION")))
    assert shop.call("shop/chosen", body={}).json() == "1.0"


@pytest.mark.guarantee("COG-17", "COG-18")
def test_COG_17_a_source_distribution_is_never_built_unasked(shop: Server) -> None:
    outcome = shop.try_deploy("shop", "sourced", source("sourced\n", "sourced"))
    item = refused(outcome, "sourced")
    assert "wheel" in item["what"] and "it ran" not in outcome.said, outcome.said


# ---------------------------------------------------------------- names and ages


@pytest.mark.guarantee("COG-18")
@pytest.mark.case("D6")
def test_D6_a_name_that_looks_like_a_known_one_is_a_finding(shop: Server) -> None:
    outcome = shop.try_deploy("shop", "typo", source("# one\nreqeusts\n", "reqeusts"))
    told = [item for item in found(outcome.first) if "reqeusts" in item["what"]]
    assert told and told[0]["line"] == 2 and "requests" in told[0]["what"] + told[0]["fix"], outcome.said
    assert outcome.code == 1 and told[0]["severity"] == "error", outcome.said


@pytest.mark.guarantee("COG-18")
@pytest.mark.case("D6")
def test_D6_a_look_alike_that_the_index_does_not_have_is_told_as_one(shop: Server) -> None:
    outcome = shop.try_deploy("shop", "absent", source("# one\nnumpyy\n", "numpyy"))
    item = refused(outcome, "numpyy", line=2)
    assert "did you mean" in item["fix"] or "look" in item["what"], outcome.said


@pytest.mark.guarantee("COG-18")
@pytest.mark.case("D6")
def test_D6_a_package_that_is_younger_than_the_policy_has_it_is_told(shop: Server) -> None:
    told = [
        item
        for item in found(shop.try_deploy("shop", "fresh", source("fresh\n", "fresh")).first)
        if "fresh" in item["what"]
    ]
    assert told and told[0]["file"] == "requirements.txt" and told[0]["line"] == 1 and told[0]["fix"], told
    set_policy(shop, "lenient", newestDays=1)
    passed = let_pass(shop.try_deploy("lenient", "fresh", source("fresh\n", "fresh")))
    assert not [item for item in found(passed) if "fresh" in item["what"]], passed
    old = let_pass(shop.try_deploy("shop", "old", source("plain\n", "plain")))
    assert found(old) == [], old


# ---------------------------------------------------------------- how many, and which of them are used


@pytest.mark.guarantee("AZR-14")
def test_AZR_14_a_package_that_nothing_imports_is_a_warning(shop: Server) -> None:
    made = let_pass(shop.try_deploy("shop", "unused", source("plain\nleaf\n", "plain")))
    (finding,) = found(made)
    assert "leaf" in finding["what"] and finding["line"] == 2 and finding["severity"] == "warning", made
    assert finding["finding"]["guarantee"] == "AZR-14", finding


@pytest.mark.guarantee("AZR-14")
def test_AZR_14_more_packages_than_a_policy_has_are_a_warning(shop: Server) -> None:
    set_policy(shop, "few", maxDependencies=3)
    names = ["quokkas", "wombats", "numbats", "dunnarts"]
    made = let_pass(shop.try_deploy("few", "many", source("\n".join(names) + "\n", *names)))
    assert [item for item in found(made) if "4" in item["what"] and "3" in item["what"]], made
    few = let_pass(shop.try_deploy("few", "some", source("\n".join(names[:3]) + "\n", *names[:3])))
    assert found(few) == [], few


# ---------------------------------------------------------------- the lock that is kept


def lock_of(server: Server, function: str) -> str:
    page = server.cli_json("function", "show", function)
    return str(next(one for one in page["revisions"] if one["isActive"])["lock"])


@pytest.mark.guarantee("COG-18")
def test_COG_18_later_deployments_keep_the_versions_that_were_locked(shop: Server, packages: PackageWorld) -> None:
    def answer() -> Any:
        return shop.call("shop/kept", body={}).json()

    let_pass(shop.try_deploy("shop", "kept", source("kept\n", "kept", returns="kept.VERSION")))
    assert answer() == "1.0"
    newer = Release("kept", "2.0")
    packages.index.add(newer)
    let_pass(shop.try_deploy("shop", "kept", source("kept\n", "kept", returns="kept.VERSION")))
    assert answer() == "1.0" and "kept==1.0" in lock_of(shop, "shop/kept")
    # Another package beside it moves nothing either.
    let_pass(shop.try_deploy("shop", "kept", source("kept\nplain\n", "kept", "plain", returns="kept.VERSION")))
    assert answer() == "1.0" and "plain==1.0" in lock_of(shop, "shop/kept")
    # What the source asks for goes before the lock, and a function without one takes the newest.
    let_pass(shop.try_deploy("shop", "kept", source("kept>=2\n", "kept", returns="kept.VERSION")))
    assert answer() == "2.0"
    let_pass(shop.try_deploy("shop", "kept-anew", source("kept\n", "kept", returns="kept.VERSION")))
    assert shop.call("shop/kept-anew", body={}).json() == "2.0"


@pytest.mark.guarantee("COG-18")
def test_COG_18_the_lock_and_what_changes_of_it_is_shown(shop: Server) -> None:
    folder = shop.project("shop", "shown", source("needy\n", "needy"))
    code, out, err = shop.cli("deploy", str(folder))
    assert code == 0, out + err
    assert all(f"{name} 1.0" in out + err or f"{name}==1.0" in out + err for name in ("needy", "plain", "leaf")), (
        out + err
    )


@pytest.mark.guarantee("COG-18")
def test_COG_18_every_package_is_locked_with_hashes_also_those_that_others_need(shop: Server) -> None:
    let_pass(shop.try_deploy("shop", "whole", source("needy\n", "needy")))
    lock = lock_of(shop, "shop/whole")
    for name in ("needy", "plain", "leaf"):
        assert f"{name}==1.0" in lock and BY_NAME[name].digest in lock, lock


@pytest.mark.guarantee("COG-20")
def test_COG_20_no_other_host_than_the_one_index_is_asked(shop: Server, packages: PackageWorld) -> None:
    packages.arrivals.clear()
    packages.watch.packets.clear()
    let_pass(shop.try_deploy("shop", "asked", source("quokkas\nwombats\n", "quokkas", "wombats")))
    assert packages.arrivals
    packages.assert_untouched(PUBLIC)


# ---------------------------------------------------------------- the SBOM


LICENCES = {
    "expression": '{"expression": "Apache-2.0 OR MIT"}',
    "classified": "BSD",
    "free": "do what you like",
    "plain": "MIT",
}


@pytest.mark.guarantee("COG-17")
def test_COG_17_the_sbom_has_purl_hash_and_licence_of_each_package(shop: Server) -> None:
    names = [*LICENCES, "unlicensed"]
    let_pass(shop.try_deploy("shop", "sbom", source("\n".join(names) + "\n", *names)))
    code, out, err = shop.cli("sbom", "shop/sbom")
    assert code == 0, err
    components = {one["name"]: one for one in json.loads(out)["components"]}
    assert set(components) == set(names)
    for name, component in components.items():
        assert component["purl"] == f"pkg:pypi/{name}@1.0" and component["version"] == "1.0", component
        assert component["hashes"] == [{"alg": "SHA-256", "content": BY_NAME[name].digest}], component
    for name, text in LICENCES.items():
        assert text in json.dumps(components[name]["licenses"]), components[name]
    assert not components["unlicensed"].get("licenses"), components["unlicensed"]


def test_a_function_without_packages_has_an_sbom_without_components(shop: Server) -> None:
    let_pass(shop.try_deploy("shop", "none", {"handler.py": PLAIN}))
    code, out, err = shop.cli("sbom", "shop/none")
    assert code == 0 and json.loads(out).get("components", []) == [], out + err
