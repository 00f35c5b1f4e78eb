"""The form in which a fault reaches the server."""

import ast
from pathlib import Path

from casemate_runtime import faults
from casemate_runtime.faults import Fault, advised, failed

HERE = Path(faults.__file__).parent


def test_a_message_is_parted_at_the_first_semicolon_whatever_an_author_wrote() -> None:
    message = advised("six ; --pre; x: no", "write six; or leave it out")
    assert message.partition("; ") == ("six ;--pre;x: no", "; ", "write six; or leave it out")
    fault = failed("the index is gone", "try again", "output")
    assert (fault.code, fault.message, fault.body) == ("dependencies-failed", "the index is gone; try again", "output")


def test_meta_has_four_fields_however_they_are_written() -> None:
    assert Fault("a", "b\0c", "d\0", 3).meta() == b"a\0d\\0\x003\0b\\0c"


def test_every_fault_of_packages_says_what_to_do() -> None:
    """All are made by `failed` or `refused`, which ask for it."""
    bare = []
    for file in sorted(HERE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Fault"):
                code = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
                if code in ("dependencies-failed", "requirements-refused"):
                    message = node.args[1]
                    if not (isinstance(message, ast.Call) and getattr(message.func, "id", "") == "advised"):
                        bare.append(f"{file.name}:{node.lineno}")
    assert bare == []
