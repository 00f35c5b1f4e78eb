"""What a deployment says and does: no-op, failures that leave the old revision serving, secrets, manifests."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from casemate_fixture import Server, archive, handler, manifest, problem

ANSWER = "def handle(data):\n    return {!r}\n"


@pytest.mark.case("D15")
def test_D15_an_identical_deploy_is_a_no_op_that_says_so(server: Server) -> None:
    source = handler(ANSWER.format("same"))
    first = server.deploy("deploying", "same", source)
    second = server.try_deploy("deploying", "same", source)
    assert second.code == 0
    assert second.first["status"] == "unchanged"
    assert second.first["revision"] == first["revision"]
    assert second.first["bundleDigest"] == first["bundleDigest"]
    assert len(server.cli_json("function", "show", "deploying/same")["revisions"]) == 1


@pytest.mark.case("D15")
def test_D15_two_deploys_of_one_function_at_once_never_mix(server: Server) -> None:
    server.namespace("deploying")
    packed = {
        n: archive(handler(f"import part\ndef handle(data):\n    return [{n}, part.N]\n") | {"part.py": f"N = {n}\n"})
        for n in (1, 2)
    }
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda n: server.deploy_archive("deploying", "raced", packed[n]), (1, 2)))
    for answer in answers:
        assert answer.status in (200, 409), answer.text
        if answer.status == 200:
            outcome = answer.json()["functions"][0]
            assert outcome["status"] == "deployed" or "conflict" in json.dumps(outcome), outcome
    result = server.call("deploying/raced", body={}).json()
    assert result in ([1, 1], [2, 2])


@pytest.mark.parametrize(
    ("what", "source", "keys", "file", "line"),
    [
        ("a syntax error", {"handler.py": "def handle(data):\n    x = 1\n    return (\n"}, {}, "handler.py", 3),
        (
            "an import error",
            {"handler.py": "import json\nimport no_such_module_here\ndef handle(data):\n    return 1\n"},
            {},
            "handler.py",
            2,
        ),
        (
            "a fault at import",
            {"handler.py": "X = 1\n\nY = X / 0\ndef handle(data):\n    return 1\n"},
            {},
            "handler.py",
            3,
        ),
        ("a missing file", {"other.py": "def handle(data):\n    return 1\n"}, {}, None, None),
        ("a missing function", {"handler.py": "def other(data):\n    return 1\n"}, {}, None, None),
        ("a handler that is no function", {"handler.py": "handle = 7\n"}, {}, None, None),
        ("an unknown signature", {"handler.py": "def handle(alpha, beta, gamma):\n    return 1\n"}, {}, None, None),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) and " " in value else "",
)
def test_a_failed_deploy_names_stage_place_and_remedy_and_the_old_revision_serves_on(
    server: Server, what: str, source: dict[str, str], keys: dict[str, str], file: str | None, line: int | None
) -> None:
    server.deploy("deploying", "failing", handler(ANSWER.format("still here")))
    before = server.cli_json("function", "show", "deploying/failing")["activeRevision"]
    outcome = server.try_deploy("deploying", "failing", source, keys)
    assert outcome.code == 1, f"{what}: exit {outcome.code}: {outcome.said}"
    failed = outcome.first
    assert failed["status"] == "failed" and failed["stage"], failed
    diagnostics = failed["diagnostics"]
    said = json.dumps(failed)
    assert "memory limit" not in said and "sandbox ended" not in said, f"{what} is not what is said: {said}"
    if line is not None:
        assert any(
            d.get("file", "").endswith(str(file)) and d.get("line") == line for d in diagnostics
        ), f"{what}: {said}"
    else:
        assert "handle" in said, said
    assert server.call("deploying/failing", body={}).json() == "still here"
    assert server.cli_json("function", "show", "deploying/failing")["activeRevision"] == before


def test_the_text_of_a_failed_deploy_has_file_and_line_and_what_to_do(server: Server) -> None:
    server.namespace("deploying")
    folder = server.project("deploying", "texted", {"handler.py": "def handle(data):\n    return (\n"})
    code, out, err = server.cli("deploy", str(folder))
    assert code == 1
    assert re.search(r"handler\.py:\d+", out + err), out + err
    assert "build" in (out + err).lower()


def test_a_module_that_ends_the_process_at_import_gets_a_clear_refusal(server: Server) -> None:
    outcome = server.try_deploy(
        "deploying", "exits", handler("import os\nos._exit(3)\ndef handle(data):\n    return 1\n")
    )
    assert outcome.code == 1 and outcome.first["status"] == "failed", outcome.said
    server.assert_serving()


def test_a_module_that_never_ends_its_import_is_stopped(server: Server) -> None:
    source = handler("while True:\n    pass\ndef handle(data):\n    return 1\n")
    outcome = server.try_deploy("deploying", "endless", source, {"limits": {"timeout": "2s"}})
    if outcome.code == 0:
        answer = server.call("deploying/endless", body={}, timeout=90)
        assert answer.status in (502, 504), answer.text
    else:
        assert outcome.first["status"] == "failed", outcome.said
    server.assert_serving()


@pytest.mark.guarantee("COG-2")
def test_a_secret_can_be_set_before_the_first_deploy(server: Server) -> None:
    server.namespace("deploying")
    server.secret("deploying/early", "KEY", "set-before-the-code")
    source = handler("def handle(secrets):\n    return len(secrets['KEY'])\n")
    deployed = server.deploy("deploying", "early", source, {"secrets": ["KEY"]})
    assert deployed["diagnostics"] == []
    assert server.call("deploying/early").json() == len("set-before-the-code")


def test_a_secret_without_a_value_is_a_warning_with_the_command_and_calls_say_secret_missing(server: Server) -> None:
    source = handler("def handle(secrets):\n    return len(secrets['LATER'])\n")
    deployed = server.deploy("deploying", "later", source, {"secrets": ["LATER"]})
    assert "casemate secret set deploying/later LATER" in json.dumps(deployed["diagnostics"])
    cold = server.status()["coldStarts"]
    refused = problem(server.call("deploying/later"))
    assert "secret-missing" in refused["type"] or refused.get("reason") == "secret-missing"
    assert server.status()["coldStarts"] == cold
    server.secret("deploying/later", "LATER", "here-at-last")
    assert server.call("deploying/later").json() == len("here-at-last")
    assert server.cli("secret", "delete", "deploying/later", "LATER")[0] == 0
    assert "secret-missing" in server.call("deploying/later").text


@pytest.mark.guarantee("COG-6")
def test_only_the_secrets_that_the_manifest_names_are_given_and_none_is_in_the_environment(server: Server) -> None:
    server.namespace("deploying")
    server.secret("deploying/named", "WANTED", "a-value-that-is-wanted")
    server.secret("deploying/named", "UNNAMED", "a-value-nobody-asked-for")
    source = handler("""
        import os
        def handle(client, data, secrets):
            return [client, data, sorted(secrets), "WANTED" in os.environ, "UNNAMED" in os.environ]
        """)
    server.deploy("deploying", "named", source, {"secrets": ["WANTED"]})
    assert server.call("deploying/named", body={"a": 1}).json() == [None, {"a": 1}, ["WANTED"], False, False]


@pytest.mark.guarantee("COG-7")
def test_COG_7_a_stored_secret_value_in_the_source_is_refused_with_its_place_and_without_the_value(
    server: Server,
) -> None:
    value = "stored-value-9d1c77e2"
    server.namespace("deploying")
    server.secret("deploying/owner", "KEY", value)
    source = handler(f'HEADER = "x"\nKEY = "{value}"\ndef handle(data):\n    return KEY\n')
    outcome = server.try_deploy("deploying", "hardcoded", source)
    assert outcome.code == 1, outcome.said
    assert outcome.first["stage"] == "scan"
    assert any(d["file"].endswith("handler.py") and d["line"] == 2 for d in outcome.first["diagnostics"]), outcome.said
    assert value not in outcome.said
    # The name may not exist, or exist without a revision; a caller gets no code either way.
    assert server.call("deploying/hardcoded", body={}).status in (404, 409, 503)


def test_a_secret_of_64_kib_and_a_pem_arrive_unchanged(server: Server) -> None:
    pem = "-----BEGIN X-----\n" + "\n".join("abcdefgh" * 8 for _ in range(60)) + "\n-----END X-----\n"
    large = "".join(chr(97 + index % 26) for index in range(65536))
    server.namespace("deploying")
    server.secret("deploying/large", "PEM", pem)
    server.secret("deploying/large", "LARGE", large)
    source = handler("""
        import hashlib
        def handle(secrets):
            return {name: [len(value), hashlib.sha256(value.encode()).hexdigest()] for name, value in secrets.items()}
        """)
    server.deploy("deploying", "large", source, {"secrets": ["PEM", "LARGE"]})
    import hashlib

    expected = {
        name: [len(value), hashlib.sha256(value.encode()).hexdigest()]
        for name, value in (("PEM", pem), ("LARGE", large))
    }
    assert server.call("deploying/large").json() == expected
    code, _out, _err = server.cli("secret", "set", "deploying/large", "LARGE", input=large + "x")
    assert code != 0, "a secret over 64 KiB was taken"


def test_a_secret_is_never_taken_from_the_command_line(server: Server) -> None:
    server.namespace("deploying")
    assert server.cli("secret", "set", "deploying/argv", "KEY", "a-value-on-argv")[0] != 0


@pytest.mark.case("I10")
@pytest.mark.parametrize(
    "name", ["LD_PRELOAD", "PYTHONPATH", "PATH", "BASH_ENV", "NODE_OPTIONS", "A B", "A=B", "A\nB", "1A", "-x", ""]
)
def test_I10_a_secret_name_that_changes_how_programs_start_is_refused(server: Server, name: str) -> None:
    import urllib.parse

    server.namespace("deploying")
    path = f"/v1/namespaces/deploying/functions/names/secrets/{urllib.parse.quote(name, safe='')}"
    answer = server.api("PUT", path, b"value-of-no-account")
    assert answer.status in (400, 404, 405, 422), answer.text
    problem(answer)


@pytest.mark.case("I10")
@pytest.mark.parametrize("name", ["LD_PRELOAD", "PYTHONPATH", "PATH", "PYTHONSTARTUP"])
def test_I10_an_environment_name_that_changes_how_programs_start_is_refused(server: Server, name: str) -> None:
    outcome = server.try_deploy("deploying", "environ", handler(ANSWER.format(1)), {"env": {name: "/tmp/x"}})
    assert outcome.code != 0, outcome.said
    assert name in outcome.said


def test_the_environment_of_the_manifest_reaches_the_function(server: Server) -> None:
    source = handler("import os\ndef handle(data):\n    return os.environ['REGION']\n")
    server.deploy("deploying", "region", source, {"env": {"REGION": "north"}})
    assert server.call("deploying/region", body={}).json() == "north"


@pytest.mark.parametrize(
    "keys",
    [
        {"signature": "kyma"},
        {"signature": "azure"},
    ],
    ids=lambda keys: "-".join([*keys, *(str(v) for v in keys.values() if isinstance(v, str))]),
)
def test_what_comes_later_is_an_error_that_says_not_available_yet(server: Server, keys: dict[str, object]) -> None:
    outcome = server.try_deploy("deploying", "future", handler(ANSWER.format(1)), keys)
    assert outcome.code != 0, outcome.said
    assert "not available yet" in outcome.said
    assert re.search(r"casemate\.yaml:\d+", outcome.said) or '"line"' in outcome.said, outcome.said


def test_all_faults_of_a_manifest_come_in_one_answer_each_with_its_line(server: Server) -> None:
    text = manifest(
        "deploying", "faulty", {"runtme": "x", "limits": {"memory": "many"}, "access": "perhaps", "scale": {"max": -1}}
    )
    outcome = server.try_deploy("deploying", "faulty", handler(ANSWER.format(1)), text)
    assert outcome.code != 0
    lines = {int(number) for number in re.findall(r"casemate\.yaml:(\d+)", outcome.said)}
    lines |= {int(number) for number in re.findall(r'"line" ?: ?(\d+)', outcome.said)}
    wanted = {n for n, line in enumerate(text.splitlines(), 1) if re.match(r"\s+(runtme|limits|access|scale):", line)}
    assert wanted <= lines, f"faults in {wanted}, named {lines}: {outcome.said}"
    assert "runtime" in outcome.said, "the nearest known key is not named"


def test_a_dry_run_changes_nothing(server: Server) -> None:
    outcome = server.try_deploy("deploying", "dry", handler(ANSWER.format(1)), None, "--dry-run")
    assert outcome.code == 0, outcome.said
    assert server.call("deploying/dry", body={}).status == 404
    names = [function["name"] for function in server.cli_json("function", "list", "deploying")["functions"]]
    assert "dry" not in names


CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@pytest.mark.guarantee("SCW-11")
def test_SCW_11_the_packer_leaves_out_env_files_git_and_keys(server: Server) -> None:
    source = handler("""
        import os
        def handle(data):
            here = os.path.dirname(__file__)
            return sorted(os.path.relpath(os.path.join(f, n), here) for f, _, names in os.walk(here) for n in names)
        """)
    extra = {
        ".env": "A=b\n",
        ".git/config": "[x]\n",
        "id_rsa": "x",
        "server.pem": "x",
        "both.pem": CERTIFICATE + "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n",
        "vendored/cacert.pem": CERTIFICATE,
        "sub/.env": "A=b\n",
        "kept.txt": "x",
        "sub/kept.txt": "x",
    }
    server.deploy("deploying", "packed", {**source, **extra})
    listed = [name for name in server.call("deploying/packed", body={}).json() if "__pycache__" not in name]
    assert listed == ["handler.py", "kept.txt", "sub/kept.txt", "vendored/cacert.pem"]


def test_a_handler_in_a_folder_and_vendored_packages_are_found(server: Server) -> None:
    source = {
        "app/entry.py": "import vendored, helper\ndef run(data):\n    return [vendored.N, helper.N]\n",
        "helper.py": "N = 1\n",
        "package/vendored.py": "N = 2\n",
    }
    server.deploy("deploying", "folders", source, {"handler": "app/entry.run"})
    assert server.call("deploying/folders", body={}).json() == [2, 1]


def test_several_functions_of_one_manifest_are_deployed_together_and_one_failure_is_told(server: Server) -> None:
    text = manifest("deploying", "good") + manifest(None, "bad", {"handler": "absent.handle"}).split("\n", 1)[1]
    outcome = server.try_deploy("deploying", "good", handler(ANSWER.format("good")), text)
    assert outcome.code == 1, outcome.said
    states = {function["function"]: function["status"] for function in outcome.functions}
    assert states["deploying/bad"] == "failed"
    assert states["deploying/good"] in ("deployed", "unchanged")
