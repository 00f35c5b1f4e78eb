"""The package index's credentials: requests get them on the way out, and no sandbox, answer, log or list has them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import os
import secrets as randomness
import socket
import stat
import threading
import urllib.parse
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from casemate_fixture import Outcome, Process, Server, handler, wait_until
from inject_hosts import head_of, sized
from inject_probe import OTHER_ADDRESS, PUBLIC, heads, named, unveil
from network_world import HTTPS, RESOLVER, World
from spellings import assert_absent, found_in
from world_dns import A
from world_services import Arrival, Handler, Service, authority, https

INDEX, FILES, PORT = "index.test", "files.test", 8449
MARK = "[secret:PACKAGE_INDEX]"
# Another one in each run, after what addresses, JSON and base64 spell differently. Every spelling of the whole holds one of the last part.
TOKEN = randomness.token_hex(16)
PASSWORD = 'k"y/+:@% ' + TOKEN
CREDENTIALS = f"robot:{PASSWORD}"


def basic(credentials: str) -> str:
    return base64.b64encode(credentials.encode()).decode()


def index_url(credentials: str, scheme: str = "https", port: int = PORT) -> str:
    return f"{scheme}://{credentials}@{INDEX}:{port}/simple"


URL = index_url(f"robot:{urllib.parse.quote(PASSWORD, safe='')}")


def assert_untold(where: bytes | str, what: str) -> None:
    assert_absent(where, TOKEN, what)


def test_all_spellings_of_the_credentials_would_be_found() -> None:
    for text in (
        CREDENTIALS,
        basic(CREDENTIALS),
        basic(f"{TOKEN}:"),
        urllib.parse.quote(CREDENTIALS),
        CREDENTIALS.encode().hex(),
        URL,
    ):
        assert found_in(f"before {text} after", TOKEN), text


# ---------------------------------------------------------------- the index


def wheel(name: str, code: str, packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A package with one module."""
    about = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": code,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{about}/RECORD,,\n"
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text.encode())}\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for path, text in {**files, f"{about}/RECORD": record}.items():
            # Its date is always the same, and so are the bytes.
            packed.writestr(zipfile.ZipInfo(path), text, packing)
    return out.getvalue()


class Index:
    """A package index (PEP 503) for whoever has the credentials, and hosts of its files, which want none.

    Its answers tell what it was told. Packages differ in more:

    - `near`, `far`, `away`: the file is at the index, at another host, at another port by way of a redirect
    - `held`: its page waits
    - `listed`, `moved`: the file, the page is at an address that has the credentials in it
    - `stored`: the file has them in it, uncompressed
    """

    def __init__(self) -> None:
        self.accepts, self.port = CREDENTIALS, PORT
        self.goes_on = threading.Event()

    @contextlib.contextmanager
    def accepting(self, credentials: str, port: int = PORT) -> Iterator[None]:
        self.accepts, self.port = credentials, port
        try:
            yield
        finally:
            self.accepts, self.port = CREDENTIALS, PORT

    def __call__(self, stream: socket.socket, arrival: Arrival) -> None:
        with (
            authority().context("unnamed.invalid").wrap_socket(stream, server_side=True) as secure,
            secure.makefile("rb") as reader,
        ):
            arrival.sni = getattr(secure, "asked_for", None)
            is_index = (arrival.sni, arrival.port) == (INDEX, self.port)
            while asked := head_of(reader):
                arrival.heads.append(asked)
                head, _, body = self.answer(asked, is_index).partition(b"\r\n\r\n")
                secure.sendall(head + b"\r\n\r\n" + (b"" if asked.startswith(b"HEAD ") else body))

    def answer(self, asked: bytes, is_index: bool) -> bytes:
        told = b"".join(named(asked, "authorization")).decode()
        if is_index and told != f"Basic {basic(self.accepts)}":
            challenge = b'WWW-Authenticate: Basic realm="packages"'
            return sized(f"who is {told}?".encode(), challenge, status=b"401 Unauthorized")
        _, kind, *rest = asked.split(b" ", 2)[1].decode().split("/")
        if kind == "simple":
            return self.page(rest[0], told)
        if kind == "files":
            return sized(self.file(rest[0].partition("-")[0], told))
        if kind == "away":
            return sized(b"", f"Location: https://{INDEX}/files/{rest[0]}".encode(), status=b"302 Found")
        return sized(b"there is no such thing", status=b"400 Bad Request")

    @staticmethod
    def file(name: str, told: str) -> bytes:
        if name == "stored":
            return wheel(name, f"NAME = {told!r}\n", zipfile.ZIP_STORED)
        return wheel(name, f"NAME = {name!r}\n")

    def page(self, name: str, told: str) -> bytes:
        if name == "held":
            self.goes_on.wait(30)
        plain = base64.b64decode(told.removeprefix("Basic ")).decode()
        forms = [told, plain, plain.partition(":")[2], plain.encode().hex(), basic(plain[1:])]
        telling = "/told/" + "/".join(urllib.parse.quote(form, safe="") for form in forms)
        if name == "moved":
            return sized(b"", f"Location: {telling}/".encode(), status=b"302 Found")
        file, digest = f"{name}-1.0-py3-none-any.whl", hashlib.sha256(self.file(name, told)).hexdigest()
        places = {"far": f"https://{FILES}/files/{file}", "away": f"/away/{file}", "listed": f"{telling}/{file}"}
        links = f'<a href="{places.get(name, f"/files/{file}")}#sha256={digest}">{file}</a>'
        if name == "near":
            # An old version, which nobody asks for.
            links += f'<a href="{telling}/near-0.9-py3-none-any.whl">near-0.9-py3-none-any.whl</a>'
        fields = [b"Content-Type: text/html", f"X-Told: {told}".encode(), f"Set-Cookie: told={told}; Path=/".encode()]
        return sized(f"<!DOCTYPE html><html><body><!-- {plain} {told} -->{links}</body></html>".encode(), *fields)


class Shops(World):
    """The made-up internet, where https is what the index and the hosts of its files speak."""

    def __init__(self) -> None:
        super().__init__()
        self.index = Index()

    def serve(self, port: int, does: Handler, *rest: Any, **more: Any) -> Service:
        return super().serve(port, self.index if does is https else does, *rest, **more)

    def shopping(self, url: str) -> Server:
        """A server inside, on a host that believes the world's authority: what has no credentials put in is verified by the sandbox."""
        folder, system = authority().folder, Path("/etc/ssl/certs/ca-certificates.crt")
        bundle = folder / "bundle.crt"
        bundle.write_text(f"{system.read_text()}\n{authority().certificate}")
        # In a mount namespace of the server's own.
        trusting = ["unshare", "--mount", "sh", "-c", f'mount --bind "$0" {system} && exec "$@"', str(bundle)]
        options = ["--resolvers", RESOLVER, "--index-url", url, "--index-hosts", f"{FILES},{INDEX}", "--pool-size", "1"]
        options += ["--egress-authorities", str(folder / "authority.crt")]
        return Server(options=options, prefix=[*self.inner.enter, *trusting], connect=self.inner.connect)


@pytest.fixture(scope="module")
def network() -> Iterator[Shops]:
    if os.geteuid() != 0:
        pytest.exit("these tests make network namespaces, which needs root", returncode=4)
    with Shops() as world:
        world.serve(PORT, world.index)
        world.dns[INDEX], world.dns[FILES] = [A(PUBLIC)], [A(OTHER_ADDRESS)]
        yield world


@pytest.fixture(scope="module")
def shop(network: Shops) -> Iterator[Server]:
    with network.shopping(URL) as server:
        yield server


@pytest.fixture
def shops(network: Shops) -> Shops:
    network.arrivals.clear()
    network.watch.packets.clear()
    return network


ANSWERING = """
def handle(data):
    return near.NAME
"""
LOOKING = """
MARKER = "-".join(["marker", "of", "memory", {marker!r}])

def handle(data):
    import glob, os, zlib
    if not data.get("looks"):
        return [near.NAME, far.NAME, away.NAME]
    paths = [path for root in ("/tmp", "/fn", "/dev/shm") for path in glob.glob(root + "/**", recursive=True, include_hidden=True)]
    paths += [path for name in ("environ", "cmdline", "mounts") for path in glob.glob("/proc/[0-9]*/" + name)]
    read = {{"environment": repr(dict(os.environ)).encode()}}
    for path in ["/proc/self/environ", *paths]:
        try:
            with open(path, "rb") as file:
                read[path] = file.read()
        except OSError:
            pass
    # Veiled, so that nothing on the way can put a mark in place of what was found.
    text = bytes(byte ^ 0x5A for byte in zlib.compress(b"".join(read.values()))).hex()
    return {{"names": list(read), "text": text}}
"""
RANDOM = randomness.token_hex(8)


def needing(*packages: str, code: str = ANSWERING) -> dict[str, str]:
    """A function that requires and imports packages."""
    return {**handler(f"import {', '.join(packages)}\n{code}"), "requirements.txt": "\n".join(packages) + "\n"}


SHOPPER = needing("near", "far", "away", code=LOOKING.format(marker=RANDOM))


@pytest.fixture(scope="module")
def shopper(shop: Server) -> str:
    shop.deploy("packages", "shopper", SHOPPER)
    return "packages/shopper"


def assert_refused(outcome: Outcome) -> dict[str, Any]:
    assert outcome.code != 0 and (outcome.first["status"], outcome.first["stage"]) == ("failed", "build"), outcome.said
    return outcome.first


# ---------------------------------------------------------------- looking into sandboxes from the host


def memory(pid: int) -> bytes:
    """What lies in all writable mappings of a process."""
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as content:
        for line in maps:
            span, mode = line.split()[:2]
            place, end = (int(part, 16) for part in span.split("-"))
            while mode.startswith("rw") and place < end:
                part = b""
                with contextlib.suppress(OSError, ValueError, OverflowError):
                    content.seek(place)
                    part = content.read(end - place)
                found.append(part)
                # What can't be read is passed over, a page at a time.
                place += len(part) or 4096
    return b"".join(found)


# What all sandboxes have in common, and none can write.
SHARED = {"/", "/opt/casemate", "/opt/tools"}


def folders(pid: int) -> list[str]:
    """Where something is mounted in a sandbox, but for what is shared and what is no file."""
    found = []
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        fields = line.split()
        place, options, kind = fields[4], fields[5].split(","), fields[fields.index("-") + 1]
        if place in SHARED:
            assert "ro" in options, line
        elif kind != "proc" and not place.startswith("/proc/"):
            found.append(place)
    return found


def files(pid: int) -> dict[str, bytes]:
    """Regular files: those that a sandbox could have written, and those that a process has open."""
    root = f"/proc/{pid}/root"
    paths = [
        os.path.join(folder, name)
        for place in folders(pid)
        for folder, _, names in os.walk(root + place)
        for name in names
    ]
    paths += [root + place for place in folders(pid) if not os.path.isdir(root + place)]
    paths = [path for path in paths if stat.S_ISREG(os.lstat(path).st_mode)]
    opened = [str(path) for path in Path(f"/proc/{pid}/fd").iterdir() if stat.S_ISREG(path.stat().st_mode)]
    return {path.removeprefix(root): Path(path).read_bytes() for path in [*paths, *opened]}


def assert_has_nothing(process: Process) -> tuple[bytes, dict[str, bytes]]:
    """Looks at a process of a sandbox from the host, as root. Gives its memory and its files."""
    for name in ("environ", "cmdline"):
        assert_untold(Path(f"/proc/{process.pid}/{name}").read_bytes(), f"{name} of {process.command}")
    seen, kept = memory(process.pid), files(process.pid)
    assert_untold(seen, f"the memory of {process.command}")
    for path, content in kept.items():
        assert_untold(content, path)
    return seen, kept


# ---------------------------------------------------------------- the tests


@pytest.mark.guarantee("KYM-18")
def test_KYM_18_packages_come_from_an_index_that_wants_credentials_and_nobody_else_is_told_them(
    shops: Shops, shop: Server
) -> None:
    shop.deploy("packages", "shopper", SHOPPER)
    assert shop.call("packages/shopper", body={}).json() == ["near", "far", "away"]
    asked = heads(shops, PUBLIC, PORT)
    targets = {head.split(b" ", 2)[1].decode() for head in asked}
    assert {f"/simple/{name}/" for name in ("near", "far", "away")} < targets, targets
    assert all(named(head, "authorization") == [f"Basic {basic(CREDENTIALS)}".encode()] for head in asked)
    # The hosts of files, one of them the index's own at another port: they were asked, and got no credentials of any kind.
    for address, name in ((OTHER_ADDRESS, "far"), (PUBLIC, "away")):
        asked = heads(shops, address, HTTPS)
        assert asked and all(
            head.split(b" ", 2)[1] == f"/files/{name}-1.0-py3-none-any.whl".encode() for head in asked
        ), asked
        assert not any(
            named(head, field) for head in asked for field in ("authorization", "proxy-authorization", "cookie")
        )
        assert_untold(b"".join(asked), f"a request to {address}")
    assert {(arrival.address, arrival.port) for arrival in shops.arrivals} == {
        (PUBLIC, PORT),
        (PUBLIC, HTTPS),
        (OTHER_ADDRESS, HTTPS),
    }
    shops.assert_untouched(PUBLIC, OTHER_ADDRESS)


@pytest.mark.guarantee("KYM-18")
def test_KYM_18_no_process_file_or_memory_of_a_build_sandbox_has_the_credentials(shops: Shops, shop: Server) -> None:
    """While a build runs whose index has told all it knows."""
    marker = "marker-" + randomness.token_hex(12)
    source = needing("near", "held")
    source["handler.py"] += f"# {marker}\n"
    shops.index.goes_on.clear()
    with ThreadPoolExecutor(1) as pool:
        deploying = pool.submit(shop.try_deploy, "packages", "held", source)
        try:
            wanted = [b"GET /simple/held/", b"GET /files/near-"]
            assert wait_until(lambda: all(any(head.startswith(start) for head in heads(shops)) for start in wanted), 30)

            def building() -> list[Process]:
                groups = [
                    group
                    for group in shop.sandboxes().values()
                    if any("bootstrap.py build" in p.command for p in group)
                ]
                assert len(groups) == 1, groups
                return groups[0]

            # What was answered has been read when it is in the installer's cache.
            assert wait_until(lambda: any("/near/" in path for path in files(building()[0].pid)), 10)
            found = [(process, *assert_has_nothing(process)) for process in building()]
            assert all({"/tmp", "/out", "/dev/shm"} < set(folders(process.pid)) for process, _, _ in found)
            assert not deploying.done(), "the build waited until it had been looked at"
        finally:
            shops.index.goes_on.set()
        outcome = deploying.result()
    assert outcome.code == 0, outcome.said
    assert any(process.command.startswith("/opt/tools/uv ") for process, _, _ in found), found
    # What is looked for would be found: what stands in its place is, and what the build does know.
    assert all(INDEX.encode() in seen for _, seen, _ in found)
    assert all(any(marker.encode() in content for content in kept.values()) for _, _, kept in found)
    assert any(MARK.encode() in place for _, seen, kept in found for place in (seen, *kept.values()))


@pytest.mark.guarantee("KYM-18")
def test_KYM_18_no_run_sandbox_has_the_credentials(shop: Server, shopper: str) -> None:
    answer = shop.call(shopper, body={"looks": True}).json()
    text, names = unveil(answer["text"]), answer["names"]
    assert any(name.endswith("/near.py") for name in names) and any(name.endswith("/cmdline") for name in names), names
    # What is looked for would be found: this is.
    assert all(known in text for known in (RANDOM.encode(), b"'PATH': '/usr/bin:/bin'", b"NAME = 'near'"))
    assert_untold(text, "what a function can read")
    found = []
    for process in [
        process for group in shop.sandboxes().values() for process in group if "bootstrap.py run" in process.command
    ]:
        # Those that wait for other functions come and go.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.append((process, *assert_has_nothing(process)))
    assert any(f"marker-of-memory-{RANDOM}".encode() in seen for _, seen, _ in found), [
        process for process, _, _ in found
    ]
    assert any(RANDOM.encode() in content for _, _, kept in found for content in kept.values())


def everything_told(shop: Server, function: str) -> bytes:
    """What the server's log, its API and its command line have about a function, and all its files."""
    base = shop.function_path(function)
    told = "".join(shop.out + shop.err)
    for place in (base, f"{base}/logs?limit=10000", f"{base}/egress", "/v1/audit?tail=10000", "/metrics", "/v1/status"):
        answer = shop.api("GET", place)
        assert answer.status == 200, f"{place}: {answer.text}"
        told += answer.text + str(answer.fields)
    for arguments in (("function", "show", function), ("logs", function), ("audit", "tail"), ("status",)):
        code, out, err = shop.cli(*arguments)
        assert code == 0, f"{arguments}: {err}"
        told += out + err
    kept = [path.read_bytes() for path in shop.folder.rglob("*") if path.is_file()]
    assert len(kept) > 3
    return told.encode() + b"".join(kept)


@pytest.mark.guarantee("KYM-18")
def test_KYM_18_an_index_that_refuses_the_password_is_told_as_that_and_the_password_to_nobody(
    shops: Shops, shop: Server, shopper: str
) -> None:
    # A new function: one that has its packages already asks no index.
    with shops.index.accepting("robot:another"):
        outcome = shop.try_deploy("packages", "other-shopper", SHOPPER)
    asked = heads(shops, PUBLIC, PORT)
    assert asked and all(named(head, "authorization") == [f"Basic {basic(CREDENTIALS)}".encode()] for head in asked)
    refused = assert_refused(outcome)
    assert_untold(outcome.said, "the deployment's answer")
    assert_untold(everything_told(shop, shopper), "what the server tells or keeps")
    assert shop.call(shopper, body={}).json() == ["near", "far", "away"]
    assert "401" in refused["output"] and f"https://{INDEX}:{PORT}/simple" in refused["output"], refused
    # Not that there were no such package.
    assert (
        refused["problemType"] == "/problems/build-failed"
        and "401" in refused["problem"]
        and INDEX in refused["problem"]
    ), refused


@pytest.mark.guarantee("KYM-18")
@pytest.mark.parametrize("how", ["listed", "moved"])
def test_KYM_18_what_an_index_tells_of_the_credentials_is_a_mark_in_the_build(
    shops: Shops, shop: Server, how: str
) -> None:
    refused = assert_refused(outcome := shop.try_deploy("packages", how, needing(how)))
    assert MARK in refused["output"] and "400 Bad Request" in refused["output"], refused
    assert_untold(outcome.said, "the deployment's answer")
    # It came to the installer as a mark, which then asked for that.
    [back] = {target for head in heads(shops) if (target := head.split(b" ", 2)[1]).startswith(b"/told/")}
    assert back.count(MARK.encode()) == 5, back
    assert_untold(back, "what the installer asked for")
    assert_untold("".join(shop.out + shop.err) + shop.api("GET", "/v1/audit?tail=10000").text, "the server's log")


@pytest.mark.guarantee("KYM-18")
def test_KYM_18_a_file_that_has_the_credentials_in_it_is_not_installed(shop: Server) -> None:
    outcome = shop.try_deploy("packages", "stored", needing("stored"))
    assert_refused(outcome)
    assert "stored" in outcome.first["problem"], outcome.said
    assert_untold(outcome.said, "the deployment's answer")


@pytest.mark.guarantee("KYM-18")
def test_KYM_18_a_user_s_name_without_a_password_is_as_secret(shops: Shops) -> None:
    """As of indexes whose users are tokens; at the usual port."""
    with shops.index.accepting(f"{TOKEN}:", HTTPS), shops.shopping(f"https://{TOKEN}@{INDEX}/simple") as shop:
        shop.deploy("packages", "near", needing("near"))
        assert shop.call("packages/near", body={}).json() == "near"
        assert all(
            named(head, "authorization") == [f"Basic {basic(f'{TOKEN}:')}".encode()]
            for head in heads(shops, PUBLIC, HTTPS)
        )
        outcome = shop.try_deploy("packages", "listed", needing("listed"))
        assert_refused(outcome)
        assert MARK in outcome.first["output"], outcome.said
        assert_untold(outcome.said, "the deployment's answer")
        assert_untold("".join(shop.out + shop.err), "the server's log")


# As operators write them, and as a server takes them.
WRITTEN = {
    "percent": URL,
    "plain": index_url(f"robot:{TOKEN}"),
    "no password": index_url(TOKEN),
    "a space": index_url(f"robot:two words {TOKEN}"),
    "an at sign": index_url(f"robot:p@{TOKEN}"),
    "a colon": index_url(f"robot:a:b:{TOKEN}"),
}
REFUSED = {
    "the scheme": index_url(f"robot:{TOKEN}", "http"),
    "the port": index_url(f"robot:{TOKEN}", port=70000),
    "a slash": index_url(f"robot:a/{TOKEN}"),
}


@pytest.mark.guarantee("KYM-18")
@pytest.mark.parametrize("how", WRITTEN)
def test_KYM_18_the_configuration_is_shown_without_the_password(shop: Server, how: str) -> None:
    url = WRITTEN[how]
    for arguments, environment in (
        (("--index-url", url), {}),
        (("--json", "--index-url", url), {}),
        (("--json",), {"CASEMATE_INDEX_URL": url}),
    ):
        code, out, err = shop.cli("config", "show", *arguments, environment=environment)
        assert_untold(out + err, "the configuration")
        # An address that is refused is not shown, and any other is but for its credentials.
        assert (code == 0 and f"@{INDEX}:{PORT}/simple" in out and "robot" not in out) or (
            code == 2 and "index-url" in err
        ), (out + err)


@pytest.mark.guarantee("KYM-18")
@pytest.mark.parametrize("how", REFUSED)
def test_KYM_18_a_setting_that_is_refused_is_not_told_with_its_password(shop: Server, how: str) -> None:
    for command in (["config", "show"], ["up", "--data", str(shop.folder / "none")]):
        code, out, err = shop.cli(*command, "--index-url", REFUSED[how])
        assert code == 2 and "index-url" in err, out + err
        assert_untold(out + err, "the refusal")
