"""Records of runs, in files with a copy in MLflow."""
