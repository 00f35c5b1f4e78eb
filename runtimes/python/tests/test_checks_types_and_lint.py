"""mypy and ruff as a gate: they see the author's code, and what they see of packages is not the author's to mend."""

from __future__ import annotations

from pathlib import Path

import pytest
from checks_support import check, fault

GOOD = "def double(number: int) -> int:\n    return 2 * number\n"
BAD = "count: int = 'many'\n"
UNUSED = "import os\n"


def test_types_pass_and_fail_with_a_place(tmp_path: Path) -> None:
    passed = check(tmp_path, {"handler.py": GOOD}, "mypy --strict")
    assert passed.summary == "no errors" and "no issues found in 1 source file" in passed.output
    found = fault(tmp_path, {"lib/more.py": "x = 1\n" + BAD}, "mypy --strict")
    assert (found.file, found.line) == ("lib/more.py", 2) and "[assignment]" in found.body
    assert found.message == "mypy found errors; the output lists them"
    assert check(tmp_path, {}, "mypy handler.py").summary == "no errors"


def test_packages_are_followed_and_not_checked(tmp_path: Path) -> None:
    files = {
        "handler.py": "import brought\nimport typed\n\nn: int = typed.number()\nt: str = brought.text()\n",
        "deps/typed/__init__.py": "def number() -> int: return 'wrong'\n",
        "deps/typed/py.typed": "",
        "package/brought/__init__.py": "def text() -> str: return 1\n",
        "package/brought/py.typed": "",
        "package/loose.py": BAD,
    }
    assert "1 source file" in check(tmp_path, files, "mypy --strict").output
    found = fault(tmp_path, {"handler.py": "import typed\n\nn: str = typed.number()\n"}, "mypy")
    assert (found.file, found.line) == ("handler.py", 3)


def test_a_package_of_the_function_comes_before_one_of_the_tools(tmp_path: Path) -> None:
    files = {"deps/pluggy/__init__.py": "OTHER = 1\n", "deps/pluggy/py.typed": "", "handler.py": "import pluggy\nimport pytest\n\nn: int = pluggy.OTHER\n"}  # fmt: skip
    assert check(tmp_path, files, "mypy").summary == "no errors"


SETTINGS = {
    "strictness counts": ("[mypy]\ndisallow_untyped_defs = true\n", "def f(x): ...\n", "check-failed"),
    "files count": ("[mypy]\nfiles = lib\n", BAD, None),
    "an exclusion counts": ("[mypy]\nexclude = handler\\.py\n", BAD, None),
    "errors in a part do not count": ("[mypy]\n[mypy-handler]\nignore_errors = true\n", BAD, None),
    "no typeshed but ours": ("[mypy]\ncustom_typeshed_dir = lib\n", GOOD, None),
    "no interpreter but ours": ("[mypy]\npython_executable = /bin/false\n", GOOD, None),
    "no cache": ("[mypy]\ncache_dir = cache\n", GOOD, None),
    "no installation": ("[mypy]\ninstall_types = true\nnon_interactive = true\n", BAD, "check-failed"),
    "no workers": ("[mypy]\nnum_workers = 4\n", GOOD, None),
    "no summary": ("[mypy]\nerror_summary = false\ncolor_output = true\n", GOOD, None),
    "JSON": ("[mypy]\noutput = json\n", BAD, "check-failed"),
    "a plugin that is not there": ("[mypy]\nplugins = nothing\n", GOOD, "check-failed"),
    "a plugin that exits": ("[mypy]\nplugins = exits\n", BAD, "check-failed"),
    "a plugin that ends the process": ("[mypy]\nplugins = ends.py\n", BAD, "check-failed"),
    "a plugin among the packages": ("[mypy]\nplugins = nice\n", GOOD, None),
    "settings that are none": ("[mypy\n", BAD, "check-failed"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_author_s_settings_of_types_count_and_make_no_lie(name: str, tmp_path: Path) -> None:
    settings, handler, code = SETTINGS[name]
    plugin = "from mypy.plugin import Plugin\ndef plugin(version): return Plugin\n"
    files = {
        "mypy.ini": settings, "handler.py": handler, "lib/__init__.py": "", "lib/good.py": GOOD,
        "exits.py": "import sys\nsys.exit(0)\n", "ends.py": "import os\nos._exit(0)\n", "deps/nice.py": plugin,
    }  # fmt: skip
    if code is None:
        check(tmp_path, files, "mypy")
    else:
        fault(tmp_path, files, "mypy", code)
    assert not (tmp_path / "fn" / "src" / "cache").exists()


@pytest.mark.parametrize("files", [{"a.txt": "x"}, {"package/a.py": GOOD}, {"a.py": GOOD, "mypy.ini": "[mypy]\nexclude = a\n"}], ids=range(3))  # fmt: skip
def test_types_of_nothing_do_not_pass(files: dict[str, str], tmp_path: Path) -> None:
    assert "no file to check" in fault(tmp_path, files, "mypy", "check-empty").message


@pytest.mark.parametrize(
    "command", ["mypy nothing.py", "mypy lib nothing", "ruff nothing.py", "ruff check lib nothing"]
)
def test_a_path_that_is_not_there_does_not_pass(command: str, tmp_path: Path) -> None:
    fault(tmp_path, {"handler.py": GOOD, "lib/a.py": GOOD}, command)


def test_lint_passes_and_fails_with_a_place(tmp_path: Path) -> None:
    passed = check(tmp_path, {"handler.py": GOOD}, "ruff")
    assert passed.summary == "no faults" and "All checks passed!" in passed.output
    found = fault(tmp_path, {"lib/more.py": "x = 1\n" + UNUSED}, "ruff check")
    assert (found.file, found.line) == ("lib/more.py", 2) and "F401" in found.body
    assert check(tmp_path, {}, "ruff handler.py").summary == "no faults"
    assert check(tmp_path, {}, "ruff --ignore=F401,E402").summary == "no faults"
    assert fault(tmp_path, {}, "ruff --select=D100").line == 1


LINT = {
    "rules count": ("[lint]\nselect = ['D100']\n", GOOD, "check-failed"),
    "an exclusion counts": ("extend-exclude = ['handler.py']\n", UNUSED, None),
    "nothing is mended": ("fix = true\n", UNUSED, "check-failed"),
    "nor mended alone": ("fix-only = true\nunsafe-fixes = true\n", UNUSED, "check-failed"),
    "another form of output": ("output-format = 'json'\n", UNUSED, "check-failed"),
    "another version": ("required-version = '==0.0.1'\n", GOOD, "check-failed"),
    "settings that are not there": ("extend = '../nothing.toml'\n", GOOD, "check-failed"),
    "settings that are none": ("[lint\n", GOOD, "check-failed"),
    "nothing included": ("include = ['*.x']\n", GOOD, "check-empty"),
    "everything excluded": ("exclude = ['*']\n", GOOD, "check-empty"),
    "a cache": ("cache-dir = 'cache'\n", GOOD, None),
}


@pytest.mark.parametrize("name", LINT)
def test_the_author_s_settings_of_lint_count_and_make_no_lie(name: str, tmp_path: Path) -> None:
    settings, handler, code = LINT[name]
    files = {"ruff.toml": settings, "handler.py": handler, "lib/good.py": GOOD}
    if code is None:
        check(tmp_path, files, "ruff")
    else:
        fault(tmp_path, files, "ruff", code)
    assert (tmp_path / "fn" / "src" / "handler.py").read_text() == handler
    assert not (tmp_path / "fn" / "src" / "cache").exists() and not (tmp_path / "fn" / "src" / ".ruff_cache").exists()


@pytest.mark.parametrize("files", [{"a.txt": "x"}, {"package/a.py": GOOD}, {"a.py": GOOD, ".gitignore": "*.py\n", ".git/HEAD": ""}], ids=range(3))  # fmt: skip
def test_lint_of_nothing_does_not_pass(files: dict[str, str], tmp_path: Path) -> None:
    assert "no file to check" in fault(tmp_path, files, "ruff", "check-empty").message


def test_packages_that_a_source_brings_are_not_linted(tmp_path: Path) -> None:
    assert check(tmp_path, {"a.py": GOOD, "package/b.py": UNUSED, "deps/c.py": UNUSED}, "ruff").summary == "no faults"
    assert fault(tmp_path, {"lib/package/d.py": UNUSED}, "ruff").file == "lib/package/d.py"
    assert fault(tmp_path, {"lib/package/d.py": BAD}, "mypy").file == "lib/package/d.py"
