"""Which files an index has of a package, and which of them are withdrawn (PEP 592): JSON (PEP 691), else the HTML of PEP 503."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from casemate_runtime.simple import ANY, JSON, Client, IndexFailure

_LARGEST: Final = 16 * 1024 * 1024
_HASH: Final = re.compile(r"(?:sha256|sha384|sha512)[:=][0-9a-f]{64,128}")


class File(NamedTuple):
    """`yanked`: why it is withdrawn, empty where no reason is given; `None` where it is not."""

    name: str
    url: str
    hashes: tuple[str, ...]
    yanked: str | None


def files_of(client: Client, page: str) -> list[File]:
    """`page`: the URL of a package's page. Raises `IndexFailure`."""
    answer = client.get(page, ANY, _LARGEST)
    content = b"".join(answer.content)
    listed = _of_json(content) if answer.kind == JSON else _of_html(content)
    found = []
    for file in listed:
        absolute = urljoin(answer.url, file.url)
        # What was asked for over TLS is not fetched without.
        if urlsplit(absolute).scheme in ("https", urlsplit(answer.url).scheme):
            found.append(file._replace(url=absolute))
    return found


def _of_json(content: bytes) -> list[File]:
    try:
        listed = json.loads(content)["files"]
        return [
            File(str(item["filename"]), str(item["url"]), _hashes(item.get("hashes")), _yanked(item.get("yanked")))
            for item in listed
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise IndexFailure("the index's answer is not what PEP 691 says") from None


def _hashes(given: Any) -> tuple[str, ...]:
    named = (f"{key}:{value}" for key, value in given.items()) if isinstance(given, dict) else ()
    return tuple(text for text in named if _HASH.fullmatch(text))


def _yanked(given: Any) -> str | None:
    """A reason, or whether."""
    if isinstance(given, str):
        return given
    return "" if given else None


def _of_html(content: bytes) -> list[File]:
    links = _Links()
    try:
        links.feed(content.decode("utf-8", "replace"))
    except (AssertionError, RecursionError):  # html.parser, on text that is no HTML
        raise IndexFailure("the index's answer is not HTML") from None
    found = []
    for link, yanked in links.found:
        url, fragment = urldefrag(link)
        hashes = (fragment.replace("=", ":", 1),) if _HASH.fullmatch(fragment) else ()
        found.append(File(unquote(url.partition("?")[0].rpartition("/")[2]), url, hashes, yanked))
    return found


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a" and (link := given.get("href")):
            self.found.append((link, (given["data-yanked"] or "") if "data-yanked" in given else None))
