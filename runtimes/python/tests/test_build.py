"""From an archive's descriptor to a bundle. uv is played by a script that keeps a record of how it was called."""

import errno
import json
import marshal
import os
import shutil
import socket
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from casemate_runtime import build, dependencies
from casemate_runtime.bytecode import compile_folder
from casemate_runtime.complaints import complaint
from casemate_runtime.faults import Fault
from casemate_runtime.frames import Channel
from casemate_runtime.uv import Tool, masked, summary
from support import HEADER, TAGS, Answer, Instance, encode_fields, receive

INDEX = "https://packages.test/simple"
HASHES = ["sha256:" + letter * 64 for letter in "ab"]

FAKE_UV = f"""#!{sys.executable} -I
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
arguments = sys.argv[1:]
def after(name): return pathlib.Path(arguments[arguments.index(name) + 1])
record = here / "record.json"
calls = json.loads(record.read_text()) if record.exists() else []
call = {{"arguments": arguments, "environment": dict(os.environ), "cwd": os.getcwd()}}
if arguments[1] == "compile":
    call["input"] = pathlib.Path(arguments[-1]).read_text()
    call["kept"] = after("-o").read_text() if after("-o").exists() else None
    after("-o").write_text("six==1.16.0 \\\\\\n    --hash={HASHES[0]} \\\\\\n    --hash={HASHES[1]}\\n")
else:
    call["lock"] = after("-r").read_text()
    target = after("--target")
    (target / "bin").mkdir(parents=True)
    (target / "bin" / "tool").touch()
    (target / ".lock").touch()
    (target / "six.py").write_text("x = 1")
    (target / "old.py").write_text("print 'python 2'")
pathlib.Path(os.environ["UV_CACHE_DIR"]).mkdir(exist_ok=True)
record.write_text(json.dumps([*calls, call]))
fail = here / "fail"
if fail.exists():
    sys.stderr.write(fail.read_text())
    sys.exit(1)
"""


class NoUploads:
    """Nobody is asked."""

    def __init__(self, names: Iterable[str], *_: object) -> None:
        self.names = list(names)

    def found(self) -> dict[str, str]:
        return dict.fromkeys(self.names, "2020-01-01T00:00:00Z")


class Workshop(NamedTuple):
    out: Path
    tools: Path
    build: Callable[..., dict[str, Any]]

    def again(self) -> "Workshop":
        """With an empty folder, as another build has it."""
        shutil.rmtree(self.out)
        self.out.mkdir()
        return self

    def attach(self) -> "Workshop":
        """What was built, where the active revision's bundle is shown to the next build."""
        self.out.rename(self.out.with_name("fn"))
        self.out.mkdir()
        return self

    def uv_calls(self) -> list[dict[str, Any]]:
        record = self.tools / "record.json"
        return json.loads(record.read_text()) if record.exists() else []


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setattr(dependencies, "FirstUploads", NoUploads)
    out, tools = tmp_path / "out", tmp_path / "tools"
    out.mkdir()
    tools.mkdir()
    (tools / "uv").write_text(FAKE_UV)
    (tools / "uv").chmod(0o755)
    tool = Tool(uv=tools / "uv", python=sys.executable, certificates="/certificates")
    control, _ = socket.socketpair()
    builder = build.Builder(Channel(control), out, tool, attached=tmp_path / "fn")

    def run(files: dict[str, str], **fields: str) -> dict[str, Any]:
        values: dict[int, list[bytes]] = {}
        for name, value in {"index": INDEX, **fields}.items():
            values[TAGS[name]] = [value.encode()]
        archive = os.open(archived(tmp_path / "upload.zip", files), os.O_RDONLY)
        try:
            return builder.build(archive, values)
        finally:
            os.close(archive)

    return Workshop(out, tools, run)


def archived(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


SHIPPED = """(target / "__pycache__").mkdir()
    (target / "__pycache__" / "six.cpython-311.pyc").write_bytes(b"evil")"""


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        f"{folder.name}/{path.relative_to(folder)}": (path.stat().st_mode, b"" if path.is_dir() else path.read_bytes())
        for path in folder.rglob("*")
    }


def split(lock: str) -> tuple[list[str], str]:
    """The comments of a lock, and the rest."""
    lines = lock.split("\n")
    head = [line for line in lines if line.startswith("#")]
    return head, "\n".join(lines[len(head) :])


def fault_of(work: Callable[..., Any], *arguments: Any, **options: Any) -> Fault:
    with pytest.raises(Fault) as caught:
        work(*arguments, **options)
    return caught.value


def test_a_source_without_requirements_is_unpacked_and_compiled(shop: Workshop) -> None:
    report = shop.build({"handler.py": "def handle(): raise ValueError", "lib/x.py": "", "data.csv": "1"})
    assert report == {"files": 3, "bytes": 31, "lock": None, "syntax": []}
    assert shop.uv_calls() == [] and sorted(os.listdir(shop.out)) == ["src"]
    compiled = (shop.out / "src/__pycache__/handler.cpython-311.pyc").read_bytes()
    assert compiled[4:8] == b"\x01\0\0\0"  # by hash, unchecked (PEP 552)
    assert marshal.loads(compiled[16:]).co_filename == "/fn/src/handler.py"  # nosec B302  # compiled here
    assert (shop.out / "src/lib/__pycache__/x.cpython-311.pyc").exists()


def test_requirements_are_locked_and_installed(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_INDEX_URL", "https://other.test")
    report = shop.build({"handler.py": "", "requirements.txt": "# mine\nsix >= 1.15  # why\n"})
    lock = "six==1.16.0 \\\n" + " \\\n".join(f"    --hash={value}" for value in HASHES) + "\n"
    head, body = split(report["lock"])
    assert body == lock and [line.partition(" sha256:")[0] for line in head] == [
        "# casemate lock 1",
        "# inputs",
        "# python 3.11",
        "# indexes",
    ]
    assert report["syntax"] == [{"file": "deps/old.py", "line": 1, "message": report["syntax"][0]["message"]}]
    compiling, installing = shop.uv_calls()
    assert compiling["input"] == "six >= 1.15\n" and compiling["kept"] is None
    assert " ".join(compiling["arguments"]).startswith(f"pip compile --python {sys.executable} --only-binary :all: ")
    assert "--generate-hashes" in compiling["arguments"]
    assert " ".join(installing["arguments"]).startswith(f"pip install --python {sys.executable} --only-binary :all: ")
    assert "--require-hashes" in installing["arguments"] and installing["lock"] == lock
    for call in (compiling, installing):
        assert "hunter2" not in " ".join(call["arguments"])
        environment = {name: value for name, value in call["environment"].items() if name != "LC_CTYPE"}
        assert environment.pop("UV_CACHE_DIR").startswith(environment.pop("HOME"))
        assert environment == {
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "SSL_CERT_FILE": "/certificates",
            "UV_DEFAULT_INDEX": INDEX,
            "UV_LINK_MODE": "copy",
            "UV_NO_CONFIG": "1",
            "UV_NO_PROGRESS": "1",
            "UV_PYTHON_DOWNLOADS": "never",
        }
    assert sorted(os.listdir(shop.out)) == ["deps", "src"]
    assert sorted(os.listdir(shop.out / "deps")) == ["__pycache__", "old.py", "six.py"]
    compiled = (shop.out / "deps/__pycache__/six.cpython-311.pyc").read_bytes()
    assert marshal.loads(compiled[16:]).co_filename == "/fn/deps/six.py"  # nosec B302  # compiled here


def test_a_kept_lock_of_other_inputs_is_handed_to_the_resolver(shop: Workshop) -> None:
    kept = f"six==1.15.0 \\\n    --hash={HASHES[0]}\n"
    made = shop.build({"requirements.txt": "idna"})["lock"]
    indexes = next(line for line in made.splitlines() if line.startswith("# indexes "))
    head = "# casemate lock 1\n# inputs sha256:0\n"
    # Of other indexes the versions may stay, and no hash.
    for number, (given, used) in enumerate(
        [
            (f"{head}{indexes}\n{kept}", kept),
            (f"{head}# indexes sha256:0\n{kept}", "six==1.15.0\n"),
            (kept, "six==1.15.0\n"),
            ("six==1.15.0\n", None),
        ]
    ):
        shop.again().build({"requirements.txt": "six"}, lock=given)
        assert shop.uv_calls()[2 + 2 * number]["kept"] == used, given


def test_a_kept_lock_of_the_same_inputs_needs_no_resolution(shop: Workshop) -> None:
    lock = shop.build({"requirements.txt": "six>=1\nidna"})["lock"]
    assert shop.again().build({"requirements.txt": "# new\nIdna\nsix >= 1"}, lock=lock)["lock"] == lock
    assert [call["arguments"][1] for call in shop.uv_calls()] == ["compile", "install", "install"]
    for files, options in (
        ({"requirements.txt": "six>=2\nidna"}, {}),
        ({"requirements.txt": "six>=1\nidna"}, {"index": "https://packages.test/other"}),
        ({"requirements.txt": "six>=1\nidna"}, {"upgrade": "six"}),
        ({"requirements.txt": "six>=1\nidna"}, {"upgrade": "*"}),
    ):
        before = len(shop.uv_calls())
        shop.again().build(files, lock=lock, **options)
        assert shop.uv_calls()[before]["arguments"][1] == "compile", options


def test_an_upgrade_forgets_the_kept_versions_of_its_packages(shop: Workshop) -> None:
    lock = f"idna==3.1 --hash={HASHES[0]}\nRuamel.yaml==1 --hash={HASHES[0]}\n"
    for upgrade, kept in (
        ("idna", "Ruamel.yaml==1"),
        ("IDNA, ruamel_yaml", None),
        ("*", None),
        ("idna,*", None),
        ("six", "idna==3.1"),
    ):
        before = len(shop.uv_calls())
        shop.again().build({"requirements.txt": "six"}, lock=lock, upgrade=upgrade)
        handed = shop.uv_calls()[before]["kept"]
        assert handed is kept if kept is None else handed.startswith(kept), upgrade


def test_dependencies_of_the_same_lock_are_copied_from_the_active_bundle(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = shop.build({"requirements.txt": "six", "handler.py": ""})
    assert first["cached"] is False and first["resolved"] is True
    before = tree(shop.out / "deps")
    compiled = []

    def watch(folder: Path, shown_as: str, all_again: bool = True) -> list[Any]:
        compiled.append((folder.name, all_again))
        return compile_folder(folder, shown_as, all_again)

    monkeypatch.setattr(build, "compile_folder", watch)
    again = shop.attach().build(
        {"requirements.txt": "six # the same", "handler.py": "x = 1"}, lock=first["lock"], attached=first["lock"]
    )
    assert (again["cached"], again["resolved"], again["lock"]) == (True, False, first["lock"])
    assert tree(shop.out / "deps") == before and "deps/__pycache__/six.cpython-311.pyc" in before
    assert again["syntax"] == first["syntax"] != []  # still told
    assert compiled == [("src", True), ("deps", False)] and len(shop.uv_calls()) == 2
    assert sorted(os.listdir(shop.out)) == ["deps", "src"]


def test_dependencies_of_a_new_lock_with_the_same_packages_are_copied_too(shop: Workshop) -> None:
    first = shop.build({"requirements.txt": "six"})
    again = shop.attach().build({"requirements.txt": "six>=1"}, lock=first["lock"], attached=first["lock"])
    assert (again["cached"], again["resolved"]) == (True, True) and again["lock"] != first["lock"]


@pytest.mark.parametrize(
    "change", [("1.16.0", "1.15.0"), ("# python 3.11", "# python 3.10"), ("# casemate lock 1", "#"), ("six", "-e six")]
)
def test_dependencies_of_another_lock_are_not_copied(shop: Workshop, change: tuple[str, str]) -> None:
    first = shop.build({"requirements.txt": "six"})
    other = first["lock"].replace(*change)
    assert shop.attach().build({"requirements.txt": "six"}, lock=first["lock"], attached=other)["cached"] is False
    assert shop.uv_calls()[-1]["arguments"][1] == "install"


def test_without_an_attached_bundle_nothing_is_copied(shop: Workshop) -> None:
    lock = shop.build({"requirements.txt": "six"})["lock"]
    assert shop.again().build({"requirements.txt": "six"}, lock=lock, attached=lock)["cached"] is False


def test_byte_code_of_a_package_is_made_anew(shop: Workshop) -> None:
    (shop.tools / "uv").write_text(FAKE_UV.replace('(target / "bin" / "tool").touch()', SHIPPED))
    shop.build({"requirements.txt": "six"})
    assert (shop.out / "deps/__pycache__/six.cpython-311.pyc").read_bytes() != b"evil"


def test_the_report_says_where_each_requirement_stands(shop: Workshop) -> None:
    report = shop.build({"requirements.txt": "\n-r more.txt\nsix", "more.txt": "IDNA>=1"})
    assert report["lockedFrom"] == "requirements.txt"
    assert report["direct"] == [
        {"name": "IDNA", "file": "more.txt", "line": 1},
        {"name": "six", "file": "requirements.txt", "line": 3},
    ]
    assert "direct" not in shop.again().build({"requirements.txt": ""})


def test_first_uploads_are_asked_for_where_the_lock_is_new(shop: Workshop) -> None:
    first = shop.build({"requirements.txt": "six"})
    assert first["firstUploads"] == {"six": "2020-01-01T00:00:00Z"}
    assert "firstUploads" not in shop.again().build({"requirements.txt": "six"}, lock=first["lock"])
    for hashes, asked in ((HASHES, False), (HASHES[:1], True)):
        strict = " ".join(["six==1.16.0", *(f"--hash={value}" for value in hashes)])
        report = shop.again().build({"requirements.txt": strict}, policy="strict", lock=first["lock"])
        assert ("firstUploads" in report) is asked


def test_a_lock_of_the_author_is_installed_as_it_is(shop: Workshop) -> None:
    files = {"pylock.toml": f"""lock-version = "1.0"
        [[packages]]
        name = "six"
        version = "1.16.0"
        wheels = [{{ hashes = {{ sha256 = "{'a' * 64}" }} }}]"""}
    for policy in ("auto", "strict"):
        assert split(shop.again().build(files, policy=policy)["lock"])[1] == f"six==1.16.0 \\\n    --hash={HASHES[0]}\n"
    assert [call["arguments"][1] for call in shop.uv_calls()] == ["install", "install"]


def test_a_hash_of_the_author_narrows_the_lock(shop: Workshop) -> None:
    report = shop.build({"requirements.txt": f"Six --hash={HASHES[1]}"})
    assert split(report["lock"])[1] == f"six==1.16.0 \\\n    --hash={HASHES[1]}\n" == shop.uv_calls()[1]["lock"]


def test_a_hash_of_the_author_that_the_index_does_not_know_is_refused(shop: Workshop) -> None:
    fault = fault_of(shop.build, {"requirements.txt": f"\nsix --hash=sha256:{'f' * 64}"})
    assert (fault.code, fault.file, fault.line) == ("requirements-refused", "requirements.txt", 2)
    assert len(shop.uv_calls()) == 1


def test_the_strict_policy_installs_what_the_author_has_locked(shop: Workshop) -> None:
    locked = f"six==1.16.0 --hash={HASHES[0]}"
    report = shop.build({"requirements.txt": locked}, policy="strict")
    assert split(report["lock"])[1] == f"six==1.16.0 \\\n    --hash={HASHES[0]}\n"
    assert [call["arguments"][1] for call in shop.uv_calls()] == ["install"]


def test_refused_requirements_never_reach_uv(shop: Workshop) -> None:
    fault = fault_of(shop.build, {"requirements.txt": "six\n-r other.txt\n"})
    assert (fault.code, fault.line, shop.uv_calls()) == ("requirements-refused", 2, [])


def test_an_empty_requirements_file_needs_no_index(shop: Workshop) -> None:
    assert shop.build({"requirements.txt": "# nothing\n"}, index="")["lock"] is None


def test_requirements_need_an_index(shop: Workshop) -> None:
    fault = fault_of(shop.build, {"requirements.txt": "six"}, index="")
    assert fault.code == "dependencies-failed" and "no package index" in fault.message


def test_uvs_failure_is_told_in_one_line_and_without_credentials(shop: Workshop) -> None:
    (shop.tools / "fail").write_text(
        "Using CPython 3.11.2\nerror: No solution found when resolving dependencies\n  cause: Because six was not found\n"
        "      in https://robot:hunter2%21@other.test/six/\n\nhint: try again\n" + "x" * 20_000
    )
    fault = fault_of(shop.build, {"requirements.txt": "six"})
    assert (fault.code, fault.message) == (
        "dependencies-failed",
        "No solution found when resolving dependencies: Because six was not found in https://***@other.test/six/; choose versions that the index has and that fit together",
    )
    assert len(fault.body) <= 16 * 1024 and "hunter2" not in fault.body
    assert sorted(os.listdir(shop.out)) == ["src"]


def test_a_uv_that_is_not_there_is_told(shop: Workshop) -> None:
    (shop.tools / "uv").unlink()
    assert fault_of(shop.build, {"requirements.txt": "six"}).code == "dependencies-failed"


def test_masking_covers_any_url() -> None:
    assert masked("http://a:b@c/ //x@y https://no.credentials/@x") == "http://***@c/ //***@y https://no.credentials/@x"
    assert masked("plain") == "plain"


def test_with_an_authority_uv_trusts_the_file_that_has_it(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written = []
    monkeypatch.setattr("casemate_runtime.build.trust", lambda *arguments: written.append(arguments))
    shop.build({"requirements.txt": "six"}, authority="PEM")
    assert written == [(b"PEM", "/certificates")]
    assert {call["environment"]["SSL_CERT_FILE"] for call in shop.uv_calls()} == {"/tmp/.casemate-authorities.pem"}


def test_a_summary_is_short_whatever_the_tool_said() -> None:
    assert summary("") == "" and summary("a\nb\nc\nd") == "b c d"
    assert len(complaint(summary("error: " + "x " * 10_000)).what) == 300


@pytest.mark.parametrize(
    "source, line",
    [("x = 1\ndef f(:\n", 2), ("x = (", 1), ("a\0b", None), ("# coding: no-such\n", None), ("(" * 500 + ")" * 500, 1)],
)
def test_a_syntax_error_of_the_source_fails_with_its_place(shop: Workshop, source: str, line: int | None) -> None:
    fault = fault_of(shop.build, {"ok.py": "", "lib/bad.py": source})
    assert (fault.code, fault.file) == ("syntax-error", "lib/bad.py") and fault.message
    assert line is None or fault.line == line


def test_a_syntax_error_of_a_vendored_package_is_only_reported(shop: Workshop) -> None:
    report = shop.build({"handler.py": "", "package/old/__init__.py": "x = 1\nprint 'python 2'"})
    assert [(item["file"], item["line"]) for item in report["syntax"]] == [("package/old/__init__.py", 2)]


def test_many_files_are_compiled_by_more_than_one_process(shop: Workshop) -> None:
    files = {f"m{number:03}.py": f"x = {number}" for number in range(250)}
    assert shop.build(files)["files"] == 250
    assert len(os.listdir(shop.out / "src/__pycache__")) == 250


@pytest.mark.parametrize("number, error", [(errno.ENOSPC, Fault), (errno.EIO, OSError)])
def test_a_disk_that_is_full_of_byte_code_is_too_large(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, "made up")

    monkeypatch.setattr(build, "compile_folder", fail)
    with pytest.raises(error) as caught:
        shop.build({"handler.py": ""})
    assert getattr(caught.value, "code", "too-large") == "too-large"


def test_a_warning_of_the_compiler_is_no_output(shop: Workshop, capfd: pytest.CaptureFixture[str]) -> None:
    shop.build({"handler.py": "x = '\\d'\nassert (1, 'always')"})
    assert capfd.readouterr() == ("", "")


def order(instance: Instance, archive: Path | None, fields: dict[str, Any]) -> Answer:
    meta = encode_fields(fields)
    frame = HEADER.pack(0, 3, 0, 0, len(meta), 0) + meta
    if archive is None:
        instance.control.sendall(frame)
    else:
        descriptor = os.open(archive, os.O_RDONLY)
        socket.send_fds(instance.control, [frame[:1]], [descriptor])
        os.close(descriptor)
        instance.control.sendall(frame[1:])
    kind, _, status, _, answer, body = receive(instance.control)
    assert kind == 0x84
    return Answer(status, answer, body)


@pytest.fixture
def builder(tmp_path: Path) -> Any:
    instance = Instance(tmp_path / "out", {}, mode="build")
    yield instance
    instance.end()


def test_the_mode_build_answers_and_waits_for_the_end(builder: Instance, tmp_path: Path) -> None:
    archive = archived(tmp_path / "a.zip", {"handler.py": "x = 'é'"})
    answer = order(builder, archive, {"limit": "1000"})
    assert (answer.status, answer.meta) == (0, b"")
    assert json.loads(answer.body) == {"files": 1, "bytes": 8, "lock": None, "syntax": []}
    assert (builder.root / "src/__pycache__").stat().st_mode & 0o777 == 0o755
    builder.control.close()
    assert builder.ended() == 0


def test_the_mode_build_tells_what_is_wrong(builder: Instance, tmp_path: Path) -> None:
    answer = order(builder, archived(tmp_path / "a.zip", {"../x": ""}), {"limit": "1000"})
    assert answer.status != 0 and answer.error[:3] == ("archive-refused", "../x", "")


def test_the_mode_build_builds_once(builder: Instance, tmp_path: Path) -> None:
    archive = archived(tmp_path / "a.zip", {"handler.py": ""})
    assert order(builder, archive, {}).status == 0
    builder.send(3)
    assert builder.ended() == 70


def test_the_mode_build_ends_when_no_archive_came(builder: Instance) -> None:
    with pytest.raises(EOFError):
        order(builder, None, {})
    assert builder.ended() == 70
