"""Tests as a gate: they pass where tests ran and all passed. No accident in the author's code makes it look so."""

from __future__ import annotations

import os
import signal
import textwrap
import time
from pathlib import Path

import pytest
from casemate_runtime.faults import Fault
from checks_support import FAILS, PASSES, check, fault

UNITTEST = (
    "import unittest\n\nclass A(unittest.TestCase):\n    def test_a(self) -> None:\n        self.assertEqual(1, {})\n"
)


@pytest.mark.parametrize("command", ["pytest", "pytest -q", "pytest tests", "pytest tests/test_a.py::test_passes -v", "pytest -k passes"])  # fmt: skip
def test_pytest_passes_with_its_output(command: str, tmp_path: Path) -> None:
    passed = check(tmp_path, {"tests/test_a.py": PASSES}, command)
    assert passed.summary == "1 passed" and "1 passed" in passed.output


def test_what_fails_is_told_with_its_place_and_the_output(tmp_path: Path) -> None:
    found = fault(tmp_path, {"test_a.py": PASSES + "\n" + FAILS, "test_b.py": FAILS})
    assert (found.file, found.line) == ("test_a.py", 4)
    assert found.message.startswith("2 of 3 tests failed, the first is test_a.py::test_fails; ")
    assert ">       assert False" not in found.message and "assert False" in found.body


def test_unittest_passes_by_discovery_by_folder_and_by_name(tmp_path: Path) -> None:
    files = {"test_a.py": UNITTEST.format(1), "more/test_b.py": UNITTEST.format(1), "more/__init__.py": ""}
    assert check(tmp_path, files, "unittest").summary == "2 passed"
    assert check(tmp_path, files, "unittest -v").summary == "2 passed"
    assert check(tmp_path, files, "unittest discover -s more").summary == "1 passed"
    assert check(tmp_path, files, "unittest test_a.A more/test_b.py").summary == "2 passed"
    assert check(tmp_path, files, "unittest -k test_a").summary == "2 passed"


def test_unittest_tells_what_failed_first(tmp_path: Path) -> None:
    found = fault(tmp_path, {"test_a.py": UNITTEST.format(2)}, "unittest")
    assert found.message.startswith("1 of 1 tests failed, the first is test_a.A.test_a; ")
    assert "AssertionError: 1 != 2" in found.body


# Each would let a gate pass that trusts an exit status, or the last line.
PYTEST_ACCIDENTS = {
    "a module exits": ("import sys\nsys.exit(0)\n", ""),
    "a module calls unittest.main": ("import unittest\nunittest.main(argv=['x'])\n", ""),
    "a module ends the process": ("import os\nos._exit(0)\n", ""),
    "a test ends the process": ("import os\ndef test_a(): os._exit(0)\n", ""),
    "a test becomes another program": ("import os\ndef test_a(): os.execv('/bin/true', ['true'])\n", ""),
    "a test exits": ("import sys\ndef test_a(): sys.exit(0)\n", ""),
    "a test kills its process": ("import os\ndef test_a(): os.kill(os.getpid(), 9)\n", ""),
    "a test kills its group": ("import os\ndef test_a(): os.killpg(0, 15)\n", ""),
    "a test crashes": ("import ctypes\ndef test_a(): ctypes.string_at(0)\n", ""),
    "a test is interrupted": ("def test_a(): raise KeyboardInterrupt\n", ""),
    "a test stops the run with 0": ("import pytest\ndef test_a(): pass\ndef test_b(): pytest.exit('x', returncode=0)\n", ""),
    "a forked test goes on": (
        "import os, time\ndef test_a():\n    if os.fork():\n        time.sleep(0.5)\n        assert False\ndef test_b(): pass\n", ""),
    "conftest exits": (PASSES, "import sys\nsys.exit(0)\n"),
    "conftest exits with a text": (PASSES, "raise SystemExit('all is well')\n"),
    "conftest ends the process": (PASSES, "import os\nos._exit(0)\n"),
    "conftest ends it at the end": (FAILS, "import os\ndef pytest_sessionfinish(): os._exit(0)\n"),
    "conftest ends it at exit": (FAILS, "import atexit, os\natexit.register(os._exit, 0)\n"),
    "conftest sets the exit status": (FAILS, "def pytest_sessionfinish(session): session.exitstatus = 0\n"),
    "conftest sets the exit status of an error": (
        "import nothing_of_that_name\n", "def pytest_sessionfinish(session): session.exitstatus = 0\n"),
    "conftest replaces the command": (FAILS, "def pytest_cmdline_main(config): return 0\n"),
    "conftest replaces the loop": (FAILS, "def pytest_runtestloop(session): return True\n"),
    "conftest forgets failures": (FAILS, "def pytest_sessionfinish(session):\n    session.testsfailed = 0\n    session.exitstatus = 0\n"),
    "conftest stops the run": (PASSES + FAILS, "import pytest\ndef pytest_runtest_logfinish(): pytest.exit('done', returncode=0)\n"),
    "conftest fails": (PASSES, "1 / 0\n"),
    "conftest fails at the end": (PASSES, "def pytest_sessionfinish(): 1 / 0\n"),
    "conftest is no Python": (PASSES, "def\n"),
    "a module is no Python": ("def\n", ""),
    "a fixture fails": ("import pytest\n@pytest.fixture\ndef a(): 1 / 0\ndef test_a(a): pass\n", ""),
    "a teardown fails": ("import pytest\n@pytest.fixture\ndef a():\n    yield\n    1 / 0\ndef test_a(a): pass\n", ""),
    "an expected failure does not fail": ("import pytest\n@pytest.mark.xfail(strict=True)\ndef test_a(): pass\n", ""),
    "every descriptor is closed": ("import os\ndef test_a(): os.closerange(3, 4096)\n", ""),
    "a subtest fails": ("def test_a(subtests):\n    with subtests.test('x'): assert False\n", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", PYTEST_ACCIDENTS)
def test_an_accident_is_no_pass(name: str, tmp_path: Path) -> None:
    test, conftest = PYTEST_ACCIDENTS[name]
    with pytest.raises(Fault) as caught:
        check(tmp_path, {"test_a.py": test, **({"conftest.py": conftest} if conftest else {})})
    assert caught.value.code == ("check-empty" if "loop" in name else "check-failed")


UNITTEST_ACCIDENTS = {
    "a module exits": "import sys\nsys.exit(0)\n",
    "a module ends the process": "import os\nos._exit(0)\n",
    "a test exits": "import unittest\nclass A(unittest.TestCase):\n    def test_a(self): raise SystemExit(0)\n",
    "a test ends the process": "import os, unittest\nclass A(unittest.TestCase):\n    def test_a(self): os._exit(0)\n",
    "a test stops the run": (
        "import unittest\nclass A(unittest.TestCase):\n    def run(self, result):\n        super().run(result)\n        result.stop()\n"
        "    def test_a(self): pass\n    def test_b(self): pass\n"),
    "a success is not expected": (
        "import unittest\nclass A(unittest.TestCase):\n    @unittest.expectedFailure\n    def test_a(self): pass\n"
        "    def test_b(self): pass\n"),
    "a subtest fails": (
        "import unittest\nclass A(unittest.TestCase):\n    def test_a(self):\n        with self.subTest(): self.fail()\n"
        "    def test_b(self): pass\n"),
    "a class is not set up": (
        "import unittest\nclass A(unittest.TestCase):\n    @classmethod\n    def setUpClass(cls): 1 / 0\n    def test_a(self): pass\n"
        "class B(unittest.TestCase):\n    def test_b(self): pass\n"),
    "load_tests exits": "import sys\ndef load_tests(*_): sys.exit(0)\n",
    "it is interrupted": "import unittest\nclass A(unittest.TestCase):\n    def test_a(self): raise KeyboardInterrupt\n",
    "a module is no Python": "def\n",
}  # fmt: skip


@pytest.mark.parametrize("name", UNITTEST_ACCIDENTS)
def test_an_accident_is_no_pass_of_unittest(name: str, tmp_path: Path) -> None:
    fault(tmp_path, {"test_a.py": UNITTEST_ACCIDENTS[name]}, "unittest")


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"handler.py": "x = 1\n"}, "pytest"),
        ({"test_a.py": "x = 1\n"}, "pytest"),
        ({"test_a.py": PASSES}, "pytest -k other"),
        ({"test_a.py": "import pytest\n@pytest.mark.skip\ndef test_a(): pass\n"}, "pytest"),
        ({"test_a.py": "import pytest\npytest.skip('all', allow_module_level=True)\n"}, "pytest"),
        ({"test_a.py": "import pytest\n@pytest.mark.xfail\ndef test_a(): assert 0\n"}, "pytest"),
        ({"test_a.py": PASSES, "pytest.ini": "[pytest]\naddopts = --collect-only\n"}, "pytest"),
        ({"test_a.py": PASSES, "pytest.ini": "[pytest]\naddopts = --setup-plan\n"}, "pytest"),
        ({"test_a.py": PASSES, "pytest.ini": "[pytest]\npython_files = check_*.py\n"}, "pytest"),
        ({"test_a.py": PASSES, "conftest.py": "def pytest_collection_modifyitems(items): items.clear()\n"}, "pytest"),
        ({"test_a.py": PASSES, "conftest.py": "collect_ignore = ['test_a.py']\n"}, "pytest"),
        ({"package/test_a.py": PASSES}, "pytest"),
        ({"handler.py": "x = 1\n"}, "unittest"),
        ({"tests/test_a.py": UNITTEST.format(1)}, "unittest"),
        ({"test_a.py": UNITTEST.format(1)}, "unittest -k other"),
        ({"test_a.py": UNITTEST.format(1).replace("    def", "    @unittest.skip('x')\n    def")}, "unittest"),
        ({"test_a.py": "def load_tests(*_):\n    import unittest\n    return unittest.TestSuite()\n"}, "unittest"),
    ],
    ids=range(17),
)
def test_a_gate_that_tests_nothing_does_not_pass(files: dict[str, str], command: str, tmp_path: Path) -> None:
    found = fault(tmp_path, files, command, "check-empty")
    assert "take gate.test out" in found.message


@pytest.mark.parametrize("addopts", ["--help", "--fixtures", "--markers", "--no-such-option", "--cov=src"])
def test_settings_that_have_it_do_something_else_are_no_pass(addopts: str, tmp_path: Path) -> None:
    with pytest.raises(Fault):
        check(tmp_path, {"test_a.py": PASSES, "pytest.ini": f"[pytest]\naddopts = {addopts}\n"})


def test_the_author_s_settings_count(tmp_path: Path) -> None:
    settings = "[tool.pytest.ini_options]\nstrict = true\ncache_dir = 'elsewhere'\ntestpaths = ['checks']\npython_functions = 'check_*'\n"
    settings += "filterwarnings = ['error']\naddopts = '--lf --color=yes'\n"
    files = {
        "pyproject.toml": settings,
        "checks/test_a.py": "def check_a(cache): cache.set('a', 1)\n",
        "test_b.py": FAILS,
    }
    passed = check(tmp_path, files, "pytest")
    assert passed.summary == "1 passed" and "\x1b" not in passed.output
    assert not (tmp_path / "fn" / "src" / "elsewhere").exists()


def test_a_conftest_and_fixtures_count(tmp_path: Path) -> None:
    conftest = "import pytest\n@pytest.fixture\ndef answer(): return 42\n"
    files = {"tests/conftest.py": conftest, "tests/test_a.py": "def test_a(answer): assert answer == 42\n"}
    assert check(tmp_path, files).summary == "1 passed"


def test_nothing_is_written_into_the_bundle(tmp_path: Path) -> None:
    files = {
        "handler.py": "def handle(): return 1\n",
        "test_a.py": "import handler\n" + PASSES,
        "test_b.py": UNITTEST.format(1),
    }
    check(tmp_path, files, "pytest")
    check(tmp_path, files, "unittest")
    found = sorted(path.relative_to(tmp_path / "fn").as_posix() for path in (tmp_path / "fn").rglob("*"))
    assert found == ["src", "src/handler.py", "src/test_a.py", "src/test_b.py"]


def test_a_test_has_plain_values_and_nothing_of_the_server_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVERS_OWN", "x")
    test = """
        import os, sys
        def test_a(tmp_path, request):
            assert os.environ["REGION"] == "north" and os.environ["EMPTY"] == "" and "SERVERS_OWN" not in os.environ
            assert os.environ["HOME"] == os.environ["TMPDIR"] and str(tmp_path).startswith(os.environ["HOME"])
            assert not [name for name in os.environ if name.startswith("PYTEST_") and name not in ("PYTEST_CURRENT_TEST", "PYTEST_VERSION")]
            assert os.getcwd() == str(request.config.rootpath) == sys.path[0]
            assert os.read(0, 1) == b""
        """
    environment = [
        ("REGION", "north"),
        ("EMPTY", ""),
        ("PYTEST_ADDOPTS", "--co"),
        ("PYTEST_PLUGINS", "nothing"),
        ("PYTHONPATH", "/x"),
    ]
    assert check(tmp_path, {"test_a.py": textwrap.dedent(test)}, environment=environment).summary == "1 passed"


def test_a_child_s_environment_does_not_reach_back(tmp_path: Path) -> None:
    test = "import subprocess, sys\ndef test_a(): subprocess.run([sys.executable, '-c', 'print(1)'], check=True)\n"
    assert check(tmp_path, {"test_a.py": test}).summary == "1 passed"


def test_a_check_ends_at_its_time(tmp_path: Path) -> None:
    begin = time.monotonic()
    found = fault(tmp_path, {"test_a.py": "import time\ndef test_a():\n    print('begun', flush=True)\n    time.sleep(60)\n"},
                  "pytest -s", "check-timeout", seconds=1)  # fmt: skip
    assert time.monotonic() - begin < 10
    assert "begun" in found.body


@pytest.mark.parametrize("stopped", ["os.kill(os.getpid(), signal.SIGSTOP)", "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65)); os.read(os.pipe()[0], 1)"])  # fmt: skip
def test_what_takes_no_signal_ends_at_its_time_too(stopped: str, tmp_path: Path) -> None:
    fault(
        tmp_path, {"test_a.py": f"import os, signal\ndef test_a():\n    {stopped}\n"}, code="check-timeout", seconds=1
    )


def test_a_flood_of_output_is_kept_in_bounds(tmp_path: Path) -> None:
    flood = "import os\ndef test_a():\n    for _ in range(2000): os.write(1, b'x' * 65535 + b'\\n')\n"
    passed = check(tmp_path, {"test_a.py": flood}, "pytest -s")
    assert "bytes are left out here" in passed.output and len(passed.output.encode()) <= 65_536
    assert passed.output.rstrip().endswith("===") and "1 passed" in passed.output


def test_a_flood_without_end_ends_at_its_time(tmp_path: Path) -> None:
    flood = "import os\ndef test_a():\n    while True: os.write(1, b'x' * 65536)\n"
    found = fault(tmp_path, {"test_a.py": flood}, "pytest -s", "check-timeout", seconds=1)
    assert len(found.body.encode()) <= 65_536


@pytest.mark.parametrize("keeps", ["", ", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL"])
def test_a_child_that_stays_keeps_nobody_and_is_ended(keeps: str, tmp_path: Path) -> None:
    test = f"""
        import pathlib, subprocess
        def test_a():
            child = subprocess.Popen(["sleep", "300"]{keeps})
            pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(child.pid))
        """
    begin = time.monotonic()
    assert check(tmp_path, {"test_a.py": textwrap.dedent(test)}).summary == "1 passed"
    assert time.monotonic() - begin < 20
    deadline = time.monotonic() + 5
    while _runs(int((tmp_path / "pid").read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_thread_that_stays_keeps_nobody(tmp_path: Path) -> None:
    test = "import threading, time\ndef test_a(): threading.Thread(target=time.sleep, args=(300,)).start()\n"
    begin = time.monotonic()
    assert check(tmp_path, {"test_a.py": test}).summary == "1 passed"
    assert time.monotonic() - begin < 20


def test_what_looks_like_a_report_or_a_frame_in_the_output_is_output(tmp_path: Path) -> None:
    forged = (
        'import os\nos.write(1, b\'\\0\\0\\0\\0\\x8a\' + bytes(11))\nos.write(2, b\'{"nonce": "", "status": 0}\')\n'
    )
    found = fault(tmp_path, {"test_a.py": forged + FAILS}, "pytest -s")
    assert '{"nonce"' in found.body


def test_what_is_written_to_every_descriptor_is_no_report(tmp_path: Path) -> None:
    forged = """
        import os
        REPORT = b'{"status": 0, "finish": 0, "complete": true, "passed": 1, "failed": 0, "skipped": 0, "unloaded": 0}'
        for number in range(3, 1024):
            try:
                os.write(number, REPORT)
            except OSError:
                pass
        os._exit(0)
        """
    fault(tmp_path, {"test_a.py": textwrap.dedent(forged)})


def test_what_a_test_puts_in_the_place_of_the_standard_library_does_not_matter(tmp_path: Path) -> None:
    test = "import os\ndef test_a():\n    os.write = os._exit = lambda *_: 1 / 0\n"
    assert check(tmp_path, {"test_a.py": test}).summary == "1 passed"
    assert "1 of 2 tests failed" in fault(tmp_path, {"test_a.py": test + FAILS}).message


def test_a_report_is_said_by_the_process_that_was_started_alone(tmp_path: Path) -> None:
    test = "import os\ndef test_a():\n    if os.fork() == 0: return\n    os.wait()\n"
    assert check(tmp_path, {"test_a.py": test}).summary == "1 passed"


def test_signals_are_as_an_interpreter_has_them(tmp_path: Path) -> None:
    test = "import signal\ndef test_a():\n    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
    test += "    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN and not signal.pthread_sigmask(signal.SIG_BLOCK, [])\n"
    assert check(tmp_path, {"test_a.py": test}).summary == "1 passed"


def test_signal_numbers_are_named_in_the_fault(tmp_path: Path) -> None:
    found = fault(tmp_path, {"test_a.py": "import os\ndef test_a(): os.kill(os.getpid(), 9)\n"})
    assert f"signal {int(signal.SIGKILL)}" in found.message


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (ProcessLookupError, FileNotFoundError):
        return False
