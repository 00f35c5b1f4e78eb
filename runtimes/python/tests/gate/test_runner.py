"""Checks side by side: one that dies, hangs or talks too much is said, and harms no other."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from casemate_gate.components import Inventory
from casemate_gate.findings import Finding, Severity
from casemate_gate.problems import Problem
from casemate_gate.runner import MOST_FINDINGS, run
from casemate_gate.scan import checks_for
from casemate_gate.subject import Settings, Subject, Unreadable

from gate.support import Bundle

Make = Callable[..., Bundle]


class Made:
    def __init__(self, name: str, act: Callable[[], Any]) -> None:
        self.name = name
        self._act = act

    def examine(self, subject: Subject) -> Iterable[Finding]:
        for number in range(self._act() or 0):
            yield Finding(self.name, "r", Severity.LOW, f"f{number:05}", 1, "w", "f", "s")


def fail() -> None:
    raise ValueError("a secret value")


def unreadable() -> None:
    raise Unreadable("a.py", "gone")


def test_what_a_check_cannot_do_is_a_finding(bundle: Make) -> None:
    checks = [
        Made("good", lambda: 2),
        Made("dies", lambda: os.kill(os.getpid(), signal.SIGKILL)),
        Made("exits", lambda: os._exit(0)),
        Made("hangs", lambda: time.sleep(60)),
        Made("fails", fail),
        Made("blind", unreadable),
        Made("eats", lambda: len(bytes(8 << 30))),
        Made("after", lambda: 1),
    ]
    told: list[str] = []
    started = time.monotonic()
    subject = bundle({"a.py": ""}).subject(settings=Settings(seconds=1.5))
    findings = run(subject, checks, lambda check, count, milliseconds: told.append(check))
    assert time.monotonic() - started < 4
    assert sorted(item.check for item in findings if item.rule == "r") == ["after", "good", "good"]
    assert {item.check for item in findings if item.rule == "gate/incomplete"} == {
        "dies",
        "exits",
        "hangs",
        "fails",
        "blind",
        "eats",
    }
    assert "a secret value" not in str([item.as_json() for item in findings])
    assert sorted(told) == sorted(check.name for check in checks)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_findings_have_an_order_and_an_end(bundle: Make) -> None:
    findings = run(bundle({"a.py": ""}).subject(), [Made("much", lambda: MOST_FINDINGS + 500)])
    assert len(findings) == MOST_FINDINGS + 1
    assert [item.file for item in findings][:2] == [".", "f00000"]
    assert "500 more" in next(item.what for item in findings if item.rule == "gate/more")


def test_what_is_large_is_shared_and_reported_once(bundle: Make) -> None:
    value = "Tr0ub4dor&3-and-more"
    filler = "# filler\n" * 2000
    files = {f"m{number}.py": f"eval(1)\n{filler}x = {value!r}\n" for number in range(12)}
    files["deps/large.bin"] = "x" * (9 << 20)
    told: list[str] = []
    made = bundle(files)
    subject = made.subject(secrets=(b"n/KEY\0" + value.encode(),))
    checks = checks_for(subject, Inventory(subject))
    assert len(checks) > len({check.name for check in checks})
    findings = run(subject, checks, lambda check, count, milliseconds: told.append(f"{check} {count}"))
    assert sorted(told) == ["dependencies 0", "files 0", "own-secrets 12", "sast 12", "secrets 0"]
    assert len({item.file for item in findings if item.check == "own-secrets"}) == 12


def test_links_and_pipes_are_not_followed_and_names_may_be_anything(bundle: Make) -> None:
    made = bundle({"a.py": "eval(1)\n"})
    source = made.root / "src"
    (source / "link.py").symlink_to("/etc/passwd")
    (source / "folder").symlink_to("/etc")
    os.mkfifo(source / "pipe.py")
    with open(os.fsencode(source) + b"/\xff\xfe.py", "wb") as stream:
        stream.write(b"eval(1)\n")
    answer = made.scan()
    assert {item["file"] for item in answer["findings"]} == {"a.py", "\\xff\\xfe.py"}


def test_a_folder_too_deep_is_said(bundle: Make) -> None:
    findings = bundle({"d/" * 70 + "x.py": "eval(1)"}).scan()["findings"]
    assert [(item["check"], item["rule"]) for item in findings] == [("gate", "gate/incomplete")]


@pytest.mark.parametrize(
    "request_",
    [
        {"root": 1},
        {"root": "/nowhere"},
        {"environment": []},
        {"environment": {"a": 1}},
        {"settings": []},
        {"settings": {"nosec": "yes"}},
        {"settings": {"newestDays": True}},
        {"direct": "x"},
        {"direct": [1]},
        {"firstUploads": {"a": None}},
        {"fromSource": [{}]},
        {"source": "/tmp", "root": "/tmp"},
    ],
)
def test_a_request_of_wrong_types_is_a_problem(bundle: Make, request_: dict[str, Any]) -> None:
    with pytest.raises(Problem):
        bundle({"a.py": ""}).scan(**request_)
