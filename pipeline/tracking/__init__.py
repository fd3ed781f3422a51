"""Experiment tracking: runs are recorded in files and published to MLflow."""
