"""Runs: recorded in files, mirrored in MLflow, reviewed in its UI."""
