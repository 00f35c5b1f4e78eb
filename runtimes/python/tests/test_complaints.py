"""What uv says, as an author is told it: with the package's name, its line and what to do. With the real uv."""

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from casemate_runtime import build
from casemate_runtime.complaints import complaint
from casemate_runtime.faults import Fault
from casemate_runtime.frames import Channel
from packages import Index, index, needs_uv, sdist, source, tool, wheel
from support import TAGS
from test_build import archived

Refusal = Callable[..., Fault]
NONE = f"--hash=sha256:{'0' * 64}"


@pytest.fixture(scope="module")
def public() -> Iterator[Index]:
    with index() as made:
        made.add(wheel("plain", "1.0"))
        made.add(wheel("needy", "1.0", "leaf"))
        made.add(wheel("leaf", "1.0"))
        made.add(wheel("deep", "1.0", "between"))
        made.add(wheel("between", "1.0", "gone>=2"))
        made.add(source("sourced", "1.0"))
        made.add(wheel("over", "1.0", "sourced"))
        made.add(sdist("old", "1.0", {"pyproject.toml": '[build-system]\nrequires = ["gone-tool"]\n'}))
        yield made


@pytest.fixture
def refusal(tmp_path: Path, public: Index) -> Refusal:
    def of(requirements: str, **fields: str) -> Fault:
        control, _ = socket.socketpair()
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        (tmp_path / "out").mkdir()
        builder = build.Builder(Channel(control), tmp_path / "out", tool())
        values = {TAGS["index"]: [public.url.encode()]} | {TAGS[key]: [value.encode()] for key, value in fields.items()}
        archive = os.open(archived(tmp_path / "a.zip", {"requirements.txt": requirements}), os.O_RDONLY)
        try:
            with pytest.raises(Fault) as caught:
                builder.build(archive, values)
            return caught.value
        finally:
            os.close(archive)

    return of


def place(fault: Fault) -> tuple[str, int | None]:
    what, _, fix = fault.message.partition("; ")
    assert fault.code in ("dependencies-failed", "requirements-refused") and what and fix
    return fault.file, fault.line


@needs_uv
@pytest.mark.parametrize("policy", ["auto", "strict"])
def test_a_wrong_hash_is_told_with_its_line_and_a_remedy(refusal: Refusal, policy: str) -> None:
    fault = refusal(f"# one\nPlain==1.0 {NONE}\n", policy=policy)
    assert place(fault) == ("requirements.txt", 2)
    assert "plain" in fault.message.lower() and fault.message.endswith("do not use it")


@needs_uv
@pytest.mark.parametrize(
    ("requirements", "line", "said"),
    [
        ("plain\ngone\n", 2, "gone is not in its package index;"),
        ("plain\nGone_One>=2\n", 2, "gone-one is not in its package index;"),
        ("# one\nnumpyy\n", 2, "numpyy, which looks like numpy, is not in its package index; did you mean numpy?"),
        ("Reqeusts[socks]>=2\n", 1, "unsatisfiable; did you mean requests? Else "),
        ("plain\ndeep\n", 2, "gone is not in its package index, and between needs it;"),
        ("plain\n\nplain>3\n", 1, "only plain==1.0 is available"),
        ("leaf\nplain==3.0\n", 2, "no version of plain==3.0"),
        ("leaf\nsourced\n", 2, "no usable wheels"),
        ("leaf\nover\n", 2, "no usable wheels"),
    ],
)
def test_what_can_not_be_resolved_is_told_with_its_line(
    refusal: Refusal, requirements: str, line: int, said: str
) -> None:
    fault = refusal(requirements)
    assert place(fault) == ("requirements.txt", line) and said in fault.message, fault.message


@needs_uv
def test_what_the_lock_lacks_has_no_line(refusal: Refusal, public: Index) -> None:
    fault = refusal(f"needy==1.0 --hash=sha256:{public.files[1].sha256}", policy="strict")
    assert place(fault) == ("requirements.txt", None)
    assert fault.message.startswith("leaf: another package needs it, and the lock has no hash of it; make a full lock")


@needs_uv
def test_what_a_build_needs_is_told_at_the_line_of_what_is_built(refusal: Refusal) -> None:
    fault = refusal("plain\nold==1.0\n", from_source="old")
    assert place(fault) == ("requirements.txt", 2)
    assert fault.message.startswith("what old is built with: gone-tool is not in its package index;")


def test_what_is_not_understood_is_shown_as_it_is() -> None:
    found = complaint("Request failed: tcp connect error.")
    assert found.what == "Request failed: tcp connect error" and found.fix and found.packages == ()
    several = complaint("No solution found: Because you require a>1 and a needs b, and you require b<1, no.")
    assert several.packages == () and complaint("").fix
