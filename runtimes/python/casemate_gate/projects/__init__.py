"""Reads projects of four ecosystems as they are, and says what in them breaks a guarantee and which line of a manifest keeps it.

**Find** the files by their names, **read** each into a tree with lines, **examine** it by the rules for its kind. A rule has an id,
a severity, the guarantee it is for, a remedy and the manifest's line; docs/scan-projects.md lists them all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from casemate_gate.findings import Finding
from casemate_gate.projects import (
    azure_app,
    azure_settings,
    cognite_handler,
    cognite_toolkit,
    files,
    hcl_tree,
    json_tree,
    kyma,
    serverless,
    syntax,
    terraform,
    yaml_tree,
)
from casemate_gate.projects.files import File
from casemate_gate.projects.rules import UNREADABLE, Report, quoted
from casemate_gate.projects.tree import Node, Unreadable, field_at

_TOOLKIT: Final = re.compile(r".+\.(function|schedule)\.ya?ml", re.IGNORECASE)
_CONFIG: Final = re.compile(r"config\.[\w-]+\.ya?ml", re.IGNORECASE)
_KUBERNETES: Final = re.compile(r"kyma-project\.io/|^\s*kind\s*:\s*[\"']?(Secret|ConfigMap)\b", re.MULTILINE)
_TOOLKIT_KEYS: Final = re.compile(r"^[-\s]*(functionPath|functionExternalId|cronExpression)\s*:", re.MULTILINE)


def examine(root: Path) -> Iterator[Finding]:
    """`root`: a project's folder, or one of its files."""
    try:
        for file in files.below(root):
            yield from _examine_file(root, file)
    except Unreadable as problem:
        report = Report(".")
        report.add(UNREADABLE, None, "files", problem.why)
        yield from report.findings


def _examine_file(root: Path, file: File) -> Iterable[Finding]:
    report = Report(file.shown)
    try:
        _read(root, file, report)
    except Unreadable as problem:
        report.add(UNREADABLE, problem.line, "file", f"{quoted(file.name)} can't be read: {problem.why}")
    except (RecursionError, MemoryError):
        report.add(UNREADABLE, None, "file", f"{quoted(file.name)} can't be read: it is nested too deep")
    return sorted(report.findings, key=lambda finding: finding.line or 0)


def _read(root: Path, file: File, report: Report) -> None:
    name = file.name.lower()
    if name.endswith((".tf", ".tofu")):
        terraform.examine(hcl_tree.read(file.text()), report)
    elif name.endswith((".tf.json", ".tofu.json")):
        terraform.examine(hcl_tree.read_json(file.text()), report)
    elif name.endswith((".tfvars", ".tfvars.json")):
        if not files.is_ignored(root, file):
            read = hcl_tree.read_json if name.endswith(".json") else hcl_tree.read
            terraform.examine_variables(read(file.text()), report)
    elif name.endswith((".tfstate", ".tfstate.backup")):
        if not files.is_ignored(root, file):
            report.add(
                terraform.STATE,
                None,
                "state",
                "a state of Terraform, which holds secrets as clear text, lies in the project",
            )
    elif name.endswith((".yml", ".yaml")):
        _read_yaml(file, report)
    elif name == "function.json":
        azure_settings.examine_function(json_tree.read(file.text()), report)
    elif name == "host.json":
        azure_settings.examine_host(json_tree.read(file.text()), report)
    elif name == "local.settings.json":
        if not files.is_ignored(root, file):
            azure_settings.examine_local(json_tree.read(file.text()), report)
    elif name.endswith(".py") and "package" not in file.folders:  # what others wrote, brought along for Scaleway
        _read_python(file, report)


def _read_yaml(file: File, report: Report) -> None:
    name = file.name.lower()
    if name in ("serverless.yml", "serverless.yaml"):
        for document in yaml_tree.read(file.text()):
            serverless.examine(document, report)
        return
    if _TOOLKIT.fullmatch(name):
        _read_toolkit(file.text(), report)
        return
    try:
        text = file.text()
    except Unreadable:
        return  # nothing says that it is of a kind that is read
    if _KUBERNETES.search(text):
        if "{{" in text and "kyma-project.io/" not in text:
            return  # a template of some chart's, which is no manifest yet
        for document in yaml_tree.read(text):
            kyma.examine(document, report)
    elif "functions" in file.folders and _TOOLKIT_KEYS.search(text):
        _read_toolkit(text, report)
    elif _CONFIG.fullmatch(name) and "environment:" in text:
        for document in yaml_tree.read(cognite_toolkit.with_variables(text)):
            if _is_toolkit_config(document):
                cognite_toolkit.examine_config(document, report)


def _read_toolkit(text: str, report: Report) -> None:
    for document in yaml_tree.read(cognite_toolkit.with_variables(text)):
        cognite_toolkit.examine(document, report)


def _is_toolkit_config(document: Node) -> bool:
    return (
        field_at(document, "environment", "project") is not None
        or field_at(document, "environment", "selected") is not None
    )


def _read_python(file: File, report: Report) -> None:
    """A file that is neither a function's nor an app's is the static checks' business alone."""
    try:
        text = file.text()
    except Unreadable:
        if file.name in ("handler.py", "function_app.py"):
            raise
        return
    is_azure = "azure.functions" in text
    if not is_azure and "def handle(" not in text:
        return
    module = syntax.parse(text)
    if is_azure:
        azure_app.examine(module, report)
    cognite_handler.examine(module, report)
