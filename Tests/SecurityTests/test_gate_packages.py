"""Which packages a namespace's functions may have: what its policy lets and what it denies, also of what other packages need."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

import pytest
from accounts import account
from casemate_fixture import Outcome, Server, problem
from gate_answers import let_pass, recorded, set_policy
from package_index import PackageWorld, Release
from source_packages import needing
from ssh_signatures import policy_of, policy_path

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def packages() -> Iterator[PackageWorld]:
    if os.geteuid() != 0:
        pytest.exit("these tests make network namespaces, which needs root", returncode=4)
    with PackageWorld() as world:
        world.index.add(
            Release("plain"),
            Release("leaf"),
            Release("needy", requires=["leaf"]),
            Release("acme-core"),
            Release("acme-more", requires=["acme-core"]),
            Release("acmes"),
        )
        world.open_index()
        yield world


@pytest.fixture(scope="module")
def shop(packages: PackageWorld) -> Iterator[Server]:
    with packages.installing("--pool-size", "2") as server:
        yield server


@pytest.fixture
def house(shop: Server) -> str:
    name = f"lists-{next(_numbers)}"
    shop.namespace(name)
    return name


def deploy(shop: Server, namespace: str, *names: str, spelled: str = "") -> Outcome:
    """A function that has these packages, and is another one each time."""
    modules = [name.replace("-", "_") for name in names]
    return shop.try_deploy(namespace, "buyer", needing([spelled] if spelled else names, *modules))


def refused(outcome: Outcome, *names: str) -> None:
    assert outcome.code == 1 and outcome.first["status"] == "failed", outcome.said
    assert all(name in outcome.said for name in names) and "packages" in outcome.said, outcome.said


@pytest.mark.guarantee("COG-17")
@pytest.mark.parametrize(
    ("lists", "names", "is_taken"),
    [
        ({}, ["plain", "acme-core"], True),
        ({"allow": ["plain"]}, ["plain"], True),
        ({"allow": ["plain"]}, ["acme-core"], False),
        ({"allow": ["plain"]}, ["plain", "acme-core"], False),
        ({"allow": ["acme-*"]}, ["acme-core"], True),
        ({"allow": ["acme-*"]}, ["acme-more"], True),
        ({"allow": ["acme-*"]}, ["acmes"], False),
        ({"allow": ["needy"]}, ["needy"], False),
        ({"allow": ["needy", "leaf"]}, ["needy"], True),
        ({"allow": []}, ["plain"], False),
        ({"deny": ["plain"]}, ["plain"], False),
        ({"deny": ["plain"]}, ["acme-core"], True),
        ({"deny": ["acme-*"]}, ["acme-more"], False),
        ({"deny": ["leaf"]}, ["needy"], False),
        ({"allow": ["acme-*"], "deny": ["acme-core"]}, ["acme-more"], False),
        ({"allow": ["plain"], "deny": ["plain"]}, ["plain"], False),
    ],
    ids=str,
)
def test_COG_17_a_function_has_the_packages_that_its_policy_lets_it_have(
    shop: Server, house: str, lists: dict[str, list[str]], names: list[str], is_taken: bool
) -> None:
    set_policy(shop, house, packages=lists)
    outcome = deploy(shop, house, *names)
    if is_taken:
        let_pass(outcome)
        assert shop.call(f"{house}/buyer", body={}).json() == 1
    else:
        refused(outcome)
        assert shop.api("GET", shop.function_path(f"{house}/buyer")).status == 404


@pytest.mark.guarantee("COG-17")
@pytest.mark.parametrize(("listed", "spelled"), [("Acme_Core", "acme-core"), ("acme.core", "ACME__core")])
def test_COG_17_a_package_is_the_same_in_any_spelling(shop: Server, house: str, listed: str, spelled: str) -> None:
    set_policy(shop, house, packages={"deny": [listed]})
    refused(deploy(shop, house, "acme-core", spelled=spelled), "acme-core")
    set_policy(shop, house, packages={"allow": [listed]})
    let_pass(deploy(shop, house, "acme-core", spelled=spelled))


@pytest.mark.guarantee("COG-17")
def test_COG_17_a_refusal_names_the_package_and_what_is_live_serves_on(shop: Server, house: str) -> None:
    let_pass(deploy(shop, house, "needy"))
    set_policy(shop, house, packages={"deny": ["leaf"]})
    assert shop.call(f"{house}/buyer", body={}).json() == 1
    refused(deploy(shop, house, "needy"), "leaf")
    assert shop.call(f"{house}/buyer", body={}).json() == 1
    let_pass(deploy(shop, house, "plain"))


@pytest.mark.parametrize(
    "lists",
    [[], "plain", {"allowed": []}, {"allow": "plain"}, {"allow": [7]}, {"deny": {}}, {"allow": [""]}, {"deny": ["a b"]},
     {"allow": ["plain==1.0"]}, {"allow": ["-plain"]}, {"deny": ["https://index.test/plain"]}, {"deny": ["pl*in"]}],
    ids=str,
)  # fmt: skip
def test_what_is_no_list_of_packages_is_refused_and_the_one_before_stays(shop: Server, house: str, lists: Any) -> None:
    set_policy(shop, house, packages={"deny": ["leaf"]})
    before = policy_of(shop, house)
    answer = shop.api("PUT", policy_path(house), {"gate": {"packages": lists}})
    assert answer.status == 400, f"{answer.status} {answer.text}"
    problem(answer)
    assert policy_of(shop, house) == before


def test_what_is_shown_can_be_set_again(shop: Server, house: str) -> None:
    both: dict[str, list[str]] = {"allow": ["acme-*", "requests"], "deny": ["left-pad"]}
    others: list[dict[str, list[str]]] = [{"deny": ["left-pad"]}, {"allow": []}, {}]
    for lists in [both, *others]:
        set_policy(shop, house, packages=lists)
        shown = policy_of(shop, house)
        packages = shown["gate"].get("packages") or {}
        assert {name: one for name, one in packages.items() if one or name in lists} == lists
        assert shop.api("PUT", policy_path(house), shown).status == 200
        assert policy_of(shop, house) == shown


@pytest.mark.parametrize(
    ("before", "wanted", "is_looser"),
    [
        ({"allow": ["plain"]}, {"allow": ["plain", "leaf"]}, True),
        ({"allow": ["plain"]}, {"allow": ["leaf"]}, True),
        ({"allow": ["plain"]}, {}, True),
        ({"allow": []}, {}, True),
        ({"deny": ["plain", "leaf"]}, {"deny": ["leaf"]}, True),
        ({"deny": ["plain"]}, {}, True),
        ({}, {"allow": ["plain"]}, False),
        ({"allow": ["plain", "leaf"]}, {"allow": ["leaf"]}, False),
        ({}, {"deny": ["plain"]}, False),
        ({"deny": ["plain"]}, {"deny": ["leaf", "plain"]}, False),
    ],
    ids=str,
)
def test_to_let_more_packages_in_is_to_loosen_the_gate(
    shop: Server, house: str, before: dict[str, list[str]], wanted: dict[str, list[str]], is_looser: bool
) -> None:
    set_policy(shop, house, packages=before)
    writer = account(shop, house, ("policy:write", house))
    answer = writer.api("PUT", policy_path(house), {"gate": {"packages": wanted}})
    if is_looser:
        assert answer.status == 403 and "gate:waive" in problem(answer)["detail"], answer.text
        writer.grant("gate:waive", house)
        answer = writer.api("PUT", policy_path(house), {"gate": {"packages": wanted}})
    assert answer.status == 200, answer.text
    record = recorded(shop, "policy.changed", namespace=house)[-1]
    assert "gate.packages" in " ".join(map(str, record["details"].values())), record
