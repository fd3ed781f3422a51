"""What decides the trials of a study and their results."""
