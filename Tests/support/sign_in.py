"""People who sign in with the command line, each in a home of their own."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from casemate_fixture import Answer, Server, binary, clean_environment
from identity_provider import SignInProvider


@dataclass
class Home:
    """A person's machine: what the command line keeps there, and the browser."""

    server: Server
    provider: SignInProvider
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "casemate" / "sign-in.json"

    def environment(self, **more: str) -> dict[str, str]:
        return clean_environment(
            CASEMATE_CONFIG=str(self.folder / "casemate" / "config.yaml"), HOME=str(self.folder), **more
        )

    def cli(self, *arguments: str, input: str | None = None, **more: str) -> tuple[int, str, str]:
        ended = subprocess.run(
            [str(binary()), *arguments], env=self.environment(**more), input=input or "", capture_output=True, text=True, timeout=60,
            check=False, cwd="/",
        )  # fmt: skip
        return ended.returncode, ended.stdout, ended.stderr

    def begin(self, *options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(binary()), "login", "--server", self.server.api_url, "--no-browser", *options], env=self.environment(),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/",
        )  # fmt: skip

    @staticmethod
    def address(process: subprocess.Popen[str]) -> str:
        """Where the browser is to go first."""
        assert process.stderr is not None
        while line := process.stderr.readline():
            if found := re.search(r"https?://\S+/authorize\?\S+", line):
                return found.group()
        raise AssertionError("no address was printed")

    def login(self, *options: str) -> tuple[int, str, str]:
        process = self.begin(*options)
        try:
            with urllib.request.urlopen(self.address(process), timeout=20) as page:
                assert b"You can close this window" in page.read()
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
        return process.returncode, out, err

    @property
    def key(self) -> str:
        return str(json.loads(self.file.read_text())["key"])

    def api(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        return self.server.api(method, path, body, key=self.key, **more)

    def call(self, function: str, **more: Any) -> Answer:
        return self.server.call(function, key=self.key, **more)

    def on_terminal(self, *arguments: str, answer: str) -> tuple[int, str]:
        """Runs with a terminal, and types `answer` when it is asked."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir("/")
            os.execve(str(binary()), [str(binary()), *arguments], self.environment(TERM="dumb"))
        said = b""
        typed = False
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if select.select([terminal], [], [], 0.5)[0]:
                try:
                    part = os.read(terminal, 65536)
                except OSError:
                    break
                if not part:
                    break
                said += part
            if not typed and b"[y/N]" in said:
                os.write(terminal, answer.encode() + b"\n")
                typed = True
        else:
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        os.close(terminal)
        return os.waitstatus_to_exitcode(status), said.decode()
