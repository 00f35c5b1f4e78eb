"""The goals, in the order in which they are measured. Each group has servers of its own, so that none disturbs another."""

from casemate_bench.goals import (
    allocations,
    burst,
    cold,
    deploying,
    egress,
    gate,
    identity,
    imports,
    isolated,
    many,
    memory,
    redaction,
    revisions,
    shim,
    vault,
    warm,
)
from casemate_bench.options import Group

GROUPS = (
    Group(("P1", "P2", "T"), "cold start, a slot is free; phases", cold.free_slot),
    Group(("P3",), "cold start, the pool is empty", cold.empty_pool),
    Group(("P4",), "burst of distinct cold starts", burst.run),
    Group(("P5", "P7"), "warm calls and throughput", warm.run),
    Group(("A1",), "allocations of a warm call", allocations.run),
    Group(("I1", "I2", "I3"), "what it costs to say who calls", identity.run),
    Group(("P6",), "what a warm call costs above the runtime itself", shim.run),
    Group(("P8",), "a fresh process for each call", isolated.run),
    Group(("P9", "P10"), "memory of warm functions", memory.run),
    Group(("P11", "P13"), "many deployed functions", many.run),
    Group(("P12",), "deploying", deploying.run),
    Group(("G1", "G2"), "advisories", gate.run),
    Group(("S1", "S2", "S3"), "revisions", revisions.run),
    Group(("P14",), "redaction", redaction.run),
    Group(("V1", "V2"), "the vault and the audit log", vault.run),
    Group(("W1", "W2", "W3", "W4"), "the network wall", egress.run),
    Group(("P15",), "a function that imports pandas", imports.run),
)
