"""A prepared dataset: written once by prepare, read back by every later stage."""
