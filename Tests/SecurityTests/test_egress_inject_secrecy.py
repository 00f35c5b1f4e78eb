"""Where a value that is put in on the way is not: the sandbox's authority, its files and memory, and all that the server tells."""

from __future__ import annotations

import re
import secrets as randomness
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from casemate_fixture import Server, problem, wait_until
from egress_probe import assert_told, evidence, refused, was_refused
from inject_hosts import (  # noqa: F401  fixtures are taken by their names
    around,
    doubtful,
    hosts,
    mirrored,
    path,
    walled_server,
)
from inject_probe import (
    API,
    API_BOUND,
    CLOSED_HOST,
    KEY,
    MARK,
    MIRROR,
    MIRROR_BOUND,
    MIRROR_KEY,
    MIRRORED,
    NEAR,
    PLACEHOLDER,
    PUBLIC,
    RAW,
    VALUES,
    InjectProbe,
    answers,
    apart,
    assert_untold,
    bound,
    get,
    heads,
    named,
    neighbour,
    probe,
    some,
    talks,
    unveil,
    value,
    veil,
    veiled,
)
from network_world import HTTPS, World
from test_egress_inject_requests import WRONG
from test_isolated_calls import holds, interpreters
from world_dns import A
from world_services import authority


def described(pem: str) -> str:
    done = subprocess.run(["openssl", "x509", "-noout", "-text"], input=pem, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_bundle_has_the_system_s_authorities_and_one_for_the_hosts_alone(walled: Server, hosts: World) -> None:
    found = probe.own_authorities(walled)
    assert found["lacks"] == 0 and len(found["own"]) == 1, found
    text = described(found["own"][0])
    assert "CA:TRUE" in text and re.search(r"X509v3 Name Constraints: critical\s+Permitted:", text), text
    permitted = text.partition("Permitted:")[2].partition("X509v3")[0]
    assert set(re.findall(r"DNS:(\S+)", permitted)) == {API, MIRROR, RAW, NEAR, CLOSED_HOST}, text
    assert authority().certificate.strip() not in found["own"]


@pytest.mark.guarantee("COG-16")
def test_each_sandbox_has_an_authority_of_its_own_that_no_other_believes(walled: Server, hosts: World) -> None:
    ours, theirs = probe.own_authorities(walled)["own"], neighbour.own_authorities(walled)["own"]
    assert ours != theirs
    for inside, trusts, works in (
        (probe, ours, True),
        (probe, theirs, False),
        (neighbour, theirs, True),
        (neighbour, ours, False),
    ):
        found = inside.talks(walled, host=API, pieces=[get(API)], trusts=trusts[0])
        assert ("received" in found) == works, found
        assert works or "certificate verify failed" in found["error"], found
    # The authority of the hosts outside is not believed either: the certificate inside is not theirs.
    assert "certificate verify failed" in probe.talks(walled, host=API, trusts="world").get("error", "")


@pytest.mark.guarantee("COG-16")
def test_two_instances_of_a_function_have_two_authorities(walled: Server, hosts: World) -> None:
    twice = InjectProbe("inject/twice", some("API_KEY"), egress=[f"{API}:443"], secrets=[API_BOUND], scale={"max": 2})
    twice.deploy(walled)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: twice.own_authorities(walled, seconds=2), range(2))
    assert first["sandbox"] != second["sandbox"], "one instance served both"
    assert first["own"] != second["own"]


@apart
def spoils_the_bundle() -> list[str]:
    """Puts something else in place of the bundle, by whatever way there is."""
    import os

    path, done = os.environ["SSL_CERT_FILE"], []
    ways: dict[str, Callable[[], object]] = {
        "written": lambda: open(path, "w").write("spoilt"),
        "removed": lambda: os.unlink(path),
        "linked": lambda: os.symlink("/dev/null", path),
        "blocked": lambda: os.makedirs(path + ".new", exist_ok=True),
    }
    for what, act in ways.items():
        try:
            act()
            done.append(what)
        except OSError:
            pass
    os.environ["SSL_CERT_FILE"] = "/dev/null"
    return done


def test_what_an_isolated_call_does_to_the_bundle_is_not_there_for_the_next(walled: Server, hosts: World) -> None:
    own = apart.own_authorities(walled)
    for _ in range(2):
        spoils_the_bundle(walled)
        found = apart.talks(walled, host=API, pieces=[get(API)])
        assert answers(unveil(found.get("received", "")))[0].status == 200, found
    again = apart.own_authorities(walled)
    assert again["lacks"] == 0 and (again["own"] == own["own"] or again["sandbox"] != own["sandbox"])


# ---------------------------------------------------------------- where the value is not


@probe
def looks_around() -> dict[str, Any]:
    """All files that it could keep, and what its processes were started with."""
    import glob
    import os

    patterns = ["/tmp/**", "/dev/shm/**", *(f"/proc/[0-9]*/{name}" for name in ("environ", "cmdline", "mounts"))]
    found = [file for pattern in patterns for file in glob.glob(pattern, recursive=True, include_hidden=True)]
    texts, names = [repr(dict(os.environ)).encode()], []
    for name in found:
        try:
            with open(name, "rb") as file:
                texts.append(file.read())
                names.append(name)
        except OSError:
            pass
    return {"names": names, "bundle": os.environ["SSL_CERT_FILE"], "text": veiled(b"\n".join(texts))}


@pytest.mark.guarantee("COG-16")
def test_no_file_and_no_environment_inside_has_a_value_or_a_private_key(walled: Server, hosts: World) -> None:
    mirrored(walled, hosts, "a large body")
    found = looks_around(walled)
    assert found["bundle"] in found["names"], found["names"]
    text = unveil(found["text"])
    assert b"BEGIN CERTIFICATE" in text and b"SSL_CERT_FILE" in text
    assert_untold(text, "a file or an environment")
    assert b"PRIVATE KEY" not in text


held = InjectProbe(
    "inject/held", some("MIRROR_KEY"), egress=[f"{MIRROR}:{MIRRORED}"], secrets=[MIRROR_BOUND], scale={"max": 1}
)


@held
def talks_and_stays(host: str, port: int, pieces: list[str], marker: str, seconds: float) -> dict[str, Any]:
    import time

    kept = bytearray(marker[::-1].encode())
    lengths = [len(talks(host, port, [piece]).get("received", "")) for piece in pieces]
    time.sleep(seconds)
    return {"lengths": lengths, "kept": len(kept)}


@pytest.mark.guarantee("COG-16")
def test_the_memory_of_the_function_s_process_never_has_the_value(walled: Server, hosts: World) -> None:
    """Read from the host, after the host outside has told all it knows in every way."""
    sandbox = held.own_authorities(walled)["sandbox"]
    marker = "marker-" + randomness.token_hex(12)
    ways = ["a header", "a body", "chunks that cut it", "a body until the end", "a large body", "a trailer", "gzip"]
    pieces = [get(MIRROR, path(way)) for way in ways]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            talks_and_stays, walled, host=MIRROR, port=MIRRORED, pieces=pieces, marker=marker, seconds=5
        )
        assert wait_until(lambda: len(heads(hosts, PUBLIC, MIRRORED)) == len(ways), 20)
        time.sleep(1)
        pids = interpreters(sandbox)
        found = {pid: (holds(pid, MIRROR_KEY), holds(pid, marker[::-1].encode())) for pid in pids}
        told = [(Path("/proc") / str(pid) / name).read_bytes() for pid in pids for name in ("environ", "cmdline")]
        assert not running.done(), "the call ran on until its memory had been read"
        lengths = running.result()["lengths"]
    assert all(named(asked, "authorization") == [b"Bearer " + MIRROR_KEY] for asked in heads(hosts, PUBLIC, MIRRORED))
    assert all(lengths[:-1]) and not lengths[-1], lengths
    assert (
        found and set(found.values()) <= {(False, True), (False, False)} and any(mine for _, mine in found.values())
    ), found
    assert_untold(b"".join(told), "a process")


@pytest.mark.guarantee("COG-16")
def test_nothing_that_the_server_tells_or_keeps_has_a_value(walled: Server, hosts: World) -> None:
    for way in ("a header", "a body", "gzip", "no HTTP"):
        hosts.arrivals.clear()
        mirrored(walled, hosts, way)
    for what in ("another host", "TRACE", "no HTTP"):
        probe.talks(walled, host=API, pieces=[WRONG[what][0].hex()])
    probe.talks(walled, host=API, pieces=[get(API)])
    assert named(heads(hosts, PUBLIC, HTTPS)[-1], "authorization") == [b"Bearer " + KEY]
    base, told = walled.function_path("inject/probe"), "".join(walled.out + walled.err)
    places = (
        base,
        *(f"{base}/{part}" for part in ("egress", "logs?limit=10000", "secrets", "secrets/API_KEY")),
        "/metrics",
        "/v1/status",
    )
    for place in places:
        answer = walled.api("GET", place)
        told += answer.text + str(answer.fields)
    for arguments in (
        ("function", "show", "inject/probe"),
        ("egress", "inject/probe"),
        ("secret", "list", "inject/probe"),
    ):
        told += "".join(map(str, walled.cli(*arguments)))
    assert "bad-response" in told and "wrong-name" in told and f"{MIRROR}:{MIRRORED}" in told
    assert_untold(told.encode(), "an answer, a log or a list")
    looked = 0
    for file in walled.folder.rglob("*"):
        if file.is_file():
            looked += 1
            assert_untold(file.read_bytes(), str(file))
    assert looked > 3


def test_a_value_that_the_function_has_by_another_way_is_marked_in_its_log_and_answer(
    walled: Server, hosts: World
) -> None:
    answer = probe.knows.answer(walled, text=veil(KEY))
    assert answer.json() == {"it is": "[secret:API_KEY]"}
    assert walled.messages("inject/probe", answer.call_id) == ["it is [secret:API_KEY]"]
    # What is no value passes, and so does the placeholder.
    for text in ("something else", PLACEHOLDER):
        assert probe.knows(walled, text=veil(text.encode())) == {"it is": text}


# ---------------------------------------------------------------- values


BREAKS = {
    "lf": "\n",
    "crlf": "\r\nX-Smuggled: ",
    "cr": "\r",
    "bell": "\x07",
    "escape": "\x1b[2J",
    "delete": "\x7f",
    "one": "\x01",
}
PARTS = {what: (f"first-{randomness.token_hex(8)}", f"second-{randomness.token_hex(8)}") for what in BREAKS}
FINE = {"spaces": "with spaces in it " + randomness.token_hex(6), "letters": "clé-ключ-" + randomness.token_hex(6)}
odd = InjectProbe(
    "inject/odd",
    {f"KEY_{what}": first + BREAKS[what] + second for what, (first, second) in PARTS.items()}
    | {f"KEY_{what}": text for what, text in FINE.items()},
    egress=[f"{what}.odd.example.com:443" for what in (*BREAKS, *FINE)],
    secrets=[bound(f"KEY_{what}", f"{what}.odd.example.com", format="Bearer {}") for what in (*BREAKS, *FINE)],
)


@pytest.mark.parametrize("what", FINE)
def test_a_value_with_spaces_or_other_letters_is_sent_as_it_is(walled: Server, hosts: World, what: str) -> None:
    host = f"{what}.odd.example.com"
    hosts.dns[host] = [A(PUBLIC)]
    found = odd.talks(walled, host=host, pieces=[get(host)])
    assert answers(unveil(found.get("received", "")))[0].status == 200, found
    [asked] = heads(hosts, PUBLIC, HTTPS)
    assert named(asked, "authorization") == [b"Bearer " + FINE[what].encode()]


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize("what", BREAKS)
def test_a_value_that_no_header_can_have_is_not_put_in_and_is_told_to_nobody(
    walled: Server, hosts: World, what: str
) -> None:
    odd.deploy(walled)
    host, before = f"{what}.odd.example.com", refused(walled, "bad-request")
    hosts.dns[host] = [A(PUBLIC)]
    answer = odd.talks.answer(walled, host=host, pieces=[get(host)])
    assert was_refused(answer.json(), within=2), answer.text
    assert heads(hosts) == []
    assert_told(walled, "inject/odd", f"{host}:443", "bad-request", before)
    told = (
        answer.text
        + str(walled.logs("inject/odd"))
        + str(evidence(walled, "inject/odd"))
        + "".join(walled.out + walled.err)
    )
    for part in PARTS[what]:
        assert part not in told, f"a part of the value is told: {part}"


def test_a_secret_without_a_value_is_missing_as_any_other_is(walled: Server, hosts: World) -> None:
    later = InjectProbe("inject/later", {}, egress=[f"{API}:443"], secrets=[API_BOUND])
    outcome = walled.try_deploy("inject", "later", later.source, later.keys)
    assert outcome.code == 0 and "casemate secret set inject/later API_KEY" in outcome.said, outcome.said
    walled.deployed.add("inject/later")
    details = problem(later.talks.answer(walled, host=API, pieces=[get(API)]))
    assert "secret-missing" in details["type"] or details.get("reason") == "secret-missing", details
    assert hosts.arrivals == []
    walled.secret("inject/later", "API_KEY", VALUES["API_KEY"])
    found = later.talks(walled, host=API, pieces=[get(API)])
    assert answers(unveil(found["received"]))[0].status == 200
    assert named(heads(hosts, PUBLIC, HTTPS)[-1], "authorization") == [b"Bearer " + KEY]
    assert walled.cli("secret", "delete", "inject/later", "API_KEY")[0] == 0
    assert "secret-missing" in later.talks.answer(walled, host=API, pieces=[get(API)]).text


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize("isolate", ["instance", "call"])
def test_a_new_value_is_sent_from_the_next_calls_on_and_does_not_come_back_either(
    walled: Server, hosts: World, isolate: str
) -> None:
    turning = InjectProbe(
        f"inject/turning-{isolate}",
        some("MIRROR_KEY"),
        egress=[f"{MIRROR}:{MIRRORED}"],
        secrets=[MIRROR_BOUND],
        isolate=isolate,
    )

    def sent() -> bytes:
        found = turning.talks(walled, host=MIRROR, port=MIRRORED, pieces=[get(MIRROR, path("a body"))])
        raw = unveil(found["received"])
        assert answers(raw)[0].body == around(MARK), raw
        return named(heads(hosts, PUBLIC, MIRRORED)[-1], "authorization")[0]

    def is_sent(wanted: str) -> bool:
        return sent() == b"Bearer " + wanted.encode()

    assert sent() == b"Bearer " + MIRROR_KEY
    for _ in range(2):
        newer = value()
        walled.secret(turning.function, "MIRROR_KEY", newer)
        assert wait_until(partial(is_sent, newer), 5, every=0.2), "the old value is still sent"
        assert turning.given(walled)["secrets"] == {"MIRROR_KEY": "casemate-placeholder-MIRROR_KEY"}


def test_a_new_revision_without_the_binding_talks_to_the_host_itself(walled: Server, hosts: World) -> None:
    first = InjectProbe("inject/changing", some("API_KEY"), egress=[f"{API}:443"], secrets=[API_BOUND])
    found = first.talks(walled, host=API, pieces=[get(API)])
    assert answers(unveil(found["received"]))[0].status == 200
    assert named(heads(hosts, PUBLIC)[-1], "authorization") == [b"Bearer " + KEY]
    walled.deployed.discard("inject/changing")
    second = InjectProbe("inject/changing", {}, egress=[f"{API}:443"])

    def talked() -> bool:
        found = second.talks(walled, host=API, pieces=[get(API)], trusts="world")
        return bool(found.get("issuer") == "Casemate test authority")

    assert wait_until(talked, 5, every=0.5)
    assert named(heads(hosts, PUBLIC)[-1], "authorization") == []
