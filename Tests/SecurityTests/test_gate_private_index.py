"""Indexes that a manifest names: each package has one, which is asked with credentials that nobody else ever gets to see.

The public index is the server's own, the private one has another name and address, and both are in the made-up internet.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets as randomness
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from accounts import account
from casemate_fixture import Outcome, Server, wait_until
from gate_answers import let_pass, set_policy
from inject_probe import OTHER_ADDRESS, PUBLIC
from network_world import HTTPS
from package_index import PORT, PRIVATE_INDEX, PRIVATE_PORT, PackageWorld, Release
from source_packages import Sourced, keys, needing, step, unveiled
from spellings import assert_absent, found_in
from world_dns import A

# Another one in each run, after what addresses, JSON and base64 spell differently. Every spelling of the whole holds one of the last part.
TOKEN = randomness.token_hex(16)
CREDENTIALS = 'robot:k"y/+:@% ' + TOKEN
BASIC = base64.b64encode(CREDENTIALS.encode())
WRONG = f"robot:{randomness.token_hex(16)}"
URL = f"https://{PRIVATE_INDEX}:{PRIVATE_PORT}/simple"
CORP: dict[str, Any] = {"corp": {"url": URL, "credentials": "CORP_INDEX"}}


def assert_untold(where: bytes | str, what: str) -> None:
    assert_absent(where, TOKEN, what)


def test_all_spellings_of_the_credentials_would_be_found() -> None:
    for text in (
        CREDENTIALS,
        BASIC.decode(),
        urllib.parse.quote(CREDENTIALS),
        CREDENTIALS.encode().hex(),
        json.dumps(CREDENTIALS),
    ):
        assert found_in(f"before {text} after", TOKEN), text


PAGE, FILE = "/simple/quokka-core", "/files/quokka_core"

# ---------------------------------------------------------------- what both indexes have


def release(name: str, version: str, requires: tuple[str, ...] = ()) -> Release:
    return Release(name, version, requires=requires)


# Of the private index. Of each the public one has a higher version: whoever takes that has been led astray.
OWN = [
    release("quokka-core", "1.0"),
    release("quokka-needs", "1.0", ("quokka-core>=1", "wombat-tools")),
    release("quokka-more", "1.0", ("plain",)),
    release("lonely", "1.0"),
]


class Public(Release):
    """Its module tells where it comes from."""

    def module_text(self) -> str:
        return super().module_text() + "PLACE = 'public'\n"


@step
def looks_for_credentials(folder: str) -> dict[str, Any]:
    import glob
    import os
    import zlib

    found = {"environment": repr(dict(os.environ)).encode()}
    names = [
        path
        for place in ("/out", "/tmp", "/dev/shm", "/fn", "/run", "/var/tmp", "/etc/ssl", "/opt/casemate")
        for path in glob.glob(f"{place}/**", recursive=True, include_hidden=True)
    ]
    names += [
        path for name in ("environ", "cmdline", "maps", "mountinfo") for path in glob.glob(f"/proc/[0-9]*/{name}")
    ]
    for path in names:
        try:
            with open(path, "rb") as file:
                found[path] = file.read()
        except OSError:
            pass
    print(dict(os.environ))
    return {"names": list(found), "text": zlib.compress(b"\0".join(found.values())).hex()}


@pytest.fixture(scope="module")
def packages() -> Iterator[PackageWorld]:
    if os.geteuid() != 0:
        pytest.exit("these tests make network namespaces, which needs root", returncode=4)
    with PackageWorld(CREDENTIALS) as world:
        world.private.add(*OWN, Sourced("quokka-sourced", does=looks_for_credentials))
        world.index.add(
            *[
                Public(one.name, "99.0")
                for one in [*OWN, release("quokka-sourced", "1.0"), release("quokka-absent", "1.0")]
            ],
            Public("plain", "1.0"),
            Public("wombat-tools", "1.0"),
            Public("numbat-needs", "1.0", requires=["quokka-core"]),
        )
        world.open_index()
        world.open_private_index()
        yield world


@pytest.fixture(scope="module")
def buying(packages: PackageWorld) -> Iterator[Server]:
    with packages.installing("--pool-size", "2") as server:
        set_policy(server, "shop", indexes=[URL])
        yield server


@pytest.fixture
def shop(packages: PackageWorld, buying: Server) -> Iterator[Server]:
    packages.forget_packages()
    yield buying
    packages.assert_untouched(PUBLIC, OTHER_ADDRESS)
    assert {arrival.port for arrival in packages.arrivals} <= {PORT, PRIVATE_PORT}


def sources(
    packages: Mapping[str, str] | None = None, indexes: Mapping[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    return keys(indexes=indexes or CORP, packages=dict(packages or {"quokka-*": "corp"}), **more)


def buy(
    shop: Server,
    name: str,
    requirements: list[str],
    manifest: Mapping[str, Any] | None = None,
    secret: str | None = CREDENTIALS,
    namespace: str = "shop",
    names: tuple[str, ...] = (),
) -> Outcome:
    """Deploys a function that answers with the versions of what it needs."""
    modules = [name.replace("-", "_") for name in names] or [
        re.split("[=<>]", line)[0].replace("-", "_") for line in requirements
    ]
    returns = "{" + ", ".join(f"{module!r}: {module}.VERSION" for module in modules) + "}"
    shop.namespace(namespace)
    if secret is not None:
        shop.secret(f"{namespace}/{name}", "CORP_INDEX", secret)
    return shop.try_deploy(namespace, name, needing(requirements, *modules, returns=returns), manifest or sources())


def versions(shop: Server, outcome: Outcome) -> dict[str, str]:
    answer = shop.call(let_pass(outcome)["function"], body={})
    assert answer.status == 200, answer.text
    told: dict[str, str] = answer.json()
    return told


def failed(outcome: Outcome, stage: str = "build", kind: str = "build-failed") -> str:
    assert outcome.code == 1, outcome.said
    told = outcome.first
    assert (told["status"], told.get("stage"), told["problemType"]) == ("failed", stage, f"/problems/{kind}"), told
    return str(told["problem"])


# ---------------------------------------------------------------- who may name an index


@pytest.mark.guarantee("COG-20")
def test_COG_20_an_index_that_the_policy_does_not_have_is_refused_with_what_to_do(
    shop: Server, packages: PackageWorld
) -> None:
    for number, indexes in enumerate(([], [f"{URL}/more", URL.replace("private", "another")])):
        namespace = f"unlisted-{number}"
        set_policy(shop, namespace, indexes=indexes)
        problem = failed(buy(shop, "unlisted", ["quokka-core"], namespace=namespace), "plan", "forbidden")
        assert URL in problem and "policy" in problem and "gate.indexes" in problem, problem
    assert packages.private.asked == [] and packages.index.asked == [], "nobody is asked before it is allowed"


@pytest.mark.guarantee("COG-20")
def test_COG_20_a_policy_that_lists_an_index_no_more_stops_the_next_deployment(shop: Server) -> None:
    set_policy(shop, "delisted", indexes=[URL])
    versions(shop, buy(shop, "f", ["quokka-core"], namespace="delisted"))
    set_policy(shop, "delisted", indexes=[])
    failed(buy(shop, "f", ["quokka-core"], namespace="delisted", secret=None), "plan", "forbidden")
    assert shop.call("delisted/f", body={}).json() == {"quokka_core": "1.0"}, "what is live serves on"
    code, out, err = shop.cli("deps", "upgrade", "delisted/f")
    assert code == 1 and "gate.indexes" in out + err, out + err


@pytest.mark.guarantee("COG-20")
def test_COG_20_to_list_an_index_is_to_loosen_the_gate(shop: Server) -> None:
    shop.namespace("listing")
    path, body = "/v1/namespaces/listing/policy", {"gate": {"indexes": [URL]}}
    writer = account(shop, "listing", ("policy:write", "listing"))
    refused = writer.api("PUT", path, body)
    assert refused.status == 403 and "gate:waive" in refused.text, refused.text
    writer.grant("gate:waive", "listing")
    assert writer.api("PUT", path, body).status == 200


@pytest.mark.guarantee("COG-20")
@pytest.mark.parametrize(
    "url",
    [URL.replace("https", "http"), f"https://robot:{TOKEN}@{PRIVATE_INDEX}/simple", "private.test", "https://", 5],
    ids=["http", "with a password", "a name", "nothing", "a number"],
)
def test_COG_20_a_policy_lists_https_urls_alone(shop: Server, url: Any) -> None:
    shop.namespace("listed")
    answer = shop.api("PUT", "/v1/namespaces/listed/policy", {"gate": {"indexes": [url]}})
    assert answer.status in (400, 422), answer.text
    assert_untold(answer.text, "the refusal")


# ---------------------------------------------------------------- one index for each package


@pytest.mark.guarantee("COG-20")
def test_COG_20_a_package_comes_from_its_own_index_and_the_other_is_not_even_asked(
    shop: Server, packages: PackageWorld
) -> None:
    assert versions(shop, buy(shop, "direct", ["quokka-core", "plain"])) == {"quokka_core": "1.0", "plain": "1.0"}
    assert packages.private.names_asked() == {"quokka-core"} and packages.index.names_asked() == {"plain"}
    assert packages.private.shown and set(packages.private.shown) == {b"Basic " + BASIC}
    assert packages.index.shown == [], "credentials were shown to the other index"


@pytest.mark.guarantee("COG-20")
def test_COG_20_also_what_another_package_needs_comes_from_its_own_index(shop: Server, packages: PackageWorld) -> None:
    outcome = buy(shop, "needed", ["quokka-needs"], names=("quokka-needs", "quokka-core", "wombat-tools"))
    assert versions(shop, outcome) == {"quokka_needs": "1.0", "quokka_core": "1.0", "wombat_tools": "1.0"}
    assert packages.private.names_asked() == {"quokka-needs", "quokka-core"}
    assert packages.index.names_asked() == {"wombat-tools"}
    # A public package that needs a private one.
    packages.forget_packages()
    outcome = buy(shop, "turned", ["numbat-needs"], names=("numbat-needs", "quokka-core"))
    assert versions(shop, outcome) == {"numbat_needs": "1.0", "quokka_core": "1.0"}
    assert packages.index.names_asked() == {"numbat-needs"} and packages.private.names_asked() == {"quokka-core"}


@pytest.mark.guarantee("COG-20")
def test_COG_20_a_package_is_pinned_to_an_index_by_its_name_in_any_spelling(
    shop: Server, packages: PackageWorld
) -> None:
    pins = {"Quokka_Core": "corp", "quokka.needs*": "corp", "LONELY": "corp", "Quokka_M*": "corp"}
    requirements = ["quokka.core", "QUOKKA_needs", "Lonely", "quokka__more"]
    names = ("quokka-core", "quokka-needs", "lonely", "quokka-more")
    told = versions(shop, buy(shop, "spelled", requirements, sources(pins), names=names))
    assert told == dict.fromkeys([name.replace("-", "_") for name in names], "1.0")
    assert packages.index.names_asked() == {"plain", "wombat-tools"}


@pytest.mark.guarantee("COG-20")
def test_COG_20_a_name_pins_itself_alone_and_a_beginning_all_that_begin_so(
    shop: Server, packages: PackageWorld
) -> None:
    outcome = buy(shop, "alone", ["quokka-core", "quokka-more"], sources({"quokka-core": "corp"}))
    assert versions(shop, outcome) == {"quokka_core": "1.0", "quokka_more": "99.0"}
    assert packages.private.names_asked() == {"quokka-core"}
    outcome = buy(shop, "both", ["quokka-core", "quokka-more"], sources({"quokka-*": "corp"}))
    assert versions(shop, outcome) == {"quokka_core": "1.0", "quokka_more": "1.0"}


@pytest.mark.guarantee("COG-20")
def test_COG_20_what_its_own_index_lacks_is_taken_from_no_other(shop: Server, packages: PackageWorld) -> None:
    outcome = buy(shop, "lacking", ["quokka-absent"])
    assert "quokka-absent" in failed(outcome), outcome.said
    outcome = buy(shop, "too-high", ["quokka-core>=2"])
    assert "quokka-core" in failed(outcome), outcome.said
    assert packages.index.asked == []


@pytest.mark.guarantee("COG-20")
def test_COG_20_the_index_of_all_others_may_be_a_private_one(shop: Server, packages: PackageWorld) -> None:
    manifest = keys(indexes=CORP, index="corp")
    assert versions(shop, buy(shop, "all", ["quokka-core", "lonely"], manifest)) == {
        "quokka_core": "1.0",
        "lonely": "1.0",
    }
    assert "plain" in failed(buy(shop, "all-but", ["lonely", "plain"], manifest))
    assert packages.index.asked == []


@pytest.mark.guarantee("COG-20")
def test_COG_20_an_index_that_passes_on_what_it_lacks_leads_to_no_other(shop: Server, packages: PackageWorld) -> None:
    """As some do of themselves, to the public one: there anybody may have the name."""
    packages.private.moved = {"/simple/quokka-absent": packages.index.url.removesuffix("/simple")}
    try:
        outcome = buy(shop, "passed-on", ["quokka-absent"])
    finally:
        packages.private.moved = {}
    assert "quokka-absent" in failed(outcome), outcome.said
    assert packages.index.asked == []


@pytest.mark.guarantee("COG-20", "COG-18")
def test_COG_20_an_index_that_changes_is_asked_anew(shop: Server, packages: PackageWorld) -> None:
    """A lock is of one index: the same name and version of another is another package."""
    packages.index.add(Public("quokka-same", "1.0"))
    packages.private.add(release("quokka-same", "1.0"))
    returns = "getattr(quokka_same, 'PLACE', 'private')"

    def place(manifest: Mapping[str, Any]) -> Any:
        shop.secret("shop/moving", "CORP_INDEX", CREDENTIALS)
        let_pass(shop.try_deploy("shop", "moving", needing(["quokka-same"], "quokka_same", returns=returns), manifest))
        return shop.call("shop/moving", body={}).json()

    assert place({}) == "public"
    assert place(sources()) == "private"
    assert place({}) == "public"


@pytest.mark.guarantee("COG-20", "COG-18")
def test_COG_20_an_upgrade_takes_no_higher_version_of_another_index(shop: Server, packages: PackageWorld) -> None:
    packages.private.add(release("quokka-kept", "1.0"))
    packages.index.add(Public("quokka-kept", "99.0"))
    outcome = buy(shop, "upgraded", ["quokka-kept", "plain"])
    assert versions(shop, outcome) == {"quokka_kept": "1.0", "plain": "1.0"}
    code, out, err = shop.cli("deps", "upgrade", "shop/upgraded")
    assert code == 0 and "quokka" not in out, out + err
    packages.private.add(release("quokka-kept", "1.5"))
    packages.forget_packages()
    code, out, err = shop.cli("deps", "upgrade", "shop/upgraded")
    assert code == 0 and re.search(r"quokka-kept 1\.0 -> 1\.5", out), out + err
    assert versions(shop, outcome) == {"quokka_kept": "1.5", "plain": "1.0"}
    assert "quokka-kept" not in packages.index.names_asked() and packages.index.shown == []
    assert_untold(out + err, "the upgrade's answer")


# ---------------------------------------------------------------- manifests that are refused


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "http": ({"indexes": {"corp": {"url": URL.replace("https", "http")}}}, "https"),
    "a user and a password": ({"indexes": {"corp": {"url": f"https://robot:{TOKEN}@{PRIVATE_INDEX}/simple"}}}, "credentials"),
    "a token as a user": ({"indexes": {"corp": {"url": f"https://{TOKEN}@{PRIVATE_INDEX}/simple"}}}, "credentials"),
    "a token in the query": ({"indexes": {"corp": {"url": f"{URL}?token={TOKEN}"}}}, "https"),
    "http with a password": ({"indexes": {"corp": {"url": f"http://robot:{TOKEN}@{PRIVATE_INDEX}/simple"}}}, "https"),
    "a file": ({"indexes": {"corp": {"url": "file:///etc"}}}, "https"),
    "an address": ({"indexes": {"corp": {"url": "https://127.0.0.1/simple"}}}, "https"),
    "no url": ({"indexes": {"corp": {"credentials": "CORP_INDEX"}}}, "url"),
    "credentials instead of a name": ({"indexes": {"corp": {"url": URL, "credentials": f"robot:{TOKEN}"}}}, "secret"),
    "an index that is not there": ({"packages": {"quokka-core": "corp"}}, "corp"),
    "a URL for a name": ({"indexes": CORP, "packages": {"quokka-core": f"https://robot:{TOKEN}@{PRIVATE_INDEX}/"}}, "quokka-core"),
    "all packages": ({"indexes": CORP, "packages": {"*": "corp"}}, "*"),
    "a beginning in the middle": ({"indexes": CORP, "packages": {"quokka-*-core": "corp"}}, "quokka-*-core"),
    "an unknown key": ({"indexes": {"corp": {"url": URL, "password": TOKEN}}}, "password"),
    "two further indexes in a list": ({"indexes": [URL]}, "mapping"),
}  # fmt: skip


@pytest.mark.guarantee("COG-20")
@pytest.mark.case("D13")
@pytest.mark.parametrize("what", REFUSED)
def test_D13_COG_20_an_index_that_is_none_is_refused_with_its_line_and_no_credentials(
    shop: Server, packages: PackageWorld, what: str
) -> None:
    dependencies, said = REFUSED[what]
    shop.namespace("shop")
    folder = shop.project("shop", "refused", needing(["quokka-core"], "quokka_core"), {"dependencies": dependencies})
    for options in ([], ["--json"]):
        code, out, err = shop.cli("deploy", str(folder), *options)
        assert code in (1, 2) and said in out + err and re.search(r"casemate\.yaml\W+(line\W+)?\d", out + err), (
            out + err
        )
        assert_untold(out + err, "the refusal")
    assert_untold("".join(shop.out + shop.err), "the server's log")
    assert packages.private.asked == [] and packages.index.asked == []


# ---------------------------------------------------------------- credentials that are missing, or wrong


@pytest.mark.guarantee("COG-20")
@pytest.mark.case("D13")
def test_D13_COG_20_credentials_without_a_value_are_told_with_the_command(shop: Server, packages: PackageWorld) -> None:
    problem = failed(buy(shop, "missing", ["quokka-core"], secret=None), kind="secret-missing")
    command = "casemate secret set shop/missing CORP_INDEX"
    assert command in problem and "user:password" in problem, problem
    assert packages.private.asked == [] and packages.private.shown == []
    # What it says works.
    code, out, err = shop.cli(*command.split()[1:], input=CREDENTIALS)
    assert code == 0, out + err
    assert versions(shop, buy(shop, "missing", ["quokka-core"], secret=None)) == {"quokka_core": "1.0"}


@pytest.mark.guarantee("COG-20")
@pytest.mark.case("D13")
def test_D13_COG_20_credentials_that_the_index_refuses_are_told_without_them(
    shop: Server, packages: PackageWorld
) -> None:
    outcome = buy(shop, "wrong", ["quokka-core"], secret=WRONG)
    problem = failed(outcome)
    assert "401" in problem and "index" in problem and "credentials" in problem, problem
    assert set(packages.private.shown) == {b"Basic " + base64.b64encode(WRONG.encode())}
    assert packages.private.asked == packages.index.asked == [], "nothing is taken from elsewhere instead"
    folder = shop.project("shop", "wrong", needing(["quokka-core"], "quokka_core"), sources())
    code, out, err = shop.cli("deploy", str(folder))
    assert code == 1 and "401" in out + err, out + err
    for where in (outcome.said, out + err, "".join(shop.out + shop.err)):
        assert_absent(where, WRONG.partition(":")[2], "what is told")
    # Without any, where the index wants some.
    outcome = buy(shop, "wrong", ["quokka-core"], sources(indexes={"corp": {"url": URL}}), secret=None)
    assert "401" in failed(outcome) and packages.private.shown[-1] == b"Basic " + base64.b64encode(WRONG.encode())


@pytest.mark.guarantee("COG-20")
def test_COG_20_a_failure_says_which_index_it_is_of(shop: Server) -> None:
    outcome = buy(shop, "which", ["quokka-core"], secret=WRONG)
    assert PRIVATE_INDEX in failed(outcome), outcome.said


@pytest.mark.guarantee("COG-20")
@pytest.mark.case("D13")
def test_D13_COG_20_credentials_are_those_of_the_function_and_no_other_s(shop: Server, packages: PackageWorld) -> None:
    """Another function of the namespace has a value under the same name."""
    shop.secret("shop/its-neighbour", "CORP_INDEX", CREDENTIALS)
    failed(buy(shop, "has-none", ["quokka-core"], secret=None), kind="secret-missing")
    assert packages.private.shown == []


@pytest.mark.guarantee("COG-20")
@pytest.mark.case("D13")
def test_D13_COG_20_credentials_that_change_are_taken_at_the_next_deployment(
    shop: Server, packages: PackageWorld
) -> None:
    packages.private.add(release("quokka-turning", "1.0"))
    versions(shop, buy(shop, "turning", ["quokka-core"]))
    changed = f"other:{randomness.token_hex(16)}"
    packages.private.credentials = changed
    try:
        assert "401" in failed(buy(shop, "turning", ["quokka-core", "quokka-turning"], secret=None))
        outcome = buy(shop, "turning", ["quokka-core", "quokka-turning"], secret=changed)
        assert versions(shop, outcome)["quokka_turning"] == "1.0"
    finally:
        packages.private.credentials = CREDENTIALS


# ---------------------------------------------------------------- where an index leads


@pytest.mark.guarantee("COG-20")
@pytest.mark.case("D13")
@pytest.mark.parametrize(
    ("what", "place"),
    [
        pytest.param(PAGE, f"https://index.test:{PORT}", id="a page, to the other index"),
        pytest.param(PAGE, "https://elsewhere.test", id="a page, to another host"),
        pytest.param(FILE, "https://elsewhere.test", id="a file, to another host"),
        pytest.param(PAGE, f"http://{PRIVATE_INDEX}:{PRIVATE_PORT}", id="a page, without TLS"),
    ],
)
def test_D13_COG_20_nobody_follows_an_index_to_another_host(
    shop: Server, packages: PackageWorld, what: str, place: str
) -> None:
    packages.dns["elsewhere.test"] = [A(PUBLIC)]
    packages.private.moved = {what: place}
    # The other index has it, and would give it.
    packages.index.add(Public("quokka-core", "1.0"))
    try:
        name = f"moved-{randomness.token_hex(3)}"
        outcome = buy(shop, name, ["quokka-core"], sources({"quokka-core": "corp"}))
    finally:
        packages.private.moved = {}
        packages.index.releases.pop()
    failed(outcome)
    assert any(target.startswith(what) for target in packages.private.asked), packages.private.asked
    assert packages.index.asked == [] and packages.index.shown == []
    assert [arrival for arrival in packages.arrivals if arrival.port != PRIVATE_PORT] == []
    assert_untold(outcome.said, "the deployment's answer")


@pytest.mark.guarantee("COG-20")
@pytest.mark.case("D13")
def test_D13_COG_20_files_lie_where_the_manifest_says_and_no_credentials_go_there(
    shop: Server, packages: PackageWorld
) -> None:
    """`files` are further hosts, at the usual port, where World's own https is the public index."""
    packages.dns["files.test"] = [A(PUBLIC)]
    far = Release("quokka-far", host="https://files.test")
    packages.private.add(far)
    packages.index.add(far)
    corp = {"corp": {**CORP["corp"], "files": ["files.test"]}}
    assert versions(shop, buy(shop, "far", ["quokka-far"], sources(indexes=corp))) == {"quokka_far": "1.0"}
    assert f"/files/{far.file}" in packages.index.asked and packages.index.shown == []
    assert not [target for target in packages.index.asked if target.startswith("/simple/")]
    # The one port that is no index's.
    assert {arrival.sni for arrival in packages.arrivals if arrival.port == HTTPS} == {"files.test"}
    packages.arrivals[:] = [arrival for arrival in packages.arrivals if arrival.port != HTTPS]


@pytest.mark.guarantee("COG-20")
@pytest.mark.case("D13")
def test_D13_COG_20_an_index_of_the_server_s_own_host_or_network_is_not_reached(
    shop: Server, packages: PackageWorld
) -> None:
    """A manifest names a host like those of functions: a name that leads inside leads nowhere."""
    packages.dns["inside.test"] = [A("10.1.2.3")]
    url = f"https://inside.test:{PRIVATE_PORT}/simple"
    set_policy(shop, "inside", indexes=[url])
    failed(buy(shop, "f", ["quokka-core"], sources(indexes={"corp": {"url": url}}), secret=None, namespace="inside"))
    assert packages.private.asked == [] and packages.at_home == []


# ---------------------------------------------------------------- nowhere


@pytest.fixture(scope="module")
def sourced(packages: PackageWorld, buying: Server) -> Outcome:
    """A function with packages of both indexes, one of which is built and looks around."""
    buying.namespace("shop")
    buying.secret("shop/sourced", "CORP_INDEX", CREDENTIALS)
    requirements = ["quokka-sourced==1.0", "quokka-core", "plain"]
    looking = "[quokka_sourced.FOUND, dict(os.environ)]\nimport os"
    source = needing(requirements, "quokka_sourced", "quokka_core", "plain", returns=looking)
    outcome = buying.try_deploy("shop", "sourced", source, sources(fromSource=["quokka-sourced"]))
    let_pass(outcome)
    return outcome


@pytest.mark.guarantee("COG-20")
@pytest.mark.case("D13")
def test_D13_COG_20_no_build_and_no_function_has_the_credentials(shop: Server, sourced: Outcome) -> None:
    import zlib

    told, environment = shop.call("shop/sourced", body={}).json()
    seen = unveiled(told)
    text = zlib.decompress(bytes.fromhex(seen["text"]))
    assert any(name.endswith("/environ") for name in seen["names"]) and "/fn/deps/quokka_core.py" in seen["names"]
    # What is looked for would be found: this is.
    assert b"NAME = 'quokka-core'" in text and b"PYTHONPATH" in text
    assert_untold(text, "what a build can read")
    assert "CORP_INDEX" not in environment, "the function's secrets are those that it names"
    assert_untold(json.dumps(environment), "the function's environment")


@pytest.mark.guarantee("COG-20")
@pytest.mark.case("D13")
def test_D13_COG_20_the_credentials_are_in_no_answer_list_log_or_file(
    shop: Server, packages: PackageWorld, sourced: Outcome
) -> None:
    told = {"the deployment's answer": sourced.said}
    path = shop.function_path("shop/sourced")
    page = shop.cli_json("function", "show", "shop/sourced")
    lock = next(one["lock"] for one in page["revisions"] if one["isActive"])
    assert "quokka-sourced==1.0" in lock and "quokka-core==1.0" in lock
    for arguments in (
        ("deps", "show", "shop/sourced"), ("sbom", "shop/sourced"), ("findings", "shop/sourced"), ("function", "show", "shop/sourced"),
        ("function", "show", "shop/sourced", "--json"), ("secret", "list", "shop/sourced"), ("logs", "shop/sourced"), ("audit", "tail"),
        ("posture", "shop"), ("status",), ("deps", "upgrade", "shop/sourced", "--dry-run"), ("policy", "get", "shop"),
    ):  # fmt: skip
        code, out, err = shop.cli(*arguments)
        assert code in (0, 1), f"{arguments}: {err}"
        told[" ".join(arguments)] = out + err
    assert "quokka-core" in told["deps show shop/sourced"] and "quokka-core" in told["sbom shop/sourced"]
    for target in (
        path,
        f"{path}/findings",
        f"{path}/sbom",
        f"{path}/logs?limit=10000",
        f"{path}/egress",
        "/v1/audit?tail=10000",
        "/metrics",
    ):
        answer = shop.api("GET", target)
        assert answer.status == 200, f"{target}: {answer.text}"
        told[target] = answer.text + str(answer.fields)
    assert "shop/sourced" in told["/v1/audit?tail=10000"]
    folder = shop.project("shop", "texted", needing(["quokka-core"], "quokka_core"), sources())
    shop.secret("shop/texted", "CORP_INDEX", CREDENTIALS)
    code, out, err = shop.cli("deploy", str(folder))
    assert code == 0, out + err
    told["the deployment's text"] = out + err
    told["the server's log"] = "".join(shop.out + shop.err)
    for what, text in told.items():
        assert_untold(text, what)
    kept = {str(path.relative_to(shop.data)): path.read_bytes() for path in shop.data.rglob("*") if path.is_file()}
    assert len(kept) > 10
    # What is looked for would be found: names are.
    assert any(b"CORP_INDEX" in content for content in kept.values()) and any(
        b"quokka-core" in content for content in kept.values()
    )
    for name, content in kept.items():
        assert_untold(content, name)


@pytest.mark.guarantee("COG-20")
@pytest.mark.case("D13")
def test_D13_COG_20_what_an_index_says_back_of_the_credentials_is_told_to_nobody(
    shop: Server, packages: PackageWorld
) -> None:
    """A page that sends the installer to an address with the credentials in it."""
    quoted = urllib.parse.quote(CREDENTIALS, safe="")
    packages.private.moved = {"/simple/quokka-core": f"/told/{quoted}/{BASIC.decode()}"}
    try:
        outcome = buy(shop, "telling", ["quokka-core"])
    finally:
        packages.private.moved = {}
    failed(outcome)
    assert_untold(outcome.said, "the deployment's answer")
    assert wait_until(lambda: len(packages.private.asked) >= 2, 1), packages.private.asked
    assert_untold("".join(target for target in packages.private.asked), "what the installer asked for")
    assert_untold("".join(shop.out + shop.err) + shop.api("GET", "/v1/audit?tail=10000").text, "the server's log")


@pytest.mark.guarantee("COG-20")
@pytest.mark.case("D13")
def test_D13_COG_20_two_indexes_of_one_host_are_never_shown_each_other_s_credentials(
    shop: Server, packages: PackageWorld
) -> None:
    other = f"https://{PRIVATE_INDEX}:{PRIVATE_PORT}/other/simple"
    set_policy(shop, "one-host", indexes=[URL, other])
    shop.namespace("one-host")
    shop.secret("one-host/f", "OTHER_INDEX", WRONG)
    indexes = {**CORP, "other": {"url": other, "credentials": "OTHER_INDEX"}}
    pins = {"quokka-core": "corp", "lonely": "other"}
    outcome = buy(shop, "f", ["quokka-core"], sources(pins, indexes), namespace="one-host")
    assert "one host and port" in failed(outcome, kind="invalid-request"), outcome.said
    assert packages.private.shown == []
