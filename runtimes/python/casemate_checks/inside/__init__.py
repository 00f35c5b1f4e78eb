"""What runs in a tool's own process, beside the author's code."""
