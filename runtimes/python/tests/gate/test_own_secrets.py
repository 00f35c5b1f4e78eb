"""Values of stored secrets: found in any spelling and any place, named and never shown."""

from __future__ import annotations

import base64
import gzip
import json
import os
import random
from collections.abc import Callable
from urllib.parse import quote

import pytest
from casemate_gate.checks.own_secrets import Needle, OwnSecrets, Search, spellings

from gate.support import Bundle, zipped

Make = Callable[..., Bundle]
VALUE = 'Tr0ub4dor&3/"horse"+ä'
SECRET = b"plant/api/KEY\0" + VALUE.encode()


@pytest.mark.parametrize(
    "spelled",
    [
        VALUE.encode(),
        VALUE.encode().hex().encode(),
        VALUE.encode().hex().upper().encode(),
        *(base64.b64encode(b"x" * count + VALUE.encode() + b"yy") for count in range(3)),
        base64.urlsafe_b64encode(VALUE.encode()).rstrip(b"="),
        VALUE.encode("utf-16-le"),
        VALUE.encode("utf-16-be"),
        quote(VALUE, safe="").encode(),
        quote(VALUE, safe="").lower().replace("tr0", "Tr0").encode(),
        json.dumps(VALUE).encode(),
        json.dumps(VALUE, ensure_ascii=False).encode(),
        json.dumps(json.dumps(VALUE)).encode(),
        zipped({"a/b.txt": b"before " + VALUE.encode()}),
        zipped({"x.zip": zipped({"b.txt": VALUE.encode()}, 0)}),
        gzip.compress(b"before " + VALUE.encode()),
    ],
    ids=range(17),
)
def test_a_value_is_found_in_any_spelling(bundle: Make, spelled: bytes) -> None:
    prefix = b"" if spelled.startswith((b"PK", b"\x1f\x8b")) else b"# one\n# two\n  "
    findings = bundle({"a.txt": prefix + spelled + b"\n"}).found(OwnSecrets(), secrets=(SECRET,))
    assert [(item.rule, item.file.partition("!")[0]) for item in findings] == [("own-secret", "a.txt")]
    assert "plant/api/KEY" in findings[0].what
    assert "Tr0ub" not in json.dumps(findings[0].as_json())


def test_it_names_file_and_line_of_the_source_and_of_dependencies(bundle: Make) -> None:
    files = {
        "handler.py": f"a = 1\nb = {VALUE!r}\n",
        "deps/x/y.py": b"\n\n\n" + VALUE.encode(),
        "deps/x/z.so": b"\0" * 5000 + VALUE.encode(),
        "wide.txt": ("a\nb\n" + VALUE).encode("utf-16"),
    }
    found = [(item.file, item.line) for item in bundle(files).found(OwnSecrets(), secrets=(SECRET,))]
    assert sorted(found, key=str) == [("deps/x/y.py", 4), ("deps/x/z.so", None), ("handler.py", 2), ("wide.txt", 3)]


def test_a_key_of_several_lines_is_found_by_its_longest(bundle: Make) -> None:
    key = "-----BEGIN X-----\nAbCdEfGhIjKlMnOpQrStUvWxYz0123456789\nShortEnd12345678\n-----END X-----\n"
    book = json.dumps({"source": [line + "\n" for line in key.splitlines()]}, indent=1)
    found = bundle({"a.ipynb": book}).found(OwnSecrets(), secrets=(b"n/KEY\0" + key.encode(),))
    assert [item.rule for item in found] == ["own-secret"]


def test_short_values_are_found_in_quotes_only() -> None:
    search = Search(Needle("n", spelling) for spelling in spellings(b"hunter2"))
    assert search.find(b"x = 'hunter2'") and not search.find(b"the hunter2 and the hare")
    assert spellings(b"abc") == set() and spellings(b"") == set()


def test_any_place_and_length_is_found_among_many_needles() -> None:
    """The sampling must leave no gap: lengths around the strides, each at every place."""
    chance = random.Random(7)
    needles = [Needle(str(length), chance.randbytes(length)) for length in range(8, 90) for _ in range(4)]
    search = Search(needles)
    for needle in needles:
        for before in range(0, 70, 3):
            content = bytes(before) + needle.spelling + b"end"
            assert search.find(content).get(needle.secret) == before
    assert search.find(os.urandom(1 << 16)) == {}
    assert Search([]).find(b"anything") == {}


def test_an_archive_that_cannot_be_read_is_said_and_its_bytes_are_searched(bundle: Make) -> None:
    whole = zipped({"a.txt": VALUE.encode(), "b.txt": b"text"}, 0)
    cut = {"cut.zip": whole[:-30], "deps/cut.zip": whole[:-30]}
    found = bundle(cut).found(OwnSecrets(), secrets=(SECRET,))
    assert sorted((item.rule, item.file, item.severity.name) for item in found) == [
        ("gate/incomplete", "cut.zip", "HIGH"),
        ("gate/incomplete", "deps/cut.zip", "MEDIUM"),
        ("own-secret", "cut.zip", "HIGH"),
        ("own-secret", "deps/cut.zip", "HIGH"),
    ]
