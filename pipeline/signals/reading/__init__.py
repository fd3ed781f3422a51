"""Lines and rows of text files, and whether recordings are complete."""
