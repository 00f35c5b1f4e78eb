"""Takes a server's keys and database away, damages them, and puts them back."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from casemate_fixture import Server


def kek(server: Server) -> Path:
    return server.data / "server" / "kek"


def database(server: Server) -> Path:
    return server.data / "server" / "casemate.db"


def place(server: Server, path: Path, content: bytes, mode: int = 0o600) -> None:
    """Writes a file as the server's user has it."""
    owner = (server.data / "server").stat()
    path.write_bytes(content)
    path.chmod(mode)
    os.chown(path, owner.st_uid, owner.st_gid)


def refusal(server: Server, seconds: float = 20) -> str:
    """What a server says that does not start; empty for one that does, which is stopped again."""
    try:
        server.start(seconds)
    except AssertionError as error:
        if server.is_running():
            server.kill()
        return str(error).removeprefix("the server did not come up: ")
    server.stop()
    return ""


class Database:
    """The tables of a server that is stopped."""

    def __init__(self, server: Server) -> None:
        assert not server.is_running()
        self.file = database(server)
        self.owner = self.file.stat()

    def __enter__(self) -> Database:
        self.connection = sqlite3.connect(self.file)
        rows = self.connection.execute("SELECT name, id FROM functions")
        self.ids: dict[str, str] = dict(rows.fetchall())
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.commit()
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.connection.close()
        for file in self.file.parent.glob(self.file.name + "*"):
            os.chown(file, self.owner.st_uid, self.owner.st_gid)

    def sealed(self, function: str, name: str = "KEY") -> bytes:
        query = "SELECT sealed FROM secrets WHERE function_id = ? AND name = ?"
        found: bytes = self.connection.execute(query, (self.ids[function], name)).fetchone()[0]
        return found

    def former(self, function: str, name: str = "KEY") -> tuple[int, bytes]:
        query = "SELECT version, sealed FROM former_secrets WHERE function_id = ? AND name = ? ORDER BY version DESC"
        found: tuple[int, bytes] = self.connection.execute(query, (self.ids[function], name)).fetchone()
        return found

    def seal(self, function: str, sealed: bytes, name: str = "KEY") -> None:
        order = "UPDATE secrets SET sealed = ? WHERE function_id = ? AND name = ?"
        self.connection.execute(order, (sealed, self.ids[function], name))

    def wrapped(self, function: str) -> bytes:
        query = "SELECT wrapped_data_key FROM functions WHERE id = ?"
        found: bytes = self.connection.execute(query, (self.ids[function],)).fetchone()[0]
        return found

    def wrap(self, function: str, wrapped: bytes) -> None:
        self.connection.execute("UPDATE functions SET wrapped_data_key = ? WHERE id = ?", (wrapped, self.ids[function]))


def flipped(content: bytes, at: int) -> bytes:
    return bytes(byte ^ 1 if index == at % len(content) else byte for index, byte in enumerate(content))


class Copy:
    """The database as it is now, to be put back later."""

    def __init__(self, server: Server) -> None:
        self.server = server
        # All in one file.
        with Database(server):
            pass
        self.folder = server.folder / f"copy-{os.urandom(4).hex()}"
        self.folder.mkdir()
        for file in database(server).parent.glob("casemate.db*"):
            shutil.copy2(file, self.folder / file.name)

    def remove(self) -> None:
        for file in database(self.server).parent.glob("casemate.db*"):
            file.unlink()

    def put_back(self, change: Callable[[bytes], bytes] | None = None) -> None:
        self.remove()
        for file in self.folder.iterdir():
            content = file.read_bytes()
            place(self.server, database(self.server).parent / file.name, change(content) if change else content)
