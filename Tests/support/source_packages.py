"""Packages that are built from their source, whose build does what a test wants: inside the product's build sandbox, and nowhere else."""

from __future__ import annotations

import inspect
import io
import json
import secrets as randomness
import textwrap
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from package_index import Release


@dataclass(frozen=True)
class Step:
    """Code of a build. It can't be called: what is left of the function is its text."""

    name: str
    text: str


def step(body: Callable[..., Any]) -> Step:
    """Keeps a function from ever running on the host. What it returns is in the package that comes of the build.

    It is called with the folder that the wheel goes to, and with what the package's `given` has. `MORE` is a dictionary
    of entries that the wheel has besides its own: name to text, or to a mode and a text.
    """
    lines = textwrap.dedent(inspect.getsource(body)).splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("def "))
    return Step(body.__name__, "\n".join(lines[first:]))


# In the source distribution itself (PEP 517, `backend-path`), so that nothing else is needed.
BACKEND = """from __future__ import annotations

import json, os, zipfile, zlib

with open("about.json") as file:
    ABOUT = json.load(file)
MORE = {}

<step>


def veiled(found):
    return bytes(byte ^ 0x5A for byte in zlib.compress(json.dumps(found).encode())).hex()


def build_wheel(folder, config_settings=None, metadata_directory=None):
    found = <name>(folder, **ABOUT["given"])
    name = ABOUT["wheel"]
    entries = {ABOUT["module"] + ".py": ABOUT["text"] + f"FOUND = {veiled(found)!r}\\n", **MORE}
    about = f"{ABOUT['module']}-{ABOUT['version']}.dist-info"
    with open("PKG-INFO") as file:
        entries[f"{about}/METADATA"] = file.read()
    entries[f"{about}/WHEEL"] = "Wheel-Version: 1.0\\nGenerator: tests\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    entries[f"{about}/RECORD"] = "".join(f"{entry},,\\n" for entry in [*entries, f"{about}/RECORD"])
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        for entry, content in entries.items():
            mode, text = content if isinstance(content, (list, tuple)) else (0o100644, content)
            info = zipfile.ZipInfo(entry)
            info.create_system, info.external_attr = 3, mode << 16
            wheel.writestr(info, text)
    return name
"""
NOTHING = Step("nothing", "def nothing(folder):\n    return None")


@dataclass
class Sourced(Release):
    """A release that is a source distribution alone, with a step of its own in its build."""

    does: Step = NOTHING
    given: Mapping[str, Any] = field(default_factory=dict)
    # The wheel's name, where it is another one than it should be.
    makes: str = ""
    # What the build needs, by `[build-system] requires`.
    built_with: Sequence[str] = ()
    is_source_only: bool = True

    @property
    def wheel_file(self) -> str:
        return self.makes or f"{self.module}-{self.version}-py3-none-any.whl"

    def source_files(self) -> Mapping[str, str]:
        about = {
            "module": self.module,
            "version": self.version,
            "text": self.module_text(),
            "given": dict(self.given),
            "wheel": self.wheel_file,
        }
        system = {"requires": [*self.built_with], "build-backend": "own", "backend-path": ["backend"]}
        return {
            "PKG-INFO": self.about(),
            "pyproject.toml": "[build-system]\n"
            + "".join(f"{key} = {json.dumps(value)}\n" for key, value in system.items()),
            "about.json": json.dumps(about),
            "backend/own.py": BACKEND.replace("<step>", self.does.text).replace("<name>", self.does.name),
        }


def unveiled(text: str) -> Any:
    """What a step found. Nothing on the way from the build to here could read it, and put a mark in place of a value."""
    return json.loads(zlib.decompress(bytes(byte ^ 0x5A for byte in bytes.fromhex(text))))


def needing(requirements: Sequence[str], *modules: str, returns: str = "1") -> dict[str, str]:
    """A function that imports modules. It is another one each time."""
    imports = "".join(f"import {module}\n" for module in modules)
    code = f"{imports}# {randomness.token_hex(4)}\ndef handle(data):\n    return {returns}\n"
    return {"handler.py": code, "requirements.txt": "".join(f"{line}\n" for line in requirements)}


def keys(*names: str, **more: Any) -> dict[str, Any]:
    """A manifest's `dependencies`, with packages that are built."""
    return {"dependencies": {**({"fromSource": list(names)} if names else {}), **more}}


class Setuptools(Release):
    """Stands for the backend that is used where a source names none."""

    def wheel(self) -> bytes:
        legacy = BACKEND.replace("<step>", NOTHING.text).replace("<name>", NOTHING.name)
        legacy += "\n\nclass __legacy__:\n    build_wheel = staticmethod(build_wheel)\n"
        about = f"setuptools-{self.version}.dist-info"
        entries = {
            "setuptools/__init__.py": "",
            "setuptools/build_meta.py": legacy,
            f"{about}/METADATA": self.about(),
            f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        entries[f"{about}/RECORD"] = "".join(f"{entry},,\n" for entry in [*entries, f"{about}/RECORD"])
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as packed:
            for entry, text in entries.items():
                packed.writestr(zipfile.ZipInfo(entry), text)
        return out.getvalue()


class Legacy(Sourced):
    """With no word on how it is built."""

    def source_files(self) -> Mapping[str, str]:
        files = {name: text for name, text in super().source_files().items() if name != "pyproject.toml"}
        return {**files, "setup.py": "raise SystemExit('it ran')\n"}
