"""Goes over a mapping of names to values in which secrets have no place, or only as references."""

from __future__ import annotations

from casemate_gate.projects import looks
from casemate_gate.projects.rules import Report, Rule, quoted
from casemate_gate.projects.tree import Node, Text, Unknown, fields, text_of


def check_clear(report: Report, node: Node | None, where: str, clear: Rule, passed: Rule | None = None) -> None:
    """`clear`: a secret is written there. `passed`: it comes from elsewhere, but the platform keeps it as clear text there."""
    for item in fields(node):
        value = text_of(item.value)
        if value is not None and looks.is_exposed(item.name, value):
            what = f"{where}: the value of {quoted(item.name)} looks like a secret, and is written in the file"
            report.add(clear, item.line, f"{where}.{item.name}", what, item.name)
        elif passed and looks.has_secret_name(item.name) and _is_passed(item.value):
            what = f"{where}: {quoted(item.name)} is handed over as a plain variable, which is kept as clear text"
            report.add(passed, item.line, f"{where}.{item.name}", what, item.name)


def check_secret(report: Report, node: Node | None, where: str, rule: Rule) -> None:
    """Where all values are secrets: each that is no reference."""
    for item in fields(node):
        value = text_of(item.value)
        if value is not None and looks.is_written_out(item.name, value):
            what = f"{where}: the value of the secret {quoted(item.name)} is written in the file"
            report.add(rule, item.line, f"{where}.{item.name}", what, item.name)


def _is_passed(value: Node) -> bool:
    """A reference to a value, not to a vault which the platform asks itself."""
    if isinstance(value, Unknown):
        return not value.source.startswith(("true", "false"))
    return isinstance(value, Text) and looks.is_reference(value.text) and value.text.lstrip().startswith(("$", "{{"))
