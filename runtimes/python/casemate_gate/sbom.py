"""The operation `sbom`: what a revision consists of, as CycloneDX 1.6 in JSON."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from casemate_runtime.requirements import normalised
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.contrib.this.builders import this_component
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from casemate_gate.findings import shown
from casemate_gate.problems import Problem, text
from casemate_gate.requirements import read

_MOST_COMPONENTS: Final = 5_000
_SHA256: Final = re.compile(r"sha256:([0-9a-fA-F]{64})")


def sbom(request: Mapping[str, Any]) -> str:
    given = request.get("components")
    if not isinstance(given, list) or len(given) > _MOST_COMPONENTS:
        raise Problem(f"components is no list of at most {_MOST_COMPONENTS}")
    function, revision = shown(text(request, "function")), shown(_text_or_number(request, "revision"))
    bundle = shown(text(request, "bundle", ""))
    lock = request.get("lock")
    locked = _hashes(lock) if isinstance(lock, str) else {}
    root = Component(
        name=function,
        version=revision,
        type=ComponentType.APPLICATION,
        bom_ref=f"casemate:{function}@{revision}",
        hashes=_digests([bundle]),
        properties=[Property(name="casemate:bundle", value=bundle)] if bundle else [],
    )
    bom = Bom(
        # The same revision has the same bill, whenever it is made.
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, "\0".join(["casemate", function, revision, bundle])),
        metadata=BomMetaData(
            component=root,
            timestamp=datetime.now(UTC),
            tools=ToolRepository(components=[_gate(request), this_component()]),
        ),
    )
    parts = _components(given, locked)
    by_name: dict[str, Component] = {}
    for _, component in parts:
        bom.components.add(component)
        by_name.setdefault(component.name, component)
    asked: set[str] = set()
    for item, component in parts:
        needs = {by_name[name] for name in map(normalised, _texts(item.get("requires"))) if name in by_name} - {
            component
        }
        asked |= {other.name for other in needs}
        bom.register_dependency(component, sorted(needs, key=lambda other: other.name))
    # What nobody asks for was asked for by the function, be it by a file of its own.
    tops = [component for item, component in parts if item.get("direct") is True or component.name not in asked]
    bom.register_dependency(root, tops)
    return json.dumps(json.loads(JsonV1Dot6(bom).output_as_string()), ensure_ascii=False, indent=2) + "\n"


def _components(given: list[object], locked: dict[str, list[str]]) -> list[tuple[Mapping[str, Any], Component]]:
    found: dict[str, tuple[Mapping[str, Any], Component]] = {}
    for item in given:
        if (
            not isinstance(item, Mapping)
            or not isinstance(item.get("name"), str)
            or not isinstance(item.get("version"), str)
        ):
            raise Problem("components holds something other than names with versions")
        name, version = normalised(shown(item["name"])), shown(item["version"])
        vendored = item.get("vendored") is True
        try:
            purl = PackageURL("pypi", name=name, version=version)
        except ValueError:
            raise Problem(f"{name or 'a component'} is no name of a package") from None
        reference = f"{purl.to_string()}{'#vendored' if vendored else ''}"
        hashes = [] if vendored else locked.get(name, [])
        component = Component(
            name=name,
            version=version,
            type=ComponentType.LIBRARY,
            bom_ref=reference,
            purl=purl,
            licenses=_licences(_texts(item.get("licenses"))),
            hashes=_digests([*_texts(item.get("hashes")), *hashes]),
            properties=[Property(name="casemate:vendored", value="true")] if vendored else [],
        )
        found.setdefault(reference, (item, component))
    return list(found.values())


def _licences(written: list[str]) -> list[Any]:
    """The standard has one expression or several names, not both."""
    factory = LicenseFactory()
    made = [factory.make_from_string(shown(name, 200)) for name in written[:10] if name.strip()]
    if len(made) > 1 and any(isinstance(item, LicenseExpression) for item in made):
        return [DisjunctiveLicense(name=shown(name, 200)) for name in written[:10] if name.strip()]
    return made


def _digests(written: list[str]) -> list[HashType]:
    found = {match[1].lower() for text in written if (match := _SHA256.fullmatch(text))}
    return [HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in sorted(found)]


def _hashes(lock: str) -> dict[str, list[str]]:
    return {line.name: list(line.hashes) for line in read(lock.encode("utf-8", "replace"))}


def _gate(request: Mapping[str, Any]) -> Component:
    return Component(
        name="casemate", version=shown(text(request, "version", "")) or None, type=ComponentType.APPLICATION
    )


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _text_or_number(request: Mapping[str, Any], name: str) -> str:
    value = request.get(name)
    return str(value) if type(value) is int else text(request, name)
