"""Credentials that were once in a repository, found by the gate's own check."""

from __future__ import annotations

from typing import Any

import pytest
from fetch_fixtures import Place
from fetch_support import GATE_TOOLS, serve

# In parts, so that a scan of this repository passes over it.
GITHUB = "ghp_" + "wX3fQ9aZ7bLk2mN8pR4tV6yD1cE5gH0jK9sB"


def served(place: Place, **more: Any) -> dict[str, Any]:
    if not (GATE_TOOLS / "detect_secrets").is_dir():
        pytest.fail(f"the gate's tools are not in {GATE_TOOLS}; set CASEMATE_GATE_TOOLS")
    request = {"url": place.url(), "ref": "main", "history": True, **more}
    answer = serve(request, (14, place.server.authority))
    assert (answer.exit_status, answer.err) == (0, "")
    return answer.fetched.report


def test_what_was_removed_is_found_with_the_commit_that_brought_it(place: Place) -> None:
    repository = place.repository()
    first = repository.commit({"one/a.py": b"a = 1\n"})
    second = repository.commit(
        {"one/a.py": f'x = "{GITHUB}"\n'.encode(), "one/package/lib.py": b'password = "Tr0ub4dor&3xyz"\n'}, first
    )
    side = repository.commit(
        {"two/b.py": f'y = "{GITHUB}"\n'.encode(), "one/kept.py": f'z = "{GITHUB}"\n'.encode()}, first, ref=""
    )
    # In the archive itself, where the gate looks at it later.
    merged = repository.commit({"one/a.py": b"a = 2\n", "one/kept.py": f'z = "{GITHUB}"\n'.encode()}, second, side)
    report = served(place, folder="one")
    assert report["commit"] == merged
    found = {(item["check"], item["rule"], item["file"], item["line"]): item for item in report["history"]}
    assert set(found) == {("history", "github-token", "one/a.py", 1), ("history", "github-token", "two/b.py", 1)}
    item = found["history", "github-token", "one/a.py", 1]
    assert (
        second[:12] in item["what"]
        and GITHUB not in str(report)
        and "revoke it" in item["fix"]
        and item["severity"] == "high"
    )
    assert set(item) >= {"id", "check", "rule", "severity", "file", "line", "what", "fix", "guarantee"}


def test_history_is_that_of_the_commit_and_only_if_asked_for(place: Place) -> None:
    repository = place.repository()
    first = repository.commit({"a.py": f'x = "{GITHUB}"\n'.encode()})
    repository.commit({"a.py": b"a = 1\n"}, first)
    repository.commit({"b.py": f'y = "{GITHUB}"\n'.encode()}, ref="refs/heads/other")
    assert served(place, history=False)["history"] == []
    assert [item["file"] for item in served(place)["history"]] == ["a.py"]


def test_at_most_two_hundred_findings_come_back(place: Place) -> None:
    repository = place.repository()
    lines = [f'x{number} = "ghp_{number:03}' + GITHUB[7:] + '"\n' for number in range(250)]
    first = repository.commit({"a.py": "".join(lines).encode()})
    repository.commit({"a.py": b"a = 1\n"}, first)
    found = served(place)["history"]
    assert len(found) == 200 and found[-1]["rule"] == "gate/more" and "51 more" in found[-1]["what"]


def test_a_history_that_is_cut_off_counts_as_not_looked_at(place: Place) -> None:
    repository = place.repository()
    first = repository.commit({"a.py": f'x = "{GITHUB}"\n'.encode()})
    second = repository.commit({"a.py": b"a = 1\n"}, first)
    (repository.path / "shallow").write_text(f"{second}\n")
    assert [(item["rule"], item["severity"]) for item in served(place)["history"]] == [("gate/incomplete", "high")]


def test_a_content_that_is_too_large_counts_as_not_looked_at(place: Place) -> None:
    repository = place.repository()
    first = repository.commit({"a.bin": b"0" * ((4 << 20) + 1)})
    repository.commit({"a.bin": b"0"}, first)
    assert [(item["rule"], item["file"]) for item in served(place)["history"]] == [("gate/incomplete", "a.bin")]
