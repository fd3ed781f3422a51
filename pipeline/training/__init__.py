"""How a network learns: one training loop, and the state that continues it."""
