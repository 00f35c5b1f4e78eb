"""Locks and upgrades the packages of a source folder, on a developer's own machine."""
