"""Exports of databases: read whole or not at all, within limits, whatever somebody has put in."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import stat
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from casemate_gate import exports
from casemate_gate.database import load, read_export
from casemate_gate.problems import Problem

from gate.support import zipped

SNAPSHOT = Path("/work/shared/data/pypa-advisory-database-2024-10-10.tar.xz")
YAML = """\
id: PYSEC-2021-66
details: |
  A fault
  in two lines.
affected:
- package: {name: Jinja_2, ecosystem: PyPI, purl: pkg:pypi/jinja2}
  ranges:
  - type: GIT
    events: [{introduced: '0'}, {fixed: abcdef}]
  - type: ECOSYSTEM
    events:
    - introduced: '0'
    - fixed: 2.10
  versions: [2.1, 1.10, '2.0']
severity:
- {type: CVSS_V3, score: 'CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L'}
aliases: [CVE-2020-28493, GHSA-g3rq-g295-4j3m]
modified: '2021-03-22T16:34:00+02:00'
"""
JSON: dict[str, Any] = {
    "id": "GHSA-aaaa-bbbb-cccc",
    "summary": "a fault",
    "affected": [
        {
            "package": {"name": "One", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
        },
        {"package": {"name": "two", "ecosystem": "npm"}, "versions": ["1"]},
        {"package": {"name": "three", "ecosystem": "PyPI"}, "versions": ["1.0"]},
    ],
    "database_specific": {"severity": "MODERATE"},
    "modified": "2024-05-01T10:00:00Z",
}


def tarred(files: dict[str, bytes], *more: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in more:
            archive.addfile(info)
    return out.getvalue()


def imported(content: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    descriptor = os.memfd_create("archive")
    try:
        os.write(descriptor, content)
        lines = read_export(descriptor)
        return json.loads(lines.splitlines()[0]), load(lines)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_a_yaml_database_becomes_compact_records(pack: Any) -> None:
    files = {"db/README.md": b"x", "db/vulns/jinja2/PYSEC-2021-66.yaml": YAML.encode(), "db/LICENSE": b"x"}
    summary, records = imported(pack(tarred(files)))
    assert summary == {"records": 1, "withdrawn": 0, "skipped": 0, "newest": "2021-03-22T14:34:00Z"}
    assert records == [
        {
            "id": "PYSEC-2021-66",
            "aliases": ["CVE-2020-28493", "GHSA-g3rq-g295-4j3m"],
            "package": "jinja-2",
            "summary": "A fault in two lines.",
            "modified": "2021-03-22T14:34:00Z",
            "score": 5.3,
            "ranges": [[{"introduced": "0"}, {"fixed": "2.10"}]],
            "versions": ["2.1", "1.10", "2.0"],
        }
    ]


def test_a_json_export_becomes_one_record_for_each_package() -> None:
    files = {
        "a.json": json.dumps(JSON).encode(),
        "b.json": json.dumps(JSON | {"id": "B-1", "withdrawn": "2024-01-01T00:00:00Z"}).encode(),
        "c.json": json.dumps(JSON | {"id": "C-1", "affected": JSON["affected"][1:2]}).encode(),
        "d.json": b"{",
        "e.json": b"[" * 100_000,
        "f.json": b'{"id": "F-1", "affected": [{"package": {"ecosystem": "PyPI", "name": "../x"}}]}',
        "g.json": b"[]",
    }
    summary, records = imported(zipped(files))
    assert summary == {"records": 2, "withdrawn": 1, "skipped": 5, "newest": "2024-05-01T10:00:00Z"}
    assert [(item["package"], item["score"], item["versions"]) for item in records] == [
        ("one", 4.0, []),
        ("three", 4.0, ["1.0"]),
    ]


@pytest.mark.parametrize(
    ("severity", "score"),
    [
        (["CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L"], 9.8),
        (["CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"], 9.3),
        (["AV:N/AC:L/Au:N/C:C/I:C/A:C", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L"], 5.3),
        (["AV:N/AC:L/Au:N/C:C/I:C/A:C"], 10.0),
        (["CVSS:3.1/nonsense", "CVSS:4.0/", "", "x" * 9000, 7], 4.0),
    ],
    ids=range(5),
)
def test_the_score_is_that_of_the_best_vector(severity: list[Any], score: float) -> None:
    record = JSON | {"severity": [{"type": "x", "score": vector} for vector in severity]}
    _, records = imported(zipped({"a.json": json.dumps(record).encode()}))
    assert {item["score"] for item in records} == {score}


@pytest.mark.parametrize(
    "content",
    [
        b"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nid: *c\n",
        b"a: &a {k: v}\nb: &b {<<: [*a,*a,*a,*a]}\nc: {<<: [*b,*b,*b,*b]}\nid: X-1\n",
        b"id: !!python/object/apply:os.system ['true']\n",
        b"[" * 1_000_000,
        b"- " * 1_000_000,
        b"{a: " * 500_000,
        b"".join(b" " * depth + b"a:\n" for depth in range(1500)),
        b"? " * 100_000,
        b"\xff\xfe\x00",
        b"id: X-1\naffected: {package: x}\n",
        b"",
    ],
    ids=range(11),
)
def test_yaml_that_is_an_attack_or_nonsense_is_passed_over(content: bytes) -> None:
    summary, records = imported(tarred({"bad.yaml": content, "good.yaml": YAML.encode()}))
    assert (summary["skipped"], [item["id"] for item in records]) == (1, ["PYSEC-2021-66"])


def lying_zip() -> bytes:
    content = bytearray(zipped({"a.json": json.dumps(JSON).encode()}))
    at = content.rfind(b"PK\x01\x02")
    content[at + 24 : at + 28] = (10).to_bytes(4, "little")
    return bytes(content)


def linked_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("a.json")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    return out.getvalue()


def link() -> tarfile.TarInfo:
    info = tarfile.TarInfo("x.yaml")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        b"PK\x03\x04",
        zipped({"a.json": json.dumps(JSON).encode()})[:-30],
        lying_zip(),
        linked_zip(),
        tarred({"good.yaml": YAML.encode()}, link()),
        gzip.compress(tarred({"good.yaml": YAML.encode()}))[:-50],
        tarred({"good.yaml": YAML.encode()})[:900],
        zipped({"a.txt": b"nothing"}),
        zipped({"a.json": b" " * (5 << 20)}),
        gzip.compress(b"no tar in here" * 100),
        b"\x1f\x8b\x08" + b"x" * 100,
        b"\xfd7zXZ\x00" + b"x" * 100,
    ],
    ids=range(14),
)
def test_an_archive_that_is_no_export_is_a_problem(content: bytes) -> None:
    with pytest.raises(Problem):
        imported(content)


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "MOST_BYTES", 20 << 20)
    bomb = tarred({"bomb.txt": bytes(30 << 20)})
    for packed in (gzip.compress(bomb), lzma.compress(bomb), zipped({"a.txt": bytes(30 << 20)})):
        with pytest.raises(Problem, match="unpacks to more than"):
            imported(packed)
    monkeypatch.setattr(exports, "MOST_ENTRIES", 5)
    many = {f"{number}.json": b"{}" for number in range(9)}
    for packed in (zipped(many), tarred(many)):
        with pytest.raises(Problem, match="entries"):
            imported(packed)


@pytest.mark.skipif(not SNAPSHOT.exists(), reason=f"the real database is not at {SNAPSHOT}")
def test_the_real_database_is_read_in_seconds() -> None:
    started = time.monotonic()
    summary, records = imported(SNAPSHOT.read_bytes())
    assert time.monotonic() - started < 10
    assert summary["records"] == len(records) > 2600 and summary["withdrawn"] == 10 and summary["skipped"] == 0
    assert next(item for item in records if item["id"] == "PYSEC-2021-66")["ranges"] == [
        [{"introduced": "0"}, {"fixed": "2.11.3"}]
    ]
