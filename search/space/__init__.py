"""The search space, from which feasible candidates are drawn."""
