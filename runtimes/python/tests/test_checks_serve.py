"""The process that a sandbox runs: warm before it is asked, one answer to each request, and nothing left between two."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from casemate_checks import serve as served
from casemate_checks.examine import Places, examine
from casemate_checks.request import Request
from casemate_runtime.faults import Fault, ProtocolError
from casemate_runtime.frames import SCAN, VERIFIED, VERIFY, encode_field
from checks_support import FAILS, PASSES, RUNTIME, TOOLS, Client, fields, places
from support import HEADER, receive

Start = Callable[[Mapping[str, str]], Client]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Client] = []

    def begin(files: Mapping[str, str]) -> Client:
        started.append(Client(tmp_path, files))
        return started[-1]

    yield begin
    for client in started:
        client.control.close()
        client.process.kill()
        client.process.communicate()


def test_three_checks_one_after_the_other(start: Start) -> None:
    client = start({"handler.py": "def handle() -> int:\n    return 1\n", "test_a.py": PASSES})
    for command, summary in (("pytest", b"1 passed"), ("mypy --strict", b"no errors"), ("ruff check", b"no faults")):
        answer = client.ask(command)
        assert (answer.status, answer.meta) == (0, summary) and answer.output
    assert client.end() == (0, "")


def test_a_failure_has_its_code_place_message_and_output(start: Start) -> None:
    client = start({"test_a.py": FAILS})
    answer = client.ask("pytest")
    assert answer.fault == ("check-failed", "test_a.py", "1", "1 of 1 tests failed, the first is test_a.py::test_fails; mend the code, or the test")  # fmt: skip
    assert "assert False" in answer.output
    assert client.ask("ruff").status == 0
    assert client.end() == (0, "")


@pytest.mark.parametrize("command", ["sh -c id", "pytest -p os", "pytest /etc", "ruff --fix", "mypy --install-types"])
def test_a_command_that_is_not_allowed_is_answered_and_not_run(command: str, start: Start) -> None:
    client = start({"test_a.py": PASSES})
    assert client.ask(command).fault[0] == "check-refused"
    assert client.ask("pytest").status == 0


def test_plain_values_are_in_the_environment(start: Start) -> None:
    client = start({"test_a.py": "import os\ndef test_a(): assert os.environ['REGION'] == 'north'\n"})
    assert client.ask("pytest", ("REGION", "north")).status == 0
    assert client.ask("pytest").status == 1


def test_nothing_of_a_check_is_there_at_the_next(start: Start) -> None:
    test = """
        import os, pathlib, subprocess, tempfile
        def test_a():
            folder = pathlib.Path(tempfile.gettempdir())
            assert not list(folder.glob("left*"))
            (folder / "left").mkdir(mode=0)
            (folder / "left-link").symlink_to("/etc")
            subprocess.Popen(["sleep", "301"], start_new_session=True)
        """
    client = start({"test_a.py": textwrap.dedent(test), "handler.py": "x = 1\n"})
    for _ in range(2):
        assert client.ask("pytest").status == 0
        assert client.ask("ruff handler.py").status == 0
        assert not _sleepers()
        assert not list(client.places.scratch.iterdir())


def test_what_a_test_leaves_in_a_session_of_its_own_is_ended_before_the_answer(start: Start) -> None:
    client = start(
        {"test_a.py": "import subprocess\ndef test_a(): subprocess.Popen(['sleep', '301'], start_new_session=True)\n"}
    )
    assert client.ask("pytest").status == 0
    assert not _sleepers()


def test_no_process_of_a_check_has_the_control_socket(start: Start) -> None:
    test = """
        import os, socket
        def sockets(process):
            names = [f"/proc/{process}/fd/{name}" for name in os.listdir(f"/proc/{process}/fd")]
            return [os.readlink(name) for name in names if os.path.islink(name) and os.readlink(name).startswith("socket:")]
        def test_a():
            assert not sockets("self")
        """
    client = start({"test_a.py": textwrap.dedent(test)})
    answer = client.ask("pytest -s")
    assert answer.status == 0, answer.output


@pytest.mark.parametrize("signal_name", ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"])
def test_who_ends_the_parent_gets_no_pass(signal_name: str, start: Start) -> None:
    """Inside a sandbox no signal reaches process 1; here it ends, and there is no answer."""
    client = start({"test_a.py": f"import os, signal, time\ndef test_a():\n    os.kill(os.getppid(), signal.{signal_name})\n    time.sleep(1)\n"})  # fmt: skip
    client.send(fields("pytest"))
    with pytest.raises((EOFError, ConnectionResetError)):
        client.answer()


def test_a_frame_that_is_forged_on_every_descriptor_is_no_answer(start: Start) -> None:
    forged = HEADER.pack(0, VERIFIED, 0, 0, 0, 7)
    test = f"import os\nfor number in range(1024):\n    try: os.write(number, {forged!r})\n    except OSError: pass\nos._exit(0)\n"
    client = start({"test_a.py": test})
    assert client.ask("pytest -s").fault[0] == "check-failed"


def test_the_number_of_the_call_comes_back(start: Start) -> None:
    client = start({"a.py": "x = 1\n"})
    for call in (1, 0xFFFF_FFFF):
        client.send(fields("ruff"), call=call)
        assert client.answer(call).status == 0


@pytest.mark.parametrize(
    ("meta", "body", "kind"),
    [
        (b"", b"", VERIFY),
        (b"x", b"", VERIFY),
        (fields("pytest"), b"{}", VERIFY),
        (fields("pytest"), b"", SCAN),
        (fields("pytest") + encode_field(4, b"KEY\0v"), b"", VERIFY),
        (fields("pytest", seconds=500), b"", VERIFY),
        (encode_field(21, b"test") + encode_field(22, b"\xff"), b"", VERIFY),
    ],
    ids=range(7),
)
def test_a_frame_of_another_form_ends_the_sandbox_without_an_answer(
    meta: bytes, body: bytes, kind: int, start: Start
) -> None:
    client = start({"test_a.py": PASSES})
    client.send(meta, body, kind)
    with pytest.raises((EOFError, ConnectionResetError)):
        client.answer()
    assert client.process.wait(10) == 70


def test_a_stream_that_ends_inside_a_frame_ends_it(start: Start) -> None:
    client = start({})
    client.control.sendall(HEADER.pack(0, VERIFY, 0, 0, 100, 1) + b"x")
    client.control.shutdown(socket.SHUT_WR)
    assert client.process.wait(10) == 70


def test_limits_that_a_test_puts_on_the_parent_end_it(start: Start) -> None:
    """What could make the next check another than this."""
    client = start({"test_a.py": "import os, resource\ndef test_a(): resource.prlimit(os.getppid(), resource.RLIMIT_FSIZE, (5000, 5000))\n"})  # fmt: skip
    client.send(fields("pytest"))
    try:
        client.answer()
    except (EOFError, ConnectionResetError):
        pass
    assert client.process.wait(10) == 70


def test_a_tool_that_is_not_there_is_the_administrator_s(tmp_path: Path) -> None:
    there = places(tmp_path, {"test_a.py": PASSES})
    empty = Places(there.bundle, tmp_path / "nothing", there.scratch)
    for command, words in (
        ("ruff", "could not be started"),
        ("pytest", "could not be loaded"),
        ("mypy", "could not be loaded"),
    ):
        with pytest.raises(Fault) as caught:
            examine(Request.read(memoryview(fields(command)), memoryview(b"")), empty)
        assert caught.value.code == "check-broken"
        assert words in caught.value.message and caught.value.message.endswith("; tell the administrator")


def test_what_no_rule_foresaw_is_answered_and_says_nothing_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("an inside")

    monkeypatch.setattr(served, "examine", fail)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        server = served.Server(theirs, Places(), renewal=lambda: None)
        meta = fields("pytest")
        server._serve((VERIFY, 3, memoryview(meta), memoryview(b"")))
        answer = receive(ours)
    assert (answer.kind, answer.status, answer.call, answer.body) == (VERIFIED, 1, 3, b"")
    assert answer.meta == b"check-broken\0\0\0the check could not be made (ValueError); tell the administrator"
    assert "an inside" in capfd.readouterr().err


def test_outside_a_sandbox_nothing_is_ended_or_emptied_unasked() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(RuntimeError):
        served.Server(theirs)


def test_a_server_s_fault_is_not_answered() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(ProtocolError):
        served.Server(theirs, Places(), renewal=lambda: None)._serve((SCAN, 1, memoryview(b""), memoryview(b"")))


def test_all_that_is_pinned_has_hashes_and_no_address() -> None:
    text = (RUNTIME / "checks-requirements.txt").read_text()
    pinned = [line for line in text.splitlines() if line and line[0].isalpha()]
    assert {"pytest", "mypy", "ruff"} <= {line.partition("==")[0] for line in pinned}
    assert all("==" in line and line.endswith("\\") for line in pinned)
    assert "://" not in text and text.isascii() and "--only-binary :all:" in text


def test_the_tools_are_those_that_are_pinned() -> None:
    text = (RUNTIME / "checks-requirements.txt").read_text()
    for name, version in re.findall(r"^([a-z-]+)==(\S+) ", text, re.MULTILINE):
        assert (TOOLS / f"{name.replace('-', '_')}-{version}.dist-info").is_dir()


def test_the_sandbox_is_that_of_a_scan_but_for_what_runs_in_it() -> None:
    """Extension modules of the function's packages are loaded in it, as in that of a call."""
    profiles = RUNTIME.parent / "profiles"
    ours = json.loads((profiles / "python3.11.check.json").read_text().replace("@UID@", "1").replace("@MEMORY@", "1").replace("@PIDS@", "1").replace("@CPU@", "1"))  # fmt: skip
    scan = json.loads((profiles / "python3.11.scan.json").read_text().replace("@UID@", "1").replace("@MEMORY@", "1").replace("@PIDS@", "1").replace("@CPU@", "1"))  # fmt: skip
    assert ours.pop("hostname") == "check" and scan.pop("hostname") == "gate"
    arguments = ours["process"].pop("args")
    assert arguments == ["/usr/bin/python3.11", "-I", "-S", "/opt/casemate/casemate_checks/bootstrap.py", "serve"]
    del scan["process"]["args"]
    bundle, scanned = (
        [mount for mount in profile["mounts"] if mount["destination"] == "/fn"] for profile in (ours, scan)
    )
    assert set(scanned[0]["options"]) - set(bundle[0]["options"]) == {"noexec"} and "ro" in bundle[0]["options"]
    scanned[0]["options"] = bundle[0]["options"]
    assert ours == scan


def _sleepers() -> list[int]:
    """After a moment, for who is killed ends by itself."""
    deadline = time.monotonic() + 5
    while True:
        found = [int(name) for name in os.listdir("/proc") if name.isdecimal() and _line(name) == b"sleep\x00301\x00"]
        if not found or time.monotonic() > deadline:
            for process in found:
                os.kill(process, signal.SIGKILL)
            return found
        time.sleep(0.02)


def _line(process: str) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""
