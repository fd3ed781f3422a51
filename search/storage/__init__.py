"""The database that keeps studies."""
