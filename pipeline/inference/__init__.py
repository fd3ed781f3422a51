"""A trained network applied to new images."""
