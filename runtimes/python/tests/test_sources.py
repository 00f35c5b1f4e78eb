"""Which file of a bundle says what it needs, and that a fault is told with the file and line it is in."""

from collections.abc import Callable
from pathlib import Path

import pytest
from casemate_runtime.faults import Fault
from casemate_runtime.requirements import write
from casemate_runtime.sources import Needs, files_in, find

A, B = "a" * 64, "b" * 64


@pytest.fixture
def needs(tmp_path: Path) -> Callable[..., Needs | None]:
    def of(files: dict[str, str], strict: bool = False, from_source: tuple[str, ...] = ()) -> Needs | None:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return find(files_in(tmp_path), strict, from_source)

    return of


Find = Callable[..., Needs | None]


def names(found: Needs | None) -> list[tuple[str, str, int | None]]:
    assert found
    return [(item.name, item.place.file, item.place.line) for item in found.requirements]


def fault_of(needs: Find, files: dict[str, str], strict: bool = False) -> tuple[str, int | None, str]:
    with pytest.raises(Fault) as caught:
        needs(files, strict)
    assert caught.value.code == "requirements-refused"
    assert "hunter2" not in caught.value.message
    what, _, fix = caught.value.message.partition("; ")
    assert what and fix and "; " not in fix
    return caught.value.file, caught.value.line, caught.value.message


def package(
    name: str, *lines: str, wheel: str = f'wheels = [{{ name = "x.whl", hashes = {{ sha256 = "{A}" }} }}]'
) -> str:
    return "\n".join(["[[packages]]", f'name = "{name}"', 'version = "1.0"', *lines, wheel, ""])


def pylock(*packages: str) -> dict[str, str]:
    return {"pylock.toml": 'lock-version = "1.0"\ncreated-by = "me"\n' + "\n".join(packages)}


def pyproject(text: str) -> dict[str, str]:
    return {"pyproject.toml": text}


def test_the_first_file_that_exists_is_read(needs: Find) -> None:
    assert needs({}) is None
    assert names(needs(pyproject('[project]\nname = "x"\ndependencies = [\n "c",\n]'))) == [("c", "pyproject.toml", 4)]
    assert names(needs({"requirements.txt": "b"})) == [("b", "requirements.txt", 1)]
    found = needs({**pylock(package("a")), "requirements.txt": "a"})
    assert found and found.is_lock and names(found) == [("a", "pylock.toml", 3)]
    assert [(item.name, *item.place) for item in found.asked] == [("a", "requirements.txt", 1)]


# requirements.txt


def test_nested_files_are_followed_from_where_they_are(needs: Find) -> None:
    files = {
        "requirements.txt": "a\n-r more/b.txt\n--requirement=more/c.txt\nd",
        "more/b.txt": "\nb\n-r deep/x.txt",
        "more/deep/x.txt": "x\n-r../c.txt",
        "more/c.txt": "c # why",
    }
    assert names(needs(files)) == [
        ("a", "requirements.txt", 1),
        ("b", "more/b.txt", 2),
        ("x", "more/deep/x.txt", 1),
        ("c", "more/c.txt", 1),
        ("c", "more/c.txt", 1),
        ("d", "requirements.txt", 4),
    ]


@pytest.mark.parametrize(
    "line, said",
    [
        ("-r ../x.txt", "outside"),
        ("-r a/../../x.txt", "outside"),
        ("-r /etc/passwd", "outside"),
        ("-r ..", "outside"),
        ("-r https://robot:hunter2@evil/x.txt", "not from a URL"),
        ("-r file:///etc/passwd", "not from a URL"),
        ("-r ${HOME}/x.txt", "plain path"),
        ("-r 'x.txt'", "plain path"),
        ("-r x.txt --pre", "plain path"),
        ("-r missing.txt", "no such file"),
        ("-r .", "no such file"),
        ("-r requirements.txt", "circle"),
        ("-r ./requirements.txt", "circle"),
        ("-r", "one file"),
        ("-c constraints.txt", "no constraints"),
        ("-cconstraints.txt", "no constraints"),
        ("--constraint constraints.txt", "no constraints"),
    ],
)
def test_other_nested_files_are_refused_with_the_line(needs: Find, line: str, said: str) -> None:
    file, number, message = fault_of(needs, {"requirements.txt": f"a\n{line}", "constraints.txt": "a==1"})
    assert (file, number) == ("requirements.txt", 2) and said in message


def test_a_fault_in_a_nested_file_has_its_name_and_line(needs: Find) -> None:
    files = {"requirements.txt": "a\n-r more/b.txt", "more/b.txt": "b\n\n-e ."}
    assert fault_of(needs, files)[:2] == ("more/b.txt", 3)
    files["more/b.txt"] = "-r c.txt"
    assert fault_of(needs, {**files, "more/c.txt": "-r ../more/b.txt"}) == (
        "more/c.txt",
        1,
        "-r ../more/b.txt: the files name each other in a circle; leave out one of these lines",
    )
    assert fault_of(needs, {**files, "more/b.txt": "b==1"}, strict=True)[:2] == ("requirements.txt", 1)


def test_whoever_returns_from_a_line_s_fault_hears_of_the_others(needs: Find, tmp_path: Path) -> None:
    lines = "a\n-e .\n-r more/b.txt\n-r missing.txt\nc\n--pre"
    needs({"requirements.txt": "b"})
    (tmp_path / "requirements.txt").write_text(lines)
    (tmp_path / "more").mkdir()
    (tmp_path / "more/b.txt").write_text("git+https://x/y\nb\n-r ../requirements.txt")
    told: list[Fault] = []
    found = find(files_in(tmp_path), False, tell=told.append)
    assert [name for name, _, _ in names(found)] == ["a", "b", "c"]
    assert [(fault.file, fault.line) for fault in told] == [
        ("requirements.txt", 2),
        ("more/b.txt", 1),
        ("more/b.txt", 3),
        ("requirements.txt", 4),
        ("requirements.txt", 6),
    ]


def test_depth_and_count_of_nested_files_have_bounds(needs: Find) -> None:
    chain = {f"r{number}.txt": f"a{number}\n-r r{number + 1}.txt" for number in range(9)} | {"r9.txt": ""}
    assert "deep" in fault_of(needs, {"requirements.txt": "-r r0.txt", **chain})[2]
    many = "\n".join(["-r r9.txt"] * 33)
    assert fault_of(needs, {"requirements.txt": many})[1] == 33


def test_strict_says_how_a_full_lock_is_made(needs: Find) -> None:
    for text in ("six", "six==1"):
        assert "casemate deps lock" in fault_of(needs, {"requirements.txt": text}, strict=True)[2]
    found = needs({"requirements.txt": f"six==1 --hash=sha256:{A}"}, strict=True)
    assert found and found.is_lock


# pylock.toml


def test_a_pylock_gives_names_versions_markers_and_hashes_but_no_urls(needs: Find) -> None:
    wheels = f"""
    [[packages.wheels]]
    url = "https://robot:hunter2@evil.test/a.whl"
    hashes = {{ sha256 = "{A}", md5 = "x" }}
    [[packages.wheels]]
    path = "../b.whl"
    hashes = {{ sha512 = "{B * 2}" }}"""
    url = 'index = "https://robot:hunter2@evil.test/simple"'
    marker = """marker = 'python_version < "3.12" and sys_platform == "linux"'"""
    found = needs(pylock(package("Foo.Bar", url, marker, wheel=wheels), package("six")))
    assert found and found.is_lock and found.file == "pylock.toml"
    assert write(found.requirements) == (
        'Foo.Bar==1.0 ; python_version < "3.12" and sys_platform == "linux" \\\n'
        f"    --hash=sha256:{A} \\\n    --hash=sha512:{B * 2}\nsix==1.0 \\\n    --hash=sha256:{A}\n"
    )
    assert [item.version for item in found.requirements] == ["1.0", "1.0"]


SDIST = f'sdist = {{ url = "https://robot:hunter2@x/a.tar.gz", hashes = {{ sha256 = "{B}" }} }}'


@pytest.mark.parametrize(
    "lines, said",
    [
        (('vcs = { type = "git", url = "https://hunter2@x/y", commit-id = "1" }',), "repository"),
        (('directory = { path = "." }',), "folder"),
        (('archive = { url = "https://hunter2@x/y.zip" }',), "a URL"),
        ((SDIST, ""), "only a source distribution"),
        ((), "no files"),
        (("wheels = []",), "no files"),
        (("wheels = 1",), "not tables"),
        (('wheels = [{ name = "x.whl" }]',), "hash"),
        (('wheels = [{ hashes = { md5 = "x" } }]',), "hash"),
        (('wheels = [{ hashes = { sha256 = "x" } }]',), "hash"),
        ((f'wheels = [{{ hashes = {{ sha256 = "{A}" }} }}, {{ hashes = {{}} }}]',), "hash"),
        (("marker = 1",), "no text"),
        (("marker = \"'dev' in dependency_groups\"",), "group"),
        (("marker = \"'x' in extras\"",), "extra"),
        (('marker = "x # y"',), "PEP 508"),
        (('marker = "x\\n--index-url https://evil"',), "not from a URL"),
        (('marker = "x\\n--index-url evil"',), "PEP 508"),
    ],
)
def test_entries_of_a_pylock_that_are_no_wheels_are_refused(needs: Find, lines: tuple[str, ...], said: str) -> None:
    text = package("foo", *lines, wheel="")
    file, line, message = fault_of(needs, pylock(package("ok"), text))
    assert (file, line) == ("pylock.toml", 8) and said in message


@pytest.mark.parametrize(
    "text, line, said",
    [
        ("", None, "version 1 of PEP 751"),
        ('lock-version = "2.0"', None, "version 1"),
        ("lock-version = 1.0", None, "version 1"),
        ('lock-version = "1.0"\npackages = 1', None, "array"),
        ('lock-version = "1.0"\npackages = [1]', None, "array"),
        ('lock-version = "1.0"\npackages = [{}]', None, "without a name"),
        ('lock-version = "1.0"\npackages = [{name = "x"}]', None, "no version"),
        ('lock-version = "1.0"\n\n[[packages]]\nname = "x y"\nversion = "1"', 3, "PEP 508"),
        ('lock-version = "1.0"\n[[packages]]\nname = "x"\nversion = "1.*"', 2, "not one version"),
        ('lock-version = "1.0"\n[[packages]]\nname = "x[y"\nversion = "1"', 2, "PEP 508"),
        ('lock-version = "1.0"\n[[packages]]\nname = "x>1,"\nversion = "1"', 2, "not one version"),
        ('lock-version = "1.0"\n[[packages]]\nname = "x[y]"\nversion = "1"', 2, "not one version"),
        ("a = 1\nb = =", 2, "not TOML"),
        ("[" * 5_000, None, "not TOML"),
        ("a = " + "[" * 5_000, None, "nested too deeply"),
    ],
)
def test_a_pylock_that_is_none_is_refused(needs: Find, text: str, line: int | None, said: str) -> None:
    file, number, message = fault_of(needs, {"pylock.toml": text})
    assert file == "pylock.toml" and said in message and (line is None or number == line)


def test_a_package_that_is_built_has_its_source_distributions_hash(needs: Find) -> None:
    found = needs(pylock(package("Foo", SDIST)), from_source=("foo",))
    assert found and found.requirements[0].hashes == (f"sha256:{B}",)
    found = needs(pylock(package("Foo", SDIST)))
    assert found and found.requirements[0].hashes == (f"sha256:{A}",)


@pytest.mark.parametrize(
    "lines",
    ["Foo.Bar", "foo-bar==1.0.0\nsix<2", "foo_bar[x] (>=0.9, <2)", "six~=1.0", "six!=2;python_version>'3'", "gone; os_name == 'nt'", "# six==7", ""],
)  # fmt: skip
def test_a_pylock_that_has_what_stands_beside_it_is_taken(needs: Find, lines: str) -> None:
    found = needs({**pylock(package("foo-bar"), package("six")), "requirements.txt": lines}, strict=True)
    assert found and found.is_lock and [item.name for item in found.requirements] == ["foo-bar", "six"]


@pytest.mark.parametrize(
    "files, place, said",
    [
        ({"requirements.txt": "six\n\nidna"}, ("requirements.txt", 3), "idna: pylock.toml does not have it"),
        ({"requirements.txt": "six>=2 # why"}, ("requirements.txt", 1), "six>=2: pylock.toml has 1.0"),
        ({"requirements.txt": "six\n-r a/b.txt", "a/b.txt": "\nsix==1.0.1"}, ("a/b.txt", 2), "six==1.0.1: pylock.toml has 1.0"),
        (pyproject('[project]\ndependencies = [\n"six<1"]'), ("pyproject.toml", 3), "six<1: pylock.toml has 1.0"),
    ],
)  # fmt: skip
def test_a_pylock_that_has_it_no_longer_is_refused_with_the_line(
    needs: Find, files: dict[str, str], place: tuple[str, int], said: str
) -> None:
    file, line, message = fault_of(needs, {**pylock(package("six")), **files})
    assert (file, line) == place and message == f"{said}; make it anew: casemate deps lock PATH"


@pytest.mark.parametrize(
    "files", [{"requirements.txt": "-e ."}, {"requirements.txt": "-r no.txt"}, pyproject("[project]\ndynamic = ['dependencies']")]
)  # fmt: skip
def test_beside_a_pylock_other_tools_files_may_stand(needs: Find, files: dict[str, str]) -> None:
    found = needs({**pylock(package("six")), **files})
    assert found and found.is_lock and found.asked == ()


# pyproject.toml


def test_each_dependency_of_a_project_has_its_line(needs: Find) -> None:
    text = """[build-system]
requires = ["setuptools"]
[project]
name = "six"
optional-dependencies = {x = ["no"]}
dependencies = [
  "six", "requests [socks] >=2",
  'tomli; python_version < "3.11"',  # why

  "six",
]
[dependency-groups]
dev = ["pytest"]
"""
    assert [(name, line) for name, _, line in names(needs(pyproject(text)))] == [
        ("six", 7),
        ("requests", 7),
        ("tomli", 8),
        ("six", 10),
    ]
    assert names(needs(pyproject('project.dependencies = ["a\\u0062"]'))) == [("ab", "pyproject.toml", 1)]
    assert names(needs(pyproject("project = {}"))) == [] and names(needs(pyproject("[tool.black]"))) == []


@pytest.mark.parametrize(
    "text, line, said",
    [
        ('[project]\nname = "x"\ndynamic = ["dependencies"]', 3, "[project] dependencies ="),
        ('project = {dynamic = ["dependencies"]}', None, "[project] dependencies ="),
        ('[tool.poetry]\n[tool.poetry.dependencies]\npython = "*"\nsix = "*"', 1, "[project] dependencies ="),
        ('[tool.flit.metadata]\nrequires = ["six"]', 1, "[project] dependencies ="),
        ("[project]\ndependencies = 1", 1, "list of texts"),
        ("[project]\ndependencies = [1]", 1, "list of texts"),
        ("project = 1", None, "not a table"),
        ('[project]\ndependencies = [\n"six",\n"y @ git+https://hunter2@x/y"]', 4, "repository"),
        ('[project]\ndependencies = [\n"-e ."]', 3, "editable"),
        ('[project]\ndependencies = ["-r x.txt"]', 2, "one file"),
        (f'[project]\ndependencies = ["six --hash=sha256:{A}"]', 2, "only in requirements.txt"),
        ('[project]\ndependencies = ["six"]\n[tool.uv.sources]\nSix = {path = "x"}', 2, "tool.uv.sources"),
        ("[project", None, "not TOML"),
        ("[project]\ndependencies = [" + '"a",' * 1_001 + "]", 1, "1000 are allowed"),
    ],
)
def test_other_projects_are_refused_with_what_to_write(needs: Find, text: str, line: int | None, said: str) -> None:
    file, number, message = fault_of(needs, pyproject(text))
    assert (file, number) == ("pyproject.toml", line) and said in message


def test_a_project_of_another_tool_that_needs_nothing_is_fine(needs: Find) -> None:
    assert names(needs(pyproject('[tool.poetry.dependencies]\npython = "^3.11"'))) == []


def test_strict_takes_no_project_without_a_lock(needs: Find) -> None:
    file, line, message = fault_of(needs, pyproject('[project]\ndependencies = [\n"six==1"]'), strict=True)
    assert (file, line) == ("pyproject.toml", 3) and "casemate deps lock" in message
    assert names(needs(pyproject("[project]\ndependencies = []"), strict=True)) == []
