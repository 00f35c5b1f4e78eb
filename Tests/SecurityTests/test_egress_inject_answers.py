"""Who gets a value that is put in on the way, by its certificate, and what comes back of it: nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from casemate_fixture import Server
from egress_probe import assert_told, refused, was_refused
from inject_hosts import (  # noqa: F401  fixtures are taken by their names
    BROKEN,
    CODED,
    CUT,
    DOUBTS,
    HALF,
    LOST,
    SPELLINGS,
    WAYS,
    doubtful,
    doubting,
    hosts,
    mirrored,
    path,
    walled_server,
)
from inject_probe import (
    API,
    DOUBTFUL,
    MARK,
    MIRROR,
    MIRROR_BOUND,
    MIRROR_KEY,
    MIRRORED,
    PUBLIC,
    VALUES,
    InjectProbe,
    answers,
    assert_untold,
    bound,
    get,
    heads,
    is_whole,
    named,
    neighbour,
    probe,
    unveil,
)
from network_world import HTTPS, World
from test_secrets_and_redaction import assert_absent


def test_a_host_with_a_certificate_that_is_right_gets_it(walled: Server, hosts: World) -> None:
    """What the refusals below are worth."""
    for what in ("good", "star"):
        host = f"{what}.doubts.example.com"
        found = doubting.talks(walled, host=host, port=DOUBTFUL, pieces=[get(host)])
        assert answers(unveil(found.get("received", "")))[0].status == 200, found
        assert named(heads(hosts, PUBLIC, DOUBTFUL)[-1], "authorization") == [doubting.values[f"KEY_{what}"].encode()]


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize("what", [what for what in DOUBTS if what not in ("good", "star")])
def test_a_host_whose_certificate_does_not_verify_gets_nothing(walled: Server, hosts: World, what: str) -> None:
    doubting.deploy(walled)
    host, before = f"{what}.doubts.example.com", refused(walled, "bad-certificate")
    found = doubting.talks(walled, host=host, port=DOUBTFUL, pieces=[get(host)])
    assert was_refused(found, within=2), found
    assert hosts.arrivals_at(PUBLIC, DOUBTFUL), "the host was not even asked for its certificate"
    assert heads(hosts) == [] and all(arrival.received == 0 for arrival in hosts.arrivals)
    assert_told(walled, "inject/doubting", f"{host}:{DOUBTFUL}", "bad-certificate", before)


@pytest.mark.guarantee("COG-16")
def test_without_the_setting_the_system_s_authorities_alone_are_believed(
    walled: Server, network: World, hosts: World
) -> None:
    found = neighbour.talks(walled, host=API, pieces=[get(API)])
    assert answers(unveil(found["received"]))[0].status == 200
    hosts.arrivals.clear()
    with network.server() as server:
        found = neighbour.talks(server, host=API, pieces=[get(API)])
        assert was_refused(found, within=2), found
        assert heads(hosts) == [] and hosts.arrivals_at(PUBLIC, HTTPS)
        assert_told(server, "inject/neighbour", f"{API}:443", "bad-certificate", 0)


@pytest.mark.parametrize("what", ["a file that is not there", "a file without a certificate"])
def test_a_server_does_not_start_with_authorities_that_are_none(network: World, tmp_path: Path, what: str) -> None:
    file = tmp_path / "authorities.crt"
    if what == "a file without a certificate":
        file.write_text("no certificate at all\n")
    with pytest.raises(AssertionError, match="did not come up"), network.server("--egress-authorities", str(file)):
        pass


# ---------------------------------------------------------------- what the host tells of it


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("way", WAYS)
def test_a_value_that_the_host_tells_comes_in_as_a_mark(walled: Server, hosts: World, way: str, spelling: str) -> None:
    found = mirrored(walled, hosts, way, spelling)
    assert "received" in found, found
    raw = unveil(found["received"])
    [told] = answers(raw)
    assert_untold(raw + told.body, "the answer")
    assert told.named("content-length") or told.named("transfer-encoding") == ["chunked"], told.fields
    assert MARK in raw or MARK in told.body, raw[:500]
    if not spelling.startswith("base64"):
        # In base64 a neighbour's bits share a letter with the value's.
        spelt = SPELLINGS[spelling](MIRROR_KEY)
        [meant] = answers(b"".join(WAYS[way](spelt)))
        assert (told.status, told.body) == (meant.status, meant.body.replace(spelt, MARK))
        for name in ("x-told", "location", "set-cookie", "www-authenticate"):
            assert told.named(name) == [
                text.replace(spelt.decode(), MARK.decode()) for text in meant.named(name)
            ], told.fields


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize(
    ("way", "spelling"),
    # As it is, it has characters that names and extensions can't have.
    [(way, "hex") for way in LOST] + [(way, "as it is") for way in ("a trailer", "a reason", "an early hint")],
)
def test_a_value_in_a_place_that_nobody_reads_does_not_come_in(
    walled: Server, hosts: World, way: str, spelling: str
) -> None:
    found = mirrored(walled, hosts, way, spelling)
    raw = unveil(found.get("received", ""))
    assert_untold(raw, "the answer")
    # There is nothing to be put in the place of a name; such an answer may be refused as a whole.
    if not (way == "a header's name" and was_refused(found)):
        last = answers(raw)[-1]
        assert (last.status, last.body) == (200, b"whole")
        assert last.named("x-told") == []


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize("way", CODED)
def test_an_answer_that_cannot_be_searched_is_refused(walled: Server, hosts: World, way: str) -> None:
    probe.deploy(walled)
    before = refused(walled, "bad-response")
    found = mirrored(walled, hosts, way)
    assert "received" in found and was_refused(found, within=2), found
    assert_told(walled, "inject/probe", f"{MIRROR}:{MIRRORED}", "bad-response", before)


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize("way", BROKEN)
def test_an_answer_that_is_none_is_refused_and_harms_nobody(walled: Server, hosts: World, way: str) -> None:
    found = mirrored(walled, hosts, way)
    assert "received" in found and was_refused(found, within=3), found
    walled.assert_serving()


@pytest.mark.parametrize("way", CUT)
def test_an_answer_that_is_cut_off_does_not_look_whole(walled: Server, hosts: World, way: str) -> None:
    raw = unveil(mirrored(walled, hosts, way).get("received", ""))
    assert not is_whole(raw), raw[-200:]
    assert_untold(raw, "the answer")


@pytest.mark.parametrize("way", HALF)
def test_what_is_no_value_comes_in_unchanged(walled: Server, hosts: World, way: str) -> None:
    [told] = answers(unveil(mirrored(walled, hosts, way)["received"]))
    [meant] = answers(b"".join(HALF[way](MIRROR_KEY)))
    assert (told.status, told.body) == (200, meant.body)


def test_the_values_of_two_secrets_of_one_host_each_become_their_mark(walled: Server, hosts: World) -> None:
    two = InjectProbe(
        "inject/two",
        {"MIRROR_KEY": VALUES["MIRROR_KEY"], "PART": VALUES["MIRROR_KEY"][4:]},
        egress=[f"{MIRROR}:{MIRRORED}"],
        secrets=[MIRROR_BOUND, bound("PART", f"{MIRROR}:{MIRRORED}", "X-Part", format="<{}>, x")],
    )
    found = two.talks(walled, host=MIRROR, port=MIRRORED, pieces=[get(MIRROR, path("a body"))])
    [told] = answers(unveil(found["received"]))
    # One value lies within the other.
    assert_absent(told.body, VALUES["MIRROR_KEY"][4:], "the answer")
    assert re.fullmatch(rb"before .*\[secret:\w+\] after", told.body), told.body
    [asked] = heads(hosts, PUBLIC, MIRRORED)
    assert named(asked, "x-part") == [b"<" + MIRROR_KEY[4:] + b">, x"]
