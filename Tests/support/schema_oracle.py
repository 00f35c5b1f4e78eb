"""What PyPI's jsonschema makes of schemas and documents (Draft202012Validator), with numbers taken exactly.

Runs in the environment that scripts/test-tools makes. Each line of standard input is a list: a schema's path, then those of documents.
Each line of standard output has a verdict for each document, or the fault of the schema.
"""

from __future__ import annotations

import decimal
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, SchemaError, ValidationError
from jsonschema._utils import equal
from jsonschema.validators import extend

# Remainders of 1e400 by 1e-400 included.
decimal.setcontext(decimal.Context(prec=4000, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN))


def unique_items(_validator: Any, wanted: bool, items: Any, _schema: Any) -> Iterator[ValidationError]:
    """Each with each: the library's own sorts first, and takes `[1]` and `[true]` for neighbours that need no further look."""
    if wanted and isinstance(items, list):
        for at, item in enumerate(items):
            if any(equal(item, other) for other in items[:at]):
                yield ValidationError("twice")


Exact = extend(Draft202012Validator, {"uniqueItems": unique_items})


def number(text: str) -> decimal.Decimal | int:
    """To the library a Decimal is a number, and never a whole one."""
    exact = decimal.Decimal(text)
    return int(exact) if exact == exact.to_integral_value() else exact


def load(path: str) -> Any:
    return json.loads(Path(path).read_bytes(), parse_float=number)


def main() -> None:
    documents: dict[str, Any] = {}
    for line in sys.stdin:
        schema_path, *paths = json.loads(line)
        schema = load(schema_path)
        try:
            Exact.check_schema(schema)
        except SchemaError as error:
            print(json.dumps(error.message), flush=True)
            continue
        validator = Exact(schema)
        for path in paths:
            if path not in documents:
                documents[path] = load(path)
        print(json.dumps([validator.is_valid(documents[path]) for path in paths]), flush=True)


if __name__ == "__main__":
    main()
