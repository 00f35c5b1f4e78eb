"""Runs checks side by side, each in a process of its own with a deadline: what harms one ends that one, and is said."""

from __future__ import annotations

import json
import os
import resource
import selectors
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from casemate_gate.checks.check import Check
from casemate_gate.findings import Finding, Severity
from casemate_gate.subject import Subject, Unreadable

MOST_FINDINGS: Final = 1_000
MOST_AT_ONCE: Final = 4
_MEMORY: Final = 3 << 30
_LONGEST_ANSWER: Final = 64 << 20

Progress = Callable[[str, int, int], None]
"""Check, number of findings, milliseconds."""


@dataclass
class _Running:
    check: str
    process: int
    pipe: int
    started: float
    received: list[bytes] = field(default_factory=list)
    size: int = 0


class _Reports:
    """One for each check, when the last process of it has ended."""

    def __init__(self, checks: Sequence[Check], progress: Progress | None) -> None:
        self._parts = Counter(check.name for check in checks)
        self._found: Counter[str] = Counter()
        self._started: dict[str, float] = {}
        self._progress = progress

    def add(self, task: _Running, found: list[Finding]) -> None:
        self._found[task.check] += len(found)
        self._parts[task.check] -= 1
        started = min(task.started, self._started.setdefault(task.check, task.started))
        if self._progress and not self._parts[task.check]:
            self._progress(task.check, self._found[task.check], round((time.monotonic() - started) * 1000))


def run(subject: Subject, checks: Sequence[Check], progress: Progress | None = None) -> list[Finding]:
    """Worst first. What a check could not look at is among them."""
    _ = subject.files, subject.installed  # walked once, for all
    findings = [_unseen("gate", problem.file, problem.why) for problem in subject.omitted]
    waiting = deque(checks)
    reports = _Reports(checks, progress)
    running: dict[int, _Running] = {}
    most = min(MOST_AT_ONCE, len(os.sched_getaffinity(0)))
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or running:
                while waiting and len(running) < most:
                    task = _start(waiting.popleft(), subject)
                    running[task.pipe] = task
                    selector.register(task.pipe, selectors.EVENT_READ)
                deadline = min(task.started for task in running.values()) + subject.settings.seconds
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                for key, _ in ready:
                    task = running[key.fd]
                    if _receive(task):
                        continue
                    selector.unregister(task.pipe)
                    del running[task.pipe]
                    found = _finish(task, "its process ended before it was done")
                    findings += found
                    reports.add(task, found)
                for task in [task for task in running.values() if _is_late(task, subject.settings.seconds)]:
                    selector.unregister(task.pipe)
                    del running[task.pipe]
                    os.kill(task.process, signal.SIGKILL)
                    task.received.clear()
                    found = _finish(task, f"it took longer than {subject.settings.seconds:g} seconds")
                    findings += found
                    reports.add(task, found)
        finally:
            for task in running.values():  # only when we are ended ourselves
                os.kill(task.process, signal.SIGKILL)
                os.close(task.pipe)
                os.waitpid(task.process, 0)
    return in_order(findings)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda item: (-item.severity, item.file, item.line or 0, item.rule, item.subject))


def collect(check: Check, subject: Subject) -> list[Finding]:
    """In this process. At most a thousand, and one that says how many more there were."""
    kept: list[Finding] = []
    more = 0
    worst = Severity.LOW
    for finding in check.examine(subject):
        if len(kept) < MOST_FINDINGS:
            kept.append(finding)
        else:
            more += 1
            worst = max(worst, finding.severity)
    if more:
        what = f"{check.name} found {more} more, the worst of them {worst.name.lower()}"
        kept.append(Finding(check.name, "gate/more", worst, ".", None, what, "mend the first, and look again", "more"))
    return kept


def _start(check: Check, subject: Subject) -> _Running:
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    sys.stdout.flush()
    sys.stderr.flush()
    started = time.monotonic()
    process = os.fork()
    if not process:
        os.close(ours)
        _examine(check, subject, theirs)
    os.close(theirs)
    os.set_blocking(ours, False)
    return _Running(check.name, process, ours, started)


def _examine(check: Check, subject: Subject, pipe: int) -> NoReturn:
    """The child. What it answers is JSON: a process that has read a stranger's files is not trusted with more."""
    status = 1
    try:
        confine(subject.settings.seconds)
        os.closerange(3, pipe)
        os.closerange(pipe + 1, 4096)
        try:
            found = collect(check, subject)
        except MemoryError:
            found = [_unseen(check.name, ".", "it needs more memory than a check may have")]
        except RecursionError:
            found = [_unseen(check.name, ".", "what it looks at is nested too deeply")]
        except Unreadable as problem:
            found = [_unseen(check.name, problem.file, problem.why)]
        except Exception as error:
            where = error.__traceback__
            while where and where.tb_next:
                where = where.tb_next
            at = f" in line {where.tb_lineno} of {os.path.basename(where.tb_frame.f_code.co_filename)}" if where else ""
            # Not the error's text, which may hold what was read.
            found = [_unseen(check.name, ".", f"it failed ({type(error).__name__}{at})")]
        answer = json.dumps([_packed(finding) for finding in found]).encode()
        with open(pipe, "wb", buffering=0) as out:
            rest = memoryview(answer)
            while rest:
                rest = rest[out.write(rest) :]
        status = 0
    finally:
        os._exit(status)


def confine(seconds: float, memory: int = _MEMORY) -> None:
    """Limits this process, unless it has lower limits already."""
    for kind, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, int(seconds) + 1),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (limit, hard))


def _receive(task: _Running) -> bool:
    """Whether there is more to come."""
    data = os.read(task.pipe, 1 << 16)
    task.received.append(data)
    task.size += len(data)
    return bool(data) and task.size <= _LONGEST_ANSWER


def _finish(task: _Running, otherwise: str) -> list[Finding]:
    os.close(task.pipe)
    if task.size > _LONGEST_ANSWER:
        os.kill(task.process, signal.SIGKILL)
    _, status = os.waitpid(task.process, 0)
    if status == 0:
        try:
            return [_unpacked(item) for item in json.loads(b"".join(task.received))]
        except (ValueError, TypeError, KeyError):
            pass
    return [_unseen(task.check, ".", otherwise)]


def _is_late(task: _Running, seconds: float) -> bool:
    return time.monotonic() - task.started >= seconds


def _unseen(check: str, file: str, why: str) -> Finding:
    fix = "make the source smaller or simpler, and deploy again; without this check there is no deployment"
    what = f"{check} could not look at all of it: {why}"
    return Finding(check, "gate/incomplete", Severity.HIGH, file, None, what, fix, why)


_FIELDS: Final = (
    "check", "rule", "severity", "file", "line", "what", "fix", "subject", "guarantee", "enforced_by", "package", "fixed",
)  # fmt: skip


def _packed(finding: Finding) -> list[Any]:
    return [getattr(finding, name) for name in _FIELDS]


def _unpacked(values: list[Any]) -> Finding:
    fields = dict(zip(_FIELDS, values, strict=True))
    fields["severity"] = Severity(fields["severity"])
    return Finding(**fields)
