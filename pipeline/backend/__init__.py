"""How Keras computes: on which library, deterministically, epoch by epoch."""
