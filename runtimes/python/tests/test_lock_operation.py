"""`casemate deps lock PATH`: what a folder asks for becomes a pylock.toml, which the builder installs under `strict`."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from casemate_runtime import build
from casemate_runtime.frames import Channel
from casemate_runtime.sources import files_in, find
from gate.paths import TOOLS
from lock_support import Folder, advisory, changed, folder, needs_uv, rules, wheel
from packages import tool
from support import RUNTIME, TAGS
from test_build import archived

pytestmark = needs_uv

__all__ = ["folder"]


def names(source: Path) -> list[str]:
    found = find(files_in(source), strict=True)
    assert found and found.is_lock and all(item.hashes for item in found.requirements)
    return [f"{item.name} {item.version}" for item in found.requirements]


def test_the_lock_has_everything_and_the_same_bytes_each_time(folder: Folder) -> None:
    folder.add("app 1.0: lib>=1", "lib 1.0", "lib 2.0", "other 1.0").write(requirements_txt="App\n")
    result = folder.lock()
    assert result["lock"] == "pylock.toml" and result["total"] == 2 and result["milliseconds"] >= 0
    assert changed(result) == {"app": (None, "1.0"), "lib": (None, "2.0")}
    assert (result["lines"], result["fixed"], result["left"]) == ([], [], [])
    assert names(folder.path) == ["app 1.0", "lib 2.0"]
    text = folder.text("pylock.toml")
    assert 'dependencies = [{ name = "lib" }]' in text and 'created-by = "casemate"' in text
    result = folder.lock()
    assert changed(result) == {} and folder.text("pylock.toml") == text
    assert sorted(path.name for path in folder.path.iterdir()) == ["pylock.toml", "requirements.txt"]


def test_the_builder_installs_it_under_strict(folder: Folder, tmp_path: Path) -> None:
    folder.add("app 1.0: lib>=1", "lib 1.0").write(requirements_txt="app").lock()
    folder.add("lib 2.0")
    control, _ = socket.socketpair()
    (tmp_path / "out").mkdir()
    builder = build.Builder(Channel(control), tmp_path / "out", tool())
    files = {name: content.decode() for name, content in folder.files().items()}
    descriptor = os.open(archived(tmp_path / "a.zip", files), os.O_RDONLY)
    report = builder.build(descriptor, {TAGS["index"]: [folder.index.url.encode()], TAGS["policy"]: [b"strict"]})
    os.close(descriptor)
    assert (tmp_path / "out/deps/lib.py").read_text() == "version = '1.0'"
    assert report["lockedFrom"] == "pylock.toml" and report["resolved"] is False
    assert report["direct"] == [{"name": "app", "file": "requirements.txt", "line": 1}]


def test_what_is_locked_stays_while_it_fits(folder: Folder) -> None:
    folder.add("a 1.0", "b 1.0", "c 1.0: b").write(requirements_txt="a\nc")
    folder.lock()
    folder.add("a 2.0", "b 2.0", "d 1.0")
    assert changed(folder.write(requirements_txt="a\nc\nd").lock()) == {"d": (None, "1.0")}
    assert changed(folder.write(requirements_txt="a>1\nc").lock()) == {"a": ("1.0", "2.0"), "d": ("1.0", None)}
    assert changed(folder.lock("B")) == {"b": ("1.0", "2.0")}
    folder.add("b 3.0", "c 2.0: b")
    assert changed(folder.lock("*")) == {"b": ("2.0", "3.0"), "c": ("1.0", "2.0")}


def test_without_write_nothing_is_written(folder: Folder) -> None:
    folder.add("a 1.0", "a 2.0").write(requirements_txt="a<2")
    before = folder.files()
    result = folder.lock("*", known=[advisory("a", "2.0")], write=False)
    assert changed(result) == {"a": ("1.0", "2.0")} and result["lines"] and folder.files() == before


@pytest.mark.parametrize(
    "text", ["<<<<<<< HEAD\n", "lock-version = '2.0'", "\0", "lock-version = '1.0'\npackages = [{name = 'a'}]"]
)
def test_a_lock_that_is_none_is_made_anew(folder: Folder, text: str) -> None:
    folder.add("a 1.0").write(requirements_txt="a", pylock_toml=text)
    assert changed(folder.lock()) == {"a": (None, "1.0")} and names(folder.path) == ["a 1.0"]


def test_a_lock_of_another_tool_is_gone_on_with(folder: Folder) -> None:
    wheels = f'wheels = [{{ name = "x.whl", hashes = {{ sha256 = "{"a" * 64}" }} }}]'
    theirs = f'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "A"\nversion = "1.0"\n{wheels}\n[tool.x]\n'
    folder.add("a 1.0", "a 2.0").write(requirements_txt="a", pylock_toml=theirs)
    assert changed(folder.lock()) == {} and "a" * 64 not in folder.text("pylock.toml")


def test_a_hash_that_the_author_gave_is_the_only_one(folder: Folder) -> None:
    name, content = wheel("a", "1.0")
    known = folder.index.add((name, content))
    folder.index.add((name.replace("py3", "py2.py3"), content + b"other"))
    folder.write(requirements_txt=f"a==1.0 --hash={known}").lock()
    assert folder.text("pylock.toml").count("sha256 =") == 1 and known.removeprefix("sha256:") in folder.text(
        "pylock.toml"
    )
    folder.write(requirements_txt=f"a==1.0 --hash=sha256:{'0' * 64}")
    assert folder.problem().startswith("requirements.txt:1: a: the index has no file with a --hash")


def test_a_condition_is_one_of_the_sandbox(folder: Folder) -> None:
    folder.add("a 1.0", "b 1.0", "c 1.0")
    lines = (
        "a; sys_platform == 'linux' and python_version == '3.11'\nb; sys_platform == 'win32'\nc; python_version < '3.9'"
    )
    assert changed(folder.write(requirements_txt=lines).lock()) == {"a": (None, "1.0")}
    assert "asks for no packages" in folder.write(requirements_txt="b; sys_platform == 'win32'").problem()


def test_credentials_of_an_index_are_in_no_lock_and_no_problem(folder: Folder) -> None:
    folder.add("a 1.0").write(requirements_txt="a")
    secret = folder.index.url.replace("//", "//robot:hunter2@")
    folder.lock(index=secret)
    assert "hunter2" not in folder.text("pylock.toml")
    folder.index.close()
    assert "hunter2" not in folder.problem("*", index=secret)


def test_what_is_known_of_a_lock_is_left(folder: Folder) -> None:
    folder.add("app 1.0: lib<2", "lib 1.0", "lib 2.0").write(requirements_txt="# x\napp")
    result = folder.lock(known=[advisory("lib", "2.0"), advisory("app", None)])
    assert [(item["rule"], item["file"], item.get("line")) for item in result["left"]] == [
        ("X-lib-2.0", "pylock.toml", None),
        ("X-app-None", "requirements.txt", 2),
    ]
    assert "which app needs" in result["left"][0]["what"] and result["fixed"] == []
    assert folder.text() == "# x\napp" and folder.told == [("packages", 0)]


def test_what_a_new_lock_ends_is_said(folder: Folder) -> None:
    folder.add("a 1.0").write(requirements_txt="a").lock()
    folder.add("a 2.0")
    result = folder.lock("a", known=[advisory("a", "2.0")])
    assert rules(result["fixed"]) == ["X-a-2.0"] and result["left"] == [] and result["lines"] == []


# ---------------------------------------------------------------- what can't be done


@pytest.mark.parametrize(
    "files, said",
    [
        ({}, "there is nothing to lock: there is neither a requirements.txt nor"),
        ({"requirements_txt": "# nothing\n"}, "there is nothing to lock: requirements.txt asks for no packages"),
        (
            {"pyproject_toml": "[project]\nname = 'x'\n"},
            "there is nothing to lock: pyproject.toml asks for no packages",
        ),
        ({"requirements_txt": "a\n-e ."}, "requirements.txt:2: -e .: an editable install can't be locked"),
        ({"requirements_txt": "a\n-r ../x.txt"}, "requirements.txt:2: -r ../x.txt: the file is outside"),
        ({"requirements_txt": "a\n\na @ git+https://x/y"}, "requirements.txt:3: a @ git+"),
        ({"pyproject_toml": "[project]\ndependencies = [\n'a @ https://x/y']"}, "pyproject.toml:3: a @ https"),
        ({"requirements_txt": "a>=7"}, "no versions fit together: No solution found"),
        (
            {"requirements_txt": "nobody-has-this"},
            "no versions fit together: nobody-has-this is not in its package index",
        ),
    ],
)
def test_what_cannot_be_locked_is_told_with_its_line(folder: Folder, files: dict[str, str], said: str) -> None:
    folder.add("a 1.0").write(**files)
    assert folder.problem().startswith(said)
    assert folder.problem("*", known=[]).startswith(said)


def test_without_uv_or_index_the_next_step_is_said(folder: Folder) -> None:
    folder.add("a 1.0").write(requirements_txt="a")
    assert "casemate runtime install" in folder.problem(uv="/nowhere/uv")
    folder.index.close()
    message = folder.problem()
    assert "can this machine reach the index" in message and folder.index.url in message


@pytest.mark.parametrize(
    "change", [{"source": "x"}, {"source": "/nowhere"}, {"python": "3"}, {"index": 1}, {"upgrade": "a"}, {"upgrade": ["no-such"]},
               {"settings": {"unscored": "no"}}, {"advisories": "/nowhere"}, {"uv": "uv"}, {"uv": 1}],
)  # fmt: skip
def test_a_request_that_means_nothing_is_a_problem(folder: Folder, change: dict[str, Any]) -> None:
    folder.add("a 1.0").write(requirements_txt="a")
    folder.problem(**change)


def test_a_file_that_somebody_changes_meanwhile_stays_theirs(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.add("a 1.0", "a 2.0").write(requirements_txt="a<2")
    folder.index.answer = lambda _: bool(folder.write(requirements_txt="a<2 # theirs")) and False
    with pytest.raises(Exception, match="changed by somebody else"):
        folder.lock("*", known=[advisory("a", "2.0")])
    assert folder.files() == {"requirements.txt": b"a<2 # theirs"}


def test_when_one_file_cannot_be_replaced_none_is(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.add("a 1.0", "a 2.0").write(requirements_txt="a<2")
    real = os.replace

    def failing(source: Any, target: Any) -> None:
        if str(target).endswith("pylock.toml"):
            raise PermissionError(13, "Permission denied")
        real(source, target)

    monkeypatch.setattr(os, "replace", failing)
    assert "all are as they were" in folder.problem("*", known=[advisory("a", "2.0")])


def test_a_link_out_of_the_folder_is_not_written_through(folder: Folder, tmp_path: Path) -> None:
    folder.add("a 1.0", "a 2.0").write(requirements_txt="a<2")
    shutil.move(folder.path / "requirements.txt", tmp_path / "theirs.txt")
    (folder.path / "requirements.txt").symlink_to(tmp_path / "theirs.txt")
    assert "leads out of the folder" in folder.problem("*", known=[advisory("a", "2.0")])
    (folder.path / "requirements.txt").unlink()
    (folder.path / "own.txt").write_text("a<2")
    (folder.path / "requirements.txt").symlink_to("own.txt")
    os.chmod(folder.path / "own.txt", 0o640)
    folder.lock("*", known=[advisory("a", "2.0")])
    assert (folder.path / "requirements.txt").is_symlink() and folder.text("own.txt") == "a>=2.0"
    assert (folder.path / "own.txt").stat().st_mode & 0o777 == 0o640


def test_the_real_entry_says_each_step_in_a_line(folder: Folder) -> None:
    folder.add("a 1.0", "a 2.0").write(requirements_txt="a<2")

    def run(**change: Any) -> tuple[int, list[dict[str, Any]]]:
        request = folder.request("*", known=[advisory("a", "2.0")], **change)
        made = subprocess.run(
            [sys.executable, "-I", "-S", str(RUNTIME.parent / "casemate_gate/bootstrap.py"), "local", str(TOOLS)],
            input=json.dumps(request).encode(),
            stdout=subprocess.PIPE,
            timeout=60,
            env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        )
        return made.returncode, [json.loads(line) for line in made.stdout.splitlines()]

    status, lines = run()
    assert status == 0 and [line["progress"]["check"] for line in lines[:-1]] == [
        "packages",
        "advisories",
        "advisories",
    ]
    assert lines[-1]["result"]["lines"] == [{"file": "requirements.txt", "line": 1, "before": "a<2", "after": "a>=2.0"}]
    status, lines = run(uv="/nowhere")
    assert status == 1 and list(lines[0]) == ["problem"]
