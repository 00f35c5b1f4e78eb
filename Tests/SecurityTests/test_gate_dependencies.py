"""Dependencies from the machine's own index: what a source may say of them, what is locked, and the list of what was installed."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest
from casemate_fixture import Outcome, Server
from gate_answers import importing, let_pass, set_policy
from spellings import assert_absent

STRICT = {"dependencies": {"policy": "strict"}}
SIX = "six==1.16.0 --hash=sha256:8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254\n"
WHEEL = "https://packages.example.com/six/six-1.16.0-py2.py3-none-any.whl"


def deploy(
    server: Server, name: str, files: dict[str, str], modules: tuple[str, ...] = (), keys: Any = None
) -> Outcome:
    return server.try_deploy("packages", name, {"handler.py": importing(*modules), **files}, keys)


def refused(outcome: Outcome) -> dict[str, Any]:
    """The one thing that is said of a refused build."""
    assert outcome.code == 1, outcome.said
    first = outcome.first
    assert (first["status"], first["stage"], first["problemType"]) == (
        "failed",
        "build",
        "/problems/build-failed",
    ), first
    told: dict[str, Any] = first["diagnostics"][0]
    assert told["severity"] == "error" and told["what"], first
    return told


# ---------------------------------------------------------------- strict


@pytest.mark.guarantee("COG-18")
@pytest.mark.case("D4")
@pytest.mark.parametrize(
    ("requirement", "what"),
    [
        ("six", "pinned"),
        ("six>=1.16", "pinned"),
        ("six==1.*", "pinned"),
        ("six~=1.16.0", "pinned"),
        ("six==1.16.0", "--hash"),
    ],
)
def test_D4_COG_18_strict_refuses_what_is_unpinned_or_without_a_hash(
    server: Server, requirement: str, what: str
) -> None:
    told = refused(deploy(server, "strict", {"requirements.txt": f"# one\n\n{requirement}\n"}, ("six",), STRICT))
    assert (told["file"], told["line"]) == ("requirements.txt", 3), told
    assert "six" in told["what"] and what in told["what"] + told["fix"], told


@pytest.mark.guarantee("COG-18")
@pytest.mark.case("D4")
def test_D4_COG_18_strict_has_a_remedy_that_works(server: Server) -> None:
    told = refused(deploy(server, "strict", {"requirements.txt": "six\n"}, ("six",), STRICT))
    assert told["fix"], told
    for command in re.findall(r"casemate ([a-z]+) [a-z]+", told["what"] + told["fix"]):
        assert server.cli(command, "--help")[0] == 0, command


@pytest.mark.guarantee("COG-18")
@pytest.mark.case("D4")
def test_D4_COG_18_strict_of_a_namespace_counts_for_all_its_functions(server: Server) -> None:
    set_policy(server, "strictly", dependencies="strict")
    for keys in (None, {"dependencies": {"policy": "auto"}}):
        outcome = server.try_deploy(
            "strictly", "f", {"handler.py": importing("six"), "requirements.txt": "six\n"}, keys
        )
        assert "six" in refused(outcome)["what"], outcome.said
    let_pass(server.try_deploy("strictly", "f", {"handler.py": importing("six"), "requirements.txt": SIX}))


@pytest.mark.guarantee("COG-18")
@pytest.mark.case("D4")
def test_D4_COG_18_a_wrong_hash_is_refused_with_name_and_line(server: Server) -> None:
    wrong = f"# one\nsix==1.16.0 --hash=sha256:{'0' * 64}\n"
    told = refused(deploy(server, "wrong", {"requirements.txt": wrong}, ("six",)))
    assert (told["file"], told["line"]) == ("requirements.txt", 2) and "six" in told["what"], told


# ---------------------------------------------------------------- lines that name another place


REFUSED = {
    "another index": "--extra-index-url https://packages.example/simple",
    "an index": "--index-url https://packages.example/simple",
    "an index, in short": "-i https://packages.example/simple",
    "no index": "--no-index",
    "a page of links": "--find-links https://packages.example/",
    "links, in short": "-f ./wheels",
    "an editable folder": "-e .",
    "an editable repository": "-e git+https://github.com/benjaminp/six#egg=six",
    "a repository": "git+https://github.com/benjaminp/six@main",
    "a repository by a name": "six @ git+https://github.com/benjaminp/six",
    "a repository over ssh": "git+ssh://git@github.com/benjaminp/six",
    "another kind of repository": "hg+https://packages.example/six",
    "a file": "file:///etc/passwd",
    "a file by a name": "six @ file:///etc/passwd",
    "a folder": "./six",
    "a wheel": "./six-1.16.0-py2.py3-none-any.whl",
    "a URL": WHEEL,
    "a URL by a name": f"six @ {WHEEL}",
    "a URL with its hash": f"six @ {WHEEL}#sha256={SIX.strip()[-64:]}",
    "requirements outside": "-r ../requirements.txt",
    "requirements of the host": "-r /etc/passwd",
    "requirements that are not there": "-r absent.txt",
    "requirements of a URL": "-r https://packages.example/requirements.txt",
    "constraints": "-c constraints.txt",
    "a trusted host": "--trusted-host packages.example",
    "source distributions": "--no-binary :all:",
    "an option for pip": "--pre",
    "an option for setup.py": 'six --global-option="--x"',
    "an option that splits": "six ; --extra-index-url https://packages.example/simple",
    "another index by a continued line": "--extra-index-url \\\n    https://packages.example/simple",
    "an environment variable": "--extra-index-url ${INDEX}",
}


@pytest.mark.guarantee("COG-20")
@pytest.mark.parametrize("what", REFUSED)
def test_COG_20_a_line_that_names_another_place_is_refused_with_its_number(server: Server, what: str) -> None:
    told = refused(deploy(server, "lines", {"requirements.txt": f"six==1.16.0\n# two\n{REFUSED[what]}\n"}, ("six",)))
    assert (told["file"], told["line"]) == ("requirements.txt", 3), told
    assert "\n" not in told["what"] and len(told["what"]) < 1000, told


PROJECTS = {
    "a URL": ('[project]\nname = "x"\nversion = "1"\ndependencies = [\n  "six",\n  "b @ https://packages.example/b.whl",\n]\n', 6),
    "a source": ('[project]\nname = "x"\nversion = "1"\ndependencies = ["six"]\n[tool.uv.sources]\nsix = {git = "https://x.example/six"}\n', None),
    "another index": ('[project]\nname = "x"\nversion = "1"\ndependencies = ["six"]\n[[tool.uv.index]]\nurl = "https://x.example/simple"\n', None),
    "another index in short": ('[project]\nname = "x"\nversion = "1"\ndependencies = ["six"]\n[tool.uv]\nextra-index-url = ["https://x.example"]\n', None),
    "dependencies that a tool works out": ('[project]\nname = "x"\nversion = "1"\ndynamic = ["dependencies"]\n', 4),
}  # fmt: skip


@pytest.mark.guarantee("COG-20")
@pytest.mark.parametrize("what", ["a URL", "a source", "dependencies that a tool works out"])
def test_COG_20_a_pyproject_that_names_another_place_is_refused(server: Server, what: str) -> None:
    text, line = PROJECTS[what]
    told = refused(deploy(server, "project", {"pyproject.toml": text}, ("six",)))
    assert told["file"] == "pyproject.toml" and told["line"], told
    assert line is None or told["line"] == line, told


@pytest.mark.guarantee("COG-20")
@pytest.mark.parametrize("what", ["another index", "another index in short"])
def test_COG_20_an_index_that_a_pyproject_names_is_refused_or_never_asked(server: Server, what: str) -> None:
    outcome = deploy(server, "project", {"pyproject.toml": PROJECTS[what][0]}, ("six",))
    if outcome.code == 0:
        page = server.cli_json("function", "show", "packages/project")
        assert "x.example" not in json.dumps(page), page
    else:
        assert refused(outcome)["file"] == "pyproject.toml"


@pytest.mark.guarantee("COG-20")
@pytest.mark.parametrize("file", ["uv.toml", "pip.conf", ".config/pip/pip.conf", ".pip/pip.conf", "setup.cfg"])
def test_COG_20_no_settings_of_an_installer_in_the_bundle_count(server: Server, file: str) -> None:
    text = {"uv.toml": 'index-url = "https://packages.example/simple"\n'}.get(
        file,
        "[global]\nindex-url = https://packages.example/simple\n[easy_install]\nindex_url = https://packages.example\n",
    )
    let_pass(deploy(server, "settings", {"requirements.txt": SIX, file: text}, ("six",)))


@pytest.mark.guarantee("COG-20")
@pytest.mark.case("D13")
@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://robot:{}@packages.example/simple",
        "-i https://{}@packages.example/simple",
        "--extra-index-url=https://robot:{}@packages.example/simple",
        "https://robot:{}@packages.example/six-1.16.0-py2.py3-none-any.whl",
        "six @ https://robot:{}@packages.example/six-1.16.0-py2.py3-none-any.whl",
        "git+https://robot:{}@packages.example/six",
        "--index-url https://packages.example/simple?token={}",
    ],
)
def test_D13_COG_20_credentials_in_an_address_are_told_to_nobody(server: Server, line: str) -> None:
    password = f"p{uuid.uuid4().hex}"
    outcome = deploy(server, "masked", {"requirements.txt": f"six\n{line.format(password)}\n"}, ("six",))
    assert refused(outcome)["line"] == 2
    assert_absent(outcome.said, password, "the outcome")
    assert_absent("".join(server.out + server.err), password, "the server's log")
    for place in sorted((server.data / "server").glob("casemate.db*")) + list((server.data / "server/audit").iterdir()):
        assert_absent(place.read_bytes(), password, place.name)


# ---------------------------------------------------------------- files that name each other


@pytest.mark.guarantee("COG-20")
def test_COG_20_requirements_inside_the_bundle_are_followed(server: Server) -> None:
    files = {
        "requirements.txt": "-r below/more.txt\n",
        "below/more.txt": "six==1.16.0\n-r ../last.txt\n",
        "last.txt": "idna==3.10\n",
    }
    let_pass(deploy(server, "nested", files, ("six", "idna")))
    page = server.cli_json("function", "show", "packages/nested")
    lock = next(one for one in page["revisions"] if one["isActive"])["lock"]
    assert "six==1.16.0" in lock and "idna==3.10" in lock, lock


@pytest.mark.guarantee("COG-20")
@pytest.mark.parametrize(
    ("inner", "line"),
    [
        ("six\n\n--extra-index-url https://packages.example/simple\n", 3),
        ("six\n-r ../../requirements.txt\n", 2),
        ("-r /etc/passwd\n", 1),
        ("-r ../requirements.txt\n", 1),
        ("-r more.txt\n", 1),
    ],
    ids=["another index", "outside", "of the host", "a circle", "itself"],
)
def test_COG_20_what_is_refused_in_an_inner_file_is_told_with_that_file(server: Server, inner: str, line: int) -> None:
    told = refused(
        deploy(server, "inner", {"requirements.txt": "-r below/more.txt\n", "below/more.txt": inner}, ("six",))
    )
    assert (told["file"], told["line"]) == ("below/more.txt", line), told


@pytest.mark.guarantee("COG-20")
def test_COG_20_many_and_deep_files_end_soon(server: Server) -> None:
    files = {f"r{number}.txt": f"-r r{number + 1}.txt\n" for number in range(400)}
    outcome = deploy(server, "deep", {"requirements.txt": "-r r0.txt\n", **files, "r400.txt": "six\n"}, ("six",))
    assert outcome.code in (0, 1) and outcome.first["milliseconds"] < 30_000, outcome.said
    bushy = {f"r{number}.txt": f"-r r{number + 1}.txt\n" * 2 for number in range(24)}
    outcome = deploy(server, "bushy", {"requirements.txt": "-r r0.txt\n", **bushy, "r24.txt": "six\n"}, ("six",))
    assert outcome.code in (0, 1) and outcome.first["milliseconds"] < 30_000, outcome.said


# ---------------------------------------------------------------- other forms


LOCK = """lock-version = "1.0"
created-by = "tests"
requires-python = ">=3.11"

[[packages]]
name = "six"
version = "1.16.0"
wheels = [{{ name = "six-1.16.0-py2.py3-none-any.whl", url = "{url}", hashes = {{ sha256 = "{digest}" }} }}]
"""


@pytest.mark.guarantee("COG-18")
def test_COG_18_a_pyproject_and_a_pylock_are_read(server: Server) -> None:
    project = '[project]\nname = "x"\nversion = "1"\ndependencies = ["six==1.16.0"]\n'
    let_pass(deploy(server, "pyproject", {"pyproject.toml": project}, ("six",)))
    assert server.call("packages/pyproject", body={}).json() == 1
    assert "six" in refused(deploy(server, "strict", {"pyproject.toml": project}, ("six",), STRICT))["what"]
    lock = LOCK.format(url=WHEEL, digest=SIX.strip()[-64:])
    let_pass(deploy(server, "pylock", {"pylock.toml": lock}, ("six",), STRICT))
    assert server.call("packages/pylock", body={}).json() == 1


@pytest.mark.guarantee("COG-18")
@pytest.mark.case("D4")
def test_D4_COG_18_a_pylock_with_a_wrong_hash_or_another_place_is_refused(server: Server) -> None:
    told = refused(
        deploy(server, "pylock-bad", {"pylock.toml": LOCK.format(url=WHEEL, digest="0" * 64)}, ("six",), STRICT)
    )
    assert "six" in told["what"], told
    elsewhere = LOCK.format(url="https://packages.example/six-1.16.0-py2.py3-none-any.whl", digest=SIX.strip()[-64:])
    outcome = deploy(server, "pylock-elsewhere", {"pylock.toml": elsewhere}, ("six",), STRICT)
    if outcome.code == 0:
        # The bytes are those of the hash, so they came from the index.
        assert server.call("packages/pylock-elsewhere", body={}).json() == 1
    else:
        assert refused(outcome)["file"] == "pylock.toml"


@pytest.mark.guarantee("COG-18")
@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml", "pylock.toml"])
@pytest.mark.parametrize(
    "content", ["\0\1\2", "[" * 10_000, "six" + "x" * 100_000, "=\n" * 3, "\ufeffsix @@\n"], ids=range(5)
)
def test_COG_18_a_file_that_can_not_be_read_is_refused_by_its_name(server: Server, name: str, content: str) -> None:
    told = refused(deploy(server, "unreadable", {name: content}))
    assert told["file"] == name and len(told["what"]) < 2000, told


@pytest.mark.guarantee("COG-18")
def test_COG_18_a_package_that_does_not_exist_is_refused_by_its_name(server: Server) -> None:
    name = f"no-such-package-{uuid.uuid4().hex[:8]}"
    assert name in refused(deploy(server, "absent", {"requirements.txt": f"{name}\n"}))["what"]


# ---------------------------------------------------------------- the SBOM


@pytest.fixture(scope="module")
def requesting(running: Server) -> str:
    let_pass(
        running.try_deploy(
            "packages", "requesting", {"handler.py": importing("requests"), "requirements.txt": "requests\n"}
        )
    )
    return "packages/requesting"


@pytest.mark.guarantee("COG-18")
def test_COG_18_under_auto_all_is_locked_and_the_next_deployment_has_the_same(server: Server, requesting: str) -> None:
    def active() -> dict[str, Any]:
        page = server.cli_json("function", "show", requesting)
        found: dict[str, Any] = next(one for one in page["revisions"] if one["isActive"])
        return found

    first = active()
    for name in ("requests", "urllib3", "idna", "certifi", "charset-normalizer"):
        assert re.search(rf"^{name}==[0-9.]+ \\\n +--hash=sha256:[0-9a-f]{{64}}", first["lock"], re.M), name
    changed = {"handler.py": importing("requests") + "# changed\n", "requirements.txt": "requests\n"}
    let_pass(server.try_deploy("packages", "requesting", changed))
    assert active()["number"] > first["number"] and active()["lock"] == first["lock"]


@pytest.mark.guarantee("COG-17")
def test_COG_17_the_sbom_is_a_cyclonedx_1_6_document_of_what_was_locked(server: Server, requesting: str) -> None:
    answer = server.api("GET", f"{server.function_path(requesting)}/sbom")
    assert answer.status == 200 and answer.headers["content-type"].startswith("application/vnd.cyclonedx+json")
    code, out, err = server.cli("sbom", requesting)
    assert code == 0, err
    bom = json.loads(out)
    assert bom == answer.json()
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6") and bom["version"] >= 1
    assert bom["$schema"].endswith("bom-1.6.schema.json")
    assert re.fullmatch(
        r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", bom["serialNumber"]
    )
    subject = bom["metadata"]["component"]
    assert subject["type"] == "application" and "requesting" in subject["name"], subject
    components = bom["components"]
    references = [component["bom-ref"] for component in [*components, subject]]
    assert len(set(references)) == len(references)
    for component in components:
        assert component["type"] == "library" and component["name"] and component["version"], component
        assert component["purl"] == f"pkg:pypi/{component['name']}@{component['version']}", component
        assert component["hashes"] and component["licenses"], component
        for digest in component["hashes"]:
            assert digest["alg"] == "SHA-256" and re.fullmatch("[0-9a-f]{64}", digest["content"]), digest
        for licence in component["licenses"]:
            assert ("expression" in licence) != ("license" in licence), licence
            assert "license" not in licence or ("id" in licence["license"]) != ("name" in licence["license"]), licence
    names = {component["name"] for component in components}
    assert names == {"requests", "urllib3", "idna", "certifi", "charset-normalizer"}, names
    known = set(references)
    for dependency in bom["dependencies"]:
        assert dependency["ref"] in known and set(dependency.get("dependsOn", [])) <= known, dependency
    page = server.cli_json("function", "show", requesting)
    lock = next(one for one in page["revisions"] if one["isActive"])["lock"]
    assert all(f"{one['name']}=={one['version']}" in lock for one in components)


@pytest.mark.guarantee("COG-17")
def test_COG_17_each_revision_has_its_own_sbom(server: Server) -> None:
    let_pass(deploy(server, "two", {"requirements.txt": SIX}, ("six",)))
    let_pass(deploy(server, "two", {"requirements.txt": "six==1.17.0\n"}, ("six",)))
    versions = {}
    for number in ("1", "2"):
        code, out, err = server.cli("sbom", "packages/two", "--revision", number)
        assert code == 0, err
        versions[number] = json.loads(out)["components"][0]["version"]
    assert versions == {"1": "1.16.0", "2": "1.17.0"}
    assert json.loads(server.cli("sbom", "packages/two")[1])["components"][0]["version"] == "1.17.0"
    for query in ("?revision=3", "?revision=0", "?revision=x", "?revision=99999999999999999999"):
        assert server.api("GET", f"{server.function_path('packages/two')}/sbom{query}").status in (400, 404), query
    assert server.api("GET", "/v1/namespaces/packages/functions/never-there/sbom").status == 404
