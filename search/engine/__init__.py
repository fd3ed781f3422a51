"""Where rungs run."""
