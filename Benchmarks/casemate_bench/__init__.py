"""Measures Casemate's goals beside peers in the same run. `Benchmarks/bench --help` says how."""
