"""The code that determines the trials of a study and their results."""
