"""Import paths of a tool's process: the tool is loaded before these are opened, out of its own folder."""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any, Final

# A test that imports pytest has the one that runs it, also where the function has another among its packages.
_ALWAYS_THE_TOOLS: Final = frozenset(["pytest", "_pytest"])


def open_first(job: dict[str, Any], startup: frozenset[str]) -> None:
    """As the function has them: its source first, then the standard library, then its packages; the tools come last.

    What the tool has loaded under a name that the function has itself is set aside for the tool: the author's code gets what it
    will get when it is called. `startup`: what any interpreter has loaded.
    """
    source = [path for path in (job["source"], job["vendored"]) if os.path.isdir(path)]
    packages = [path for path in (job["dependencies"],) if os.path.isdir(path)]
    sys.path[:0] = source
    sys.path += [*packages, job["tools"]]
    kept = _ALWAYS_THE_TOOLS | {name.partition(".")[0] for name in startup} | set(sys.builtin_module_names)
    tools = os.path.join(job["tools"], "")
    aside: dict[str, ModuleType] = {}
    for name in {key.partition(".")[0] for key in sys.modules} - kept:
        file = getattr(sys.modules.get(name), "__file__", None) or ""
        places = source + packages if file.startswith(tools) else source
        if _has(places, name):
            for loaded in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
                aside[loaded] = sys.modules.pop(loaded)
    if aside:
        _give(aside, tools)


def _give(aside: Mapping[str, ModuleType], tools: str) -> None:
    """To the tool's modules, which import some of what they need only as they need it."""
    usual = builtins.__import__

    def for_tools(name: str, space: Mapping[str, Any], wanted: Sequence[str], level: int) -> ModuleType | None:
        if not (space.get("__file__") or "").startswith(tools):
            return None
        if level:
            parent = str(space.get("__package__", "")).rsplit(".", level - 1)[0]
            name = f"{parent}.{name}" if name else parent
        module = aside.get(name)
        if module is None or not all(hasattr(module, item) for item in wanted):
            return None
        return module if wanted else aside[name.partition(".")[0]]

    def importing(
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        return (for_tools(name, globals, fromlist or (), level) if globals else None) or usual(
            name, globals, locals, fromlist or (), level
        )

    builtins.__import__ = importing


def open_behind(job: dict[str, Any]) -> None:
    """For what a plugin imports. The tool's own modules come first: nothing of the function runs here but plugins."""
    sys.path.insert(0, job["tools"])
    sys.path += [path for path in (job["dependencies"], job["vendored"], job["source"]) if os.path.isdir(path)]


def _has(places: Sequence[str], name: str) -> bool:
    """A folder without `__init__.py` hides nothing that comes behind it."""
    try:
        spec = PathFinder.find_spec(name, places)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None
