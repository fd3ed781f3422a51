"""The report on a network: each module judges one side of it, and writes what it found into the book."""
