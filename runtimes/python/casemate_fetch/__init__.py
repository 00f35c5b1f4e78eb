"""Fetches a function's source from a git repository: what runs in the sandbox that is thrown away afterwards."""
