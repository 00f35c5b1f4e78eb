"""Dangerous constructs in the author's Python (AZR-15), found by bandit's rules under settings of ours."""

from __future__ import annotations

import io
import json
import re
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from bandit.core import constants
from bandit.core.config import BanditConfig
from bandit.core.meta_ast import BanditMetaAst
from bandit.core.metrics import Metrics
from bandit.core.node_visitor import BanditNodeVisitor
from bandit.core.test_set import BanditTestSet
from bandit.core.tester import BanditTester

from casemate_gate.checks.check import Part, incomplete
from casemate_gate.checks.remedies import REMEDIES
from casemate_gate.findings import Finding, Severity
from casemate_gate.subject import File, Subject, Unreadable

LARGEST: Final = 8 << 20
_HIGHER: Final = frozenset(["B102", "B301", "B302", "B307", "B323", "B501", "B506", "B602", "B604", "B614"])
"""They run what a caller sends, or trust whoever answers."""
_DROPPED: Final = [
    "B105", "B106", "B107",  # passwords: `secrets` finds these, and more
    "B401", "B402", "B403", "B404", "B405", "B406", "B407", "B408", "B409", "B410", "B411", "B412", "B415",  # imports
]  # fmt: skip
_NOSEC: Final = re.compile(r"#\s*nosec\b:?\s*([^#]*)", re.IGNORECASE)
_RULE: Final = re.compile(r"\bB\d{3}\b")
_tests: Any = None


class _Visitor(BanditNodeVisitor):  # type: ignore[misc]
    """Without the sums that bandit makes for reports of its own, which take a third of the time."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.tester = _Tester(*arguments[3:])

    def update_scores(self, scores: object) -> None:
        pass


class _Tester(BanditTester):  # type: ignore[misc]
    def run_tests(self, raw_context: object, checktype: str) -> object:
        return super().run_tests(raw_context, checktype) if self.testset.get_tests(checktype) else None


def prepare() -> None:
    """Reads the rules once. No file of a bundle's is asked for settings."""
    global _tests
    if _tests is None:
        config = BanditConfig()
        _tests = BanditTestSet(config, {"include": [], "exclude": _DROPPED})


class Sast:
    name = "sast"

    def __init__(self, part: Part = Part()) -> None:
        self._part = part

    def examine(self, subject: Subject) -> Iterable[Finding]:
        prepare()
        warnings.simplefilter("ignore")  # the compiler's, about somebody's source
        for file in subject.files:
            if not self._part.holds(file.name):
                continue
            try:
                if file.name.endswith(".ipynb"):
                    yield from self._notebook(file, subject.settings.nosec)
                elif _is_python(file):
                    content = file.read(LARGEST)
                    lines = content.decode("utf-8", "replace").splitlines()
                    yield from self._source(file, content, subject.settings.nosec, lines, None)
            except Unreadable as problem:
                yield incomplete(self.name, problem)

    def _notebook(self, file: File, nosec: bool) -> Iterator[Finding]:
        content = file.read()
        text = content.decode("utf-8", "replace")
        try:
            book = json.loads(text)
            cells = [cell for cell in book["cells"] if cell.get("cell_type") == "code"]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Unreadable(file.name, "it is no notebook", content) from None
        at = 0
        for cell in cells:
            source = cell.get("source", "")
            lines = source.splitlines() if isinstance(source, str) else [str(line).rstrip("\n") for line in source]
            numbers: list[int | None] = []
            for line in lines:
                found = text.find(json.dumps(line, ensure_ascii=False)[1:-1], at)
                found = text.find(json.dumps(line)[1:-1], at) if found < 0 else found
                at = max(at, found)
                numbers.append(text.count("\n", 0, found) + 1 if found >= 0 else None)
            # Lines for the notebook's own machinery are no Python.
            code = "\n".join("pass" if re.match(r"\s*[%!?]", line) else line for line in lines)
            if not (lines and lines[0].startswith("%%")):
                yield from self._source(file, code.encode("utf-8", "replace"), nosec, lines, numbers)

    def _source(
        self, file: File, content: bytes, nosec: bool, lines: list[str], numbers: list[int | None] | None
    ) -> Iterator[Finding]:
        comments = _comments(content) if nosec else {}
        metrics = Metrics()
        metrics.begin(file.path)
        visitor = _Visitor(file.path, io.BytesIO(content), BanditMetaAst(), _tests, False, comments, metrics)
        failed: list[tuple[str, int]] = []
        visitor.tester.report_error = lambda test, context, error: failed.append((test, context._context["lineno"]))
        try:
            visitor.process(content)
        except SyntaxError as error:
            line = error.lineno if numbers is None else None
            where = f" (line {line}: {error.msg})" if line else ""
            raise Unreadable(file.name, f"it is no valid Python{where}", content) from None
        except ValueError:
            raise Unreadable(file.name, "it is no valid Python", content) from None
        except (RecursionError, MemoryError):
            raise Unreadable(file.name, "its code is nested too deeply", content) from None
        occurrences: Counter[str] = Counter()
        for issue in visitor.tester.results:
            number = int(issue.lineno)
            # All that it spans: what is let pass is this call, and not another one that begins like it.
            last = max([number, *issue.linerange])
            text = "\n".join(line.strip() for line in lines[max(0, number - 1) : last])
            subject = f"{issue.test_id}:{text}"
            occurrences[subject] += 1
            what, fix = REMEDIES.get(
                issue.test_id, (str(issue.text), "see whether this is safe with what callers may send")
            )
            yield Finding(
                check=self.name,
                rule=str(issue.test_id),
                # Other people's code that was brought along is told of, and is not the author's to mend.
                severity=min(_severity(issue), Severity.MEDIUM) if file.is_vendored else _severity(issue),
                file=file.name,
                line=_line(number, numbers),
                what=what,
                fix=fix,
                subject=f"{subject}#{occurrences[subject]}",
                guarantee="AZR-15",
            )
        for test, number in failed:
            yield Finding(
                check=self.name,
                rule="gate/incomplete",
                severity=Severity.MEDIUM,
                file=file.name,
                line=_line(number, numbers),
                what=f"the rule {test} could not be applied to this line",
                fix="write the line in a plainer way",
                subject=test,
            )


def _severity(issue: Any) -> Severity:
    if issue.test_id in _HIGHER:
        return Severity.HIGH
    levels = {constants.HIGH: Severity.HIGH, constants.MEDIUM: Severity.MEDIUM}
    return levels.get(issue.severity, Severity.LOW)


def _line(number: int, numbers: list[int | None] | None) -> int | None:
    if numbers is None:
        return number or None
    return numbers[number - 1] if 0 < number <= len(numbers) else None


def _is_python(file: File) -> bool:
    if file.name.endswith((".py", ".pyw")):
        return True
    if "." in file.name.rpartition("/")[2] or not 8 < file.size <= LARGEST:
        return False
    first = file.read(LARGEST)[:200].partition(b"\n")[0]
    return first.startswith(b"#!") and b"python" in first


def _comments(content: bytes) -> dict[int, set[str]]:
    """What `# nosec` on a line passes over; an empty set is everything."""
    found: dict[int, set[str]] = {}
    try:
        for token in tokenize.tokenize(io.BytesIO(content).readline):
            if token.type == tokenize.COMMENT and (match := _NOSEC.search(token.string)):
                found[token.start[0]] = set(_RULE.findall(match[1]))
    except (tokenize.TokenError, SyntaxError, UnicodeDecodeError):
        pass
    return found
