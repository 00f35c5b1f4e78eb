"""Kubernetes manifests of Kyma: what each document is, and who looks at it."""

from __future__ import annotations

from casemate_gate.projects import kyma_access, kyma_function, kyma_secrets
from casemate_gate.projects.rules import Report
from casemate_gate.projects.tree import Node, items, text_at, value_at


def examine(document: Node, report: Report) -> None:
    group = (text_at(document, "apiVersion") or "").split("/")[0]
    match group, text_at(document, "kind"):
        case "serverless.kyma-project.io", "Function":
            kyma_function.examine(document, report)
        case "serverless.kyma-project.io", "GitRepository":
            kyma_function.examine_repository(document, report)
        case "gateway.kyma-project.io", "APIRule":
            kyma_access.examine_rule(document, report)
        case "eventing.kyma-project.io", "Subscription":
            kyma_access.examine_subscription(document, report)
        case "v1", "Secret":
            kyma_secrets.examine_secret(document, report)
        case "v1", "ConfigMap":
            kyma_secrets.examine_config(document, report)
        case "v1", "List":
            for item in items(value_at(document, "items")):
                if text_at(item, "kind") != "List":
                    examine(item, report)
