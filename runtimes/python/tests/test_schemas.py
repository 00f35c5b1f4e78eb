"""Files of a source that say what calls have to bring."""

import os
from pathlib import Path

import pytest
from casemate_runtime.faults import Fault
from casemate_runtime.schemas import schemas


def test_each_file_is_told_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.json").write_text('{"ä": 1}')
    (tmp_path / "b.json").write_text("no JSON")
    assert schemas(tmp_path, ["sub/a.json", "b.json"]) == {"sub/a.json": '{"ä": 1}', "b.json": "no JSON"}


@pytest.mark.parametrize(
    "path", ["none.json", "folder", "pipe", "out.json", "../secret", "large.json", "latin.json", "loop"]
)
def test_what_is_no_file_of_the_source_is_refused_with_its_name(tmp_path: Path, path: str) -> None:
    source = tmp_path / "source"
    (source / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_text("{}")
    (source / "out.json").symlink_to(tmp_path / "secret")
    (source / "loop").symlink_to("loop")
    os.mkfifo(source / "pipe")
    (source / "large.json").write_bytes(b" " * 262_145)
    (source / "latin.json").write_bytes(b'{"\xe4": 1}')
    with pytest.raises(Fault) as caught:
        schemas(source, [path])
    assert (caught.value.code, caught.value.file) == ("schema-unreadable", path)
    assert path in caught.value.message and "; " in caught.value.message
