"""The MLflow server or database that stores the runs."""
