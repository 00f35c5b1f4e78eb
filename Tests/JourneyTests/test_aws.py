"""The key-encryption key in KMS, values in Secrets Manager and checkpoints in S3, through the real server against moto."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from casemate_fixture import Server, handler, problem, wait_until
from moto_server import REGION, Moto, moto

SECRET = "kms-sealed-value-7h3x"
ANSWERS = handler("import os\ndef handle(data, secrets):\n    return {k: v[::-1] for k, v in secrets.items()}\n")


@pytest.fixture(scope="module")
def aws() -> Iterator[Moto]:
    with moto() as server:
        server(
            "secretsmanager",
            "create_secret",
            Name="aws/db",
            SecretString=json.dumps({"user": "u", "password": "first-pass-9k2m"}),
        )
        server("secretsmanager", "create_secret", Name="other/db", SecretString="not-for-this-namespace")
        yield server


@pytest.fixture(scope="module")
def server(aws: Moto) -> Iterator[Server]:
    options = [
        *("--kek", f"aws-kms://{REGION}/alias/casemate?endpoint={aws.url}"),
        *("--aws-endpoint", aws.url, "--aws-region", REGION),
        *(
            "--audit-checkpoints",
            f"s3://casemate-test/audit?region={REGION}&endpoint={aws.url}",
            "--audit-checkpoint-seconds",
            "1",
        ),
    ]
    with Server(options=options, environment=aws.environment) as server:
        server.namespace("aws")
        server.secret("aws/keeps", "VALUE", SECRET)
        server.deploy("aws", "keeps", ANSWERS, {"secrets": ["VALUE"]})
        yield server


def policy(server: Server, sources: list[str]) -> None:
    answer = server.api("PUT", "/v1/namespaces/aws/policy", {"secretSources": sources})
    assert answer.status == 200, answer.text


def test_a_data_key_is_wrapped_by_kms_and_opens_for_a_cold_start(server: Server, aws: Moto) -> None:
    assert server.call("aws/keeps", body={}).json() == {"VALUE": SECRET[::-1]}
    vault = server.api("GET", "/v1/vault").json()
    assert vault["state"] == "open"
    assert vault["activeKey"] == "aws-kms:" + aws.facts["key"]
    assert [key["id"] for key in vault["keys"]] == [vault["activeKey"]]
    assert not (server.data / "server/kek").exists(), "a key that nothing is wrapped by was made"


def test_S13_while_kms_does_not_answer_warm_functions_go_on_cold_ones_are_refused_and_all_recovers(
    server: Server, aws: Moto
) -> None:
    server.secret("aws/cold", "VALUE", SECRET)
    server.deploy("aws", "cold", ANSWERS, {"secrets": ["VALUE"]})
    server.deploy("aws", "none", handler("def handle(data):\n    return 1\n"))
    assert server.call("aws/keeps", body={}).status == 200
    aws.pause()
    try:
        refused = problem(server.call("aws/cold", body={}, timeout=40))
        assert refused["type"] == "/problems/kek-unavailable"
        assert aws.url not in json.dumps(refused) and "KMS" not in refused["detail"]
        # Once it is known to be away nobody waits for it.
        again = server.call("aws/cold", body={}, timeout=40)
        assert problem(again)["type"] == "/problems/kek-unavailable"
        assert server.call("aws/keeps", body={}).json() == {"VALUE": SECRET[::-1]}
        assert server.call("aws/none", body={}).json() == 1
        assert server.api("GET", "/v1/vault").json()["state"] == "unavailable"
    finally:
        aws.go_on()
    assert wait_until(lambda: server.call("aws/cold", body={}, timeout=40).status == 200, 60, every=1)
    kinds = [record["kind"] for record in server.api("GET", "/v1/audit?tail=1000&kind=vault.*").json()["records"]]
    assert "vault.unavailable" in kinds and kinds.index("vault.unavailable") < kinds.index("vault.recovered")


def test_after_the_alias_leads_to_another_key_a_rotation_wraps_by_that(server: Server, aws: Moto) -> None:
    aws("kms", "update_alias", AliasName="alias/casemate", TargetKeyId=aws.facts["other"])
    code, out, err = server.cli("vault", "rotate")
    assert code == 0, err
    assert "yours to disable there" in out
    keys = server.api("GET", "/v1/vault").json()["keys"]
    assert [key["id"] for key in keys] == ["aws-kms:" + aws.facts["other"]]
    aws("kms", "disable_key", KeyId=aws.facts["key"].split("/")[1])
    server.secret("aws/keeps", "VALUE", SECRET + "-2")
    assert server.call("aws/keeps", body={}).json() == {"VALUE": (SECRET + "-2")[::-1]}


def test_a_reference_takes_the_servers_policy_not_the_namespaces(server: Server) -> None:
    keys = {"secrets": [{"name": "DB", "from": "aws-sm://aws/db?key=password"}]}
    refused = server.try_deploy("aws", "refers", ANSWERS, keys)
    assert refused.code != 0 and "secretSources" in refused.said
    policy(server, ["aws-sm://aws/*"])
    server.deploy("aws", "refers", ANSWERS, keys)
    assert server.call("aws/refers", body={}).json() == {"DB": "first-pass-9k2m"[::-1]}
    other = server.try_deploy("aws", "steals", ANSWERS, {"secrets": [{"name": "DB", "from": "aws-sm://other/db"}]})
    assert other.code != 0 and "may not have aws-sm://other/db" in other.said


def test_a_manifest_does_not_say_to_whom_the_servers_credentials_are_shown(server: Server) -> None:
    policy(server, ["aws-sm://*"])
    outcome = server.try_deploy(
        "aws",
        "elsewhere",
        ANSWERS,
        {"secrets": [{"name": "DB", "from": "aws-sm://aws/db?endpoint=http://127.0.0.1:1"}]},
    )
    assert outcome.code != 0, outcome.said


def test_AZR_9_a_changed_value_reaches_calls_and_the_old_one_stays_redacted(server: Server, aws: Moto) -> None:
    policy(server, ["aws-sm://aws/*"])
    leaks = handler("def handle(data, secrets):\n    return secrets['DB'] + ' ' + data['guess']\n")
    server.deploy(
        "aws",
        "turns",
        leaks,
        {"secrets": [{"name": "DB", "from": "aws-sm://aws/db?key=password"}], "scale": {"idle": "1h"}},
    )
    assert server.call("aws/turns", body={"guess": ""}).json() == "[secret:DB] "
    aws(
        "secretsmanager",
        "put_secret_value",
        SecretId="aws/db",
        SecretString=json.dumps({"password": "second-pass-4j8w"}),
    )
    both = {"guess": "first-pass-9k2m second-pass-4j8w"}
    assert wait_until(
        lambda: server.call("aws/turns", body=both).json() == "[secret:DB] [secret:DB] [secret:DB]", 45, every=1
    )


def test_AZR_9_while_secrets_manager_does_not_answer_warm_functions_go_on_and_cold_ones_are_refused(
    server: Server, aws: Moto
) -> None:
    policy(server, ["aws-sm://aws/*"])
    keys = {"secrets": [{"name": "DB", "from": "aws-sm://aws/db?key=password"}]}
    for name in ("warm", "away"):
        server.deploy("aws", name, ANSWERS, keys)
    assert server.call("aws/warm", body={}).status == 200
    aws.pause()
    try:
        refused = problem(server.call("aws/away", body={}, timeout=40))
        assert refused["type"] == "/problems/secret-unavailable"
        assert "aws-sm" not in json.dumps(refused), "callers are told where secrets are"
        assert server.call("aws/warm", body={}).status == 200
    finally:
        aws.go_on()
    assert any("aws" in message.lower() for message in server.messages("aws/away"))
    assert wait_until(lambda: server.call("aws/away", body={}, timeout=40).status == 200, 60, every=1)


def test_checkpoints_lie_in_the_bucket_each_for_itself_and_fit_the_log(
    server: Server, aws: Moto, tmp_path: Path
) -> None:
    def objects() -> list[str]:
        return [
            entry["Key"]
            for entry in aws("s3", "list_objects_v2", Bucket="casemate-test", Prefix="audit/").get("Contents", [])
        ]

    before = len(objects())
    server.secret("aws/keeps", "MORE", "another-value-8d2k")
    names = wait_until(lambda: len(found := objects()) > before and found, 20, every=1)
    assert all(re.fullmatch(r"audit/[0-9a-f-]{36}-\d{12}\.json", name) for name in names), names
    kept = tmp_path / "checkpoints"
    kept.write_text("".join(aws("s3", "get_object", Bucket="casemate-test", Key=name)["Body"] for name in names))
    code, out, err = server.cli("audit", "verify", "--against", str(kept))
    assert code == 0, err
    assert f"as {len(names)} checkpoints have them" in out


def test_neither_a_credential_nor_a_value_is_in_any_file_or_process(server: Server, aws: Moto) -> None:
    words = [
        value.encode()
        for value in (SECRET, "first-pass-9k2m", "second-pass-4j8w", aws.environment["AWS_SECRET_ACCESS_KEY"])
    ]
    for path in server.data.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [word for word in words if word in content], path
    for name in ("environ", "cmdline"):
        content = open(f"/proc/{server.pid}/{name}", "rb").read()
        assert not [word for word in words if word in content], name


def test_a_credential_that_may_nothing_is_told_with_what_it_needs(aws: Moto) -> None:
    with moto("--auth") as strict:
        user, key = strict.facts["maynot"]
        environment = {"AWS_ACCESS_KEY_ID": user, "AWS_SECRET_ACCESS_KEY": key}
        options = ["--kek", f"aws-kms://{REGION}/alias/casemate?endpoint={strict.url}"]
        with Server(options=options, environment=environment) as server:
            server.namespace("strict")
            answer = server.api("PUT", "/v1/namespaces/strict/functions/f/secrets/A", b"some-value-here")
            assert problem(answer)["type"] == "/problems/kek-unavailable"
            assert "DescribeKey" in server.api("GET", "/v1/vault").json()["problem"]
