"""Image files as arrays."""
