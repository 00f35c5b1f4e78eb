"""What goes wrong at a fetch, said to the author of a manifest: what is wrong; what to do."""

from __future__ import annotations

from typing import Final

from casemate_runtime.faults import Fault

_LONGEST: Final = 200


class ServerError(Exception):
    """What the server answered in place of what was asked for. `text` is its own, `""` where it only hung up."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.text = text


def failed(message: str) -> Fault:
    return Fault("fetch-failed", message)


def too_large(message: str) -> Fault:
    return Fault("too-large", message)


def refused(message: str, file: str) -> Fault:
    """Of a file in the tree: it can be fetched, and is not taken."""
    return Fault("archive-refused", message, file)


def damaged(what: str) -> Fault:
    return failed(
        f"the server's answer is damaged ({what}); fetch again, and have the repository checked if it stays so"
    )


def shown(text: bytes | str, longest: int = _LONGEST) -> str:
    """A stranger's text, for a message: in one line, nothing that a terminal would obey, and not endless."""
    if isinstance(text, bytes):
        text = text[: 4 * longest].decode("utf-8", "backslashreplace")
    plain = "".join(char if char.isprintable() else " " for char in text).strip()
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"
