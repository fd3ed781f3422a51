"""A finished study as numbers."""
