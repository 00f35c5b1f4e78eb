"""A package index in the made-up internet: wheels that tests make, with ages, licences and faults that no real index has."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import socket
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from casemate_fixture import Server
from gate_answers import after
from inject_hosts import head_of, sized
from inject_probe import PUBLIC
from network_world import RESOLVER, World
from world_dns import A
from world_services import Arrival, Handler, Service, authority, https

INDEX, PORT = "index.test", 8450


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

    def wheel(self) -> bytes:
        folder = f"{self.module}-{self.version}.dist-info"
        files = {
            f"{self.module}.py": f"NAME = {self.name!r}\nVERSION = {self.version!r}\n",
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

    def source(self) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as packed:
            for name, text in {"PKG-INFO": self.about(), "setup.py": "raise SystemExit('it ran')\n"}.items():
                info = tarfile.TarInfo(f"{self.name}-{self.version}/{name}")
                info.size = len(text)
                packed.addfile(info, io.BytesIO(text.encode()))
        return out.getvalue()


class PackageIndex:
    """The simple index (PEP 503, 691, 700) of some releases."""

    def __init__(self) -> None:
        self.releases: list[Release] = []

    def add(self, *releases: Release) -> None:
        self.releases += releases

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
        _, kind, name, *_ = (asked.split(b" ", 2)[1].decode() + "/").split("/")
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

    @staticmethod
    def entry(release: Release) -> dict[str, Any]:
        return {
            "filename": release.file,
            "url": f"https://{INDEX}:{PORT}/files/{release.file}",
            "hashes": {"sha256": release.digest},
            "requires-python": ">=3.9",
            "size": len(release.data),
            "upload-time": after(-release.days_old * 86400),
            "yanked": "it was a mistake" if release.yanked else False,
        }


class PackageWorld(World):
    """The made-up internet, where https is what the index speaks."""

    def __init__(self) -> None:
        super().__init__()
        self.index = PackageIndex()

    def serve(self, port: int, does: Handler, *rest: Any, **more: Any) -> Service:
        return super().serve(port, self.index if does is https else does, *rest, **more)

    def open_index(self) -> None:
        self.serve(PORT, self.index)
        self.dns[INDEX] = [A(PUBLIC)]

    def installing(self) -> Server:
        """A server inside that takes its packages from the index."""
        options = ["--resolvers", RESOLVER, "--index-url", f"https://{INDEX}:{PORT}/simple", "--index-hosts", INDEX]
        folder, system = authority().folder, Path("/etc/ssl/certs/ca-certificates.crt")
        bundle = folder / "bundle.crt"
        bundle.write_text(f"{system.read_text()}\n{authority().certificate}")
        # In a mount namespace of the server's own.
        trusting = ["unshare", "--mount", "sh", "-c", f'mount --bind "$0" {system} && exec "$@"', str(bundle)]
        return Server(options=options, prefix=[*self.inner.enter, *trusting], connect=self.inner.connect)
