"""The pipeline of a single network, from raw data to the model registry."""
