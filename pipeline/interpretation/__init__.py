"""What the layers of a network respond to, as arrays."""
