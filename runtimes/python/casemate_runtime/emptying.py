"""Removes all that is in a folder, whatever its names, modes and depth. For when nothing else runs beside us."""

from __future__ import annotations

import errno
import os
from itertools import count
from typing import Final

# The sandbox's file systems hold fewer entries than this.
_MOST: Final = 100_000


class NotEmptied(Exception):
    """Something of a call would be left to the next one."""


def empty(folder: str, most: int = _MOST) -> None:
    """`most`: entries. Raises `NotEmptied`."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    names = count()
    try:
        top = os.open(folder, flags)
        try:
            while entries := _entries(top):
                for name, is_folder in entries:
                    most -= 1
                    if most < 0:
                        raise NotEmptied(f"{folder}: more entries than the sandbox allows")
                    if not is_folder:
                        os.unlink(name, dir_fd=top)
                        continue
                    os.chmod(name, 0o700, dir_fd=top)
                    inner = os.open(name, flags, dir_fd=top)
                    try:
                        _lift(inner, top, names)
                    finally:
                        os.close(inner)
                    os.rmdir(name, dir_fd=top)
        finally:
            os.close(top)
    except OSError as error:
        raise NotEmptied(f"{folder}: {error.strerror}") from None


def _lift(inner: int, top: int, names: count[int]) -> None:
    """Empties a folder: its own folders move to the top. So no depth costs us descriptors, stack or a path too long."""
    for name, is_folder in _entries(inner):
        if not is_folder:
            os.unlink(name, dir_fd=inner)
            continue
        os.chmod(name, 0o700, dir_fd=inner)  # a folder that moves is written to: its ".." changes
        while True:
            try:
                os.rename(name, str(next(names)), src_dir_fd=inner, dst_dir_fd=top)
                break
            except (FileExistsError, NotADirectoryError):  # taken
                continue
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise


def _entries(folder: int) -> list[tuple[str, bool]]:
    with os.scandir(folder) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
