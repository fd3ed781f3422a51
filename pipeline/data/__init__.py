"""The prepared dataset: written once by prepare, read by every later stage."""
