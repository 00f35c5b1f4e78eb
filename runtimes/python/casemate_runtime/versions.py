"""When two versions are the same (PEP 440): `1.0` and `v1.0.0`, `1.0rc1` and `1.0-c.1`; and which of them a clause allows."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_VERSION: Final = re.compile(
    r"v?(?:(?P<epoch>\d+)!)?(?P<release>\d+(?:\.\d+)*)"
    r"(?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<pre_number>\d*))?"
    r"(?P<post>-(?P<post_bare>\d+)|[-_.]?(?:post|rev|r)[-_.]?(?P<post_number>\d*))?"
    r"(?P<dev>[-_.]?dev[-_.]?(?P<dev_number>\d*))?"
    r"(?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?"
)
_PRE: Final = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}


_CLAUSE: Final = re.compile(r"(===|==|~=|!=|<=|>=|<|>)\s*([^\s,()]+)")
# What stands for nothing in an order: a final release is behind its pre-releases and before its post-releases.
_LEAST, _MOST = ("",), ("~",)


class _Version(NamedTuple):
    epoch: int
    release: tuple[int, ...]  # without zeros at its end
    pre: tuple[str, int] | None
    post: int | None
    dev: int | None
    local: tuple[str, ...] | None

    @property
    def order(self) -> tuple[object, ...]:
        """Of everything but the local part, which no clause of ours compares."""
        first = self.pre or (_LEAST if self.post is None and self.dev is not None else _MOST)
        is_final = self.dev is None
        return self.epoch, self.release, first, -1 if self.post is None else self.post, is_final, self.dev or 0

    def is_before(self, other: _Version) -> bool:
        """Whether it is a pre-release of a final one."""
        if other.pre or other.dev is not None or self[:2] != other[:2]:
            return False
        if other.post is None:
            return self.pre is not None or self.dev is not None
        return self.pre is None and self.post == other.post and self.dev is not None

    def is_behind(self, other: _Version) -> bool:
        """Whether it is a post-release of one that is none."""
        return other.post is None and other.dev is None and self.post is not None and self[:3] == other[:3]


def same_version(one: str, other: str) -> bool:
    first, second = _parsed(one), _parsed(other)
    return first == second if first and second else one.strip().lower() == other.strip().lower()


def allows(versions: str, version: str) -> bool:
    """Whether all clauses of `>=1,<2` hold for a version, a pre-release too. What can't be read allows everything."""
    known = _parsed(version)
    return known is None or all(_holds(sign, text, known, version) for sign, text in _CLAUSE.findall(versions))


def _holds(sign: str, text: str, version: _Version, written: str) -> bool:
    if sign == "===":
        return text.lower() == written.strip().lower()
    other = _parsed(text.removesuffix(".*"))
    if other is None:
        return True
    if text.endswith(".*"):
        same = _begins(version, other, text.removesuffix(".*"))
        return same if sign == "==" else not same
    if sign in ("==", "!="):
        same = version == other if other.local else version._replace(local=None) == other
        return same if sign == "==" else not same
    if sign == "~=":
        return version.order >= other.order and _begins(version, other, _shorter(text))
    if sign == ">=":
        return version.order >= other.order
    if sign == "<=":
        return version.order <= other.order
    # `<2` means nothing of version 2, also no pre-release, and `>1` no post-release of 1.
    if sign == "<":
        return version.order < other.order and not version.is_before(other)
    return version.order > other.order and not version.is_behind(other)


def _begins(version: _Version, other: _Version, prefix: str) -> bool:
    count = len(re.sub(r"^v?(\d+!)?", "", prefix.lower()).split("."))
    release = [*version.release, *[0] * count][:count]
    wanted = [*other.release, *[0] * count][:count]
    return version.epoch == other.epoch and release == wanted


def _shorter(text: str) -> str:
    """`2.2` of `2.2.1` and of `2.2.1rc1`."""
    found = re.match(r"v?(?:\d+!)?\d+(?:\.\d+)*", text.lower())
    return found[0].rpartition(".")[0] if found else text


def _parsed(text: str) -> _Version | None:
    found = _VERSION.fullmatch(text.strip().lower())
    if found is None:
        return None
    release = [int(part) for part in found["release"].split(".")]
    while len(release) > 1 and release[-1] == 0:
        release.pop()
    pre = (_PRE.get(found["pre"], found["pre"]), int(found["pre_number"] or 0)) if found["pre"] else None
    post = int(found["post_bare"] or found["post_number"] or 0) if found["post"] else None
    dev = int(found["dev_number"] or 0) if found["dev"] else None
    local = tuple(re.split(r"[-_.]", found["local"])) if found["local"] else None
    return _Version(int(found["epoch"] or 0), tuple(release), pre, post, dev, local)
