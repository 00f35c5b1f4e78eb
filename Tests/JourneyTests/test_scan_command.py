"""`casemate scan`: the gate's checks over a project of any kind, without a server and without a network."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from casemate_fixture import binary, clean_environment
from gate_answers import AWS_KEY, PASSPHRASE, PLAIN, RISKY, V3_CRITICAL, advisory, osv_export

Files = Mapping[str, str | bytes]


@dataclass
class Scan:
    """What `casemate scan` said."""

    code: int
    out: str
    err: str

    @property
    def findings(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.out)["findings"]
        return found

    def of(self, rule: str) -> list[dict[str, Any]]:
        return [item for item in self.findings if item.get("finding", {}).get("rule") == rule]

    def levels(self) -> set[str]:
        return {item["finding"]["level"] for item in self.findings if "finding" in item}


def environment(folder: Path) -> dict[str, str]:
    """No server is named, nor is one there; `casemate` is on the path, as hooks expect it."""
    return clean_environment(HOME=str(folder), PATH=f"{binary().parent}:{os.environ['PATH']}")


def scan(folder: Path, *options: str, how: str = "json", before: tuple[str, ...] = ()) -> Scan:
    done = subprocess.run(
        [*before, str(binary()), "scan", str(folder), "--format", how, *options],
        env=environment(folder.parent),
        capture_output=True,
        timeout=120,
    )
    return Scan(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def write(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


NATIVE = """namespace: plant
functions:
  score:
    source: ./source
    runtime: python3.11
    handler: handler.handle
"""
SCALEWAY = """service: plant
provider:
  name: scaleway
  runtime: python311
functions:
  score:
    handler: handler.handle
    privacy: {privacy}
    httpOption: redirected
    timeout: 30s
    maxScale: 3
{more}
"""
TERRAFORM = """resource "scaleway_function" "score" {{
  namespace_id = scaleway_function_namespace.plant.id
  name         = "score"
  runtime      = "python311"
  handler      = "handler.handle"
  privacy      = "{privacy}"
  http_option  = "redirected"
  timeout      = 30
  max_scale    = 3
{more}}}
"""
KYMA = """apiVersion: serverless.kyma-project.io/v1alpha2
kind: Function
metadata:
  name: score
  namespace: plant
spec:
  runtime: python312
  resourceConfiguration:
    function:
      resources:
        limits: {{memory: 256Mi, cpu: 500m}}
        requests: {{memory: 128Mi, cpu: 50m}}
  source:
    inline:
      source: |
        def main(event, context):
            return "hello"
{more}---
apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata:
  name: score
  namespace: plant
spec:
  hosts: [score]
  gateway: kyma-system/kyma-gateway
  service: {{name: score, namespace: plant, port: 80}}
  rules:
    - path: /*
      methods: [POST]
{rule}
"""
JWT = """      jwt:
        authentications:
          - issuer: https://login.example.com
            jwksUri: https://login.example.com/keys
        authorizations:
          - requiredScopes: [score.invoke]
            audiences: [score]"""
TOOLKIT = """externalId: score
name: score
owner: plant
functionPath: handler.py
runtime: py311
{more}
"""
SCHEDULE = """functionExternalId: score
name: hourly
cronExpression: "0 * * * *"
authentication:
  clientId: ${IDP_CLIENT_ID}
  clientSecret: ${IDP_CLIENT_SECRET}
"""
COGNITE = """def handle(client, data, secrets):
    {body}
    return {{"status": "ok"}}
"""
AZURE = """import json
import logging

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.{level})


@app.route(route="score", methods=["POST"])
def score(req: func.HttpRequest) -> func.HttpResponse:
    try:
        body = req.get_json()
    except ValueError:
        return func.HttpResponse("no JSON", status_code=400)
    logging.info("called")
    value = {value}
    return func.HttpResponse(json.dumps({{"value": value}}), mimetype="application/json")
"""
HOST = '{"version": "2.0", "functionTimeout": "00:01:00"}\n'
PASSWORD = PASSPHRASE

BAD: dict[str, tuple[Files, str, str, int, str]] = {
    "native": ({"casemate.yaml": NATIVE + f"    env: {{DB_PASSWORD: {PASSWORD}}}\n", "source/handler.py": PLAIN},
               "manifest/environment-secret", "casemate.yaml", 7, "SCW-5"),
    "native code": ({"casemate.yaml": NATIVE, "source/handler.py": RISKY}, "B307", "source/handler.py", 2, "AZR-15"),
    "native secret": ({"casemate.yaml": NATIVE, "source/handler.py": PLAIN, "source/k.py": f"\nK = '{AWS_KEY}'\n"},
                      "aws-key", "source/k.py", 2, "COG-7"),
    "serverless.yml": ({"serverless.yml": SCALEWAY.format(privacy="public", more="")},
                       "scaleway/public", "serverless.yml", 8, "SCW-20"),
    "serverless.yml env": ({"serverless.yml": SCALEWAY.format(privacy="private", more=f"    env:\n      DB_PASSWORD: {PASSWORD}")},
                           "scaleway/secret-in-env", "serverless.yml", 13, "SCW-5"),
    "terraform": ({"main.tf": TERRAFORM.format(privacy="public", more="")}, "terraform/public", "main.tf", 6, "SCW-21"),
    "terraform env": ({"main.tf": TERRAFORM.format(privacy="private", more=f'  environment_variables = {{\n    DB_PASSWORD = "{PASSWORD}"\n  }}\n')},
                      "terraform/secret-in-env", "main.tf", 11, "SCW-5"),
    "kyma": ({"k8s/score.yaml": KYMA.format(more="", rule="      noAuth: true")}, "kyma/public", "k8s/score.yaml", 31, "KYM-5"),
    "kyma env": ({"k8s/score.yaml": KYMA.format(more=f"  env:\n    - name: DB_PASSWORD\n      value: {PASSWORD}\n", rule=JWT)},
                 "kyma/secret-in-env", "k8s/score.yaml", 20, "KYM-9"),
    "toolkit": ({"modules/plant/functions/score.Function.yaml": TOOLKIT.format(more=f"secrets:\n  db: {PASSWORD}"),
                 "modules/plant/functions/score/handler.py": COGNITE.format(body="pass")},
                "cognite/secret-in-file", "modules/plant/functions/score.Function.yaml", 7, "COG-7"),
    "cognite handler": ({"handler.py": COGNITE.format(body='print(secrets["db"])')}, "cognite/secret-logged", "handler.py", 2, "COG-12"),
    "azure": ({"function_app.py": AZURE.format(level="FUNCTION", value="eval(body['x'])"), "host.json": HOST},
              "azure/data-run", "function_app.py", 16, "AZR-8"),
    "azure settings": ({"function_app.py": AZURE.format(level="FUNCTION", value="1"), "host.json": HOST,
                        "local.settings.json": json.dumps({"IsEncrypted": False, "Values": {"DB_PASSWORD": PASSWORD}}, indent=1)},
                       "azure/secret-in-settings", "local.settings.json", 4, "AZR-19"),
}  # fmt: skip


@pytest.mark.guarantee("AZR-1", "AZR-3")
@pytest.mark.parametrize("kind", BAD)
def test_AZR_3_a_project_s_fault_is_told_with_file_line_guarantee_and_remedy(project: Path, kind: str) -> None:
    files, rule, file, line, guarantee = BAD[kind]
    done = scan(write(project, files))
    assert done.code == 1, done.out + done.err
    found = done.of(rule)
    assert [(item["file"], item.get("line")) for item in found] == [(file, line)], done.out
    finding = found[0]
    assert finding["finding"]["guarantee"] == guarantee and finding["finding"]["level"] in ("high", "critical"), finding
    assert finding["what"] and finding["fix"] and re.fullmatch("[0-9a-f]{32}", finding["finding"]["id"]), finding
    assert PASSWORD not in done.out + done.err and AWS_KEY not in done.out + done.err


GOOD: dict[str, Files] = {
    "native": {
        "casemate.yaml": NATIVE
        + "    secrets: [DB_PASSWORD]\n    env: {REGION: north}\n    egress: ['api.example.com:443']\n",
        "source/handler.py": PLAIN,
    },
    "serverless.yml": {
        "serverless.yml": SCALEWAY.format(privacy="private", more="    secret:\n      DB_PASSWORD: ${env:DB_PASSWORD}"),
        "handler.py": "def handle(event, context):\n    return {'statusCode': 200}\n",
    },
    "terraform": {
        "main.tf": TERRAFORM.format(
            privacy="private",
            more="  secret_environment_variables = {\n    DB_PASSWORD = var.db_password\n  }\n",
        ),
        "variables.tf": 'variable "db_password" {\n  type      = string\n  sensitive = true\n}\n',
    },
    "kyma": {
        "k8s/score.yaml": KYMA.format(
            more="  env:\n    - name: DB_PASSWORD\n      valueFrom:\n        secretKeyRef: {name: db, key: password}\n",
            rule=JWT,
        )
    },
    "toolkit": {
        "modules/plant/functions/score.Function.yaml": TOOLKIT.format(more="secrets:\n  db: ${DB_PASSWORD}"),
        "modules/plant/functions/hourly.Schedule.yaml": SCHEDULE,
        "modules/plant/functions/score/handler.py": COGNITE.format(body="client.login(secrets['db'])"),
    },
    "azure": {
        "function_app.py": AZURE.format(level="FUNCTION", value="body.get('x')"),
        "host.json": HOST,
        "requirements.txt": "azure-functions==1.20.0\n",
    },
}


@pytest.mark.guarantee("AZR-1", "AZR-3")
@pytest.mark.parametrize("kind", GOOD)
def test_AZR_1_a_project_that_is_well_made_has_nothing_grave(project: Path, kind: str) -> None:
    done = scan(write(project, GOOD[kind]))
    assert not done.levels() & {"high", "critical"}, done.out
    assert done.code == 0, done.out


def test_an_empty_folder_and_one_of_other_things_have_nothing(project: Path) -> None:
    assert (scan(project).findings, scan(project).code) == ([], 0)
    write(project, {"readme.md": "# hello\n", "image.png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "empty.py": ""})
    assert (scan(project).findings, scan(project).code) == ([], 0)


# ---------------------------------------------------------------- exit codes and forms


@pytest.mark.guarantee("AZR-17")
def test_AZR_17_fail_on_sets_from_which_severity_it_fails(project: Path) -> None:
    write(
        project, {"handler.py": "import random\n\n\ndef handle(data):\n    assert data\n    return random.random()\n"}
    )
    assert scan(project).levels() and not scan(project).levels() & {"high", "critical"}, scan(project).out
    codes = {level: scan(project, "--fail-on", level).code for level in ("low", "medium", "high", "critical")}
    assert codes["high"] == codes["critical"] == 0 and codes["low"] == 1, codes
    write(project, {"handler.py": RISKY})
    codes = {level: scan(project, "--fail-on", level).code for level in ("low", "medium", "high", "critical")}
    assert codes == {"low": 1, "medium": 1, "high": 1, "critical": 0}, codes


def test_what_can_not_be_scanned_is_2_and_wrong_usage_64(project: Path) -> None:
    write(project, {"handler.py": PLAIN})
    for path in (project / "absent", project / "handler.py"):
        done = scan(path)
        assert done.code == 2 and done.out == "" and done.err.startswith("casemate: "), done
    assert scan(project, "--fail-on", "fatal").code == 64
    assert scan(project, how="xml").code == 64
    assert scan(project, "--advisories", str(project / "absent.zip")).code == 2


def test_the_text_has_all_that_the_json_has(project: Path) -> None:
    files, rule, file, line, guarantee = BAD["native"]
    text = scan(write(project, files), how="text")
    assert text.code == 1
    (finding,) = scan(project).of(rule)
    for part in (
        f"{file}:{line}",
        finding["what"],
        finding["fix"],
        rule,
        guarantee,
        finding["finding"]["enforcedBy"],
        "high",
    ):
        assert part in text.out, f"{part}: {text.out}"
    write(project, {"casemate.yaml": NATIVE})
    assert "nothing was found" in scan(project, how="text").out


@pytest.mark.guarantee("AZR-3")
def test_AZR_3_sarif_is_of_the_form_that_code_hosts_take(project: Path) -> None:
    write(project, {**BAD["native"][0], "source/more.py": f"# one\nK = '{AWS_KEY}'\n", "source/sp ace/ü.py": RISKY})
    done = scan(project, how="sarif")
    assert done.code == 1
    report = json.loads(done.out)
    assert report["version"] == "2.1.0" and "sarif" in report["$schema"]
    (run,) = report["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "casemate" and driver["semanticVersion"]
    rules = {rule["id"]: rule for rule in driver["rules"]}
    assert len(rules) == len(driver["rules"])
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"] and rule["help"]["text"], rule
        assert 0 <= float(rule["properties"]["security-severity"]) <= 10 and "security" in rule["properties"]["tags"]
    assert len(run["results"]) == len(scan(project).findings) >= 3
    for result in run["results"]:
        assert result["ruleId"] in rules and result["level"] in ("error", "warning", "note"), result
        assert result["message"]["text"] and all(result["partialFingerprints"].values()), result
        for place in result["locations"]:
            uri = place["physicalLocation"]["artifactLocation"]["uri"]
            assert not uri.startswith(("/", "file:")) and " " not in uri and uri.isascii(), uri
            assert place["physicalLocation"].get("region", {"startLine": 1})["startLine"] >= 1
    assert len({json.dumps(result["partialFingerprints"]) for result in run["results"]}) == len(run["results"])
    assert AWS_KEY not in done.out and PASSWORD not in done.out


def test_sarif_of_nothing_is_a_report_too(project: Path) -> None:
    done = scan(project, how="sarif")
    assert done.code == 0 and json.loads(done.out)["runs"][0]["results"] == []


def test_the_same_fault_has_the_same_id_when_lines_move(project: Path) -> None:
    write(project, {"handler.py": RISKY})
    (before,) = scan(project).of("B307")
    write(project, {"handler.py": "import os\n\n\n" + RISKY})
    (later,) = scan(project).of("B307")
    assert before["finding"]["id"] == later["finding"]["id"] and before["line"] + 3 == later["line"]


# ---------------------------------------------------------------- packages


@pytest.mark.guarantee("COG-18")
def test_COG_18_packages_that_are_not_pinned_are_told(project: Path) -> None:
    requirements = "requests\nsix==1.16.0\nidna>=3\n"
    done = scan(
        write(project, {"casemate.yaml": NATIVE, "source/handler.py": PLAIN, "source/requirements.txt": requirements})
    )
    told = done.of("unpinned")
    assert [(item["file"], item["line"]) for item in told] == [
        ("source/requirements.txt", 1),
        ("source/requirements.txt", 3),
    ], done.out
    assert all(item["finding"]["guarantee"] == "COG-18" for item in told)


@pytest.mark.guarantee("COG-20")
@pytest.mark.parametrize(
    "line",
    [
        "--extra-index-url https://x.example/simple",
        "-i https://x.example/simple",
        "git+https://x.example/a",
        "-e .",
        "six @ https://x.example/six.whl",
        "file:///six",
        "-r ../../outside.txt",
    ],
)
def test_COG_20_lines_that_a_deployment_refuses_are_told(project: Path, line: str) -> None:
    requirements = f"six==1.16.0\n{line}\n"
    done = scan(
        write(project, {"casemate.yaml": NATIVE, "source/handler.py": PLAIN, "source/requirements.txt": requirements})
    )
    assert [
        item["line"] for item in done.findings if item["file"] == "source/requirements.txt" and item["line"] == 2
    ], done.out


@pytest.mark.guarantee("COG-18")
def test_COG_18_a_name_that_looks_like_a_known_one_is_told(project: Path) -> None:
    requirements = "reqeusts==1.0\n"
    done = scan(
        write(project, {"casemate.yaml": NATIVE, "source/handler.py": PLAIN, "source/requirements.txt": requirements})
    )
    assert [
        item for item in done.findings if "reqeusts" in item["what"] and "requests" in item["what"] + item["fix"]
    ], done.out


@pytest.mark.guarantee("AZR-14")
def test_AZR_14_a_package_that_nothing_imports_is_told(project: Path) -> None:
    requirements = "six==1.16.0\n"
    done = scan(
        write(project, {"casemate.yaml": NATIVE, "source/handler.py": PLAIN, "source/requirements.txt": requirements})
    )
    assert done.of("unused"), done.out


@pytest.mark.guarantee("AZR-17")
def test_AZR_17_what_is_said_to_stop_a_deployment_is_what_a_deployment_finds(project: Path) -> None:
    done = scan(write(project, {"casemate.yaml": NATIVE, "source/handler.py": RISKY}))
    assert [item["finding"]["rule"] for item in done.findings] == ["B307"], done.out


@pytest.mark.guarantee("KYM-8")
@pytest.mark.case("D7")
def test_D7_KYM_8_packages_are_held_against_an_archive_of_advisories(project: Path, tmp_path: Path) -> None:
    export = tmp_path / "all.zip"
    export.write_bytes(
        osv_export(advisory("PYSEC-2024-1", "six", [{"introduced": "0"}, {"fixed": "1.17.0"}], V3_CRITICAL))
    )
    write(
        project,
        {
            "casemate.yaml": NATIVE,
            "source/handler.py": "import six\n" + PLAIN,
            "source/requirements.txt": "six==1.16.0\n",
        },
    )
    assert scan(project).of("PYSEC-2024-1") == []
    done = scan(project, "--advisories", str(export))
    (finding,) = done.of("PYSEC-2024-1")
    assert done.code == 1 and (finding["file"], finding["line"]) == ("source/requirements.txt", 1), finding
    assert "1.17.0" in finding["fix"] and finding["finding"]["guarantee"] == "KYM-8", finding
    export.write_bytes(export.read_bytes()[:-40])
    broken = scan(project, "--advisories", str(export))
    assert broken.code == 2 and "advisories" in broken.err, broken


# ---------------------------------------------------------------- files that are broken, odd or hostile


BROKEN: Files = {
    "handler.py": "def (:\n",
    "nul.py": b"a = 1\0\n",
    "binary.py": bytes(range(256)),
    "utf16.py": "a = 1\n".encode("utf-16"),
    "deep.py": "(" * 20_000,
    "serverless.yml": "functions: [\n",
    "main.tf": 'resource "scaleway_function" {\n',
    "function.json": "{",
    "local.settings.json": "[[[",
    "score.Function.yaml": "a: *nothing\n",
    "laughs.yaml": "a: &a [x,x,x,x,x,x,x,x]\n"
    + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 8)}]\n" for a, b in zip("abcdefg", "bcdefgh")),
    "objects.yaml": "a: !!python/object/apply:os.system ['touch escaped']\n",
    "note.ipynb": "{",
    "requirements.txt": "=== \x00 \n" + "x" * 100_000 + "\n",
    "pyproject.toml": "[project\n",
    "archive.zip": b"PK\x03\x04" + b"\0" * 50,
}


@pytest.mark.guarantee("AZR-3")
@pytest.mark.parametrize("name", BROKEN)
def test_AZR_3_a_broken_file_keeps_nobody_from_finding_the_others(project: Path, name: str) -> None:
    write(project, {"below/risky.py": RISKY, "below/k.py": f"K = '{AWS_KEY}'\n", name: BROKEN[name]})
    begin = time.monotonic()
    done = scan(project)
    assert done.code == 1 and time.monotonic() - begin < 30, done
    assert [item["file"] for item in done.of("B307")] == ["below/risky.py"], done.out
    assert [item["file"] for item in done.of("aws-key")] == ["below/k.py"], done.out
    assert "Traceback" not in done.out + done.err and not (project / "escaped").exists()


def test_a_broken_manifest_is_told_with_its_line(project: Path) -> None:
    done = scan(write(project, {"casemate.yaml": "functions: [\n", "below/risky.py": RISKY}))
    assert done.code == 1 and [
        item for item in done.findings if item["file"] == "casemate.yaml" and item["line"]
    ], done.out
    assert done.of("B307"), done.out


ODD = [
    "sp ace.py",
    "ünïcode/ü.py",
    "-rf",
    "--format.py",
    "%41#?.py",
    "a'b\"c;$(touch escaped).py",
    "*.py",
    "a\\b.py",
    "n" * 200 + ".py",
]


def test_odd_names_are_scanned_and_told_as_they_are(project: Path) -> None:
    write(project, {name: f"K = '{AWS_KEY[:-2]}{number:02}'\n" for number, name in enumerate(ODD)})
    done = scan(project)
    assert {item["file"] for item in done.of("aws-key")} == set(ODD), done.out
    assert not list(project.rglob("escaped"))


def test_a_name_with_a_line_end_or_an_escape_moves_no_line_of_the_text(project: Path) -> None:
    for name in ("a\nb.py", "\x1b[2Jc.py", "\u202ed.py"):
        write(project, {name: f"K = '{AWS_KEY}'\n"})
    done = scan(project, how="text")
    assert done.code == 1 and not set(done.out) & set("\x1b\u202e"), ascii(done.out)
    assert not re.search(r"^b\.py", done.out, re.M), done.out


def test_links_and_devices_are_not_followed(project: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"k.py": f"K = '{AWS_KEY}'\n"})
    (project / "link.py").symlink_to(outside / "k.py")
    (project / "folder").symlink_to(outside)
    (project / "loop").symlink_to("loop")
    (project / "zero").symlink_to("/dev/zero")
    os.mkfifo(project / "pipe")
    done = scan(project)
    assert (done.code, done.findings) == (0, []), done.out


def test_nothing_of_a_project_is_run_and_nothing_in_it_is_changed(project: Path) -> None:
    mark = "import pathlib\npathlib.Path(__file__).with_name('ran').write_text('x')\n"
    names = (
        "handler.py",
        "setup.py",
        "conftest.py",
        "sitecustomize.py",
        "yaml.py",
        "bandit.py",
        "__init__.py",
        "casemate_runtime.py",
    )
    write(project, {**dict.fromkeys(names, mark), ".bandit": "[bandit]\nskips: B307\n", "risky.py": RISKY})
    before = {path: path.stat().st_mtime_ns for path in project.rglob("*")}
    done = scan(project)
    assert {path: path.stat().st_mtime_ns for path in project.rglob("*")} == before
    assert done.of("B307"), done.out


@pytest.mark.guarantee("AZR-3")
def test_AZR_3_it_needs_no_network_and_no_server(project: Path) -> None:
    write(project, {**BAD["native"][0], "source/requirements.txt": "six==1.16.0\n"})
    with_network = scan(project)
    without = scan(project, before=("unshare", "--net"))
    assert without.code == 1 and without.findings == with_network.findings, without
    assert "socket" not in without.err, f"nothing is missed, not even loopback: {without.err}"


def test_files_that_a_deployment_leaves_out_are_told_where_they_hold_secrets(project: Path) -> None:
    done = scan(write(project, {".env": f"KEY={AWS_KEY}\n", "id_rsa": "x", "handler.py": PLAIN}))
    assert done.code == 1 and {".env", "id_rsa"} <= {item["file"] for item in done.findings}, done.out
    assert AWS_KEY not in done.out


# ---------------------------------------------------------------- git


def git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        "git",
        "-c",
        "user.name=tests",
        "-c",
        "user.email=tests@example.com",
        "-c",
        "init.defaultBranch=main",
        *arguments,
    ]
    return subprocess.run(
        command, cwd=folder, env=environment(folder.parent), capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def repository(project: Path) -> Path:
    write(project, {"handler.py": PLAIN})
    assert git(project, "init", "-q").returncode == 0
    git(project, "add", "-A")
    assert git(project, "commit", "-qm", "one").returncode == 0
    return project


@pytest.mark.guarantee("SCW-12", "AZR-19")
def test_SCW_12_the_hook_stops_a_commit_with_a_secret_and_lets_others_pass(repository: Path) -> None:
    done = scan(repository, "--install-hook", how="text")
    assert done.code == 0 and "commit" in done.out, done
    hook = repository / ".git/hooks/pre-commit"
    assert os.access(hook, os.X_OK) and "casemate scan" in hook.read_text()
    write(repository, {"k.py": f"K = '{AWS_KEY}'\n"})
    git(repository, "add", "-A")
    stopped = git(repository, "commit", "-qm", "two")
    assert stopped.returncode == 1 and "k.py:1" in stopped.stdout + stopped.stderr, stopped
    assert AWS_KEY not in stopped.stdout + stopped.stderr
    write(repository, {"k.py": "K = 1\n"})
    git(repository, "add", "-A")
    assert git(repository, "commit", "-qm", "two").returncode == 0


@pytest.mark.guarantee("SCW-12")
def test_SCW_12_the_hook_looks_at_what_is_about_to_be_committed(repository: Path, tmp_path: Path) -> None:
    scan(repository, "--install-hook")
    more = tmp_path / "sp ace"
    assert git(repository, "worktree", "add", "-qb", "other", str(more)).returncode == 0
    for folder in (repository, more):
        write(folder, {"a b.py": f"K = '{AWS_KEY}'\n"})
        git(folder, "add", "-A")
        write(folder, {"a b.py": "K = 1\n"})
        stopped = git(folder, "commit", "-qm", "two")
        assert stopped.returncode == 1, stopped
        assert re.search(r" a b\.py:1: ", stopped.stdout + stopped.stderr), stopped
        # What is not staged is not about to be committed.
        git(folder, "add", "-A")
        write(folder, {"a b.py": f"K = '{AWS_KEY}'\n", ".env": f"K={AWS_KEY}\n"})
        assert git(folder, "commit", "-qm", "two").returncode == 0
        assert git(folder, "commit", "-qam", "three").returncode == 1


def test_a_hook_that_is_there_already_is_kept_and_the_line_for_it_told(repository: Path) -> None:
    hook = repository / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\nexit 0\n")
    done = scan(repository, "--install-hook")
    assert done.code == 2 and "casemate scan" in done.err and hook.read_text() == "#!/bin/sh\nexit 0\n", done


def test_a_folder_without_a_repository_gets_no_hook(project: Path) -> None:
    done = scan(project, "--install-hook")
    assert done.code == 2 and "git" in done.err and not (project / ".git").exists(), done


@pytest.mark.guarantee("SCW-12")
def test_SCW_12_history_finds_a_key_that_was_taken_out_again(repository: Path) -> None:
    write(repository, {"k.py": f"K = '{AWS_KEY}'\n"})
    git(repository, "add", "-A")
    assert git(repository, "commit", "-qm", "two").returncode == 0
    write(repository, {"k.py": "K = 1\n"})
    assert git(repository, "commit", "-qam", "three").returncode == 0
    assert scan(repository).findings == []
    done = scan(repository, "--history")
    assert done.code == 1 and done.of("aws-key"), done.out


@pytest.mark.parametrize("command", [["scan", "."], ["deps", "lock", "."], ["doctor"]], ids=" ".join)
def test_nothing_of_the_folder_it_is_called_in_is_run(project: Path, command: list[str]) -> None:
    """Whoever looks at a stranger's checkout stands in it: `python3 -m pip` there is the checkout's own `pip`."""
    ran = 'import pathlib\n(pathlib.Path(__file__).parent.parent / "ran").touch()\n'
    write(project, {"pip/__init__.py": ran, "pip/__main__.py": ran, "requirements.txt": "six==1.16.0\n"})
    subprocess.run(
        [str(binary()), *command], cwd=project, env=environment(project.parent), capture_output=True, timeout=120
    )
    assert not (project / "ran").exists()
