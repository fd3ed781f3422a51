"""Rules that generate a params.yaml for a dataset."""
