"""What is wrong with somebody's bundle, in the form that the server shows to its author."""

from __future__ import annotations

_LONGEST_MESSAGE = 4_000
_LONGEST_BODY = 64 * 1024


class ProtocolError(Exception):
    """The server sent something that the protocol does not allow. There is nobody to tell: the sandbox ends."""


class Fault(Exception):
    """An error of the bundle's author. `file` is relative to the bundle's source, `body` is a traceback or a tool's output."""

    def __init__(self, code: str, message: str, file: str = "", line: int | None = None, body: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.file = file
        self.line = line
        self.body = body

    def meta(self) -> bytes:
        """`code` NUL `file` NUL `line` NUL `message`."""
        line = "" if self.line is None else str(self.line)
        fields = (self.code, self.file[:_LONGEST_MESSAGE], line, self.message[:_LONGEST_MESSAGE])
        return "\0".join(field.replace("\0", "\\0") for field in fields).encode("utf-8", "backslashreplace")

    def content(self) -> bytes:
        """The body; of a very long one the end, where the cause is."""
        return self.body[-_LONGEST_BODY:].encode("utf-8", "backslashreplace")[-_LONGEST_BODY:]


def advised(what: str, fix: str) -> str:
    """A message of two parts, which the server parts at the first `; `: what is wrong, and what to do about it."""
    return f"{what.replace('; ', ';')}; {fix}"


def failed(what: str, fix: str, body: str = "") -> Fault:
    """Of packages, and of no place in the bundle."""
    return Fault("dependencies-failed", advised(what, fix), body=body)
