"""Numerical analysis of a finished study."""
