"""Apply a trained network to new images."""
