"""`casemate deps upgrade PATH`: lines that hold on to versions with advisories are changed, and nothing else of the files."""

from __future__ import annotations

from typing import Any

import pytest
from lock_support import Folder, advisory, changed, folder, needs_uv, rules

pytestmark = needs_uv

__all__ = ["folder"]


def lines(result: dict[str, Any]) -> list[tuple[str, int, str, str]]:
    return [(item["file"], item["line"], item["before"], item["after"]) for item in result["lines"]]


@pytest.mark.parametrize(
    "before, after",
    [
        ("a<2", "a>=2.1"),
        ("  A [x , y]  <2,>=1 ; python_version > '3'  # why\n", "  A [x , y]  >=2.1 ; python_version > '3'  # why\n"),
        ("a (<2)", "a >=2.1"),
        ("a==1.0\r\nb\r\n\r\n# end", "a>=2.1\r\nb\r\n\r\n# end"),
        ("\ufeffa~=1.0 #c", "\ufeffa>=2.1 #c"),
        ("b\na ==1.* ,!=1.5, <9", "b\na >=2.1,!=1.5,<9"),
        (f"a==1.0 \\\n    --hash=sha256:{'0' * 64} \\\n  --hash=sha256:{'1' * 64}  # both\nb\n", "a>=2.1  # both\nb\n"),
        ("a \\\r\n  <2 ; \\\r\n  python_version > '3'\r\nb", "a >=2.1 ; python_version > '3'\r\nb"),
        ("a<2;python_version<'3'\na<2 ; python_version>'3'", "a<2;python_version<'3'\na>=2.1 ; python_version>'3'"),
        ("a<=1.0\nA<2", "a>=2.1\nA>=2.1"),
    ],
)
def test_only_the_versions_of_the_line_change(folder: Folder, before: str, after: str) -> None:
    folder.add("a 1.0", "a 2.0", "a 2.1", "b 1.0", "b 2.0").write(requirements_txt=before)
    result = folder.lock("*", known=[advisory("a", "2.0"), advisory("a", "2.1")])
    assert folder.text() == after and result["left"] == []
    assert changed(result)["a"] == ("1.0", "2.1") and rules(result["fixed"]) == ["X-a-2.0", "X-a-2.1"]


def test_a_line_that_is_not_in_the_way_stays(folder: Folder) -> None:
    folder.add("a 1.0", "b 1.0", "c 1.0", "c 2.0").write(requirements_txt="a<2  # x\nb==1.0\nc").lock()
    folder.add("a 1.1", "b 2.0")
    result = folder.lock("*", known=[advisory("a", "1.1"), advisory("c", "1.5", introduced="1")])
    assert lines(result) == [] and folder.text() == "a<2  # x\nb==1.0\nc" and changed(result) == {"a": ("1.0", "1.1")}


def test_only_what_is_named_is_mended(folder: Folder) -> None:
    folder.add("a 1.0", "a 2.0", "b 1.0", "b 2.0").write(requirements_txt="a<2\nb<2")
    result = folder.lock("a", known=[advisory("a", "2.0"), advisory("b", "2.0")])
    assert folder.text() == "a>=2.0\nb<2" and rules(result["left"]) == ["X-b-2.0"]


def test_files_that_others_name_are_changed_where_the_line_is(folder: Folder) -> None:
    (folder.path / "more").mkdir()
    (folder.path / "more/b.txt").write_text("# b\nb<2\n")
    folder.add("a 1.0", "b 1.0", "b 2.0").write(requirements_txt="a\n-r more/b.txt\n-r ./more/b.txt\n")
    result = folder.lock("*", known=[advisory("b", "2.0")])
    assert lines(result) == [("more/b.txt", 2, "b<2", "b>=2.0")] and folder.text("more/b.txt") == "# b\nb>=2.0\n"


# ---------------------------------------------------------------- what other packages need


def test_what_a_package_needs_is_mended_without_a_line_where_that_fits(folder: Folder) -> None:
    folder.add("app 1.0: lib", "lib 1.0").write(requirements_txt="app").lock()
    folder.add("lib 2.0", "lib 2.1")
    result = folder.lock("lib", known=[advisory("lib", "2.0")])
    assert changed(result) == {"lib": ("1.0", "2.1")} and lines(result) == []


def test_the_upper_bound_of_the_line_in_the_way_is_lifted_and_no_other(folder: Folder) -> None:
    folder.add("app 1.0: mid<2", "app 2.0: mid", "mid 1.0: lib<2", "mid 2.0: lib", "lib 1.0", "lib 2.0")
    folder.add("side 1.0: lib", "side 2.0: lib").write(requirements_txt="side<2\napp[x]>=0.5,<2,!=1.5  # the app\n")
    result = folder.lock("*", known=[advisory("lib", "2.0")])
    assert folder.text() == "side<2\napp[x]>=2.0,!=1.5  # the app\n"
    assert changed(result) == {"app": ("1.0", "2.0"), "lib": ("1.0", "2.0"), "mid": ("1.0", "2.0")}


def test_where_several_lines_are_in_the_way_all_are_lifted(folder: Folder) -> None:
    folder.add("a 1.0: lib<2", "a 2.0: lib", "b 1.0: lib<2", "b 2.0: lib", "lib 1.0", "lib 2.0")
    result = folder.write(requirements_txt="a<2\nb~=1.0").lock("*", known=[advisory("lib", "2.0")])
    assert folder.text() == "a>=2.0\nb>=2.0" and result["left"] == []


def test_no_package_goes_back_to_escape_an_advisory(folder: Folder) -> None:
    """As requests 2.15, which had its own copy of urllib3: no advisory is about that."""
    folder.add("app 1.0", "app 2.0: lib<2", "app 3.0: lib", "lib 1.0", "lib 2.0").write(requirements_txt="app<3")
    assert changed(folder.lock("*", known=[advisory("lib", "2.0")])) == {"app": ("2.0", "3.0"), "lib": ("1.0", "2.0")}
    assert folder.text() == "app>=3.0"


def test_a_line_of_its_own_that_allows_the_fixed_version_stays(folder: Folder) -> None:
    folder.add("app 1.0: lib<2", "app 2.0: lib", "lib 1.0", "lib 2.0").write(requirements_txt="lib>=1\napp<2")
    folder.lock("*", known=[advisory("lib", "2.0")])
    assert folder.text() == "lib>=1\napp>=2.0"


def test_a_version_that_brings_another_fault_is_mended_again(folder: Folder) -> None:
    folder.add("a 1.0", "a 2.0: lib<2", "a 3.0: lib", "lib 1.0", "lib 2.0").write(requirements_txt="a<2")
    result = folder.lock(
        "*", known=[advisory("a", "2.0"), advisory("lib", "2.0"), advisory("a", "3.0", introduced="2.0")]
    )
    assert folder.text() == "a>=2.0" and result["left"] == [] and changed(result)["lib"] == (None, "2.0")


# ---------------------------------------------------------------- what can't be mended


def test_what_cannot_be_mended_is_left_with_the_reason(folder: Folder) -> None:
    folder.add("app 1.0: lib<2", "lib 1.0", "lib 2.0", "a 1.0", "a 2.0").write(requirements_txt="app\na<2\nb<2").add(
        "b 1.0"
    )
    result = folder.lock(
        "*", known=[advisory("lib", "2.0"), advisory("a", "2.0"), advisory("b", "7.0"), advisory("app", None)]
    )
    assert folder.text() == "app\na>=2.0\nb<2"
    left = {item["rule"]: item.get("why") for item in result["left"]}
    assert set(left) == {"X-lib-2.0", "X-b-7.0", "X-app-None"} and left["X-app-None"] is None
    assert "app" in (left["X-lib-2.0"] or "") and "b" in (left["X-b-7.0"] or "")
    assert rules(result["fixed"]) == ["X-a-2.0"]


def test_a_pre_release_lets_in_no_others(folder: Folder) -> None:
    folder.add("a 1.0", "a 2.0", "a 3.0rc1").write(requirements_txt="a<2")
    folder.lock("*", known=[advisory("a", "2.0rc1")])
    assert folder.text() == "a>=2.0" and 'version = "2.0"' in folder.text("pylock.toml")


# ---------------------------------------------------------------- pyproject.toml


@pytest.mark.parametrize(
    "before, after",
    [
        ('[project]\nname = "a"\ndependencies = ["a<2"]\n', '[project]\nname = "a"\ndependencies = ["a>=2.0"]\n'),
        (
            '# dependencies = ["a<2"]\r\n[tool.x]\r\ndependencies = ["a<2"]\r\n[project]\r\ndependencies = [ # "a<2"\r\n  "b",\r\n  \'a [x] <2 ; python_version > "3"\',\r\n]\r\noptional-dependencies = {y = ["a<2"]}',
            '# dependencies = ["a<2"]\r\n[tool.x]\r\ndependencies = ["a<2"]\r\n[project]\r\ndependencies = [ # "a<2"\r\n  "b",\r\n  \'a [x] >=2.0 ; python_version > "3"\',\r\n]\r\noptional-dependencies = {y = ["a<2"]}',
        ),
        ('project = {dependencies = ["b", "a<2"]}', 'project = {dependencies = ["b", "a>=2.0"]}'),
        ('[project]\ndependencies = ["a<2","a<2", "b"]', '[project]\ndependencies = ["a>=2.0","a>=2.0", "b"]'),
        ('[project]\ndependencies = ["a<2", "c<2"]', '[project]\ndependencies = ["a>=2.0", "c>=2.0"]'),
    ],
)  # fmt: skip
def test_of_a_project_only_the_text_of_the_dependency_changes(folder: Folder, before: str, after: str) -> None:
    folder.add("a 1.0", "a 2.0", "b 1.0", "c 1.0", "c 2.0").write(pyproject_toml=before)
    result = folder.lock("*", known=[advisory("a", "2.0"), advisory("c", "2.0")])
    assert folder.text("pyproject.toml") == after and result["left"] == []


def test_an_entry_that_is_written_with_escapes_is_its_authors_to_change(folder: Folder) -> None:
    folder.add("a 1.0", "a 2.0").write(pyproject_toml='[project]\ndependencies = [\n "\\u0061<2"]')
    message = folder.problem("*", known=[advisory("a", "2.0")])
    assert message.startswith("pyproject.toml:") and "write a>=2.0 there" in message
