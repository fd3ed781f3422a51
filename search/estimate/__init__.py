"""Estimates of the size and the cost of a study before it starts."""
