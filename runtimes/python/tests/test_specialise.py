"""From a handler's text to a function: what is found, what is recognised, and what an author is told."""

from collections.abc import Callable
from typing import Any

import pytest
from casemate_runtime.faults import Fault
from casemate_runtime.handlers import cognite
from casemate_runtime.signature import recognise
from support import Starter

ALL = cognite.ARGUMENTS


def function(parameters: str) -> Callable[..., Any]:
    space: dict[str, Any] = {}
    exec(f"def handle({parameters}): pass", space)  # nosec B102  # this file's own texts
    return space["handle"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "parameters, name, arguments",
    [
        ("", "cognite", set()),
        ("data", "cognite", {"data"}),
        ("secrets, data", "cognite", {"data", "secrets"}),
        ("client, data, secrets, function_call_info", "cognite", ALL),
        ("client=None, *, data", "cognite", {"client", "data"}),
        ("**kwargs", "cognite", ALL),
        ("data, **kwargs", "cognite", ALL),
        ("event, context", "scaleway", None),
        ("e, c", "scaleway", None),
        ("context, event", "scaleway", None),
        ("event, context=None, /", "scaleway", None),
        ("e, c, **kwargs", "scaleway", None),
        ("event", "scaleway", {"event"}),
        ("context", "scaleway", {"context"}),
        ("event, *, context", "scaleway", {"event", "context"}),
    ],
)
def test_a_signature_is_recognised(parameters: str, name: str, arguments: set[str] | None) -> None:
    found = recognise(function(parameters), "", "handle")
    assert (found.name, found.arguments) == (name, arguments)


@pytest.mark.parametrize(
    "parameters",
    [
        "x",
        "a, b, c",
        "event, context, callback",
        "data, context",
        "event, data",
        "data, /",
        "*args",
        "*args, **kwargs",
        "data, x=1",
    ],
)
def test_what_is_neither_is_refused_with_the_choices(parameters: str) -> None:
    with pytest.raises(
        Fault, match=r"handle\(client, data, secrets, function_call_info\).*handle\(event, context\)"
    ) as caught:
        recognise(function(parameters), "", "handle")
    assert caught.value.code == "signature-unknown"


@pytest.mark.parametrize(
    "parameters, told, arguments",
    [
        ("data, retries=3", "cognite", {"data"}),
        ("*args, **kwargs", "cognite", ALL),
        ("*args, **kwargs", "scaleway", None),
        ("data, secrets", "scaleway", None),
        ("a, b, c=1", "scaleway", None),
        ("event", "scaleway", {"event"}),
        ("", "scaleway", set()),
    ],
)
def test_a_signature_that_is_told_may_be_looser(parameters: str, told: str, arguments: set[str] | None) -> None:
    found = recognise(function(parameters), told, "handle")
    assert (found.name, found.arguments) == (told, arguments)


@pytest.mark.parametrize(
    "parameters, told", [("data, x", "cognite"), ("event, context", "cognite"), ("a, b, c", "scaleway"), ("", "kyma")]
)
def test_a_signature_that_is_told_must_fit(parameters: str, told: str) -> None:
    with pytest.raises(Fault) as caught:
        recognise(function(parameters), told, "handle")
    assert caught.value.code == "signature-unknown"


def test_parameters_that_can_not_be_read_must_be_told() -> None:
    with pytest.raises(Fault, match="can't be read"):
        recognise(dict, "", "handle")
    assert recognise(dict, "scaleway", "handle") == ("scaleway", None)
    assert recognise(dict, "cognite", "handle") == ("cognite", ALL)


def test_a_handler_in_a_folder_has_its_imports_and_its_natural_name(start: Starter) -> None:
    instance = start(
        {
            "a/b/file.py": (
                "from . import near\nfrom .near import value\nimport lib.helper, vendored, installed, sys\n"
                "def run(data):\n"
                "    mine = sys.modules['a.b.file']\n"
                "    return [__name__, mine is sys.modules[run.__module__], value, lib.helper.x, vendored.x, installed.x]"
            ),
            "a/b/near.py": "value = 'near'",
            "lib/helper.py": "x = 'src'",
            "package/vendored.py": "x = 'package'",
            "package/installed.py": "x = 'package comes before deps'",
            "deps/installed.py": "x = 'deps'",
        }
    )
    assert instance.specialise(handler="a/b/file.run") == (0, b"cognite", b"")
    assert instance.call().json() == ["a.b.file", True, "near", "src", "package", "package comes before deps"]


def test_modules_of_a_bundle_come_before_ours_and_do_not_break_us(start: Starter) -> None:
    instance = start(
        {
            # Not importable: whoever of us looked one of these names up from now on would fail.
            "json.py": "raise RuntimeError('json of the bundle')",
            "frames.py": "x = 'frames of the bundle'",
            "casemate_runtime.py": "x = 'casemate_runtime of the bundle'",
            "secrets.py": "x = 'secrets of the bundle'",
            "statistics/__init__.py": "x = 'statistics of the bundle'",
            "email/templates.txt": "a plain folder hides nothing",
            "os.py": "raise RuntimeError('os of the bundle')",
            "handler.py": (
                "import secrets, statistics, frames, casemate_runtime, email.message, os\n"
                "os.getcwd()\n"
                "def handle(data):\n"
                "    try:\n"
                "        import json\n"
                "    except RuntimeError as error:\n"
                "        return [str(error), secrets.x, statistics.x, frames.x, casemate_runtime.x, data]\n"
            ),
        },
        preload=True,
    )
    assert instance.specialise(handler="handler.handle").meta == b"cognite"
    assert instance.call(b'{"a":1}').json() == [
        "json of the bundle",
        "secrets of the bundle",
        "statistics of the bundle",
        "frames of the bundle",
        "casemate_runtime of the bundle",
        {"a": 1},
    ]
    assert instance.call(b"{").flags == 3


def test_outdated_copies_of_the_standard_library_among_the_dependencies_come_behind_it(start: Starter) -> None:
    outdated = {f"deps/{name}.py": "raise RuntimeError('outdated')" for name in ("asyncio", "argparse", "json")}
    source = "import argparse, json\nasync def handle(data):\n    import asyncio\n    await asyncio.sleep(0)\n    return data"
    instance = start({**outdated, "h.py": source}, preload=True)
    assert instance.specialise(handler="h.handle").meta == b"cognite"
    assert instance.call(b"1").json() == 1


def test_only_an_async_handler_has_asyncio_loaded(start: Starter) -> None:
    for word, loaded in (("", False), ("async ", True)):
        instance = start({"h.py": f"import sys\n{word}def handle(data): return 'asyncio' in sys.modules"}, preload=True)
        assert instance.specialise(handler="h.handle").meta == b"cognite"
        assert instance.call(b"1").json() is loaded


@pytest.mark.parametrize(
    "handler", ["json.handle", "os.handle", "email/handler.handle", "casemate_runtime/serve.handle"]
)
def test_a_handler_may_have_the_name_of_a_module_of_ours(start: Starter, handler: str) -> None:
    file = handler.removesuffix(".handle") + ".py"
    source = "import email.message, os.path\ndef handle(data): return [data, os.getcwd() != '']"
    instance = start({file: source}, preload=True)
    assert instance.specialise(handler=handler).meta == b"cognite"
    assert instance.call(b"1").json() == [1, True]
    assert instance.run("x").flags == 0


def test_environment_is_set_and_secrets_are_where_their_signature_has_them(start: Starter) -> None:
    files = {
        "c.py": "import os, time\ndef handle(data, secrets):\n    return [dict(os.environ), secrets, time.tzname[0]]",
        "s.py": "import os\nAT_IMPORT = os.environ['TOKEN']\ndef handle(event, context): return {'env': dict(os.environ)}",
    }
    values: dict[str, Any] = {
        "environment": {"NAME": "välue", "X-DASH": "1", "TZ": "JST-9"},
        "secret": {"TOKEN": "t=1"},
    }
    one = start(files, handler="c.handle", **values)
    environment, secrets, zone = one.call(b"{}").json()
    assert (environment["NAME"], environment["X-DASH"], zone, secrets) == ("välue", "1", "JST", {"TOKEN": "t=1"})
    assert "TOKEN" not in environment
    two = start(files, handler="s.handle", signature="scaleway", function="ns/f", memory="128", **values)
    assert two.call().json()["env"]["TOKEN"] == "t=1"
    for instance in (one, two):
        with open(f"/proc/{instance.process.pid}/environ", "rb") as file:
            assert b"TOKEN" not in file.read()


SYNTAX = {"handler.py": "import helper\ndef handle(): pass", "helper.py": "x = 1\ndef broken(:\n    pass\n"}
MISSING = {"handler.py": "x = 1\nfrom lib import deep\n", "lib/deep.py": "\n\nimport does_not_exist\n"}


@pytest.mark.parametrize(
    "files, handler, error",
    [
        ({}, "handler.handle", ("handler-missing", "handler.py", "", "there is no file handler.py in the bundle")),
        (
            {"handler.py": ""},
            "handler.handle",
            ("handler-missing", "handler.py", "", "handler.py has no function handle"),
        ),
        (
            {"h.py": "handle = 3"},
            "h.handle",
            ("handler-not-callable", "h.py", "", "handle in h.py is a int and can't be called"),
        ),
        (
            {},
            "../x.handle",
            ("handler-missing", "", "", "the handler '../x.handle' is not of the form folder/file.function"),
        ),
        ({}, "nodot", ("handler-missing", "", "", "the handler 'nodot' is not of the form folder/file.function")),
        (SYNTAX, "handler.handle", ("syntax-error", "helper.py", "2", "invalid syntax")),
        ({"h.py": "def handle(:"}, "h.handle", ("syntax-error", "h.py", "1", "invalid syntax")),
        (MISSING, "handler.handle", ("import-error", "lib/deep.py", "3", "No module named 'does_not_exist'")),
        (
            {"h.py": "\nimport os\nos.environ['NOT_SET']"},
            "h.handle",
            ("import-error", "h.py", "3", "KeyError: 'NOT_SET'"),
        ),
        ({"h.py": "import sys\nsys.exit(3)"}, "h.handle", ("import-error", "h.py", "2", "SystemExit: 3")),
        (
            {"h.py": "import bad", "deps/bad.py": "def f(:"},
            "h.handle",
            ("import-error", "h.py", "1", "SyntaxError: invalid syntax (bad.py, line 1)"),
        ),
    ],
)
def test_an_author_is_told_what_is_wrong_and_where(
    start: Starter, files: dict[str, str], handler: str, error: tuple[str, str, str, str]
) -> None:
    instance = start(files)
    answer = instance.specialise(handler=handler)
    assert (answer.status != 0, answer.error) == (True, error)
    if error[0] in ("import-error", "syntax-error"):
        trace = answer.body.decode()
        assert "File" in trace and "casemate_runtime" not in trace and "importlib" not in trace.split("\n", 2)[1]


def test_a_refused_signature_has_its_place(start: Starter) -> None:
    instance = start({"h.py": "\n\ndef handle(a, b, c): pass"})
    code, file, line, message = instance.specialise(handler="h.handle").error
    assert (code, file, line) == ("signature-unknown", "h.py", "3") and message.startswith(
        "handle(a, b, c) has no signature"
    )


def test_what_is_printed_at_import_is_in_the_pipe(start: Starter) -> None:
    instance = start({"h.py": "print('importing', end='')\ndef handle(): pass"})
    instance.specialise(handler="h.handle")
    assert instance.out() == "importing"


def test_check_answers_like_specialise_and_then_takes_no_call(start: Starter) -> None:
    instance = start({"h.py": "def handle(event, context): pass"})
    assert instance.load(4, handler="h.handle") == (0, b"scaleway", b"")
    instance.send(2, b"GET\0/\0\0")
    assert instance.ended() == 70
