"""What is found in Cognite's Toolkit files and handlers."""

from pathlib import Path

import pytest
from gate_projects_support import Case, check, found

FILE = "modules/score/functions/score.Function.yaml"
FUNCTION = "- externalId: {{ function_id }}\n  name: Score\n  runtime: py311\n  functionPath: handler.py\n"
SOUND = f"{FUNCTION}  secrets:\n    API_KEY: ${{API_KEY}}\n    OTHER: {{{{ other }}}}\n  envVars:\n    REGION: north\n"
SCHEDULE_FILE = "modules/score/functions/score.Schedule.yaml"
SCHEDULE = "functionExternalId: score\nname: daily\ncronExpression: 0 3 * * *\n"
SOUND_SCHEDULE = f"{SCHEDULE}authentication:\n  clientId: ${{ID}}\n  clientSecret: ${{SECRET}}\ndata:\n  table: a\n"

TOOLKIT = [
    Case(
        "cognite/secret-in-file",
        "HIGH",
        "COG-7",
        FILE,
        f"{FUNCTION}  secrets:\n    API_KEY: correct horse  # HERE\n",
        SOUND,
    ),
    Case(
        "cognite/secret-in-file",
        "HIGH",
        "COG-7",
        SCHEDULE_FILE,
        f"{SCHEDULE}authentication:\n  clientId: me\n  clientSecret: hunter22  # HERE\n",
        SOUND_SCHEDULE,
    ),
    Case(
        "cognite/secret-in-env",
        "HIGH",
        "COG-2",
        FILE,
        f"{FUNCTION}  envVars:\n    API_KEY: hunter22  # HERE\n  metadata:\n    password: hunter22  # HERE\n",
        SOUND,
    ),
    Case(
        "cognite/secret-in-env",
        "HIGH",
        "COG-2",
        SCHEDULE_FILE,
        f"{SCHEDULE}data:\n  apiKey: hunter22  # HERE\n",
        SOUND_SCHEDULE,
    ),
    Case(
        "cognite/secret-through-env",
        "MEDIUM",
        "COG-2",
        FILE,
        f"{FUNCTION}  envVars:\n    API_KEY: ${{KEY}}  # HERE\n",
        SOUND,
    ),
    Case(
        "cognite/secret-in-config",
        "HIGH",
        "COG-7",
        "config.dev.yaml",
        "environment:\n  project: a\n  selected: [modules/]\nvariables:\n  modules:\n    score:\n      api_key: hunter22  # HERE\n",
        "environment:\n  project: a\n  selected: [modules/]\nvariables:\n  modules:\n    score:\n      api_key: ${API_KEY}\n",
    ),
    Case(
        "cognite/credentials-in-url",
        "HIGH",
        "COG-20",
        FILE,
        f"{FUNCTION}  indexUrl: https://me:hunter22@index.example/simple  # HERE\n",
        f"{FUNCTION}  indexUrl: https://me:${{INDEX_PASSWORD}}@index.example/simple\n",
    ),
    Case(
        "cognite/plain-index",
        "MEDIUM",
        "COG-20",
        FILE,
        f"{FUNCTION}  indexUrl: http://index.example/simple  # HERE\n",
        f"{FUNCTION}  indexUrl: https://index.example/simple\n",
    ),
    Case(
        "cognite/second-index",
        "MEDIUM",
        "COG-20",
        FILE,
        f"{FUNCTION}  extraIndexUrls:  # HERE\n    - https://index.example/simple\n",
        f"{FUNCTION}  extraIndexUrls: []\n",
    ),
    Case(
        "cognite/borrowed-rights",
        "MEDIUM",
        "COG-23",
        "modules/a/functions/schedules.yaml",
        "- functionExternalId: score  # HERE\n  cronExpression: 0 3 * * *\n",
        SOUND_SCHEDULE,
    ),
    Case(
        "cognite/old-runtime",
        "MEDIUM",
        "AZR-7",
        FILE,
        "externalId: a\nfunctionPath: handler.py\nruntime: py39  # HERE\n",
        SOUND,
    ),
]

SOUND_HANDLER = '''"""Scores."""
import hashlib
import logging
from cognite.client.credentials import OAuthClientCredentials

logger = logging.getLogger(__name__)


def handle(client, data, secrets):
    key = secrets["API_KEY"]
    print(sorted(secrets), len(key), "API_KEY" in secrets, ", ".join(secrets))
    logger.info("key %s, project %s", key[:2], client.config.project)
    other = OAuthClientCredentials(client_id="a", client_secret=secrets["CLIENT_SECRET"])
    eval("1 + 1")
    return {"digest": hashlib.sha256(key.encode()).hexdigest(), "has": bool(key), "done": run(key, other), "in": data["x"]}
'''

HANDLERS = [
    Case(
        "cognite/secret-logged",
        "HIGH",
        "COG-12",
        "functions/score/handler.py",
        """import json, logging, sys
def handle(data, secrets):
    print(secrets)  # HERE
    key = secrets["API_KEY"]
    text = f"the key is {key}"
    logging.info("using %s", key)  # HERE
    logging.getLogger("a").debug(text)  # HERE
    sys.stdout.write(json.dumps({"key": secrets.get("API_KEY")}))  # HERE
    for name, value in secrets.items():
        print(name)
        print("is", value)  # HERE
    raise ValueError("bad key " + key)  # HERE

def helper(secrets):
    print(*secrets.values())  # HERE
""",
        SOUND_HANDLER,
    ),
    Case(
        "cognite/secret-logged",
        "HIGH",
        "COG-12",
        "handler.py",
        'def handle(client):\n    print("token", client.config.credentials.authorization_header())  # HERE\n',
        SOUND_HANDLER,
    ),
    Case(
        "cognite/secret-returned",
        "HIGH",
        "COG-14",
        "handler.py",
        """def handle(client, data, secrets):
    if data:
        return secrets  # HERE
    token = secrets["TOKEN"]
    def inner():
        return token
    return {"result": [1, token.strip()]}  # HERE
""",
        SOUND_HANDLER,
    ),
    Case(
        "cognite/client-logged",
        "MEDIUM",
        "COG-16",
        "handler.py",
        'def handle(client, data):\n    print(f"with {client}")  # HERE\n',
        SOUND_HANDLER,
    ),
    Case(
        "cognite/secret-in-code",
        "HIGH",
        "COG-7",
        "handler.py",
        'def handle(client, data):\n    a = OAuthClientCredentials(\n        client_id="a",\n        client_secret="hunter22",  # HERE\n    )\n',
        SOUND_HANDLER,
    ),
    Case(
        "cognite/data-run",
        "HIGH",
        "AZR-8",
        "handler.py",
        'def handle(data):\n    formula = data["formula"]\n    return eval(formula)  # HERE\n',
        SOUND_HANDLER,
    ),
]


@pytest.mark.parametrize("case", TOOLKIT + HANDLERS, ids=str)
def test_each_rule_finds_its_fault_on_its_line_and_nothing_in_a_sound_file(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.mark.parametrize("name, text", [(FILE, SOUND), (SCHEDULE_FILE, SOUND_SCHEDULE), ("handler.py", SOUND_HANDLER)])
def test_a_well_made_project_has_no_finding(name: str, text: str, tmp_path: Path) -> None:
    assert found(tmp_path, {name: text}) == []


def test_a_handler_for_another_platform_is_left_alone(tmp_path: Path) -> None:
    text = "def handle(event, context):\n    secrets = event\n    print(secrets)\n    return secrets\n"
    assert found(tmp_path, {"handler.py": text}) == []


def test_packages_that_a_source_brings_along_are_left_alone(tmp_path: Path) -> None:
    assert found(tmp_path, {"package/lib/handler.py": "def handle(secrets):\n    print(secrets)\n"}) == []


def test_a_second_hit_of_the_same_secret_is_another_finding(tmp_path: Path) -> None:
    text = 'def handle(secrets):\n    print(secrets["A"])\n    print(secrets["A"])\n    print(secrets["B"])\n'
    hits = found(tmp_path, {"handler.py": text})
    assert [hit.subject for hit in hits] == ["handle.A", "handle.A#2", "handle.B"]
    assert len({hit.identity for hit in hits}) == 3
