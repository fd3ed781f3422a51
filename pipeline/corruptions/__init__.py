"""Corruptions of samples, for robustness tests."""
