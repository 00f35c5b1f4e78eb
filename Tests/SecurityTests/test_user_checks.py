"""An author's own checks: tests, types and lint that every deployment passes, in a sandbox that has nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from casemate_fixture import Server, Source, handler

GOOD = "def handle(data: object) -> int:\n    return 3\n"
TESTS = "from handler import handle\n\n\ndef test_three() -> None:\n    assert handle({}) == 3\n"


def source(**files: str) -> dict[str, str]:
    return {"handler.py": GOOD, "test_handler.py": TESTS} | {
        name.replace("__", "/") + ".py": text for name, text in files.items()
    }


def outcome(server: Server, name: str, files: Source, **gate: str) -> dict[str, Any]:
    tried = server.try_deploy("checked", name, files, {"signature": "cognite", "gate": gate})
    return tried.first


@pytest.mark.guarantee("AZR-16")
def test_AZR_16_what_passes_its_own_checks_is_deployed(server: Server) -> None:
    server.namespace("checked")
    first = outcome(server, "good", source(), test="pytest -q", type="mypy --strict", lint="ruff check")
    assert first["status"] == "deployed", first
    assert server.call("checked/good", body={}).json() == 3
    again = outcome(server, "good", source(), test="pytest -q", type="mypy --strict", lint="ruff check")
    assert again["status"] == "unchanged", again


BROKEN = {
    "a test that fails": (
        {"test": "pytest"},
        {"test_handler": TESTS.replace("== 3", "== 4")},
        "gate.test",
        "test_three",
    ),
    "a test that can't be collected": (
        {"test": "pytest"},
        {"test_handler": "import nothing_of_the_kind\n"},
        "gate.test",
        "nothing_of_the_kind",
    ),
    "no test at all": ({"test": "pytest"}, {"test_handler": "X = 1\n"}, "gate.test", ""),
    "a unittest that fails": (
        {"test": "unittest"},
        {
            "test_handler": (
                "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_it(self):\n        self.fail('so')\n"
            )
        },
        "gate.test",
        "test_it",
    ),
    "a wrong type": ({"type": "mypy"}, {"wrong": "X: int = 'text'\n"}, "gate.type", "wrong.py"),
    "what the lint says": ({"lint": "ruff"}, {"unused": "import os\n"}, "gate.lint", "F401"),
}


@pytest.mark.guarantee("AZR-16")
@pytest.mark.parametrize("what", BROKEN)
def test_AZR_16_what_fails_its_own_checks_is_not_and_the_old_revision_serves_on(server: Server, what: str) -> None:
    gate, files, named, said = BROKEN[what]
    server.namespace("checked")
    name = "f" + str(list(BROKEN).index(what))
    assert outcome(server, name, {"handler.py": GOOD})["status"] == "deployed"
    first = outcome(server, name, source(**files), **gate)
    assert (first["status"], first["stage"], first["problemType"]) == ("failed", "scan", "/problems/gate-failed"), first
    assert named in first["problem"] and said in first.get("output", ""), first
    assert first["diagnostics"][-1]["file"], first
    assert server.call(f"checked/{name}", body={}).json() == 3


PROBE = """
import os
import socket


def test_there_is_nothing_here():
    assert not [name for name in os.environ if "CASEMATE" in name or "SECRET" in name], dict(os.environ)
    assert os.environ["REGION"] == "north"
    try:
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    except OSError:
        pass
    else:
        raise AssertionError("there is a network")
    for path in ("/var/lib/casemate", "/run/casemate", "/root", "/home"):
        try:
            assert not os.listdir(path), path
        except OSError:
            pass
    try:
        open("/fn/left", "w")
    except OSError:
        pass
    else:
        raise AssertionError("the bundle can be written")
"""


@pytest.mark.guarantee("AZR-16")
def test_AZR_16_checks_run_where_there_is_no_secret_no_network_and_nothing_of_the_host(server: Server) -> None:
    server.namespace("checked")
    server.deploy("checked", "probe", handler(GOOD), {"signature": "cognite"})
    server.secret("checked/probe", "SECRET_KEY", "a-value-that-nobody-sees-7")
    tried = server.try_deploy(
        "checked",
        "probe",
        source(test_handler=PROBE),
        {
            "signature": "cognite",
            "gate": {"test": "pytest"},
            "env": {"REGION": "north"},
            "secrets": ["SECRET_KEY"],
        },
    )
    assert tried.first["status"] == "deployed", tried.said


HOSTILE = {
    "ends its process": "import os\n\n\ndef test_it():\n    os._exit(0)\n",
    "ends before it begins": "import sys\n\nsys.exit(0)\n",
    "never ends with its children": (
        "import subprocess, sys\n\n\ndef test_it():\n"
        "    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n    raise AssertionError\n"
    ),
    "takes all memory": "def test_it():\n    b = bytearray(3 << 30)\n    assert len(b) == 0\n",
    "forks without end": "import os\n\n\ndef test_it():\n    while True:\n        os.fork()\n",
}


@pytest.mark.case("X3")
@pytest.mark.guarantee("AZR-16")
@pytest.mark.parametrize("what", HOSTILE)
def test_X3_AZR_16_a_check_that_misbehaves_has_not_passed(server: Server, what: str) -> None:
    server.namespace("checked")
    first = outcome(server, "h" + str(list(HOSTILE).index(what)), source(test_handler=HOSTILE[what]), test="pytest -x")
    assert (first["status"], first["problemType"]) == ("failed", "/problems/gate-failed"), first
    assert first["milliseconds"] < 150_000
    assert server.api("GET", "/v1/status").status == 200


WRONG = {
    "no tool": {"test": "make test"},
    "another kind's tool": {"type": "pytest"},
    "a shell": {"test": "pytest; id"},
    "a plugin": {"test": "pytest -p evil"},
    "another root": {"test": "pytest --rootdir=/"},
    "a place outside": {"test": "pytest ../../etc"},
    "a file to write": {"test": "pytest --junitxml=/tmp/x"},
    "an open quote": {"test": "pytest -k 'a"},
    "nothing": {"lint": ""},
}


@pytest.mark.parametrize("what", WRONG)
def test_what_a_check_must_not_be_told_is_refused_before_it_runs(server: Server, what: str) -> None:
    server.namespace("checked")
    tried = server.try_deploy("checked", "wrong", source(), {"signature": "cognite", "gate": WRONG[what]})
    assert tried.code != 0 and "gate" in tried.said, tried.said
    assert "passed" not in tried.said
