"""A bundle's folder, copied: the same bytes, modes that a bundle may have, and quickly."""

import os
import shutil
import time
from pathlib import Path

import pytest
from casemate_runtime.copying import Copied, copy_folder


def test_files_folders_and_links_are_copied(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "a/b").mkdir(parents=True)
    content = {"x": b"", "a/y": os.urandom(1000), "a/b/z": os.urandom(3_000_000)}
    for name, data in content.items():
        (source / name).write_bytes(data)
    (source / "x").chmod(0o4500)
    (source / "a/link").symlink_to("y")
    (source / "a/folder").symlink_to("b")
    os.mkfifo(source / "pipe")
    assert copy_folder(source, tmp_path / "target") == Copied(3, 3_001_000)
    target = tmp_path / "target"
    for name, data in content.items():
        assert (target / name).read_bytes() == data
    assert (target / "x").stat().st_mode & 0o7777 == 0o755 and (target / "a/y").stat().st_mode & 0o7777 == 0o644
    assert os.readlink(target / "a/link") == "y" and os.readlink(target / "a/folder") == "b"
    assert not (target / "pipe").exists()
    with pytest.raises(FileExistsError):
        copy_folder(source, target)


def test_many_small_files_are_copied_about_as_fast_as_by_the_standard_library(tmp_path: Path) -> None:
    """A peer in the same run: the machine may be busy."""
    source = tmp_path / "source"
    for number in range(2_000):
        file = source / f"p{number % 100}/m{number}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(15_000))
    took = []
    for turn in range(3):
        began = time.perf_counter()
        assert copy_folder(source, tmp_path / f"ours{turn}").size == 30_000_000
        ours = time.perf_counter() - began
        began = time.perf_counter()
        shutil.copytree(source, tmp_path / f"theirs{turn}")
        took.append(ours / (time.perf_counter() - began))
    assert min(took) < 2
