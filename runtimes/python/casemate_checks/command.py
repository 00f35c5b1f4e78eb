"""What a manifest may have under `gate`: a tool, and arguments of a few shapes. The server holds a manifest to the same rule
when it reads it.

Nothing here lets a tool write, look outside of the bundle, load what is not in it, or run another program. What the settings
in the bundle say to a tool is its author's, and runs in the same sandbox.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from casemate_runtime.faults import Fault, advised

MOST_WORDS: Final = 64
LONGEST_WORD: Final = 500

_PATH: Final = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_./-]*")
# `tests/test_a.py::TestB::test_c[d-1]`
_TEST: Final = re.compile(rf"(?P<path>{_PATH.pattern})(?:::[A-Za-z0-9_.:,\[\]-]+)?")
_DOTTED: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_EXPRESSION: Final = re.compile(r"[A-Za-z0-9_ .,:=+/*?()\[\]\"'][A-Za-z0-9_ .,:=+/*?()\[\]\"'-]*")
_NUMBER: Final = re.compile(r"[0-9]{1,4}")
_TRACEBACK: Final = re.compile(r"auto|long|short|line|native|no")
_IMPORT_MODE: Final = re.compile(r"prepend|append|importlib")
_ERROR_CODE: Final = re.compile(r"[a-z][a-z-]*")
_FOLLOW: Final = re.compile(r"normal|silent|skip|error")
_RULES: Final = re.compile(r"[A-Z]{1,8}[0-9]{0,5}(?:,[A-Z]{1,8}[0-9]{0,5})*")
_TARGET_VERSION: Final = re.compile(r"py3[0-9]{1,2}")


@dataclass(frozen=True)
class _Tool:
    kind: str
    flags: frozenset[str]
    options: Mapping[str, re.Pattern[str]]
    """Those with a value, in the same word behind `=` or, as one letter, in the next word."""
    targets: re.Pattern[str] = _PATH
    verb: str = ""
    """A word that may stand first, and changes nothing."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TOOLS: Final = {
    "pytest": _Tool(
        "test",
        _words("-q -qq -v -vv -x -s --quiet --verbose --exitfirst --strict-markers --strict-config --doctest-modules"),
        {
            "-k": _EXPRESSION,
            "-m": _EXPRESSION,
            "--maxfail": _NUMBER,
            "--durations": _NUMBER,
            "--tb": _TRACEBACK,
            "--import-mode": _IMPORT_MODE,
        },
        _TEST,
    ),
    "unittest": _Tool(
        "test",
        _words("-q -v -f -b --quiet --verbose --failfast --buffer"),
        {"-k": _EXPRESSION, "-s": _PATH},
        re.compile(rf"{_DOTTED.pattern}|{_PATH.pattern}"),
        "discover",
    ),
    "mypy": _Tool(
        "type",
        _words("""
            -v --verbose --strict --ignore-missing-imports --explicit-package-bases --namespace-packages
            --no-namespace-packages --check-untyped-defs --disallow-untyped-defs --warn-unused-ignores --warn-unreachable
            """),
        {"--enable-error-code": _ERROR_CODE, "--disable-error-code": _ERROR_CODE, "--follow-imports": _FOLLOW},
    ),
    "ruff": _Tool(
        "lint",
        _words("-q -v --quiet --verbose --preview --no-preview --ignore-noqa"),
        {
            "--select": _RULES,
            "--ignore": _RULES,
            "--extend-select": _RULES,
            "--line-length": _NUMBER,
            "--target-version": _TARGET_VERSION,
        },
        verb="check",
    ),
}

KINDS: Final = tuple(dict.fromkeys(tool.kind for tool in _TOOLS.values()))


class Command(NamedTuple):
    """One that may be run."""

    kind: str
    tool: str
    arguments: tuple[str, ...]
    """Without the verb."""
    has_targets: bool
    """Whether they name what is to be looked at."""


@dataclass
class _Taken:
    arguments: list[str] = field(default_factory=list)
    has_targets: bool = False
    is_discovery: bool = False


def parse(kind: str, words: Sequence[str]) -> Command:
    """Raises a `Fault` with the word that is not allowed."""
    known = [name for name, tool in _TOOLS.items() if tool.kind == kind]
    if not known:
        raise _refused(f"gate has no {_shown(kind)}", f"write {_listed(KINDS)}")
    if not words or words[0] not in known:
        raise _refused(
            f"gate.{kind}: {_shown(words[0]) if words else 'nothing'} is no tool for it", f"write {_listed(known)}"
        )
    if len(words) > MOST_WORDS:
        raise _refused(
            f"gate.{kind} has more than {MOST_WORDS} words", "put what is always the same into the tool's settings"
        )
    name = words[0]
    tool = _TOOLS[name]
    taken = _Taken()
    rest = list(words[1:])
    if tool.verb and rest[:1] == [tool.verb]:
        del rest[0]
        taken.is_discovery = name == "unittest"
    while rest:
        _take(name, tool, rest, taken)
    return Command(kind, name, tuple(taken.arguments), taken.has_targets)


def _take(name: str, tool: _Tool, rest: list[str], taken: _Taken) -> None:
    word = rest.pop(0)
    if len(word) > LONGEST_WORD:
        raise _refused(f"gate.{tool.kind} has a word of more than {LONGEST_WORD} characters", "make it shorter")
    if not word.startswith("-"):
        if taken.is_discovery:
            raise _refused(f"gate.{tool.kind}: {_shown(word)} behind discover", "name the folder to begin in with -s")
        if not _is_target(tool, word):
            raise _refused(
                f"gate.{tool.kind}: {_shown(word)} is no path inside the bundle",
                "write one of ASCII letters, digits and _ . / -, relative to the source, without ..",
            )
        taken.arguments.append(word)
        taken.has_targets = True
        return
    if word in tool.flags:
        taken.arguments.append(word)
        return
    option, separator, value = word.partition("=")
    shape = tool.options.get(option)
    if shape is None or (option == "-s" and not taken.is_discovery):
        allowed = sorted((*tool.flags, *(_spelt(option) for option in tool.options)))
        raise _refused(
            f"gate.{tool.kind}: {name} is not run with {_shown(word)}",
            f"leave it out, or put it into {name}'s settings in the source; these can be given: {' '.join(allowed)}",
        )
    is_short = not option.startswith("--")
    if is_short == bool(separator) or (is_short and not rest):
        raise _refused(f"gate.{tool.kind}: {_shown(option)} has no value", f"write {_spelt(option)}")
    if is_short:
        value = rest.pop(0)
    is_right = len(value) <= LONGEST_WORD and shape.fullmatch(value) and (shape is not _PATH or _is_inside(value))
    if not is_right:
        raise _refused(
            f"gate.{tool.kind}: {_shown(value)} is no value of {option}", "write one that the tool's manual has"
        )
    taken.arguments += [option, value] if is_short else [word]


def _is_target(tool: _Tool, word: str) -> bool:
    match = tool.targets.fullmatch(word)
    return match is not None and _is_inside(match.groupdict().get("path") or word)


def _is_inside(path: str) -> bool:
    """Of a relative path. That a link leads nowhere else is the bundle's own rule."""
    return ".." not in path.split("/")


def _spelt(option: str) -> str:
    return f"{option}=VALUE" if option.startswith("--") else f"{option} VALUE"


def _listed(names: Sequence[str]) -> str:
    return " or ".join(names)


def _shown(word: str) -> str:
    plain = "".join(char if char.isprintable() else "?" for char in word[:60])
    return f"`{plain}…`" if len(word) > 60 else f"`{plain}`"


def _refused(what: str, fix: str) -> Fault:
    return Fault("check-refused", advised(what, fix))
