"""git's smart protocol over https (gitprotocol-http). Nobody is logged in here: where a host wants credentials, the platform
puts them into the request on its way out."""

from __future__ import annotations

import http.client
import os
import re
import ssl
import urllib.parse
from collections.abc import Callable
from typing import Final

from casemate_runtime.faults import Fault
from casemate_runtime.trust import SYSTEM

from casemate_fetch.address import Address
from casemate_fetch.faults import failed, shown
from casemate_fetch.meter import Meter
from casemate_fetch.packets import Packets
from casemate_fetch.remote import SILENCE, connect

_SERVICE: Final = "git-upload-pack"
_TAIL: Final = f"/info/refs?service={_SERVICE}"
_MOST_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_HEADERS: Final = {
    "User-Agent": "git/casemate",
    "Git-Protocol": "version=2",
    # What is packed twice unpacks to more than was counted.
    "Accept-Encoding": "identity",
    "Pragma": "no-cache",
}


class Https:
    def __init__(
        self, address: Address, trusted: ssl.SSLContext, meter: Meter, check: Callable[[Address], None] = lambda _: None
    ) -> None:
        """`check`: raises a `Fault` for where a redirect must not lead."""
        self._address = address
        self._meter = meter
        self._check = check
        self._tls = trusted
        self._open: list[http.client.HTTPConnection] = []

    def advertisement(self) -> Packets:
        for _ in range(_MOST_REDIRECTS):
            answer = self._send("GET", f"{self._address.path}{_TAIL}", {"Accept": "*/*"})
            if answer.status not in _REDIRECTS:
                return self._packets(answer, "advertisement")
            self._address = self._redirected(answer.getheader("Location", ""))
        raise failed(f"{self._place} redirects without end; write the URL at which the repository is")

    def command(self, body: bytes) -> Packets:
        kind = f"application/x-{_SERVICE}"
        headers = {"Content-Type": f"{kind}-request", "Accept": f"{kind}-result"}
        answer = self._send("POST", f"{self._address.path}/{_SERVICE}", headers, body)
        if answer.status in _REDIRECTS:
            raise failed(f"{self._place} redirects in the middle of a fetch; write the URL at which the repository is")
        return self._packets(answer, "result")

    @property
    def complaint(self) -> str:
        return ""

    def close(self) -> None:
        for connection in self._open:
            connection.close()

    @property
    def _place(self) -> str:
        return f"{self._address.host}:{self._address.port}"

    def _send(
        self, method: str, target: str, headers: dict[str, str], body: bytes | None = None
    ) -> http.client.HTTPResponse:
        # One request each: what is left unread of an answer can't be taken for the next one.
        self.close()
        connection = http.client.HTTPConnection(self._address.host, self._address.port, timeout=SILENCE)
        self._open = [connection]
        plain = connect(self._address)
        try:
            # Given to the connection before it is used, so that it does not dial in clear by itself.
            connection.sock = self._tls.wrap_socket(plain, server_hostname=self._address.dialled)
            connection.request(method, target, body, {**_HEADERS, **headers, "Host": self._host})
            return connection.getresponse()
        except ssl.SSLCertVerificationError as error:
            plain.close()
            raise failed(
                f"the certificate of {self._place} is not trusted ({shown(error.verify_message)}); have the host show one of an "
                "authority that the server's administrator has installed"
            ) from None
        except ssl.SSLError as error:
            plain.close()
            raise failed(
                f"{self._place} speaks no TLS that is taken ({shown(error.reason or 'unknown')}); check the port"
            ) from None
        except TimeoutError:
            raise self._silent() from None
        except (http.client.HTTPException, OSError, ValueError):
            raise failed(f"{self._place} does not answer in HTTP; check the URL") from None

    @property
    def _host(self) -> str:
        return self._address.host if self._address.port == 443 else self._place

    def _packets(self, answer: http.client.HTTPResponse, what: str) -> Packets:
        if answer.status in (401, 403):
            raise failed(
                f"the repository wants credentials (status {answer.status}), or refuses those it got; set a secret with user:password "
                "and let credentials: of the source name it"
            )
        if answer.status in (404, 410):
            raise failed(
                f"there is no repository at {self._address} (status {answer.status}), or it is shown with credentials only; check the "
                "URL, and let credentials: of the source name a secret with user:password"
            )
        if answer.status != 200:
            raise failed(f"{self._place} answers with status {answer.status}; try again, or ask whoever runs the host")
        kind = answer.getheader("Content-Type", "").partition(";")[0].strip()
        if kind != f"application/x-{_SERVICE}-{what}":
            raise failed(f"{self._address} answers, and not as a git repository; check the URL")
        if answer.getheader("Content-Encoding", "identity") != "identity":
            raise failed(f"{self._place} compresses its answers unasked; ask whoever runs the host to leave that")

        def read_some(size: int) -> bytes:
            try:
                return answer.read(size)
            except TimeoutError:
                raise self._silent() from None
            except (http.client.HTTPException, OSError, ValueError):
                raise failed(f"the connection to {self._place} broke; fetch again") from None

        return Packets(read_some, self._meter)

    def _redirected(self, location: str) -> Address:
        """Where to ask instead. Credentials and egress are those of one host: another is not followed to."""
        target = location
        try:
            target = urllib.parse.urljoin(f"{self._address}{_TAIL}", location)
            found = Address.parse(target.partition("?")[0].removesuffix("/info/refs"))
        except (Fault, ValueError):
            found = None
        where = shown(re.sub(r"//[^/@]*@", "//", target.partition("?")[0]))
        if found is None or found.place != self._address.place:
            raise failed(
                f"{self._place} redirects to {where}, and only the host of the URL may be asked; write that URL if you trust it"
            )
        if not target.endswith(_TAIL):
            raise failed(
                f"{self._place} redirects to {where}, which is no repository; check the URL, and if it wants credentials"
            )
        self._check(found)
        return found

    def _silent(self) -> Fault:
        return failed(f"{self._place} says nothing any more; try again later")


def trusting(authority: bytes) -> ssl.SSLContext:
    """The system's authorities, and this one (PEM)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if os.path.exists(SYSTEM):
        context.load_verify_locations(cafile=SYSTEM)
    if authority:
        try:
            context.load_verify_locations(cadata=authority.decode("ascii"))
        except (ValueError, ssl.SSLError):
            raise failed("the authority to trust is no PEM; this is a fault of the server") from None
    return context
