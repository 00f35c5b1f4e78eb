"""What the command line chose, how much of everything is measured, and what a group of goals is given."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from casemate_bench.table import Row

BENCHMARKS = Path(__file__).resolve().parent.parent
ROOT = BENCHMARKS.parent
WORK = BENCHMARKS / "work"
RESULTS = BENCHMARKS / "results"
PEER_APPS = Path(__file__).resolve().parent / "peer_apps"


class NotMeasured(Exception):
    """A goal that can't be measured here or with this binary. The message is the reason."""


class Wrong(Exception):
    """A body was not what it had to be, or something failed that must not. The run ends with exit 1."""


@dataclass
class Options:
    """Counts. `quick()` has small ones, for a look at whether everything works."""

    rounds: int = 3
    seconds: int = 3
    cold: int = 100
    timed: int = 30
    empty: int = 20
    burst: int = 32
    idle_functions: int = 50
    warm_functions: int = 200
    deployed: int = 1000
    deployed_base: int = 100
    idle_seconds: float = 20
    direct_calls: int = 2000
    large_calls: int = 60
    sealed: int = 10_000
    wakes: int = 5
    queued: int = 10_000
    schedules: int = 10_000
    kept_calls: int = 1_000_000

    def quick(self) -> None:
        self.rounds, self.seconds = 2, 1
        self.cold, self.timed, self.empty, self.burst = 8, 5, 3, 8
        self.idle_functions, self.warm_functions = 5, 10
        self.deployed, self.deployed_base, self.idle_seconds = 30, 10, 5
        self.direct_calls, self.large_calls, self.wakes, self.sealed = 200, 10, 1, 100
        self.queued, self.schedules, self.kept_calls = 200, 100, 10_000


@dataclass
class Bench:
    """Handed to every group of goals."""

    options: Options
    binary: Path
    wanted: set[str]
    quiet: bool = False
    rows: list[Row] = field(default_factory=list)
    details: dict[str, object] = field(default_factory=dict)

    def wants(self, *ids: str) -> bool:
        return any(identity in self.wanted for identity in ids)

    def say(self, text: str) -> None:
        """Progress. It goes to standard error, so that standard output is the result."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def add(self, row: Row) -> None:
        if row.identity.rstrip("abcdefgh") in self.wanted:
            self.rows.append(row)

    def keep(self, name: str, raw: object) -> None:
        """Raw numbers, for results/details.json."""
        self.details[name] = raw

    def libexec(self) -> Path:
        """Where the runtime's files are that this binary uses; it looks in the same places."""
        told = os.environ.get("CASEMATE_LIBEXEC")
        places = [Path(told)] if told else [self.binary.parent.parent / "lib/casemate", *self.binary.parents]
        for folder in places:
            if (folder / "runtimes/python/casemate_runtime/bootstrap.py").exists():
                return folder
        raise NotMeasured(f"{self.binary}: the runtime's files were not found")


@dataclass(frozen=True)
class Group:
    """Goals that are measured together."""

    ids: tuple[str, ...]
    title: str
    run: Callable[[Bench], None]
