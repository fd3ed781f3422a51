"""Array files of any size, read as rows: memory-mapped, or in blocks."""
