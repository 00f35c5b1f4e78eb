"""A change of packages waits for a second person, and which packages there may be at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from casemate_fixture import Server, problem
from package_index import PackageWorld, Release
from source_packages import needing
from supply_chain import (
    answering,
    answers,
    approve,
    approved,
    deploy,
    is_waiting,
    live,
    page,
    path,
    refusal,
    refused_as_own,
    set_rules,
    team,
    waiting,
)


@pytest.fixture(scope="module")
def packages() -> Iterator[PackageWorld]:
    if os.geteuid() != 0:
        pytest.exit("these tests make network namespaces, which needs root", returncode=4)
    with PackageWorld() as world:
        world.index.add(
            *[Release(name) for name in ("acme-tools", "acme-paint", "quokkas", "left-pad")],
            Release("needy", requires=["left-pad"]),
            Release("wombats", "1.0"),
        )
        world.open_index()
        yield world


@pytest.fixture(scope="module")
def shop(packages: PackageWorld) -> Iterator[Server]:
    with packages.installing("--pool-size", "2") as server:
        yield server


@pytest.mark.guarantee("COG-19")
def test_COG_19_a_change_of_packages_waits_for_a_second_person(shop: Server) -> None:
    ours = team(shop, "dependencies")
    function = ours.function()
    live(ours.author, function, answering(1))
    outcome = waiting(ours.author, function, needing(["quokkas"], "quokkas", returns="2"))
    assert outcome["needsApproval"] == ["dependencies"] and "quokkas 1.0" in str(outcome["packages"]), outcome
    assert answers(shop, function) == (1, 1)
    author = problem(approve(ours.author, function, 2, outcome["digest"]))
    assert author["status"] == 403
    ours.author.grant("deploy:approve", ours.namespace)
    refused_as_own(ours.author, shop, function, outcome)
    approved(ours.approver, function, outcome)
    assert answers(shop, function) == (2, 2)
    # Other code with the same packages is no change of packages; fewer of them is one.
    live(ours.author, function, needing(["quokkas"], "quokkas", returns="3"))
    assert waiting(ours.author, function, answering(4))["needsApproval"] == ["dependencies"]
    assert answers(shop, function) == (3, 3)


@pytest.mark.guarantee("COG-19")
def test_COG_19_an_upgrade_of_what_is_locked_waits_as_well(shop: Server, packages: PackageWorld) -> None:
    ours = team(shop)
    function = ours.function()
    live(ours.author, function, needing(["wombats"], "wombats", returns="wombats.VERSION"))
    set_rules(shop, ours.namespace, requireApproval=["dependencies"])
    packages.index.add(Release("wombats", "2.0"))
    answer = ours.author.api("POST", path(function, "upgrade"), {}, timeout=180)
    assert answer.status == 200, answer.text
    outcome = is_waiting(answer.json())
    assert outcome["needsApproval"] == ["dependencies"] and answers(shop, function) == ("1.0", 1)
    approved(ours.approver, function, outcome)
    assert answers(shop, function) == ("2.0", 2)


def refused_for(outcome: dict[str, Any], package: str) -> None:
    assert outcome["status"] == "failed", outcome
    assert package in str([outcome["problem"], outcome["diagnostics"]]), outcome


@pytest.mark.guarantee("COG-19")
@pytest.mark.parametrize(
    ("rules", "requirement", "named"),
    [
        ({"deny": ["left-pad"]}, "left-pad", "left-pad"),
        ({"deny": ["Left_Pad"]}, "left.pad", "left-pad"),
        ({"deny": ["left-pad"]}, "needy", "left-pad"),
        ({"deny": ["acme-*"]}, "acme-tools", "acme-tools"),
        ({"allow": ["quokkas"]}, "acme-tools", "acme-tools"),
        ({"allow": ["needy"]}, "needy", "left-pad"),
        ({"allow": ["acme-*"], "deny": ["acme-paint"]}, "acme-paint", "acme-paint"),
        ({"allow": []}, "quokkas", "quokkas"),
    ],
    ids=["denied", "spelled otherwise", "behind another", "by a beginning", "not allowed", "behind an allowed one", "both", "none at all"],
)  # fmt: skip
def test_COG_19_a_package_that_the_namespace_does_not_take_is_refused(
    shop: Server, rules: dict[str, list[str]], requirement: str, named: str
) -> None:
    ours = team(shop, gate={"packages": rules})
    function = ours.function()
    module = requirement.replace(".", "_").replace("-", "_")
    refused_for(deploy(ours.author, function, needing([requirement], module)), named)
    assert shop.api("GET", path(function)).status == 404


@pytest.mark.guarantee("COG-19")
def test_COG_19_a_package_that_the_namespace_takes_is_installed(shop: Server) -> None:
    ours = team(shop, gate={"packages": {"allow": ["Quokkas", "acme-*"], "deny": ["acme-paint", "left-pad"]}})
    live(ours.author, ours.function(), needing(["quokkas", "acme_tools"], "quokkas", "acme_tools"))
    set_rules(shop, ours.namespace, gate={"packages": {"allow": []}})
    live(ours.author, ours.function("bare"), answering(1))
    # What is live serves on; with the next deployment the list counts.
    assert shop.call(ours.function(), body={}).status == 200
    refused_for(deploy(ours.author, ours.function(), needing(["quokkas"], "quokkas")), "quokkas")


@pytest.mark.parametrize(
    "lists",
    [
        {"allow": "quokkas"}, {"allow": [1]}, {"deny": [""]}, {"deny": ["../x"]}, {"deny": ["a b"]}, {"allow": ["x==1.0"]},
        {"allow": ["https://x.example/x.whl"]}, {"refuse": []}, [], "all",
    ],
    ids=range(10),
)  # fmt: skip
def test_lists_of_packages_that_are_none_are_refused(server: Server, lists: object) -> None:
    server.namespace("agreed-lists")
    where = "/v1/namespaces/agreed-lists/policy"
    before = server.api("GET", where).json()
    refused = server.api("PUT", where, {"gate": {"packages": lists}})
    assert refused.status == 400, refused.text
    assert server.api("GET", where).json() == before


@pytest.mark.guarantee("AZR-13")
def test_AZR_13_an_upgrade_is_no_way_round_a_promotion(shop: Server, packages: PackageWorld) -> None:
    ours, prod = team(shop), team(shop, production=True)
    there = f"{prod.namespace}/{ours.label()}"
    packages.index.add(Release("numbats", "1.0"))
    live(ours.author, ours.function(), needing(["numbats"], "numbats", returns="numbats.VERSION"))
    ours.review(ours.function(), 1)
    order = {"from": ours.function(), "revision": 1}
    promoted = shop.api("POST", f"/v1/namespaces/{prod.namespace}/promotions", order, timeout=180)
    assert promoted.status in (200, 201), promoted.text
    assert answers(shop, there) == ("1.0", 1)
    packages.index.add(Release("numbats", "2.0"))
    answer = prod.author.api("POST", path(there, "upgrade"), {}, timeout=180)
    assert refusal(answer) == "/problems/promotion-required", answer.text
    assert answers(shop, there) == ("1.0", 1) and len(page(shop, there)["revisions"]) == 1
