"""The page about a prepared dataset: what the checks found."""
