"""Packages without a wheel: fetched and locked in the first phase, built in a second one without a network."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from casemate_runtime import build
from casemate_runtime.faults import Fault
from casemate_runtime.frames import Channel
from packages import BACKEND, Index, index, needs_uv, sdist, source, tool, wheel
from support import TAGS, Instance, encode_fields
from test_build import archived, split

pytestmark = needs_uv


@pytest.fixture(params=[True, False], ids=["json", "html"])
def public(request: pytest.FixtureRequest) -> Iterator[Index]:
    with index(request.param) as made:
        yield made


class Shop:
    def __init__(self, folder: Path, public: Index) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.public = public

    def first(self, requirements: str, *names: str, **fields: str) -> dict[str, Any]:
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()
        values = {TAGS["index"]: [self.public.url.encode()], TAGS["from_source"]: [name.encode() for name in names]}
        values |= {TAGS[name]: [value.encode()] for name, value in fields.items()}
        archive = os.open(
            archived(self.folder / "a.zip", {"requirements.txt": requirements, "h.py": "x = 1"}), os.O_RDONLY
        )
        try:
            return self._builder().build(archive, values)
        finally:
            os.close(archive)

    def second(self) -> dict[str, Any]:
        """The first phase's result is what is attached now."""
        shutil.rmtree(self.folder / "fn", ignore_errors=True)
        self.out.rename(self.folder / "fn")
        self.out.mkdir()
        return self._builder().build_from_source()

    def _builder(self) -> build.Builder:
        control, _ = socket.socketpair()
        return build.Builder(Channel(control), self.out, tool(), attached=self.folder / "fn")


@pytest.fixture
def shop(tmp_path: Path, public: Index) -> Shop:
    return Shop(tmp_path, public)


def locked(report: dict[str, Any]) -> list[str]:
    return [line for line in report["lock"].split("\n") if not line.startswith("    --hash")]


def refusal(work: Callable[..., Any], *arguments: Any, **options: Any) -> Fault:
    with pytest.raises(Fault) as caught:
        work(*arguments, **options)
    return caught.value


def test_a_package_is_built_from_its_source_in_two_phases(shop: Shop, public: Index) -> None:
    known = public.add(source("Old-Thing", "1.0", "", "six>=1", "extra-only; extra == 'x'"))
    public.add(wheel("old-thing", "1.0"))  # is not meant
    public.add(wheel("six", "1.16"))
    public.add(wheel("app", "1.0", "old-thing>=1"))
    report = shop.first("app\nold.thing==1.0", "old_thing")
    assert report["toBuild"] == ["old-thing"] and report["resolved"] is True
    assert locked(report)[4:] == ["# from source: old-thing", "app==1.0 \\", "old.thing==1.0 \\", "six==1.16 \\", ""]
    assert f"old.thing==1.0 \\\n    --hash={known}\n" in report["lock"]
    assert sorted(os.listdir(shop.out)) == [".build", "deps", "src"]
    assert sorted(os.listdir(shop.out / ".build/old-thing")) == ["Old_Thing-1.0.tar.gz", "backend", "wanted.json"]
    assert not (shop.out / "deps/Old_Thing.py").exists() and (shop.out / "deps/app.py").exists()

    asked = len(public.asked)
    built = shop.second()
    assert built["fromSource"] == ["old-thing"] and built["printed"] == {"old-thing": ""} and built["files"] == 2 + 1
    assert (shop.out / "deps/Old_Thing.py").read_text() == "version = '1.0'"
    assert sorted(os.listdir(shop.out)) == ["deps", "src"] and not {".lock", "bin"} & set(os.listdir(shop.out / "deps"))
    for file in ("src/__pycache__/h", "deps/__pycache__/Old_Thing", "deps/__pycache__/app"):
        assert (shop.out / f"{file}.cpython-311.pyc").exists()
    assert len(public.asked) == asked

    shutil.rmtree(shop.folder / "fn")
    shop.out.rename(shop.folder / "fn")
    again = shop.first("app\nold.thing==1.0", "old-thing", lock=report["lock"], attached=report["lock"])
    assert (again["cached"], again["resolved"], again["fromSource"]) == (True, False, ["old-thing"])
    assert "toBuild" not in again and (shop.out / "deps/Old_Thing.py").exists() and len(public.asked) == asked
    assert sorted(os.listdir(shop.out)) == ["deps", "src"]
    resolved = shop.first("app>=1\nold.thing==1.0", "old-thing", lock=report["lock"], attached=report["lock"])
    assert (resolved["cached"], resolved["resolved"]) == (True, True)
    assert sorted(os.listdir(shop.out)) == ["deps", "src"]


def setuptools() -> tuple[str, bytes]:
    """What the default backend is called."""
    legacy = BACKEND + "\nclass __legacy__:\n    build_wheel = staticmethod(build_wheel)\n"
    return wheel(
        "setuptools", "70.0", "helper", files={"setuptools/__init__.py": "", "setuptools/build_meta.py": legacy}
    )


def test_the_default_backend_is_locked_and_kept(shop: Shop, public: Index) -> None:
    public.add(sdist("old", "1.0", {"old.py": "", "setup.py": "raise SystemExit('executed')"}))
    public.add(setuptools())
    public.add(wheel("wheel", "0.40"))
    public.add(wheel("helper", "1.0"))
    report = shop.first("old==1", "old")
    backends = [line.partition(" --hash")[0] for line in locked(report) if line.startswith("# backend")]
    assert backends == [f"# backend old: {name}" for name in ("helper==1.0", "setuptools==70.0", "wheel==0.40")]
    assert (shop.out / ".build/old/backend/setuptools/build_meta.py").exists()
    assert shop.second()["fromSource"] == ["old"]

    public.add(wheel("helper", "2.0"))
    shutil.rmtree(shop.folder / "fn")
    again = shop.first("old==1", "old", lock=report["lock"])
    assert again["lock"] == report["lock"] and again["toBuild"] == ["old"] and again["resolved"] is False


def test_the_authors_hash_decides(shop: Shop, public: Index) -> None:
    known = public.add(source("old", "1.0"))
    assert refusal(shop.first, f"\nold==1.0 --hash=sha256:{'0' * 64}", "old").line == 2
    for policy in ("auto", "strict"):
        report = shop.first(f"old==1.0 --hash=sha256:{'0' * 64} --hash={known}", "old", policy=policy)
        assert report["toBuild"] == ["old"] and split(report["lock"])[1].count("--hash") == 2


def test_a_file_that_changed_on_the_way_is_refused(shop: Shop, public: Index) -> None:
    public.add(source("old", "1.0"))

    def changed(handler: Any) -> bool:
        if not handler.path.startswith("/files/"):
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", "4")
        handler.end_headers()
        handler.wfile.write(b"evil")
        return True

    public.answer = changed
    fault = refusal(shop.first, "old==1.0", "old")
    assert fault.code == "requirements-refused" and "another hash" in fault.message


@pytest.mark.parametrize(
    "requirements, said, line",
    [
        ("six", "not pinned here", None),
        ("six\nold", "pinned with ==", 2),
        ("six\nold>=1", "pinned with ==", 2),
        ("old==1.0; python_version > '3'", "condition", 1),
        ("old[x]==1.0", "extras", 1),
        ("old==1.0\nold==1.0", "once", 2),
        ("\nold==2.0", "no 2.0.tar.gz", 2),
    ],
)
def test_what_is_built_must_be_pinned(
    shop: Shop, public: Index, requirements: str, said: str, line: int | None
) -> None:
    public.add(source("old", "1.0"))
    public.add(wheel("six", "1.0"))
    fault = refusal(shop.first, requirements, "old")
    assert (fault.code, fault.file, fault.line) == ("requirements-refused", "requirements.txt", line)
    assert said in fault.message


def test_certificates_that_are_missing_are_told(shop: Shop, public: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    public.add(source("old", "1.0"))
    original = tool()
    monkeypatch.setattr("test_from_source.tool", lambda: original._replace(certificates="/missing"))
    assert "certificates" in refusal(shop.first, "old==1.0", "old").message


def test_what_is_not_listed_is_never_built(shop: Shop, public: Index) -> None:
    public.add(source("old", "1.0"))
    assert refusal(shop.first, "old==1.0").code == "dependencies-failed"


@pytest.mark.parametrize(
    "files, said",
    [
        ({"pyproject.toml": "[build-system"}, "can't be read"),
        ({"pyproject.toml": "build-system = 1"}, "can't be read"),
        ({"pyproject.toml": "[build-system]\nrequires = 1"}, "list of texts"),
        ({"pyproject.toml": '[build-system]\nrequires = ["x @ git+https://x/y"]'}, "repository"),
        ({"pyproject.toml": '[build-system]\nrequires = ["x @ file:///x"]'}, "URL"),
        ({"pyproject.toml": '[build-system]\nrequires = ["missing"]'}, "what old is built with"),
    ],
)
def test_a_source_that_asks_for_too_much_is_refused(
    shop: Shop, public: Index, files: dict[str, str], said: str
) -> None:
    public.add(sdist("old", "1.0", files))
    assert said in refusal(shop.first, "old==1.0", "old").message
    public.files.clear()
    public.add(sdist("old", "1.0", {}, ("y @ https://evil.test/y.whl",)))
    assert "URL" in refusal(shop.first, "old==1.0", "old").message
    public.files.clear()
    public.add(("old-1.0.tar.gz", b"no archive"))
    assert "gzip" in refusal(shop.first, "old==1.0", "old").message


def test_a_need_that_only_the_build_knows_of_is_told(shop: Shop, public: Index) -> None:
    hook = "open('PKG-INFO', 'a').close(); t = open('PKG-INFO').read(); open('PKG-INFO', 'w').write(t.strip() + '\\nRequires-Dist: six\\n')"
    public.add(source("old", "1.0", hook))
    shop.first("old==1.0", "old")
    fault = refusal(shop.second)
    assert fault.code == "dependencies-failed" and "six" in fault.message


# What a build can do, and what it can't.


def built(shop: Shop, public: Index, hook: str) -> dict[str, Any]:
    public.add(source("old", "1.0", hook))
    shop.first("old==1.0", "old")
    return shop.second()


def test_a_build_sees_no_environment_but_its_own(shop: Shop, public: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "hunter2")
    report = built(shop, public, "import os, json; print(json.dumps(dict(os.environ))); os.system('env')")
    printed = report["printed"]["old"]
    assert "hunter2" not in printed
    (line,) = [line for line in printed.split("\n") if line.startswith("{")]
    assert set(json.loads(line)) <= {
        "PATH",
        "HOME",
        "TMPDIR",
        "LANG",
        "NO_COLOR",
        "PYTHONPATH",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONNOUSERSITE",
        "SOURCE_DATE_EPOCH",
        "LC_CTYPE",
    }


def test_of_what_a_build_prints_the_end_is_kept(shop: Shop, public: Index) -> None:
    printed = built(shop, public, "for n in range(300_000): print(n, 'token=hunter2')")["printed"]["old"]
    assert len(printed) == 16 * 1024 and printed.endswith("299999 token=hunter2\n")


def test_a_build_that_fails_says_why(shop: Shop, public: Index) -> None:
    fault = refusal(built, shop, public, "raise ValueError('no compiler')")
    assert (fault.code, fault.message) == (
        "dependencies-failed",
        "old: its build ended with status 1; see its output, or choose a version that has a wheel",
    )
    assert "ValueError: no compiler" in fault.body


@pytest.mark.parametrize(
    "hook, said",
    [
        ("name = 'other'", "'other-1.0-py3-none-any.whl' instead of its own wheel"),
        ("open(folder + '/x', 'w')", "2 files"),
        ("open(folder + '/x', 'w'); import os; os._exit(0)", "'x' instead"),
        ("import os; os._exit(0)", "0 files"),
        ("import os; os.symlink('/etc/passwd', folder + '/old-1.0-py3-none-any.whl'); os._exit(0)", "can't be read"),
        ("import os; os.mkfifo(folder + '/old-1.0-py3-none-any.whl'); os._exit(0)", "no file"),
        ("import os; os.mkdir(folder + '/old-1.0-py3-none-any.whl'); os._exit(0)", "no file"),
        ("import os; os.truncate(os.open(folder + '/old-1.0-py3-none-any.whl', os.O_CREAT | os.O_WRONLY), 300 << 20); os._exit(0)", "too large"),
        ("import os; os.rmdir(folder); os._exit(0)", "can't be read"),
        ("import os; os.kill(os.getpid(), 9)", "status -9"),
        ("open(folder + '/../big', 'wb').truncate(1 << 40)", "status"),
    ],
)  # fmt: skip
def test_only_one_wheel_of_that_name_is_taken(shop: Shop, public: Index, hook: str, said: str) -> None:
    assert said in refusal(built, shop, public, hook).message


def test_a_wheel_that_is_none_is_refused_by_uv(shop: Shop, public: Index) -> None:
    hook = "open(folder + '/old-1.0-py3-none-any.whl', 'w').write('x'); import os; os._exit(0)"
    assert refusal(built, shop, public, hook).code == "dependencies-failed"


def test_a_build_can_change_nothing_but_its_own_wheel(shop: Shop, public: Index) -> None:
    hook = f"""
import os, pathlib
out = pathlib.Path({str(shop.out)!r})
for place in ("src", "deps", ".scratch"):
    (out / place).mkdir()
    (out / place / "evil.py").write_text("evil")
(out / "link").symlink_to("/")
here = os.getcwd()
for _ in range(3000):
    os.mkdir("d"); os.chdir("d")
os.chdir(here)
"""
    try:
        built(shop, public, hook)
    finally:
        subprocess.run(["rm", "-rf", shop.out / ".work"], check=True)  # too deep for pytest
    assert sorted(os.listdir(shop.out)) == ["deps", "src"] and not list(shop.out.rglob("evil*"))


def test_a_build_can_not_reach_another_package_that_is_built(shop: Shop, public: Index) -> None:
    hook = f"""
import os, pathlib
work = pathlib.Path({str(shop.out)!r}) / ".work"
for wheel in work.rglob("*.whl"):
    wheel.write_text("changed")
for other in ("first", "third"):
    if not (work / other).exists():
        (work / other / "source").mkdir(parents=True)
"""
    for name in ("first", "second", "third"):
        public.add(source(name, "1.0", hook))
    shop.first("first==1.0\nsecond==1.0\nthird==1.0", "first", "second", "third")
    assert shop.second()["fromSource"] == ["first", "second", "third"]
    assert (shop.out / "deps/first.py").read_text() == "version = '1.0'"


@pytest.mark.parametrize("text, is_refused", [("version = '1.0'", False), ("version = '6.6'", True)])
def test_what_was_built_takes_no_file_of_a_locked_wheel_over(
    shop: Shop, public: Index, text: str, is_refused: bool
) -> None:
    public.add(source("old", "1.0", f"open('six.py', 'w').write({text!r})"))
    public.add(wheel("six", "1.0"))
    shop.first("old==1.0\nsix==1.0", "old")
    if is_refused:
        fault = refusal(shop.second)
        assert fault.code == "dependencies-failed" and "'six.py'" in fault.message and "old" in fault.message
    else:
        shop.second()
        assert (shop.out / "deps/six.py").read_text() == text


FOREVER = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for n in range(20):
    if os.fork() == 0:
        if n % 2:
            os.setsid()
        if os.fork() == 0 or n % 3:
            open(MARK, "a").write(f"{os.getpid()}\\n")
            while True:
                time.sleep(0.01)
        os._exit(0)
AFTER
"""


@pytest.mark.parametrize(
    "after", ["time.sleep(1000)", "while True: print('x' * 100_000)", "time.sleep(0.3); os._exit(0)"]
)
def test_a_build_that_forks_and_never_ends_is_ended_with_all_that_it_started(tmp_path: Path, after: str) -> None:
    """In a pid namespace of its own, as in the sandbox: there is no other way to find who has left the group."""
    mark = tmp_path / "pids"
    with index() as public:
        shop = Shop(tmp_path, public)
        public.add(source("old", "1.0", FOREVER.replace("MARK", repr(str(mark))).replace("AFTER", after)))
        shop.first("old==1.0", "old")
        shop.out.rename(tmp_path / "fn")
        shop.out.mkdir()
        script = f"""
import sys; sys.path[:0] = {[str(Path(build.__file__).parent.parent), str(Path(__file__).parent)]!r}
import os, time
from pathlib import Path
from casemate_runtime.second import SecondPhase
from casemate_runtime.faults import Fault
from packages import tool
began = time.monotonic()
try:
    SecondPhase(tool(), Path({str(tmp_path / "fn")!r}), Path({str(shop.out)!r}), seconds=1.5).run()
except Fault as fault:
    print(fault.message, "|", len([n for n in os.listdir("/proc") if n.isdecimal()]), "|", time.monotonic() - began, "|", len(fault.body))
"""
        line = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-c", script]
        ran = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    message, processes, seconds, output = ran.stdout.split(" | ")
    assert message.partition("; ")[0] == (
        "old: its build made 0 files instead of one wheel"
        if "_exit" in after
        else "old: its build took longer than 1.5 s"
    )
    assert int(processes) == 1 and float(seconds) < 4 and int(output) <= 16 * 1024
    assert len(mark.read_text().split()) >= 10


def test_a_build_that_fills_the_disk_is_told_so(tmp_path: Path) -> None:
    """The folder of a build is a file system of a fixed size."""
    with index() as public:
        shop = Shop(tmp_path, public)
        public.add(source("old", "1.0", "open(folder + '/big', 'wb').write(bytes(64 << 20))"))
        shop.first("old==1.0", "old")
        shop.out.rename(tmp_path / "fn")
        shop.out.mkdir()
        script = f"""
import sys; sys.path[:0] = {[str(Path(build.__file__).parent.parent), str(Path(__file__).parent)]!r}
import subprocess
from pathlib import Path
from casemate_runtime.second import SecondPhase
from casemate_runtime.faults import Fault
from packages import tool
out = Path({str(shop.out)!r})
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "out", out], check=True)
try:
    SecondPhase(tool(), Path({str(tmp_path / "fn")!r}), out).run()
except Fault as fault:
    print(fault.code, fault.message, fault.body)
"""
        line = ["unshare", "--mount", sys.executable, "-c", script]
        ran = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout.startswith("dependencies-failed old: its build ended with status 1"), ran.stderr
    assert "No space left on device" in ran.stdout


def test_a_backend_lies_inside_its_source(shop: Shop, public: Index) -> None:
    table = '[build-system]\nrequires = []\nbuild-backend = "ours"\nbackend-path = ["../../.."]\n'
    public.add(sdist("old", "1.0", {"pyproject.toml": table}))
    shop.first("old==1.0", "old")
    assert "outside the source" in refusal(shop.second).body


def test_a_build_can_not_look_into_the_process_that_waits_for_it(tmp_path: Path) -> None:
    """As another user than root, for whom nothing is closed."""
    hook = """
import os
parent = os.getppid()
for file in ("mem", "environ", "maps", "fd", "cwd"):
    try:
        os.listdir(f"/proc/{parent}/fd") if file == "fd" else os.readlink(f"/proc/{parent}/cwd") if file == "cwd" else open(f"/proc/{parent}/{file}", "rb")
        print("OPEN", file)
    except OSError as error:
        print("closed", file)
print("descriptors", sorted(os.listdir("/proc/self/fd")))
"""
    with index() as public:
        shop = Shop(tmp_path, public)
        public.add(source("old", "1.0", hook))
        shop.first("old==1.0", "old")
        shop.out.rename(tmp_path / "fn")
        shop.out.mkdir()
        shutil.copytree(Path(build.__file__).parent, tmp_path / "casemate_runtime")
        for path in [tmp_path, *tmp_path.rglob("*")]:
            os.chown(path, 12345, 12345)
        os.chmod(tmp_path, 0o755)  # nosec B103  # another user reads it
        script = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
import socket
from pathlib import Path
from casemate_runtime.second import SecondPhase
from casemate_runtime.uv import Tool
control = socket.socketpair()
tool = Tool(Path({str(tool().uv)!r}), {tool().python!r})
print(SecondPhase(tool, Path({str(tmp_path / "fn")!r}), Path({str(shop.out)!r})).run().printed["old"])
"""
        for folder in tmp_path.parents:
            if str(folder).startswith("/tmp/pytest"):
                os.chmod(folder, 0o755)  # nosec B103  # another user reads it
        # A change of the user would hide it already, as long as nothing is executed.
        ran = subprocess.run(
            [sys.executable, "-c", script],
            user=12345,
            group=12345,
            extra_groups=[],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert "OPEN" not in ran.stdout and ran.stdout.count("closed") == 5, ran.stderr
    assert "descriptors ['0', '1', '2', '3']" in ran.stdout  # 3 is that of the listing


def test_the_frame_of_the_second_phase_needs_no_archive(tmp_path: Path) -> None:
    """Nothing is attached here: that is the server's mistake, and it ends the shim."""
    instance = Instance(tmp_path / "out", {}, mode="build")
    try:
        instance.send(3, encode_fields({"mode": "second"}))
        assert instance.ended() == 70 and "first phase" in instance.err()
    finally:
        instance.end()
