"""What is found in Kyma's manifests, as files and within Terraform."""

from pathlib import Path

import pytest
from gate_projects_support import Case, check, found

FUNCTION = "apiVersion: serverless.kyma-project.io/v1alpha2\nkind: Function\nmetadata:\n  name: rest\n"
LIMITS = "  resourceConfiguration:\n    function: {profile: S}\n"
SOUND = f"""{FUNCTION}spec:
  runtime: python312
{LIMITS}  env:
    - name: DB_PASSWORD
      valueFrom:
        secretKeyRef: {{name: db, key: password}}
    - name: REGION
      value: north
  source:
    inline:
      source: |
        import os
        password = os.environ["DB_PASSWORD"]
        def main(event, context):
            return "ok"
"""
RULE = "apiVersion: gateway.kyma-project.io/v2\nkind: APIRule\nmetadata: {name: rest}\nspec:\n  rules:\n"
SOUND_RULE = f"""{RULE}    - path: /*
      methods: [GET]
      jwt:
        authentications: [{{issuer: https://a.example, jwksUri: https://a.example/keys}}]
        authorizations: [{{requiredScopes: ["fn:plant/rest"]}}]
"""
OLD_RULE = RULE.replace("/v2", "/v1beta1")
GIT = "  source:\n    gitRepository:\n      baseDir: /\n"
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\n"

CASES = [
    Case(
        "kyma/secret-in-env",
        "HIGH",
        "KYM-9",
        "k8s/function.yaml",
        f"{FUNCTION}spec:\n  env:\n    - name: DB_PASSWORD\n      value: hunter22  # HERE\n",
        SOUND,
    ),
    Case(
        "kyma/secret-in-source",
        "HIGH",
        "COG-7",
        "function.yaml",
        f"""{FUNCTION}spec:
  source:
    inline:
      source: |
        API_KEY = "hunter22xyz"  # HERE

        def main(event, context):
            call(clientSecret="hunter22xyz")  # HERE
""",
        SOUND,
    ),
    Case(
        "kyma/secret-in-source",
        "HIGH",
        "COG-7",
        "old.yaml",
        "apiVersion: serverless.kyma-project.io/v1alpha1\nkind: Function\nmetadata: {name: a}\nspec:\n  source: |-\n"
        "    const config = { password: 'hunter22xyz' } // HERE\n",
        SOUND,
    ),
    Case("kyma/no-limits", "LOW", "AZR-11", "function.yaml", f"{FUNCTION}spec:  # HERE\n  runtime: python312\n", SOUND),
    Case(
        "kyma/moving-source",
        "MEDIUM",
        "COG-28",
        "function.yaml",
        f"{FUNCTION}spec:\n{LIMITS}{GIT}      reference: main  # HERE\n",
        f"{FUNCTION}spec:\n{LIMITS}{GIT}      reference: {'a1' * 20}\n",
    ),
    Case(
        "kyma/moving-source",
        "MEDIUM",
        "COG-28",
        "function.yaml",
        f"{FUNCTION}spec:\n  type: git\n  source: repository\n  reference: v1.2  # HERE\n",
        f"{FUNCTION}spec:\n  type: git\n  source: repository\n  reference: {'a1' * 20}\n",
    ),
    Case(
        "kyma/credentials-in-url",
        "HIGH",
        "COG-20",
        "function.yaml",
        f"{FUNCTION}spec:\n{GIT}      url: https://me:hunter22@git.example/a.git  # HERE\n",
        f"{FUNCTION}spec:\n{GIT}      url: https://git.example/a.git\n",
    ),
    Case(
        "kyma/own-image",
        "MEDIUM",
        "KYM-7",
        "function.yaml",
        f"{FUNCTION}spec:\n  runtimeImageOverride: registry.example/python:latest  # HERE\n",
        SOUND,
    ),
    Case(
        "kyma/old-runtime", "MEDIUM", "KYM-6", "function.yaml", f"{FUNCTION}spec:\n  runtime: nodejs18  # HERE\n", SOUND
    ),
    Case(
        "kyma/loosened-sandbox",
        "MEDIUM",
        "KYM-12",
        "function.yaml",
        f"{FUNCTION}spec:\n  containerSecurityContext:\n    privileged: true  # HERE\n    capabilities: {{add: [SYS_ADMIN]}}  # HERE\n",
        f"{FUNCTION}spec:\n  containerSecurityContext:\n    runAsNonRoot: true\n    capabilities: {{drop: [ALL]}}\n",
    ),
    Case(
        "kyma/public", "HIGH", "KYM-5", "rule.yaml", f"{RULE}    - path: /*\n      noAuth: true  # HERE\n", SOUND_RULE
    ),
    Case(
        "kyma/public",
        "HIGH",
        "KYM-5",
        "rule.yaml",
        f"{OLD_RULE}    - path: /.*\n      accessStrategies:\n        - handler: no_auth  # HERE\n        - handler: allow  # HERE\n",
        SOUND_RULE,
    ),
    Case(
        "kyma/unbound-token",
        "MEDIUM",
        "KYM-2",
        "rule.yaml",
        f"{RULE}    - path: /*\n      jwt:  # HERE\n        authentications: [{{issuer: https://a.example}}]\n",
        SOUND_RULE,
    ),
    Case(
        "kyma/unbound-token",
        "MEDIUM",
        "KYM-2",
        "rule.yaml",
        f"{OLD_RULE}    - path: /a\n      accessStrategies:\n        - handler: jwt  # HERE\n          config: {{trusted_issuers: [https://a.example]}}\n",
        f"{OLD_RULE}    - path: /a\n      accessStrategies:\n        - handler: jwt\n          config: {{required_scope: [orders]}}\n",
    ),
    Case(
        "kyma/open-cors",
        "MEDIUM",
        "AZR-11",
        "rule.yaml",
        f'{SOUND_RULE}  corsPolicy:\n    allowOrigins:\n      - regex: ".*"  # HERE\n',
        f"{SOUND_RULE}  corsPolicy:\n    allowOrigins:\n      - exact: https://shop.example\n",
    ),
    Case(
        "kyma/all-events",
        "MEDIUM",
        "KYM-11",
        "subscription.yaml",
        "apiVersion: eventing.kyma-project.io/v1alpha2\nkind: Subscription\nmetadata: {name: a}\nspec:\n  types:\n    - order.*  # HERE\n",
        "apiVersion: eventing.kyma-project.io/v1alpha2\nkind: Subscription\nmetadata: {name: a}\nspec: {types: [order.created.v1]}\n",
    ),
    Case(
        "kyma/secret-in-file",
        "HIGH",
        "SCW-12",
        "secret.yaml",
        f"{SECRET}stringData:\n  username: app\n  password: hunter22  # HERE\n---\n{SECRET}data:\n  key: aHVudGVyMjJodW50ZXI=  # HERE\n",
        f"{SECRET}stringData:\n  username: app\n  password: <password>\n---\n{SECRET}data:\n  password: Y2hhbmdlbWU=\n  key: ${{KEY}}\n",
    ),
    Case(
        "kyma/secret-in-file",
        "HIGH",
        "SCW-12",
        "list.yml",
        "apiVersion: v1\nkind: List\nitems:\n  - apiVersion: v1\n    kind: Secret\n    metadata: {name: a}\n    stringData:\n      key: hunter22  # HERE\n",
        f"{SECRET}sops: {{version: 3.8.1}}\ndata:\n  password: ENC[AES256_GCM,data:abc=]\n",
    ),
    Case(
        "kyma/secret-in-config",
        "HIGH",
        "KYM-9",
        "config.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  DB_PASSWORD: hunter22  # HERE\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  DB_HOST: db\n",
    ),
    Case(
        "kyma/secret-in-env",
        "HIGH",
        "KYM-9",
        "main.tf",
        """resource "kubernetes_manifest" "fn" {
  manifest = {
    apiVersion = "serverless.kyma-project.io/v1alpha2"
    kind = "Function"
    metadata = { name = "rest" }
    spec = {
      env = [{
        name = "DB_PASSWORD"
        value = "hunter22" # HERE
      }]
    }
  }
}
""",
        'resource "kubernetes_manifest" "fn" {\n  manifest = yamldecode(file("fn.yaml"))\n}\n',
    ),
    Case(
        "kyma/public",
        "HIGH",
        "KYM-5",
        "main.tf",
        """resource "kubectl_manifest" "rule" {
  yaml_body = <<-YAML
    apiVersion: gateway.kyma-project.io/v2
    kind: APIRule
    metadata:
      name: ${var.name}
    spec:
      rules:
        - path: /*
          noAuth: true # HERE
  YAML
}
""",
        'resource "kubectl_manifest" "rule" {\n  yaml_body = file("rule.yaml")\n}\n',
    ),
    Case(
        "terraform/secret-in-file",
        "HIGH",
        "SCW-12",
        "main.tf",
        'resource "kubernetes_secret_v1" "db" {\n  data = {\n    password = "hunter22" # HERE\n  }\n}\n',
        'resource "kubernetes_secret_v1" "db" {\n  data = {\n    password = var.password\n  }\n}\n',
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_rule_finds_its_fault_on_its_line_and_nothing_in_a_sound_file(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.mark.parametrize("text", [SOUND, SOUND_RULE])
def test_a_well_made_manifest_has_no_finding(text: str, tmp_path: Path) -> None:
    assert found(tmp_path, {"a.yaml": text}) == []


def test_yaml_of_other_kinds_is_left_alone_though_it_may_be_broken(tmp_path: Path) -> None:
    assert (
        found(tmp_path, {"secret.yaml": "kind: Secret\ndata:\n{{- range .Values.keys }}\n  a: [\n{{- end }}\n"}) == []
    )
    assert found(tmp_path, {"a.yaml": "a: [b", "b.yml": "password: hunter22\n", "c.yaml": b"\xff\xfe"}) == []


def test_credentials_of_an_address_are_masked(tmp_path: Path) -> None:
    text = f"{FUNCTION}spec:\n{LIMITS}{GIT}      url: https://me:hunter22@git.example/a.git\n"
    (hit,) = found(tmp_path, {"function.yaml": text})
    assert "https://***@git.example/a.git" in hit.what and "hunter22" not in repr(hit)
