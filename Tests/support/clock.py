"""A wall clock for one server, which tests set as they like while it runs. The machine's own stays as it is, and so does the warden's.

Not libfaketime: a server is started without its caller's environment, and Swift finds no arguments where a library sets a variable first.
"""

from __future__ import annotations

import mmap
import shutil
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

SOURCE = Path(__file__).with_name("clock.c")


def compiler() -> str:
    """The toolchain's own, where no other is on the path."""
    swift = shutil.which("swift")
    beside = Path(swift).resolve().with_name("clang") if swift else None
    found = shutil.which("cc") or shutil.which("clang") or (str(beside) if beside and beside.exists() else None)
    assert found, "there is no C compiler"
    return found


class Clock:
    """`environment` gives it to a server and to its command line."""

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="casemate-test-clock-"))
        # The server does not run as root.
        self.folder.chmod(0o755)
        library, file = self.folder / "clock.so", self.folder / "offset"
        subprocess.run([compiler(), "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True)
        file.write_bytes(bytes(8))
        for path in (library, file):
            path.chmod(0o644 | (0o111 if path == library else 0))
        with file.open("r+b") as opened:
            self.map = mmap.mmap(opened.fileno(), 8)
        # One store of eight bytes, which nobody sees half of.
        self.offset = memoryview(self.map).cast("q")
        self.environment = {"LD_PRELOAD": str(library), "CASEMATE_TEST_CLOCK": str(file)}
        return self

    def __exit__(self, *_: object) -> None:
        self.offset.release()
        self.map.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def now(self) -> float:
        return time.time() + self.offset[0] / 1e9

    def shift(self, seconds: float) -> None:
        self.offset[0] += int(seconds * 1e9)

    def set(self, instant: str | float) -> None:
        """To an RFC 3339 time, or seconds since 1970."""
        wanted = datetime.fromisoformat(instant).timestamp() if isinstance(instant, str) else instant
        self.shift(wanted - self.now())

    def text(self, instant: float | None = None) -> str:
        """As the API writes a time."""
        at = datetime.fromtimestamp(self.now() if instant is None else instant, UTC)
        return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"

    def until(self, instant: float) -> None:
        """Sleeps until this clock says so."""
        time.sleep(max(0.0, instant - self.now()))
