"""A study as pictures."""
