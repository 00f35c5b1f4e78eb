"""Calls mypy. What it says is its own; a plugin that the author's settings name runs in this process."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

import mypy.config_parser
import mypy.main
import mypy.options
import mypy.pyinfo


def run(job: dict[str, Any]) -> dict[str, Any]:
    packages = [path for path in (job["vendored"], job["dependencies"], job["tools"]) if os.path.isdir(path)]
    # Where packages lie: errors in them are not the author's, and their types count. In this order, for the tools have some, too.
    mypy.pyinfo.getsearchdirs = lambda: (packages, [])
    arguments = [*job["arguments"]]
    if not job["hasTargets"] and not _settings_name_files():
        arguments.append(".")
    arguments += [
        f"--cache-dir={os.devnull}",
        f"--custom-typeshed-dir={job['tools']}/mypy/typeshed",
        f"--python-executable={sys.executable}",
        "--no-install-types",
        "--interactive",
        "--num-workers=0",
        "--no-color-output",
        "--error-summary",
    ]
    if os.path.isdir(job["vendored"]):
        arguments.append("--exclude=^package/$")
    sys.argv[:] = ["mypy", *arguments]
    status = 0
    try:
        # It returns only where it found nothing; and where it has looked at nothing, it does not.
        mypy.main.main(args=arguments, stdout=sys.stdout, stderr=sys.stderr, clean_exit=True)
    except SystemExit as ended:
        if not isinstance(ended.code, int) or not ended.code:  # somebody else's
            raise
        status = ended.code
    numbers = dict.fromkeys(("passed", "failed", "skipped", "unloaded"), 0)
    return {"status": status, "finish": status, "complete": True, "file": "", "line": None, "name": "", **numbers}


def _settings_name_files() -> bool:
    options = mypy.options.Options()
    nowhere = io.StringIO()  # it says again what is wrong with them
    mypy.config_parser.parse_config_file(options, lambda: None, None, nowhere, nowhere)
    return bool(options.files or options.packages or options.modules)
