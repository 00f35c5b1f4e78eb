"""What tests of the gate share: its findings, waivers, advisories, and made-up credentials that no other scan takes for real."""

from __future__ import annotations

import importlib.util
import io
import json
import marshal
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from casemate_fixture import Answer, Outcome, Server, archive

PLAIN = "def handle(data):\n    return 1\n"
RISKY = "def handle(data):\n    return eval(data['x'])\n"

# In parts, so that the scan of this repository finds none of them in a file of it.
AWS_KEY = "AKIA" + "IOSFODNN7QRZ3MPL"
GITHUB_TOKEN = "ghp_" + "a8Kd02mZqPx91Lc7Vb" + "N4rTy6UwEs3HfJgD5o"
WEB_TOKEN = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
)
PRIVATE_KEY_LINE = "MIIEvQIBADANBgkqhki" + "G9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7"
PASSPHRASE = "-".join(["hunter2", "correct", "horse"])
UNKNOWN_KEY = "7Gq2xW9zLk4R" + "t8Vb1Nc5Yd3H"
PRIVATE_KEY = f"-----BEGIN {'PRIVATE KEY'}-----\n{PRIVATE_KEY_LINE}\n-----END {'PRIVATE KEY'}-----\n"


def importing(*modules: str) -> str:
    return "".join(f"import {module}\n" for module in modules) + PLAIN


def found(outcome: Mapping[str, Any], rule: str | None = None, file: str | None = None) -> list[dict[str, Any]]:
    """What the gate found, of one rule or in one file."""
    findings = [item for item in outcome["diagnostics"] if "finding" in item]
    return [
        item for item in findings if rule in (None, item["finding"]["rule"]) and (file is None or item["file"] == file)
    ]


def refused_by_the_gate(outcome: Outcome | Answer) -> dict[str, Any]:
    """The outcome of a deployment, after checking that the gate refused it, and said so in full."""
    if isinstance(outcome, Answer):
        assert outcome.status == 200, outcome.text
        first: dict[str, Any] = outcome.json()["functions"][0]
    else:
        assert outcome.code == 1, outcome.said
        first = outcome.first
    assert (first["status"], first.get("stage"), first.get("problemType")) == (
        "failed",
        "scan",
        "/problems/gate-failed",
    ), first
    stopping = [item for item in found(first) if item["severity"] == "error"]
    assert stopping, first
    for item in stopping:
        assert item["finding"]["level"] in ("high", "critical") and item["file"] and item["what"] and item["fix"], item
    return first


def let_pass(outcome: Outcome) -> dict[str, Any]:
    assert outcome.code == 0 and outcome.first["status"] in ("deployed", "unchanged"), outcome.said
    return outcome.first


def known(server: Server, function: str) -> dict[str, Any]:
    """What `GET …/findings` says."""
    answer = server.api("GET", f"{server.function_path(function)}/findings")
    assert answer.status == 200, answer.text
    findings: dict[str, Any] = answer.json()
    return findings


def posture_of(server: Server, function: str) -> dict[str, Any]:
    """A function's part of its namespace's posture, `{}` where it has none."""
    answer = server.api("GET", f"/v1/namespaces/{function.split('/')[0]}/posture")
    assert answer.status == 200, answer.text
    return next((item for item in answer.json()["functions"] if item["function"] == function), {})


def recorded(server: Server, kind: str, **details: str) -> list[dict[str, Any]]:
    """Records of the audit log of one kind, whose details or fields are these."""
    code, out, err = server.cli("audit", "tail", "--kind", kind, "--json")
    assert code == 0, err
    records = [json.loads(line) for line in out.splitlines() if line]
    return [
        record
        for record in records
        if all({**record, **record.get("details", {})}.get(name) == value for name, value in details.items())
    ]


def after(seconds: float) -> str:
    """A time from now on, as the API takes it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def waive(
    server: Server, function: str, finding: str, seconds: float = 3600, reason: str = "a test", key: str = ""
) -> Answer:
    body = {"finding": finding, "reason": reason, "expires": after(seconds)}
    return server.api("POST", f"{server.function_path(function)}/waivers", body, key=key)


def set_policy(server: Server, namespace: str, **gate: Any) -> None:
    server.namespace(namespace)
    answer = server.api("PUT", f"/v1/namespaces/{namespace}/policy", {"gate": gate})
    assert answer.status == 200, answer.text


# ---------------------------------------------------------------- advisories

V3_CRITICAL = ("CVSS_V3", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H")
V3_LOW = ("CVSS_V3", "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N")
V3_MEDIUM = ("CVSS_V3", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:N/A:N")
V4_CRITICAL = ("CVSS_V4", "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N")
V4_LOW = ("CVSS_V4", "CVSS:4.0/AV:L/AC:H/AT:P/PR:H/UI:A/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N")


def advisory(
    name: str,
    of: str,
    events: Sequence[Mapping[str, str]] = ({"introduced": "0"},),
    severity: tuple[str, str] | None = None,
    aliases: Sequence[str] = (),
    withdrawn: bool = False,
    days_old: float = 1,
    **affected: Any,
) -> dict[str, Any]:
    """A record in the OSV format."""
    told: dict[str, Any] = {
        "schema_version": "1.6.0",
        "id": name,
        "modified": after(-days_old * 86400),
        "published": "2024-01-01T00:00:00Z",
        "aliases": list(aliases),
        "summary": f"a fault of {of}",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": of},
                "ranges": [{"type": "ECOSYSTEM", "events": list(events)}],
                **affected,
            }
        ],
    }
    if severity:
        told["severity"] = [{"type": severity[0], "score": severity[1]}]
    if withdrawn:
        told["withdrawn"] = "2024-02-02T00:00:00Z"
    return told


def osv_export(*records: Mapping[str, Any]) -> bytes:
    """As OSV exports an ecosystem: a zip with a file for each record."""
    return archive({f"{record['id']}.json": json.dumps(record) for record in records})


def import_advisories(server: Server, *records: Mapping[str, Any]) -> dict[str, Any]:
    answer = server.api("PUT", "/v1/advisories", osv_export(*records), timeout=120)
    assert answer.status == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def stored_advisories(server: Server) -> dict[str, Any]:
    answer = server.api("GET", "/v1/advisories")
    assert answer.status == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


# ---------------------------------------------------------------- files within files


def zipped(name: str, content: str | bytes, times: int = 1) -> bytes:
    """`content` as `name` in a zip, which is in a zip, and so on."""
    data = content.encode() if isinstance(content, str) else content
    for turn in range(times):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr(name if turn == 0 else f"inner{turn}.zip", data)
        data = out.getvalue()
    return data


def compiled(code: str) -> bytes:
    """A .pyc with no source beside it, as this Python and the runtime's load it."""
    return importlib.util.MAGIC_NUMBER + b"\0" * 12 + marshal.dumps(compile(code, "gone.py", "exec"))
