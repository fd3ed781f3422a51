"""The machine that a run uses."""
