"""Runs an author's own checks over a bundle (tests, types, lint): what happens in the sandbox in which they run."""
