"""What is found in Azure Functions apps, their settings, and Terraform for them."""

from pathlib import Path

import pytest
from gate_projects_support import Case, check, found

KEY = "DefaultEndpointsProtocol=https;AccountName=orders;AccountKey=q83vEjRWeJASNFZ4kBI0VniQEjRWeJASNFZ4kA=="
SOUND_APP = '''"""Orders."""
import json
import logging

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)


@app.route(route="orders", methods=["POST"])
def orders(req: func.HttpRequest) -> func.HttpResponse:
    try:
        order = req.get_json()
    except ValueError as problem:
        return func.HttpResponse(f"no JSON: {problem}", status_code=400)
    try:
        store(order)
    except Exception as error:
        logging.exception("storing failed: %s", error)
        return func.HttpResponse("storing failed", status_code=500)
    return func.HttpResponse(json.dumps({"id": 1}), headers={"Access-Control-Allow-Origin": "https://shop.example"})


@app.queue_trigger(arg_name="message", queue_name="orders", connection="OrdersStorage")
def later(message: func.QueueMessage) -> None:
    logging.info("%s", message.id)
'''
APP = "import azure.functions as func\napp = func.FunctionApp()\n"
RESOURCE = 'resource "azurerm_linux_function_app" "main" {\n'
SOUND_RESOURCE = f"""{RESOURCE}  https_only = true
  storage_uses_managed_identity = true
  identity {{
    type = "SystemAssigned"
  }}
  app_settings = {{
    FUNCTIONS_WORKER_RUNTIME = "python"
    DB_PASSWORD = "@Microsoft.KeyVault(SecretUri=https://orders.vault.azure.net/secrets/db)"
    ServiceBus__fullyQualifiedNamespace = "orders.servicebus.windows.net"
  }}
  site_config {{
    minimum_tls_version = "1.2"
    ftps_state = "Disabled"
    cors {{
      allowed_origins = ["https://shop.example"]
    }}
    application_stack {{
      python_version = "3.12"
    }}
    ip_restriction {{
      ip_address = "192.0.2.0/24"
    }}
  }}
}}
"""

APPS = [
    Case(
        "azure/anonymous",
        "MEDIUM",
        "AZR-11",
        "function_app.py",
        """import azure.functions as func
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)  # HERE

@app.route(route="a", auth_level="anonymous")  # HERE
def a(req):
    return "a"

@app.route(route="b", auth_level=func.AuthLevel.ADMIN)
def b(req):
    return "b"
""",
        SOUND_APP,
    ),
    Case(
        "azure/anonymous",
        "MEDIUM",
        "AZR-11",
        "hello/function.json",
        '{"bindings": [\n{"type": "httpTrigger", "name": "req",\n\t"authLevel": "anonymous"} // HERE\n]}',
        '{"bindings": [{"type": "httpTrigger", "authLevel": "function"}]}',
    ),
    Case(
        "azure/error-returned",
        "MEDIUM",
        "AZR-10",
        "function_app.py",
        f"""{APP}
import json, traceback
@app.route(route="a")
def a(req):
    try:
        work()
    except Exception as e:
        message = f"failed: {{e}}"
        return func.HttpResponse(json.dumps({{"error": message}}), status_code=500)  # HERE

@app.route(route="b")
def b(req):
    try:
        work()
    except:
        return func.HttpResponse(body=traceback.format_exc())  # HERE
""",
        SOUND_APP,
    ),
    Case(
        "azure/unchecked-json",
        "LOW",
        "AZR-8",
        "function_app.py",
        f'{APP}\n@app.route(route="a")\ndef a(req):\n    body = req.get_json()  # HERE\n',
        SOUND_APP,
    ),
    Case(
        "azure/data-run",
        "HIGH",
        "AZR-8",
        "blueprints/calc.py",
        f'{APP}\n@app.route(route="a")\ndef a(req):\n    body = req.get_json()\n    return str(eval(body["formula"]))  # HERE\n',
        SOUND_APP,
    ),
    Case(
        "azure/connection-in-code",
        "HIGH",
        "AZR-9",
        "function_app.py",
        f"""{APP}
STORE = "{KEY}"  # HERE
EMULATOR = "UseDevelopmentStorage=true"
DB = "Server=tcp:db.example,1433;User ID=app;Password=hunter22;"  # HERE
""",
        f'{APP}\nDB = f"Server=db;Password={{password}};"\nOTHER = "Server=db;Password=<your password>;"\n',
    ),
    Case(
        "azure/open-cors",
        "MEDIUM",
        "AZR-11",
        "function_app.py",
        f'{APP}\nHEADERS = {{"Access-Control-Allow-Origin": "*"}}  # HERE\nh["access-control-allow-origin"] = "*"  # HERE\n',
        SOUND_APP,
    ),
    Case(
        "azure/open-cors",
        "MEDIUM",
        "AZR-11",
        "host.json",
        '{"version": "2.0", "extensions": {"http": {"customHeaders": {\n"Access-Control-Allow-Origin": "*"}}}} // HERE\n',
        '{"version": "2.0"}',
    ),
    Case(
        "azure/open-cors",
        "MEDIUM",
        "AZR-11",
        "local.settings.json",
        '{"Host": {\n"CORS": "*" // HERE\n}}',
        '{"Values": {}}',
    ),
    Case(
        "azure/connection-in-binding",
        "HIGH",
        "AZR-9",
        "q/function.json",
        f'{{"bindings": [{{"type": "queueTrigger", "name": "m",\n"connection": "{KEY}" // HERE\n}}]}}',
        '{"bindings": [{"type": "queueTrigger", "connection": "OrdersStorage"}]}',
    ),
    Case(
        "azure/secret-in-settings",
        "HIGH",
        "AZR-19",
        "local.settings.json",
        f"""{{"IsEncrypted": false, "Values": {{
  "AzureWebJobsStorage": "{KEY}", // HERE
  "FUNCTIONS_WORKER_RUNTIME": "python",
  "DbPassword": "hunter22" // HERE
}}, "ConnectionStrings": {{"sql": {{
  "ConnectionString": "Server=db;User=a;Password=hunter22" // HERE
}}}}}}""",
        '{"Values": {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "DbPassword": "", "API_KEY": "<your key>"}}',
    ),
    Case(
        "azure/no-limits",
        "LOW",
        "AZR-11",
        "host.json",
        '{\n"functionTimeout": "-1" // HERE\n}',
        '{"functionTimeout": "00:05:00"}',
    ),
]

TERRAFORM = [
    Case(
        "terraform/azure-plain-http",
        "MEDIUM",
        "AZR-11",
        "main.tf",
        f"{RESOURCE}  https_only = false # HERE\n}}\n",
        SOUND_RESOURCE,
    ),
    Case("terraform/azure-plain-http", "MEDIUM", "AZR-11", "main.tf", f"{RESOURCE[:-1]} # HERE\n}}\n", SOUND_RESOURCE),
    Case("terraform/azure-no-identity", "MEDIUM", "AZR-12", "main.tf", f"{RESOURCE[:-1]} # HERE\n}}\n", SOUND_RESOURCE),
    Case(
        "terraform/azure-old-tls",
        "MEDIUM",
        "AZR-11",
        "main.tf",
        f'{RESOURCE}  site_config {{\n    minimum_tls_version = "1.0" # HERE\n  }}\n}}\n',
        SOUND_RESOURCE,
    ),
    Case(
        "terraform/azure-plain-ftp",
        "MEDIUM",
        "AZR-11",
        "main.tf",
        f'{RESOURCE}  site_config {{\n    ftps_state = "AllAllowed" # HERE\n  }}\n}}\n',
        SOUND_RESOURCE,
    ),
    Case(
        "terraform/azure-secret-in-settings",
        "HIGH",
        "AZR-9",
        "main.tf",
        f"""{RESOURCE}
  storage_account_access_key = "q83vEjRWeJASNFZ4kBI0VniQ" # HERE
  app_settings = {{
    "DB_PASSWORD" = "hunter22" # HERE
    "Storage" = "{KEY}" # HERE
  }}
  connection_string {{
    name = "db"
    value = "Server=db;Password=hunter22;" # HERE
  }}
}}
""",
        SOUND_RESOURCE,
    ),
    Case(
        "terraform/azure-connection-string",
        "LOW",
        "AZR-12",
        "main.tf",
        f"""{RESOURCE}
  storage_account_access_key = azurerm_storage_account.main.primary_access_key # HERE
  app_settings = {{
    Bus = azurerm_servicebus_namespace.main.default_primary_connection_string # HERE
    Store = "${{azurerm_storage_account.main.primary_connection_string}}" # HERE
    Name = azurerm_storage_account.main.name
  }}
}}
""",
        SOUND_RESOURCE,
    ),
    Case(
        "terraform/azure-open-cors",
        "MEDIUM",
        "AZR-11",
        "main.tf",
        f'{RESOURCE}  site_config {{\n    cors {{\n      allowed_origins = ["*"] # HERE\n    }}\n  }}\n}}\n',
        SOUND_RESOURCE,
    ),
    Case(
        "terraform/azure-old-runtime",
        "MEDIUM",
        "AZR-7",
        "main.tf",
        f'{RESOURCE}  site_config {{\n    application_stack {{\n      python_version = "3.8" # HERE\n    }}\n  }}\n}}\n',
        SOUND_RESOURCE,
    ),
    Case(
        "terraform/wide-inbound",
        "MEDIUM",
        "AZR-20",
        "main.tf",
        """resource "azurerm_network_security_rule" "in" {
  direction = "Inbound"
  access = "Allow"
  source_address_prefix = "*" # HERE
}
resource "scaleway_rdb_acl" "db" {
  acl_rules {
    ip = "0.0.0.0/0" # HERE
  }
}
resource "azurerm_key_vault" "main" {
  network_acls {
    default_action = "Allow" # HERE
  }
}
resource "azurerm_mssql_firewall_rule" "all" {
  start_ip_address = "0.0.0.0"
  end_ip_address = "255.255.255.255" # HERE
}
""",
        """resource "azurerm_network_security_rule" "in" {
  direction = "Inbound"
  access = "Deny"
  source_address_prefix = "*"
}
resource "azurerm_mssql_firewall_rule" "azure" {
  start_ip_address = "0.0.0.0"
  end_ip_address = "0.0.0.0"
}
""",
    ),
    Case(
        "terraform/wide-outbound",
        "MEDIUM",
        "COG-24",
        "main.tf",
        """resource "azurerm_network_security_group" "g" {
  security_rule {
    name = "out"
    direction = "Outbound"
    access = "Allow"
    destination_address_prefix = "Internet" # HERE
  }
}
""",
        SOUND_RESOURCE,
    ),
]


@pytest.mark.parametrize("case", APPS + TERRAFORM, ids=str)
def test_each_rule_finds_its_fault_on_its_line_and_nothing_in_a_sound_file(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.mark.parametrize("name, text", [("function_app.py", SOUND_APP), ("main.tf", SOUND_RESOURCE)])
def test_a_well_made_project_has_no_finding(name: str, text: str, tmp_path: Path) -> None:
    assert found(tmp_path, {name: text}) == []


def test_settings_that_git_ignores_or_that_are_encrypted_are_well_kept(tmp_path: Path) -> None:
    text = '{"IsEncrypted": %s, "Values": {"DB_PASSWORD": "hunter22"}}'
    assert found(tmp_path / "a", {"local.settings.json": text % "false", ".gitignore": "local.settings.json\n"}) == []
    assert found(tmp_path / "b", {"local.settings.json": text % "true"}) == []
    assert len(found(tmp_path / "c", {"local.settings.json": text % "false"})) == 1


def test_an_error_of_the_functions_own_kind_may_be_told(tmp_path: Path) -> None:
    text = f"{APP}\ndef a(req):\n    try:\n        work()\n    except OrderError as e:\n        return func.HttpResponse(str(e))\n"
    assert found(tmp_path, {"function_app.py": text}) == []
