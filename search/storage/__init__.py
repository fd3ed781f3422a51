"""The database that stores studies."""
