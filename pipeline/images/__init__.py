"""Read image files as arrays."""
