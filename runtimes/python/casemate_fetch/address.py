"""Where a repository is. There is one spelling for it, so that a place can be compared with another."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from casemate_fetch.faults import failed, shown

_LONGEST: Final = 2048
_PORTS: Final = {"https": 443, "ssh": 22}
_URL: Final = re.compile(
    r"(?P<scheme>https|ssh)://(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9._-]*)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/.*)"
)
_PATH: Final = re.compile(r"(?:/(?:[A-Za-z0-9._~+@=,-]|%[0-9A-Fa-f]{2})+)+")
# git's short form, `git@example.com:group/repository.git`, as .gitmodules often has it.
_SHORT: Final = re.compile(r"(?P<user>[A-Za-z0-9_][A-Za-z0-9._-]*)@(?P<host>[A-Za-z0-9.-]+):(?P<path>[^/:].*)")
_FORMS: Final = "write https://HOST/PATH.git or ssh://USER@HOST/PATH.git"


@dataclass(frozen=True, slots=True)
class Address:
    scheme: str
    user: str
    """`""` for https."""
    host: str
    port: int
    path: str
    """With a leading `/`; percent-encoded as it was given."""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Raises a `Fault` which does not repeat the text: somebody may have written a password into it."""
        found = _URL.fullmatch(text) if len(text) <= _LONGEST else None
        if found is None:
            raise failed(f"the URL of the repository is none that can be fetched; {_FORMS}")
        scheme, user, path = found["scheme"], found["user"] or "", found["path"].rstrip("/")
        port = int(found["port"]) if found["port"] else _PORTS[scheme]
        if scheme == "https" and user:
            raise failed(
                "an https URL has no user; leave it out, and let credentials: name a secret with user:password"
            )
        if scheme == "ssh" and not user:
            raise failed(
                "an ssh URL names its user; write ssh://git@HOST/PATH.git, with the user that the host gives you"
            )
        if not 1 <= port <= 65_535:
            raise failed("the URL's port is none; write one from 1 to 65535")
        if not _PATH.fullmatch(path) or not all(_is_plain(part) for part in path[1:].split("/")):
            raise failed(f"the path of the URL is no repository's; {_FORMS}, without ?, #, empty parts, . and ..")
        return cls(scheme, user, found["host"].lower(), port, path)

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{user}{self.host}{port}{self.path}"

    @property
    def place(self) -> tuple[str, str, int]:
        """What egress and credentials are given for."""
        return self.scheme, self.host, self.port

    @property
    def dialled(self) -> str:
        """The host as a socket takes it."""
        return self.host.strip("[]")

    def is_among(self, places: Iterable[str]) -> bool:
        """`places`: URLs of repositories, and beginnings of such that end with `/`, as a policy lists them."""
        return any(self._is_at(found) for place in places if (found := _URL.fullmatch(place)))

    def _is_at(self, place: re.Match[str]) -> bool:
        scheme, user, host, path = place["scheme"], place["user"] or "", place["host"].lower(), place["path"]
        if (scheme, user, host, int(place["port"] or _PORTS[scheme])) != (self.scheme, self.user, self.host, self.port):
            return False
        return self.path.startswith(path) if path.endswith("/") else self.path == path

    def submodule(self, url: str, path: str) -> Address:
        """Where .gitmodules says that the submodule at `path` is. `./` and `../` begin at this repository's URL."""
        if url.startswith(("./", "../")):
            found = Address.parse(f"{self._root}{self._joined(url, path)}")
        elif short := _SHORT.fullmatch(url):
            found = Address.parse(f"ssh://{short['user']}@{short['host']}/{short['path']}")
        elif _URL.fullmatch(url):
            found = Address.parse(url)
        else:
            raise failed(f"the submodule {shown(path)} has a URL that can't be fetched; {_FORMS} into .gitmodules")
        if found.place != self.place:
            raise failed(
                f"the submodule {shown(path)} is at {found.scheme}://{found.host}:{found.port}, and the fetch may reach only "
                f"{self.scheme}://{self.host}:{self.port}; copy it into the repository, or move it to the same host"
            )
        return found

    @property
    def _root(self) -> str:
        return f"{self.scheme}://{self.user}{'@' if self.user else ''}{self.host}:{self.port}"

    def _joined(self, url: str, path: str) -> str:
        parts = self.path[1:].split("/")
        rest = url
        while True:
            if rest.startswith("./"):
                rest = rest[2:]
            elif rest.startswith("../") and parts:
                rest = rest[3:]
                parts.pop()
            elif rest.startswith("../"):
                raise failed(f"the submodule {shown(path)} has a URL above its host's root; correct it in .gitmodules")
            else:
                return "/" + "/".join([*parts, rest])


def _is_plain(part: str) -> bool:
    """Whether a part of a path stays one, and goes down, however often it is decoded."""
    decoded = urllib.parse.unquote(part)
    return decoded not in (".", "..") and "%" not in decoded and not re.search(r"[/\\\x00-\x1f\x7f]", decoded)
