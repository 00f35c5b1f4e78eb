"""The command line: which goals, how much of each, and what becomes of the results."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from types import FrameType

from casemate_bench import table
from casemate_bench.goals import GROUPS
from casemate_bench.options import RESULTS, ROOT, Bench, Group, NotMeasured, Options, Wrong
from casemate_bench.peers import BJOERN, LAMBDA, PINNED, interpreter, need

IDS = tuple(sorted((each for group in GROUPS for each in group.ids), key=lambda each: int(each[1:] or 99)))

ABOUT = """Measures Casemate's goals beside peers, in one run on this machine.

Read the ratios. Each is paired: Casemate and the peer are measured in the same round, in rotated order, and what is
printed is the median of the rounds with [min..max]. Absolute times differ by a factor of two between days on the same
machine, so nothing is judged by them, and they never fail the run. Every body is checked; a cold start is one only if
the server counted it. Authentication, isolation, redaction and audit are on in all of Casemate's figures.
"""

EXAMPLES = """examples, as root:
  make bench                                   everything; about half an hour
  Benchmarks/bench --only P5,P7                warm calls and throughput only
  Benchmarks/bench --quick                     everything with small counts, to see that it works; its figures mean nothing
  Benchmarks/bench --only P10 --p10 4000       4,000 warm functions at once
  Benchmarks/bench --only P11,P13 --p11 10000  10,000 deployed functions
  Benchmarks/bench --only Q4 --q4 100000       100,000 queued calls
  CASEMATE_BENCH_BIN=/usr/local/bin/casemate CASEMATE_LIBEXEC=/usr/local/lib/casemate Benchmarks/bench --only P1

goals:
{goals}
  A1 fails the run above its threshold, and Q1 where a 202 came before its call was on the disk: counts, not times, so
  that they are the same on every machine.
  T is no goal, but a rule: Server-Timing must explain at least 90 % of a client's time.

peers are installed from PyPI into Benchmarks/work, by these versions: {pins}.
Stand-ins do for a call what the named platform's runtime does, with these parts; they are named as stand-ins everywhere.
{lambda_} is the one published figure.

results: a table on standard output, results/latest.json (quick.json with --quick), and raw rounds in
results/details.json (quick-details.json). Exit 0 whatever the figures are; 1 when a body was wrong or something failed; 130 after Ctrl-C,
which stops all that was started.
"""


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    goals = "\n".join(f"  {', '.join(group.ids):<10} {group.title}" for group in GROUPS)
    parser = argparse.ArgumentParser(
        prog="bench",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES.format(goals=goals, pins=", ".join((*PINNED, BJOERN)), lambda_=LAMBDA),
    )
    own = Options()
    parser.add_argument("--only", metavar="P1,P5", help="these goals alone")
    parser.add_argument(
        "--rounds", type=count, metavar="N", help=f"rounds of each comparison, and runs of P1 and P2 ({own.rounds})"
    )
    parser.add_argument("--seconds", type=count, metavar="N", help=f"of each load by wrk ({own.seconds})")
    parser.add_argument("--quick", action="store_true", help="small counts everywhere, to see that it works")
    parser.add_argument("--json", action="store_true", help="print the results as JSON instead of a table")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")
    for flag, name, what in (
        ("--cold", "cold", "distinct functions per run of P1 and P2"),
        ("--p4", "burst", "functions that start at once in P4"),
        ("--p9", "idle_functions", "warm functions whose memory is counted in P9"),
        ("--p10", "warm_functions", "warm functions at once in P10"),
        ("--p11", "deployed", "deployed functions in P11 and P13"),
        ("--p13", "idle_seconds", "seconds without calls in P13 and Q5"),
        ("--q4", "queued", "queued calls that are drained in Q4"),
        ("--q5", "schedules", "schedules in Q5"),
        ("--q6", "kept_calls", "calls that the queue keeps in Q6"),
    ):
        parser.add_argument(flag, dest=name, type=count, metavar="N", help=f"{what} ({getattr(own, name):g})")
    return parser.parse_args(arguments)


def count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def wanted(only: str | None) -> set[str]:
    if not only:
        return set(IDS)
    asked = [name.strip().upper() for name in only.split(",") if name.strip()]
    chosen = {re.sub(r"(?<=\d)[A-H]$", "", name) for name in asked}
    if unknown := chosen - set(IDS):
        raise SystemExit(f"bench: there is no goal {', '.join(sorted(unknown))}; there are {', '.join(IDS)}")
    return chosen


def binary() -> Path:
    told = os.environ.get("CASEMATE_BENCH_BIN")
    path = Path(told) if told else ROOT / ".build/release/casemate"
    if not path.is_file():
        raise SystemExit(f"bench: {path} is missing: make build, or set CASEMATE_BENCH_BIN")
    return path.resolve()


def measure(bench: Bench, group: Group) -> str | None:
    """What went wrong, if anything did."""
    before = len(bench.rows)
    wrong = None
    try:
        group.run(bench)
        reason = "nothing was measured"
    except NotMeasured as why:
        reason = " ".join(str(why).split())
    except Wrong as why:
        reason = wrong = " ".join(str(why).split())
    except Exception as error:
        traceback.print_exc()
        reason = wrong = f"{type(error).__name__}: {error}"
    there = {row.identity.rstrip("abcdefgh") for row in bench.rows[before:]}
    for identity in group.ids:
        if bench.wants(identity) and identity not in there:
            bench.add(table.not_measured(identity, group.title, reason))
    return wrong


def machine() -> dict[str, object]:
    model = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "cpu": model[1] if model else "",
        "kernel": platform.release(),
        "memoryKiB": int(Path("/proc/meminfo").read_text().split()[1]),
        "load": os.getloadavg(),
        "peers": [*PINNED, BJOERN],
        "peersInterpreter": interpreter(),
    }


def stop_in_order() -> None:
    """The first signal unwinds everything, which stops what was started; further ones must not cut that short."""

    def first(number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, lambda *_: print("bench: stopping what was started", file=sys.stderr, flush=True))
        raise KeyboardInterrupt

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, first)


def main(arguments: list[str] | None = None) -> int:
    asked = parsed(arguments)
    options = Options()
    if asked.quick:
        options.quick()
    for name in vars(options):
        if (value := getattr(asked, name, None)) is not None:
            setattr(options, name, value)
    options.deployed_base = max(1, min(options.deployed_base, options.deployed // 2))
    bench = Bench(options, binary(), wanted(asked.only), asked.quiet)
    if os.geteuid() != 0:
        raise SystemExit("bench: sandboxes need root: sudo make bench")
    if not shutil.which("wrk") and not need("wrk"):
        raise SystemExit("bench: wrk is missing: apt-get install wrk")
    bench.keep("machine", {**machine(), "binary": str(bench.binary)})
    bench.keep("options", vars(options))
    bench.say(f"bench: {bench.binary}")
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores / 2:
        bench.say(
            f"bench: this machine is busy (load {load:.1f} on {cores} cores): ratios will scatter, and absolute figures mean nothing"
        )
    stop_in_order()
    wrong: list[str] = []
    begin = time.monotonic()
    try:
        for group in GROUPS:
            if bench.wants(*group.ids):
                bench.say(
                    f"{', '.join(each for each in group.ids if bench.wants(each))}: {group.title} ({time.monotonic() - begin:.0f} s)"
                )
                if failed := measure(bench, group):
                    wrong.append(f"{', '.join(group.ids)}: {failed}")
    except KeyboardInterrupt:
        if bench.rows:
            print(table.text(bench.rows))
        print("bench: interrupted; all that was started is stopped, and no results were written", file=sys.stderr)
        return 130
    path = RESULTS / ("quick.json" if asked.quick else "latest.json")
    table.write(bench.rows, path)
    bench.keep("errors", wrong)
    details = path.with_name("quick-details.json" if asked.quick else "details.json")
    details.write_text(json.dumps(bench.details, indent=1, ensure_ascii=False, default=str) + "\n")
    if asked.json:
        print(path.read_text(), end="")
    else:
        print(
            f"\nMedian [min..max] over {options.rounds} rounds; ratios are paired per round. Ratios count, absolute figures do not.\n"
        )
        print(table.text(bench.rows))
        print(f"\nwritten to {path.relative_to(ROOT)}")
    for each in wrong:
        print(f"WRONG {each}", file=sys.stderr)
    return 1 if wrong else 0
