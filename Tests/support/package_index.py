"""A package index in the made-up internet: wheels that tests make, with ages, licences and faults that no real index has."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import re
import socket
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from casemate_fixture import Server
from gate_answers import after
from inject_hosts import head_of, sized
from inject_probe import OTHER_ADDRESS, PUBLIC, named
from network_world import RESOLVER, World
from world_dns import A
from world_services import Arrival, Handler, Service, authority, https

INDEX, PORT = "index.test", 8450
PRIVATE_INDEX, PRIVATE_PORT = "private.test", 8451


@dataclass
class Release:
    """One version of a package, as its index has it."""

    name: str
    version: str = "1.0"
    requires: Sequence[str] = ()
    days_old: float = 400
    licence: str = "License-Expression: MIT"
    yanked: bool = False
    is_source_only: bool = False
    # Where its file lies, if not at its index: what comes before `/files/`.
    host: str = ""
    # Served in place of what the index says the hash of.
    served: bytes | None = field(default=None, repr=False)

    @property
    def module(self) -> str:
        return self.name.replace("-", "_")

    @property
    def file(self) -> str:
        if self.is_source_only:
            return f"{self.name}-{self.version}.tar.gz"
        return f"{self.module}-{self.version}-py3-none-any.whl"

    @property
    def data(self) -> bytes:
        return self.source() if self.is_source_only else self.wheel()

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def about(self) -> str:
        lines = ["Metadata-Version: 2.4", f"Name: {self.name}", f"Version: {self.version}"]
        lines += [self.licence] if self.licence else []
        return "\n".join([*lines, *[f"Requires-Dist: {other}" for other in self.requires]]) + "\n"

    def module_text(self) -> str:
        return f"NAME = {self.name!r}\nVERSION = {self.version!r}\n"

    def wheel(self) -> bytes:
        folder = f"{self.module}-{self.version}.dist-info"
        files = {
            f"{self.module}.py": self.module_text(),
            f"{folder}/METADATA": self.about(),
            f"{folder}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = f"{folder}/RECORD,,\n"
        for path, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{path},sha256={digest},{len(text.encode())}\n"
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as packed:
            for path, text in {**files, f"{folder}/RECORD": record}.items():
                # Its date is always the same, and so are the bytes.
                packed.writestr(zipfile.ZipInfo(path), text)
        return out.getvalue()

    def source_files(self) -> Mapping[str, str]:
        """What lies in the source distribution."""
        return {"PKG-INFO": self.about(), "setup.py": "raise SystemExit('it ran')\n"}

    def source(self) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as packed:
            for name, text in self.source_files().items():
                info = tarfile.TarInfo(f"{self.name}-{self.version}/{name}")
                info.size = len(text.encode())
                packed.addfile(info, io.BytesIO(text.encode()))
        # As of the wheel.
        return gzip.compress(out.getvalue(), mtime=0)


class PackageIndex:
    """The simple index (PEP 503, 691, 700) of some releases. With credentials, `user:password`, it answers to nobody else."""

    def __init__(self, host: str = INDEX, port: int = PORT, credentials: str = "") -> None:
        self.host, self.port, self.credentials = host, port, credentials
        self.releases: list[Release] = []
        # The targets of requests that were answered, and the credentials that came with any, oldest first.
        self.asked: list[str] = []
        self.shown: list[bytes] = []
        # Where a target that begins so is sent on to.
        self.moved: dict[str, str] = {}
        # Whether it answers nothing but 503.
        self.is_down = False

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}/simple"

    def add(self, *releases: Release) -> None:
        self.releases += releases

    def names_asked(self) -> set[str]:
        """Of packages whose page or file was asked for."""
        pages = {found[1] for target in self.asked if (found := re.match("/simple/([^/]+)", target))}
        return pages | {one.name for one in self.releases if f"/files/{one.file}" in self.asked}

    def forget(self) -> None:
        self.asked.clear()
        self.shown.clear()

    def __call__(self, stream: socket.socket, arrival: Arrival) -> None:
        with (
            authority().context("unnamed.invalid").wrap_socket(stream, server_side=True) as secure,
            secure.makefile("rb") as reader,
        ):
            arrival.sni = getattr(secure, "asked_for", None)
            while asked := head_of(reader):
                arrival.heads.append(asked)
                head, _, body = self.answer(asked).partition(b"\r\n\r\n")
                secure.sendall(head + b"\r\n\r\n" + (b"" if asked.startswith(b"HEAD ") else body))

    def answer(self, asked: bytes) -> bytes:
        target = asked.split(b" ", 2)[1].decode()
        shown = named(asked, "authorization")
        self.shown += shown
        if self.is_down:
            return sized(b"it is night", status=b"503 Service Unavailable")
        wanted = b"Basic " + base64.b64encode(self.credentials.encode())
        if self.credentials and shown != [wanted]:
            challenge = b'WWW-Authenticate: Basic realm="packages"'
            return sized(b"who are you?", challenge, status=b"401 Unauthorized")
        self.asked.append(target)
        for beginning, place in self.moved.items():
            if target.startswith(beginning):
                return sized(b"", f"Location: {place}{target}".encode(), status=b"302 Found")
        _, kind, name, *_ = (target + "/").split("/")
        if kind == "files":
            for release in self.releases:
                if release.file == name:
                    return sized(release.data if release.served is None else release.served)
        if kind == "simple" and (releases := [one for one in self.releases if one.name == name]):
            page = {
                "meta": {"api-version": "1.1"},
                "name": name,
                "versions": [one.version for one in releases],
                "files": [self.entry(one) for one in releases],
            }
            return sized(json.dumps(page).encode(), b"Content-Type: application/vnd.pypi.simple.v1+json")
        return sized(b"there is no such thing", status=b"404 Not Found")

    def entry(self, release: Release) -> dict[str, Any]:
        return {
            "filename": release.file,
            "url": f"{release.host or f'https://{self.host}:{self.port}'}/files/{release.file}",
            "hashes": {"sha256": release.digest},
            "requires-python": ">=3.9",
            "size": len(release.data),
            "upload-time": after(-release.days_old * 86400),
            "yanked": "it was a mistake" if release.yanked else False,
        }


class PackageWorld(World):
    """The made-up internet, where https is what the index speaks. `private` is another index, at another name and address."""

    def __init__(self, credentials: str = "") -> None:
        super().__init__()
        self.index = PackageIndex()
        self.private = PackageIndex(PRIVATE_INDEX, PRIVATE_PORT, credentials)

    def serve(self, port: int, does: Handler, *rest: Any, **more: Any) -> Service:
        return super().serve(port, self.index if does is https else does, *rest, **more)

    def open_index(self) -> None:
        self.serve(PORT, self.index)
        self.dns[INDEX] = [A(PUBLIC)]

    def open_private_index(self) -> None:
        self.serve(PRIVATE_PORT, self.private)
        self.dns[PRIVATE_INDEX] = [A(OTHER_ADDRESS)]

    def forget_packages(self) -> None:
        """For the next test: nobody was asked anything."""
        for index in (self.index, self.private):
            index.forget()
        self.arrivals.clear()
        self.at_home.clear()
        self.watch.packets.clear()

    def installing(self, *options: str, environment: Mapping[str, str] | None = None) -> Server:
        """A server inside that takes its packages from the index."""
        folder, system = authority().folder, Path("/etc/ssl/certs/ca-certificates.crt")
        bundle = folder / "bundle.crt"
        bundle.write_text(f"{system.read_text()}\n{authority().certificate}")
        settings = ["--resolvers", RESOLVER, "--index-url", self.index.url, "--index-hosts", INDEX]
        settings += ["--egress-authorities", str(folder / "authority.crt"), *options]
        # In a mount namespace of the server's own.
        trusting = ["unshare", "--mount", "sh", "-c", f'mount --bind "$0" {system} && exec "$@"', str(bundle)]
        entering = [*self.inner.enter, *trusting]
        return Server(options=settings, environment=environment or {}, prefix=entering, connect=self.inner.connect)
