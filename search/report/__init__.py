"""Reports of a study: files, pages and MLflow runs."""
