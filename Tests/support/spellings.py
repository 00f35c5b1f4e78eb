"""The forms in which a value would be found if it got somewhere: as it is, and as programs write it down."""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.parse


def spellings(value: str | bytes) -> list[bytes]:
    """Raw, hexadecimal, percent, JSON and base64; of base64 the part that all neighbours leave unchanged."""
    raw = value.encode() if isinstance(value, str) else value
    found = [raw, raw.hex().encode(), raw.hex().upper().encode(), urllib.parse.quote(raw, safe="").encode()]
    text = raw.decode("utf-8", "surrogateescape")
    for ascii_only in (True, False):
        found.append(json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode("utf-8", "surrogateescape"))
    for before in (b"", b"x", b"xx"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(before + raw).rstrip(b"=")
            found.append(encoded[(len(before) * 8 + 5) // 6 : -1])
    return list(dict.fromkeys(found))


def hashes(value: str | bytes) -> list[bytes]:
    """Plain hashes: whoever has one can try values."""
    raw = value.encode() if isinstance(value, str) else value
    found = []
    for name in ("sha256", "sha1", "md5", "sha512"):
        digest = hashlib.new(name, raw)
        # A short fingerprint is made of a hash's beginning.
        found += [digest.hexdigest()[:16].encode(), base64.b64encode(digest.digest())[:12]]
    return found


def found_in(where: bytes | str, value: str | bytes, hashed: bool = False) -> bytes | None:
    """The first form of `value` that stands in `where`."""
    data = where.encode("utf-8", "surrogateescape") if isinstance(where, str) else where
    return next((form for form in spellings(value) + (hashes(value) if hashed else []) if form in data), None)


def assert_absent(where: bytes | str, value: str | bytes, what: str, hashed: bool = False) -> None:
    form = found_in(where, value, hashed)
    if form is not None:
        data = where.encode("utf-8", "surrogateescape") if isinstance(where, str) else where
        place = data.index(form)
        raise AssertionError(f"{what} has {form!r}: …{data[max(0, place - 60) : place + 140]!r}")
