"""The bill of a revision: what the standard asks for, and what we know."""

from __future__ import annotations

import json
from typing import Any

import pytest
from casemate_gate.problems import Problem
from casemate_gate.sbom import sbom
from cyclonedx.exception import MissingOptionalDependencyException
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

REQUEST: dict[str, Any] = {
    "operation": "sbom",
    "function": "plant/score",
    "revision": 3,
    "bundle": "sha256:" + "c" * 64,
    "components": [
        {
            "name": "flask",
            "version": "3.0.0",
            "licenses": ["BSD-3-Clause"],
            "requires": ["werkzeug", "absent"],
            "direct": True,
        },
        {
            "name": "werkzeug",
            "version": "3.0.1",
            "licenses": ["BSD License", "MIT OR Apache-2.0"],
            "requires": ["flask"],
        },
        {"name": "six", "version": "1.16.0", "vendored": True},
    ],
    "lock": "flask==3.0.0 \\\n    --hash=sha256:" + "a" * 64 + " \\\n    --hash=sha256:" + "b" * 64 + "\n",
}


def test_it_names_the_function_its_parts_and_their_bonds() -> None:
    bill = json.loads(sbom(REQUEST))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    root = bill["metadata"]["component"]
    assert (root["type"], root["name"], root["version"]) == ("application", "plant/score", "3")
    assert root["hashes"] == [{"alg": "SHA-256", "content": "c" * 64}]
    assert "casemate" in [tool["name"] for tool in bill["metadata"]["tools"]["components"]]
    parts = {item["name"]: item for item in bill["components"]}
    assert parts["flask"]["purl"] == "pkg:pypi/flask@3.0.0"
    assert [item["content"] for item in parts["flask"]["hashes"]] == ["a" * 64, "b" * 64]
    assert parts["flask"]["licenses"] == [{"license": {"id": "BSD-3-Clause"}}]
    assert len(parts["werkzeug"]["licenses"]) == 2
    bonds = {item["ref"]: item.get("dependsOn", []) for item in bill["dependencies"]}
    assert bonds[root["bom-ref"]] == ["pkg:pypi/flask@3.0.0", "pkg:pypi/six@1.16.0#vendored"]
    assert bonds["pkg:pypi/flask@3.0.0"] == ["pkg:pypi/werkzeug@3.0.1"]


def test_the_same_revision_has_the_same_serial_number() -> None:
    assert json.loads(sbom(REQUEST))["serialNumber"] == json.loads(sbom(REQUEST))["serialNumber"]
    assert json.loads(sbom(REQUEST | {"revision": 4}))["serialNumber"] != json.loads(sbom(REQUEST))["serialNumber"]


@pytest.mark.parametrize(
    "components",
    [
        REQUEST["components"],
        [],
        [
            {
                "name": "a",
                "version": "1",
                "licenses": ["((", "x" * 900, "", 1],
                "hashes": ["sha256:zz", 1],
                "requires": [1, "a"],
            }
        ]
        * 2,
        [{"name": "\u202ea\x00b", "version": "\x1b[31m"}],
    ],
    ids=range(4),
)
def test_it_is_what_the_schema_allows(components: list[Any]) -> None:
    text = sbom(REQUEST | {"components": components})
    try:
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    except MissingOptionalDependencyException:
        # The validator's library is no part of the tools: then at least what the schema requires of each part.
        bill = json.loads(text)
        assert bill["serialNumber"].startswith("urn:uuid:") and bill["version"] == 1
        references = [item["bom-ref"] for item in bill.get("components", [])]
        assert len(references) == len(set(references))
        for item in bill.get("components", []):
            assert {"type", "name"} <= item.keys()
            assert all(len(entry["content"]) == 64 for entry in item.get("hashes", []))
            assert all(len(entry) == 1 for entry in item.get("licenses", []))


@pytest.mark.parametrize(
    "change",
    [
        {"components": None},
        {"components": [1]},
        {"components": [{"name": "a"}]},
        {"components": [{"name": "", "version": "1"}]},
        {"function": 1},
    ],
)
def test_a_request_of_wrong_types_is_a_problem(change: dict[str, Any]) -> None:
    with pytest.raises(Problem):
        sbom(REQUEST | change)
