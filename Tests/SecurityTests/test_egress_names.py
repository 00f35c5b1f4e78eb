"""What a function may reach by name, and what its own resolver tells it. The names lead into a made-up internet."""

from __future__ import annotations

import struct
import time
from typing import Any

import pytest
from casemate_fixture import Server, handler, wait_until
from egress_probe import EgressProbe, timed, was_refused
from network_world import DEAD_ADDRESS, DEAD_ADDRESS_6, World
from world_dns import AAAA, CNAME, TYPES, A, packed_name

PUBLIC = "93.184.216.34"
OTHER = "93.184.216.35"
PUBLIC_6 = "2600:1f18::34"
NAMES = ["api", "six", "dual", "dead4", "dead6", "refused", "short", "zero", "long", "alias", "many", "gone", "changes"]

probe = EgressProbe(
    "wall/names",
    egress=[
        *(f"{name}.example.com:443" for name in NAMES),
        "raw.example.com:5432",
        "example.com:443",
        "Mixed.Example.com:443",
        "*.wild.example.net:443",
        "_under.example.com:443",
        "xn--bcher-kva.example.com:443",
    ],
)


def question(name: str, kind: str | int = "A", id: int = 0x1234, flags: int = 0x0100) -> str:
    number = TYPES[kind] if isinstance(kind, str) else kind
    return (struct.pack(">HHHHHH", id, flags, 1, 0, 0, 0) + packed_name(name) + struct.pack(">HH", number, 1)).hex()


def code_and_count(found: dict[str, Any]) -> tuple[int, int]:
    """An answer's response code and how many records it has."""
    assert "answer" in found, found
    raw = bytes.fromhex(found["answer"])
    _, flags, _, answers, _, _ = struct.unpack_from(">HHHHHH", raw)
    assert flags & 0x8000, "not an answer"
    return flags & 15, answers


def codes(server: Server, questions: list[str], over: str = "udp") -> list[tuple[int, int]]:
    return [code_and_count(found) for found in probe.asks(server, questions=questions, over=over)]


# ---------------------------------------------------------------- what is allowed works


@pytest.mark.case("N1")
@pytest.mark.guarantee("COG-24")
def test_an_allowed_name_is_reached_over_TLS_that_ends_at_the_real_host(walled: Server, world: World) -> None:
    world.dns["api.example.com"] = [A(PUBLIC)]
    found = probe.fetches(walled, host="api.example.com")
    assert found.get("status") == 200, found
    assert found["saw"] == {**found["saw"], "sni": "api.example.com", "hosts": ["api.example.com"], "address": PUBLIC}
    [arrival] = world.arrivals_at(PUBLIC)
    assert (arrival.sni, arrival.failure) == ("api.example.com", "")
    world.assert_untouched(PUBLIC)


def test_a_large_answer_comes_through_whole(walled: Server, world: World) -> None:
    world.dns["api.example.com"] = [A(PUBLIC)]
    found = probe.fetches(walled, host="api.example.com", path="/bytes/20000000", timeout=30)
    assert found.get("saw") == 20_000_000, found


def test_raw_bytes_pass_on_another_port(walled: Server, world: World) -> None:
    world.dns["raw.example.com"] = [A(PUBLIC)]
    piece = b"\0\xffnot TLS\r\n".hex()
    found = probe.exchanges(walled, host="raw.example.com", port=5432, pieces=[piece], finish=True)
    assert found.get("received") == "\0\xffnot TLS\r\n<11>", found
    # A client that begins with TLS says the name there as well.
    found = probe.fetches_in_pieces(walled, host="raw.example.com", name="raw.example.com", port=5432, timeout=2)
    assert any(arrival.received for arrival in world.arrivals_at(PUBLIC, 5432)[1:]), found


def test_names_with_IPv6_alone_and_with_both_are_reached(walled: Server, world: World) -> None:
    world.dns["six.example.com"] = [AAAA(PUBLIC_6)]
    world.dns["dual.example.com"] = [A(PUBLIC), AAAA(PUBLIC_6)]
    six = probe.fetches(walled, host="six.example.com")
    assert six.get("status") == 200 and six["saw"]["address"] == PUBLIC_6, six
    dual = probe.fetches(walled, host="dual.example.com")
    assert dual.get("status") == 200 and dual["saw"]["address"] in (PUBLIC, PUBLIC_6), dual


def test_when_one_address_is_dead_the_other_is_used_without_a_long_wait(walled: Server, world: World) -> None:
    world.dns["dead6.example.com"] = [A(PUBLIC), AAAA(DEAD_ADDRESS_6)]
    world.dns["dead4.example.com"] = [A(DEAD_ADDRESS), AAAA(PUBLIC_6)]
    world.dns["many.example.com"] = [A(DEAD_ADDRESS), A("93.184.218.2"), A(PUBLIC)]
    for name in ("dead6", "dead4", "many"):
        found = probe.fetches(walled, host=f"{name}.example.com")
        assert found.get("status") == 200, f"{name}: {found}"
        assert found["seconds"] < 3, f"{name}: {found['seconds']:.1f} s"


def test_a_name_behind_aliases_is_reached(walled: Server, world: World) -> None:
    world.dns["alias.example.com"] = [CNAME("one.cdn.example.org")]
    world.dns["one.cdn.example.org"] = [CNAME("two.cdn.example.org")]
    world.dns["two.cdn.example.org"] = [A(PUBLIC)]
    found = probe.fetches(walled, host="alias.example.com")
    assert found.get("status") == 200 and found["saw"]["sni"] == "alias.example.com", found


def test_a_name_that_has_no_address_or_does_not_exist_is_refused_at_once(walled: Server, world: World) -> None:
    assert was_refused(probe.fetches(walled, host="gone.example.com"))
    world.dns["gone.example.com"] = [CNAME("nowhere.example.org")]
    assert was_refused(probe.fetches(walled, host="gone.example.com"))


# ---------------------------------------------------------------- how long an answer counts


def test_an_answer_counts_as_long_as_it_says_and_no_longer(walled: Server, world: World) -> None:
    world.dns["short.example.com"] = [A(PUBLIC, ttl=1), AAAA(PUBLIC_6, ttl=1)]
    assert probe.fetches(walled, host="short.example.com")["saw"]["address"] in (PUBLIC, PUBLIC_6)
    world.dns["short.example.com"] = [A(OTHER, ttl=1)]
    time.sleep(2.5)
    assert probe.fetches(walled, host="short.example.com")["saw"]["address"] == OTHER


def test_an_answer_for_no_time_is_asked_for_each_time_and_a_long_one_once(walled: Server, world: World) -> None:
    world.dns["zero.example.com"] = [A(PUBLIC, ttl=0)]
    world.dns["long.example.com"] = [A(PUBLIC, ttl=3600), AAAA(PUBLIC_6, ttl=3600)]
    for expected in (PUBLIC, OTHER, PUBLIC):
        world.dns["zero.example.com"] = [A(expected, ttl=0)]
        assert probe.fetches(walled, host="zero.example.com")["saw"]["address"] == expected
    for _ in range(5):
        assert probe.fetches(walled, host="long.example.com").get("status") == 200
    kinds = [kind for name, kind, _ in world.dns.questions if name == "long.example.com"]
    assert len(kinds) == len(set(kinds)), f"asked again within the hour: {kinds}"


# ---------------------------------------------------------------- the resolver inside


@pytest.mark.case("N5")
@pytest.mark.guarantee("COG-24")
def test_the_resolver_answers_for_allowed_names_alone_over_UDP_and_TCP(walled: Server, world: World) -> None:
    expected = {
        question("api.example.com"): (0, 1),
        question("API.eXample.COM"): (0, 1),
        question("mixed.example.com"): (0, 1),
        question("example.com"): (0, 1),
        question("_under.example.com"): (0, 1),
        question("api.example.com", "AAAA"): (0, 0),
        question("api.example.com", "TXT"): (0, 0),
        question("api.example.com", "HTTPS"): (0, 0),
        question("api.example.com", "NS"): (0, 0),
        question("example.org"): (3, 0),
        question("example.org", "AAAA"): (3, 0),
        question("evil-example.com"): (3, 0),
        question("example.com.evil.com"): (3, 0),
        question("api.example.com.evil.com"): (3, 0),
        question("notapi.example.com"): (3, 0),
        question("x.api.example.com"): (3, 0),
        question("com"): (3, 0),
        question("localhost"): (3, 0),
        question("c2VjcmV0.tunnel.example.com", "TXT"): (3, 0),
        question("34.216.184.93.in-addr.arpa", 12): (3, 0),
    }
    for over in ("udp", "tcp"):
        assert dict(zip(expected, codes(walled, list(expected), over))) == expected, over
    assert world.dns.questions == [], "questions from inside go nowhere by themselves"


@pytest.mark.case("N5")
def test_each_name_has_an_address_of_its_own_that_stays(walled: Server, world: World) -> None:
    names = [f"{name}.example.com" for name in NAMES]
    first = probe.resolves(walled, names=[*names, "api.example.com.", "API.EXAMPLE.COM"])
    addresses = [first[name]["addresses"] for name in names]
    assert all(len(found) == 1 and found[0].startswith("127.66.") for found in addresses), addresses
    assert len({found[0] for found in addresses}) == len(names), "two names share an address"
    assert first["api.example.com."]["addresses"] == first["API.EXAMPLE.COM"]["addresses"] == addresses[0]
    again = probe.resolves(walled, names=names)
    assert [again[name]["addresses"] for name in names] == addresses


@pytest.mark.case("N5")
@pytest.mark.guarantee("COG-24")
def test_a_star_stands_for_exactly_one_label(walled: Server, world: World) -> None:
    for name in ("one.wild.example.net", "two.wild.example.net"):
        world.dns[name] = [A(PUBLIC)]
    world.dns["a.b.wild.example.net"] = [A(OTHER)]
    world.dns["wild.example.net"] = [A(OTHER)]
    outside = ["wild.example.net", "a.b.wild.example.net", "onewild.example.net", "one.wild.example.net.evil.com"]
    expected = {question(name): (3, 0) for name in outside}
    assert dict(zip(expected, codes(walled, list(expected)))) == expected
    assert codes(walled, [question("*.wild.example.net"), question("one.wild.example.net", "AAAA")])[1] == (0, 0)
    found = probe.fetches_each(walled, hosts=["one.wild.example.net", "ONE.wild.example.net", "two.wild.example.net"])
    assert found["one.wild.example.net"].get("saw", {}).get("sni") == "one.wild.example.net", found
    assert found["ONE.wild.example.net"].get("status") == found["two.wild.example.net"].get("status") == 200, found
    for name in outside:
        assert was_refused(probe.fetches(walled, host=name)), name
    world.assert_untouched(PUBLIC)


@pytest.mark.case("N5")
def test_one_star_s_name_does_not_open_another_s_connection(walled: Server, world: World) -> None:
    world.dns["one.wild.example.net"] = [A(PUBLIC)]
    world.dns["two.wild.example.net"] = [A(OTHER)]
    probe.resolves(walled, names=["one.wild.example.net", "two.wild.example.net"])
    found = probe.fetches(walled, host="one.wild.example.net", sni="two.wild.example.net")
    assert was_refused(found), found
    world.assert_untouched()


def test_thousands_of_a_star_s_names_cost_the_others_nothing(walled: Server, world: World) -> None:
    world.dns["api.example.com"] = [A(PUBLIC)]
    names = [question(f"n{index}.wild.example.net") for index in range(3000)]
    found = probe.asks(walled, questions=names, over="tcp")
    assert all(code_and_count(answer)[0] in (0, 2, 3, 5) for answer in found if "answer" in answer)
    assert probe.fetches(walled, host="api.example.com").get("status") == 200
    walled.assert_serving()


GARBAGE = {
    "nothing": b"",
    "one byte": b"\0",
    "a header alone": struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0),
    "an answer": bytes.fromhex(question("api.example.com", flags=0x8180)),
    "another opcode": bytes.fromhex(question("api.example.com", flags=0x2900)),
    "no question": struct.pack(">HHHHHH", 1, 0x0100, 0, 0, 0, 0),
    "many questions": struct.pack(">HHHHHH", 1, 0x0100, 65535, 0, 0, 0) + packed_name("api.example.com") * 20,
    "a name that points at itself": struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",
    "two names that point at each other": struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0) + b"\xc0\x0e\xc0\x0c\0\1\0\1",
    "a label over the end": struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0) + b"\x3fapi",
    "a name without end": struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0) + b"\x01a" * 240,
    "noise": bytes(range(256)) * 2,
    "many ones": b"\xff" * 4096,
}


@pytest.mark.case("N1")
def test_garbage_to_the_resolver_harms_nobody(walled: Server, world: World) -> None:
    raw = [message.hex() for message in GARBAGE.values()]
    for _ in range(3):
        found = probe.asks(walled, questions=raw, timeout=0.2)
        for what, answer in zip(GARBAGE, found):
            if "answer" in answer:
                assert code_and_count(answer)[1] == 0, what
    for message in GARBAGE.values():
        whole = (len(message).to_bytes(2, "big") + message).hex()
        probe.exchanges(walled, host="127.0.0.53", port=53, pieces=[whole], finish=True, timeout=0.5)
    largest = b"\xff\xff" + bytes.fromhex(question("api.example.com")).ljust(65535, b"\0")
    for pieces in ([largest.hex()], [largest[:2].hex()], [largest[:40000].hex()]):
        probe.exchanges(walled, host="127.0.0.53", port=53, pieces=pieces, finish=True, timeout=1)
    assert codes(walled, [question("api.example.com")]) == [(0, 1)]
    assert world.dns.questions == []
    walled.assert_serving()


@probe
def floods_the_resolver(message: str, count: int) -> dict[str, Any]:
    import socket
    import time

    raw, answered, begin = bytes.fromhex(message), 0, time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.connect(("127.0.0.53", 53))
        asker.settimeout(0.02)
        for number in range(count):
            asker.send(number.to_bytes(2, "big") + raw[2:])
            if number % 16 == 15:
                try:
                    for _ in range(16):
                        asker.recv(512)
                        answered += 1
                except TimeoutError:
                    pass
    return {"answered": answered, "seconds": time.monotonic() - begin}


def test_ten_thousand_questions_are_answered_or_dropped_and_ask_nobody_else(walled: Server, world: World) -> None:
    for name in ("api.example.com", "nowhere.example.org"):
        found = floods_the_resolver(walled, message=question(name, "TXT"), count=10_000)
        assert found["answered"] > 100, found
    assert codes(walled, [question("api.example.com")]) == [(0, 1)]
    assert world.dns.questions == []
    walled.assert_serving()


@probe
def holds_streams_to_the_resolver(count: int) -> dict[str, Any]:
    import socket

    held = []
    try:
        for _ in range(count):
            stream = socket.create_connection(("127.0.0.53", 53), 1)
            stream.sendall(b"\0")
            held.append(stream)
    except OSError:
        pass
    name = timed(lambda: {"addresses": socket.gethostbyname("api.example.com")})
    return {"held": len(held), "name": name}


def test_half_a_message_on_each_of_many_streams_does_not_stop_the_resolver(walled: Server, world: World) -> None:
    found = holds_streams_to_the_resolver(walled, count=500)
    assert found["name"].get("addresses", "").startswith("127.66."), found
    assert found["name"]["seconds"] < 2


# ---------------------------------------------------------------- what a manifest may say


WRONG = [
    "api.example.com", ":443", "api.example.com:", "api.example.com:0", "api.example.com:65536", "api.example.com:-1",
    "api.example.com:https", "*:443", "api.*.example.com:443", "*foo.example.com:443", "**.example.com:443",
    "*.*.example.com:443", "https://api.example.com:443", "api.example.com:443/path", "user@api.example.com:443",
    "api..example.com:443", "-api.example.com:443",
    "93.184.216.34", "10.0.0.1/8:5432", "[2600:1f18::34]:443", "010.0.0.1:443", "2130706433:80", "0x7f.1:80", "127.0.0.1:22",
    "a b.example.com:443", "a\n.example.com:443", "a" * 64 + ".example.com:443", "",
]  # fmt: skip


@pytest.mark.case("N5")
@pytest.mark.guarantee("COG-25")
def test_a_manifest_s_entry_that_is_no_name_and_port_is_refused_with_its_line(walled: Server) -> None:
    source = handler("def handle(data):\n    return 1\n")
    walled.deploy(
        "wall", "fine", source, {"egress": ["api.example.com:443", "*.blob.example.net:443", "db.internal.test:5432"]}
    )
    for entry in WRONG:
        outcome = walled.try_deploy("wall", "wrong", source, {"egress": [entry]})
        assert outcome.code != 0, f"{entry!r} was taken"
        assert "casemate.yaml:" in outcome.said or "egress" in outcome.said, outcome.said


@pytest.mark.case("N5")
@pytest.mark.guarantee("COG-25")
@pytest.mark.parametrize(
    "entry",
    ["ex\u0430mple.com:443", "\uff41pi.example.com:443", "b\u00fccher.example.com:443", "a\u200bpi.example.com:443"],
)
def test_a_name_that_only_looks_like_another_is_refused_or_shown_as_what_it_is(
    walled: Server, world: World, entry: str
) -> None:
    outcome = walled.try_deploy("wall", "looks", handler("def handle(data):\n    return 1\n"), {"egress": [entry]})
    if outcome.code == 0:
        [allowed] = walled.api("GET", f"{walled.function_path('wall/looks')}/egress").json()["allowed"]
        assert allowed["target"].isascii(), allowed
        assert allowed["target"] in outcome.said, f"{allowed['target']} is opened without a word"


@pytest.mark.guarantee("COG-25")
def test_a_new_revision_has_its_own_list_at_once(walled: Server, world: World) -> None:
    world.dns["changes.example.com"] = [A(PUBLIC)]
    first = EgressProbe("wall/changing", egress=["changes.example.com:443"])
    assert first.fetches(walled, host="changes.example.com").get("status") == 200
    second = EgressProbe("wall/changing", egress=["api.example.com:443"])
    walled.deployed.discard("wall/changing")
    assert wait_until(lambda: was_refused(second.fetches(walled, host="changes.example.com")), 5, every=0.5)
    found = walled.api("GET", f"{walled.function_path('wall/changing')}/egress").json()["allowed"]
    assert [(entry["target"], entry["source"]) for entry in found] == [("api.example.com:443", "manifest")]
