"""Which commit is meant: a whole id, or the name of one branch or one tag."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dulwich.refs import check_ref_format

from casemate_fetch.faults import failed, shown

_COMMIT: Final = re.compile(r"[0-9a-fA-F]{40}|[0-9a-fA-F]{64}")
_PART: Final = re.compile(r"[0-9a-fA-F]{4,63}")
_LONGEST: Final = 512
HEADS: Final = b"refs/heads/"
TAGS: Final = b"refs/tags/"


@dataclass(frozen=True, slots=True)
class Wanted:
    text: str
    commit: bytes | None
    """In hexadecimal."""
    names: tuple[bytes, ...] = ()
    """What it may be called at the server."""

    @classmethod
    def parse(cls, text: str) -> Wanted:
        if _COMMIT.fullmatch(text):
            return cls(text, text.lower().encode())
        if text == "HEAD":
            return cls(text, None, (b"HEAD",))
        name = text.encode("utf-8", "surrogatepass")
        is_whole = name.startswith((HEADS, TAGS))
        names = (name,) if is_whole else (HEADS + name, TAGS + name)
        is_safe = not text.startswith("-") and "/-" not in text and len(name) <= _LONGEST and "\x7f" not in text
        if not is_safe or text == "@" or not text or not all(check_ref_format(name) for name in names):
            raise failed("ref is no name that git allows; write a branch, a tag, or the whole id of a commit")
        if name.startswith(b"refs/") and not is_whole:
            raise failed("ref is neither below refs/heads/ nor below refs/tags/; write a branch or a tag")
        return cls(text, None, names)

    def choose(self, refs: Mapping[bytes, bytes]) -> tuple[bytes, bytes]:
        """The one of the server's refs that is meant, and the id of its object."""
        found = [name for name in self.names if name in refs]
        if len(found) > 1:
            raise failed(
                f"{shown(self.text)} is a branch and a tag, and so ambiguous; write refs/heads/{shown(self.text)} or "
                f"refs/tags/{shown(self.text)}"
            )
        if found:
            return found[0], refs[found[0]]
        if self.names == (b"HEAD",):
            raise failed("the repository has no HEAD, as if it were empty; write the branch that is meant")
        if _PART.fullmatch(self.text):
            raise failed(
                f"{self.text} is neither a branch nor a tag, and a commit is not found by a part of its id; write the whole id"
            )
        raise failed(f"the repository has neither a branch nor a tag {shown(self.text)}; see how it is spelled there")
