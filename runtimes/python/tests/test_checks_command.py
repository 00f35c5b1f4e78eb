"""What may be written under `gate`: anything else is refused, with its word."""

from __future__ import annotations

import pytest
from casemate_checks.command import LONGEST_WORD, MOST_WORDS, parse
from casemate_runtime.faults import Fault

KINDS = {"pytest": "test", "unittest": "test", "mypy": "type", "ruff": "lint"}


def split(line: str) -> list[str]:
    """At single spaces, so that a test can have empty words; `␣` is a space inside a word."""
    return [word.replace("␣", " ") for word in line.split(" ")]


@pytest.mark.parametrize(
    ("line", "arguments", "has_targets"),
    [
        ("pytest", "", False),
        ("pytest -q", "-q", False),
        ("pytest -vv -x -s", "-vv -x -s", False),
        ("pytest tests", "tests", True),
        ("pytest .", ".", True),
        ("pytest ./tests/unit/test_a.py", "./tests/unit/test_a.py", True),
        ("pytest tests/test_a.py::TestB::test_c", "tests/test_a.py::TestB::test_c", True),
        ("pytest tests/test_a.py::test_c[a-1]", "tests/test_a.py::test_c[a-1]", True),
        ("pytest -k not␣slow␣and␣(fast␣or␣quick)", "-k not␣slow␣and␣(fast␣or␣quick)", False),
        ("pytest -m unit", "-m unit", False),
        ("pytest -m not␣device(serial=\"x\")", "-m not␣device(serial=\"x\")", False),
        ("pytest --maxfail=1 --tb=short --durations=5", "--maxfail=1 --tb=short --durations=5", False),
        ("pytest --import-mode=importlib --strict-markers", "--import-mode=importlib --strict-markers", False),
        ("unittest", "", False),
        ("unittest discover -s tests -v", "-s tests -v", False),
        ("unittest tests.test_a.TestB", "tests.test_a.TestB", True),
        ("unittest tests/test_a.py", "tests/test_a.py", True),
        ("unittest -k test_*", "-k test_*", False),
        ("mypy", "", False),
        ("mypy --strict", "--strict", False),
        ("mypy --strict handler.py lib", "--strict handler.py lib", True),
        ("mypy --enable-error-code=ignore-without-code", "--enable-error-code=ignore-without-code", False),
        ("mypy --follow-imports=silent", "--follow-imports=silent", False),
        ("ruff", "", False),
        ("ruff check", "", False),
        ("ruff check check", "check", True),
        ("ruff check --select=E,F,W605 --ignore=E501", "--select=E,F,W605 --ignore=E501", False),
        ("ruff --select=ALL --preview lib", "--select=ALL --preview lib", True),
        ("ruff --line-length=120 --target-version=py311", "--line-length=120 --target-version=py311", False),
    ],
)  # fmt: skip
def test_a_command_of_the_allowed_shapes_is_taken(line: str, arguments: str, has_targets: bool) -> None:
    words = split(line)
    command = parse(KINDS[words[0]], words)
    assert command.tool == words[0] and command.kind == KINDS[words[0]]
    assert list(command.arguments) == (split(arguments) if arguments else [])
    assert command.has_targets == has_targets


REFUSED = [
    # another tool, or none
    "", " ", "sh", "python", "python -m pytest", "tox", "pylint", "/usr/bin/pytest", "./pytest", "PYTEST", "pytest3", "py.test",
    # plugins, settings and roots from elsewhere
    "pytest -p os", "pytest -pos", "pytest -p no:cacheprovider", "pytest -c /etc/passwd", "pytest -c x.ini", "pytest --rootdir=/",
    "pytest --rootdir /", "pytest --confcutdir=/", "pytest -o addopts=x", "pytest --override-ini=x=y", "pytest --pyargs os",
    "pytest -W error", "pytest --import-mode=os", "pytest -k", "pytest -m", "pytest --assert=plain",
    # what writes, looks for nothing, or says nothing of failures
    "pytest --junitxml=/tmp/x", "pytest --junit-xml=x", "pytest --basetemp=/fn", "pytest --log-file=x", "pytest --debug=x",
    "pytest --pastebin=all", "pytest --collect-only", "pytest --co", "pytest --version", "pytest --help", "pytest -h",
    "pytest --fixtures", "pytest --setup-plan", "pytest --cache-clear", "pytest --pdb", "pytest --trace", "pytest -n 4",
    "pytest --maxfail=-1", "pytest --maxfail=1e9", "pytest --maxfail=12345", "pytest --maxfail", "pytest --maxfail 1",
    "pytest --tb=x", "pytest --tb=", "pytest --deselect=x", "pytest --ignore=x", "pytest --",
    # paths
    "pytest /", "pytest /etc", "pytest ..", "pytest ../x", "pytest tests/../../x", "pytest tests/..", "pytest ~", "pytest ~/x",
    "pytest $HOME", "pytest *.py", "pytest @args", "pytest -", "pytest a\0b", "pytest a\nb", "pytest a␣b", "pytest a\\b",
    "pytest ", "pytest tést.py", "pytest x;id", "pytest x|id", "pytest x&", "pytest `id`", "pytest $(id)", "pytest >x",
    "pytest tests::../x", "pytest ../x::test_a", "pytest x::a␣b", "pytest http://x", "pytest //etc",
    # expressions
    "pytest -k -p", "pytest -k $x", "pytest -k a;b", "pytest -k a\nb", "pytest -k a`b`", "pytest -k a\\b", "pytest -k  -q",
    "pytest -k=x", "pytest -kx", "pytest -m {x}", "pytest -m é",
    # unittest
    "unittest discover /", "unittest discover tests", "unittest discover -s /", "unittest discover -s ..", "unittest discover -s",
    "unittest -s tests", "unittest discover -t .", "unittest discover -p *.py", "unittest --locals", "unittest -c", "unittest ../x",
    "unittest discover -s -v", "unittest discover discover",
    # mypy
    "mypy -p os", "mypy -m os", "mypy -c print()", "mypy --config-file=/x", "mypy --config-file /x", "mypy --cache-dir=x",
    "mypy --custom-typeshed-dir=x", "mypy --python-executable=/x", "mypy --install-types", "mypy --non-interactive",
    "mypy --html-report=x", "mypy --junit-xml=x", "mypy --plugins=x", "mypy --exclude=x", "mypy @x", "mypy --shadow-file",
    "mypy --enable-error-code=", "mypy --enable-error-code=X", "mypy --enable-error-code=a,b", "mypy --follow-imports=all",
    "mypy --pdb", "mypy --strict=1", "mypy /", "mypy --ignore-errors", "mypy -v=1",
    # ruff
    "ruff format", "ruff --fix", "ruff check --fix", "ruff check --fix-only", "ruff check --unsafe-fixes", "ruff --config=x",
    "ruff check --config x", "ruff check --isolated", "ruff check --exit-zero", "ruff check -e", "ruff check -o x",
    "ruff check --output-file=/x", "ruff check --add-noqa", "ruff check --watch", "ruff check --cache-dir=x", "ruff check --diff",
    "ruff check --select", "ruff check --select=", "ruff check --select=e", "ruff check --select E", "ruff check --select=E,",
    "ruff check --select=E␣F", "ruff check --select=ABCDEFGHI", "ruff check --select=E123456", "ruff check --ignore=*",
    "ruff check -", "ruff check --stdin-filename=x", "ruff check --exclude=x", "ruff check --target-version=py27",
    "ruff check --show-files", "ruff check /etc", "ruff check ../x",
]  # fmt: skip


@pytest.mark.parametrize("line", [line for line in REFUSED if line not in ("ruff format",)])
def test_anything_else_is_refused(line: str) -> None:
    words = split(line)
    with pytest.raises(Fault) as caught:
        parse(KINDS.get(words[0], "test"), words)
    assert caught.value.code == "check-refused"
    what, separator, fix = caught.value.message.partition("; ")
    assert what and separator and fix and caught.value.message.isprintable() and len(caught.value.message) < 700


def test_a_word_behind_ruff_that_is_no_verb_of_ours_is_a_path() -> None:
    assert parse("lint", ["ruff", "format"]) == ("lint", "ruff", ("format",), True)


@pytest.mark.parametrize(("kind", "tool"), [("test", "mypy"), ("type", "pytest"), ("lint", "mypy"), ("type", "ruff"), ("lint", "unittest")])  # fmt: skip
def test_a_tool_is_not_taken_for_another_kind(kind: str, tool: str) -> None:
    with pytest.raises(Fault, match=f"gate.{kind}"):
        parse(kind, [tool])


@pytest.mark.parametrize("kind", ["", "TEST", "build", "test\n", "x" * 10_000])
def test_a_kind_that_is_not_known_is_refused(kind: str) -> None:
    with pytest.raises(Fault) as caught:
        parse(kind, ["pytest"])
    assert caught.value.code == "check-refused" and len(caught.value.message) < 200


def test_nothing_is_no_command() -> None:
    with pytest.raises(Fault, match=r"gate\.test: nothing is no tool for it; write pytest or unittest"):
        parse("test", [])


def test_the_words_are_counted() -> None:
    assert parse("test", ["pytest", *["-v"] * (MOST_WORDS - 1)]).arguments
    with pytest.raises(Fault, match="more than 64 words"):
        parse("test", ["pytest", *["-v"] * MOST_WORDS])


@pytest.mark.parametrize("words", [["{}"], ["-k", "{}"], ["--tb={}"]], ids=range(3))
def test_a_word_has_a_length(words: list[str]) -> None:
    long = [word.format("a" * (LONGEST_WORD + 1)) for word in words]
    with pytest.raises(Fault):
        parse("test", ["pytest", *long])
    if words[0] != "--tb={}":
        assert parse("test", ["pytest", *(word.format("a" * LONGEST_WORD) for word in words)])


def test_a_refusal_shows_a_word_without_what_a_terminal_would_obey() -> None:
    with pytest.raises(Fault) as caught:
        parse("test", ["pytest", "\x1b[31mred\r\n" + "x" * 200])
    assert "`?[31mred??x" in caught.value.message and caught.value.message.isprintable()


def test_a_refused_option_is_told_what_can_be_given() -> None:
    with pytest.raises(Fault) as caught:
        parse("lint", ["ruff", "--fix"])
    assert "ruff is not run with `--fix`" in caught.value.message and "--select=VALUE" in caught.value.message
