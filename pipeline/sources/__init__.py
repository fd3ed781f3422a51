"""Load checked, split images from a data source."""
