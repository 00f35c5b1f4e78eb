"""Ordinary clients inside functions, to hosts of the network wall's list: they work unchanged, with their own TLS.

The packages are vendored into the sources, as there is no index in the made-up internet that the functions see. Needs
PyPI once for each session, and Debian's postgresql, redis-server and openssl.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from casemate_fixture import Server
from egress_probe import ClientProbe
from network_world import ECHO, World
from world_dns import AAAA, A
from world_programs import PUBLIC, git, install, object_store, postgres, redis

PUBLIC_6 = "2600:1f18::34"
API, DB, CACHE, STORE, GIT = (f"{name}.example.com" for name in ("api", "db", "cache", "store", "git"))
# The usual ports of these are the world's own services'.
DB_PORT, CACHE_PORT, STORE_PORT, GIT_PORT = 5433, 6380, 8443, 8444


LIMITS = {"timeout": "60s", "memory": "512MiB", "tmp": "128MiB"}
light = ClientProbe(
    "clients/light",
    egress=[
        f"{API}:443",
        f"{API}:80",
        f"{API}:{ECHO}",
        f"{DB}:{DB_PORT}",
        f"{CACHE}:{CACHE_PORT}",
        f"{GIT}:{GIT_PORT}",
    ],
    limits=LIMITS,
)
heavy = ClientProbe("clients/heavy", egress=[f"{STORE}:{STORE_PORT}"], limits=LIMITS)


# ---------------------------------------------------------------- what the clients need


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pip-cache")


@pytest.fixture(scope="session")
def light_packages(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Path:
    packages = ("requests", "httpx", "urllib3", "psycopg[binary]", "redis", "dulwich")
    return install(tmp_path_factory.mktemp("light"), downloads, *packages)


@pytest.fixture(scope="session")
def heavy_packages(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Path:
    return install(tmp_path_factory.mktemp("heavy"), downloads, "boto3")


@pytest.fixture(scope="session")
def store_packages(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Path:
    return install(tmp_path_factory.mktemp("store"), downloads, "moto[s3]", "flask", "flask-cors")


@pytest.fixture
def clients(walled: Server, world: World, light_packages: Path) -> Server:
    light.packages = light_packages
    for name in (API, DB, CACHE, STORE, GIT):
        world.dns[name] = [A(PUBLIC), AAAA(PUBLIC_6)]
    return walled


# ---------------------------------------------------------------- HTTP


@light
def gets_by_requests(host: str) -> dict[str, Any]:
    import os

    import requests

    authority = os.path.join(os.path.dirname(__file__), "authority.crt")
    with requests.Session() as session:
        session.verify, session.trust_env = authority, False
        answers = [session.get(f"https://{host}/{number}").json() for number in range(3)]
        posted = session.post(f"https://{host}/upload", data=b"x" * 3_000_000).json()
        large = len(session.get(f"https://{host}/bytes/3000000").content)
        plain = session.get(f"http://{host}/plain").json()
    try:
        requests.get("https://other.example.com/", timeout=5, verify=authority)
        other = "reached"
    except requests.exceptions.ConnectionError:
        other = "ConnectionError"
    return {"answers": answers, "posted": posted, "large": large, "plain": plain, "other": other}


def test_requests(clients: Server, world: World) -> None:
    found = gets_by_requests(clients, host=API)
    assert [(answer["target"], answer["sni"]) for answer in found["answers"]] == [(f"/{n}", API) for n in range(3)]
    assert found["posted"]["received"] >= 3_000_000
    assert (found["large"], found["plain"]["hosts"], found["other"]) == (3_000_000, [API], "ConnectionError")
    assert len(world.arrivals_at(port=443)) == 1, "one connection was kept alive"
    world.assert_untouched(PUBLIC, PUBLIC_6)


@light
def gets_by_httpx(host: str, count: int) -> dict[str, Any]:
    import asyncio
    import os
    import ssl

    import httpx

    context = ssl.create_default_context(cafile=os.path.join(os.path.dirname(__file__), "authority.crt"))

    async def all_at_once() -> list[str]:
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            answers = await asyncio.gather(*(client.get(f"https://{host}/{number}") for number in range(count)))
            return [answer.json()["target"] for answer in answers]

    with httpx.Client(verify=context, trust_env=False) as client:
        with client.stream("GET", f"https://{host}/slow/5") as answer:
            slow = b"".join(answer.iter_bytes()).decode()
    return {"together": asyncio.run(all_at_once()), "slow": slow}


def test_httpx_one_after_the_other_and_many_together(clients: Server, world: World) -> None:
    found = gets_by_httpx(clients, host=API, count=20)
    assert found == {"together": [f"/{number}" for number in range(20)], "slow": "....."}


@light
def retries_by_urllib3(host: str) -> dict[str, Any]:
    import os
    import time

    import urllib3

    authority = os.path.join(os.path.dirname(__file__), "authority.crt")
    pool = urllib3.PoolManager(ca_certs=authority, retries=urllib3.Retry(total=2, backoff_factor=0.1))
    good = pool.request("GET", f"https://{host}/").json()
    begin = time.monotonic()
    try:
        pool.request("GET", "https://forbidden.example.com/", timeout=10)
        outcome = "reached"
    except urllib3.exceptions.MaxRetryError as refused:
        outcome = type(refused.reason).__name__
    return {"good": good["sni"], "outcome": outcome, "seconds": time.monotonic() - begin}


def test_urllib3_gives_up_at_once_on_what_is_not_allowed(clients: Server, world: World) -> None:
    found = retries_by_urllib3(clients, host=API)
    assert found["good"] == API
    assert found["outcome"] in ("NewConnectionError", "NameResolutionError"), found
    assert found["seconds"] < 3, found
    assert world.dns.asked["forbidden.example.com"] == 0


# ---------------------------------------------------------------- databases


@pytest.fixture(scope="module")
def database(network: World) -> Iterator[str]:
    with postgres(network, DB, DB_PORT) as password:
        yield password


@light
def queries_by_psycopg(host: str, port: int, password: str) -> dict[str, Any]:
    import os

    import psycopg

    authority = os.path.join(os.path.dirname(__file__), "authority.crt")
    settings = {"host": host, "port": port, "user": "postgres", "password": password, "dbname": "postgres"}
    with psycopg.connect(**settings, sslmode="verify-full", sslrootcert=authority, connect_timeout=10) as connection:
        with connection.cursor() as cursor:
            cursor.execute("create table t (n int, x text)")
            with cursor.copy("copy t from stdin") as copy:
                for number in range(20_000):
                    copy.write_row((number, "x" * 50))
            cursor.execute("select count(*), sum(n), sum(length(x)) from t")
            totals = [int(value) for value in cursor.fetchone()]
            cursor.execute("select ssl from pg_stat_ssl where pid = pg_backend_pid()")
            return {"totals": totals, "tls": cursor.fetchone()[0]}


def test_psycopg_to_PostgreSQL_over_TLS(clients: Server, world: World, database: str) -> None:
    found = queries_by_psycopg(clients, host=DB, port=DB_PORT, password=database)
    assert found == {"totals": [20_000, sum(range(20_000)), 1_000_000], "tls": True}


@pytest.fixture(scope="module")
def cache(network: World) -> Iterator[None]:
    with redis(network, CACHE_PORT):
        yield


@light
def keeps_by_redis(host: str, port: int) -> dict[str, Any]:
    import redis

    with redis.Redis(host=host, port=port, socket_timeout=10) as client:
        client.set("large", b"v" * 2_000_000)
        with client.pipeline() as pipeline:
            for number in range(1000):
                pipeline.incrby("sum", number)
            total = pipeline.execute()[-1]
        listener = client.pubsub()
        listener.subscribe("news")
        listener.get_message(timeout=5)
        client.publish("news", "heard")
        message = listener.get_message(timeout=5)
        return {"large": len(client.get("large")), "sum": total, "news": message["data"].decode()}


def test_redis(clients: Server, world: World, cache: None) -> None:
    found = keeps_by_redis(clients, host=CACHE, port=CACHE_PORT)
    assert found == {"large": 2_000_000, "sum": sum(range(1000)), "news": "heard"}


# ---------------------------------------------------------------- an object store


@pytest.fixture(scope="module")
def store(network: World, store_packages: Path) -> Iterator[None]:
    with object_store(network, STORE, STORE_PORT, store_packages):
        yield


@heavy
def stores_by_boto3(endpoint: str) -> dict[str, Any]:
    import os

    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="example",
        aws_secret_access_key="example",
        verify=os.path.join(os.path.dirname(__file__), "authority.crt"),
    )
    client.create_bucket(Bucket="made")
    client.put_object(Bucket="made", Key="large", Body=b"o" * 6_000_000)
    listed = [entry["Key"] for entry in client.list_objects_v2(Bucket="made")["Contents"]]
    return {"listed": listed, "size": len(client.get_object(Bucket="made", Key="large")["Body"].read())}


def test_boto3(clients: Server, world: World, store: None, heavy_packages: Path) -> None:
    world.dns[STORE] = [A(PUBLIC)]
    heavy.packages = heavy_packages
    found = stores_by_boto3(clients, endpoint=f"https://{STORE}:{STORE_PORT}")
    assert found == {"listed": ["large"], "size": 6_000_000}


# ---------------------------------------------------------------- git


@pytest.fixture(scope="module")
def repository(network: World, light_packages: Path) -> Iterator[str]:
    """A clone's head must be the value."""
    with git(network, GIT, GIT_PORT, light_packages) as head:
        yield head


@light
def clones_by_dulwich(host: str, port: int) -> dict[str, Any]:
    import os
    import tempfile

    import urllib3
    from dulwich.client import HttpGitClient

    authority = os.path.join(os.path.dirname(__file__), "authority.crt")
    client = HttpGitClient(f"https://{host}:{port}/", pool_manager=urllib3.PoolManager(ca_certs=authority))
    target = tempfile.mkdtemp()
    with client.clone("/repository", target, mkdir=False) as cloned:
        head = cloned.head().decode()
    with open(f"{target}/README") as file:
        return {"head": head, "first": file.readline().strip()}


def test_git_over_https_with_dulwich(clients: Server, world: World, repository: str) -> None:
    world.dns[GIT] = [A(PUBLIC)]
    found = clones_by_dulwich(clients, host=GIT, port=GIT_PORT)
    assert found == {"head": repository, "first": "hello from git"}


# ---------------------------------------------------------------- sockets


def test_a_raw_socket(clients: Server, world: World) -> None:
    found = light.exchanges(clients, host=API, port=ECHO, pieces=["00ff7f", "0d0a"], pause=0.05, finish=True)
    assert found.get("received") == "\0\xff\x7f\r\n<5>", found


@light
def speaks_by_asyncio(host: str, port: int, count: int) -> list[str]:
    import asyncio

    async def speak(number: int) -> str:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(f"n{number}".encode())
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer.decode()

    async def all_at_once() -> list[str]:
        return list(await asyncio.gather(*(speak(number) for number in range(count))))

    return asyncio.run(all_at_once())


def test_asyncio_with_many_streams(clients: Server, world: World) -> None:
    begin = time.monotonic()
    assert speaks_by_asyncio(clients, host=API, port=ECHO, count=50) == [f"n{n}<{len(str(n)) + 1}>" for n in range(50)]
    assert time.monotonic() - begin < 20
    assert {arrival.address for arrival in world.arrivals} <= {PUBLIC, PUBLIC_6}
