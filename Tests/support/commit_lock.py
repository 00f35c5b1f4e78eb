"""Keeps every commit of a server's queue back, so that it can be killed before one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Waits for a line, takes the right to write, and keeps it: no commit of the server's gets through.
LOCK = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
sys.stdin.readline()
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(60)
"""


class CommitLock:
    """A process of its own, so that it goes as the server does, and leaves the database as that left it."""

    def __init__(self, data: Path) -> None:
        command = [sys.executable, "-I", "-c", LOCK, str(data / "server" / "queue.db")]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def take(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("now\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "held\n"

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()
