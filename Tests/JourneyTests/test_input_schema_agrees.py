"""`casemate schema check` says of documents what PyPI's jsonschema says, for schemas by hand and by chance."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from casemate_fixture import REPOSITORY, binary, clean_environment
from schema_cases import AGREED, ECMA_ONLY, NO_DOCUMENTS, REFUSED, Case

PYTHON = Path(os.environ.get("CASEMATE_TEST_PYTHON") or REPOSITORY / ".build/test-venv/bin/python3")
ORACLE = REPOSITORY / "Tests/support/schema_oracle.py"


@dataclass
class Checked:
    """What the command said of each document, by its path."""

    code: int
    answers: dict[str, dict[str, Any]]
    err: str

    def verdicts(self, paths: Sequence[str]) -> list[bool]:
        return [self.answers[path]["valid"] for path in paths]


def check(schema: Path, inputs: Sequence[str]) -> Checked:
    done = subprocess.run(
        [str(binary()), "schema", "check", str(schema), *inputs, "--json"],
        env=clean_environment(),
        capture_output=True,
        timeout=60,
    )
    answers = [json.loads(line) for line in done.stdout.decode().splitlines()]
    checked = Checked(done.returncode, {answer["input"]: answer for answer in answers}, done.stderr.decode())
    if checked.code in (0, 1):
        assert [answer["input"] for answer in answers] == list(inputs)
        assert checked.code == (0 if all(checked.verdicts(inputs)) else 1)
        for answer in answers:
            assert set(answer) == {"input", "valid"} | (set() if answer["valid"] else {"pointer", "keyword", "problem"})
    return checked


def ask_oracle(questions: Iterable[tuple[Path, Sequence[str]]]) -> list[Any]:
    asked = "".join(json.dumps([str(schema), *inputs]) + "\n" for schema, inputs in questions)
    done = subprocess.run([str(PYTHON), str(ORACLE)], input=asked.encode(), capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


class Folder:
    """Texts in files of their own, each text once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[bytes, Path] = {}

    def __call__(self, text: str | bytes) -> Path:
        data = text.encode() if isinstance(text, str) else text
        if data not in self.known:
            self.known[data] = self.path / f"{len(self.known)}.json"
            self.known[data].write_bytes(data)
        return self.known[data]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def told_apart(cases: Iterable[Case], folder: Folder) -> list[tuple[Path, list[str]]]:
    """Checks each case by what it expects itself."""
    questions: list[tuple[Path, list[str]]] = []
    for schema, good, bad in cases:
        path, inputs = folder(schema), [str(folder(text)) for text in [*good, *bad]]
        checked = check(path, inputs)
        assert checked.code in (0, 1), f"{schema}: {checked.err}"
        for text, verdict, expected in zip(
            [*good, *bad], checked.verdicts(inputs), [True] * len(good) + [False] * len(bad)
        ):
            assert verdict == expected, f"{schema} and {text}: {checked.answers[str(folder(text))]}"
        questions.append((path, inputs))
    return questions


def test_schemas_by_hand_are_read_as_jsonschema_reads_them(folder: Folder) -> None:
    questions = told_apart(AGREED, folder)
    for (schema, good, bad), verdicts in zip(AGREED, ask_oracle(questions)):
        assert verdicts == [True] * len(good) + [False] * len(bad), schema


def test_patterns_are_those_of_ecma_262_where_python_differs(folder: Folder) -> None:
    told_apart(ECMA_ONLY, folder)


def test_what_two_parsers_would_take_for_two_documents_is_none(folder: Folder) -> None:
    inputs = [str(folder(data)) for data in NO_DOCUMENTS]
    checked = check(folder("true"), inputs)
    assert checked.code == 1
    for data, verdict in zip(NO_DOCUMENTS, checked.verdicts(inputs)):
        assert not verdict, data[:60]


def test_a_schema_that_would_not_be_checked_in_full_is_refused_with_its_place(folder: Folder) -> None:
    document = str(folder("1"))
    for schema, place in REFUSED:
        checked = check(folder(schema), [document])
        assert checked.code == 2 and not checked.answers, schema
        assert place in checked.err, f"{schema}: {checked.err}"


def test_no_answer_quotes_a_value(folder: Folder) -> None:
    secret = "s3cr3t-7f3a"
    for schema in (
        '{"type": "integer"}',
        '{"const": 1}',
        '{"pattern": "^x$"}',
        '{"maxLength": 2}',
        '{"not": {"type": "string"}}',
        '{"anyOf": [{"const": "a"}, {"minLength": 99}]}',
        '{"oneOf": [{}, {}]}',
        "false",
    ):
        answer = check(folder(schema), [str(folder(json.dumps(secret)))])
        assert answer.code == 1 and secret not in str(answer.answers) + answer.err, answer


# ---------------------------------------------------------------- by chance

NAMES = ["a", "b", "ab", "c", "é"]
TEXTS = ["", "a", "ab", "abc", "é", "1", "foo-12", "😀"]
NUMBERS: list[Any] = [-2, -1, 0, 1, 2, 3, 5, 10, 0.1, 0.3, 0.5, 1.0, 1.5, 2.5, -0.5, 100, 9007199254740993]
PATTERNS = ["a", "^a", "b$", "^[a-c]+$", "^\\d+$", "o{2}", "^(a|b)*$", "-", "^.?$", "[^a]"]


class Chance:
    """Schemas and documents over the same few names and values, so that they have to do with each other."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def some(self, make: Callable[[], Any], most: int, least: int = 0) -> list[Any]:
        return [make() for _ in range(self.random.randint(least, most))]

    def names(self, most: int) -> list[str]:
        return self.random.sample(NAMES, self.random.randint(0, most))

    def document(self, depth: int = 3) -> Any:
        kinds = ["null", "flag", "number", "number", "text", "text"] + ["list", "object"] * (2 if depth > 0 else 0)
        match self.random.choice(kinds):
            case "null":
                return None
            case "flag":
                return self.random.random() < 0.5
            case "number":
                return self.random.choice(NUMBERS)
            case "text":
                return self.random.choice(TEXTS)
            case "list":
                return self.some(lambda: self.document(depth - 1), 4)
            case _:
                return {name: self.document(depth - 1) for name in self.names(4)}

    def schema(self, depth: int = 3, *, in_data: bool = False, root: bool = False) -> Any:
        """`in_data`: a reference from here leads through the data first, so that it ends."""
        if not root and self.random.random() < 0.1:
            return self.random.random() < 0.8
        keywords = self.keywords(depth, in_data)
        chosen = self.random.sample(sorted(keywords), self.random.randint(1, 4))
        schema: dict[str, Any] = {}
        for keyword in chosen:
            schema[keyword] = keywords[keyword]()
        if "additionalProperties" in schema and self.random.random() < 0.7:
            schema.setdefault("properties", keywords["properties"]())
        if root:
            schema["$defs"] = {"x": self.schema(2), "y": self.schema(1)}
        return schema

    def keywords(self, depth: int, in_data: bool) -> dict[str, Callable[[], Any]]:
        chance = self.random
        scalars: dict[str, Callable[[], Any]] = {
            "type": lambda: chance.choice(
                [
                    "null",
                    "boolean",
                    "integer",
                    "number",
                    "string",
                    "array",
                    "object",
                    ["string", "null"],
                    ["array", "object", "number"],
                ]
            ),
            "const": lambda: self.document(2),
            "enum": lambda: self.some(lambda: self.document(1), 6, 1),
            "minimum": lambda: chance.choice(NUMBERS),
            "maximum": lambda: chance.choice(NUMBERS),
            "exclusiveMinimum": lambda: chance.choice(NUMBERS),
            "exclusiveMaximum": lambda: chance.choice(NUMBERS),
            "multipleOf": lambda: chance.choice([1, 2, 3, 0.1, 0.5, 0.3, 1.0]),
            "minLength": lambda: chance.randint(0, 4),
            "maxLength": lambda: chance.randint(0, 4),
            "pattern": lambda: chance.choice(PATTERNS),
            "minItems": lambda: chance.randint(0, 3),
            "maxItems": lambda: chance.randint(0, 3),
            "uniqueItems": lambda: True,
            "minProperties": lambda: chance.randint(0, 3),
            "maxProperties": lambda: chance.randint(0, 3),
            "required": lambda: self.names(2),
            "dependentRequired": lambda: {name: self.names(2) for name in self.names(2)},
        }
        if depth <= 0:
            return scalars

        def here() -> Any:
            return self.schema(depth - 1, in_data=in_data)

        def within() -> Any:
            return self.schema(depth - 1, in_data=True)

        nested: dict[str, Callable[[], Any]] = {
            "properties": lambda: {name: within() for name in self.names(4)},
            "patternProperties": lambda: {pattern: within() for pattern in chance.sample(PATTERNS, 2)},
            "additionalProperties": lambda: chance.choice([False, within()]),
            "propertyNames": within,
            "items": within,
            "prefixItems": lambda: self.some(within, 3, 1),
            "contains": within,
            "minContains": lambda: chance.randint(0, 2),
            "maxContains": lambda: chance.randint(0, 2),
            "allOf": lambda: self.some(here, 3, 1),
            "anyOf": lambda: self.some(here, 3, 1),
            "oneOf": lambda: self.some(here, 3, 1),
            "not": here,
            "if": here,
            "then": here,
            "else": here,
            "dependentSchemas": lambda: {name: here() for name in self.names(2)},
        }
        if in_data:
            nested["$ref"] = lambda: chance.choice(["#", "#/$defs/x", "#/$defs/y"])
        return {**scalars, **nested}

    def number(self) -> str:
        """Digits and exponents that a double would not hold, and few enough that two are sometimes equal."""
        whole = self.random.choice(
            ["0", "1", "2", "10", "12", "123", "9007199254740993", "123456789012345678901234567890"]
        )
        fraction = self.random.choice(["", "", ".0", ".5", ".50", ".25", ".1", ".000000000000000000000000001"])
        exponent = self.random.choice(["", "", "", "e0", "e1", "E+2", "e-1", "e-2", "e25", "e-25", "e400", "e-400"])
        return self.random.choice(["", "", "-"]) + whole + fraction + exponent

    def pattern(self, depth: int = 2) -> str:
        """In words that Python and ECMA-262 read alike."""
        parts = []
        for _ in range(self.random.randint(1, 3)):
            kinds = ["char", "char", "class", "dot", "escape"] + ["group", "look", "anchor"] * (depth > 0)
            kind = self.random.choice(kinds)
            match kind:
                case "char":
                    part = self.random.choice("abc-1 ")
                case "class":
                    part = self.random.choice(["[ab]", "[^a]", "[a-c]", "[-1]", "[^\\d]", "[\\w-]", "[b\\s]"])
                case "dot":
                    part = "."
                case "escape":
                    part = self.random.choice(["\\d", "\\w", "\\s", "\\D", "\\W", "\\S", "\\.", "\\-"])
                case "group":
                    branches = "|".join(self.pattern(depth - 1) for _ in range(self.random.randint(1, 3)))
                    part = self.random.choice(["(", "(?:"]) + branches + ")"
                case "look":
                    part = self.random.choice(["(?=", "(?!"]) + self.pattern(depth - 1) + ")"
                case _:
                    part = self.random.choice(["^", "$", "\\b"])
            if kind not in ("look", "anchor"):
                part += self.random.choice(["", "", "", "*", "+", "?", "{2}", "{1,2}", "*?", "+?"])
            parts.append(part)
        return "".join(parts)


def agree(folder: Folder, schemas: Sequence[Path], inputs: Sequence[str]) -> None:
    told = [check(schema, inputs) for schema in schemas]
    for schema, checked, verdicts in zip(schemas, told, ask_oracle(zip(schemas, itertools.repeat(inputs)))):
        assert checked.code in (0, 1), f"{schema.read_text()}: {checked.err}"
        for path, ours, theirs in zip(inputs, checked.verdicts(inputs), verdicts):
            assert ours == theirs, f"{schema.read_text()} and {Path(path).read_text()}: {checked.answers[path]}"


@pytest.mark.parametrize("seed", range(4))
def test_schemas_by_chance_are_read_as_jsonschema_reads_them(folder: Folder, seed: int) -> None:
    chance = Chance(seed)
    inputs = sorted({str(folder(json.dumps(chance.document()))) for _ in range(150)})
    agree(folder, [folder(json.dumps(chance.schema(root=True))) for _ in range(40)], inputs)


def test_numbers_by_chance_are_compared_exactly(folder: Folder) -> None:
    chance = Chance(17)
    inputs = sorted({str(folder(chance.number())) for _ in range(200)})
    schemas = []
    for keyword in ("const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        schemas += [folder(f'{{"{keyword}": {chance.number()}}}') for _ in range(8)]
    for divisor in ("1", "0.1", "0.25", "3", "1.5", "12", "1e-27", "1e25", "123456789012345678", "7e-400", "9e400"):
        schemas.append(folder(f'{{"multipleOf": {divisor}}}'))
    agree(folder, [*schemas, folder('{"type": "integer"}')], inputs)


def test_patterns_by_chance_find_what_python_finds(folder: Folder) -> None:
    chance = Chance(23)
    texts = {"".join(chance.random.choices("abc-1 ", k=chance.random.randint(0, 8))) for _ in range(200)}
    inputs = [str(folder(json.dumps(text))) for text in sorted(texts)]
    agree(folder, [folder(json.dumps({"pattern": chance.pattern()})) for _ in range(60)], inputs)
