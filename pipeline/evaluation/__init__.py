"""Metrics and tests of a trained network."""
