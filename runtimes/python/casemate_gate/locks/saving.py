"""Replaces files of a source: all of them, or none."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from casemate_gate.problems import Problem


class Files:
    """The files of a folder, as they were when they were read first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, bytes | None] = {}

    def read(self, name: str) -> bytes | None:
        """`None`: there is no such file."""
        if name not in self._read:
            self._read[name] = self._content(name)
        return self._read[name]

    def replace(self, contents: Mapping[str, bytes]) -> None:
        """Files that were read. Raises a `Problem`, after which all are as they were."""
        made: dict[str, Path] = {}
        done: list[str] = []
        try:
            for name, content in contents.items():
                made[name] = self._beside(name, content)
            for name in contents:
                if self._content(name) != self._read[name]:
                    raise Problem(f"{name} was changed by somebody else meanwhile; try again")
            for name, file in made.items():
                os.replace(file, self._place(name))
                done.append(name)
        except BaseException as error:
            self._undo(done)
            if isinstance(error, OSError):
                raise Problem(f"the files can't be written: {error.strerror}; all are as they were") from None
            raise
        finally:
            for file in made.values():
                file.unlink(missing_ok=True)

    def _undo(self, done: list[str]) -> None:
        for name in done:
            before = self._read[name]
            if before is None:
                self._place(name).unlink(missing_ok=True)
            else:
                os.replace(self._beside(name, before), self._place(name))

    def _content(self, name: str) -> bytes | None:
        try:
            return self._place(name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Problem(f"{name} can't be read: {error.strerror}") from None

    def _beside(self, name: str, content: bytes) -> Path:
        """A new file with the content, and with the rights of the one that it will replace."""
        place = self._place(name)
        with tempfile.NamedTemporaryFile(dir=place.parent, prefix=f".{place.name}.", delete=False) as out:
            try:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
                os.chmod(out.name, stat.S_IMODE(place.stat().st_mode) if place.exists() else 0o644)
            except BaseException:
                os.unlink(out.name)
                raise
        return Path(out.name)

    def _place(self, name: str) -> Path:
        """Where a link leads, as long as that is inside the folder."""
        folder = self._folder.resolve()
        place = (folder / name).resolve()
        if not place.is_relative_to(folder):
            raise Problem(f"{name} is a link that leads out of the folder")
        return place
