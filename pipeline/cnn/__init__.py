"""The network: a value (architecture), its arithmetic (geometry), its building and its training."""
