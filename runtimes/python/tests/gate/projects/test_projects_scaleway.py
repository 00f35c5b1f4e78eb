"""What is found in projects for Scaleway: `serverless.yml`, and Terraform."""

from pathlib import Path

import pytest
from gate_projects_support import Case, check, found

HEAD = "service: orders\nprovider:\n  name: scaleway\n  runtime: python311\n"
FUNCTION = "functions:\n  first:\n    handler: handler.handle\n"
SOUND = f"{HEAD}{FUNCTION}    privacy: private\n    httpOption: redirected\n    timeout: 20s\n    maxScale: 5\n"

RESOURCE = 'resource "scaleway_function" "main" {\n'
SOUND_RESOURCE = f"""{RESOURCE}  namespace_id = scaleway_function_namespace.main.id
  privacy = "private"
  runtime = "python312"
  handler = "handler.handle"
  http_option = "redirected"
  timeout = 20
  max_scale = 5
}}
"""

SERVERLESS = [
    Case(
        "scaleway/public",
        "HIGH",
        "SCW-20",
        "serverless.yml",
        f"{HEAD}functions:\n  first:  # HERE\n    handler: a.b\n",
        SOUND,
    ),
    Case(
        "scaleway/public",
        "HIGH",
        "SCW-20",
        "api/serverless.yaml",
        f"{HEAD}{FUNCTION}    privacy: public  # HERE\n",
        f"{HEAD}{FUNCTION}    privacy: ${{env:PRIVACY}}\n",
    ),
    Case(
        "scaleway/secret-in-env",
        "HIGH",
        "SCW-5",
        "serverless.yml",
        f"""{HEAD}  env:
    REGION: fr-par
    DB_PASSWORD: hunter22  # HERE
    URL: postgres://app:hunter22@db/orders  # HERE
{FUNCTION}    env: {{
      KEY_ID: AKIAQWERTYUIOPASDFGH,  # HERE
      API_KEY: "${{env:API_KEY, 'sk_live_abcdefghijkl'}}"}}  # HERE
""",
        f"{SOUND}    env: {{REGION: fr-par, TOKEN_URL: https://a.example/t, DB_PASSWORD: <your password>}}\n",
    ),
    Case(
        "scaleway/secret-in-env",
        "HIGH",
        "SCW-5",
        "serverless.yml",
        f"x: &shared\n  DB_PASSWORD: hunter22  # HERE\n{HEAD}{FUNCTION}    env:\n      <<: *shared\n",
        SOUND,
    ),
    Case(
        "scaleway/secret-through-env",
        "MEDIUM",
        "SCW-5",
        "serverless.yml",
        f"{HEAD}{FUNCTION}    env:\n      DB_PASSWORD: ${{env:DB_PASSWORD}}  # HERE\n",
        f"{SOUND}    secret:\n      DB_PASSWORD: ${{env:DB_PASSWORD}}\n",
    ),
    Case(
        "scaleway/secret-in-file",
        "HIGH",
        "SCW-10",
        "serverless.yml",
        f"""{HEAD}  scwToken: 11111111-2222-3333-4444-555555555555  # HERE
  secret:
    API_KEY: "correct horse"  # HERE
{FUNCTION}    secret:
      OTHER: ${{env:OTHER, "correct horse"}}  # HERE
""",
        f"{HEAD}  scwToken: ${{env:SCW_SECRET_KEY}}\n  secret: {{A: '${{A}}', B: '${{env:B}}', PORT: 5432, C: your key}}\n",
    ),
    Case(
        "scaleway/plain-http",
        "LOW",
        "AZR-11",
        "serverless.yml",
        f"{HEAD}{FUNCTION}    httpOption: enabled  # HERE\n",
        SOUND,
    ),
    Case(
        "scaleway/no-limits",
        "LOW",
        "AZR-11",
        "serverless.yml",
        f"{HEAD}functions:\n  first:  # HERE\n    handler: a.b\n",
        SOUND,
    ),
    Case(
        "scaleway/old-runtime",
        "MEDIUM",
        "AZR-7",
        "serverless.yml",
        f"service: a\nprovider:\n  name: scaleway\n  runtime: python38  # HERE\n{FUNCTION}    runtime: node16  # HERE\n",
        SOUND,
    ),
]

TERRAFORM = [
    Case(
        "terraform/public", "HIGH", "SCW-21", "main.tf", f'{RESOURCE}  privacy = "public" # HERE\n}}\n', SOUND_RESOURCE
    ),
    Case(
        "terraform/public",
        "HIGH",
        "SCW-21",
        "main.tf.json",
        '{"resource": {"scaleway_function": {"main": {\n"privacy": "public" // HERE\n}}}}',
        '{"resource": {"scaleway_function": [{"main": {"privacy": "private"}}]}}',
    ),
    Case(
        "terraform/secret-in-env",
        "HIGH",
        "SCW-5",
        "main.tf",
        f"""{RESOURCE}
  environment_variables = merge({{
    "DB_PASSWORD" = "hunter22" # HERE
    URL = "postgres://app:${{var.password}}@db"
  }}, var.more)
}}
resource "scaleway_function_namespace" "all" {{
  environment_variables = {{
    TOKEN = "hunter22" # HERE
  }}
}}
""",
        SOUND_RESOURCE,
    ),
    Case(
        "terraform/secret-through-env",
        "MEDIUM",
        "SCW-5",
        "main.tf",
        f"{RESOURCE}  environment_variables = {{\n    DB_PASSWORD = var.db_password # HERE\n  }}\n}}\n",
        f"{RESOURCE}  secret_environment_variables = {{\n    DB_PASSWORD = var.db_password\n  }}\n}}\n",
    ),
    Case(
        "terraform/secret-literal",
        "HIGH",
        "SCW-13",
        "main.tf",
        f'{RESOURCE}  secret_environment_variables = {{\n    KEY = "correct horse" # HERE\n  }}\n}}\n',
        f"{RESOURCE}  secret_environment_variables = {{ KEY = var.key }}\n}}\n",
    ),
    Case(
        "terraform/plain-http",
        "LOW",
        "AZR-11",
        "main.tf",
        f'{RESOURCE}  http_option = "enabled" # HERE\n}}\n',
        SOUND_RESOURCE,
    ),
    Case(
        "terraform/no-limits",
        "LOW",
        "AZR-11",
        "main.tf",
        f"{RESOURCE[:-1]} # HERE\n  timeout = 10\n}}\n",
        SOUND_RESOURCE,
    ),
    Case(
        "terraform/old-runtime",
        "MEDIUM",
        "AZR-7",
        "main.tf",
        f'{RESOURCE}  runtime = "python39" # HERE\n}}\n',
        SOUND_RESOURCE,
    ),
    Case(
        "terraform/endless-token",
        "MEDIUM",
        "SCW-4",
        "main.tf",
        'resource "scaleway_function_token" "a" { # HERE\n  function_id = scaleway_function.main.id\n}\n',
        'resource "scaleway_function_token" "a" {\n  expires_at = "2030-01-01T00:00:00Z"\n}\n',
    ),
    Case(
        "terraform/secret-in-file",
        "HIGH",
        "SCW-12",
        "main.tf",
        """provider "scaleway" {
  secret_key = "11111111-2222-3333-4444-555555555555" # HERE
}
terraform {
  backend "s3" {
    secret_key = "11111111-2222-3333-4444-555555555555" # HERE
  }
}
variable "db_password" {
  sensitive = true
  default = "hunter22" # HERE
}
locals {
  api_key = "hunter22" # HERE
}
""",
        """provider "scaleway" {
  secret_key = var.secret_key
}
variable "db_password" {
  sensitive = true
  default = ""
}
variable "token_url" {
  default = "https://a.example/token"
}
""",
    ),
    Case(
        "terraform/secret-in-file",
        "HIGH",
        "SCW-12",
        "prod.tfvars",
        'db_password = "hunter22" # HERE\n',
        'region = "fr-par"\n',
    ),
    Case(
        "terraform/shown-variable",
        "LOW",
        "SCW-13",
        "main.tf",
        'variable "db_password" { # HERE\n  type = string\n}\n',
        'variable "db_password" {\n  ephemeral = true\n}\n',
    ),
]


@pytest.mark.parametrize("case", SERVERLESS + TERRAFORM, ids=str)
def test_each_rule_finds_its_fault_on_its_line_and_nothing_in_a_sound_file(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.mark.parametrize("name, text", [("serverless.yml", SOUND), ("main.tf", SOUND_RESOURCE)])
def test_a_well_made_project_has_no_finding(name: str, text: str, tmp_path: Path) -> None:
    assert found(tmp_path, {name: text}) == []


def test_another_platforms_serverless_file_is_left_alone(tmp_path: Path) -> None:
    other = "provider:\n  name: aws\n  environment: {DB_PASSWORD: hunter22}\nfunctions:\n  a: {handler: b.c}\n"
    assert found(tmp_path, {"serverless.yml": other}) == []


def test_a_missing_privacy_names_the_line_of_a_manifest_that_keeps_it(tmp_path: Path) -> None:
    (hit,) = [hit for hit in found(tmp_path, {"serverless.yml": f"{HEAD}{FUNCTION}"}) if hit.rule == "scaleway/public"]
    assert hit.enforced_by == "access: private"
    assert hit.as_json()["severity"] == "high"


def test_a_secret_is_named_and_its_value_in_no_finding(tmp_path: Path) -> None:
    hits = found(tmp_path, {"serverless.yml": f"{HEAD}  env:\n    DB_PASSWORD: hunter22xyz\n{FUNCTION}"})
    (hit,) = [hit for hit in hits if hit.rule == "scaleway/secret-in-env"]
    assert hit.enforced_by == "secrets: [DB_PASSWORD]" and "${env:DB_PASSWORD}" in hit.fix
    assert "hunter22xyz" not in repr(hits)


def test_what_git_ignores_is_not_in_the_project(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"infra/prod.tfvars": 'db_password = "hunter22"\n', "infra/terraform.tfstate": "{}"}
    assert {hit.rule for hit in found(tmp_path / "a", files)} == {
        "terraform/secret-in-file",
        "terraform/state-in-project",
    }
    assert (
        found(
            tmp_path / "b", {**files, ".gitignore": "# local\n*.tfvars\n", "infra/.gitignore": "/terraform.tfstate\n"}
        )
        == []
    )
    kept = {**files, ".gitignore": "*.tfvars\n*.tfstate\n!prod.tfvars\n"}
    assert {hit.rule for hit in found(tmp_path / "c", kept)} == {"terraform/secret-in-file"}
