"""A version that its index has withdrawn (PEP 592) is refused where somebody pins it. With the real uv."""

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from casemate_runtime import build
from casemate_runtime.faults import Fault
from casemate_runtime.frames import Channel
from casemate_runtime.sources import Needs
from casemate_runtime.yanked import Yanked, refusal, warned_of
from packages import Index, index, needs_uv, source, tool, wheel
from support import TAGS
from test_build import archived

Build = Callable[..., dict[str, Any]]


@pytest.fixture(params=[True, False], ids=["json", "html"])
def public(request: pytest.FixtureRequest) -> Iterator[Index]:
    with index(request.param) as made:
        made.add(wheel("thing", "1.0"))
        made.add(wheel("thing", "2.0"), yanked='it was; a "mistake"')
        made.add(wheel("plain", "1.0"))
        yield made


@pytest.fixture
def built(tmp_path: Path, public: Index) -> Build:
    def run(requirements: str, file: str = "requirements.txt", **fields: str) -> dict[str, Any]:
        if (tmp_path / "out").exists():
            shutil.rmtree(tmp_path / "fn", ignore_errors=True)
            (tmp_path / "out").rename(tmp_path / "fn")
        (tmp_path / "out").mkdir()
        control, _ = socket.socketpair()
        builder = build.Builder(Channel(control), tmp_path / "out", tool(), attached=tmp_path / "fn")
        values = {TAGS["index"]: [public.url.encode()]} | {TAGS[key]: [value.encode()] for key, value in fields.items()}
        archive = os.open(archived(tmp_path / "a.zip", {file: requirements}), os.O_RDONLY)
        try:
            return builder.build(archive, values)
        finally:
            os.close(archive)

    return run


def refused(built: Build, *arguments: str, **fields: str) -> Fault:
    with pytest.raises(Fault) as caught:
        built(*arguments, **fields)
    return caught.value


@needs_uv
@pytest.mark.parametrize("policy", ["auto", "strict"])
def test_a_pinned_version_is_refused_with_its_line_and_the_reason(built: Build, public: Index, policy: str) -> None:
    requirements = f"# one\nThing==2.0 --hash=sha256:{public.files[1].sha256}\n"
    fault = refused(built, requirements, policy=policy)
    assert (fault.code, fault.file, fault.line) == ("requirements-refused", "requirements.txt", 2)
    assert fault.message == ('thing 2.0 was yanked from its index: "it was;a "mistake""; pin another version of thing')


@needs_uv
def test_a_version_that_a_pyproject_or_a_pylock_pins_is_refused(built: Build, public: Index) -> None:
    project = '[project]\nname = "x"\ndependencies = [\n  "thing==2.0",\n]\n'
    assert (refused(built, project, "pyproject.toml").line) == 4
    lock = f"""lock-version = "1.0"
[[packages]]
name = "thing"
version = "2.0"
wheels = [{{ name = "x.whl", hashes = {{ sha256 = "{public.files[1].sha256}" }} }}]"""
    assert (refused(built, lock, "pylock.toml").line) == 2


@needs_uv
def test_a_version_that_nobody_pins_is_not_chosen(built: Build) -> None:
    assert "thing==1.0" in built("thing\n")["lock"]


@needs_uv
def test_a_lock_that_a_revision_has_stays_as_it_is(built: Build, public: Index) -> None:
    lock = built("plain\n")["lock"]
    public.files[2] = public.files[2]._replace(yanked=True)
    assert built("plain\n", lock=lock, attached=lock)["cached"] is True
    assert built("plain\n", lock=lock)["lock"] == lock
    # With another package beside it all is installed anew.
    fault = refused(built, "plain\nthing\n", lock=lock)
    assert (fault.file, fault.line) == ("requirements.txt", 1)
    assert fault.message == (
        "plain 1.0 was yanked from its index, which gives no reason; take another version: casemate deps upgrade"
    )


@needs_uv
def test_a_source_distribution_is_refused_too(built: Build, public: Index) -> None:
    public.add(source("old", "1.0"), yanked="use 2")
    fault = refused(built, "plain\nold==1.0\n", from_source="old")
    assert (fault.file, fault.line) == ("requirements.txt", 2) and 'yanked from its index: "use 2"' in fault.message


def test_a_reason_is_shown_in_one_line_and_not_endless() -> None:
    needs = Needs("requirements.txt", [], False)
    message = refusal(Yanked("a", "1", "\x1b[2Jx\u202e\n" + "y" * 10_000), needs).message
    assert message.startswith('a 1 was yanked from its index: "[2Jx') and message.isprintable() and len(message) < 300
    assert "no reason" in refusal(Yanked("a", "1", " \n"), needs).message


def test_warnings_are_read_whatever_a_reason_holds() -> None:
    said = 'Installed\nwarning: `a==1` is yanked (reason: "x")\nwarning: `b-c==1!2+d` is yanked\nwarning: `e==1` is yanked (reason: "two\nlines")\n'
    assert warned_of(said) == [Yanked("a", "1", "x"), Yanked("b-c", "1!2+d", ""), Yanked("e", "1", "two")]
    assert warned_of("warning: `a` is old\n is yanked") == []
