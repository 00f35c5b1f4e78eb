"""Makes this process the instance of one function: environment, import paths, the handler's module, its signature."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, NamedTuple

from casemate_runtime.faults import Fault, ProtocolError
from casemate_runtime.handlers import cognite, scaleway
from casemate_runtime.handlers.common import Begin, Handler, Respond
from casemate_runtime.refusals import Explainer
from casemate_runtime.signature import recognise
from casemate_runtime.trust import trust

_HANDLER, _SIGNATURE, _ENVIRONMENT, _SECRET, _FUNCTION, _, _MEMORY = range(1, 8)
_CONCURRENCY, _ISOLATION, _AUTHORITY = 12, 13, 14
_CONCURRENCY_FORM = re.compile("[1-9][0-9]{0,4}")


class Mode(NamedTuple):
    """How calls run: `concurrency` at once in this process, or each in a process of its own."""

    concurrency: int = 1
    isolated: bool = False


class Specialised(NamedTuple):
    signature: str
    mode: Mode
    handler: Handler
    begin: Begin
    """With `respond`, the two halves of `handler`: between them an `async def` runs."""
    respond: Respond
    is_async: bool


class Specialiser:
    """`startup`: the modules that the interpreter had loaded before ours; nothing of a bundle takes their names.

    `explainer` hears the function's name, for errors that give a command.
    """

    def __init__(
        self,
        root: Path = Path("/fn"),
        startup: frozenset[str] = frozenset(sys.modules),
        explainer: Explainer | None = None,
        make_trusted: Callable[[bytes], None] = trust,
    ) -> None:
        self._make_trusted = make_trusted
        self._explainer = explainer
        self.bundle = root
        # Text from here on: a cold start has no half millisecond for paths that are objects.
        self._source = str(root / "src")
        self._paths = [self._source, f"{self._source}/package"]
        self._dependencies = str(root / "deps")
        self._startup = startup
        self._signature = ""
        self._secrets: dict[str, str] = {}
        self._authority = b""

    def specialise(self, fields: dict[int, list[bytes]]) -> Specialised:
        """What answers calls. Raises a `Fault` for the author of the bundle."""
        handler = _text(fields, _HANDLER)
        told = _text(fields, _SIGNATURE)
        function_name = _text(fields, _FUNCTION)
        if self._explainer:
            self._explainer.function = function_name
        mode = _mode(fields)
        secrets = self._secrets = dict(_pairs(fields, _SECRET))
        if mode.isolated and secrets:
            raise ProtocolError("secrets for the process that outlives its calls")
        _set_environment(_pairs(fields, _ENVIRONMENT))
        before = {name: os.environ[name] for name in secrets if name in os.environ}
        self._authority = fields.get(_AUTHORITY, [b""])[-1]
        self._trust()  # before the import: clients make their contexts at the top of their modules
        if told != "cognite":  # before the import: Scaleway's functions read their secrets at the top of the module
            _set_environment(secrets.items())
        if "TZ" in os.environ:
            time.tzset()
        self._open_paths()
        relative, name = self._find(handler)
        function = self._function(self._load(relative), name, relative)
        try:
            signature = recognise(function, told, name)
        except Fault as fault:
            code = getattr(function, "__code__", None)
            raise Fault(fault.code, fault.message, relative, getattr(code, "co_firstlineno", None)) from None
        self._signature = signature.name
        is_async = inspect.iscoroutinefunction(function)
        if is_async:
            importlib.import_module("asyncio")  # now, and not while the first caller waits
        if signature.name == "cognite":
            for secret in secrets:  # it was not told at a deploy: such a function gets them as an argument alone
                os.environ.pop(secret, None)
                if secret in before:
                    os.environ[secret] = before[secret]
            known = (function, signature.arguments or frozenset(), secrets, function_name)
            made, begin = cognite.make(*known), cognite.make_begin(*known)
            return Specialised("cognite", mode, made, begin, cognite.make_reply, is_async)
        _set_environment(secrets.items())
        memory = int(_text(fields, _MEMORY) or 0)
        about = (function, signature.arguments, function_name.rpartition("/")[2], memory)
        made, begin = scaleway.make(*about), scaleway.make_begin(*about)
        return Specialised("scaleway", mode, made, begin, scaleway.make_reply, is_async)

    def add_secrets(self, fields: dict[int, list[bytes]]) -> None:
        """In the process of an isolated call: where the function looks for them."""
        secrets = _pairs(fields, _SECRET)
        self._trust()
        if self._signature == "cognite":
            self._secrets.update(secrets)
        else:
            _set_environment(secrets)

    def _trust(self) -> None:
        if self._authority:
            self._make_trusted(self._authority)

    def _open_paths(self) -> None:
        sys.path[:0] = [path for path in self._paths if os.path.isdir(path)]
        # Behind the standard library, where an installer puts them: PyPI has an `asyncio` and an `argparse`, long outdated.
        if os.path.isdir(self._dependencies):
            sys.path.append(self._dependencies)
        # A bundle's `queue.py` comes before the standard library's, as it does when its author runs it: so what we loaded
        # in advance under such a name is forgotten. Who has it already, like this runtime, keeps it.
        for name in self._own_names():
            if name not in sys.modules or name in self._startup:
                continue
            for loaded in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
                del sys.modules[loaded]

    def _own_names(self) -> set[str]:
        try:
            names = os.listdir(self._source)
        except OSError:
            return set()
        modules = {name[:-3] for name in names if name.endswith(".py")}
        others = (name for name in names if "." not in name)
        return modules | {name for name in others if os.path.exists(f"{self._source}/{name}/__init__.py")}

    def _find(self, handler: str) -> tuple[str, str]:
        """`folder/file.function` → (`folder/file.py`, `function`)."""
        stem, dot, name = handler.rpartition(".")
        parts = stem.split("/")
        if not dot or not name.isidentifier() or any(not part or "." in part or "\0" in part for part in parts):
            raise Fault("handler-missing", f"the handler {handler!r} is not of the form folder/file.function")
        relative = f"{stem}.py"
        if not os.path.isfile(f"{self._source}/{relative}"):
            raise Fault("handler-missing", f"there is no file {relative} in the bundle", relative)
        return relative, name

    def _load(self, relative: str) -> ModuleType:
        names = relative.removesuffix(".py").split("/")
        try:
            folder = self._source
            for depth, part in enumerate(names[:-1], start=1):
                folder = f"{folder}/{part}"
                self._load_folder(".".join(names[:depth]), folder)
            return self._load_file(".".join(names), f"{self._source}/{relative}")
        except BaseException as error:  # a module may also call sys.exit
            raise self._import_fault(error) from None

    def _load_folder(self, name: str, folder: str) -> None:
        """The handler's folders are packages, with or without `__init__.py`, so that relative imports work."""
        init = f"{folder}/__init__.py"
        if os.path.isfile(init):
            self._load_file(name, init, search=[folder])
            return
        if name in sys.stdlib_module_names:  # a plain folder `email` must not hide the package of that name
            return
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [folder]
        _register(name, importlib.util.module_from_spec(spec))

    def _load_file(self, name: str, path: str, search: list[str] | None = None) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=search)
        if spec is None or spec.loader is None:
            raise ImportError(f"{os.path.basename(path)} can't be loaded")
        module = importlib.util.module_from_spec(spec)
        if name in self._startup:  # `os.py`: half of the interpreter looks that name up
            spec.loader.exec_module(module)
            return module
        _register(name, module)
        spec.loader.exec_module(module)
        return sys.modules.get(name, module)  # a module may put another object in its place

    def _function(self, module: ModuleType, name: str, relative: str) -> Callable[..., Any]:
        try:
            function = getattr(module, name)
        except AttributeError:
            raise Fault("handler-missing", f"{relative} has no function {name}", relative) from None
        if not callable(function):
            kind = type(function).__name__
            raise Fault("handler-not-callable", f"{name} in {relative} is a {kind} and can't be called", relative)
        return function  # type: ignore[no-any-return]

    def _import_fault(self, error: BaseException) -> Fault:
        shown = self._from_bundle_on(error.__traceback__)
        body = "".join(traceback.format_exception(type(error), error, shown))
        if isinstance(error, SyntaxError) and error.filename:
            file = self._relative(error.filename)
            if file:
                return Fault("syntax-error", error.msg, file, error.lineno, body)
        file, line = "", None
        for frame, number in traceback.walk_tb(shown):
            inside = self._relative(frame.f_code.co_filename)
            if inside:
                file, line = inside, number
        try:
            text = str(error)
        except BaseException:  # an author's own exception class
            text = ""
        if not isinstance(error, ImportError) or not text:
            text = f"{type(error).__name__}: {text}" if text else type(error).__name__
        return Fault("import-error", text, file, line, body)

    def _from_bundle_on(self, trace: TracebackType | None) -> TracebackType | None:
        """Without the frames of this runtime and of importlib above the bundle's first one."""
        at = trace
        while at is not None:
            if self._relative(at.tb_frame.f_code.co_filename):
                return at
            at = at.tb_next
        return None

    def _relative(self, filename: str) -> str:
        prefix = f"{self._source}/"
        return filename[len(prefix) :] if filename.startswith(prefix) else ""


def _set_environment(pairs: Iterable[tuple[str, str]]) -> None:
    for name, value in pairs:
        os.environ[name] = value


def _register(name: str, module: ModuleType) -> None:
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent and parent not in sys.stdlib_module_names:
        setattr(sys.modules[parent], child, module)


def _text(fields: dict[int, list[bytes]], tag: int) -> str:
    values = fields.get(tag, [b""])
    return os.fsdecode(values[-1])


def _mode(fields: dict[int, list[bytes]]) -> Mode:
    concurrency = _text(fields, _CONCURRENCY) or "1"
    isolation = _text(fields, _ISOLATION)
    if not _CONCURRENCY_FORM.fullmatch(concurrency) or isolation not in ("", "call"):
        raise ProtocolError("a concurrency that is no number, or an unknown isolation")
    mode = Mode(int(concurrency), isolation == "call")
    if mode.isolated and mode.concurrency > 1:
        raise ProtocolError("several calls at once, and each isolated")
    return mode


def _pairs(fields: dict[int, list[bytes]], tag: int) -> list[tuple[str, str]]:
    pairs = []
    for value in fields.get(tag, []):
        name, nul, text = value.partition(b"\0")
        if not name or not nul or b"=" in name or b"\0" in text:
            raise ProtocolError("an environment field is not NAME NUL value")
        pairs.append((os.fsdecode(name), os.fsdecode(text)))
    return pairs
