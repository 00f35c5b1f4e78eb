"""The ledger of guarantees names only tests and files that exist, and every row names one."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEDGER = ROOT / "docs/guarantees.md"


def rows() -> list[list[str]]:
    lines = [line for line in LEDGER.read_text().splitlines() if re.match(r"\| (COG|KYM|SCW|AZR)-\d+ ", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_row_of_this_release_is_there() -> None:
    ids = {row[0] for row in rows()}
    wanted = (
        "COG-1 COG-2 COG-3 COG-4 COG-5 COG-6 COG-9 COG-10 COG-11 COG-12 COG-14 COG-15 COG-16 "
        "COG-19 COG-25 COG-26 COG-27 COG-28 KYM-15 KYM-17 AZR-13 AZR-16 "
        "COG-7 COG-17 COG-18 COG-20 KYM-8 KYM-13 SCW-5 SCW-11 SCW-12 AZR-1 AZR-3 AZR-14 AZR-15 AZR-17 AZR-19 AZR-23 "
        "COG-24 COG-25 KYM-5 KYM-9 KYM-10 KYM-12 KYM-18 "
        "SCW-4 SCW-6 SCW-8 SCW-9 SCW-15 SCW-19 SCW-25 AZR-2 AZR-4 AZR-5 AZR-6 AZR-9 AZR-10 AZR-18 AZR-21"
    ).split()
    assert set(wanted) <= ids


def test_every_row_names_a_test_that_exists_or_is_a_document() -> None:
    known = set()
    for file in (ROOT / "Tests").rglob("test_*.py"):
        known |= set(re.findall(r"^def (test_\w+)", file.read_text(), re.M))
    for row in rows():
        if row[4] == "planned":
            assert row[3] == "none yet" and row[2].startswith(
                "planned: "
            ), f"{row[0]} is planned: it says why, and names no test"
            continue
        named = re.findall(r"\b(test_\w+)\b(?!\.py)", row[3])
        assert named or "document" in row[3] or "Tests" in row[3], f"{row[0]} names no test"
        for name in named:
            assert name in known, f"{row[0]} names {name}, which does not exist"


def test_every_document_and_whole_path_that_is_named_exists() -> None:
    for row in rows():
        for path in re.findall(r"`((?:Sources|runtimes|Tests|docs|deploy)/[\w./+-]+)`", row[2]):
            assert (ROOT / path).exists(), f"{row[0]} names {path}, which does not exist"
        for path in re.findall(r"\]\(([^)]+)\)", row[2]):
            assert (LEDGER.parent / path).resolve().exists(), f"{row[0]} names {path}, which does not exist"
