"""The machine that a run computes on."""
