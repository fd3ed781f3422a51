"""Which network: an Optuna study over CNN architectures."""
