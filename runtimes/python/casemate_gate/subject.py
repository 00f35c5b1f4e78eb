"""What a scan looks at: the files of a source and of its installed dependencies, found without following a link."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

MOST_FILES: Final = 100_000
DEEPEST: Final = 64
LARGEST_TEXT: Final = 64 << 20
VENDORED: Final = "package/"
"""Where other people's code lies in a source: packages vendored for Scaleway."""
DEPENDENCIES: Final = "deps/"

_NEVER_IN_A_PROJECT: Final = frozenset({".git", ".venv", "venv", "node_modules", "__pycache__", ".tox", ".mypy_cache"})


class Unreadable(Exception):
    """A check could not see all that it should have seen. `file` is as a finding names it. `content`: what it did have before it,
    so that a waiver is for that alone."""

    def __init__(self, file: str, why: str, content: bytes | None = None) -> None:
        super().__init__(f"{file}: {why}")
        self.file = file
        self.why = why
        self.digest = None if content is None else hashlib.sha256(content).hexdigest()

    def of(self, content: bytes) -> Unreadable:
        return self if self.digest else Unreadable(self.file, self.why, content)


@dataclass(frozen=True, slots=True)
class File:
    """`name` is as its author knows it: relative to the source, `deps/…` for what is installed."""

    path: str
    name: str
    size: int
    is_vendored: bool = False
    """Other people's code, whose author is not asked to mend it."""

    @property
    def is_dependency(self) -> bool:
        return self.is_vendored and self.name.startswith(DEPENDENCIES)

    def read(self, at_most: int = LARGEST_TEXT) -> bytes:
        if self.size > at_most:
            raise Unreadable(self.name, f"it has {self.size} bytes; {at_most} can be searched")
        try:
            descriptor = self.open()
            try:
                content = os.read(descriptor, self.size + 1)
                while len(content) < self.size and (part := os.read(descriptor, self.size + 1 - len(content))):
                    content += part
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Unreadable(self.name, f"it can't be read: {error.strerror}") from None
        if len(content) != self.size:
            raise Unreadable(self.name, "it changed while it was read")
        return content

    def open(self) -> int:
        """A descriptor. Somebody's folder may change under a scan without a sandbox: no link is followed, no pipe waited for."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise Unreadable(self.name, "it is no regular file any more")
        return descriptor


@dataclass(frozen=True)
class Settings:
    nosec: bool = False
    """Whether `# nosec` and `pragma: allowlist secret` are honoured."""
    newest_days: int = 14
    max_dependencies: int = 100
    seconds: float = 60
    """What one check may take."""

    @classmethod
    def parse(cls, given: object) -> Settings:
        if given is None:
            return cls()
        if not isinstance(given, Mapping):
            raise ValueError("settings is no object")
        return cls(
            nosec=_typed(given, "nosec", bool, cls.nosec),
            newest_days=_typed(given, "newestDays", int, cls.newest_days),
            max_dependencies=_typed(given, "maxDependencies", int, cls.max_dependencies),
            seconds=min(600.0, max(1.0, float(_typed(given, "seconds", int, 60)))),
        )


def _typed(given: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = given.get(name, default)
    if type(value) is not kind:
        raise ValueError(f"settings.{name} is no {kind.__name__}")
    return value


@dataclass(frozen=True)
class Direct:
    """A requirement that somebody wrote down."""

    name: str
    file: str
    line: int | None


@dataclass
class Subject:
    source: Path
    dependencies: Path | None = None
    function: str = ""
    handler: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    secrets: tuple[bytes, ...] = ()
    """Each `name` NUL `value`."""
    direct: tuple[Direct, ...] | None = None
    """`None`: what the source's requirements.txt says."""
    first_uploads: Mapping[str, str] = field(default_factory=dict)
    from_source: frozenset[str] = frozenset()
    is_project: bool = False
    """A person's folder, not a bundle: version control and virtual environments in it are none of its content."""
    vendored: tuple[str, ...] = (VENDORED,)
    omitted: list[Unreadable] = field(default_factory=list)
    """What the walk could not reach."""

    @cached_property
    def files(self) -> list[File]:
        """The source's."""
        return self._walk(self.source, "")

    @cached_property
    def installed(self) -> list[File]:
        return self._walk(self.dependencies, DEPENDENCIES) if self.dependencies else []

    def file(self, name: str) -> File | None:
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, File]:
        return {file.name: file for file in (*self.files, *self.installed)}

    def _walk(self, root: Path, prefix: str) -> list[File]:
        found: list[File] = []
        # A folder of that name in a source is its author's like any other.
        foreign = (DEPENDENCIES,) if prefix else self.vendored
        folders: list[tuple[str, str, int]] = [(os.fspath(root), prefix, 0)]
        while folders:
            path, shown, depth = folders.pop()
            try:
                entries = sorted(os.scandir(path), key=lambda entry: entry.name)
            except OSError as error:
                if depth or not isinstance(error, FileNotFoundError):
                    self.omitted.append(Unreadable(shown or ".", f"the folder can't be read: {error.strerror}"))
                continue
            for entry in entries:
                name = shown + display(entry.name)
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if self._enters(entry.name):
                            if depth >= DEEPEST:
                                self.omitted.append(Unreadable(name, f"folders are nested deeper than {DEEPEST}"))
                            else:
                                folders.append((entry.path, f"{name}/", depth + 1))
                    elif entry.is_file(follow_symlinks=False):
                        size = entry.stat(follow_symlinks=False).st_size
                        found.append(File(entry.path, name, size, name.startswith(foreign)))
                except OSError as error:
                    self.omitted.append(Unreadable(name, f"it can't be read: {error.strerror}"))
                if len(found) > MOST_FILES:
                    self.omitted.append(Unreadable(prefix or ".", f"it has more than {MOST_FILES} files"))
                    return found
        found.sort(key=lambda file: file.name)
        return found

    def _enters(self, entry: str) -> bool:
        return not self.is_project or entry not in _NEVER_IN_A_PROJECT


def display(name: str) -> str:
    """A name on disk may hold bytes that are no UTF-8, which Python keeps as surrogates."""
    return name if name.isascii() else name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def source_of(name: str) -> str:
    """`a/__pycache__/b.cpython-311.pyc` was made of `a/b.py`; anything else is its own source."""
    if not name.endswith(".pyc"):
        return name
    folder, _, file = name.rpartition("/")
    return f"{folder.removesuffix('__pycache__')}{file.split('.')[0]}.py"
