"""Architecture search: an Optuna study over CNN architectures."""
