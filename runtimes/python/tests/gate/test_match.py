"""Known vulnerabilities: which versions they affect, how bad they are, and that one fault is one finding."""

from __future__ import annotations

import time
from typing import Any

import pytest
from casemate_gate.match import match
from casemate_gate.problems import Problem


def record(identifier: str = "PYSEC-2021-1", package: str = "jinja2", **fields: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "id": identifier,
        "aliases": [],
        "package": package,
        "summary": "a fault",
        "modified": "2021-01-01T00:00:00Z",
        "score": 7.5,
        "ranges": [[{"introduced": "0"}, {"fixed": "2.11.3"}]],
        "versions": [],
    }
    return given | fields


def found(version: str, *records: dict[str, Any], **settings: Any) -> list[dict[str, Any]]:
    request = {
        "components": [{"name": "Jinja2", "version": version}],
        "advisories": list(records),
        "settings": settings,
    }
    findings: list[dict[str, Any]] = match(request)["findings"]
    return findings


def test_a_finding_says_what_and_how_to_mend_it() -> None:
    aliases = ["GHSA-aaaa-bbbb-cccc", "CVE-2020-1"]
    component = {"name": "jinja2", "version": "2.11.2", "file": "requirements.txt", "line": 3}
    (finding,) = match({"components": [component], "advisories": [record(aliases=aliases)]})["findings"]
    finding.pop("id")
    assert finding == {
        "check": "advisories",
        "rule": "PYSEC-2021-1",
        "severity": "high",
        "file": "requirements.txt",
        "line": 3,
        "what": "jinja2 2.11.2: PYSEC-2021-1 (CVE-2020-1, GHSA-aaaa-bbbb-cccc): a fault",
        "fix": "upgrade to 2.11.3 or later: casemate deps upgrade",
        "guarantee": "KYM-8",
        "package": "pkg:pypi/jinja2@2.11.2",
        "fixed": "2.11.3",
    }


@pytest.mark.parametrize(
    ("version", "events", "affected"),
    [
        ("2.11.2", [{"introduced": "0"}, {"fixed": "2.11.3"}], True),
        ("2.11.3", [{"introduced": "0"}, {"fixed": "2.11.3"}], False),
        ("2.11.3rc1", [{"introduced": "0"}, {"fixed": "2.11.3"}], True),
        ("2.11.3.post1", [{"introduced": "0"}, {"fixed": "2.11.3"}], False),
        ("2.11.3+local", [{"introduced": "0"}, {"fixed": "2.11.3"}], False),
        ("2.9", [{"introduced": "2.10"}, {"fixed": "2.11.3"}], False),
        ("2.10.0", [{"introduced": "2.10"}, {"fixed": "2.11.3"}], True),
        ("2.11", [{"introduced": "0"}, {"last_affected": "2.11"}], True),
        ("2.11.1", [{"introduced": "0"}, {"last_affected": "2.11"}], False),
        ("9.0", [{"introduced": "0"}], True),
        ("0.0.0.dev1", [{"introduced": "0"}], True),
        ("1!1.0", [{"introduced": "0"}, {"fixed": "2.11.3"}], False),
        ("3.5", [{"introduced": "1"}, {"fixed": "2"}, {"introduced": "3"}, {"fixed": "4"}], True),
        ("2.5", [{"fixed": "4"}, {"introduced": "3"}, {"fixed": "2"}, {"introduced": "1"}], False),
        ("1.0", [{"introduced": "bad version"}, {"fixed": "bad"}], True),
        ("1.0", [], False),
        ("no-version", [{"introduced": "0"}], False),
    ],
)
def test_ranges_hold_what_pep_440_says(version: str, events: list[dict[str, str]], affected: bool) -> None:
    assert bool(found(version, record(ranges=[events]))) is affected


@pytest.mark.parametrize(
    ("version", "listed", "affected"),
    [
        ("1.0", "1.0.0", True),
        ("1.0.0", "v1", True),
        ("1.0rc1", "1.0.0c1", True),
        ("1.0", "1.0.1", False),
        ("odd", "odd", True),
    ],
)
def test_listed_versions_are_compared_after_normalisation(version: str, listed: str, affected: bool) -> None:
    assert bool(found(version, record(ranges=[], versions=[listed]))) is affected


@pytest.mark.parametrize(
    ("score", "severity"),
    [(10, "critical"), (9.0, "critical"), (8.9, "high"), (7, "high"), (4.0, "medium"), (3.9, "low"), (0, "low")],
)
def test_a_score_is_a_severity(score: float, severity: str) -> None:
    assert [item["severity"] for item in found("1.0", record(score=score))] == [severity]


def test_without_a_score_it_is_held_for_high_and_said() -> None:
    (high,) = found("1.0", record(score=None))
    (warning,) = found("1.0", record(score=None), unscored="warn")
    assert (high["severity"], warning["severity"]) == ("high", "medium")
    assert "unscored" in high["what"] and "unscored" in warning["what"]


def test_names_of_one_fault_are_one_finding_and_the_scored_one_wins() -> None:
    (finding,) = found(
        "1.0",
        record("PYSEC-2021-1", aliases=["CVE-2020-1"], score=None, ranges=[[{"introduced": "0"}]]),
        record("GHSA-x", aliases=["CVE-2020-1"], score=9.8, ranges=[[{"introduced": "0"}, {"fixed": "2"}]]),
        record("CVE-2020-1", aliases=[], score=None, ranges=[[{"introduced": "0"}, {"fixed": "3"}]]),
    )
    assert (finding["rule"], finding["severity"], finding["fixed"]) == ("GHSA-x", "critical", "2")
    assert "(PYSEC-2021-1, CVE-2020-1)" in finding["what"]
    assert len(found("1.0", record("PYSEC-1"), record("PYSEC-2"))) == 2


def test_malware_is_critical_and_withdrawn_is_nothing() -> None:
    (finding,) = found("1.0", record("MAL-2024-1", score=None, ranges=[], versions=["1.0"]))
    assert finding["severity"] == "critical" and finding["fix"].startswith("remove jinja2")
    assert found("1.0", record(withdrawn="2024-01-01T00:00:00Z")) == []


def test_the_fix_is_the_lowest_above_the_installed_version() -> None:
    ranges = [
        [{"introduced": "1"}, {"fixed": "1.5"}],
        [{"introduced": "2"}, {"fixed": "2.5"}],
        [{"introduced": "3"}, {"fixed": "3.1"}],
    ]
    assert [item["fixed"] for item in found("2.1", record(ranges=ranges))] == ["2.5"]
    (finding,) = found("9.0", record(ranges=[[{"introduced": "0"}]]))
    assert "fixed" not in finding and finding["fix"].startswith("there is no fixed version yet")


def test_many_functions_are_answered_at_once() -> None:
    request = {"functions": {"a/b": [{"name": "jinja2", "version": "1.0"}], "a/c": []}, "advisories": [record()]}
    answer = match(request)["findings"]
    assert [len(answer[key]) for key in ("a/b", "a/c")] == [1, 0]


@pytest.mark.parametrize(
    "strange",
    [
        None, 1, "x", [], {}, {"id": 1}, {"id": "x"}, {"id": "x", "package": None}, record(aliases="x"), record(aliases=[1, None]),
        record(ranges={}), record(ranges=[1, [1, {"introduced": 1}], [{"introduced": None}]]), record(versions="1.0"),
        record(versions=[1, None]), record(score="high"), record(score=True), record(score=float("nan")), record(score=99),
        record(summary=["x"]), record(summary="\ud800\x00\x1b[31m"), record(identifier="a" * 5000), record(package="\udcff"),
    ],
    ids=range(22),
)  # fmt: skip
def test_records_of_wrong_types_harm_nothing(strange: Any) -> None:
    components = [
        {"name": "jinja2", "version": "1.0"},
        {"name": "\udcff", "version": "1"},
        {"name": 1},
        None,
        {"version": "x" * 9999},
    ]
    good = record("GOOD-1", package="other")
    answer = match({"components": [*components, {"name": "other", "version": "1"}], "advisories": [strange, good]})
    assert "GOOD-1" in [item["rule"] for item in answer["findings"]]


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"components": []},
        {"advisories": []},
        {"components": {}, "advisories": []},
        {"functions": [], "advisories": []},
    ],
)
def test_a_request_without_its_parts_is_a_problem(request_: dict[str, Any]) -> None:
    with pytest.raises(Problem):
        match(request_)


def test_time_grows_with_advisories_and_components_and_not_with_their_product() -> None:
    versions = [f"{major}.{minor}" for major in range(5) for minor in range(20)]

    def taken(components: int) -> float:
        records = [
            record(
                f"PYSEC-1-{number}",
                package=f"p{number % components}",
                versions=versions,
                ranges=[[{"introduced": "4"}, {"fixed": "4.5"}]],
            )
            for number in range(5 * components)
        ]
        known = [{"name": f"p{number}", "version": "3.7" if number % 2 else "7.0"} for number in range(components)]
        started = time.process_time()
        assert len(match({"components": known, "advisories": records})["findings"]) == 5 * components // 2
        return time.process_time() - started

    few, many = min(taken(40) for _ in range(3)), min(taken(400) for _ in range(3))
    assert many < 40 * few
