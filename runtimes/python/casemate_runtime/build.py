"""Mode build: an uploaded archive becomes a bundle: unpacked, its requirements locked and installed, byte-compiled.

What is built from source comes in a second sandbox, which has the first one's result and no network.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from casemate_runtime.bytecode import compile_folder
from casemate_runtime.dependencies import Dependencies, provide
from casemate_runtime.faults import Fault, ProtocolError
from casemate_runtime.frames import BUILD, BUILT, WARM, Channel, decode_fields
from casemate_runtime.orders import order_of
from casemate_runtime.schemas import schemas
from casemate_runtime.second import SecondPhase, report_of
from casemate_runtime.trust import BUNDLE, trust
from casemate_runtime.unpack import unpack
from casemate_runtime.uv import Tool

_UNPACK_LIMIT, _AUTHORITY, _PHASE, _SCHEMA = 11, 14, 20, 24
_TOOL: Final = Tool()
_DEFAULT_LIMIT: Final = 500 * 1024 * 1024
_MOST_MISTAKES: Final = 50
# Where other people's code lies in a source: packages vendored for Scaleway.
_VENDORED: Final = "package/"


class Builder:
    """`out` is the folder of the build, `shown_as` where its result will be mounted. `attached` is where another bundle
    may be: that of the active revision."""

    def __init__(
        self,
        channel: Channel,
        out: Path = Path("/out"),
        tool: Tool = _TOOL,
        shown_as: str = "/fn",
        attached: Path = Path("/fn"),
    ) -> None:
        self._channel = channel
        self._out = out
        self._tool = tool
        self._shown_as = shown_as
        self._attached = attached

    def run(self) -> int:
        """Builds once and waits for the end of the stream. Answers the process's exit status."""
        self._channel.send(WARM)
        frame, archive = self._channel.read_with_descriptor()
        if frame is None:
            return 0
        kind, _, meta, _ = frame
        fields = decode_fields(meta) if kind == BUILD else {}
        is_second = _text(fields, _PHASE) == "second"
        if kind != BUILD or (archive is None and not is_second):
            raise ProtocolError("the first frame was not build with an archive")
        try:
            built = self.build(archive, fields) if archive is not None and not is_second else self.build_from_source()
            report = json.dumps(built, ensure_ascii=False, separators=(",", ":"))
            self._channel.send(BUILT, body=report.encode("utf-8", "backslashreplace"))
        except Fault as fault:
            self._channel.send(BUILT, status=1, meta=fault.meta(), body=fault.content())
        if self._channel.read() is not None:
            raise ProtocolError("a frame after the build")
        return 0

    def build(self, archive: int, fields: dict[int, list[bytes]]) -> dict[str, Any]:
        """The report. Raises a `Fault` for the author of the archive."""
        source, dependencies = self._out / "src", self._out / "deps"
        with _space():
            unpacked = unpack(archive, source, int(_text(fields, _UNPACK_LIMIT) or _DEFAULT_LIMIT))
            found = schemas(source, [path.decode() for path in fields.get(_SCHEMA, [])])
            provided = self._provide(source, dependencies, fields)
            syntax = self._compile(source, dependencies, provided is not None and provided.is_cached)
        report = provided.report() if provided else {"lock": None}
        told = {"schemas": found} if found else {}
        return {"files": unpacked.files, "bytes": unpacked.size, **report, **told, "syntax": syntax}

    def build_from_source(self, kill: Callable[[], None] | None = None) -> dict[str, Any]:
        """The second phase: the attached bundle is the first one's result. Raises a `Fault`."""
        with _space():
            built = SecondPhase(self._tool, self._attached, self._out, kill=kill).run()
            syntax = self._compile(self._out / "src", self._out / "deps", False)
        return report_of(built) | {"syntax": syntax}

    def _provide(self, source: Path, target: Path, fields: dict[int, list[bytes]]) -> Dependencies | None:
        tool = self._tool
        if authority := fields.get(_AUTHORITY, [b""])[-1]:
            # The index's credentials are put in on the way out; what does that is trusted for this build.
            trust(authority, tool.certificates)
            tool = tool._replace(certificates=BUNDLE)
        return provide(tool, order_of(fields), source, target, self._attached)

    def _compile(self, source: Path, dependencies: Path, is_copied: bool) -> list[dict[str, Any]]:
        """`is_copied`: the dependencies have our byte code, but for what did not compile."""
        found = []
        for mistake in compile_folder(source, f"{self._shown_as}/src"):
            if not mistake.file.startswith(_VENDORED):
                raise Fault("syntax-error", mistake.message, mistake.file, mistake.line)
            found.append(mistake)
        if os.path.isdir(dependencies):
            for mistake in compile_folder(dependencies, f"{self._shown_as}/deps", all_again=not is_copied):
                found.append(mistake._replace(file=f"deps/{mistake.file}"))
        return [mistake._asdict() for mistake in found[:_MOST_MISTAKES]]


@contextmanager
def _space() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise Fault("too-large", "the bundle does not fit into the space of a build") from None
        raise


def _text(fields: dict[int, list[bytes]], tag: int) -> str:
    return fields.get(tag, [b""])[-1].decode("utf-8", "replace")
