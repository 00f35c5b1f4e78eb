"""Asks an index: its simple API (PEP 503, 691, 700), and files. With the same certificates as uv, and no proxy.

Credentials are never in here; who forwards our requests puts them in.
"""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPException, HTTPResponse
from typing import IO, Any, Final, NamedTuple
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

JSON: Final = "application/vnd.pypi.simple.v1+json"
ANY: Final = f"{JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
_CHUNK: Final = 64 * 1024


class IndexFailure(Exception):
    """The index did not answer, or not with what was asked for. The message has no URL."""


class Answer(NamedTuple):
    """`url`: where it came from in the end. `content`: as it comes."""

    kind: str
    url: str
    content: Iterator[bytes]


class Client:
    """`certificates`: a PEM file with the authorities to trust. Raises `IndexFailure`."""

    def __init__(self, certificates: str) -> None:
        self._opener = OpenerDirector()  # not build_opener, which would also open files
        try:
            context = ssl.create_default_context(cafile=certificates)
        except OSError:
            raise IndexFailure("the certificates to trust can't be read") from None
        for handler in (HTTPHandler(), HTTPSHandler(context=context), _Redirects(), HTTPErrorProcessor()):
            self._opener.add_handler(handler)
        self._opener.add_handler(HTTPDefaultErrorHandler())

    def get(self, url: str, accept: str, largest: int, seconds: float = 30.0) -> Answer:
        """`largest`: in bytes; `seconds`: for each wait."""
        if urlsplit(url).scheme not in ("https", "http"):
            raise IndexFailure("this is not a web address")
        request = Request(url, headers={"Accept": accept, "Accept-Encoding": "gzip", "User-Agent": "casemate"})
        try:
            answer = self._opener.open(request, timeout=seconds)
        except HTTPError as error:
            error.close()
            raise IndexFailure(f"the index answered {error.code}") from None
        except (OSError, HTTPException, ValueError) as error:
            raise IndexFailure(f"the index does not answer: {type(error).__name__}") from None
        if not isinstance(answer, HTTPResponse):
            raise IndexFailure("the index does not answer")
        return Answer(answer.headers.get_content_type(), answer.geturl(), _content(answer, largest))


def _content(answer: HTTPResponse, largest: int) -> Iterator[bytes]:
    is_packed = answer.headers.get("Content-Encoding", "").lower() == "gzip"
    inflater = zlib.decompressobj(16 + zlib.MAX_WBITS) if is_packed else None
    size = 0
    with closing(answer):
        try:
            while data := answer.read(_CHUNK):
                while data:
                    out = inflater.decompress(data, _CHUNK) if inflater else data
                    data = inflater.unconsumed_tail if inflater else b""
                    size += len(out)
                    if size > largest:
                        raise IndexFailure(f"the index's answer is longer than {largest} bytes")
                    yield out
            if inflater and (rest := inflater.flush()):
                yield rest
            # http.client does not tell when a stream ends early.
            if answer.length or (inflater and not inflater.eof):
                raise IndexFailure("the index's answer is cut off")
        except (OSError, HTTPException, zlib.error) as error:
            raise IndexFailure(f"the index's answer is cut off: {type(error).__name__}") from None


class _Redirects(HTTPRedirectHandler):
    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise IndexFailure("the index sends us on to an address without TLS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
