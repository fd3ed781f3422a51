"""The model registry of MLflow: versions, aliases, serving."""
