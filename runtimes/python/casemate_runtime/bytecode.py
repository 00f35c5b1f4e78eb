"""Byte code for a whole bundle, made once, so that no cold start compiles. It is trusted unchecked: bundles don't change."""

from __future__ import annotations

import os
import py_compile
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

# Below this the processes cost more than they save.
_SHARE_FROM: Final = 200
_MOST_WORKERS: Final = 4
_TAG: Final = sys.implementation.cache_tag


class Mistake(NamedTuple):
    """`file` is relative to the compiled folder."""

    file: str
    line: int | None
    message: str


def compile_folder(folder: Path, shown_as: str, all_again: bool = True) -> list[Mistake]:
    """Compiles every source, or those without byte code; tracebacks will say `shown_as` and not the folder of the build.
    Answers what didn't compile."""
    files = sorted(_sources(folder, all_again))
    tasks = [(str(folder / file), f"{shown_as}/{file}", file) for file in files]
    workers = min(_MOST_WORKERS, len(os.sched_getaffinity(0)))
    if len(tasks) >= _SHARE_FROM and workers > 1:
        try:
            with ProcessPoolExecutor(workers) as pool:
                results = list(pool.map(_compile, tasks, chunksize=32))
            return [mistake for mistake in results if mistake]
        except OSError:  # no shared memory in this sandbox
            pass
    return [mistake for mistake in map(_compile, tasks) if mistake]


def _sources(folder: Path, all_again: bool) -> Iterator[str]:
    for path, folders, names in os.walk(folder):
        relative = os.path.relpath(path, folder)
        compiled = set(os.listdir(f"{path}/__pycache__")) if "__pycache__" in folders and not all_again else ()
        for name in names:
            if name.endswith(".py") and f"{name[:-3]}.{_TAG}.pyc" not in compiled:
                yield name if relative == "." else f"{relative}/{name}"


def _compile(task: tuple[str, str, str]) -> Mistake | None:
    path, shown_as, file = task
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            py_compile.compile(
                path, dfile=shown_as, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
            )
    except py_compile.PyCompileError as error:
        cause = error.exc_value
        if isinstance(cause, SyntaxError):
            return Mistake(file, cause.lineno, cause.msg)
        return Mistake(file, None, f"{type(cause).__name__}: {cause}")
    except (MemoryError, RecursionError, ValueError) as error:  # nested too deeply; a NUL in the source
        return Mistake(file, None, str(error) or type(error).__name__)
    return None
