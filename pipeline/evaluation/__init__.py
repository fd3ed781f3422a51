"""How good a network is, as numbers."""
