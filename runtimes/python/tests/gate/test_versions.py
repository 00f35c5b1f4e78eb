"""The builder's own comparison of versions, which has no library there, against the one of the gate's tools."""

from __future__ import annotations

import random

import pytest
from casemate_runtime.versions import allows, same_version
from packaging.specifiers import InvalidSpecifier, Specifier
from packaging.version import Version

_SIGNS = ["==", "!=", "<", ">", "<=", ">=", "~=", "===", "==*", "!=*"]


def made(chance: random.Random, local: bool = True) -> str:
    text = ".".join(str(chance.choice([0, 1, 2, 10])) for _ in range(chance.randint(1, 3)))
    for part, likely in (("rc", 0.25), (".post", 0.2), (".dev", 0.2)):
        if chance.random() < likely:
            text += f"{chance.choice(['a', 'b', 'rc']) if part == 'rc' else part}{chance.randint(0, 2)}"
    epoch = "1!" if chance.random() < 0.1 else ""
    return epoch + text + ("+l1" if local and chance.random() < 0.1 else "")


@pytest.mark.parametrize("sign", _SIGNS)
def test_a_clause_allows_what_pep_440_says(sign: str) -> None:
    chance = random.Random(sign)
    for _ in range(2_000):
        clause = f"{sign.removesuffix('*')}{made(chance, sign in ('==', '!='))}{'.*' if sign.endswith('*') else ''}"
        version = made(chance)
        try:
            wanted = Specifier(clause).contains(version, prereleases=True)
        except InvalidSpecifier:
            continue
        assert allows(clause, version) is wanted, f"{version} {clause}"


def test_two_spellings_are_the_same_version_where_pep_440_says_so() -> None:
    chance = random.Random(7)
    for _ in range(5_000):
        one, other = made(chance), made(chance)
        assert same_version(one, other) is (Version(one) == Version(other)), f"{one} {other}"


def test_all_clauses_have_to_hold_and_what_cannot_be_read_allows_everything() -> None:
    assert allows(">=1, <2", "1.5") and not allows("(>=1,<2)", "2") and allows("", "7")
    assert allows(">=odd", "1") and allows("<1", "odd")
