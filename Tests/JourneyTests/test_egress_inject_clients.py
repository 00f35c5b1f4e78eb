"""Ordinary clients, as PyPI has them and without a word about certificates, to a host that gets a secret put in.

The function gives them a placeholder for the key. The packages are vendored into its source; needs PyPI once for each session.
"""

from __future__ import annotations

import json
import re
import secrets as randomness
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from casemate_fixture import Server
from egress_probe import ClientProbe
from network_world import World
from world_dns import AAAA, A
from world_programs import PUBLIC, install
from world_services import authority

PUBLIC_6 = "2600:1f18::34"
API = "api.example.com"
KEY = "key-" + randomness.token_hex(16)
PLACEHOLDER = "casemate-placeholder-API_KEY"
LARGE = 3_000_000


class KeyedProbe(ClientProbe):
    """One whose key is set."""

    def deploy(self, server: Server) -> None:
        if self.function not in server.deployed:
            server.namespace(self.function.split("/")[0])
            server.secret(self.function, "API_KEY", KEY)
        super().deploy(server)


KEYS: dict[str, Any] = {
    "egress": [f"{API}:443"],
    "secrets": [
        {"name": "API_KEY", "deliver": "inject", "host": API, "header": "Authorization", "format": "Bearer {}"}
    ],
    "limits": {"timeout": "60s", "memory": "512MiB", "tmp": "128MiB"},
}
light = KeyedProbe("keyed/light", **KEYS)
apart = KeyedProbe("keyed/apart", isolate="call", **KEYS)
BOTH = pytest.mark.parametrize("probe", [light, apart], ids=["an instance", "a process for each call"])


@pytest.fixture(scope="module")
def walled_server(network: World) -> Iterator[Server]:
    """As of the other tests of the wall, and it believes the world's own authority about the hosts outside."""
    with network.server("--egress-authorities", str(authority().folder / "authority.crt")) as server:
        yield server


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keyed")
    return install(folder, tmp_path_factory.mktemp("keyed-cache"), "requests", "httpx", "urllib3", "aiohttp")


@pytest.fixture
def clients(walled: Server, world: World, packages: Path) -> Server:
    light.packages = apart.packages = packages
    world.dns[API] = [A(PUBLIC), AAAA(PUBLIC_6)]
    return walled


def named(head: bytes, name: str) -> list[bytes]:
    return re.findall(rb"^" + name.encode() + rb":[ \t]*([^\r\n]*)", head, re.I | re.M)


def assert_keyed(world: World, targets: list[str], connections: int | None = None) -> None:
    """The host saw these requests in any order, each with the key; and nothing else had any."""
    arrivals = world.arrivals_at(port=443)
    heads = [head for arrival in arrivals for head in arrival.heads]
    assert sorted(head.split(b" ")[1].decode() for head in heads) == sorted(targets)
    for head in heads:
        assert named(head, "authorization") == [b"Bearer " + KEY.encode()], head
        assert named(head, "accept-encoding") == [b"identity"], head
    assert {arrival.sni for arrival in arrivals} == {API}
    assert connections in (None, len(arrivals)), f"{len(arrivals)} connections"
    world.assert_untouched(PUBLIC, PUBLIC_6)


def received(world: World) -> int:
    return sum(arrival.received for arrival in world.arrivals_at(port=443))


# ---------------------------------------------------------------- requests


@light
@apart
def gets_by_requests(host: str, key: str, large: int) -> dict[str, Any]:
    import requests

    headers = {"Authorization": f"Bearer {key}"}
    with requests.Session() as session:
        session.headers.update(headers)
        numbered = [session.get(f"https://{host}/{number}").json()["target"] for number in range(3)]
        posted = session.post(f"https://{host}/upload", data=b"x" * large).status_code
        pieces = (b"y" * 10_000 for _ in range(large // 10_000))
        chunked = session.put(f"https://{host}/chunks", data=pieces).status_code
        answer = session.get(f"https://{host}/bytes/{large}", stream=True)
        downloaded = sum(len(part) for part in answer.iter_content(1 << 16))
        head = session.head(f"https://{host}/head").status_code
    alone = requests.get(f"https://{host}/alone", headers=headers, timeout=10).json()["target"]
    return {"numbered": numbered, "statuses": [posted, chunked, head], "downloaded": downloaded, "alone": alone}


@pytest.mark.guarantee("COG-16")
@BOTH
def test_requests(clients: Server, world: World, probe: KeyedProbe) -> None:
    found = probe.gets_by_requests(clients, host=API, key=PLACEHOLDER, large=LARGE)
    numbered = ["/0", "/1", "/2"]
    assert found == {"numbered": numbered, "statuses": [200, 200, 200], "downloaded": LARGE, "alone": "/alone"}
    assert_keyed(world, [*numbered, "/upload", "/chunks", f"/bytes/{LARGE}", "/head", "/alone"], connections=2)
    assert received(world) == 2 * LARGE


# ---------------------------------------------------------------- httpx


@light
@apart
def gets_by_httpx(host: str, key: str, large: int, count: int) -> dict[str, Any]:
    import asyncio

    import httpx

    headers = {"Authorization": f"Bearer {key}"}

    async def all_at_once() -> dict[str, Any]:
        async with httpx.AsyncClient(headers=headers, timeout=30) as client:
            answers = await asyncio.gather(*(client.get(f"https://{host}/async/{number}") for number in range(count)))
            posted = await client.post(f"https://{host}/upload", content=b"x" * large)
            return {"together": [answer.json()["target"] for answer in answers], "posted": posted.status_code}

    with httpx.Client(headers=headers, timeout=30) as client:
        numbered = [client.get(f"https://{host}/{number}").json()["target"] for number in range(3)]
        with client.stream("GET", f"https://{host}/bytes/{large}") as answer:
            downloaded = sum(len(part) for part in answer.iter_bytes())
        slow = client.get(f"https://{host}/slow/5").text
    alone = httpx.get(f"https://{host}/alone", headers=headers).json()["target"]
    return {"numbered": numbered, "downloaded": downloaded, "slow": slow, "alone": alone, **asyncio.run(all_at_once())}


@pytest.mark.guarantee("COG-16")
@BOTH
def test_httpx_one_after_the_other_and_many_together(clients: Server, world: World, probe: KeyedProbe) -> None:
    found = probe.gets_by_httpx(clients, host=API, key=PLACEHOLDER, large=LARGE, count=20)
    numbered, together = ["/0", "/1", "/2"], [f"/async/{number}" for number in range(20)]
    assert found == {
        "numbered": numbered, "downloaded": LARGE, "slow": ".....", "alone": "/alone", "together": together, "posted": 200
    }  # fmt: skip
    assert_keyed(world, [*numbered, *together, f"/bytes/{LARGE}", "/slow/5", "/alone", "/upload"])
    assert received(world) == LARGE


# ---------------------------------------------------------------- urllib


@light
@apart
def gets_by_urllib(host: str, key: str, large: int) -> dict[str, Any]:
    import http.client
    import json
    import urllib.request

    headers = {"Authorization": f"Bearer {key}"}

    def opens(path: str, body: bytes | None = None) -> bytes:
        asked = urllib.request.Request(f"https://{host}{path}", data=body, headers=headers)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            content: bytes = answer.read()
            return content

    target = json.loads(opens("/first"))["target"]
    opens("/upload", b"x" * large)
    downloaded = len(opens(f"/bytes/{large}"))
    connection, kept = http.client.HTTPSConnection(host, timeout=10), []
    for number in range(3):
        connection.request("GET", f"/{number}", headers=headers)
        kept.append(json.loads(connection.getresponse().read())["target"])
    connection.close()
    return {"target": target, "downloaded": downloaded, "kept": kept}


@pytest.mark.guarantee("COG-16")
@BOTH
def test_the_standard_library(clients: Server, world: World, probe: KeyedProbe) -> None:
    found = probe.gets_by_urllib(clients, host=API, key=PLACEHOLDER, large=LARGE)
    assert found == {"target": "/first", "downloaded": LARGE, "kept": ["/0", "/1", "/2"]}
    assert_keyed(world, ["/first", "/upload", f"/bytes/{LARGE}", "/0", "/1", "/2"], connections=4)
    assert received(world) == LARGE


# ---------------------------------------------------------------- urllib3


@light
def gets_by_urllib3(host: str, key: str, large: int) -> dict[str, Any]:
    import time

    import urllib3

    headers = {"Authorization": f"Bearer {key}"}
    pool = urllib3.PoolManager(headers=headers, retries=urllib3.Retry(total=2, backoff_factor=0.1))
    numbered = [pool.request("GET", f"https://{host}/{number}").json()["target"] for number in range(3)]
    posted = pool.request("POST", f"https://{host}/upload", body=b"x" * large).status
    downloaded = len(pool.request("GET", f"https://{host}/bytes/{large}").data)
    alone = urllib3.request("GET", f"https://{host}/alone", headers=headers).json()["target"]
    begin = time.monotonic()
    try:
        pool.request("GET", "https://forbidden.example.com/", timeout=10)
        outcome = "reached"
    except urllib3.exceptions.MaxRetryError as refused:
        outcome = type(refused.reason).__name__
    found = {"numbered": numbered, "posted": posted, "downloaded": downloaded, "alone": alone}
    return {**found, "outcome": outcome, "seconds": time.monotonic() - begin}


@pytest.mark.guarantee("COG-16")
def test_urllib3_and_what_is_not_allowed_is_refused_as_ever(clients: Server, world: World) -> None:
    found = gets_by_urllib3(clients, host=API, key=PLACEHOLDER, large=LARGE)
    assert found.pop("outcome") in ("NewConnectionError", "NameResolutionError"), found
    assert found.pop("seconds") < 3
    numbered = ["/0", "/1", "/2"]
    assert found == {"numbered": numbered, "posted": 200, "downloaded": LARGE, "alone": "/alone"}
    assert_keyed(world, [*numbered, "/upload", f"/bytes/{LARGE}", "/alone"], connections=2)
    assert received(world) == LARGE


# ---------------------------------------------------------------- aiohttp


@light
@apart
def gets_by_aiohttp(host: str, key: str, large: int, count: int) -> dict[str, Any]:
    import asyncio

    import aiohttp

    async def visit() -> dict[str, Any]:
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:

            async def get(path: str) -> Any:
                async with session.get(f"https://{host}{path}") as answer:
                    return (await answer.json())["target"]

            numbered = [await get(f"/{number}") for number in range(3)]
            together = await asyncio.gather(*(get(f"/async/{number}") for number in range(count)))
            async with session.post(f"https://{host}/upload", data=b"x" * large) as answer:
                posted = answer.status
            async with session.get(f"https://{host}/bytes/{large}") as answer:
                downloaded = len(await answer.read())
            return {"numbered": numbered, "together": together, "posted": posted, "downloaded": downloaded}

    return asyncio.run(visit())


@pytest.mark.guarantee("COG-16")
@BOTH
def test_aiohttp_which_makes_its_context_when_it_is_imported(clients: Server, world: World, probe: KeyedProbe) -> None:
    found = probe.gets_by_aiohttp(clients, host=API, key=PLACEHOLDER, large=LARGE, count=20)
    numbered, together = ["/0", "/1", "/2"], [f"/async/{number}" for number in range(20)]
    assert found == {"numbered": numbered, "together": together, "posted": 200, "downloaded": LARGE}
    assert_keyed(world, [*numbered, *together, "/upload", f"/bytes/{LARGE}"])
    assert received(world) == LARGE


# ---------------------------------------------------------------- what they find


@light
@apart
def finds_authorities() -> dict[str, Any]:
    """What the clients themselves would trust, and what they see of the host's certificate."""
    import os
    import ssl

    import requests

    settings = requests.Session().merge_environment_settings("https://api.example.com", {}, False, None, None)
    paths = {
        name: os.environ.get(name)
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE")
    }
    known = {entry["serialNumber"] for entry in ssl.create_default_context().get_ca_certs()}
    system = {
        entry["serialNumber"]
        for entry in ssl.create_default_context(cafile="/etc/ssl/certs/ca-certificates.crt").get_ca_certs()
    }
    return {"paths": paths, "requests": settings["verify"], "more": len(known - system), "less": len(system - known)}


@BOTH
def test_they_trust_the_system_s_authorities_and_one_more(clients: Server, world: World, probe: KeyedProbe) -> None:
    found = probe.finds_authorities(clients)
    assert {found["requests"]} == set(found["paths"].values()), json.dumps(found)
    assert (found["more"], found["less"]) == (1, 0)
