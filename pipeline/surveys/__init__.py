"""Inspect data sources of every kind, for the rules of `init`."""
