"""Terraform's files: which block is looked at by whom, and what holds for all of them."""

from __future__ import annotations

from typing import Final

from casemate_gate.findings import Severity
from casemate_gate.projects import kyma, looks, terraform_azure, terraform_network, terraform_scaleway, yaml_tree
from casemate_gate.projects.clear_values import check_clear, check_secret
from casemate_gate.projects.hcl_tree import Block, Document, blocks_at
from casemate_gate.projects.rules import UNREADABLE, Report, Rule, quoted
from casemate_gate.projects.tree import Node, Text, Unreadable, field_at, is_true, text_of, value_at

SECRET_IN_FILE: Final = Rule(
    "terraform/secret-in-file",
    Severity.HIGH,
    "SCW-12",
    "replace the secret, and give it by an environment variable or a vault",
    "secrets: [{name}]",
)
SHOWN_VARIABLE: Final = Rule(
    "terraform/shown-variable",
    Severity.LOW,
    "SCW-13",
    "write sensitive = true, or ephemeral = true",
    "secrets: [{name}]",
)
STATE: Final = Rule(
    "terraform/state-in-project",
    Severity.MEDIUM,
    "SCW-13",
    "keep the state in a backend with access control, and replace the secrets that the file has",
)


def examine(document: Document, report: Report) -> None:
    for block in document.blocks:
        match block.kind:
            case "resource" if len(block.labels) == 2:
                _examine_resource(block, report)
            case "provider":
                check_clear(report, block.body, f"provider.{'.'.join(block.labels)}", SECRET_IN_FILE)
            case "terraform":
                for backend in blocks_at(block.body, "backend"):
                    check_clear(report, backend, "terraform.backend", SECRET_IN_FILE)
            case "locals":
                check_clear(report, block.body, "locals", SECRET_IN_FILE)
            case "variable" if block.labels:
                _examine_variable(block, report)


def examine_variables(document: Document, report: Report) -> None:
    """A file of values, `*.tfvars`."""
    check_clear(report, document.attributes, "variables", SECRET_IN_FILE)
    for key, value in document.attributes.pairs:
        if isinstance(key, Text):
            check_clear(report, value, f"variables.{key.text}", SECRET_IN_FILE)


def _examine_resource(block: Block, report: Report) -> None:
    kind, where = block.labels[0], ".".join(block.labels)
    if kind.startswith("scaleway_"):
        terraform_scaleway.examine(block, report)
    elif kind in terraform_azure.FUNCTION_APPS:
        terraform_azure.examine(block, report)
    elif kind in ("kubernetes_secret", "kubernetes_secret_v1"):
        check_secret(report, value_at(block.body, "data"), f"{where}.data", SECRET_IN_FILE)
    elif kind in ("kubernetes_manifest", "kubectl_manifest"):
        _examine_manifest(block, report)
    terraform_network.examine(block, report)


def _examine_manifest(block: Block, report: Report) -> None:
    """A manifest of Kubernetes, as HCL or as the text of one."""
    for name in ("manifest", "yaml_body"):
        node: Node | None = value_at(block.body, name)
        if not isinstance(node, Text):
            if node is not None:
                kyma.examine(node, report)
            continue
        try:
            documents = yaml_tree.read(node.text, node.lines_from or node.line)
        except Unreadable as problem:
            if "${" not in node.text and "%{" not in node.text:
                what = f"the {name} of {'.'.join(block.labels)} can't be read: {problem.why}"
                report.add(UNREADABLE, problem.line, ".".join(block.labels), what)
            continue
        for document in documents:
            kyma.examine(document, report)


def _examine_variable(block: Block, report: Report) -> None:
    name = block.labels[0]
    default = field_at(block.body, "default")
    value = text_of(default.value) if default else None
    if default and value and looks.is_exposed(name, value):
        what = f"the default of the variable {quoted(name)} looks like a secret, and is written in the file"
        report.add(SECRET_IN_FILE, default.line, f"variable.{name}", what, name.upper())
    is_hidden = any(is_true(value_at(block.body, key)) for key in ("sensitive", "ephemeral"))
    if looks.has_secret_name(name) and not is_hidden:
        what = f"the variable {quoted(name)} is shown in plans and logs"
        report.add(SHOWN_VARIABLE, block.line, f"variable.{name}", what, name.upper())
