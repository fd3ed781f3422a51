"""The checks of a dataset: what prepare measures while it writes the splits. Numbers only, no drawing."""
