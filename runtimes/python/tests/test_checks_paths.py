"""A test sees the function's packages as the function will. The tools run all the same, whatever has their names."""

from __future__ import annotations

import ast
import sys
import textwrap
from pathlib import Path

import pytest
from casemate_checks.inside.paths import _has
from casemate_runtime.faults import Fault
from checks_support import PASSES, TOOLS, check, fault

OTHER = "OTHER = True\n"
TEST = """
import unittest
class A(unittest.TestCase):
    def test_a(self):
        import {0}
        self.assertTrue({0}.OTHER)
"""


@pytest.mark.parametrize("name", ["pluggy", "packaging", "pygments", "py", "typing_extensions"])
@pytest.mark.parametrize("place", ["deps/{}/__init__.py", "deps/{}.py", "{}/__init__.py", "package/{}/__init__.py"])
def test_a_package_of_the_function_wins_for_its_own_imports(place: str, name: str, tmp_path: Path) -> None:
    # For this, pytest imports `packaging` while it runs.
    settings = "[pytest]\nminversion = 7\nrequired_plugins =\n"
    files = {place.format(name): OTHER, "test_a.py": TEST.format(name), "pytest.ini": settings}
    assert check(tmp_path, files).summary == "1 passed"


@pytest.mark.parametrize("name", ["pluggy", "mypy", "casemate_gate"])
def test_so_it_does_with_unittest(name: str, tmp_path: Path) -> None:
    files = {f"deps/{name}.py": OTHER, "test_a.py": TEST.format(name)}
    assert check(tmp_path, files, "unittest").summary == "1 passed"


def test_what_pytest_asks_of_a_package_while_it_runs_it_asks_of_its_own(tmp_path: Path) -> None:
    test = "import packaging, pytest\ndef test_a():\n    pytest.importorskip('sqlite3', minversion='0')\n    assert packaging.OTHER\n"
    settings = "[pytest]\nminversion = 700\n"
    files = {"packaging.py": OTHER, "test_a.py": test}
    with pytest.raises(Fault) as caught:
        check(tmp_path, {**files, "pytest.ini": settings})
    assert "'minversion' requires pytest-700" in caught.value.body
    (tmp_path / "fn/src/pytest.ini").unlink()
    test = test.replace("sqlite3", "versioned")
    assert check(tmp_path, {**files, "test_a.py": test, "versioned.py": "__version__ = '1'\n"}).summary == "1 passed"


@pytest.mark.parametrize("place", ["deps/pytest/__init__.py", "deps/_pytest/__init__.py", "package/pytest.py"])
def test_pytest_itself_is_always_the_one_that_runs(place: str, tmp_path: Path) -> None:
    test = "import pytest\n@pytest.fixture\ndef a(): return 1\ndef test_a(a): assert not hasattr(pytest, 'OTHER')\n"
    assert check(tmp_path, {place: "raise SystemExit\n", "test_a.py": test}).summary == "1 passed"


@pytest.mark.parametrize("name", ["queue", "logging", "random", "json", "types", "dataclasses", "unittest", "inspect"])
def test_a_module_of_the_source_comes_before_the_standard_library_s(name: str, tmp_path: Path) -> None:
    test = f"def test_a():\n    import {name}\n    assert {name}.OTHER\n"
    assert check(tmp_path, {f"{name}.py": OTHER, "test_a.py": test}).summary == "1 passed"


@pytest.mark.parametrize("name", ["os", "sys", "time", "asyncio", "argparse"])
def test_an_installed_package_of_such_a_name_does_not(name: str, tmp_path: Path) -> None:
    files = {f"deps/{name}.py": "raise SystemExit\n", "test_a.py": f"import {name}\n" + PASSES}
    assert check(tmp_path, files).summary == "1 passed"


def test_modules_are_found_where_the_function_finds_them(tmp_path: Path) -> None:
    test = "import brought, handler, installed\ndef test_a(): assert (handler.A, installed.A, brought.A) == (1, 2, 3)\n"
    files = {"handler.py": "A = 1\n", "deps/installed/__init__.py": "A = 2\n", "package/brought.py": "A = 3\n"}
    assert check(tmp_path, {**files, "tests/test_a.py": test}).summary == "1 passed"


def test_nothing_of_ours_is_in_the_way(tmp_path: Path) -> None:
    test = """
        import casemate_checks, casemate_runtime, sys
        def test_a():
            assert casemate_checks.OTHER and casemate_runtime.OTHER
            assert not [path for path in sys.path if path.endswith("runtimes/python")]
            exit
        """
    files = {"casemate_checks.py": OTHER, "casemate_runtime.py": OTHER, "test_a.py": textwrap.dedent(test)}
    assert check(tmp_path, files).summary == "1 passed"


def test_a_plugin_among_the_packages_is_loaded(tmp_path: Path) -> None:
    files = {
        "deps/nice-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: nice\nVersion: 1\n",
        "deps/nice-1.dist-info/entry_points.txt": "[pytest11]\nnice = nice\n",
        "deps/nice.py": "import pytest\n@pytest.fixture\ndef nice(): return 1\n",
        "test_a.py": "def test_a(nice): assert nice == 1\n",
    }
    assert check(tmp_path, files).summary == "1 passed"


def test_a_plugin_that_fails_is_no_pass(tmp_path: Path) -> None:
    files = {
        "deps/bad-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: bad\nVersion: 1\n",
        "deps/bad-1.dist-info/entry_points.txt": "[pytest11]\nbad = bad\n",
        "deps/bad.py": "1 / 0\n",
        "test_a.py": PASSES,
    }
    fault(tmp_path, files)


def test_a_folder_without_init_hides_nothing(tmp_path: Path) -> None:
    files = {"pluggy/data.txt": "", "packaging/data.txt": "", "logging/data.txt": "", "test_a.py": "import pluggy._hooks, logging.handlers\n" + PASSES}  # fmt: skip
    assert check(tmp_path, files).summary == "1 passed"
    assert not _has([str(tmp_path / "fn" / "src")], "pluggy")


def test_what_can_not_be_looked_up_is_not_had() -> None:
    assert not _has(["/dev/null/none", "\0"], "x") and not _has([], "x")


def test_after_its_start_pytest_imports_nothing_of_others_but_what_is_known() -> None:
    """A name that the function has itself is its own by then."""
    known = {
        "packaging",
        "numpy",
        "colorama",
        "readline",
        "tomli",
        "pkg_resources",
        "twisted",
        "zope",
        "argcomplete",
        "pexpect",
    }
    found = set()
    for file in [*(TOOLS / "_pytest").rglob("*.py"), *(TOOLS / "pluggy").rglob("*.py")]:
        for function in ast.walk(ast.parse(file.read_text())):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    found |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    found.add(node.module.partition(".")[0])
    assert "packaging" in found
    assert found - sys.stdlib_module_names - {"_pytest", "pytest", "pluggy"} <= known
