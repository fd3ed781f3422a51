"""The MLflow server or database that runs go to."""
