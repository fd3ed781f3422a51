"""MLflow's model registry: versions, aliases and serving."""
