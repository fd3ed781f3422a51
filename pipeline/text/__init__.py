"""Text files and CSV tables, read line by line."""
