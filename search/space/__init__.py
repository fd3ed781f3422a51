"""The search space: draw candidates and check that they fit."""
