"""Which lines of a requirements.txt are understood, and that the installer reads only what we understood."""

import pytest
from casemate_runtime.faults import Fault
from casemate_runtime.requirements import normalised, read, write

HASH = "--hash=sha256:" + "a" * 64


@pytest.mark.parametrize(
    "line, name",
    [
        ("requests", "requests"),
        ("requests==2.31.0", "requests"),
        ("requests >=2, <3 ", "requests"),
        ("requests (>=2,<3)", "requests"),
        ("requests[socks, security]~=2.31", "requests"),
        ("ruamel.yaml.clib==0.2.*", "ruamel.yaml.clib"),
        ("torch==2.1.0+cpu", "torch"),
        ("a===1!2.0", "a"),
        ("tomli>=1; python_version < \"3.11\" and sys_platform != 'win32'", "tomli"),
        (f"six==1.16.0 {HASH} --hash sha512:{'b' * 128}", "six"),
        ("six # why", "six"),
    ],
)
def test_names_with_versions_are_understood(line: str, name: str) -> None:
    (found,) = read(line.encode(), strict=False)
    assert found.name == name
    assert read(write([found]).encode(), strict=False) == [found]


def test_comments_continuations_line_ends_and_a_mark_are_read_as_pip_does() -> None:
    text = f"\ufeff# head\r\n\r\na==1 \\\r\n    {HASH} \\\n    {HASH.replace('a' * 64, 'c' * 64)}\n  # between\nb#c\n--require-hashes\nc\\\n==3"
    with pytest.raises(Fault, match="b#c"):  # no white space, no comment
        read(text.encode(), strict=False)
    found = read(text.replace("b#c", "b #c").encode(), strict=False)
    assert [(item.name, item.place.line, len(item.hashes)) for item in found] == [("a", 3, 2), ("b", 7, 0), ("c", 9, 0)]


@pytest.mark.parametrize(
    "line, said",
    [
        ("-e .", "editable"),
        ("--editable=git+https://x/y", "editable"),
        ("-i https://evil/simple", "index"),
        ("-ihttps://evil/simple", "options"),
        ("--index-url https://evil/simple", "index"),
        ("--index-url=https://evil/simple", "index"),
        ("--extra-index-url https://user:hunter2@evil/simple", "index"),
        ("--no-index", "index"),
        ("-f ./wheels", "index only"),
        ("--find-links=./wheels", "index only"),
        ("-r other.txt", "one file"),
        ("-c constraints.txt", "one file"),
        ("--requirement other.txt", "one file"),
        ("--pre", "options"),
        ("--trusted-host evil", "options"),
        ("git+https://code.test/x/y", "repository"),
        ("y @ git+ssh://git@code.test/x/y", "repository"),
        ("hg+http://x/y", "repository"),
        ("file:///etc/passwd", "URL"),
        ("file:x", "URL"),
        ("https://user:hunter2@evil/x.whl?token=hunter2", "URL"),
        ("six @ https://evil/six.whl", "URL"),
        ("six[a] @ file:///x", "URL"),
        ("six@x", "URL"),
        ("./six", "PEP 508"),
        ("../six-1.whl", "PEP 508"),
        ("six-1.16.0-py3-none-any.whl", "PEP 508"),
        ("six.tar.gz", "PEP 508"),
        ("/x", "PEP 508"),
        ("${NAME}", "PEP 508"),
        ("six==${VERSION}", "PEP 508"),
        ("six --global-option=x", "PEP 508"),
        ("six --hash=sha256", "PEP 508"),
        ("six two", "PEP 508"),
        ("six==", "PEP 508"),
        ("six; x --index-url evil", "PEP 508"),
        ("six; \x00", "PEP 508"),
        ("a" * 2000, "PEP 508"),
    ],
)
def test_other_lines_are_refused_with_their_place_and_without_credentials(line: str, said: str) -> None:
    with pytest.raises(Fault, match=said) as caught:
        read(f"fine\n\n{line}\n".encode(), strict=False)
    fault = caught.value
    assert (fault.code, fault.file, fault.line) == ("requirements-refused", "requirements.txt", 3)
    assert "hunter2" not in fault.message
    what, _, fix = fault.message.partition("; ")
    assert said in what or said in fix
    assert fix.startswith(("write ", "leave the line out", "put ")) and "; " not in fix


def test_a_continuation_can_not_hide_an_option() -> None:
    for text in ("six \\\n--index-url https://evil", "\\\n-e .", "# comment \\\n-e ."):
        with pytest.raises(Fault):
            read(text.encode(), strict=False)


def test_a_file_that_is_no_text_or_too_large_is_refused() -> None:
    for content in (b"six\xff", "six".encode("utf-16"), b"#" * (2 << 20)):
        with pytest.raises(Fault) as caught:
            read(content, strict=False)
        assert caught.value.code == "requirements-refused"


@pytest.mark.parametrize(
    "line, said",
    [
        ("six", "pinned"),
        (f"six {HASH}", "pinned"),
        (f"six>=1 {HASH}", "pinned"),
        (f"six==1.* {HASH}", "pinned"),
        (f"six==1,==1 {HASH}", "pinned"),
        ("six==1.16.0", "--hash"),
    ],
)
def test_the_strict_policy_wants_versions_and_hashes(line: str, said: str) -> None:
    with pytest.raises(Fault, match=said) as caught:
        read(line.encode(), strict=True)
    assert caught.value.line == 1
    assert len(read(f"six==1.16.0 {HASH}".encode(), strict=True)) == 1


def test_names_are_compared_as_pep_503_says() -> None:
    assert normalised("Ruamel.YAML_-clib") == "ruamel-yaml-clib"
