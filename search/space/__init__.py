"""Which candidates there are."""
