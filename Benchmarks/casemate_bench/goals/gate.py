"""G1 and G2: what it costs to hold packages against advisories, and to take in all that is known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

from casemate_bench.options import ROOT, Bench, NotMeasured, Wrong
from casemate_bench.server import Server
from casemate_bench.stats import differences, paired, rotated
from casemate_bench.table import Row

_ADVISORIES, _COMPONENTS, _RECORDS = 1000, 200, 3000
_TOOLS = Path("/var/lib/casemate/tools/gate")
_PROGRAM = ROOT / "runtimes/python/casemate_gate/bootstrap.py"
_VERSIONS = [f"{major}.{minor}" for major in range(5) for minor in range(20)]
# What there is to be done at the least: every record read once.
_READING = """
import json, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as packed:
    print(len([json.loads(packed.read(name)) for name in packed.namelist()]))
"""


def run(bench: Bench) -> None:
    if bench.wants("G1"):
        _matching(bench)
    if bench.wants("G2"):
        _importing(bench)


def _matching(bench: Bench) -> None:
    if not _TOOLS.exists():
        raise NotMeasured("the gate's tools are not installed: casemate runtime install python3.11")
    records = [
        {"id": f"PYSEC-1-{number}", "package": f"p{number % _COMPONENTS}", "versions": _VERSIONS, "aliases": [], "score": 7.5,
         "ranges": [[{"introduced": "4"}, {"fixed": "4.5"}]], "summary": "", "modified": "2026-01-01T00:00:00Z"}
        for number in range(_ADVISORIES)
    ]  # fmt: skip
    components = [{"name": f"p{number}", "version": "3.7" if number % 2 else "7.0"} for number in range(_COMPONENTS)]
    requests = {
        "all": {"operation": "match", "components": components, "advisories": records},
        "none": {"operation": "match", "components": [], "advisories": records},
    }
    took: dict[str, list[float]] = {name: [] for name in requests}
    for turn in range(max(5, bench.options.rounds)):
        for name in rotated(list(requests), turn):
            begin = time.perf_counter()
            found = _ask(requests[name])
            took[name].append((time.perf_counter() - begin) * 1e3)
            if len(found["findings"]) != (_ADVISORIES // 2 if name == "all" else 0):
                raise Wrong(f"{name}: {len(found['findings'])} findings")
    bench.keep("G1", took)
    bench.add(
        Row(
            "G1",
            f"{_ADVISORIES} advisories against {_COMPONENTS} packages",
            differences(took["all"], took["none"]),
            "ms",
            "the same request without packages",
            paired(took["all"], took["none"]),
            200,
            goal_is="value",
            count=len(took["all"]),
            note="whole requests to the tools, the interpreter's start and their loading on both sides",
        )
    )


def _ask(request: dict[str, Any]) -> dict[str, Any]:
    command = ["/usr/bin/python3", "-I", "-S", str(_PROGRAM), "local", str(_TOOLS)]
    done = subprocess.run(command, input=json.dumps(request).encode(), capture_output=True, check=False)
    line = json.loads((done.stdout.splitlines() or [b"{}"])[-1])
    if "result" not in line:
        raise Wrong(f"the gate's tools: {line.get('problem', done.stderr.decode())}")
    return dict(line["result"])


def _importing(bench: Bench) -> None:
    """The real snapshot, where CASEMATE_ADVISORIES names one."""
    own = os.environ.get("CASEMATE_ADVISORIES", "")
    took: dict[str, list[float]] = {"import": [], "reading": []}
    with Server(bench) as server:
        export = Path(own) if own else _export(server.folder)
        for turn in range(max(3, bench.options.rounds)):
            for name in rotated(list(took), turn):
                if name == "reading" and own:
                    continue
                begin = time.perf_counter()
                if name == "import":
                    server.cli("advisories", "import", str(export))
                else:
                    subprocess.run([sys.executable, "-c", _READING, str(export)], check=True, capture_output=True)
                took[name].append(time.perf_counter() - begin)
    bench.keep("G2", took)
    what = "the real snapshot" if own else f"{_RECORDS} made-up advisories"
    bench.add(
        Row(
            "G2",
            f"import of {what}",
            took["import"],
            "s",
            None if own else "reading each record once",
            [] if own else paired(took["import"], took["reading"]),
            10,
            goal_is="value",
            count=len(took["import"]),
            note="the command's whole time: read in a sandbox, stored, and all that is live looked at again",
        )
    )


def _export(folder: Path) -> Path:
    path = folder / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for number in range(_RECORDS):
            record = {
                "schema_version": "1.6.0",
                "id": f"PYSEC-2026-{number}",
                "modified": "2026-01-01T00:00:00Z",
                "summary": f"fault {number}",
                "affected": [
                    {
                        "package": {"ecosystem": "PyPI", "name": f"p{number % 500}"},
                        "ranges": [
                            {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": f"{number % 9}.1"}]}
                        ],
                        "versions": _VERSIONS,
                    }
                ],
            }
            packed.writestr(f"{record['id']}.json", json.dumps(record))
    return path
