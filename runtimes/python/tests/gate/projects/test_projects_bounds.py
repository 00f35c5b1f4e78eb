"""Projects are somebody else's: whatever is in them becomes a finding, never an error, and costs no more than it is large."""

import os
import time
from datetime import date
from pathlib import Path

import pytest
from casemate_gate.projects import files, looks, runtimes
from gate_projects_support import found, write

SCALEWAY = "provider: {name: scaleway}\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefghi", "bcdefghij")
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n" for before, name in zip("abcdefghi", "bcdefghij")
)


@pytest.mark.parametrize(
    "name, content, line",
    [
        ("serverless.yml", "provider:\n  name: scaleway\n   runtime: x\n", 3),
        ("serverless.yml", "a: [b\n", 2),
        ("serverless.yml", "provider: *nobody\n", 1),
        ("serverless.yml", "a: \0\n", 1),
        ("serverless.yml", b"a: b\nc: \xff\xfe\n", 2),
        ("serverless.yml", "[" * 100_000, 1),
        ("serverless.yml", "- " * 50_000, 1),
        ("serverless.yml", "[" + "a," * 200_000 + "]", 1),
        ("serverless.yml", "#" * (files.LARGEST + 1), None),
        ("fn.yaml", "apiVersion: serverless.kyma-project.io/v1alpha2\nkind: {{ .Values.kind }}x\n", 2),
        ("a.Function.yaml", "externalId: a\n\tb: c\n", 2),
        ("main.tf", 'resource "a" "b" {\n  c = \n}\n', 2),
        ("main.tf", "#" * 300_000, None),
        ("main.tf", "a = " + "[" * 5000 + "]" * 5000, 1),
        ("main.tf.json", '{"resource":\n {]}', 2),
        ("host.json", '{"a":\n1', 2),
        ("function.json", '{"a" "b",\n "c"}', 2),
        ("host.json", "[" * 100_000, 1),
        ("local.settings.json", '"a" "b"', 1),
        ("handler.py", "def handle(data):\n  return (\n", 2),
        ("function_app.py", "import azure.functions\nx = " + "(" * 500 + ")" * 500, 2),
        ("function_app.py", "import azure.functions\nx = 'a\0'\n", None),
        ("function_app.py", b"import azure.functions\n# \xff\n", 2),
    ],
    ids=range(23),
)
def test_what_cannot_be_read_is_one_finding_with_its_line(
    name: str, content: str | bytes, line: int | None, tmp_path: Path
) -> None:
    started = time.monotonic()
    (hit,) = found(tmp_path, {f"sub/{name}": content})
    assert (hit.rule, hit.severity.name, hit.file, hit.line) == ("project/unreadable", "MEDIUM", f"sub/{name}", line)
    assert time.monotonic() - started < 5


def test_one_unreadable_file_keeps_no_other_from_being_read(tmp_path: Path) -> None:
    hits = found(
        tmp_path, {"a/serverless.yml": "a: [", "b/serverless.yml": f"{SCALEWAY}functions: {{f: {{privacy: public}}}}\n"}
    )
    assert {hit.rule for hit in hits} >= {"project/unreadable", "scaleway/public"}


@pytest.mark.parametrize("text", [BOMB, MERGES, "a: &a [*a]\nb: &b {<<: *b, c: *b}\n"])
def test_aliases_cost_no_more_than_their_text(text: str, tmp_path: Path) -> None:
    started = time.monotonic()
    last = text.rsplit("\n", 2)[1].partition(":")[0]
    hits = found(
        tmp_path, {"serverless.yml": f"{text}provider: {{name: scaleway, env: *{last}}}\nfunctions: *{last}\n"}
    )
    found(tmp_path, {"config.dev.yaml": f"{text}environment: {{project: a}}\nvariables: {{b: *{last}}}\n"})
    assert "project/unreadable" not in {hit.rule for hit in hits}
    assert time.monotonic() - started < 2


def test_deeply_nested_python_is_a_finding(tmp_path: Path) -> None:
    deep = "import azure.functions\ntry:\n  a()\nexcept Exception as e:\n  pass\ndef f(req):\n  try:\n    a()\n  except Exception as e:\n"
    text = f"{deep}    return HttpResponse({' + '.join(['x'] * 3000)})\n"
    assert [hit.rule for hit in found(tmp_path, {"function_app.py": text})] in ([], ["project/unreadable"])


def test_links_pipes_and_what_tools_keep_are_not_followed(tmp_path: Path) -> None:
    secret = "import azure.functions\nX = 'DefaultEndpointsProtocol=https;AccountKey=q83vEjRWeJASNFZ4kBI0VniQ'\n"
    outside = write(tmp_path / "outside", {"function_app.py": secret})
    kept = [".git", ".venv", "node_modules", "__pycache__", ".terraform", "lib/site-packages"]
    project = write(tmp_path / "project", {f"{folder}/function_app.py": secret for folder in kept})
    write(project, {"env/pyvenv.cfg": "", "env/lib/function_app.py": secret})
    (project / "function_app.py").symlink_to(outside / "function_app.py")
    (project / "linked").symlink_to(outside)
    os.mkfifo(project / "host.json")
    (project / "loop").symlink_to(project)
    assert found(project, {}) == []


def test_a_file_alone_can_be_examined(tmp_path: Path) -> None:
    from casemate_gate.projects import examine

    path = write(tmp_path, {"serverless.yml": f"{SCALEWAY}functions: {{f: {{handler: a.b}}}}\n"}) / "serverless.yml"
    assert {hit.file for hit in examine(path)} == {"serverless.yml"}


def test_more_files_than_anybody_looks_at_are_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_FILES", 10)
    hits = found(tmp_path, {f"{n}.txt": "" for n in range(11)})
    assert [(hit.rule, hit.file, hit.line) for hit in hits] == [("project/unreadable", ".", None)]


def test_folders_deeper_than_anybody_nests_them_are_a_finding(tmp_path: Path) -> None:
    hits = found(tmp_path, {"a/" * 40 + "serverless.yml": SCALEWAY})
    assert [(hit.rule, hit.file) for hit in hits] == [("project/unreadable", ".")]


def test_names_that_a_terminal_would_obey_are_shown_plain(tmp_path: Path) -> None:
    text = f'{SCALEWAY}functions: {{"f\\e[31m\\n": {{privacy: public}}}}\n'
    for hit in found(tmp_path, {"serverless.yml": text}):
        assert hit.what.isprintable()


@pytest.mark.parametrize(
    "name, value, is_exposed",
    [
        ("DB_PASSWORD", "hunter22", True),
        ("dbPassword", "hunter22", True),
        ("api-key", "hunter22", True),
        ("SORT_KEY", "hunter22", False),
        ("TOKEN_URL", "hunter22", False),
        ("DB_PASSWORD", "${PASSWORD}", False),
        ("DB_PASSWORD", "Bearer {{ token }}", False),
        ("DB_PASSWORD", "@Microsoft.KeyVault(SecretUri=https://a.vault.azure.net/secrets/b)", False),
        ("DB_PASSWORD", "changeme", False),
        ("DB_PASSWORD", "<password>", False),
        ("DB_PASSWORD", "********", False),
        ("DB_PASSWORD", "true", False),
        ("ANY", "AKIAQWERTYUIOPASDFGH", True),
        ("ANY", "-----BEGIN RSA PRIVATE KEY-----\nabc", True),
        ("ANY", "redis://:hunter22@cache:6379/0", True),
        ("ANY", "redis://:${PASSWORD}@cache:6379/0", False),
        ("ANY", "https://me:<password>@a.example", False),
        ("ANY", "https://a.example/b:c@d", False),
        ("ANY", "Endpoint=sb://a.example/;SharedAccessKeyName=all;SharedAccessKey=q83vEjRWeJASNFZ4kBI0", True),
        ("ANY", "AccountName=devstoreaccount1;AccountKey=Zm9vYmFyZm9vYmFyZm9vYmFy", False),
        ("DB_PASSWORD", '${env:DB_PASSWORD, "hunter22"}', True),
        ("DB_PASSWORD", "${env:DB_PASSWORD, ''}", False),
        ("ANY", "a" * 2_000_000, False),
        ("ANY", "Server=a;" * 100_000, False),
    ],
    ids=range(24),
)
def test_what_looks_like_a_secret(name: str, value: str, is_exposed: bool) -> None:
    assert looks.is_exposed(name, value) is is_exposed


@pytest.mark.parametrize(
    "runtime, has_ended",
    [
        *(("python39", True), ("py38", True), ("python3.10", False), ("Python|3.7", True), ("python2.7", True)),
        *(("node18", True), ("nodejs20", False), ("node~16", True), ("go120", False), ("", False), ("python", False)),
    ],
)
def test_when_runtimes_end(runtime: str, has_ended: bool) -> None:
    assert (runtimes.ended(runtime, date(2026, 1, 1)) is not None) is has_ended
