"""`casemate ci`: one command for a pipeline, signed in by the run's own token."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree  # nosec B405  # of our own report
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accounts import Account, account
from casemate_fixture import Server, Source, binary, handler
from identity_provider import Provider

RUN = {"repository": "acme/plant", "ref": "refs/heads/main", "sub": "repo:acme/plant:ref:refs/heads/main"}
ONE = handler("def handle(data):\n    return 1\n")
BAD = handler("def handle(data):\n    return eval(data['x'])\n")


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def pipelines(running: Server, provider: Provider) -> Iterator[Server]:
    made = running.api(
        "POST", "/v1/issuers", {"name": "runs", "url": provider.url, "audiences": ["casemate"], "forPipelines": True}
    )
    assert made.status == 201, made.text
    running.namespace("pipe")
    yield running
    assert running.api("DELETE", "/v1/issuers/runs").status == 204


@pytest.fixture(scope="module")
def ci(pipelines: Server) -> Account:
    made = account(pipelines, "pipe", ("deployer", "pipe"))
    claims = {"repository": RUN["repository"], "ref": RUN["ref"]}
    added = pipelines.api("POST", f"{made.path}/federations", {"issuer": "runs", "claims": claims})
    assert added.status == 201, added.text
    return made


class Actions:
    """As a runner of GitHub's hands out a run's token."""

    def __init__(self, provider: Provider, **claims: Any) -> None:
        asked = self.asked = []  # type: list[tuple[str, str | None]]

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append((self.path, self.headers["Authorization"]))
                audience = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["audience"][0]
                body = json.dumps({"value": provider.token(**(RUN | {"aud": audience} | claims))}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.variables = {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"http://127.0.0.1:{self.server.server_port}/token?api-version=2",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-the-runner",
        }

    def __enter__(self) -> Actions:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class Ran:
    def __init__(self, server: Server, folder: Path, reports: Path, *arguments: str, **variables: str) -> None:
        self.sarif, self.junit = reports / "out.sarif", reports / "out.xml"
        done = subprocess.run(
            [binary(), "ci", folder, "--sarif", self.sarif, "--junit", self.junit, *arguments],
            env={"PATH": "/usr/bin:/bin", "HOME": str(reports), "CASEMATE_URL": server.api_url} | variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def cases(self) -> dict[str, bool]:
        """Whether each failed."""
        root = ElementTree.parse(self.junit).getroot()  # nosec B314  # of our own report
        assert root.tag == "testsuites"
        return {case.attrib["name"]: case.find("failure") is not None for case in root.iter("testcase")}

    def skipped(self) -> list[str]:
        root = ElementTree.parse(self.junit).getroot()  # nosec B314  # of our own report
        return [case.attrib["name"] for case in root.iter("testcase") if case.find("skipped") is not None]

    def rules(self) -> list[str]:
        log = json.loads(self.sarif.read_text())
        assert log["version"] == "2.1.0"
        return [result["ruleId"] for run in log["runs"] for result in run["results"]]


def project(server: Server, name: str, source: Source) -> Path:
    return server.project("pipe", name, source)


@pytest.mark.guarantee("COG-28")
def test_COG_28_a_run_deploys_by_its_own_token_and_nothing_is_stored(
    pipelines: Server, provider: Provider, ci: Account, tmp_path: Path
) -> None:
    with Actions(provider) as actions:
        ran = Ran(
            pipelines,
            project(pipelines, "one", ONE),
            tmp_path,
            CASEMATE_SERVICE_ACCOUNT=ci.client_id,
            **actions.variables,
        )
    assert ran.code == 0, ran.out + ran.err
    ((asked, credential),) = actions.asked
    assert "audience=casemate" in asked and credential == "Bearer of-the-runner"
    assert "deployed" in ran.out and ran.cases() == {"deployment": False} and ran.rules() == []
    assert pipelines.call("pipe/one", body={}).json() == 1
    shown = pipelines.api("GET", "/v1/namespaces/pipe/functions/one").json()["revisions"][0]
    assert shown["createdBy"] == ci.subject


def test_a_token_in_a_variable_or_a_file_does_as_well(
    pipelines: Server, provider: Provider, ci: Account, tmp_path: Path
) -> None:
    folder = project(pipelines, "two", ONE)
    first = Ran(pipelines, folder, tmp_path, "--service-account", ci.client_id, CASEMATE_ID_TOKEN=provider.token(**RUN))
    assert first.code == 0, first.err
    (tmp_path / "token").write_text(provider.token(**RUN) + "\n")
    again = Ran(
        pipelines,
        folder,
        tmp_path,
        "--service-account",
        ci.client_id,
        "--token-file",
        str(tmp_path / "token"),
        "--json",
    )
    assert again.code == 0 and json.loads(again.out)["functions"][0]["status"] == "unchanged", again.out + again.err


@pytest.mark.case("A22")
@pytest.mark.guarantee("COG-28")
@pytest.mark.parametrize(
    "claims", [{"repository": "acme-plant"}, {"ref": "refs/pull/7/merge"}, {"repository": "evil/plant"}]
)
def test_A22_COG_28_a_run_of_another_repository_or_branch_deploys_nothing(
    pipelines: Server, provider: Provider, ci: Account, tmp_path: Path, claims: dict[str, str]
) -> None:
    token = provider.token(**(RUN | claims))
    ran = Ran(
        pipelines,
        project(pipelines, "never", ONE),
        tmp_path,
        CASEMATE_SERVICE_ACCOUNT=ci.client_id,
        CASEMATE_ID_TOKEN=token,
    )
    assert ran.code == 2 and token not in ran.out + ran.err, ran.err
    assert pipelines.api("GET", "/v1/namespaces/pipe/functions/never").status == 404


def test_what_the_gate_refuses_is_in_both_reports(
    pipelines: Server, provider: Provider, ci: Account, tmp_path: Path
) -> None:
    ran = Ran(
        pipelines,
        project(pipelines, "bad", BAD),
        tmp_path,
        CASEMATE_SERVICE_ACCOUNT=ci.client_id,
        CASEMATE_ID_TOKEN=provider.token(**RUN),
    )
    assert ran.code == 1, ran.out + ran.err
    assert "B307" in ran.rules() and ran.cases()["deployment"]
    assert any(name.startswith("B307 handler.py:") and failed for name, failed in ran.cases().items()), ran.cases()


@pytest.mark.guarantee("COG-19")
def test_COG_19_what_waits_for_an_approval_ends_with_3_or_waits_for_it(
    pipelines: Server, provider: Provider, ci: Account, tmp_path: Path
) -> None:
    pipelines.namespace("waits")
    policy = {"supplyChain": {"requireApproval": ["all"]}}
    assert pipelines.api("PUT", "/v1/namespaces/waits/policy", policy).status == 200
    ci.grant("deployer", "waits")
    approver = account(pipelines, "waits", ("approver", "waits"))
    folder = pipelines.project("waits", "one", ONE)
    token = {"CASEMATE_SERVICE_ACCOUNT": ci.client_id, "CASEMATE_ID_TOKEN": provider.token(**RUN)}
    ran = Ran(pipelines, folder, tmp_path, **token)
    assert ran.code == 3 and "casemate approve waits/one#1" in ran.out, ran.out + ran.err
    assert ran.skipped() == ["deployment"] and not ran.cases()["deployment"], "what waits is not well yet"

    def answer(kind: str, number: int) -> None:
        time.sleep(3)
        shown = pipelines.api("GET", "/v1/namespaces/waits/functions/one").json()["revisions"][0]
        sent = approver.api(
            "POST",
            f"/v1/namespaces/waits/functions/one/revisions/{number}/{kind}",
            {"digest": shown["digest"]},
        )
        assert sent.status in (200, 204), sent.text

    for kind, number, code in (("approval", 1, 0), ("rejection", 2, 1)):
        if number == 2:
            folder = pipelines.project("waits", "one", handler("def handle(data):\n    return 2\n"))
        thread = threading.Thread(target=answer, args=(kind, number))
        thread.start()
        ran = Ran(pipelines, folder, tmp_path, "--wait", "60s", **token)
        thread.join()
        assert ran.code == code, f"{kind}: {ran.code} {ran.out}{ran.err}"
    assert pipelines.call("waits/one", body={}).json() == 1


WRONG = {
    "no account": ((), {}),
    "no token": (("--service-account", "3f0c1a52-5b1e-4c43-9b0b-0a4a4b1f4a11"), {}),
    "no client id": (("--service-account", "ci"), {"CASEMATE_ID_TOKEN": "x.y.z"}),
    "no time": (("--wait", "soon"), {}),
    "only to be printed": (("--print-statement",), {"CASEMATE_KEY": "x"}),
    "no folder": (("--wait", "1m"), {"path": "/nonexistent"}),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_can_not_be_begun_ends_with_2_and_says_what_to_set(pipelines: Server, tmp_path: Path, what: str) -> None:
    arguments, variables = WRONG[what]
    folder = Path(variables.pop("path", "")) if "path" in variables else project(pipelines, "never", ONE)
    ran = Ran(pipelines, folder, tmp_path, *arguments, **variables)
    assert ran.code == 2 and ran.err.startswith("casemate: "), f"{ran.code} {ran.err}"


@pytest.mark.parametrize("file", ["github.yml", "gitlab.yml"])
def test_the_workflow_files_name_options_that_there_are(file: str) -> None:
    text = (Path(__file__).resolve().parents[2] / "deploy/ci" / file).read_text()
    told = subprocess.run([binary(), "ci", "--help"], capture_output=True, text=True, check=True).stdout
    (line,) = [line for line in text.splitlines() if "casemate ci" in line and not line.startswith("#")]
    for word in line.split():
        if word.startswith("--"):
            assert word in told, word
