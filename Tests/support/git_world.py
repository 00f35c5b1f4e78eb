"""Repositories in the made-up internet: git's own server behind https, and OpenSSH's before git."""

from __future__ import annotations

import base64
import gzip
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Self

from casemate_fixture import clean_environment
from inject_hosts import sized
from inject_probe import PUBLIC
from package_index import PackageWorld
from world_dns import A
from world_services import Arrival, authority

GIT, HTTPS_PORT, SSH_PORT = "git.test", 8451, 8452
USER, PASSWORD = "reader", "-".join(["only", "for", "this", "world", os.urandom(6).hex()])


class Repository:
    """A bare repository that a test writes commits to; what it was given stands in them as it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(path)], check=True)

    def git(self, *arguments: str, input: bytes | None = None, **environment: str) -> str:
        known = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in _PERSON.items()}
        done = subprocess.run(
            ["git", "--git-dir", str(self.path), *arguments],
            input=input,
            env=clean_environment(GIT_CONFIG_GLOBAL="/dev/null", **known, **environment),
            capture_output=True,
            check=True,
        )
        return done.stdout.decode().strip()

    def commit(
        self, files: Mapping[str, str | bytes], branch: str = "main", modes: Mapping[str, str] | None = None
    ) -> str:
        """The new commit's id; `files` are all that it has. A mode other than a file's is git's own: `120000`, `160000`."""
        index = str(self.path / "index.of.test")
        Path(index).unlink(missing_ok=True)
        for name, content in files.items():
            mode = (modes or {}).get(name, "100644")
            data = content.encode() if isinstance(content, str) else content
            blob = data.decode() if mode == "160000" else self.git("hash-object", "-w", "--stdin", input=data)
            self.git("update-index", "--add", "--cacheinfo", f"{mode},{blob},{name}", GIT_INDEX_FILE=index)
        tree = self.git("write-tree", GIT_INDEX_FILE=index)
        known = subprocess.run(
            ["git", "--git-dir", str(self.path), "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}"],
            capture_output=True,
        )
        parents = ["-p", known.stdout.decode().strip()] if known.returncode == 0 else []
        made = self.git("commit-tree", tree, *parents, "-m", "a commit of a test")
        self.git("update-ref", f"refs/heads/{branch}", made)
        return made


_PERSON = {"NAME": "Test", "EMAIL": "test@example.invalid", "DATE": "2026-01-02T03:04:05Z"}


class GitWorld(PackageWorld):
    """https at one port, ssh at another; what lies under `private/` asks for a password."""

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="casemate-git-"))
        super().__enter__()
        self.serve(HTTPS_PORT, self.https)
        self.serve(SSH_PORT, self.ssh)
        self.dns[GIT] = [A(PUBLIC)]
        for name in ("host", "other", "client", "stranger"):
            key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(self.folder / name)]
            subprocess.run(key, check=True)
        (self.folder / "authorized").write_text((self.folder / "client.pub").read_text())
        (self.folder / "authorized").chmod(0o600)
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        # Answers to what is asked for by its path; a test may put one of its own in.
        self.answers: dict[str, bytes] = {}
        return self

    def __exit__(self, *failure: object) -> None:
        try:
            super().__exit__(*failure)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def repository(self, name: str) -> Repository:
        (self.folder / "repositories" / name).parent.mkdir(parents=True, exist_ok=True)
        return Repository(self.folder / "repositories" / name)

    @staticmethod
    def url(name: str) -> str:
        return f"https://{GIT}:{HTTPS_PORT}/{name}"

    def ssh_url(self, name: str) -> str:
        return f"ssh://root@{GIT}:{SSH_PORT}{self.folder}/repositories/{name}"

    def key(self, name: str) -> str:
        return (self.folder / name).read_text()

    def public_key(self, name: str) -> str:
        return (self.folder / f"{name}.pub").read_text().strip()

    # -- what the ports do

    def https(self, stream: socket.socket, arrival: Arrival) -> None:
        with (
            authority().context("unnamed.invalid").wrap_socket(stream, server_side=True) as secure,
            secure.makefile("rb") as reader,
        ):
            arrival.sni = getattr(secure, "asked_for", None)
            while asked := _request(reader):
                head, body = asked
                arrival.heads.append(head)
                path = head.split(b" ", 2)[1].decode().partition("?")[0]
                if path in self.answers:
                    # It may not be whole: nothing comes after it.
                    return secure.sendall(self.answers[path])
                secure.sendall(self._answer(head, body))

    def _answer(self, head: bytes, body: bytes) -> bytes:
        method, target, *_ = head.split(b"\r\n", 1)[0].decode().split(" ")
        path, _, query = target.partition("?")
        wanted = b"Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode())
        if path.startswith("/private/") and _field(head, "authorization") != wanted.decode():
            return sized(b"who are you?", b'WWW-Authenticate: Basic realm="git"', status=b"401 Unauthorized")
        environment = clean_environment(
            GIT_PROJECT_ROOT=str(self.folder / "repositories"),
            GIT_HTTP_EXPORT_ALL="1",
            GIT_CONFIG_GLOBAL="/dev/null",
            GIT_PROTOCOL=_field(head, "git-protocol"),
            REQUEST_METHOD=method,
            PATH_INFO=path,
            QUERY_STRING=query,
            CONTENT_TYPE=_field(head, "content-type"),
            CONTENT_LENGTH=str(len(body)),
            REMOTE_ADDR="192.0.2.1",
        )
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True)
        fields, _, content = done.stdout.partition(b"\r\n\r\n")
        lines = fields.split(b"\r\n")
        status = next((line[8:] for line in lines if line.lower().startswith(b"status: ")), b"200 OK")
        return sized(
            content, *[line for line in lines if line and not line.lower().startswith(b"status:")], status=status
        )

    def ssh(self, stream: socket.socket, arrival: Arrival) -> None:
        settings = {
            "HostKey": self.folder / "host",
            "AuthorizedKeysFile": self.folder / "authorized",
            "PermitRootLogin": "yes",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "UsePAM": "no",
            "StrictModes": "no",
            "AllowTcpForwarding": "no",
            "AcceptEnv": "GIT_PROTOCOL",
        }
        options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
        stream.settimeout(None)
        started = ["/usr/sbin/sshd", "-i", "-e", "-f", "/dev/null", *options]
        with subprocess.Popen(
            started, stdin=stream.fileno(), stdout=stream.fileno(), stderr=subprocess.DEVNULL
        ) as process:
            process.wait()


def _request(reader: IO[bytes]) -> tuple[bytes, bytes] | None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        try:
            line = reader.readline(65536)
        except ssl.SSLError:
            return None
        if not line:
            return None
        head += line
    body = b""
    if _field(head, "transfer-encoding") == "chunked":
        while length := int(reader.readline(), 16):
            body += reader.read(length)
            reader.readline()
        reader.readline()
    else:
        body = reader.read(int(_field(head, "content-length") or 0))
    return head, gzip.decompress(body) if _field(head, "content-encoding") == "gzip" else body


def _field(head: bytes, name: str) -> str:
    found = re.search(rb"^" + name.encode() + rb": *([^\r\n]*)", head, re.I | re.M)
    return found[1].decode() if found else ""
