"""Whether an index answers for a name itself. Some send on to a public one what they lack, where anybody may have that name."""

from __future__ import annotations

import ssl
from http.client import HTTPException
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    Request,
)

from casemate_runtime.simple import ANY


class PassedOn(Exception):
    """It leads to another index, or another host."""


class Landing:
    """`others`: URLs of the further indexes of a build. `certificates`: a PEM file with the authorities to trust."""

    def __init__(self, certificates: str, others: tuple[str, ...]) -> None:
        self._context = ssl.create_default_context(cafile=certificates)
        self._others = others

    def status(self, index: str, name: str) -> int:
        """What it answers for the name, 0 where it does not answer. Raises `PassedOn`."""
        opener = OpenerDirector()
        web = (HTTPHandler(), HTTPSHandler(context=self._context))
        for handler in (*web, _Staying(index, self._others), HTTPErrorProcessor()):
            opener.add_handler(handler)
        opener.add_handler(HTTPDefaultErrorHandler())
        try:
            request = Request(f"{index}/{name}/", headers={"Accept": ANY, "User-Agent": "casemate"})
            with opener.open(request, timeout=30) as answer:
                return int(answer.status)
        except HTTPError as error:
            error.close()
            return error.code
        except (OSError, HTTPException, ValueError):
            return 0


class _Staying(HTTPRedirectHandler):
    def __init__(self, index: str, others: tuple[str, ...]) -> None:
        self._place = urlsplit(index)[:2]
        self._others = tuple(other for other in others if other != index)

    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urlsplit(newurl)[:2] != self._place or newurl.startswith(tuple(f"{other}/" for other in self._others)):
            raise PassedOn
        return super().redirect_request(req, fp, code, msg, headers, newurl)
