"""Runs: recorded in files, mirrored in MLflow."""
