"""What a developer's machine has that a sandbox has not: another place for uv and for certificates, and maybe a proxy."""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path
from typing import Final

from casemate_runtime.faults import Fault
from casemate_runtime.indexes import plain
from casemate_runtime.uv import Tool, Unresolvable

from casemate_gate.locks.target import Target
from casemate_gate.problems import Problem

_CERTIFICATES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_PROXIES: Final = (
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "https_proxy",
    "http_proxy",
    "all_proxy",
    "no_proxy",
)


def uv_tool(uv: Path, target: Target) -> Tool:
    if not uv.is_absolute() or not os.access(uv, os.X_OK):
        raise Problem("uv, which resolves packages, is not installed: casemate runtime install python3.11")
    proxies = tuple((name, os.environ[name]) for name in _PROXIES if name in os.environ)
    return Tool(uv, sys.executable, _certificates(), target.options, proxies)


def explained(fault: Fault, index: str) -> Problem:
    """With what to do next."""
    if fault.file:
        line = "" if fault.line is None else f":{fault.line}"
        return Problem(f"{fault.file}{line}: {fault.message}")
    if isinstance(fault, Unresolvable):
        what = f"no versions fit together: {fault.message}"
        return Problem(what if "; " in what else f"{what}; change the lines that ask for these packages")
    return Problem(f"{fault.message.partition('; ')[0]}; can this machine reach the index {plain(index)}?")


def _certificates() -> str:
    known = (os.environ.get("SSL_CERT_FILE"), ssl.get_default_verify_paths().cafile, *_CERTIFICATES)
    return next((file for file in known if file and os.path.isfile(file)), _CERTIFICATES[0])
