"""Describe architectures and candidates as text."""
