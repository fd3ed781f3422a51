"""Array files of any size, read as rows, in blocks."""
