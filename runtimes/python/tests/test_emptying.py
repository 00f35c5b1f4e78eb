"""Whatever a call has left in a folder, the next one finds it empty."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from casemate_runtime.emptying import NotEmptied, empty
from support import RUNTIME


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


def test_files_links_sockets_and_pipes_of_any_name_go(folder: Path) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    for name in (b"a", b"\xff\xfe\n", b".hidden", b" ", b"-rf", b"x" * 255):
        with open(os.path.join(os.fsencode(folder), name), "w"):
            pass
    (folder / "to-folder").symlink_to(outside)
    (folder / "to-file").symlink_to(outside / "kept")
    (folder / "to-nothing").symlink_to("nothing")
    os.link(outside / "kept", folder / "hard")
    os.mkfifo(folder / "fifo", 0)
    (folder / "in").mkdir()
    (folder / "in" / "to-folder").symlink_to(outside)
    empty(str(folder))
    assert list(folder.iterdir()) == [] and (outside / "kept").read_text() == "kept"


def test_no_depth_is_too_deep(folder: Path) -> None:
    here = os.open(folder, os.O_RDONLY)
    for _ in range(3_000):
        os.mkdir("deeper", dir_fd=here)
        with open(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here), "w"):
            pass
        below = os.open("deeper", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    empty(str(folder))
    assert list(folder.iterdir()) == []


def test_names_that_are_taken_are_passed_over(folder: Path) -> None:
    for number in range(20):
        if number % 3:
            (folder / str(number)).write_text("")
        else:
            (folder / str(number) / "0" / "1").mkdir(parents=True)
        (folder / "deep" / str(number) / "0" / "x").mkdir(parents=True)
    empty(str(folder))
    assert list(folder.iterdir()) == []


def test_modes_are_no_obstacle_to_their_owner(folder: Path) -> None:
    """As another user than root, for whom modes mean something."""
    if os.getuid() != 0:
        pytest.skip("needs root, to become somebody else")
    folder.chmod(0o1777)
    os.chmod(folder.parent, 0o755)  # nosec B103  # for another user to enter
    source = (
        f"import os, sys\nsys.path.insert(0, {str(RUNTIME.parent)!r})\n"
        "from casemate_runtime.emptying import empty\n"
        f"here = os.open({str(folder)!r}, os.O_RDONLY)\nos.fchdir(here)\nos.setuid(12345)\n"
        "os.makedirs('a/b/c')\nopen('a/b/f', 'w').close()\n"
        "for name in ('a/b/c', 'a/b/f', 'a/b', 'a'): os.chmod(name, 0)\n"
        "empty('.')\nprint(os.listdir('.'))"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_too_many_entries_and_a_folder_that_is_none_are_told(folder: Path) -> None:
    for number in range(10):
        (folder / str(number)).write_text("")
    with pytest.raises(NotEmptied):
        empty(str(folder), most=5)
    (folder / "link").symlink_to(folder)
    for path in ("missing", "link"):
        with pytest.raises(NotEmptied):
            empty(str(folder / path))
