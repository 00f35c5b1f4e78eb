"""The files of a project that are looked at: plain ones below its root, by name. Links are never followed."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from casemate_gate.projects.tree import Unreadable

MOST_FILES: Final = 50_000
LARGEST: Final = 1 << 20
DEEPEST: Final = 32
_SKIPPED: Final = frozenset(
    (
        ".git",
        ".hg",
        ".svn",
        ".venv",
        "node_modules",
        "__pycache__",
        ".terraform",
        ".serverless",
        ".tox",
        "site-packages",
    )
)


@dataclass(frozen=True, slots=True)
class File:
    path: Path
    shown: str
    """Relative to the project, with `/`."""

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def folders(self) -> list[str]:
        return self.shown.split("/")[:-1]

    def content(self) -> bytes:
        """Raises `Unreadable` for what is no plain file any more, or too large."""
        try:
            # Between listing and opening it may have become a link or a pipe.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            raise Unreadable("this file can't be opened") from None
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Unreadable("this is no plain file")
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise Unreadable("this file is larger than 1 MiB")
        return content

    def text(self) -> str:
        content = self.content()
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise Unreadable("this file is not UTF-8", content.count(b"\n", 0, error.start) + 1) from None


def below(root: Path) -> Iterator[File]:
    """Sorted. Raises `Unreadable` when there are more than anybody looks at."""
    if not root.is_dir():
        yield File(root, root.name)
        return
    count = 0
    open_ = [(root, "")]
    while open_:
        folder, prefix = open_.pop()
        entries = _entries(folder)
        count += len(entries)
        if count > MOST_FILES:
            raise Unreadable(f"this project has more than {MOST_FILES} files: the rest was not looked at")
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                yield File(Path(entry.path), prefix + entry.name)
        folders = [entry for entry in entries if entry.is_dir(follow_symlinks=False) and entry.name not in _SKIPPED]
        if folders and prefix.count("/") >= DEEPEST:
            raise Unreadable(f"this project has folders more than {DEEPEST} levels deep: they were not looked at")
        is_environment = any(entry.name == "pyvenv.cfg" for entry in entries)
        open_ += [(Path(entry.path), f"{prefix}{entry.name}/") for entry in reversed(folders) if not is_environment]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            entries = []
            for entry in found:
                entries.append(entry)
                if len(entries) > MOST_FILES:
                    break
    except OSError:
        raise Unreadable(f"the folder {folder.name} can't be opened") from None
    return sorted(entries, key=lambda entry: entry.name)


def is_ignored(root: Path, file: File) -> bool:
    """Whether a .gitignore names the file, by itself or by its ending: then it is in no commit."""
    folder, parts = root, file.shown.split("/")
    for depth in range(len(parts)):
        try:
            rules = File(folder / ".gitignore", ".gitignore").text().splitlines()
        except Unreadable:
            rules = []
        below_here = "/".join(parts[depth:])
        is_listed = False
        for rule in (line.strip() for line in rules[:1000]):
            pattern = rule.removeprefix("!").removeprefix("**/")
            if pattern and not pattern.startswith("#"):
                anchored = pattern.startswith("/") or "/" in pattern[:-1]
                against = below_here if anchored else parts[-1]
                if fnmatch.fnmatchcase(against, pattern.removeprefix("/")):
                    is_listed = not rule.startswith("!")
        if is_listed:
            return True
        folder /= parts[depth]
    return False
