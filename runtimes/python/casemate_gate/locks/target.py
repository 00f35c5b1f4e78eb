"""What a lock is made for: the Python and the platform of a sandbox, whatever the machine is on which it is made."""

from __future__ import annotations

import platform
import re
from typing import Final, NamedTuple

from casemate_runtime.requirements import Requirement
from packaging.markers import InvalidMarker, Marker

from casemate_gate.problems import Problem

# The sandbox's C library is Debian 12's.
_PLATFORMS: Final = {
    "x86_64": "x86_64-manylinux_2_36",
    "amd64": "x86_64-manylinux_2_36",
    "aarch64": "aarch64-manylinux_2_36",
    "arm64": "aarch64-manylinux_2_36",
}


class Target(NamedTuple):
    python: str
    machine: str

    @classmethod
    def parse(cls, python: str) -> Target:
        """Servers are held to be like this machine."""
        if not re.fullmatch(r"3\.\d{1,2}", python):
            raise Problem("python is no version such as 3.11")
        machine = platform.machine().lower()
        if machine not in _PLATFORMS:
            raise Problem(f"there is no runtime for machines of type {machine[:40]}")
        return cls(python, machine)

    @property
    def options(self) -> tuple[str, ...]:
        return "--python-version", self.python, "--python-platform", _PLATFORMS[self.machine]

    def holds(self, item: Requirement) -> bool:
        """Whether its marker does. One that can't be understood is uv's to refuse."""
        if not item.marker:
            return True
        machine = _PLATFORMS[self.machine].partition("-")[0]
        there = {
            "extra": "",
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }
        try:
            return bool(Marker(item.marker).evaluate(there))
        except InvalidMarker:
            return True
        except Exception:  # it may compare what can't be compared
            return True
