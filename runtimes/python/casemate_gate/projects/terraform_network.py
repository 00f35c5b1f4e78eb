"""Network rules beside functions that let in, or let out to, the whole internet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from casemate_gate.findings import Severity
from casemate_gate.projects.hcl_tree import Block, blocks_at
from casemate_gate.projects.rules import Report, Rule
from casemate_gate.projects.tree import Field, Node, field_at, items, text_at, text_of

WIDE_IN: Final = Rule("terraform/wide-inbound", Severity.MEDIUM, "AZR-20", "name the addresses that may come in")
WIDE_OUT: Final = Rule(
    "terraform/wide-outbound", Severity.MEDIUM, "COG-24", "name what may be reached", 'egress: ["api.example.com:443"]'
)

_EVERY: Final = ("0.0.0.0",)  # nosec B104  # looked for
_ANYWHERE: Final = frozenset(("*", "0.0.0.0/0", "::/0", "0.0.0.0", "internet", "any"))  # nosec B104  # looked for
# Where a firewall's lists are: the blocks that hold them, and the field with the address.
_LISTS: Final = {
    "scaleway_rdb_acl": (("acl_rules",), "ip"),
    "scaleway_redis_cluster": (("acl",), "ip"),
    "scaleway_instance_security_group": (("inbound_rule",), "ip_range"),
    **{
        f"azurerm_{kind}": (("site_config", "ip_restriction"), "ip_address")
        for kind in ("linux_function_app", "windows_function_app", "function_app", "function_app_flex_consumption")
    },
}
_DEFAULTS: Final = {
    "azurerm_storage_account": "network_rules",
    "azurerm_storage_account_network_rules": "",
    "azurerm_key_vault": "network_acls",
}


def examine(block: Block, report: Report) -> None:
    kind, where = block.labels[0], ".".join(block.labels)
    for field in _open_fields(kind, block.body):
        report.add(WIDE_IN, field.line, f"{where}.{field.name}", f"{where} lets in every address")
    rules = [block.body] if kind == "azurerm_network_security_rule" else []
    rules += blocks_at(block.body, "security_rule") if kind == "azurerm_network_security_group" else []
    for rule in rules:
        _examine_rule(rule, where, report)


def _open_fields(kind: str, body: Node) -> Iterator[Field]:
    if kind in _LISTS:
        path, name = _LISTS[kind]
        for entry in blocks_at(body, *path):
            field = field_at(entry, name)
            if (
                field
                and _is_anywhere(field.value)
                and (text_at(entry, "action") or "Allow").lower() in ("allow", "accept")
            ):
                yield field
    if kind in _DEFAULTS:
        for rules in blocks_at(body, _DEFAULTS[kind]) if _DEFAULTS[kind] else [body]:
            field = field_at(rules, "default_action")
            if field and text_of(field.value) == "Allow":
                yield field
    if kind in ("azurerm_mssql_firewall_rule", "azurerm_postgresql_flexible_server_firewall_rule"):
        field = field_at(body, "end_ip_address")
        # From 0.0.0.0 to 0.0.0.0 is how Azure writes "services of Azure".
        first = text_at(body, "start_ip_address")
        if field and first in _EVERY and text_of(field.value) == "255.255.255.255":
            yield field


def _examine_rule(rule: Node, where: str, report: Report) -> None:
    if (text_at(rule, "access") or "").lower() != "allow":
        return
    outbound = (text_at(rule, "direction") or "").lower() == "outbound"
    side = "destination" if outbound else "source"
    for name in (f"{side}_address_prefix", f"{side}_address_prefixes"):
        field = field_at(rule, name)
        if field and any(_is_anywhere(value) for value in items(field.value) or [field.value]):
            subject = f"{where}.{text_at(rule, 'name') or name}"
            what = f"{where} lets out to every address" if outbound else f"{where} lets in every address"
            report.add(WIDE_OUT if outbound else WIDE_IN, field.line, subject, what)


def _is_anywhere(node: Node) -> bool:
    return (text_of(node) or "").lower() in _ANYWHERE
