"""Which names imitate well-known ones."""

import pytest
from casemate_runtime.look_alikes import imitated
from casemate_runtime.popular import POPULAR, SOUND


@pytest.mark.parametrize(
    ("name", "original"),
    [
        ("reqeusts", "requests"),
        ("request", "requests"),
        ("requestss", "requests"),
        ("numpi", "numpy"),
        ("pand4s", "pandas"),
        ("djang0", "django"),
        ("python-dateutils", "python-dateutil"),
        ("pythondateutil", "python-dateutil"),
        ("scikit-lear", "scikit-learn"),
        ("beautifulsoup-4", "beautifulsoup4"),
        ("cryptograhpy", "cryptography"),
        ("urlib3", "urllib3"),
    ],
)
def test_a_name_one_slip_away_is_a_look_alike(name: str, original: str) -> None:
    assert imitated(name) == original


@pytest.mark.parametrize(
    "name",
    [
        "requests",
        "boto",
        "boto3",
        "attrs",
        "toml",
        "tomli",
        "my-company-tools",
        "six",
        "sax",
        "urllib4x",
        "elasticsearch8",
    ],
)
def test_a_known_or_another_name_is_none(name: str) -> None:
    assert imitated(name) is None


def test_the_table_holds_names_as_the_index_writes_them() -> None:
    assert len(POPULAR) > 300
    assert not [name for name in POPULAR | SOUND if name != name.lower() or "_" in name or "." in name]
    assert not POPULAR & SOUND
