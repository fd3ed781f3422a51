"""Estimates of the cost of a study before it starts."""
