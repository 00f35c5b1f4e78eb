"""Each package comes from its one index, whoever needs it. With the real uv, and two indexes that have the same names."""

import os
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from casemate_runtime import build
from casemate_runtime.faults import Fault
from casemate_runtime.frames import Channel
from casemate_runtime.indexes import Indexes
from casemate_runtime.router import routed
from casemate_runtime.trust import SYSTEM
from packages import Index, index, needs_uv, tool, wheel
from support import TAGS
from test_build import archived

Build = Callable[..., dict[str, Any]]


@pytest.fixture(params=[True, False], ids=["json", "html"])
def public(request: pytest.FixtureRequest) -> Iterator[Index]:
    with index(request.param) as made:
        for name in ("corp-tool", "corp-base", "six"):
            made.add(wheel(name, "9.0"))
        made.add(wheel("app", "1.0", "corp-tool"))
        yield made


@pytest.fixture
def corp() -> Iterator[Index]:
    with index() as made:
        made.add(wheel("corp-tool", "1.0", "corp-base", "six"))
        made.add(wheel("corp-base", "1.0"), uploaded="2019-01-01T00:00:00Z")
        made.add(wheel("six", "99.0"))
        made.add(wheel("app", "99.0"))
        yield made


@pytest.fixture
def built(tmp_path: Path, public: Index, corp: Index) -> Build:
    def run(requirements: str, pins: tuple[str, ...] = ("corp-*",), **fields: str) -> dict[str, Any]:
        control, _ = socket.socketpair()
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        (tmp_path / "out").mkdir()
        builder = build.Builder(Channel(control), tmp_path / "out", tool())
        values = {TAGS["index"]: [public.url.encode()], TAGS["indexes"]: [f"corp\0{corp.url}/".encode()]}
        values[TAGS["pins"]] = [f"{pin}\0corp".encode() for pin in pins]
        values |= {TAGS[name]: [value.encode()] for name, value in fields.items()}
        archive = os.open(archived(tmp_path / "a.zip", {"requirements.txt": requirements}), os.O_RDONLY)
        try:
            return builder.build(archive, values)
        finally:
            os.close(archive)

    return run


def versions(report: dict[str, Any]) -> list[str]:
    return [line.split()[0] for line in report["lock"].split("\n") if "==" in line]


@needs_uv
def test_a_pinned_name_comes_from_its_index_also_where_another_package_needs_it(
    built: Build, public: Index, corp: Index, tmp_path: Path
) -> None:
    report = built("app")
    assert versions(report) == ["app==1.0", "corp-base==1.0", "corp-tool==1.0", "six==9.0"]
    assert (tmp_path / "out/deps/corp_tool.py").read_text() == "version = '1.0'"
    assert public.projects() == ["app", "six"] and corp.projects() == ["corp-base", "corp-tool"]
    assert report["firstUploads"]["corp-base"] == "2019-01-01T00:00:00Z"
    assert corp.base not in report["lock"] and "127.0.0.1" not in report["lock"]


@needs_uv
def test_without_pins_only_the_default_index_is_asked(built: Build, corp: Index) -> None:
    assert versions(built("app", pins=())) == ["app==1.0", "corp-tool==9.0"] and corp.asked == []


@needs_uv
def test_a_name_pinned_by_itself_leaves_its_neighbours(built: Build, public: Index, corp: Index) -> None:
    assert versions(built("app", pins=("Corp_Tool",))) == ["app==1.0", "corp-base==9.0", "corp-tool==1.0", "six==9.0"]
    assert corp.projects() == ["corp-tool"]


@needs_uv
@pytest.mark.parametrize("requirements", ["corp-other", "corp-tool==9.0", "corp-tool>1"])
def test_what_its_own_index_lacks_is_taken_from_no_other(
    built: Build, public: Index, corp: Index, requirements: str
) -> None:
    public.add(wheel("corp-other", "1.0"))
    with pytest.raises(Fault) as caught:
        built(requirements)
    assert caught.value.code == "dependencies-failed" and public.asked == []


@needs_uv
def test_a_lock_with_the_other_indexes_hash_is_not_installed(built: Build, public: Index, corp: Index) -> None:
    lock = f"corp-base==9.0 --hash={'sha256:' + public.files[1].sha256}"
    with pytest.raises(Fault):
        built(lock, policy="strict")
    lock = f"corp-base==1.0 --hash={'sha256:' + corp.files[1].sha256}"
    assert versions(built(lock, policy="strict")) == ["corp-base==1.0"]
    assert [path for path in public.asked if "corp" in path] == []


@needs_uv
def test_a_failure_names_the_index_that_was_asked(built: Build, corp: Index) -> None:
    def broken(handler: Any) -> bool:
        handler.send_error(403)
        return True

    corp.answer = broken
    with pytest.raises(Fault) as caught:
        built("corp-tool")
    assert caught.value.message.startswith(f"An index ({corp.url}) returned a 403")


@needs_uv
def test_an_index_that_passes_on_what_it_lacks_is_not_followed(built: Build, public: Index, corp: Index) -> None:
    def elsewhere(handler: Any) -> bool:
        handler.send_response(302)
        handler.send_header("Location", f"{public.url}/corp-base/")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    corp.answer = elsewhere
    with pytest.raises(Fault) as caught:
        built("corp-base")
    assert "corp-base" in caught.value.message
    assert [path for path in public.asked if "corp" in path] == []


def test_the_router_only_sends_on() -> None:
    given = Indexes("https://d.test/simple", {"corp": "https://c.test/x/"}, {"corp-*": "corp"})

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    def asked(route: str, path: str) -> tuple[int, str | None]:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stay)
        with pytest.raises(urllib.error.HTTPError) as caught:
            opener.open(route.removesuffix("/simple") + path, timeout=5)
        return caught.value.code, caught.value.headers.get("Location")

    with routed(given, SYSTEM) as route:
        assert asked(route.url, "/simple/six/") == (307, "https://d.test/simple/six/")
        assert asked(route.url, "/simple/Corp_x/") == (307, "https://c.test/x/Corp_x/")
        for path in ("/", "/simple/", "/simple/a/b/", "/simple/a%0d%0aX:y/", "/simple/../six/", "/other/six/"):
            assert asked(route.url, path)[0] == 404, path
        said = f"error: {route.url}/corp-x/ and {route.url}/six/ from {route.url}"
        assert (
            route.shown(said)
            == "error: https://c.test/x/corp-x/ and https://d.test/simple/six/ from https://d.test/simple"
        )
    with routed(given._replace(default=""), SYSTEM) as route:
        assert asked(route.url, "/simple/six/")[0] == 404
    with routed(Indexes("https://d.test/simple"), SYSTEM) as route:
        assert (
            route.url == "https://d.test/simple" and route.shown("https://d.test/simple/x") == "https://d.test/simple/x"
        )
