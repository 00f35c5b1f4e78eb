"""What the names' own owners can do: answers that lead into private networks, that change, that lie, or that never come.

The functions here may reach the names. Whether an address is one to connect to is the forwarder's to say, each time.
"""

from __future__ import annotations

import itertools
import random
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from casemate_fixture import Server, wait_until
from egress_probe import EgressProbe, assert_told, metrics, refused, was_refused
from network_world import ECHO, OWN_ADDRESSES, RESOLVER, SERVER_ADDRESS, World
from world_dns import AAAA, CNAME, TYPES, A, Given, Query, Record, address, packed_name

PUBLIC = "93.184.216.34"
PUBLIC_6 = "2600:1f18::34"
METADATA = "169.254.169.254"

probe = EgressProbe(
    "answers/probe",
    egress=["*.names.example.net:443", "*.names.example.net:5432", "good.example.com:443"],
    limits={"timeout": "120s"},
)

FORBIDDEN = [
    "10.0.0.1", "10.50.0.9", "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.1.1", "127.0.0.1", "127.66.0.1", "127.0.0.53",
    "169.254.1.1", METADATA, "100.64.0.1", "100.100.100.200", "100.127.255.255", "168.63.129.16", "0.0.0.0", "0.1.2.3",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.0.0.8", "192.0.2.1", "198.51.100.1", "203.0.113.1",
    "198.19.0.1", SERVER_ADDRESS, *OWN_ADDRESSES,
    "::", "::1", "::ffff:10.50.0.9", "::ffff:169.254.169.254", "::ffff:127.0.0.1", "::10.50.0.9", "::ffff:0:10.50.0.9",
    "64:ff9b::a9fe:a9fe", "64:ff9b::a32:9", "64:ff9b::7f00:1", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1", "2002:a32:9::1",
    "2002:7f00:1::", "2001:0:a32:9::1", "fc00::1", "fd00:ec2::254", "fd00:5ca5::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "ff0e::1",
    "2001:db8::1", "100::1",
]  # fmt: skip


def hosts_of(world: World, zones: dict[str, list[Record]]) -> list[str]:
    for label, records in zones.items():
        world.dns[f"{label}.names.example.net"] = records
    return [f"{label}.names.example.net" for label in zones]


def all_refused(server: Server, hosts: list[str], port: int = 443) -> None:
    for host, result in probe.fetches_each(server, hosts=hosts, port=port).items():
        assert was_refused(result), f"{host}: {result}"


# ---------------------------------------------------------------- addresses that are not for functions


@pytest.mark.case("N2")
@pytest.mark.guarantee("COG-24", "KYM-10")
def test_N2_a_name_that_leads_to_a_forbidden_address_is_refused(walled: Server, world: World) -> None:
    before = refused(walled, "private-address")
    hosts = hosts_of(world, {f"alone{index}": [address(text)] for index, text in enumerate(FORBIDDEN)})
    found = probe.fetches_each(walled, hosts=hosts)
    for text, host in zip(FORBIDDEN, hosts):
        assert was_refused(found[host]), f"{text}: {found[host]}"
    world.assert_untouched()
    assert wait_until(lambda: refused(walled, "private-address") >= before + len(FORBIDDEN), 3)


@pytest.mark.case("N2")
@pytest.mark.guarantee("KYM-10")
def test_N2_one_forbidden_address_spoils_the_whole_answer(walled: Server, world: World) -> None:
    zones: dict[str, list[Record]] = {}
    for index, text in enumerate(FORBIDDEN):
        public = AAAA(PUBLIC_6) if ":" in text else A(PUBLIC)
        zones[f"first{index}"] = [address(text), public]
        zones[f"last{index}"] = [public, AAAA("2600:1f18::35") if ":" in text else A("93.184.216.35"), address(text)]
    hosts = hosts_of(world, zones)
    for place in range(0, len(hosts), 40):
        all_refused(walled, hosts[place : place + 40])
    world.assert_untouched()


@pytest.mark.case("N2")
@pytest.mark.guarantee("KYM-10")
def test_N2_a_forbidden_address_of_one_family_is_not_used_beside_a_public_one_of_the_other(
    walled: Server, world: World
) -> None:
    zones: dict[str, list[Record]] = {}
    for index, text in enumerate(FORBIDDEN):
        zones[f"across{index}"] = [address(text), A(PUBLIC) if ":" in text else AAAA(PUBLIC_6)]
    for host, found in probe.fetches_each(walled, hosts=hosts_of(world, zones)).items():
        assert found.get("status") == 200 or was_refused(found), f"{host}: {found}"
    world.assert_untouched(PUBLIC, PUBLIC_6)


@pytest.mark.case("N2")
@pytest.mark.guarantee("KYM-10")
def test_N2_aliases_do_not_hide_where_a_name_leads(walled: Server, world: World) -> None:
    world.dns["localhost"] = [A("127.0.0.1"), AAAA("::1")]
    world.dns["metadata.google.internal"] = [A(METADATA)]
    world.dns["inside.evil.example"] = [A("10.50.0.9")]
    world.dns["far.evil.example"] = [CNAME("nearer.evil.example")]
    world.dns["nearer.evil.example"] = [CNAME("inside.evil.example")]
    world.dns["mixed.evil.example"] = [A(PUBLIC), A("10.50.0.9")]
    targets = [
        "localhost",
        "localhost.",
        "metadata.google.internal",
        "inside.evil.example",
        "far.evil.example",
        "mixed.evil.example",
    ]
    all_refused(walled, hosts_of(world, {f"alias{index}": [CNAME(target)] for index, target in enumerate(targets)}))
    world.assert_untouched()


@pytest.mark.case("N2")
def test_N2_a_raw_port_is_no_way_in_either(walled: Server, world: World) -> None:
    hosts = hosts_of(world, {f"raw{index}": [address(text)] for index, text in enumerate(FORBIDDEN)})
    for host, text in zip(hosts, FORBIDDEN):
        found = probe.exchanges(walled, host=host, port=ECHO, pieces=["6869"], finish=True)
        assert was_refused(found), f"{text}: {found}"
    world.assert_untouched()


# ---------------------------------------------------------------- answers that change


@pytest.mark.case("N2")
@pytest.mark.guarantee("KYM-10")
@pytest.mark.parametrize(
    "private", [METADATA, "127.0.0.1", "10.50.0.9", OWN_ADDRESSES[0], "::ffff:10.50.0.9", "fd00:ec2::254"]
)
def test_N2_a_name_that_changes_between_look_and_connection_wins_nothing(
    walled: Server, world: World, private: str
) -> None:
    label = "rebinds" + private.replace(".", "-").replace(":", "x")
    host = f"{label}.names.example.net"
    turn = 0

    def changing(query: Query) -> bytes:
        nonlocal turn
        turn += 1
        public = AAAA(PUBLIC_6, ttl=0) if query.wants("AAAA") else A(PUBLIC, ttl=0)
        return query.of(public if turn % 3 else address(private, ttl=0), *([public] if turn % 5 == 0 else []))

    world.dns[host] = changing
    for _ in range(8):
        found = probe.fetches(walled, host=host)
        assert found.get("status") == 200 or was_refused(found, within=2), found
    assert turn >= 8, "an answer for no time was kept"
    world.assert_untouched(PUBLIC, PUBLIC_6)


@pytest.mark.case("N2")
def test_N2_an_address_that_turned_private_is_not_used_although_the_old_one_was_good(
    walled: Server, world: World
) -> None:
    host = "turns.names.example.net"
    world.dns[host] = [A(PUBLIC, ttl=1)]
    assert probe.fetches(walled, host=host).get("status") == 200
    world.dns[host] = [A("10.50.0.9", ttl=1)]
    time.sleep(2)
    assert was_refused(probe.fetches(walled, host=host))
    world.assert_untouched(PUBLIC)


# ---------------------------------------------------------------- answers that are none


def with_record(
    query: Query, kind: int, data: bytes, length: int | None = None, group: int = 1, owner: bytes = b"\xc0\x0c"
) -> bytes:
    record = owner + struct.pack(">HHIH", kind, group, 60, len(data) if length is None else length) + data
    return query.header(1) + query.question + record


def loops(query: Query) -> bytes:
    at = 12 + len(query.question)
    pointer = struct.pack(">H", 0xC000 | at)
    return query.header(1) + query.question + pointer + struct.pack(">HHIH", 1, 1, 60, 4) + b"\x0a\x32\0\x09"


def own(query: Query) -> bytes:
    return bytes([93, 184, 216, 34]) if query.wants("A") else bytes.fromhex("26001f18" + "0" * 22 + "34")


def many(query: Query, *last: Record) -> Given:
    """Truncated over UDP; over TCP nearly 64 KiB of addresses, with `last` at the end."""
    if query.transport == "udp":
        return query.answer(truncated=True)
    records = [A(f"93.184.216.{index % 250 + 1}") for index in range(1500)] if query.wants("A") else []
    return query.answer([(query.name, record) for record in [*records, *last] if query.wants(record.type)])


def chain(query: Query, length: int = 400) -> bytes:
    if query.transport == "udp":
        return query.answer(truncated=True)
    links = [
        (query.name if index == 0 else f"c{index}.evil.example", CNAME(f"c{index + 1}.evil.example"))
        for index in range(length)
    ]
    return query.answer([*links, (f"c{length}.evil.example", A(PUBLIC))])


def another_question(query: Query) -> bytes:
    name = packed_name("evil.example")
    record = with_record(query, query.type, own(query), owner=name)[12 + len(query.question) :]
    return query.header(1) + name + struct.pack(">HH", query.type, 1) + record


LIES: dict[str, Any] = {
    "nothing but the header": lambda q: q.header(1),
    "half a header": lambda q: q.header()[:7],
    "noise": lambda q: random.Random(1).randbytes(400),
    "ones": lambda q: b"\xff" * 512,
    "a name that points at itself": loops,
    "pointers in a ring": lambda q: q.header(1) + b"\xc0\x0e\xc0\x0c" + struct.pack(">HH", q.type, 1),
    "an alias to a ring": lambda q: with_record(q, 5, struct.pack(">H", 0xC000 | (12 + len(q.question) + 12))),
    "a pointer past the end": lambda q: with_record(q, 5, b"\xff\xff"),
    "an alias to itself": lambda q: q.answer([(q.name, CNAME(q.name))]),
    "an alias ring": lambda q: q.answer([(q.name, CNAME("b.evil.example")), ("b.evil.example", CNAME(q.name))]),
    "a record of no length": lambda q: with_record(q, q.type, b""),
    "an address too long": lambda q: with_record(q, q.type, b"\x5d" * 64),
    "the other family's length": lambda q: with_record(q, q.type, b"\x5d\xb8\xd8\x22" * (1 if q.wants("AAAA") else 4)),
    "a length over the end": lambda q: with_record(q, q.type, own(q), length=60000),
    "another class": lambda q: with_record(q, q.type, own(q), group=3),
    "65535 records announced": lambda q: q.header(65535) + q.question,
    "another id": lambda q: q.header(1, id=q.id ^ 0x5555) + q.answer([(q.name, Record("A", own(q)))])[12:],
    "another question": another_question,
    "another's record": lambda q: with_record(q, q.type, own(q), owner=packed_name("good.example.com")),
    "a question instead of an answer": lambda q: q.raw,
    "a failure": lambda q: q.answer(code=2),
    "a refusal": lambda q: q.answer(code=5),
    "truncated for ever": lambda q: q.answer(truncated=True),
    "thousands with a private one last": lambda q: many(q, A("10.50.0.9")),
    "64 KiB of noise": lambda q: q.answer(truncated=True) if q.transport == "udp" else q.header(5000) + b"\xc0" * 65000,
    "60 KiB in a datagram": lambda q: (q.header(1) + q.question + b"\0" * 60000)[:60000],
    "a thousand datagrams": lambda q: [q.header(1, id=number) + q.question for number in range(1000)],
}  # fmt: skip


@pytest.mark.case("N2")
@pytest.mark.guarantee("COG-24")
def test_an_answer_that_is_none_leads_nowhere_and_harms_nobody(walled: Server, world: World) -> None:
    """Eight at a time, as some are waited for to the end."""
    hosts = {f"lie{index}.names.example.net": what for index, what in enumerate(LIES)}
    for host, what in hosts.items():
        world.dns[host] = LIES[what]
    world.dns["good.example.com"] = [A(PUBLIC)]
    assert probe.fetches(walled, host="good.example.com").get("status") == 200
    with ThreadPoolExecutor(8) as pool:
        waiting = {what: pool.submit(probe.fetches, walled, host=host, timeout=20) for host, what in hosts.items()}
        time.sleep(0.5)
        good = probe.fetches(walled, host="good.example.com")
        found = {what: result.result() for what, result in waiting.items()}
    assert good.get("status") == 200 and good["seconds"] < 2, good
    assert {what: result for what, result in found.items() if not was_refused(result, within=12)} == {}
    world.assert_untouched(PUBLIC)
    assert not any(arrival.sni in hosts for arrival in world.arrivals)
    walled.assert_serving()


@pytest.mark.parametrize("answers", [many, chain], ids=["addresses", "aliases"])
def test_a_huge_answer_over_TCP_is_read_or_refused(walled: Server, world: World, answers: Any) -> None:
    host = f"huge-{answers.__name__}.names.example.net"
    world.dns[host] = answers
    found = probe.fetches(walled, host=host)
    assert found.get("status") == 200 or was_refused(found, within=12), found
    assert any(transport == "tcp" for name, _, transport in world.dns.questions if name == host), "never asked over TCP"


def test_forged_answers_before_the_real_one_are_not_believed(walled: Server, world: World) -> None:
    host = "forged.names.example.net"

    def forged(query: Query) -> Given:
        real = query.of(A(PUBLIC, ttl=0))
        if not query.wants("A"):
            return real
        guesses = random.Random(7).sample([number for number in range(65536) if number != query.id], 200)
        lie = query.of(A("93.184.216.66", ttl=0))
        return [*(struct.pack(">H", number) + lie[2:] for number in guesses), real]

    world.dns[host] = forged
    found = probe.fetches(walled, host=host)
    assert found.get("saw", {}).get("address") == PUBLIC or was_refused(found, within=12), found
    world.assert_untouched(PUBLIC)


def test_questions_cannot_be_guessed(walled: Server, world: World) -> None:
    ids = []

    def noting(query: Query) -> bytes:
        ids.append(query.id)
        return query.of(A(PUBLIC, ttl=0))

    world.dns["ids.names.example.net"] = noting
    for _ in range(12):
        probe.fetches(walled, host="ids.names.example.net")
    steps = {later - earlier for earlier, later in itertools.pairwise(ids)}
    assert len(set(ids)) > len(ids) // 2 and len(steps) > 3, ids


# ---------------------------------------------------------------- answers that never come


@pytest.mark.guarantee("COG-24")
def test_a_resolver_that_never_answers_for_a_name_holds_up_no_other(walled: Server, world: World) -> None:
    world.dns["silent.names.example.net"] = lambda query: None
    world.dns["good.example.com"] = [A(PUBLIC)]

    def all_refusals() -> float:
        return sum(value for name, value in metrics(walled).items() if name.startswith("casemate_egress_refused_total"))

    assert probe.fetches(walled, host="good.example.com").get("status") == 200
    before = all_refusals()
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(probe.fetches, walled, host="silent.names.example.net", timeout=20) for _ in range(3)]
        time.sleep(0.5)
        for _ in range(5):
            good = probe.fetches(walled, host="good.example.com")
            assert good.get("status") == 200 and good["seconds"] < 1, good
        for result in waiting:
            assert was_refused(result.result(), within=11), result.result()
    assert all_refusals() >= before + 3


def test_a_resolver_that_loses_the_first_question_is_asked_again(walled: Server, world: World) -> None:
    lost: set[int] = set()

    def losing(query: Query) -> bytes | None:
        if query.type in lost:
            return query.of(A(PUBLIC))
        lost.add(query.type)
        return None

    world.dns["lossy.names.example.net"] = losing
    found = probe.fetches(walled, host="lossy.names.example.net", timeout=20)
    assert found.get("status") == 200, found
    assert TYPES["A"] in lost


def test_a_second_resolver_is_asked_when_the_first_is_dead(network: World) -> None:
    """198.18.0.99 is on the cable's own network, and nobody's."""
    with network.server(resolvers=f"198.18.0.99:53,{RESOLVER}") as server:
        network.forget()
        network.dns["good.example.com"] = [A(PUBLIC)]
        found = probe.fetches(server, host="good.example.com", timeout=20)
        assert found.get("status") == 200, found
        assert found["seconds"] < 10


def test_what_was_refused_for_its_address_is_told(walled: Server, world: World) -> None:
    fresh = EgressProbe("answers/told", egress=["told.example.com:443"])
    world.dns["told.example.com"] = [A(METADATA)]
    fresh.deploy(walled)
    before = refused(walled, "private-address")
    assert was_refused(fresh.fetches(walled, host="told.example.com"))
    assert_told(walled, "answers/told", "told.example.com:443", "private-address", before)
